/* ops_cpu/simple_rows.c - the definitions of the slots that work on rows along a dimension: softmax and cross
 * entropy. As in simple.c, one row after the other, in double. */
#include <inttypes.h>
#include <math.h>

#include "cpu.h"
#include "softmax.h"

static mt_real *element(const mt_operand *x, const mt_row_walk *walk, int k, int64_t row, int64_t i)
{
    return (mt_real *)x->data + mt_row_at(walk, k, row) + i * walk->step[k];
}

/* ---- softmax ---- */

/* The largest of a row, NaN if one is NaN, and the sum of exp(x - largest). */
static void most_and_sum(const mt_operand *x, const mt_row_walk *walk, int k, int64_t row, double *most,
                         double *sum)
{
    *most = -INFINITY;
    *sum = 0;
    for (int64_t i = 0; i < walk->n; i++) {
        const double value = (double)*element(x, walk, k, row, i);
        if (value > *most || isnan(value)) *most = value;
    }
    for (int64_t i = 0; i < walk->n; i++) *sum += exp((double)*element(x, walk, k, row, i) - *most);
}

mt_status mt_simple_softmax(mt_backend *backend, const mt_softmax_work *work)
{
    enum { OUT, IN, G };
    (void)backend;
    const mt_operand operand[] = {work->out, work->in, work->back ? work->g : (mt_operand){NULL, NULL}};
    const mt_row_walk walk = mt_row_walk_of(operand, 3, work->dim);
    for (int64_t r = 0; r < walk.rows; r++) {
        double most = 0, sum = 0;
        if (!work->back) most_and_sum(&work->in, &walk, IN, r, &most, &sum);
        for (int64_t i = 0; i < walk.n && work->back; i++)
            sum += (double)*element(&work->g, &walk, G, r, i) *
                   (work->log ? 1 : (double)*element(&work->in, &walk, IN, r, i));
        for (int64_t i = 0; i < walk.n; i++) {
            const double x = (double)*element(&work->in, &walk, IN, r, i);
            const double g = work->back ? (double)*element(&work->g, &walk, G, r, i) : 0;
            double y;
            if (work->back)
                y = work->log ? g - exp(x) * sum : x * (g - sum);
            else
                y = work->log ? x - most - log(sum) : exp(x - most) / sum;
            *element(&work->out, &walk, OUT, r, i) = (mt_real)y;
        }
    }
    return MT_OK;
}

/* ---- cross entropy ---- */

enum { X = MT_CE_X, LABELS = MT_CE_LABELS, TARGET = MT_CE_TARGET, OUT = MT_CE_OUT, G = MT_CE_G };

mt_status mt_cpu_check_labels(const mt_cross_entropy_work *work, const mt_row_walk *walk)
{
    const int64_t *labels = work->labels.data;
    for (int64_t r = 0; labels && r < walk->rows; r++) {
        const int64_t label = labels[mt_row_at(walk, LABELS, r)];
        if ((label >= 0 && label < walk->n) || label == work->ignore_index) continue;
        return mt_fail(MT_ERR_INDEX,
                       "cross_entropy: label %" PRId64 " is %" PRId64 ", and there are %" PRId64
                       " classes, from 0; ignore_index is %" PRId64,
                       r, label, walk->n, work->ignore_index);
    }
    return MT_OK;
}

mt_row_walk mt_cpu_cross_entropy_walk(const mt_cross_entropy_work *work)
{
    const mt_operand none = {NULL, NULL};
    return mt_row_walk_of((const mt_operand[]){work->x, work->labels, work->target,
                                               work->back ? work->out : none, work->back ? work->g : none},
                          MT_CE_OPERANDS, work->dim);
}

typedef struct entropy_row {
    const mt_cross_entropy_work *work;
    const mt_row_walk *walk;
    int64_t row, label; /* -1: a target */
    double most, log_sum, sum;
} entropy_row;

static double weight_of(const entropy_row *at, int64_t c)
{
    const mt_layout *layout = at->work->weight.layout;
    return (double)((const mt_real *)at->work->weight.data)[layout->offset + c * layout->stride[0]];
}

/* What the loss multiplies -l_c by: its derivative by l_c is minus that. */
static double factor_of(const entropy_row *at, int64_t c)
{
    const mt_cross_entropy_work *work = at->work;
    const double part = work->smoothing / (double)at->walk->n, rest = 1 - work->smoothing;
    const double t =
        at->label >= 0 ? c == at->label : (double)*element(&work->target, at->walk, TARGET, at->row, c);
    return weight_of(at, c) * (rest * t + part);
}

