/* tests/test_kernels.c - the ways that the CUDA kernels choose by layout, each taken on purpose: the values
 * beside `simple`, and on gpu-sim what the kernel asks of the memory, counted by hand.
 *
 * A warp's request for 16 bytes a thread touches 16 sectors of 32 bytes; for one number a thread whose
 * neighbours lie side by side, 4 (8 in double). W is how many numbers 16 bytes hold.
 */
#include "tensor/elementwise_ops.h"
#include "support.h"
#include "tensor/storage.h"

#include <math.h>
#include <string.h>

enum { W = 16 / sizeof(mt_real), ANY = -1 };

/* ---- what a kernel did between two calls ---- */

static mt_backend_counts before, after;

static void counts_begin(mt_backend *b)
{
    if (b->counts) b->counts(b, &before);
}

/* A number that is ANY is not looked at. */
typedef struct expected {
    const char *kernel;
    int64_t launches, requests, sectors, barriers, blocks;
} expected;

static const mt_kernel_counts *row_of(const mt_backend_counts *all, const char *kernel)
{
    static const mt_kernel_counts none;
    for (int i = 0; i < all->kernels; i++)
        if (strcmp(all->kernel[i].name, kernel) == 0) return &all->kernel[i];
    return &none;
}

static void counts_end(mt_backend *b, const char *what, expected want)
{
    if (!b->counts) return;
    b->counts(b, &after);
    const mt_kernel_counts *old = row_of(&before, want.kernel), *now = row_of(&after, want.kernel);
    const struct {
        const char *name;
        int64_t want, got;
    } numbers[] = {{"launches", want.launches, (int64_t)(now->launches - old->launches)},
                   {"requests", want.requests, (int64_t)(now->requests - old->requests)},
                   {"sectors", want.sectors, (int64_t)(now->sectors - old->sectors)},
                   {"barriers", want.barriers, (int64_t)(now->barriers - old->barriers)},
                   {"blocks", want.blocks, (int64_t)(now->blocks - old->blocks)}};
    for (size_t i = 0; i < (after.simulated ? TEST_LENGTH(numbers) : 1); i++)
        TEST_CHECK(numbers[i].want == ANY || numbers[i].want == numbers[i].got,
                   "%s: %s: kernel \"%s\" has %lld %s instead of %lld", b->name, what, want.kernel,
                   (long long)numbers[i].got, numbers[i].name, (long long)numbers[i].want);
    TEST_CHECK(!after.simulated || now->bank_conflicts == old->bank_conflicts, "%s: %s: %lld bank conflicts",
               b->name, what, (long long)(now->bank_conflicts - old->bank_conflicts));
    test_cases++;
}

/* ---- tensors ---- */

/* Numbers that sums of any order add exactly, and no two neighbours the same. */
static mt_tensor *numbers(mt_backend *b, mt_shape shape)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = (double)((i * 37 + i / 64) % 101 - 50) / 4;
    return OWN(mt_from_doubles(b, values, shape));
}

static void same(const mt_tensor *got, const mt_tensor *want, const char *what)
{
    TEST_ALL_SAME(test_read(got), test_read(want), mt_tensor_count(want), what);
}

/* ---- elementwise ---- */

/* rows x columns numbers in out and a; b is cut from more, expanded. */
typedef struct pair_case {
    const char *what;
    int64_t rows, columns;
    int64_t b_rows, b_columns; /* 1: repeated */
    int64_t shift;             /* the first of a, b and out is that many numbers behind an aligned one */
    int64_t step;              /* of b along a row */
    int64_t requests, sectors; /* of one warp, which takes 32 W elements */
} pair_case;

/* Three requests where every thread has 16 bytes side by side, or one element repeated; else W times as many.
 */
static const pair_case pair_cases[] = {
    {"same shape", 64, 64, 64, 64, 0, 1, 3, 48},
    {"a scalar", 64, 64, 1, 1, 0, 1, 3, 33},
    {"a row", 64, 128, 1, 128, 0, 1, 3, 48},
    {"a column", 64, 128, 64, 1, 0, 1, 3, 33},
    {"a row of an odd length", 128, 33, 1, 33, 0, 1, 3 * W, ANY},
    {"a column beside an odd length", 128, 33, 128, 1, 0, 1, 3 * W, ANY},
    {"every second number", 64, 128, 64, 128, 0, 2, 3 * W, 64},
    {"not aligned", 1, 8192, 1, 8192, 1, 1, 3 * W, ANY},
    {"one row", 1, 8192, 1, 8192, 0, 1, 3, 48},
};

