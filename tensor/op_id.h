/* tensor/op_id.h - the elementwise operations as numbers, and what the table says of each. Only what names an
 * operation includes this, elementwise_ops.h and autodiff/elementwise.h: the rest need not be compiled again
 * when the table gains a row. */
#ifndef MT_OP_ID_H
#define MT_OP_ID_H

#include "scalar/needs.h"
#include "status.h"

/* The values of an mt_op (base.h): MT_OP_neg ... MT_OP_is_close, maps first, then zips, in the table's order.
 */
enum {
#define MT_MAP(name, params, needs, low, high, formula) MT_OP_##name,
#include "scalar/op_table.inc"
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) MT_OP_##name,
#include "scalar/op_table.inc"
    MT_OP_COUNT
};

enum {
    MT_MAP_COUNT = 0
#define MT_MAP(name, params, needs, low, high, formula) +1
#include "scalar/op_table.inc"
};

/* A row of the table as data. A map has arity 1 and leaves the second entries 0. */
typedef struct mt_op_info {
    const char *name, *formula;
    int arity, params;
    int needs[2];           /* of the derivative in a and in b */
    double low[2], high[2]; /* where gradient checks sample a and b */
} mt_op_info;

MT_BEGIN
/* The row of an operation; NULL with a sentence for a number outside the enum. */
MT_API const mt_op_info *mt_op_describe(mt_op op);
/* The same for an operation that takes so many operands; NULL with a sentence for any other. */
MT_INTERNAL const mt_op_info *mt_op_of_arity(mt_op op, int arity);
/* The same for what linear_act may apply: a map without constants. */
MT_INTERNAL const mt_op_info *mt_op_activation(mt_op op);
/* Finds an operation by its name; MT_OP_COUNT with a sentence that lists them when nothing has it. */
MT_API mt_op mt_op_by_name(const char *name);
MT_END

#endif
