/* autodiff/elementwise.c - map and zip on the tape: one forward and one VJP each for all rows of
 * op_table.inc. */
#include "elementwise.h"
#include "node.h"

/* Sends x its share through compute, which writes a tensor of the node's output shape: straight into x's
 * gradient when nothing is there and the shapes agree. */
typedef mt_status (*share_fn)(const mt_node *node, mt_tensor *to, const mt_tensor *g, int which);

static mt_status send(mt_tape *tape, mt_node *node, mt_tensor *g, int which, share_fn share)
{
    mt_tensor *x = node->in[which].tensor;
    if (!x->has_grad && mt_same_shape(x, node->out)) {
        bool add;
        mt_tensor *to = mt_tape_target(tape, x, &add);
        return to ? mt_arrived(x, share(node, to, g, which)) : MT_ERR_MEMORY;
    }
    mt_tensor *to = mt_tape_like(tape, node->out);
    mt_status status = to ? share(node, to, g, which) : MT_ERR_MEMORY;
    return status == MT_OK ? mt_tape_accumulate(tape, x, to, true) : status;
}

static mt_status map_share(const mt_node *node, mt_tensor *to, const mt_tensor *g, int which)
{
    (void)which;
    return mt_op_map_grad(to, node->op, g, node->in[0].tensor, node->out, node->p[0], node->p[1]);
}

static mt_status zip_share(const mt_node *node, mt_tensor *to, const mt_tensor *g, int which)
{
    return mt_op_zip_grad(to, node->op, which, g, node->in[0].tensor, node->in[1].tensor, node->out,
                          node->p[0], node->p[1]);
}

static mt_status vjp_map(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    return send(tape, node, g, 0, map_share);
}

static mt_status vjp_zip(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    const mt_op_info *info = mt_op_describe(node->op);
    mt_status status = MT_OK;
    for (int i = 0; i < 2 && status == MT_OK; i++) {
        if (!mt_wants(node, i) || info->needs[i] & MT_IS_ZERO) continue;
        status = info->needs[i] & MT_IS_ONE ? mt_tape_accumulate(tape, node->in[i].tensor, g, false)
                                            : send(tape, node, g, i, zip_share);
    }
    return status;
}

/* Records what was computed into out; NULL with the failure in the tape. */
static mt_tensor *finish(mt_tape *tape, const mt_op_info *info, mt_op op, mt_vjp_fn vjp, mt_tensor *out,
                         mt_tensor *const *in, double p0, double p1)
{
    unsigned saves = 0;
    for (int i = 0; i < info->arity; i++) {
        if (!in[i]->requires_grad) continue;
        if (info->needs[i] & MT_NEED_A) saves |= 1u << 0;
        if (info->needs[i] & MT_NEED_B) saves |= 1u << 1;
        if (info->needs[i] & MT_NEED_Y) saves |= MT_SAVES_OUT;
    }
    bool failed = false;
    mt_node *node = mt_tape_node(tape, info->name, vjp, out, in, info->arity, saves, &failed);
    if (failed) return mt_tape_give_up(tape);
    if (node) node->op = op, node->p[0] = p0, node->p[1] = p1;
    return out;
}

/* A tensor of the shape that a and b broadcast to; most often they have the same. */
static mt_tensor *joint(mt_tape *tape, const mt_tensor *a, const mt_tensor *b)
{
    if (mt_same_shape(a, b)) return mt_tape_like(tape, a);
    mt_shape shape;
    mt_status status = mt_shape_broadcast(mt_tensor_shape(a), mt_tensor_shape(b), &shape);
    return status == MT_OK ? mt_tape_empty(tape, shape, MT_REAL) : NULL;
}

mt_tensor *mt_map(mt_tape *tape, mt_op op, mt_tensor *x, double p0, double p1)
{
    const mt_op_info *info = mt_op_of_arity(op, 1);
    if (!mt_tape_enter(tape, info ? info->name : "map", &x, 1)) return NULL;
    mt_tensor *out = info ? mt_tape_like(tape, x) : NULL;
    if (!out || mt_op_fresh(out, op, (const mt_tensor *const *)&x, 1, p0, p1) != MT_OK)
        return mt_tape_give_up(tape);
    return finish(tape, info, op, vjp_map, out, &x, p0, p1);
}

mt_tensor *mt_zip(mt_tape *tape, mt_op op, mt_tensor *a, mt_tensor *b, double p0, double p1)
{
    mt_tensor *in[] = {a, b};
    const mt_op_info *info = mt_op_of_arity(op, 2);
    if (!mt_tape_enter(tape, info ? info->name : "zip", in, 2)) return NULL;
    mt_tensor *out = info ? joint(tape, a, b) : NULL;
    if (!out || mt_op_fresh(out, op, (const mt_tensor *const *)in, 2, p0, p1) != MT_OK)
        return mt_tape_give_up(tape);
    return finish(tape, info, op, vjp_zip, out, in, p0, p1);
}

#define MAP_ARGS_0 mt_tape *tape, mt_tensor *x
#define MAP_ARGS_1 MAP_ARGS_0, double p0
#define MAP_ARGS_2 MAP_ARGS_1, double p1
#define ZIP_ARGS_0 mt_tape *tape, mt_tensor *a, mt_tensor *b
#define ZIP_ARGS_1 ZIP_ARGS_0, double p0
#define ZIP_ARGS_2 ZIP_ARGS_1, double p1
#define PASS_0     0, 0
#define PASS_1     p0, 0
#define PASS_2     p0, p1
#define MT_MAP(name, params, needs, low, high, formula) \
    mt_tensor *mt_##name(MAP_ARGS_##params) { return mt_map(tape, MT_OP_##name, x, PASS_##params); }
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    mt_tensor *mt_##name(ZIP_ARGS_##params) { return mt_zip(tape, MT_OP_##name, a, b, PASS_##params); }
#include "../tensor/scalar/op_table.inc"
