/* ops_cpu/reduce.c - reductions on whole arrays: which elements make a row, in what tree rows are joined, and
 * which thread does what.
 *
 * The tree depends on shapes and layout class alone, so the bits are the same for any number of threads.
 * Within a row the fold kernels keep their own tree; rows, and the chunks of a long row, are joined pairwise.
 */
#include "reduce.h"
#include "share.h"
#include "stream.h"
#include "workspace.h"

#include <stdatomic.h>
#include <string.h>

/* ALL, INNER, GENERAL: a row becomes one value. All in numbers. */
enum {
    CHUNK = 1 << 16, /* a longer row is cut into chunks, which threads share */
    CHUNKS = 1024,   /* the most chunks of a row */
    EVEN = 1024,     /* a chunk's length is a multiple of this */
    TAKEN = 64       /* rows that one call of a fold kernel takes */
};

/* OUTER: rows are added to a row, column by column. */
enum {
    LINE = MT_LINE / (int)sizeof(mt_real), /* numbers in a line of the caches */
    COLUMNS = 256 * LINE,                  /* the most columns of a task: 16 KB of sums */
    NARROWEST = 64,    /* the fewest columns of a task: fewer cost more than they share out */
    ROWS_IN_TURN = 16, /* rows added one after the other; longer runs are joined in pairs */
    FOLDED = 512,      /* short rows that touch are taken several at a time, as one of about this length */
    MANY_ROWS = 1024, /* threads share them; of fewer, each takes columns of its own, and nothing is joined */
    PARTS = 16        /* runs of rows that threads share */
};

typedef struct {
    const mt_reduce_work *work;
    const mt_fold_kernels *kernels;
    mt_reduce_plan plan;
    mt_reduce_cut cut;
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
    if (job->work->divisor != 1) value /= job->work->divisor;
    *out = job->work->accumulate ? *out + value : value;
}

static int64_t kept_in(const reduce_job *job, int64_t i)
{
    if (job->plan.kept_rank == 1) return i * job->plan.kept_in[0]; /* a division saved */
    return mt_plan_position(job->plan.kept_rank, job->plan.kept_size, job->plan.kept_in, i);
}

static int64_t kept_out(const reduce_job *job, int64_t i)
{
    if (job->plan.kept_rank == 1) return i * job->plan.kept_out[0];
    return mt_plan_position(job->plan.kept_rank, job->plan.kept_size, job->plan.kept_out, i);
}

/* Offset in `in` of the first element of row r of one result: r counts the reduced dimensions but the
 * innermost, row-major; a row is the innermost one. */
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

/* The length of the chunks of a row of n: n / CHUNK rounded up of them, at most CHUNKS, of nearly the same
 * length, a multiple of EVEN. */
static int64_t chunk_of(int64_t n)
{
    const int64_t least = (n + CHUNK - 1) / CHUNK, chunks = least < CHUNKS ? least : CHUNKS;
    return ((n + chunks - 1) / chunks + EVEN - 1) / EVEN * EVEN;
}

/* A row of n in chunks: value[i] is the fold of chunk i, elements i*chunk up to (i+1)*chunk or n. */
typedef struct {
    mt_fold_fn
        fold; /* NULL for argmax, argmin: arg then gives place[i], counted from the row's first element */
    mt_arg_fn arg;
    const mt_real *row;
    int64_t n, chunk, chunks;
    mt_real *value;
    int64_t *place;
    atomic_bool
        *decided; /* MT_ALL: set when a chunk has a 0, which decides the result; NULL for the others */
} long_row;

