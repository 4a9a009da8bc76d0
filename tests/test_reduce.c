/* tests/test_reduce.c - reductions and scatter without a tape, on every backend.
 *
 * Inputs and outputs lie in random layouts with guards around them; sums are compared with sums in long
 * double.
 */
#include "tensor/elementwise_ops.h"
#include "support.h"

#include <math.h>

typedef mt_status (*reduction_fn)(mt_tensor *out, const mt_tensor *x, mt_shape dims);

typedef enum { SUM, MEAN, PROD, MAX, MIN, ALL, ARGMAX, ARGMIN, REDUCTIONS } reduction;

static const struct {
    const char *name;
    reduction_fn apply;
} reductions[REDUCTIONS] = {
    {"sum", mt_op_sum}, {"mean", mt_op_mean}, {"prod", mt_op_prod},     {"max", mt_op_max},
    {"min", mt_op_min}, {"all", mt_op_all},   {"argmax", mt_op_argmax}, {"argmin", mt_op_argmin},
};

/* One result: n values in row-major order of the reduced dimensions. */
static void model(reduction r, const double *values, int64_t n, bool equal, double *result, double *tolerance)
{
    long double sum = 0, magnitude = 0, product = 1;
    double best = 0;
    int64_t at = 0;
    bool all = true, low = r == MIN || r == ARGMIN;
    for (int64_t i = 0; i < n; i++) {
        double x = values[i];
        sum += x;
        magnitude += fabs(x);
        product *= x;
        all = all && x != 0;
        if (i == 0 || (!isnan(best) && (isnan(x) || (low ? x < best : x > best)))) best = x, at = i;
    }
    *tolerance = 0;
    switch (r) {
    case SUM:
        *result = (double)sum;
        *tolerance = test_sum_tolerance(n, (double)magnitude, equal);
        break;
    case MEAN:
        *result = n == 0 ? NAN : (double)(sum / n);
        *tolerance = n == 0 ? 0 : test_sum_tolerance(n, (double)(magnitude / n), equal);
        break;
    case PROD: /* each factor rounds once, and the errors add up */
        *result = (double)product;
        *tolerance = (double)(n + 2) * test_epsilon * fabs((double)product);
        break;
    case ALL: *result = all; break;
    case MAX:
    case MIN: *result = best; break;
    default: *result = (double)at; break;
    }
}

static mt_shape random_dims(int rank, bool *all)
{
    mt_shape dims = {.rank = rank};
    for (int d = 0; d < rank; d++) dims.size[d] = d;
    test_shuffle(dims.size, rank);
    dims.rank = (int)test_from(1, rank);
    for (int i = 0; i < dims.rank; i++)
        if (test_chance(0.3)) dims.size[i] -= rank;
    *all = dims.rank == rank;
    return dims;
}

static void collect(const test_array *x, mt_shape dims, mt_shape kept, int64_t i, double *values, int64_t *n)
{
    bool gone[MT_MAX_DIMS] = {false};
    int64_t start[MT_MAX_DIMS] = {0};
    for (int k = 0; k < dims.rank; k++)
        gone[dims.size[k] < 0 ? dims.size[k] + x->shape.rank : dims.size[k]] = true;
    mt_shape inner = x->shape;
    for (int d = 0; d < inner.rank; d++)
        if (!gone[d]) inner.size[d] = 1;
    test_unravel(kept, i, start);
    *n = test_count(inner);
    for (int64_t k = 0; k < *n; k++) {
        int64_t index[MT_MAX_DIMS];
        test_unravel(inner, k, index);
        for (int d = 0; d < inner.rank; d++) index[d] += gone[d] ? 0 : start[d];
        values[k] = x->values[test_ravel(x->shape, index)];
    }
}

