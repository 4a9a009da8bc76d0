/* tests/test_tensor.c - the handle: constructors, views, single values, text, copies, versions. No tape. */
#define _POSIX_C_SOURCE 200809L
#include "tensor/elementwise_ops.h"
#include "support.h"
#include "tensor/text.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect(const mt_tensor *x, mt_shape shape, const double *want, const char *what)
{
    TEST_CHECK(mt_shape_equal(mt_tensor_shape(x), shape), "%s: shape %s instead of %s", what,
               test_text(mt_tensor_shape(x)), test_text(shape));
    TEST_ALL_SAME(test_read(x), want, test_count(shape), what);
    test_cases++;
}

/* ---- constructors ---- */

static void test_from_arrays(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 20; round++) {
            mt_shape shape = test_shape(5, 9000, true);
            int64_t n = test_count(shape);
            float *floats = test_memory((size_t)n * sizeof *floats);
            double *doubles = test_memory((size_t)n * sizeof *doubles),
                   *want = test_memory((size_t)n * sizeof *want);
            int64_t *integers = test_memory((size_t)n * sizeof *integers);
            for (int64_t i = 0; i < n; i++) {
                doubles[i] = test_between(-10, 10);
                floats[i] = (float)doubles[i];
                integers[i] = test_from(-1000, 1000);
            }
            mt_tensor *x = OWN(mt_from_doubles(b, doubles, shape));
            TEST_TRUE(mt_tensor_kind(x) == MT_REAL && mt_tensor_backend(x) == b &&
                      mt_tensor_is_contiguous(x));
            TEST_TRUE(mt_tensor_rank(x) == shape.rank && mt_tensor_count(x) == n && mt_tensor_offset(x) == 0);
            for (int64_t i = 0; i < n; i++) want[i] = test_round(doubles[i]);
            expect(x, shape, want, "mt_from_doubles");
            for (int64_t i = 0; i < n; i++) want[i] = floats[i];
            expect(OWN(mt_from_floats(b, floats, shape)), shape, want, "mt_from_floats");
            for (int64_t i = 0; i < n; i++) want[i] = (double)integers[i];
            mt_tensor *index = OWN(mt_from_indices(b, integers, shape));
            TEST_TRUE(mt_tensor_kind(index) == MT_INDEX);
            expect(index, shape, want, "mt_from_indices");

            float *back = test_memory((size_t)n * sizeof *back);
            TEST_OK(mt_to_floats(x, back, n));
            for (int64_t i = 0; i < n; i++) TEST_TRUE(back[i] == (float)test_round(doubles[i]));
            int64_t *rounded = test_memory((size_t)n * sizeof *rounded);
            TEST_OK(mt_to_indices(x, rounded, n));
            for (int64_t i = 0; i < n; i++) TEST_TRUE(rounded[i] == (int64_t)test_round(doubles[i]));
            TEST_OK(mt_to_indices(index, rounded, n));
            for (int64_t i = 0; i < n; i++) TEST_TRUE(rounded[i] == integers[i]);
            TEST_FAILS(mt_to_doubles(x, want, n + 1), MT_ERR_SHAPE, test_text(shape));
            TEST_FAILS(mt_to_floats(x, back, n - 1), MT_ERR_SHAPE, test_text(shape));
            TEST_FAILS(mt_to_indices(x, rounded, -1), MT_ERR_SHAPE, test_text(shape));
            test_release();
        }
        int64_t big[] = {INT64_MAX, INT64_MIN, (INT64_C(1) << 53) + 1, 0};
        int64_t same[4];
        TEST_OK(mt_to_indices(OWN(mt_from_indices(b, big, mt_shape(4))), same, 4));
        TEST_TRUE(memcmp(big, same, sizeof big) == 0); /* integers do not pass through double */
    }
}

static void test_constants(void **data)
{
    (void)data;
    static const double zeros[12], ones[] = {1, 1, 1, 1}, eye[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    EACH_BACKEND(b)
    {
        expect(OWN(mt_zeros(b, mt_shape(3, 4))), mt_shape(3, 4), zeros, "mt_zeros");
        expect(OWN(mt_ones(b, mt_shape(2, 2))), mt_shape(2, 2), ones, "mt_ones");
        double value = test_round(-2.5e-3), full[] = {value, value, value};
        expect(OWN(mt_full(b, mt_shape(3), -2.5e-3)), mt_shape(3), full, "mt_full");
        mt_tensor *nan = OWN(mt_full(b, mt_shape(1), NAN));
        TEST_TRUE(isnan(mt_item(nan)));
        expect(OWN(mt_eye(b, 3)), mt_shape(3, 3), eye, "mt_eye");
        expect(OWN(mt_eye(b, 1)), mt_shape(1, 1), ones, "mt_eye");
        TEST_TRUE(mt_tensor_count(OWN(mt_eye(b, 0))) == 0);
        mt_tensor *empty = OWN(mt_empty(b, mt_shape(0, 3), MT_INDEX));
        TEST_TRUE(mt_tensor_count(empty) == 0 && mt_tensor_kind(empty) == MT_INDEX);
        TEST_TRUE(mt_tensor_rank(OWN(mt_zeros(b, mt_shape(1, 1, 1, 1, 1, 1, 1, 1)))) == 8);
    }
}

static void test_ranges(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 100; round++) {
            int64_t start = test_from(-30, 30), stop = test_from(-30, 30), step = test_from(-7, 7), n = 0;
            if (step == 0) continue;
            double want[64];
            for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) want[n++] = (double)i;
            mt_tensor *x = OWN(mt_arange(b, start, stop, step));
            TEST_TRUE(mt_tensor_kind(x) == MT_INDEX);
            expect(x, mt_shape(n), want, "mt_arange");
        }
        int64_t big[4], first = INT64_C(1) << 62;
        TEST_OK(mt_to_indices(OWN(mt_arange(b, INT64_MIN, INT64_MAX, first)), big, 4));
        TEST_TRUE(big[0] == INT64_MIN && big[1] == -first && big[2] == 0 && big[3] == first);
        TEST_OK(mt_to_indices(OWN(mt_arange(b, INT64_MAX, INT64_MIN, INT64_MIN)), big, 2));
        TEST_TRUE(big[0] == INT64_MAX && big[1] == -1);
        TEST_NULL(mt_arange(b, 0, 5, 0), MT_ERR_VALUE, "0");
        TEST_NULL(mt_arange(b, INT64_MIN, INT64_MAX, 1), MT_ERR_SHAPE, "");

        for (int round = 0; round < 30; round++) {
            double low = test_between(-5, 5), high = test_between(-5, 5);
            int64_t n = test_from(1, 40);
            const double *got = test_read(OWN(mt_linspace(b, low, high, n)));
            TEST_TRUE(got[0] == test_round(low) && (n == 1 || got[n - 1] == test_round(high)));
            for (int64_t i = 0; i < n; i++)
                TEST_TRUE(test_close(got[i], n == 1 ? low : low + (high - low) * (double)i / (double)(n - 1),
                                     10 * test_epsilon, 4 * test_epsilon));
            test_cases++;
        }
        TEST_TRUE(mt_tensor_count(OWN(mt_linspace(b, 0, 1, 0))) == 0);
        TEST_NULL(mt_linspace(b, 0, 1, -1), MT_ERR_SHAPE, "-1");
    }
}