static void fold_chunks(const void *context, int share, int shares)
{
    const long_row *r = context;
    const int64_t last = mt_share_begin(r->chunks, share + 1, shares);
    for (int64_t i = mt_share_begin(r->chunks, share, shares); i < last; i++) {
        const int64_t first = i * r->chunk, n = i + 1 < r->chunks ? r->chunk : r->n - first;
        if (r->decided && atomic_load_explicit(r->decided, memory_order_relaxed)) {
            r->value[i] = 0;
        } else if (r->fold) {
            r->value[i] = r->fold(n, r->row + first, 1);
            if (r->decided && r->value[i] == 0) atomic_store_explicit(r->decided, true, memory_order_relaxed);
        } else {
            r->place[i] = first + r->arg(n, r->row + first, 1);
            r->value[i] = r->row[r->place[i]];
        }
    }
}

static mt_real fold_long(const reduce_job *job, const mt_real *row, int threads)
{
    const mt_fold_fn fold = job->kernels->fold[job->work->op];
    const int64_t n = job->plan.reduced_count;
    if (n <= CHUNK) return fold(n, row, 1);
    mt_real value[CHUNKS];
    atomic_bool decided = false;
    long_row chunks = {.fold = fold, .row = row, .n = n, .chunk = chunk_of(n), .value = value};
    if (job->work->op == MT_ALL) chunks.decided = &decided;
    chunks.chunks = (n + chunks.chunk - 1) / chunks.chunk;
    mt_share_out(threads, fold_chunks, &chunks);
    return fold(chunks.chunks, value, 1);
}

static void reduce_inner(const reduce_job *job, int64_t first, int64_t last)
{
    const bool together = job->plan.kept_rank == 1 && job->plan.reduced_count <= CHUNK;
    for (int64_t i = first, rows; i < last; i += rows) {
        mt_real result[TAKEN];
        const mt_real *in = job->in + kept_in(job, i);
        if (together) {
            rows = last - i < TAKEN ? last - i : TAKEN;
            job->kernels->rows[job->work->op](rows, job->plan.reduced_count, in, job->plan.kept_in[0],
                                              result);
        } else {
            rows = 1;
            result[0] = fold_long(job, in, job->cut.inside);
        }
        for (int64_t r = 0; r < rows; r++) store(job, job->out + kept_out(job, i + r), result[r]);
    }
}

/* ---- columns: rows are added to rows, pairs of runs are joined ---- */

/* What one task reads: element (r, j), r < rows, j < columns, is in[row_in(r / row_length) + r % row_length *
 * step + j]. Where short rows lie without gaps, `together` of them count as one row, `together` times as
 * wide. */
typedef struct {
    const mt_real *in;
    int64_t first;               /* its first result: an index of the kept elements */
    int64_t columns, rows, step; /* step: from row to row, for row_length rows */
    int64_t row_length, together;
} column_block;

/* acc = rows first .. last-1 of block, one after the other. */
static void fold_run(const reduce_job *job, const column_block *block, int64_t first, int64_t last,
                     mt_real *acc)
{
    const int64_t length = block->row_length, step = block->step;
    if (first / length == (last - 1) / length) { /* a run of equal steps */
        const mt_real *row = block->in + row_in(job, first / length) + first % length * step;
        job->kernels->columns[job->work->op](block->columns, acc, row, step, last - first);
        return;
    }
    for (int64_t r = first; r < last; r++) {
        const mt_real *row = block->in + row_in(job, r / length) + r % length * step;
        if (r == first)
            memcpy(acc, row, (size_t)block->columns * sizeof *acc);
        else
            job->kernels->combine[job->work->op](block->columns, acc, row);
    }
}

/* The row at which rows first .. last-1 are cut in two halves that are joined: a multiple of ROWS_IN_TURN
 * rows behind first; first itself where they are too few to cut. */
static int64_t middle_of(int64_t first, int64_t last)
{
    if (last - first <= ROWS_IN_TURN) return first;
    int64_t middle = first + (last - first) / 2 / ROWS_IN_TURN * ROWS_IN_TURN;
    return middle == first ? first + ROWS_IN_TURN : middle;
}

