/* ops_cuda/reduce_index.cu - reductions of INDEX.
 *
 * Integers may be joined in any order (index_ops.h), so one kernel does every reduction in every layout: it
 * takes as long as its loads. A long reduction is cut into chunks, whose results the same kernel reduces.
 */
#include "backend.cuh"
#include "tensor/scalar/index_ops.h"

namespace MT_TWIN {

namespace {

enum {
    INDEX_THREADS = 256,
    INDEX_BLOCKS = 512, /* blocks that keep a card busy: where outputs give fewer, they are cut into chunks */
    INDEX_TURNS = 16,   /* the fewest elements that a lane of a chunk takes */
    INDEX_CHUNKS_MOST = 65535, /* the most blocks of a grid along y */
    NEIGHBOURS = 32            /* outputs whose elements lie side by side, which a block takes together */
};

/* Output o (of kept) is that of in[kept_dims(o).in + reduced_dims(e)] for e below reduced. Chunk c, which is
 * blockIdx.y, is the elements from c*chunk on. */
struct index_work {
    const int64_t *in;
    int64_t *out_index; /* one of these two, at kept_dims(o).out; the other is null */
    mt_real *out_real;
    int64_t *partial; /* where there are several chunks, in their place: chunk c of output o goes to
                         partial[o*gridDim.y + c]; else null */
    mt_reduction op;
    mt_real divisor; /* of out_real */
    int64_t kept, reduced, chunk;
    int lanes;   /* threads that share an output, a power of two */
    bool across; /* neighbouring threads have neighbouring outputs; else they are lanes of one output */
    walk<uint64_t, 2> kept_dims; /* in, out */
    walk<uint64_t, 1> reduced_dims;
};

MT_KERNEL void reduce_indices(index_work w)
{
    MT_SHARED(int64_t, joined, [INDEX_THREADS]);
    const int outputs = INDEX_THREADS / w.lanes, thread = threadIdx.x;
    const int lane = w.across ? thread / outputs : thread % w.lanes;
    const int64_t output = (int64_t)blockIdx.x * outputs + (w.across ? thread % outputs : thread / w.lanes);
    const int above = w.across ? outputs : 1; /* from one lane to the next */
    uint64_t base[2] = {0, 0};
    int64_t s = mt_index_start(w.op);
    if (output < w.kept) {
        rolled_position_of(w.kept_dims, (uint64_t)output, base);
        const int64_t begin = blockIdx.y * w.chunk, end = min(begin + w.chunk, w.reduced);
        MT_NO_UNROLL
        for (int64_t e = begin + lane; e < end; e += w.lanes) {
            uint64_t at[1] = {base[0]};
            rolled_position_of(w.reduced_dims, (uint64_t)e, at);
            s = mt_index_both(w.op, s, w.in[at[0]]);
        }
    }
    joined[thread] = s;
    MT_NO_UNROLL
    for (int half = w.lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) joined[thread] = mt_index_both(w.op, joined[thread], joined[thread + half * above]);
    }
    if (lane > 0 || output >= w.kept) return;
    s = joined[thread];
    if (w.partial)
        w.partial[output * gridDim.y + blockIdx.y] = s;
    else if (w.out_index)
        w.out_index[base[1]] = s;
    else
        w.out_real[base[1]] = mt_index_real(s, w.divisor);
}

/* ---- on the host ---- */

static int power_of_two_below(int64_t n)
{
    int power = 1;
    while (power * 2 <= n && power < INDEX_THREADS) power *= 2;
    return power;
}

static mt_status run(mt_backend *backend, const mt_reduce_plan &plan, index_work w)
{
    w.kept = plan.kept_count, w.reduced = plan.reduced_count;
    w.across = plan.reduce_class == MT_REDUCE_OUTER;
    w.lanes = power_of_two_below(w.reduced);
    if (w.across) {
        const int outputs = power_of_two_below(w.kept < NEIGHBOURS ? w.kept : (int64_t)NEIGHBOURS);
        if (w.lanes > INDEX_THREADS / outputs) w.lanes = INDEX_THREADS / outputs;
    }
    const int64_t blocks = ceil_div(w.kept, INDEX_THREADS / w.lanes);
    if (blocks > 0x7fffffff) return too_large("reduce_index", w.kept);
    int64_t chunks = ceil_div(w.reduced, (int64_t)w.lanes * INDEX_TURNS);
    if (chunks > ceil_div(INDEX_BLOCKS, blocks)) chunks = ceil_div(INDEX_BLOCKS, blocks);
    if (chunks < 1) chunks = 1;
    w.chunk = ceil_div(w.reduced, chunks);
    if (w.chunk > 0) chunks = ceil_div(w.reduced, w.chunk);
    w.kept_dims.rank = w.reduced_dims.rank = 0;
    for (int d = 0; d < plan.kept_rank; d++) {
        const int64_t stride[2] = {plan.kept_in[d], plan.kept_out[d]};
        add_dimension(&w.kept_dims, plan.kept_size[d], stride);
    }
    for (int d = 0; d < plan.reduced_rank; d++) {
        const int64_t stride[1] = {plan.reduced_in[d]};
        add_dimension(&w.reduced_dims, plan.reduced_size[d], stride);
    }
    const dim3 grid((unsigned)blocks, (unsigned)chunks), block(INDEX_THREADS);
    if (chunks == 1) return MT_START(backend, "reduce indices", reduce_indices, grid, block, w);
    scratch room(backend, (size_t)(w.kept * chunks) * sizeof(int64_t));
    if (!room.data) return MT_ERR_MEMORY;
    w.partial = static_cast<int64_t *>(room.data);
    const mt_status status = MT_START(backend, "reduce indices", reduce_indices, grid, block, w);
    if (status != MT_OK) return status;
    mt_reduce_plan next = plan; /* of what the chunks came to */
    next.reduce_class = MT_REDUCE_INNER;
    next.reduced_rank = 1;
    next.reduced_count = next.reduced_size[0] = chunks;
    next.reduced_in[0] = 1;
    int64_t stride = chunks;
    for (int d = plan.kept_rank - 1; d >= 0; d--) next.kept_in[d] = stride, stride *= plan.kept_size[d];
    w.in = w.partial;
    w.partial = nullptr;
    return run(backend, next, w);
}

} // namespace

extern "C" mt_status MT_LAUNCHER(reduce_index)(mt_backend *backend, const mt_reduce_work *work,
                                               mt_kind out_kind)
{
    if (work->op > MT_ALL)
        return mt_fail(MT_ERR_VALUE, "reduce_index: there is no reduction %d", (int)work->op);
    mt_reduce_plan plan;
    mt_plan_reduce(&work->out, &work->in, work->reduced, &plan);
    if (plan.kept_count == 0) return MT_OK;
    if (plan.reduced_count == 0) plan.reduced_rank = 1; /* no place is asked for */
    index_work w = {};
    w.in = static_cast<const int64_t *>(first_of(work->in, sizeof(int64_t)));
    if (out_kind == MT_INDEX)
        w.out_index = static_cast<int64_t *>(first_of(work->out, sizeof(int64_t)));
    else
        w.out_real = static_cast<mt_real *>(first_of(work->out, sizeof(mt_real)));
    w.op = work->op, w.divisor = work->divisor;
    return run(backend, plan, w);
}

} // namespace MT_TWIN
