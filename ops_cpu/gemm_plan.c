/* ops_cpu/gemm_plan.c - chooses the path of a matmul from sizes and strides, and cuts C for the threads.
 *
 * choose() is the table: the first path that fits is taken. It never asks for the number of threads, since
 * another path may give other bits.
 */
#include "gemm_plan.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

/* A step of k costs a fraction of what mt_cpu_threads counts in: two threads pay from 64 x 64 x 64. */
static const double STEPS_OF_K = 4;
/* Threads may share k where k >= LONG_K * max(m, n). */
enum { LONG_K = 4 };
/* MT_GEMM_LONG: m, n <= FEW and k >= LONG_STRETCHES * dot_kc; k is cut into at most MOST_PIECES pieces. */
enum { LONG_STRETCHES = 4, FEW = 16, MOST_PIECES = 1024 };

/* (B^T A^T)^T. */
static void transpose(mt_gemm *g)
{
    const int64_t m = g->m;
    const mt_matrix a = g->a;
    g->turned = !g->turned;
    g->m = g->n;
    g->n = m;
    g->a = mt_matrix_transpose(g->b);
    g->b = mt_matrix_transpose(a);
    g->c = mt_matrix_transpose(g->c);
    g->pre = mt_matrix_transpose(g->pre);
    g->bias = mt_matrix_transpose(g->bias);
}

/* A dimension of size 1 is never stepped along, so its stride may be what suits best. */
static void tidy(mt_gemm *g)
{
    if (g->k == 1) g->a.col = g->b.row = 1;
    if (g->n == 1) g->b.col = g->c.col = 1;
    if (g->m == 1) g->a.row = g->c.row = 1;
}

/* The table of paths, first fit. Everything it asks is a size or a stride. */
static void choose(mt_gemm *g)
{
    const struct mt_gemm_kernels *t = g->kernels;
    /* Rows of C contiguous where possible; a single column becomes a single row. */
    if (g->n == 1 || (g->c.col != 1 && g->c.row == 1 && g->m > 1)) transpose(g);
    tidy(g);
    const bool few_rows = g->m <= t->few_rows, small = (double)g->m * (double)g->n * (double)g->k <= t->small;
    const bool alone = g->n == 1 && g->b.row == 1 && g->k >= 2 * t->lanes; /* one column is both */
    const bool rows_of_b = g->b.col == 1 && !alone;
    const bool short_k = g->k <= MT_GEMM_SHORT_K || (g->k <= t->direct_kc && g->n <= t->direct_b / g->k);
    /* Turning a small B into rows costs less than adding up the lanes of dot products, unless they are long.
     */
    const bool long_dots = !small || g->k >= t->dot_ratio * g->m || g->n <= t->lanes;
    const bool columns_of_b = g->b.row == 1 && g->k >= 2 * t->lanes && long_dots;
    if (g->k == 0) {
        g->path = MT_GEMM_ZERO;
    } else if (g->m <= FEW && g->n <= FEW && g->k >= LONG_STRETCHES * t->dot_kc) {
        if (mt_gemm_long_layout(g) == MT_GEMM_NEITHER && g->a.row == 1) transpose(g); /* rows of A^T */
        g->path = MT_GEMM_LONG;
        g->kc = mt_gemm_round_up((g->k + MOST_PIECES - 1) / MOST_PIECES, t->dot_kc);
    } else if (rows_of_b && (few_rows || small || short_k)) {
        g->path = MT_GEMM_DIRECT;
        g->kc = small ? g->k : t->direct_kc;
    } else if (columns_of_b && few_rows) {
        g->path = MT_GEMM_DOT;
        g->kc = t->dot_kc;
    } else if (small) {
        g->path = MT_GEMM_COPY_B;
        g->kc = g->k;
    } else {
        g->path = MT_GEMM_PACKED;
        g->kc = t->kc;
    }
    /* Even pieces, of whole vectors where k runs along them, else of what is turned at once. */
    if (g->k > g->kc)
        g->kc = mt_gemm_piece(g->k, mt_gemm_panels(g->k, g->kc),
                              g->path == MT_GEMM_DOT || g->path == MT_GEMM_LONG ? t->lanes : 4);
}

/* Cuts C for up to threads threads: the grid whose largest cell costs least, counting its tiles and what of A
 * and B it has to read or pack. */
