/* matmul_sweep.c - minitorch's timing of batched matrix products: random (batch, n, n) tensors, the product
 * alone timed, the median of some trials, which the engines take by turns. `fast` is the cpu backend, `slow`
 * the serial oracle, which is left out above SLOW_LIMIT, `openblas` a loop over the batch with OpenBLAS where
 * it is installed. With --layouts the same products follow with A, B or both transposed, and with both cut
 * out of larger matrices; with --shapes the products of two small networks.
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
#include "tensor/ops.h"

enum { MOST_SIZES = 64, MOST_BATCHES = 8, MOST_TRIALS = 1000, LARGEST_SIZE = 16384, SLOW_LIMIT = 256 };

#define USUAL_SIZES "64,128,256,512,1024"
#define QUICK_SIZES "16,32,64"

static const char PROGRAM[] = "matmul_sweep";

typedef struct sweep {
    bench_options bench;
    const char *sizes; /* NULL: those of USUAL_SIZES or QUICK_SIZES */
    const char *batch, *plot;
    int64_t trials;
    int backend; /* 0: fast and slow; else a position in the library's list, from 1 */
    bool all, openblas, layouts, shapes;
} sweep;

static const char *backend_choice(int i) { return i == 0 ? "both" : mt_backend_name(i - 1); }

static const option rows[] = {
    {"--sizes", "", OPTION_TEXT, offsetof(sweep, sizes), 0, 0, NULL, "LIST", "",
     "sizes from 1 to 16384, with commas; without it " USUAL_SIZES ", with --quick " QUICK_SIZES},
    {"--batch", "", OPTION_TEXT, offsetof(sweep, batch), 0, 0, NULL, "N", "2",
     "matrices in a product, 1 to 4096; several numbers with commas make a sweep for each"},
    {"--trials", "", OPTION_INT, offsetof(sweep, trials), 1, MOST_TRIALS, NULL, "N", "7",
     "measurements of each, of which the median counts"},
    {"--backend", "", OPTION_CHOICE, offsetof(sweep, backend), 0, 0, backend_choice, "NAME", "both",
     "both is cpu and, up to size 256 (with --quick 64), simple"},
    {"--openblas", "", OPTION_FLAG, offsetof(sweep, openblas), 0, 0, NULL, "", "",
     "time OpenBLAS too, where it is installed"},
    {"--all", "", OPTION_FLAG, offsetof(sweep, all), 0, 0, NULL, "", "", "time simple at every size"},
    {"--layouts", "", OPTION_FLAG, offsetof(sweep, layouts), 0, 0, NULL, "", "",
     "time transposed and sliced operands too, as at, bt, atbt and sliced"},
    {"--shapes", "", OPTION_FLAG, offsetof(sweep, shapes), 0, 0, NULL, "", "",
     "instead of the sizes, the products of a training step: hidden layers of 100 and 1000 with a batch of "
     "10, "
     "and 784-128-64-10 with a batch of 64"},
    {"--plot", "", OPTION_TEXT, offsetof(sweep, plot), 0, 0, NULL, "FILE", "",
     "draw the figures as FILE.svg or FILE.png, with gnuplot"},
};

/* How an operand lies in memory. */
typedef enum layout { PLAIN, TURNED, SLICED } layout;

/* One product, by the library or by OpenBLAS: batch times (m x k)(k x n). */
typedef struct product {
    char engine[24];
    mt_backend *backend; /* NULL: OpenBLAS */
    int64_t m, k, n, batch;
    layout a_layout, b_layout;
    mt_tensor *whole[2], *a, *b, *out;
    const openblas *blas;
    float *x, *y, *z;
    bool serial;
    double peak; /* of one thread, where it is serial; else 0: the report's */
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
    const int m = (int)self->m, n = (int)self->n, k = (int)self->k;
    const bool turn_a = self->a_layout == TURNED, turn_b = self->b_layout == TURNED;
    for (int64_t i = 0; i < self->batch; i++)
        self->blas->sgemm(BLAS_ROW_MAJOR, turn_a ? BLAS_TRANSPOSED : BLAS_PLAIN,
                          turn_b ? BLAS_TRANSPOSED : BLAS_PLAIN, m, n, k, 1, self->x + i * m * k,
                          turn_a ? m : k, self->y + i * k * n, turn_b ? k : n, 0, self->z + i * m * n, n);
    return true;
}

/* A sample is one product, as the trials ask; small ones are repeated for long enough to be read on a clock.
 */
