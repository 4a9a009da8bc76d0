/* ops_cpu/folds.c - reductions of one row to one value, and of rows into a row.
 *
 * A row is folded into LANES partial results that stay in registers, element i into lane i mod LANES, and
 * the lanes are joined pairwise; a long row is cut in halves until they are short. The tree depends on the
 * row's length alone, and its depth keeps the rounding error of a sum growing with the logarithm of the
 * length. Compiled once for each instruction set.
 */
#include "kernels.h"
#include "simd.h"

#include <math.h>
#include <string.h>

enum {
    LANES = 256 / (int)sizeof(mt_real), /* 64 of float, 32 of double */
    GROUP = 8,                          /* numbers that a lane takes in turn */
    BLOCK = GROUP * GROUP * LANES,
    PARTS = LANES / MT_LANES /* vectors of partial results */
};

#define INLINE static inline __attribute__((always_inline))

/* ---- the five operations, on numbers and on vectors ---- */

typedef mt_real (*combine_fn)(mt_real a, mt_real b);
typedef mt_vec (*combine_vec_fn)(mt_vec a, mt_vec b);

INLINE mt_real add(mt_real a, mt_real b) { return a + b; }
INLINE mt_real multiply(mt_real a, mt_real b) { return a * b; }
/* A NaN, once there, stays: nothing compares greater. */
INLINE mt_real larger(mt_real a, mt_real b) { return b > a || b != b ? b : a; }
INLINE mt_real smaller(mt_real a, mt_real b) { return b < a || b != b ? b : a; }
/* 1 or 0; of vectors a or 0, which saves a comparison: a fold begins with 1, and joining lanes makes 1 of the
 * rest. */
INLINE mt_real both(mt_real a, mt_real b) { return a != 0 && b != 0 ? (mt_real)1 : 0; }

/* What a comparison of vectors gives: all bits of a lane or none. */
typedef mt_place bits __attribute__((vector_size(MT_SIMD_BYTES)));
INLINE mt_vec choose(bits mask, mt_vec yes, mt_vec no)
{
    return (mt_vec)((mask & (bits)yes) | (~mask & (bits)no));
}

INLINE mt_vec vec_add(mt_vec a, mt_vec b) { return a + b; }
INLINE mt_vec vec_multiply(mt_vec a, mt_vec b) { return a * b; }

#if MT_SIMD_BYTES == 64
#ifdef MT_DOUBLE
#define MASK(a, b, which) _mm512_cmp_pd_mask(a, b, which)
#else
#define MASK(a, b, which) _mm512_cmp_ps_mask(a, b, which)
#endif
/* The instructions give their second operand when either is NaN or both are equal; so a NaN in b is put back.
 */
INLINE mt_vec vec_larger(mt_vec a, mt_vec b)
{
    return MT_MM512(mask_mov)(MT_MM512(max)(b, a), MASK(b, b, _CMP_UNORD_Q), b);
}
INLINE mt_vec vec_smaller(mt_vec a, mt_vec b)
{
    return MT_MM512(mask_mov)(MT_MM512(min)(b, a), MASK(b, b, _CMP_UNORD_Q), b);
}
INLINE mt_vec vec_both(mt_vec a, mt_vec b)
{
    return MT_MM512(maskz_mov)(MASK(b, mt_vec_zero(), _CMP_NEQ_UQ), a);
}
#elif MT_SIMD_BYTES == 32
INLINE mt_vec vec_larger(mt_vec a, mt_vec b)
{
    return MT_MM256(blendv)(MT_MM256(max)(b, a), b, MT_MM256(cmp)(b, b, _CMP_UNORD_Q));
}
INLINE mt_vec vec_smaller(mt_vec a, mt_vec b)
{
    return MT_MM256(blendv)(MT_MM256(min)(b, a), b, MT_MM256(cmp)(b, b, _CMP_UNORD_Q));
}
INLINE mt_vec vec_both(mt_vec a, mt_vec b)
{
    return MT_MM256(and)(MT_MM256(cmp)(b, mt_vec_zero(), _CMP_NEQ_UQ), a);
}
#else
INLINE mt_vec vec_larger(mt_vec a, mt_vec b) { return choose((bits)(b > a) | (bits)(b != b), b, a); }
INLINE mt_vec vec_smaller(mt_vec a, mt_vec b) { return choose((bits)(b < a) | (bits)(b != b), b, a); }
INLINE mt_vec vec_both(mt_vec a, mt_vec b) { return (mt_vec)((bits)(b != mt_vec_zero()) & (bits)a); }
#endif

