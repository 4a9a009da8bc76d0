/* ops_cpu/gather.c - elements along a dimension by their indices: taken, or added to.
 *
 * Where neighbours in memory are neighbours along dim, a thread takes lines; where another dimension is the
 * inner one, rows of it, entry after entry. What is put to one line comes in the order of the entries, from
 * one thread, so that sums do not depend on the number of threads.
 */
#include <stdatomic.h>
#include <string.h>

#include "cpu.h"
#include "lines.h"
#include "share.h"
#include "tensor/rules.h"

enum { OUT, IN, INDEX, OPERANDS };
enum { PIECE = 1 << 13, WIDTH = 256 /* of a row that one thread adds to */ };

/* ---- the indices are all entries ---- */

static bool all_inside(int64_t n, const int64_t *index, int64_t step, uint64_t limit)
{
    uint64_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t value = (uint64_t)index[i * step]; /* one below 0 is large */
        most = value > most ? value : most;
    }
    return most < limit;
}

typedef struct {
    mt_elementwise_plan plan;
    const int64_t *index;
    uint64_t limit;
    int64_t row; /* length of the inner dimension */
    atomic_bool outside;
} check_job;

static void check_rows(const void *context, int share, int shares)
{
    check_job *job = (check_job *)(uintptr_t)context; /* to set outside */
    const mt_elementwise_plan *plan = &job->plan;
    const int inner = plan->rank - 1;
    const int64_t step = plan->stride[0][inner];
    const int64_t first = mt_share_begin(plan->count, share, shares),
                  last = mt_share_begin(plan->count, share + 1, shares);
    bool inside = true;
    for (int64_t i = first; i < last;) {
        const int64_t at = i % job->row, left = job->row - at < last - i ? job->row - at : last - i;
        const int64_t *index = job->index + mt_plan_position(plan->rank, plan->size, plan->stride[0], i);
        inside = all_inside(left, index, step, job->limit) && inside;
        i += left;
    }
    if (!inside) job->outside = true;
}

/* The sentence about the first index, in row-major order, that is no entry. */
static mt_status tell_first(const mt_gather_work *work, int64_t limit)
{
    const mt_layout *layout = work->index.layout;
    for (int64_t i = 0; i < mt_layout_count(layout); i++) {
        const int64_t value =
            ((const int64_t *)work->index
                 .data)[layout->offset + mt_plan_position(layout->rank, layout->size, layout->stride, i)];
        if (value < 0 || value >= limit) return mt_rule_outside(work, i, value);
    }
    return MT_OK;
}

static mt_status check_indices(const mt_gather_work *work)
{
    const mt_operand *whole = work->put ? &work->out : &work->in;
    const int64_t limit = whole->layout->size[work->dim];
    mt_layout once = *work->index.layout; /* what is repeated is looked at once */
    for (int d = 0; d < once.rank; d++)
        if (once.stride[d] == 0 && once.size[d] > 1) once.size[d] = 1;
    const mt_operand index = {work->index.data, &once};
    check_job job = {.limit = (uint64_t)limit};
    mt_plan_elementwise(&index, 1, &job.plan);
    if (job.plan.count == 0) return MT_OK;
    job.index = (const int64_t *)index.data + once.offset;
    job.row = job.plan.size[job.plan.rank - 1];
    mt_share_out(mt_cpu_threads((double)job.plan.count), check_rows, &job);
    return job.outside ? tell_first(work, limit) : MT_OK;
}

/* ---- rows and lines ---- */

typedef struct {
    mt_elementwise_plan lines; /* of out, in and index */
    bool put, across;          /* across: rows of the lines' inner dimension, of width elements each */
    size_t bytes;              /* of an element of out and in */
    char *out;
    const char *in;
    const int64_t *index;
    int64_t entries, width;
    int64_t step[OPERANDS];  /* along dim */
    int64_t inner[OPERANDS]; /* across: along the rows */
    int64_t piece, pieces; /* entries of a line or columns of a row that are worked on at once; how many such
                              pieces there are of a line or row */
    int64_t units;         /* in all */
    uint64_t limit;        /* indices are below it */
    atomic_bool *outside;  /* set when one is not */
} gather_job;

