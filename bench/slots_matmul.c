/* slots_matmul.c - gpu_slots' checks of matmul and update.
 *
 * Factors are small integers, so that every sum of products is exact, whatever its order: an element, a chunk
 * or a bias that is lost or taken twice is another number.
 */
#include "slots.h"
#include "tensor/op_id.h"

#include <math.h>
#include <string.h>

/* ---- products ---- */

typedef struct product {
    int64_t m, n, k;
    int turned; /* bits: A, B, C and the kept argument lie as their transposes */
    unsigned flags;
    bool bias, pre, accumulate;
    int act; /* -1: none */
} product;

static pair integers(mt_shape shape, unsigned flags)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = (double)test_from(-2, 2);
    return twins(test_array_from(backends[0], shape, flags, values));
}

/* rows x columns after batch, lying as columns x rows where it is turned. */
static mt_shape lying(mt_shape batch, int64_t rows, int64_t columns, bool turned)
{
    batch.size[batch.rank++] = turned ? columns : rows;
    batch.size[batch.rank++] = turned ? rows : columns;
    return batch;
}

static mt_operand matrix(pair p, int i, bool turned)
{
    mt_tensor *x = p.on[i]->x;
    return mt_tensor_operand(turned ? OWN(mt_tensor_transpose(x, -2, -1)) : x);
}

static void multiply_batch(product p, mt_shape batch_a, mt_shape batch_b, mt_shape batch)
{
    static const mt_shape none = {.rank = 0};
    const unsigned flags = p.flags & TEST_PLAIN;
    const bool turn_a = p.turned & 1, turn_b = p.turned & 2, turn_c = p.turned & 4;
    mt_shape columns = none;
    columns.size[columns.rank++] = p.n;
    pair a = integers(lying(batch_a, p.m, p.k, turn_a), flags),
         b = integers(lying(batch_b, p.k, p.n, turn_b), flags);
    pair bias = integers(columns, flags), pre = output(lying(batch, p.m, p.n, turn_c), flags);
    pair out = p.accumulate ? integers(lying(batch, p.m, p.n, turn_c), flags | TEST_FIXED)
                            : output(lying(batch, p.m, p.n, turn_c), flags);
    const char *what =
        slots_text("matmul %lld x %lld x %lld%s%s%s%s%s", (long long)p.m, (long long)p.n, (long long)p.k,
                   turn_a ? ", A turned" : "", turn_b ? ", B turned" : "", p.bias ? ", bias" : "",
                   p.accumulate ? ", +=" : "", p.act >= 0 ? mt_op_describe((mt_op)p.act)->name : "");
    EACH(i)
    {
        mt_matmul_work work = {.out = matrix(out, i, turn_c),
                               .a = matrix(a, i, turn_a),
                               .b = matrix(b, i, turn_b),
                               .has_act = p.act >= 0,
                               .accumulate = p.accumulate,
                               .act = (mt_op)(p.act >= 0 ? p.act : 0)};
        if (p.bias) work.bias = slots_operand(bias, i);
        if (p.pre) work.pre = matrix(pre, i, turn_c);
        TEST_OK(backends[i]->matmul(backends[i], &work));
    }
    agree(out, p.act >= 0 ? 16 * test_epsilon : 0, what);
    if (p.pre) agree(pre, 0, what);
    test_unchanged(a.on[0], what);
    test_unchanged(b.on[0], what);
    test_release();
}

static void multiply(product p)
{
    const mt_shape none = {.rank = 0};
    multiply_batch(p, none, none, none);
}

/* Each of the other tiles, with as little to multiply as the choice allows: the low one, the middle one
 * 16 bytes at a time and one by one. */
static const int64_t tiles[][3] = {{124, 572, 20}, {508, 572, 20}, {259, 509, 19}};
/* The large one as well, in as few steps of k as have a short piece and a whole one. */
static const int64_t large_tile[3] = {836, 1156, 12};
/* Vectors on many blocks. */
static const int64_t long_vectors[][3] = {{1, 3000, 70}, {3000, 1, 33}};

/* A tile in every layout of A and B, and with every end: bias, what the activation was given, the activation,
 * C plus, and C lying as its transpose. */
static void check_tile(const int64_t (*side)[3])
{
    for (int turned = 0; turned < 4; turned++) {
        product p = {.m = (*side)[0],
                     .n = (*side)[1],
                     .k = (*side)[2],
                     .turned = turned,
                     .flags = TEST_PLAIN,
                     .act = -1};
        p.bias = turned == 0 || turned == 3, p.pre = turned == 0;
        p.act = turned == 0 ? MT_OP_relu : turned == 3 ? MT_OP_sigmoid : -1;
        p.accumulate = turned == 1;
        if (turned == 2) p.turned |= 4;
        multiply(p);
    }
}

