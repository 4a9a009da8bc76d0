/* tests/mutate_ops.c - small work for every CUDA kernel, on gpu-sim and on `simple`: what tests/mutate.py
 * runs against kernels with a fault in them.
 *
 * Sizes lie around the kernels' own numbers (16 bytes, a warp, a tile, a chunk), values are never small, so
 * that an element lost or taken twice is seen. The kernels ask mt_mutant_is which fault is on: MT_MUTANT in
 * the environment, or "trace", which prints the numbers of all that were asked for. An argument chooses one
 * group of tests. Slots whose checks in bench/slots.h are as small have these for a group.
 */
#include "tensor/elementwise_ops.h"
#include "bench/slots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/storage.h"

enum { MOST_MUTANTS = 4096 };
bool mt_mutant_is(int number);
static unsigned char reached[MOST_MUTANTS];

/* Called by kernels, whose accesses are hooked; nothing here is. */
bool mt_mutant_is(int number)
{
    static int active = -2;
    if (active == -2) {
        const char *text = getenv("MT_MUTANT");
        active = text == NULL || *text < '0' || *text > '9' ? -1 : atoi(text);
    }
    if (number >= 0 && number < MOST_MUTANTS) reached[number] = 1;
    return number == active;
}

/* ---- the groups ---- */

static const int64_t lengths[] = {1, 2, 3, 4, 5, 31, 33, 127, 128, 129, 1023, 1024, 1027};

static void elementwise_one(mt_shape shape, unsigned flags)
{
    pair x = input(shape, flags), y = input(shape, flags), one = input(mt_shape(1), flags),
         out = output(shape, flags);
    EACH(i) TEST_OK(mt_op_sqrt(out.on[i]->x, x.on[i]->x));
    agree(out, 1e-5, "sqrt");
    EACH(i) TEST_OK(mt_op_sub(out.on[i]->x, x.on[i]->x, y.on[i]->x));
    agree(out, 1e-5, "sub");
    EACH(i) TEST_OK(mt_op_sub(out.on[i]->x, x.on[i]->x, one.on[i]->x));
    agree(out, 1e-5, "sub of a scalar");
    EACH(i) TEST_OK(mt_op_div(out.on[i]->x, one.on[i]->x, x.on[i]->x));
    agree(out, 1e-5, "div of a scalar");
    EACH(i) TEST_OK(mt_op_map_grad(out.on[i]->x, MT_OP_sqrt, x.on[i]->x, y.on[i]->x, y.on[i]->x, 0, 0));
    agree(out, 1e-5, "gradient of sqrt");
    EACH(i)
    TEST_OK(mt_op_zip_grad(out.on[i]->x, MT_OP_div, 1, x.on[i]->x, y.on[i]->x, y.on[i]->x, x.on[i]->x, 0, 0));
    agree(out, 1e-5, "gradient of div");
    test_release();
}

static void elementwise(void **data)
{
    (void)data;
    for (size_t i = 0; i < TEST_LENGTH(lengths); i++) elementwise_one(mt_shape(lengths[i]), TEST_PLAIN);
    for (int round = 0; round < 25; round++) elementwise_one(test_shape(5, 300, false), 0);
}

static void copy_one(mt_shape shape, unsigned flags)
{
    pair x = input(shape, flags), n = indices(shape, 9), out = output(shape, 0),
         index = output(shape, TEST_INDICES);
    EACH(i) TEST_OK(mt_op_copy(out.on[i]->x, x.on[i]->x));
    agree(out, 0, "copy");
    EACH(i) TEST_OK(mt_op_copy(index.on[i]->x, n.on[i]->x));
    agree(index, 0, "copy of indices");
    EACH(i) TEST_OK(mt_op_copy(out.on[i]->x, n.on[i]->x));
    agree(out, 0, "copy to reals");
    EACH(i) TEST_OK(mt_op_copy(index.on[i]->x, x.on[i]->x));
    agree(index, 0, "copy to indices");
    EACH(i) TEST_OK(mt_op_fill(out.on[i]->x, 2.5));
    agree(out, 0, "fill");
    test_release();
}