/* Shapes that no tensor has: a sentence, and nothing allocated. */
static void test_bad_shapes(void **data)
{
    (void)data;
    static const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    EACH_BACKEND(b)
    {
        size_t held = mt_get_alloc_stats().bytes;
        mt_rng rng = mt_rng_make(1);
        double value = 0;
        float single = 0;
        int64_t integer = 0;
        mt_shape bad[] = {mt_shape(-1),
                          mt_shape(2, -3),
                          mt_shape_make(9, nine),
                          mt_shape_make(0, nine),
                          mt_shape(INT64_C(1) << 32, INT64_C(1) << 32),
                          mt_shape(INT64_MAX, 2)};
        for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
            TEST_NULL(mt_zeros(b, bad[i]), MT_ERR_SHAPE, "");
            TEST_NULL(mt_ones(b, bad[i]), MT_ERR_SHAPE, "");
            TEST_NULL(mt_full(b, bad[i], 2), MT_ERR_SHAPE, "");
            TEST_NULL(mt_empty(b, bad[i], MT_INDEX), MT_ERR_SHAPE, "");
            TEST_NULL(mt_from_doubles(b, &value, bad[i]), MT_ERR_SHAPE, "");
            TEST_NULL(mt_from_floats(b, &single, bad[i]), MT_ERR_SHAPE, "");
            TEST_NULL(mt_from_indices(b, &integer, bad[i]), MT_ERR_SHAPE, "");
            TEST_NULL(mt_uniform(b, bad[i], &rng, 0, 1), MT_ERR_SHAPE, "");
            TEST_NULL(mt_normal(b, bad[i], &rng, 0, 1), MT_ERR_SHAPE, "");
            test_cases++;
        }
        TEST_NULL(mt_eye(b, -1), MT_ERR_SHAPE, "-1");
        TEST_NULL(mt_eye(b, INT64_C(1) << 32), MT_ERR_SHAPE, "");
        TEST_NULL(mt_permutation(b, &rng, -1), MT_ERR_SHAPE, "-1");
        TEST_TRUE(mt_get_alloc_stats().bytes == held);
        /* a size that fits an integer, but no memory: the bytes are in the sentence */
        TEST_NULL(mt_zeros(b, mt_shape(INT64_C(1) << 28, INT64_C(1) << 28)), MT_ERR_MEMORY, "");
        TEST_TRUE(mt_get_alloc_stats().bytes == held);
    }
}

/* NULL passes through everywhere: no crash, no sentence of its own. */
static void test_passing_null(void **data)
{
    (void)data;
    double value = 5;
    mt_rng rng = mt_rng_make(1);
    test_stale();
    const char *before = mt_last_message();
    char kept[200];
    snprintf(kept, sizeof kept, "%s", before);
    TEST_TRUE(!mt_tensor_view(NULL, mt_shape(1)) && !mt_tensor_reshape(NULL, mt_shape(1)));
    TEST_TRUE(!mt_tensor_permute(NULL, mt_axes(0)) && !mt_tensor_transpose(NULL, 0, 1));
    TEST_TRUE(!mt_tensor_slice(NULL, 0, 0, 1, 1) && !mt_tensor_select(NULL, 0, 0));
    TEST_TRUE(!mt_tensor_expand(NULL, mt_shape(1)) && !mt_tensor_squeeze(NULL, 0));
    TEST_TRUE(!mt_tensor_unsqueeze(NULL, 0) && !mt_tensor_flatten(NULL, 0, -1));
    TEST_TRUE(!mt_tensor_contiguous(NULL) && !mt_tensor_copy(NULL) && !mt_tensor_to(NULL, test_cpu()));
    TEST_TRUE(!mt_tensor_as(NULL, MT_INDEX) && !mt_tensor_data(NULL));
    TEST_TRUE(mt_tensor_rank(NULL) == 0 && mt_tensor_shape(NULL).rank == 0 && mt_tensor_count(NULL) == -1);
    TEST_TRUE(mt_tensor_size(NULL, 0) == -1 && mt_tensor_stride(NULL, 0) == 0 && mt_tensor_offset(NULL) == 0);
    TEST_TRUE(!mt_tensor_is_contiguous(NULL) && !mt_tensor_backend(NULL) && mt_tensor_version(NULL) == 0);
    TEST_TRUE(mt_get(NULL, mt_at(0), &value) == MT_ERR_NULL && mt_set(NULL, mt_at(0), 1) == MT_ERR_NULL);
    TEST_TRUE(value == 5);
    TEST_TRUE(mt_to_doubles(NULL, &value, 1) == MT_ERR_NULL &&
              mt_set_doubles(NULL, &value, 1) == MT_ERR_NULL);
    TEST_TRUE(mt_op_add(NULL, NULL, NULL) == MT_ERR_NULL && mt_op_sum(NULL, NULL, mt_axes(0)) == MT_ERR_NULL);
    mt_tensor_free(NULL);
    TEST_TRUE(!mt_zeros(NULL, mt_shape(1)) && !mt_parse(NULL, "1") && !mt_parse(test_cpu(), NULL));
    TEST_TRUE(!mt_from_doubles(NULL, &value, mt_shape(1)) && !mt_from_doubles(test_cpu(), NULL, mt_shape(1)));
    TEST_TRUE(!mt_uniform(test_cpu(), mt_shape(1), NULL, 0, 1) && !mt_uniform(NULL, mt_shape(1), &rng, 0, 1));
    TEST_TRUE(!mt_permutation(NULL, &rng, 3) && !mt_arange(NULL, 0, 1, 1) && !mt_eye(NULL, 1));
    TEST_CHECK(strcmp(mt_last_message(), kept) == 0, "NULL left the sentence \"%s\"", mt_last_message());
}

