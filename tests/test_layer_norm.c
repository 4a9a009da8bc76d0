/* tests/test_layer_norm.c - layer norm against PyTorch's values (golden/layer_norm.inc) on every backend, by
 * the slot and by parts; random layouts; any number of threads; refusals. */
#include <math.h>
#include <string.h>

#include "autodiff/operations.h"
#include "support.h"

static const struct {
    mt_shape shape;
    int dims;
    double eps, y[12], x[12], gamma[12], beta[12];
} rows[] = {
#include "golden/layer_norm.inc"
};

static const double x_values[] = {0.5, -1.25, 2.0, 0.75, 1.5, -0.5, 3.0, 3.0, 3.0, 1.0, 0.25, -0.75};
static const double gamma_values[] = {0.5, 2.0, 1.25, -1.0, 0.75, 1.5, 0.5, 2.0, 1.25, -1.0, 0.75, 1.5};
static const double beta_values[] = {0.25, -1.0, 0.5, 0.0, 0.75, 1.0, 0.25, -1.0, 0.5, 0.0, 0.75, 1.0};

/* A parameter, and x, which is cut out of it in a random layout. */
typedef struct operand {
    test_cut cut;
    mt_tensor *base, *x;
} operand;

static operand laid_out(mt_tape *t, const double *values, mt_shape shape)
{
    operand o = {.cut = test_cut_make(shape, false)};
    double *all = test_memory((size_t)(test_count(o.cut.base) + 1) * sizeof *all);
    for (int64_t i = 0; i < test_count(shape); i++) all[test_cut_position(&o.cut, i)] = values[i];
    o.base = OWN(mt_from_doubles(mt_tape_backend(t), all, o.cut.base));
    TEST_OK(mt_require_grad(o.base, true));
    o.x = ON(t, test_cut_tape(&o.cut, t, o.base));
    return o;
}

static double *slope_of(const operand *o)
{
    const int64_t n = test_count(o->cut.shape);
    const double *all = test_read(mt_grad(o->base));
    double *slope = test_memory((size_t)(n + 1) * sizeof *slope);
    for (int64_t i = 0; i < n; i++) slope[i] = all[test_cut_position(&o->cut, i)];
    return slope;
}

/* The last dims dimensions of shape. */
static mt_shape last_of(mt_shape shape, int dims)
{
    mt_shape own = {.rank = dims};
    for (int d = 0; d < dims; d++) own.size[d] = shape.size[shape.rank - dims + d];
    return own;
}

/* The result and the gradients of x, gamma and beta, for the cotangent 1 + i / 4. */
typedef struct outcome {
    double *y, *x, *gamma, *beta;
} outcome;

static outcome all_of(mt_backend *b, bool fuse, mt_shape shape, int dims, double eps, const double *x,
                      const double *gamma, const double *beta)
{
    mt_tape *t = test_tape(b);
    mt_tape_fuse(t, fuse);
    const mt_shape own = last_of(shape, dims);
    const operand in[] = {laid_out(t, x, shape), laid_out(t, gamma, own), laid_out(t, beta, own)};
    mt_tensor *y = ON(t, mt_layer_norm(t, in[0].x, in[1].x, in[2].x, eps));
    const int64_t n = test_count(shape);
    double *g = test_memory((size_t)(n + 1) * sizeof *g);
    for (int64_t i = 0; i < n; i++) g[i] = 1 + (double)(i % 16) / 4;
    TEST_OK(mt_backward_from(t, y, OWN(mt_from_doubles(b, g, shape))));
    return (outcome){test_read(y), slope_of(&in[0]), slope_of(&in[1]), slope_of(&in[2])};
}

static void compare(const outcome *got, const outcome *want, int64_t n, int64_t own, double tolerance)
{
    TEST_ALL_CLOSE(got->y, want->y, n, tolerance, tolerance, "the result");
    TEST_ALL_CLOSE(got->x, want->x, n, tolerance, tolerance, "the gradient of x");
    TEST_ALL_CLOSE(got->gamma, want->gamma, own, tolerance, tolerance, "that of gamma");
    TEST_ALL_CLOSE(got->beta, want->beta, own, tolerance, tolerance, "that of beta");
}

