/* ops_cpu/gemm_plan.h - how a matmul is computed: its path, its cuts and its workspace, decided before
 * anything runs.
 *
 * The bits of C depend on path and kc, which follow from sizes, strides and the instruction set; the cells,
 * which follow from the number of threads, only share out the work. A C whose columns are contiguous is
 * computed as its transpose, (B^T A^T)^T, by swapping strides, so that the paths meet rows of C.
 */
#ifndef MT_GEMM_PLAN_H
#define MT_GEMM_PLAN_H

#include "gemm.h"
#include "kernels.h"
#include "tensor/plan.h"

typedef enum mt_gemm_path {
    MT_GEMM_ZERO,   /* k = 0 */
    MT_GEMM_DIRECT, /* A and B read in place: small, few rows, or few steps of k; rows of B contiguous */
    MT_GEMM_COPY_B, /* small, but rows of B are not contiguous: B is copied, then as above */
    MT_GEMM_LONG,   /* few rows and columns and a long k: dot products along pieces of k, which are joined in
                       pairs */
    MT_GEMM_DOT, /* few rows, A^T and B contiguous along k: dot products. Rows of A are copied if they must */
    MT_GEMM_PACKED /* blocks of B packed for the caches, and of A where its rows are not contiguous */
} mt_gemm_path;

enum { MT_GEMM_PATHS = MT_GEMM_PACKED + 1 };
enum { MT_GEMM_SHORT_K = 32 }; /* steps of k below which storing C takes longer than summing */

/* A product as the paths see it: C[i,j] of m x n, any transposition done. */
typedef struct mt_gemm {
    const struct mt_gemm_kernels *kernels;
    mt_gemm_path path;
    int64_t m, n, k;
    mt_matrix a, b, c;   /* m x k, k x n, m x n */
    mt_matrix pre, bias; /* m x n; data NULL: not kept, none. bias repeats a row, or a column when turned */
    mt_tile_fn act;      /* NULL: none */
    bool add;
    bool turned;                           /* computed as (B^T A^T)^T */
    int64_t kc;                            /* k is cut into pieces of kc, the last may be shorter */
    int64_t count, a_step, b_step, c_step; /* MT_GEMM_DIRECT: products of a call, as in mt_gemm_block */
    int64_t row_cells, column_cells;       /* for the threads C is cut into row_cells x column_cells cells, */
    int64_t k_cells;                       /* or k into k_cells runs of whole pieces; the other count is 1 */
    int threads;
    int64_t tasks;              /* batch * row_cells * column_cells * k_cells; MT_GEMM_LONG: batch * pieces */
    const mt_matmul_plan *plan; /* the batch */
    mt_real *space; /* the workspace, of which each thread has own numbers; NULL: none is needed */
    int64_t own;
} mt_gemm;

/* A rectangle of C. */
typedef struct mt_gemm_cell {
    int64_t i, j, m, n;
} mt_gemm_cell;

MT_BEGIN
/* Decides everything for work, into g; batches that are one taller product are joined in plan. No size is 0
 * but, maybe, k. */
MT_INTERNAL void mt_gemm_make(const mt_matmul_work *work, mt_matmul_plan *plan, mt_gemm *g);

/* Whether MT_GEMM_PACKED packs A too. */
MT_INTERNAL bool mt_gemm_packs_a(const mt_gemm *g);

/* Numbers of workspace that a thread needs: for packed A, and in all. */
MT_INTERNAL int64_t mt_gemm_space_a(const mt_gemm *g);
MT_INTERNAL int64_t mt_gemm_space(const mt_gemm *g);
/* And that all threads share: for the sums of pieces of k that another thread than C's computes; of all
 * pieces, where the sums are long. */
MT_INTERNAL int64_t mt_gemm_space_partial(const mt_gemm *g);

/* Writes path, cuts, tile and threads of work in one sentence, as snprintf does: what --explain and tests
 * read. */
MT_INTERNAL int mt_gemm_describe(const mt_matmul_work *work, char *text, size_t size);

/* Bias, saved pre-activation and activation for a rectangle whose sums are complete. */
MT_INTERNAL void mt_gemm_finish(const mt_gemm *g, mt_gemm_cell r);

