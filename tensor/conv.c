/* tensor/conv.c - convolutions: their shape rule, and the checks before a backend's slot. */
#include "conv.h"

#include <inttypes.h>

#include "rules.h"
#include "storage.h"

mt_conv_options mt_conv_defaults(void)
{
    return (mt_conv_options){.stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
}

/* ---- the rule ---- */

static const char *const side_names[2][2] = {{"length", ""}, {"height", "width"}};

/* No sum of positions below overflows, since those are below twice this. */
enum { FARTHEST_BITS = 60 };

int64_t mt_rule_windows(const char *what, int along, int dims, int64_t size, int64_t kernel, int64_t stride,
                        int64_t padding, int64_t dilation)
{
    const char *side = side_names[dims - 1][along];
    const int64_t farthest = INT64_C(1) << FARTHEST_BITS;
    const char *wrong = stride < 1 || stride > farthest       ? "stride"
                        : dilation < 1 || dilation > farthest ? "dilation"
                                                              : NULL;
    if (wrong) {
        mt_fail(MT_ERR_VALUE, "%s: %s %" PRId64 " along the %s; it must be at least 1, and below 2^60", what,
                wrong, *wrong == 's' ? stride : dilation, side);
        return -1;
    }
    if (padding < 0 || padding > farthest / 4 || size > farthest / 4) {
        mt_fail(MT_ERR_VALUE, "%s: padding %" PRId64 " along the %s; it must be at least 0, and below 2^58",
                what, padding, side);
        return -1;
    }
    const int64_t room = size + 2 * padding;
    if (kernel < 1 || kernel > room || (kernel - 1) > (room - 1) / dilation) {
        mt_fail(MT_ERR_SHAPE,
                "%s: a kernel of %" PRId64 " along the %s, dilation %" PRId64 ", does not fit into %" PRId64
                " elements with %" PRId64 " of padding at each side",
                what, kernel, side, dilation, size, padding);
        return -1;
    }
    return (room - 1 - (kernel - 1) * dilation) / stride + 1;
}

static mt_status check_ranks(const char *what, int dims, const mt_layout *x, const mt_layout *w)
{
    char text[MT_SHAPE_TEXT];
    const char *sizes = dims == 2 ? "height, width" : "length";
    if (x->rank != dims + 2)
        return mt_fail(MT_ERR_SHAPE, "%s: an input of shape %s; it must be (images, channels, %s)", what,
                       mt_shape_text(mt_layout_shape(x), text), sizes);
    if (w->rank != dims + 2)
        return mt_fail(
            MT_ERR_SHAPE,
            "%s: a weight of shape %s; it must be (outputs, channels of a group, %s of the kernel)", what,
            mt_shape_text(mt_layout_shape(w), text), sizes);
    return MT_OK;
}

static mt_status check_channels(const char *what, const mt_layout *x, const mt_layout *w,
                                const mt_layout *bias, int64_t groups)
{
    char text[MT_SHAPE_TEXT], text_w[MT_SHAPE_TEXT];
    const int64_t channels = x->size[1], outputs = w->size[0];
    if (groups < 1 || channels % groups || outputs % groups)
        return mt_fail(MT_ERR_SHAPE,
                       "%s: %" PRId64 " groups of %" PRId64 " channels and %" PRId64
                       " outputs; both must be multiples of it, and it at least 1",
                       what, groups, channels, outputs);
    if (channels < 1 || outputs < 1 || w->size[1] != channels / groups)
        return mt_fail(
            MT_ERR_SHAPE,
            "%s: an input of shape %s and a weight of shape %s, with %" PRId64
            " groups; the weight's second size must be the input's channels, at least 1, divided by "
            "the groups",
            what, mt_shape_text(mt_layout_shape(x), text), mt_shape_text(mt_layout_shape(w), text_w), groups);
    if (bias && (bias->rank != 1 || bias->size[0] != outputs))
        return mt_fail(MT_ERR_SHAPE, "%s: the bias has shape %s; for a weight of %s it must be (%" PRId64 ")",
                       what, mt_shape_text(mt_layout_shape(bias), text),
                       mt_shape_text(mt_layout_shape(w), text_w), outputs);
    return MT_OK;
}

mt_status mt_rule_conv(const char *what, int dims, const mt_layout *x, const mt_layout *w,
                       const mt_layout *bias, const mt_conv_options *options, mt_shape *result)
{
    mt_status status = check_ranks(what, dims, x, w);
    if (status == MT_OK) status = check_channels(what, x, w, bias, options->groups);
    if (status != MT_OK) return status;
    mt_shape shape = {.rank = dims + 2, .size = {x->size[0], w->size[0]}};
    for (int d = 0; d < dims; d++) {
        const int64_t size = x->size[d + 2], kernel = w->size[d + 2];
        const int64_t stride = options->stride[d], padding = options->padding[d],
                      dilation = options->dilation[d];
        if (options->left) {
            if (stride != 1 || padding != 0 || dilation != 1)
                return mt_fail(MT_ERR_VALUE, "%s: anchored left, stride and dilation are 1 and padding is 0",
                               what);
            if (kernel < 1 || kernel > INT64_C(1) << 58)
                return mt_fail(MT_ERR_SHAPE, "%s: a kernel of %" PRId64 " elements; at least 1", what,
                               kernel);
            shape.size[d + 2] = size;
        } else {
            shape.size[d + 2] = mt_rule_windows(what, d, dims, size, kernel, stride, padding, dilation);
            if (shape.size[d + 2] < 0) return mt_last_status();
        }
    }
    if (mt_shape_count(shape) < 0) return mt_last_status();
    *result = shape;
    return MT_OK;
}

/* ---- the calls ---- */

/* The three operands of work: x, w and y, of which the part says which is written; bias is given only when
 * has_bias says so. */
static mt_status conv(const char *what, const mt_tensor *x, const mt_tensor *w, const mt_tensor *y,
                      const mt_tensor *bias, bool has_bias, const mt_conv_options *options, mt_conv_part part,
                      bool accumulate)
{
    static const int written[] = {[MT_CONV_VALUE] = 2, [MT_CONV_GRAD_X] = 0, [MT_CONV_GRAD_W] = 1};
    const mt_tensor *all[] = {x, w, y, bias}, *in[3], *out = all[written[part]];
    const int operands = has_bias ? 4 : 3;
    int inputs = 0;
    for (int i = 0; i < operands; i++)
        if (i != written[part]) in[inputs++] = all[i];
    mt_status status = mt_check_operands(what, out, in, inputs);
    for (int i = 0; i < operands && status == MT_OK; i++)
        if (all[i]->kind != MT_REAL)
            status = mt_fail(MT_ERR_KIND,
                             "%s: an operand holds indices (INDEX); convert it with mt_tensor_as(x, MT_REAL)",
                             what);
    mt_shape shape;
    if (status == MT_OK)
        status =
            mt_rule_conv(what, 2, &x->layout, &w->layout, has_bias ? &bias->layout : NULL, options, &shape);
    if (status != MT_OK) return status;
    if (!mt_shape_equal(shape, mt_tensor_shape(y))) {
        char text[MT_SHAPE_TEXT], text_y[MT_SHAPE_TEXT];
        return mt_fail(MT_ERR_SHAPE, "%s: the result has shape %s, and %s %s", what,
                       mt_shape_text(shape, text),
                       part == MT_CONV_VALUE ? "the output" : "the gradient given for it",
                       mt_shape_text(mt_tensor_shape(y), text_y));
    }
    mt_conv_work work = {.part = part,
                         .accumulate = accumulate,
                         .groups = options->groups,
                         .x = mt_tensor_operand(x),
                         .w = mt_tensor_operand(w),
                         .y = mt_tensor_operand(y)};
    if (has_bias) work.bias = mt_tensor_operand(bias);
    for (int d = 0; d < 2; d++) {
        work.stride[d] = options->stride[d];
        work.dilation[d] = options->dilation[d];
        work.before[d] = options->padding[d];
    }
    mt_tensor_touch((mt_tensor *)out);
    mt_backend *backend = out->storage->backend;
    return backend->conv(backend, &work);
}

mt_status mt_op_conv2d(mt_tensor *out, const mt_tensor *x, const mt_tensor *w, mt_conv_options options)
{
    return conv("conv2d", x, w, out, NULL, false, &options, MT_CONV_VALUE, false);
}

mt_status mt_op_conv2d_bias(mt_tensor *out, const mt_tensor *x, const mt_tensor *w, const mt_tensor *bias,
                            mt_conv_options options)
{
    return conv("conv2d_bias", x, w, out, bias, true, &options, MT_CONV_VALUE, false);
}

mt_status mt_op_conv2d_grad_x(mt_tensor *out, const mt_tensor *g, const mt_tensor *w, mt_conv_options options,
                              bool accumulate)
{
    return conv("conv2d_grad_x", out, w, g, NULL, false, &options, MT_CONV_GRAD_X, accumulate);
}

mt_status mt_op_conv2d_grad_w(mt_tensor *out, const mt_tensor *g, const mt_tensor *x, mt_conv_options options,
                              bool accumulate)
{
    return conv("conv2d_grad_w", x, out, g, NULL, false, &options, MT_CONV_GRAD_W, accumulate);
}