/* What reads a result says why there is none, and so shows a refused operation. */
static void test_reading_null(void **data)
{
    (void)data;
    char text[8] = "before", line[300];
    mt_tensor *labels = OWN(mt_arange(test_cpu(), 0, 3, 1)), *to = OWN(mt_zeros(test_cpu(), mt_shape(3)));
    FILE *file = tmpfile();
    TEST_TRUE(file);
    for (int how = 0; how < 3; how++)
        for (int again = 0; again < 2; again++) { /* the failure is told once */
            if (again == 0) TEST_FAILS(mt_op_add(to, labels, labels), MT_ERR_KIND, "mt_tensor_as");
            if (how == 0) TEST_TRUE(isnan(mt_item(NULL)));
            if (how == 1) TEST_TRUE(mt_format(NULL, text, sizeof text) == -1);
            if (how == 2) TEST_TRUE(mt_print(file, NULL) == MT_ERR_NULL);
            TEST_TRUE(mt_last_status() == MT_ERR_NULL);
            snprintf(line, sizeof line,
                     "%s: the tensor is NULL: what should have made it was refused; the latest failure: "
                     "add: an operand holds indices (INDEX); convert it with mt_tensor_as(x, MT_REAL)",
                     ((const char *const[]){"item", "format", "print"})[how]);
            assert_string_equal(mt_last_message(), line);
            test_cases++;
        }
    rewind(file);
    char printed[300];
    TEST_TRUE(fgets(printed, sizeof printed, file));
    strcat(line, "\n");
    assert_string_equal(printed, line);
    fclose(file);
}

/* NaN is printed without a sign, also by programs that print what they got. */
static void test_nan_without_sign(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        char text[64];
        double value;
        mt_tensor *x = OWN(mt_from_doubles(b, (const double[]){copysign(NAN, -1)}, mt_shape(1)));
        TEST_TRUE(mt_format(x, text, sizeof text) > 0);
        assert_string_equal(text, "[nan]");
        snprintf(text, sizeof text, "%g", mt_item(x));
        assert_string_equal(text, "nan");
        TEST_OK(mt_get(x, mt_at(0), &value));
        TEST_TRUE(!signbit(value));
        TEST_FAILS(mt_op_normal(x, &(mt_rng){0}, copysign(NAN, -1), 1), MT_ERR_VALUE, "mean nan");
    }
}

/* ---- random numbers ---- */

static void test_draws(void **data)
{
    (void)data;
    enum { N = 100000 };
    EACH_BACKEND(b)
    {
        mt_rng rng = mt_rng_make(test_bits());
        uint64_t start = rng.counter;
        mt_rng again = rng, oracle = rng;
        mt_tensor *x = OWN(mt_uniform(b, mt_shape(N), &rng, -3, 5));
        TEST_TRUE(rng.counter == start + N);
        const double *u = test_read(x);
        double mean = 0, square = 0, low = 0, high = 0;
        for (int i = 0; i < N; i++) {
            TEST_TRUE(u[i] >= -3 && u[i] < 5);
            mean += u[i] / N;
            low = fmin(low, u[i]);
            high = fmax(high, u[i]);
        }
        for (int i = 0; i < N; i++) square += (u[i] - mean) * (u[i] - mean) / N;
        /* the mean of N uniform draws of width 8 has a deviation of 8 / sqrt(12 N) = 0.0073; six of those */
        TEST_CHECK(fabs(mean - 1) < 0.044 && fabs(square - 64.0 / 12) < 0.1 && low < -2.99 && high > 4.99,
                   "mean %g, variance %g, from %g to %g", mean, square, low, high);
        const double *same = test_read(OWN(mt_uniform(b, mt_shape(N / 100, 100), &again, -3, 5)));
        TEST_ALL_SAME(same, u, N, "the same seed"); /* element i depends on seed and i alone */
        const double *simple = test_read(OWN(mt_uniform(test_simple(), mt_shape(N), &oracle, -3, 5)));
        TEST_ALL_SAME(simple, u, N, "uniform on another backend");

        /* where few numbers lie between the bounds, rounding would often reach the upper one */
        const mt_real far = 1000, end = (mt_real)1000.001;
        u = test_read(OWN(mt_uniform(b, mt_shape(N), &rng, (double)far, (double)end)));
        for (int i = 0; i < N; i++)
            TEST_CHECK(u[i] >= (double)far && u[i] < (double)end, "uniform: %.9g", u[i]);
        TEST_NULL(mt_uniform(b, mt_shape(2), &rng, 1, 0), MT_ERR_VALUE, "from 1 to 0");
        TEST_NULL(mt_normal(b, mt_shape(2), &rng, 0, -1), MT_ERR_VALUE, "-1");

        mt_rng normal = rng, repeat = rng;
        const double *z = test_read(OWN(mt_normal(b, mt_shape(N), &normal, 2, 3)));
        mean = square = 0;
        double third = 0;
        for (int i = 0; i < N; i++) mean += z[i] / N;
        for (int i = 0; i < N; i++) square += (z[i] - mean) * (z[i] - mean) / N;
        for (int i = 0; i < N; i++) third += pow((z[i] - mean) / 3, 3) / N;
        int within = 0;
        for (int i = 0; i < N; i++) within += fabs(z[i] - 2) < 3;
        TEST_CHECK(fabs(mean - 2) < 0.06 && fabs(square - 9) < 0.25 && fabs(third) < 0.05 &&
                       fabs(within / (double)N - 0.6827) < 0.01,
                   "mean %g, variance %g, skewness %g, %d within one deviation", mean, square, third, within);
        for (int i = 0; i < N; i++) TEST_TRUE(isfinite(z[i]));
        mt_tensor *out = test_array_from(b, mt_shape(50, 40), TEST_OUTPUT, NULL)->x;
        TEST_OK(mt_op_normal(out, &repeat, 2, 3)); /* any layout: the element's row-major number counts */
        TEST_ALL_SAME(test_read(out), z, 2000, "normal in another layout");

        mt_rng other = mt_rng_make(rng.seed + 1);
        const double *v = test_read(OWN(mt_uniform(b, mt_shape(100), &other, -3, 5)));
        int equal = 0;
        for (int i = 0; i < 100; i++) equal += v[i] == u[i];
        TEST_TRUE(equal < 5);
        TEST_NULL(mt_uniform(b, mt_shape(2), &rng, NAN, 1), MT_ERR_VALUE, "nan");
        TEST_NULL(mt_normal(b, mt_shape(2), &rng, 0, INFINITY), MT_ERR_VALUE, "inf");

        int64_t n = 1000, order[1000];
        mt_rng first = mt_rng_make(9), second = first;
        mt_tensor *permutation = OWN(mt_permutation(b, &first, n));
        TEST_TRUE(mt_tensor_kind(permutation) == MT_INDEX);
        TEST_OK(mt_to_indices(permutation, order, n));
        bool seen[1000] = {false};
        int fixed = 0;
        for (int64_t i = 0; i < n; i++) {
            TEST_TRUE(order[i] >= 0 && order[i] < n && !seen[order[i]]);
            seen[order[i]] = true;
            fixed += order[i] == i;
        }
        TEST_TRUE(fixed < 12);
        int64_t host[1000];
        mt_rng_permutation(&second, host, n);
        TEST_TRUE(memcmp(order, host, sizeof host) == 0 && first.counter == second.counter);
        TEST_TRUE(mt_tensor_count(OWN(mt_permutation(b, &first, 0))) == 0);
        test_cases += 4;
        test_release();
    }
    mt_rng rng = mt_rng_make(3);
    int64_t bins[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t k = mt_rng_below(&rng, 7);
        TEST_TRUE(k < 7);
        bins[k]++;
    }
    for (int k = 0; k < 7; k++) TEST_TRUE(llabs(bins[k] - 10000) < 600);
    TEST_TRUE(mt_rng_below(&rng, 0) == 0 && mt_rng_below(&rng, 1) == 0);
    for (int i = 0; i < 1000; i++) {
        double u = mt_rng_double(&rng);
        TEST_TRUE(u >= 0 && u < 1);
    }
}

