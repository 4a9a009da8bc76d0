/* nn/step.c - the training step, and the tree in which shards of a batch meet.
 *
 * Shard s is computed into the parameters' gradients. Then, as a binary counter carries, it meets the shards
 * before it: for each trailing 1 of s what waits at that level of the tree is added, and the result waits at
 * the level above the last. Of one shard nothing is added or copied: backward starts from 1 / weight, which
 * makes the bits of a loop over a mean.
 */
#include "step.h"

#include <inttypes.h>
#include <math.h>

#include "../autodiff/node.h"
#include "../tensor/elementwise_ops.h"
#include "shards.h"

struct mt_step {
    mt_module *model;
    mt_loss_fn loss;
    mt_optimizer *optimizer;
    mt_step_options options;
    mt_tape *tape;
    mt_shards *shards;              /* NULL for one */
    mt_tensor *sum, *weight;        /* of the shard that is computed, then of all; of one shard the tape's */
    mt_tensor *rows, *share;        /* a number of rows as a tensor, and 1 / weight */
    int64_t rows_value, share_rows; /* that rows holds, and of which share is the inverse; 0: none */
    mt_tensor *mean, *norm;         /* mean: room for it */
};

mt_step_options mt_step_defaults(void)
{
    return (mt_step_options){.shards = 1, .clip_norm = INFINITY, .clip_value = INFINITY};
}

/* ---- losses ---- */

/* The sum, of which each of x's elements was a term. */
static mt_tensor *weigh_elements(mt_tape *tape, mt_tensor *sum, const mt_tensor *x, mt_tensor **weight)
{
    if (!sum || !weight) return NULL;
    if (mt_tensor_count(x) != mt_tensor_size(x, 0)) *weight = mt_num(tape, (double)mt_tensor_count(x));
    return sum;
}

mt_tensor *mt_loss_mse(void *context, mt_tape *tape, mt_tensor *prediction, mt_tensor *target,
                       mt_tensor **weight)
{
    (void)context;
    return weigh_elements(tape, mt_mse_with(tape, prediction, target, MT_LOSS_SUM), prediction, weight);
}

mt_tensor *mt_loss_bce_with_logits(void *context, mt_tape *tape, mt_tensor *prediction, mt_tensor *target,
                                   mt_tensor **weight)
{
    (void)context;
    return weigh_elements(tape, mt_bce_with_logits_with(tape, prediction, target, MT_LOSS_SUM), prediction,
                          weight);
}

mt_tensor *mt_loss_cross_entropy(void *context, mt_tape *tape, mt_tensor *prediction, mt_tensor *target,
                                 mt_tensor **weight)
{
    const mt_cross_entropy_options *given = context;
    mt_cross_entropy_options options = given ? *given : mt_cross_entropy_defaults();
    options.reduction = MT_LOSS_SUM;
    mt_tensor *sum = mt_cross_entropy_with(tape, prediction, target, options);
    if (!sum || !weight) return NULL;
    *weight = mt_label_weight(tape, target, mt_num(tape, 1), options.ignore_index);
    return sum;
}

/* ---- making ---- */

void mt_step_free(mt_step *step)
{
    if (!step) return;
    mt_tape_free(step->tape);
    mt_shards_free(step->shards);
    mt_tensor *const all[] = {step->rows, step->share, step->mean};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mt_tensor_free(all[i]);
    mt_free(step, sizeof *step);
}

static bool has_parameter(const mt_module *model, const mt_tensor *tensor)
{
    const int parameters = mt_module_parameters(model);
    for (int i = 0; i < parameters; i++)
        if (mt_module_parameter_at(model, i) == tensor) return true;
    return false;
}

static mt_status check_new(const mt_module *model, const mt_optimizer *optimizer,
                           const mt_step_options *options)
{
    if (mt_module_status(model) != MT_OK)
        return mt_fail(mt_module_status(model), "%s", mt_module_message(model));
    if (options->shards < 1 || options->shards > MT_SHARDS_MOST)
        return mt_fail(MT_ERR_VALUE, "step: %d shards; give 1 to %d", options->shards, (int)MT_SHARDS_MOST);
    if (!(options->clip_norm >= 0))
        return mt_fail(MT_ERR_VALUE, "step: clip_norm is %g; give at least 0, or INFINITY for no clipping",
                       mt_printable(options->clip_norm));
    if (!(options->clip_value >= 0))
        return mt_fail(MT_ERR_VALUE, "step: clip_value is %g; give at least 0, or INFINITY for no clipping",
                       mt_printable(options->clip_value));
    for (int i = 0; i < optimizer->slots; i++)
        if (!has_parameter(model, optimizer->slot[i].tensor))
            return mt_fail(
                MT_ERR_VALUE,
                "step: the optimizer moves parameter \"%s\", which is not one of the model's; make it "
                "of the model or of a part of it",
                optimizer->slot[i].name);
    return MT_OK;
}

