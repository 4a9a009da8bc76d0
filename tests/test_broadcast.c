/* tests/test_broadcast.c - broadcasting: minitorch's own cases by name, and random ones, for shapes, values,
 * gradients. */
#include "autodiff/elementwise.h"
#include "support.h"

#include <math.h>
#include <string.h>

/* f(a, b) = a b + a, whose gradients differ: c (b + 1) and c a, each summed to its operand's shape. */
static void check_pair(mt_backend *backend, mt_shape shape_a, mt_shape shape_b, mt_shape want)
{
    mt_shape shape;
    TEST_OK(mt_shape_broadcast(shape_a, shape_b, &shape));
    TEST_CHECK(mt_shape_equal(shape, want), "%s with %s gives %s", test_text(shape_a), test_text(shape_b),
               test_text(shape));

    mt_tape *tape = test_tape(backend);
    test_array *a = test_array_random(backend, shape_a, TEST_PLAIN, -2, 2);
    test_array *b = test_array_random(backend, shape_b, TEST_PLAIN, -2, 2);
    test_array *c = test_array_random(backend, want, TEST_INPUT, -2, 2);
    TEST_OK(mt_require_grad(a->base, true));
    TEST_OK(mt_require_grad(b->base, true));
    mt_tensor *product = ON(tape, mt_mul(tape, a->base, b->base)),
              *y = ON(tape, mt_add(tape, product, a->base));
    TEST_TRUE(mt_shape_equal(mt_tensor_shape(y), want));
    TEST_OK(mt_backward_from(tape, y, c->x));

    int64_t count = test_count(want);
    double *grad_a = test_memory((size_t)a->count * sizeof(double)),
           *size_a = test_memory((size_t)a->count * sizeof(double));
    double *grad_b = test_memory((size_t)b->count * sizeof(double)),
           *size_b = test_memory((size_t)b->count * sizeof(double));
    const double *got = test_read(y);
    for (int64_t i = 0; i < count; i++) {
        int64_t from_a = test_broadcast_from(shape_a, want, i),
                from_b = test_broadcast_from(shape_b, want, i);
        double x = a->values[from_a], z = b->values[from_b], value = test_round(test_round(x * z) + x);
        TEST_CHECK(got[i] == value, "element %lld is %.17g instead of %.17g", (long long)i, got[i], value);
        grad_a[from_a] += c->values[i] * (z + 1);
        size_a[from_a] += fabs(c->values[i]) * (fabs(z) + 1);
        grad_b[from_b] += c->values[i] * x;
        size_b[from_b] += fabs(c->values[i] * x);
    }
    TEST_TRUE(mt_shape_equal(mt_tensor_shape(mt_grad(a->base)), shape_a));
    TEST_TRUE(mt_shape_equal(mt_tensor_shape(mt_grad(b->base)), shape_b));
    const double *got_a = test_read(mt_grad(a->base)), *got_b = test_read(mt_grad(b->base));
    for (int64_t i = 0; i < a->count; i++)
        TEST_CHECK(
            test_close(got_a[i], grad_a[i], test_sum_tolerance(count / a->count + 2, size_a[i], true), 0),
            "the gradient of %s at %lld is %.17g instead of %.17g", test_text(shape_a), (long long)i,
            got_a[i], grad_a[i]);
    for (int64_t i = 0; i < b->count; i++)
        TEST_CHECK(
            test_close(got_b[i], grad_b[i], test_sum_tolerance(count / b->count + 2, size_b[i], true), 0),
            "the gradient of %s at %lld is %.17g instead of %.17g", test_text(shape_b), (long long)i,
            got_b[i], grad_b[i]);
    test_release();
    test_cases++;
}

static void check_both_ways(mt_shape a, mt_shape b, mt_shape want)
{
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int i = 0; i < count; i++) {
        check_pair(backends[i], a, b, want);
        check_pair(backends[i], b, a, want);
    }
}

/* No operation accepts the pair, and each says both shapes and the dimension. */
static void check_refused(mt_shape shape_a, mt_shape shape_b, int dim)
{
    char dimension[40];
    snprintf(dimension, sizeof dimension, "dimension %d", dim);
    mt_shape shape = mt_shape(9, 9);
    TEST_FAILS(mt_shape_broadcast(shape_a, shape_b, &shape), MT_ERR_SHAPE, dimension);
    TEST_TRUE(mt_shape_equal(shape, mt_shape(9, 9)));
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++) {
        test_array *a = test_array_random(backends[k], shape_a, TEST_INPUT, -2, 2);
        test_array *b = test_array_random(backends[k], shape_b, TEST_INPUT, -2, 2);
        for (int op = MT_MAP_COUNT; op < MT_OP_COUNT; op++) {
            mt_tape *tape = test_tape(backends[k]);
            TEST_NULL(mt_zip(tape, (mt_op)op, a->x, b->x, 1, 1), MT_ERR_SHAPE, test_text(shape_a));
            const char *message = mt_tape_message(tape);
            TEST_CHECK(mt_tape_status(tape) == MT_ERR_SHAPE && strstr(message, test_text(shape_a)) &&
                           strstr(message, test_text(shape_b)) && strstr(message, dimension),
                       "\"%s\" does not name %s, %s and %s", message, test_text(shape_a), test_text(shape_b),
                       dimension);
            test_cases++;
        }
        test_release();
    }
}