static void cut(mt_gemm *g, int64_t threads)
{
    double best = 0;
    for (int64_t rows = 1; rows <= threads; rows++) {
        const int64_t columns = threads / rows;
        const double m = (double)mt_gemm_piece(g->m, rows, 1),
                     n = (double)mt_gemm_least(g->n, mt_gemm_piece(g->n, columns, mt_gemm_column_unit(g)));
        const double cost = m * n + 16 * (m + n);
        if (rows > 1 && cost >= best) continue;
        best = cost;
        g->row_cells = rows;
        g->column_cells = columns;
    }
}

/* Whether to cut k instead. Where k is long and C stays in the second cache, each thread then reads its own
 * part of A and of B, and the rows of weights that a thread reads are those that it updates. The bits are the
 * same: pieces of k are added to C one after the other in any case. */
static bool cuts_k(const mt_gemm *g, int64_t threads)
{
    const int64_t pieces = mt_gemm_panels(g->k, g->kc), largest = 1 << 15, most = 1 << 20;
    return g->path == MT_GEMM_PACKED && pieces >= threads && g->k >= LONG_K * (g->m > g->n ? g->m : g->n) &&
           g->m <= largest / g->n && pieces <= most / (g->m * g->n);
}

/* Sizes are multiples of 16 numbers, so that every part is aligned. */
int64_t mt_gemm_space_a(const mt_gemm *g)
{
    const struct mt_gemm_kernels *t = g->kernels;
    if (g->path != MT_GEMM_PACKED || !mt_gemm_packs_a(g)) return 0;
    const int64_t rows = mt_gemm_round_up(mt_gemm_piece(g->m, g->row_cells, 1), t->mr);
    return mt_gemm_round_up(mt_gemm_least(rows, mt_gemm_high(g) + t->mr) * mt_gemm_least(g->kc, g->k), 16);
}

/* Rows are read in place, and, where that pays, columns, unless steps of k are so far apart that few sets of
 * the first cache hold them, and each is on a page of its own. */
bool mt_gemm_packs_a(const mt_gemm *g)
{
    const struct mt_gemm_kernels *t = g->kernels;
    const bool far = g->a.col * (int64_t)sizeof(mt_real) >= 2048;
    const bool in_place = g->a.col == 1 || (t->columns_of_a && g->a.row == 1 && !far);
    return !in_place || g->n >= t->pack_a_from;
}

int64_t mt_gemm_space(const mt_gemm *g)
{
    const struct mt_gemm_kernels *t = g->kernels;
    const int64_t columns = mt_gemm_round_up(mt_gemm_piece(g->n, g->column_cells, t->nr), t->nr),
                  k = mt_gemm_least(g->kc, g->k);
    switch (g->path) {
    case MT_GEMM_LONG:
        return mt_gemm_long_layout(g) == MT_GEMM_NEITHER ? mt_gemm_round_up((g->m + g->n) * t->dot_kc, 16)
                                                         : 0;
    case MT_GEMM_COPY_B: return mt_gemm_round_up(mt_gemm_copy_width(g) * g->k, 16);
    case MT_GEMM_DOT: return g->a.col == 1 ? 0 : mt_gemm_round_up(g->m * k, 16);
    case MT_GEMM_PACKED:
        return mt_gemm_space_a(g) + mt_gemm_round_up(mt_gemm_least(columns, t->nc + t->nr) * k, 16);
    default: return 0;
    }
}

int64_t mt_gemm_space_partial(const mt_gemm *g)
{
    if (g->path == MT_GEMM_LONG) return mt_gemm_group(g) * mt_gemm_panels(g->k, g->kc) * g->m * g->n;
    return g->k_cells == 1 ? 0 : mt_gemm_partials(g) * mt_gemm_partial_size(g);
}

/* The product as the plan has it, cut nowhere. Member by member into the caller's: a small product feels it
 * when they are cleared first, or copied. */
static void begin(mt_gemm *g, const mt_matmul_work *work, const mt_matmul_plan *plan)
{
    const mt_cpu_kernels *kernels = mt_cpu_kernels_get();
    const bool alone = work->accumulate; /* then nothing follows the sum */
    g->kernels = kernels->gemm;
    g->plan = plan;
    g->path = MT_GEMM_ZERO;
    g->m = plan->m, g->n = plan->n, g->k = plan->k;
    g->a = plan->a, g->b = plan->b, g->c = plan->c;
    g->pre = plan->pre, g->bias = plan->bias;
    if (alone) g->pre.data = g->bias.data = NULL;
    g->act = work->has_act && !alone ? kernels->map[MT_PART_VALUE][work->act] : NULL;
    g->add = work->accumulate;
    g->turned = false;
    g->kc = 1;
    g->count = 1, g->a_step = g->b_step = g->c_step = 0;
    g->row_cells = g->column_cells = g->k_cells = 1;
    g->threads = 1;
    g->tasks = 1;
    g->space = NULL, g->own = 0;
}

