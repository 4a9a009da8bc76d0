/* ops_cpu/gemm.h - what matmul.c asks of gemm_kernel.c and gemm_pack.c, once for each instruction set.
 *
 * A kernel computes one block of C (+)= A B, all three with a row and a column stride counted in elements.
 * Whatever the kernel, an element of C is 0 + a0 b0 + a1 b1 + ... in the order of k (dot: in lanes, folded at
 * the end), so its bits do not depend on where in a block or a tile it stands.
 */
#ifndef MT_GEMM_H
#define MT_GEMM_H

#include "tensor/base.h"

/* The block c[i,j] = sum over p < k of a[i,p] b[p,j], added to what c holds when add is set. 1 <= m, n, k. */
typedef struct mt_gemm_block {
    int64_t m, n, k;
    const mt_real *a, *b;
    mt_real *c;
    int64_t a_row, a_col, b_row, b_col, c_row, c_col;
    int64_t count, a_step, b_step, c_step; /* direct: so many such blocks, whose operands are so far apart */
    bool add;
    bool a_packed;            /* packed: a is what pack_a wrote, else rows in place */
    mt_real *strips;          /* packed: NULL, or b, whose whole strips are still to be packed */
    const mt_real *strips_of; /* packed: what from */
    bool rows_first;          /* direct: go along a row of tiles before the next row, for C larger than B */
} mt_gemm_block;

struct mt_gemm_packing {
    /* m x k (k x n) from any strides into panels of mr rows (strips of nr columns), each stored k by k. The
     * buffer holds mt_gemm_panels(m, mr) * mr * k numbers. */
    void (*pack_a)(int64_t m, int64_t k, const mt_real *a, int64_t a_row, int64_t a_col, mt_real *panels);
    void (*pack_b)(int64_t k, int64_t n, const mt_real *b, int64_t b_row, int64_t b_col, mt_real *strips);
    /* k x n from any strides into rows of row numbers, a multiple of nr not less than n. */
    void (*copy_b)(int64_t k, int64_t n, const mt_real *b, int64_t b_row, int64_t b_col, mt_real *out,
                   int64_t row);
};

struct mt_gemm_kernels {
    int lanes, mr, nr; /* numbers in a vector; rows and columns of the register tile */
    int few_rows;      /* up to so many rows of A, B is not packed */
    double small;      /* up to so many multiplications, neither is */
    int64_t direct_b;  /* nor with k up to direct_kc and so many numbers in B */
    int dot_ratio;     /* dot products where k is at least so many times the rows of a small product */
    /* Blocks of packed: A is cut to mc x kc, B to kc x nc, which stays in the second cache with 32 registers
     * and in the last with 16; rows of A are packed too from pack_a_from columns of C on. The others cut k
     * alone. kc are part of the result's bits, mc and nc are not. */
    int64_t mc, nc, kc, direct_kc, dot_kc, pack_a_from;

    bool columns_of_a; /* packed reads columns of A in place as well as rows */

    /* Any A, rows of B contiguous (b_col = 1): reads both in place. */
    void (*direct)(const mt_gemm_block *block);
    /* Rows of A and columns of B contiguous (a_col = b_row = 1): dot products along k. */
    void (*dot)(const mt_gemm_block *block);
    /* b points to what pack_b wrote for this n and k, or to where the first panel's tiles are to write it; a
     * to what pack_a wrote for this m and k, or is in place. */
    void (*packed)(const mt_gemm_block *block);

    const struct mt_gemm_packing *packing;

    /* c[i,j] += x[i,j] for m x n numbers; x_row is 0 where x is a bias. */
    void (*add)(int64_t m, int64_t n, mt_real *c, int64_t c_row, int64_t c_col, const mt_real *x,
                int64_t x_row, int64_t x_col);
};

static inline int64_t mt_gemm_panels(int64_t n, int64_t width) { return (n + width - 1) / width; }

MT_BEGIN
MT_INTERNAL extern const struct mt_gemm_kernels mt_gemm_kernels_base;
MT_INTERNAL extern const struct mt_gemm_packing mt_gemm_packing_base;
#ifdef MT_HAVE_X86
MT_INTERNAL extern const struct mt_gemm_kernels mt_gemm_kernels_avx2;
MT_INTERNAL extern const struct mt_gemm_packing mt_gemm_packing_avx2;
MT_INTERNAL extern const struct mt_gemm_kernels mt_gemm_kernels_avx512;
MT_INTERNAL extern const struct mt_gemm_packing mt_gemm_packing_avx512;
#endif
MT_END

#endif
