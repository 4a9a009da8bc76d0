/* ops_cpu/zip_rows.c - the zips and their gradients on a tile of rows: a loop for each layout of a row,
 * around the functions of zip_ops.h. Compiled once for each instruction set. */
#include "rows.h"
#include "tensor/scalar/zip_ops.h"

typedef mt_real (*zip_fn)(mt_real a, mt_real b, mt_real p0, mt_real p1);
typedef mt_real (*zip_grad_fn)(mt_real g, mt_real a, mt_real b, mt_real y, mt_real p0, mt_real p1);

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

INLINE void zip_grad_row(zip_grad_fn d, int needs, ROW_ARGS)
{
    const mt_real *g = in[0], *a = in[1], *b = in[2], *y = in[3], p0 = p[0], p1 = p[1];
    int64_t sg = si[0], sa = si[1], sb = si[2], sy = si[3];
#define D(g, i, j, k) \
    d(g, GIVE(needs, MT_NEED_A, a[i]), GIVE(needs, MT_NEED_B, b[j]), GIVE(needs, MT_NEED_Y, y[k]), p0, p1)
    bool unit = so == 1 && (sa == 1 || !(needs & MT_NEED_A)) && (sb == 1 || !(needs & MT_NEED_B)) &&
                (sy == 1 || !(needs & MT_NEED_Y));
    if (unit && sg == 1) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = D(g[i], i, i, i);
    } else if (unit && sg == 0) {
        mt_real g0 = g[0];
        SIMD for (int64_t i = 0; i < n; i++) out[i] = D(g0, i, i, i);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i * so] = D(g[i * sg], i * sa, i * sb, i * sy);
    }
#undef D
}

#ifndef MT_DOUBLE
INLINE bool plain_powers(int64_t n, float *restrict out, const float *a, int64_t sa, const float *b,
                         int64_t sb)
{
    uint32_t base = 0, size = 0;
    _Pragma("omp simd reduction(max : base, size)") for (int64_t i = 0; i < n; i++) out[i] =
        mt_m_pow_plain(a[i * sa], b[i * sb], &base, &size);
    return mt_m_is_plain_pow(base, size);
}

INLINE bool plain_pow(int64_t n, float *out, const float *const *in, const int64_t *si)
{
    return si[1] == 0   ? plain_powers(n, out, in[0], 1, in[1], 0)
           : si[0] == 0 ? plain_powers(n, out, in[0], 0, in[1], 1)
                        : plain_powers(n, out, in[0], 1, in[1], 1);
}

INLINE void whole_pow(ROW_ARGS) { zip_row(mt_f_pow, ROW_PASS); }
#endif

/* A row of values; f is a constant, so one call remains. */
INLINE void zip_value_row(zip_fn f, ROW_ARGS)
{
#ifndef MT_DOUBLE
    if (f == mt_f_pow)
        plain_first(plain_pow, whole_pow, 2, ROW_PASS);
    else
#endif
        zip_row(f, ROW_PASS);
}

#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    TILE(value, name, 2, zip_value_row, mt_f_##name)                                  \
    MT_DERIVED(needs_a, TILE(grad_a, name, 4, zip_grad_row, mt_da_##name, needs_a), ) \
    MT_DERIVED(needs_b, TILE(grad_b, name, 4, zip_grad_row, mt_db_##name, needs_b), )
#include "tensor/scalar/op_table.inc"

void MT_FOR_ISA(mt_rows_add)(TILE_ARGS) { each_row(2, value_row_add, TILE_PASS); }

const mt_tile_fn MT_FOR_ISA(mt_zip_value)[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) value_##name,
#include "tensor/scalar/op_table.inc"
};
const mt_tile_fn MT_FOR_ISA(mt_zip_grad_a)[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    MT_DERIVED(needs_a, grad_a_##name, NULL),
#include "tensor/scalar/op_table.inc"
};
const mt_tile_fn MT_FOR_ISA(mt_zip_grad_b)[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    MT_DERIVED(needs_b, grad_b_##name, NULL),
#include "tensor/scalar/op_table.inc"
};
