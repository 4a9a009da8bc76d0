/* ops_cpu/matmul.c - matmul of the cpu backend: runs the path that gemm_plan.c chose, over threads, and
 * finishes each part of C (bias, saved pre-activation, activation) while it is in the cache.
 *
 * Threads share nothing but their inputs: each computes whole cells of C with its own piece of the workspace,
 * and an element is computed alike wherever the cuts of rows and columns fall.
 */
#include <string.h>

#include "cpu.h"
#include "gemm_long.h"
#include "gemm_plan.h"
#include "share.h"
#include "workspace.h"

/* The m x n block of C at (i, j), with its operands from step p of k on. */
static inline mt_gemm_block block_at(const mt_gemm *g, int64_t i, int64_t j, int64_t p, int64_t m, int64_t n)
{
    return (mt_gemm_block){
        .m = m,
        .n = n,
        .k = mt_gemm_least(g->kc, g->k - p),
        .a = mt_matrix_from(g->a, i, p),
        .b = mt_matrix_from(g->b, p, j),
        .c = mt_matrix_from(g->c, i, j),
        .count = g->count,
        .a_step = g->a_step,
        .b_step = g->b_step,
        .c_step = g->c_step,
        .add = g->add || p > 0,
        .rows_first = g->k <= MT_GEMM_SHORT_K,
    };
}

static inline bool finishes(const mt_gemm *g) { return g->bias.data || g->pre.data || g->act; }

void mt_gemm_finish(const mt_gemm *g, mt_gemm_cell r)
{
    if (!finishes(g)) return;
    static const mt_real no_parameters[2];
    const mt_matrix c = mt_matrix_from(g->c, r.i, r.j);
    if (g->bias.data) g->kernels->add(r.m, r.n, c, mt_matrix_from(g->bias, r.i, r.j));
    for (int64_t i = 0; i < r.m && g->pre.data; i++) {
        const mt_matrix pre = mt_matrix_from(g->pre, r.i + i, r.j), row = mt_matrix_from(c, i, 0);
        if (pre.col == 1 && row.col == 1)
            memcpy(pre.data, row.data, (size_t)r.n * sizeof *row.data);
        else
            for (int64_t j = 0; j < r.n; j++) pre.data[j * pre.col] = row.data[j * row.col];
    }
    if (g->act) {
        const int64_t step[2][2] = {{c.row, c.col}, {c.row, c.col}};
        g->act((const int64_t[]){r.m, r.n}, (mt_real *[]){c.data, c.data}, step, no_parameters);
    }
}

/* ---- the paths: each computes a cell, in space, as large as mt_gemm_space says ---- */

static void run_zero(const mt_gemm *g, mt_gemm_cell r)
{
    for (int64_t i = 0; i < r.m && !g->add; i++)
        for (int64_t j = 0; j < r.n; j++) *mt_matrix_from(g->c, r.i + i, r.j + j).data = 0;
    mt_gemm_finish(g, r);
}

/* Numbers of C that stay in the second cache, with what they need. */
enum { DIRECT_ROOM = (1 << 17) / (int)sizeof(mt_real) };

/* A large cell goes in parts of C that stay in the second cache until they are finished, beside the columns
 * of a short B that they need. */
static void run_direct(const mt_gemm *g, mt_gemm_cell r)
{
    const int64_t mr = g->kernels->mr, nr = g->kernels->nr, room = DIRECT_ROOM;
    int64_t width = r.n, height = r.m;
    if (r.m * r.n > room) {
        width = mt_gemm_least(
            r.n,
            mt_gemm_round_up(room / (g->k <= MT_GEMM_SHORT_K ? g->k : mt_gemm_least(r.m, 4 * mr)), 8 * nr));
        height = mt_gemm_least(r.m, mt_gemm_round_up(room / width, 4 * mr));
    }
    if (width == r.n && height == r.m && g->k <= g->kc) {
        const mt_gemm_block block = block_at(g, r.i, r.j, 0, r.m, r.n);
        g->kernels->direct(&block);
        mt_gemm_finish(g, r);
        return;
    }
    for (int64_t j = 0; j < r.n; j += width)
        for (int64_t i = 0; i < r.m; i += height) {
            const mt_gemm_cell part = {r.i + i, r.j + j, mt_gemm_least(height, r.m - i),
                                       mt_gemm_least(width, r.n - j)};
            for (int64_t p = 0; p < g->k; p += g->kc) {
                const mt_gemm_block block = block_at(g, part.i, part.j, p, part.m, part.n);
                g->kernels->direct(&block);
            }
            mt_gemm_finish(g, part);
        }
}

/* As many columns at a time as keep their copy in the first cache. */
static void run_copy_b(const mt_gemm *g, mt_gemm_cell r, mt_real *copy)
{
    const int64_t width = mt_gemm_copy_width(g);
    for (int64_t j = 0; j < r.n; j += width) {
        mt_gemm_block block = block_at(g, r.i, r.j + j, 0, r.m, mt_gemm_least(width, r.n - j));
        g->kernels->packing->copy_b(g->k, block.n, block.b, copy, width);
        block.b = (mt_matrix){width, 1, copy};
        g->kernels->direct(&block);
    }
    mt_gemm_finish(g, r);
}