static mt_tensor *cut(mt_backend *b, int64_t rows, int64_t columns, int64_t shift, int64_t step)
{
    mt_tensor *line = numbers(b, mt_shape(rows * columns * step + shift + 1));
    mt_tensor *part = OWN(mt_tensor_slice(line, 0, shift, shift + rows * columns * step, 1));
    mt_tensor *whole = OWN(mt_tensor_view(part, mt_shape(rows, columns * step)));
    return OWN(mt_tensor_slice(whole, 1, 0, columns * step, step));
}

static void test_pairs(void **data)
{
    (void)data;
    for (size_t i = 0; i < TEST_LENGTH(pair_cases); i++) {
        const pair_case *c = &pair_cases[i];
        const mt_shape shape = mt_shape(c->rows, c->columns);
        mt_tensor *want = NULL;
        EACH_BACKEND(b)
        {
            mt_tensor *out = cut(b, c->rows, c->columns, c->shift, 1),
                      *x = cut(b, c->rows, c->columns, c->shift, 1);
            mt_tensor *y = cut(b, c->b_rows, c->b_columns, c->shift, c->step);
            const int64_t warps = test_count(shape) / (32 * W);
            counts_begin(b);
            TEST_OK(mt_op_sub(out, x, y));
            counts_end(b, c->what,
                       (expected){"zip sub", 1, warps * c->requests,
                                  c->sectors == ANY ? ANY : warps * c->sectors, 0, ANY});
            if (want) same(out, want, c->what);
            if (!want) want = out;
        }
        test_release();
    }
}

/* ---- transposed copies ---- */

/* A matrix of the input, first of its rows that many numbers behind an aligned one; the output is row-major.
 */
typedef struct turn_case {
    const char *what;
    int64_t batch, rows, columns, shift;
    bool wide_in, wide_out; /* 16 bytes at a time */
} turn_case;

static const turn_case turn_cases[] = {
    {"whole tiles", 1, 64, 96, 0, true, true},
    {"a batch", 3, 32, 64, 0, true, true},
    {"parts of tiles", 1, 40, 68, 0, true, true},
    {"rows that are not aligned", 1, 64, 33, 0, false, true},
    {"columns that are not aligned", 1, 33, 64, 0, true, false},
    {"neither", 2, 47, 31, 0, false, false},
    {"begins behind one number", 1, 64, 64, 1, false, true},
};

/* Of lines of 32 threads' numbers, in tiles of 32 x 32 that lie in rows x columns. */
static int64_t narrow_requests(int64_t rows, int64_t columns) { return rows * ((columns + 31) / 32); }

/* Eight threads have one line of 128 bytes, a warp four: one of each of four rows. */
static int64_t wide_requests(int64_t rows, int64_t columns)
{
    const int64_t line = 8 * W, whole_rows = (rows + 3) / 4;
    return whole_rows * ((columns + line - 1) / line);
}

static void test_turns(void **data)
{
    (void)data;
    for (size_t i = 0; i < TEST_LENGTH(turn_cases); i++)
        for (int kind = 0; kind < 2; kind++) {
            const turn_case *c = &turn_cases[i];
            const int64_t n = c->batch * c->rows * c->columns;
            if (kind && W == 4) continue; /* int64_t is as wide as a double */
            mt_tensor *want = NULL;
            EACH_BACKEND(b)
            {
                mt_tensor *line = kind ? OWN(mt_arange(b, 0, n + 1, 1)) : numbers(b, mt_shape(n + 1));
                mt_tensor *part = OWN(mt_tensor_slice(line, 0, c->shift, c->shift + n, 1));
                mt_tensor *x = OWN(mt_tensor_view(part, mt_shape(c->batch, c->rows, c->columns)));
                mt_tensor *turned = OWN(mt_tensor_permute(x, mt_axes(0, 2, 1)));
                mt_tensor *out =
                    OWN(mt_empty(b, mt_shape(c->batch, c->columns, c->rows), kind ? MT_INDEX : MT_REAL));
                const int64_t reads =
                    c->wide_in ? wide_requests(c->rows, c->columns) : narrow_requests(c->rows, c->columns);
                const int64_t writes =
                    c->wide_out ? wide_requests(c->columns, c->rows) : narrow_requests(c->columns, c->rows);
                const int64_t tiles = (c->rows + 31) / 32 * ((c->columns + 31) / 32);
                counts_begin(b);
                TEST_OK(mt_op_copy(out, turned));
                counts_end(b, c->what,
                           (expected){"copy transposed", 1, c->batch * (reads + writes), ANY,
                                      c->batch * tiles, ANY});
                if (want) same(out, want, c->what);
                if (!want) want = out;
            }
            test_release();
        }
}

