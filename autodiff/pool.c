/* autodiff/pool.c - pooling: the largest element of each window, or the mean, and minitorch's tiles.
 *
 * Each is windows as a view (windows.c) and a reduction over their places.
 */
#include "../tensor/conv.h"
#include "node.h"

#include <math.h>

/* Kernel, stride and padding along each dimension. */
typedef struct pooling {
    int dims;
    int64_t kernel[2], stride[2], padding[2];
} pooling;

/* The digit in the name says how many dimensions there are. */
static mt_status pooling_of(const mt_call *call, pooling *p)
{
    const mt_attribute *a = call->attribute;
    int64_t *const lists[] = {p->kernel, p->stride, p->padding};
    p->dims = call->operation->name[8] - '0';
    for (int i = 0; i < 3; i++) {
        if (p->dims == 2 && a[i].shape->rank != 2) {
            char text[MT_SHAPE_TEXT];
            return mt_fail(MT_ERR_SHAPE, "%s: %s %s; give two numbers, along the height and along the width",
                           call->operation->name, call->operation->attribute[i].name,
                           mt_shape_text(*a[i].shape, text));
        }
        for (int d = 0; d < p->dims; d++) lists[i][d] = p->dims == 2 ? a[i].shape->size[d] : a[i].integer;
    }
    return MT_OK;
}

static mt_status shape_pool(const mt_call *call, mt_shape *result)
{
    const char *what = call->operation->name;
    const mt_layout *x = &call->in[0]->layout;
    pooling p;
    mt_status status = pooling_of(call, &p);
    if (status != MT_OK) return status;
    char text[MT_SHAPE_TEXT];
    mt_shape shape = mt_layout_shape(x);
    if (x->rank != p.dims + 2)
        return mt_fail(MT_ERR_SHAPE, "%s: an input of shape %s; it must be (images, channels, %s)", what,
                       mt_shape_text(shape, text), p.dims == 2 ? "height, width" : "length");
    for (int d = 0; d < p.dims; d++) {
        const int64_t padding = p.padding[d];
        shape.size[d + 2] =
            mt_rule_windows(what, d, p.dims, x->size[d + 2], p.kernel[d], p.stride[d], padding, 1);
        if (shape.size[d + 2] < 0) return mt_last_status();
        if (padding > p.kernel[d] / 2)
            return mt_fail(MT_ERR_VALUE,
                           "%s: padding %lld of a kernel of %lld; at most half the kernel, so that no window "
                           "is all padding",
                           what, (long long)padding, (long long)p.kernel[d]);
    }
    if (mt_shape_count(shape) < 0) return mt_last_status();
    *result = shape;
    return MT_OK;
}

/* The windows over x with value around it: (N, C, windows..., kernel...). */
static mt_tensor *windows_of(mt_call *call, double value)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    pooling p;
    if (pooling_of(call, &p) != MT_OK) return NULL;
    mt_shape around = {.rank = p.dims + 2};
    bool pads = false;
    for (int d = 0; d < p.dims; d++) {
        around.size[d + 2] = p.padding[d];
        pads |= p.padding[d] > 0;
    }
    if (pads) x = mt_pad(t, x, around, around, value);
    for (int d = 0; d < p.dims; d++) x = mt_unfold(t, x, d + 2, p.kernel[d], p.stride[d]);
    return x;
}

static mt_shape places(const mt_call *call)
{
    return call->in[0]->layout.rank == 4 ? mt_axes(-2, -1) : mt_axes(-1);
}

static mt_tensor *express_max_pool(mt_call *call)
{
    return mt_max_dims(call->tape, windows_of(call, -INFINITY), places(call), false);
}

static mt_tensor *express_avg_pool(mt_call *call)
{
    return mt_mean_dims(call->tape, windows_of(call, 0), places(call), false);
}

