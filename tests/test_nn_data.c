/* tests/test_nn_data.c - initial values, the six data sets, and shuffled batches. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "minitorch.h"

/* ---- initial values ---- */

static void moments(const double *values, int64_t n, double *mean, double *variance, double *low,
                    double *high)
{
    double sum = 0, square = 0;
    *low = INFINITY, *high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        sum += values[i];
        *low = fmin(*low, values[i]);
        *high = fmax(*high, values[i]);
    }
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) square += (values[i] - *mean) * (values[i] - *mean);
    *variance = square / (double)n;
}

/* The moments are within five standard errors: the fourth moment is 9/5 of the squared variance for uniform
 * draws and 3 for normal ones. The seed is fixed, so that this holds always or never. */
static void check_draws(const mt_tensor *x, bool uniform, double center, double variance, const char *what)
{
    double mean, got, low, high;
    double n = (double)mt_tensor_count(x);
    moments(test_read(x), mt_tensor_count(x), &mean, &got, &low, &high);
    double mean_error = sqrt(variance / n), variance_error = variance * sqrt((uniform ? 0.8 : 2) / n);
    TEST_CHECK(fabs(mean - center) <= 5 * mean_error, "%s: mean %g instead of %g", what, mean, center);
    TEST_CHECK(fabs(got - variance) <= 5 * variance_error, "%s: variance %g instead of %g", what, got,
               variance);
    double a = sqrt(3 * variance), reach = a * (1 - 20 / n); /* n draws end this far out, but for e^-10 */
    if (!uniform)
        TEST_CHECK(low < center - a && high > center + a, "%s: no tails, %g to %g", what, low, high);
    if (uniform)
        TEST_CHECK(low >= center - a - test_epsilon && high <= center + a + test_epsilon &&
                       low < center - reach && high > center + reach,
                   "%s: from %g to %g instead of %g to %g", what, low, high, center - a, center + a);
}

static void rules(void **state)
{
    (void)state;
    enum { IN = 60, OUT = 140 };
    static const struct {
        mt_init rule;
        bool uniform;
        double variance, bias, bias_variance;
    } want[] = {
        {MT_INIT_MINITORCH, true, 1.0 / 12, 0.1, 0},
        {MT_INIT_PYTORCH, true, 1.0 / (3 * IN), 0, 1.0 / (3 * IN)},
        {MT_INIT_XAVIER, true, 2.0 / (IN + OUT), 0, 0},
        {MT_INIT_XAVIER_NORMAL, false, 2.0 / (IN + OUT), 0, 0},
        {MT_INIT_KAIMING, true, 2.0 / IN, 0, 0},
        {MT_INIT_KAIMING_NORMAL, false, 2.0 / IN, 0, 0},
    };
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++) {
        mt_tensor *weight = OWN(mt_ones(backends[k], mt_shape(IN, OUT)));
        mt_tensor *bias = OWN(mt_ones(backends[k], mt_shape(OUT)));
        for (size_t i = 0; i < TEST_LENGTH(want); i++) {
            mt_rng rng = mt_rng_make(11);
            TEST_OK(mt_init_linear(weight, bias, want[i].rule, &rng));
            check_draws(weight, want[i].uniform, 0, want[i].variance, mt_init_name((int)want[i].rule));
            if (want[i].bias_variance > 0)
                check_draws(bias, true, 0, want[i].bias_variance, "bias");
            else
                assert_true(test_read(bias)[OUT - 1] == test_round(want[i].bias));
            assert_int_equal(rng.counter, IN * OUT + (want[i].bias_variance > 0 ? OUT : 0));
            test_cases++;
        }
        mt_rng rng = mt_rng_make(1);
        TEST_OK(mt_init_linear(weight, bias, MT_INIT_ZEROS, &rng));
        assert_true(test_read(weight)[5] == 0 && test_read(bias)[5] == 0);
        TEST_OK(mt_init_uniform(weight, &rng, 2, 6));
        check_draws(weight, true, 4, 16.0 / 12, "uniform");
        TEST_OK(mt_init_normal(weight, &rng, -3, 0.5));
        check_draws(weight, false, -3, 0.25, "normal");
        TEST_OK(mt_init_constant(weight, 7));
        assert_true(test_read(weight)[0] == 7);
        TEST_OK(mt_init_kaiming_uniform(weight, &rng, 1));
        check_draws(weight, true, 0, 1.0 / IN, "kaiming uniform");
    }
}