/* ---- positions of more than 31 bits ---- */

/* relu's derivative on rows x columns numbers, of which the argument, which it does not read, lies so far
 * apart that the work is cut: one launch for each piece. What is read from afar is seen on a card alone, by
 * bench/gpu_slots. */
typedef struct far_case {
    const char *what;
    int64_t rows, columns, row_step, column_step, pieces;
} far_case;

static const far_case far_cases[] = {
    {"near", 6, 40, 40, 1, 1},
    {"the last position that fits", 2, 40, INT32_MAX - 39, 1, 1},
    {"the first that does not", 2, 40, INT32_MAX - 38, 1, 2},
    {"rows of 2^30", 6, 40, (int64_t)1 << 30, 1, 4},     /* 1 2 1 2 */
    {"columns of 2^25", 6, 200, 1, (int64_t)1 << 25, 4}, /* 64 64 36 36 */
    {"both", 5, 3, (int64_t)1 << 31, (int64_t)1 << 33, 15},
};

static void test_far(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; b->counts && i < TEST_LENGTH(far_cases); i++) {
        const far_case *c = &far_cases[i];
        const mt_shape shape = mt_shape(c->rows, c->columns);
        const int64_t n = test_count(shape);
        mt_tensor *g = numbers(b, shape), *y = numbers(b, shape), *out = OWN(mt_empty(b, shape, MT_REAL));
        const mt_layout far = {
            .rank = 2, .size = {c->rows, c->columns}, .stride = {c->row_step, c->column_step}};
        const mt_elementwise_work work = {.op = MT_OP_relu,
                                          .part = MT_PART_GRAD_A,
                                          .operands = 4,
                                          .operand = {mt_tensor_operand(out),
                                                      mt_tensor_operand(g),
                                                      {mt_tensor_operand(g).data, &far},
                                                      mt_tensor_operand(y)}};
        counts_begin(b);
        TEST_OK(b->map(b, &work));
        counts_end(b, c->what, (expected){"map relu gradient", c->pieces, ANY, ANY, 0, ANY});
        double *want = test_read(g);
        for (int64_t k = 0; k < n; k++) want[k] = fmax(want[k], 0); /* y is g */
        TEST_ALL_SAME(test_read(out), want, n, c->what);
        test_release();
    }
}

/* ---- reductions ---- */

/* A sum along rows of a kept x reduced matrix, or over columns of a reduced x kept one. What it costs in
 * float and in double; launches as the requests of each are, added up. */
typedef struct fold_case {
    const char *what;
    int64_t kept, reduced;
    bool columns;
    int64_t shift; /* the first number is that many behind an aligned one */
    struct {
        int64_t launches, blocks, requests, sectors, barriers;
    } want[2];
} fold_case;

/* Rows of 32: 8 lanes of a warp each (16 in double), which all load 16 bytes once. Rows of 1000: a warp
 * each, 8 (16) loads and the store. Of 1001, and few: a block each, whose 8 warps load number by number, and
 * one the last. 10^7: 976 chunks of 10 (20) loads by 8 warps, one of 5760 numbers, and the 977 results.
 * Columns: 128 (64) of them have one load a row. */
