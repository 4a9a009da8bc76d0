/* tests/test_where.c - one of two, element by element: what the descriptor's checks (test_descriptors.c)
 * cannot know.
 */
#include "autodiff/elementwise.h"
#include "support.h"

#include <math.h>

/* What where gives on b for these, beside its definition. Every value of a and of b is a number of its own, a
 * NaN, an infinity or a zero with a sign. */
static void check_where(mt_backend *b, mt_shape shape, bool of_indices)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 0, -0.0};
    test_array *in[3], *out = test_array_from(b, shape, TEST_OUTPUT, NULL);
    double *values[3];
    for (int k = 0; k < 3; k++) {
        const mt_shape own = test_chance(0.5) ? shape : test_narrower(shape);
        const int64_t n = test_count(own);
        double *draws = test_memory((size_t)(n + 1) * sizeof *draws);
        for (int64_t i = 0; i < n; i++)
            draws[i] = k == 0 && of_indices ? (double)test_from(-1, 1) * 0x1p40
                       : k == 0             ? (test_chance(0.5) ? special[test_below(5)] : 0)
                       : test_chance(0.3)   ? special[test_below(5)]
                                            : (double)i + k;
        in[k] = test_array_from(b, own, k == 0 && of_indices ? TEST_INDICES : TEST_INPUT, draws);
        values[k] = test_read(OWN(mt_tensor_expand(in[k]->x, shape)));
    }
    TEST_OK(mt_op_where(out->x, in[0]->x, in[1]->x, in[2]->x));
    const double *got = test_read(out->x);
    for (int64_t i = 0; i < test_count(shape); i++) {
        const double want = values[values[0][i] != 0 ? 1 : 2][i];
        TEST_CHECK(test_same(got[i], want) && !signbit(got[i]) == !signbit(want),
                   "where on %s of %s by %s: element %lld is %g instead of %g", b->name, test_text(shape),
                   of_indices ? "indices" : "numbers", (long long)i, got[i], want);
    }
    test_guards(out, "where");
    for (int k = 0; k < 3; k++) test_unchanged(in[k], "where");
    test_cases++;
    test_release();
}

static void test_where(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 120; round++) check_where(b, test_shape(5, 3000, true), round % 2);
}

/* More than one thread, and results that are streamed past the cache: cpu beside simple, whole, by columns
 * and turned. */
static void test_large_where(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int i = 0; i < 6; i++) {
        const int64_t rows = test_small() ? 65 : i < 4 ? 701 : 2100, columns = test_small() ? 130 : 2049;
        const mt_shape shape = mt_shape(rows, columns);
        const mt_shape other = i % 2 ? mt_shape(columns) : mt_shape(rows, 1);
        const int64_t n = rows * columns;
        mt_rng rng = mt_rng_make(test_bits());
        mt_tensor *x = OWN(mt_uniform(b, shape, &rng, -1, 1)), *mask = OWN(mt_empty(b, shape, MT_REAL)),
                  *y = OWN(mt_uniform(b, i < 4 ? other : mt_shape(columns, rows), &rng, -1, 1));
        if (i >= 4) y = OWN(mt_tensor_transpose(y, 0, 1));
        TEST_OK(mt_op_gt(mask, x, OWN(mt_full(b, mt_shape(1), 0.25))));
        if (i / 2 % 2) mask = OWN(mt_tensor_as(mask, MT_INDEX));
        mt_tensor *out = OWN(mt_empty(b, shape, MT_REAL)),
                  *want = OWN(mt_empty(test_simple(), shape, MT_REAL));
        TEST_OK(mt_op_where(out, mask, x, y));
        TEST_OK(mt_op_where(want, OWN(mt_tensor_to(mask, test_simple())), OWN(mt_tensor_to(x, test_simple())),
                            OWN(mt_tensor_to(y, test_simple()))));
        TEST_ALL_SAME(test_read(out), test_read(want), n, "where");
        for (int place = 0; place < 2; place++) { /* the same over an input */
            mt_tensor *own = OWN(mt_tensor_as(x, MT_REAL));
            TEST_OK(mt_op_where(own, mask, place ? x : own, place ? own : x));
            TEST_ALL_SAME(test_read(own), test_read(x), n, "where in place");
        }
        test_cases++;
        test_release();
    }
}

/* out is the very view of a, of b, of the mask, or of all three. */
static void test_where_in_place(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 40; round++) {
        const mt_shape shape = test_shape(4, 900, true);
        test_array *x = test_array_random(b, shape, TEST_OUTPUT, -2, 2),
                   *mask = test_array_random(b, shape, TEST_INPUT | TEST_INDICES, 0, 2),
                   *other = test_array_random(b, shape, TEST_INPUT, -2, 2);
        const int place = round % 4;
        const mt_tensor *in[3] = {place >= 2 ? x->x : mask->x, place != 1 ? x->x : other->x,
                                  place == 1 || place == 3 ? x->x : other->x};
        mt_tensor *want = OWN(mt_empty(b, shape, MT_REAL));
        TEST_OK(mt_op_where(want, in[0], in[1], in[2]));
        TEST_OK(mt_op_where(x->x, in[0], in[1], in[2]));
        TEST_ALL_SAME(test_read(x->x), test_read(want), x->count, "where");
        test_guards(x, "where");
        test_cases++;
        test_release();
    }
}

