/* ops_cpu/map_zip.c - map, zip, where and compare on whole arrays: the plan, the parallel loop, and a tile
 * function for each piece.
 *
 * The two innermost dimensions of the plan are cut into tiles of at most PIECE elements, of one row where
 * rows are long; threads take runs of neighbouring tiles. Elements do not depend on each other, so the cut
 * decides speed and never bits.
 */
#include "cpu.h"
#include "share.h"
#include "stream.h"
#include "tensor/op_id.h"
#include "tensor/plan.h"

enum { PIECE = 8192, LINE = MT_LINE / (int)sizeof(mt_real), STREAM = 2048 / (int)sizeof(mt_real) };

/* Rows whose values take longer to compute than to store. They are stored plainly: the processor writes its
 * cache lines back while it computes the next elements, where streamed stores would make it wait. */
static const bool computes[MT_OP_COUNT] = {
    [MT_OP_sigmoid] = true,  [MT_OP_tanh] = true, [MT_OP_log] = true,
    [MT_OP_log1p] = true,    [MT_OP_gelu] = true, [MT_OP_silu] = true,
    [MT_OP_softplus] = true, [MT_OP_pow] = true,  [MT_OP_sigmoid_cross_entropy] = true,
};

typedef struct {
    const mt_elementwise_plan *plan;
    mt_tile_fn compute;
    mt_real *data[MT_MAX_OPERANDS];
    const mt_real *p;
    int outer;       /* how many dimensions the plan has before its last two */
    int64_t size[2]; /* of the last two dimensions, which are cut into tiles; 1 where there is one */
    int64_t step[MT_MAX_OPERANDS][2]; /* operand k's strides along the two, in mt_real */
    int64_t tile[2], tiles[2];        /* the most rows and columns of a tile; how many tiles cover size[d] */
    int64_t count; /* of tiles in the whole plan: tiles[0] tiles[1] times the outer sizes */
    bool streams;  /* results go past the cache (stream_tile); never where out is an operand */
} tile_job;

/* A tile of size[0] x size[1] whose output is one row, or rows without gaps, at tile[0]. Parts of up to
 * STREAM numbers are computed into block, which stays in the first cache, and copied from there past the
 * caches (mt_stream_lines) in whole lines, while the processor is asked for the operands' next part. The
 * `waiting` numbers that do not fill a line stay at the beginning of block until the next part; the `lead`
 * first numbers of the output, up to its first whole line, and the last ones are stored plainly.
 */
static void stream_tile(const tile_job *job, const int64_t size[2], mt_real *const *tile)
{
    const int operands = job->plan->operands;
    const int64_t rows = size[1] < STREAM ? STREAM / size[1] : 1,
                  columns = size[1] < STREAM ? size[1] : STREAM;
    _Alignas(MT_LINE) mt_real block[STREAM + 2 * LINE];
    mt_real *to = tile[0];
    int64_t waiting = 0, lead = (int64_t)(mt_to_line(to) / sizeof *to), step[MT_MAX_OPERANDS][2];
    memcpy(step, job->step, sizeof step);
    for (int64_t r = 0; r < size[0]; r += rows)
        for (int64_t c = 0; c < size[1]; c += columns) {
            const int64_t part[2] = {size[0] - r < rows ? size[0] - r : rows,
                                     size[1] - c < columns ? size[1] - c : columns};
            const char *ahead[MT_MAX_OPERANDS];
            int asked = 0;
            mt_real *data[MT_MAX_OPERANDS] = {block + waiting}, *from = block;
            for (int k = 1; k < operands; k++) {
                data[k] = tile[k] + r * step[k][0] + c * step[k][1];
                if (step[k][1] == 1 && (rows == 1 || step[k][0] == size[1]))
                    ahead[asked++] = (const char *)(data[k] + part[0] * part[1]);
            }
            step[0][0] = part[1];
            job->compute(part, data, step, job->p);
            waiting += part[0] * part[1];
            if (lead > 0 && waiting >= lead) { /* as far as the first whole line */
                memcpy(to, block, (size_t)lead * sizeof *to);
                to += lead, from += lead, waiting -= lead, lead = 0;
            }
            if (lead > 0) continue;
            const int64_t whole = waiting / LINE * LINE;
            mt_stream_lines((char *)to, (const char *)from, (size_t)whole * sizeof *to, ahead, asked);
            to += whole, from += whole, waiting -= whole;
            memmove(block, from, (size_t)waiting * sizeof *to);
        }
    memcpy(to, block, (size_t)waiting * sizeof *to);
}