/* clang-format off */
#define OF_X {{.name = "x", .low = -2, .high = 2}}
#define OPTIONS(type) {{"kernel", type}, {"stride", type}, {"padding", type}}
#define NUMBERS(k, s, p) {{.integer = k}, {.integer = s}, {.integer = p}}
#define LISTS(k, s, p)   {{.shape = &pairs[k]}, {.shape = &pairs[s]}, {.shape = &pairs[p]}}
#define COMMON           .shape = shape_pool, .cost = MT_COST_ARITHMETIC
#define BY_PARTS         .by_parts = "windows are a view, and a reduction over them keeps what its VJP needs"

enum { ONES, NONES, TWOS, TWO_THREE, ONE_NONE };
static const mt_shape pairs[] = {[ONES] = {2, {1, 1}}, [NONES] = {2, {0, 0}}, [TWOS] = {2, {2, 2}},
                                 [TWO_THREE] = {2, {2, 3}}, [ONE_NONE] = {2, {1, 0}}};
static const mt_example examples_1[] = {
    {.shape = {{3, {2, 2, 6}}}, .attribute = NUMBERS(2, 2, 0)},
    {.shape = {{3, {1, 2, 5}}}, .attribute = NUMBERS(3, 1, 1)},
    {.shape = {{0}}},
};
static const mt_example examples_2[] = {
    {.shape = {{4, {2, 1, 4, 5}}}, .attribute = LISTS(TWOS, TWOS, NONES)},
    {.shape = {{4, {1, 2, 3, 4}}}, .attribute = LISTS(TWO_THREE, ONES, ONE_NONE)},
    {.shape = {{0}}},
};
/* clang-format on */

const mt_operation mt_operation_max_pool1d = {
    .name = "max_pool1d",
    .formula = "the largest of x[n, c, i stride + p - padding] over p < kernel",
    .input = OF_X,
    .attribute = OPTIONS(MT_ATTRIBUTE_INTEGER),
    COMMON,
    .expression = express_max_pool,
    BY_PARTS,
    .examples = examples_1,
};

/* x (N, C, L). A NaN is the largest; the gradient goes to the first of equal ones. padding, at most half the
 * kernel, counts as nothing. stride is most often the kernel. */
mt_tensor *mt_max_pool1d(mt_tape *tape, mt_tensor *x, int64_t kernel, int64_t stride, int64_t padding)
{
    return mt_apply_operation(tape, &mt_operation_max_pool1d, &x, 1,
                              (const mt_attribute[])NUMBERS(kernel, stride, padding));
}

const mt_operation mt_operation_avg_pool1d = {
    .name = "avg_pool1d",
    .formula = "the mean of x[n, c, i stride + p - padding] over p < kernel, x 0 outside",
    .input = OF_X,
    .attribute = OPTIONS(MT_ATTRIBUTE_INTEGER),
    COMMON,
    .expression = express_avg_pool,
    BY_PARTS,
    .examples = examples_1,
};

/* x (N, C, L). Zeros of the padding, at most half the kernel, are counted, as PyTorch does. */
mt_tensor *mt_avg_pool1d(mt_tape *tape, mt_tensor *x, int64_t kernel, int64_t stride, int64_t padding)
{
    return mt_apply_operation(tape, &mt_operation_avg_pool1d, &x, 1,
                              (const mt_attribute[])NUMBERS(kernel, stride, padding));
}

const mt_operation mt_operation_max_pool2d = {
    .name = "max_pool2d",
    .formula =
        "the largest of x[n, c, i stride0 + p - padding0, j stride1 + q - padding1] over p, q < kernel",
    .input = OF_X,
    .attribute = OPTIONS(MT_ATTRIBUTE_SHAPE),
    COMMON,
    .expression = express_max_pool,
    BY_PARTS,
    .examples = examples_2,
};

/* x (N, C, H, W); the lists have two numbers, along the height and along the width. The rest as max_pool1d.
 */