/* The first n lanes, 0 < n < MT_LANES; rest in the others. */
INLINE mt_vec load_first(const mt_real *p, int64_t n, mt_real rest)
{
#if MT_SIMD_BYTES == 64
    return MT_MM512(mask_loadu)(mt_vec_set(rest), mt_mask_first(n), p);
#elif MT_SIMD_BYTES == 32
    const mt_mask first = mt_mask_first(n);
    return choose((bits)first, mt_vec_load_masked(p, first), mt_vec_set(rest));
#else
    mt_real lane[MT_LANES];
    for (int i = 0; i < MT_LANES; i++) lane[i] = i < n ? p[i] : rest;
    return mt_vec_load(lane);
#endif
}

/* The lanes joined, halves upon each other. */
INLINE mt_real join_lanes(combine_fn combine, combine_vec_fn combine_vec, mt_vec v)
{
    (void)combine_vec; /* where a vector has two lanes or four */
#if MT_SIMD_BYTES == 64 && defined(MT_DOUBLE)
    v = combine_vec(v, _mm512_shuffle_f64x2(v, v, 0x4E));
    v = combine_vec(v, _mm512_shuffle_f64x2(v, v, 0xB1));
#elif MT_SIMD_BYTES == 64
    v = combine_vec(v, _mm512_shuffle_f32x4(v, v, 0x4E));
    v = combine_vec(v, _mm512_shuffle_f32x4(v, v, 0xB1));
    v = combine_vec(v, _mm512_shuffle_ps(v, v, 0x4E));
#elif MT_SIMD_BYTES == 32 && defined(MT_DOUBLE)
    v = combine_vec(v, _mm256_permute2f128_pd(v, v, 1));
#elif MT_SIMD_BYTES == 32
    v = combine_vec(v, _mm256_permute2f128_ps(v, v, 1));
    v = combine_vec(v, _mm256_shuffle_ps(v, v, 0x4E));
#elif !defined(MT_DOUBLE)
    return combine(combine(v[0], v[2]), combine(v[1], v[3]));
#endif
    return combine(v[0], v[1]);
}

/* ---- one row to one value ---- */

/* A contiguous block of at most BLOCK elements. A lane takes GROUP numbers in turn, and then the groups, so
 * no number goes through more than 16 sums here, as in NumPy's. Where all fit in one vector the other lanes
 * hold nothing, and joining them would change nothing. */
INLINE mt_real fold_block(combine_fn combine, combine_vec_fn combine_vec, mt_real identity, int64_t n,
                          const mt_real *in)
{
    if (n <= MT_LANES) {
        const mt_vec all = n < MT_LANES ? load_first(in, n, identity) : mt_vec_load(in);
        return join_lanes(combine, combine_vec, combine_vec(mt_vec_set(identity), all));
    }
    mt_vec part[PARTS], whole[PARTS];
    MT_UNROLL for (int k = 0; k < PARTS; k++) whole[k] = mt_vec_set(identity);
    int64_t i = 0;
    while (i + LANES <= n) {
        const int64_t end = i + (n - i < GROUP * LANES ? (n - i) / LANES : GROUP) * LANES;
        MT_UNROLL for (int k = 0; k < PARTS; k++) part[k] = mt_vec_set(identity);
        for (; i < end; i += LANES) {
            MT_UNROLL for (int k = 0; k < PARTS; k++) part[k] =
                combine_vec(part[k], mt_vec_load(in + i + k * MT_LANES));
        }
        MT_UNROLL for (int k = 0; k < PARTS; k++) whole[k] = combine_vec(whole[k], part[k]);
    }
    MT_UNROLL for (int k = 0; k < PARTS; k++)
    {
        int64_t left = n - i - k * MT_LANES;
        if (left >= MT_LANES)
            whole[k] = combine_vec(whole[k], mt_vec_load(in + i + k * MT_LANES));
        else if (left > 0)
            whole[k] = combine_vec(whole[k], load_first(in + i + k * MT_LANES, left, identity));
    }
    for (int half = PARTS / 2; half > 0; half /= 2)
        MT_UNROLL for (int k = 0; k < half; k++) whole[k] = combine_vec(whole[k], whole[k + half]);
    return join_lanes(combine, combine_vec, whole[0]);
}

