/* tests/test_along.c - gather, scatter_add, index_select, cumsum, argsort: what the descriptors' checks
 * (test_descriptors.c) and PyTorch's cases (test_pytorch.c) cannot know: random layouts, lines of every
 * length that chooses another way, indices outside, and the same bits for any number of threads.
 */
#include "autodiff/elementwise.h"
#include "autodiff/operations.h"
#include "support.h"

#include <math.h>
#include <string.h>

/* A shape with a line of length n along one dimension, which is *dim. */
static mt_shape shape_with_line(int64_t n, bool empty, int *dim)
{
    mt_shape shape = test_shape(5, 12, empty);
    *dim = (int)test_below(shape.rank);
    shape.size[*dim] = n;
    return shape;
}

/* Of element i of a shape: the same with index `place` along dim, in another shape that differs along dim. */
static int64_t moved(mt_shape shape, int64_t i, int dim, int64_t place, mt_shape other)
{
    int64_t index[MT_MAX_DIMS];
    test_unravel(shape, i, index);
    index[dim] = place;
    return test_ravel(other, index);
}

static int64_t along(mt_shape shape, int64_t i, int dim)
{
    int64_t index[MT_MAX_DIMS];
    test_unravel(shape, i, index);
    return index[dim];
}

/* ---- gather, scatter_add ---- */

/* An index smaller than whole in the other dimensions too, when narrow. */
static void gather_one(mt_backend *b, bool put, unsigned kind, bool narrow)
{
    int dim;
    const mt_shape whole = shape_with_line(test_from(1, 30), false, &dim);
    mt_shape named = whole;
    named.size[dim] = test_from(0, 40);
    for (int d = 0; d < named.rank && narrow; d++)
        if (d != dim) named.size[d] = test_from(0, named.size[d]);
    test_array *index = test_array_random(b, named, TEST_INDICES, 0, (double)whole.size[dim]);
    test_array *in = test_array_random(b, put ? named : whole, kind, -50, 50);
    test_array *out = test_array_random(b, put ? whole : named, TEST_OUTPUT | kind, -50, 50);
    double *want = test_memory((size_t)(out->count + 1) * sizeof *want);
    memcpy(want, out->values, (size_t)out->count * sizeof *want);
    for (int64_t i = 0; i < index->count; i++) {
        const int64_t entry = moved(named, i, dim, (int64_t)index->values[i], whole);
        if (put)
            want[entry] = test_round(want[entry] + in->values[i]);
        else
            want[i] = in->values[entry];
    }
    TEST_OK(put ? mt_op_scatter_add(out->x, index->x, in->x, dim - (narrow ? named.rank : 0))
                : mt_op_gather(out->x, in->x, index->x, dim));
    TEST_ALL_SAME(test_read(out->x), want, out->count, put ? "scatter_add" : "gather");
    test_guards(out, "gather");
    test_unchanged(in, "gather");
    test_unchanged(index, "gather");
    test_cases++;
    test_release();
}

static void test_gather(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 160; round++)
        gather_one(b, round & 1, !(round & 1) && round & 4 ? TEST_INDICES : 0, round & 2);
}

static void index_select_one(mt_backend *b, bool put, unsigned kind)
{
    int dim;
    const mt_shape whole = shape_with_line(test_from(1, 30), true, &dim);
    mt_shape named = whole;
    named.size[dim] = test_from(0, 40);
    test_array *index =
        test_array_random(b, mt_shape(named.size[dim]), TEST_INDICES, 0, (double)whole.size[dim]);
    test_array *in = test_array_random(b, put ? named : whole, kind, -50, 50);
    test_array *out = test_array_random(b, put ? whole : named, TEST_OUTPUT | kind, -50, 50);
    double *want = test_memory((size_t)(out->count + 1) * sizeof *want);
    memcpy(want, out->values, (size_t)out->count * sizeof *want);
    for (int64_t i = 0; i < test_count(named); i++) {
        const int64_t entry = moved(named, i, dim, (int64_t)index->values[along(named, i, dim)], whole);
        if (put)
            want[entry] = test_round(want[entry] + in->values[i]);
        else
            want[i] = in->values[entry];
    }
    TEST_OK(put ? mt_op_index_add(out->x, index->x, in->x, dim)
                : mt_op_index_select(out->x, in->x, index->x, dim));
    TEST_ALL_SAME(test_read(out->x), want, out->count, put ? "index_add" : "index_select");
    test_guards(out, "index_select");
    test_cases++;
    test_release();
}

