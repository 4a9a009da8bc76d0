/* autodiff/composed.c - operations made of others: the variance, softmax, losses (each a mean over all
 * elements in a form that does not overflow); and where, which has a slot. */
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

/* ---- softmax and its logarithm along a dimension: the largest element is subtracted first, so that no exp
 * overflows ---- */

static mt_status shape_along(const mt_call *call, mt_shape *result)
{
    int dim;
    *result = mt_tensor_shape(call->in[0]);
    return mt_layout_dim(&call->in[0]->layout, call->attribute[0].integer, call->operation->name, &dim);
}

static const mt_example along_examples[] = {
    {.shape = {{3, {2, 4, 3}}}, .attribute = {{.integer = 1}}},
    {.shape = {{2, {3, 5}}}, .attribute = {{.integer = -1}}},
    {.shape = {{1, {6}}}, .attribute = {{.integer = 0}}},
    {.shape = {{0}}},
};

/* x minus its largest element along dim. */
static mt_tensor *below_max(mt_tape *t, mt_tensor *x, int64_t dim)
{
    return mt_sub(t, x, mt_max_dim(t, x, dim, true));
}

static mt_tensor *express_softmax(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    const int64_t dim = call->attribute[0].integer;
    if (mt_tensor_count(x) == 0) return x;
    mt_tensor *e = mt_exp(t, below_max(t, x, dim));
    return mt_div(t, e, mt_sum_dim(t, e, dim, true));
}

/* y (g - sum of g y) */
static void vjp_softmax(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *y = node->out, *gy = mt_mul(t, g, y);
    mt_tensor *total = mt_sum_dim(t, gy, node->attribute[0].integer, true);
    mt_send(t, node, 0, mt_sub(t, gy, mt_mul(t, y, total)));
}

const mt_operation mt_operation_softmax = {
    .name = "softmax",
    .formula = "exp(x) / sum of exp(x) along dim",
    .input = {{.name = "x", .low = -3, .high = 3}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .shape = shape_along,
    .expression = express_softmax,
    .vjp = vjp_softmax,
    .reads = {(unsigned)MT_READS_OUT | MT_READS_ATTRIBUTES},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = along_examples,
};

/* The largest x is subtracted first, so that nothing overflows. */
mt_tensor *mt_softmax(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_softmax, &x, 1, &(mt_attribute){.integer = dim});
}

static mt_tensor *express_log_softmax(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    const int64_t dim = call->attribute[0].integer;
    if (mt_tensor_count(x) == 0) return x;
    mt_tensor *z = below_max(t, x, dim);
    return mt_sub(t, z, mt_log(t, mt_sum_dim(t, mt_exp(t, z), dim, true)));
}

/* g - exp(y) sum of g */
static void vjp_log_softmax(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *total = mt_sum_dim(t, g, node->attribute[0].integer, true);
    mt_send(t, node, 0, mt_sub(t, g, mt_mul(t, mt_exp(t, node->out), total)));
}

