/* autodiff/cross_entropy.c - losses over classes: nll of log-probabilities, cross entropy of logits, with
 * labels or with a probability for each class.
 *
 * The classes are dimension 1 of (n, classes, d1, ...), or dimension 0 of a vector; what is left of the
 * shape, or (1), is that of the labels, and an entry of it is a row here. weight has a number for each class,
 * or one for all.
 */
#include "../tensor/row_ops.h"
#include "elementwise.h"
#include "losses.h"
#include "node.h"

#include <inttypes.h>

mt_cross_entropy_options mt_cross_entropy_defaults(void)
{
    return (mt_cross_entropy_options){.reduction = MT_LOSS_MEAN, .ignore_index = -100};
}

/* ---- shapes ---- */

static int class_dim(const mt_tensor *x) { return mt_tensor_rank(x) > 1 ? 1 : 0; }

/* x's shape without the classes, and with 1 in their place. */
static mt_shape row_shape(const mt_tensor *x)
{
    mt_shape shape = mt_tensor_shape(x);
    if (shape.rank == 1) return mt_shape(1);
    for (int d = 1; d + 1 < shape.rank; d++) shape.size[d] = shape.size[d + 1];
    shape.rank--;
    return shape;
}

static mt_shape kept_shape(const mt_tensor *x)
{
    mt_shape shape = mt_tensor_shape(x);
    shape.size[class_dim(x)] = 1;
    return shape;
}

static mt_status check_weight(const mt_call *call, const mt_tensor *weight)
{
    const mt_shape shape = mt_tensor_shape(call->in[0]), w = mt_tensor_shape(weight);
    const int64_t classes = shape.size[class_dim(call->in[0])];
    char text[MT_SHAPE_TEXT];
    if (w.rank == 1 && (w.size[0] == 1 || w.size[0] == classes)) return MT_OK;
    return mt_fail(MT_ERR_SHAPE,
                   "%s: weight has shape %s; give (%" PRId64 "), a number for each class, or (1)",
                   call->operation->name, mt_shape_text(w, text), classes);
}

static mt_status check_smoothing(const mt_call *call, double smoothing)
{
    if (smoothing >= 0 && smoothing <= 1) return MT_OK;
    return mt_fail(MT_ERR_VALUE, "%s: label_smoothing is %g; give a number from 0 to 1",
                   call->operation->name, mt_printable(smoothing));
}

/* Inputs 0, 1, 2: over classes, labels, weight; attributes reduction, ignore_index. */
static mt_status shape_nll(const mt_call *call, mt_shape *result)
{
    const mt_tensor *x = call->in[0];
    const mt_shape rows = row_shape(x), labels = mt_tensor_shape(call->in[1]);
    const int64_t reduction = call->attribute[0].integer;
    char text[MT_SHAPE_TEXT], text_rows[MT_SHAPE_TEXT], text_x[MT_SHAPE_TEXT];
    *result = reduction == MT_LOSS_NONE ? rows : mt_shape(1);
    if (!mt_shape_equal(rows, labels))
        return mt_fail(
            MT_ERR_SHAPE,
            "%s: labels of shape %s for %s of shape %s; they must have shape %s, without the classes",
            call->operation->name, mt_shape_text(labels, text), call->operation->input[0].name,
            mt_shape_text(mt_tensor_shape(x), text_x), mt_shape_text(rows, text_rows));
    mt_status status = check_weight(call, call->in[2]);
    return status == MT_OK ? mt_loss_check(call->operation->name, reduction) : status;
}

static mt_status shape_cross_entropy(const mt_call *call, mt_shape *result)
{
    mt_status status = shape_nll(call, result);
    return status == MT_OK ? check_smoothing(call, call->attribute[2].real) : status;
}

/* Inputs 0, 1, 2: logits, target, weight; attributes reduction, label_smoothing. */
static mt_status shape_soft(const mt_call *call, mt_shape *result)
{
    const mt_shape x = mt_tensor_shape(call->in[0]), target = mt_tensor_shape(call->in[1]);
    const int64_t reduction = call->attribute[0].integer;
    char text[MT_SHAPE_TEXT], text_x[MT_SHAPE_TEXT];
    *result = reduction == MT_LOSS_NONE ? row_shape(call->in[0]) : mt_shape(1);
    if (!mt_shape_equal(x, target))
        return mt_fail(MT_ERR_SHAPE, "%s: logits of shape %s and a target of shape %s; they must be the same",
                       call->operation->name, mt_shape_text(x, text_x), mt_shape_text(target, text));
    mt_status status = check_weight(call, call->in[2]);
    if (status == MT_OK) status = check_smoothing(call, call->attribute[1].real);
    return status == MT_OK ? mt_loss_check(call->operation->name, reduction) : status;
}

