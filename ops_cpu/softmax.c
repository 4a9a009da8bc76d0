/* ops_cpu/softmax.c - softmax and cross entropy on whole arrays: rows are shared out among threads, and where
 * they are not contiguous some neighbouring ones are copied together, so that a line of memory is read once
 * for all of them.
 *
 * A row is one thread's, by kernels that know nothing of others; so the bits are the same for any number of
 * threads.
 */
#include "share.h"
#include "softmax.h"
#include "tensor/scalar/scalar_math.h"
#include "workspace.h"

#include <string.h>

enum {
    TOGETHER = 16,
    COPIED = 1 << 16
};                 /* the most rows, and about the most numbers, that are copied together */
enum { COST = 8 }; /* elementary steps of an element (mt_cpu_threads) */

/* ---- rows made contiguous ---- */

/* The operands of a slot as rows: those that are not contiguous along them have room for `together` rows. */
typedef struct {
    mt_row_walk walk;
    mt_real *data[MT_WALK_OPERANDS];
    int reals;               /* operands 0 .. reals-1 may be copied; the rest have one element a row */
    unsigned copied;         /* bit k: operand k is */
    int64_t together, apart; /* apart: from one operand's room to the next */
} row_source;

static row_source source_of(const mt_row_walk *walk, const mt_operand *operand, int reals)
{
    row_source s = {.walk = *walk, .reals = reals, .together = 1};
    for (int k = 0; k < reals; k++) {
        s.data[k] = operand[k].data;
        if (operand[k].data && walk->step[k] != 1 && walk->n > 1) s.copied |= 1u << k;
    }
    if (!s.copied) return s;
    s.together = COPIED / (walk->n + 1);
    s.together = s.together < 1 ? 1 : s.together > TOGETHER ? TOGETHER : s.together;
    s.apart = s.together * walk->n;
    return s;
}

/* row[k][i] is where row first + i of operand k stands, as a contiguous row; inputs are copied. */
typedef struct {
    mt_real *row[MT_WALK_OPERANDS][TOGETHER];
    int64_t at[MT_WALK_OPERANDS][TOGETHER];
} row_block;

static void open_block(const row_source *s, mt_real *room, int64_t first, int64_t count, int out,
                       row_block *b)
{
    const int64_t n = s->walk.n;
    for (int k = 0; k < s->reals; k++) {
        if (!s->data[k]) continue;
        for (int64_t i = 0; i < count; i++) {
            b->at[k][i] = mt_row_at(&s->walk, k, first + i);
            b->row[k][i] = s->copied >> k & 1 ? room + k * s->apart + i * n : s->data[k] + b->at[k][i];
        }
        if (k == out || !(s->copied >> k & 1)) continue;
        const int64_t step = s->walk.step[k];
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < count; i++) b->row[k][i][j] = s->data[k][b->at[k][i] + j * step];
    }
}

static void close_block(const row_source *s, int64_t count, int out, const row_block *b)
{
    if (out < 0 || !(s->copied >> out & 1)) return;
    const int64_t step = s->walk.step[out];
    for (int64_t j = 0; j < s->walk.n; j++)
        for (int64_t i = 0; i < count; i++) s->data[out][b->at[out][i] + j * step] = b->row[out][i][j];
}

/* What a share of rows needs beside the operands: rooms numbers for each share begin at room. */
typedef struct {
    row_source source;
    mt_real *room;
    int64_t rooms;
} row_job;

/* Shares the rows out, with room for a block in each share. */
static mt_status share_rows(row_job *job, mt_share_fn run, const void *context)
{
    const row_source *s = &job->source;
    const double work = (double)s->walk.rows * (double)s->walk.n * COST;
    const int threads = mt_cpu_threads(work);
    mt_workspace space;
    job->rooms = s->copied ? s->apart * s->reals : 0;
    if (!mt_workspace_borrow((size_t)job->rooms * (size_t)threads * sizeof(mt_real), &space))
        return MT_ERR_MEMORY;
    job->room = space.data;
    mt_share_out(threads, run, context);
    mt_workspace_give_back(&space);
    return MT_OK;
}