const mt_operation mt_operation_log_softmax = {
    .name = "log_softmax",
    .formula = "x - ln(sum of exp(x) along dim)",
    .input = {{.name = "x", .low = -3, .high = 3}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .shape = shape_along,
    .expression = express_log_softmax,
    .vjp = vjp_log_softmax,
    .reads = {(unsigned)MT_READS_OUT | MT_READS_ATTRIBUTES},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = along_examples,
};

/* Exact where softmax is nearly 0 too. */
mt_tensor *mt_log_softmax(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_log_softmax, &x, 1, &(mt_attribute){.integer = dim});
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

/* ---- losses: of a prediction and a target of its shape, which gets no gradient ---- */

static mt_status shape_pair(const mt_call *call, mt_shape *result)
{
    *result = mt_shape(1);
    const mt_shape p = mt_tensor_shape(call->in[0]), y = mt_tensor_shape(call->in[1]);
    char text[MT_SHAPE_TEXT], text_y[MT_SHAPE_TEXT];
    if (mt_shape_equal(p, y)) return MT_OK;
    return mt_fail(MT_ERR_SHAPE, "%s: predictions of shape %s and targets of shape %s; they must be the same",
                   call->operation->name, mt_shape_text(p, text), mt_shape_text(y, text_y));
}

static const mt_example pair_examples[] = {
    {.shape = {{2, {4, 3}}, {2, {4, 3}}}},
    {.shape = {{1, {7}}, {1, {7}}}},
    {.shape = {{0}}},
};

static mt_tensor *express_mse(mt_call *call)
{
    return mt_mean(call->tape, mt_squared_difference(call->tape, call->in[0], call->in[1]));
}

const mt_operation mt_operation_mse = {
    .name = "mse",
    .formula = "the mean of (p - target)^2",
    .input = {{.name = "p", .low = -2, .high = 2},
              {.name = "target", .constant = true, .low = -2, .high = 2}},
    .shape = shape_pair,
    .expression = express_mse,
    .by_parts = "two operations, each with a VJP as fast as one for both",
    .cost = MT_COST_ARITHMETIC,
    .examples = pair_examples,
};

mt_tensor *mt_mse(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    return mt_apply_operation(tape, &mt_operation_mse, (mt_tensor *[]){p, target}, 2, NULL);
}

static mt_tensor *express_bce_with_logits(mt_call *call)
{
    return mt_mean(call->tape, mt_sigmoid_cross_entropy(call->tape, call->in[0], call->in[1]));
}

const mt_operation mt_operation_bce_with_logits = {
    .name = "bce_with_logits",
    .formula = "the mean of max(z, 0) - z target + log1p(exp(-|z|)), which is bce of sigmoid(z)",
    .input = {{.name = "z", .low = -4, .high = 4}, {.name = "target", .constant = true, .low = 0, .high = 1}},
    .shape = shape_pair,
    .expression = express_bce_with_logits,
    .by_parts = "two operations, each with a VJP as fast as one for both",
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = pair_examples,
};

/* At z = +inf that is (1 - target) z and at -inf it is -target z: +inf for a target in [0, 1], but NaN (0
 * times infinity) for the target that agrees with z, 1 or 0. An infinite target makes the loss infinite or
 * NaN. The gradient, (sigmoid(z) - target) / count, is finite for every finite target, at an infinite z too.
 */
mt_tensor *mt_bce_with_logits(mt_tape *tape, mt_tensor *z, mt_tensor *target)
{
    return mt_apply_operation(tape, &mt_operation_bce_with_logits, (mt_tensor *[]){z, target}, 2, NULL);
}

/* In three tensors of p's shape, each written again and again. */
static mt_tensor *express_bce(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *p = call->in[0], *target = call->in[1];
    mt_tensor *least = mt_num(t, -100), *one = mt_num(t, 1);
    mt_tensor *yes = mt_log(t, p), *no = mt_neg(t, p), *rest = mt_sub(t, target, one);
    const bool done = rest && mt_did(t, mt_op_maximum(yes, yes, least)) && mt_did(t, mt_op_log1p(no, no)) &&
                      mt_did(t, mt_op_maximum(no, no, least)) && mt_did(t, mt_op_mul(yes, yes, target)) &&
                      mt_did(t, mt_op_mul(no, no, rest)) && mt_did(t, mt_op_sub(yes, no, yes));
    return done ? mt_mean(t, yes) : NULL;
}

/* (p - target) / (p (1 - p)), the divisor at least 1e-12, as PyTorch has it. */
static void vjp_bce(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *p = node->in[0].tensor, *target = node->in[1].tensor, *one = mt_num(t, 1);
    mt_tensor *spread = mt_sub(t, one, p), *derivative = mt_sub(t, p, target), *least = mt_num(t, 1e-12);
    mt_tensor *share = mt_scale(t, g, 1 / (double)mt_tensor_count(p));
    const bool done = share && mt_did(t, mt_op_mul(spread, spread, p)) &&
                      mt_did(t, mt_op_maximum(spread, spread, least)) &&
                      mt_did(t, mt_op_div(derivative, derivative, spread)) &&
                      mt_did(t, mt_op_mul(derivative, derivative, share));
    if (done) mt_send(t, node, 0, derivative);
}

const mt_operation mt_operation_bce = {
    .name = "bce",
    .formula = "the mean of -(target ln p + (1 - target) ln(1 - p)), each logarithm at least -100",
    .input = {{.name = "p", .low = 0.05, .high = 0.95},
              {.name = "target", .constant = true, .low = 0, .high = 1}},
    .shape = shape_pair,
    .expression = express_bce,
    .vjp = vjp_bce,
    .reads = {1u << 0 | 1u << 1},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = pair_examples,
};

/* As in PyTorch, but a p outside [0, 1], which that refuses, makes the loss NaN; its gradient is (p - target)
 * / 1e-12, divided by the count. */
mt_tensor *mt_bce(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    return mt_apply_operation(tape, &mt_operation_bce, (mt_tensor *[]){p, target}, 2, NULL);
}
