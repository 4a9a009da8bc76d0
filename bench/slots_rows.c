/* slots_rows.c - gpu_slots' checks of softmax, cross_entropy and layer_norm. */
#include "slots.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Rows along dim: shorter than a warp, a warp, more, and a block's; alone, many, and with dimensions around.
 */
static const struct {
    int64_t shape[4]; /* 0: no more */
    int dim;
    bool large;
} cases[] = {
    {{7, 5}, 1, false},      {{1, 1}, 0, false},    {{33}, 0, false},         {{9, 32}, 1, false},
    {{3, 100, 2}, 1, false}, {{2, 1500}, 1, false}, {{5, 3, 4, 2}, 2, false}, {{1500, 2}, 0, false},
    {{300, 3}, 1, true},     {{70, 1025}, 1, true}, {{2, 3000, 3}, 1, true},
};

static mt_shape shape_of(size_t i)
{
    mt_shape shape = {.rank = 0};
    while (shape.rank < 4 && cases[i].shape[shape.rank] > 0)
        shape.size[shape.rank] = cases[i].shape[shape.rank], shape.rank++;
    return shape;
}

/* The largest error of a sum of n terms, relative, with room for the functions below it; and that of simple,
 * which adds one after the other in double: up to half a unit for each, all to one side where the terms are
 * the same number. */
static double tolerance(int64_t n) { return (32 + sqrt((double)n)) * test_epsilon + (double)n * DBL_EPSILON; }

static void softmax_one(mt_shape shape, int dim, unsigned flags, bool log, bool back)
{
    pair in = input(shape, flags), g = input(shape, flags), out = output(shape, flags);
    const char *what = slots_text("%ssoftmax%s of %s along %d", log ? "log_" : "", back ? " back" : "",
                                  test_text(shape), dim);
    EACH(i)
    {
        const mt_softmax_work work = {.log = log,
                                      .back = back,
                                      .dim = dim,
                                      .out = slots_operand(out, i),
                                      .in = slots_operand(in, i),
                                      .g = slots_operand(g, i)};
        TEST_OK(backends[i]->softmax(backends[i], &work));
    }
    agree(out, tolerance(shape.size[dim]) * (back ? 16 + (double)shape.size[dim] : 4), what);
    test_unchanged(in.on[0], what);
    test_unchanged(g.on[0], what);
    test_release();
}

void check_softmax(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(cases); i++)
        for (int k = 0; k < 4; k++)
            for (int round = 0; round < 2 && (slots_large || !cases[i].large); round++)
                softmax_one(shape_of(i), cases[i].dim, slots_flags(round), k & 1, k & 2);
}

/* ---- cross entropy ---- */

typedef enum { WITH_LABELS, WITH_LOGARITHMS, WITH_TARGET } way;

/* A number for each row, contiguous; row k of four. */
static mt_real *numbers(pair p, int i, int k)
{
    const mt_operand whole = slots_operand(p, i);
    return (mt_real *)whole.data + whole.layout->offset + k * whole.layout->size[1];
}

/* Whose class 1 along dim holds value. */
static pair with_class(mt_shape shape, int dim, unsigned flags, double value)
{
    const int64_t n = test_count(shape);
    int64_t inner = 1;
    double *values = test_memory((size_t)n * sizeof *values);
    for (int d = dim + 1; d < shape.rank; d++) inner *= shape.size[d];
    for (int64_t i = 0; i < n; i++)
        values[i] = i / inner % shape.size[dim] == 1 ? value : test_between(0.5, 1.5);
    return twins(test_array_from(backends[0], shape, flags | TEST_FIXED, values));
}

static pair labels_but_1(mt_shape shape, int64_t classes)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = (double)(i % 2 == 0 ? 2 : test_below(2) * (classes - 1));
    return twins(test_array_from(backends[0], shape, TEST_INDICES, values));
}

/* masked: a class that no label names is impossible, x = -inf, and its weight is infinite. Without smoothing
 * it adds nothing to a loss. */
static void entropy_one(mt_shape shape, int dim, unsigned flags, way how, double smoothing, bool one_weight,
                        bool masked)
{
    mt_shape kept = shape;
    const int64_t classes = shape.size[dim], rows = test_count(shape) / classes;
    kept.size[dim] = 1;
    if (how == WITH_LOGARITHMS) smoothing = 0;
    pair x = input(shape, flags), target = input(shape, flags), labels = indices(kept, classes);
    pair weight = input(mt_shape(one_weight ? 1 : classes), flags);
    if (masked) {
        x = with_class(shape, dim, flags, -INFINITY),
        weight = with_class(mt_shape(classes), 0, flags, INFINITY);
        labels = labels_but_1(kept, classes);
    }
    pair g = input(kept, flags), out = output(shape, flags), four = output(mt_shape(4, rows), TEST_PLAIN);
    const char *names[] = {"cross_entropy", "nll", "soft cross_entropy"};
    const char *what =
        slots_text("%s of %s along %d, smoothing %g", names[how], test_text(shape), dim, smoothing);
    mt_cross_entropy_work work = {.logarithms = how == WITH_LOGARITHMS, .dim = dim, .ignore_index = 0};
    work.smoothing = smoothing;
    EACH(i)
    {
        mt_layout wide = *slots_operand(weight, i).layout;
        if (one_weight) wide.size[0] = classes, wide.stride[0] = 0;
        work.x = slots_operand(x, i);
        work.weight = (mt_operand){slots_operand(weight, i).data, &wide};
        if (how == WITH_TARGET) work.target = slots_operand(target, i);
        if (how != WITH_TARGET) work.labels = slots_operand(labels, i);
        TEST_OK(backends[i]->fill(backends[i], slots_operand(four, i), MT_REAL, 0));
        work.back = false;
        work.loss = numbers(four, i, 0);
        work.row_weight = how == WITH_TARGET ? NULL : numbers(four, i, 1);
        work.most = how == WITH_LOGARITHMS ? NULL : numbers(four, i, 2);
        work.sum = how == WITH_LOGARITHMS ? NULL : numbers(four, i, 3);
        TEST_OK(backends[i]->cross_entropy(backends[i], &work));
        work.back = true;
        work.g = slots_operand(g, i), work.out = slots_operand(out, i);
        TEST_OK(backends[i]->cross_entropy(backends[i], &work));
    }
    agree(four, tolerance(classes), what);
    agree(out, 4 * tolerance(classes), what);
    test_unchanged(x.on[0], what);
    test_release();
}