static void check_reduction(mt_backend *b, reduction r, mt_shape shape)
{
    const char *name = reductions[r].name;
    bool all, integers = test_chance(0.6);
    mt_shape dims = random_dims(shape.rank, &all), kept = test_without(shape, dims, true);
    mt_shape result = test_without(shape, dims, test_chance(0.5));
    int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values),
           margin = 10 / ((double)n + 100); /* of factors */
    for (int64_t i = 0; i < n; i++) {       /* integers for ties and exact products, a NaN at times */
        values[i] = integers ? (double)test_from(-2, 2) : test_between(-2, 2);
        if (r == PROD)
            values[i] = test_chance(0.5 / (double)n)
                            ? 0
                            : test_between(1 - margin, 1 + margin) * (test_chance(0.5) ? 1 : -1);
        if (r == ALL) values[i] = test_chance(0.97) ? test_between(0.5, 2) : 0;
        if (n > 0 && test_chance(0.5 / (double)n)) values[i] = r == PROD ? INFINITY : NAN;
    }
    test_array *x = test_array_from(b, shape, TEST_INPUT, values);
    bool arg = r == ARGMAX || r == ARGMIN;
    test_array *out = test_array_from(b, result, arg ? TEST_INDICES : TEST_OUTPUT, NULL);
    bool nothing = n == 0 && test_count(result) > 0;
    if (nothing && (r == MAX || r == MIN || arg)) {
        TEST_REFUSED(out, reductions[r].apply(out->x, x->x, dims), MT_ERR_SHAPE, test_text(shape));
        test_release();
        return;
    }
    TEST_OK(reductions[r].apply(out->x, x->x, dims));
    test_guards(out, name);
    test_unchanged(x, name);
    const double *got = test_read(out->x);
    double *row = test_memory((size_t)n * sizeof *row);
    for (int64_t i = 0; i < out->count; i++) {
        double want, tolerance;
        int64_t length = 0;
        collect(x, dims, kept, i, row, &length);
        model(r, row, length, test_repeats(x), &want, &tolerance);
        TEST_CHECK(test_close(got[i], want, tolerance, test_epsilon),
                   "%s: %s of %s over %s: result %lld is %.17g instead of %.17g (tolerance %g)", b->name,
                   name, test_text(shape), test_text(dims), (long long)i, got[i], want, tolerance);
    }
    if (r == SUM) { /* out += the same sum */
        TEST_OK(mt_op_add_sum(out->x, x->x, dims));
        const double *twice = test_read(out->x);
        test_guards(out, "add_sum");
        for (int64_t i = 0; i < out->count; i++) {
            int64_t length = 0;
            double want, tolerance;
            collect(x, dims, kept, i, row, &length);
            model(r, row, length, test_repeats(x), &want, &tolerance);
            TEST_TRUE(test_close(twice[i], got[i] + want, 2 * tolerance, 2 * test_epsilon));
        }
    }
    if (arg && n > 0) { /* and its transpose: everything 0 but the chosen */
        test_array *value = test_array_random(b, result, TEST_INPUT, 1, 2),
                   *spread = test_array_from(b, shape, TEST_OUTPUT, NULL);
        TEST_OK(mt_op_scatter(spread->x, out->x, value->x, dims));
        test_guards(spread, "scatter");
        test_array *seen = test_memory(sizeof *seen);
        *seen = *x;
        seen->values = test_read(spread->x);
        for (int64_t i = 0; i < out->count; i++) {
            int64_t length = 0;
            collect(seen, dims, kept, i, row, &length);
            for (int64_t k = 0; k < length; k++)
                TEST_CHECK(row[k] == (k == (int64_t)got[i] ? value->values[i] : 0), "scatter into %s over %s",
                           test_text(shape), test_text(dims));
        }
    }
    test_cases++;
    test_release();
}

/* The tree of NumPy's sum of a row: leaves of up to 128 numbers, eight sums side by side in each. */
static mt_real numpy_sum(const mt_real *x, int64_t n)
{
    if (n > 128) {
        const int64_t half = n / 2 - n / 2 % 8;
        return numpy_sum(x, half) + numpy_sum(x + half, n - half);
    }
    mt_real side[8] = {0}, rest = 0;
    const int64_t whole = n - n % 8;
    for (int64_t i = 0; i < whole; i++) side[i % 8] += x[i];
    for (int64_t i = whole; i < n; i++) rest += x[i];
    return ((side[0] + side[1]) + (side[2] + side[3])) + ((side[4] + side[5]) + (side[6] + side[7])) + rest;
}

/* The root of the mean of squares of errors of sums of many rows, as a multiple of NumPy's: each error alone
 * is luck. Of random numbers, or of one number repeated, whose errors do not cancel. */
