/* ops_cpu/tuning.h - the sizes of matmul's tiles and the limits of its paths: a row for each instruction set.
 *
 * For the files that are compiled once for each of them; drivers read the same numbers from the table of
 * kernels (gemm.h). The values were measured (docs/performance-log.md), but NEON's: its register tile is that
 * of AVX2, 6 x 16 floats, in twice the registers of half the width, and what follows from a strip's bytes is
 * too.
 */
#ifndef MT_TUNING_H
#define MT_TUNING_H

#include <limits.h>

#include "kernels.h"
#include "simd.h"

/* clang-format off */
/* mr, vecs  the register tile: mr rows by vecs vectors of C
 * few       up to so many rows of A, B is not packed
 * small     up to small^3 multiplications, neither A nor B is
 * direct    nor with k <= DIRECT_KC and up to so many bytes of B
 * mc, nc    a packed block: mc tiles of rows of A, nc bytes of each row of B
 * panels    true: a panel of A stays in the first cache while all strips of B, which are in the second, go by;
 *           false: a strip of B (KC steps of k by vecs vectors) stays there while all panels do
 * columns   packed reads columns of A in place as well as rows
 * pack a    packed copies A from so many columns of C on
 * dot       dot products where k is at least so many times the rows of a small product
 *
 *                       mr vecs few small   direct   mc    nc   panels columns  pack a  dot */
#define MT_TUNING_BASE   (6,  2,  12,  72, 1 << 15,  24, 8192,  false,  false,    1024,  6)
#define MT_TUNING_AVX2   (6,  2,  12,  72, 1 << 15,  24, 8192,  false,  false,    1024,  6)
#define MT_TUNING_NEON   (6,  4,  12,  72, 1 << 15,  24, 8192,  false,  false,    1024,  6)
#define MT_TUNING_AVX512 (6,  4,  28, 160, 1 << 18,   8, 2048,   true,   true, INT_MAX,  3)

#define MT_TUNING_NAMES(mr, vecs, few, small, direct, mc, nc, panels, columns, pack_a, dot)  \
    enum {                                                                                   \
        MR = mr, VECS = vecs, NR = VECS * MT_LANES, FEW_ROWS = few, SMALL = small,           \
        DIRECT_B = (direct) / (int)sizeof(mt_real),                                          \
        MC = (mc) * MR, NC = (nc) / (int)sizeof(mt_real), PANELS_FIRST = panels,             \
        COLUMNS_OF_A = columns, PACK_A_FROM = pack_a, DOT_RATIO = dot                        \
    };
#define MT_TUNING_READ(row) MT_TUNING_NAMES row
MT_TUNING_READ(MT_ISA_JOIN(MT_TUNING, MT_SIMD_NAME))

/* clang-format on */

/* The same for all: pieces of k of packed, direct and dot. They are part of a product's bits; of the numbers
 * above only those that choose a path are. */
enum { KC = 256, DIRECT_KC = 64, DOT_KC = 4096 / (int)sizeof(mt_real) };

/* clang-format off */
/* The tiles that stay in the registers, as lists of X(rows, vectors) or, for dot products, X(rows, columns):
 *   FULL  whole strips of packed blocks
 *   EDGE  what is left of columns: fewer vectors, and up to MOST_ROWS[vectors] rows
 *   WIDE  few rows of A: as wide as the registers allow
 *   DOT   sums along k, one vector each */
#define MT_TO_6(X, v)  X(1, v) X(2, v) X(3, v) X(4, v) X(5, v) X(6, v)
#define MT_TO_8(X, v)  MT_TO_6(X, v) X(7, v) X(8, v)
#define MT_TO_10(X, v) MT_TO_8(X, v) X(9, v) X(10, v)
#define MT_TO_12(X, v) MT_TO_10(X, v) X(11, v) X(12, v)
enum { WIDE_ROWS = 4, MAX_VECS = 8 };

#if MT_SIMD_REGISTERS == 32
enum { TALLEST = 12, DOT_ROWS = 5 };
#define MT_MOST_ROWS    {0, 12, 10, 8, 6}
#define MT_EACH_FULL(X) MT_TO_6(X, 4)
#define MT_EACH_EDGE(X) MT_TO_12(X, 1) MT_TO_10(X, 2) MT_TO_8(X, 3) MT_TO_6(X, 4)
#define MT_EACH_WIDE(X) X(1, 8) X(2, 8) X(3, 8) X(4, 6)
#define MT_EACH_DOT(X)  X(1, 8) X(2, 8) X(3, 8) X(4, 4) X(5, 4)
#else
enum { TALLEST = 6, DOT_ROWS = 4 };
#define MT_MOST_ROWS    {0, 6, 6}
#define MT_EACH_FULL(X) MT_TO_6(X, 2)
#define MT_EACH_EDGE(X) MT_TO_6(X, 1) MT_TO_6(X, 2)
#define MT_EACH_WIDE(X) X(1, 8) X(2, 6) X(3, 4) X(4, 3)
#define MT_EACH_DOT(X)  X(1, 8) X(2, 6) X(3, 4) X(4, 3)
#endif
/* clang-format on */

#endif