static bench_effort effort_of(const sweep *options)
{
    bench_effort effort = bench_effort_of(&options->bench);
    effort.samples = options->bench.quick ? 3 : (int)options->trials;
    effort.budget = 1e30;
    effort.sample = options->bench.quick ? 5e-5 : 2e-3;
    return effort;
}

/* A batch of high x wide as lies says: a view of *whole, or *whole itself. */
static mt_tensor *operand(mt_backend *backend, mt_rng *rng, layout lies, int64_t batch, int64_t high,
                          int64_t wide, mt_tensor **whole)
{
    if (lies == PLAIN) return *whole = mt_uniform(backend, mt_shape(batch, high, wide), rng, 0, 1);
    if (lies == TURNED) {
        *whole = mt_uniform(backend, mt_shape(batch, wide, high), rng, 0, 1);
        return mt_tensor_transpose(*whole, 1, 2);
    }
    *whole = mt_uniform(backend, mt_shape(batch, high + 3, wide + 5), rng, 0, 1);
    mt_tensor *some = mt_tensor_slice(*whole, 1, 2, 2 + high, 1);
    mt_tensor *cut = mt_tensor_slice(some, 2, 3, 3 + wide, 1);
    mt_tensor_free(some);
    return cut;
}

static mt_status product_open(product *self, uint64_t seed)
{
    mt_rng rng = mt_rng_make(seed);
    if (self->backend != NULL) {
        self->a =
            operand(self->backend, &rng, self->a_layout, self->batch, self->m, self->k, &self->whole[0]);
        self->b =
            operand(self->backend, &rng, self->b_layout, self->batch, self->k, self->n, &self->whole[1]);
        self->out = mt_zeros(self->backend, mt_shape(self->batch, self->m, self->n));
        return self->a != NULL && self->b != NULL && self->out != NULL ? MT_OK : mt_last_status();
    }
    const int64_t a = self->batch * self->m * self->k, b = self->batch * self->k * self->n;
    const size_t count = (size_t)(a + b + self->batch * self->m * self->n);
    self->x = openblas_numbers(count);
    if (self->x == NULL) return mt_fail(MT_ERR_MEMORY, "no memory is left for OpenBLAS's matrices");
    for (size_t i = 0; i < count; i++) self->x[i] = (float)mt_rng_double(&rng);
    self->y = self->x + a;
    self->z = self->y + b;
    return MT_OK;
}

static void product_close(product *self)
{
    for (int i = 0; i < 2; i++) {
        mt_tensor *view = i == 0 ? self->a : self->b;
        if (view != self->whole[i]) mt_tensor_free(view);
        mt_tensor_free(self->whole[i]);
    }
    mt_tensor_free(self->out);
    free(self->x);
}

static bool is_serial(const mt_backend *backend) { return strcmp(backend->name, "simple") == 0; }

static const char *label(const char *engine)
{
    if (strcmp(engine, "cpu") == 0) return "fast";
    return strcmp(engine, "simple") == 0 ? "slow" : engine;
}

/* The figures of minitorch's script first, ours behind them. A product of --shapes has no size, and a batch
 * of one. */
static bool write_csv(const bench_report *report, const char *path)
{
    outfile file;
    if (!outfile_open(&file, path, PROGRAM)) return false;
    fputs("size,backend,seconds,gflops,batch,threads,low,high,samples,percent_of_fma,shape\n", file.stream);
    for (int i = 0; i < report->count; i++) {
        const bench_row *row = &report->rows[i];
        long batch = 1, size = 0;
        if (sscanf(row->shape, "%ld x %ld", &batch, &size) == 2) fprintf(file.stream, "%ld", size);
        fprintf(file.stream, ",%s,%.6g,%.6g,%ld,%d,%.6g,%.6g,%d,%.4g,%s\n", row->engine, row->time.median,
                1e-9 * row->flops / row->time.median, batch, row->threads, row->time.low, row->time.high,
                row->time.samples, 100 * bench_row_share(report, row), row->shape);
    }
    return outfile_commit(&file, PROGRAM);
}

/* A product that is not square: what is multiplied, and what of it lies transposed in memory. */
static void shape_text(const product *work, char *text, size_t size)
{
    snprintf(text, size, "(%" PRId64 " x %" PRId64 ")%s(%" PRId64 " x %" PRId64 ")%s", work->m, work->k,
             work->a_layout == TURNED ? " transposed " : "", work->k, work->n,
             work->b_layout == TURNED ? " transposed" : "");
}