static const fold_case fold_cases[] = {
    {"rows of 32", 1024, 32, false, 0, {{1, 256, 512, 256 * 17, 0}, {1, 256, 1024, 512 * 17, 0}}},
    {"rows of 4", 1024, 4, false, 0, {{1, 32, 64, 32 * 20, 0}, {1, 64, 128, 64 * 20, 0}}},
    {"rows of 1000",
     1024,
     1000,
     false,
     0,
     {{1, 256, 9 * 1024, 126 * 1024, 0}, {1, 256, 17 * 1024, 251 * 1024, 0}}},
    {"few rows of 1001", 8, 1001, false, 0, {{1, 8, 8 * 34, ANY, 8}, {1, 8, 8 * 34, ANY, 8}}},
    {"few rows, not aligned", 8, 1000, false, 1, {{1, 8, 8 * 33, ANY, 8}, {1, 8, 8 * 33, ANY, 8}}},
    {"10^7 numbers", 1, 10000000, false, 0, {{2, 978, 79112, ANY, 978}, {2, 978, 157245, ANY, 978}}},
    {"columns", 1000, 64, true, 0, {{1, 8, 520, 65 * 125, 24}, {1, 16, 1040, 65 * 250, 48}}},
    {"columns of an odd number", 1001, 64, true, 0, {{1, 32, 65 * 32, ANY, 96}, {1, 32, 65 * 32, ANY, 96}}},
    {"columns, not aligned", 1000, 64, true, 1, {{1, 32, 65 * 32, ANY, 96}, {1, 32, 65 * 32, ANY, 96}}},
    {"few columns", 10, 96, true, 0, {{1, 1, 49, ANY, 4}, {1, 1, 25, ANY, 4}}},
};

static void test_folds(void **data)
{
    (void)data;
    for (size_t i = 0; i < TEST_LENGTH(fold_cases); i++) {
        const fold_case *c = &fold_cases[i];
        mt_tensor *want = NULL;
        EACH_BACKEND(b)
        {
            const int64_t n = c->kept * c->reduced;
            mt_tensor *line = OWN(mt_empty(b, mt_shape(n + c->shift), MT_REAL)),
                      *few = numbers(b, mt_shape(101));
            /* repeated, since as doubles on the host all would be slow to make */
            for (int64_t at = 0; at < n + c->shift; at += at == 0 ? 101 : at) {
                const int64_t count = at == 0 ? 101 : n + c->shift - at < at ? n + c->shift - at : at;
                mt_tensor *to = OWN(mt_tensor_slice(line, 0, at, at + count, 1));
                TEST_OK(mt_op_copy(to, at == 0 ? few : OWN(mt_tensor_slice(line, 0, 0, count, 1))));
            }
            mt_tensor *part = OWN(mt_tensor_slice(line, 0, c->shift, c->shift + n, 1));
            mt_tensor *x = OWN(mt_tensor_view(part, c->columns ? mt_shape(c->reduced, c->kept)
                                                               : mt_shape(c->kept, c->reduced)));
            mt_tensor *out = OWN(mt_empty(b, mt_shape(c->kept), MT_REAL));
            counts_begin(b);
            TEST_OK(mt_op_sum(out, x, mt_axes(c->columns ? 0 : 1)));
            counts_end(b, c->what,
                       (expected){"reduce sum", c->want[W == 2].launches, c->want[W == 2].requests,
                                  c->want[W == 2].sectors, c->want[W == 2].barriers, c->want[W == 2].blocks});
            if (want) same(out, want, c->what);
            if (!want) want = out;
        }
        test_release();
    }
}

