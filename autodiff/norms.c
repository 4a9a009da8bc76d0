/* autodiff/norms.c - reductions made of others whose gradient is shared out by the result: logsumexp, norm,
 * std. Each is one node; its VJP looks at the result y and at its gradient g with x's rank, so that both
 * broadcast to x. */
#include "elementwise.h"
#include "node.h"
#include "../tensor/rules.h"

#include <math.h>

/* ---- what they share: the first two attributes are dims and keepdim ---- */

static mt_status reduced(const mt_operation *operation, const mt_tensor *x, const mt_attribute *attribute,
                         mt_reduced *r)
{
    return mt_rule_reduce(operation->name, &x->layout, attribute[0].shape, r);
}

static mt_status shape_reduced(const mt_call *call, mt_shape *result)
{
    mt_reduced r;
    mt_status status = reduced(call->operation, call->in[0], call->attribute, &r);
    if (status == MT_OK) *result = call->attribute[1].truth ? r.kept : r.dropped;
    return status;
}

static mt_shape dims_of(const mt_tensor *x, const mt_attribute *attribute)
{
    return attribute[0].shape ? *attribute[0].shape : mt_every_dim(x);
}

/* y, the result or its gradient, with the reduced dimensions as size 1. */
static mt_tensor *kept(mt_tape *t, const mt_node *node, mt_tensor *y)
{
    mt_reduced r;
    mt_layout layout;
    if (!y || reduced(node->operation, node->in[0].tensor, node->attribute, &r) != MT_OK ||
        !mt_reduced_layout(&r, &y->layout, &layout))
        return mt_tape_give_up(t);
    return mt_tape_alias(t, y, &layout);
}

/* share, but 0 where y is 0. */
static mt_tensor *unless_zero(mt_tape *t, mt_tensor *y, mt_tensor *share)
{
    mt_tensor *zero = mt_num(t, 0);
    return mt_where(t, mt_eq(t, y, zero), zero, share);
}

static const mt_shape last = {1, {-1}}, outer = {2, {2, 0}};
#define REDUCED_ATTRIBUTES \
    {"dims", MT_ATTRIBUTE_DIMS}, { "keepdim", MT_ATTRIBUTE_BOOL }
#define READS (1u << 0 | (unsigned)MT_READS_OUT | MT_READS_ATTRIBUTES)

/* ---- logsumexp: the largest element is subtracted first, so that no exp overflows; an infinite one is not,
 * since its distance from itself is NaN ---- */

static mt_tensor *express_logsumexp(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    const mt_shape dims = dims_of(x, call->attribute);
    const bool keepdim = call->attribute[1].truth;
    if (mt_tensor_count(x) == 0) return mt_log(t, mt_sum_dims(t, x, dims, keepdim)); /* ln 0 */
    mt_tensor *largest = mt_max_dims(t, x, dims, true);
    mt_tensor *finite = mt_lt(t, mt_abs(t, largest), mt_num(t, INFINITY));
    largest = mt_where(t, finite, largest, mt_num(t, 0));
    mt_tensor *total = mt_log(t, mt_sum_dims(t, mt_exp(t, mt_sub(t, x, largest)), dims, true));
    mt_tensor *y = mt_add(t, total, largest);
    mt_shape shape;
    return y && shape_reduced(call, &shape) == MT_OK ? mt_view(t, y, shape) : NULL;
}

/* g exp(x - y) */
static void vjp_logsumexp(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *weight = mt_exp(t, mt_sub(t, node->in[0].tensor, kept(t, node, node->out)));
    mt_send(t, node, 0, mt_mul(t, weight, kept(t, node, g)));
}

