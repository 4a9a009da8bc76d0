/* ops_cpu/layer_norm.c - layer norm: rows are shared out among threads. A row is one thread's, so the bits
 * are the same for any number of them. */
#include "cpu.h"
#include "share.h"

typedef struct {
    const mt_layer_norm_work *work;
    void (*row)(const mt_layer_norm_work *work, int64_t r);
} layer_norm_job;

static void layer_norm_share(const void *context, int share, int shares)
{
    const layer_norm_job *job = context;
    const int64_t rows = job->work->rows, last = mt_share_begin(rows, share + 1, shares);
    for (int64_t r = mt_share_begin(rows, share, shares); r < last; r++) job->row(job->work, r);
}

mt_status mt_cpu_layer_norm(mt_backend *backend, const mt_layer_norm_work *work)
{
    enum { COST = 4 }; /* elementary steps of a number (mt_cpu_threads) */
    (void)backend;
    const mt_layer_norm_kernels *kernels = mt_cpu_kernels_get()->layer_norm;
    const layer_norm_job job = {work, work->back ? kernels->back : kernels->value};
    mt_share_out(mt_cpu_threads((double)work->rows * (double)work->n * COST), layer_norm_share, &job);
    return MT_OK;
}