static double sum_errors(mt_backend *b, int rows, int64_t longest, bool constant)
{
    double ours = 0, theirs = 0;
    for (int r = 0; r < rows; r++) {
        mt_real *x = test_memory((size_t)longest * sizeof *x);
        const int64_t n = test_from(longest / 30, longest);
        const double low = r % 2 ? -1 : 0;
        long double exact = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            x[i] = constant && i > 0 ? x[0] : (mt_real)test_between(low, 1);
            exact += (long double)x[i];
            size += fabsl((long double)x[i]);
        }
        mt_tensor *row =
            OWN(sizeof(mt_real) == sizeof(float) ? mt_from_floats(b, (const float *)x, mt_shape(n))
                                                 : mt_from_doubles(b, (const double *)x, mt_shape(n)));
        mt_tensor *sum = OWN(mt_zeros(b, mt_shape(1)));
        TEST_OK(mt_op_sum(sum, row, mt_axes(0)));
        const double off = (double)(((long double)mt_item(sum) - exact) / size),
                     other = (double)(((long double)numpy_sum(x, n) - exact) / size);
        ours += off * off;
        theirs += other * other;
        test_release();
    }
    return sqrt(ours / theirs);
}

/* Sums of long rows err no more than NumPy's do. And the mean of equal numbers is that number. */
static void test_sum_errors(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        if (b == test_simple()) continue; /* whose sum is a chain */
        const bool slow = !b->host;
        const double random = sum_errors(b, 800, slow ? 30000 : 60000, false),
                     constant = sum_errors(b, slow ? 40 : 160, 200000, true);
        printf("    errors of sums on %s: %.2f of NumPy's; of equal numbers %.2f\n", b->name, random,
               constant);
        /* over 800 rows the ratio lies within 0.05 of its mean; with 64 numbers in turn it was 1.55 */
        TEST_CHECK(random <= 1.25, "%s: sums err %.2f times as much as NumPy's", b->name, random);
        TEST_CHECK(constant <= 1.25, "%s: sums of equal numbers err %.2f times as much as NumPy's", b->name,
                   constant);
    }
    EACH_BACKEND(each)
    {
        for (int64_t n = 1; n < 300; n++) {
            mt_tensor *ones = OWN(mt_ones(each, mt_shape(n))), *mean = OWN(mt_zeros(each, mt_shape(1)));
            TEST_OK(mt_op_mean(mean, ones, mt_axes(0)));
            TEST_CHECK(mt_item(mean) == 1, "%s: the mean of %lld ones is %.17g", each->name, (long long)n,
                       mt_item(mean));
            test_release();
        }
        test_cases++;
    }
}

static void test_reductions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int r = 0; r < REDUCTIONS; r++) {
            for (int round = 0; round < 60; round++)
                check_reduction(b, (reduction)r, test_shape(5, 500, true));
            for (int round = 0; round < 6; round++)
                check_reduction(b, (reduction)r, test_shape(3, 9000, false));
            check_reduction(b, (reduction)r, mt_shape(70000)); /* longer than a chunk */
            check_reduction(b, (reduction)r, mt_shape(90, 700));
            check_reduction(b, (reduction)r, mt_shape(700, 90));
            check_reduction(b, (reduction)r, mt_shape(37, 600, 3));
        }
    }
    test_rows += REDUCTIONS;
}

/* Ties go to the first; a NaN is chosen and wins, the first one; at every place and every length near a
 * vector's. */
