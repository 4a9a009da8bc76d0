/* tests/test_conv.c - convolutions and pooling: beside the definition in double, on random sizes and layouts,
 * beside values of PyTorch, and what is refused.
 */
#include <math.h>
#include <string.h>

#include "autodiff/elementwise.h"
#include "autodiff/operations.h"
#include "support.h"
#include "tensor/conv.h"

/* ---- the definition ---- */

typedef struct sizes {
    int64_t images, groups, channels, outputs; /* channels and outputs: of a group */
    int64_t size[2], kernel[2], windows[2];
    mt_conv_options options;
    mt_shape x, w, y;
} sizes;

/* The shapes that follow; false where the kernel is larger than the input. */
static bool complete(sizes *s)
{
    s->options.groups = s->groups;
    for (int d = 0; d < 2; d++) {
        const int64_t room =
            s->size[d] + 2 * s->options.padding[d] - (s->kernel[d] - 1) * s->options.dilation[d];
        if (room < 1 && !s->options.left) return false;
        s->windows[d] = s->options.left ? s->size[d] : (room - 1) / s->options.stride[d] + 1;
    }
    s->x = mt_shape(s->images, s->groups * s->channels, s->size[0], s->size[1]);
    s->w = mt_shape(s->groups * s->outputs, s->channels, s->kernel[0], s->kernel[1]);
    s->y = mt_shape(s->images, s->groups * s->outputs, s->windows[0], s->windows[1]);
    return true;
}

static sizes draw_sizes(bool large)
{
    sizes s;
    do {
        s = (sizes){.images = test_from(large ? 1 : 0, 3),
                    .groups = test_chance(0.3) ? test_from(2, 3) : 1,
                    .channels = test_from(1, large ? 9 : 4),
                    .outputs = test_from(1, large ? 20 : 4),
                    .options = mt_conv_defaults()};
        s.options.left = test_chance(0.2);
        for (int d = 0; d < 2; d++) {
            s.size[d] = test_from(1, large ? 20 : 9);
            s.kernel[d] = test_from(1, 4);
            if (s.options.left) continue;
            s.options.stride[d] = test_chance(0.5) ? 1 : test_from(1, 4);
            s.options.padding[d] = test_chance(0.5) ? 0 : test_from(0, 4);
            s.options.dilation[d] = test_chance(0.6) ? 1 : test_from(1, 3);
        }
    } while (!complete(&s));
    return s;
}

/* Adds every product to sum: y += x w, or where the others are given, x += y w or w += x y, and its absolute
 * value to size. */
static void products(const sizes *s, int written, double *const value[3], long double *sum, double *size)
{
    for (int64_t k = 0, n = test_count(s->y); k < n; k++) {
        int64_t y[4];
        test_unravel(s->y, k, y);
        for (int64_t c = 0; c < s->channels; c++)
            for (int64_t p = 0; p < s->kernel[0]; p++)
                for (int64_t q = 0; q < s->kernel[1]; q++) {
                    const int64_t i = y[2] * s->options.stride[0] + p * s->options.dilation[0] -
                                      s->options.padding[0],
                                  j = y[3] * s->options.stride[1] + q * s->options.dilation[1] -
                                      s->options.padding[1];
                    if (i < 0 || i >= s->size[0] || j < 0 || j >= s->size[1]) continue;
                    const int64_t x[] = {y[0], y[1] / s->outputs * s->channels + c, i, j},
                                  w[] = {y[1], c, p, q};
                    const int64_t at[] = {test_ravel(s->x, x), test_ravel(s->w, w), k};
                    const int a = written == 0 ? 1 : 0, b = written == 2 ? 1 : 2;
                    const double product = value[a][at[a]] * value[b][at[b]];
                    sum[at[written]] += (long double)product;
                    size[at[written]] += fabs(product);
                }
    }
}