static void test_index_select(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 120; round++)
        index_select_one(b, round & 1, !(round & 1) && round & 2 ? TEST_INDICES : 0);
}

/* One index of many is no entry: the sentence has its value, its place and the range, and nothing is written.
 */
static void test_outside(void **data)
{
    (void)data;
    static const double outside[] = {-1, 0, -0x1p62, 0x1p62}; /* 0: the size itself */
    EACH_BACKEND(b)
    for (int round = 0; round < 40; round++) {
        int dim;
        const bool put = round & 1;
        const mt_shape whole = shape_with_line(test_from(1, 30), false, &dim);
        mt_shape named = whole;
        named.size[dim] = test_from(1, 40);
        double wrong = outside[round / 2 % 4];
        if (wrong == 0) wrong = (double)whole.size[dim];
        const int64_t n = test_count(named), at = test_below(n), line = test_below(named.size[dim]);
        double *values = test_memory((size_t)n * sizeof *values);
        for (int64_t i = 0; i < n; i++) values[i] = (double)test_below(whole.size[dim]);
        for (int64_t i = at; i < n; i += 3) values[i] = i == at ? wrong : -5;
        test_array *index = test_array_from(b, named, TEST_INDICES, values);
        values[line] = wrong;
        for (int64_t i = 0; i < line; i++) values[i] = 0;
        test_array *places = test_array_from(b, mt_shape(named.size[dim]), TEST_INDICES, values);
        test_array *in = test_array_random(b, put ? named : whole, TEST_INPUT, -1, 1);
        test_array *out = test_array_random(b, put ? whole : named, TEST_OUTPUT, -1, 1);
        char want[200], place[MT_SHAPE_TEXT];
        mt_shape position = {.rank = named.rank};
        test_unravel(named, at, position.size);
        snprintf(want, sizeof want,
                 "the index at %s is %.0f, outside 0 <= index < %lld, the size of dimension %d",
                 mt_shape_text(position, place), wrong, (long long)whole.size[dim], dim);
        /* The version rises, as with put_rows: the backend finds it. */
        TEST_FAILS(put ? mt_op_scatter_add(out->x, index->x, in->x, dim)
                       : mt_op_gather(out->x, in->x, index->x, dim),
                   MT_ERR_INDEX, want);
        test_unchanged(out, "an index outside");
        snprintf(want, sizeof want, "the index at (%lld) is %.0f", (long long)line, wrong);
        TEST_FAILS(put ? mt_op_index_add(out->x, places->x, in->x, dim)
                       : mt_op_index_select(out->x, in->x, places->x, dim),
                   MT_ERR_INDEX, want);
        test_unchanged(out, "an index outside");
        mt_tape *tape = test_tape(b); /* where the indices are looked at on the way */
        TEST_NULL(put ? mt_index_select(tape, out->x, places->x, dim)
                      : mt_index_select(tape, in->x, places->x, dim),
                  MT_ERR_INDEX, want);
        mt_tape_reset(tape);
        TEST_NULL(put ? mt_scatter_add(tape, out->x, index->x, in->x, dim)
                      : mt_gather(tape, in->x, index->x, dim),
                  MT_ERR_INDEX, "outside 0 <= index <");
        test_unchanged(out, "an index outside");
        test_cases++;
        test_release();
    }
}

