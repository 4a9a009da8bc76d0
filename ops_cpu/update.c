/* ops_cpu/update.c - an optimiser's step over all parameters; for both host backends. */
#include "cpu.h"
#include "share.h"
#include "tensor/scalar/update_ops.h"

enum { LINE = 64 / sizeof(mt_real), SHORT = 4096 };

typedef struct {
    const mt_update_work *work;
    mt_step_fn step;
    mt_update_constants constants;
} update_job;

/* Share number share of shares: of each parameter of SHORT numbers or more that part of its elements, in
 * whole cache lines, since the product that made the gradient was shared in the same way and left that part
 * in this thread's cache; shorter ones are share 0's. */
static void update_share(const void *context, int share, int shares)
{
    const update_job *job = context;
    for (int r = 0; r < job->work->rows; r++) {
        const mt_update_row *row = &job->work->row[r];
        const int parts = row->n < SHORT ? 1 : shares;
        if (share >= parts) continue;
        const int64_t lines = (row->n + LINE - 1) / LINE,
                      end = mt_share_begin(lines, share + 1, parts) * LINE;
        job->step(row, &job->constants, mt_share_begin(lines, share, parts) * LINE,
                  end < row->n ? end : row->n);
    }
}

static update_job job_of(const mt_update_work *work)
{
    return (update_job){work, mt_cpu_kernels_get()->steps->rule[work->rule],
                        mt_update_constants_at(&work->options, work->step)};
}

mt_status mt_simple_update(mt_backend *backend, const mt_update_work *work)
{
    (void)backend;
    const update_job job = job_of(work);
    update_share(&job, 0, 1);
    return MT_OK;
}

/* The work of an element counts as the arrays that it reads and writes (value, gradient, states), not as its
 * arithmetic: products too small for two threads left everything in one thread's cache, and there it is
 * updated. */
mt_status mt_cpu_update(mt_backend *backend, const mt_update_work *work)
{
    (void)backend;
    const update_job job = job_of(work);
    double effort = 0;
    for (int r = 0; r < work->rows; r++)
        effort += (double)work->row[r].n * (2 + mt_update_describe(work->rule)->states);
    mt_share_out(mt_cpu_threads(effort), update_share, &job);
    return MT_OK;
}