static void init_errors(void **state)
{
    (void)state;
    mt_backend *backend = test_simple();
    mt_rng rng = mt_rng_make(1);
    mt_tensor *weight = OWN(mt_ones(backend, mt_shape(2, 3))), *bias = OWN(mt_ones(backend, mt_shape(3)));
    mt_tensor *indices = OWN(mt_arange(backend, 0, 3, 1));
    TEST_FAILS(mt_init_linear(weight, weight, MT_INIT_XAVIER, &rng), MT_ERR_SHAPE, "bias of shape (3)");
    TEST_FAILS(mt_init_linear(bias, bias, MT_INIT_XAVIER, &rng), MT_ERR_SHAPE, "(in, out)");
    TEST_FAILS(mt_init_linear(weight, bias, MT_INIT_COUNT, &rng), MT_ERR_VALUE, "not a rule");
    TEST_FAILS(mt_init_uniform(weight, &rng, 1, 0), MT_ERR_VALUE, "from 1 to 0");
    TEST_FAILS(mt_init_uniform(weight, &rng, NAN, 1), MT_ERR_VALUE, "nan");
    TEST_FAILS(mt_init_normal(weight, &rng, 0, -1), MT_ERR_VALUE, "-1");
    TEST_FAILS(mt_init_constant(weight, INFINITY), MT_ERR_VALUE, "inf");
    TEST_FAILS(mt_init_xavier_normal(weight, &rng, NAN), MT_ERR_VALUE, "gain");
    TEST_FAILS(mt_init_uniform(indices, &rng, 0, 1), MT_ERR_KIND, "");
    assert_true(test_read(weight)[0] == 1); /* nothing was written */
    assert_int_equal(mt_init_linear(NULL, bias, MT_INIT_XAVIER, &rng), MT_ERR_NULL);
    assert_int_equal(mt_init_uniform(weight, NULL, 0, 1), MT_ERR_NULL);
    assert_int_equal(mt_init_constant(NULL, 0), MT_ERR_NULL);
}

static void names(void **state)
{
    (void)state;
    int count = 0;
    for (; mt_init_name(count); count++) {
        assert_int_equal(mt_init_by_name(mt_init_name(count)), count);
        assert_non_null(mt_init_summary(count));
    }
    assert_int_equal(count, MT_INIT_COUNT);
    assert_null(mt_init_summary(count));
    assert_null(mt_init_name(-1));
    assert_int_equal(mt_init_by_name("Xavier-Normal"), MT_INIT_XAVIER_NORMAL);
    test_stale();
    assert_int_equal(mt_init_by_name("xavie"), MT_INIT_COUNT);
    assert_int_equal(mt_last_status(), MT_ERR_NAME);
    assert_non_null(
        strstr(mt_last_message(), "\"xavie\"; there are minitorch, pytorch, xavier, xavier-normal, kaiming"));

    static const char *const sets[] = {"simple", "diag", "split", "xor", "circle", "spiral"};
    for (int i = 0; i < 6; i++) {
        assert_string_equal(mt_dataset_name(i), sets[i]);
        assert_int_equal(mt_dataset_by_name(sets[i]), i);
    }
    assert_null(mt_dataset_name(6));
    assert_int_equal(mt_dataset_by_name("XOR"), MT_DATASET_XOR);
    assert_int_equal(mt_dataset_by_name("sPiRaL"), MT_DATASET_SPIRAL);
    test_stale();
    assert_int_equal(mt_dataset_by_name("moons"), MT_DATASET_COUNT);
    assert_non_null(
        strstr(mt_last_message(), "\"moons\"; there are simple, diag, split, xor, circle, spiral"));
    assert_int_equal(mt_dataset_by_name(""), MT_DATASET_COUNT);
    assert_int_equal(mt_dataset_by_name(NULL), MT_DATASET_COUNT);
}

/* ---- data sets ---- */

