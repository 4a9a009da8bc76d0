/* autodiff/layer_norm.c - layer norm over the last dimensions, by a slot of its own, and as an expression for
 * a tape that does not fuse. The slot takes rows without gaps: operands in other layouts are copied. */
#include "../tensor/row_ops.h"
#include "elementwise.h"
#include "node.h"

#include <math.h>

/* gamma and beta have the shape of x's last dimensions, which are normalised. */
static mt_status shape_layer_norm(const mt_call *call, mt_shape *result)
{
    const mt_shape x = mt_tensor_shape(call->in[0]);
    const double eps = call->attribute[0].real;
    char text[MT_SHAPE_TEXT], text_x[MT_SHAPE_TEXT];
    *result = x;
    for (int k = 1; k < 3; k++) {
        const mt_shape own = mt_tensor_shape(call->in[k]);
        bool fits = own.rank >= 1 && own.rank <= x.rank && own.rank == mt_tensor_rank(call->in[1]);
        for (int d = 0; d < own.rank && fits; d++) fits = own.size[d] == x.size[x.rank - own.rank + d];
        if (!fits)
            return mt_fail(MT_ERR_SHAPE,
                           "layer_norm: %s of shape %s for x of shape %s; gamma and beta must have the shape "
                           "of x's last "
                           "dimensions, those that are normalised",
                           call->operation->input[k].name, mt_shape_text(own, text),
                           mt_shape_text(x, text_x));
    }
    if (eps >= 0 && isfinite(eps)) return MT_OK;
    return mt_fail(MT_ERR_VALUE, "layer_norm: eps is %g; give a finite number, at least 0",
                   mt_printable(eps));
}

/* ---- by the slot ---- */

/* What run keeps: mean and scale of each row, (2, rows). */
static mt_layer_norm_work describe(const mt_tensor *x, const mt_tensor *gamma, const mt_tensor *numbers,
                                   double eps)
{
    mt_real *number = (mt_real *)numbers->storage->data + numbers->layout.offset;
    const int64_t rows = numbers->layout.size[1];
    return (mt_layer_norm_work){.rows = rows,
                                .n = rows ? mt_tensor_count(x) / rows : 0,
                                .eps = eps,
                                .x = (const mt_real *)x->storage->data + x->layout.offset,
                                .gamma = (const mt_real *)gamma->storage->data + gamma->layout.offset,
                                .mean = number,
                                .scale = number + rows};
}

/* x without gaps: itself, or a copy on the tape. */
static const mt_tensor *without_gaps(mt_tape *t, const mt_tensor *x)
{
    if (mt_layout_is_contiguous(&x->layout)) return x;
    mt_tensor *copy = mt_tape_like(t, x);
    return copy && mt_op_copy(copy, x) == MT_OK ? copy : NULL;
}

static int64_t count_rows(const mt_tensor *x, const mt_tensor *gamma)
{
    int64_t rows = 1;
    for (int d = 0; d < mt_tensor_rank(x) - mt_tensor_rank(gamma); d++) rows *= x->layout.size[d];
    return rows;
}

static mt_status run_layer_norm(mt_call *call, mt_tensor *out)
{
    mt_tape *t = call->tape;
    for (int i = 0; i < 3; i++)
        if (call->in[i]->kind != MT_REAL || out->kind != MT_REAL)
            return mt_fail(MT_ERR_KIND,
                           "layer_norm: an operand holds indices (INDEX); convert it with mt_as");
    if (!mt_same_shape(out, call->in[0]))
        return mt_fail(MT_ERR_SHAPE, "layer_norm: the output has another shape than x");
    const mt_tensor *x = without_gaps(t, call->in[0]), *gamma = without_gaps(t, call->in[1]),
                    *beta = without_gaps(t, call->in[2]);
    mt_tensor *numbers = mt_tape_empty(t, mt_shape(2, count_rows(call->in[0], call->in[1])), MT_REAL);
    if (!x || !gamma || !beta || !numbers) return mt_last_status();
    call->extra = numbers;
    if (mt_tensor_count(out) == 0) return MT_OK;
    mt_layer_norm_work work = describe(x, gamma, numbers, call->attribute[0].real);
    work.beta = (const mt_real *)beta->storage->data + beta->layout.offset;
    work.out = (mt_real *)out->storage->data + out->layout.offset;
    return mt_op_layer_norm(out, &work);
}