/* Numbers at the ends of int64_t. */
static void copy_edges(void)
{
    const double edges[] = {NAN,    INFINITY, -INFINITY,    0x1p63,       -0x1p63,
                            0x1p62, -0x1p62,  0x1p63 * 1.5, -0x1p63 * 1.5};
    pair x = twins(test_array_from(backends[0], mt_shape(9), TEST_FIXED, edges)),
         index = output(mt_shape(9), TEST_INDICES);
    EACH(i) TEST_OK(mt_op_copy(index.on[i]->x, x.on[i]->x));
    agree(index, 0, "copy of edges");
    test_release();
}

static void transpose_one(int64_t rows, int64_t columns)
{
    pair x = input(mt_shape(3, rows, columns), TEST_PLAIN),
         out = output(mt_shape(3, columns, rows), TEST_PLAIN);
    EACH(i)
    {
        mt_tensor *turned = OWN(mt_tensor_permute(x.on[i]->x, mt_axes(0, 2, 1)));
        TEST_OK(mt_op_copy(out.on[i]->x, turned));
    }
    agree(out, 0, "copy of a transpose");
    test_release();
}

static void copies(void **data)
{
    (void)data;
    for (size_t i = 0; i < TEST_LENGTH(lengths); i++) copy_one(mt_shape(lengths[i]), TEST_PLAIN);
    for (int round = 0; round < 15; round++) copy_one(test_shape(5, 300, false), 0);
    copy_edges();
    static const int64_t sides[][2] = {{32, 32}, {36, 44}, {68, 40}, {33, 31},
                                       {31, 33}, {64, 17}, {40, 65}, {16, 16}};
    for (size_t i = 0; i < TEST_LENGTH(sides); i++) transpose_one(sides[i][0], sides[i][1]);
}

static mt_status (*const reductions[])(mt_tensor *, const mt_tensor *, mt_shape) = {
    mt_op_sum, mt_op_prod, mt_op_max, mt_op_min, mt_op_all, mt_op_argmax, mt_op_argmin};
enum { PROD = 1, ALL = 4, ARGMAX = 5, REDUCTIONS = 7 };

static void reduce_one(mt_shape shape, mt_shape dims, unsigned flags, int kind)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    const bool ties = test_chance(0.5);
    for (int64_t i = 0; i < n; i++) {
        values[i] = ties ? (double)test_from(1, 3) : test_between(0.5, 1.5);
        if (kind == PROD) values[i] = test_between(0.999, 1.001) * (test_chance(0.5) ? 1 : -1);
        if (kind == ALL) values[i] = test_chance(1.5 / (double)n) ? 0 : values[i] - 1.25;
        if (kind != PROD && kind != ALL && test_chance(0.3 / (double)n)) values[i] = NAN;
    }
    if (kind == PROD && n > 8) values[n - 1] = values[n / 2] = 3;
    pair x = twins(test_array_from(backends[0], shape, flags | TEST_FIXED, values));
    pair out = output(test_without(shape, dims, true), kind >= ARGMAX ? TEST_INDICES : 0);
    EACH(i) TEST_OK(reductions[kind](out.on[i]->x, x.on[i]->x, dims));
    agree(out, 1e-4, "a reduction");
    if (kind == 0) {
        EACH(i) TEST_OK(mt_op_add_sum(out.on[i]->x, x.on[i]->x, dims));
        agree(out, 1e-4, "add_sum");
    }
    if (kind >= ARGMAX) {
        pair value = input(test_without(shape, dims, true), 0), spread = output(shape, 0);
        EACH(i) TEST_OK(mt_op_fill(spread.on[i]->x, 0));
        EACH(i) TEST_OK(mt_op_scatter(spread.on[i]->x, out.on[i]->x, value.on[i]->x, dims));
        agree(spread, 1e-6, "scatter");
    }
    test_release();
}

