/* ops_cpu/elementwise.c - map and zip on whole arrays: the plan, the parallel loop, and a tile function for
 * each piece.
 *
 * The two innermost dimensions of the plan are cut into tiles of at most PIECE elements, of one row where
 * rows are long; threads take runs of neighbouring tiles. Elements do not depend on each other, so the cut
 * decides speed and never bits.
 */
#include "cpu.h"
#include "stream.h"
#include "tensor/plan.h"

enum { PIECE = 8192, STREAM = 2048 / (int)sizeof(mt_real) };

typedef struct {
    const mt_elementwise_plan *plan;
    mt_tile_fn compute;
    mt_real *data[MT_MAX_OPERANDS];
    const mt_real *p;
    int outer;                        /* dimensions of the plan around the tiles' two */
    int64_t size[2];                  /* of the two */
    int64_t step[MT_MAX_OPERANDS][2]; /* along the two */
    int64_t tile[2], tiles[2];        /* the size of one, and how many cover the two dimensions */
    bool streams;                     /* to a large contiguous result, which is no operand */
} tile_job;

/* A row into a block that stays in the first cache, from where it is streamed to its place; the operands'
 * next block is asked for meanwhile. */
static void stream_row(const tile_job *job, int64_t n, mt_real *const *row)
{
    const int operands = job->plan->operands;
    _Alignas(MT_LINE) mt_real block[STREAM];
    mt_real *out = row[0], *data[MT_MAX_OPERANDS];
    for (int k = 0; k < operands; k++) data[k] = row[k];
    int64_t length = (int64_t)(mt_to_line(out) / sizeof(mt_real)); /* as far as the first whole line */
    if (length > n) length = n;
    if (length > 0) job->compute((const int64_t[]){1, length}, data, job->step, job->p);
    data[0] = block;
    for (int64_t i = length; i < n; i += length) {
        const char *ahead[MT_MAX_OPERANDS];
        int asked = 0;
        for (int k = 1; k < operands; k++) data[k] += length * job->step[k][1];
        length = n - i < STREAM ? n - i : STREAM;
        for (int k = 1; k < operands; k++)
            if (job->step[k][1] == 1) ahead[asked++] = (const char *)(data[k] + length);
        job->compute((const int64_t[]){1, length}, data, job->step, job->p);
        size_t bytes = (size_t)length * sizeof *block, whole = bytes / MT_LINE * MT_LINE;
        mt_stream_lines((char *)(out + i), (const char *)block, whole, ahead, asked);
        memcpy((char *)(out + i) + whole, (const char *)block + whole, bytes - whole);
    }
}

/* Runs tiles first..last-1 in order, carrying the index of the outer dimensions along. */
static void run_tiles(const tile_job *job, int64_t first, int64_t last)
{
    const mt_elementwise_plan *plan = job->plan;
    const int operands = plan->operands;
    int64_t across = first % job->tiles[1], down = first / job->tiles[1] % job->tiles[0],
            outer = first / job->tiles[1] / job->tiles[0], index[MT_MAX_DIMS];
    mt_real *at[MT_MAX_OPERANDS];
    for (int k = 0; k < operands; k++) at[k] = job->data[k];
    for (int d = job->outer - 1; d >= 0; d--) {
        index[d] = outer % plan->size[d];
        outer /= plan->size[d];
        for (int k = 0; k < operands; k++) at[k] += index[d] * plan->stride[k][d];
    }
    for (int64_t i = first; i < last; i++) {
        const int64_t row = down * job->tile[0], column = across * job->tile[1];
        int64_t size[2] = {job->size[0] - row, job->size[1] - column};
        mt_real *data[MT_MAX_OPERANDS];
        for (int k = 0; k < operands; k++) data[k] = at[k] + row * job->step[k][0] + column * job->step[k][1];
        for (int d = 0; d < 2; d++)
            if (size[d] > job->tile[d]) size[d] = job->tile[d];
        if (job->streams)
            stream_row(job, size[1], data);
        else
            job->compute(size, data, job->step, job->p);
        if (++across < job->tiles[1]) continue;
        across = 0;
        if (++down < job->tiles[0]) continue;
        down = 0;
        for (int d = job->outer - 1; d >= 0; d--) {
            index[d]++;
            for (int k = 0; k < operands; k++) at[k] += plan->stride[k][d];
            if (index[d] < plan->size[d]) break;
            for (int k = 0; k < operands; k++) at[k] -= index[d] * plan->stride[k][d];
            index[d] = 0;
        }
    }
    if (job->streams) mt_stream_end();
}

/* Of a job with plan and data, the two dimensions and their tiles. */
static void cut(tile_job *job)
{
    const mt_elementwise_plan *plan = job->plan;
    job->outer = plan->rank > 2 ? plan->rank - 2 : 0;
    job->size[0] = plan->rank > 1 ? plan->size[plan->rank - 2] : 1;
    job->size[1] = plan->size[plan->rank - 1];
    for (int k = 0; k < plan->operands; k++) {
        job->step[k][0] = plan->rank > 1 ? plan->stride[k][plan->rank - 2] : 0;
        job->step[k][1] = plan->stride[k][plan->rank - 1];
    }
    job->streams = job->step[0][1] == 1 && job->size[1] >= STREAM &&
                   mt_cpu_streams((double)plan->count * sizeof(mt_real));
    for (int k = 1; k < plan->operands; k++) job->streams &= job->data[k] != job->data[0];
    job->tile[1] = job->size[1] < PIECE ? job->size[1] : PIECE;
    job->tile[0] = job->streams ? 1 : PIECE / job->tile[1];
    for (int d = 0; d < 2; d++) job->tiles[d] = (job->size[d] + job->tile[d] - 1) / job->tile[d];
}

mt_status mt_cpu_elementwise(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    const mt_operand *operand = work->operand;
    mt_elementwise_plan plan;
    mt_plan_elementwise(operand, work->operands, &plan);
    if (plan.count == 0) return MT_OK;

    const mt_cpu_kernels *kernels = mt_cpu_kernels_get();
    tile_job job = {.plan = &plan, .p = work->p};
    job.compute = (work->part == MT_PART_VALUE    ? kernels->value
                   : work->part == MT_PART_GRAD_A ? kernels->grad_a
                                                  : kernels->grad_b)[work->op];
    for (int k = 0; k < plan.operands; k++)
        job.data[k] = (mt_real *)operand[k].data + operand[k].layout->offset;
    if (plan.rank == 1 && plan.count <= PIECE) { /* small work: straight to the tile function */
        for (int k = 0; k < plan.operands; k++) job.step[k][1] = plan.stride[k][0];
        job.compute((const int64_t[]){1, plan.count}, job.data, job.step, job.p);
        return MT_OK;
    }
    cut(&job);
    const int64_t tiles = plan.count / (job.size[0] * job.size[1]) * job.tiles[0] * job.tiles[1];
    int threads = mt_cpu_threads((double)plan.count * 2);
    if (threads > tiles) threads = (int)tiles;
    if (threads <= 1) {
        run_tiles(&job, 0, tiles);
        return MT_OK;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++) run_tiles(&job, tiles * t / threads, tiles * (t + 1) / threads);
    return MT_OK;
}
