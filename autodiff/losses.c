/* autodiff/losses.c - losses of a prediction and a target of its shape, element by element, and then the
 * mean, the sum or neither. The target gets no gradient. */
#include "elementwise.h"
#include "losses.h"
#include "node.h"

#include <math.h>

mt_status mt_loss_check(const char *operation, int64_t reduction)
{
    if (reduction >= MT_LOSS_MEAN && reduction <= MT_LOSS_NONE) return MT_OK;
    return mt_fail(MT_ERR_VALUE,
                   "%s: reduction %lld; give MT_LOSS_MEAN (0), MT_LOSS_SUM (1) or MT_LOSS_NONE (2)",
                   operation, (long long)reduction);
}

mt_tensor *mt_loss_reduce(mt_tape *tape, mt_tensor *elements, int64_t reduction)
{
    if (reduction == MT_LOSS_NONE) return elements;
    return reduction == MT_LOSS_SUM ? mt_sum(tape, elements) : mt_mean(tape, elements);
}

/* Attribute 0 is the reduction. */
static mt_status shape_pair(const mt_call *call, mt_shape *result)
{
    const mt_shape p = mt_tensor_shape(call->in[0]), y = mt_tensor_shape(call->in[1]);
    char text[MT_SHAPE_TEXT], text_y[MT_SHAPE_TEXT];
    const int64_t reduction = call->attribute[0].integer;
    *result = reduction == MT_LOSS_NONE ? p : mt_shape(1);
    if (mt_shape_equal(p, y)) return mt_loss_check(call->operation->name, reduction);
    return mt_fail(MT_ERR_SHAPE, "%s: predictions of shape %s and targets of shape %s; they must be the same",
                   call->operation->name, mt_shape_text(p, text), mt_shape_text(y, text_y));
}

/* The gradient of an element of the loss, from that of the result. */
static mt_tensor *gradient_of_element(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    if (node->attribute[0].integer != MT_LOSS_MEAN) return g;
    return mt_scale(t, g, 1 / (double)mt_tensor_count(node->in[0].tensor));
}

static mt_tensor *apply(mt_tape *tape, const mt_operation *operation, mt_tensor *p, mt_tensor *target,
                        mt_loss_reduction reduction, double number)
{
    const mt_attribute attribute[] = {{.integer = reduction}, {.real = number}};
    return mt_apply_operation(tape, operation, (mt_tensor *[]){p, target}, 2, attribute);
}

static const mt_example pair_examples[] = {
    {.shape = {{2, {4, 3}}, {2, {4, 3}}}, .attribute = {{.integer = MT_LOSS_MEAN}}},
    {.shape = {{1, {7}}, {1, {7}}}, .attribute = {{.integer = MT_LOSS_SUM}}},
    {.shape = {{3, {2, 1, 3}}, {3, {2, 1, 3}}}, .attribute = {{.integer = MT_LOSS_NONE}}},
    {.shape = {{0}}},
};

/* Attribute 1 is where a square becomes a line. */
static const mt_example bend_examples[] = {
    {.shape = {{2, {4, 3}}, {2, {4, 3}}}, .attribute = {{.integer = MT_LOSS_MEAN}, {.real = 0.7}}},
    {.shape = {{1, {7}}, {1, {7}}}, .attribute = {{.integer = MT_LOSS_SUM}, {.real = 1.45}}},
    {.shape = {{3, {2, 1, 3}}, {3, {2, 1, 3}}}, .attribute = {{.integer = MT_LOSS_NONE}, {.real = 0.95}}},
    {.shape = {{0}}},
};

/* ---- squares and distances ---- */

static mt_tensor *express_mse(mt_call *call)
{
    return mt_loss_reduce(call->tape, mt_squared_difference(call->tape, call->in[0], call->in[1]),
                          call->attribute[0].integer);
}

const mt_operation mt_operation_mse = {
    .name = "mse",
    .formula = "the mean of (p - target)^2",
    .input = {{.name = "p", .low = -2, .high = 2},
              {.name = "target", .constant = true, .low = -2, .high = 2}},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}},
    .shape = shape_pair,
    .expression = express_mse,
    .by_parts = "two operations, each with a VJP as fast as one for both",
    .cost = MT_COST_ARITHMETIC,
    .examples = pair_examples,
};

