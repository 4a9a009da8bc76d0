/* tests/test_copy.c - copies, fills and rows by their indices without a tape, on every backend, in random
 * layouts with guards around them.
 */
#include "tensor/elementwise_ops.h"
#include "support.h"

#include <string.h>

static void test_copy_and_fill(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 80; round++) {
            mt_shape shape = test_shape(5, 3000, true);
            bool from_index = test_chance(0.4), to_index = test_chance(0.4);
            test_array *x =
                test_array_random(b, test_narrower(shape), from_index ? TEST_INDICES : TEST_INPUT, -9, 9);
            test_array *out = test_array_from(b, shape, to_index ? TEST_INDICES : TEST_OUTPUT, NULL);
            double *want = test_memory((size_t)out->count * sizeof *want);
            for (int64_t i = 0; i < out->count; i++) {
                want[i] = x->values[test_broadcast_from(x->shape, shape, i)];
                if (!to_index) continue;
                /* Through memory: with -fno-trapping-math gcc 12 makes one trunc() of both conversions, where
                 * there is such an instruction, and that leaves -0.5 at -0. */
                volatile int64_t whole = (int64_t)want[i];
                want[i] = (double)whole;
            }
            TEST_OK(mt_op_copy(out->x, x->x));
            TEST_ALL_SAME(test_read(out->x), want, out->count, "copy");
            test_guards(out, "copy");
            TEST_OK(mt_op_copy(out->x, out->x)); /* onto itself */
            TEST_ALL_SAME(test_read(out->x), want, out->count, "copy");
            TEST_OK(mt_op_fill(out->x, 42));
            for (int64_t i = 0; i < out->count; i++) want[i] = 42;
            TEST_ALL_SAME(test_read(out->x), want, out->count, "fill");
            test_guards(out, "fill");
            test_cases++;
            test_release();
        }
        /* integers keep all their bits, in the float library too */
        int64_t big[] = {(INT64_C(1) << 24) + 1, INT64_MAX - 1}, got[2];
        mt_tensor *x = OWN(mt_from_indices(b, big, mt_shape(2))),
                  *y = OWN(mt_empty(b, mt_shape(2), MT_INDEX));
        TEST_OK(mt_op_copy(y, x));
        TEST_OK(mt_to_indices(y, got, 2));
        TEST_TRUE(memcmp(big, got, sizeof got) == 0);
        TEST_OK(mt_op_fill(y, 16777217));
        TEST_OK(mt_to_indices(y, got, 2));
        TEST_CHECK(got[0] == 16777217 && got[1] == 16777217, "%s: filled with %lld", b->name,
                   (long long)got[0]);
        test_array *out = test_array_from(b, mt_shape(4), TEST_OUTPUT, NULL);
        TEST_REFUSED(out, mt_op_copy(out->x, x), MT_ERR_SHAPE, "(2)");
    }
}

/* Results of more than 32 MB, which the cpu backend streams: the same bits as a piece of them, which it does
 * not. */