/* n elements, step apart, as n neighbours: in itself where step is 1, else copied to `copied`. */
INLINE const mt_real *contiguous(int64_t n, const mt_real *in, int64_t step, mt_real *copied)
{
    if (step == 1) return in;
    for (int64_t i = 0; i < n; i++) copied[i] = in[i * step];
    return copied;
}

/* Where a row of more than a block is cut in two halves, which are folded in the same way. */
INLINE int64_t half_of(int64_t n) { return n / 2 / (GROUP * LANES) * (GROUP * LANES); }

/* ---- rows into a row ---- */

INLINE void combine_rows(combine_fn combine, int64_t n, mt_real *acc, const mt_real *in)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) acc[i] = combine(acc[i], in[i]);
}

/* Rows that go by in one pass: that many long runs of memory are read side by side, and acc is read and
 * written once for all of them. WIDE: vectors of columns in registers, side by side. */
enum { TOGETHER = 8, WIDE = 4 };

/* acc[j] = in[j] (op) in[j + step] (op) ... for rows rows, one after the other; rows >= 1. acc is not read
 * before it is written. */
INLINE void fold_columns(combine_vec_fn combine_vec, mt_real identity, int64_t n, mt_real *acc,
                         const mt_real *in, int64_t step, int64_t rows)
{
    const int64_t wide = n - n % (WIDE * MT_LANES);
    for (int64_t first = 0; first < rows; first += TOGETHER) {
        const int64_t end = rows - first < TOGETHER ? rows : first + TOGETHER;
        for (int64_t j = 0; j < wide; j += WIDE * MT_LANES) {
            const mt_real *from = first > 0 ? acc + j : in + j;
            mt_vec v[WIDE];
            MT_UNROLL for (int k = 0; k < WIDE; k++) v[k] = mt_vec_load(from + k * MT_LANES);
            for (int64_t r = first > 0 ? first : 1; r < end; r++) {
                const mt_real *row = in + r * step + j;
                MT_UNROLL for (int k = 0; k < WIDE; k++) v[k] =
                    combine_vec(v[k], mt_vec_load(row + k * MT_LANES));
            }
            MT_UNROLL for (int k = 0; k < WIDE; k++) mt_vec_store(acc + j + k * MT_LANES, v[k]);
        }
    }
    for (int64_t j = wide; j < n; j += MT_LANES) {
        int64_t left = n - j < MT_LANES ? n - j : MT_LANES;
        const mt_real *row = in + j;
        mt_vec v = left == MT_LANES ? mt_vec_load(row) : load_first(row, left, identity);
        for (int64_t r = 1; r < rows; r++) {
            row += step;
            v = combine_vec(v, left == MT_LANES ? mt_vec_load(row) : load_first(row, left, identity));
        }
        mt_vec_store_first(acc + j, left, v);
    }
}

/* ---- the functions of mt_fold_kernels, for one operation ---- */

/* A row of at most BLOCK elements, any step apart, by the same tree as a contiguous one. */
INLINE mt_real fold_strided(combine_fn combine, combine_vec_fn combine_vec, mt_real identity, int64_t n,
                            const mt_real *in, int64_t step)
{
    mt_real copied[BLOCK];
    return fold_block(combine, combine_vec, identity, n, contiguous(n, in, step, copied));
}

/* A row of any length; fold is the function that this is the body of, strided the one around fold_strided.
 * ends: 0 stays 0 whatever follows, so nothing more is read. */
INLINE mt_real fold_row(mt_fold_fn fold, mt_fold_fn strided, combine_fn combine, combine_vec_fn combine_vec,
                        mt_real identity, bool ends, int64_t n, const mt_real *in, int64_t step)
{
    if (n <= BLOCK && step == 1) return fold_block(combine, combine_vec, identity, n, in);
    if (n <= BLOCK) return strided(n, in, step);
    const int64_t half = half_of(n);
    const mt_real first = fold(half, in, step); /* memory is read forwards */
    if (ends && first == 0) return 0;
    return combine(first, fold(n - half, in + half * step, step));
}

