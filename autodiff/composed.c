/* autodiff/composed.c - the variance, made of other operations; and where, which has a slot. */
#include "elementwise.h"
#include "node.h"
#include "../tensor/rules.h"

#include <math.h>

/* ---- the variance: two passes, so that a large mean costs no digits ---- */

static mt_status shape_var(const mt_call *call, mt_shape *result)
{
    mt_reduced r;
    mt_status status = mt_rule_reduce("var", &call->in[0]->layout, call->attribute[0].shape, &r);
    if (status == MT_OK && !isfinite(call->attribute[2].real))
        status = mt_fail(MT_ERR_VALUE,
                         "var: the correction is %g; give a finite number, 1 for the unbiased estimate",
                         mt_printable(call->attribute[2].real));
    if (status == MT_OK) *result = call->attribute[1].truth ? r.kept : r.dropped;
    return status;
}

static mt_tensor *express_var(mt_call *call)
{
    mt_tape *tape = call->tape;
    mt_tensor *x = call->in[0];
    const mt_shape *named = call->attribute[0].shape, dims = named ? *named : mt_every_dim(x);
    const bool keepdim = call->attribute[1].truth;
    const double correction = call->attribute[2].real;
    mt_reduced r = {.length = 0};
    mt_rule_reduce("var", &x->layout, &dims, &r);
    mt_tensor *distance = mt_sub(tape, x, mt_mean_dims(tape, x, dims, true));
    mt_tensor *total = mt_sum_dims(tape, mt_square(tape, distance), dims, keepdim);
    const double divisor = (double)r.length - correction;
    return mt_div(tape, total, mt_num(tape, divisor > 0 ? divisor : 0));
}

static const mt_shape last = {1, {-1}};
static const mt_example var_examples[] = {
    {.shape = {{2, {4, 5}}}, .attribute = {{.shape = NULL}, {.truth = false}, {.real = 1}}},
    {.shape = {{2, {4, 5}}}, .attribute = {{.shape = &last}, {.truth = true}, {.real = 0}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_var = {
    .name = "var",
    .formula = "the sum over dims of (x - mean)^2 divided by their count - correction, at least 0",
    .input = {{.name = "x", .low = -2, .high = 2}},
    .attribute = {{"dims", MT_ATTRIBUTE_DIMS},
                  {"keepdim", MT_ATTRIBUTE_BOOL},
                  {"correction", MT_ATTRIBUTE_REAL}},
    .shape = shape_var,
    .expression = express_var,
    .by_parts = "the distances from the mean are kept for the gradient in any case",
    .cost = MT_COST_ARITHMETIC,
    .examples = var_examples,
};

static mt_tensor *var(mt_tape *tape, mt_tensor *x, const mt_shape *dims, double correction, bool keepdim)
{
    return mt_apply_operation(
        tape, &mt_operation_var, &x, 1,
        (const mt_attribute[]){{.shape = dims}, {.truth = keepdim}, {.real = correction}});
}

/* A correction of 1 gives the unbiased estimate; any finite one is allowed, a negative one too; where count -
 * correction is not above 0 the result is infinite, or NaN where the distances are 0. */
mt_tensor *mt_var(mt_tape *tape, mt_tensor *x, double correction)
{
    return var(tape, x, NULL, correction, false);
}

mt_tensor *mt_var_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double correction, bool keepdim)
{
    return mt_var_dims(tape, x, mt_axes(dim), correction, keepdim);
}

mt_tensor *mt_var_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double correction, bool keepdim)
{
    return var(tape, x, &dims, correction, keepdim);
}

/* ---- one of two, element by element ---- */

static mt_status shape_where(const mt_call *call, mt_shape *result)
{
    *result = mt_tensor_shape(call->in[0]);
    mt_status status = MT_OK;
    for (int i = 1; i < 3 && status == MT_OK; i++)
        status = mt_shape_broadcast(*result, mt_tensor_shape(call->in[i]), result);
    return status;
}

static mt_status run_where(mt_call *call, mt_tensor *out)
{
    return mt_op_where(out, call->in[0], call->in[1], call->in[2]);
}

/* where(mask, g, 0) for a and where(mask, 0, g) for b. */
static void vjp_where(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    for (int i = 1; i < 3; i++) {
        if (!mt_wants(node, i)) continue;
        mt_tensor *to = mt_share(t, node, i, node->out), *zero = mt_tape_number(t, 0);
        if (to && zero &&
            mt_did(t, mt_op_where(to, node->in[0].tensor, i == 1 ? g : zero, i == 2 ? g : zero)))
            mt_send(t, node, i, to);
    }
}

static const mt_example where_examples[] = {
    {.shape = {{2, {4, 5}}, {2, {4, 5}}, {2, {4, 5}}}},
    {.shape = {{3, {2, 3, 1}}, {1, {4}}, {2, {3, 1}}}},
    {.shape = {{1, {5}}, {2, {4, 1}}, {1, {1}}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_where = {
    .name = "where",
    .formula = "a where mask is not 0, elsewhere b",
    .input = {{.name = "mask", .takes = MT_TAKES_ANY, .constant = true, .low = 0, .high = 2},
              {.name = "a", .low = -2, .high = 2},
              {.name = "b", .low = -2, .high = 2}},
    .shape = shape_where,
    .run = run_where,
    .vjp = vjp_where,
    .reads = {0, 1u << 0, 1u << 0},
    .cost = MT_COST_NOTHING,
    .examples = where_examples,
};

/* All three broadcast. mask is INDEX or REAL, such as mt_lt(t, x, y), and gets no gradient; NaN is not 0.
 * What is not taken reaches neither the result nor a gradient, NaN and infinity neither. */
mt_tensor *mt_where(mt_tape *tape, mt_tensor *mask, mt_tensor *a, mt_tensor *b)
{
    return mt_apply_operation(tape, &mt_operation_where, (mt_tensor *[]){mask, a, b}, 3, NULL);
}
