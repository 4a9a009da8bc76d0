/* train.c - trains a 2-H-H-1 network with binary cross entropy on logits (see train.h).
 *
 * One generator serves the data, the weights and the shuffles, in this order, so a seed fixes a whole run.
 * The mean loss of an epoch is summed on the device and fetched into a double every SUM_STEPS batches, so
 * that a long epoch loses no digits of a float sum.
 */
#define _POSIX_C_SOURCE 200809L
#include "train.h"

#include <stdlib.h>

enum { SUM_STEPS = 1024 };
/* Evaluation works in pieces of at most so many activations a layer, so that it needs little memory. */
enum { EVALUATION_ELEMENTS = 1 << 20 };

struct run_trainer {
    mt_backend *backend;
    mt_dataset *dataset;
    mt_module *model;
    mt_optimizer *optimizer;
    mt_batches *batches;
    mt_tape *tape;
    int64_t evaluation_rows;
    bool wants_mean;

    mt_tensor *last;       /* the latest batch's mean loss, on the tape; NULL before any */
    int64_t last_rows;     /* and its points */
    mt_tensor *sum;        /* (1): losses of the batches since the last fetch, each times its points */
    double fetched;        /* what was fetched of the sum before */
    int64_t summed_points; /* points of the pass so far */
    int64_t steps;
};

static mt_optimizer *make_optimizer(mt_module *model, const run_settings *settings)
{
    if (settings->optimizer == OPTIMIZER_SGD) {
        mt_sgd_options options = mt_sgd_defaults();
        options.rate = settings->rate;
        return mt_sgd_new(model, options);
    }
    mt_adam_options options =
        settings->optimizer == OPTIMIZER_ADAM ? mt_adam_defaults() : mt_adamw_defaults();
    options.rate = settings->rate;
    return mt_adam_new(model, options);
}

double trainer_bytes(const run_settings *settings)
{
    const double hidden = (double)settings->hidden, points = (double)settings->points;
    const double batch = settings->batch < settings->points ? (double)settings->batch : points;
    const double parameters = hidden * hidden + 5 * hidden + 1;
    const int copies = settings->optimizer == OPTIMIZER_SGD ? 2 : 4; /* value, gradient, two moments */
    const double activations = 4 * batch * hidden;                   /* both layers and their gradients */
    return sizeof(mt_real) * (copies * parameters + 2 * 3 * points + activations);
}

run_trainer *trainer_new(const run_settings *settings, mt_backend *backend)
{
    run_trainer *self = calloc(1, sizeof *self);
    if (self == NULL) {
        mt_fail(MT_ERR_MEMORY, "no memory is left for the trainer; close other programs");
        return NULL;
    }
    mt_rng rng = mt_rng_make(settings->seed);
    self->backend = backend;
    self->dataset = mt_dataset_make(backend, (mt_dataset_kind)settings->dataset, settings->points, &rng);
    self->model = mt_mlp(backend, mt_shape(2, settings->hidden, settings->hidden, 1), MT_OP_relu,
                         (mt_init)settings->init, &rng);
    self->optimizer = self->model != NULL ? make_optimizer(self->model, settings) : NULL;
    if (self->dataset != NULL && self->optimizer != NULL) {
        self->batches =
            mt_batches_new(mt_dataset_x(self->dataset), mt_dataset_y(self->dataset), settings->batch, rng);
    }
    if (self->batches != NULL) self->sum = mt_zeros(backend, mt_shape(1));
    if (self->sum != NULL) self->tape = mt_tape_new(backend);
    if (self->tape == NULL) {
        trainer_free(self);
        return NULL;
    }
    mt_tape_fuse(self->tape, !settings->unfused);
    const int64_t rows = EVALUATION_ELEMENTS / settings->hidden;
    self->evaluation_rows = rows < 16 ? 16 : rows;
    self->wants_mean = settings->report == REPORT_MEAN_EPOCH;
    return self;
}

void trainer_free(run_trainer *self)
{
    if (self == NULL) return;
    mt_tape_free(self->tape);
    mt_tensor_free(self->sum);
    mt_batches_free(self->batches);
    mt_optimizer_free(self->optimizer);
    mt_module_free(self->model);
    mt_dataset_free(self->dataset);
    free(self);
}

/* Moves the device's sum into the double. */
static mt_status fetch(run_trainer *self)
{
    double value = 0;
    const mt_status status = mt_get(self->sum, mt_at(0), &value);
    if (status != MT_OK) return status;
    self->fetched += value;
    return mt_op_fill(self->sum, 0);
}