/* ---- views: each against nested indices ---- */

static double at(const test_array *a, const int64_t *index) { return a->values[test_ravel(a->shape, index)]; }

static void check_view(const test_array *a, mt_tensor *view, mt_shape shape,
                       void (*source)(const int64_t *how, const int64_t *to, int64_t *from),
                       const int64_t *how, const char *what)
{
    mt_tensor *owned = test_own(__FILE__, __LINE__, what, view);
    int64_t n = test_count(shape);
    double *want = test_memory((size_t)n * sizeof *want);
    for (int64_t i = 0; i < n; i++) {
        int64_t to[MT_MAX_DIMS] = {0}, from[MT_MAX_DIMS] = {0};
        test_unravel(shape, i, to);
        source(how, to, from);
        want[i] = at(a, from);
    }
    expect(owned, shape, want, what);
    TEST_TRUE(mt_tensor_kind(owned) == mt_tensor_kind(a->x) &&
              mt_tensor_backend(owned) == mt_tensor_backend(a->x));
    test_unchanged(a, what);
}

static void by_permute(const int64_t *how, const int64_t *to, int64_t *from)
{
    for (int64_t i = 0; i < how[0]; i++) from[how[1 + i]] = to[i];
}

static void by_slice(const int64_t *how, const int64_t *to, int64_t *from)
{
    for (int64_t i = 0; i < how[0]; i++)
        from[i] = to[i] * (i == how[1] ? how[3] : 1) + (i == how[1] ? how[2] : 0);
}

static void by_select(const int64_t *how, const int64_t *to, int64_t *from)
{
    for (int64_t i = 0; i < how[0]; i++) from[i] = i < how[1] ? to[i] : i == how[1] ? how[2] : to[i - 1];
}

static void by_insert(const int64_t *how, const int64_t *to, int64_t *from)
{
    for (int64_t i = 0; i < how[0]; i++) from[i] = to[i < how[1] ? i : i + 1];
}

static void test_views(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 60; round++) {
            unsigned flags = test_chance(0.3) ? TEST_INDICES : TEST_INPUT;
            mt_shape shape = test_shape(5, 400, true), to = shape;
            test_array *a = test_array_random(b, shape, flags, -50, 50);
            int rank = shape.rank, dim = (int)test_below(rank), other = (int)test_below(rank);
            int64_t how[MT_MAX_DIMS + 1] = {rank}, negative = dim - rank;

            mt_shape order = {.rank = rank};
            for (int d = 0; d < rank; d++) order.size[d] = d;
            test_shuffle(order.size, rank);
            for (int d = 0; d < rank; d++) how[1 + d] = order.size[d], to.size[d] = shape.size[order.size[d]];
            check_view(a, mt_tensor_permute(a->x, order), to, by_permute, how, "mt_tensor_permute");

            for (int d = 0; d < rank; d++) how[1 + d] = d == dim ? other : d == other ? dim : d;
            for (int d = 0; d < rank; d++) to.size[d] = shape.size[how[1 + d]];
            check_view(a, mt_tensor_transpose(a->x, negative, other), to, by_permute, how,
                       "mt_tensor_transpose");

            int64_t size = shape.size[dim], start = test_below(size + 1), step = test_from(1, 3);
            int64_t stop = test_from(start, size);
            to = shape;
            to.size[dim] = (stop - start + step - 1) / step;
            how[1] = dim, how[2] = start, how[3] = step;
            check_view(a, mt_tensor_slice(a->x, dim, start, stop, step), to, by_slice, how,
                       "mt_tensor_slice");
            to.size[dim] = (size - start + step - 1) / step;
            check_view(
                a,
                mt_tensor_slice(a->x, negative, start - size < 0 ? start - size : start, MT_END_OF_DIM, step),
                to, by_slice, how, "mt_tensor_slice");

            if (size > 0) {
                to = (mt_shape){0};
                for (int d = 0; d < rank; d++)
                    if (d != dim) to.size[to.rank++] = shape.size[d];
                if (to.rank == 0) to = mt_shape(1);
                how[2] = test_below(size);
                check_view(a, mt_tensor_select(a->x, dim, how[2] - size), to, by_select, how,
                           "mt_tensor_select");
            }
            how[1] = test_from(0, rank);
            to = (mt_shape){.rank = rank + 1};
            for (int d = 0; d <= rank; d++)
                to.size[d] = d < how[1] ? shape.size[d] : d == how[1] ? 1 : shape.size[d - 1];
            mt_tensor *wide = mt_tensor_unsqueeze(a->x, test_chance(0.5) ? how[1] : how[1] - rank - 1);
            check_view(a, wide, to, by_insert, how, "mt_tensor_unsqueeze");
            expect(OWN(mt_tensor_squeeze(wide, how[1])), shape, a->values, "mt_tensor_squeeze");
            expect(OWN(mt_tensor_expand(a->x, shape)), shape, a->values, "mt_tensor_expand");

            to = (mt_shape){.rank = rank + 2, .size = {3}};
            for (int d = 0; d < rank; d++) to.size[d + 2] = shape.size[d];
            to.size[1] = 2;
            double *want = test_memory((size_t)(6 * a->count) * sizeof *want);
            for (int64_t i = 0; i < 6 * a->count; i++) want[i] = a->values[i % a->count];
            expect(OWN(mt_tensor_expand(a->x, to)), to, want, "mt_tensor_expand");

            /* the same elements in row-major order under another shape */
            to = mt_shape(a->count);
            expect(OWN(mt_tensor_reshape(a->x, mt_shape(-1))), to, a->values, "mt_tensor_reshape");
            expect(OWN(mt_tensor_flatten(a->x, 0, -1)), to, a->values, "mt_tensor_flatten");
            to = mt_shape(1, a->count, 1);
            expect(OWN(mt_tensor_reshape(a->x, to)), to, a->values, "mt_tensor_reshape");
            if (mt_tensor_is_contiguous(a->x)) {
                mt_tensor *view = OWN(mt_tensor_view(a->x, to));
                expect(view, to, a->values, "mt_tensor_view");
                TEST_TRUE(!mt_tensor_data(view) || mt_tensor_data(view) == mt_tensor_data(a->x));
            } else {
                TEST_NULL(mt_tensor_view(a->x, to), MT_ERR_SHAPE, test_text(shape));
            }
            TEST_NULL(mt_tensor_reshape(a->x, mt_shape(a->count + 1)), MT_ERR_SHAPE,
                      test_text(mt_shape(a->count + 1)));
            test_unchanged(a, "views");
            test_release();
        }
    }
}