mt_tensor *mt_mse(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    return mt_mse_with(tape, p, target, MT_LOSS_MEAN);
}

mt_tensor *mt_mse_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, mt_loss_reduction reduction)
{
    return apply(tape, &mt_operation_mse, p, target, reduction, 0);
}

static mt_tensor *express_l1(mt_call *call)
{
    return mt_loss_reduce(call->tape, mt_abs(call->tape, mt_sub(call->tape, call->in[0], call->in[1])),
                          call->attribute[0].integer);
}

const mt_operation mt_operation_l1 = {
    .name = "l1",
    .formula = "the mean of |p - target|",
    .input = {{.name = "p", .low = -2, .high = 2},
              {.name = "target", .constant = true, .low = -2, .high = 2}},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}},
    .shape = shape_pair,
    .expression = express_l1,
    .by_parts = "the difference, whose sign is the gradient, is kept in any case",
    .cost = MT_COST_ARITHMETIC,
    .examples = pair_examples,
};

/* The gradient is 0 where p equals the target. */
mt_tensor *mt_l1(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    return mt_l1_with(tape, p, target, MT_LOSS_MEAN);
}

mt_tensor *mt_l1_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, mt_loss_reduction reduction)
{
    return apply(tape, &mt_operation_l1, p, target, reduction, 0);
}

/* ---- a square that becomes a line ---- */

static mt_status shape_huber(const mt_call *call, mt_shape *result)
{
    const double delta = call->attribute[1].real;
    if (!(delta > 0 && isfinite(delta)))
        return mt_fail(MT_ERR_VALUE, "huber: delta is %g; give a finite number above 0", mt_printable(delta));
    return shape_pair(call, result);
}

/* m (d - m / 2) for d = |p - target| and m = min(d, delta) */
static mt_tensor *bent(mt_tape *t, mt_tensor *p, mt_tensor *target, double delta)
{
    mt_tensor *distance = mt_abs(t, mt_sub(t, p, target)), *least = mt_clamp(t, distance, 0, delta);
    return mt_mul(t, least, mt_sub(t, distance, mt_scale(t, least, 0.5)));
}

static mt_tensor *express_huber(mt_call *call)
{
    return mt_loss_reduce(call->tape, bent(call->tape, call->in[0], call->in[1], call->attribute[1].real),
                          call->attribute[0].integer);
}

/* p - target, at most delta from 0 */
static void vjp_huber(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    const double delta = node->attribute[1].real;
    mt_tensor *distance = mt_sub(t, node->in[0].tensor, node->in[1].tensor);
    mt_send(t, node, 0, mt_mul(t, mt_clamp(t, distance, -delta, delta), gradient_of_element(t, node, g)));
}

const mt_operation mt_operation_huber = {
    .name = "huber",
    .formula = "the mean of d^2 / 2 where d = |p - target| is at most delta, elsewhere delta (d - delta / 2)",
    .input = {{.name = "p", .low = -2, .high = 2},
              {.name = "target", .constant = true, .low = -2, .high = 2}},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}, {"delta", MT_ATTRIBUTE_REAL}},
    .shape = shape_huber,
    .expression = express_huber,
    .vjp = vjp_huber,
    .reads = {1u << 0 | 1u << 1 | MT_READS_ATTRIBUTES},
    .cost = MT_COST_ARITHMETIC,
    .examples = bend_examples,
};

/* delta is above 0 and finite. */
mt_tensor *mt_huber(mt_tape *tape, mt_tensor *p, mt_tensor *target, double delta)
{
    return mt_huber_with(tape, p, target, delta, MT_LOSS_MEAN);
}

mt_tensor *mt_huber_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, double delta,
                         mt_loss_reduction reduction)
{
    return apply(tape, &mt_operation_huber, p, target, reduction, delta);
}

static mt_status shape_smooth_l1(const mt_call *call, mt_shape *result)
{
    const double beta = call->attribute[1].real;
    if (!(beta > 0 && isfinite(beta)))
        return mt_fail(MT_ERR_VALUE, "smooth_l1: beta is %g; give a finite number above 0, or take mt_l1",
                       mt_printable(beta));
    return shape_pair(call, result);
}