static void test_refused(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_ones(b, mt_shape(2, 3))), *y = OWN(mt_ones(b, mt_shape(2, 3))),
                  *tall = OWN(mt_ones(b, mt_shape(3, 3))),
                  *index = OWN(mt_empty(b, mt_shape(2, 3), MT_INDEX)),
                  *tall_index = OWN(mt_empty(b, mt_shape(3, 3), MT_INDEX)),
                  *vector = OWN(mt_empty(b, mt_shape(2), MT_INDEX)),
                  *other = OWN(mt_empty(b, mt_shape(2, 3), MT_INDEX));
        TEST_OK(mt_op_fill(index, 0));
        TEST_FAILS(mt_op_gather(y, x, index, 2), MT_ERR_INDEX, "gather: dimension 2");
        TEST_FAILS(mt_op_gather(y, x, vector, 1), MT_ERR_SHAPE, "the index has shape (2)");
        TEST_FAILS(mt_op_gather(tall, x, tall_index, 1), MT_ERR_SHAPE, "the index has shape (3, 3)");
        TEST_FAILS(mt_op_gather(tall, x, index, 1), MT_ERR_SHAPE, "the output has shape (3, 3)");
        TEST_FAILS(mt_op_gather(y, x, x, 1), MT_ERR_KIND, "gather");
        TEST_FAILS(mt_op_gather(index, x, index, 1), MT_ERR_SHAPE, "overlap");
        TEST_FAILS(mt_op_gather(other, x, index, 1), MT_ERR_KIND, "INDEX and the other REAL");
        TEST_FAILS(mt_op_gather(x, x, index, 1), MT_ERR_SHAPE, "overlap");
        TEST_FAILS(mt_op_scatter_add(y, index, tall, 1), MT_ERR_SHAPE, "what is added has shape (3, 3)");
        TEST_FAILS(mt_op_scatter_add(index, index, x, 1), MT_ERR_SHAPE, "overlap");
        TEST_FAILS(mt_op_scatter_add(other, index, index, 1), MT_ERR_KIND, "scatter_add");
        TEST_FAILS(mt_op_index_select(y, x, index, 0), MT_ERR_SHAPE, "it is a vector");
        TEST_FAILS(mt_op_index_select(y, x, vector, 1), MT_ERR_SHAPE, "it must be (2, 2)");
        TEST_FAILS(mt_op_cumsum(tall, x, 0, false), MT_ERR_SHAPE, "cumsum: the output has shape (3, 3)");
        TEST_FAILS(mt_op_cumsum(y, x, -3, false), MT_ERR_INDEX, "dimension -3");
        TEST_FAILS(mt_op_cumsum(x, x, 0, false), MT_ERR_SHAPE, "overlap");
        TEST_FAILS(mt_op_cumsum(y, index, 0, false), MT_ERR_KIND, "cumsum");
        TEST_FAILS(mt_op_argsort(tall_index, x, 0, false), MT_ERR_SHAPE,
                   "argsort: the output has shape (3, 3)");
        TEST_FAILS(mt_op_argsort(vector, x, 0, false), MT_ERR_SHAPE, "(2)");
        TEST_FAILS(mt_op_argsort(y, x, 0, false), MT_ERR_KIND, "argsort");
        TEST_FAILS(mt_op_argsort(index, x, 2, false), MT_ERR_INDEX, "dimension 2");
        test_stale();
        TEST_TRUE(mt_op_gather(y, NULL, index, 0) == MT_ERR_NULL && mt_last_status() == MT_ERR_IO);
        mt_tape *tape = test_tape(b);
        TEST_NULL(mt_topk(tape, x, 4, 1, true), MT_ERR_VALUE,
                  "topk: k is 4, and dimension 1 of shape (2, 3) has 3");
        mt_tape_reset(tape);
        TEST_NULL(mt_argtopk(tape, x, -1, 0, true), MT_ERR_VALUE, "argtopk: k is -1");
        test_cases++;
        test_release();
    }
}

/* ---- cumsum ---- */

static const int64_t lengths[] = {0, 1, 2, 3, 7, 31, 129, 1025, 4095, 4096, 4097, 9000};