static bool label(mt_dataset_kind kind, double x1, double x2)
{
    switch ((int)kind) {
    case MT_DATASET_SIMPLE: return x1 < 0.5;
    case MT_DATASET_DIAG: return x1 + x2 < 0.5;
    case MT_DATASET_SPLIT: return x1 < 0.2 || x1 > 0.8;
    case MT_DATASET_XOR: return (x1 < 0.5) != (x2 < 0.5);
    default: return hypot(x1 - 0.5, x2 - 0.5) > sqrt(0.1);
    }
}

static void drawn_sets(void **state)
{
    (void)state;
    enum { POINTS = 4000 };
    static const double share[] = {0.5, 0.125, 0.4, 0.5, 1 - 0.31415926535897932};
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++) {
        for (int kind = MT_DATASET_SIMPLE; kind <= MT_DATASET_CIRCLE; kind++) {
            mt_rng rng = mt_rng_make(23), same = rng;
            mt_dataset *data = mt_dataset_make(backends[k], (mt_dataset_kind)kind, POINTS, &rng);
            TEST_CHECK(data, "%s", mt_last_message());
            assert_int_equal(mt_dataset_points(data), POINTS);
            assert_true(mt_shape_equal(mt_tensor_shape(mt_dataset_x(data)), mt_shape(POINTS, 2)));
            assert_true(mt_shape_equal(mt_tensor_shape(mt_dataset_y(data)), mt_shape(POINTS, 1)));
            assert_ptr_equal(mt_tensor_backend(mt_dataset_x(data)), backends[k]);
            const double *x = test_read(mt_dataset_x(data)), *y = test_read(mt_dataset_y(data));
            int ones = 0;
            for (int i = 0; i < POINTS; i++) {
                double x1 = mt_rng_double(&same), x2 = mt_rng_double(&same);
                assert_true(x[2 * i] == test_round(x1) && x[2 * i + 1] == test_round(x2));
                assert_true(y[i] == label((mt_dataset_kind)kind, x1, x2));
                ones += y[i] == 1;
            }
            assert_int_equal(rng.counter, same.counter);
            double p = share[kind];
            TEST_CHECK(fabs(ones - POINTS * p) < 5 * sqrt(POINTS * p * (1 - p)), "%s: %d ones among %d",
                       mt_dataset_name(kind), ones, POINTS);
            mt_dataset_free(data);
            test_cases++;
        }
    }
}

/* minitorch's own formulation: arm 0 is (x(t), y(t)), arm 1 is (y(-t), x(-t)). */
static double spiral_x(double t) { return t * cos(t) / 20; }
static double spiral_y(double t) { return t * sin(t) / 20; }

static void spiral(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    static const int64_t sizes[] = {1, 2, 3, 50, 51};
    for (size_t k = 0; k < TEST_LENGTH(sizes); k++) {
        int64_t n = sizes[k], h = n / 2, first = n - h;
        mt_rng rng = mt_rng_make(1);
        mt_dataset *data = mt_dataset_make(backend, MT_DATASET_SPIRAL, n, &rng);
        const double *x = test_read(mt_dataset_x(data)), *y = test_read(mt_dataset_y(data));
        for (int64_t i = 0; i < n; i++) {
            int64_t arm = i >= first, j = arm ? i - first : i;
            double t = 10.0 * ((double)(5 + j) / (double)(h > 0 ? h : 1));
            double want[2] = {(arm ? spiral_y(-t) : spiral_x(t)) + 0.5,
                              (arm ? spiral_x(-t) : spiral_y(t)) + 0.5};
            TEST_ALL_CLOSE(x + 2 * i, want, 2, 2 * test_epsilon, 0, "spiral");
            assert_true(y[i] == (double)arm);
        }
        assert_int_equal(rng.counter, 0);
        mt_dataset_free(data);
    }
}

