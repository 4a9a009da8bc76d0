/* ops.c - times every row of the operation table, the reductions, a broadcast addition and a transposing
 * copy, in and beyond the caches, beside PyTorch and NumPy where a python has them; and every operation of
 * the list (autodiff/operation.h) on a tape, there and back.
 *
 * Results are written to tensors that exist before, so what is timed is the operation: its checks, its plan
 * and its loop.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autodiff/operation.h"
#include "ops_cpu/cpu.h"
#include "peers.h"
#include "tensor/elementwise_ops.h"

static const char PROGRAM[] = "ops";

typedef struct settings {
    bench_options bench;
    peers_options peers;
    const char *only;
    int64_t elements;
} settings;

static const option rows[] = {
    {"--only", "", OPTION_TEXT, offsetof(settings, only), 0, 0, NULL, "TEXT", "",
     "only the work whose name begins with TEXT: add, sum, copy, tape add..."},
    {"--elements", "", OPTION_INT, offsetof(settings, elements), 1, 1e9, NULL, "N", "",
     "only the work on N elements: 1000, 100000, 10000000, 16000000"},
    {"--python", "", OPTION_TEXT, offsetof(settings, peers.python), 0, 0, NULL, "NAME", "python3",
     "the python that may have PyTorch and NumPy"},
    {"--peers", "", OPTION_TEXT, offsetof(settings, peers.script), 0, 0, NULL, "FILE", BENCH_PEERS,
     "the script that times them"},
    {"--no-peers", "", OPTION_FLAG, offsetof(settings, peers.none), 0, 0, NULL, "", "",
     "time only ourselves"},
};

/* A piece of work: which call, on what. */
typedef struct work {
    enum { ELEMENTWISE, REDUCTION, ADD_ROW, TRANSPOSE } kind;
    const mt_op_info *info;
    mt_op op;
    mt_status (*reduce)(mt_tensor *out, const mt_tensor *x, mt_shape dims);
    mt_shape dims;
    double p0, p1;
    mt_tensor *a, *b, *out, *view;
} work;

static bool run(void *context)
{
    const work *w = context;
    switch (w->kind) {
    case ELEMENTWISE:
        return (w->info->arity == 1 ? mt_op_map(w->out, w->op, w->a, w->p0, w->p1)
                                    : mt_op_zip(w->out, w->op, w->a, w->b, w->p0, w->p1)) == MT_OK;
    case REDUCTION: return w->reduce(w->out, w->a, w->dims) == MT_OK;
    case ADD_ROW: return mt_op_add(w->out, w->a, w->b) == MT_OK;
    default: return mt_op_copy(w->out, w->view) == MT_OK;
    }
}

typedef struct bench {
    const settings *options;
    mt_backend *cpu;
    bench_report report;
    peers peers;
    mt_rng rng;
    int compared[PEERS], won[PEERS]; /* rows timed by a peer, and those where we took no longer */
} bench;

/* Half of our samples are taken before the peers and half after them. */
static bench_time joined(const bench_time *a, const bench_time *b)
{
    return (bench_time){.median = (a->median + b->median) / 2,
                        .low = (a->low + b->low) / 2,
                        .high = (a->high + b->high) / 2,
                        .best = a->best < b->best ? a->best : b->best,
                        .samples = a->samples + b->samples,
                        .calls = a->calls};
}

/* Times w as row says, before and after its peers, and prints them all; where the share of a ceiling means
 * something, between two measurements of that ceiling. Frees w's tensors. */