/* Prints the line of one product and keeps its row; beside holds what it is compared with, or NULL. */
static bool tell(bench_report *report, const product *work, const bench_time *time, const bench_turn *beside)
{
    bench_row row = {.work = "matmul", .bound = BENCH_BY_FMA, .percent = true, .time = *time};
    row.ceiling = work->peak;
    row.peer = work->backend == NULL;
    if (work->m == work->n && work->m == work->k)
        snprintf(row.shape, sizeof row.shape, "%" PRId64 " x %" PRId64 " x %" PRId64, work->batch, work->n,
                 work->n);
    else
        shape_text(work, row.shape, sizeof row.shape);
    snprintf(row.engine, sizeof row.engine, "%s", work->engine);
    row.threads = work->serial ? 1 : mt_get_threads();
    row.flops = 2 * (double)work->batch * (double)work->m * (double)work->n * (double)work->k;
    bench_report_raise(report, &row);
    printf("    %s: %.*f  (%.4g GFLOP/s, %.0f %% of the multiply-add peak", label(row.engine),
           row.time.median < 0.01 ? 7 : 5, row.time.median, 1e-9 * row.flops / row.time.median,
           100 * bench_row_share(report, &row));
    if (beside != NULL) {
        const product *other = beside->context;
        printf(", %.3f of %s's time", row.time.median / beside->time.median, label(other->engine));
    }
    puts(")");
    return bench_report_add(report, &row) && bench_flushed(PROGRAM);
}

/* Times some products by turns and prints their lines: OpenBLAS's beside the first, other layouts beside the
 * first as well. */
static bool time_all(const sweep *options, bench_report *report, product *work, int count)
{
    bench_turn turns[BENCH_TURNS];
    const bench_effort effort = effort_of(options);
    bool good = true;
    for (int i = 0; i < count; i++) {
        const bool ours = work[i].backend != NULL;
        turns[i] =
            (bench_turn){.body = ours ? run_library : run_openblas, .context = &work[i], .peer = !ours};
        good = good && product_open(&work[i], options->bench.seed) == MT_OK;
    }
    good = good && bench_measure_by_turns(&effort, turns, count);
    if (!good) bench_fail(PROGRAM, mt_last_message());
    for (int i = 0; i < count && good; i++) {
        const bool compared = i > 0 && strcmp(work[i].engine, "simple") != 0;
        good = tell(report, &work[i], &turns[i].time, compared ? &turns[0] : NULL);
    }
    for (int i = 0; i < count; i++) product_close(&work[i]);
    return good;
}

typedef struct engines {
    mt_backend *backend[2];
    int count;
    openblas blas;
    bool with_blas;
    double peak_one; /* the multiply-add peak of one thread; 0 where the report's is that, or nobody asks */
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
        mt_backend_facts facts = {.threads = 1, .isa = "none"};
        mt_backend *backend = self->backend[k];
        if (backend == NULL) return bench_fail(PROGRAM, mt_last_message()) == 0;
        if (backend->describe != NULL) backend->describe(backend, &facts);
        fprintf(stderr, "%s: seed %" PRIu64 ", backend %s: threads %d, isa %s%s%s\n", label(backend->name),
                options->bench.seed, backend->name, facts.threads, facts.isa, facts.words[0] ? ", " : "",
                facts.words);
    }
    if (options->openblas) {
        self->with_blas = openblas_open(&self->blas, mt_get_threads());
        fprintf(stderr, "openblas: %s\n", self->blas.about);
    }
    return true;
}

/* Adds like to the products that are timed together, by one engine. */
static void add(const engines *who, product *work, int *count, product like, const char *engine,
                mt_backend *backend)
{
    snprintf(like.engine, sizeof like.engine, "%s", engine);
    like.backend = backend;
    like.serial = backend != NULL && is_serial(backend);
    like.peak = like.serial ? who->peak_one : 0;
    work[(*count)++] = like;
}

static bool sweep_batch(const sweep *options, bench_report *report, const engines *who, int64_t batch,
                        const int64_t *sizes, int sizes_count)
{
    static const struct {
        const char *name;
        layout a, b;
    } layouts[] = {
        {"at", TURNED, PLAIN}, {"bt", PLAIN, TURNED}, {"atbt", TURNED, TURNED}, {"sliced", SLICED, SLICED}};
    printf("Batch: %" PRId64 "\n", batch);
    for (int i = 0; i < sizes_count; i++) {
        product work[BENCH_TURNS], like = {.m = sizes[i], .k = sizes[i], .n = sizes[i], .batch = batch};
        int count = 0;
        printf("Size: %" PRId64 "\n", sizes[i]);
        for (int k = 0; k < who->count; k++) {
            const bool slow = is_serial(who->backend[k]);
            const int64_t limit = options->bench.quick ? 64 : SLOW_LIMIT;
            if (slow && options->backend == 0 && sizes[i] > limit && !options->all) continue;
            add(who, work, &count, like, who->backend[k]->name, who->backend[k]);
        }
        for (size_t k = 0; options->layouts && k < sizeof layouts / sizeof *layouts; k++) {
            like.a_layout = layouts[k].a;
            like.b_layout = layouts[k].b;
            add(who, work, &count, like, layouts[k].name, who->backend[0]);
        }
        like.a_layout = like.b_layout = PLAIN;
        like.blas = &who->blas;
        if (who->with_blas) add(who, work, &count, like, "openblas", NULL);
        if (!time_all(options, report, work, count)) return false;
    }
    return true;
}