static const mt_example logsumexp_examples[] = {
    {.shape = {{2, {4, 5}}}, .attribute = {{.shape = NULL}, {.truth = false}}},
    {.shape = {{3, {3, 4, 2}}}, .attribute = {{.shape = &outer}, {.truth = true}}},
    {.shape = {{2, {3, 5}}}, .attribute = {{.shape = &last}, {.truth = false}}},
    {.shape = {{8, {1, 2, 1, 2, 1, 1, 1, 2}}}, .attribute = {{.shape = &last}, {.truth = false}}},
    {.shape = {{2, {0, 3}}}, .attribute = {{.shape = &last}, {.truth = false}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_logsumexp = {
    .name = "logsumexp",
    .formula = "ln of the sum over dims of exp(x); minus infinity over nothing",
    .input = {{.name = "x", .low = -3, .high = 3}},
    .attribute = {REDUCED_ATTRIBUTES},
    .shape = shape_reduced,
    .expression = express_logsumexp,
    .vjp = vjp_logsumexp,
    .reads = {READS},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = logsumexp_examples,
};

static mt_tensor *logsumexp(mt_tape *tape, mt_tensor *x, const mt_shape *dims, bool keepdim)
{
    return mt_apply_operation(tape, &mt_operation_logsumexp, &x, 1,
                              (const mt_attribute[]){{.shape = dims}, {.truth = keepdim}});
}

/* Nothing overflows on the way. Where every x is minus infinity, so is the result, and the gradient is NaN.
 */
mt_tensor *mt_logsumexp(mt_tape *tape, mt_tensor *x) { return logsumexp(tape, x, NULL, false); }

mt_tensor *mt_logsumexp_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_logsumexp_dims(tape, x, mt_axes(dim), keepdim);
}

mt_tensor *mt_logsumexp_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return logsumexp(tape, x, &dims, keepdim);
}

/* ---- norm ---- */

static mt_status shape_norm(const mt_call *call, mt_shape *result)
{
    const double order = call->attribute[2].real;
    mt_reduced r;
    mt_status status = reduced(call->operation, call->in[0], call->attribute, &r);
    if (status == MT_OK && order != 1 && order != 2 && order != INFINITY)
        status = mt_fail(MT_ERR_VALUE, "norm: the order is %g; give 1, 2 or INFINITY", mt_printable(order));
    const mt_shape shape = call->attribute[1].truth ? r.kept : r.dropped;
    bool empty = false; /* the result */
    for (int d = 0; status == MT_OK && d < shape.rank; d++) empty = empty || shape.size[d] == 0;
    if (status == MT_OK && order == INFINITY && r.length == 0 && !empty)
        status = mt_fail(MT_ERR_SHAPE, "norm: nothing has no largest element; order INFINITY needs one");
    if (status == MT_OK) *result = shape;
    return status;
}

static mt_tensor *express_norm(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    const mt_shape dims = dims_of(x, call->attribute);
    const bool keepdim = call->attribute[1].truth;
    const double order = call->attribute[2].real;
    if (order == 2) return mt_sqrt(t, mt_sum_dims(t, mt_square(t, x), dims, keepdim));
    mt_tensor *size = mt_abs(t, x);
    return order == 1 ? mt_sum_dims(t, size, dims, keepdim) : mt_max_dims(t, size, dims, keepdim);
}

/* Order 1: g sign(x). Order 2: g x / y, and 0 where y is 0. Order infinity: g sign(x), shared evenly by those
 * whose size is y. */
static void vjp_norm(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *x = node->in[0].tensor, *y = kept(t, node, node->out), *share = kept(t, node, g);
    const double order = node->attribute[2].real;
    if (order == 2) {
        mt_send(t, node, 0, unless_zero(t, y, mt_mul(t, x, mt_div(t, share, y))));
        return;
    }
    if (order == INFINITY) {
        mt_tensor *largest = mt_eq(t, mt_abs(t, x), y);
        mt_tensor *count = mt_sum_dims(t, largest, dims_of(x, node->attribute), true);
        share = mt_where(t, largest, mt_div(t, share, count), mt_num(t, 0));
    }
    mt_send(t, node, 0, mt_mul(t, mt_sign(t, x), share));
}

static const mt_example norm_examples[] = {
    {.shape = {{2, {4, 5}}}, .attribute = {{.shape = NULL}, {.truth = false}, {.real = 2}}},
    {.shape = {{3, {3, 4, 2}}}, .attribute = {{.shape = &outer}, {.truth = true}, {.real = 2}}},
    {.shape = {{2, {3, 5}}}, .attribute = {{.shape = &last}, {.truth = false}, {.real = 1}}},
    {.shape = {{2, {3, 5}}}, .attribute = {{.shape = &last}, {.truth = false}, {.real = INFINITY}}},
    {.shape = {{8, {1, 2, 1, 2, 1, 1, 1, 2}}},
     .attribute = {{.shape = &last}, {.truth = true}, {.real = INFINITY}}},
    {.shape = {{2, {0, 3}}}, .attribute = {{.shape = &last}, {.truth = false}, {.real = 2}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_norm = {
    .name = "norm",
    .formula =
        "over dims, of order 2 the square root of the sum of x x, of 1 the sum of |x|, of infinity the "
        "largest |x|",
    .input = {{.name = "x", .low = 0.2, .high = 3}},
    .attribute = {REDUCED_ATTRIBUTES, {"order", MT_ATTRIBUTE_REAL}},
    .shape = shape_norm,
    .expression = express_norm,
    .vjp = vjp_norm,
    .reads = {READS},
    .cost = MT_COST_ARITHMETIC,
    .examples = norm_examples,
};

static mt_tensor *norm(mt_tape *tape, mt_tensor *x, const mt_shape *dims, double order, bool keepdim)
{
    return mt_apply_operation(tape, &mt_operation_norm, &x, 1,
                              (const mt_attribute[]){{.shape = dims}, {.truth = keepdim}, {.real = order}});
}

/* The order is 1, 2 or INFINITY. A norm of 0 has the gradient 0; of order INFINITY elements of the largest
 * size share it evenly. */
mt_tensor *mt_norm(mt_tape *tape, mt_tensor *x, double order) { return norm(tape, x, NULL, order, false); }

mt_tensor *mt_norm_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double order, bool keepdim)
{
    return mt_norm_dims(tape, x, mt_axes(dim), order, keepdim);
}

mt_tensor *mt_norm_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double order, bool keepdim)
{
    return norm(tape, x, &dims, order, keepdim);
}

/* ---- the standard deviation ---- */

static mt_status shape_std(const mt_call *call, mt_shape *result)
{
    const double correction = call->attribute[2].real;
    mt_status status = shape_reduced(call, result);
    if (status == MT_OK && !isfinite(correction))
        status = mt_fail(MT_ERR_VALUE,
                         "std: the correction is %g; give a finite number, 1 for the unbiased estimate",
                         mt_printable(correction));
    return status;
}

static mt_tensor *express_std(mt_call *call)
{
    mt_tensor *x = call->in[0];
    return mt_sqrt(call->tape, mt_var_dims(call->tape, x, dims_of(x, call->attribute),
                                           call->attribute[2].real, call->attribute[1].truth));
}

/* g (x - mean) / (y (count - correction)), and 0 where y is 0. */
static void vjp_std(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *x = node->in[0].tensor, *y = kept(t, node, node->out);
    mt_reduced r = {.length = 0};
    reduced(node->operation, x, node->attribute, &r);
    mt_tensor *distance = mt_sub(t, x, mt_mean_dims(t, x, dims_of(x, node->attribute), true));
    mt_tensor *scaled =
        mt_scale(t, mt_div(t, kept(t, node, g), y), 1 / ((double)r.length - node->attribute[2].real));
    mt_send(t, node, 0, mt_mul(t, distance, unless_zero(t, y, scaled)));
}

static const mt_example std_examples[] = {
    {.shape = {{2, {4, 5}}}, .attribute = {{.shape = NULL}, {.truth = false}, {.real = 1}}},
    {.shape = {{2, {4, 5}}}, .attribute = {{.shape = &last}, {.truth = true}, {.real = 0}}},
    {.shape = {{3, {3, 4, 2}}}, .attribute = {{.shape = &outer}, {.truth = false}, {.real = 1}}},
    {.shape = {{2, {0, 3}}}, .attribute = {{.shape = &last}, {.truth = false}, {.real = 1}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_std = {
    .name = "std",
    .formula = "the square root of the variance over dims, of that correction",
    .input = {{.name = "x", .low = -2, .high = 2}},
    .attribute = {REDUCED_ATTRIBUTES, {"correction", MT_ATTRIBUTE_REAL}},
    .shape = shape_std,
    .expression = express_std,
    .vjp = vjp_std,
    .reads = {READS},
    .cost = MT_COST_ARITHMETIC,
    .examples = std_examples,
};

static mt_tensor *deviation(mt_tape *tape, mt_tensor *x, const mt_shape *dims, double correction,
                            bool keepdim)
{
    return mt_apply_operation(
        tape, &mt_operation_std, &x, 1,
        (const mt_attribute[]){{.shape = dims}, {.truth = keepdim}, {.real = correction}});
}

/* The correction is that of mt_var. Where all x are equal the gradient is 0. */
mt_tensor *mt_std(mt_tape *tape, mt_tensor *x, double correction)
{
    return deviation(tape, x, NULL, correction, false);
}

mt_tensor *mt_std_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double correction, bool keepdim)
{
    return mt_std_dims(tape, x, mt_axes(dim), correction, keepdim);
}

mt_tensor *mt_std_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double correction, bool keepdim)
{
    return deviation(tape, x, &dims, correction, keepdim);
}