void check_matmul(void **state)
{
    (void)state;
    for (int turned = 0; turned < 8; turned++) {
        for (size_t i = 0; i < PAIR_SIDES; i++)
            if (turned < 4 || i % 3 == 0)
                multiply((product){.m = pair_sides[i][0],
                                   .n = pair_sides[i][1],
                                   .k = pair_sides[i][2],
                                   .turned = turned,
                                   .flags = TEST_PLAIN,
                                   .act = -1});
        for (size_t i = 0; slots_large && i < TEST_LENGTH(long_vectors) && turned < 4; i++)
            multiply((product){.m = long_vectors[i][0],
                               .n = long_vectors[i][1],
                               .k = long_vectors[i][2],
                               .turned = turned,
                               .flags = TEST_PLAIN,
                               .act = -1});
    }
    for (size_t i = 0; i < TEST_LENGTH(tiles); i++) check_tile(&tiles[i]);
    if (slots_large) check_tile(&large_tile);
    for (int round = 0; round < 24; round++) {
        const bool accumulate = test_chance(0.3); /* then neither a bias nor a kept argument */
        multiply((product){.m = test_from(1, 40),
                           .n = test_from(1, 40),
                           .k = test_from(1, 60),
                           .turned = (int)test_below(8),
                           .bias = !accumulate && test_chance(0.5),
                           .pre = !accumulate && test_chance(0.5),
                           .accumulate = accumulate,
                           .act = -1});
    }
    for (int op = 0; op < (int)MT_MAP_COUNT; op++) {
        if (mt_op_describe((mt_op)op)->params > 0) continue;
        multiply((product){.m = 20, .n = 34, .k = 18, .bias = true, .pre = op % 2 == 0, .act = op});
        multiply((product){.m = 3, .n = 5, .k = 4, .bias = true, .pre = op % 2 == 1, .act = op});
    }
    const mt_shape one = mt_shape(3, 1), two = mt_shape(2), both = mt_shape(3, 2);
    for (int turned = 0; turned < 4; turned++) {
        multiply_batch((product){.m = 20, .n = 34, .k = 18, .turned = turned, .act = -1}, one, two, both);
        multiply_batch((product){.m = 5, .n = 6, .k = 7, .turned = turned, .bias = true, .act = MT_OP_relu},
                       two, one, both);
    }
}

/* ---- update ---- */

enum { PARAMETERS = 6, ARRAYS = 2 + MT_UPDATE_STATES, STEPS = 3 };

/* Steps of one rule on parameters whose ends lie around a block's piece. */
static void update_one(mt_update_rule rule, bool nesterov, double decay)
{
    static const int64_t sizes[PARAMETERS] = {1, 127, 129, 1024, 1025, 3};
    pair arrays[PARAMETERS][ARRAYS];
    mt_update_row row[2][PARAMETERS];
    for (int p = 0; p < PARAMETERS; p++) {
        for (int k = 0; k < ARRAYS; k++) arrays[p][k] = input(mt_shape(sizes[p]), TEST_PLAIN | TEST_FIXED);
        EACH(i)
        {
            mt_real *at[ARRAYS];
            for (int k = 0; k < ARRAYS; k++) at[k] = (mt_real *)slots_operand(arrays[p][k], i).data;
            row[i][p] = (mt_update_row){.value = at[0], .grad = at[1], .n = sizes[p]};
            memcpy(row[i][p].state, at + 2, sizeof row[i][p].state);
        }
    }
    for (int step = 1; step <= STEPS; step++) {
        mt_update_work work = {.rule = rule,
                               .options = {.rate = step < STEPS ? 0.25 : 0.125,
                                           .rate_decay = 0.5,
                                           .weight_decay = decay,
                                           .momentum = 0.5,
                                           .beta1 = 0.5,
                                           .beta2 = 0.75,
                                           .epsilon = 0.25,
                                           .nesterov = nesterov},
                               .step = step,
                               .rows = PARAMETERS};
        EACH(i)
        {
            work.row = row[i];
            TEST_OK(backends[i]->update(backends[i], &work));
        }
        for (int p = 0; p < PARAMETERS; p++)
            for (int k = 0; k < ARRAYS; k++)
                agree(arrays[p][k], 32 * test_epsilon,
                      slots_text("update %s, step %d, parameter of %lld, array %d",
                                 mt_update_describe(rule)->name, step, (long long)sizes[p], k));
    }
    test_release();
}

void check_update(void **state)
{
    (void)state;
    for (int rule = 0; rule < MT_UPDATE_COUNT; rule++)
        for (int decay = 0; decay < 2; decay++)
            for (int nesterov = 0; nesterov < 2; nesterov++)
                update_one((mt_update_rule)rule, nesterov, 0.25 * decay);
}