static void fold_columns(const reduce_job *job, const column_block *block, int64_t first, int64_t last,
                         mt_real *acc)
{
    int64_t middle = middle_of(first, last);
    if (middle == first) {
        fold_run(job, block, first, last, acc);
        return;
    }
    mt_real right[COLUMNS];
    fold_columns(job, block, first, middle, acc);
    fold_columns(job, block, middle, last, right);
    job->kernels->combine[job->work->op](block->columns, acc, right);
}

/* The columns of task i (mt_reduce_cut). */
static column_block columns_of(const reduce_job *job, int64_t i)
{
    const mt_reduce_plan *plan = &job->plan;
    const int64_t most = job->cut.block, width = plan->kept_size[plan->kept_rank - 1];
    const int64_t column = i % job->cut.blocks * most, left = width - column;
    column_block block = {.first = i / job->cut.blocks * width + column,
                          .columns = left < most ? left : most,
                          .rows = plan->reduced_count,
                          .step = plan->reduced_in[plan->reduced_rank - 1],
                          .row_length = row_length(job),
                          .together = 1};
    block.in = job->in + kept_in(job, block.first);
    if (plan->reduced_rank > 1 || block.step != block.columns) return block;
    while (block.together * 2 * block.columns <= FOLDED && block.together * 4 <= block.rows)
        block.together *= 2;
    block.rows /= block.together;
    block.row_length = block.rows;
    block.columns *= block.together;
    block.step = block.columns;
    return block;
}

/* acc[j] is column j of the block's rows. Adds the rows that were too few to be taken together, adds the
 * `together` parts of acc to its first, by halves, and stores. */
static void finish_columns(const reduce_job *job, const column_block *block, mt_real *acc)
{
    const mt_combine_fn combine = job->kernels->combine[job->work->op];
    const int64_t columns = block->columns / block->together,
                  left = job->plan.reduced_count - block->rows * block->together;
    mt_real *out = job->out + kept_out(job, block->first);
    if (left > 0) combine(left * columns, acc, block->in + block->rows * block->columns);
    for (int64_t half = block->together / 2; half > 0; half /= 2)
        combine(half * columns, acc, acc + half * columns);
    /* all of a single row has not been through combine, which turns values into 0 and 1. */
    if (job->work->op == MT_ALL)
        for (int64_t j = 0; j < columns; j++) acc[j] = acc[j] != 0;
    for (int64_t j = 0; j < columns; j++) store(job, out + j, acc[j]);
}

/* Task i: a block of columns of one outer kept index. */
static void reduce_columns(const reduce_job *job, int64_t i)
{
    mt_real acc[COLUMNS];
    column_block block = columns_of(job, i);
    fold_columns(job, &block, 0, block.rows, acc);
    finish_columns(job, &block, acc);
}

/* The rows of a block as PARTS runs, those at which its tree is cut first: run k is rows bound[k] ..
 * bound[k+1]-1, and may be empty; its sums go to acc[k]. */
typedef struct {
    const reduce_job *job;
    const column_block *block;
    int64_t bound[PARTS + 1];
    mt_real *acc[PARTS];
} column_runs;

static void fold_runs(const void *context, int share, int shares)
{
    const column_runs *runs = context;
    const int64_t last = mt_share_begin(PARTS, share + 1, shares);
    for (int64_t k = mt_share_begin(PARTS, share, shares); k < last; k++)
        if (runs->bound[k] < runs->bound[k + 1])
            fold_columns(runs->job, runs->block, runs->bound[k], runs->bound[k + 1], runs->acc[k]);
}

/* reduce_columns by job->cut.inside threads, with the same tree: they share the runs. Without memory for
 * their sums the calling thread does it alone. */
