/* autodiff/backward.c - walks the tape from the newest node to the oldest and collects gradients.
 *
 * Nodes were recorded in an order in which every operand comes before its result, so one pass in reverse
 * suffices: no sorting, no recursion, and time linear in the tape's length.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tape_struct.h"
#include "../tensor/elementwise_ops.h"

/* ---- a tensor's gradient ---- */

static bool is_leaf(const mt_tensor *x) { return x->lifetime == NULL; }

/* A leaf's gradient tensor, made when it is first wanted; its values mean something once has_grad is set. */
static mt_tensor *leaf_grad(mt_tensor *x)
{
    if (!x->grad) {
        x->grad = mt_empty(x->storage->backend, mt_tensor_shape(x), MT_REAL);
        if (x->grad) x->grad->is_gradient = true;
    }
    return x->grad;
}

/* A tensor of x's shape on the tape that is no VJP's and stays until the reset: for x's gradient. */
static mt_tensor *lasting_like(mt_tape *tape, const mt_tensor *x)
{
    const bool scratching = tape->scratching;
    tape->scratching = false;
    mt_tensor *like = mt_tape_like(tape, x);
    tape->scratching = scratching;
    return like;
}

bool mt_has_grad(const mt_tensor *x) { return x && x->has_grad; }

void mt_zero_grad(mt_tensor *x)
{
    if (x) x->has_grad = false;
}

mt_tensor *mt_grad(mt_tensor *x)
{
    if (mt_tensor_check(x, "grad") != MT_OK) return NULL;
    if (!x->requires_grad) {
        mt_fail(
            MT_ERR_STATE,
            "grad: this tensor requires no gradient; call mt_require_grad on the tensors it is made from");
        return NULL;
    }
    if (x->has_grad) return x->grad;
    mt_tensor *grad;
    if (is_leaf(x))
        grad = leaf_grad(x);
    else
        grad = lasting_like((mt_tape *)x->lifetime->tape, x);
    return grad && mt_op_fill(grad, 0) == MT_OK ? grad : NULL;
}

/* Where to write a gradient of exactly x's shape: *add says whether to add to what is there. NULL with a
 * sentence. */
static mt_tensor *target(mt_tape *tape, mt_tensor *x, bool *add)
{
    *add = x->has_grad;
    mt_tensor *to = is_leaf(x) ? leaf_grad(x) : x->grad;
    if (!is_leaf(x) && (!x->has_grad || x->grad_shared)) {
        to = lasting_like(tape, x);
        if (to && x->has_grad && mt_op_copy(to, x->grad) != MT_OK) return NULL;
        if (to) to->is_gradient = true;
        x->grad = to;
        x->grad_shared = false;
        tape->newest_gradient = tape->serial;
    }
    return to;
}

/* Lets x's gradient be g, a handle of the tape, without a copy. */
static void borrow(mt_tape *tape, mt_tensor *x, mt_tensor *g)
{
    tape->newest_gradient = tape->serial;
    ((mt_handle *)g)->scratch = false;
    x->grad = g;
    x->grad_shared = true;
    x->has_grad = true;
}

/* Whether g shows what a backward made to last: the cotangent, or a tensor of mt_lasting. Nobody writes
 * these; another gradient, such as what mt_share gave out, may still be added to. */
static bool lasts(const mt_tape *tape, const mt_node *node, const mt_tensor *g)
{
    const mt_storage *storage = g->storage;
    if (g->lifetime != tape->lifetime || g->is_view || !storage->borrowed || storage->scratch ||
        storage->serial <= tape->walk_serial)
        return false;
    return storage == node->out->grad->storage || !mt_handle_of(storage)->tensor.is_gradient;
}

