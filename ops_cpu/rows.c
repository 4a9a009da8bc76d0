/* ops_cpu/rows.c - map, zip, where and compare on a tile of rows: a loop for each layout of a row, around the
 * functions of scalar_ops.h.
 *
 * The generic loops below are inlined into one small function for each row of op_table.inc, where the
 * compiler turns them into vector code. Every loop evaluates the same scalar function, so an element's bits
 * do not depend on the path. Compiled once for each instruction set.
 */
#include "gemm.h"
#include "kernels.h"
#include "tensor/op_id.h"
#include "tensor/scalar/scalar_ops.h"

typedef mt_real (*map_fn)(mt_real x, mt_real p0, mt_real p1);
typedef mt_real (*map_grad_fn)(mt_real g, mt_real x, mt_real y, mt_real p0, mt_real p1);
typedef mt_real (*zip_fn)(mt_real a, mt_real b, mt_real p0, mt_real p1);
typedef mt_real (*zip_grad_fn)(mt_real g, mt_real a, mt_real b, mt_real y, mt_real p0, mt_real p1);

#define ROW_ARGS \
    int64_t n, mt_real *out, int64_t so, const mt_real *const *in, const int64_t *si, const mt_real *p
typedef void (*row_fn)(ROW_ARGS);
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

#define ROW_PASS n, out, so, in, si, p

#ifndef MT_DOUBLE
/* A row by the short formula of scalar_math.h. False where that was not for all elements, and out holds
 * nothing of use. */
typedef bool (*plain_fn)(int64_t n, float *out, const float *const *in, const int64_t *si);

/* The short formula first, for a block at a time, and beside out where that may be an operand; the whole
 * formula for blocks that need it, and for rows that are neither contiguous nor one number. */
INLINE void plain_first(plain_fn quick, row_fn whole, int inputs, ROW_ARGS)
{
    enum { BLOCK = 256 };
    bool known = so == 1 && si[0] + si[inputs - 1] > 0, apart = true;
    for (int k = 0; k < inputs; k++) {
        const uintptr_t to = (uintptr_t)out, from = (uintptr_t)in[k], bytes = (uintptr_t)n * sizeof *out;
        known = known && (si[k] == 0 || si[k] == 1);
        apart = apart && (to + bytes <= from || from + bytes <= to);
    }
    for (int64_t i = 0, length; known && i < n; i += length) {
        const float *at[2];
        float block[BLOCK], *to = apart ? out + i : block;
        length = n - i < BLOCK ? n - i : BLOCK;
        for (int k = 0; k < inputs; k++) at[k] = in[k] + i * si[k];
        if (!quick(length, to, at, si))
            whole(length, out + i, so, at, si, p);
        else if (!apart)
            memcpy(out + i, to, (size_t)length * sizeof *to);
    }
    if (!known) whole(ROW_PASS);
}

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
INLINE void map_value_row(map_fn f, ROW_ARGS)
{
#ifndef MT_DOUBLE
    if (f == mt_f_exp)
        plain_first(plain_exp, whole_exp, 1, ROW_PASS);
    else if (f == mt_f_log)
        plain_first(plain_log, whole_log, 1, ROW_PASS);
    else if (f == mt_f_log1p)
        plain_first(plain_log1p, whole_log1p, 1, ROW_PASS);
    else
#endif
        map_row(f, ROW_PASS);
}

INLINE void zip_value_row(zip_fn f, ROW_ARGS)
{
#ifndef MT_DOUBLE
    if (f == mt_f_pow)
        plain_first(plain_pow, whole_pow, 2, ROW_PASS);
    else
#endif
        zip_row(f, ROW_PASS);
}

#define TILE_ARGS const int64_t size[2], mt_real *const *data, const int64_t(*step)[2], const mt_real *p
#define TILE_PASS size, data, step, p

/* row for row r = 0 .. size[0]-1 of a tile: operand k begins at data[k] + r*step[k][0]. */
INLINE void each_row(int inputs, row_fn row, TILE_ARGS)
{
    const mt_real *in[MT_MAX_OPERANDS - 1];
    int64_t si[MT_MAX_OPERANDS - 1];
    for (int k = 0; k < inputs; k++) in[k] = data[k + 1], si[k] = step[k + 1][1];
    mt_real *out = data[0];
    for (int64_t r = size[0];;) {
        row(size[1], out, step[0][1], in, si, p);
        if (--r <= 0) break;
        out += step[0][0];
        for (int k = 0; k < inputs; k++) in[k] += step[k + 1][0];
    }
}

/* The tile function kind_name: for each row inner(f, ..., row), where f is a function of scalar_ops.h. */
#define TILE(kind, name, inputs, inner, ...)                                  \
    INLINE void kind##_row_##name(ROW_ARGS) { inner(__VA_ARGS__, ROW_PASS); } \
    static void kind##_##name(TILE_ARGS) { each_row(inputs, kind##_row_##name, TILE_PASS); }