/* The products of a step: forward, the gradient of the input and that of the weights. */
static bool sweep_shapes(const sweep *options, bench_report *report, const engines *who)
{
    static const int64_t layers[][3] = {{10, 100, 100},
                                        {10, 1000, 1000}, /* rows, inputs, outputs */
                                        {64, 784, 128},
                                        {64, 128, 64},
                                        {64, 64, 10}};
    const int count = options->bench.quick ? 1 : (int)(sizeof layers / sizeof *layers);
    for (int i = 0; i < 3 * count; i++) {
        const int64_t *layer = layers[i / 3], some = layer[0], in = layer[1], out = layer[2];
        product work[2], like = {.batch = 1, .m = some, .k = in, .n = out};
        int together = 0;
        if (i % 3 == 1) like = (product){.batch = 1, .m = some, .k = out, .n = in, .b_layout = TURNED};
        if (i % 3 == 2) like = (product){.batch = 1, .m = in, .k = some, .n = out, .a_layout = TURNED};
        char text[96];
        shape_text(&like, text, sizeof text);
        printf("%s\n", text);
        add(who, work, &together, like, who->backend[0]->name, who->backend[0]);
        like.blas = &who->blas;
        if (who->with_blas) add(who, work, &together, like, "openblas", NULL);
        if (!time_all(options, report, work, together)) return false;
    }
    return true;
}

/* A serial engine is held to what one thread can do. */
static bool measure_peak_one(engines *who, const bench_report *report)
{
    bool serial = false;
    for (int k = 0; k < who->count; k++) serial = serial || is_serial(who->backend[k]);
    if (!serial || report->ceilings.threads == 1) return true; /* the report's is of one thread */
    who->peak_one = bench_fma_now(report->options, 1);
    if (!isfinite(who->peak_one)) return false;
    printf("ceiling of one thread, for simple: multiply-add %.0f GFLOP/s\n", who->peak_one);
    return true;
}

/* Whether a user wrote it: the default is the table's own text. */
static bool is_given(const char *text, const option *row) { return text != NULL && text != row->fallback; }

/* What --shapes has no use for is refused: the name of it, or NULL. */
static const char *against_shapes(const sweep *options)
{
    if (options->plot != NULL) return "--plot, which draws over sizes";
    if (options->layouts) return "--layouts";
    if (options->all) return "--all";
    if (is_given(options->sizes, &rows[0])) return "--sizes";
    return is_given(options->batch, &rows[1]) ? "--batch" : NULL;
}

static int run(const sweep *options)
{
    const char *against = options->shapes ? against_shapes(options) : NULL;
    if (against != NULL) {
        fprintf(stderr, "%s: --shapes has its own products and cannot go with %s; leave one of the two out\n",
                PROGRAM, against);
        return 2;
    }
    int64_t sizes[MOST_SIZES], batches[MOST_BATCHES];
    const char *wanted = options->sizes != NULL ? options->sizes
                         : options->bench.quick ? QUICK_SIZES
                                                : USUAL_SIZES;
    const int count = bench_read_list(PROGRAM, "--sizes", wanted, LARGEST_SIZE, sizes, MOST_SIZES);
    if (count == 0) return 2;
    const int batch_count = bench_read_list(PROGRAM, "--batch", options->batch, 4096, batches, MOST_BATCHES);
    if (batch_count == 0) return 2;
    engines who;
    if (!find_engines(options, &who)) return 1;
    if (options->plot != NULL && !sweep_plot_check(options->plot)) return 1;
    bench_report report;
    if (!bench_report_open(&report, PROGRAM, &options->bench)) return 1;
    bool good = measure_peak_one(&who, &report);
    printf("Timing summary\n");
    if (good && options->shapes) good = sweep_shapes(options, &report, &who);
    for (int i = 0; i < batch_count && good && !options->shapes; i++)
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