static mt_tensor *express_smooth_l1(mt_call *call)
{
    const double beta = call->attribute[1].real;
    mt_tensor *each = mt_scale(call->tape, bent(call->tape, call->in[0], call->in[1], beta), 1 / beta);
    return mt_loss_reduce(call->tape, each, call->attribute[0].integer);
}

/* (p - target) / beta, at most 1 from 0 */
static void vjp_smooth_l1(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *distance = mt_sub(t, node->in[0].tensor, node->in[1].tensor);
    mt_tensor *slope = mt_clamp(t, mt_scale(t, distance, 1 / node->attribute[1].real), -1, 1);
    mt_send(t, node, 0, mt_mul(t, slope, gradient_of_element(t, node, g)));
}

const mt_operation mt_operation_smooth_l1 = {
    .name = "smooth_l1",
    .formula = "the mean of d^2 / (2 beta) where d = |p - target| is at most beta, elsewhere d - beta / 2",
    .input = {{.name = "p", .low = -2, .high = 2},
              {.name = "target", .constant = true, .low = -2, .high = 2}},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}, {"beta", MT_ATTRIBUTE_REAL}},
    .shape = shape_smooth_l1,
    .expression = express_smooth_l1,
    .vjp = vjp_smooth_l1,
    .reads = {1u << 0 | 1u << 1 | MT_READS_ATTRIBUTES},
    .cost = MT_COST_ARITHMETIC,
    .examples = bend_examples,
};

/* huber of that beta, divided by it; beta is above 0 and finite. */
mt_tensor *mt_smooth_l1(mt_tape *tape, mt_tensor *p, mt_tensor *target, double beta)
{
    return mt_smooth_l1_with(tape, p, target, beta, MT_LOSS_MEAN);
}

mt_tensor *mt_smooth_l1_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, double beta,
                             mt_loss_reduction reduction)
{
    return apply(tape, &mt_operation_smooth_l1, p, target, reduction, beta);
}

/* ---- of probabilities and of logits, two classes ---- */

static mt_tensor *express_bce_with_logits(mt_call *call)
{
    return mt_loss_reduce(call->tape, mt_sigmoid_cross_entropy(call->tape, call->in[0], call->in[1]),
                          call->attribute[0].integer);
}

const mt_operation mt_operation_bce_with_logits = {
    .name = "bce_with_logits",
    .formula = "the mean of max(z, 0) - z target + log1p(exp(-|z|)), which is bce of sigmoid(z)",
    .input = {{.name = "z", .low = -4, .high = 4}, {.name = "target", .constant = true, .low = 0, .high = 1}},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}},
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
    return mt_bce_with_logits_with(tape, z, target, MT_LOSS_MEAN);
}

mt_tensor *mt_bce_with_logits_with(mt_tape *tape, mt_tensor *z, mt_tensor *target,
                                   mt_loss_reduction reduction)
{
    return apply(tape, &mt_operation_bce_with_logits, z, target, reduction, 0);
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
    return done ? mt_loss_reduce(t, yes, call->attribute[0].integer) : NULL;
}

/* (p - target) / (p (1 - p)), the divisor at least 1e-12, as PyTorch has it. */
static void vjp_bce(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    mt_tensor *p = node->in[0].tensor, *target = node->in[1].tensor, *one = mt_num(t, 1);
    mt_tensor *spread = mt_sub(t, one, p), *derivative = mt_sub(t, p, target), *least = mt_num(t, 1e-12);
    mt_tensor *share = gradient_of_element(t, node, g);
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
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}},
    .shape = shape_pair,
    .expression = express_bce,
    .vjp = vjp_bce,
    .reads = {1u << 0 | 1u << 1 | MT_READS_ATTRIBUTES},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = pair_examples,
};

/* As in PyTorch, but a p outside [0, 1], which that refuses, makes the loss NaN; its gradient is (p - target)
 * / 1e-12, divided by the count. */
mt_tensor *mt_bce(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    return mt_bce_with(tape, p, target, MT_LOSS_MEAN);
}

mt_tensor *mt_bce_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, mt_loss_reduction reduction)
{
    return apply(tape, &mt_operation_bce, p, target, reduction, 0);
}
