/* ops_cpu/rows.c - copy, where and compare on a tile of rows, and the table of an instruction set's kernels.
 * Compiled once for each instruction set. */
#include "gemm.h"
#include "rows.h"

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

const mt_cpu_kernels MT_FOR_ISA(mt_cpu_kernels) = {
    .isa = STRING(MT_ISA_NAME),
    .map = {MT_FOR_ISA(mt_map_value), MT_FOR_ISA(mt_map_grad)},
    .zip = {MT_FOR_ISA(mt_zip_value), MT_FOR_ISA(mt_zip_grad_a), MT_FOR_ISA(mt_zip_grad_b)},
    .add = MT_FOR_ISA(mt_rows_add),
    .slot = {[MT_SLOT_copy] = slot_copy, [MT_SLOT_where] = slot_where, [MT_SLOT_compare] = slot_compare},
    .folds = &MT_FOR_ISA(mt_fold_kernels),
    .steps = &MT_FOR_ISA(mt_step_kernels),
    .softmax = &MT_FOR_ISA(mt_softmax_kernels),
    .layer_norm = &MT_FOR_ISA(mt_layer_norm_kernels),
    .gemm = &MT_FOR_ISA(mt_gemm_kernels),
};
