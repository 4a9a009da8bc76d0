/* ops_cpu/reduce.c - reductions on whole arrays: which elements make a row, in what tree rows are joined, who
 * does which.
 *
 * The tree depends on shapes and layout class alone, so the bits are the same for any number of threads.
 * Within a row the fold kernels keep their own tree; rows, and the chunks of a long row, are joined pairwise.
 */
#include "cpu.h"
#include "tensor/plan.h"

#include <string.h>

enum {
    CHUNK = 1 << 16,  /* a longer row is cut into chunks, which threads share */
    CHUNKS = 1024,    /* but into no more than this */
    COLUMNS = 512,    /* columns that one task of an outer reduction carries */
    ROWS_IN_TURN = 16 /* rows added one after the other before pairs are joined */
};

typedef struct {
    const mt_reduce_work *work;
    const mt_fold_kernels *kernels;
    mt_reduce_plan plan;
    const mt_real *in;
    mt_real *out;
} reduce_job;

static mt_real join(const reduce_job *job, mt_real a, mt_real b)
{
    job->kernels->combine[job->work->op](1, &a, &b);
    return a;
}

static void store(const reduce_job *job, mt_real *out, mt_real value)
{
    value = value * job->work->scale;
    *out = job->work->accumulate ? *out + value : value;
}

static int64_t kept_in(const reduce_job *job, int64_t i)
{
    return mt_plan_position(job->plan.kept_rank, job->plan.kept_size, job->plan.kept_in, i);
}

static int64_t kept_out(const reduce_job *job, int64_t i)
{
    return mt_plan_position(job->plan.kept_rank, job->plan.kept_size, job->plan.kept_out, i);
}

/* Position of the first element of reduced row r: all reduced dimensions but the innermost. */
static int64_t row_in(const reduce_job *job, int64_t r)
{
    return mt_plan_position(job->plan.reduced_rank - 1, job->plan.reduced_size, job->plan.reduced_in, r);
}

static int64_t row_length(const reduce_job *job)
{
    return job->plan.reduced_size[job->plan.reduced_rank - 1];
}

static int64_t row_count(const reduce_job *job)
{
    return job->plan.reduced_count == 0 ? 0 : job->plan.reduced_count / row_length(job);
}

/* ---- one long contiguous row for each output: ALL and INNER ---- */

static mt_real fold_long(const reduce_job *job, const mt_real *row, int threads)
{
    const mt_fold_fn fold = job->kernels->fold[job->work->op];
    int64_t n = job->plan.reduced_count, chunk = CHUNK;
    if (n <= CHUNK) return fold(n, row, 1);
    while ((n + chunk - 1) / chunk > CHUNKS) chunk *= 2;
    int64_t chunks = (n + chunk - 1) / chunk;
    mt_real partial[CHUNKS];
    if (threads <= 1) {
        for (int64_t i = 0; i < chunks; i++)
            partial[i] = fold(i + 1 < chunks ? chunk : n - i * chunk, row + i * chunk, 1);
    } else {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t i = 0; i < chunks; i++)
            partial[i] = fold(i + 1 < chunks ? chunk : n - i * chunk, row + i * chunk, 1);
    }
    return fold(chunks, partial, 1);
}

static void reduce_inner(const reduce_job *job, int64_t first, int64_t last, int threads)
{
    for (int64_t i = first; i < last; i++)
        store(job, job->out + kept_out(job, i), fold_long(job, job->in + kept_in(job, i), threads));
}

/* ---- columns: rows are added to rows, pairs of runs are joined ---- */

static void fold_columns(const reduce_job *job, const mt_real *in, int64_t columns, int64_t first,
                         int64_t last, mt_real *acc)
{
    const mt_combine_fn combine = job->kernels->combine[job->work->op];
    int64_t length = row_length(job), step = job->plan.reduced_in[job->plan.reduced_rank - 1];
    if (last - first <= ROWS_IN_TURN) {
        for (int64_t r = first; r < last; r++) {
            const mt_real *row = in + row_in(job, r / length) + r % length * step;
            if (r == first)
                memcpy(acc, row, (size_t)columns * sizeof *acc);
            else
                combine(columns, acc, row);
        }
        return;
    }
    mt_real right[COLUMNS];
    int64_t middle = first + (last - first) / 2 / ROWS_IN_TURN * ROWS_IN_TURN;
    if (middle == first) middle = first + ROWS_IN_TURN;
    fold_columns(job, in, columns, first, middle, acc);
    fold_columns(job, in, columns, middle, last, right);
    combine(columns, acc, right);
}