mt_step *mt_step_new(mt_module *model, mt_loss_fn loss, mt_optimizer *optimizer, mt_step_options options)
{
    if (!model || !loss || !optimizer || check_new(model, optimizer, &options) != MT_OK) return NULL;
    mt_step *step = mt_alloc_zeroed(sizeof *step);
    if (!step) return NULL;
    step->model = model;
    step->loss = loss;
    step->optimizer = optimizer;
    step->options = options;
    mt_backend *backend = optimizer->backend;
    step->rows = mt_empty(backend, mt_shape(1), MT_REAL);
    step->share = mt_empty(backend, mt_shape(1), MT_REAL);
    step->mean = mt_empty(backend, mt_shape(1), MT_REAL);
    bool made = step->rows && step->share && step->mean;
    if (made && options.shards > 1) {
        step->shards = mt_shards_new(optimizer, options.shards);
        made = step->shards != NULL;
    }
    if (made) step->tape = mt_tape_new(backend);
    if (step->tape) return step;
    mt_step_free(step);
    return NULL;
}

/* ---- one shard ---- */

/* The number of rows as a tensor, written when it changes. */
static mt_status set_rows(mt_step *step, int64_t rows)
{
    if (step->rows_value == rows) return MT_OK;
    step->rows_value = step->share_rows = 0;
    const mt_status status = mt_op_fill(step->rows, (double)rows);
    if (status == MT_OK) step->rows_value = rows;
    return status;
}

static mt_status check_number(const mt_tensor *x, const char *what)
{
    char text[MT_SHAPE_TEXT];
    mt_status status = mt_tensor_check(x, "step");
    if (status == MT_OK && (!mt_shape_equal(mt_tensor_shape(x), mt_shape(1)) || x->kind != MT_REAL))
        status =
            mt_fail(MT_ERR_SHAPE,
                    "step: the loss function gives %s of shape %s; it must be a number of shape (1), such "
                    "as mt_sum gives",
                    what, mt_shape_text(mt_tensor_shape(x), text));
    return status;
}

/* 1 / weight into step->share, which keeps that of a number of rows. */
static mt_status set_share(mt_step *step)
{
    const int64_t rows = step->weight == step->rows ? step->rows_value : 0;
    if (rows && step->share_rows == rows) return MT_OK;
    step->share_rows = 0;
    const mt_status status = mt_op_inv(step->share, step->weight);
    if (status == MT_OK) step->share_rows = rows;
    return status;
}

/* Forward and, with learn, backward of rows first to last - 1: step->sum and step->weight are the tape's
 * then. */
static mt_status run_shard(mt_step *step, mt_tensor *x, mt_tensor *target, int64_t first, int64_t last,
                           bool learn)
{
    mt_tape *tape = step->tape;
    mt_tape_reset(tape);
    mt_tape_record(tape, learn);
    mt_status status = set_rows(step, last - first);
    if (status != MT_OK) return status;
    if (step->shards) {
        x = mt_slice(tape, x, 0, first, last, 1);
        target = mt_slice(tape, target, 0, first, last, 1);
    }
    const uint64_t failures = mt_failures();
    step->weight = step->rows;
    step->sum = step->loss(step->options.context, tape, mt_module_forward(step->model, tape, x), target,
                           &step->weight);
    status = mt_tape_status(tape);
    if (status == MT_OK && !(step->sum && step->weight))
        status = mt_failures() > failures
                     ? mt_last_status()
                     : mt_fail(MT_ERR_STATE, "step: the loss function gives NULL without a failure");
    if (status == MT_OK) status = check_number(step->sum, "a sum");
    if (status == MT_OK) status = check_number(step->weight, "a weight");
    if (status != MT_OK || !learn) return status;
    if (step->shards) return mt_backward(tape, step->sum);
    status = set_share(step);
    return status == MT_OK ? mt_backward_from(tape, step->sum, step->share) : status;
}

