/* autodiff/conv.c - convolutions on the tape: along one dimension or two, as PyTorch has them, and anchored
 * left, as minitorch has them.
 *
 * All are one slot, conv, of images with two dimensions: one dimension is a height of 1. A tape that does not
 * fuse makes them of zeros around the input, windows as a view, and a matrix product.
 */
#include "../tensor/conv.h"
#include "elementwise.h"
#include "node.h"

/* Of conv1d 1, of conv2d 2: the digit in the name. */
static int dims_of(const mt_operation *operation) { return operation->name[4] - '0'; }

/* What the attributes say, for so many dimensions; those of an operation without any are minitorch's. */
static mt_status options_of(const mt_operation *operation, const mt_attribute *a, mt_conv_options *options)
{
    const int dims = dims_of(operation);
    *options = mt_conv_defaults();
    options->left = !operation->attribute[0].name;
    if (options->left) return MT_OK;
    int64_t *const lists[] = {options->stride, options->padding, options->dilation};
    for (int i = 0; i < 3; i++) {
        if (dims == 2 && a[i].shape->rank != 2) {
            char text[MT_SHAPE_TEXT];
            return mt_fail(MT_ERR_SHAPE, "%s: %s %s; give two numbers, along the height and along the width",
                           operation->name, operation->attribute[i].name, mt_shape_text(*a[i].shape, text));
        }
        for (int d = 0; d < dims; d++) lists[i][d] = dims == 2 ? a[i].shape->size[d] : a[i].integer;
    }
    options->groups = a[3].integer;
    return MT_OK;
}

static mt_status shape_conv(const mt_call *call, mt_shape *result)
{
    mt_conv_options options;
    mt_status status = options_of(call->operation, call->attribute, &options);
    if (status != MT_OK) return status;
    return mt_rule_conv(call->operation->name, dims_of(call->operation), &call->in[0]->layout,
                        &call->in[1]->layout, call->inputs > 2 ? &call->in[2]->layout : NULL, &options,
                        result);
}

/* x with a height of 1, where it has none; and options that are for two dimensions. */
static mt_tensor with_height(const mt_tensor *x)
{
    mt_layout layout = x->layout;
    if (layout.rank == 3) mt_layout_unsqueeze(&x->layout, 2, &layout);
    return mt_alias(x, &layout);
}

static mt_status options_of_two(const mt_operation *operation, const mt_attribute *a,
                                mt_conv_options *options)
{
    mt_status status = options_of(operation, a, options);
    if (status != MT_OK || dims_of(operation) == 2) return status;
    options->stride[1] = options->stride[0], options->stride[0] = 1;
    options->padding[1] = options->padding[0], options->padding[0] = 0;
    options->dilation[1] = options->dilation[0], options->dilation[0] = 1;
    return MT_OK;
}

static mt_status run_conv(mt_call *call, mt_tensor *out)
{
    mt_conv_options options;
    const mt_tensor x = with_height(call->in[0]), w = with_height(call->in[1]);
    mt_tensor y = with_height(out);
    mt_status status = options_of_two(call->operation, call->attribute, &options);
    if (status != MT_OK) return status;
    return call->inputs > 2 ? mt_op_conv2d_bias(&y, &x, &w, call->in[2], options)
                            : mt_op_conv2d(&y, &x, &w, options);
}

static void vjp_conv(mt_tape *tape, const mt_node *node, mt_tensor *cotangent)
{
    mt_conv_options options;
    bool add;
    const mt_tensor x = with_height(node->in[0].tensor), w = with_height(node->in[1].tensor),
                    g = with_height(cotangent);
    if (node->inputs > 2 && mt_wants(node, 2)) {
        mt_tensor *to = mt_target(tape, node, 2, &add);
        const mt_shape dims = mt_axes(0, 2, 3);
        if (to) mt_arrived(tape, node, 2, add ? mt_op_add_sum(to, &g, dims) : mt_op_sum(to, &g, dims));
    }
    for (int i = 0; i < 2; i++) {
        if (!mt_wants(node, i) || !mt_did(tape, options_of_two(node->operation, node->attribute, &options)))
            continue;
        mt_tensor *to = mt_target(tape, node, i, &add);
        if (!to) return;
        mt_tensor share = with_height(to);
        mt_arrived(tape, node, i,
                   i == 0 ? mt_op_conv2d_grad_x(&share, &g, &w, options, add)
                          : mt_op_conv2d_grad_w(&share, &g, &x, options, add));
    }
}

