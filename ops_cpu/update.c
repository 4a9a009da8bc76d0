/* ops_cpu/update.c - an optimiser's step over all parameters; for both host backends. */
#include <math.h>

#include "cpu.h"

enum { LINE = 64 / sizeof(mt_real) };

static mt_update_constants constants(const mt_update_work *work)
{
    double t = (double)work->step;
    return (mt_update_constants){
        .rate = (mt_real)work->rate,
        .decay = (mt_real)work->weight_decay,
        .momentum = (mt_real)work->momentum,
        .beta1 = (mt_real)work->beta1,
        .beta2 = (mt_real)work->beta2,
        .epsilon = (mt_real)work->epsilon,
        .rest1 = (mt_real)(1 - work->beta1),
        .rest2 = (mt_real)(1 - work->beta2),
        .correct1 = work->rule == MT_UPDATE_SGD ? 1 : (mt_real)(1 / (1 - pow(work->beta1, t))),
        .correct2 = work->rule == MT_UPDATE_SGD ? 1 : (mt_real)(1 / (1 - pow(work->beta2, t))),
        .nesterov = work->nesterov,
        .first = work->step <= 1,
        .decoupled = work->rule == MT_UPDATE_ADAMW,
    };
}

mt_status mt_cpu_update(mt_backend *backend, const mt_update_work *work)
{
    (void)backend;
    const mt_update_constants c = constants(work);
    const mt_step_kernels *steps = mt_cpu_kernels_get()->steps;
    const mt_step_fn step = work->rule != MT_UPDATE_SGD ? steps->adam
                            : c.momentum != 0           ? steps->momentum
                                                        : steps->sgd;
    for (int r = 0; r < work->rows; r++) {
        const mt_update_row *row = &work->row[r];
        int threads = mt_cpu_threads((double)row->n * (work->rule == MT_UPDATE_SGD ? 2 : 8));
        if (threads <= 1) {
            step(row, &c, 0, row->n);
            continue;
        }
        /* A share for each thread, as the product that made the gradient was shared: much is in its cache. */
        int64_t lines = (row->n + LINE - 1) / LINE;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int t = 0; t < threads; t++) {
            int64_t first = lines * t / threads * LINE, last = lines * (t + 1) / threads * LINE;
            step(row, &c, first, last < row->n ? last : row->n);
        }
    }
    return MT_OK;
}