static void reduce(void **data)
{
    (void)data;
    static const int64_t rows[][2] = {{1, 1},   {5, 7},   {9, 32},   {3, 33},  {17, 64},
                                      {2, 100}, {3, 512}, {2, 2049}, {2, 5001}};
    static const int64_t columns[][2] = {{7, 5},   {63, 130}, {64, 33}, {65, 32},
                                         {70, 31}, {100, 40}, {9, 132}};
    for (int kind = 0; kind < REDUCTIONS; kind++) {
        for (size_t i = 0; i < TEST_LENGTH(rows); i++)
            reduce_one(mt_shape(rows[i][0], rows[i][1]), mt_axes(1), TEST_PLAIN, kind);
        for (size_t i = 0; i < TEST_LENGTH(columns); i++)
            reduce_one(mt_shape(columns[i][0], columns[i][1]), mt_axes(0), TEST_PLAIN, kind);
        for (int round = 0; round < 6; round++) {
            mt_shape shape = test_shape(4, 400, false);
            reduce_one(shape, mt_axes(test_below(shape.rank)), 0, kind);
        }
        reduce_one(mt_shape(5, 4, 33, 2), mt_axes(0, 2), 0, kind);
        reduce_one(mt_shape(6, 5, 7, 3), mt_axes(1, 3), 0, kind);
        reduce_one(mt_shape(41, 2, 101), mt_axes(0, 2), TEST_PLAIN, kind);
    }
}

/* Long enough for a second kernel. */
static void reduce_long(void **data)
{
    (void)data;
    for (int kind = 0; kind < REDUCTIONS; kind++) {
        reduce_one(mt_shape(1, 33000), mt_axes(1), TEST_PLAIN, kind);
        reduce_one(mt_shape(2100, 2), mt_axes(0), TEST_PLAIN, kind);
    }
}

static void rows_one(int64_t limit, int64_t entries, mt_shape rest)
{
    mt_shape whole = rest, part = rest;
    whole.rank = part.rank = rest.rank + 1;
    for (int d = 0; d < rest.rank; d++) whole.size[d + 1] = part.size[d + 1] = rest.size[d];
    whole.size[0] = limit, part.size[0] = entries;
    pair x = input(whole, 0), index = indices(mt_shape(entries), limit), out = output(part, 0),
         more = input(part, 0);
    EACH(i) TEST_OK(mt_op_take_rows(out.on[i]->x, x.on[i]->x, index.on[i]->x));
    agree(out, 0, "take_rows");
    pair sum = twins(test_array_random(backends[0], whole, TEST_OUTPUT, 0.5, 1.5));
    EACH(i) TEST_OK(mt_op_put_rows(sum.on[i]->x, more.on[i]->x, index.on[i]->x));
    agree(sum, 0, "put_rows"); /* in the order of the entries, so to the last bit */
    const double bad[] = {0, (double)limit, -1};
    for (int k = 1; k < 3; k++) {
        const double wrong[] = {0, bad[k], 0};
        pair at = twins(test_array_from(backends[0], mt_shape(3), TEST_INDICES, wrong)),
             into = output(whole, 0);
        mt_shape three = part;
        three.size[0] = 3;
        pair taken = output(three, 0);
        TEST_FAILS(mt_op_take_rows(taken.on[0]->x, x.on[0]->x, at.on[0]->x), MT_ERR_INDEX, "entry 1");
        (void)into;
    }
    test_release();
}

static void rows(void **data)
{
    (void)data;
    rows_one(5, 7, mt_shape(3));
    rows_one(9, 32, mt_shape(8));
    rows_one(4, 40, mt_shape(2, 3));
    rows_one(33, 5, mt_shape(1));
    rows_one(3, 300, mt_shape(2));
}