/* Notes that a product took path; and writes how many took each so far, in this process: for --stats. */
MT_INTERNAL void mt_gemm_count(mt_gemm_path path);
MT_INTERNAL int mt_gemm_counts(char *text, size_t size);
MT_END

static inline int64_t mt_gemm_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t mt_gemm_round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* The size of count nearly equal pieces of n, a multiple of unit. */
static inline int64_t mt_gemm_piece(int64_t n, int64_t count, int64_t unit)
{
    return mt_gemm_round_up((n + count - 1) / count, unit);
}

/* Rows of A that MT_GEMM_PACKED packs before it goes on to the next ones: a multiple of mc and mr. */
static inline int64_t mt_gemm_high(const mt_gemm *g) { return 2048 / g->kernels->mc * g->kernels->mc; }

/* How MT_GEMM_LONG reads its operands: both contiguous along k, rows of B contiguous, or neither, so that
 * both are copied to be contiguous along k. */
typedef enum mt_gemm_layout { MT_GEMM_ALONG_K, MT_GEMM_ROWS, MT_GEMM_NEITHER } mt_gemm_layout;
static inline mt_gemm_layout mt_gemm_long_layout(const mt_gemm *g)
{
    return g->a.col == 1 && g->b.row == 1 ? MT_GEMM_ALONG_K : g->b.col == 1 ? MT_GEMM_ROWS : MT_GEMM_NEITHER;
}

/* Products of the batch that MT_GEMM_LONG computes at once: as many as leave the sums of their pieces in the
 * second cache. Its tasks are pieces. */
static inline int64_t mt_gemm_group(const mt_gemm *g)
{
    const int64_t pieces = mt_gemm_panels(g->k, g->kc), most = 1 << 17;
    return mt_gemm_least(g->tasks / pieces, most / (pieces * g->m * g->n) + 1);
}

/* Columns of B that MT_GEMM_COPY_B copies at once. */
static inline int64_t mt_gemm_copy_width(const mt_gemm *g)
{
    return (g->m <= g->kernels->mr ? 4 : 1) * (int64_t)g->kernels->nr;
}

/* A share's part of the workspace, and, behind those of all, the sums of pieces of k. */
static inline mt_real *mt_gemm_own(const mt_gemm *g, int share)
{
    return g->space ? g->space + share * g->own : NULL;
}
static inline mt_real *mt_gemm_partial(const mt_gemm *g) { return g->space + g->threads * g->own; }

/* The first of the pieces of k that belong to the index-th cell of k. */
static inline int64_t mt_gemm_first_piece(const mt_gemm *g, int64_t index)
{
    const int64_t pieces = mt_gemm_panels(g->k, g->kc);
    return (index * pieces + g->k_cells - 1) / g->k_cells;
}

/* Pieces of k that another thread than C's computes, and the numbers that each of them takes. */
static inline int64_t mt_gemm_partials(const mt_gemm *g)
{
    return mt_gemm_panels(g->k, g->kc) - mt_gemm_first_piece(g, 1);
}
static inline int64_t mt_gemm_partial_size(const mt_gemm *g) { return mt_gemm_round_up(g->m * g->n, 16); }

/* Columns of C are cut for the threads at multiples of this. Where a thread turns its columns of B first, a
 * narrower tile costs less than turning what others turn too. */
static inline int64_t mt_gemm_column_unit(const mt_gemm *g)
{
    return g->path == MT_GEMM_COPY_B ? g->kernels->lanes : g->kernels->nr;
}

/* The index-th cell; empty where the cuts leave nothing over. */
static inline mt_gemm_cell mt_gemm_cell_of(const mt_gemm *g, int64_t index)
{
    if (g->row_cells * g->column_cells == 1) return (mt_gemm_cell){0, 0, g->m, g->n};
    const int64_t m = mt_gemm_piece(g->m, g->row_cells, 1),
                  n = mt_gemm_piece(g->n, g->column_cells, mt_gemm_column_unit(g));
    mt_gemm_cell r = {.i = index / g->column_cells * m, .j = index % g->column_cells * n};
    r.m = mt_gemm_least(m, g->m - r.i);
    r.n = mt_gemm_least(n, g->n - r.j);
    return r;
}

#endif