/* A view sees what is written through another, and outlives the handle it was made from. */
static void test_sharing(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        size_t held = mt_get_alloc_stats().bytes;
        double values[] = {0, 1, 2, 3, 4, 5}, value;
        mt_tensor *x = mt_from_doubles(b, values, mt_shape(2, 3)), *t = mt_tensor_transpose(x, 0, 1);
        TEST_TRUE(x && t);
        uint64_t version = mt_tensor_version(x);
        TEST_OK(mt_set(t, mt_at(2, 0), 70));
        TEST_OK(mt_get(x, mt_at(0, 2), &value));
        TEST_TRUE(value == 70 && mt_tensor_version(x) > version &&
                  mt_tensor_version(t) == mt_tensor_version(x));
        TEST_TRUE(mt_tensor_size(t, 0) == 3 && mt_tensor_size(t, -1) == 2);
        TEST_TRUE(mt_tensor_stride(t, 0) == 1 && mt_tensor_stride(t, -1) == 3);
        TEST_TRUE(mt_tensor_size(t, 2) == -1 && mt_tensor_stride(t, 2) == 0);
        mt_tensor_free(x);
        mt_tensor *row = mt_tensor_select(t, 1, 1);
        mt_tensor_free(t);
        const double want[] = {3, 4, 5};
        TEST_TRUE(row);
        double got[3];
        TEST_OK(mt_to_doubles(row, got, 3));
        TEST_ALL_SAME(got, want, 3, "a view of a view");
        mt_tensor_free(row);
        test_release();
        TEST_TRUE(mt_get_alloc_stats().bytes == held);
        test_cases++;
    }
}

/* ---- copies ---- */

static void test_copies(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 60; round++) {
            bool index = test_chance(0.3);
            mt_shape shape = test_shape(5, 9000, true);
            test_array *a = test_array_random(b, shape, index ? TEST_INDICES : TEST_INPUT, -50, 50);
            mt_tensor *copy = OWN(mt_tensor_copy(a->x)), *rows = OWN(mt_tensor_contiguous(a->x));
            TEST_TRUE(mt_tensor_is_contiguous(copy) && mt_tensor_is_contiguous(rows));
            TEST_TRUE(mt_tensor_kind(copy) == mt_tensor_kind(a->x) &&
                      mt_tensor_kind(rows) == mt_tensor_kind(a->x));
            expect(copy, shape, a->values, "mt_tensor_copy");
            expect(rows, shape, a->values, "mt_tensor_contiguous");
            if (mt_tensor_data(a->x) && a->count > 0) {
                TEST_TRUE(mt_tensor_data(copy) != mt_tensor_data(a->x));
                TEST_TRUE((mt_tensor_data(rows) == mt_tensor_data(a->x)) == mt_tensor_is_contiguous(a->x));
            }
            EACH_BACKEND(other)
            {
                mt_tensor *moved = OWN(mt_tensor_to(a->x, other));
                TEST_TRUE(mt_tensor_backend(moved) == other && mt_tensor_is_contiguous(moved));
                TEST_TRUE(mt_tensor_kind(moved) == mt_tensor_kind(a->x));
                expect(moved, shape, a->values, "mt_tensor_to");
            }
            double *want = test_memory((size_t)a->count * sizeof *want);
            for (int64_t i = 0; i < a->count; i++) want[i] = trunc(a->values[i]) + 0.0;
            mt_tensor *integer = OWN(mt_tensor_as(a->x, MT_INDEX));
            TEST_TRUE(mt_tensor_kind(integer) == MT_INDEX);
            for (int64_t i = 0; i < a->count; i++)
                want[i] = want[i] == 0 ? 0 : want[i]; /* an integer has no -0 */
            expect(integer, shape, want, "mt_tensor_as");
            mt_tensor *real = OWN(mt_tensor_as(a->x, MT_REAL));
            TEST_TRUE(mt_tensor_kind(real) == MT_REAL);
            expect(real, shape, a->values, "mt_tensor_as");
            test_unchanged(a, "copies");
            test_release();
        }
    }
}