static mt_status accumulate(mt_tape *tape, const mt_node *node, mt_tensor *x, mt_tensor *g)
{
    if (g == x->grad && !x->has_grad) return MT_OK; /* mt_share gave it out, and it has been written */
    if (!x->has_grad && !is_leaf(x) && mt_same_shape(g, x) && lasts(tape, node, g)) {
        borrow(tape, x, g);
        return MT_OK;
    }
    const mt_layout *wide = &g->layout, *narrow = &x->layout;
    /* The dimensions along which x was stretched to g's shape. */
    int lead = wide->rank - narrow->rank;
    if (lead < 0)
        return mt_fail(MT_ERR_SHAPE,
                       "backward: the VJP of %s gives a gradient of %d dimensions to an input of %d",
                       node->name, wide->rank, narrow->rank);
    mt_shape stretched = {0};
    for (int d = 0; d < wide->rank; d++)
        if (d < lead || (narrow->size[d - lead] == 1 && wide->size[d] != 1))
            stretched.size[stretched.rank++] = d;

    bool add;
    mt_tensor *to = target(tape, x, &add);
    if (!to) return mt_last_status();
    if (stretched.rank == 0) return add ? mt_op_add(to, to, g) : mt_op_copy(to, g);
    /* x's gradient seen with g's rank. */
    mt_layout layout = {.rank = wide->rank, .offset = to->layout.offset};
    for (int d = 0; d < wide->rank; d++) {
        layout.size[d] = d < lead ? 1 : to->layout.size[d - lead];
        layout.stride[d] = d < lead ? 0 : to->layout.stride[d - lead];
    }
    mt_tensor seen = mt_alias(to, &layout);
    return add ? mt_op_add_sum(&seen, g, stretched) : mt_op_sum(&seen, g, stretched);
}

/* ---- what VJPs call ---- */

void mt_send(mt_tape *tape, const mt_node *node, int input, mt_tensor *g)
{
    if (!mt_wants(node, input)) return;
    if (g)
        mt_arrived(tape, node, input, accumulate(tape, node, node->in[input].tensor, g));
    else
        mt_tape_give_up(tape);
}

mt_tensor *mt_target(mt_tape *tape, const mt_node *node, int input, bool *add)
{
    mt_tensor *to = target(tape, node->in[input].tensor, add);
    return to ? to : mt_tape_give_up(tape);
}

mt_tensor *mt_lasting(mt_tape *tape, const mt_tensor *x)
{
    mt_tensor *like = lasting_like(tape, x);
    return like ? like : mt_tape_give_up(tape);
}

mt_tensor *mt_share(mt_tape *tape, const mt_node *node, int input, const mt_tensor *like)
{
    bool add;
    mt_tensor *x = node->in[input].tensor;
    if (!x->has_grad && mt_same_shape(x, like)) return mt_target(tape, node, input, &add);
    mt_tensor *room = mt_tape_like(tape, like);
    return room ? room : mt_tape_give_up(tape);
}

/* ---- the walk ---- */

/* Whether any input of the node still wants a gradient. */
static bool is_wanted(const mt_node *node)
{
    bool wanted = false;
    for (int i = 0; i < node->inputs && !wanted; i++) wanted = mt_wants(node, i);
    return wanted;
}

/* Whether the values that a VJP reads are still those that its operation saw. */
static mt_status check_versions(const mt_node *node)
{
    for (int i = 0; i < node->inputs; i++)
        if (node->saves >> i & 1 && node->in[i].tensor->storage->version != node->in[i].version)
            return mt_fail(
                MT_ERR_STATE,
                "backward: input %d of %s was written in place after %s used it; write to a copy, or "
                "after backward",
                i, node->name, node->name);
    if (node->saves & MT_READS_OUT && node->out->storage->version != node->out_version)
        return mt_fail(
            MT_ERR_STATE,
            "backward: the result of %s was written in place, and its gradient needs the old value; "
            "write to a copy",
            node->name);
    return MT_OK;
}

/* Runs a node's VJP and takes back what it made. Failures in it are the tape's. */
static mt_status run_vjp(mt_tape *tape, const mt_node *node)
{
    const mt_scratch scratch = mt_tape_begin_scratch(tape);
    tape->recording = false; /* a function's backward may have turned it on */
    node->operation->vjp(tape, node, node->out->grad);
    if (tape->newest_handle == scratch.since)
        tape->scratching = scratch.within; /* nothing was made */
    else
        mt_tape_end_scratch(tape, &scratch, NULL);
    return tape->status;
}

