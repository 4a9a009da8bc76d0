/* pool.c - what an arena is worth: 1000 results of 100 x 100 made on a tape, whose arena takes all of them
 * back at once, and made by constructors, each with its own memory.
 *
 * Both keep all 1000 alive until the last is there, as the forward pass of a long program does, and are timed
 * with the addition that fills a matrix and, as far as each can go without, with nothing in it.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <string.h>

#include "minitorch.h"
#include "report.h"

static const char PROGRAM[] = "pool";
enum { MATRICES = 1000, SIDE = 100 };

typedef struct pool {
    mt_backend *cpu;
    mt_tape *tape;
    mt_tensor *a, *b, *made[MATRICES];
    int count;
} pool;

static bool on_tape(void *context)
{
    pool *self = context;
    mt_tape_reset(self->tape);
    for (int i = 0; i < self->count; i++) self->made[i] = mt_add(self->tape, self->a, self->b);
    return mt_tape_status(self->tape) == MT_OK;
}

/* A view is a handle without memory of its own. */
static bool views_on_tape(void *context)
{
    pool *self = context;
    mt_tape_reset(self->tape);
    for (int i = 0; i < self->count; i++) self->made[i] = mt_transpose(self->tape, self->a, 0, 1);
    return mt_tape_status(self->tape) == MT_OK;
}

static bool constructed(pool *self, bool fill)
{
    int done = 0;
    for (; done < self->count; done++) {
        self->made[done] = mt_empty(self->cpu, mt_shape(SIDE, SIDE), MT_REAL);
        if (self->made[done] == NULL) break;
        if (fill && mt_op_add(self->made[done], self->a, self->b) != MT_OK) break;
    }
    for (int i = 0; i < self->count && i <= done; i++) {
        mt_tensor_free(self->made[i]);
        self->made[i] = NULL;
    }
    return done == self->count;
}

static bool by_constructors(void *context) { return constructed(context, true); }
static bool empty_by_constructors(void *context) { return constructed(context, false); }

static bool views_by_constructors(void *context)
{
    pool *self = context;
    for (int i = 0; i < self->count; i++) self->made[i] = mt_tensor_transpose(self->a, 0, 1);
    bool good = true;
    for (int i = 0; i < self->count; i++) {
        good = good && self->made[i] != NULL;
        mt_tensor_free(self->made[i]);
        self->made[i] = NULL;
    }
    return good;
}

/* Times body and tells how many requests a round of it makes of the allocator once it has run before. */
static bool measure(bench_report *report, pool *self, const char *name, bench_body body, double bytes)
{
    const bench_effort effort = bench_effort_of(report->options);
    bench_row row = {.engine = "cpu", .threads = mt_get_threads(), .bytes = bytes * self->count};
    snprintf(row.work, sizeof row.work, "%s", name);
    snprintf(row.shape, sizeof row.shape, "%d of %d x %d", self->count, SIDE, SIDE);
    if (!bench_measure(&effort, body, self, &row.time)) return bench_fail(PROGRAM, mt_last_message()) == 0;
    const uint64_t before = mt_get_alloc_stats().allocations;
    if (!body(self)) return bench_fail(PROGRAM, mt_last_message()) == 0;
    const uint64_t requests = mt_get_alloc_stats().allocations - before;
    char median[24], low[24], high[24], each[24];
    printf("%-24s %10s  (%s to %s)  %s a matrix, %" PRIu64 " requests for memory", name,
           bench_seconds_text(row.time.median, median), bench_seconds_text(row.time.low, low),
           bench_seconds_text(row.time.high, high), bench_seconds_text(row.time.median / self->count, each),
           requests);
    if (row.bytes > 0) printf(", %.1f GB/s", 1e-9 * row.bytes / row.time.median);
    putchar('\n');
    return bench_report_add(report, &row) && bench_flushed(PROGRAM);
}

static bool measure_all(bench_report *report, pool *self)
{
    const double sum = 3.0 * SIDE * SIDE * sizeof(mt_real);
    const struct {
        const char *name;
        bench_body body;
        double bytes;
    } list[] = {
        {"add, arena", on_tape, sum},
        {"add, constructors", by_constructors, sum},
        {"empty, constructors", empty_by_constructors, 0},
        {"views, arena", views_on_tape, 0},
        {"views, constructors", views_by_constructors, 0},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (!measure(report, self, list[i].name, list[i].body, list[i].bytes)) return false;
    }
    const double arena = report->rows[0].time.median, constructors = report->rows[1].time.median;
    printf("the arena: %.2f times as fast as constructors, additions included\n", constructors / arena);
    return true;
}

int main(int argc, char **argv)
{
    const option_group groups[] = {bench_options_group};
    const option_table table = {PROGRAM, groups, 1};
    bench_options options = {.quick = false};
    int status = bench_start(&table, argc, argv, &options,
                             "Times 1000 matrices of 100 x 100 in a tape's arena and by constructors.");
    if (status >= 0) return status;
    static pool self;
    mt_rng rng = mt_rng_make(options.seed);
    self.cpu = mt_backend_get("cpu");
    self.count = options.quick ? MATRICES / 10 : MATRICES;
    self.a = mt_uniform(self.cpu, mt_shape(SIDE, SIDE), &rng, -1, 1);
    self.b = mt_uniform(self.cpu, mt_shape(SIDE, SIDE), &rng, -1, 1);
    self.tape = mt_tape_new(self.cpu);
    bench_report report = {.count = 0};
    bool good = self.a != NULL && self.b != NULL && self.tape != NULL;
    if (!good) bench_fail(PROGRAM, mt_last_message());
    good = good && bench_report_open(&report, PROGRAM, &options) && measure_all(&report, &self);
    status = good ? bench_report_finish(&report) : 1;
    bench_report_close(&report);
    mt_tape_free(self.tape);
    mt_tensor_free(self.a);
    mt_tensor_free(self.b);
    return status;
}