/* What is not taken, NaN or infinite, reaches no gradient; a mask that is wider than both; a mask of indices;
 * and one that comes from what requires a gradient. */
static void test_where_gradients(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int kind = 0; kind < 2; kind++) {
        mt_tensor *mask = OWN(mt_from_doubles(b, (const double[]){1, 0, NAN, 0, 0, -1}, mt_shape(3, 2)));
        if (kind) mask = OWN(mt_from_indices(b, (const int64_t[]){1, 0, 3, 0, 0, -1}, mt_shape(3, 2)));
        mt_tensor *x = OWN(mt_from_doubles(b, (const double[]){-1, 4}, mt_shape(2))),
                  *y = OWN(mt_from_doubles(b, (const double[]){INFINITY}, mt_shape(1)));
        mt_tensor *g =
            OWN(mt_from_doubles(b, (const double[]){1, NAN, 4, INFINITY, -INFINITY, 32}, mt_shape(3, 2)));
        TEST_OK(mt_require_grad(x, true));
        TEST_OK(mt_require_grad(y, true));
        mt_tape *tape = test_tape(b);
        mt_tensor *out = ON(tape, mt_where(tape, mask, x, y));
        TEST_ALL_SAME(test_read(out), ((const double[]){-1, INFINITY, -1, INFINITY, INFINITY, 4}), 6,
                      "where");
        TEST_OK(mt_backward_from(tape, out, g));
        TEST_ALL_SAME(test_read(mt_grad(x)), ((const double[]){5, 32}), 2, "the gradient of a");
        TEST_TRUE(isnan(test_read(mt_grad(y))[0]));

        mt_zero_grad(x);
        mt_tape *other = test_tape(b); /* the logarithm of what is not positive is not taken */
        mt_tensor *positive = ON(other, mt_gt(other, x, ON(other, mt_num(other, 0))));
        mt_tensor *safe = ON(other, mt_where(other, positive, x, ON(other, mt_num(other, 1))));
        mt_tensor *log = ON(other, mt_where(other, positive, ON(other, mt_log(other, safe)), x));
        TEST_OK(mt_backward(other, ON(other, mt_sum(other, log))));
        TEST_ALL_SAME(test_read(mt_grad(x)), ((const double[]){1, 0.25}), 2, "the gradient of x");
        test_cases++;
        test_release();
    }
}

static void test_refused_where(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        test_array *out = test_array_from(b, mt_shape(4, 5), TEST_OUTPUT, NULL),
                   *index_out = test_array_random(b, mt_shape(4, 5), TEST_INDICES, 0, 9);
        const mt_tensor *x = OWN(mt_ones(b, mt_shape(4, 5))), *odd = OWN(mt_ones(b, mt_shape(4, 3))),
                        *wide = OWN(mt_ones(b, mt_shape(3, 4, 5))),
                        *index = OWN(mt_empty(b, mt_shape(4, 5), MT_INDEX));
        for (int k = 0; k < 3; k++) {
            const mt_tensor *in[3] = {x, x, x};
#define WHERE_WITH(other) (in[k] = (other), mt_op_where(out->x, in[0], in[1], in[2]))
            TEST_REFUSED(out, WHERE_WITH(odd), MT_ERR_SHAPE, "where: an operand of shape (4, 3)");
            TEST_REFUSED(out, WHERE_WITH(wide), MT_ERR_SHAPE, "(3, 4, 5)");
            if (k > 0) TEST_REFUSED(out, WHERE_WITH(index), MT_ERR_KIND, "INDEX");
            test_stale();
            TEST_TRUE(WHERE_WITH(NULL) == MT_ERR_NULL && mt_last_status() == MT_ERR_IO);
        }
        TEST_REFUSED(index_out, mt_op_where(index_out->x, x, x, x), MT_ERR_KIND, "INDEX");
        mt_tensor *square = OWN(mt_ones(b, mt_shape(3, 3))), *turned = OWN(mt_tensor_transpose(square, 0, 1));
        TEST_FAILS(mt_op_where(square, turned, square, square), MT_ERR_SHAPE, "overlap");
        TEST_FAILS(mt_op_where(square, square, square, turned), MT_ERR_SHAPE, "overlap");
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_where),           TEST(test_large_where),   TEST(test_where_in_place),
        TEST(test_where_gradients), TEST(test_refused_where),
    };
    return TEST_RUN("where", tests);
}
