/* ops_cpu/update.c - an optimiser's step over all parameters; for both host backends. */
#include <math.h>

#include "cpu.h"
#include "tensor/update_ops.h"

enum { PIECE = 1 << 14 };

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

/* Elements first..last-1 of one parameter. */
static void update_piece(const mt_update_row *row, mt_update_rule rule, mt_update_constants c, int64_t first, int64_t last)
{
    mt_real *restrict w = row->value, *restrict m = row->state[0], *restrict v = row->state[1];
    const mt_real *restrict g = row->grad;
    mt_real unused;
    if (rule != MT_UPDATE_SGD)
        for (int64_t i = first; i < last; i++) w[i] = mt_update_adam(w[i], g[i], &m[i], &v[i], &c);
    else if (c.momentum != 0)
        for (int64_t i = first; i < last; i++) w[i] = mt_update_sgd(w[i], g[i], &m[i], &c);
    else
        for (int64_t i = first; i < last; i++) w[i] = mt_update_sgd(w[i], g[i], &unused, &c);
}

mt_status mt_cpu_update(mt_backend *backend, const mt_update_work *work)
{
    (void)backend;
    mt_update_constants c = constants(work);
    for (int r = 0; r < work->rows; r++) {
        const mt_update_row *row = &work->row[r];
        int64_t pieces = (row->n + PIECE - 1) / PIECE;
        int threads = mt_cpu_threads((double)row->n * (work->rule == MT_UPDATE_SGD ? 2 : 8));
        if (threads > pieces) threads = (int)pieces;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
        for (int64_t i = 0; i < pieces; i++)
            update_piece(row, work->rule, c, i * PIECE, i + 1 < pieces ? (i + 1) * PIECE : row->n);
    }
    return MT_OK;
}