/* Room for the gradient of input i, without gaps. */
static mt_tensor *room_for(mt_tape *t, const mt_node *node, int i)
{
    mt_tensor *to = mt_share(t, node, i, node->in[i].tensor);
    return !to || mt_layout_is_contiguous(&to->layout) ? to : mt_tape_like(t, to);
}

/* The sum over rows of x, which has the shape of the result, to input i. */
static void send_rows(mt_tape *t, const mt_node *node, int i, mt_tensor *x)
{
    if (mt_wants(node, i)) mt_send(t, node, i, x);
}

static void vjp_layer_norm(mt_tape *t, const mt_node *node, mt_tensor *gradient)
{
    mt_tensor *to_x = mt_wants(node, 0) ? room_for(t, node, 0) : NULL;
    mt_tensor *hat = mt_wants(node, 1) ? mt_tape_like(t, node->in[0].tensor) : NULL;
    mt_tensor *out = to_x ? to_x : hat;
    if (out && mt_tensor_count(out) > 0) {
        const mt_tensor *x = without_gaps(t, node->in[0].tensor),
                        *gamma = without_gaps(t, node->in[1].tensor), *g = without_gaps(t, gradient);
        if (!x || !gamma || !g) {
            mt_tape_give_up(t);
            return;
        }
        mt_layer_norm_work work = describe(x, gamma, node->extra, 0);
        work.back = true;
        work.g = (const mt_real *)g->storage->data + g->layout.offset;
        if (to_x) work.to_x = (mt_real *)to_x->storage->data + to_x->layout.offset;
        if (hat) work.hat = (mt_real *)hat->storage->data + hat->layout.offset;
        if (!mt_did(t, mt_op_layer_norm(out, &work))) return;
    }
    send_rows(t, node, 0, to_x);
    send_rows(t, node, 1, hat);
    send_rows(t, node, 2, gradient);
}

/* ---- as an expression ---- */

static mt_tensor *express_layer_norm(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    mt_shape dims = {.rank = mt_tensor_rank(call->in[1])};
    for (int d = 0; d < dims.rank; d++) dims.size[d] = d - dims.rank;
    mt_tensor *distance = mt_sub(t, x, mt_mean_dims(t, x, dims, true));
    mt_tensor *variance = mt_mean_dims(t, mt_square(t, distance), dims, true);
    mt_tensor *deviation = mt_sqrt(t, mt_add(t, variance, mt_num(t, call->attribute[0].real)));
    return mt_add(t, mt_mul(t, mt_div(t, distance, deviation), call->in[1]), call->in[2]);
}

/* ---- the operation ---- */

static const mt_example examples[] = {
    {.shape = {{2, {4, 6}}, {1, {6}}, {1, {6}}}, .attribute = {{.real = 1e-5}}},
    {.shape = {{3, {3, 2, 4}}, {2, {2, 4}}, {2, {2, 4}}}, .attribute = {{.real = 0.125}}},
    {.shape = {{1, {7}}, {1, {7}}, {1, {7}}}, .attribute = {{.real = 1e-3}}},
    {.shape = {{0}}},
};

const mt_operation mt_operation_layer_norm = {
    .name = "layer_norm",
    .formula =
        "(x - mean) / sqrt(variance + eps) gamma + beta, mean and variance over x's last dimensions, gamma's",
    .input = {{.name = "x", .low = -2, .high = 2},
              {.name = "gamma", .low = 0.5, .high = 2},
              {.name = "beta", .low = -1, .high = 1}},
    .attribute = {{"eps", MT_ATTRIBUTE_REAL}},
    .shape = shape_layer_norm,
    .run = run_layer_norm,
    .expression = express_layer_norm,
    .vjp = vjp_layer_norm,
    .reads = {1u << 0 | 1u << 1, 1u << 0, 0},
    .cost = MT_COST_ARITHMETIC,
    .examples = examples,
};

/* gamma and beta have the shape of x's last dimensions, over which it is normalised; the variance is divided
 * by their count. eps is finite and at least 0; PyTorch's is 1e-5. */
mt_tensor *mt_layer_norm(mt_tape *tape, mt_tensor *x, mt_tensor *gamma, mt_tensor *beta, double eps)
{
    return mt_apply_operation(tape, &mt_operation_layer_norm, (mt_tensor *[]){x, gamma, beta}, 3,
                              &(mt_attribute){.real = eps});
}
