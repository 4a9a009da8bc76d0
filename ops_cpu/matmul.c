/* ops_cpu/matmul.c - matmul of the cpu backend: names the path by shape and strides, cuts the work over
 * threads, and finishes each part of C (bias, saved pre-activation, activation) while it is in the cache.
 *
 * The bits of C depend on the shape, the strides and the instruction set alone: choose() never asks for the
 * number of threads, k is cut at places that the shape gives, and the kernels compute an element alike
 * wherever the cuts of rows and columns fall. C whose columns are contiguous is computed as its transpose,
 * (B^T A^T)^T, by swapping strides.
 */
#include <stdatomic.h>
#include <string.h>
#ifdef MT_OPENMP
#include <omp.h>
#endif

#include "cpu.h"
#include "gemm.h"
#include "tensor/arena.h"
#include "tensor/plan.h"

typedef enum gemm_path {
    PATH_ZERO,   /* k = 0 */
    PATH_DIRECT, /* A and B read in place: small, few rows, or few steps of k; rows of B contiguous */
    PATH_COPY_B, /* small, but rows of B are not contiguous: B is copied, then as above */
    PATH_DOT,    /* few rows, A^T and B contiguous along k: dot products. Rows of A are copied if they must */
    PATH_PACKED  /* blocks of A and B packed for the caches */
} gemm_path;

enum { SHORT_K = 32 }; /* steps of k below which storing C takes longer than summing */

/* A product as the paths see it: C[i,j] of m x n, any transposition done. */
typedef struct gemm {
    const struct mt_gemm_kernels *kernels;
    gemm_path path;
    int64_t m, n, k;
    const mt_real *a, *b, *bias; /* bias NULL: none */
    mt_real *c, *pre;            /* pre NULL: not kept */
    int64_t a_row, a_col, b_row, b_col, c_row, c_col, pre_row, pre_col, bias_row, bias_col;
    mt_row_fn act; /* NULL: none */
    bool add;
    bool turned;                     /* computed as (B^T A^T)^T */
    int64_t kc;                      /* k is cut into pieces of kc, the last may be shorter */
    int64_t row_cells, column_cells; /* C is cut into that many cells for the threads */
} gemm;

/* A rectangle of C. */
typedef struct cell {
    int64_t i, j, m, n;
} cell;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* The size of count nearly equal pieces of n, a multiple of unit. */
static int64_t piece(int64_t n, int64_t count, int64_t unit)
{
    return round_up((n + count - 1) / count, unit);
}

static void swap(int64_t *a, int64_t *b)
{
    int64_t t = *a;
    *a = *b;
    *b = t;
}

/* ---- what a product becomes ---- */

/* (B^T A^T)^T. */
static void transpose(gemm *g)
{
    const mt_real *a = g->a;
    g->a = g->b;
    g->b = a;
    g->turned = !g->turned;
    swap(&g->m, &g->n);
    swap(&g->a_row, &g->b_col);
    swap(&g->a_col, &g->b_row);
    swap(&g->c_row, &g->c_col);
    swap(&g->pre_row, &g->pre_col);
    swap(&g->bias_row, &g->bias_col);
}

/* A dimension of size 1 is never stepped along, so its stride may be what suits best. */
static void tidy(gemm *g)
{
    if (g->k == 1) g->a_col = g->b_row = 1;
    if (g->n == 1) g->b_col = g->c_col = 1;
    if (g->m == 1) g->a_row = g->c_row = 1;
}