/* ---- as expressions ---- */

/* weight so that it broadcasts along x's classes. */
static mt_tensor *along_classes(mt_tape *t, mt_tensor *weight, const mt_tensor *x)
{
    mt_shape shape = {.rank = mt_tensor_rank(x)};
    if (mt_tensor_count(weight) == 1) return weight;
    for (int d = 0; d < shape.rank; d++) shape.size[d] = 1;
    shape.size[class_dim(x)] = mt_tensor_count(weight);
    return mt_reshape(t, weight, shape);
}

/* Labels as they are compared with numbers of classes: exact below 2^24 in float. What is ignored has no
 * class, -1, and counts as class 0 where a row of weights is taken. */
typedef struct row_labels {
    mt_tensor *number;  /* REAL; -1 where it is ignored */
    mt_tensor *ignored; /* 1 or 0 */
    mt_tensor *weight;  /* of the label's class; 0 where it is ignored */
} row_labels;

static row_labels read_labels(mt_tape *t, mt_tensor *labels, mt_tensor *weight, int64_t classes,
                              int64_t ignore_index, mt_shape shape)
{
    row_labels rows;
    mt_tensor *number = mt_reshape(t, mt_as(t, labels, MT_REAL), shape), *zero = mt_num(t, 0);
    rows.ignored = mt_eq(t, number, mt_num(t, (double)ignore_index));
    rows.number = mt_where(t, rows.ignored, mt_num(t, -1), number);
    mt_tensor *known = mt_reshape(t, mt_where(t, rows.ignored, zero, number), mt_shape(-1));
    mt_tensor *taken = mt_take_rows(t, mt_expand(t, weight, mt_shape(classes)), mt_as(t, known, MT_INDEX));
    rows.weight = mt_where(t, rows.ignored, zero, mt_reshape(t, taken, shape));
    return rows;
}

/* loss (a row in each) reduced, where the mean is over the rows' weights. */
static mt_tensor *reduce_rows(mt_tape *t, mt_tensor *loss, mt_tensor *weight, mt_shape rows,
                              int64_t reduction)
{
    if (reduction == MT_LOSS_NONE) return mt_reshape(t, loss, rows);
    mt_tensor *total = mt_sum(t, loss);
    return reduction == MT_LOSS_SUM ? total : mt_div(t, total, mt_sum(t, weight));
}

/* Of logarithms of probabilities. What is not chosen, or ignored, reaches neither the loss nor a gradient. */
static mt_tensor *express_labels(mt_call *call, mt_tensor *logs, double smoothing)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0], *zero = mt_num(t, 0);
    const int dim = class_dim(x);
    const int64_t classes = mt_tensor_shape(x).size[dim], reduction = call->attribute[0].integer;
    const row_labels rows =
        read_labels(t, call->in[1], call->in[2], classes, call->attribute[1].integer, kept_shape(x));
    mt_tensor *every = mt_arange(mt_tape_backend(t), 0, classes, 1);
    mt_tensor *chosen = mt_eq(t, rows.number, along_classes(t, mt_as(t, every, MT_REAL), x));
    mt_tensor_free(every);
    mt_tensor *terms = mt_mul(t, along_classes(t, call->in[2], x), logs);
    mt_tensor *loss = mt_sum_dim(t, mt_where(t, chosen, terms, zero), dim, true);
    if (smoothing > 0) {
        mt_tensor *all = mt_where(t, rows.ignored, zero, mt_sum_dim(t, terms, dim, true));
        loss = mt_add(t, mt_scale(t, loss, 1 - smoothing), mt_scale(t, all, smoothing / (double)classes));
    }
    return reduce_rows(t, mt_neg(t, loss), rows.weight, row_shape(x), reduction);
}

static mt_tensor *express_nll(mt_call *call) { return express_labels(call, call->in[0], 0); }