mt_tensor *mt_max_pool2d(mt_tape *tape, mt_tensor *x, mt_shape kernel, mt_shape stride, mt_shape padding)
{
    return mt_apply_operation(
        tape, &mt_operation_max_pool2d, &x, 1,
        (const mt_attribute[]){{.shape = &kernel}, {.shape = &stride}, {.shape = &padding}});
}

const mt_operation mt_operation_avg_pool2d = {
    .name = "avg_pool2d",
    .formula =
        "the mean of x[n, c, i stride0 + p - padding0, j stride1 + q - padding1] over p, q < kernel, x 0 "
        "outside",
    .input = OF_X,
    .attribute = OPTIONS(MT_ATTRIBUTE_SHAPE),
    COMMON,
    .expression = express_avg_pool,
    BY_PARTS,
    .examples = examples_2,
};

/* x (N, C, H, W); the lists have two numbers, along the height and along the width. The rest as avg_pool1d.
 */
mt_tensor *mt_avg_pool2d(mt_tape *tape, mt_tensor *x, mt_shape kernel, mt_shape stride, mt_shape padding)
{
    return mt_apply_operation(
        tape, &mt_operation_avg_pool2d, &x, 1,
        (const mt_attribute[]){{.shape = &kernel}, {.shape = &stride}, {.shape = &padding}});
}

/* ---- minitorch's tiles ---- */

static mt_status shape_tile(const mt_call *call, mt_shape *result)
{
    const mt_shape kernel = *call->attribute[0].shape, x = mt_tensor_shape(call->in[0]);
    mt_shape shape = x;
    bool fits = kernel.rank == 2 && x.rank == 4;
    for (int d = 0; d < 2 && fits; d++) {
        fits = kernel.size[d] >= 1 && x.size[d + 2] % kernel.size[d] == 0;
        if (fits) shape.size[d + 2] /= kernel.size[d];
    }
    char text[MT_SHAPE_TEXT], text_x[MT_SHAPE_TEXT];
    if (!fits)
        return mt_fail(
            MT_ERR_SHAPE,
            "tile: tiles of %s in a tensor of shape %s; give (images, channels, height, width), and "
            "(kh, kw) that divide height and width",
            mt_shape_text(kernel, text), mt_shape_text(x, text_x));
    shape.rank = 5;
    if (mt_shape_count(kernel) < 0) return mt_last_status();
    shape.size[4] = kernel.size[0] * kernel.size[1];
    *result = shape;
    return MT_OK;
}

static mt_tensor *express_tile(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_shape shape, wide;
    if (shape_tile(call, &shape) != MT_OK) return NULL;
    const int64_t *kernel = call->attribute[0].shape->size;
    wide = mt_shape(shape.size[0], shape.size[1], shape.size[2], kernel[0], shape.size[3], kernel[1]);
    return mt_reshape(t, mt_permute(t, mt_reshape(t, call->in[0], wide), mt_axes(0, 1, 2, 4, 3, 5)), shape);
}

static const mt_example tile_examples[] = {
    {.shape = {{4, {2, 1, 4, 6}}}, .attribute = {{.shape = &pairs[TWO_THREE]}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_tile = {
    .name = "tile",
    .formula = "minitorch's tile: x cut into tiles of the kernel's size, each a row of the last dimension",
    .input = OF_X,
    .attribute = {{"kernel", MT_ATTRIBUTE_SHAPE}},
    .shape = shape_tile,
    .expression = express_tile,
    .by_parts = "two reshapes and a permutation",
    .cost = MT_COST_NOTHING,
    .examples = tile_examples,
};

/* x (N, C, H, W) and kernel (kh, kw), which divide height and width, give (N, C, H / kh, W / kw, kh kw): a
 * mean or a maximum over the last dimension is minitorch's pooling. */
mt_tensor *mt_tile(mt_tape *tape, mt_tensor *x, mt_shape kernel)
{
    return mt_apply_operation(tape, &mt_operation_tile, &x, 1, &(mt_attribute){.shape = &kernel});
}