/* The table of paths, first fit. Everything it asks is a size or a stride. */
static void choose(gemm *g)
{
    const struct mt_gemm_kernels *t = g->kernels;
    /* Rows of C contiguous where possible; a single column becomes a single row. */
    if (g->n == 1 || (g->c_col != 1 && g->c_row == 1 && g->m > 1)) transpose(g);
    tidy(g);
    const double work = (double)g->m * (double)g->n * (double)g->k;
    const bool few_rows = g->m <= 2 * t->mr, small = work <= 72.0 * 72 * 72;
    /* Turning a small B into rows costs less than adding up the lanes of dot products, unless they are long.
     */
    const bool rows_of_b = g->b_col == 1, columns_of_b = g->b_row == 1 && g->k >= 2 * t->lanes &&
                                                         (!small || g->k >= 12 * g->m || g->n <= t->lanes);
    if (g->k == 0) {
        g->path = PATH_ZERO;
    } else if (rows_of_b && (few_rows || small || g->k <= SHORT_K)) {
        g->path = PATH_DIRECT;
        g->kc = small ? g->k : t->direct_kc;
    } else if (columns_of_b && few_rows) {
        g->path = PATH_DOT;
        g->kc = t->dot_kc;
    } else if (small) {
        g->path = PATH_COPY_B;
        g->kc = g->k;
    } else {
        g->path = PATH_PACKED;
        g->kc = t->kc;
    }
    if (g->k > g->kc) g->kc = piece(g->k, mt_gemm_panels(g->k, g->kc), t->lanes);
}

/* Cuts C for up to threads threads: the grid whose largest cell costs least, counting its tiles and what of A
 * and B it has to read or pack. */
static void cut(gemm *g, int64_t threads)
{
    const struct mt_gemm_kernels *t = g->kernels;
    double best = 0;
    for (int64_t rows = 1; rows <= threads; rows++) {
        const int64_t columns = threads / rows;
        const double m = (double)piece(g->m, rows, t->mr), n = (double)piece(g->n, columns, t->nr);
        const double cost = m * n + 16 * (m + n);
        if (rows > 1 && cost >= best) continue;
        best = cost;
        g->row_cells = rows;
        g->column_cells = columns;
    }
}

static cell cell_of(const gemm *g, int64_t index)
{
    if (g->row_cells * g->column_cells == 1) return (cell){0, 0, g->m, g->n};
    const int64_t m = piece(g->m, g->row_cells, g->kernels->mr),
                  n = piece(g->n, g->column_cells, g->kernels->nr);
    cell r = {.i = index / g->column_cells * m, .j = index % g->column_cells * n};
    r.m = least(m, g->m - r.i);
    r.n = least(n, g->n - r.j);
    return r;
}

/* Columns of B that PATH_COPY_B copies at once. */
static int64_t copy_width(const gemm *g)
{
    return (g->m <= g->kernels->mr ? 4 : 1) * (int64_t)g->kernels->nr;
}

/* The m x n block of C at (i, j), with its operands from step p of k on. */
static mt_gemm_block block_at(const gemm *g, int64_t i, int64_t j, int64_t p, int64_t m, int64_t n)
{
    return (mt_gemm_block){
        .m = m,
        .n = n,
        .k = least(g->kc, g->k - p),
        .a = g->a + i * g->a_row + p * g->a_col,
        .b = g->b + p * g->b_row + j * g->b_col,
        .c = g->c + i * g->c_row + j * g->c_col,
        .a_row = g->a_row,
        .a_col = g->a_col,
        .b_row = g->b_row,
        .b_col = g->b_col,
        .c_row = g->c_row,
        .c_col = g->c_col,
        .add = g->add || p > 0,
        .rows_first = g->k <= SHORT_K,
    };
}

/* Bias, saved pre-activation and activation for a rectangle whose sums are complete. */
static void finish(const gemm *g, cell r)
{
    if (!g->bias && !g->pre && !g->act) return;
    static const mt_real no_parameters[2];
    for (int64_t i = r.i; i < r.i + r.m; i++) {
        mt_real *c = g->c + i * g->c_row + r.j * g->c_col;
        if (g->bias)
            g->kernels->add_bias(r.n, c, g->c_col, g->bias + i * g->bias_row + r.j * g->bias_col,
                                 g->bias_col);
        if (g->pre) {
            mt_real *pre = g->pre + i * g->pre_row + r.j * g->pre_col;
            if (g->pre_col == 1 && g->c_col == 1)
                memcpy(pre, c, (size_t)r.n * sizeof *c);
            else
                for (int64_t j = 0; j < r.n; j++) pre[j * g->pre_col] = c[j * g->c_col];
        }
        if (g->act) {
            const mt_real *in = c;
            g->act(r.n, c, g->c_col, &in, &g->c_col, no_parameters);
        }
    }
}