static void run_dot(const mt_gemm *g, mt_gemm_cell r, mt_real *copy)
{
    for (int64_t p = 0; p < g->k; p += g->kc) {
        mt_gemm_block block = block_at(g, r.i, r.j, p, r.m, r.n);
        if (block.a.col != 1) {
            for (int64_t i = 0; i < r.m; i++)
                for (int64_t q = 0; q < block.k; q++)
                    copy[i * block.k + q] = *mt_matrix_from(block.a, i, q).data;
            block.a = (mt_matrix){block.k, 1, copy};
        }
        g->kernels->dot(&block);
    }
    mt_gemm_finish(g, r);
}

/* A panel of mr rows of A stays in the first cache, a block of B in the second. Rows of B are packed by the
 * first tiles that read them, columns beforehand. What of A is packed, is so for the first block of columns
 * and kept for the others. C is finished in pieces of mc rows. */
static void run_packed(const mt_gemm *g, mt_gemm_cell r, mt_real *panels, mt_real *strips)
{
    const struct mt_gemm_kernels *t = g->kernels;
    const int64_t nc = mt_gemm_piece(r.n, mt_gemm_panels(r.n, t->nc), t->nr),
                  mc = mt_gemm_piece(r.m, mt_gemm_panels(r.m, t->mc), t->mr);
    const bool packs_a = mt_gemm_packs_a(g);
    const int64_t high = packs_a ? mt_gemm_high(g) : r.m;
    for (int64_t top = 0; top < r.m; top += high)
        for (int64_t p = 0; p < g->k; p += g->kc)
            for (int64_t j = 0; j < r.n; j += nc) {
                const int64_t m = mt_gemm_least(high, r.m - top);
                const mt_gemm_block all = block_at(g, r.i + top, r.j + j, p, m, mt_gemm_least(nc, r.n - j));
                const int64_t n = all.n, k = all.k, whole = g->b.col == 1 ? n / t->nr * t->nr : 0;
                if (whole < n)
                    t->packing->pack_b(k, n - whole, mt_matrix_from(all.b, 0, whole), strips + whole * k);
                for (int64_t i = 0; i < m; i += mc) {
                    mt_gemm_block block = block_at(g, r.i + top + i, r.j + j, p, mt_gemm_least(mc, m - i), n);
                    block.strips = strips;
                    block.packs_b = whole > 0 && i == 0;
                    if (packs_a) {
                        mt_real *of_block = panels + (r.n > nc ? i * k : 0);
                        if (j == 0) t->packing->pack_a(block.m, k, block.a, of_block);
                        block.panels = of_block;
                    }
                    t->packed(&block);
                    if (p + k == g->k) mt_gemm_finish(g, (mt_gemm_cell){r.i + top + i, r.j + j, block.m, n});
                }
            }
}

/* The index-th cell of k: the first one goes to C, the pieces of the others to matrices of their own, all
 * without what follows the sum. */
static void run_k_cell(const mt_gemm *g, int64_t index, mt_real *space, mt_real *partial)
{
    const int64_t first = mt_gemm_first_piece(g, index), end = mt_gemm_first_piece(g, index + 1);
    const int64_t together = index == 0 ? end : 1;
    for (int64_t piece = first; piece < end; piece += together) {
        const int64_t p = piece * g->kc;
        mt_gemm part = *g;
        part.k = mt_gemm_least(together * g->kc, g->k - p);
        part.a = mt_matrix_from(g->a, 0, p);
        part.b = mt_matrix_from(g->b, p, 0);
        part.bias.data = NULL;
        part.pre.data = NULL;
        part.act = NULL;
        if (index > 0) {
            part.c.data = partial + (piece - mt_gemm_first_piece(g, 1)) * mt_gemm_partial_size(g);
            part.c.row = g->n;
            part.c.col = 1;
            part.add = false;
        }
        run_packed(&part, (mt_gemm_cell){0, 0, g->m, g->n}, space, space + mt_gemm_space_a(g));
    }
}

static void run_k_cells(const void *context, int share, int shares)
{
    (void)shares;
    const mt_gemm *g = context;
    run_k_cell(g, share, mt_gemm_own(g, share), mt_gemm_partial(g));
}

/* Adds what the cells of k left beside C to it, in the order of k, for a share of the rows. */
static void join_k_cells(const void *context, int share, int shares)
{
    const mt_gemm *g = context;
    mt_real *partial = mt_gemm_partial(g);
    const int64_t begin = mt_share_begin(g->m, share, shares), end = mt_share_begin(g->m, share + 1, shares);
    const int64_t matrix = mt_gemm_partial_size(g), matrices = mt_gemm_partials(g);
    for (int64_t i = begin; i < end; i++)
        for (int64_t q = 0; q < matrices; q++)
            g->kernels->add(1, g->n, mt_matrix_from(g->c, i, 0),
                            (mt_matrix){0, 1, partial + q * matrix + i * g->n});
    mt_gemm_finish(g, (mt_gemm_cell){begin, 0, end - begin, g->n});
}

