/* autodiff/matmul.c - matrix products and linear layers on the tape.
 *
 * With C = A B and the cotangent G of C: A receives G B^T, B receives A^T G. Transposes are layouts, never
 * copies. Where B is a single matrix, the rows of a batched A are taken together, so that B's gradient is one
 * product.
 */
#include "../tensor/op_id.h"
#include "elementwise.h"
#include "node.h"

/* x with its last two dimensions exchanged. */
static mt_tensor transposed(const mt_tensor *x)
{
    mt_tensor y = mt_alias(x, &x->layout);
    int row = x->layout.rank - 2, column = row + 1;
    y.layout.size[row] = x->layout.size[column], y.layout.stride[row] = x->layout.stride[column];
    y.layout.size[column] = x->layout.size[row], y.layout.stride[column] = x->layout.stride[row];
    return y;
}

/* x with a dimension of size 1 at dim. */
static mt_tensor unsqueezed(const mt_tensor *x, int64_t dim)
{
    mt_layout layout;
    mt_layout_unsqueeze(&x->layout, dim, &layout);
    return mt_alias(x, &layout);
}

/* x as a matrix of all its rows: x, or room filled with a view of it or of a copy on the tape. NULL with a
 * sentence. */
static const mt_tensor *as_matrix(mt_tape *tape, const mt_tensor *x, mt_tensor *room)
{
    if (x->layout.rank == 2) return x;
    mt_shape shape = mt_shape(1, x->layout.size[x->layout.rank - 1]);
    for (int d = 0; d < x->layout.rank - 1; d++)
        shape.size[0] *= x->layout.size[d]; /* also where the rows are empty */
    mt_layout layout;
    if (!mt_layout_is_contiguous(&x->layout)) {
        mt_tensor *copy = mt_tape_like(tape, x);
        if (!copy || mt_op_copy(copy, x) != MT_OK) return NULL;
        x = copy;
    }
    if (mt_layout_view(&x->layout, shape, &layout) != MT_OK) return NULL;
    *room = mt_alias(x, &layout);
    return room;
}

/* Adds a b to x's gradient, where the product has x's shape (vectors seen as matrices). */
static mt_status send_product(mt_tape *tape, mt_tensor *x, const mt_tensor *a, const mt_tensor *b,
                              int64_t unsqueeze_at)
{
    bool add;
    mt_tensor wide, *to = mt_tape_target(tape, x, &add);
    if (!to) return MT_ERR_MEMORY;
    if (x->layout.rank == 1) {
        wide = unsqueezed(to, unsqueeze_at);
        to = &wide;
    }
    return mt_arrived(x, add ? mt_op_add_matmul(to, a, b) : mt_op_matmul(to, a, b));
}

/* The same where x was broadcast over a batch: the product has more to it, and is summed on its way. */
static mt_status send_batched(mt_tape *tape, mt_tensor *x, const mt_tensor *a, const mt_tensor *b,
                              int64_t unsqueeze_at)
{
    mt_shape left = mt_layout_shape(&a->layout), right = mt_layout_shape(&b->layout), shape;
    int64_t rows = left.size[left.rank - 2], columns = right.size[right.rank - 1];
    left.size[left.rank - 2] = left.size[left.rank - 1] = right.size[right.rank - 2] =
        right.size[right.rank - 1] = 1;
    mt_status status = mt_shape_broadcast(left, right, &shape);
    if (status != MT_OK) return status;
    shape.size[shape.rank - 2] = rows;
    shape.size[shape.rank - 1] = columns;
    mt_tensor *product = mt_tape_empty(tape, shape, MT_REAL);
    status = product ? mt_op_matmul(product, a, b) : MT_ERR_MEMORY;
    if (status != MT_OK) return status;
    if (x->layout.rank > 1) return mt_tape_accumulate(tape, x, product, true);
    mt_layout squeezed;
    status = mt_layout_squeeze(&product->layout, unsqueeze_at == 0 ? -2 : -1, &squeezed);
    return status == MT_OK ? mt_tape_accumulate(tape, x, mt_tape_alias(tape, product, &squeezed), true)
                           : status;
}

static bool same_batch(const mt_tensor *a, const mt_tensor *b)
{
    if (a->layout.rank != b->layout.rank) return false;
    for (int d = 0; d < a->layout.rank - 2; d++)
        if (a->layout.size[d] != b->layout.size[d]) return false;
    return true;
}