/* ---- the paths: each computes a cell, with a workspace of workspace_bytes ---- */

static void run_zero(const gemm *g, cell r)
{
    for (int64_t i = 0; i < r.m && !g->add; i++)
        for (int64_t j = 0; j < r.n; j++) g->c[(r.i + i) * g->c_row + (r.j + j) * g->c_col] = 0;
    finish(g, r);
}

/* A large cell goes in parts of C that stay in the second cache until they are finished, beside the columns
 * of a short B that they need. */
static void run_direct(const gemm *g, cell r)
{
    const int64_t mr = g->kernels->mr, nr = g->kernels->nr, room = (1 << 17) / (int64_t)sizeof(mt_real);
    int64_t width = r.n, height = r.m;
    if (r.m * r.n > room) {
        width = least(r.n, round_up(room / (g->k <= SHORT_K ? g->k : least(r.m, 4 * mr)), 8 * nr));
        height = least(r.m, round_up(room / width, 4 * mr));
    }
    for (int64_t j = 0; j < r.n; j += width)
        for (int64_t i = 0; i < r.m; i += height) {
            const cell part = {r.i + i, r.j + j, least(height, r.m - i), least(width, r.n - j)};
            for (int64_t p = 0; p < g->k; p += g->kc) {
                const mt_gemm_block block = block_at(g, part.i, part.j, p, part.m, part.n);
                g->kernels->direct(&block);
            }
            finish(g, part);
        }
}

/* As many columns at a time as keep their copy in the first cache. */
static void run_copy_b(const gemm *g, cell r, mt_real *copy)
{
    const int64_t width = copy_width(g);
    for (int64_t j = 0; j < r.n; j += width) {
        mt_gemm_block block = block_at(g, r.i, r.j + j, 0, r.m, least(width, r.n - j));
        g->kernels->copy_b(g->k, block.n, block.b, g->b_row, g->b_col, copy, width);
        block.b = copy;
        block.b_row = width;
        g->kernels->direct(&block);
    }
    finish(g, r);
}

static void run_dot(const gemm *g, cell r, mt_real *copy)
{
    for (int64_t p = 0; p < g->k; p += g->kc) {
        mt_gemm_block block = block_at(g, r.i, r.j, p, r.m, r.n);
        if (g->a_col != 1) {
            for (int64_t i = 0; i < r.m; i++)
                for (int64_t q = 0; q < block.k; q++)
                    copy[i * block.k + q] = block.a[i * g->a_row + q * g->a_col];
            block.a = copy;
            block.a_row = block.k;
        }
        g->kernels->dot(&block);
    }
    finish(g, r);
}

/* A strip of nr columns of B stays in the first cache, a block of A in the second, a block of B in the last.
 * C is finished in pieces of 8 strips. */
static void run_packed(const gemm *g, cell r, mt_real *a, mt_real *b)
{
    const struct mt_gemm_kernels *t = g->kernels;
    const int64_t nc = piece(r.n, mt_gemm_panels(r.n, t->nc), t->nr),
                  mc = piece(r.m, mt_gemm_panels(r.m, t->mc), t->mr);
    for (int64_t j = 0; j < r.n; j += nc)
        for (int64_t p = 0; p < g->k; p += g->kc) {
            const mt_gemm_block panel = block_at(g, r.i, r.j + j, p, r.m, least(nc, r.n - j));
            const int64_t n = panel.n, k = panel.k;
            t->pack_b(k, n, panel.b, g->b_row, g->b_col, b);
            for (int64_t i = 0; i < r.m; i += mc) {
                const int64_t m = least(mc, r.m - i);
                t->pack_a(m, k, panel.a + i * g->a_row, g->a_row, g->a_col, a);
                for (int64_t s = 0; s < n; s += 8 * t->nr) {
                    mt_gemm_block block = block_at(g, r.i + i, r.j + j + s, p, m, least(8 * t->nr, n - s));
                    block.a = a;
                    block.b = b + s * k;
                    t->packed(&block);
                    if (p + k == g->k) finish(g, (cell){r.i + i, r.j + j + s, m, block.n});
                }
            }
        }
}

