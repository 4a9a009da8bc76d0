/* ops_cpu/folds.c - reductions of one row to one value, and of rows into a row.
 *
 * A row is folded into LANES partial results, element i into lane i mod LANES, block by block; the lanes, and
 * the blocks of a long row, are joined pairwise. The tree depends on the row's length alone, and its depth
 * keeps the rounding error of a sum growing with the logarithm of the length. Compiled once for each
 * instruction set.
 */
#include "kernels.h"

#include <math.h>

enum { LANES = 64, BLOCK = 4096 };

#define INLINE static inline __attribute__((always_inline))

typedef mt_real (*combine_fn)(mt_real a, mt_real b);

INLINE mt_real add(mt_real a, mt_real b) { return a + b; }
INLINE mt_real multiply(mt_real a, mt_real b) { return a * b; }
/* A NaN, once there, stays: nothing compares greater. */
INLINE mt_real larger(mt_real a, mt_real b) { return b > a || b != b ? b : a; }
INLINE mt_real smaller(mt_real a, mt_real b) { return b < a || b != b ? b : a; }
INLINE mt_real both(mt_real a, mt_real b) { return a != 0 && b != 0 ? (mt_real)1 : 0; }

/* A contiguous block of at most BLOCK elements. */
INLINE mt_real fold_block(combine_fn combine, mt_real identity, int64_t n, const mt_real *in)
{
    mt_real lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = identity;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = combine(lane[l], in[i + l]);
    for (int l = 0; i + l < n; l++) lane[l] = combine(lane[l], in[i + l]);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] = combine(lane[l], lane[l + half]);
    return lane[0];
}

/* A row of any step: other steps are gathered block by block, so that the tree is the same. */
INLINE mt_real fold_row(combine_fn combine, mt_real identity, int64_t n, const mt_real *in, int64_t step)
{
    mt_real gathered[BLOCK];
    /* done[d] holds the fold of 2^d blocks while bit d of the number of blocks is set: a binary counter. */
    mt_real done[64];
    uint64_t blocks = 0;
    for (int64_t first = 0; first < n; first += BLOCK, blocks++) {
        int64_t length = n - first < BLOCK ? n - first : BLOCK;
        const mt_real *block = in + first * step;
        if (step != 1) {
            for (int64_t i = 0; i < length; i++) gathered[i] = block[i * step];
            block = gathered;
        }
        mt_real value = fold_block(combine, identity, length, block);
        int d = 0;
        for (; blocks >> d & 1; d++) value = combine(done[d], value);
        done[d] = value;
    }
    mt_real result = identity;
    bool any = false;
    for (int d = 0; d < 64; d++) {
        if (!(blocks >> d & 1)) continue;
        result = any ? combine(done[d], result) : done[d];
        any = true;
    }
    return result;
}

INLINE void combine_rows(combine_fn combine, int64_t n, mt_real *acc, const mt_real *in)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) acc[i] = combine(acc[i], in[i]);
}

#define FOLD(name, combine, identity)                                      \
    static mt_real fold_##name(int64_t n, const mt_real *in, int64_t step) \
    {                                                                      \
        return fold_row(combine, identity, n, in, step);                   \
    }                                                                      \
    static void combine_##name(int64_t n, mt_real *acc, const mt_real *in) \
    {                                                                      \
        combine_rows(combine, n, acc, in);                                 \
    }
FOLD(sum, add, 0)
FOLD(prod, multiply, 1)
FOLD(max, larger, (mt_real)-INFINITY)
FOLD(min, smaller, (mt_real)INFINITY)
FOLD(all, both, 1)

static int64_t argmax(int64_t n, const mt_real *in, int64_t step)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        mt_real value = in[i * step], top = in[best * step];
        if (value > top || (value != value && top == top)) best = i;
    }
    return best;
}

static int64_t argmin(int64_t n, const mt_real *in, int64_t step)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        mt_real value = in[i * step], top = in[best * step];
        if (value < top || (value != value && top == top)) best = i;
    }
    return best;
}

const mt_fold_kernels MT_FOR_ISA(mt_fold_kernels) = {
    .identity = {[MT_SUM] = 0,
                 [MT_PROD] = 1,
                 [MT_MAX] = (mt_real)-INFINITY,
                 [MT_MIN] = (mt_real)INFINITY,
                 [MT_ALL] = 1},
    .fold = {[MT_SUM] = fold_sum,
             [MT_PROD] = fold_prod,
             [MT_MAX] = fold_max,
             [MT_MIN] = fold_min,
             [MT_ALL] = fold_all},
    .combine = {[MT_SUM] = combine_sum,
                [MT_PROD] = combine_prod,
                [MT_MAX] = combine_max,
                [MT_MIN] = combine_min,
                [MT_ALL] = combine_all},
    .argmax = argmax,
    .argmin = argmin,
};
