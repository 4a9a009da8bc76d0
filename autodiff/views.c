/* autodiff/views.c - views on the tape: a new handle on the same storage, and a gradient that finds its way
 * back.
 *
 * Going back, a reshape gives the cotangent x's shape, a permutation undoes the order, an expansion is summed
 * where cotangents accumulate, and a slice writes into the same slice of x's gradient.
 */
#include "node.h"
#include "../tensor/elementwise.h"

#include <string.h>

/* Records y, a view of x (or a copy), and its extra. */
static mt_tensor *finish(mt_tape *tape, const char *name, mt_vjp_fn vjp, mt_tensor *x, mt_tensor *y,
                         const void *extra, size_t bytes)
{
    bool failed = !y;
    mt_node *node = failed ? NULL : mt_tape_node(tape, name, vjp, y, &x, 1, 0, &failed);
    if (node && bytes) {
        node->extra = mt_tape_memory(tape, bytes);
        if (node->extra)
            memcpy(node->extra, extra, bytes);
        else
            failed = true;
    }
    return failed ? mt_tape_give_up(tape) : y;
}

static mt_tensor *view(mt_tape *tape, const char *name, mt_vjp_fn vjp, mt_tensor *x, mt_status status,
                       const mt_layout *layout, const void *extra, size_t bytes)
{
    if (status != MT_OK) return mt_tape_give_up(tape);
    return finish(tape, name, vjp, x, mt_tape_alias(tape, x, layout), extra, bytes);
}

/* A row-major copy of x on the tape; NULL with a sentence. */
static mt_tensor *copied(mt_tape *tape, const mt_tensor *x)
{
    mt_tensor *copy = mt_tape_empty(tape, mt_tensor_shape(x), x->kind);
    return copy && mt_op_copy(copy, x) == MT_OK ? copy : NULL;
}

/* ---- going back ---- */

/* The same elements in x's shape: view, reshape, squeeze, unsqueeze, flatten. */
static mt_status vjp_shape(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    mt_tensor *x = node->in[0].tensor;
    bool own = !mt_layout_is_contiguous(&g->layout);
    if (own) g = copied(tape, g);
    mt_layout layout;
    if (!g || mt_layout_view(&g->layout, mt_tensor_shape(x), &layout) != MT_OK) return mt_last_status();
    return mt_tape_accumulate(tape, x, mt_tape_alias(tape, g, &layout), own);
}

static mt_status vjp_permute(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    const mt_shape *inverse = node->extra;
    mt_layout layout;
    mt_status status = mt_layout_permute(&g->layout, *inverse, &layout);
    return status == MT_OK
               ? mt_tape_accumulate(tape, node->in[0].tensor, mt_tape_alias(tape, g, &layout), false)
               : status;
}

/* expand, copy, contiguous, take the cotangent as it is. */
static mt_status vjp_same(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    return mt_tape_accumulate(tape, node->in[0].tensor, g, false);
}

/* Which elements of x a slice or a selection shows, as a layout of a row-major tensor of x's shape. */
static mt_status vjp_part(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    bool add;
    mt_tensor *x = node->in[0].tensor, *to = mt_tape_target(tape, x, &add);
    if (!to) return MT_ERR_MEMORY;
    mt_status status = add ? MT_OK : mt_op_fill(to, 0);
    mt_tensor part = mt_alias(to, node->extra);
    if (status != MT_OK) return status;
    return mt_arrived(x, add ? mt_op_add(&part, &part, g) : mt_op_copy(&part, g));
}

/* ---- going forward ---- */

mt_tensor *mt_view(mt_tape *tape, mt_tensor *x, mt_shape shape)
{
    mt_layout layout;
    if (!mt_tape_enter(tape, "view", &x, 1)) return NULL;
    return view(tape, "view", vjp_shape, x, mt_layout_view(&x->layout, shape, &layout), &layout, NULL, 0);
}

/* A view where the layout allows it, otherwise of a copy; recorded as one node. */
static mt_tensor *reshape(mt_tape *tape, const char *name, mt_tensor *x, mt_shape shape)
{
    mt_layout layout;
    if (mt_shape_infer(shape, mt_tensor_count(x), &shape) != MT_OK) return mt_tape_give_up(tape);
    mt_tensor *rows = mt_layout_is_contiguous(&x->layout) ? x : copied(tape, x);
    if (!rows || mt_layout_view(&rows->layout, shape, &layout) != MT_OK) return mt_tape_give_up(tape);
    return finish(tape, name, vjp_shape, x, mt_tape_alias(tape, rows, &layout), NULL, 0);
}

mt_tensor *mt_reshape(mt_tape *tape, mt_tensor *x, mt_shape shape)
{
    return mt_tape_enter(tape, "reshape", &x, 1) ? reshape(tape, "reshape", x, shape) : NULL;
}

mt_tensor *mt_flatten(mt_tape *tape, mt_tensor *x, int64_t first, int64_t last)
{
    mt_shape shape;
    if (!mt_tape_enter(tape, "flatten", &x, 1)) return NULL;
    if (mt_shape_flatten(mt_tensor_shape(x), first, last, &shape) != MT_OK) return mt_tape_give_up(tape);
    return reshape(tape, "flatten", x, shape);
}