/* ---- of other operations ---- */

/* x with zeros around, as windows: (N, C, windows..., kernel...). */
static mt_tensor *windows_of(mt_tape *t, mt_tensor *x, const mt_tensor *w, int dims,
                             const mt_conv_options *options)
{
    mt_shape before = {.rank = dims + 2}, after = before;
    for (int d = 0; d < dims; d++) {
        before.size[d + 2] = after.size[d + 2] = options->padding[d];
        if (options->left) after.size[d + 2] = w->layout.size[d + 2] - 1;
    }
    x = mt_pad(t, x, before, after, 0);
    for (int d = 0; d < dims; d++) {
        const int64_t dilation = options->dilation[d], reach = (w->layout.size[d + 2] - 1) * dilation + 1;
        x = mt_slice(t, mt_unfold(t, x, d + 2, reach, options->stride[d]), -1, 0, MT_END_OF_DIM, dilation);
    }
    return x;
}

static mt_tensor *express_conv(mt_call *call)
{
    mt_tape *t = call->tape;
    const int dims = dims_of(call->operation);
    mt_conv_options options;
    mt_shape shape, order = {.rank = 2 * dims + 2, .size = {0, 1}}, column = {.rank = dims + 1};
    if (options_of(call->operation, call->attribute, &options) != MT_OK || shape_conv(call, &shape) != MT_OK)
        return NULL;
    mt_tensor *w = call->in[1];
    const int64_t outputs = shape.size[1], depth = w->layout.size[1];
    int64_t places = depth, windows = 1;
    for (int d = 0; d < dims; d++) {
        places *= w->layout.size[d + 2], windows *= shape.size[d + 2];
        order.size[d + 2] = d + 2 + dims, order.size[d + 2 + dims] = d + 2;
        column.size[d + 1] = 1;
    }
    mt_tensor *x = mt_permute(t, windows_of(t, call->in[0], w, dims, &options), order);
    x = mt_reshape(t, x, mt_shape(shape.size[0], options.groups, places, windows));
    w = mt_reshape(t, w, mt_shape(options.groups, outputs / options.groups, places));
    mt_tensor *y = mt_reshape(t, mt_matmul(t, w, x), shape);
    if (call->inputs < 3) return y;
    column.size[0] = outputs;
    return mt_add(t, y, mt_reshape(t, call->in[2], column));
}

/* ---- the descriptors ---- */

/* clang-format off */
#define OF_X    {.name = "x", .low = -2, .high = 2}
#define OF_W    {.name = "w", .low = -2, .high = 2}
#define OF_BIAS {.name = "bias", .low = -2, .high = 2}
#define OPTIONS(type) \
    {{"stride", type}, {"padding", type}, {"dilation", type}, {"groups", MT_ATTRIBUTE_INTEGER}}
#define COMMON                                                                               \
    .shape = shape_conv, .run = run_conv, .expression = express_conv, .vjp = vjp_conv,       \
    .cost = MT_COST_ARITHMETIC
#define READS(more) {1u << 1 | (more), 1u << 0 | (more)}
#define ATTRIBUTES  (unsigned)MT_READS_ATTRIBUTES
#define LISTS(s, p, d, g)   {{.shape = &pairs[s]}, {.shape = &pairs[p]}, {.shape = &pairs[d]}, {.integer = g}}
#define NUMBERS(s, p, d, g) {{.integer = s}, {.integer = p}, {.integer = d}, {.integer = g}}

enum { ONES, NONES, TWOS, ONE_NONE, TWO_ONE, TWO_THREE };
static const mt_shape pairs[] = {[ONES] = {2, {1, 1}}, [NONES] = {2, {0, 0}}, [TWOS] = {2, {2, 2}},
                                 [ONE_NONE] = {2, {1, 0}}, [TWO_ONE] = {2, {2, 1}}, [TWO_THREE] = {2, {2, 3}}};