/* The text of a tensor is the same in a program of another locale, where one is installed. */
static void test_locale(void **data)
{
    (void)data;
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8",
                                         "ru_RU.utf8"};
    const char *found = NULL;
    for (size_t i = 0; i < TEST_LENGTH(commas) && !found; i++)
        if (setlocale(LC_NUMERIC, commas[i])) found = commas[i];
    if (!found) printf("    no locale with a decimal comma is installed: C alone\n");
    mt_tensor *x = OWN(mt_parse(test_cpu(), "[[1, 2.5], [-.25e1, 1e-3], [nan, 7]]"));
    char text[200];
    TEST_TRUE(mt_format(x, text, sizeof text) > 0);
    setlocale(LC_NUMERIC, "C");
    const double *values = test_read(x);
    TEST_TRUE(values[1] == 2.5 && values[2] == -2.5 && isnan(values[4]) && values[5] == 7);
    TEST_TRUE(strncmp(text, "[[1, 2.5], [-2.5, 0.00", 22) == 0);

    /* Numbers of any length and kind are what they are in the C locale. */
    static char many[2][1300];
    memset(many[0], '7', 1250);
    many[0][1] = '.';
    snprintf(many[1], sizeof many[1], "0.%01200d5e1199", 0);
    const char *const numbers[] = {many[0],
                                   many[1],
                                   "-0.0",
                                   "1e400",
                                   "4.9e-324",
                                   "2.2250738585072011e-308",
                                   ".5",
                                   "5.",
                                   "-0x1p3",
                                   "0x1.8p1",
                                   "1e",
                                   "1e+",
                                   "1.5e-3]",
                                   "nan",
                                   "-inf",
                                   "infinity",
                                   "00012.50",
                                   ".",
                                   "-",
                                   "e5",
                                   "1.2.3",
                                   "9007199254740993",
                                   "100000000000000000000000.0e-23",
                                   "1e99999999999999999999",
                                   "0e99999"};
    for (size_t i = 0; i < TEST_LENGTH(numbers); i++) {
        const char *here, *there;
        const double want = mt_text_to_double(numbers[i], &here);
        if (found) setlocale(LC_NUMERIC, found);
        const double have = mt_text_to_double(numbers[i], &there);
        setlocale(LC_NUMERIC, "C");
        TEST_CHECK(memcmp(&want, &have, sizeof want) == 0 && here == there,
                   "%.40s is %.17g and %.17g, %td and %td characters", numbers[i], want, have,
                   here - numbers[i], there - numbers[i]);
    }
    test_cases++;
}

/* Writes into any layout; a refused one changes nothing. */
static void test_writes(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *indices = OWN(mt_arange(b, 0, 3, 1)); /* more than a float holds */
        const double large[] = {16777217, 1e15 + 1, -123456789};
        TEST_OK(mt_set_doubles(indices, large, 3));
        TEST_ALL_SAME(test_read(indices), large, 3, "mt_set_doubles of indices");
        for (int round = 0; round < 60; round++) {
            mt_shape shape = test_shape(5, 5000, true);
            test_array *a = test_array_from(b, shape, test_chance(0.3) ? TEST_INDICES : TEST_OUTPUT, NULL);
            double *values = test_memory((size_t)a->count * sizeof *values);
            for (int64_t i = 0; i < a->count; i++) values[i] = (double)test_from(-1000, 1000);
            uint64_t version = mt_tensor_version(a->x);
            TEST_OK(mt_set_doubles(a->x, values, a->count));
            TEST_TRUE(mt_tensor_version(a->x) > version &&
                      mt_tensor_version(a->base) == mt_tensor_version(a->x));
            expect(a->x, shape, values, "mt_set_doubles");
            test_guards(a, "mt_set_doubles");
            TEST_FAILS(mt_set_doubles(a->x, values, a->count + 1), MT_ERR_SHAPE, test_text(shape));
            expect(a->x, shape, values, "a refused mt_set_doubles");
            if (a->count > 0) {
                mt_shape index = {.rank = shape.rank};
                int64_t i = test_below(a->count);
                test_unravel(shape, i, index.size);
                for (int d = 0; d < shape.rank; d++)
                    if (test_chance(0.3)) index.size[d] -= shape.size[d];
                double value = 0;
                TEST_OK(mt_get(a->x, index, &value));
                TEST_TRUE(value == values[i]);
                version = mt_tensor_version(a->x);
                TEST_OK(mt_get(a->x, index, &value));
                TEST_TRUE(mt_tensor_version(a->x) == version); /* reading is no writing */
                values[i] = 77;
                TEST_OK(mt_set(a->x, index, 77));
                TEST_TRUE(mt_tensor_version(a->x) > version);
                expect(a->x, shape, values, "mt_set");
                test_guards(a, "mt_set");
                for (int d = 0; d < shape.rank; d++) {
                    mt_shape outside = index;
                    outside.size[d] = test_chance(0.5) ? shape.size[d] : -shape.size[d] - 1;
                    value = 5;
                    TEST_FAILS(mt_get(a->x, outside, &value), MT_ERR_INDEX, test_text(outside));
                    TEST_TRUE(value == 5 && strstr(mt_last_message(), test_text(shape)));
                    TEST_FAILS(mt_set(a->x, outside, 1), MT_ERR_INDEX, test_text(shape));
                }
                mt_shape longer = index, shorter = index;
                longer.size[longer.rank++] = 0;
                TEST_FAILS(mt_get(a->x, longer, &value), MT_ERR_INDEX, test_text(shape));
                if (--shorter.rank > 0) TEST_FAILS(mt_set(a->x, shorter, 1), MT_ERR_INDEX, test_text(shape));
                index.size[0] = INT64_MIN;
                TEST_FAILS(mt_get(a->x, index, &value), MT_ERR_INDEX, "");
                index.size[0] = INT64_MAX;
                TEST_FAILS(mt_get(a->x, index, &value), MT_ERR_INDEX, "");
                expect(a->x, shape, values, "refused accesses");
            }
            test_release();
        }
        /* an expanded tensor cannot be written as a whole: its elements share memory */
        double values[6] = {1, 2, 3, 4, 5, 6};
        mt_tensor *one = OWN(mt_zeros(b, mt_shape(1, 3))), *wide = OWN(mt_tensor_expand(one, mt_shape(2, 3)));
        TEST_FAILS(mt_set_doubles(wide, values, 6), MT_ERR_SHAPE, "(2, 3)");
        TEST_FAILS(mt_op_fill(wide, 1), MT_ERR_SHAPE, "(2, 3)");
        TEST_TRUE(mt_item(OWN(mt_tensor_slice(one, 1, 0, 1, 1))) == 0);
        test_stale();
        TEST_TRUE(isnan(mt_item(wide)));
        test_fails(__FILE__, __LINE__, "mt_item", mt_last_status(), MT_ERR_SHAPE, "(2, 3)");
        mt_tensor *index = OWN(mt_from_indices(b, (int64_t[]){1, 2}, mt_shape(2)));
        TEST_OK(mt_set(index, mt_at(0), -3.9));
        TEST_OK(mt_set(index, mt_at(1), 1e300));
        int64_t got[2];
        TEST_OK(mt_to_indices(index, got, 2));
        TEST_TRUE(got[0] == -3 && got[1] == INT64_MAX);
        TEST_OK(mt_set(index, mt_at(1), NAN)); /* no undefined conversion */
        test_release();
    }
}

/* ---- text ---- */

static char *format(const mt_tensor *x)
{
    int64_t length = mt_format(x, NULL, 0);
    TEST_CHECK(length >= 0, "mt_format: %s", mt_last_message());
    char *text = test_memory((size_t)length + 1);
    TEST_TRUE(mt_format(x, text, (size_t)length + 1) == length && (int64_t)strlen(text) == length);
    return text;
}