static mt_tensor *express_cross_entropy(mt_call *call)
{
    mt_tensor *logs = mt_log_softmax(call->tape, call->in[0], class_dim(call->in[0]));
    return express_labels(call, logs, call->attribute[2].real);
}

static mt_tensor *express_soft(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0], *target = call->in[1];
    const int dim = class_dim(x);
    const double classes = (double)mt_tensor_shape(x).size[dim], smoothing = call->attribute[1].real;
    if (smoothing > 0) target = mt_add(t, mt_scale(t, target, 1 - smoothing), mt_num(t, smoothing / classes));
    mt_tensor *logs = mt_mul(t, along_classes(t, call->in[2], x), mt_log_softmax(t, x, dim));
    mt_tensor *loss = mt_neg(t, mt_sum_dim(t, mt_mul(t, target, logs), dim, true));
    if (call->attribute[0].integer == MT_LOSS_NONE) return mt_reshape(t, loss, row_shape(x));
    return mt_loss_reduce(t, loss, call->attribute[0].integer);
}

/* ---- by the slot ---- */

/* NLL and LABELS take labels, TARGET probabilities; NLL logarithms, the others logits. */
typedef enum loss_kind { NLL, LABELS, TARGET } loss_kind;

/* What run keeps for the VJP. */
typedef struct kept_numbers {
    mt_tensor *rows;   /* (4, rows): loss, row_weight, most and sum of mt_cross_entropy_work */
    mt_tensor *weight; /* the sum of row_weight, where the mean is divided by it; or NULL */
} kept_numbers;

/* The work, and the layouts that its operands point at. */
typedef struct loss_work {
    mt_cross_entropy_work work;
    mt_layout labels, weight, g;
} loss_work;

static int64_t count_rows(const mt_tensor *x)
{
    const mt_shape rows = row_shape(x);
    int64_t count = 1;
    for (int d = 0; d < rows.rank; d++) count *= rows.size[d];
    return count;
}

/* layout, a number for each row, with a dimension of size 1 for the classes. */
static mt_layout with_classes(const mt_layout *layout, const mt_tensor *x)
{
    mt_layout wide = *layout;
    if (mt_tensor_rank(x) == 1) return wide;
    for (int d = wide.rank++; d > 1; d--)
        wide.size[d] = wide.size[d - 1], wide.stride[d] = wide.stride[d - 1];
    wide.size[1] = 1, wide.stride[1] = 0;
    return wide;
}

static void describe(loss_work *to, loss_kind kind, const mt_tensor *x, const mt_tensor *target,
                     const mt_tensor *weight, const mt_attribute *attribute, const mt_tensor *rows)
{
    mt_cross_entropy_work *work = &to->work;
    const int64_t count = count_rows(x), classes = mt_tensor_shape(x).size[class_dim(x)];
    mt_real *number = (mt_real *)rows->storage->data + rows->layout.offset;
    *work =
        (mt_cross_entropy_work){.logarithms = kind == NLL, .dim = class_dim(x), .x = mt_tensor_operand(x)};
    work->loss = number;
    if (kind != TARGET) work->row_weight = number + count;
    if (kind != NLL) work->most = number + 2 * count, work->sum = number + 3 * count;
    if (kind == TARGET) {
        work->target = mt_tensor_operand(target);
        work->smoothing = attribute[1].real;
    } else {
        to->labels = with_classes(&target->layout, x);
        work->labels = (mt_operand){target->storage->data, &to->labels};
        work->ignore_index = attribute[1].integer;
        work->smoothing = kind == NLL ? 0 : attribute[2].real;
    }
    to->weight = weight->layout;
    if (to->weight.size[0] != classes) to->weight.size[0] = classes, to->weight.stride[0] = 0;
    work->weight = (mt_operand){weight->storage->data, &to->weight};
}

/* Row k of the numbers, as a tensor of that shape. */
static mt_tensor numbers_of(const mt_tensor *rows, int k)
{
    const mt_layout layout = {.rank = 1,
                              .offset = rows->layout.offset + k * rows->layout.size[1],
                              .size = {rows->layout.size[1]},
                              .stride = {1}};
    return mt_alias(rows, &layout);
}