static const mt_example examples_1[] = {
    {.shape = {{3, {2, 2, 5}}, {3, {3, 2, 3}}}, .attribute = NUMBERS(1, 1, 1, 1)},
    {.shape = {{3, {1, 4, 7}}, {3, {2, 2, 2}}}, .attribute = NUMBERS(3, 0, 2, 2)},
    {.shape = {{3, {2, 2, 4}}, {3, {2, 1, 3}}}, .attribute = NUMBERS(2, 3, 1, 2)},
    {.shape = {{3, {1, 2, 7}}, {3, {2, 2, 1}}}, .attribute = NUMBERS(3, 0, 1, 1)},
    {.shape = {{0}}},
};
static const mt_example bias_examples_1[] = {
    {.shape = {{3, {2, 2, 5}}, {3, {3, 2, 3}}, {1, {3}}}, .attribute = NUMBERS(1, 1, 1, 1)},
    {.shape = {{3, {1, 2, 6}}, {3, {2, 1, 2}}, {1, {2}}}, .attribute = NUMBERS(2, 0, 3, 2)},
    {.shape = {{0}}},
};
static const mt_example examples_2[] = {
    {.shape = {{4, {2, 2, 3, 4}}, {4, {3, 2, 2, 3}}}, .attribute = LISTS(ONES, NONES, ONES, 1)},
    {.shape = {{4, {1, 2, 4, 3}}, {4, {2, 1, 3, 2}}}, .attribute = LISTS(TWO_ONE, TWO_ONE, ONES, 2)},
    {.shape = {{4, {1, 1, 5, 7}}, {4, {2, 1, 2, 3}}}, .attribute = LISTS(TWO_THREE, ONE_NONE, TWO_ONE, 1)},
    {.shape = {{4, {1, 4, 3, 3}}, {4, {2, 2, 1, 1}}}, .attribute = LISTS(TWOS, ONES, ONES, 2)},
    {.shape = {{0}}},
};
static const mt_example bias_examples_2[] = {
    {.shape = {{4, {2, 2, 3, 4}}, {4, {3, 2, 2, 3}}, {1, {3}}}, .attribute = LISTS(ONES, ONE_NONE, ONES, 1)},
    {.shape = {{4, {1, 2, 4, 5}}, {4, {2, 1, 2, 2}}, {1, {2}}}, .attribute = LISTS(TWOS, ONES, TWO_ONE, 2)},
    {.shape = {{0}}},
};
static const mt_example left_examples_1[] = {
    {.shape = {{3, {2, 2, 5}}, {3, {3, 2, 3}}}},
    {.shape = {{3, {1, 1, 2}}, {3, {2, 1, 4}}}},
    {.shape = {{0}}},
};
static const mt_example left_examples_2[] = {
    {.shape = {{4, {2, 2, 3, 4}}, {4, {3, 2, 2, 3}}}},
    {.shape = {{4, {1, 1, 2, 3}}, {4, {1, 1, 3, 1}}}},
    {.shape = {{0}}},
};
/* clang-format on */

const mt_operation mt_operation_conv1d = {
    .name = "conv1d",
    .formula = "the sum over c, p of x[n, c, i stride + p dilation - padding] w[o, c, p], x 0 outside",
    .input = {OF_X, OF_W},
    .attribute = OPTIONS(MT_ATTRIBUTE_INTEGER),
    COMMON,
    .reads = READS(ATTRIBUTES),
    .examples = examples_1,
};

/* x (N, C, L), w (O, C / groups, K): PyTorch's. Groups of channels and of outputs meet in their order. */
mt_tensor *mt_conv1d(mt_tape *tape, mt_tensor *x, mt_tensor *w, int64_t stride, int64_t padding,
                     int64_t dilation, int64_t groups)
{
    return mt_apply_operation(tape, &mt_operation_conv1d, (mt_tensor *[]){x, w}, 2,
                              (const mt_attribute[])NUMBERS(stride, padding, dilation, groups));
}

