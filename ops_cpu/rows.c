/* ops_cpu/rows.c - map and zip on a tile of rows: a loop for each layout of a row, around the functions of
 * scalar_ops.h.
 *
 * The generic loops below are inlined into one small function for each row of op_table.inc, where the
 * compiler turns them into vector code. Every loop evaluates the same scalar function, so an element's bits
 * do not depend on the path. Compiled once for each instruction set.
 */
#include "gemm.h"
#include "kernels.h"
#include "tensor/scalar_ops.h"

typedef mt_real (*map_fn)(mt_real x, mt_real p0, mt_real p1);
typedef mt_real (*map_grad_fn)(mt_real x, mt_real y, mt_real p0, mt_real p1);
typedef mt_real (*zip_fn)(mt_real a, mt_real b, mt_real p0, mt_real p1);
typedef mt_real (*zip_grad_fn)(mt_real a, mt_real b, mt_real y, mt_real p0, mt_real p1);

#define ROW_ARGS \
    int64_t n, mt_real *out, int64_t so, const mt_real *const *in, const int64_t *si, const mt_real *p
#define INLINE static inline __attribute__((always_inline))
#define SIMD   _Pragma("omp simd")

INLINE void map_row(map_fn f, ROW_ARGS)
{
    const mt_real *x = in[0], p0 = p[0], p1 = p[1];
    int64_t sx = si[0];
    if (so == 1 && sx == 1) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = f(x[i], p0, p1);
    } else if (so == 1 && sx == 0) {
        mt_real y = f(x[0], p0, p1);
        for (int64_t i = 0; i < n; i++) out[i] = y;
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i * so] = f(x[i * sx], p0, p1);
    }
}

INLINE void zip_row(zip_fn f, ROW_ARGS)
{
    const mt_real *a = in[0], *b = in[1], p0 = p[0], p1 = p[1];
    int64_t sa = si[0], sb = si[1];
    if (so == 1 && sa == 1 && sb == 1) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = f(a[i], b[i], p0, p1);
    } else if (so == 1 && sa == 0 && sb == 1) {
        mt_real a0 = a[0];
        SIMD for (int64_t i = 0; i < n; i++) out[i] = f(a0, b[i], p0, p1);
    } else if (so == 1 && sa == 1 && sb == 0) {
        mt_real b0 = b[0];
        SIMD for (int64_t i = 0; i < n; i++) out[i] = f(a[i], b0, p0, p1);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i * so] = f(a[i * sa], b[i * sb], p0, p1);
    }
}

/* An operand that the derivative does not need is NaN, which would show in the result if it were read. */
#define GIVE(needs, bit, value) ((needs) & (bit) ? (value) : (mt_real)NAN)

INLINE void map_grad_row(map_grad_fn d, int needs, ROW_ARGS)
{
    const mt_real *g = in[0], *x = in[1], *y = in[2], p0 = p[0], p1 = p[1];
    int64_t sg = si[0], sx = si[1], sy = si[2];
#define D(i, j) d(GIVE(needs, MT_NEED_A, x[i]), GIVE(needs, MT_NEED_Y, y[j]), p0, p1)
    bool unit = so == 1 && (sx == 1 || !(needs & MT_NEED_A)) && (sy == 1 || !(needs & MT_NEED_Y));
    if (unit && sg == 1) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = g[i] * D(i, i);
    } else if (unit && sg == 0) {
        mt_real g0 = g[0];
        SIMD for (int64_t i = 0; i < n; i++) out[i] = g0 * D(i, i);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i * so] = g[i * sg] * D(i * sx, i * sy);
    }
#undef D
}

INLINE void zip_grad_row(zip_grad_fn d, int needs, ROW_ARGS)
{
    const mt_real *g = in[0], *a = in[1], *b = in[2], *y = in[3], p0 = p[0], p1 = p[1];
    int64_t sg = si[0], sa = si[1], sb = si[2], sy = si[3];
#define D(i, j, k) \
    d(GIVE(needs, MT_NEED_A, a[i]), GIVE(needs, MT_NEED_B, b[j]), GIVE(needs, MT_NEED_Y, y[k]), p0, p1)
    bool unit = so == 1 && (sa == 1 || !(needs & MT_NEED_A)) && (sb == 1 || !(needs & MT_NEED_B)) &&
                (sy == 1 || !(needs & MT_NEED_Y));
    if (unit && sg == 1) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = g[i] * D(i, i, i);
    } else if (unit && sg == 0) {
        mt_real g0 = g[0];
        SIMD for (int64_t i = 0; i < n; i++) out[i] = g0 * D(i, i, i);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i * so] = g[i * sg] * D(i * sa, i * sb, i * sy);
    }