/* y[i*sy] = x[index[i*si]*sx + i*sj]; sj 0 along a line. False where an index is not below limit: it is not
 * used. */
#define TAKE(type)                                                                                 \
    static bool take_##type(int64_t n, type *y, int64_t sy, const type *x, int64_t sx, int64_t sj, \
                            const int64_t *index, int64_t si, uint64_t limit)                      \
    {                                                                                              \
        int64_t i = 0;                                                                             \
        if (si == 0) {                                                                             \
            if ((uint64_t)*index >= limit) return false;                                           \
            const type *from = x + *index * sx;                                                    \
            if (sy == 1 && sj == 1)                                                                \
                memcpy(y, from, (size_t)n * sizeof *y);                                            \
            else                                                                                   \
                for (; i < n; i++) y[i * sy] = from[i * sj];                                       \
            return true;                                                                           \
        }                                                                                          \
        if (sy == 1 && si == 1 && sx == 1 && sj == 0)                                              \
            for (; i + 4 <= n; i += 4) {                                                           \
                const uint64_t a = (uint64_t)index[i], b = (uint64_t)index[i + 1];                 \
                const uint64_t c = (uint64_t)index[i + 2], d = (uint64_t)index[i + 3];             \
                if (a >= limit || b >= limit || c >= limit || d >= limit) return false;            \
                y[i] = x[a], y[i + 1] = x[b], y[i + 2] = x[c], y[i + 3] = x[d];                    \
            }                                                                                      \
        for (; i < n; i++) {                                                                       \
            const int64_t at = index[i * si];                                                      \
            if ((uint64_t)at >= limit) return false;                                               \
            y[i * sy] = x[at * sx + i * sj];                                                       \
        }                                                                                          \
        return true;                                                                               \
    }
TAKE(uint32_t)
TAKE(uint64_t)

/* y[index[i*si]*sy + i*sj] += x[i*sx]; sj 0 along a line. False as above. */
static bool put(int64_t n, mt_real *y, int64_t sy, int64_t sj, const mt_real *x, int64_t sx,
                const int64_t *index, int64_t si, uint64_t limit)
{
    if (si == 0) {
        if ((uint64_t)*index >= limit) return false;
        mt_real *to = y + *index * sy;
        if (sj == 1 && sx == 1)
            for (int64_t i = 0; i < n; i++) to[i] += x[i];
        else
            for (int64_t i = 0; i < n; i++) to[i * sj] += x[i * sx];
        return true;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = index[i * si];
        if ((uint64_t)at >= limit) return false;
        y[at * sy + i * sj] += x[i * sx];
    }
    return true;
}

/* n elements, from the positions in at on, that lie step apart in the named array and in the index, and sj in
 * the other beside what the index says. */