/* One part of one convolution on one backend, in random layouts, beside the definition. */
static void check_part(mt_backend *b, const sizes *s, int written, bool flag)
{
    const mt_shape shapes[] = {s->x, s->w, s->y};
    const bool bias = written == 2 && flag, accumulate = written != 2 && flag;
    test_array *of[3];
    double *value[3];
    for (int k = 0; k < 3; k++) {
        of[k] = k == written && !accumulate
                    ? test_array_from(b, shapes[k], TEST_OUTPUT, NULL)
                    : test_array_random(b, shapes[k], k == written ? TEST_FIXED : TEST_INPUT, -1, 1);
        const int64_t n = of[k]->count;
        value[k] = test_memory((size_t)(n + 1) * sizeof **value);
        if (k != written || accumulate) memcpy(value[k], of[k]->values, (size_t)n * sizeof **value);
    }
    const size_t count = (size_t)of[written]->count + 1;
    double *size = test_memory(count * sizeof *size);
    long double *sum = test_memory(count * sizeof *sum);
    const test_array *more = test_array_random(b, mt_shape(s->w.size[0]), TEST_INPUT, -1, 1);
    for (int64_t k = 0; k < of[written]->count; k++) {
        if (bias) value[2][k] = more->values[k / (s->windows[0] * s->windows[1]) % s->w.size[0]];
        size[k] = fabs(value[written][k]);
        sum[k] = (long double)value[written][k];
    }
    products(s, written, value, sum, size);
    for (int64_t k = 0; k < of[written]->count; k++) value[written][k] = (double)sum[k];
    if (written == 2)
        TEST_OK(bias ? mt_op_conv2d_bias(of[2]->x, of[0]->x, of[1]->x, more->x, s->options)
                     : mt_op_conv2d(of[2]->x, of[0]->x, of[1]->x, s->options));
    else if (written == 0)
        TEST_OK(mt_op_conv2d_grad_x(of[0]->x, of[2]->x, of[1]->x, s->options, accumulate));
    else
        TEST_OK(mt_op_conv2d_grad_w(of[1]->x, of[2]->x, of[0]->x, s->options, accumulate));
    const double *got = test_read(of[written]->x);
    const int64_t terms = written == 2   ? s->channels * s->kernel[0] * s->kernel[1]
                          : written == 0 ? s->outputs * s->kernel[0] * s->kernel[1]
                                         : s->images * s->windows[0] * s->windows[1];
    for (int64_t k = 0; k < of[written]->count; k++)
        TEST_CHECK(
            fabs(got[k] - value[written][k]) <= test_sum_tolerance(terms + 2, size[k], false),
            "%s, part %d of x %s, w %s, y %s, stride %lld %lld, padding %lld %lld, dilation %lld %lld%s: "
            "element %lld is %.9g instead of %.9g",
            b->name, written, test_text(s->x), test_text(s->w), test_text(s->y),
            (long long)s->options.stride[0], (long long)s->options.stride[1],
            (long long)s->options.padding[0], (long long)s->options.padding[1],
            (long long)s->options.dilation[0], (long long)s->options.dilation[1],
            s->options.left ? ", left" : "", (long long)k, got[k], value[written][k]);
    test_guards(of[written], "conv");
    for (int k = 0; k < 3; k++)
        if (k != written) test_unchanged(of[k], "conv");
    test_cases++;
    test_release();
}

static void test_definition(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < (test_small() ? 30 : 100); round++) {
        const sizes s = draw_sizes(false);
        for (int written = 0; written < 3; written++) check_part(b, &s, written, test_chance(0.5));
    }
}

/* More channels and outputs than a register tile, several blocks of rows, several parts: the fast backends.
 */
static void test_large(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < (b == test_simple() || test_small() ? 0 : 16); round++) {
        sizes s = draw_sizes(true);
        if (round < 4) {
            s = (sizes){.images = 2,
                        .groups = 1,
                        .channels = round < 2 ? 19 : 3,
                        .outputs = round % 2 ? 34 : 5,
                        .size = {33, 30},
                        .kernel = {3, 3},
                        .options = mt_conv_defaults()};
            s.options.padding[0] = s.options.padding[1] = round != 1;
            s.options.stride[0] = s.options.stride[1] = round == 2 ? 2 : 1;
            complete(&s);
        }
        for (int written = 0; written < 3; written++) check_part(b, &s, written, test_chance(0.5));
    }
}

/* Row-major operands, as layers have them: in place where nothing stands around the image. One dimension too;
 * and the same bits for one thread and for several. */