static mt_status run_shards(mt_step *step, mt_tensor *x, mt_tensor *target, bool learn)
{
    const int shards = step->options.shards;
    const int64_t rows = x->layout.size[0], each = rows / shards, more = rows % shards;
    mt_status status = MT_OK;
    mt_shards_begin(step->shards);
    for (int s = 0; s < shards && status == MT_OK; s++) {
        /* floor(s rows / shards), without a product that overflows */
        const int64_t first = s * each + s * more / shards, last = (s + 1) * each + (s + 1) * more / shards;
        if (last > first) status = run_shard(step, x, target, first, last, learn);
        if (status == MT_OK) status = mt_shards_arrive(step->shards, last == first, step->sum, step->weight);
    }
    step->sum = mt_shards_sum(step->shards);
    step->weight = mt_shards_weight(step->shards);
    return status == MT_OK && learn ? mt_shards_divide(step->shards) : status;
}

/* ---- the step ---- */

static mt_status check_batch(const mt_step *step, const char *what, const mt_tensor *x,
                             const mt_tensor *target)
{
    mt_status status = mt_tensor_check(x, what);
    if (status == MT_OK) status = mt_tensor_check(target, what);
    if (status != MT_OK) return status;
    char text[MT_SHAPE_TEXT], text_target[MT_SHAPE_TEXT];
    if (x->layout.size[0] != target->layout.size[0] || x->layout.size[0] < 1)
        return mt_fail(
            MT_ERR_SHAPE,
            "%s: a batch of shape %s and targets of shape %s; both must have the same number of rows, "
            "at least 1",
            what, mt_shape_text(mt_tensor_shape(x), text),
            mt_shape_text(mt_tensor_shape(target), text_target));
    const mt_backend *backend = step->optimizer->backend;
    if (x->storage->backend != backend || target->storage->backend != backend)
        return mt_fail(MT_ERR_BACKEND,
                       "%s: the batch is on backend %s, its targets on %s and the model on %s", what,
                       x->storage->backend->name, target->storage->backend->name, backend->name);
    return MT_OK;
}

static mt_status compute(mt_step *step, const char *what, mt_tensor *x, mt_tensor *target, bool learn)
{
    if (!step || !x || !target) return MT_ERR_NULL;
    step->sum = step->weight = step->norm = NULL;
    mt_status status = check_batch(step, what, x, target);
    if (status != MT_OK) return status;
    if (learn) mt_optimizer_zero_grad(step->optimizer);
    status = step->shards ? run_shards(step, x, target, learn)
                          : run_shard(step, x, target, 0, x->layout.size[0], learn);
    if (status == MT_OK) return MT_OK;
    step->sum = step->weight = NULL;
    if (mt_tape_status(step->tape) != MT_OK) /* its sentence says in which layer */
        return mt_fail(mt_tape_status(step->tape), "%s", mt_tape_message(step->tape));
    return status;
}

mt_status mt_step_run(mt_step *step, mt_tensor *x, mt_tensor *target)
{
    mt_status status = compute(step, "step_run", x, target, true);
    if (status == MT_OK && !isinf(step->options.clip_norm)) {
        step->norm = mt_optimizer_clip_norm(step->optimizer, step->options.clip_norm);
        if (!step->norm) status = mt_last_status();
    }
    if (status == MT_OK && !isinf(step->options.clip_value))
        status = mt_optimizer_clip_value(step->optimizer, step->options.clip_value);
    return status == MT_OK ? mt_optimizer_step(step->optimizer) : status;
}

mt_status mt_step_evaluate(mt_step *step, mt_tensor *x, mt_tensor *target)
{
    return compute(step, "step_evaluate", x, target, false);
}

/* ---- what came of it ---- */

static mt_tensor *result(mt_tensor *x, const char *what)
{
    if (!x)
        mt_fail(MT_ERR_STATE,
                "%s: there is none; call mt_step_run or mt_step_evaluate first, and look whether it failed",
                what);
    return x;
}

mt_tensor *mt_step_sum(mt_step *step) { return step ? result(step->sum, "step_sum") : NULL; }

mt_tensor *mt_step_weight(mt_step *step) { return step ? result(step->weight, "step_weight") : NULL; }

mt_tensor *mt_step_loss(mt_step *step)
{
    if (!step || !result(step->sum, "step_loss")) return NULL;
    return mt_op_div(step->mean, step->sum, step->weight) == MT_OK ? step->mean : NULL;
}

mt_tensor *mt_step_norm(mt_step *step)
{
    if (!step) return NULL;
    if (!step->norm)
        mt_fail(MT_ERR_STATE, "step_norm: there is none; set clip_norm in the options, and call mt_step_run");
    return step->norm;
}

mt_tape *mt_step_tape(mt_step *step) { return step ? step->tape : NULL; }