mt_tensor *mt_squeeze(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    mt_layout layout;
    if (!mt_tape_enter(tape, "squeeze", &x, 1)) return NULL;
    return view(tape, "squeeze", vjp_shape, x, mt_layout_squeeze(&x->layout, dim, &layout), &layout, NULL, 0);
}

mt_tensor *mt_unsqueeze(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    mt_layout layout;
    if (!mt_tape_enter(tape, "unsqueeze", &x, 1)) return NULL;
    return view(tape, "unsqueeze", vjp_shape, x, mt_layout_unsqueeze(&x->layout, dim, &layout), &layout, NULL,
                0);
}

mt_tensor *mt_permute(mt_tape *tape, mt_tensor *x, mt_shape order)
{
    mt_layout layout;
    mt_shape inverse = order;
    if (!mt_tape_enter(tape, "permute", &x, 1)) return NULL;
    mt_status status = mt_layout_permute(&x->layout, order, &layout);
    for (int i = 0; i < order.rank && status == MT_OK; i++)
        inverse.size[order.size[i] < 0 ? order.size[i] + order.rank : order.size[i]] = i;
    return view(tape, "permute", vjp_permute, x, status, &layout, &inverse, sizeof inverse);
}

mt_tensor *mt_transpose(mt_tape *tape, mt_tensor *x, int64_t dim0, int64_t dim1)
{
    int a, b;
    if (!mt_tape_enter(tape, "transpose", &x, 1)) return NULL;
    if (mt_layout_dim(&x->layout, dim0, "transpose", &a) != MT_OK ||
        mt_layout_dim(&x->layout, dim1, "transpose", &b) != MT_OK)
        return mt_tape_give_up(tape);
    mt_shape order = mt_every_dim(x);
    order.size[a] = b;
    order.size[b] = a;
    return mt_permute(tape, x, order);
}

mt_tensor *mt_slice(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t start, int64_t stop, int64_t step)
{
    mt_layout layout, rows, part = {0};
    if (!mt_tape_enter(tape, "slice", &x, 1)) return NULL;
    rows = mt_layout_contiguous(mt_tensor_shape(x));
    mt_status status = mt_layout_slice(&x->layout, dim, start, stop, step, &layout);
    if (status == MT_OK) status = mt_layout_slice(&rows, dim, start, stop, step, &part);
    return view(tape, "slice", vjp_part, x, status, &layout, &part, sizeof part);
}

mt_tensor *mt_select(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t index)
{
    mt_layout layout, rows, part = {0};
    if (!mt_tape_enter(tape, "select", &x, 1)) return NULL;
    rows = mt_layout_contiguous(mt_tensor_shape(x));
    mt_status status = mt_layout_select(&x->layout, dim, index, &layout);
    if (status == MT_OK) status = mt_layout_select(&rows, dim, index, &part);
    return view(tape, "select", vjp_part, x, status, &layout, &part, sizeof part);
}

mt_tensor *mt_expand(mt_tape *tape, mt_tensor *x, mt_shape shape)
{
    mt_layout layout;
    if (!mt_tape_enter(tape, "expand", &x, 1)) return NULL;
    return view(tape, "expand", vjp_same, x, mt_layout_expand(&x->layout, shape, &layout), &layout, NULL, 0);
}

mt_tensor *mt_copy(mt_tape *tape, mt_tensor *x)
{
    return mt_tape_enter(tape, "copy", &x, 1) ? finish(tape, "copy", vjp_same, x, copied(tape, x), NULL, 0)
                                              : NULL;
}

mt_tensor *mt_contiguous(mt_tape *tape, mt_tensor *x)
{
    if (!mt_tape_enter(tape, "contiguous", &x, 1)) return NULL;
    if (mt_layout_is_contiguous(&x->layout))
        return view(tape, "contiguous", vjp_same, x, MT_OK, &x->layout, NULL, 0);
    return mt_copy(tape, x);
}

/* ---- rows by index ---- */

static mt_status vjp_take_rows(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    bool add;
    mt_tensor *x = node->in[0].tensor, *to = mt_tape_target(tape, x, &add);
    mt_status status = !to ? MT_ERR_MEMORY : add ? MT_OK : mt_op_fill(to, 0);
    return status == MT_OK ? mt_arrived(x, mt_op_put_rows(to, g, node->in[1].tensor)) : status;
}

mt_tensor *mt_take_rows(mt_tape *tape, mt_tensor *x, mt_tensor *index)
{
    mt_tensor *in[] = {x, index};
    if (!mt_tape_enter(tape, "take_rows", in, 2)) return NULL;
    mt_shape shape = mt_tensor_shape(x);
    shape.size[0] = index->layout.size[0];
    mt_tensor *out = mt_tape_empty(tape, shape, x->kind);
    if (!out || mt_op_take_rows(out, x, index) != MT_OK) return mt_tape_give_up(tape);
    bool failed = false;
    mt_tape_node(tape, "take_rows", vjp_take_rows, out, in, 2, 2u, &failed);
    return failed ? mt_tape_give_up(tape) : out;
}