static void reduce_columns_shared(const reduce_job *job, int64_t i)
{
    column_block block = columns_of(job, i);
    const int64_t apart = (block.columns + LINE - 1) / LINE * LINE;
    mt_workspace sums;
    if (!mt_workspace_borrow((size_t)(PARTS * apart) * sizeof(mt_real), &sums)) {
        reduce_columns(job, i);
        return;
    }
    column_runs runs = {.job = job, .block = &block};
    mt_real **acc = runs.acc;
    int64_t *bound = runs.bound;
    bound[PARTS] = block.rows;
    for (int k = 0; k < PARTS; k++) acc[k] = sums.data + k * apart;
    for (int span = PARTS; span > 1; span /= 2) /* an empty run where it is too short to be cut */
        for (int k = 0; k < PARTS; k += span) bound[k + span / 2] = middle_of(bound[k], bound[k + span]);
    mt_share_out(job->cut.inside, fold_runs, &runs);
    for (int span = 2; span <= PARTS; span *= 2)
        for (int k = 0; k < PARTS; k += span) {
            int right = k + span / 2;
            if (bound[k] == bound[right])
                memcpy(acc[k], acc[right], (size_t)block.columns * sizeof *acc[k]);
            else
                job->kernels->combine[job->work->op](block.columns, acc[k], acc[right]);
        }
    finish_columns(job, &block, acc[0]);
    mt_workspace_give_back(&sums);
}

/* ---- anything else ---- */

/* value[0 .. count-1] joined by halves, as fold_rows joins rows. */
static mt_real join_all(const reduce_job *job, const mt_real *value, int64_t count)
{
    if (count == 1) return value[0];
    return join(job, join_all(job, value, count / 2), join_all(job, value + count / 2, count - count / 2));
}

static mt_real fold_rows(const reduce_job *job, const mt_real *in, int64_t first, int64_t last)
{
    const int op = job->work->op;
    const int64_t rank = job->plan.reduced_rank, step = job->plan.reduced_in[rank - 1];
    if (last - first == 1) return job->kernels->fold[op](row_length(job), in + row_in(job, first), step);
    if (last - first <= TAKEN && rank == 2 && step == 1) {
        mt_real value[TAKEN];
        job->kernels->rows[op](last - first, row_length(job), in + row_in(job, first),
                               job->plan.reduced_in[0], value);
        return join_all(job, value, last - first);
    }
    int64_t middle = first + (last - first) / 2;
    return join(job, fold_rows(job, in, first, middle), fold_rows(job, in, middle, last));
}

static void reduce_general(const reduce_job *job, int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++)
        store(job, job->out + kept_out(job, i), fold_rows(job, job->in + kept_in(job, i), 0, row_count(job)));
}

/* The place of the best in each column of a block of one outer kept index. */
static void arg_columns(const reduce_job *job, int64_t i)
{
    const mt_arg_rows_fn kernel =
        job->work->op == MT_ARGMAX ? job->kernels->argmax_rows : job->kernels->argmin_rows;
    const column_block block = columns_of(job, i);
    const int64_t columns = block.columns / block.together, rows = job->plan.reduced_count;
    const int64_t step = job->plan.reduced_in[job->plan.reduced_rank - 1], length = row_length(job);
    int64_t *out =
        (int64_t *)job->work->out.data + job->work->out.layout->offset + kept_out(job, block.first);
    mt_real top[COLUMNS];
    mt_place at[COLUMNS];
    memcpy(top, block.in, (size_t)columns * sizeof *top);
    memset(at, 0, (size_t)columns * sizeof *at);
    for (int64_t r = 1, run; r < rows; r += run) { /* rows that are equal steps apart */
        run = length - r % length;
        kernel(columns, top, at, block.in + row_in(job, r / length) + r % length * step, step, run, r);
    }
    for (int64_t j = 0; j < columns; j++) out[j] = at[j];
}