static mt_status vjp_matmul(mt_tape *tape, mt_node *node, mt_tensor *cotangent)
{
    mt_tensor *x = node->in[0].tensor, *w = node->in[1].tensor;
    bool row = x->layout.rank == 1, column = w->layout.rank == 1;
    mt_tensor a = row ? unsqueezed(x, 0) : mt_alias(x, &x->layout);
    mt_tensor b = column ? unsqueezed(w, 1) : mt_alias(w, &w->layout);
    mt_tensor g = mt_alias(cotangent, &cotangent->layout);
    if (row && column)
        g = unsqueezed(&g, 0);
    else if (row)
        g = unsqueezed(&g, -2);
    else if (column)
        g = unsqueezed(&g, -1);
    mt_tensor a_t = transposed(&a), b_t = transposed(&b);
    mt_status status = MT_OK;
    if (mt_wants(node, 0))
        status = same_batch(&g, &a) ? send_product(tape, x, &g, &b_t, 0) : send_batched(tape, x, &g, &b_t, 0);
    if (status != MT_OK || !mt_wants(node, 1)) return status;
    if (same_batch(&g, &b)) return send_product(tape, w, &a_t, &g, 1);
    if (b.layout.rank > 2 || a.layout.rank != g.layout.rank) return send_batched(tape, w, &a_t, &g, 1);
    mt_tensor room_a, room_g;
    const mt_tensor *rows_a = as_matrix(tape, &a, &room_a), *rows_g = as_matrix(tape, &g, &room_g);
    if (!rows_a || !rows_g) return mt_last_status();
    a_t = transposed(rows_a);
    return send_product(tape, w, &a_t, rows_g, 1);
}

mt_tensor *mt_matmul(mt_tape *tape, mt_tensor *a, mt_tensor *b)
{
    mt_tensor *in[] = {a, b};
    if (!mt_tape_enter(tape, "matmul", in, 2)) return NULL;
    int rank_a = a->layout.rank, rank_b = b->layout.rank;
    mt_shape left = mt_tensor_shape(a), right = mt_tensor_shape(b), shape = mt_shape(1);
    /* The batch of the result, then its rows and columns; wrong sizes are found by mt_op_matmul. */
    if (rank_a > 2 || rank_b > 2) {
        if (rank_a >= 2) left.size[rank_a - 2] = left.size[rank_a - 1] = 1;
        if (rank_b >= 2) right.size[rank_b - 2] = right.size[rank_b - 1] = 1;
        if (rank_a < 2) left.size[0] = 1;
        if (rank_b < 2) right.size[0] = 1;
        if (mt_shape_broadcast(left, right, &shape) != MT_OK) {
            char text_a[MT_SHAPE_TEXT], text_b[MT_SHAPE_TEXT];
            mt_fail(MT_ERR_SHAPE,
                    "matmul: the leading dimensions of %s and %s do not broadcast; each pair must be equal, "
                    "or one of them 1",
                    mt_shape_text(mt_tensor_shape(a), text_a), mt_shape_text(mt_tensor_shape(b), text_b));
            return mt_tape_give_up(tape);
        }
        shape.rank -= 2;
    } else {
        shape.rank = 0;
    }
    if (rank_a >= 2) shape.size[shape.rank++] = a->layout.size[rank_a - 2];
    if (rank_b >= 2) shape.size[shape.rank++] = b->layout.size[rank_b - 1];
    if (shape.rank == 0) shape = mt_shape(1);
    mt_tensor *out = mt_tape_empty(tape, shape, MT_REAL);
    if (!out || mt_op_matmul(out, a, b) != MT_OK) return mt_tape_give_up(tape);
    bool failed = false;
    unsigned saves = (a->requires_grad ? 2u : 0) | (b->requires_grad ? 1u : 0);
    mt_tape_node(tape, "matmul", vjp_matmul, out, in, 2, saves, &failed);
    return failed ? mt_tape_give_up(tape) : out;
}

/* ---- x w + bias, and an activation on top ---- */

static mt_status vjp_linear(mt_tape *tape, mt_node *node, mt_tensor *cotangent)
{
    mt_tensor *w = node->in[1].tensor, *bias = node->in[2].tensor;
    const mt_tensor *x = node->in[0].tensor, *g = cotangent, *rows_x, *rows_g;
    mt_tensor row_x, row_g, room_x, room_g;
    if (x->layout.rank == 1) {
        row_x = unsqueezed(x, 0), row_g = unsqueezed(g, 0);
        x = &row_x, g = &row_g;
    }
    rows_g = as_matrix(tape, g, &room_g);
    mt_status status = rows_g ? MT_OK : mt_last_status();
    if (status == MT_OK && mt_wants(node, 2)) {
        bool add;
        mt_tensor *to = mt_tape_target(tape, bias, &add);
        status = !to   ? MT_ERR_MEMORY
                 : add ? mt_op_add_sum(to, rows_g, mt_axes(0))
                       : mt_op_sum(to, rows_g, mt_axes(0));
        mt_arrived(bias, status);
    }
    if (status == MT_OK && mt_wants(node, 1)) {
        if (!(rows_x = as_matrix(tape, x, &room_x))) return mt_last_status();
        mt_tensor x_t = transposed(rows_x);
        status = send_product(tape, w, &x_t, rows_g, 1);
    }
    if (status == MT_OK && mt_wants(node, 0)) {
        mt_tensor w_t = transposed(w);
        status = send_product(tape, node->in[0].tensor, g, &w_t, 0);
    }
    return status;
}