const mt_operation mt_operation_conv1d_bias = {
    .name = "conv1d_bias",
    .formula = "conv1d of x and w, and bias[o]",
    .input = {OF_X, OF_W, OF_BIAS},
    .attribute = OPTIONS(MT_ATTRIBUTE_INTEGER),
    COMMON,
    .reads = READS(ATTRIBUTES),
    .examples = bias_examples_1,
};

mt_tensor *mt_conv1d_bias(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, int64_t stride,
                          int64_t padding, int64_t dilation, int64_t groups)
{
    return mt_apply_operation(tape, &mt_operation_conv1d_bias, (mt_tensor *[]){x, w, bias}, 3,
                              (const mt_attribute[])NUMBERS(stride, padding, dilation, groups));
}

const mt_operation mt_operation_conv2d = {
    .name = "conv2d",
    .formula =
        "the sum over c, p, q of x[n, c, i stride0 + p dilation0 - padding0, j stride1 + q dilation1 - "
        "padding1] w[o, c, p, q], x 0 outside",
    .input = {OF_X, OF_W},
    .attribute = OPTIONS(MT_ATTRIBUTE_SHAPE),
    COMMON,
    .reads = READS(ATTRIBUTES),
    .examples = examples_2,
};

#define PAIRS                                                                                \
    (const mt_attribute[])                                                                   \
    {                                                                                        \
        {.shape = &stride}, {.shape = &padding}, {.shape = &dilation}, { .integer = groups } \
    }

/* x (N, C, H, W), w (O, C / groups, KH, KW): PyTorch's. stride, padding and dilation have two numbers, along
 * the height and along the width. */
mt_tensor *mt_conv2d(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_shape stride, mt_shape padding,
                     mt_shape dilation, int64_t groups)
{
    return mt_apply_operation(tape, &mt_operation_conv2d, (mt_tensor *[]){x, w}, 2, PAIRS);
}

const mt_operation mt_operation_conv2d_bias = {
    .name = "conv2d_bias",
    .formula = "conv2d of x and w, and bias[o]",
    .input = {OF_X, OF_W, OF_BIAS},
    .attribute = OPTIONS(MT_ATTRIBUTE_SHAPE),
    COMMON,
    .reads = READS(ATTRIBUTES),
    .examples = bias_examples_2,
};

mt_tensor *mt_conv2d_bias(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, mt_shape stride,
                          mt_shape padding, mt_shape dilation, int64_t groups)
{
    return mt_apply_operation(tape, &mt_operation_conv2d_bias, (mt_tensor *[]){x, w, bias}, 3, PAIRS);
}

const mt_operation mt_operation_conv1d_left = {
    .name = "conv1d_left",
    .formula = "minitorch's conv1d: the sum over c, p of x[n, c, i + p] w[o, c, p], x 0 past its end",
    .input = {OF_X, OF_W},
    COMMON,
    .reads = READS(0),
    .examples = left_examples_1,
};

/* x (N, C, L), w (O, C, K); the result is as long as x, however long the kernel. */
mt_tensor *mt_conv1d_left(mt_tape *tape, mt_tensor *x, mt_tensor *w)
{
    return mt_apply_operation(tape, &mt_operation_conv1d_left, (mt_tensor *[]){x, w}, 2, NULL);
}

const mt_operation mt_operation_conv2d_left = {
    .name = "conv2d_left",
    .formula =
        "minitorch's conv2d: the sum over c, p, q of x[n, c, i + p, j + q] w[o, c, p, q], x 0 past its ends",
    .input = {OF_X, OF_W},
    COMMON,
    .reads = READS(0),
    .examples = left_examples_2,
};

/* x (N, C, H, W), w (O, C, KH, KW); the result is as high and as wide as x. */
mt_tensor *mt_conv2d_left(mt_tape *tape, mt_tensor *x, mt_tensor *w)
{
    return mt_apply_operation(tape, &mt_operation_conv2d_left, (mt_tensor *[]){x, w}, 2, NULL);
}