static void test_round_trip(void **data)
{
    (void)data;
    static const double edges[] = {0,      -0.0,  INFINITY, -INFINITY, NAN,      1e-300,
                                   5e-324, 1e-45, 1e38,     0.1,       -1.0 / 3, 12345678.9};
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 150; round++) {
            mt_shape shape = test_shape(5, 300, true);
            bool index = test_chance(0.3);
            test_array *a;
            if (index) {
                a = test_array_random(b, shape, TEST_INDICES, -1e6, 1e6);
            } else {
                int64_t n = test_count(shape);
                double *values = test_memory((size_t)n * sizeof *values);
                for (int64_t i = 0; i < n; i++)
                    values[i] = test_chance(0.2) ? edges[test_below((int64_t)TEST_LENGTH(edges))]
                                                 : test_between(-1, 1) * pow(10, test_between(-30, 30));
                a = test_array_from(b, shape, TEST_INPUT, values);
            }
            char *text = format(a->x);
            mt_tensor *back = OWN(mt_parse(b, text));
            TEST_TRUE(mt_tensor_kind(back) == MT_REAL);
            mt_shape want = shape; /* what stands below an empty dimension does not show in the text */
            for (int d = 0; d < want.rank; d++)
                if (want.size[d] == 0) want.rank = d + 1;
            TEST_CHECK(mt_shape_equal(mt_tensor_shape(back), want), "\"%.60s\" of %s reads as %s", text,
                       test_text(shape), test_text(mt_tensor_shape(back)));
            TEST_ALL_SAME(test_read(back), a->values, a->count, text);

            /* what mt_print writes reads back, too */
            static char lines[20000];
            FILE *file = fmemopen(lines, sizeof lines, "w");
            TEST_OK(mt_print_with(file, a->x, (mt_print_options){17, INT64_MAX, 1, (int)test_from(0, 100)}));
            TEST_TRUE(ftell(file) < (long)sizeof lines - 1);
            fclose(file);
            TEST_ALL_SAME(test_read(OWN(mt_parse(b, lines))), a->values, a->count, lines);

            /* a buffer that is too small: as much as fits, ended, and the whole length */
            int64_t length = (int64_t)strlen(text), room = test_from(1, length + 2);
            char *part = test_memory((size_t)length + 8);
            memset(part, '#', (size_t)length + 8);
            TEST_TRUE(mt_format(a->x, part, (size_t)room) == length);
            int64_t shown = room - 1 < length ? room - 1 : length;
            TEST_TRUE((int64_t)strlen(part) == shown && memcmp(part, text, (size_t)shown) == 0 &&
                      part[shown + 1] == '#');
            test_cases++;
            test_release();
        }
        const char *const texts[][2] = {
            {"[[1, 2.5], [-30000, 0.25]]", "[[1, 2.5], [-30000, 0.25]]"},
            {"7", "[7]"},
            {" [ 1 ,\n\t2 ] ", "[1, 2]"},
            {"[+1,-0,.5,5.,1e2,-1E-2]", NULL},
            {"[nan, inf, -inf, NaN, INFINITY, -nan]", "[nan, inf, -inf, nan, inf, nan]"},
            {"[]", "[]"},
            {"[[], []]", "[[], []]"},
            {"[[[[[[[[1]]]]]]]]", "[[[[[[[[1]]]]]]]]"},
            {"[1e-400]", "[0]"}};
        for (size_t i = 0; i < TEST_LENGTH(texts); i++) {
            mt_tensor *x = OWN(mt_parse(b, texts[i][0]));
            if (texts[i][1]) assert_string_equal(format(x), texts[i][1]);
            test_cases++;
        }
        TEST_TRUE(isnan(test_read(OWN(mt_parse(b, "nan")))[0]));
        TEST_TRUE(mt_shape_equal(mt_tensor_shape(OWN(mt_parse(b, "[[[], []]]"))), mt_shape(1, 2, 0)));
        int64_t big[] = {INT64_MIN, INT64_MAX};
        assert_string_equal(format(OWN(mt_from_indices(b, big, mt_shape(2)))),
                            "[-9223372036854775808, 9223372036854775807]");
    }
}

/* Text that is no tensor: a sentence that says where, no crash, nothing kept. */
static void test_hostile_text(void **data)
{
    (void)data;
    static const char *const texts[] = {
        "",
        " ",
        "[",
        "]",
        "[[1, 2], [3]]",
        "[[1], [2, 3]]",
        "[[1, 2], 3]",
        "[1, [2]]",
        "[1, 2",
        "[1, 2]]",
        "[1, 2] 3",
        "[1 2]",
        "[1,, 2]",
        "[,1]",
        "[1,]",
        "[[1, 2],]",
        "[[]",
        "[[], [1]]",
        "[[1], []]",
        "[[], 1]",
        "[a]",
        "abc",
        "[1, x]",
        "1 2",
        "--1",
        "[1e999]",
        "[-1e999]",
        "[1e99999999]",
        "[\"1\"]",
        "(1, 2)",
        "[1; 2]",
        "[0.1.2]",
        "[[[[[[[[[1]]]]]]]]]",
        "[[[[[[[[[]]]]]]]]]",
        "[1, 2]\x01",
        "\xff\xfe[1]",
        "[\xc2\xa0 1]",
        "[+]",
        "[-]",
        "[.]",
        "[e5]",
        "[[[1], [2]], [[3]]]",
        "[[1, 2], [3, 4], [5, 6, 7]]",
        "[1]garbage",
        "[nanana]",
        "[infinite]",
    };
    EACH_BACKEND(b)
    {
        size_t held = mt_get_alloc_stats().bytes;
        for (size_t i = 0; i < TEST_LENGTH(texts); i++) {
            test_stale();
            mt_tensor *x = mt_parse(b, texts[i]);
            TEST_CHECK(!x, "\"%s\" was read as a tensor of %s", texts[i], test_text(mt_tensor_shape(x)));
            test_fails(__FILE__, __LINE__, texts[i], mt_last_status(), MT_ERR_PARSE, "");
            test_cases++;
        }
        /* a million brackets; a million numbers in a list that never ends */
        enum { MILLION = 1000000 };
        char *text = test_memory(2 * MILLION + 1);
        memset(text, '[', MILLION);
        TEST_NULL(mt_parse(b, text), MT_ERR_PARSE, "");
        memset(text + MILLION, ']', MILLION);
        TEST_NULL(mt_parse(b, text), MT_ERR_PARSE, "");
        text[0] = '[';
        for (int i = 1; i < 2 * MILLION; i += 2) text[i] = '1', text[i + 1 < 2 * MILLION ? i + 1 : i] = ',';
        text[2 * MILLION - 1] = '\0';
        TEST_NULL(mt_parse(b, text), MT_ERR_PARSE, "");
        text[2 * MILLION - 2] = ']';
        mt_tensor *x = mt_parse(b, text);
        TEST_TRUE(mt_tensor_count(x) == MILLION - 1);
        mt_tensor_free(x);
        if (sizeof(mt_real) == sizeof(float)) TEST_NULL(mt_parse(b, "[1e39]"), MT_ERR_PARSE, "");
        /* mutations of a good text: read or refused, never a crash */
        for (int round = 0; round < 3000; round++) {
            char line[] = "[[1.5, -2e3, nan], [inf, 0, 7]]";
            static const char letters[] = "[],.-+e0123 naif\n\tx";
            for (int64_t k = test_from(1, 4); k > 0; k--)
                line[test_below((int64_t)strlen(line))] = letters[test_below((int64_t)sizeof letters)];
            mt_tensor_free(mt_parse(b, line));
            test_cases++;
        }
        test_release();
        TEST_TRUE(mt_get_alloc_stats().bytes == held);
    }
}