#define MT_MAP(name, params, needs, low, high, formula) \
    TILE(value, name, 1, map_value_row, mt_f_##name)    \
    TILE(grad_a, name, 3, map_grad_row, mt_d_##name, needs)
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    TILE(value, name, 2, zip_value_row, mt_f_##name)                                  \
    MT_DERIVED(needs_a, TILE(grad_a, name, 4, zip_grad_row, mt_da_##name, needs_a), ) \
    MT_DERIVED(needs_b, TILE(grad_b, name, 4, zip_grad_row, mt_db_##name, needs_b), )
#include "tensor/scalar/op_table.inc"

INLINE mt_real same(mt_real x, mt_real p0, mt_real p1) { return (void)p0, (void)p1, x; }
TILE(slot, copy, 1, map_row, same)

/* Both are read, whichever is taken, so that the loops have no branch. */
#define WHERE_ROW(kind, type)                                                                         \
    INLINE mt_real where_##kind(type m, mt_real a, mt_real b) { return m != 0 ? a : b; }              \
    INLINE void where_row_##kind(ROW_ARGS)                                                            \
    {                                                                                                 \
        const type *m = (const type *)(const void *)in[0];                                            \
        const mt_real *a = in[1], *b = in[2];                                                         \
        const int64_t sm = si[0] / (int64_t)(sizeof(type) / sizeof(mt_real)), sa = si[1], sb = si[2]; \
        if (sm == 0) {                                                                                \
            map_row(same, n, out, so, *m != 0 ? &a : &b, *m != 0 ? &sa : &sb, p);                     \
        } else if (so == 1 && sm == 1 && sa == 1 && sb == 1) {                                        \
            SIMD for (int64_t i = 0; i < n; i++) out[i] = where_##kind(m[i], a[i], b[i]);             \
        } else if (so == 1 && sm == 1 && sa == 1 && sb == 0) {                                        \
            const mt_real b0 = b[0];                                                                  \
            SIMD for (int64_t i = 0; i < n; i++) out[i] = where_##kind(m[i], a[i], b0);               \
        } else if (so == 1 && sm == 1 && sa == 0 && sb == 1) {                                        \
            const mt_real a0 = a[0];                                                                  \
            SIMD for (int64_t i = 0; i < n; i++) out[i] = where_##kind(m[i], a0, b[i]);               \
        } else {                                                                                      \
            SIMD for (int64_t i = 0; i < n; i++) out[i * so] =                                        \
                where_##kind(m[i * sm], a[i * sa], b[i * sb]);                                        \
        }                                                                                             \
    }
WHERE_ROW(real, mt_real)
WHERE_ROW(index, int64_t)

INLINE void where_row(ROW_ARGS)
{
    if (p[0] != 0)
        where_row_index(ROW_PASS);
    else
        where_row_real(ROW_PASS);
}
static void slot_where(TILE_ARGS) { each_row(3, where_row, TILE_PASS); }

INLINE mt_real of_order(int64_t a, int64_t b, const mt_real *order)
{
    const mt_real otherwise = a == b ? order[1] : order[2];
    return a < b ? order[0] : otherwise;
}

/* p is what compare gives in each of the three cases; in[0] and in[1] are of int64_t. */
INLINE void compare_row(ROW_ARGS)
{
    const int64_t wide = (int64_t)(sizeof(int64_t) / sizeof(mt_real)), sa = si[0] / wide, sb = si[1] / wide;
    const int64_t *a = (const int64_t *)(const void *)in[0], *b = (const int64_t *)(const void *)in[1];
    const mt_real order[3] = {p[0], p[1], p[2]};
    if (so == 1 && sa == 1 && sb == 1) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = of_order(a[i], b[i], order);
    } else if (so == 1 && sa == 1 && sb == 0) {
        const int64_t b0 = *b;
        SIMD for (int64_t i = 0; i < n; i++) out[i] = of_order(a[i], b0, order);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i * so] = of_order(a[i * sa], b[i * sb], order);
    }
}
static void slot_compare(TILE_ARGS) { each_row(2, compare_row, TILE_PASS); }

#define STRING_(text) #text
#define STRING(text)  STRING_(text)

static const mt_tile_fn value[MT_OP_COUNT] = {
#define MT_MAP(name, params, needs, low, high, formula) [MT_OP_##name] = value_##name,
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    [MT_OP_##name] = value_##name,
#include "tensor/scalar/op_table.inc"
};
static const mt_tile_fn grad_a[MT_OP_COUNT] = {
#define MT_MAP(name, params, needs, low, high, formula) [MT_OP_##name] = grad_a_##name,
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    [MT_OP_##name] = MT_DERIVED(needs_a, grad_a_##name, NULL),
#include "tensor/scalar/op_table.inc"
};
static const mt_tile_fn grad_b[MT_OP_COUNT] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    [MT_OP_##name] = MT_DERIVED(needs_b, grad_b_##name, NULL),
#include "tensor/scalar/op_table.inc"
};

const mt_cpu_kernels MT_FOR_ISA(mt_cpu_kernels) = {
    .isa = STRING(MT_ISA_NAME),
    .value = value,
    .grad_a = grad_a,
    .grad_b = grad_b,
    .add = value_add,
    .slot = {[MT_SLOT_copy] = slot_copy, [MT_SLOT_where] = slot_where, [MT_SLOT_compare] = slot_compare},
    .folds = &MT_FOR_ISA(mt_fold_kernels),
    .steps = &MT_FOR_ISA(mt_step_kernels),
    .softmax = &MT_FOR_ISA(mt_softmax_kernels),
    .gemm = &MT_FOR_ISA(mt_gemm_kernels),
};