static void test_large_results(void **data)
{
    (void)data;
    enum { ROWS = 2912, COLUMNS = 2900, FIRST = 1234, SOME = 7 };
    mt_backend *b = mt_backend_get("cpu");
    mt_rng rng = mt_rng_make(test_bits());
    mt_tensor *x = OWN(mt_uniform(b, mt_shape(ROWS, COLUMNS), &rng, -3, 3));
    mt_tensor *row = OWN(mt_uniform(b, mt_shape(COLUMNS), &rng, -3, 3));
    mt_tensor *part = OWN(mt_tensor_slice(x, 0, FIRST, FIRST + SOME, 1));
    mt_tensor *large = OWN(mt_empty(b, mt_shape(ROWS, COLUMNS), MT_REAL));
    mt_tensor *small = OWN(mt_empty(b, mt_shape(SOME, COLUMNS), MT_REAL));
    mt_tensor *same = OWN(mt_tensor_slice(large, 0, FIRST, FIRST + SOME, 1));
#define LIKE_A_PIECE(whole, piece) \
    TEST_OK(whole);                \
    TEST_OK(piece);                \
    TEST_ALL_SAME(test_read(same), test_read(small), (int64_t)SOME *COLUMNS, #piece)
    LIKE_A_PIECE(mt_op_relu(large, x), mt_op_relu(small, part));
    LIKE_A_PIECE(mt_op_mul(large, x, x), mt_op_mul(small, part, part));
    LIKE_A_PIECE(mt_op_add(large, x, row), mt_op_add(small, part, row));
    LIKE_A_PIECE(mt_op_copy(large, x), mt_op_copy(small, part));
    LIKE_A_PIECE(mt_op_fill(large, 3), mt_op_fill(small, 3));
    /* short rows, whose parts end within a cache line, to a result that begins within one */
    static const int64_t widths[] = {10, 29, 145};
    for (size_t w = 0; w < TEST_LENGTH(widths); w++) {
        const int64_t width = widths[w];
        const int64_t rows = (int64_t)ROWS * COLUMNS / width, first = test_from(1, 40);
        mt_tensor *short_x =
            OWN(mt_tensor_slice(OWN(mt_tensor_view(x, mt_shape(rows, width))), 0, 1, rows, 1));
        mt_tensor *short_out =
            OWN(mt_tensor_slice(OWN(mt_tensor_view(large, mt_shape(rows, width))), 0, 1, rows, 1));
        mt_tensor *short_row = OWN(mt_tensor_slice(row, 0, 0, width, 1));
        mt_tensor *some = OWN(mt_empty(b, mt_shape(40, width), MT_REAL));
        TEST_OK(mt_op_mul(short_out, short_x, short_row));
        for (int64_t at = first; at + 40 < rows; at += rows / 9) {
            TEST_OK(mt_op_mul(some, OWN(mt_tensor_slice(short_x, 0, at, at + 40, 1)), short_row));
            mt_tensor *there = OWN(mt_tensor_slice(short_out, 0, at, at + 40, 1));
            TEST_ALL_SAME(test_read(there), test_read(some), 40 * width, "a product with a short row");
        }
        const double *whole = test_read(short_out), *left = test_read(short_x), *right = test_read(short_row);
        for (int64_t i = (rows - 2) * width; i < (rows - 1) * width; i++)
            TEST_TRUE(whole[i] == test_round(left[i] * right[i % width]));
    }
    /* transposes: rows at the start of a cache line, and rows that are not */
    double *from = test_read(x);
    for (int64_t cut = 0; cut < 24; cut += 12) {
        mt_tensor *view = OWN(mt_tensor_transpose(OWN(mt_tensor_slice(x, 0, 0, ROWS - cut, 1)), 0, 1));
        mt_tensor *turned = OWN(mt_empty(b, mt_shape(COLUMNS, ROWS - cut), MT_REAL));
        TEST_OK(mt_op_copy(turned, view));
        double *to = test_read(turned);
        int64_t wrong = 0;
        for (int64_t j = 0; j < COLUMNS; j++)
            for (int64_t i = 0; i < ROWS - cut; i++)
                wrong += to[j * (ROWS - cut) + i] != from[i * COLUMNS + j];
        TEST_CHECK(wrong == 0, "%lld elements of a transposed copy are wrong", (long long)wrong);
    }
    test_cases += 10;
    test_release();
}

static void test_rows_of_a_tensor(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 60; round++) {
            mt_shape shape = test_shape(4, 2000, true), taken = shape;
            int64_t rows = shape.size[0], n = rows == 0 ? 0 : test_from(0, 40), width = 1;
            for (int d = 1; d < shape.rank; d++) width *= shape.size[d];
            taken.size[0] = n;
            double *which = test_memory((size_t)n * sizeof *which);
            for (int64_t i = 0; i < n; i++) which[i] = (double)test_below(rows);
            test_array *index = test_array_from(b, mt_shape(n), TEST_INDICES, which);
            bool integers = test_chance(0.3);
            test_array *x = test_array_random(b, shape, integers ? TEST_INDICES : TEST_INPUT, -9, 9);
            test_array *out = test_array_from(b, taken, integers ? TEST_INDICES : TEST_OUTPUT, NULL);
            double *want = test_memory((size_t)(n * width) * sizeof *want);
            for (int64_t i = 0; i < n * width; i++)
                want[i] = x->values[(int64_t)which[i / width] * width + i % width];
            TEST_OK(mt_op_take_rows(out->x, x->x, index->x));
            TEST_ALL_SAME(test_read(out->x), want, n * width, "take_rows");
            test_guards(out, "take_rows");

            /* the transpose adds, in the order of i */
            test_array *total = test_array_random(b, shape, TEST_OUTPUT, -1, 1),
                       *given = test_array_random(b, taken, TEST_INPUT, -9, 9);
            double *sums = test_memory((size_t)(rows * width) * sizeof *sums);
            memcpy(sums, total->values, (size_t)(rows * width) * sizeof *sums);
            for (int64_t i = 0; i < n * width; i++) {
                double *sum = &sums[(int64_t)which[i / width] * width + i % width];
                *sum = test_round(*sum + given->values[i]);
            }
            TEST_OK(mt_op_put_rows(total->x, given->x, index->x));
            TEST_ALL_SAME(test_read(total->x), sums, rows * width, "put_rows");
            test_guards(total, "put_rows");
            test_unchanged(x, "take_rows");
            test_unchanged(given, "put_rows");
            test_cases++;

            if (n > 0) { /* an index outside the rows is found before anything is written */
                static const double outside[] = {0, -1, 1e15};
                which[test_below(n)] = test_chance(0.4) ? (double)rows : outside[test_from(1, 2)];
                test_array *bad = test_array_from(b, mt_shape(n), TEST_INDICES, which);
                out = test_array_from(b, taken, integers ? TEST_INDICES : TEST_OUTPUT, NULL);
                TEST_FAILS(mt_op_take_rows(out->x, x->x, bad->x), MT_ERR_INDEX, "");
                test_unchanged(out, "a refused take_rows");
                total = test_array_random(b, shape, TEST_OUTPUT, -1, 1);
                TEST_FAILS(mt_op_put_rows(total->x, given->x, bad->x), MT_ERR_INDEX, "");
                test_unchanged(total, "a refused put_rows");
            }
            test_release();
        }
        test_array *x = test_array_random(b, mt_shape(4, 3), TEST_INPUT, -9, 9),
                   *out = test_array_from(b, mt_shape(2, 3), TEST_OUTPUT, NULL);
        test_array *index = test_array_random(b, mt_shape(2), TEST_INDICES, 0, 3),
                   *real = test_array_random(b, mt_shape(2), TEST_INPUT, 0, 3);
        test_array *square = test_array_random(b, mt_shape(2, 1), TEST_INDICES, 0, 3),
                   *longer = test_array_random(b, mt_shape(3), TEST_INDICES, 0, 3);
        TEST_REFUSED(out, mt_op_take_rows(out->x, x->x, real->x), MT_ERR_KIND, "INDEX");
        TEST_REFUSED(out, mt_op_take_rows(out->x, x->x, square->x), MT_ERR_SHAPE, "(2, 1)");
        TEST_REFUSED(out, mt_op_take_rows(out->x, x->x, longer->x), MT_ERR_SHAPE, "(3)");
        test_array *narrow = test_array_from(b, mt_shape(2, 2), TEST_OUTPUT, NULL);
        TEST_REFUSED(narrow, mt_op_take_rows(narrow->x, x->x, index->x), MT_ERR_SHAPE, "(2, 2)");
        test_array *whole = test_array_from(b, mt_shape(4, 3), TEST_OUTPUT, NULL);
        TEST_REFUSED(whole, mt_op_put_rows(whole->x, x->x, index->x), MT_ERR_SHAPE, "");
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_copy_and_fill),
        TEST(test_large_results),
        TEST(test_rows_of_a_tensor),
    };
    return TEST_RUN("copy", tests);
}
