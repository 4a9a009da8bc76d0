/* tools/check_operation.c - a descriptor's fields, one after the other. */
#include "check_operation.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tensor/op_id.h"

bool fault_is(const fault *f, const char *format, ...)
{
    int used = snprintf(f->text, f->size, "%s: ", f->of->name ? f->of->name : "(an operation without .name)");
    if (used < 0) used = 0;
    if ((size_t)used >= f->size) return true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text + used, f->size - (size_t)used, format, arguments);
    va_end(arguments);
    return true;
}

/* Whether it can stand in a C name, and in the name of another language's argument. */
static bool is_word(const char *name)
{
    if (!name || !islower((unsigned char)*name)) return false;
    for (; *name; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && *name != '_') return false;
    return true;
}

static int input_count(const mt_operation *o)
{
    int n = 0;
    while (n < MT_MAX_INPUTS && o->input[n].name) n++;
    return n;
}

static int attribute_count(const mt_operation *o)
{
    int n = 0;
    while (n < MT_MAX_ATTRIBUTES && o->attribute[n].name) n++;
    return n;
}

static bool names(const fault *f)
{
    const mt_operation *o = f->of;
    if (!o->name || !*o->name) return fault_is(f, ".name is missing");
    if (!is_word(o->name))
        return fault_is(f, ".name must be lower-case letters, digits and _, so that mt_%s is a C name",
                        o->name);
    if (!o->formula || !*o->formula)
        return fault_is(
            f, ".formula is missing: one line of text, which the header and docs/operations.md show");
    if (strchr(o->formula, '\n')) return fault_is(f, ".formula must be one line");
    return false;
}

static bool inputs(const fault *f)
{
    const mt_operation *o = f->of;
    const int count = input_count(o);
    if (count == 0) return fault_is(f, ".input[0].name is missing: an operation takes one tensor at least");
    int constants = 0;
    for (int i = 0; i < MT_MAX_INPUTS; i++) {
        const mt_input *in = &o->input[i];
        if (i >= count) {
            if (in->name || in->takes != MT_TAKES_REAL || in->constant || in->low != 0 || in->high != 0)
                return fault_is(f, ".input[%d].name is missing, and what follows it says something",
                                in->name ? count : i);
            continue;
        }
        if (!is_word(in->name))
            return fault_is(f, ".input[%d].name \"%s\" is no word of lower-case letters", i, in->name);
        for (int k = 0; k < i; k++)
            if (strcmp(in->name, o->input[k].name) == 0)
                return fault_is(f, ".input[%d].name: two inputs are called %s", i, in->name);
        if ((unsigned)in->takes > MT_TAKES_ANY) return fault_is(f, ".input[%d].takes is no mt_takes", i);
        if (!isfinite(in->low) || !isfinite(in->high) || in->low >= in->high)
            return fault_is(f, ".input[%d].low and .high: %s is drawn from %g to %g; give an interval", i,
                            in->name, in->low, in->high);
        if (in->takes == MT_TAKES_INDEX &&
            (in->low < 0 || in->low != floor(in->low) || in->high != floor(in->high)))
            return fault_is(f, ".input[%d].low and .high: %s is an INDEX; give whole numbers from 0", i,
                            in->name);
        if (in->takes == MT_TAKES_INDEX && !in->constant)
            return fault_is(f, ".input[%d].constant is missing: %s is an INDEX, to which no gradient flows",
                            i, in->name);
        constants += in->constant;
    }
    if (constants == count && (o->vjp || o->by_parts))
        return fault_is(
            f, ".input[...].constant: every input is one, so there is nothing to give a gradient to");
    return false;
}

static bool attributes(const fault *f)
{
    const mt_operation *o = f->of;
    const int count = attribute_count(o);
    for (int i = 0; i < MT_MAX_ATTRIBUTES; i++) {
        const char *name = o->attribute[i].name;
        const mt_attribute_type type = o->attribute[i].type;
        if (i >= count) {
            if (name || type != MT_NO_ATTRIBUTE)
                return fault_is(f, ".attribute[%d].name is missing, and what follows it says something",
                                name ? count : i);
            continue;
        }
        if (!is_word(name))
            return fault_is(f, ".attribute[%d].name \"%s\" is no word of lower-case letters", i, name);
        for (int k = 0; k < i; k++)
            if (strcmp(name, o->attribute[k].name) == 0)
                return fault_is(f, ".attribute[%d].name: two attributes are called %s", i, name);
        if (type == MT_NO_ATTRIBUTE) return fault_is(f, ".attribute[%d].type is missing, of %s", i, name);
        if ((unsigned)type > MT_ATTRIBUTE_OP)
            return fault_is(f, ".attribute[%d].type is no mt_attribute_type", i);
    }
    return false;
}

static bool row(const fault *f)
{
    const mt_operation *o = f->of;
    if (o->row < 0 || o->row > MT_OP_COUNT)
        return fault_is(f, ".row is %d; a row's is 1 to %d", o->row, MT_OP_COUNT);
    if (o->row == 0) {
        for (int op = 0; op < MT_OP_COUNT; op++)
            if (strcmp(mt_op_describe(op)->name, o->name) == 0)
                return fault_is(f, ".row is 0, and a row of op_table.inc is called so");
        return false;
    }
    const mt_op_info *info = mt_op_describe(o->row - 1);
    if (strcmp(info->name, o->name) != 0) return fault_is(f, ".row is %d, which is %s", o->row, info->name);
    if (strcmp(info->formula, o->formula) != 0)
        return fault_is(f, ".formula differs from that of op_table.inc, \"%s\"", info->formula);
    if (info->arity != input_count(o))
        return fault_is(f, ".input: %d have names; the row has %d operands", input_count(o), info->arity);
    if (info->params != attribute_count(o))
        return fault_is(f, ".attribute: %d have names; the row has %d constants", attribute_count(o),
                        info->params);
    return false;
}