/* Numbers of workspace that a thread needs for the part before b, and in all; both keep b aligned. */
static int64_t workspace_a(const gemm *g)
{
    const struct mt_gemm_kernels *t = g->kernels;
    if (g->path != PATH_PACKED) return 0;
    return round_up(least(round_up(g->m, t->mr), t->mc + t->mr) * least(g->kc, g->k) + MT_GEMM_SLACK, 16);
}

static int64_t workspace(const gemm *g)
{
    const struct mt_gemm_kernels *t = g->kernels;
    const int64_t columns = round_up(piece(g->n, g->column_cells, t->nr), t->nr), k = least(g->kc, g->k);
    switch (g->path) {
    case PATH_COPY_B: return round_up(copy_width(g) * g->k + MT_GEMM_SLACK, 16);
    case PATH_DOT: return g->a_col == 1 ? 0 : round_up(g->m * k, 16);
    case PATH_PACKED: return workspace_a(g) + round_up(least(columns, t->nc + t->nr) * k + MT_GEMM_SLACK, 16);
    default: return 0;
    }
}

static void run_cell(const gemm *g, cell r, mt_real *space)
{
    if (r.m <= 0 || r.n <= 0) return;
    switch (g->path) {
    case PATH_ZERO: run_zero(g, r); break;
    case PATH_DIRECT: run_direct(g, r); break;
    case PATH_COPY_B: run_copy_b(g, r, space); break;
    case PATH_DOT: run_dot(g, r, space); break;
    case PATH_PACKED: run_packed(g, r, space, space + workspace_a(g)); break;
    }
}

/* ---- workspaces ---- */

/* A call takes the first free workspace and gives it back at its end; it grows to what was ever asked and is
 * kept until the program ends, so there are as many as calls ever ran at the same time. With more than SLOTS
 * at once, the others allocate and free. Each call cuts its workspace over its threads. */
enum { SLOTS = 32 };

static struct slot {
    atomic_bool busy;
    void *data;
    size_t bytes;
} slots[SLOTS];

typedef struct borrowed {
    struct slot *slot; /* NULL: allocated for this call */
    mt_real *data;
    size_t bytes;
} borrowed;

static bool borrow(size_t bytes, borrowed *result)
{
    *result = (borrowed){.bytes = bytes};
    if (bytes == 0) return true;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];
        if (atomic_exchange_explicit(&s->busy, true, memory_order_acquire)) continue;
        if (s->bytes < bytes) {
            mt_free(s->data, s->bytes);
            s->data = mt_alloc(bytes);
            s->bytes = s->data ? bytes : 0;
        }
        result->slot = s;
        result->data = s->data;
        if (!s->data) atomic_store_explicit(&s->busy, false, memory_order_release);
        return s->data != NULL;
    }
    result->data = mt_alloc(bytes);
    return result->data != NULL;
}

static void give_back(const borrowed *b)
{
    if (b->slot)
        atomic_store_explicit(&b->slot->busy, false, memory_order_release);
    else
        mt_free(b->data, b->data ? b->bytes : 0);
}

/* ---- the slot ---- */

/* Every member is named, so that nothing is cleared first: a small product feels it. */
static gemm gemm_of(const mt_matmul_work *work, const mt_matmul_plan *plan)
{
    const mt_cpu_kernels *kernels = mt_cpu_kernels_get();
    const bool alone = work->accumulate; /* then nothing follows the sum */
    const bool bias = work->bias.data && !alone, pre = work->pre.data && !alone;
    return (gemm){
        .kernels = kernels->gemm,
        .path = PATH_ZERO,
        .m = plan->m,
        .n = plan->n,
        .k = plan->k,
        .a = (const mt_real *)work->a.data + work->a.layout->offset,
        .b = (const mt_real *)work->b.data + work->b.layout->offset,
        .bias = bias ? (const mt_real *)work->bias.data + work->bias.layout->offset : NULL,
        .c = (mt_real *)work->out.data + work->out.layout->offset,
        .pre = pre ? (mt_real *)work->pre.data + work->pre.layout->offset : NULL,
        .a_row = plan->a_row,
        .a_col = plan->a_col,
        .b_row = plan->b_row,
        .b_col = plan->b_col,
        .c_row = plan->c_row,
        .c_col = plan->c_col,
        .pre_row = plan->pre_row,
        .pre_col = plan->pre_col,
        .bias_row = 0,
        .bias_col = plan->bias_step,
        .act = work->has_act && !alone ? kernels->value[work->act] : NULL,
        .add = work->accumulate,
        .turned = false,
        .kc = 1,
        .row_cells = 1,
        .column_cells = 1,
    };
}

