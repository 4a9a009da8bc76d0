/* dispatch.c - what an operation costs before its loop begins: small operations on a tape, from the call to
 * its return, and their way back.
 *
 * A round makes CALLS of them and then resets the tape, as a step of training does.
 */
#define _POSIX_C_SOURCE 200809L
#include <string.h>

#include "minitorch.h"
#include "report.h"

static const char PROGRAM[] = "dispatch";
enum { CALLS = 200 };

typedef struct dispatch {
    mt_tape *tape;
    mt_tensor *x, *y, *matrix;
} dispatch;

typedef mt_tensor *(*operation)(const dispatch *self, mt_tensor *z);

static mt_tensor *add(const dispatch *self, mt_tensor *z) { return mt_add(self->tape, z, self->y); }
static mt_tensor *sigmoid(const dispatch *self, mt_tensor *z) { return mt_sigmoid(self->tape, z); }
static mt_tensor *sum(const dispatch *self, mt_tensor *z) { return mt_sum(self->tape, z) ? z : NULL; }
static mt_tensor *view(const dispatch *self, mt_tensor *z)
{
    return mt_unsqueeze(self->tape, z, 0) ? z : NULL;
}
static mt_tensor *product(const dispatch *self, mt_tensor *z)
{
    return mt_matmul(self->tape, z, self->matrix);
}

typedef struct round_of {
    const dispatch *self;
    operation operation;
    bool record, back;
} round_of;

static bool run(void *context)
{
    const round_of *r = context;
    mt_tape *tape = r->self->tape;
    mt_tape_reset(tape);
    mt_tape_record(tape, r->record);
    mt_tensor *z = r->self->x;
    for (int i = 0; i < CALLS; i++) z = r->operation(r->self, z);
    if (r->back) return mt_backward_from(tape, z, r->self->y) == MT_OK;
    return mt_tape_status(tape) == MT_OK;
}

static bool measure_all(bench_report *report, const dispatch *self)
{
    const struct {
        const char *name;
        round_of round;
    } list[] = {
        {"add, recorded", {self, add, true, false}},
        {"add, not recorded", {self, add, false, false}},
        {"add, recorded, and backward", {self, add, true, true}},
        {"sigmoid, recorded", {self, sigmoid, true, false}},
        {"sum, recorded", {self, sum, true, false}},
        {"view, recorded", {self, view, true, false}},
        {"matmul, recorded", {self, product, true, false}},
        {"matmul, recorded, and backward", {self, product, true, true}},
    };
    const bench_effort effort = bench_effort_of(report->options);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        bench_row row = {.engine = "cpu", .threads = mt_get_threads()};
        round_of round = list[i].round;
        snprintf(row.work, sizeof row.work, "%s", list[i].name);
        snprintf(row.shape, sizeof row.shape, "8");
        if (!bench_measure(&effort, run, &round, &row.time))
            return bench_fail(PROGRAM, mt_last_message()) == 0;
        double *figure[] = {&row.time.median, &row.time.low, &row.time.high, &row.time.best};
        for (size_t k = 0; k < sizeof figure / sizeof *figure; k++) *figure[k] /= CALLS;
        row.time.calls *= CALLS;
        char median[24], low[24], high[24];
        printf("%-32s %10s  (%s to %s)\n", row.work, bench_seconds_text(row.time.median, median),
               bench_seconds_text(row.time.low, low), bench_seconds_text(row.time.high, high));
        if (!bench_report_add(report, &row) || !bench_flushed(PROGRAM)) return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const option_group groups[] = {bench_options_group};
    const option_table table = {PROGRAM, groups, 1};
    bench_options options = {.quick = false};
    int status = bench_start(&table, argc, argv, &options,
                             "Times operations on 8 elements on a tape: what a call costs.");
    if (status >= 0) return status;
    mt_backend *cpu = mt_backend_get("cpu");
    mt_rng rng = mt_rng_make(options.seed);
    dispatch self = {.tape = mt_tape_new(cpu)};
    self.x = mt_uniform(cpu, mt_shape(8), &rng, -1, 1);
    self.y = mt_uniform(cpu, mt_shape(8), &rng, -1, 1);
    self.matrix = mt_eye(cpu, 8);
    bench_report report = {.count = 0};
    bool good = self.tape != NULL && self.x != NULL && self.y != NULL && self.matrix != NULL &&
                mt_require_grad(self.x, true) == MT_OK;
    if (!good) bench_fail(PROGRAM, mt_last_message());
    good = good && bench_report_open(&report, PROGRAM, &options) && measure_all(&report, &self);
    status = good ? bench_report_finish(&report) : 1;
    bench_report_close(&report);
    mt_tape_free(self.tape);
    mt_tensor_free(self.x);
    mt_tensor_free(self.y);
    mt_tensor_free(self.matrix);
    return status;
}