INLINE void fold_rows(mt_fold_fn fold, combine_fn combine, combine_vec_fn combine_vec, mt_real identity,
                      int64_t rows, int64_t n, const mt_real *in, int64_t step, mt_real *out)
{
    if (n <= BLOCK)
        for (int64_t i = 0; i < rows; i++)
            out[i] = fold_block(combine, combine_vec, identity, n, in + i * step);
    else
        for (int64_t i = 0; i < rows; i++) out[i] = fold(n, in + i * step, 1);
}

#define FOLD(name, combine, combine_vec, identity, ends)                                                 \
    static __attribute__((noinline)) mt_real strided_##name(int64_t n, const mt_real *in, int64_t step)  \
    {                                                                                                    \
        return fold_strided(combine, combine_vec, identity, n, in, step);                                \
    }                                                                                                    \
    static mt_real fold_##name(int64_t n, const mt_real *in, int64_t step)                               \
    {                                                                                                    \
        return fold_row(fold_##name, strided_##name, combine, combine_vec, identity, ends, n, in, step); \
    }                                                                                                    \
    static void rows_##name(int64_t rows, int64_t n, const mt_real *in, int64_t step, mt_real *out)      \
    {                                                                                                    \
        fold_rows(fold_##name, combine, combine_vec, identity, rows, n, in, step, out);                  \
    }                                                                                                    \
    static void combine_##name(int64_t n, mt_real *acc, const mt_real *in)                               \
    {                                                                                                    \
        combine_rows(combine, n, acc, in);                                                               \
    }                                                                                                    \
    static void columns_##name(int64_t n, mt_real *acc, const mt_real *in, int64_t step, int64_t rows)   \
    {                                                                                                    \
        fold_columns(combine_vec, identity, n, acc, in, step, rows);                                     \
    }
FOLD(sum, add, vec_add, 0, false)
FOLD(prod, multiply, vec_multiply, 1, false)
FOLD(max, larger, vec_larger, (mt_real)-INFINITY, false)
FOLD(min, smaller, vec_smaller, (mt_real)INFINITY, false)
FOLD(all, both, vec_both, 1, true)

/* ---- where the largest and the smallest stand ---- */

/* A bit for each lane of v that equals value, or that is NaN when value is one. */
INLINE unsigned matches(mt_vec v, mt_real value)
{
#if MT_SIMD_BYTES == 64
    return value != value ? MASK(v, v, _CMP_UNORD_Q) : MASK(v, mt_vec_set(value), _CMP_EQ_OQ);
#elif MT_SIMD_BYTES == 32
    const mt_vec w = mt_vec_set(value);
    v = value != value ? MT_MM256(cmp)(v, v, _CMP_UNORD_Q) : MT_MM256(cmp)(v, w, _CMP_EQ_OQ);
    return (unsigned)MT_MM256(movemask)(v);
#else
    unsigned found = 0;
    for (int i = 0; i < MT_LANES; i++)
        found |= (unsigned)(value != value ? v[i] != v[i] : v[i] == value) << i;
    return found;
#endif
}

/* The first place of value, which may be NaN, in a block of n that has it. */
INLINE int64_t find(int64_t n, const mt_real *in, mt_real value)
{
    int64_t i = 0;
    for (; i + MT_LANES <= n; i += MT_LANES) {
        unsigned found = matches(mt_vec_load(in + i), value);
        if (found) return i + __builtin_ctz(found);
    }
    const mt_real other = value != value ? 0 : (mt_real)NAN;
    return i + __builtin_ctz(matches(load_first(in + i, n - i, other), value));
}

/* Block by block: the best value, and where its block is; only then the place in the block. */
INLINE int64_t arg(mt_fold_fn fold, combine_fn better, int64_t n, const mt_real *in, int64_t step)
{
    if (step == 1 && n <= BLOCK) return find(n, in, fold(n, in, 1));
    mt_real copied[BLOCK], best = 0;
    int64_t best_first = 0;
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t length = n - first < BLOCK ? n - first : BLOCK;
        mt_real value = fold(length, contiguous(length, in + first * step, step, copied), 1),
                winner = first == 0 ? value : better(best, value);
        if (first == 0 || winner != best) best_first = first, best = winner;
        if (best != best) break; /* the first NaN is here */
    }
    if (step == 1)
        return best_first + find(n - best_first < BLOCK ? n - best_first : BLOCK, in + best_first, best);
    int64_t i = best_first;
    while (best != best ? in[i * step] == in[i * step] : in[i * step] != best) i++;
    return i;
}

static int64_t argmax(int64_t n, const mt_real *in, int64_t step)
{
    return arg(fold_max, larger, n, in, step);
}

static int64_t argmin(int64_t n, const mt_real *in, int64_t step)
{
    return arg(fold_min, smaller, n, in, step);
}

/* At most TOGETHER rows of vecs vectors, or of one that has only the first left columns. */
INLINE void arg_strip(const bool max, const int vecs, int64_t left, mt_real *top, mt_place *at,
                      const mt_real *in, int64_t step, int64_t rows, int64_t first)
{
    mt_vec best[WIDE];
    bits place[WIDE];
    MT_UNROLL for (int k = 0; k < vecs; k++)
    {
        best[k] = mt_vec_load(top + k * MT_LANES);
        memcpy(&place[k], at + k * MT_LANES, sizeof *place);
    }
    for (int64_t r = 0; r < rows; r++, in += step) {
        MT_UNROLL for (int k = 0; k < vecs; k++)
        {
            const mt_real *from = in + k * MT_LANES;
            const mt_vec value = left < MT_LANES ? load_first(from, left, 0) : mt_vec_load(from);
            const bits stays = (bits)(max ? value <= best[k] : value >= best[k]) | (bits)(best[k] != best[k]);
            best[k] = choose(stays, best[k], value);
            place[k] = (stays & place[k]) | (~stays & (mt_place)(first + r));
        }
    }
    MT_UNROLL for (int k = 0; k < vecs; k++)
    {
        mt_vec_store(top + k * MT_LANES, best[k]);
        memcpy(at + k * MT_LANES, &place[k], sizeof *place);
    }
}

/* Columns that are left over make a vector too, for which top and at have room. */
INLINE void arg_rows(const bool max, int64_t n, mt_real *top, mt_place *at, const mt_real *in, int64_t step,
                     int64_t rows, int64_t first)
{
    for (int64_t r = 0; r < rows; r += TOGETHER) {
        const int64_t together = rows - r < TOGETHER ? rows - r : TOGETHER;
        const mt_real *group = in + r * step;
        int64_t j = 0;
        for (; j + WIDE * MT_LANES <= n; j += WIDE * MT_LANES)
            arg_strip(max, WIDE, MT_LANES, top + j, at + j, group + j, step, together, first + r);
        for (; j < n; j += MT_LANES)
            arg_strip(max, 1, n - j, top + j, at + j, group + j, step, together, first + r);
    }
}

static void argmax_rows(int64_t n, mt_real *top, mt_place *at, const mt_real *in, int64_t step, int64_t rows,
                        int64_t first)
{
    arg_rows(true, n, top, at, in, step, rows, first);
}

static void argmin_rows(int64_t n, mt_real *top, mt_place *at, const mt_real *in, int64_t step, int64_t rows,
                        int64_t first)
{
    arg_rows(false, n, top, at, in, step, rows, first);
}

#define ALL_FOLDS(prefix)                                                            \
    {                                                                                \
        [MT_SUM] = prefix##_sum, [MT_PROD] = prefix##_prod, [MT_MAX] = prefix##_max, \
        [MT_MIN] = prefix##_min, [MT_ALL] = prefix##_all                             \
    }

const mt_fold_kernels MT_FOR_ISA(mt_fold_kernels) = {
    .identity = {[MT_SUM] = 0,
                 [MT_PROD] = 1,
                 [MT_MAX] = (mt_real)-INFINITY,
                 [MT_MIN] = (mt_real)INFINITY,
                 [MT_ALL] = 1},
    .fold = ALL_FOLDS(fold),
    .rows = ALL_FOLDS(rows),
    .combine = ALL_FOLDS(combine),
    .columns = ALL_FOLDS(columns),
    .argmax = argmax,
    .argmin = argmin,
    .argmax_rows = argmax_rows,
    .argmin_rows = argmin_rows,
};