static void test_golden(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; i < 2 * TEST_LENGTH(rows); i++) {
        double want[4][12];
        memcpy(want[0], rows[i / 2].y, sizeof want[0]), memcpy(want[1], rows[i / 2].x, sizeof want[1]);
        memcpy(want[2], rows[i / 2].gamma, sizeof want[2]), memcpy(want[3], rows[i / 2].beta, sizeof want[3]);
        const outcome wanted = {want[0], want[1], want[2], want[3]};
        const outcome got = all_of(b, i % 2, rows[i / 2].shape, rows[i / 2].dims, rows[i / 2].eps, x_values,
                                   gamma_values, beta_values);
        compare(&got, &wanted, 12, test_count(last_of(rows[i / 2].shape, rows[i / 2].dims)),
                512 * test_epsilon);
        test_rows++;
        test_release();
    }
}

static double *drawn(int64_t n)
{
    double *values = test_memory((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = test_between(-2, 2);
    return values;
}

static void test_fused(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 30; round++) {
        const mt_shape shape = round == 0 ? mt_shape(3, 2500) : test_shape(round % 2 ? 2 : 8, 600, true);
        const int dims = (int)test_from(1, shape.rank);
        const int64_t n = test_count(shape), own = test_count(last_of(shape, dims));
        const double *x = drawn(n), *gamma = drawn(own), *beta = drawn(own);
        const outcome fused = all_of(b, true, shape, dims, 0.25, x, gamma, beta),
                      parts = all_of(b, false, shape, dims, 0.25, x, gamma, beta);
        compare(&fused, &parts, n, own, 1024 * test_epsilon);
        test_cases++;
        test_release();
    }
}

static void test_threads(void **data)
{
    (void)data;
    const int threads = mt_get_threads();
    const mt_shape shape = test_small() ? mt_shape(20, 30) : mt_shape(300, 400);
    const int64_t n = test_count(shape), own = shape.size[1];
    const double *x = drawn(n), *gamma = drawn(own), *beta = drawn(own);
    outcome first = {NULL, NULL, NULL, NULL};
    for (int k = 1; k <= 4; k++) {
        TEST_OK(mt_set_threads(k));
        const outcome now = all_of(test_cpu(), true, shape, 1, 1e-5, x, gamma, beta);
        if (!first.y) first = now;
        compare(&now, &first, n, own, 0);
        test_cases++;
    }
    TEST_OK(mt_set_threads(threads));
}

static void test_refusals(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_ones(b, mt_shape(2, 3, 4))), *four = OWN(mt_ones(b, mt_shape(4))),
                  *three = OWN(mt_ones(b, mt_shape(3))), *both = OWN(mt_ones(b, mt_shape(3, 4)));
        mt_tape *t = test_tape(b);
        mt_tensor *const wrong[][2] = {{three, three}, {four, three}, {four, both}, {both, four}};
        for (size_t i = 0; i < TEST_LENGTH(wrong); i++) {
            TEST_NULL(mt_layer_norm(t, x, wrong[i][0], wrong[i][1], 1e-5), MT_ERR_SHAPE, "x's last");
            mt_tape_reset(t);
            test_cases++;
        }
        const double numbers[] = {-1e-9, NAN, INFINITY};
        for (size_t i = 0; i < TEST_LENGTH(numbers); i++) {
            TEST_NULL(mt_layer_norm(t, x, both, both, numbers[i]), MT_ERR_VALUE, "eps");
            mt_tape_reset(t);
            test_cases++;
        }
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_golden), TEST(test_fused), TEST(test_threads),
                                              TEST(test_refusals)};
    return TEST_RUN("layer_norm", tests);
}
