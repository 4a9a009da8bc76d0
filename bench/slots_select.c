/* slots_select.c - gpu_slots' checks of reduce, reduce_index, scatter, rows and permutation.
 *
 * Reduced numbers are small integers, so that a sum or a product is exact in any order and one element lost
 * or taken twice is another result; a mean divides once.
 */
#include "slots.h"

#include <math.h>
#include <string.h>

/* ---- reductions ---- */

/* A new reduction makes the compiler ask for its name here, and check_reduce finds that the backend has it.
 */
static const char *name_of(mt_reduction op)
{
    switch (op) {
    case MT_SUM: return "sum";
    case MT_PROD: return "prod";
    case MT_MAX: return "max";
    case MT_MIN: return "min";
    case MT_ALL: return "all";
    case MT_ARGMAX: return "argmax";
    case MT_ARGMIN: return "argmin";
    }
    return NULL;
}

static bool gives_index(mt_reduction op) { return op == MT_ARGMAX || op == MT_ARGMIN; }

static pair values_for(mt_reduction op, mt_shape shape, unsigned flags)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) {
        values[i] = (double)test_from(-3, 3);
        if (op == MT_PROD) values[i] = test_chance(5 / ((double)n + 5)) ? 2 : test_chance(0.5) ? 1 : -1;
        if (op == MT_ALL) values[i] = test_chance(0.5 / (double)n) ? 0 : 1 + values[i] * values[i];
        if (op >= MT_MAX && op != MT_ALL && test_chance(0.3 / (double)n)) values[i] = NAN;
    }
    return twins(test_array_from(backends[0], shape, flags | TEST_FIXED, values));
}

/* dims: marks, one for each dimension of shape. */
static mt_shape kept_of(mt_shape shape, const bool *dims)
{
    for (int d = 0; d < shape.rank; d++)
        if (dims[d]) shape.size[d] = 1;
    return shape;
}

static void reduce_one(mt_reduction op, mt_shape shape, const bool *dims, unsigned flags, bool accumulate,
                       double divisor)
{
    const mt_shape kept = kept_of(shape, dims);
    pair in = values_for(op, shape, flags);
    pair out = accumulate ? input(kept, flags | TEST_FIXED)
                          : output(kept, flags | (gives_index(op) ? TEST_INDICES : 0));
    mt_reduce_work work = {.op = op, .accumulate = accumulate, .divisor = (mt_real)divisor};
    memcpy(work.reduced, dims, (size_t)shape.rank * sizeof *dims);
    const char *what = slots_text("reduce %s%s of %s to %s", accumulate ? "+= " : "", name_of(op),
                                  test_text(shape), test_text(kept));
    EACH(i)
    {
        work.out = slots_operand(out, i), work.in = slots_operand(in, i);
        TEST_OK(backends[i]->reduce(backends[i], &work));
    }
    agree(out, divisor != 1 || accumulate ? 2 * test_epsilon : 0, what);
    test_unchanged(in.on[0], what);
    test_release();
}

/* Rows and columns below, at and above what one warp, one block and one chunk take, and several dimensions.
 */
static const struct {
    int64_t shape[4]; /* 0: no more */
    bool dims[4], large;
} reductions[] = {
    {{1, 1}, {false, true}, false},
    {{7, 5}, {false, true}, false},
    {{9, 32}, {false, true}, false},
    {{3, 33}, {false, true}, false},
    {{2, 2049}, {false, true}, false},
    {{7, 5}, {true, false}, false},
    {{65, 33}, {true, false}, false},
    {{100, 40}, {true, false}, false},
    {{2100, 2}, {true, false}, false},
    {{5, 4, 33, 2}, {true, false, true, false}, false},
    {{6, 5, 7, 3}, {false, true, false, true}, false},
    {{3, 4, 5}, {true, true, true}, false},
    {{33000}, {true}, false},
    {{3, 100, 2, 500}, {false, true, false, true}, true},
    {{300, 3, 200, 2}, {true, false, true, false}, true},
    {{3, 90000}, {false, true}, true},
    {{70000, 5}, {true, false}, true},
    {{40000, 33}, {false, true}, true},
};

static mt_shape shape_of(const int64_t *sizes)
{
    mt_shape shape = {.rank = 0};
    while (shape.rank < 4 && sizes[shape.rank] > 0) shape.size[shape.rank] = sizes[shape.rank], shape.rank++;
    return shape;
}