static mt_status run_loss(mt_call *call, mt_tensor *out, loss_kind kind)
{
    mt_tape *t = call->tape;
    const mt_tensor *x = call->in[0];
    const int64_t reduction = call->attribute[0].integer;
    kept_numbers *kept = mt_tape_memory(t, sizeof *kept);
    mt_tensor *rows = mt_tape_empty(t, mt_shape(4, count_rows(x)), MT_REAL);
    if (!kept || !rows) return MT_ERR_MEMORY;
    if (x->kind != MT_REAL || call->in[2]->kind != MT_REAL)
        return mt_fail(MT_ERR_KIND,
                       "%s: an operand holds indices (INDEX); convert it with mt_as(tape, x, MT_REAL)",
                       call->operation->name);
    *kept = (kept_numbers){.rows = rows};
    call->extra = kept;
    loss_work to;
    describe(&to, kind, x, call->in[1], call->in[2], call->attribute, rows);
    mt_status status = mt_op_cross_entropy(rows, &to.work);
    if (status != MT_OK) return status;
    const mt_tensor loss = numbers_of(rows, 0), weight = numbers_of(rows, 1);
    if (reduction == MT_LOSS_NONE) {
        mt_layout each = mt_layout_contiguous(row_shape(x)); /* the losses in the shape of the labels */
        each.offset = loss.layout.offset;
        const mt_tensor shaped = mt_alias(rows, &each);
        return mt_op_copy(out, &shaped);
    }
    if (reduction == MT_LOSS_MEAN && kind == TARGET) return mt_op_mean(out, &loss, mt_axes(0));
    status = mt_op_sum(out, &loss, mt_axes(0));
    if (status != MT_OK || reduction == MT_LOSS_SUM) return status;
    kept->weight = mt_tape_empty(t, mt_shape(1), MT_REAL);
    if (!kept->weight) return MT_ERR_MEMORY;
    status = mt_op_sum(kept->weight, &weight, mt_axes(0));
    return status == MT_OK ? mt_op_div(out, out, kept->weight) : status;
}

static void send_loss(mt_tape *t, const mt_node *node, mt_tensor *g, loss_kind kind)
{
    mt_tensor *x = node->in[0].tensor;
    const kept_numbers *kept = node->extra;
    const bool one = node->attribute[0].integer != MT_LOSS_NONE;
    loss_work to;
    if (kept->weight) g = mt_div(t, g, kept->weight);
    if (kind == TARGET && node->attribute[0].integer == MT_LOSS_MEAN)
        g = mt_scale(t, g, 1 / (double)count_rows(x));
    mt_tensor *out = mt_share(t, node, 0, x);
    if (!g || !out) return;
    describe(&to, kind, x, node->in[1].tensor, node->in[2].tensor, node->attribute, kept->rows);
    if (one) {
        to.g = x->layout;
        to.g.size[class_dim(x)] = 1;
        to.g.offset = g->layout.offset;
        for (int d = 0; d < to.g.rank; d++) to.g.stride[d] = 0;
    } else {
        to.g = with_classes(&g->layout, x);
    }
    to.work.back = true;
    to.work.g = (mt_operand){g->storage->data, &to.g};
    to.work.out = mt_tensor_operand(out);
    if (mt_did(t, mt_op_cross_entropy(out, &to.work))) mt_send(t, node, 0, out);
}

static mt_status run_nll(mt_call *call, mt_tensor *out) { return run_loss(call, out, NLL); }
static mt_status run_cross_entropy(mt_call *call, mt_tensor *out) { return run_loss(call, out, LABELS); }
static mt_status run_soft(mt_call *call, mt_tensor *out) { return run_loss(call, out, TARGET); }
static void vjp_nll(mt_tape *t, const mt_node *node, mt_tensor *g) { send_loss(t, node, g, NLL); }
static void vjp_cross_entropy(mt_tape *t, const mt_node *node, mt_tensor *g)
{
    send_loss(t, node, g, LABELS);
}
static void vjp_soft(mt_tape *t, const mt_node *node, mt_tensor *g) { send_loss(t, node, g, TARGET); }

/* ---- nll ---- */

#define LABEL_INPUTS(name_of_x, low_of_x, high_of_x)                                        \
    {.name = name_of_x, .low = low_of_x, .high = high_of_x},                                \
        {.name = "labels", .takes = MT_TAKES_INDEX, .constant = true, .low = 0, .high = 3}, \
    {                                                                                       \
        .name = "weight", .constant = true, .low = 0.5, .high = 2                           \
    }