/* ---- softmax ---- */

typedef struct {
    row_job rows; /* first: share_rows gets it */
    const mt_softmax_work *work;
    const mt_softmax_kernels *kernels;
} softmax_job;

static void softmax_share(const void *context, int share, int shares)
{
    enum { OUT, IN, G };
    const softmax_job *job = context;
    const row_source *s = &job->rows.source;
    const int64_t last = mt_share_begin(s->walk.rows, share + 1, shares), n = s->walk.n;
    mt_real *room = job->rows.rooms ? job->rows.room + share * job->rows.rooms : NULL;
    const bool log = job->work->log, back = job->work->back;
    row_block b;
    for (int64_t r = mt_share_begin(s->walk.rows, share, shares), count; r < last; r += count) {
        count = last - r < s->together ? last - r : s->together;
        open_block(s, room, r, count, OUT, &b);
        for (int64_t i = 0; i < count; i++) {
            if (back)
                job->kernels->back[log](n, b.row[OUT][i], b.row[IN][i], b.row[G][i]);
            else
                job->kernels->value[log](n, b.row[OUT][i], b.row[IN][i]);
        }
        close_block(s, count, OUT, &b);
    }
}

mt_status mt_cpu_softmax(mt_backend *backend, const mt_softmax_work *work)
{
    (void)backend;
    const mt_operand operand[] = {work->out, work->in, work->back ? work->g : (mt_operand){NULL, NULL}};
    const mt_row_walk walk = mt_row_walk_of(operand, 3, work->dim);
    if (walk.rows == 0 || walk.n == 0) return MT_OK;
    softmax_job job = {
        .rows.source = source_of(&walk, operand, 3), .work = work, .kernels = mt_cpu_kernels_get()->softmax};
    return share_rows(&job.rows, softmax_share, &job);
}

/* ---- cross entropy ---- */

enum { X = MT_CE_X, LABELS = MT_CE_LABELS, TARGET = MT_CE_TARGET, OUT = MT_CE_OUT, G = MT_CE_G };

typedef struct {
    row_job rows;
    const mt_cross_entropy_work *work;
    const mt_softmax_kernels *kernels;
    const mt_real *weight; /* contiguous */
    mt_real rest, part;    /* 1 - smoothing, smoothing / classes */
    double weights;        /* their sum, where there is smoothing of labels */
} entropy_job;

static void value_of_row(const entropy_job *job, int64_t r, int64_t label, const mt_real *x,
                         const mt_real *target)
{
    const mt_cross_entropy_work *work = job->work;
    const int64_t n = job->rows.source.walk.n;
    const mt_real *w = job->weight;
    mt_real most = 0, log_sum = 0;
    double loss;
    if (!work->logarithms) {
        mt_real sum;
        job->kernels->sum(n, x, &most, &sum);
        work->most[r] = most, work->sum[r] = sum;
        log_sum = mt_m_log(sum);
    }
    if (target) {
        double distance;
        const double sum = job->kernels->target_sum(n, target, w, job->rest, job->part, x, most, &distance);
        work->loss[r] = (mt_real)(sum * (double)log_sum - distance);
        return;
    }
    if (label == work->ignore_index) {
        work->loss[r] = work->row_weight[r] = 0;
        return;
    }
    loss = -(double)job->rest * (double)w[label] * (double)((x[label] - most) - log_sum);
    if (work->smoothing > 0)
        loss += (double)job->part *
                (job->weights * (double)log_sum - job->kernels->weighted_distance(n, x, w, most));
    work->loss[r] = (mt_real)loss;
    work->row_weight[r] = w[label];
}