/* One of: shape and run, perhaps with an expression; view; shape and expression. */
static bool way(const fault *f)
{
    const mt_operation *o = f->of;
    if (!o->run && !o->view && !o->expression)
        return fault_is(f, "neither .run nor .view nor .expression: nothing makes its result");
    if (o->view && o->run) return fault_is(f, ".view and .run: a view computes nothing");
    if (o->view && o->expression) return fault_is(f, ".view and .expression: give one of them");
    if (o->view && o->shape)
        return fault_is(f, ".view and .shape: the layout that .view gives has the shape");
    if (!o->view && !o->shape) return fault_is(f, ".shape is missing, the shape rule of the result");
    if (o->run && o->expression && !o->vjp)
        return fault_is(f, ".run is never called: without .vjp the .expression is recorded by its parts");
    if ((unsigned)o->gives > MT_GIVES_KIND_ASKED) return fault_is(f, ".gives is no mt_gives");
    if ((o->attribute[0].type == MT_ATTRIBUTE_KIND) != (o->gives == MT_GIVES_KIND_ASKED))
        return fault_is(f,
                        ".gives is MT_GIVES_KIND_ASKED just where .attribute[0].type is MT_ATTRIBUTE_KIND");
    if (o->cost == MT_COST_UNKNOWN) return fault_is(f, ".cost is MT_COST_UNKNOWN; say what an element costs");
    if ((unsigned)o->cost > MT_COST_TRANSCENDENTAL) return fault_is(f, ".cost is no mt_cost");
    if (o->view && o->cost != MT_COST_NOTHING) return fault_is(f, ".cost of a .view is MT_COST_NOTHING");
    return false;
}

static bool back(const fault *f)
{
    const mt_operation *o = f->of;
    if (o->vjp && o->no_vjp) return fault_is(f, ".vjp is there, and .no_vjp says why it is not");
    if (o->vjp && o->by_parts) return fault_is(f, ".vjp is there, and .by_parts says why it is not");
    if (o->no_vjp && o->by_parts) return fault_is(f, ".no_vjp and .by_parts: give one of them");
    if (!o->vjp && !o->no_vjp && !o->by_parts)
        return fault_is(f, "no .vjp, and neither .no_vjp nor .by_parts says why");
    if ((o->no_vjp && !*o->no_vjp) || (o->by_parts && !*o->by_parts))
        return fault_is(f, "%s is empty; it says why there is no .vjp", o->no_vjp ? ".no_vjp" : ".by_parts");
    if (o->by_parts && !o->expression)
        return fault_is(f, ".by_parts without .expression: there are no parts");
    if (o->no_vjp && o->expression)
        return fault_is(f, ".no_vjp, but the .expression is recorded by its parts; say .by_parts");
    if (o->vjp && o->gives == MT_GIVES_INDEX)
        return fault_is(f, ".vjp and MT_GIVES_INDEX: no gradient comes to an INDEX");
    const int count = input_count(o);
    const unsigned known = ((1u << count) - 1) | (unsigned)MT_READS_OUT | (unsigned)MT_READS_ATTRIBUTES;
    for (int i = 0; i < MT_MAX_INPUTS; i++) {
        if (!o->reads[i]) continue;
        if (i >= count) return fault_is(f, ".reads[%d] is for an input that does not exist", i);
        if (!o->vjp) return fault_is(f, ".reads[%d] without .vjp: nothing reads", i);
        if (o->input[i].constant)
            return fault_is(f, ".reads[%d]: %s is constant and gets no gradient", i, o->input[i].name);
        if (o->reads[i] & ~known) return fault_is(f, ".reads[%d] names an input that does not exist", i);
        if (o->reads[i] & MT_READS_ATTRIBUTES && attribute_count(o) == 0)
            return fault_is(f, ".reads[%d] has MT_READS_ATTRIBUTES, and there are no attributes", i);
    }
    return false;
}

static bool examples(const fault *f)
{
    enum { MOST = 100 };
    const mt_operation *o = f->of;
    if (!o->examples || o->examples[0].shape[0].rank == 0)
        return fault_is(f, ".examples is missing: calls that the checks can make");
    for (int e = 0; o->examples[e].shape[0].rank; e++) {
        if (e == MOST) return fault_is(f, ".examples has no end: a first shape of rank 0");
        for (int i = 0; i < MT_MAX_INPUTS; i++) {
            const int rank = o->examples[e].shape[i].rank;
            const bool further = o->list && i >= input_count(o) && mt_example_inputs(&o->examples[e]) > i;
            if (rank < 0 || rank > MT_MAX_DIMS || (!further && (rank == 0) != (i >= input_count(o))))
                return fault_is(f, ".examples[%d].shape[%d] has rank %d, and there are %d inputs", e, i, rank,
                                input_count(o));
        }
    }
    return false;
}

bool operation_has_fault(const mt_operation *operation, char *text, size_t size)
{
    static bool (*const checks[])(const fault *) = {names, inputs, attributes, row,
                                                    way,   back,   examples,   operation_fails};
    const fault f = {operation, text, size};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i](&f)) return true;
    return false;
}

bool operations_share_a_name(const mt_operation *const *list, int count, char *text, size_t size)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++)
            if (list[i]->name && list[k]->name && strcmp(list[i]->name, list[k]->name) == 0)
                return fault_is(&(fault){list[i], text, size},
                                ".name is that of two operations, number %d and number %d", k, i);
    return false;
}