static mt_status walk(mt_tape *tape, mt_tensor *y, const mt_tensor *cotangent)
{
    if (tape->walked)
        for (mt_node *node = tape->newest; node; node = node->older) node->out->has_grad = false;
    tape->walked = true;
    tape->walk_serial = tape->serial;
    bool add;
    mt_tensor *seed = target(tape, y, &add);
    if (!seed) return MT_ERR_MEMORY;
    mt_status status;
    if (cotangent)
        status = add ? mt_op_add(seed, seed, cotangent) : mt_op_copy(seed, cotangent);
    else if (!add)
        status = mt_op_fill(seed, 1);
    else {
        mt_tensor *one = mt_tape_number(tape, 1);
        status = one ? mt_op_add(seed, seed, one) : MT_ERR_MEMORY;
    }
    if (status == MT_OK) y->has_grad = true;
    for (mt_node *node = y->node; node && status == MT_OK; node = node->older) {
        if (!node->out->has_grad || !is_wanted(node)) continue;
        status = check_versions(node);
        if (status == MT_OK) status = run_vjp(tape, node);
    }
    return status;
}

/* Looks whether the tape grows with every step because nobody resets it, and warns once. */
static void watch(mt_tape *tape)
{
    const size_t held = mt_arena_used(&tape->values) + mt_arena_used(&tape->nodes) +
                        mt_arena_used(&tape->handles[tape->turn]);
    if (tape->backwards == MT_TAPE_WATCH || held < tape->watched) tape->watched = held;
    if (tape->warned || held - tape->watched < MT_TAPE_GROWTH) return;
    tape->warned = true;
    mt_warn("backward: a tape holds %.0f MB after %" PRId64
            " backwards without a reset, and more with each, since it keeps every operation until then; call "
            "mt_tape_reset in each step, or mt_tape_mark and mt_tape_rewind",
            (double)held / 1e6, tape->backwards);
}

static mt_status backward(mt_tape *tape, mt_tensor *y, const mt_tensor *cotangent)
{
    if (tape->scratching)
        return mt_fail(MT_ERR_STATE,
                       "backward: this tape runs a backward already, or the expression of an operation; what "
                       "these call may use mt_backward on another tape");
    if (!y->requires_grad)
        return mt_fail(
            MT_ERR_STATE,
            "backward: the tensor requires no gradient; mark a parameter with mt_require_grad, and let "
            "the tape record");
    bool recording = tape->recording;
    tape->recording = false;
    mt_status status = walk(tape, y, cotangent);
    tape->recording = recording;
    if (++tape->backwards % MT_TAPE_WATCH == 0) watch(tape);
    return status;
}

/* Ends a backward: a failure belongs to the tape. */
static mt_status conclude(mt_tape *tape, mt_status status)
{
    if (status == MT_OK) return MT_OK;
    mt_tape_give_up(tape);
    return tape->status;
}

mt_status mt_backward(mt_tape *tape, mt_tensor *loss)
{
    char text[MT_SHAPE_TEXT];
    if (!mt_tape_enter(tape, "backward", &loss, 1)) return tape ? tape->status : MT_ERR_STATE;
    if (!mt_shape_equal(mt_tensor_shape(loss), mt_shape(1)))
        return conclude(tape, mt_fail(MT_ERR_SHAPE,
                                      "backward: the loss has shape %s; reduce it to shape (1), or give a "
                                      "cotangent with mt_backward_from",
                                      mt_shape_text(mt_tensor_shape(loss), text)));
    return conclude(tape, backward(tape, loss, NULL));
}

mt_status mt_backward_from(mt_tape *tape, mt_tensor *y, const mt_tensor *cotangent)
{
    char text[MT_SHAPE_TEXT], text_y[MT_SHAPE_TEXT];
    mt_tensor *in[] = {y, (mt_tensor *)cotangent};
    if (!mt_tape_enter(tape, "backward_from", in, 2)) return tape ? tape->status : MT_ERR_STATE;
    mt_status status = MT_OK;
    if (cotangent->requires_grad)
        status = mt_fail(MT_ERR_STATE,
                         "backward: the cotangent requires a gradient, and there is no double backward; pass "
                         "mt_detach(tape, cotangent)");
    else if (!mt_shape_equal(mt_tensor_shape(y), mt_tensor_shape(cotangent)))
        status = mt_fail(
            MT_ERR_SHAPE, "backward: the cotangent has shape %s and the tensor %s; they must be the same",
            mt_shape_text(mt_tensor_shape(cotangent), text), mt_shape_text(mt_tensor_shape(y), text_y));
    return conclude(tape, status == MT_OK ? backward(tape, y, cotangent) : status);
}