static mt_status vjp_linear_act(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    mt_tensor *share = mt_tape_like(tape, g), *pre = node->extra;
    mt_status status = share ? mt_op_map_grad(share, node->op, g, pre, node->out, 0, 0) : MT_ERR_MEMORY;
    return status == MT_OK ? vjp_linear(tape, node, share) : status;
}

/* Whether the operands can be used; room for the result. */
static bool linear_enter(mt_tape *tape, mt_tensor *const *in)
{
    if (!mt_tape_enter(tape, "linear", in, 3)) return false;
    if (in[1]->layout.rank != 2) {
        char text[MT_SHAPE_TEXT];
        mt_fail(MT_ERR_SHAPE, "linear: the weight has shape %s; it must have two dimensions, (in, out)",
                mt_shape_text(mt_tensor_shape(in[1]), text));
    } else if (in[2]->layout.rank != 1 || in[2]->layout.size[0] != in[1]->layout.size[1]) {
        char text[MT_SHAPE_TEXT], wide[MT_SHAPE_TEXT];
        mt_fail(MT_ERR_SHAPE,
                "linear: the bias has shape %s; for a weight (in, out) of %s it must have (out)",
                mt_shape_text(mt_tensor_shape(in[2]), text), mt_shape_text(mt_tensor_shape(in[1]), wide));
    } else {
        return true;
    }
    mt_tape_give_up(tape);
    return false;
}

static mt_tensor *linear_out(mt_tape *tape, mt_tensor *const *in)
{
    mt_shape shape = mt_tensor_shape(in[0]);
    shape.size[shape.rank - 1] = in[1]->layout.size[1];
    mt_tensor *out = mt_tape_empty(tape, shape, MT_REAL);
    return out ? out : mt_tape_give_up(tape);
}

static unsigned linear_saves(mt_tensor *const *in)
{
    return (in[0]->requires_grad ? 2u : 0) | (in[1]->requires_grad ? 1u : 0);
}

mt_tensor *mt_linear(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias)
{
    mt_tensor *in[] = {x, w, bias};
    if (!linear_enter(tape, in)) return NULL;
    if (!mt_tape_is_fusing(tape)) return mt_add(tape, mt_matmul(tape, x, w), bias);
    mt_tensor *out = linear_out(tape, in);
    if (!out) return NULL;
    if (mt_op_linear(out, x, w, bias) != MT_OK) return mt_tape_give_up(tape);
    bool failed = false;
    mt_tape_node(tape, "linear", vjp_linear, out, in, 3, linear_saves(in), &failed);
    return failed ? mt_tape_give_up(tape) : out;
}

mt_tensor *mt_linear_act(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, mt_op act)
{
    mt_tensor *in[] = {x, w, bias};
    if (!linear_enter(tape, in)) return NULL;
    const mt_op_info *info = mt_op_activation(act);
    if (!info) return mt_tape_give_up(tape);
    if (!mt_tape_is_fusing(tape)) return mt_map(tape, act, mt_linear(tape, x, w, bias), 0, 0);
    mt_tensor *out = linear_out(tape, in);
    if (!out) return NULL;
    bool wanted = mt_tape_is_recording(tape) && (x->requires_grad || w->requires_grad || bias->requires_grad);
    bool keep_pre = wanted && info->needs[0] & MT_NEED_A;
    mt_tensor *pre = keep_pre ? mt_tape_like(tape, out) : out;
    if (!pre || mt_op_linear_act(out, x, w, bias, act, keep_pre, pre) != MT_OK) return mt_tape_give_up(tape);
    bool failed = false;
    unsigned saves = linear_saves(in) | (info->needs[0] & MT_NEED_Y ? MT_SAVES_OUT : 0);
    mt_node *node = mt_tape_node(tape, "linear_act", vjp_linear_act, out, in, 3, saves, &failed);
    if (node) node->op = act, node->extra = pre;
    return failed ? mt_tape_give_up(tape) : out;
}
