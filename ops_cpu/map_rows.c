/* ops_cpu/map_rows.c - the maps and their gradients on a tile of rows: a loop for each layout of a row,
 * around the functions of map_ops.h. Compiled once for each instruction set. */
#include "rows.h"
#include "tensor/scalar/map_ops.h"

typedef mt_real (*map_grad_fn)(mt_real g, mt_real x, mt_real y, mt_real p0, mt_real p1);

INLINE void map_grad_row(map_grad_fn d, int needs, ROW_ARGS)
{
    const mt_real *g = in[0], *x = in[1], *y = in[2], p0 = p[0], p1 = p[1];
    int64_t sg = si[0], sx = si[1], sy = si[2];
#define D(g, i, j) d(g, GIVE(needs, MT_NEED_A, x[i]), GIVE(needs, MT_NEED_Y, y[j]), p0, p1)
    bool unit = so == 1 && (sx == 1 || !(needs & MT_NEED_A)) && (sy == 1 || !(needs & MT_NEED_Y));
    if (unit && sg == 1) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = D(g[i], i, i);
    } else if (unit && sg == 0) {
        mt_real g0 = g[0];
        SIMD for (int64_t i = 0; i < n; i++) out[i] = D(g0, i, i);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i * so] = D(g[i * sg], i * sx, i * sy);
    }
#undef D
}

#ifndef MT_DOUBLE
#define PLAIN_MAP(name, is_plain)                                                                       \
    INLINE void whole_##name(ROW_ARGS) { map_row(mt_f_##name, ROW_PASS); }                              \
    INLINE bool plain_##name(int64_t n, float *restrict out, const float *const *in, const int64_t *si) \
    {                                                                                                   \
        const float *restrict x = in[0];                                                                \
        uint32_t most = 0;                                                                              \
        (void)si;                                                                                       \
        _Pragma("omp simd reduction(max : most)") for (int64_t i = 0; i < n; i++) out[i] =              \
            mt_m_##name##_plain(x[i], &most);                                                           \
        return is_plain(most);                                                                          \
    }
PLAIN_MAP(exp, mt_m_is_plain_exp)
PLAIN_MAP(log, mt_m_is_plain_log)
PLAIN_MAP(log1p, mt_m_is_plain_log)
PLAIN_MAP(sin, mt_m_is_plain_angle)
PLAIN_MAP(cos, mt_m_is_plain_angle)

/* g sin(x + quadrants pi/2), which is the gradient of sin for 1 and of cos for 2. */
INLINE bool plain_turned(int64_t n, float *restrict out, const float *g, int64_t sg, const float *x,
                         int64_t sx, uint32_t quadrants)
{
    uint32_t most = 0;
    _Pragma("omp simd reduction(max : most)") for (int64_t i = 0; i < n; i++) out[i] =
        g[i * sg] * mt_m_sin_turned_plain(x[i * sx], quadrants, &most);
    return mt_m_is_plain_angle(most);
}

#define PLAIN_TURNED(name, quadrants)                                                               \
    INLINE void whole_grad_##name(ROW_ARGS) { map_grad_row(mt_d_##name, MT_NEED_A, ROW_PASS); }     \
    INLINE bool plain_grad_##name(int64_t n, float *out, const float *const *in, const int64_t *si) \
    {                                                                                               \
        return si[1] == 0   ? plain_turned(n, out, in[0], 1, in[1], 0, quadrants)                   \
               : si[0] == 0 ? plain_turned(n, out, in[0], 0, in[1], 1, quadrants)                   \
                            : plain_turned(n, out, in[0], 1, in[1], 1, quadrants);                  \
    }
PLAIN_TURNED(sin, 1)
PLAIN_TURNED(cos, 2)
#endif

/* A row of values; f is a constant, so one call remains. */
INLINE void map_value_row(map_fn f, ROW_ARGS)
{
#ifndef MT_DOUBLE
    if (f == mt_f_exp)
        plain_first(plain_exp, whole_exp, 1, ROW_PASS);
    else if (f == mt_f_log)
        plain_first(plain_log, whole_log, 1, ROW_PASS);
    else if (f == mt_f_log1p)
        plain_first(plain_log1p, whole_log1p, 1, ROW_PASS);
    else if (f == mt_f_sin)
        plain_first(plain_sin, whole_sin, 1, ROW_PASS);
    else if (f == mt_f_cos)
        plain_first(plain_cos, whole_cos, 1, ROW_PASS);
    else
#endif
        map_row(f, ROW_PASS);
}

/* A row of gradients, of g and x alone where the short formula is tried. */
INLINE void map_slope_row(map_grad_fn d, int needs, ROW_ARGS)
{
#ifndef MT_DOUBLE
    if (d == mt_d_sin)
        plain_first(plain_grad_sin, whole_grad_sin, 2, ROW_PASS);
    else if (d == mt_d_cos)
        plain_first(plain_grad_cos, whole_grad_cos, 2, ROW_PASS);
    else
#endif
        map_grad_row(d, needs, ROW_PASS);
}

#define MT_MAP(name, params, needs, low, high, formula) \
    TILE(value, name, 1, map_value_row, mt_f_##name)    \
    MT_DERIVED(needs, TILE(grad, name, 3, map_slope_row, mt_d_##name, needs), )
#include "tensor/scalar/op_table.inc"

const mt_tile_fn MT_FOR_ISA(mt_map_value)[] = {
#define MT_MAP(name, params, needs, low, high, formula) value_##name,
#include "tensor/scalar/op_table.inc"
};
const mt_tile_fn MT_FOR_ISA(mt_map_grad)[] = {
#define MT_MAP(name, params, needs, low, high, formula) MT_DERIVED(needs, grad_##name, NULL),
#include "tensor/scalar/op_table.inc"
};