static void slope_of_row(const entropy_job *job, int64_t r, int64_t label, const mt_real *x,
                         const mt_real *target, mt_real g, mt_real *out)
{
    const mt_cross_entropy_work *work = job->work;
    const int64_t n = job->rows.source.walk.n;
    const mt_real *w = job->weight;
    if (target) {
        double unused;
        const double total = job->kernels->target_sum(n, target, w, job->rest, job->part, NULL, 0, &unused);
        job->kernels->slope_of_target(n, out, x, work->most[r],
                                      (mt_real)((double)g * total / (double)work->sum[r]), g, target, w,
                                      job->rest, job->part);
        return;
    }
    if (work->logarithms || label == work->ignore_index) {
        memset(out, 0, (size_t)n * sizeof *out);
        if (label != work->ignore_index) out[label] = -g * w[label];
        return;
    }
    const bool smooth = work->smoothing > 0;
    const double own = (double)g * (double)job->rest * (double)w[label],
                 total = own + (smooth ? (double)g * (double)job->part * job->weights : 0);
    job->kernels->slope_of_label(n, out, x, work->most[r], (mt_real)(total / (double)work->sum[r]),
                                 smooth ? w : NULL, g * job->part);
    out[label] -= (mt_real)own;
}

static void entropy_share(const void *context, int share, int shares)
{
    const entropy_job *job = context;
    const row_source *s = &job->rows.source;
    const mt_cross_entropy_work *work = job->work;
    const int64_t last = mt_share_begin(s->walk.rows, share + 1, shares);
    mt_real *room = job->rows.rooms ? job->rows.room + share * job->rows.rooms : NULL;
    const int64_t *labels = work->labels.data;
    const int out = work->back ? OUT : -1;
    row_block b = {.row = {{NULL}}};
    for (int64_t r = mt_share_begin(s->walk.rows, share, shares), count; r < last; r += count) {
        count = last - r < s->together ? last - r : s->together;
        open_block(s, room, r, count, out, &b);
        for (int64_t i = 0; i < count; i++) {
            const int64_t label = labels ? labels[mt_row_at(&s->walk, LABELS, r + i)] : -1;
            const mt_real *target = labels ? NULL : b.row[TARGET][i];
            if (work->back)
                slope_of_row(job, r + i, label, b.row[X][i], target,
                             ((const mt_real *)work->g.data)[mt_row_at(&s->walk, G, r + i)], b.row[OUT][i]);
            else
                value_of_row(job, r + i, label, b.row[X][i], target);
        }
        close_block(s, count, out, &b);
    }
}

mt_status mt_cpu_cross_entropy(mt_backend *backend, const mt_cross_entropy_work *work)
{
    (void)backend;
    const mt_operand none = {NULL, NULL};
    const mt_operand operand[] = {work->x, none, work->target, work->back ? work->out : none};
    const mt_row_walk walk = mt_cpu_cross_entropy_walk(work);
    mt_status status = work->back ? MT_OK : mt_cpu_check_labels(work, &walk);
    if (status != MT_OK || walk.rows == 0) return status;
    entropy_job job = {.rows.source = source_of(&walk, operand, 4),
                       .work = work,
                       .kernels = mt_cpu_kernels_get()->softmax,
                       .rest = (mt_real)(1 - work->smoothing),
                       .part = (mt_real)(work->smoothing / (double)walk.n)};
    const mt_layout *layout = work->weight.layout;
    const mt_real *weight = (const mt_real *)work->weight.data + layout->offset;
    const bool copied = walk.n > 1 && layout->stride[0] != 1;
    mt_workspace space;
    if (!mt_workspace_borrow(copied ? (size_t)walk.n * sizeof *weight : 0, &space)) return MT_ERR_MEMORY;
    for (int64_t c = 0; c < walk.n && copied; c++) space.data[c] = weight[c * layout->stride[0]];
    job.weight = copied ? space.data : weight;
    for (int64_t c = 0; c < walk.n && work->smoothing > 0; c++) job.weights += (double)job.weight[c];
    status = share_rows(&job.rows, entropy_share, &job);
    mt_workspace_give_back(&space);
    return status;
}