static const mt_example label_examples[] = {
    {.shape = {{2, {4, 3}}, {1, {4}}, {1, {3}}},
     .attribute = {{.integer = MT_LOSS_MEAN}, {.integer = -100}, {.real = 0.25}}},
    {.shape = {{4, {2, 3, 1, 2}}, {3, {2, 1, 2}}, {1, {1}}},
     .attribute = {{.integer = MT_LOSS_SUM}, {.integer = 1}, {.real = 0}}},
    {.shape = {{1, {4}}, {1, {1}}, {1, {4}}},
     .attribute = {{.integer = MT_LOSS_NONE}, {.integer = -100}, {.real = 0.125}}},
    {.shape = {{0}}},
};

const mt_operation mt_operation_nll = {
    .name = "nll",
    .formula = "the mean of -logs[label], each times the weight of its label, over the sum of these weights",
    .input = {LABEL_INPUTS("logs", -3, 0)},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}, {"ignore_index", MT_ATTRIBUTE_INTEGER}},
    .shape = shape_nll,
    .run = run_nll,
    .expression = express_nll,
    .vjp = vjp_nll,
    .reads = {1u << 1 | 1u << 2 | MT_READS_ATTRIBUTES},
    .cost = MT_COST_ARITHMETIC,
    .examples = label_examples,
};

static mt_tensor *with_labels(mt_tape *tape, const mt_operation *operation, mt_tensor *x, mt_tensor *labels,
                              mt_tensor *weight, const mt_cross_entropy_options *options)
{
    const mt_attribute attribute[] = {{.integer = options->reduction},
                                      {.integer = options->ignore_index},
                                      {.real = options->label_smoothing}};
    return mt_apply_operation(tape, operation, (mt_tensor *[]){x, labels, weight}, 3, attribute);
}

/* logs are logarithms of probabilities, (n, classes, d1, ...) or (classes), such as log_softmax gives along
 * dimension 1, or 0; labels, INDEX, have that shape without the classes. */
mt_tensor *mt_nll(mt_tape *tape, mt_tensor *logs, mt_tensor *labels)
{
    return mt_nll_with(tape, logs, labels, mt_cross_entropy_defaults());
}

/* A label of ignore_index counts for nothing; the label_smoothing of options is not used. */
mt_tensor *mt_nll_with(mt_tape *tape, mt_tensor *logs, mt_tensor *labels, mt_cross_entropy_options options)
{
    return mt_nll_weighted(tape, logs, labels, mt_num(tape, 1), options);
}

mt_tensor *mt_nll_weighted(mt_tape *tape, mt_tensor *logs, mt_tensor *labels, mt_tensor *weight,
                           mt_cross_entropy_options options)
{
    return with_labels(tape, &mt_operation_nll, logs, labels, weight, &options);
}

/* ---- cross entropy ---- */

const mt_operation mt_operation_cross_entropy = {
    .name = "cross_entropy",
    .formula =
        "nll of log_softmax(logits), where label_smoothing / classes of each target goes to every class",
    .input = {LABEL_INPUTS("logits", -3, 3)},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER},
                  {"ignore_index", MT_ATTRIBUTE_INTEGER},
                  {"label_smoothing", MT_ATTRIBUTE_REAL}},
    .shape = shape_cross_entropy,
    .run = run_cross_entropy,
    .expression = express_cross_entropy,
    .vjp = vjp_cross_entropy,
    .reads = {7u | MT_READS_ATTRIBUTES},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = label_examples,
};

/* logits (n, classes, d1, ...) or (classes); labels, INDEX, have that shape without the classes, and each is
 * a class or ignore_index, which counts for nothing. Everything ignored: NaN for the mean, 0 for the sum. */
mt_tensor *mt_cross_entropy(mt_tape *tape, mt_tensor *logits, mt_tensor *labels)
{
    return mt_cross_entropy_with(tape, logits, labels, mt_cross_entropy_defaults());
}

mt_tensor *mt_cross_entropy_with(mt_tape *tape, mt_tensor *logits, mt_tensor *labels,
                                 mt_cross_entropy_options options)
{
    return mt_cross_entropy_weighted(tape, logits, labels, mt_num(tape, 1), options);
}

/* weight (classes): what each class counts; the mean is divided by the sum of the labels' weights, as PyTorch
 * has it. mt_label_weight gives that sum. */
