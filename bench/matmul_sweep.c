/* matmul_sweep.c - minitorch's timing of batched matrix products: random (batch, n, n) tensors, the product
 * alone timed, the median of some trials. `fast` is the cpu backend, `slow` the serial oracle, which is left
 * out above SLOW_LIMIT, `openblas` a loop over the batch with OpenBLAS where it is installed.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "openblas.h"
#include "project/outfile.h"
#include "report.h"
#include "sweep_plot.h"

enum { MOST_SIZES = 64, MOST_BATCHES = 8, MOST_TRIALS = 1000, LARGEST_SIZE = 16384, SLOW_LIMIT = 256 };

static const char PROGRAM[] = "matmul_sweep";

typedef struct sweep {
    bench_options bench;
    const char *sizes, *batch, *plot;
    int64_t trials;
    int backend; /* 0: fast and slow; else a position in the library's list, from 1 */
    bool all, openblas;
} sweep;

static const char *backend_choice(int i) { return i == 0 ? "both" : mt_backend_name(i - 1); }

static const option rows[] = {
    {"--sizes", "", OPTION_TEXT, offsetof(sweep, sizes), 0, 0, NULL, "LIST", "64,128,256,512,1024",
     "sizes from 1 to 16384, with commas"},
    {"--batch", "", OPTION_TEXT, offsetof(sweep, batch), 0, 0, NULL, "N", "2",
     "matrices in a product, 1 to 4096; several numbers with commas make a sweep for each"},
    {"--trials", "", OPTION_INT, offsetof(sweep, trials), 1, MOST_TRIALS, NULL, "N", "7",
     "measurements of each, of which the median counts"},
    {"--backend", "", OPTION_CHOICE, offsetof(sweep, backend), 0, 0, backend_choice, "NAME", "both",
     "both is cpu and, up to size 256, simple"},
    {"--openblas", "", OPTION_FLAG, offsetof(sweep, openblas), 0, 0, NULL, "", "",
     "time OpenBLAS too, where it is installed"},
    {"--all", "", OPTION_FLAG, offsetof(sweep, all), 0, 0, NULL, "", "", "time simple at every size"},
    {"--plot", "", OPTION_TEXT, offsetof(sweep, plot), 0, 0, NULL, "FILE", "",
     "draw the figures as FILE.svg or FILE.png, with gnuplot"},
};

/* One product, by the library or by OpenBLAS. */
typedef struct product {
    int64_t n, batch;
    mt_tensor *a, *b, *out;
    const openblas *blas;
    float *x, *y, *z;
} product;

static bool run_library(void *context)
{
    const product *self = context;
    double corner = 0; /* fetched, so that a backend which works behind our back has finished */
    return mt_op_matmul(self->out, self->a, self->b) == MT_OK &&
           mt_get(self->out, mt_at(0, 0, 0), &corner) == MT_OK;
}

static bool run_openblas(void *context)
{
    const product *self = context;
    const int n = (int)self->n;
    for (int64_t i = 0; i < self->batch; i++) {
        const int64_t at = i * self->n * self->n;
        self->blas->sgemm(BLAS_ROW_MAJOR, BLAS_PLAIN, BLAS_PLAIN, n, n, n, 1, self->x + at, n, self->y + at,
                          n, 0, self->z + at, n);
    }
    return true;
}

/* A sample is one product, as the trials ask; small ones are repeated for long enough to be read on a clock.
 */
static bench_effort effort_of(const sweep *options)
{
    bench_effort effort = bench_effort_of(&options->bench);
    effort.samples = options->bench.quick ? 3 : (int)options->trials;
    effort.budget = 1e30;
    effort.sample = options->bench.quick ? 5e-5 : 5e-4;
    return effort;
}

static mt_status time_library(const sweep *options, mt_backend *backend, product *work, bench_time *time)
{
    const mt_shape shape = mt_shape(work->batch, work->n, work->n);
    mt_rng rng = mt_rng_make(options->bench.seed);
    work->a = mt_uniform(backend, shape, &rng, 0, 1);
    work->b = mt_uniform(backend, shape, &rng, 0, 1);
    work->out = mt_zeros(backend, shape);
    mt_status status = work->a != NULL && work->b != NULL && work->out != NULL ? MT_OK : mt_last_status();
    const bench_effort effort = effort_of(options);
    if (status == MT_OK && !bench_measure(&effort, run_library, work, time)) status = mt_last_status();
    mt_tensor_free(work->a);
    mt_tensor_free(work->b);
    mt_tensor_free(work->out);
    return status;
}

static mt_status time_openblas(const sweep *options, product *work, bench_time *time)
{
    const size_t count = (size_t)work->batch * (size_t)work->n * (size_t)work->n;
    mt_rng rng = mt_rng_make(options->bench.seed);
    float *memory = aligned_alloc(64, (3 * count * sizeof(float) + 63) / 64 * 64);
    if (memory == NULL) return mt_fail(MT_ERR_MEMORY, "no memory is left for OpenBLAS's matrices");
    for (size_t i = 0; i < 3 * count; i++) memory[i] = (float)mt_rng_double(&rng);
    work->x = memory;
    work->y = memory + count;
    work->z = memory + 2 * count;
    const bench_effort effort = effort_of(options);
    bench_measure(&effort, run_openblas, work, time);
    free(memory);
    return MT_OK;
}

static const char *label(const char *engine)
{
    if (strcmp(engine, "cpu") == 0) return "fast";
    return strcmp(engine, "simple") == 0 ? "slow" : engine;
}