static bool measure(bench *self, work *w, bench_row *row)
{
    bench_effort effort = bench_effort_of(&self->options->bench);
    bench_time before, after;
    double theirs[PEERS], rate[2];
    effort.samples = (effort.samples + 1) / 2;
    effort.budget /= 2;
    row->percent = row->bytes > BENCH_STREAMED;
    for (int i = 0; i < 2; i++) rate[i] = NAN;
    const bool copies = row->bound == BENCH_BY_COPY;
    snprintf(row->engine, sizeof row->engine, "cpu");
    row->threads = mt_get_threads();
    if (row->percent) rate[0] = bench_ceiling_now(&self->options->bench, row->threads, copies);
    bool good = w->out != NULL && w->a != NULL && bench_measure(&effort, run, w, &before);
    if (good) {
        row->time = before; /* what a peer's row is made from */
        peers_measure(&self->peers, &self->report, row, theirs);
        good = bench_measure(&effort, run, w, &after);
    }
    mt_tensor_free(w->view);
    mt_tensor_free(w->a);
    mt_tensor_free(w->b);
    mt_tensor_free(w->out);
    if (!good) return bench_fail(PROGRAM, mt_last_message()) == 0;
    if (row->percent) rate[1] = bench_ceiling_now(&self->options->bench, row->threads, copies);
    row->ceiling = isfinite(rate[0] + rate[1]) ? (rate[0] + rate[1]) / 2 : 0;
    row->time = joined(&before, &after);
    const double ours = row->time.median;
    bench_print_row(&self->report, row);
    good = bench_report_add(&self->report, row);
    for (int i = 0; i < PEERS; i++) {
        if (!isfinite(theirs[i])) continue;
        char text[24];
        self->compared[i]++;
        self->won[i] += ours <= theirs[i];
        printf("%36s%-9s %10s  %.2f times ours\n", "", peers_names[i], bench_seconds_text(theirs[i], text),
               theirs[i] / ours);
    }
    return good && bench_flushed(PROGRAM);
}

static bool wanted(const bench *self, const char *name, int64_t elements)
{
    const char *only = self->options->only;
    if (self->options->elements > 0 && elements != self->options->elements) return false;
    return only == NULL || strncmp(name, only, strlen(only)) == 0;
}

static void shape_text(mt_shape shape, char *text, size_t size)
{
    size_t used = 0;
    for (int d = 0; d < shape.rank && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, d > 0 ? " x " : "", shape.size[d]);
}

static bool time_rows(bench *self, int64_t n)
{
    for (int op = 0; op < MT_OP_COUNT; op++) {
        const mt_op_info *info = mt_op_describe((mt_op)op);
        if (!wanted(self, info->name, n)) continue;
        work w = {.kind = ELEMENTWISE, .info = info, .op = (mt_op)op, .p0 = 0.1, .p1 = 1};
        if (op == MT_OP_clamp) w.p0 = -1;
        if (op == MT_OP_is_close) w.p0 = 1e-8, w.p1 = 1e-5;
        w.a = mt_uniform(self->cpu, mt_shape(n), &self->rng, info->low[0], info->high[0]);
        if (info->arity == 2)
            w.b = mt_uniform(self->cpu, mt_shape(n), &self->rng, info->low[1], info->high[1]);
        w.out = mt_zeros(self->cpu, mt_shape(n));
        bench_row row = {.bound = n * 4 < 8 << 20 ? BENCH_BY_FMA : BENCH_BY_COPY};
        row.bytes = (double)n * sizeof(mt_real) * (info->arity + 1);
        snprintf(row.work, sizeof row.work, "%s", info->name);
        snprintf(row.shape, sizeof row.shape, "%" PRId64, n);
        if (!measure(self, &w, &row)) return false;
    }
    return true;
}

static bool time_reduction(bench *self, const char *name, mt_shape shape, int where,
                           mt_status (*reduce)(mt_tensor *, const mt_tensor *, mt_shape))
{
    static const char *const names[] = {"dim 0", "dim 1", "all"};
    bench_row row = {.bound = shape.size[0] * shape.size[1] * 4 < 8 << 20 ? BENCH_BY_FMA : BENCH_BY_READ};
    snprintf(row.work, sizeof row.work, "%s %s", name, names[where]);
    if (!wanted(self, row.work, shape.size[0] * shape.size[1])) return true;
    shape_text(shape, row.shape, sizeof row.shape);
    const mt_kind kind = strncmp(name, "arg", 3) == 0 ? MT_INDEX : MT_REAL;
    work w = {.kind = REDUCTION, .reduce = reduce};
    w.dims = where == 2 ? mt_axes(0, 1) : mt_axes(where);
    w.a = mt_uniform(self->cpu, shape, &self->rng, 0.5, 1.5);
    w.out = mt_empty(self->cpu, where == 2 ? mt_shape(1) : mt_shape(shape.size[1 - where]), kind);
    row.bytes = (double)shape.size[0] * (double)shape.size[1] * sizeof(mt_real);
    return measure(self, &w, &row);
}

