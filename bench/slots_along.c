/* slots_along.c - gpu_slots' checks of gather, cumsum and argsort: what goes along one dimension.
 *
 * Sums are of small integers, so that they are exact in any order and one element lost or taken twice is
 * another result.
 */
#include "slots.h"

#include <math.h>
#include <string.h>

/* Lines below, at and above what a warp, a block and a chunk take, along each dimension; long: for sums
 * alone, more chunks than a block takes. */
static const struct {
    mt_shape shape;
    int dim;
    bool is_long;
} lines[] = {
    {{1, {1}}, 0, false},          {{1, {33}}, 0, false},       {{2, {7, 5}}, 0, false},
    {{2, {7, 5}}, 1, false},       {{3, {3, 40, 4}}, 1, false}, {{2, {3, 1025}}, 1, false},
    {{2, {1030, 2}}, 0, false},    {{1, {2500}}, 0, false},     {{3, {2, 3, 128}}, 2, false},
    {{4, {2, 3, 5, 7}}, 0, false}, {{2, {2, 1024}}, 1, false},  {{1, {270000}}, 0, true},
};
#define EACH_LINES(i, too_long)                     \
    for (size_t i = 0; i < TEST_LENGTH(lines); i++) \
        if (!lines[i].is_long || (too_long))

/* ---- gather ---- */

static void gather_one(mt_shape shape, int dim, mt_kind kind, bool put, unsigned layout)
{
    const unsigned flags = layout | (kind == MT_INDEX ? TEST_INDICES : 0);
    const int64_t limit = shape.size[dim];
    mt_shape named = shape;
    named.size[dim] = test_from(1, 2 * limit + 3);
    const mt_shape from = put ? named : shape, to = put ? shape : named;
    pair in =
        kind == MT_INDEX ? indices(from, 1000) : twins(test_array_random(backends[0], from, flags, -9, 9));
    pair out = put ? twins(test_array_random(backends[0], to, TEST_OUTPUT | flags, 0, 9)) : output(to, flags);
    pair index = indices(named, put && test_chance(0.3) ? 1 : limit);
    mt_gather_work work = {.put = put, .kind = kind, .dim = dim, .what = "gather"};
    const char *what = slots_text("gather: %s of %s along %d", put ? "put" : "take", test_text(shape), dim);
    EACH(i)
    {
        work.out = slots_operand(out, i), work.in = slots_operand(in, i),
        work.index = slots_operand(index, i);
        TEST_OK(backends[i]->gather(backends[i], &work));
    }
    agree(out, 0, what);
    test_unchanged(in.on[0], what);
    test_release();
}

/* The first index outside, after one that is none, and below 0; nothing is written. */
static void gather_outside(bool put, double value)
{
    const double values[] = {0, 2, value, 1, -7, 0};
    pair out = twins(test_array_random(backends[0], mt_shape(2, 3), TEST_OUTPUT, 0, 9)),
         in = input(mt_shape(2, 3), TEST_PLAIN),
         index = twins(test_array_from(backends[0], mt_shape(2, 3), TEST_INDICES, values));
    const mt_gather_work work = {.put = put,
                                 .kind = MT_REAL,
                                 .dim = 1,
                                 .out = slots_operand(out, 0),
                                 .in = slots_operand(in, 0),
                                 .index = slots_operand(index, 0),
                                 .what = "gather"};
    char want[60];
    snprintf(want, sizeof want, "the index at (0, 2) is %.0f", value);
    TEST_FAILS(backends[0]->gather(backends[0], &work), MT_ERR_INDEX, want);
    test_unchanged(out.on[0], "gather of an index outside");
    test_release();
}

void check_gather(void **state)
{
    (void)state;
    EACH_LINES(i, false)
    for (int k = 0; k < 3; k++) { /* what is put is REAL */
        gather_one(lines[i].shape, lines[i].dim, k == 0 ? MT_INDEX : MT_REAL, k == 2, TEST_PLAIN);
        gather_one(lines[i].shape, lines[i].dim, k == 0 ? MT_INDEX : MT_REAL, k == 2, 0);
    }
    for (int put = 0; put < 2; put++) gather_outside(put, 3), gather_outside(put, -1);
}

/* ---- cumsum ---- */

static void cumsum_one(mt_shape shape, int dim, bool back, unsigned flags)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = (double)test_from(-3, 3);
    pair in = twins(test_array_from(backends[0], shape, flags | TEST_FIXED, values)),
         out = output(shape, flags);
    EACH(i)
    TEST_OK(backends[i]->cumsum(backends[i], slots_operand(out, i), slots_operand(in, i), dim, back));
    const char *what = slots_text("cumsum of %s along %d%s", test_text(shape), dim, back ? ", back" : "");
    agree(out, 0, what);
    test_unchanged(in.on[0], what);
    test_release();
}

void check_cumsum(void **state)
{
    (void)state;
    EACH_LINES(i, slots_large)
    for (int back = 0; back < 2; back++) {
        cumsum_one(lines[i].shape, lines[i].dim, back, TEST_PLAIN);
        cumsum_one(lines[i].shape, lines[i].dim, back, 0);
    }
}

/* ---- argsort ---- */

/* Many equal elements, zeros of both signs, infinities and NaN; k: how many of a line are asked for. */
static void argsort_one(mt_shape shape, int dim, int64_t k, bool descending, unsigned flags)
{
    static const double special[] = {0, -0.0, NAN, INFINITY, -INFINITY};
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = test_chance(0.2)   ? special[test_below((int64_t)TEST_LENGTH(special))]
                    : test_chance(0.5) ? (double)test_from(-5, 5)
                                       : test_between(-1, 1);
    mt_shape first = shape;
    first.size[dim] = k;
    pair in = twins(test_array_from(backends[0], shape, flags | TEST_FIXED, values)),
         out = output(first, flags | TEST_INDICES);
    EACH(i)
    TEST_OK(backends[i]->argsort(backends[i], slots_operand(out, i), slots_operand(in, i), dim, descending));
    const char *what = slots_text("argsort of %s along %d%s, %lld", test_text(shape), dim,
                                  descending ? " descending" : "", (long long)k);
    agree(out, 0, what);
    test_unchanged(in.on[0], what);
    test_release();
}

void check_argsort(void **state)
{
    (void)state;
    EACH_LINES(i, false)
    for (int descending = 0; descending < 2; descending++) {
        const int64_t n = lines[i].shape.size[lines[i].dim];
        argsort_one(lines[i].shape, lines[i].dim, n, descending, TEST_PLAIN);
        argsort_one(lines[i].shape, lines[i].dim, test_from(1, n), descending, 0);
    }
}