static void test_plain(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 12; round++) {
        mt_rng rng = mt_rng_make(test_bits());
        const int64_t n = test_from(1, 5), c = test_from(1, 6), o = test_from(1, 20), k = test_from(1, 5);
        const int64_t height = round % 2 ? 1 : test_from(k, 30), width = test_from(k, 30),
                      up = round % 2 ? 1 : k;
        mt_tensor *x = OWN(mt_uniform(b, mt_shape(n, c, height, width), &rng, -1, 1)),
                  *w = OWN(mt_uniform(b, mt_shape(o, c, up, k), &rng, -1, 1)),
                  *bias = OWN(mt_uniform(b, mt_shape(o), &rng, -1, 1));
        mt_tensor *all[] = {x, w, bias};
        double *first[4];
        for (int threads = 1; threads <= 3; threads++) {
            TEST_OK(mt_set_threads(threads));
            for (int i = 0; i < 3; i++) TEST_OK(mt_require_grad(all[i], true)), mt_zero_grad(all[i]);
            mt_tape *t = test_tape(b);
            mt_tape_fuse(t, threads < 3);
            mt_tensor *y;
            if (round % 2) {
                mt_tensor *flat_x = ON(t, mt_squeeze(t, x, 2)), *flat_w = ON(t, mt_squeeze(t, w, 2));
                y = ON(t, mt_conv1d_bias(t, flat_x, flat_w, bias, 1, 0, 1, 1));
            } else {
                y = ON(t, mt_conv2d_bias(t, x, w, bias, mt_shape(1, 1), mt_shape(0, 0), mt_shape(1, 1), 1));
            }
            TEST_OK(mt_backward(t, ON(t, mt_sum(t, mt_square(t, y)))));
            for (int i = 0; i < 4; i++) {
                const mt_tensor *result = i < 3 ? mt_grad(all[i]) : y;
                const int64_t count = mt_tensor_count(result);
                double *now = test_read(result);
                if (threads == 1) first[i] = now;
                if (threads == 2) TEST_ALL_SAME(now, first[i], count, "conv by two threads");
                if (threads == 3) /* of other operations */
                    TEST_ALL_CLOSE(now, first[i], count, 4000 * test_epsilon, 400 * test_epsilon,
                                   "conv by parts");
            }
        }
        test_cases++;
        test_release();
    }
    TEST_OK(mt_set_threads(2));
}

/* ---- refusals ---- */

