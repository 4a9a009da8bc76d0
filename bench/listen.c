/* listen.c - kernels that note who called them and call the real ones (see listen.h).
 *
 * A kernel gets no context, so what it needs lies in static variables: one operation is watched at a time.
 * Each call takes a place in a table by an atomic counter; nothing is added up before the work is done.
 */
#include "listen.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ops_cpu/gemm.h"
#include "tensor/op_id.h"

enum { MOST_CALLS = 1 << 16 };

typedef struct call {
    const char *kernel;
    const void *target; /* where it begins to write; NULL where that is its thread's own */
    int64_t size, second;
    int thread;
} call;

static call calls[MOST_CALLS];
static atomic_llong call_count;
static atomic_int next_thread;
static _Thread_local int own_thread = -1;
static atomic_bool listening;

static mt_cpu_kernels table;
static mt_tile_fn maps[MT_MAP_COUNT], zips[MT_OP_COUNT - MT_MAP_COUNT];
static mt_fold_kernels folds;
static struct mt_gemm_kernels gemm;
static const mt_cpu_kernels *real;
static mt_tile_fn real_value;

static double asked_work;
static int asked_answer, asked;

static void note(const char *kernel, const void *target, int64_t size, int64_t second)
{
    if (own_thread < 0) own_thread = atomic_fetch_add(&next_thread, 1);
    const long long at = atomic_fetch_add(&call_count, 1);
    if (at < MOST_CALLS) calls[at] = (call){kernel, target, size, second, own_thread};
}

/* ---- the kernels ---- */

static void heard_tile(const int64_t size[2], mt_real *const *data, const int64_t (*step)[2],
                       const mt_real *p)
{
    note("tile", data[0], size[1], size[0]);
    real_value(size, data, step, p);
}

#define HEARD_FOLD(op)                                                                                     \
    static mt_real heard_fold_##op(int64_t n, const mt_real *in, int64_t step)                             \
    {                                                                                                      \
        note("fold", NULL, n, 0);                                                                          \
        return real->folds->fold[op](n, in, step);                                                         \
    }                                                                                                      \
    static void heard_rows_##op(int64_t rows, int64_t n, const mt_real *in, int64_t step, mt_real *out)    \
    {                                                                                                      \
        note("fold", NULL, n, rows);                                                                       \
        real->folds->rows[op](rows, n, in, step, out);                                                     \
    }                                                                                                      \
    static void heard_combine_##op(int64_t n, mt_real *acc, const mt_real *in)                             \
    {                                                                                                      \
        note("combine", NULL, n, 0);                                                                       \
        real->folds->combine[op](n, acc, in);                                                              \
    }                                                                                                      \
    static void heard_columns_##op(int64_t n, mt_real *acc, const mt_real *in, int64_t step, int64_t rows) \
    {                                                                                                      \
        note("columns", NULL, n, rows);                                                                    \
        real->folds->columns[op](n, acc, in, step, rows);                                                  \
    }
HEARD_FOLD(MT_SUM)
HEARD_FOLD(MT_PROD)
HEARD_FOLD(MT_MAX)
HEARD_FOLD(MT_MIN)
HEARD_FOLD(MT_ALL)

static int64_t heard_argmax(int64_t n, const mt_real *in, int64_t step)
{
    note("arg", NULL, n, 0);
    return real->folds->argmax(n, in, step);
}

static int64_t heard_argmin(int64_t n, const mt_real *in, int64_t step)
{
    note("arg", NULL, n, 0);
    return real->folds->argmin(n, in, step);
}

static void heard_argmax_rows(int64_t n, mt_real *top, mt_place *at, const mt_real *in, int64_t step,
                              int64_t rows, int64_t first)
{
    note("arg_rows", NULL, n, 0);
    real->folds->argmax_rows(n, top, at, in, step, rows, first);
}

static void heard_argmin_rows(int64_t n, mt_real *top, mt_place *at, const mt_real *in, int64_t step,
                              int64_t rows, int64_t first)
{
    note("arg_rows", NULL, n, 0);
    real->folds->argmin_rows(n, top, at, in, step, rows, first);
}