/* How often a length is tried: long ones, which a simulator takes a while for, on the host alone. */
static int rounds_of(const mt_backend *b, int64_t length)
{
    if (length > 2000 && !b->host) return 0;
    return length < 200 ? 12 : test_small() || !b->host ? 1 : 4;
}

/* The definition, beside what each sum may be off by. */
static void cumsum_one(mt_backend *b, int64_t n, bool back, bool whole)
{
    int dim;
    const mt_shape shape = shape_with_line(n, true, &dim);
    const int64_t count = test_count(shape);
    double *values = test_memory((size_t)(count + 1) * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = whole ? (double)test_from(-3, 3) : test_round(test_between(-1, 1));
    test_array *x = test_array_from(b, shape, TEST_INPUT, values),
               *out = test_array_from(b, shape, TEST_OUTPUT, NULL);
    long double *sum = test_memory((size_t)(count + 1) * sizeof *sum);
    double *size = test_memory((size_t)(count + 1) * sizeof *size);
    TEST_OK(mt_op_cumsum(out->x, x->x, dim, back));
    const double *got = test_read(out->x);
    for (int64_t k = 0; k < count; k++) {
        const int64_t i = back ? count - 1 - k : k, place = along(shape, i, dim);
        const bool first = place == (back ? n - 1 : 0);
        const int64_t before = first ? 0 : moved(shape, i, dim, back ? place + 1 : place - 1, shape);
        sum[i] = (first ? 0 : sum[before]) + x->values[i];
        size[i] = (first ? 0 : size[before]) + fabs(x->values[i]);
        const double room =
            whole ? 0 : test_epsilon * fabs((double)sum[i]) + test_sum_tolerance(n, size[i], test_repeats(x));
        TEST_CHECK(fabs((double)(got[i] - sum[i])) <= room,
                   "%s: cumsum of %s along %d%s: element %lld is %.17g instead of %.17g", b->name,
                   test_text(shape), dim, back ? ", back" : "", (long long)i, got[i], (double)sum[i]);
    }
    test_guards(out, "cumsum");
    test_unchanged(x, "cumsum");
    test_cases++;
    test_release();
}

static void test_cumsum(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(lengths); i++)
        for (int round = 0; round < rounds_of(b, lengths[i]); round++)
            cumsum_one(b, lengths[i], round & 1, round & 2);
}

/* ---- argsort ---- */

/* The order is one: each position once, each element before the next or equal to it with the smaller
 * position; and fewer are the first of it. */
static void argsort_one(mt_backend *b, int64_t n, bool descending)
{
    static const double special[] = {0, -0.0, NAN, INFINITY, -INFINITY};
    int dim;
    const mt_shape shape = shape_with_line(n, true, &dim);
    const int64_t count = test_count(shape);
    const bool few = test_chance(0.3), rising = test_chance(0.2);
    double *values = test_memory((size_t)(count + 1) * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = test_chance(0.1) ? special[test_below((int64_t)TEST_LENGTH(special))]
                    : rising         ? (double)i / 4
                    : few            ? (double)test_from(-3, 3)
                                     : test_between(-1, 1) * exp2((double)test_from(-40, 40));
    test_array *x = test_array_from(b, shape, TEST_FIXED, values),
               *out = test_array_from(b, shape, TEST_OUTPUT | TEST_INDICES, NULL);
    TEST_OK(mt_op_argsort(out->x, x->x, dim, descending));
    const double *got = test_read(out->x);
    for (int64_t i = 0; i < count; i++) {
        const int64_t place = along(shape, i, dim);
        TEST_CHECK(got[i] >= 0 && got[i] < (double)n, "position %g of %lld", got[i], (long long)n);
        if (place == 0) continue;
        const double before = got[moved(shape, i, dim, place - 1, shape)];
        double a = x->values[moved(shape, i, dim, (int64_t)before, shape)],
               z = x->values[moved(shape, i, dim, (int64_t)got[i], shape)];
        if (descending) {
            const double swap = a;
            a = z, z = swap;
        }
        const bool equal = a == z || (isnan(a) && isnan(z));
        TEST_CHECK(equal ? before < got[i] : isnan(z) || a < z,
                   "%s: argsort of %s along %d: %g at %g comes before %g at %g", b->name, test_text(shape),
                   dim, a, before, z, got[i]);
    }
    mt_shape first = shape;
    first.size[dim] = test_chance(0.5) ? test_from(0, n) : test_from(0, n / 10);
    test_array *part = test_array_from(b, first, TEST_OUTPUT | TEST_INDICES, NULL);
    TEST_OK(mt_op_argsort(part->x, x->x, dim, descending));
    const double *top = test_read(part->x);
    for (int64_t i = 0; i < part->count; i++)
        TEST_TRUE(top[i] == got[moved(first, i, dim, along(first, i, dim), shape)]);
    test_guards(out, "argsort");
    test_guards(part, "argsort");
    test_unchanged(x, "argsort");
    test_cases++;
    test_release();
}

static void test_argsort(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(lengths); i++)
        for (int round = 0; round < rounds_of(b, lengths[i]); round++) argsort_one(b, lengths[i], round & 1);
}