static bool time_reductions(bench *self, mt_shape shape)
{
    static const struct {
        const char *name;
        mt_status (*reduce)(mt_tensor *, const mt_tensor *, mt_shape);
    } list[] = {{"sum", mt_op_sum}, {"mean", mt_op_mean}, {"prod", mt_op_prod},     {"max", mt_op_max},
                {"min", mt_op_min}, {"all", mt_op_all},   {"argmax", mt_op_argmax}, {"argmin", mt_op_argmin}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        for (int where = 0; where < 3; where++) {
            if (!time_reduction(self, list[i].name, shape, where, list[i].reduce)) return false;
        }
    }
    return true;
}

static bool time_layouts(bench *self, mt_shape shape)
{
    const double bytes = 2 * (double)shape.size[0] * (double)shape.size[1] * sizeof(mt_real);
    bench_row row = {.bytes = bytes, .bound = bytes < 16 << 20 ? BENCH_BY_FMA : BENCH_BY_COPY};
    shape_text(shape, row.shape, sizeof row.shape);
    if (wanted(self, "add row", shape.size[0] * shape.size[1])) {
        work w = {.kind = ADD_ROW};
        snprintf(row.work, sizeof row.work, "add row");
        w.a = mt_uniform(self->cpu, shape, &self->rng, -1, 1);
        w.b = mt_uniform(self->cpu, mt_shape(shape.size[1]), &self->rng, -1, 1);
        w.out = mt_zeros(self->cpu, shape);
        if (!measure(self, &w, &row)) return false;
    }
    if (!wanted(self, "copy transposed", shape.size[0] * shape.size[1])) return true;
    work w = {.kind = TRANSPOSE};
    snprintf(row.work, sizeof row.work, "copy transposed");
    w.a = mt_uniform(self->cpu, shape, &self->rng, -1, 1);
    w.view = mt_tensor_transpose(w.a, 0, 1);
    w.out = mt_zeros(self->cpu, mt_shape(shape.size[1], shape.size[0]));
    return measure(self, &w, &row);
}

/* ---- operations on a tape ---- */

/* One operation and, where it has a gradient, backward over it. */
typedef struct trip {
    const mt_operation *operation;
    const mt_attribute *attribute;
    mt_tape *tape;
    mt_tape_position start;
    mt_tensor *in[MT_MAX_INPUTS], *cotangent;
    int inputs;
} trip;

static bool there_and_back(void *context)
{
    trip *t = context;
    mt_tensor *y = mt_apply_operation(t->tape, t->operation, t->in, t->inputs, t->attribute);
    if (!y) return false;
    if (mt_requires_grad(y)) {
        if (!t->cotangent) t->cotangent = mt_ones(mt_tape_backend(t->tape), mt_tensor_shape(y));
        for (int i = 0; i < t->inputs; i++) mt_zero_grad(t->in[i]);
        if (mt_backward_from(t->tape, y, t->cotangent) != MT_OK) return false;
    }
    return mt_tape_rewind(t->tape, t->start) == MT_OK;
}

static void trip_end(trip *t)
{
    mt_tape_free(t->tape);
    mt_tensor_free(t->cotangent);
    for (int i = 0; i < t->inputs; i++) mt_tensor_free(t->in[i]);
}

/* The first example with sizes above 1 times factor. */
static bool trip_begin(bench *self, trip *t, const mt_operation *operation, int64_t factor)
{
    *t = (trip){.operation = operation,
                .attribute = operation->examples[0].attribute,
                .tape = mt_tape_new(self->cpu)};
    t->start = mt_tape_mark(t->tape);
    const mt_input *input = operation->input; /* a list's last stands for what follows */
    for (int i = 0; i < mt_example_inputs(operation->examples); i++) {
        if (operation->input[i].name) input = &operation->input[i];
        mt_shape shape = operation->examples[0].shape[i];
        for (int d = 0; d < shape.rank; d++)
            if (shape.size[d] > 1) shape.size[d] *= factor;
        mt_tensor *x = mt_uniform(self->cpu, shape, &self->rng, input->low, input->high);
        if (input->takes == MT_TAKES_INDEX) {
            mt_tensor *whole = mt_tensor_as(x, MT_INDEX);
            mt_tensor_free(x);
            x = whole;
        } else if (!input->constant && operation->gives != MT_GIVES_INDEX) {
            mt_require_grad(x, true);
        }
        t->in[t->inputs++] = x;
    }
    return there_and_back(t);
}