#define HEARD_BLOCK(kernel)                                                       \
    static void heard_##kernel(const mt_gemm_block *block)                        \
    {                                                                             \
        for (int64_t i = 0; i < block->count; i++)                                \
            note(#kernel, block->c.data + i * block->c_step, block->m, block->n); \
        real->gemm->kernel(block);                                                \
    }
HEARD_BLOCK(direct)
HEARD_BLOCK(dot)
HEARD_BLOCK(packed)

static void heard_pack_a(int64_t m, int64_t k, mt_matrix a, mt_real *panels)
{
    note("pack_a", panels, m, k);
    real->gemm->packing->pack_a(m, k, a, panels);
}

static void heard_pack_b(int64_t k, int64_t n, mt_matrix b, mt_real *strips)
{
    note("pack_b", strips, n, k);
    real->gemm->packing->pack_b(k, n, b, strips);
}

static void heard_copy_b(int64_t k, int64_t n, mt_matrix b, mt_real *out, int64_t row)
{
    note("copy_b", out, n, k);
    real->gemm->packing->copy_b(k, n, b, out, row);
}

static const struct mt_gemm_packing packing = {
    .pack_a = heard_pack_a, .pack_b = heard_pack_b, .copy_b = heard_copy_b};

/* ---- in place of the library's own ---- */

#ifdef BENCH_WRAP
const mt_cpu_kernels *__real_mt_cpu_kernels_get(void);
const mt_cpu_kernels *__wrap_mt_cpu_kernels_get(void);
int __real_mt_cpu_threads(double work);
int __wrap_mt_cpu_threads(double work);

const mt_cpu_kernels *__wrap_mt_cpu_kernels_get(void)
{
    return atomic_load(&listening) ? &table : __real_mt_cpu_kernels_get();
}

int __wrap_mt_cpu_threads(double work)
{
    const int answer = __real_mt_cpu_threads(work);
    if (atomic_load(&listening) && (asked == 0 || work > asked_work)) {
        asked_work = work;
        asked_answer = answer;
    }
    asked += atomic_load(&listening);
    return answer;
}

bool listen_works(void) { return true; }
#else
bool listen_works(void) { return false; }
#endif

void listen_start(mt_op op)
{
    real = mt_cpu_kernels_get();
    table = *real;
    folds = *real->folds;
    gemm = *real->gemm;
    table.folds = &folds;
    table.gemm = &gemm;
    if (op < MT_OP_COUNT) {
        memcpy(maps, real->map[MT_PART_VALUE], sizeof maps);
        memcpy(zips, real->zip[MT_PART_VALUE], sizeof zips);
        mt_tile_fn *value = op < MT_MAP_COUNT ? &maps[op] : &zips[op - MT_MAP_COUNT];
        real_value = *value;
        *value = heard_tile;
        table.map[MT_PART_VALUE] = maps;
        table.zip[MT_PART_VALUE] = zips;
        if (op == MT_OP_add) table.add = heard_tile;
    }
    const mt_fold_fn fold[MT_FOLDS] = {heard_fold_MT_SUM, heard_fold_MT_PROD, heard_fold_MT_MAX,
                                       heard_fold_MT_MIN, heard_fold_MT_ALL};
    const mt_combine_fn combine[MT_FOLDS] = {heard_combine_MT_SUM, heard_combine_MT_PROD,
                                             heard_combine_MT_MAX, heard_combine_MT_MIN,
                                             heard_combine_MT_ALL};
    const mt_fold_rows_fn rows[MT_FOLDS] = {heard_rows_MT_SUM, heard_rows_MT_PROD, heard_rows_MT_MAX,
                                            heard_rows_MT_MIN, heard_rows_MT_ALL};
    const mt_columns_fn columns[MT_FOLDS] = {heard_columns_MT_SUM, heard_columns_MT_PROD,
                                             heard_columns_MT_MAX, heard_columns_MT_MIN,
                                             heard_columns_MT_ALL};
    memcpy(folds.fold, fold, sizeof fold);
    memcpy(folds.combine, combine, sizeof combine);
    memcpy(folds.rows, rows, sizeof rows);
    memcpy(folds.columns, columns, sizeof columns);
    folds.argmax = heard_argmax;
    folds.argmin = heard_argmin;
    folds.argmax_rows = heard_argmax_rows;
    folds.argmin_rows = heard_argmin_rows;
    gemm.direct = heard_direct;
    gemm.dot = heard_dot;
    gemm.packed = heard_packed;
    gemm.packing = &packing;
    atomic_store(&call_count, 0);
    asked = 0;
    asked_work = 0;
    atomic_store(&listening, true);
}

/* ---- adding up ---- */

static int by_place(const void *x, const void *y)
{
    const call *a = x, *b = y;
    const int names = strcmp(a->kernel, b->kernel);
    if (names != 0) return names;
    if (a->target != b->target) return (uintptr_t)a->target < (uintptr_t)b->target ? -1 : 1;
    return a->thread - b->thread;
}

const listen_kernel *listen_find(const listen_report *report, const char *name)
{
    for (int i = 0; i < report->kernels; i++) {
        if (strcmp(report->kernel[i].name, name) == 0) return &report->kernel[i];
    }
    return NULL;
}

void listen_stop(listen_report *report)
{
    atomic_store(&listening, false);
    const long long all = atomic_load(&call_count), count = all < MOST_CALLS ? all : MOST_CALLS;
    *report = (listen_report){
        .asked = asked, .asked_work = asked_work, .asked_answer = asked_answer, .lost = all > count};
    qsort(calls, (size_t)count, sizeof *calls, by_place);
    bool seen[LISTEN_THREADS] = {false};
    for (long long i = 0; i < count; i++) {
        const call *c = &calls[i];
        const int thread = c->thread < LISTEN_THREADS ? c->thread : LISTEN_THREADS - 1;
        if (report->kernels == 0 || strcmp(report->kernel[report->kernels - 1].name, c->kernel) != 0) {
            if (report->kernels == LISTEN_NAMES) break;
            report->kernel[report->kernels++] = (listen_kernel){.name = c->kernel, .least = INT64_MAX};
        }
        listen_kernel *k = &report->kernel[report->kernels - 1];
        k->calls++;
        k->by_thread[thread]++;
        if (c->size < k->least) k->least = c->size;
        if (c->size > k->most) k->most = c->size;
        if (c->second > k->second_most) k->second_most = c->second;
        if (k->calls == 1 || (uintptr_t)c->target < (uintptr_t)k->lowest) k->lowest = c->target;
        report->threads += !seen[thread];
        seen[thread] = true;
        if (i > 0 && c->target != NULL && calls[i - 1].target == c->target &&
            strcmp(calls[i - 1].kernel, c->kernel) == 0 && calls[i - 1].thread != c->thread)
            k->shared++;
    }
}