/* Forward, and with learn backward and update, for batch i. */
static mt_status step(run_trainer *self, int64_t i, bool learn)
{
    mt_tape *tape = self->tape;
    mt_tensor *x = mt_batches_x(self->batches, i), *y = mt_batches_y(self->batches, i);
    mt_tape_reset(tape);
    self->last = mt_bce_with_logits(tape, mt_module_forward(self->model, tape, x), y);
    self->last_rows = mt_tensor_size(y, 0);
    self->summed_points += self->last_rows;
    mt_status status = mt_tape_status(tape);
    if (learn && status == MT_OK) {
        mt_optimizer_zero_grad(self->optimizer);
        status = mt_backward(tape, self->last);
        if (status == MT_OK) status = mt_optimizer_step(self->optimizer);
        if (status == MT_OK) self->steps++;
    }
    if (self->wants_mean && status == MT_OK) {
        mt_tensor *weighted =
            mt_mul(tape, mt_detach(tape, self->last), mt_num(tape, (double)self->last_rows));
        status = mt_op_add(self->sum, self->sum, weighted);
        if (status == MT_OK && i % SUM_STEPS == SUM_STEPS - 1) status = fetch(self);
    }
    return status;
}

mt_status trainer_epoch(run_trainer *self, bool learn, bool (*go_on)(void *context), void *context)
{
    mt_tape_reset(self->tape); /* it may hold views of the batches that now change */
    mt_tape_record(self->tape, learn);
    self->last = NULL;
    self->summed_points = 0;
    self->fetched = 0;
    mt_status status = self->wants_mean ? mt_op_fill(self->sum, 0) : MT_OK;
    if (status == MT_OK) status = mt_batches_shuffle(self->batches);
    const int64_t count = mt_batches_count(self->batches);
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = step(self, i, learn);
        if (status == MT_OK && !go_on(context)) break;
    }
    return status;
}

int64_t trainer_steps(const run_trainer *self) { return self->steps; }
int64_t trainer_batches(const run_trainer *self) { return mt_batches_count(self->batches); }

mt_status trainer_loss(run_trainer *self, report_loss which, double *loss)
{
    if (which == REPORT_MEAN_EPOCH) {
        const mt_status status = fetch(self);
        *loss = self->fetched / (double)self->summed_points;
        return status;
    }
    double mean = 0;
    const mt_status status = mt_get(self->last, mt_at(0), &mean);
    *loss = mean * (double)self->last_rows;
    return status;
}

mt_status trainer_correct(run_trainer *self, int64_t *correct)
{
    mt_tape *tape = self->tape;
    mt_tensor *x = mt_dataset_x(self->dataset), *y = mt_dataset_y(self->dataset);
    const int64_t points = mt_dataset_points(self->dataset), rows = self->evaluation_rows;
    mt_status status = MT_OK;
    *correct = 0;
    const mt_tape_position position = mt_tape_mark(tape);
    const bool recording = mt_tape_is_recording(tape);
    mt_tape_record(tape, false);
    for (int64_t start = 0; start < points && status == MT_OK; start += rows) {
        mt_tensor *xs = mt_slice(tape, x, 0, start, start + rows, 1),
                  *ys = mt_slice(tape, y, 0, start, start + rows, 1);
        mt_tensor *p = mt_sigmoid(tape, mt_module_forward(self->model, tape, xs));
        mt_tensor *right = mt_sum(tape, mt_eq(tape, mt_gt(tape, p, mt_num(tape, 0.5)), ys));
        double count = 0;
        status = mt_tape_status(tape);
        if (status == MT_OK) status = mt_get(right, mt_at(0), &count);
        *correct += (int64_t)count;
        if (status == MT_OK) status = mt_tape_rewind(tape, position);
    }
    mt_tape_record(tape, recording);
    return status;
}

mt_status trainer_predict(run_trainer *self, const double *x, int64_t count, double *p)
{
    mt_tape *tape = self->tape;
    mt_status status = MT_OK;
    mt_tape_reset(tape);
    self->last = NULL;
    mt_tape_record(tape, false);
    for (int64_t start = 0; start < count && status == MT_OK; start += self->evaluation_rows) {
        const int64_t rows = count - start < self->evaluation_rows ? count - start : self->evaluation_rows;
        mt_tensor *xs = mt_from_doubles(self->backend, x + 2 * start, mt_shape(rows, 2));
        mt_tensor *result = mt_sigmoid(tape, mt_module_forward(self->model, tape, xs));
        status = mt_tape_status(tape);
        if (status == MT_OK) status = mt_to_doubles(result, p + start, rows);
        mt_tape_reset(tape);
        mt_tensor_free(xs);
    }
    return status;
}

const mt_tensor *trainer_x(const run_trainer *self) { return mt_dataset_x(self->dataset); }
const mt_tensor *trainer_y(const run_trainer *self) { return mt_dataset_y(self->dataset); }
