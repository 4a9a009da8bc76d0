/* autodiff/products.c - matrix products and linear layers on the tape.
 *
 * With C = A B and the cotangent G of C: A receives G B^T, B receives A^T G. Transposes are layouts, never
 * copies. Where B is a single matrix, the rows of a batched A are taken together, so that B's gradient is one
 * product.
 */
#include "../tensor/op_id.h"
#include "../tensor/rules.h"
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

/* x as a matrix of all its rows: x, or room filled with a view of it or of a copy on the tape. NULL with the
 * failure in the tape. */
static const mt_tensor *as_matrix(mt_tape *tape, const mt_tensor *x, mt_tensor *room)
{
    if (x->layout.rank == 2) return x;
    mt_shape shape = mt_shape(1, x->layout.size[x->layout.rank - 1]);
    for (int d = 0; d < x->layout.rank - 1; d++)
        shape.size[0] *= x->layout.size[d]; /* also where the rows are empty */
    mt_layout layout;
    if (!mt_layout_is_contiguous(&x->layout)) {
        mt_tensor *copy = mt_tape_like(tape, x);
        if (!copy || !mt_did(tape, mt_op_copy(copy, x))) return mt_tape_give_up(tape);
        x = copy;
    }
    if (!mt_did(tape, mt_layout_view(&x->layout, shape, &layout))) return NULL;
    *room = mt_alias(x, &layout);
    return room;
}

/* ---- products ---- */

/* Adds a b to the input's gradient, where the product has its shape (a vector seen as a matrix with a size of
 * 1 at that dimension). */
static void send_product(mt_tape *tape, const mt_node *node, int input, const mt_tensor *a,
                         const mt_tensor *b, int64_t unsqueeze_at)
{
    bool add;
    mt_tensor wide, *to = mt_target(tape, node, input, &add);
    if (!to) return;
    if (to->layout.rank == 1) {
        wide = unsqueezed(to, unsqueeze_at);
        to = &wide;
    }
    mt_arrived(tape, node, input, add ? mt_op_add_matmul(to, a, b) : mt_op_matmul(to, a, b));
}

/* The same where the input was broadcast over a batch: the product has more to it, and is summed on its way.
 */
static void send_batched(mt_tape *tape, const mt_node *node, int input, const mt_tensor *a,
                         const mt_tensor *b, int64_t unsqueeze_at)
{
    mt_shape shape;
    if (!mt_did(tape, mt_rule_matmul(node->name, &a->layout, &b->layout, &shape))) return;
    mt_tensor *product = mt_tape_empty(tape, shape, MT_REAL);
    if (!product || !mt_did(tape, mt_op_matmul(product, a, b))) {
        mt_tape_give_up(tape);
        return;
    }
    if (node->in[input].tensor->layout.rank == 1)
        product = mt_squeeze(tape, product, unsqueeze_at == 0 ? -2 : -1);
    mt_send(tape, node, input, product);
}

static bool same_batch(const mt_tensor *a, const mt_tensor *b)
{
    if (a->layout.rank != b->layout.rank) return false;
    for (int d = 0; d < a->layout.rank - 2; d++)
        if (a->layout.size[d] != b->layout.size[d]) return false;
    return true;
}

static mt_status shape_matmul(const mt_call *call, mt_shape *result)
{
    return mt_rule_matmul("matmul", &call->in[0]->layout, &call->in[1]->layout, result);
}

static mt_status run_matmul(mt_call *call, mt_tensor *out)
{
    return mt_op_matmul(out, call->in[0], call->in[1]);
}

static void vjp_matmul(mt_tape *tape, const mt_node *node, mt_tensor *cotangent)
{
    mt_tensor *x = node->in[0].tensor, *w = node->in[1].tensor;
    const bool row = x->layout.rank == 1, column = w->layout.rank == 1;
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
    if (mt_wants(node, 0)) (same_batch(&g, &a) ? send_product : send_batched)(tape, node, 0, &g, &b_t, 0);
    if (!mt_wants(node, 1)) return;
    if (same_batch(&g, &b)) {
        send_product(tape, node, 1, &a_t, &g, 1);
    } else if (b.layout.rank > 2 || a.layout.rank != g.layout.rank) {
        send_batched(tape, node, 1, &a_t, &g, 1);
    } else {
        mt_tensor room_a, room_g;
        const mt_tensor *rows_a = as_matrix(tape, &a, &room_a), *rows_g = as_matrix(tape, &g, &room_g);
        if (!rows_a || !rows_g) return;
        a_t = transposed(rows_a);
        send_product(tape, node, 1, &a_t, rows_g, 1);
    }
}

