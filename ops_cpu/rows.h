/* ops_cpu/rows.h - what map_rows.c, zip_rows.c and rows.c share: a loop over the rows of a tile, and a row.
 *
 * The generic loops are inlined into one small function for each row of a table, where the compiler turns
 * them into vector code. Every loop evaluates the same scalar function, so an element's bits do not depend on
 * the path. Those three files are compiled once for each instruction set.
 */
#ifndef MT_ROWS_H
#define MT_ROWS_H

#include "kernels.h"
#include "tensor/scalar/needs.h"
#include "tensor/scalar/scalar_math.h"

#define ROW_ARGS \
    int64_t n, mt_real *out, int64_t so, const mt_real *const *in, const int64_t *si, const mt_real *p
typedef void (*row_fn)(ROW_ARGS);
#define INLINE static inline __attribute__((always_inline))
#define SIMD   _Pragma("omp simd")

#define ROW_PASS n, out, so, in, si, p

typedef mt_real (*map_fn)(mt_real x, mt_real p0, mt_real p1);

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

/* An operand that the derivative does not need is NaN, which would show in the result if it were read. */
#define GIVE(needs, bit, value) ((needs) & (bit) ? (value) : (mt_real)NAN)

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
        const float *at[3] = {NULL}; /* a gradient's y is not among the inputs, and not read */
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
#endif

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

#endif
