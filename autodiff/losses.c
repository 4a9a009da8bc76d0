/* autodiff/losses.c - losses, each one node: a mean over all elements, computed in a form that does not
 * overflow. */
#include "node.h"

/* The start of a loss: operands checked, of one shape, and a target that wants no gradient. */
static bool enter(mt_tape *tape, const char *name, mt_tensor *const *in)
{
    if (!mt_tape_enter(tape, in, 2)) return false;
    mt_shape p = mt_tensor_shape(in[0]), y = mt_tensor_shape(in[1]);
    char text[MT_SHAPE_TEXT], text_y[MT_SHAPE_TEXT];
    if (!mt_shape_equal(p, y))
        mt_fail(MT_ERR_SHAPE, "%s: predictions of shape %s and targets of shape %s; they must be the same",
                name, mt_shape_text(p, text), mt_shape_text(y, text_y));
    else if (in[1]->requires_grad)
        mt_fail(MT_ERR_STATE,
                "%s: the target requires a gradient, and a loss gives it none; pass mt_detach(tape, target)",
                name);
    else
        return true;
    mt_tape_give_up(tape);
    return false;
}

/* The end of a loss: the mean of values, and a node. */
static mt_tensor *finish(mt_tape *tape, const char *name, mt_vjp_fn vjp, mt_tensor *const *in,
                         mt_status status, mt_tensor *values)
{
    mt_tensor *out = status == MT_OK ? mt_tape_empty(tape, mt_shape(1), MT_REAL) : NULL;
    if (!out || mt_op_mean(out, values, mt_every_dim(values)) != MT_OK) return mt_tape_give_up(tape);
    bool failed = false;
    mt_tape_node(tape, name, vjp, out, in, 2, 1u | 2u, &failed);
    return failed ? mt_tape_give_up(tape) : out;
}

/* Sends the prediction its share: derivative times g / n, in place. */
static mt_status send(mt_tape *tape, mt_node *node, mt_tensor *g, mt_tensor *derivative, double factor)
{
    mt_tensor *scale = mt_tape_number(tape, factor / (double)mt_tensor_count(derivative));
    mt_status status = scale ? mt_op_mul(scale, scale, g) : MT_ERR_MEMORY;
    if (status == MT_OK) status = mt_op_mul(derivative, derivative, scale);
    return status == MT_OK ? mt_tape_accumulate(tape, node->in[0].tensor, derivative, true) : status;
}

/* ---- mean square error: (p - y)^2, derivative 2 (p - y) ---- */

static mt_status vjp_mse(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    mt_tensor *p = node->in[0].tensor, *derivative = mt_tape_like(tape, p);
    mt_status status = derivative ? mt_op_sub(derivative, p, node->in[1].tensor) : MT_ERR_MEMORY;
    return status == MT_OK ? send(tape, node, g, derivative, 2) : status;
}

mt_tensor *mt_mse(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    mt_tensor *in[] = {p, target};
    if (!enter(tape, "mse", in)) return NULL;
    mt_tensor *values = mt_tape_like(tape, p);
    mt_status status = values ? mt_op_sub(values, p, target) : MT_ERR_MEMORY;
    if (status == MT_OK) status = mt_op_square(values, values);
    return finish(tape, "mse", vjp_mse, in, status, values);
}

/* ---- cross entropy of a probability: derivative (p - y) / (p (1 - p)), the divisor at least 1e-12, as
 * PyTorch's ---- */

static mt_status vjp_bce(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    mt_tensor *p = node->in[0].tensor, *derivative = mt_tape_like(tape, p), *spread = mt_tape_like(tape, p);
    if (!derivative || !spread) return MT_ERR_MEMORY;
    mt_tensor *one = mt_tape_number(tape, 1), *least = mt_tape_number(tape, 1e-12);
    if (!one || !least) return MT_ERR_MEMORY;
    mt_status status = mt_op_sub(spread, one, p);
    if (status == MT_OK) status = mt_op_mul(spread, spread, p);
    if (status == MT_OK) status = mt_op_maximum(spread, spread, least);
    if (status == MT_OK) status = mt_op_sub(derivative, p, node->in[1].tensor);
    if (status == MT_OK) status = mt_op_div(derivative, derivative, spread);
    return status == MT_OK ? send(tape, node, g, derivative, 1) : status;
}

mt_tensor *mt_bce(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    mt_tensor *in[] = {p, target};
    if (!enter(tape, "bce", in)) return NULL;
    mt_tensor *yes = mt_tape_like(tape, p), *no = mt_tape_like(tape, p);
    mt_tensor *one = mt_tape_number(tape, 1), *least = mt_tape_number(tape, -100);
    if (!yes || !no || !one || !least) return mt_tape_give_up(tape);
    /* -(y a + (1 - y) b) as y (b - a) - b, with a = ln p and b = ln(1 - p) */
    mt_status status = mt_op_log(yes, p);
    if (status == MT_OK) status = mt_op_maximum(yes, yes, least);
    if (status == MT_OK) status = mt_op_neg(no, p);
    if (status == MT_OK) status = mt_op_log1p(no, no);
    if (status == MT_OK) status = mt_op_maximum(no, no, least);
    if (status == MT_OK) status = mt_op_sub(yes, no, yes);
    if (status == MT_OK) status = mt_op_mul(yes, yes, target);
    if (status == MT_OK) status = mt_op_sub(yes, yes, no);
    return finish(tape, "bce", vjp_bce, in, status, yes);
}

/* ---- cross entropy of sigmoid(z): softplus(z) - y z, derivative sigmoid(z) - y ---- */

static mt_status vjp_bce_with_logits(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    mt_tensor *z = node->in[0].tensor, *derivative = mt_tape_like(tape, z);
    mt_status status = derivative ? mt_op_sigmoid(derivative, z) : MT_ERR_MEMORY;
    if (status == MT_OK) status = mt_op_sub(derivative, derivative, node->in[1].tensor);
    return status == MT_OK ? send(tape, node, g, derivative, 1) : status;
}

mt_tensor *mt_bce_with_logits(mt_tape *tape, mt_tensor *logits, mt_tensor *target)
{
    mt_tensor *in[] = {logits, target};
    if (!enter(tape, "bce_with_logits", in)) return NULL;
    mt_tensor *values = mt_tape_like(tape, logits), *part = mt_tape_like(tape, logits);
    mt_status status = values && part ? mt_op_softplus(values, logits) : MT_ERR_MEMORY;
    if (status == MT_OK) status = mt_op_mul(part, logits, target);
    if (status == MT_OK) status = mt_op_sub(values, values, part);
    return finish(tape, "bce_with_logits", vjp_bce_with_logits, in, status, values);
}