static void test_choices(void **data)
{
    (void)data;
    static const reduction chosen[] = {MAX, MIN, ARGMAX, ARGMIN};
    EACH_BACKEND(b)
    {
        for (int64_t n = 1; n < 150; n += n < 40 ? 1 : 37) {
            for (int which = 0; which < 3; which++) {
                const int64_t columns = (const int64_t[]){1, 17, 70}[which];
                mt_shape shape = mt_shape(n, columns);
                double *values = test_memory((size_t)(n * columns) * sizeof *values);
                int64_t nan = test_chance(0.5) ? test_below(n) : n, second = test_below(n);
                for (int64_t i = 0; i < n * columns; i++) values[i] = (double)test_from(-1, 1);
                for (int64_t c = 0; c < columns && nan < n; c++)
                    values[nan * columns + c] = values[second * columns + c] = NAN;
                if (nan < n && second < nan) nan = second;
                test_array *x = test_array_from(b, shape, TEST_INPUT, values);
                for (size_t k = 0; k < TEST_LENGTH(chosen); k++) {
                    reduction r = chosen[k];
                    bool arg = r == ARGMAX || r == ARGMIN;
                    test_array *out =
                        test_array_from(b, mt_shape(columns), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
                    TEST_OK(reductions[r].apply(out->x, x->x, mt_axes(0)));
                    const double *got = test_read(out->x);
                    for (int64_t c = 0; c < columns; c++) {
                        double row[150], want, tolerance;
                        for (int64_t i = 0; i < n; i++) row[i] = x->values[i * columns + c];
                        model(r, row, n, false, &want, &tolerance);
                        TEST_CHECK(test_same(got[c], want), "%s: %s of %lld values is %g instead of %g",
                                   b->name, reductions[r].name, (long long)n, got[c], want);
                    }
                    test_guards(out, reductions[r].name);
                    test_cases++;
                }
                test_release();
            }
        }
        /* -inf and inf are values like others: max does not start from a number */
        mt_tensor *low = OWN(mt_full(b, mt_shape(5), -INFINITY)), *y = OWN(mt_zeros(b, mt_shape(1)));
        TEST_OK(mt_op_max(y, low, mt_axes(0)));
        TEST_TRUE(mt_item(y) == -INFINITY);
        mt_tensor *huge = OWN(mt_full(b, mt_shape(5), -1e30));
        TEST_OK(mt_op_max(y, huge, mt_axes(0)));
        TEST_TRUE(mt_item(y) == test_round(-1e30));
    }
}

/* Nothing to reduce: sum 0, prod 1, all 1, mean NaN; nothing to choose from is an error, unless there is no
 * result. */
static void test_empty_reductions(void **data)
{
    (void)data;
    static const double want[] = {0, NAN, 1, 0, 0, 1};
    EACH_BACKEND(b)
    {
        for (int r = 0; r < REDUCTIONS; r++) {
            bool arg = r == ARGMAX || r == ARGMIN;
            test_array *x = test_array_from(b, mt_shape(3, 0, 2), TEST_INPUT, NULL);
            test_array *out = test_array_from(b, mt_shape(3, 2), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
            test_array *one = test_array_from(b, mt_shape(1), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
            test_array *none = test_array_from(b, mt_shape(0, 2), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
            if (r == MAX || r == MIN || arg) {
                TEST_REFUSED(out, reductions[r].apply(out->x, x->x, mt_axes(1)), MT_ERR_SHAPE, "(3, 0, 2)");
                TEST_REFUSED(one, reductions[r].apply(one->x, x->x, mt_axes(0, 1, 2)), MT_ERR_SHAPE,
                             "(3, 0, 2)");
            } else {
                TEST_OK(reductions[r].apply(out->x, x->x, mt_axes(1)));
                TEST_OK(reductions[r].apply(one->x, x->x, mt_axes(0, 1, 2)));
                for (int i = 0; i < 6; i++) TEST_TRUE(test_same(test_read(out->x)[i], want[r]));
                TEST_TRUE(test_same(mt_item(one->x), want[r]));
                test_guards(out, reductions[r].name);
            }
            TEST_OK(reductions[r].apply(none->x, x->x, mt_axes(0))); /* (0, 2): no result at all */
            test_cases++;
            test_release();
        }
        mt_tensor *total = OWN(mt_full(b, mt_shape(1), 5)), *nothing = OWN(mt_zeros(b, mt_shape(0)));
        TEST_OK(mt_op_add_sum(total, nothing, mt_axes(0)));
        TEST_TRUE(mt_item(total) == 5);
    }
}

static void test_refused_reductions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int r = 0; r < REDUCTIONS; r++) {
            bool arg = r == ARGMAX || r == ARGMIN;
            unsigned kind = arg ? TEST_INDICES : TEST_OUTPUT;
            reduction_fn f = reductions[r].apply;
            test_array *x = test_array_random(b, mt_shape(3, 4, 5), TEST_INPUT, 1, 2);
            test_array *out = test_array_from(b, mt_shape(3, 5), kind, NULL);
            test_array *other = test_array_from(b, mt_shape(3, 5), arg ? TEST_OUTPUT : TEST_INDICES, NULL);
            test_array *index = test_array_random(b, mt_shape(3, 4, 5), TEST_INDICES, 0, 9);
            TEST_REFUSED(out, f(out->x, x->x, mt_axes(0)), MT_ERR_SHAPE, "(3, 4, 5)");
            TEST_REFUSED(out, f(out->x, x->x, mt_axes(0, 1, 2)), MT_ERR_SHAPE, "(3, 5)");
            TEST_REFUSED(out, f(out->x, x->x, mt_axes(1, 1)), MT_ERR_SHAPE, "1");
            TEST_REFUSED(out, f(out->x, x->x, mt_axes(1, -2)), MT_ERR_SHAPE, "1");
            TEST_REFUSED(out, f(out->x, x->x, mt_axes(3)), MT_ERR_INDEX, "3");
            TEST_REFUSED(out, f(out->x, x->x, mt_axes(-4)), MT_ERR_INDEX, "-4");
            TEST_REFUSED(out, f(out->x, x->x, mt_shape_make(0, NULL)), MT_ERR_SHAPE, "");
            TEST_REFUSED(other, f(other->x, x->x, mt_axes(1)), MT_ERR_KIND, "INDEX");
            const bool real = r == MEAN || r == ALL; /* of an INDEX too */
            test_array *wrong = real ? other : out;
            TEST_REFUSED(wrong, f(wrong->x, index->x, mt_axes(1)), MT_ERR_KIND, "INDEX");
            EACH_BACKEND(far_backend)
            {
                if (far_backend == b) continue;
                mt_tensor *far = OWN(mt_zeros(far_backend, mt_shape(3, 4, 5)));
                TEST_REFUSED(out, f(out->x, far, mt_axes(1)), MT_ERR_BACKEND, far_backend->name);
            }
            if (!arg) { /* reductions never run in place */
                test_array *line = test_array_random(b, mt_shape(4, 5), TEST_PLAIN, 1, 2);
                mt_tensor *row = OWN(mt_tensor_select(line->base, 0, 2));
                TEST_REFUSED(line, f(row, line->base, mt_axes(0)), MT_ERR_SHAPE, "overlap");
            }
            TEST_TRUE(f(out->x, NULL, mt_axes(1)) == MT_ERR_NULL && f(NULL, x->x, mt_axes(1)) == MT_ERR_NULL);
            test_release();
        }
    }
}

/* An index outside the reduced dimensions, also where these are empty, so that every index is. */
static void test_scatter_outside(void **data)
{
    static const int64_t outside[] = {-1, 4, INT64_MAX, INT64_MIN};
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *value = OWN(mt_ones(b, mt_shape(3))), *out = OWN(mt_zeros(b, mt_shape(3, 4))),
                  *empty = OWN(mt_zeros(b, mt_shape(3, 0))), *flat = OWN(mt_zeros(b, mt_shape(3, 4, 0)));
        for (size_t i = 0; i < TEST_LENGTH(outside); i++) {
            mt_tensor *index = OWN(mt_from_indices(b, (int64_t[]){0, outside[i], 3}, mt_shape(3)));
            TEST_FAILS(mt_op_scatter(out, index, value, mt_axes(1)), MT_ERR_INDEX, "scatter");
        }
        mt_tensor *first = OWN(mt_from_indices(b, (int64_t[]){0, 0, 0}, mt_shape(3)));
        TEST_FAILS(mt_op_scatter(empty, first, value, mt_axes(1)), MT_ERR_INDEX, "scatter");
        TEST_FAILS(mt_op_scatter(flat, first, value, mt_axes(1, 2)), MT_ERR_INDEX, "scatter");
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_sum_errors),       TEST(test_reductions),         TEST(test_choices),
        TEST(test_empty_reductions), TEST(test_refused_reductions), TEST(test_scatter_outside),
    };
    return TEST_RUN("reduce", tests);
}