/* A batch whose products share B and whose matrices A, C and pre follow upon each other is one product of
 * more rows. */
static void fold_batch(mt_gemm *g, mt_matmul_plan *plan)
{
    if (plan->batch <= 1 || plan->batch_rank != 1 || plan->batch_b[0] != 0) return;
    const int64_t m = g->m;
    if (m > 1 && (plan->batch_a[0] != m * g->a.row || plan->batch_c[0] != m * g->c.row)) return;
    if (m > 1 && g->pre.data && plan->batch_pre[0] != m * g->pre.row) return;
    if (m == 1) {
        g->a.row = plan->batch_a[0];
        g->c.row = plan->batch_c[0];
        g->pre.row = plan->batch_pre[0];
    }
    g->m *= plan->batch;
    plan->batch = 1;
}

void mt_gemm_make(const mt_matmul_work *work, mt_matmul_plan *plan, mt_gemm *g)
{
    begin(g, work, plan);
    fold_batch(g, plan);
    choose(g);
    const double steps = (double)plan->batch * (double)g->m * (double)g->n * (double)g->k;
    g->threads = mt_cpu_threads(steps / STEPS_OF_K);
    if (g->path == MT_GEMM_LONG) {
        g->tasks = plan->batch * mt_gemm_panels(g->k, g->kc);
        if (g->tasks < g->threads) g->threads = (int)g->tasks;
        return;
    }
    if (plan->batch == 1 && g->threads > 1 && cuts_k(g, g->threads))
        g->k_cells = g->threads;
    else if (g->threads > 1 && plan->batch < 2 * g->threads)
        cut(g, (g->threads + plan->batch - 1) / plan->batch);
    g->tasks = plan->batch * g->row_cells * g->column_cells * g->k_cells;
    if (g->tasks < g->threads) g->threads = (int)g->tasks;
}

int mt_gemm_describe(const mt_matmul_work *work, char *text, size_t size)
{
    static const char *const path[] = {
        [MT_GEMM_ZERO] = "no steps, zeros",
        [MT_GEMM_DIRECT] = "A and B in place",
        [MT_GEMM_COPY_B] = "A in place, strips of B copied to rows",
        [MT_GEMM_LONG] = "dot products along pieces of k, joined in pairs",
        [MT_GEMM_DOT] = "dot products along k",
        [MT_GEMM_PACKED] = "B packed, A in place or packed",
    };
    mt_matmul_plan plan;
    mt_plan_matmul(work, &plan);
    mt_gemm g;
    mt_gemm_make(work, &plan, &g);
    return snprintf(text, size,
                    "%lld of %lld x %lld x %lld%s: %s; k in pieces of %lld; tile %d x %d (%s); C cut "
                    "%lld x %lld, k %lld, %lld tasks over %d threads; %lld bytes of workspace a thread",
                    (long long)plan.batch, (long long)g.m, (long long)g.k, (long long)g.n,
                    g.turned ? " (turned)" : "", path[g.path], (long long)mt_gemm_least(g.kc, g.k),
                    g.kernels->mr, g.kernels->nr, mt_cpu_kernels_get()->isa, (long long)g.row_cells,
                    (long long)g.column_cells, (long long)g.k_cells, (long long)g.tasks, g.threads,
                    (long long)mt_gemm_space(&g) * (long long)sizeof(mt_real));
}

static atomic_uint_least64_t counts[MT_GEMM_PATHS];

void mt_gemm_count(mt_gemm_path path) { atomic_fetch_add_explicit(&counts[path], 1, memory_order_relaxed); }

int mt_gemm_counts(char *text, size_t size)
{
    static const char *const name[MT_GEMM_PATHS] = {"zero", "direct", "copy-b", "long", "dot", "packed"};
    int used = 0;
    for (int path = 0; path < MT_GEMM_PATHS; path++) {
        uint64_t count = atomic_load_explicit(&counts[path], memory_order_relaxed);
        if (count == 0) continue;
        size_t room = (size_t)used < size ? size - (size_t)used : 0;
        used +=
            snprintf(room ? text + used : NULL, room, "%s%s %" PRIu64, used ? ", " : "", name[path], count);
    }
    return used;
}