static void product_one(int64_t m, int64_t n, int64_t k, unsigned flags, bool turn_a, bool turn_b)
{
    pair a = input(turn_a ? mt_shape(k, m) : mt_shape(m, k), flags),
         b = input(turn_b ? mt_shape(n, k) : mt_shape(k, n), flags);
    pair c = output(mt_shape(m, n), flags & TEST_PLAIN);
    EACH(i)
    {
        mt_tensor *left = turn_a ? OWN(mt_tensor_permute(a.on[i]->x, mt_axes(1, 0))) : a.on[i]->x;
        mt_tensor *right = turn_b ? OWN(mt_tensor_permute(b.on[i]->x, mt_axes(1, 0))) : b.on[i]->x;
        TEST_OK(mt_op_matmul(c.on[i]->x, left, right));
    }
    agree(c, 1e-4, "matmul");
    EACH(i)
    {
        mt_tensor *left = turn_a ? OWN(mt_tensor_permute(a.on[i]->x, mt_axes(1, 0))) : a.on[i]->x;
        mt_tensor *right = turn_b ? OWN(mt_tensor_permute(b.on[i]->x, mt_axes(1, 0))) : b.on[i]->x;
        TEST_OK(mt_op_add_matmul(c.on[i]->x, left, right));
    }
    agree(c, 1e-4, "add_matmul");
    test_release();
}

static void matmul(void **data)
{
    (void)data;
    for (int i = 0; i < PAIR_SMALL_SIDES; i++)
        for (int turn = 0; turn < 4; turn++)
            product_one(pair_sides[i][0], pair_sides[i][1], pair_sides[i][2], TEST_PLAIN, turn & 1, turn & 2);
    for (int round = 0; round < 8; round++)
        product_one(test_from(1, 40), test_from(1, 40), test_from(1, 60), 0, false, false);
}

/* Products of which k is cut, the other tiles, a batch, and a layer's end. */
static void matmul_more(void **data)
{
    (void)data;
    product_one(18, 33, 1100, TEST_PLAIN, false, false);
    product_one(20, 36, 1100, TEST_PLAIN, false, false);
    product_one(1, 3, 1100, TEST_PLAIN, false, true);
    product_one(40, 1, 10000, TEST_PLAIN, false, false);
    product_one(124, 572, 20, TEST_PLAIN, false, false);
    product_one(259, 509, 19, TEST_PLAIN, false, false);
    pair a = input(mt_shape(3, 1, 20, 18), 0), b = input(mt_shape(2, 18, 34), 0),
         c = output(mt_shape(3, 2, 20, 34), 0);
    EACH(i) TEST_OK(mt_op_matmul(c.on[i]->x, a.on[i]->x, b.on[i]->x));
    agree(c, 1e-4, "matmul of batches");
    pair bias = input(mt_shape(34), 0), x = input(mt_shape(20, 18), 0), w = input(mt_shape(18, 34), 0);
    pair y = output(mt_shape(20, 34), 0);
    EACH(i) TEST_OK(mt_op_linear(y.on[i]->x, x.on[i]->x, w.on[i]->x, bias.on[i]->x));
    agree(y, 1e-4, "linear");
}

/* Enough outputs for the tile that goes through shared memory in several stages at its end. */
static void matmul_large(void **data)
{
    (void)data;
    product_one(1021, 1028, 20, TEST_PLAIN, false, false);
}

static void draws(void **data)
{
    (void)data;
    for (size_t k = 0; k < TEST_LENGTH(lengths); k++) {
        pair out = output(k % 2 ? mt_shape(lengths[k]) : mt_shape(3, lengths[k]), 0);
        EACH(i)
        {
            mt_rng rng = mt_rng_make(5);
            TEST_OK(mt_op_uniform(out.on[i]->x, &rng, 1, 2));
        }
        agree(out, 1e-6, "uniform");
        EACH(i)
        {
            mt_rng rng = mt_rng_make(6);
            TEST_OK(mt_op_normal(out.on[i]->x, &rng, 5, 1));
        }
        agree(out, 1e-5, "normal");
        test_release();
    }
}