static void test_refused(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_ones(b, mt_shape(2, 4, 5, 6))), *w = OWN(mt_ones(b, mt_shape(6, 2, 3, 3))),
                  *y = OWN(mt_ones(b, mt_shape(2, 6, 3, 4)));
        static const struct {
            mt_conv_options options;
            mt_status status;
            const char *part;
        } bad[] = {
            {{{0, 1}, {0, 0}, {1, 1}, 2, false}, MT_ERR_VALUE, "stride 0 along the height"},
            {{{1, INT64_MIN}, {0, 0}, {1, 1}, 2, false}, MT_ERR_VALUE, "along the width"},
            {{{1, 1}, {0, -1}, {1, 1}, 2, false}, MT_ERR_VALUE, "padding -1 along the width"},
            {{{1, 1}, {INT64_MAX, 0}, {1, 1}, 2, false}, MT_ERR_VALUE, "padding"},
            {{{1, 1}, {0, 0}, {0, 1}, 2, false}, MT_ERR_VALUE, "dilation 0 along the height"},
            {{{1, 1}, {0, 0}, {3, 1}, 2, false},
             MT_ERR_SHAPE,
             "a kernel of 3 along the height, dilation 3, does not fit into 5"},
            {{{1, 1}, {0, 0}, {INT64_C(1) << 59, 1}, 2, false}, MT_ERR_SHAPE, "does not fit"},
            {{{1, 1}, {0, 0}, {1, 1}, 0, false}, MT_ERR_SHAPE, "0 groups"},
            {{{1, 1}, {0, 0}, {1, 1}, 3, false}, MT_ERR_SHAPE, "3 groups of 4 channels and 6 outputs"},
            {{{1, 1}, {0, 0}, {1, 1}, 1, false}, MT_ERR_SHAPE, "with 1 groups"},
            {{{2, 1}, {0, 0}, {1, 1}, 2, true}, MT_ERR_VALUE, "anchored left"},
            {{{1, 1}, {1, 1}, {1, 1}, 2, false}, MT_ERR_SHAPE, "the result has shape (2, 6, 5, 6)"},
        };
        for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
            TEST_FAILS(mt_op_conv2d(y, x, w, bad[i].options), bad[i].status, bad[i].part);
            TEST_FAILS(mt_op_conv2d_grad_x(x, y, w, bad[i].options, false), bad[i].status, bad[i].part);
            TEST_FAILS(mt_op_conv2d_grad_w(w, y, x, bad[i].options, true), bad[i].status, bad[i].part);
            test_cases++;
        }
        mt_conv_options good = mt_conv_defaults();
        good.groups = 2;
        TEST_OK(mt_op_conv2d(y, x, w, good));
        TEST_FAILS(mt_op_conv2d(y, y, w, good), MT_ERR_SHAPE, "overlap");
        TEST_FAILS(mt_op_conv2d_bias(y, x, w, y, good), MT_ERR_SHAPE, "overlap");
        TEST_FAILS(mt_op_conv2d_bias(y, x, w, x, good), MT_ERR_SHAPE, "the bias has shape (2, 4, 5, 6)");
        TEST_FAILS(mt_op_conv2d(y, OWN(mt_zeros(b, mt_shape(4, 5, 6))), w, good), MT_ERR_SHAPE,
                   "an input of shape (4, 5, 6)");
        TEST_FAILS(mt_op_conv2d(y, x, OWN(mt_zeros(b, mt_shape(6, 2, 3))), good), MT_ERR_SHAPE,
                   "a weight of shape (6, 2, 3)");
        TEST_TRUE(mt_op_conv2d(NULL, x, w, good) != MT_OK && mt_op_conv2d(y, NULL, w, good) != MT_OK);
        /* far more memory than the fast way may take: the definition is asked */
        mt_tensor *far = OWN(mt_ones(b, mt_shape(1, 1, 1, 2))), *one = OWN(mt_ones(b, mt_shape(1, 1, 1, 1))),
                  *few = OWN(mt_zeros(b, mt_shape(1, 1, 3, 1)));
        good.groups = 1;
        good.padding[0] = INT64_C(1) << 57, good.stride[0] = INT64_C(1) << 57, good.stride[1] = 2;
        TEST_OK(mt_op_conv2d(few, far, one, good));
        TEST_ALL_SAME(test_read(few), (const double[]){0, 1, 0}, 3, "padding and strides that are huge");
        TEST_OK(mt_op_conv2d_grad_x(far, few, one, good, true));
        TEST_ALL_SAME(test_read(far), (const double[]){2, 1}, 2, "the gradient");
        TEST_OK(mt_op_conv2d_grad_w(one, few, far, good, false));
        TEST_TRUE(mt_item(one) == 2);
        test_release();
        mt_tape *t = test_tape(b);
        x = OWN(mt_ones(b, mt_shape(1, 1, 4, 4)));
        TEST_NULL(mt_max_pool2d(t, x, mt_shape(2, 2), mt_shape(2, 2), mt_shape(2, 0)), MT_ERR_VALUE,
                  "at most half");
        t = test_tape(b);
        TEST_NULL(mt_avg_pool2d(t, x, mt_shape(5, 2), mt_shape(1, 1), mt_shape(0, 0)), MT_ERR_SHAPE,
                  "a kernel of 5");
        t = test_tape(b);
        TEST_NULL(mt_avg_pool2d(t, x, mt_shape(2), mt_shape(1, 1), mt_shape(0, 0)), MT_ERR_SHAPE,
                  "kernel (2)");
        t = test_tape(b);
        TEST_NULL(mt_max_pool1d(t, x, 2, 2, 0), MT_ERR_SHAPE, "(images, channels, length)");
        t = test_tape(b);
        TEST_NULL(mt_tile(t, x, mt_shape(3, 2)), MT_ERR_SHAPE,
                  "tiles of (3, 2) in a tensor of shape (1, 1, 4, 4)");
        t = test_tape(b);
        TEST_NULL(mt_conv2d(t, x, x, mt_shape(1), mt_shape(0, 0), mt_shape(1, 1), 1), MT_ERR_SHAPE,
                  "stride (1)");
        test_release();
    }
}

/* ---- beside PyTorch ---- */

enum { INTEGERS = 15 };

/* Of golden/make_conv.py: what was called, with which integers, on tensors of the numbers 0.5 sin(i + 1) (x),
 * 0.5 cos(i + 1) (w) and sin(3 i) (the gradient of the result); and PyTorch's results. */
typedef struct golden {
    const char *name;
    int64_t integer[INTEGERS]; /* x's shape, w's shape, stride, padding, dilation, groups; or kernel, ... */
    int values;
    const double *value; /* y, then the gradients of x and w */
} golden;

#include "golden/conv.inc"