mt_tensor *mt_cross_entropy_weighted(mt_tape *tape, mt_tensor *logits, mt_tensor *labels, mt_tensor *weight,
                                     mt_cross_entropy_options options)
{
    return with_labels(tape, &mt_operation_cross_entropy, logits, labels, weight, &options);
}

/* ---- cross entropy with probabilities ---- */

static const mt_example soft_examples[] = {
    {.shape = {{2, {4, 3}}, {2, {4, 3}}, {1, {3}}}, .attribute = {{.integer = MT_LOSS_MEAN}, {.real = 0.25}}},
    {.shape = {{4, {2, 3, 1, 2}}, {4, {2, 3, 1, 2}}, {1, {1}}},
     .attribute = {{.integer = MT_LOSS_SUM}, {.real = 0}}},
    {.shape = {{1, {4}}, {1, {4}}, {1, {4}}}, .attribute = {{.integer = MT_LOSS_NONE}, {.real = 0.125}}},
    {.shape = {{0}}},
};

const mt_operation mt_operation_soft_cross_entropy = {
    .name = "soft_cross_entropy",
    .formula = "the mean over rows of -sum over classes of weight target log_softmax(logits), the target "
               "smoothed to "
               "(1 - label_smoothing) target + label_smoothing / classes",
    .input = {{.name = "logits", .low = -3, .high = 3},
              {.name = "target", .constant = true, .low = 0, .high = 1},
              {.name = "weight", .constant = true, .low = 0.5, .high = 2}},
    .attribute = {{"reduction", MT_ATTRIBUTE_INTEGER}, {"label_smoothing", MT_ATTRIBUTE_REAL}},
    .shape = shape_soft,
    .run = run_soft,
    .expression = express_soft,
    .vjp = vjp_soft,
    .reads = {7u | MT_READS_ATTRIBUTES},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = soft_examples,
};

/* target, of logits' shape, has a probability for each class, one-hot rows too. */
mt_tensor *mt_soft_cross_entropy(mt_tape *tape, mt_tensor *logits, mt_tensor *target)
{
    return mt_soft_cross_entropy_with(tape, logits, target, mt_cross_entropy_defaults());
}

/* The ignore_index of options is not used: it is of labels. */
mt_tensor *mt_soft_cross_entropy_with(mt_tape *tape, mt_tensor *logits, mt_tensor *target,
                                      mt_cross_entropy_options options)
{
    return mt_soft_cross_entropy_weighted(tape, logits, target, mt_num(tape, 1), options);
}

/* weight (classes) multiplies the terms, and the mean is over rows, as PyTorch has it. */
mt_tensor *mt_soft_cross_entropy_weighted(mt_tape *tape, mt_tensor *logits, mt_tensor *target,
                                          mt_tensor *weight, mt_cross_entropy_options options)
{
    const mt_attribute attribute[] = {{.integer = options.reduction}, {.real = options.label_smoothing}};
    return mt_apply_operation(tape, &mt_operation_soft_cross_entropy, (mt_tensor *[]){logits, target, weight},
                              3, attribute);
}

/* ---- the weight of labels ---- */

mt_tensor *mt_label_weight(mt_tape *tape, mt_tensor *labels, mt_tensor *weight, int64_t ignore_index)
{
    char text[MT_SHAPE_TEXT];
    if (!mt_tape_enter(tape, "label_weight", (mt_tensor *[]){labels, weight}, 2)) return NULL;
    if (labels->kind != MT_INDEX) {
        mt_fail(MT_ERR_KIND, "label_weight: labels must be an INDEX tensor; this one is REAL");
        return mt_tape_give_up(tape);
    }
    if (mt_tensor_rank(weight) != 1) {
        mt_fail(MT_ERR_SHAPE, "label_weight: weight has shape %s; give a number for each class, or (1)",
                mt_shape_text(mt_tensor_shape(weight), text));
        return mt_tape_give_up(tape);
    }
    const int64_t classes = mt_tensor_count(weight);
    if (classes != 1)
        return mt_sum(
            tape, read_labels(tape, labels, weight, classes, ignore_index, mt_tensor_shape(labels)).weight);
    mt_tensor *counts = mt_ne(tape, mt_as(tape, labels, MT_REAL), mt_num(tape, (double)ignore_index));
    return mt_mul(tape, mt_sum(tape, counts), weight);
}