static void permutations(void **data)
{
    (void)data;
    for (size_t k = 0; k < TEST_LENGTH(lengths); k++) {
        double *got[2];
        EACH(i)
        {
            mt_rng rng = mt_rng_make(7); /* a new tensor, which nobody has written before */
            got[i] = test_read(OWN(mt_permutation(backends[i], &rng, lengths[k])));
        }
        TEST_ALL_SAME(got[0], got[1], lengths[k], "permutation");
        test_cases++;
    }
}

/* Three steps for parameters whose ends lie around a block's piece. */
static void update(void **data)
{
    (void)data;
    static const int64_t sizes[] = {1, 127, 129, 1024, 1025, 3};
    enum { PARAMETERS = 6, ARRAYS = 2 + MT_UPDATE_STATES };
    for (int rule = 0; rule < MT_UPDATE_COUNT; rule++) {
        pair arrays[PARAMETERS][ARRAYS];
        mt_update_row row[2][PARAMETERS];
        for (int p = 0; p < PARAMETERS; p++) {
            for (int k = 0; k < ARRAYS; k++) arrays[p][k] = input(mt_shape(sizes[p]), TEST_PLAIN);
            EACH(i)
            {
                mt_real *at[ARRAYS];
                for (int k = 0; k < ARRAYS; k++) at[k] = (mt_real *)arrays[p][k].on[i]->x->storage->data;
                row[i][p] = (mt_update_row){.value = at[0], .grad = at[1], .n = sizes[p]};
                memcpy(row[i][p].state, at + 2, sizeof row[i][p].state);
            }
        }
        for (int step = 1; step <= 3; step++) {
            mt_update_work work = {.rule = (mt_update_rule)rule,
                                   .options = {.rate = 0.25,
                                               .rate_decay = 0.5,
                                               .momentum = 0.5,
                                               .weight_decay = 0.25,
                                               .beta1 = 0.5,
                                               .beta2 = 0.75,
                                               .epsilon = 0.25},
                                   .step = step,
                                   .rows = PARAMETERS};
            EACH(i)
            {
                work.row = row[i];
                TEST_OK(backends[i]->update(backends[i], &work));
            }
            for (int p = 0; p < PARAMETERS; p++)
                for (int k = 0; k < ARRAYS; k++) {
                    double *got[2];
                    EACH(i) got[i] = test_read(arrays[p][k].on[i]->x);
                    TEST_ALL_CLOSE(got[0], got[1], sizes[p], 1e-5, 1e-5, "update");
                }
            test_cases++;
        }
        test_release();
    }
}

/* Sums so far of more chunks than a block takes. */
static void cumsum_long(void **data)
{
    slots_large = true;
    check_cumsum(data);
    slots_large = false;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(elementwise),        TEST(copies),        TEST(reduce),
        TEST(reduce_long),        TEST(rows),          TEST(matmul),
        TEST(matmul_more),        TEST(matmul_large),  TEST(draws),
        TEST(permutations),       TEST(update),        TEST(check_compare),
        TEST(check_reduce_index), TEST(check_softmax), TEST(check_cross_entropy),
        TEST(check_layer_norm),   TEST(check_conv),    TEST(check_gather),
        TEST(check_cumsum),       TEST(cumsum_long),   TEST(check_argsort)};
    backends[0] = mt_backend_get("gpu-sim");
    backends[1] = mt_backend_get("simple");
    if (backends[0] == NULL || backends[1] == NULL) {
        printf("%s\n", mt_last_message());
        return 77;
    }
    size_t first = 0, count = TEST_LENGTH(tests);
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++) puts(tests[i].name);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < TEST_LENGTH(tests); i++)
        if (strcmp(tests[i].name, argv[1]) == 0) first = i, count = 1;
    const int status = test_run("mutate_ops", tests + first, count);
    const char *text = getenv("MT_MUTANT");
    if (text != NULL && strcmp(text, "trace") == 0) {
        printf("reached:");
        for (int i = 0; i < MOST_MUTANTS; i++)
            if (reached[i]) printf(" %d", i);
        printf("\n");
    }
    return status;
}