/* By how much sizes grow until an input has n elements. */
static int64_t factor_for(const mt_operation *operation, int64_t n)
{
    for (int64_t factor = 2; factor <= n; factor++)
        for (int i = 0; i < mt_example_inputs(operation->examples); i++) {
            const mt_shape *shape = &operation->examples[0].shape[i];
            int64_t count = 1;
            for (int d = 0; d < shape->rank; d++) count *= shape->size[d] > 1 ? shape->size[d] * factor : 1;
            if (count > n) return factor - 1;
        }
    return 1;
}

static bool time_operation(bench *self, const mt_operation *operation, int64_t n)
{
    bench_row row = {.bound = BENCH_BY_FMA, .threads = mt_get_threads()};
    snprintf(row.work, sizeof row.work, "tape %s", operation->name);
    snprintf(row.engine, sizeof row.engine, "cpu");
    if (!wanted(self, row.work, n)) return true;
    trip t;
    bool good = trip_begin(self, &t, operation, factor_for(operation, n));
    if (!good) { /* an attribute that goes with the example's sizes alone */
        trip_end(&t);
        good = trip_begin(self, &t, operation, 1);
    }
    for (int i = 0; i < t.inputs; i++) {
        const size_t used = strlen(row.shape);
        snprintf(row.shape + used, sizeof row.shape - used, "%s", i ? ", " : "");
        const size_t now = strlen(row.shape);
        shape_text(mt_tensor_shape(t.in[i]), row.shape + now, sizeof row.shape - now);
        row.bytes += (double)mt_tensor_count(t.in[i]) * sizeof(mt_real);
    }
    bench_effort effort = bench_effort_of(&self->options->bench);
    good = good && bench_measure(&effort, there_and_back, &t, &row.time);
    if (!good) bench_fail(PROGRAM, mt_tape_message(t.tape));
    trip_end(&t);
    if (!good) return false;
    bench_print_row(&self->report, &row);
    return bench_report_add(&self->report, &row) && bench_flushed(PROGRAM);
}

static bool time_operations(bench *self, int64_t n)
{
    for (int i = 0; i < mt_operation_count(); i++)
        if (!time_operation(self, mt_operation_at(i), n)) return false;
    return true;
}

static bool time_all(bench *self)
{
    const bool quick = self->options->bench.quick;
    const int64_t counts[] = {1000, 100000, 10000000};
    const mt_shape shapes[] = {mt_shape(25, 40), mt_shape(250, 400), mt_shape(2500, 4000),
                               mt_shape(4000, 4000)};
    bench_print_heading();
    for (int i = 0; i < (quick ? 2 : 3); i++) {
        if (!time_rows(self, counts[i])) return false;
    }
    for (int i = 0; i < (quick ? 2 : 4); i++) {
        if (!time_reductions(self, shapes[i]) || !time_layouts(self, shapes[i])) return false;
    }
    if (!quick && !time_layouts(self, mt_shape(6250, 16))) return false; /* short rows */
    if (!time_operations(self, 1000) || !time_operations(self, 100000)) return false;
    if (self->report.count > 0) return true;
    if (quick)
        return bench_fail(PROGRAM, "no such work among the small sizes that --quick takes; run it without "
                                   "--quick, or without --only and --elements to see what there is") == 0;
    return bench_fail(PROGRAM, "no such work; run it without --only and --elements to see them all") == 0;
}

int main(int argc, char **argv)
{
    const option_group groups[] = {{"What to time", rows, (int)(sizeof rows / sizeof rows[0])},
                                   bench_options_group};
    const option_table table = {PROGRAM, groups, 2};
    settings options = {.only = NULL};
    int status = bench_start(&table, argc, argv, &options,
                             "Times elementwise operations, reductions and copies beside PyTorch and NumPy.");
    if (status >= 0) return status;
    bench self = {.options = &options, .cpu = mt_backend_get("cpu"), .rng = mt_rng_make(options.bench.seed)};
    if (self.cpu == NULL) return bench_fail(PROGRAM, mt_last_message());
    if (!bench_report_open(&self.report, PROGRAM, &options.bench)) return 1;
    peers_open(&self.peers, &options.peers, &options.bench);
    const bool good = time_all(&self);
    for (int i = 0; i < PEERS; i++) {
        if (self.compared[i] > 0)
            printf("%s: no faster than ours in %d of %d\n", peers_names[i], self.won[i], self.compared[i]);
    }
    peers_close(&self.peers);
    status = good ? bench_report_finish(&self.report) : 1;
    bench_report_close(&self.report);
    return status;
}