static bool run_elements(const gather_job *job, int64_t n, const int64_t at[OPERANDS],
                         const int64_t step[OPERANDS], bool across)
{
    const int64_t *index = job->index + at[INDEX];
    char *out = job->out + at[OUT] * (int64_t)job->bytes;
    const char *in = job->in + at[IN] * (int64_t)job->bytes;
    const int64_t sj = across ? step[job->put ? OUT : IN] : 0;
    if (job->put)
        return put(n, (mt_real *)(void *)out, job->step[OUT], sj, (const mt_real *)(const void *)in, step[IN],
                   index, step[INDEX], job->limit);
    if (job->bytes == 4)
        return take_uint32_t(n, (uint32_t *)(void *)out, step[OUT], (const uint32_t *)(const void *)in,
                             job->step[IN], sj, index, step[INDEX], job->limit);
    return take_uint64_t(n, (uint64_t *)(void *)out, step[OUT], (const uint64_t *)(const void *)in,
                         job->step[IN], sj, index, step[INDEX], job->limit);
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Unit i: a piece of one line; or, across, of the rows that one line's entries stand for. False where an
 * index is no entry. */
static bool run_unit(const gather_job *job, int64_t i)
{
    const mt_elementwise_plan *lines = &job->lines;
    const int64_t piece = i % job->pieces * job->piece, number = i / job->pieces;
    const int whole = job->put ? OUT : IN; /* whose positions along dim the index names */
    int64_t at[OPERANDS], rank = lines->rank - job->across;
    for (int k = 0; k < OPERANDS; k++)
        at[k] = mt_plan_position((int)rank, lines->size, lines->stride[k], number);
    if (!job->across) {
        for (int k = 0; k < OPERANDS; k++) at[k] += k == whole ? 0 : piece * job->step[k];
        return run_elements(job, smaller(job->piece, job->entries - piece), at, job->step, false);
    }
    int64_t first = 0, last = job->entries, width = job->width;
    if (job->put) {
        width = smaller(job->piece, width - piece);
        for (int k = 0; k < OPERANDS; k++) at[k] += piece * job->inner[k];
    } else {
        first = piece, last = smaller(piece + job->piece, last);
    }
    for (int64_t e = first; e < last; e++) {
        int64_t row[OPERANDS];
        for (int k = 0; k < OPERANDS; k++) row[k] = at[k] + (k == whole ? 0 : e * job->step[k]);
        if (!run_elements(job, width, row, job->inner, true)) return false;
    }
    return true;
}

static void run_units(const void *context, int share, int shares)
{
    const gather_job *job = context;
    const int64_t last = mt_share_begin(job->units, share + 1, shares);
    for (int64_t i = mt_share_begin(job->units, share, shares); i < last; i++)
        if (!run_unit(job, i)) *job->outside = true;
}

mt_status mt_cpu_gather(mt_backend *backend, const mt_gather_work *work)
{
    (void)backend;
    const mt_operand operand[OPERANDS] = {work->out, work->in, work->index};
    /* An index that repeats itself is looked at once, whenever it may be. */
    if (work->check == MT_INDEX_FIRST || work->vector) {
        mt_status status = check_indices(work);
        if (status != MT_OK) return status;
    }
    const int64_t limit = (work->put ? work->out : work->in).layout->size[work->dim];
    atomic_bool outside = false;
    gather_job job = {
        .put = work->put, .limit = (uint64_t)limit, .outside = &outside, .bytes = mt_kind_bytes(work->kind)};
    mt_elementwise_plan *lines = &job.lines;
    mt_plan_lines(operand, OPERANDS, work->dim, lines);
    job.entries = work->index.layout->size[work->dim];
    if (lines->count == 0 || job.entries == 0) return MT_OK;
    job.out = (char *)work->out.data + (size_t)work->out.layout->offset * job.bytes;
    job.in = (const char *)work->in.data + (size_t)work->in.layout->offset * job.bytes;
    job.index = (const int64_t *)work->index.data + work->index.layout->offset;
    const int inner = lines->rank - 1;
    for (int k = 0; k < OPERANDS; k++) {
        job.step[k] = operand[k].layout->stride[work->dim];
        job.inner[k] = lines->stride[k][inner];
    }
    job.width = lines->size[inner];
    job.across = job.width > 1 && lines->stride[OUT][inner] < job.step[OUT];
    const int64_t along = job.put ? (job.across ? job.width : 1) : job.entries;
    if (job.put)
        job.piece = job.across ? WIDTH : job.entries;
    else
        job.piece = job.across ? PIECE / smaller(job.width, PIECE) : PIECE;
    job.pieces = job.put && !job.across ? 1 : (along + job.piece - 1) / job.piece;
    job.units = (job.across ? lines->count / job.width : lines->count) * job.pieces;
    int threads = mt_cpu_threads(2 * (double)lines->count * (double)job.entries);
    if (threads > job.units) threads = (int)job.units;
    /* Each index is looked at when it is used, known or not: that costs little here. */
    mt_share_out(threads, run_units, &job);
    return outside ? tell_first(work, limit) : MT_OK;
}
