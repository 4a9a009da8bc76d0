/* ops_cuda/scan.cu - sums so far along a dimension.
 *
 * A block takes a chunk of a line: each thread ITEMS neighbours, the lanes of a warp by turns of 1, 2, 4, ...
 * neighbours, the warps in a row. Where a line has more than one chunk, their sums come first, and one block
 * for each line adds them. The order of the additions follows from the length of the line alone.
 */
#include "backend.cuh"

namespace MT_TWIN {

namespace {

enum { SCAN_THREADS = 256, ITEMS = 4, CHUNK = SCAN_THREADS * ITEMS, WARP = 32, WARPS = SCAN_THREADS / WARP };

struct scan_work {
    mt_real *out;
    const mt_real *in;
    mt_real *sums; /* [line * chunks + chunk]: of the chunk, then of those before it; NULL: one chunk */
    int64_t n, chunks, out_step, in_step; /* along dim */
    walk<uint64_t, 2> lines;              /* from a line's number to where it begins in out and in */
};

/* The sum of value over this thread and those before it in the block; *all: over the block. Between two calls
 * the caller has a barrier. */
MT_DEVICE mt_real scan_block(mt_real value, mt_real *all)
{
    MT_SHARED(mt_real, of_warp, [WARPS]);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    MT_UNROLL
    for (int distance = 1; distance < WARP; distance *= 2) {
        const mt_real before = __shfl_up_sync(0xffffffffu, value, (unsigned)distance);
        if (lane >= distance) value += before;
    }
    if (lane == WARP - 1) of_warp[warp] = value;
    __syncthreads();
    mt_real before = 0, sum = 0;
    MT_UNROLL
    for (int w = 0; w < WARPS; w++) {
        if (w == warp) before = sum;
        sum += of_warp[w];
    }
    *all = sum;
    return before + value;
}

/* This thread's elements of a chunk, 0 past the end of the line; their sum. */
MT_DEVICE mt_real load_items(const mt_real *in, int64_t step, int64_t first, int64_t n,
                             mt_real (&item)[ITEMS])
{
    mt_real sum = 0;
    MT_UNROLL
    for (int k = 0; k < ITEMS; k++) {
        item[k] = first + k < n ? in[(first + k) * step] : (mt_real)0;
        sum += item[k];
    }
    return sum;
}

/* Block b of lines*chunks: the sum of its chunk. */
MT_KERNEL void scan_sums(scan_work w)
{
    const uint64_t line = blockIdx.x / (uint64_t)w.chunks;
    const int64_t chunk = (int64_t)(blockIdx.x % (uint64_t)w.chunks);
    uint64_t at[2] = {0, 0};
    mt_real item[ITEMS], all;
    rolled_position_of(w.lines, line, at);
    const int64_t first = chunk * CHUNK + (int64_t)threadIdx.x * ITEMS;
    scan_block(load_items(w.in + (int64_t)at[1], w.in_step, first, w.n, item), &all);
    if (threadIdx.x == 0) w.sums[blockIdx.x] = all;
}

/* Block b of lines: the sums of its chunks become those of the chunks before each. */
MT_KERNEL void scan_before(scan_work w)
{
    mt_real *sums = w.sums + (int64_t)blockIdx.x * w.chunks;
    mt_real before = 0;
    MT_SHARED(mt_real, shown, [SCAN_THREADS]);
    for (int64_t first = 0; first < w.chunks; first += SCAN_THREADS) {
        const int64_t chunk = first + (int64_t)threadIdx.x;
        const mt_real own = chunk < w.chunks ? sums[chunk] : (mt_real)0;
        mt_real all;
        const mt_real so_far = scan_block(own, &all);
        /* The sum without its own: the neighbour's. An infinity cannot be taken away again. */
        shown[threadIdx.x] = so_far;
        __syncthreads();
        const mt_real others = threadIdx.x > 0 ? shown[threadIdx.x - 1] : (mt_real)0;
        if (chunk < w.chunks) sums[chunk] = before + others;
        before += all;
    }
}

/* Block b of lines*chunks: the elements of its chunk. */
MT_KERNEL void scan_chunk(scan_work w)
{
    const uint64_t line = blockIdx.x / (uint64_t)w.chunks;
    const int64_t chunk = (int64_t)(blockIdx.x % (uint64_t)w.chunks);
    uint64_t at[2] = {0, 0};
    mt_real item[ITEMS], all;
    MT_SHARED(mt_real, shown, [SCAN_THREADS]);
    rolled_position_of(w.lines, line, at);
    const int64_t first = chunk * CHUNK + (int64_t)threadIdx.x * ITEMS;
    const mt_real so_far = scan_block(load_items(w.in + (int64_t)at[1], w.in_step, first, w.n, item), &all);
    shown[threadIdx.x] = so_far;
    __syncthreads();
    mt_real sum = threadIdx.x > 0 ? shown[threadIdx.x - 1] : (mt_real)0;
    if (w.sums != nullptr) sum = w.sums[blockIdx.x] + sum;
    mt_real *out = w.out + (int64_t)at[0];
    MT_UNROLL
    for (int k = 0; k < ITEMS; k++) {
        if (first + k >= w.n) break;
        sum += item[k];
        out[(first + k) * w.out_step] = sum;
    }
}

} // namespace

extern "C" mt_status MT_LAUNCHER(cumsum)(mt_backend *backend, mt_operand out, mt_operand in, int dim,
                                         bool back)
{
    scan_work w;
    int64_t lines = 1;
    w.out = static_cast<mt_real *>(first_of(out, sizeof(mt_real)));
    w.in = static_cast<const mt_real *>(first_of(in, sizeof(mt_real)));
    w.sums = nullptr;
    w.n = out.layout->size[dim];
    w.out_step = out.layout->stride[dim], w.in_step = in.layout->stride[dim];
    w.chunks = ceil_div(w.n, CHUNK);
    w.lines.rank = 0;
    for (int d = 0; d < out.layout->rank; d++) {
        if (d == dim) continue;
        const int64_t stride[2] = {out.layout->stride[d], in.layout->stride[d]};
        add_dimension(&w.lines, out.layout->size[d], stride);
        lines *= out.layout->size[d];
    }
    const int64_t nowhere[2] = {0, 0};
    if (w.lines.rank == 0) add_dimension(&w.lines, 1, nowhere);
    if (lines == 0 || w.n == 0) return MT_OK;
    if (back) {
        w.out += (w.n - 1) * w.out_step, w.in += (w.n - 1) * w.in_step;
        w.out_step = -w.out_step, w.in_step = -w.in_step;
    }
    if (lines > 0x7fffffff / w.chunks) return too_large("cumsum", lines * w.n);
    const dim3 blocks((unsigned)(lines * w.chunks)), threads(SCAN_THREADS);
    if (w.chunks == 1) return MT_START(backend, "cumsum", scan_chunk, blocks, threads, w);
    scratch sums(backend, (size_t)(lines * w.chunks) * sizeof(mt_real));
    if (!sums.data) return MT_ERR_MEMORY;
    w.sums = static_cast<mt_real *>(sums.data);
    mt_status status = MT_START(backend, "cumsum chunks", scan_sums, blocks, threads, w);
    if (status == MT_OK)
        status = MT_START(backend, "cumsum of chunks", scan_before, dim3((unsigned)lines), threads, w);
    return status == MT_OK ? MT_START(backend, "cumsum", scan_chunk, blocks, threads, w) : status;
}

} // namespace MT_TWIN
