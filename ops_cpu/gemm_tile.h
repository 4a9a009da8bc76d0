/* ops_cpu/gemm_tile.h - how rows are cut into panels for matmul's register tile, for the files that are
 * compiled once for each instruction set: gemm_kernel.c, which computes with it, and gemm_pack.c, which packs
 * for it.
 */
#ifndef MT_GEMM_TILE_H
#define MT_GEMM_TILE_H

#include <limits.h>

#include "gemm.h"
#include "tuning.h"

enum { LINE = 64 / (int)sizeof(mt_real) }; /* numbers in a line of the caches */

/* Rows are shared out evenly over the panels: the first m % panels of them have one more. */
typedef struct panel {
    int64_t count, rows, longer;
} panel;

static inline panel panel_cut(int64_t m, int most)
{
    if (m <= most) return (panel){1, m, 0};
    const int64_t count = m <= INT_MAX / 2 ? ((int)m + most - 1) / most : mt_gemm_panels(m, most);
    const int64_t rows = m <= INT_MAX / 2 ? (int)m / (int)count : m / count;
    return (panel){count, rows, m - rows * count};
}

#endif