/* ---- minitorch's cases ---- */

static void test_1_with_5_5(void **data)
{
    (void)data;
    check_both_ways(mt_shape(1), mt_shape(5, 5), mt_shape(5, 5));
}

static void test_1_5_5_with_5_5(void **data)
{
    (void)data;
    check_both_ways(mt_shape(1, 5, 5), mt_shape(5, 5), mt_shape(1, 5, 5));
}

static void test_5_1_5_1_with_1_5_1_5(void **data)
{
    (void)data;
    check_both_ways(mt_shape(5, 1, 5, 1), mt_shape(1, 5, 1, 5), mt_shape(5, 5, 5, 5));
}

static void test_5_2_with_5_is_an_error(void **data)
{
    (void)data;
    check_refused(mt_shape(5, 2), mt_shape(5), 1);
    check_refused(mt_shape(5), mt_shape(5, 2), 1);
}

static void test_5_7_5_1_with_1_5_1_5_is_an_error(void **data)
{
    (void)data;
    check_refused(mt_shape(5, 7, 5, 1), mt_shape(1, 5, 1, 5), 1);
    check_refused(mt_shape(1, 5, 1, 5), mt_shape(5, 7, 5, 1), 1);
}

/* Its cases of broadcasting with a tensor of the test's own: (2, 3) with (1), (1, 3), (3), (2, 1). */
static void test_2_3_with_narrower_ones(void **data)
{
    (void)data;
    check_both_ways(mt_shape(2, 3), mt_shape(1), mt_shape(2, 3));
    check_both_ways(mt_shape(2, 3), mt_shape(1, 3), mt_shape(2, 3));
    check_both_ways(mt_shape(2, 3), mt_shape(3), mt_shape(2, 3));
    check_both_ways(mt_shape(2, 3), mt_shape(2, 1), mt_shape(2, 3));
    check_both_ways(mt_shape(2, 3), mt_shape(2, 3), mt_shape(2, 3));
}

/* ---- beyond them ---- */

static void test_random_pairs(void **data)
{
    (void)data;
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int round = 0; round < 60; round++) {
        mt_shape target = test_shape(6, 3000, false), a = test_narrower(target), b = test_narrower(target),
                 want = {0};
        want.rank = a.rank > b.rank ? a.rank : b.rank;
        for (int d = 1; d <= want.rank; d++) {
            int64_t x = d <= a.rank ? a.size[a.rank - d] : 1, y = d <= b.rank ? b.size[b.rank - d] : 1;
            want.size[want.rank - d] = x == 1 ? y : x;
        }
        for (int i = 0; i < count; i++) check_pair(backends[i], a, b, want);
    }
}

/* Empty operands: the gradient of what was stretched over nothing is 0. */
static void test_empty_ones(void **data)
{
    (void)data;
    check_both_ways(mt_shape(1), mt_shape(0), mt_shape(0));
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int i = 0; i < count; i++) {
        mt_tape *tape = test_tape(backends[i]);
        mt_tensor *a = OWN(mt_ones(backends[i], mt_shape(3, 1))),
                  *b = OWN(mt_ones(backends[i], mt_shape(2, 1, 0)));
        TEST_OK(mt_require_grad(a, true));
        mt_tensor *y = ON(tape, mt_mul(tape, a, b));
        TEST_TRUE(mt_shape_equal(mt_tensor_shape(y), mt_shape(2, 3, 0)));
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, y))));
        const double *grad = test_read(mt_grad(a));
        for (int k = 0; k < 3; k++) TEST_TRUE(grad[k] == 0);
        test_release();
        test_cases++;
    }
    check_refused(mt_shape(0), mt_shape(2), 0);
}

/* An operand used twice, once broadcast and once not, receives both gradients. */
static void test_one_operand_twice(void **data)
{
    (void)data;
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int i = 0; i < count; i++) {
        mt_tape *tape = test_tape(backends[i]);
        test_array *a = test_array_random(backends[i], mt_shape(4, 1), TEST_PLAIN, -2, 2);
        TEST_OK(mt_require_grad(a->base, true));
        mt_tensor *row = ON(tape, mt_transpose(tape, a->base, 0, 1));
        mt_tensor *outer = ON(tape, mt_mul(tape, a->base, row)); /* a_i a_j */
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, outer))));
        double total = 0, size = 0;
        for (int k = 0; k < 4; k++) total += a->values[k], size += fabs(a->values[k]);
        const double *grad = test_read(mt_grad(a->base));
        for (int k = 0; k < 4; k++)
            TEST_TRUE(test_close(grad[k], 2 * total, test_sum_tolerance(8, 2 * size, true), 0));
        test_release();
        test_cases++;
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_1_with_5_5),
        TEST(test_1_5_5_with_5_5),
        TEST(test_5_1_5_1_with_1_5_1_5),
        TEST(test_5_2_with_5_is_an_error),
        TEST(test_5_7_5_1_with_1_5_1_5_is_an_error),
        TEST(test_2_3_with_narrower_ones),
        TEST(test_random_pairs),
        TEST(test_empty_ones),
        TEST(test_one_operand_twice),
    };
    return TEST_RUN("broadcast", tests);
}
