/* scaling.c - how much faster the cpu backend becomes with 1, 2, ... N threads: speed-up over one thread, and
 * efficiency, which is the speed-up for each thread.
 *
 * Beside them stand the ceilings' own speed-ups: work that waits for memory cannot scale better than the
 * copy. A figure is held to the ceiling of as many threads as it had.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "tensor/elementwise_ops.h"

static const char PROGRAM[] = "scaling";

typedef struct work {
    const char *name;
    char shape[48];
    enum { MATMUL, ADD, EXP, SUM, COLUMNS, TRANSPOSE, KINDS } kind;
    mt_tensor *a, *b, *out;
    double flops, bytes;
    bench_bound bound;
} work;

static bool run(void *context)
{
    const work *w = context;
    switch (w->kind) {
    case MATMUL: return mt_op_matmul(w->out, w->a, w->b) == MT_OK;
    case ADD: return mt_op_add(w->out, w->a, w->b) == MT_OK;
    case EXP: return mt_op_exp(w->out, w->a) == MT_OK;
    case SUM: return mt_op_sum(w->out, w->a, mt_axes(0, 1)) == MT_OK;
    case COLUMNS: return mt_op_sum(w->out, w->a, mt_axes(0)) == MT_OK;
    default: return mt_op_copy(w->out, w->b) == MT_OK;
    }
}

/* The i-th work; n x n for matmul, rows x columns for the others. False when memory runs out. */
static bool make(work *w, int kind, mt_backend *cpu, mt_rng *rng, int64_t n, int64_t side)
{
    static const char *const names[KINDS] = {"matmul",  "add",       "exp",
                                             "sum all", "sum dim 0", "copy transposed"};
    const bool product = kind == MATMUL;
    const int64_t m = product ? n : side;
    const double count = (double)m * (double)m;
    *w = (work){.name = names[kind], .kind = kind, .bound = product ? BENCH_BY_FMA : BENCH_BY_COPY};
    snprintf(w->shape, sizeof w->shape, "%" PRId64 " x %" PRId64, m, m);
    w->a = mt_uniform(cpu, mt_shape(m, m), rng, -1, 1);
    if (kind == TRANSPOSE) {
        w->b = mt_tensor_transpose(w->a, 0, 1);
    } else if (kind == MATMUL || kind == ADD) {
        w->b = mt_uniform(cpu, mt_shape(m, m), rng, -1, 1);
    } else {
        w->b = mt_zeros(cpu, mt_shape(1));
    }
    w->out = mt_zeros(cpu, kind == SUM ? mt_shape(1) : kind == COLUMNS ? mt_shape(m) : mt_shape(m, m));
    if (product) w->flops = 2 * count * (double)m;
    if (kind == SUM || kind == COLUMNS) w->bound = BENCH_BY_READ;
    w->bytes = product                          ? 0
               : kind == ADD                    ? 3 * count * sizeof(mt_real)
               : kind == SUM || kind == COLUMNS ? count * sizeof(mt_real)
                                                : 2 * count * sizeof(mt_real);
    return w->a != NULL && w->b != NULL && w->out != NULL;
}

/* Times w with the threads of *ceilings, which were measured with as many. */
static bool time_threads(bench_report *report, work *w, const bench_ceilings *ceilings, double *one)
{
    const int threads = ceilings->threads;
    const bench_effort effort = bench_effort_of(report->options);
    bench_row row = {.flops = w->flops, .bytes = w->bytes, .bound = w->bound, .threads = threads};
    row.ceiling = bench_ceiling_of(ceilings, row.bound);
    row.percent = row.flops > 0 || row.bytes > BENCH_STREAMED;
    snprintf(row.work, sizeof row.work, "%s", w->name);
    snprintf(row.shape, sizeof row.shape, "%s", w->shape);
    snprintf(row.engine, sizeof row.engine, "cpu");
    if (mt_set_threads(threads) != MT_OK || !bench_measure(&effort, run, w, &row.time))
        return bench_fail(PROGRAM, mt_last_message()) == 0;
    if (threads == 1) *one = row.time.median;
    bench_report_raise(report, &row);
    const double rate = 1e-9 * (row.flops > 0 ? row.flops : row.bytes) / row.time.median;
    const double share = bench_row_share(report, &row);
    char median[24], low[24], high[24];
    printf("%-16s %-12s %7d %10s  (%s to %s)  speed-up %5.2f  efficiency %3.0f %%  %7.1f %s", row.work,
           row.shape, threads, bench_seconds_text(row.time.median, median),
           bench_seconds_text(row.time.low, low), bench_seconds_text(row.time.high, high),
           *one / row.time.median, 100 * *one / row.time.median / threads, rate,
           row.flops > 0 ? "GFLOP/s" : "GB/s");
    if (isfinite(share)) printf("  %3.0f %% of %s", 100 * share, bench_bound_name(row.bound));
    putchar('\n');
    return bench_report_add(report, &row) && bench_flushed(PROGRAM);
}

/* Measures the ceilings of 1 to most threads. */
static bool time_ceilings(const bench_options *options, int most, bench_ceilings *measured)
{
    for (int threads = 1; threads <= most; threads++) {
        bench_ceilings now;
        if (!bench_ceilings_measure(options, threads, &now)) return false;
        measured[threads - 1] = now;
        printf("ceilings of %d threads: copy %.1f GB/s (%.2f times one), read %.1f GB/s (%.2f), multiply-add "
               "%.0f GFLOP/s (%.2f)\n",
               threads, now.copy, now.copy / measured->copy, now.read, now.read / measured->read, now.fma,
               now.fma / measured->fma);
    }
    return true;
}

int main(int argc, char **argv)
{
    const option_group groups[] = {bench_options_group};
    const option_table table = {PROGRAM, groups, 1};
    bench_options options = {.quick = false};
    int status = bench_start(&table, argc, argv, &options,
                             "Times the cpu backend with 1 to N threads; --threads is N.");
    if (status >= 0) return status;
    mt_backend *cpu = mt_backend_get("cpu");
    if (cpu == NULL) return bench_fail(PROGRAM, mt_last_message());
    bench_report report;
    const int most = mt_get_threads();
    if (!bench_report_open(&report, PROGRAM, &options)) return 1;
    mt_rng rng = mt_rng_make(options.seed);
    bench_ceilings *ceilings = calloc((size_t)most, sizeof *ceilings);
    bool good = ceilings != NULL;
    if (!good) bench_fail(PROGRAM, "no memory is left for the ceilings; close other programs");
    good = good && time_ceilings(&options, most, ceilings);
    printf("%-16s %-12s %7s %10s\n", "work", "shape", "threads", "median");
    for (int kind = 0; kind < KINDS && good; kind++) {
        work w;
        double one = 0;
        good = make(&w, kind, cpu, &rng, options.quick ? 128 : 1024, options.quick ? 512 : 4000);
        if (!good) bench_fail(PROGRAM, mt_last_message());
        for (int threads = 1; threads <= most && good; threads++)
            good = time_threads(&report, &w, &ceilings[threads - 1], &one);
        mt_tensor_free(w.a);
        mt_tensor_free(w.b);
        mt_tensor_free(w.out);
    }
    free(ceilings);
    mt_set_threads(most);
    status = good ? bench_report_finish(&report) : 1;
    bench_report_close(&report);
    return status;
}