/* How a row, or a column, lies in memory decides no bit of its sum. */
static void test_fold_layouts(void **data)
{
    (void)data;
    static const int64_t sizes[][3] = {/* kept, and two reduced sizes */
                                       {5, 3, 11},   {70, 2, 4},   {3, 25, 40},  {2, 9, 556},
                                       {1, 80, 252}, {2, 50, 700}, {1100, 4, 9}, {40, 30, 60}};
    mt_rng rng = mt_rng_make(7);
    EACH_BACKEND(b)
    {
        if (!b->counts) continue; /* whose trees may follow the layout */
        for (size_t i = 0; i < TEST_LENGTH(sizes); i++) {
            const int64_t kept = sizes[i][0], p = sizes[i][1], q = sizes[i][2], n = kept * p * q;
            mt_tensor *values = OWN(mt_uniform(b, mt_shape(kept, p, q), &rng, -1, 1));
            mt_tensor *out = OWN(mt_empty(b, mt_shape(kept), MT_REAL));
            TEST_OK(mt_op_sum(out, values, mt_axes(1, 2)));
            const double *want = test_read(out);
            for (int layout = 0; layout < 4; layout++) {
                mt_tensor *room = OWN(mt_empty(b, mt_shape(2 * n + 8 * kept * p + 1), MT_REAL)), *x;
                const int64_t row = layout == 1   ? 2 * q
                                    : layout == 2 ? q + 1
                                    : layout == 3 ? q + W - q % W
                                                  : q,
                              shift = layout == 0;
                x = OWN(mt_tensor_slice(room, 0, shift, shift + kept * p * row, 1));
                x = OWN(mt_tensor_view(x, mt_shape(kept, p, row)));
                x = OWN(mt_tensor_slice(x, 2, 0, layout == 1 ? row : q, layout == 1 ? 2 : 1));
                TEST_OK(mt_op_copy(x, values));
                TEST_OK(mt_op_sum(out, x, mt_axes(1, 2)));
                TEST_ALL_SAME(test_read(out), want, kept, "rows in another layout");
            }
            mt_tensor *turned = OWN(mt_empty(b, mt_shape(p, q, kept), MT_REAL)),
                      *room = OWN(mt_empty(b, mt_shape(n + 1), MT_REAL));
            mt_tensor *shifted = OWN(mt_tensor_slice(room, 0, 1, n + 1, 1));
            shifted = OWN(mt_tensor_view(shifted, mt_shape(p, q, kept)));
            TEST_OK(mt_op_copy(turned, OWN(mt_tensor_permute(values, mt_axes(1, 2, 0)))));
            TEST_OK(mt_op_copy(shifted, turned));
            TEST_OK(mt_op_sum(out, turned, mt_axes(0, 1)));
            const double *columns = test_read(out);
            TEST_OK(mt_op_sum(out, shifted, mt_axes(0, 1)));
            TEST_ALL_SAME(test_read(out), columns, kept, "columns that are not aligned");
            test_cases += 5;
            test_release();
        }
    }
}

/* ---- long products ---- */

/* Few sums that are long err as trees do: over all of them hardly more than rounding the results would. All
 * terms have one sign: there errors of a chain add up, and of these kernels' would be three times as large.
 */
static void test_long_products(void **data)
{
    (void)data;
    static const int64_t sizes[][3] = {{1, 300000, 1}, {4, 16000, 3}, {1, 100000, 5}, {6, 50000, 1}};
    mt_rng rng = mt_rng_make(11);
    EACH_BACKEND(b)
    {
        if (!b->counts) continue; /* `simple` is a chain, and cpu has a test of its own */
        double squares = 0;
        int64_t sums = 0;
        for (size_t i = 0; i < TEST_LENGTH(sizes); i++)
            for (int turned = 0; turned < 2; turned++) {
                const int64_t m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
                mt_tensor *x = OWN(mt_uniform(b, mt_shape(m, k), &rng, 0, 1)),
                          *w = OWN(mt_uniform(b, turned ? mt_shape(n, k) : mt_shape(k, n), &rng, 0, 1)),
                          *y = OWN(mt_empty(b, mt_shape(m, n), MT_REAL));
                if (turned) w = OWN(mt_tensor_transpose(w, 0, 1));
                TEST_OK(mt_op_matmul(y, x, w));
                const double *p = test_read(x), *q = test_read(w), *got = test_read(y);
                for (int64_t at = 0; at < m * n; at++, sums++) {
                    long double exact = 0;
                    for (int64_t t = 0; t < k; t++)
                        exact += (long double)p[at / n * k + t] * q[t * n + at % n];
                    const double off = (double)(((long double)got[at] - exact) / exact) / test_epsilon;
                    squares += off * off;
                }
                test_cases++;
                test_release();
            }
        printf("    errors of long products on %s: %.2f of epsilon\n", b->name, sqrt(squares / (double)sums));
        TEST_CHECK(squares <= 0.6 * 0.6 * (double)sums, "%s: long products err by %.2f epsilon", b->name,
                   sqrt(squares / (double)sums));
    }
}

int main(void)
{
    EACH_BACKEND(b)
    {
        static mt_backend_counts from_now_on;
        if (b->counts) b->counts(b, &from_now_on);
    }
    static const struct CMUnitTest tests[] = {
        TEST(test_pairs), TEST(test_turns),        TEST(test_far),
        TEST(test_folds), TEST(test_fold_layouts), TEST(test_long_products),
    };
    return TEST_RUN("kernels", tests);
}