/* A batch whose products share B and whose matrices A, C and pre follow upon each other is one product of
 * more rows. */
static void fold_batch(gemm *g, mt_matmul_plan *plan)
{
    if (plan->batch <= 1 || plan->batch_rank != 1 || plan->batch_b[0] != 0) return;
    const int64_t m = g->m;
    if (m > 1 && (plan->batch_a[0] != m * g->a_row || plan->batch_c[0] != m * g->c_row)) return;
    if (m > 1 && g->pre && plan->batch_pre[0] != m * g->pre_row) return;
    if (m == 1) {
        g->a_row = plan->batch_a[0];
        g->c_row = plan->batch_c[0];
        g->pre_row = plan->batch_pre[0];
    }
    g->m *= plan->batch;
    plan->batch = 1;
}

/* The g of one product of the batch. */
static gemm product(const gemm *g, const mt_matmul_plan *plan, int64_t index)
{
    gemm one = *g;
    const int64_t a = mt_plan_position(plan->batch_rank, plan->batch_size, plan->batch_a, index);
    const int64_t b = mt_plan_position(plan->batch_rank, plan->batch_size, plan->batch_b, index);
    one.a += g->turned ? b : a;
    one.b += g->turned ? a : b;
    one.c += mt_plan_position(plan->batch_rank, plan->batch_size, plan->batch_c, index);
    if (g->pre) one.pre += mt_plan_position(plan->batch_rank, plan->batch_size, plan->batch_pre, index);
    return one;
}

/* The index-th piece of work: a cell of a product of the batch. */
static void run_task(const gemm *g, const mt_matmul_plan *plan, int64_t index, mt_real *space)
{
    const int64_t cells = g->row_cells * g->column_cells;
    if (plan->batch == 1) {
        run_cell(g, cell_of(g, index), space);
        return;
    }
    const gemm one = product(g, plan, index / cells);
    run_cell(&one, cell_of(&one, index % cells), space);
}

mt_status mt_cpu_matmul(mt_backend *backend, const mt_matmul_work *work)
{
    (void)backend;
    mt_matmul_plan plan;
    mt_plan_matmul(work, &plan);
    if (plan.m == 0 || plan.n == 0 || plan.batch == 0) return MT_OK;

    gemm g = gemm_of(work, &plan);
    fold_batch(&g, &plan);
    choose(&g);

    const double steps = (double)plan.batch * (double)g.m * (double)g.n * (double)g.k;
    int threads = mt_cpu_threads(steps / 4);
    if (threads > 1 && plan.batch < 2 * threads) cut(&g, (threads + plan.batch - 1) / plan.batch);
    const int64_t tasks = plan.batch * g.row_cells * g.column_cells;
    if (tasks < threads) threads = (int)tasks;

    const int64_t space = workspace(&g);
    borrowed memory;
    const size_t bytes = (size_t)space * (size_t)threads * sizeof(mt_real);
    if (!borrow(bytes, &memory))
        return mt_fail(
            MT_ERR_MEMORY,
            "matmul of (%lld x %lld) and (%lld x %lld) needs %zu bytes of workspace for packing, which there "
            "are not: free tensors or use fewer threads",
            (long long)plan.m, (long long)plan.k, (long long)plan.k, (long long)plan.n, bytes);
    if (threads <= 1)
        for (int64_t i = 0; i < tasks; i++) run_task(&g, &plan, i, memory.data);
#ifdef MT_OPENMP
    else {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t i = 0; i < tasks; i++)
            run_task(&g, &plan, i, space ? memory.data + omp_get_thread_num() * space : NULL);
    }
#endif
    give_back(&memory);
    return MT_OK;
}