/* The figures of minitorch's script first, ours behind them. */
static bool write_csv(const bench_report *report, const char *path)
{
    outfile file;
    if (!outfile_open(&file, path, PROGRAM)) return false;
    fputs("size,backend,seconds,gflops,batch,threads,low,high,samples,percent_of_fma\n", file.stream);
    for (int i = 0; i < report->count; i++) {
        const bench_row *row = &report->rows[i];
        long batch = 0, size = 0;
        if (sscanf(row->shape, "%ld x %ld", &batch, &size) != 2) continue;
        fprintf(file.stream, "%ld,%s,%.6g,%.6g,%ld,%d,%.6g,%.6g,%d,%.4g\n", size, row->engine,
                row->time.median, 1e-9 * row->flops / row->time.median, batch, row->threads, row->time.low,
                row->time.high, row->time.samples, 100 * bench_row_share(report, row));
    }
    return outfile_commit(&file, PROGRAM);
}

/* Times one engine at one size and prints its line. backend NULL: OpenBLAS. */
static bool time_one(const sweep *options, bench_report *report, mt_backend *backend, product work)
{
    bench_row row = {.work = "matmul", .bound = BENCH_BY_FMA, .percent = true, .peer = backend == NULL};
    snprintf(row.shape, sizeof row.shape, "%" PRId64 " x %" PRId64 " x %" PRId64, work.batch, work.n, work.n);
    snprintf(row.engine, sizeof row.engine, "%s", backend != NULL ? backend->name : "openblas");
    row.threads = strcmp(row.engine, "simple") == 0 ? 1 : mt_get_threads();
    row.flops = 2 * (double)work.batch * (double)work.n * (double)work.n * (double)work.n;
    const mt_status status = backend != NULL ? time_library(options, backend, &work, &row.time)
                                             : time_openblas(options, &work, &row.time);
    if (status != MT_OK) return bench_fail(PROGRAM, mt_last_message()) == 0;
    printf("    %s: %.*f  (%.4g GFLOP/s, %.0f %% of the multiply-add peak)\n", label(row.engine),
           row.time.median < 0.01 ? 7 : 5, row.time.median, 1e-9 * row.flops / row.time.median,
           100 * bench_row_share(report, &row));
    return bench_report_add(report, &row) && bench_flushed(PROGRAM);
}

typedef struct engines {
    mt_backend *backend[2];
    int count;
    openblas blas;
    bool with_blas;
} engines;

static bool find_engines(const sweep *options, engines *self)
{
    *self = (engines){.count = 0};
    if (options->backend == 0) {
        self->backend[self->count++] = mt_backend_get("cpu");
        self->backend[self->count++] = mt_backend_get("simple");
    } else {
        self->backend[self->count++] = mt_backend_get(backend_choice(options->backend));
    }
    for (int k = 0; k < self->count; k++) {
        char text[512] = "";
        mt_backend *backend = self->backend[k];
        if (backend == NULL) return bench_fail(PROGRAM, mt_last_message()) == 0;
        if (backend->describe != NULL) backend->describe(backend, text, sizeof text);
        fprintf(stderr, "%s: seed %" PRIu64 ", backend %s: %s\n", label(backend->name), options->bench.seed,
                backend->name, text);
    }
    if (options->openblas) {
        self->with_blas = openblas_open(&self->blas, mt_get_threads());
        fprintf(stderr, "openblas: %s\n", self->blas.about);
    }
    return true;
}

static bool sweep_batch(const sweep *options, bench_report *report, const engines *who, int64_t batch,
                        const int64_t *sizes, int count)
{
    printf("Batch: %" PRId64 "\n", batch);
    for (int i = 0; i < count; i++) {
        printf("Size: %" PRId64 "\n", sizes[i]);
        for (int k = 0; k < who->count; k++) {
            const bool slow = strcmp(who->backend[k]->name, "simple") == 0;
            const int64_t limit = options->bench.quick ? 64 : SLOW_LIMIT;
            if (slow && options->backend == 0 && sizes[i] > limit && !options->all) continue;
            if (!time_one(options, report, who->backend[k], (product){.n = sizes[i], .batch = batch}))
                return false;
        }
        if (who->with_blas &&
            !time_one(options, report, NULL, (product){.n = sizes[i], .batch = batch, .blas = &who->blas}))
            return false;
    }
    return true;
}

static int run(const sweep *options)
{
    int64_t sizes[MOST_SIZES], batches[MOST_BATCHES];
    const int count = bench_read_list(PROGRAM, "--sizes", options->sizes, LARGEST_SIZE, sizes, MOST_SIZES);
    if (count == 0) return 2;
    const int batch_count = bench_read_list(PROGRAM, "--batch", options->batch, 4096, batches, MOST_BATCHES);
    if (batch_count == 0) return 2;
    engines who;
    if (!find_engines(options, &who)) return 1;
    if (options->plot != NULL && !sweep_plot_check(options->plot)) return 1;
    bench_report report;
    if (!bench_report_open(&report, PROGRAM, &options->bench)) return 1;
    printf("Timing summary\n");
    bool good = true;
    for (int i = 0; i < batch_count && good; i++)
        good = sweep_batch(options, &report, &who, batches[i], sizes, count);
    if (good && options->plot != NULL) good = sweep_plot_write(options->plot, &report);
    if (good && options->bench.csv != NULL) good = write_csv(&report, options->bench.csv);
    bench_options rest = options->bench;
    rest.csv = NULL; /* written above */
    report.options = &rest;
    const int status = good ? bench_report_finish(&report) : 1;
    bench_report_close(&report);
    return status;
}

int main(int argc, char **argv)
{
    const option_group groups[] = {{"What to time", rows, (int)(sizeof rows / sizeof rows[0])},
                                   bench_options_group};
    const option_table table = {PROGRAM, groups, 2};
    sweep options = {.sizes = NULL};
    const int status = bench_start(&table, argc, argv, &options, "Times products of random square matrices.");
    return status >= 0 ? status : run(&options);
}