#undef D
}

#define ROW_PASS n, out, so, in, si, p

#ifndef MT_DOUBLE
/* Powers of pairs that mt_m_pow_plain is for; else false, and out holds nothing of use. */
INLINE bool plain_powers(int64_t n, float *out, const float *a, int64_t sa, const float *b, int64_t sb)
{
    uint32_t base = 0, size = 0;
    _Pragma("omp simd reduction(max : base, size)") for (int64_t i = 0; i < n; i++) out[i] =
        mt_m_pow_plain(a[i * sa], b[i * sb], &base, &size);
    return mt_m_is_plain(base, size);
}

/* The short formula first, for a block at a time and beside out, which may be an operand. */
INLINE void pow_row(ROW_ARGS)
{
    enum { BLOCK = 256 };
    const int64_t sa = si[0], sb = si[1];
    const bool known = so == 1 && (sa == 1 || sa == 0) && (sb == 1 || sb == 0) && sa + sb > 0;
    for (int64_t i = 0, length; known && i < n; i += length) {
        const mt_real *at[] = {in[0] + i * sa, in[1] + i * sb};
        float block[BLOCK];
        length = n - i < BLOCK ? n - i : BLOCK;
        const bool plain = sb == 0   ? plain_powers(length, block, at[0], 1, at[1], 0)
                           : sa == 0 ? plain_powers(length, block, at[0], 0, at[1], 1)
                                     : plain_powers(length, block, at[0], 1, at[1], 1);
        if (plain)
            memcpy(out + i, block, (size_t)length * sizeof *block);
        else
            zip_row(mt_f_pow, length, out + i, so, at, si, p);
    }
    if (!known) zip_row(mt_f_pow, ROW_PASS);
}
#endif

INLINE void zip_value_row(zip_fn f, ROW_ARGS)
{
#ifndef MT_DOUBLE
    if (f == mt_f_pow) {
        pow_row(ROW_PASS);
        return;
    }
#endif
    zip_row(f, ROW_PASS);
}

/* row with the function that is its second argument, for each row of a tile with that many inputs. */
#define TILE_ARGS const int64_t size[2], mt_real *const *data, const int64_t(*step)[2], const mt_real *p
#define EACH_ROW(inputs, row, ...)                                                  \
    const mt_real *in[inputs];                                                      \
    int64_t si[inputs];                                                             \
    for (int k = 0; k < (inputs); k++) in[k] = data[k + 1], si[k] = step[k + 1][1]; \
    mt_real *out = data[0];                                                         \
    for (int64_t r = size[0];;) {                                                   \
        row(__VA_ARGS__, size[1], out, step[0][1], in, si, p);                      \
        if (--r <= 0) break;                                                        \
        out += step[0][0];                                                          \
        for (int k = 0; k < (inputs); k++) in[k] += step[k + 1][0];                 \
    }

#define MT_MAP(name, params, needs, low, high, formula)                       \
    static void value_##name(TILE_ARGS) { EACH_ROW(1, map_row, mt_f_##name) } \
    static void grad_a_##name(TILE_ARGS) { EACH_ROW(3, map_grad_row, mt_d_##name, needs) }
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula)         \
    static void value_##name(TILE_ARGS) { EACH_ROW(2, zip_value_row, mt_f_##name) }           \
    static void grad_a_##name(TILE_ARGS) { EACH_ROW(4, zip_grad_row, mt_da_##name, needs_a) } \
    static void grad_b_##name(TILE_ARGS) { EACH_ROW(4, zip_grad_row, mt_db_##name, needs_b) }
#include "tensor/op_table.inc"

INLINE mt_real same(mt_real x, mt_real p0, mt_real p1) { return (void)p0, (void)p1, x; }
static void copy(TILE_ARGS) { EACH_ROW(1, map_row, same) }

#define STRING_(text) #text
#define STRING(text)  STRING_(text)

const mt_cpu_kernels MT_FOR_ISA(mt_cpu_kernels) = {
    .isa = STRING(MT_ISA_NAME),
#define MT_MAP(name, params, needs, low, high, formula) \
    .value[MT_OP_##name] = value_##name, .grad_a[MT_OP_##name] = grad_a_##name,
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    .value[MT_OP_##name] = value_##name, .grad_a[MT_OP_##name] = grad_a_##name,       \
    .grad_b[MT_OP_##name] = grad_b_##name,
#include "tensor/op_table.inc"
    .copy = copy,
    .folds = &MT_FOR_ISA(mt_fold_kernels),
    .steps = &MT_FOR_ISA(mt_step_kernels),
    .gemm = &MT_FOR_ISA(mt_gemm_kernels),
};
