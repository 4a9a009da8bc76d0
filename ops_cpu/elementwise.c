/* ops_cpu/elementwise.c - map and zip on whole arrays: the plan, the parallel loop, and a row function for
 * each piece.
 *
 * The planned dimensions are cut into pieces of one row each, at most PIECE elements long; threads take runs
 * of neighbouring pieces. Elements do not depend on each other, so the cut decides speed and never bits.
 */
#include "cpu.h"
#include "stream.h"
#include "tensor/plan.h"

enum { PIECE = 8192, STREAM = 2048 / (int)sizeof(mt_real) };

typedef struct {
    const mt_elementwise_plan *plan;
    mt_row_fn row;
    mt_real *data[MT_MAX_OPERANDS];
    const mt_real *p;
    int64_t cuts; /* pieces in a row */
    bool streams; /* to a large contiguous result, which is no operand */
} row_job;

/* A piece into a block that stays in the first cache, from where it is streamed to its place; the operands'
 * next block is asked for meanwhile. */
static void stream_piece(const row_job *job, int64_t n, mt_real *out, const mt_real **in, const int64_t *step)
{
    const int inputs = job->plan->operands - 1;
    _Alignas(MT_LINE) mt_real block[STREAM];
    int64_t length = (int64_t)(mt_to_line(out) / sizeof(mt_real)); /* as far as the first whole line */
    if (length > n) length = n;
    job->row(length, out, 1, in, step, job->p);
    for (int64_t i = length; i < n; i += length) {
        const char *ahead[MT_MAX_OPERANDS];
        int asked = 0;
        for (int k = 0; k < inputs; k++) in[k] += length * step[k];
        length = n - i < STREAM ? n - i : STREAM;
        for (int k = 0; k < inputs; k++)
            if (step[k] == 1) ahead[asked++] = (const char *)(in[k] + length);
        job->row(length, block, 1, in, step, job->p);
        size_t bytes = (size_t)length * sizeof *block, whole = bytes / MT_LINE * MT_LINE;
        mt_stream_lines((char *)(out + i), (const char *)block, whole, ahead, asked);
        memcpy((char *)(out + i) + whole, (const char *)block + whole, bytes - whole);
    }
}

/* Runs pieces first..last-1 in order, carrying the index of the outer dimensions along. */
static void run_pieces(const row_job *job, int64_t first, int64_t last)
{
    const mt_elementwise_plan *plan = job->plan;
    const int inner = plan->rank - 1, operands = plan->operands;
    int64_t index[MT_MAX_DIMS], cut = first % job->cuts, outer = first / job->cuts, step[MT_MAX_OPERANDS];
    mt_real *at[MT_MAX_OPERANDS];
    for (int k = 0; k < operands; k++) at[k] = job->data[k], step[k] = plan->stride[k][inner];
    for (int d = inner - 1; d >= 0; d--) {
        index[d] = outer % plan->size[d];
        outer /= plan->size[d];
        for (int k = 0; k < operands; k++) at[k] += index[d] * plan->stride[k][d];
    }
    for (int64_t i = first; i < last; i++) {
        int64_t begin = cut * PIECE, length = plan->size[inner] - begin;
        const mt_real *in[MT_MAX_OPERANDS - 1];
        for (int k = 1; k < operands; k++) in[k - 1] = at[k] + begin * step[k];
        if (length > PIECE) length = PIECE;
        if (job->streams)
            stream_piece(job, length, at[0] + begin, in, step + 1);
        else
            job->row(length, at[0] + begin * step[0], step[0], in, step + 1, job->p);
        if (++cut < job->cuts) continue;
        cut = 0;
        for (int d = inner - 1; d >= 0; d--) {
            index[d]++;
            for (int k = 0; k < operands; k++) at[k] += plan->stride[k][d];
            if (index[d] < plan->size[d]) break;
            for (int k = 0; k < operands; k++) at[k] -= index[d] * plan->stride[k][d];
            index[d] = 0;
        }
    }
    if (job->streams) mt_stream_end();
}

mt_status mt_cpu_elementwise(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    const mt_operand *operand = work->operand;
    mt_elementwise_plan plan;
    mt_plan_elementwise(operand, work->operands, &plan);
    if (plan.count == 0) return MT_OK;

    const mt_cpu_kernels *kernels = mt_cpu_kernels_get();
    row_job job = {.plan = &plan, .p = work->p};
    job.row = (work->part == MT_PART_VALUE    ? kernels->value
               : work->part == MT_PART_GRAD_A ? kernels->grad_a
                                              : kernels->grad_b)[work->op];
    for (int k = 0; k < plan.operands; k++)
        job.data[k] = (mt_real *)operand[k].data + operand[k].layout->offset;
    if (plan.rank == 1 && plan.count <= PIECE) { /* small work: straight to the row function */
        const mt_real *in[MT_MAX_OPERANDS - 1];
        int64_t step[MT_MAX_OPERANDS];
        for (int k = 0; k < plan.operands; k++) step[k] = plan.stride[k][0];
        for (int k = 1; k < plan.operands; k++) in[k - 1] = job.data[k];
        job.row(plan.count, job.data[0], step[0], in, step + 1, job.p);
        return MT_OK;
    }
    job.cuts = (plan.size[plan.rank - 1] + PIECE - 1) / PIECE;
    int64_t pieces = plan.count / plan.size[plan.rank - 1] * job.cuts;
    job.streams = plan.stride[0][plan.rank - 1] == 1 && plan.size[plan.rank - 1] >= STREAM &&
                  mt_cpu_streams((double)plan.count * sizeof(mt_real));
    for (int k = 1; k < plan.operands; k++) job.streams &= job.data[k] != job.data[0];
    int threads = mt_cpu_threads((double)plan.count * 2);
    if (threads > pieces) threads = (int)pieces;
    if (threads <= 1) {
        run_pieces(&job, 0, pieces);
        return MT_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++) run_pieces(&job, pieces * t / threads, pieces * (t + 1) / threads);
    return MT_OK;
}