static void dataset_errors(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_rng rng = mt_rng_make(1);
    TEST_NULL(mt_dataset_make(backend, MT_DATASET_XOR, 0, &rng), MT_ERR_VALUE, "0 points of xor");
    TEST_NULL(mt_dataset_make(backend, MT_DATASET_XOR, -5, &rng), MT_ERR_VALUE, "-5 points");
    TEST_NULL(mt_dataset_make(backend, MT_DATASET_XOR, 10000001, &rng), MT_ERR_VALUE, "1 to 10000000");
    TEST_NULL(mt_dataset_make(backend, MT_DATASET_COUNT, 5, &rng), MT_ERR_VALUE, "not a data set");
    assert_null(mt_dataset_make(NULL, MT_DATASET_XOR, 5, &rng));
    assert_null(mt_dataset_make(backend, MT_DATASET_XOR, 5, NULL));
    assert_null(mt_dataset_x(NULL));
    assert_null(mt_dataset_y(NULL));
    assert_int_equal(mt_dataset_points(NULL), -1);
    mt_dataset_free(NULL);
    assert_int_equal(rng.counter, 0);
}

/* ---- batches ---- */

/* x (rows, 2) holds i and -i, y (rows) is an INDEX that holds 10 i. */
static void numbered(mt_backend *backend, int64_t rows, mt_tensor **x, mt_tensor **y)
{
    double *values = test_memory((size_t)rows * 2 * sizeof *values);
    int64_t *labels = test_memory((size_t)rows * sizeof *labels);
    for (int64_t i = 0; i < rows; i++) {
        values[2 * i] = (double)i;
        values[2 * i + 1] = (double)-i;
        labels[i] = 10 * i;
    }
    *x = OWN(mt_from_doubles(backend, values, mt_shape(rows, 2)));
    *y = OWN(mt_from_indices(backend, labels, mt_shape(rows)));
}

/* Reads an epoch: the row that stands at each place. Checks sizes, that rows of x and y belong together, and
 * that every row is there once. */
static void read_epoch(const mt_batches *batches, int64_t rows, int64_t size, int64_t *order)
{
    int64_t at = 0, count = mt_batches_count(batches);
    assert_int_equal(count, (rows + size - 1) / size);
    bool *seen = test_memory((size_t)rows);
    for (int64_t b = 0; b < count; b++) {
        int64_t here = rows - at < size ? rows - at : size;
        assert_true(mt_shape_equal(mt_tensor_shape(mt_batches_x(batches, b)), mt_shape(here, 2)));
        assert_true(mt_shape_equal(mt_tensor_shape(mt_batches_y(batches, b)), mt_shape(here)));
        const double *x = test_read(mt_batches_x(batches, b)), *y = test_read(mt_batches_y(batches, b));
        for (int64_t i = 0; i < here; i++) {
            int64_t row = (int64_t)x[2 * i];
            assert_true(x[2 * i + 1] == -x[2 * i] && y[i] == 10 * x[2 * i]);
            assert_true(row >= 0 && row < rows && !seen[row]);
            seen[row] = true;
            order[at++] = row;
        }
    }
    assert_int_equal(at, rows);
}

static void batches(void **state)
{
    (void)state;
    static const int64_t cases[][2] = {{50, 10}, {53, 10}, {7, 7}, {7, 100}, {5, 1}, {1, 3}, {1000, 33}};
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++) {
        for (size_t c = 0; c < TEST_LENGTH(cases); c++) {
            int64_t rows = cases[c][0], size = cases[c][1];
            mt_tensor *x, *y;
            numbered(backends[k], rows, &x, &y);
            mt_rng rng = mt_rng_make(9);
            mt_batches *one = mt_batches_new(x, y, size, rng), *two = mt_batches_new(x, y, size, rng);
            TEST_CHECK(one && two, "%s", mt_last_message());
            size_t bytes = (size_t)rows * sizeof(int64_t);
            int64_t *order = test_memory(bytes), *other = test_memory(bytes), *previous = test_memory(bytes);
            read_epoch(one, rows, size, previous);
            for (int64_t i = 0; i < rows; i++)
                assert_int_equal(previous[i], i); /* before the first shuffle */
            mt_tensor *handle = mt_batches_x(one, 0);
            for (int e = 0; e < 3; e++) {
                TEST_OK(mt_batches_shuffle(one));
                TEST_OK(mt_batches_shuffle(two));
                read_epoch(one, rows, size, order);
                read_epoch(two, rows, size, other);
                assert_memory_equal(order, other, bytes); /* the same generator, the same order */
                if (rows >= 50) assert_memory_not_equal(order, previous, bytes);
                memcpy(previous, order, bytes);
            }
            assert_ptr_equal(mt_batches_x(one, 0), handle);
            mt_batches_free(one);
            mt_batches_free(two);
            test_cases++;
        }
    }
}

