/* ops_cpu/reduce_index.c - reductions of INDEX on whole arrays.
 *
 * Integers may be joined in any order (index_ops.h), so there is no tree: threads share the results, or,
 * where these are fewer than threads, the elements of each.
 */
#include "cpu.h"
#include "share.h"
#include "tensor/plan.h"
#include "tensor/scalar/index_ops.h"

enum { COLUMNS = 512, THREADS_MOST = 1024 /* mt_set_threads takes no more */ };

typedef struct {
    const mt_reduce_work *work;
    mt_kind out_kind;
    mt_reduce_plan plan;
    const int64_t *in; /* the first element */
} index_job;

#define INLINE static inline __attribute__((always_inline))

/* ---- a row: elements in[0], in[step], ... join acc ---- */

INLINE int64_t fold_by(mt_reduction op, int64_t acc, int64_t n, const int64_t *in, int64_t step)
{
    if (step == 1)
        for (int64_t i = 0; i < n; i++) acc = mt_index_both(op, acc, in[i]);
    else
        for (int64_t i = 0; i < n; i++) acc = mt_index_both(op, acc, in[i * step]);
    return acc;
}

/* fold_by with op known to the compiler. */
static int64_t fold_row(mt_reduction op, int64_t acc, int64_t n, const int64_t *in, int64_t step)
{
    switch (op) {
    case MT_SUM: return fold_by(MT_SUM, acc, n, in, step);
    case MT_PROD: return fold_by(MT_PROD, acc, n, in, step);
    case MT_MAX: return fold_by(MT_MAX, acc, n, in, step);
    case MT_MIN: return fold_by(MT_MIN, acc, n, in, step);
    default: return fold_by(MT_ALL, acc, n, in, step);
    }
}

/* Elements first .. last-1, in row-major order, of the result whose elements begin at in. */
static int64_t fold_part(const index_job *job, const int64_t *in, int64_t first, int64_t last)
{
    const mt_reduce_plan *plan = &job->plan;
    const int inner = plan->reduced_rank - 1;
    const int64_t length = plan->reduced_size[inner], step = plan->reduced_in[inner];
    int64_t acc = mt_index_start(job->work->op);
    for (int64_t i = first, n; i < last; i += n) {
        const int64_t within = i % length;
        n = length - within < last - i ? length - within : last - i;
        const int64_t row = mt_plan_position(inner, plan->reduced_size, plan->reduced_in, i / length);
        acc = fold_row(job->work->op, acc, n, in + row + within * step, step);
    }
    return acc;
}

/* ---- columns: a row of n elements joins n results ---- */

INLINE void join_by(mt_reduction op, int64_t n, int64_t *acc, const int64_t *in)
{
    for (int64_t j = 0; j < n; j++) acc[j] = mt_index_both(op, acc[j], in[j]);
}

static void join_row(mt_reduction op, int64_t n, int64_t *acc, const int64_t *in)
{
    switch (op) {
    case MT_SUM: join_by(MT_SUM, n, acc, in); break;
    case MT_PROD: join_by(MT_PROD, n, acc, in); break;
    case MT_MAX: join_by(MT_MAX, n, acc, in); break;
    case MT_MIN: join_by(MT_MIN, n, acc, in); break;
    default: join_by(MT_ALL, n, acc, in);
    }
}

/* ---- who does what ---- */

static void store(const index_job *job, int64_t i, int64_t result)
{
    const mt_reduce_plan *plan = &job->plan;
    const int64_t at =
        job->work->out.layout->offset + mt_plan_position(plan->kept_rank, plan->kept_size, plan->kept_out, i);
    if (job->out_kind == MT_INDEX)
        ((int64_t *)job->work->out.data)[at] = result;
    else
        ((mt_real *)job->work->out.data)[at] = mt_index_real(result, job->work->divisor);
}

static const int64_t *elements_of(const index_job *job, int64_t i)
{
    const mt_reduce_plan *plan = &job->plan;
    return job->in + mt_plan_position(plan->kept_rank, plan->kept_size, plan->kept_in, i);
}

/* n results from i on, which are neighbours along a dimension of stride 1, and so are their elements. */
static void reduce_columns(const index_job *job, int64_t i, int64_t n)
{
    const mt_reduce_plan *plan = &job->plan;
    const int64_t *in = elements_of(job, i);
    int64_t acc[COLUMNS];
    for (int64_t j = 0; j < n; j++) acc[j] = mt_index_start(job->work->op);
    for (int64_t r = 0; r < plan->reduced_count; r++)
        join_row(job->work->op, n, acc,
                 in + mt_plan_position(plan->reduced_rank, plan->reduced_size, plan->reduced_in, r));
    for (int64_t j = 0; j < n; j++) store(job, i + j, acc[j]);
}

static void share_results(const void *context, int share, int shares)
{
    const index_job *job = context;
    const mt_reduce_plan *plan = &job->plan;
    const int64_t first = mt_share_begin(plan->kept_count, share, shares),
                  last = mt_share_begin(plan->kept_count, share + 1, shares),
                  width = plan->kept_size[plan->kept_rank - 1];
    for (int64_t i = first, n = 1; i < last; i += n) {
        if (plan->reduce_class != MT_REDUCE_OUTER) {
            store(job, i, fold_part(job, elements_of(job, i), 0, plan->reduced_count));
            continue;
        }
        n = width - i % width < last - i ? width - i % width : last - i;
        if (n > COLUMNS) n = COLUMNS;
        reduce_columns(job, i, n);
    }
}

/* The elements of one result. */
typedef struct {
    const index_job *job;
    const int64_t *in;
    int64_t *part; /* [share]: what that share comes to */
} one_result;

static void share_elements(const void *context, int share, int shares)
{
    const one_result *one = context;
    const int64_t count = one->job->plan.reduced_count;
    one->part[share] = fold_part(one->job, one->in, mt_share_begin(count, share, shares),
                                 mt_share_begin(count, share + 1, shares));
}

mt_status mt_cpu_reduce_index(mt_backend *backend, const mt_reduce_work *work, mt_kind out_kind)
{
    (void)backend;
    index_job job = {.work = work, .out_kind = out_kind};
    mt_plan_reduce(&work->out, &work->in, work->reduced, &job.plan);
    job.in = (const int64_t *)work->in.data + work->in.layout->offset;
    const int64_t kept = job.plan.kept_count;
    const int threads = mt_cpu_threads((double)kept * (double)job.plan.reduced_count);
    if (threads <= 1 || kept >= threads) {
        mt_share_out(threads, share_results, &job);
        return MT_OK;
    }
    for (int64_t i = 0; i < kept; i++) {
        int64_t part[THREADS_MOST];
        const one_result one = {.job = &job, .in = elements_of(&job, i), .part = part};
        mt_share_out(threads, share_elements, &one);
        store(&job, i, fold_row(work->op, mt_index_start(work->op), threads, part, 1));
    }
    return MT_OK;
}