static const mt_example matmul_examples[] = {
    {.shape = {{2, {3, 4}}, {2, {4, 2}}}},
    {.shape = {{1, {4}}, {1, {4}}}},
    {.shape = {{1, {4}}, {3, {2, 4, 3}}}},
    {.shape = {{4, {3, 1, 2, 4}}, {3, {2, 4, 3}}}},
    {.shape = {{3, {2, 3, 4}}, {2, {4, 2}}}},
    {.shape = {{3, {2, 3, 4}}, {1, {4}}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_matmul = {
    .name = "matmul",
    .formula = "the sum over k of a[..., i, k] b[..., k, j]; batches broadcast, vectors as in NumPy",
    .input = {{.name = "a", .low = -2, .high = 2}, {.name = "b", .low = -2, .high = 2}},
    .shape = shape_matmul,
    .run = run_matmul,
    .vjp = vjp_matmul,
    .reads = {1u << 1, 1u << 0},
    .cost = MT_COST_ARITHMETIC,
    .examples = matmul_examples,
};

/* a (..., m, k), b (..., k, n). */
mt_tensor *mt_matmul(mt_tape *tape, mt_tensor *a, mt_tensor *b)
{
    return mt_apply_operation(tape, &mt_operation_matmul, (mt_tensor *[]){a, b}, 2, NULL);
}

/* ---- x w + bias, and an activation on top ---- */

static mt_status shape_linear(const mt_call *call, mt_shape *result)
{
    char text[MT_SHAPE_TEXT];
    const char *name = call->operation->name;
    const mt_layout *w = &call->in[1]->layout;
    if (w->rank != 2)
        return mt_fail(MT_ERR_SHAPE, "%s: the weight has shape %s; it must have two dimensions, (in, out)",
                       name, mt_shape_text(mt_layout_shape(w), text));
    const mt_layout *bias = &call->in[2]->layout;
    if (bias->rank != 1 || bias->size[0] != w->size[1]) {
        char wide[MT_SHAPE_TEXT];
        return mt_fail(MT_ERR_SHAPE,
                       "%s: the bias has shape %s; for a weight (in, out) of %s it must have (out)", name,
                       mt_shape_text(mt_layout_shape(bias), text), mt_shape_text(mt_layout_shape(w), wide));
    }
    return mt_rule_matmul(name, &call->in[0]->layout, w, result);
}

static mt_status run_linear(mt_call *call, mt_tensor *out)
{
    return mt_op_linear(out, call->in[0], call->in[1], call->in[2]);
}

static mt_tensor *express_linear(mt_call *call)
{
    return mt_add(call->tape, mt_matmul(call->tape, call->in[0], call->in[1]), call->in[2]);
}

static void vjp_linear(mt_tape *tape, const mt_node *node, mt_tensor *cotangent)
{
    mt_tensor *w = node->in[1].tensor;
    const mt_tensor *x = node->in[0].tensor, *g = cotangent, *rows_x, *rows_g;
    mt_tensor row_x, row_g, room_x, room_g;
    if (x->layout.rank == 1) {
        row_x = unsqueezed(x, 0), row_g = unsqueezed(g, 0);
        x = &row_x, g = &row_g;
    }
    rows_g = as_matrix(tape, g, &room_g);
    if (!rows_g) return;
    if (mt_wants(node, 2)) {
        bool add;
        mt_tensor *to = mt_target(tape, node, 2, &add);
        if (!to) return;
        mt_arrived(tape, node, 2,
                   add ? mt_op_add_sum(to, rows_g, mt_axes(0)) : mt_op_sum(to, rows_g, mt_axes(0)));
    }
    if (mt_wants(node, 1)) {
        if (!(rows_x = as_matrix(tape, x, &room_x))) return;
        mt_tensor x_t = transposed(rows_x);
        send_product(tape, node, 1, &x_t, rows_g, 1);
    }
    if (mt_wants(node, 0)) {
        mt_tensor w_t = transposed(w);
        send_product(tape, node, 0, g, &w_t, 0);
    }
}

static mt_status shape_linear_act(const mt_call *call, mt_shape *result)
{
    return mt_op_activation(call->attribute[0].op) ? shape_linear(call, result) : mt_last_status();
}

/* Where the derivative of the activation reads its argument, x w + bias, that is kept beside the result. */
static mt_status run_linear_act(mt_call *call, mt_tensor *out)
{
    const mt_op act = call->attribute[0].op;
    const mt_op_info *info = mt_op_describe(act);
    const bool keep = call->wants && info->needs[0] & MT_NEED_A;
    mt_tensor *pre = keep ? mt_tape_like(call->tape, out) : out;
    if (!pre) return MT_ERR_MEMORY;
    call->extra = pre;
    if (call->wants && info->needs[0] & MT_NEED_Y) call->saves |= MT_READS_OUT;
    return mt_op_linear_act(out, call->in[0], call->in[1], call->in[2], act, keep, pre);
}

static mt_tensor *express_linear_act(mt_call *call)
{
    mt_tensor *sum = mt_linear(call->tape, call->in[0], call->in[1], call->in[2]);
    return mt_map(call->tape, call->attribute[0].op, sum, 0, 0);
}

static void vjp_linear_act(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *share = mt_tape_like(tape, g), *pre = node->extra;
    if (!share || !mt_did(tape, mt_op_map_grad(share, node->attribute[0].op, g, pre, node->out, 0, 0)))
        mt_tape_give_up(tape);
    else
        vjp_linear(tape, node, share);
}

#define LAYER_INPUTS                                                              \
    {                                                                             \
        {.name = "x", .low = -2, .high = 2}, {.name = "w", .low = -2, .high = 2}, \
        {                                                                         \
            .name = "bias", .low = -2, .high = 2                                  \
        }                                                                         \
    }
static const mt_example linear_examples[] = {
    {.shape = {{2, {5, 3}}, {2, {3, 4}}, {1, {4}}}},
    {.shape = {{1, {3}}, {2, {3, 4}}, {1, {4}}}},
    {.shape = {{3, {2, 3, 5}}, {2, {5, 2}}, {1, {2}}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_linear = {
    .name = "linear",
    .formula = "x w + bias, x (..., in), w (in, out), bias (out)",
    .input = LAYER_INPUTS,
    .shape = shape_linear,
    .run = run_linear,
    .expression = express_linear,
    .vjp = vjp_linear,
    .reads = {1u << 1, 1u << 0},
    .cost = MT_COST_ARITHMETIC,
    .examples = linear_examples,
};

mt_tensor *mt_linear(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias)
{
    return mt_apply_operation(tape, &mt_operation_linear, (mt_tensor *[]){x, w, bias}, 3, NULL);
}

static const mt_example linear_act_examples[] = {
    {.shape = {{2, {5, 3}}, {2, {3, 4}}, {1, {4}}}, .attribute = {{.op = MT_OP_tanh}}},
    {.shape = {{1, {3}}, {2, {3, 4}}, {1, {4}}}, .attribute = {{.op = MT_OP_gelu}}},
    {.shape = {{3, {2, 3, 5}}, {2, {5, 2}}, {1, {2}}}, .attribute = {{.op = MT_OP_square}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_linear_act = {
    .name = "linear_act",
    .formula = "act(x w + bias), act a map without constants",
    .input = LAYER_INPUTS,
    .attribute = {{"act", MT_ATTRIBUTE_OP}},
    .shape = shape_linear_act,
    .run = run_linear_act,
    .expression = express_linear_act,
    .vjp = vjp_linear_act,
    .reads = {1u << 1 | MT_READS_ATTRIBUTES, 1u << 0 | MT_READS_ATTRIBUTES, MT_READS_ATTRIBUTES},
    .cost = MT_COST_ARITHMETIC,
    .examples = linear_act_examples,
};

/* Such as MT_OP_relu: in one pass, as one node of the tape. */
mt_tensor *mt_linear_act(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, mt_op act)
{
    return mt_apply_operation(tape, &mt_operation_linear_act, (mt_tensor *[]){x, w, bias}, 3,
                              &(mt_attribute){.op = act});
}

/* ---- the product of a column and a row ---- */

static mt_status shape_outer(const mt_call *call, mt_shape *result)
{
    *result = mt_shape(0, 0);
    for (int i = 0; i < 2; i++) {
        const mt_shape shape = mt_tensor_shape(call->in[i]);
        char text[MT_SHAPE_TEXT];
        if (shape.rank != 1)
            return mt_fail(MT_ERR_SHAPE, "outer: operand %d has shape %s; give two vectors", i,
                           mt_shape_text(shape, text));
        result->size[i] = shape.size[0];
    }
    return MT_OK;
}

static mt_tensor *express_outer(mt_call *call)
{
    return mt_mul(call->tape, mt_unsqueeze(call->tape, call->in[0], 1), call->in[1]);
}

static const mt_example outer_examples[] = {
    {.shape = {{1, {4}}, {1, {3}}}},
    {.shape = {{1, {1}}, {1, {5}}}},
    {.shape = {{1, {0}}, {1, {3}}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_outer = {
    .name = "outer",
    .formula = "a[i] b[j], a (n), b (m), the result (n, m)",
    .input = {{.name = "a", .low = -2, .high = 2}, {.name = "b", .low = -2, .high = 2}},
    .shape = shape_outer,
    .expression = express_outer,
    .by_parts = "it is a product of a view and b",
    .cost = MT_COST_ARITHMETIC,
    .examples = outer_examples,
};

mt_tensor *mt_outer(mt_tape *tape, mt_tensor *a, mt_tensor *b)
{
    return mt_apply_operation(tape, &mt_operation_outer, (mt_tensor *[]){a, b}, 2, NULL);
}