static void run_cell(const mt_gemm *g, mt_gemm_cell r, mt_real *space)
{
    if (r.m <= 0 || r.n <= 0) return;
    switch (g->path) {
    case MT_GEMM_ZERO: run_zero(g, r); break;
    case MT_GEMM_DIRECT: run_direct(g, r); break;
    case MT_GEMM_COPY_B: run_copy_b(g, r, space); break;
    case MT_GEMM_LONG: break; /* not by cells: mt_gemm_run_long */
    case MT_GEMM_DOT: run_dot(g, r, space); break;
    case MT_GEMM_PACKED: run_packed(g, r, space, space + mt_gemm_space_a(g)); break;
    }
}

/* ---- the slot ---- */

/* A call's workspace is cut over its threads. Before, between and behind the parts lies memory that nobody
 * uses: a processor that goes along memory asks for lines ahead of it, and takes those that its neighbour is
 * about to write away from it. A page, and 16 KB, were too little. */
enum { APART = (1 << 15) / (int)sizeof(mt_real) };

/* Where the index-th product of the batch begins in an operand. Most batches have one dimension. */
static inline int64_t position(const mt_matmul_plan *plan, const int64_t *strides, int64_t index)
{
    return plan->batch_rank == 1 ? index * strides[0]
                                 : mt_plan_position(plan->batch_rank, plan->batch_size, strides, index);
}

/* A share of the pieces of work, each a cell of a product of the batch. Small products that nothing follows
 * go to the kernel together, since what it takes to begin one is half as long as a 16 x 16 x 16 product. */
static void run_tasks(const void *context, int share, int shares)
{
    const mt_gemm *g = context;
    const mt_matmul_plan *plan = g->plan;
    mt_real *space = mt_gemm_own(g, share);
    const int64_t begin = mt_share_begin(g->tasks, share, shares),
                  end = mt_share_begin(g->tasks, share + 1, shares);
    const int64_t cells = g->row_cells * g->column_cells;
    if (g->tasks == cells) { /* no batch, and the plan is not read */
        for (int64_t i = begin; i < end; i++) run_cell(g, mt_gemm_cell_of(g, i), space);
        return;
    }
    mt_gemm one = *g;
    const bool at_once = g->path == MT_GEMM_DIRECT && cells == 1 && plan->batch_rank == 1 && g->k <= g->kc &&
                         g->m * g->n <= DIRECT_ROOM && !finishes(g);
    if (at_once) {
        one.count = end - begin;
        one.a_step = g->turned ? plan->batch_b[0] : plan->batch_a[0];
        one.b_step = g->turned ? plan->batch_a[0] : plan->batch_b[0];
        one.c_step = plan->batch_c[0];
    }
    for (int64_t i = begin; i < end; i += one.count) {
        const int64_t index = cells == 1 ? i : i / cells;
        const int64_t a = position(plan, plan->batch_a, index), b = position(plan, plan->batch_b, index);
        one.a.data = g->a.data + (g->turned ? b : a);
        one.b.data = g->b.data + (g->turned ? a : b);
        one.c.data = g->c.data + position(plan, plan->batch_c, index);
        if (g->pre.data) one.pre.data = g->pre.data + position(plan, plan->batch_pre, index);
        run_cell(&one, mt_gemm_cell_of(&one, i - index * cells), space);
    }
}

mt_status mt_cpu_matmul(mt_backend *backend, const mt_matmul_work *work)
{
    (void)backend;
    mt_matmul_plan plan;
    mt_plan_matmul(work, &plan);
    if (plan.m == 0 || plan.n == 0 || plan.batch == 0) return MT_OK;

    _Alignas(MT_SHARE_LINE) mt_gemm g;
    mt_gemm_make(work, &plan, &g);
    mt_gemm_count(g.path);
    const int64_t needed = mt_gemm_space(&g), space = needed > 0 ? needed + APART : 0;
    const int64_t before = space > 0 ? APART : 0;
    mt_workspace memory;
    const size_t bytes =
        ((size_t)before + (size_t)space * (size_t)g.threads + (size_t)mt_gemm_space_partial(&g)) *
        sizeof(mt_real);
    if (!mt_workspace_borrow(bytes, &memory))
        return mt_fail(
            MT_ERR_MEMORY,
            "matmul of (%lld x %lld) and (%lld x %lld) needs %zu bytes of workspace for packing, which there "
            "are not: free tensors or use fewer threads",
            (long long)plan.m, (long long)plan.k, (long long)plan.k, (long long)plan.n, bytes);
    g.space = memory.data ? memory.data + before : NULL;
    g.own = space;
    if (g.path == MT_GEMM_LONG)
        mt_gemm_run_long(&g);
    else if (g.k_cells > 1) /* each thread computes its cell of k, then its rows of the sum */
        mt_share_region(g.threads, run_k_cells, join_k_cells, &g);
    else
        mt_share_out(g.threads, run_tasks, &g);
    mt_workspace_give_back(&memory);
    return MT_OK;
}