/* Task i: a block of columns of one outer kept index. */
static void reduce_columns(const reduce_job *job, int64_t i, int64_t blocks)
{
    const mt_reduce_plan *plan = &job->plan;
    int64_t width = plan->kept_size[plan->kept_rank - 1], column = i % blocks * COLUMNS;
    int64_t columns = width - column < COLUMNS ? width - column : COLUMNS, head = i / blocks * width + column;
    mt_real acc[COLUMNS], *out = job->out + kept_out(job, head);
    fold_columns(job, job->in + kept_in(job, head), columns, 0, plan->reduced_count, acc);
    /* all of a single row has not been through combine, which turns values into 0 and 1. */
    if (job->work->op == MT_ALL)
        for (int64_t j = 0; j < columns; j++) acc[j] = acc[j] != 0;
    for (int64_t j = 0; j < columns; j++) store(job, out + j, acc[j]);
}

/* ---- anything else ---- */

static mt_real fold_rows(const reduce_job *job, const mt_real *in, int64_t first, int64_t last)
{
    if (last - first == 1)
        return job->kernels->fold[job->work->op](row_length(job), in + row_in(job, first),
                                                 job->plan.reduced_in[job->plan.reduced_rank - 1]);
    int64_t middle = first + (last - first) / 2;
    return join(job, fold_rows(job, in, first, middle), fold_rows(job, in, middle, last));
}

static void reduce_general(const reduce_job *job, int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++)
        store(job, job->out + kept_out(job, i), fold_rows(job, job->in + kept_in(job, i), 0, row_count(job)));
}

static void reduce_arg(const reduce_job *job, int64_t first, int64_t last)
{
    const bool max = job->work->op == MT_ARGMAX;
    const mt_arg_fn arg = max ? job->kernels->argmax : job->kernels->argmin;
    int64_t length = row_length(job), step = job->plan.reduced_in[job->plan.reduced_rank - 1];
    for (int64_t i = first; i < last; i++) {
        const mt_real *in = job->in + kept_in(job, i);
        int64_t best = 0;
        mt_real top = 0;
        for (int64_t r = 0; r < row_count(job); r++) {
            const mt_real *row = in + row_in(job, r);
            int64_t found = arg(length, row, step);
            mt_real pair[2] = {top, row[found * step]};
            if (r > 0 && arg(2, pair, 1) == 0) continue;
            top = pair[1];
            best = r * length + found;
        }
        ((int64_t *)job->work->out.data)[job->work->out.layout->offset + kept_out(job, i)] = best;
    }
}

/* Tasks first..last-1 of a reduction: blocks of columns, or results. */
static void run_tasks(const reduce_job *job, int64_t blocks, int64_t first, int64_t last)
{
    if (job->work->op >= MT_ARGMAX)
        reduce_arg(job, first, last);
    else if (job->plan.reduce_class == MT_REDUCE_OUTER)
        for (int64_t i = first; i < last; i++) reduce_columns(job, i, blocks);
    else if (job->plan.reduce_class == MT_REDUCE_GENERAL)
        reduce_general(job, first, last);
    else
        reduce_inner(job, first, last, 1);
}

mt_status mt_cpu_reduce(mt_backend *backend, const mt_reduce_work *work)
{
    (void)backend;
    reduce_job job = {.work = work, .kernels = mt_cpu_kernels_get()->folds};
    mt_plan_reduce(&work->out, &work->in, work->reduced, &job.plan);
    const mt_reduce_plan *plan = &job.plan;
    job.in = (const mt_real *)work->in.data + work->in.layout->offset;
    job.out = (mt_real *)work->out.data + (work->op < MT_ARGMAX ? work->out.layout->offset : 0);
    if (plan->kept_count == 0) return MT_OK;
    if (plan->reduced_count == 0) {
        for (int64_t i = 0; i < plan->kept_count; i++)
            store(&job, job.out + kept_out(&job, i), job.kernels->identity[work->op]);
        return MT_OK;
    }

    int threads = mt_cpu_threads((double)plan->kept_count * (double)plan->reduced_count);
    bool arg = work->op >= MT_ARGMAX;
    bool rows = plan->reduce_class == MT_REDUCE_ALL || plan->reduce_class == MT_REDUCE_INNER;
    if (!arg && rows && plan->kept_count < threads) {
        reduce_inner(&job, 0, plan->kept_count, threads); /* few outputs: threads share each row */
        return MT_OK;
    }
    bool columns = !arg && plan->reduce_class == MT_REDUCE_OUTER;
    int64_t width = plan->kept_size[plan->kept_rank - 1], blocks = (width + COLUMNS - 1) / COLUMNS;
    int64_t tasks = columns ? plan->kept_count / width * blocks : plan->kept_count;
    if (threads > tasks) threads = (int)tasks;
    if (threads <= 1) { /* not even a region of one thread, for which OpenMP allocates */
        run_tasks(&job, blocks, 0, tasks);
        return MT_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++) run_tasks(&job, blocks, tasks * t / threads, tasks * (t + 1) / threads);
    return MT_OK;
}
