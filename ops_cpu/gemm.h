/* ops_cpu/gemm.h - what matmul.c asks of gemm_kernel.c and gemm_pack.c, once for each instruction set.
 *
 * A kernel computes one block of C (+)= A B, all three with a row and a column stride counted in elements.
 * Whatever the kernel, an element of C is 0 + a0 b0 + a1 b1 + ... in the order of k (dot: in lanes, folded at
 * the end), so its bits do not depend on where in a block or a tile it stands.
 */
#ifndef MT_GEMM_H
#define MT_GEMM_H

#include "kernels.h"
#include "tensor/plan.h"

/* c[i,j] = sum over p < k of a[i,p] b[p,j], added to what c holds when add is set. 1 <= m, n, k. */
typedef struct mt_gemm_block {
    int64_t m, n, k;
    mt_matrix a, b, c; /* m x k, k x n, m x n */
    bool add;
    /* direct only: a batch of count products; product i reads a.data + i*a_step and b.data + i*b_step and
     * writes c.data + i*c_step. */
    int64_t count, a_step, b_step, c_step;
    bool rows_first; /* direct only: all tiles of a row of C before the next row, where C is larger than B */
    /* packed only. panels: A as pack_a wrote it; NULL: a is read in place. strips: B as pack_b writes it.
     * packs_b: strips holds what is left of B behind its whole strips; these are read from b, and written to
     * strips, while the first panel of A is multiplied. */
    mt_real *panels;
    mt_real *strips;
    bool packs_b;
} mt_gemm_block;

struct mt_gemm_packing {
    /* a (m x k) in panels: the q-th one, of up to mr rows from row i on, has a[i+r,p] at
     * panels[(q*k + p)*mr + r]. The buffer holds mt_gemm_panels(m, mr) * mr * k numbers. */
    void (*pack_a)(int64_t m, int64_t k, mt_matrix a, mt_real *panels);
    /* b (k x n) in strips: the s-th one, of nr columns, has b[p,s*nr+j] at strips[(s*k + p)*nr + j]. The
     * buffer holds mt_gemm_panels(n, nr) * nr * k numbers. */
    void (*pack_b)(int64_t k, int64_t n, mt_matrix b, mt_real *strips);
    /* The same where column j of b is position first + j of rows of width numbers, pitch apart: position s is
     * from[s / width * pitch + s % width], and offset[p] further in row p of b. */
    void (*pack_shifted)(int64_t k, int64_t first, int64_t n, int64_t width, int64_t pitch,
                         const mt_real *from, const int64_t *offset, mt_real *strips);
    /* out[p*row + j] = b[p,j] of k x n; row is at least n. */
    void (*copy_b)(int64_t k, int64_t n, mt_matrix b, mt_real *out, int64_t row);
};

struct mt_gemm_kernels {
    int lanes, mr, nr; /* numbers in a vector; rows and columns of the register tile */
    /* The limits of the paths (gemm_plan.c), from this set's row of tuning.h, which says what each is. small
     * counts multiplications, the others rows, columns or numbers. */
    int few_rows;
    double small;
    int64_t direct_b;
    int dot_ratio;
    int64_t mc, nc, kc, direct_kc, dot_kc, pack_a_from;
    bool columns_of_a;

    /* Any A, rows of B contiguous (b.col = 1): reads both in place. */
    void (*direct)(const mt_gemm_block *block);
    /* Rows of A and columns of B contiguous (a.col = b.row = 1): dot products along k. */
    void (*dot)(const mt_gemm_block *block);
    /* Panels of A, or A in place, with strips of B. */
    void (*packed)(const mt_gemm_block *block);

    const struct mt_gemm_packing *packing;

    /* c[i,j] += x[i,j] of m x n; x.row is 0 where x is a bias. */
    void (*add)(int64_t m, int64_t n, mt_matrix c, mt_matrix x);
};

/* x from element (i, j) on; and x^T. */
static inline mt_matrix mt_matrix_from(mt_matrix x, int64_t i, int64_t j)
{
    return (mt_matrix){x.row, x.col, x.data + i * x.row + j * x.col};
}
static inline mt_matrix mt_matrix_transpose(mt_matrix x) { return (mt_matrix){x.col, x.row, x.data}; }

static inline int64_t mt_gemm_panels(int64_t n, int64_t width) { return (n + width - 1) / width; }

MT_BEGIN
#define MT_DECLARE_GEMM(isa)                                               \
    MT_INTERNAL extern const struct mt_gemm_kernels mt_gemm_kernels_##isa; \
    MT_INTERNAL extern const struct mt_gemm_packing mt_gemm_packing_##isa;
MT_EACH_ISA(MT_DECLARE_GEMM)
MT_END

#endif