/* ---- the same bits for any number of threads, along lines and across them ---- */

static double *results_of(mt_backend *b, const mt_tensor *x, const mt_tensor *index, int dim, int64_t n)
{
    const mt_shape shape = mt_tensor_shape(x);
    mt_tensor *order = OWN(mt_empty(b, shape, MT_INDEX)), *y = OWN(mt_empty(b, shape, MT_REAL));
    double *all = test_memory((size_t)(4 * n) * sizeof *all);
    TEST_OK(mt_op_cumsum(y, x, dim, false));
    memcpy(all, test_read(y), (size_t)n * sizeof *all);
    TEST_OK(mt_op_argsort(order, x, dim, false));
    memcpy(all + n, test_read(order), (size_t)n * sizeof *all);
    TEST_OK(mt_op_gather(y, x, order, dim));
    memcpy(all + 2 * n, test_read(y), (size_t)n * sizeof *all);
    TEST_OK(mt_op_scatter_add(y, index, x, dim));
    memcpy(all + 3 * n, test_read(y), (size_t)n * sizeof *all);
    return all;
}

static void test_threads(void **data)
{
    (void)data;
    const int before = mt_get_threads();
    static const int64_t sides[][2] = {{300, 301}, {3, 30000}, {30000, 3}, {1, 100000}};
    EACH_BACKEND(b)
    for (int i = 0; i < (test_small() ? 1 : 8) && b->host;
         i++) { /* elsewhere threads are the host's affair */
        const int64_t rows = sides[i / 2][0], columns = sides[i / 2][1];
        mt_rng rng = mt_rng_make(test_bits());
        mt_tensor *x = OWN(mt_uniform(b, mt_shape(rows, columns), &rng, -1, 1));
        mt_tensor *chosen = OWN(
            mt_uniform(b, mt_shape(rows, columns), &rng, 0, fmax((double)(i % 2 ? columns : rows) / 7, 1)));
        mt_tensor *index = OWN(mt_tensor_as(chosen, MT_INDEX));
        double *want = NULL;
        static const int counts[] = {1, 2, 3, 8};
        for (size_t k = 0; k < TEST_LENGTH(counts); k++) {
            TEST_OK(mt_set_threads(counts[k]));
            double *got = results_of(b, x, index, i % 2, rows * columns);
            if (want) TEST_ALL_SAME(got, want, 4 * rows * columns, "with other threads");
            want = got;
        }
        TEST_OK(mt_set_threads(before));
        test_cases++;
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_gather), TEST(test_index_select), TEST(test_outside), TEST(test_refused),
        TEST(test_cumsum), TEST(test_argsort),      TEST(test_threads),
    };
    return TEST_RUN("along", tests);
}