/* What mt_print_with writes, in memory that the next call uses again. */
static const char *printed(const mt_tensor *x, mt_print_options options)
{
    static char text[8000];
    memset(text, 0, sizeof text);
    FILE *file = fmemopen(text, sizeof text - 1, "w");
    TEST_TRUE(file);
    TEST_OK(mt_print_with(file, x, options));
    fclose(file);
    return text;
}

/* What a message repeats of somebody's text cannot change a terminal: no control, no mark of direction, no
 * half a character. */
static void test_clean_messages(void **data)
{
    (void)data;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\x1b[31mred\x07", "?[31mred?"},
        {"one\ntwo\tthree\r", "one two three?"},
        {"\xe2\x80\xaeleft\xe2\x81\xa6", "?left?"},
        {"\xc2\x9b"
         "1m",
         "?1m"},
        {"cut \xe2\x82", "cut ??"},
        {"\xff\xc0\x80\xed\xa0\x80", "??????"},
    };
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", cases[i].from);
        mt_text_clean(text);
        assert_string_equal(text, cases[i].to);
        test_cases++;
    }
    TEST_NULL(mt_parse(test_cpu(), "[1, \x1b]0;title\x07"), MT_ERR_PARSE, "near \"?]0;title?\"");
}

static void test_printing(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        const mt_print_options usual = mt_print_defaults();
        mt_tensor *x = OWN(mt_parse(b, "[[1, 2], [3, -40.5]]"));
        assert_string_equal(printed(x, usual), "[[    1,     2],\n [    3, -40.5]]\n");
        assert_string_equal(printed(OWN(mt_parse(b, "[0.1, nan, -inf]")), usual), "[0.1, nan, -inf]\n");
        assert_string_equal(printed(OWN(mt_arange(b, 0, 4, 1)), usual), "[0, 1, 2, 3]\n");
        assert_string_equal(printed(OWN(mt_zeros(b, mt_shape(2, 0))), usual), "[[], []]\n");
        assert_string_equal(printed(OWN(mt_zeros(b, mt_shape(2, 1, 2))), usual),
                            "[[[0, 0]],\n\n [[0, 0]]]\n");
        mt_tensor *third = OWN(mt_full(b, mt_shape(1), 1 / 3.0));
        mt_print_options few = usual;
        few.digits = 3;
        assert_string_equal(printed(third, few), "[0.333]\n");

        /* Summaries: of each long dimension three at each end. */
        mt_tensor *range = OWN(mt_arange(b, 0, 1001, 1));
        assert_string_equal(printed(range, usual), "[0, 1, 2, ..., 998, 999, 1000]\n");
        mt_tensor *square = OWN(mt_tensor_view(OWN(mt_arange(b, 0, 10000, 1)), mt_shape(100, 100)));
        mt_print_options two = usual;
        two.edge = 2;
        assert_string_equal(printed(square, two),
                            "[[   0,    1, ...,   98,   99],\n [ 100,  101, ...,  198,  199],\n ...,\n"
                            " [9800, 9801, ..., 9898, 9899],\n [9900, 9901, ..., 9998, 9999]]\n");
        mt_tensor *turned = OWN(mt_tensor_transpose(square, 0, 1));
        two.edge = 1;
        assert_string_equal(printed(turned, two), "[[   0, ..., 9900],\n ...,\n [  99, ..., 9999]]\n");
        mt_tensor *deep = OWN(mt_tensor_view(square, mt_shape(2, 1000, 5)));
        assert_string_equal(printed(deep, two), "[[[   0, ...,    4],\n  ...,\n  [4995, ..., 4999]],\n\n"
                                                " [[5000, ..., 5004],\n  ...,\n  [9995, ..., 9999]]]\n");
        TEST_TRUE(strlen(printed(OWN(mt_zeros(b, mt_shape(1000, 1000))), usual)) < 300);

        /* Long rows go on in the next line, and what is not summarised reads back. */
        mt_print_options narrow = usual;
        narrow.width = 20;
        assert_string_equal(printed(OWN(mt_arange(b, 0, 12, 1)), narrow),
                            "[ 0,  1,  2,  3,  4,\n  5,  6,  7,  8,  9,\n 10, 11]\n");
        narrow.edge = 0;
        TEST_FAILS(mt_print_with(stdout, x, narrow), MT_ERR_VALUE, "edge 0 (1 or more)");
        FILE *full = fopen("/dev/full", "w");
        if (full) {
            TEST_FAILS(mt_print(full, x), MT_ERR_IO, "");
            fclose(full);
            full = fopen("/dev/full", "w");
            mt_print_options all = {.digits = 8, .threshold = INT64_MAX, .edge = 3};
            TEST_FAILS(mt_print_with(full, OWN(mt_zeros(b, mt_shape(100, 1000))), all), MT_ERR_IO, "");
            fclose(full);
        }
        test_cases++;
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_from_arrays),      TEST(test_constants),      TEST(test_ranges),
        TEST(test_bad_shapes),       TEST(test_passing_null),   TEST(test_reading_null),
        TEST(test_nan_without_sign), TEST(test_draws),          TEST(test_views),
        TEST(test_sharing),          TEST(test_copies),         TEST(test_writes),
        TEST(test_locale),           TEST(test_round_trip),     TEST(test_hostile_text),
        TEST(test_printing),         TEST(test_clean_messages),
    };
    return TEST_RUN("tensor", tests);
}