static void reduce_all(mt_reduction op)
{
    for (size_t i = 0; i < TEST_LENGTH(reductions); i++)
        if (slots_large || !reductions[i].large)
            reduce_one(op, shape_of(reductions[i].shape), reductions[i].dims, TEST_PLAIN, false, 1);
    for (int round = 0; round < 6; round++) {
        const mt_shape shape = test_shape(4, 400, false);
        bool dims[MT_MAX_DIMS] = {false};
        for (int d = 0; d < shape.rank; d++) dims[d] = test_chance(0.5);
        reduce_one(op, shape, dims, 0, false, 1);
        if (op == MT_SUM) reduce_one(op, shape, dims, 0, true, 1);
        if (op == MT_SUM) reduce_one(op, shape, dims, 0, false, 7);
    }
}

void check_reduce(void **state)
{
    (void)state;
    int op = 0;
    for (; name_of((mt_reduction)op) != NULL; op++) reduce_all((mt_reduction)op);
    if (backends[0]->host) return; /* whose table of reductions has no end to ask for */
    const bool dims[] = {true};
    pair in = input(mt_shape(3), TEST_PLAIN), out = output(mt_shape(1), TEST_PLAIN);
    const mt_reduce_work work = {.op = (mt_reduction)op,
                                 .reduced = {dims[0]},
                                 .divisor = 1,
                                 .out = slots_operand(out, 0),
                                 .in = slots_operand(in, 0)};
    TEST_CHECK(
        backends[0]->reduce(backends[0], &work) != MT_OK,
        "reduce: the backend has a reduction %d, for which there is no check; add it to bench/slots_select.c",
        op);
}

/* ---- reductions of INDEX ---- */

/* Into an INDEX exactly; into REAL as a mean, and all, which no number of a double or a float but the last
 * rounding decides. */
static void reduce_index_one(mt_reduction op, mt_shape shape, const bool *dims, unsigned flags,
                             mt_kind out_kind, double divisor)
{
    const mt_shape kept = kept_of(shape, dims);
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) {
        values[i] = (double)test_from(-1000000, 1000000) * 2 + 1;
        if (op == MT_ALL && test_chance(0.5 / (double)n)) values[i] = 0;
        if (op == MT_PROD) values[i] = test_chance(5 / ((double)n + 5)) ? -2 : test_chance(0.5) ? 1 : -1;
    }
    pair in = twins(test_array_from(backends[0], shape, flags | TEST_INDICES, values));
    pair out = output(kept, flags | (out_kind == MT_INDEX ? TEST_INDICES : 0));
    mt_reduce_work work = {.op = op, .divisor = (mt_real)divisor};
    memcpy(work.reduced, dims, (size_t)shape.rank * sizeof *dims);
    const char *what = slots_text("reduce_index %s of %s to %s of %s", name_of(op), test_text(shape),
                                  out_kind == MT_INDEX ? "INDEX" : "REAL", test_text(kept));
    EACH(i)
    {
        work.out = slots_operand(out, i), work.in = slots_operand(in, i);
        TEST_OK(backends[i]->reduce_index(backends[i], &work, out_kind));
    }
    agree(out, 0, what);
    test_unchanged(in.on[0], what);
    test_release();
}

static void reduce_index_all(mt_reduction op)
{
    const mt_kind kind = op == MT_ALL ? MT_REAL : MT_INDEX;
    for (size_t i = 0; i < TEST_LENGTH(reductions); i++)
        if (slots_large || !reductions[i].large)
            reduce_index_one(op, shape_of(reductions[i].shape), reductions[i].dims, TEST_PLAIN, kind, 1);
    for (int round = 0; round < 6; round++) {
        const mt_shape shape = test_shape(4, 400, false);
        bool dims[MT_MAX_DIMS] = {false};
        for (int d = 0; d < shape.rank; d++) dims[d] = test_chance(0.5);
        reduce_index_one(op, shape, dims, 0, kind, 1);
        if (op == MT_SUM) reduce_index_one(op, shape, dims, 0, MT_REAL, 7);
    }
}

void check_reduce_index(void **state)
{
    (void)state;
    for (int op = 0; op <= MT_ALL; op++) reduce_index_all((mt_reduction)op);
}

/* ---- scatter ---- */

static void scatter_one(mt_shape shape, const bool *dims)
{
    const mt_shape kept = kept_of(shape, dims);
    int64_t limit = 1;
    for (int d = 0; d < shape.rank; d++) limit *= dims[d] ? shape.size[d] : 1;
    pair index = indices(kept, limit), value = input(kept, 0), out = output(shape, 0);
    mt_scatter_work work;
    memset(&work, 0, sizeof work);
    memcpy(work.reduced, dims, (size_t)shape.rank * sizeof *dims);
    EACH(i)
    {
        work.out = slots_operand(out, i), work.index = slots_operand(index, i),
        work.value = slots_operand(value, i);
        TEST_OK(backends[i]->scatter(backends[i], &work));
    }
    const char *what = slots_text("scatter of %s into %s", test_text(kept), test_text(shape));
    agree(out, 0, what);
    const double outside[] = {(double)limit};
    pair bad = twins(test_array_from(backends[0], mt_shape(1), TEST_INDICES, outside));
    if (test_count(kept) == 1 && kept.rank == 1) {
        work.out = slots_operand(out, 0), work.index = slots_operand(bad, 0),
        work.value = slots_operand(value, 0);
        TEST_FAILS(backends[0]->scatter(backends[0], &work), MT_ERR_INDEX, "index");
    }
    test_release();
}