static double x_of(const entropy_row *at, int64_t c)
{
    return (double)*element(&at->work->x, at->walk, X, at->row, c);
}

/* With labels, classes that count for nothing are not looked at. */
static bool counts(const entropy_row *at, int64_t c)
{
    return at->label < 0 || at->work->smoothing > 0 || c == at->label;
}

static double loss_of(const entropy_row *at)
{
    double loss = 0;
    for (int64_t c = 0; c < at->walk->n; c++)
        if (counts(at, c)) loss -= factor_of(at, c) * (x_of(at, c) - at->most - at->log_sum);
    return loss;
}

static void write_slope(const entropy_row *at, double g)
{
    const mt_cross_entropy_work *work = at->work;
    double total = 0;
    for (int64_t c = 0; c < at->walk->n && !work->logarithms; c++)
        if (counts(at, c)) total += factor_of(at, c);
    for (int64_t c = 0; c < at->walk->n; c++) {
        const double p = work->logarithms ? 0 : exp(x_of(at, c) - at->most) / at->sum;
        const double factor = counts(at, c) ? factor_of(at, c) : 0;
        *element(&work->out, at->walk, OUT, at->row, c) = (mt_real)(g * (p * total - factor));
    }
}

mt_status mt_simple_cross_entropy(mt_backend *backend, const mt_cross_entropy_work *work)
{
    (void)backend;
    const mt_row_walk walk = mt_cpu_cross_entropy_walk(work);
    mt_status status = work->back ? MT_OK : mt_cpu_check_labels(work, &walk);
    for (int64_t r = 0; r < walk.rows && status == MT_OK; r++) {
        entropy_row at = {.work = work, .walk = &walk, .row = r, .label = -1, .sum = 1};
        if (work->labels.data) at.label = ((const int64_t *)work->labels.data)[mt_row_at(&walk, LABELS, r)];
        const bool ignored = work->labels.data && at.label == work->ignore_index;
        if (work->back && ignored) {
            for (int64_t c = 0; c < walk.n; c++) *element(&work->out, &walk, OUT, r, c) = 0;
            continue;
        }
        if (work->back) {
            if (!work->logarithms) at.most = (double)work->most[r], at.sum = (double)work->sum[r];
            write_slope(&at, (double)*element(&work->g, &walk, G, r, 0));
            continue;
        }
        if (!work->logarithms) {
            most_and_sum(&work->x, &walk, X, r, &at.most, &at.sum);
            at.log_sum = log(at.sum);
            work->most[r] = (mt_real)at.most, work->sum[r] = (mt_real)at.sum;
        }
        work->loss[r] = ignored ? 0 : (mt_real)loss_of(&at);
        if (work->row_weight) work->row_weight[r] = ignored ? 0 : (mt_real)weight_of(&at, at.label);
    }
    return status;
}

/* ---- layer norm ---- */

static void normalize_row(const mt_layer_norm_work *work, int64_t r)
{
    const mt_real *x = work->x + r * work->n;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < work->n; i++) sum += (double)x[i];
    const double mean = sum / (double)work->n;
    for (int64_t i = 0; i < work->n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double scale = 1 / sqrt(squares / (double)work->n + work->eps);
    work->mean[r] = (mt_real)mean, work->scale[r] = (mt_real)scale;
    for (int64_t i = 0; i < work->n; i++)
        work->out[r * work->n + i] =
            (mt_real)(((double)x[i] - mean) * scale * (double)work->gamma[i] + (double)work->beta[i]);
}

static void normalize_back(const mt_layer_norm_work *work, int64_t r)
{
    const mt_real *x = work->x + r * work->n, *g = work->g + r * work->n;
    const double mean = (double)work->mean[r], scale = (double)work->scale[r];
    double sum = 0, along = 0;
    for (int64_t i = 0; i < work->n; i++) {
        const double slope = (double)g[i] * (double)work->gamma[i];
        sum += slope;
        along += slope * ((double)x[i] - mean) * scale;
    }
    for (int64_t i = 0; i < work->n; i++) {
        const double h = ((double)x[i] - mean) * scale, slope = (double)g[i] * (double)work->gamma[i];
        if (work->to_x)
            work->to_x[r * work->n + i] = (mt_real)(scale * (slope - (sum + h * along) / (double)work->n));
        if (work->hat) work->hat[r * work->n + i] = (mt_real)((double)g[i] * h);
    }
}

mt_status mt_simple_layer_norm(mt_backend *backend, const mt_layer_norm_work *work)
{
    (void)backend;
    for (int64_t r = 0; r < work->rows; r++) {
        if (work->back)
            normalize_back(work, r);
        else
            normalize_row(work, r);
    }
    return MT_OK;
}
