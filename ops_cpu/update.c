/* ops_cpu/update.c - an optimiser's step over all parameters; for both host backends. */
#include <math.h>

#include "cpu.h"
#include "share.h"

enum { LINE = 64 / sizeof(mt_real), SHORT = 4096 };

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

typedef struct {
    mt_step_fn step;
    int arrays; /* that go by: what products on one thread left in its cache is best updated there */
} rule;

typedef struct {
    const mt_update_work *work;
    mt_step_fn step;
    mt_update_constants constants;
} update_job;

/* A share of all parameters: of each row as the product that made its gradient was shared, since much is in
 * that thread's cache. Short rows are the first's. */
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

static rule rule_of(const mt_update_work *work)
{
    const mt_step_kernels *steps = mt_cpu_kernels_get()->steps;
    const rule adam = {steps->adam, 4}, momentum = {steps->momentum, 3}, sgd = {steps->sgd, 2};
    return work->rule != MT_UPDATE_SGD ? adam : (mt_real)work->momentum != 0 ? momentum : sgd;
}

mt_status mt_cpu_update_alone(mt_backend *backend, const mt_update_work *work)
{
    (void)backend;
    const update_job job = {work, rule_of(work).step, constants(work)};
    update_share(&job, 0, 1);
    return MT_OK;
}

mt_status mt_cpu_update(mt_backend *backend, const mt_update_work *work)
{
    (void)backend;
    const rule by = rule_of(work);
    const update_job job = {work, by.step, constants(work)};
    double effort = 0;
    for (int r = 0; r < work->rows; r++) effort += (double)work->row[r].n * by.arrays;
    mt_share_out(mt_cpu_threads(effort), update_share, &job);
    return MT_OK;
}