/* Batches of views: sources in any layout. */
static void batches_of_any_layout(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    test_array *x = test_array_random(backend, mt_shape(23, 3, 2), TEST_INPUT, -1, 1);
    mt_tensor *y = OWN(mt_arange(backend, 0, 23, 1));
    mt_batches *b = mt_batches_new(x->x, y, 6, mt_rng_make(4));
    TEST_CHECK(b, "%s", mt_last_message());
    TEST_OK(mt_batches_shuffle(b));
    for (int64_t i = 0; i < mt_batches_count(b); i++) {
        const double *got = test_read(mt_batches_x(b, i)), *rows = test_read(mt_batches_y(b, i));
        for (int64_t r = 0; r < mt_tensor_size(mt_batches_x(b, i), 0); r++)
            TEST_ALL_SAME(got + 6 * r, x->values + 6 * (int64_t)rows[r], 6, "a row");
    }
    mt_batches_free(b);
}

/* Over many shuffles each row stands at each place about equally often: 6 rows, 6000 shuffles, five standard
 * errors. */
static void shuffles_are_even(void **state)
{
    (void)state;
    enum { ROWS = 6, SHUFFLES = 6000 };
    mt_tensor *x, *y;
    numbered(test_simple(), ROWS, &x, &y);
    mt_batches *b = mt_batches_new(x, y, ROWS, mt_rng_make(2));
    int often[ROWS][ROWS] = {{0}};
    for (int s = 0; s < SHUFFLES; s++) {
        double rows[2 * ROWS];
        TEST_OK(mt_batches_shuffle(b));
        TEST_OK(mt_to_doubles(mt_batches_x(b, 0), rows, 2 * ROWS));
        for (int i = 0; i < ROWS; i++) often[i][(int)rows[2 * i]]++;
    }
    double mean = (double)SHUFFLES / ROWS, error = sqrt(mean * (1 - 1.0 / ROWS));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < ROWS; j++)
            TEST_CHECK(fabs(often[i][j] - mean) < 5 * error, "row %d stood at place %d %d times", j, i,
                       often[i][j]);
    mt_batches_free(b);
}

static void batch_errors(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_rng rng = mt_rng_make(1);
    mt_tensor *x, *y;
    numbered(backend, 8, &x, &y);
    mt_tensor *shorter = OWN(mt_ones(backend, mt_shape(7))), *none = OWN(mt_ones(backend, mt_shape(0, 2)));
    mt_tensor *elsewhere = OWN(mt_ones(test_simple(), mt_shape(8)));
    TEST_NULL(mt_batches_new(x, shorter, 2, rng), MT_ERR_SHAPE, "(8, 2) and y (7)");
    TEST_NULL(mt_batches_new(none, none, 2, rng), MT_ERR_SHAPE, "at least 1");
    TEST_NULL(mt_batches_new(x, elsewhere, 2, rng), MT_ERR_BACKEND, "simple");
    TEST_NULL(mt_batches_new(x, y, 0, rng), MT_ERR_VALUE, "0 rows");
    assert_null(mt_batches_new(NULL, y, 2, rng));
    assert_null(mt_batches_new(x, NULL, 2, rng));
    mt_batches *b = mt_batches_new(x, y, 3, rng);
    TEST_NULL(mt_batches_x(b, 3), MT_ERR_INDEX, "no batch 3 among 3");
    TEST_NULL(mt_batches_y(b, -1), MT_ERR_INDEX, "no batch -1");
    mt_batches_free(b);
    mt_batches_free(NULL);
    assert_null(mt_batches_x(NULL, 0));
    assert_int_equal(mt_batches_count(NULL), -1);
    assert_int_equal(mt_batches_shuffle(NULL), MT_ERR_NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rules),
        TEST(init_errors),
        TEST(names),
        TEST(drawn_sets),
        TEST(spiral),
        TEST(dataset_errors),
        TEST(batches),
        TEST(batches_of_any_layout),
        TEST(shuffles_are_even),
        TEST(batch_errors),
    };
    return TEST_RUN("nn_data", tests);
}