/* One long contiguous row: threads find the best of each chunk, and the first of the best stays. */
static int64_t arg_long(const reduce_job *job, const mt_real *row, int threads)
{
    const mt_arg_fn arg = job->work->op == MT_ARGMAX ? job->kernels->argmax : job->kernels->argmin;
    const int64_t n = job->plan.reduced_count;
    if (threads <= 1 || n <= CHUNK) return arg(n, row, 1);
    int64_t place[CHUNKS];
    mt_real value[CHUNKS];
    long_row chunks = {.arg = arg, .row = row, .n = n, .chunk = chunk_of(n), .value = value, .place = place};
    chunks.chunks = (n + chunks.chunk - 1) / chunks.chunk;
    mt_share_out(threads, fold_chunks, &chunks);
    return place[arg(chunks.chunks, value, 1)];
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
        if (job->plan.reduced_rank == 1)
            best = step == 1 ? arg_long(job, in, job->cut.inside) : arg(length, in, step);
        for (int64_t r = 0; r < row_count(job) && job->plan.reduced_rank > 1; r++) {
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

/* ---- who does what ---- */

/* The cut depends on threads, the tree does not: what is folded in which order is the same with any cut. */
mt_reduce_cut mt_cpu_reduce_cut(const mt_reduce_work *work, const mt_reduce_plan *plan)
{
    const int threads = mt_cpu_threads((double)plan->kept_count * (double)plan->reduced_count);
    const bool arg = work->op >= MT_ARGMAX;
    const bool rows = plan->reduce_class == MT_REDUCE_ALL || plan->reduce_class == MT_REDUCE_INNER;
    const bool columns = plan->reduce_class == MT_REDUCE_OUTER && (!arg || plan->reduced_count < INT32_MAX);
    const int64_t width = plan->kept_size[plan->kept_rank - 1], outer = plan->kept_count / width;
    mt_reduce_cut cut = {.tasks = plan->kept_count, .threads = threads, .inside = 1};
    bool share = rows && cut.tasks < threads;
    if (columns) {
        cut.block = COLUMNS;
        cut.blocks = (width + COLUMNS - 1) / COLUMNS;
        if (threads > 1 && outer * cut.blocks < 4 * threads) { /* few blocks */
            /* Rows that are taken several at a time stay in one block, or the tree would be another. */
            const bool may_cut = arg || 2 * width > FOLDED;
            share = !arg && plan->reduced_count >= (may_cut ? MANY_ROWS : 2 * ROWS_IN_TURN * threads);
            if (!share && may_cut) {
                const int64_t block = (width * outer / threads / NARROWEST + 1) * NARROWEST;
                cut.block = block < COLUMNS ? block : COLUMNS;
                cut.blocks = (width + cut.block - 1) / cut.block;
            }
        }
        cut.tasks = outer * cut.blocks;
    }
    if (share) {
        cut.inside = threads;
        cut.threads = 1;
    }
    if (cut.threads > cut.tasks) cut.threads = (int)cut.tasks;
    return cut;
}

static void run_tasks(const void *context, int share, int shares)
{
    const reduce_job *job = context;
    const int64_t first = mt_share_begin(job->cut.tasks, share, shares),
                  last = mt_share_begin(job->cut.tasks, share + 1, shares);
    const bool arg = job->work->op >= MT_ARGMAX;
    if (job->cut.blocks > 0) {
        void (*const run)(const reduce_job *, int64_t) = arg                   ? arg_columns
                                                         : job->cut.inside > 1 ? reduce_columns_shared
                                                                               : reduce_columns;
        for (int64_t i = first; i < last; i++) run(job, i);
    } else if (arg) {
        reduce_arg(job, first, last);
    } else if (job->plan.reduce_class == MT_REDUCE_GENERAL) {
        reduce_general(job, first, last);
    } else {
        reduce_inner(job, first, last);
    }
}

mt_status mt_cpu_reduce(mt_backend *backend, const mt_reduce_work *work)
{
    (void)backend;
    reduce_job job; /* filled member by member: clearing the plan first would cost a small sum a tenth */
    job.work = work;
    job.kernels = mt_cpu_kernels_get()->folds;
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
    job.cut = mt_cpu_reduce_cut(work, plan);
    mt_share_out(job.cut.threads, run_tasks, &job);
    return MT_OK;
}