/* Runs a share of the tiles in order, carrying the index of the outer dimensions along. */
static void run_tiles(const void *context, int share, int shares)
{
    const tile_job *job = context;
    const int64_t first = mt_share_begin(job->count, share, shares),
                  last = mt_share_begin(job->count, share + 1, shares);
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
            stream_tile(job, size, data);
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
static void cut(tile_job *job, bool may_stream)
{
    const mt_elementwise_plan *plan = job->plan;
    job->outer = plan->rank > 2 ? plan->rank - 2 : 0;
    job->size[0] = plan->rank > 1 ? plan->size[plan->rank - 2] : 1;
    job->size[1] = plan->size[plan->rank - 1];
    for (int k = 0; k < plan->operands; k++) {
        job->step[k][0] = plan->rank > 1 ? plan->stride[k][plan->rank - 2] : 0;
        job->step[k][1] = plan->stride[k][plan->rank - 1];
    }
    const bool gaps = job->step[0][0] != job->size[1];
    /* rows shorter than half a line are bound by computing */
    job->streams = may_stream && job->step[0][1] == 1 && job->size[1] >= (gaps ? STREAM : LINE / 2) &&
                   mt_cpu_streams((double)plan->count * sizeof(mt_real));
    for (int k = 1; k < plan->operands; k++) job->streams &= job->data[k] != job->data[0];
    job->tile[1] = job->size[1] < PIECE ? job->size[1] : PIECE;
    job->tile[0] = job->streams && gaps ? 1 : PIECE / job->tile[1];
    for (int d = 0; d < 2; d++) job->tiles[d] = (job->size[d] + job->tile[d] - 1) / job->tile[d];
    job->count = plan->count / (job->size[0] * job->size[1]) * job->tiles[0] * job->tiles[1];
}

/* Runs a job with plan, compute, data and p. */
static mt_status run(tile_job *job, bool may_stream)
{
    const mt_elementwise_plan *plan = job->plan;
    if (plan->rank == 1 && plan->count <= PIECE) { /* small work: straight to the tile function */
        for (int k = 0; k < plan->operands; k++) job->step[k][0] = 0, job->step[k][1] = plan->stride[k][0];
        job->compute((const int64_t[]){1, plan->count}, job->data, job->step, job->p);
        return MT_OK;
    }
    cut(job, may_stream);
    int threads = mt_cpu_threads((double)plan->count * 2);
    if (threads > job->count) threads = (int)job->count;
    mt_share_out(threads, run_tiles, job);
    return MT_OK;
}

static mt_real *first_of(mt_operand operand) { return (mt_real *)operand.data + operand.layout->offset; }

/* rows: by part and row, those of maps or those of zips. */
static mt_status run_row(const mt_elementwise_work *work, const mt_tile_fn *const *rows, int row)
{
    mt_elementwise_plan plan;
    mt_plan_loops(work->operand, work->operands, &plan);
    if (plan.count == 0) return MT_OK;
    tile_job job; /* filled field by field: small work reads little of it */
    job.plan = &plan;
    job.p = work->p;
    job.compute = rows[work->part][row];
    for (int k = 0; k < plan.operands; k++) job.data[k] = first_of(work->operand[k]);
    return run(&job, !(work->part == MT_PART_VALUE && computes[work->op]));
}

mt_status mt_cpu_map(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    return run_row(work, mt_cpu_kernels_get()->map, work->op);
}

mt_status mt_cpu_zip(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    return run_row(work, mt_cpu_kernels_get()->zip, work->op - MT_MAP_COUNT);
}

/* Operand k of the job, which is INDEX, in steps of mt_real, of which an element of it has one or two. */
static void walk_index(tile_job *job, mt_elementwise_plan *plan, int k, const mt_layout *layout)
{
    const int64_t wide = (int64_t)(sizeof(int64_t) / sizeof(mt_real));
    job->data[k] += (wide - 1) * layout->offset;
    for (int d = 0; d < plan->rank; d++) plan->stride[k][d] *= wide;
}

mt_status mt_cpu_where(mt_backend *backend, mt_operand out, mt_operand mask, mt_kind mask_kind, mt_operand a,
                       mt_operand b)
{
    (void)backend;
    const mt_operand operand[] = {out, mask, a, b};
    mt_elementwise_plan plan;
    mt_plan_loops(operand, 4, &plan);
    if (plan.count == 0) return MT_OK;
    tile_job job = {.plan = &plan, .compute = mt_cpu_kernels_get()->slot[MT_SLOT_where]};
    for (int k = 0; k < 4; k++) job.data[k] = first_of(operand[k]);
    if (mask_kind == MT_INDEX) walk_index(&job, &plan, 1, mask.layout);
    job.p = (const mt_real[]){mask_kind == MT_INDEX, 0};
    return run(&job, true);
}

mt_status mt_cpu_compare(mt_backend *backend, mt_operand out, mt_operand a, mt_operand b,
                         const mt_real *order)
{
    (void)backend;
    const mt_operand operand[] = {out, a, b};
    mt_elementwise_plan plan;
    mt_plan_loops(operand, 3, &plan);
    if (plan.count == 0) return MT_OK;
    tile_job job = {.plan = &plan, .compute = mt_cpu_kernels_get()->slot[MT_SLOT_compare], .p = order};
    for (int k = 0; k < 3; k++) job.data[k] = first_of(operand[k]);
    for (int k = 1; k < 3; k++) walk_index(&job, &plan, k, operand[k].layout);
    return run(&job, true);
}
