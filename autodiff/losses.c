/* autodiff/losses.c - losses: a mean over all elements, computed in a form that does not overflow. */
#include "elementwise.h"
#include "node.h"

/* The start of a loss: operands checked, of one shape, and a target that wants no gradient. */
static bool enter(mt_tape *tape, const char *name, mt_tensor *const *in)
{
    if (!mt_tape_enter(tape, name, in, 2)) return false;
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

/* ---- means of a row of op_table.inc ---- */

mt_tensor *mt_mse(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    mt_tensor *in[] = {p, target};
    return enter(tape, "mse", in) ? mt_mean(tape, mt_squared_difference(tape, p, target)) : NULL;
}

mt_tensor *mt_bce_with_logits(mt_tape *tape, mt_tensor *logits, mt_tensor *target)
{
    mt_tensor *in[] = {logits, target};
    if (!enter(tape, "bce_with_logits", in)) return NULL;
    return mt_mean(tape, mt_sigmoid_cross_entropy(tape, logits, target));
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
    mt_tensor *share = mt_tape_like(tape, g);
    if (status == MT_OK)
        status = share ? mt_op_scale(share, g, 1 / (double)mt_tensor_count(p)) : MT_ERR_MEMORY;
    if (status == MT_OK) status = mt_op_mul(derivative, derivative, share);
    return status == MT_OK ? mt_tape_accumulate(tape, node->in[0].tensor, derivative, true) : status;
}

mt_tensor *mt_bce(mt_tape *tape, mt_tensor *p, mt_tensor *target)
{
    mt_tensor *in[] = {p, target};
    if (!enter(tape, "bce", in)) return NULL;
    mt_tensor *yes = mt_tape_like(tape, p), *no = mt_tape_like(tape, p), *rest = mt_tape_like(tape, p);
    mt_tensor *one = mt_tape_number(tape, 1), *least = mt_tape_number(tape, -100);
    if (!yes || !no || !rest || !one || !least) return mt_tape_give_up(tape);
    mt_status status = mt_op_log(yes, p);
    if (status == MT_OK) status = mt_op_maximum(yes, yes, least);
    if (status == MT_OK) status = mt_op_neg(no, p);
    if (status == MT_OK) status = mt_op_log1p(no, no);
    if (status == MT_OK) status = mt_op_maximum(no, no, least);
    if (status == MT_OK) status = mt_op_mul(yes, yes, target);
    if (status == MT_OK) status = mt_op_sub(rest, target, one);
    if (status == MT_OK) status = mt_op_mul(no, no, rest);
    if (status == MT_OK) status = mt_op_sub(yes, no, yes); /* -(y ln p + (1 - y) ln(1 - p)) */
    mt_tensor *out = status == MT_OK ? mt_tape_empty(tape, mt_shape(1), MT_REAL) : NULL;
    if (!out || mt_op_mean(out, yes, mt_every_dim(yes)) != MT_OK) return mt_tape_give_up(tape);
    bool failed = false;
    mt_tape_node(tape, "bce", vjp_bce, out, in, 2, 1u | 2u, &failed);
    return failed ? mt_tape_give_up(tape) : out;
}
