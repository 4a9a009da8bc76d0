/* tensor/op_id.c - the table of elementwise operations as data. */
#include "op_id.h"
#include "backend.h"

#include <stdio.h>
#include <string.h>

#define COUNT_0             0
#define COUNT_1(name)       1
#define COUNT_2(name, next) 2

static const mt_op_info table[MT_OP_COUNT] = {
#define MT_MAP(name, params, needs, low, high, formula) \
    [MT_OP_##name] = {#name, formula, 1, COUNT_##params, {needs, 0}, {low, 0}, {high, 0}},
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    [MT_OP_##                                                                         \
        name] = {#name, formula, 2, COUNT_##params, {needs_a, needs_b}, {low_a, low_b}, {high_a, high_b}},
#include "scalar/op_table.inc"
};

const mt_op_info *mt_op_describe(mt_op op)
{
    if ((unsigned)op < MT_OP_COUNT) return &table[op];
    mt_fail(MT_ERR_NAME, "operation number %d; there are %d, from 0", (int)op, (int)MT_OP_COUNT);
    return NULL;
}

int mt_zip_row(mt_op op) { return op - MT_MAP_COUNT; }

const mt_op_info *mt_op_of_arity(mt_op op, int arity)
{
    if ((unsigned)op < MT_OP_COUNT && table[op].arity == arity) return &table[op];
    const mt_op_info *info = mt_op_describe(op);
    if (info) mt_fail(MT_ERR_NAME, "%s takes %d operands, not %d", info->name, info->arity, arity);
    return NULL;
}

const mt_op_info *mt_op_activation(mt_op op)
{
    const mt_op_info *info = mt_op_of_arity(op, 1);
    if (!info || info->params == 0) return info;
    mt_fail(MT_ERR_VALUE, "linear_act: %s takes constants; apply it after mt_linear instead", info->name);
    return NULL;
}

mt_op mt_op_by_name(const char *name)
{
    if (!name) return MT_OP_COUNT;
    for (int op = 0; op < MT_OP_COUNT; op++)
        if (strcmp(table[op].name, name) == 0) return (mt_op)op;
    char names[512] = "";
    for (int op = 0; op < MT_OP_COUNT; op++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", op ? ", " : "", table[op].name);
    }
    mt_fail(MT_ERR_NAME, "no operation is called \"%.40s\"; there are %s", name, names);
    return MT_OP_COUNT;
}