void check_scatter(void **state)
{
    (void)state;
    const bool all[MT_MAX_DIMS] = {true};
    scatter_one(mt_shape(77), all);
    for (size_t i = 0; i < TEST_LENGTH(reductions); i++)
        if (!reductions[i].large) scatter_one(shape_of(reductions[i].shape), reductions[i].dims);
    for (int round = 0; round < 10; round++) {
        const mt_shape shape = test_shape(4, 400, false);
        bool dims[MT_MAX_DIMS] = {false};
        for (int d = 0; d < shape.rank; d++) dims[d] = test_chance(0.5);
        scatter_one(shape, dims);
    }
}

/* ---- rows ---- */

/* out = rows of in, or out += them at those rows, in the order of the entries: to the last bit. */
static void rows_one(int64_t limit, int64_t entries, mt_shape rest, mt_kind kind, bool put, bool known)
{
    const unsigned flags = kind == MT_INDEX ? TEST_INDICES : 0;
    mt_shape whole = {.rank = rest.rank + 1}, part = whole;
    for (int d = 0; d < rest.rank; d++) whole.size[d + 1] = part.size[d + 1] = rest.size[d];
    whole.size[0] = limit, part.size[0] = entries;
    pair in = kind == MT_INDEX ? indices(put ? part : whole, 1000) : input(put ? part : whole, 0);
    pair out =
        put ? twins(test_array_random(backends[0], whole, TEST_OUTPUT | flags, 0, 9)) : output(part, flags);
    pair index = indices(mt_shape(entries), limit);
    const char *what = slots_text("%s rows, %lld entries into %s", put ? "put" : "take", (long long)entries,
                                  test_text(whole));
    EACH(i)
    {
        const mt_rows_work work = {
            put, kind, slots_operand(out, i), slots_operand(in, i), slots_operand(index, i), known};
        TEST_OK(backends[i]->rows(backends[i], &work));
    }
    agree(out, 0, what);
    test_unchanged(in.on[0], what);
    const double outside[][3] = {{0, (double)limit, 0}, {0, -1, 0}};
    for (size_t k = 0; k < TEST_LENGTH(outside) && entries == 3; k++) {
        pair bad = twins(test_array_from(backends[0], mt_shape(3), TEST_INDICES, outside[k]));
        const mt_rows_work work = {
            put, kind, slots_operand(out, 0), slots_operand(in, 0), slots_operand(bad, 0), false};
        TEST_FAILS(backends[0]->rows(backends[0], &work), MT_ERR_INDEX, "entry 1");
    }
    test_release();
}

void check_rows(void **state)
{
    (void)state;
    const struct {
        int64_t limit, entries;
        mt_shape rest;
        bool large;
    } cases[] = {
        {5, 3, mt_shape(3), false},        {9, 32, mt_shape(8), false},  {4, 40, mt_shape(2, 3), false},
        {33, 5, {.rank = 0}, false},       {3, 300, mt_shape(2), false}, {500, 3000, mt_shape(64), true},
        {3000, 500, mt_shape(3, 5), true},
    };
    for (size_t i = 0; i < TEST_LENGTH(cases); i++)
        for (int k = 0; k < 6; k++) /* what is put is REAL */
            if (slots_large || !cases[i].large)
                rows_one(cases[i].limit, cases[i].entries, cases[i].rest, k < 2 ? MT_INDEX : MT_REAL, k > 3,
                         k & 1);
}

/* ---- permutation ---- */

void check_permutation(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 2, 31, 32, 33, 64, 65, 1000};
    for (size_t k = 0; k < TEST_LENGTH(lengths); k++)
        for (int round = 0; round < 3; round++) {
            pair out = output(mt_shape(lengths[k]), slots_flags(round) | TEST_INDICES);
            const mt_rng rng = {test_bits(), test_bits() >> 8};
            EACH(i) TEST_OK(backends[i]->permutation(backends[i], slots_operand(out, i), rng));
            agree(out, 0, slots_text("permutation of %lld", (long long)lengths[k]));
            test_release();
        }
}