static mt_tensor *numbers(mt_backend *b, mt_shape shape, int which)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = which == 0   ? 0.5 * sin((double)i + 1)
                    : which == 1 ? 0.5 * cos((double)i + 1)
                                 : sin(3 * (double)i);
    mt_tensor *x = OWN(mt_from_doubles(b, values, shape));
    if (which < 2) TEST_OK(mt_require_grad(x, true));
    return x;
}

static void test_golden_values(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t k = 0; k < TEST_LENGTH(goldens); k++) {
        const golden *g = &goldens[k];
        const int64_t *i = g->integer;
        mt_tape *t = test_tape(b);
        const bool conv = strncmp(g->name, "conv", 4) == 0;
        mt_tensor *x = numbers(b, mt_shape(i[0], i[1], i[2], i[3]), 0);
        mt_tensor *w = conv ? numbers(b, mt_shape(i[4], i[5], i[6], i[7]), 1) : NULL;
        i += conv ? 8 : 4;
        const mt_shape first = mt_shape(i[0], i[1]), second = mt_shape(i[2], i[3]),
                       third = mt_shape(i[4], i[5]);
        mt_tensor *y = conv ? ON(t, mt_conv2d(t, x, w, first, second, third, i[6]))
                       : strcmp(g->name, "max_pool2d") == 0
                           ? ON(t, mt_max_pool2d(t, x, first, second, third))
                           : ON(t, mt_avg_pool2d(t, x, first, second, third));
        TEST_OK(mt_backward_from(t, y, numbers(b, mt_tensor_shape(y), 2)));
        const mt_tensor *results[] = {y, mt_grad(x), conv ? mt_grad(w) : NULL};
        int at = 0;
        for (int r = 0; r < (conv ? 3 : 2); at += (int)mt_tensor_count(results[r++])) {
            TEST_TRUE(at + mt_tensor_count(results[r]) <= g->values);
            TEST_ALL_CLOSE(test_read(results[r]), g->value + at, mt_tensor_count(results[r]),
                           64 * test_epsilon + 1e-12, 64 * test_epsilon, g->name);
        }
        TEST_TRUE(at == g->values);
        test_cases++;
        test_release();
    }
}

/* minitorch's anchoring: kernels begin at the element itself, zeros stand behind the end (worked by hand). */
static void test_minitorch(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *t = test_tape(b);
        mt_tensor *x = OWN(mt_parse(b, "[[[1, 2, 3, 4]]]")), *w = OWN(mt_parse(b, "[[[1, 10, 100]]]"));
        TEST_ALL_SAME(test_read(ON(t, mt_conv1d_left(t, x, w))), (const double[]){321, 432, 43, 4}, 4,
                      "left");
        mt_tensor *image = OWN(mt_parse(b, "[[[[1, 2], [3, 4]]]]")),
                  *kernel = OWN(mt_parse(b, "[[[[1, 10], [100, 1000]]]]"));
        TEST_ALL_SAME(test_read(ON(t, mt_conv2d_left(t, image, kernel))), (const double[]){4321, 402, 43, 4},
                      4, "left");
        mt_tensor *tiles =
            ON(t, mt_tile(t, OWN(mt_parse(b, "[[[[1, 2, 3, 4], [5, 6, 7, 8]]]]")), mt_shape(2, 2)));
        TEST_TRUE(mt_shape_equal(mt_tensor_shape(tiles), mt_shape(1, 1, 1, 2, 4)));
        TEST_ALL_SAME(test_read(tiles), (const double[]){1, 2, 5, 6, 3, 4, 7, 8}, 8, "tiles");
        /* the first maximum of a window receives the gradient; a NaN is one */
        mt_tensor *equal = OWN(mt_parse(b, "[[[1, 1, nan, 2]]]"));
        TEST_OK(mt_require_grad(equal, true));
        mt_tensor *most = ON(t, mt_max_pool1d(t, equal, 2, 2, 0));
        TEST_OK(mt_backward(t, ON(t, mt_sum(t, most))));
        TEST_ALL_SAME(test_read(most), (const double[]){1, NAN}, 2, "max_pool1d");
        TEST_ALL_SAME(test_read(mt_grad(equal)), (const double[]){1, 0, 1, 0}, 4, "the first maximum");
        test_cases++;
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_definition), TEST(test_large),         TEST(test_plain),
        TEST(test_refused),    TEST(test_golden_values), TEST(test_minitorch),
    };
    return TEST_RUN("conv", tests);
}
