/* autodiff/windows.c - zeros around a tensor, and the windows that convolutions and pooling look through.
 *
 * Windows are a view: neighbours may share elements, so going back their gradients add up. Those of a stretch
 * of `step` places of every window share none, and are added to x's gradient at once, stretch after stretch:
 * in an order that the sizes give.
 */
#include "../tensor/elementwise_ops.h"
#include "node.h"

/* ---- windows ---- */

static mt_status view_unfold(const mt_call *call, mt_layout *result)
{
    const mt_attribute *a = call->attribute;
    return mt_layout_unfold(&call->in[0]->layout, a[0].integer, a[1].integer, a[2].integer, result);
}

/* Adds places first .. first+length-1 of each window of g to where they came from in `to`. */
static mt_status add_stretch(const mt_tensor *to, const mt_tensor *g, const mt_attribute *a, int64_t first,
                             int64_t length)
{
    mt_layout from = g->layout, part, windows;
    int d;
    mt_status status = mt_layout_dim(&to->layout, a[0].integer, "unfold", &d);
    if (status != MT_OK) return status;
    const int64_t count = g->layout.size[d];
    status = mt_layout_slice(&g->layout, -1, first, first + length, 1, &from);
    if (status == MT_OK)
        status =
            mt_layout_slice(&to->layout, d, first, first + (count - 1) * a[2].integer + length, 1, &part);
    if (status == MT_OK) status = mt_layout_unfold(&part, d, length, a[2].integer, &windows);
    if (status != MT_OK) return status;
    mt_tensor share = mt_alias(g, &from), place = mt_alias(to, &windows);
    return mt_op_add(&place, &place, &share);
}

static void vjp_unfold(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const mt_attribute *a = node->attribute;
    const int64_t size = a[1].integer, step = a[2].integer;
    bool add;
    mt_tensor *to = mt_target(tape, node, 0, &add);
    if (!to || (!add && !mt_did(tape, mt_op_fill(to, 0)))) return;
    mt_status status = MT_OK;
    for (int64_t first = 0, length; first < size && status == MT_OK; first += length) {
        length = step < size - first ? step : size - first;
        status = add_stretch(to, g, a, first, length);
    }
    mt_arrived(tape, node, 0, status);
}

static const mt_example unfold_examples[] = {
    {.shape = {{2, {3, 7}}}, .attribute = {{.integer = 1}, {.integer = 3}, {.integer = 1}}},
    {.shape = {{3, {2, 8, 3}}}, .attribute = {{.integer = -2}, {.integer = 3}, {.integer = 2}}},
    {.shape = {{1, {9}}}, .attribute = {{.integer = 0}, {.integer = 2}, {.integer = 3}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_unfold = {
    .name = "unfold",
    .formula = "windows of size elements of x along dim, step apart, in a new last dimension",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}, {"size", MT_ATTRIBUTE_INTEGER}, {"step", MT_ATTRIBUTE_INTEGER}},
    .view = view_unfold,
    .vjp = vjp_unfold,
    .reads = {(unsigned)MT_READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = unfold_examples,
};

/* A view, as PyTorch's Tensor.unfold: element (.., w, .., i) is x's (.., w step + i, ..). Windows may share
 * elements, whose gradients add up. */
mt_tensor *mt_unfold(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t size, int64_t step)
{
    return mt_apply_operation(tape, &mt_operation_unfold, &x, 1,
                              (const mt_attribute[]){{.integer = dim}, {.integer = size}, {.integer = step}});
}

/* ---- a constant around x ---- */

static mt_status shape_pad(const mt_call *call, mt_shape *result)
{
    const mt_shape x = mt_tensor_shape(call->in[0]);
    char text[MT_SHAPE_TEXT], text_x[MT_SHAPE_TEXT];
    *result = x;
    for (int i = 0; i < 2; i++) {
        const mt_shape *pad = call->attribute[i].shape;
        bool fits = pad->rank == x.rank;
        for (int d = 0; d < x.rank && fits; d++) {
            fits = pad->size[d] >= 0 && pad->size[d] <= INT64_MAX - result->size[d];
            if (fits) result->size[d] += pad->size[d];
        }
        if (!fits)
            return mt_fail(
                MT_ERR_SHAPE,
                "pad: %s %s around a tensor of shape %s; give a number of elements, at least 0, for "
                "each dimension",
                call->operation->attribute[i].name, mt_shape_text(*pad, text), mt_shape_text(x, text_x));
    }
    return mt_shape_count(*result) < 0 ? MT_ERR_SHAPE : MT_OK;
}

/* Where x lies in a tensor of the padded shape. */
static mt_status inside(const mt_layout *padded, const mt_shape *before, const mt_layout *x,
                        mt_layout *result)
{
    mt_status status = MT_OK;
    *result = *padded;
    for (int d = 0; d < x->rank && status == MT_OK; d++)
        status = mt_layout_slice(result, d, before->size[d], before->size[d] + x->size[d], 1, result);
    return status;
}

static mt_status run_pad(mt_call *call, mt_tensor *out)
{
    const mt_tensor *x = call->in[0];
    mt_layout layout;
    mt_status status = mt_op_fill(out, call->attribute[2].real);
    if (status == MT_OK) status = inside(&out->layout, call->attribute[0].shape, &x->layout, &layout);
    if (status != MT_OK) return status;
    mt_tensor place = mt_alias(out, &layout);
    return mt_op_copy(&place, x);
}

static void vjp_pad(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_layout layout;
    if (mt_did(tape, inside(&g->layout, node->attribute[0].shape, &node->in[0].tensor->layout, &layout)))
        mt_send(tape, node, 0, mt_tape_alias(tape, g, &layout));
}

static const mt_shape around[] = {{2, {0, 2}}, {2, {1, 3}}, {3, {1, 0, 0}}, {3, {0, 0, 2}}};
static const mt_example pad_examples[] = {
    {.shape = {{2, {3, 4}}}, .attribute = {{.shape = &around[0]}, {.shape = &around[1]}, {.real = 0}}},
    {.shape = {{3, {2, 3, 2}}}, .attribute = {{.shape = &around[2]}, {.shape = &around[3]}, {.real = -2}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_pad = {
    .name = "pad",
    .formula = "x with before[d] elements of value before it, and after[d] behind it, along each dimension d",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .attribute = {{"before", MT_ATTRIBUTE_SHAPE},
                  {"after", MT_ATTRIBUTE_SHAPE},
                  {"value", MT_ATTRIBUTE_REAL}},
    .shape = shape_pad,
    .run = run_pad,
    .vjp = vjp_pad,
    .reads = {(unsigned)MT_READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = pad_examples,
};

/* before and after name every dimension of x: mt_pad(t, x, mt_shape(0, 1), mt_shape(0, 1), 0) puts a column
 * of zeros at each side of a matrix. */
mt_tensor *mt_pad(mt_tape *tape, mt_tensor *x, mt_shape before, mt_shape after, double value)
{
    return mt_apply_operation(tape, &mt_operation_pad, &x, 1,
                              (const mt_attribute[]){{.shape = &before}, {.shape = &after}, {.real = value}});
}