static void refuse_label(int64_t label)
{
    const double values[] = {0, (double)label};
    pair x = input(mt_shape(2, 3), TEST_PLAIN), weight = input(mt_shape(3), TEST_PLAIN);
    pair four = output(mt_shape(4, 2), TEST_PLAIN);
    pair labels = twins(test_array_from(backends[0], mt_shape(2, 1), TEST_INDICES, values));
    const mt_cross_entropy_work work = {.dim = 1,
                                        .ignore_index = -100,
                                        .x = slots_operand(x, 0),
                                        .labels = slots_operand(labels, 0),
                                        .weight = slots_operand(weight, 0),
                                        .loss = numbers(four, 0, 0),
                                        .row_weight = numbers(four, 0, 1),
                                        .most = numbers(four, 0, 2),
                                        .sum = numbers(four, 0, 3)};
    TEST_FAILS(backends[0]->cross_entropy(backends[0], &work), MT_ERR_INDEX,
               slots_text("label 1 is %d", (int)label));
    test_release();
}

void check_cross_entropy(void **state)
{
    (void)state;
    static const double smoothings[] = {0, 0.25};
    for (size_t i = 0; i < TEST_LENGTH(cases); i++)
        for (int k = 0; k < 6 && (slots_large || !cases[i].large); k++)
            entropy_one(shape_of(i), cases[i].dim, slots_flags(k % 2), (way)(k / 2), smoothings[k % 2],
                        k % 2 == 1, false);
    for (int k = 0; k < 4; k++)
        entropy_one(mt_shape(9, 5), 1, slots_flags(k % 2), k < 2 ? WITH_LABELS : WITH_LOGARITHMS, 0, false,
                    true);
    refuse_label(3);
    refuse_label(-1);
}

/* ---- layer norm ---- */

static mt_real *first_of(pair p, int i)
{
    const mt_operand whole = slots_operand(p, i);
    return (mt_real *)whole.data + whole.layout->offset;
}

static void layer_norm_one(int64_t rows, int64_t n, bool to_x, bool hat)
{
    const mt_shape shape = mt_shape(rows, n);
    pair x = input(shape, TEST_PLAIN), g = input(shape, TEST_PLAIN), gamma = input(mt_shape(n), TEST_PLAIN),
         beta = input(mt_shape(n), TEST_PLAIN);
    pair y = output(shape, TEST_PLAIN), slope = output(shape, TEST_PLAIN), along = output(shape, TEST_PLAIN),
         numbers_of_rows = output(mt_shape(2, rows), TEST_PLAIN);
    const char *what = slots_text("layer_norm of %lld rows of %lld", (long long)rows, (long long)n);
    EACH(i)
    {
        mt_layer_norm_work work = {
            .rows = rows, .n = n, .eps = 0.01, .x = first_of(x, i), .gamma = first_of(gamma, i)};
        work.mean = first_of(numbers_of_rows, i), work.scale = work.mean + rows;
        work.beta = first_of(beta, i), work.out = first_of(y, i);
        TEST_OK(backends[i]->layer_norm(backends[i], &work));
        work.back = true;
        work.g = first_of(g, i);
        if (to_x) work.to_x = first_of(slope, i);
        if (hat) work.hat = first_of(along, i);
        TEST_OK(backends[i]->layer_norm(backends[i], &work));
    }
    agree(y, 4 * tolerance(n), what);
    agree(numbers_of_rows, tolerance(n), what);
    if (to_x) agree(slope, 32 * tolerance(n), what);
    if (hat) agree(along, 4 * tolerance(n), what);
    test_unchanged(x.on[0], what);
    test_release();
}

void check_layer_norm(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {7, 5}, {9, 32}, {3, 100}, {2, 1500}, {40, 3}};
    for (size_t i = 0; i < TEST_LENGTH(sizes); i++)
        for (int k = 1; k < 4; k++) layer_norm_one(sizes[i][0], sizes[i][1], k & 1, k & 2);
    if (slots_large) layer_norm_one(300, 1100, true, true);
}
