/* ops_cuda/lanes.cuh - rows whose lanes work together: softmax.cu and layer_norm.cu.
 *
 * A row has the lanes of a part of a warp, of a warp, or of a block, by its length alone; lane i takes
 * elements i, i + lanes, ... in turn, and sums go through a fixed tree.
 */
#ifndef MT_LANES_CUH
#define MT_LANES_CUH

#include "backend.cuh"

namespace MT_TWIN {
namespace {

enum {
    WARP = 32,
    THREADS = 128, /* of a block, where rows have a warp or less */
    LONG = 1024,   /* a row of more elements than this has LANES threads */
    LANES = 256,
    IN_TURN = 16 /* numbers added one after the other */
};

MT_DEVICE mt_real larger(mt_real a, mt_real b) { return b > a || b != b ? b : a; } /* NaN stays */

/* The lanes' numbers, added up or the largest of them, by halves; every lane of a row gets it. room: one for
 * each warp of the block. */
template <bool LARGEST> MT_DEVICE mt_real joined(mt_real v, mt_real (&room)[LANES / WARP])
{
    const int lanes = blockDim.x;
    for (int distance = min(lanes, (int)WARP) / 2; distance > 0; distance /= 2) {
        const mt_real other = __shfl_xor_sync(0xffffffffu, v, distance);
        v = LARGEST ? larger(v, other) : v + other;
    }
    if (lanes > WARP) {
        __syncthreads(); /* room may still be read */
        if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = v;
        __syncthreads();
        v = room[0];
        for (int k = 1; k < LANES / WARP; k++) v = LARGEST ? larger(v, room[k]) : v + room[k];
    }
    return v;
}

/* The sum of term(i) over a row of n elements. */
template <class F> MT_DEVICE mt_real sum_of(int64_t n, mt_real (&room)[LANES / WARP], F term)
{
    mt_real whole = 0;
    for (int64_t i = threadIdx.x; i < n;) {
        const int64_t end = min(n, i + (int64_t)IN_TURN * blockDim.x);
        mt_real part = 0;
        for (; i < end; i += blockDim.x) part += term(i);
        whole += part;
    }
    return joined<false>(whole, room);
}

/* ---- on the host ---- */

/* Threads of a block: x lanes of a row, y rows. */
static inline dim3 block_of(int64_t n)
{
    if (n > LONG) return dim3(LANES);
    unsigned lanes = 1;
    while (lanes < WARP && lanes < n) lanes *= 2;
    return dim3(lanes, THREADS / lanes);
}

static inline dim3 grid_of(int64_t rows, dim3 block) { return dim3((unsigned)ceil_div(rows, block.y)); }

} // namespace
} // namespace MT_TWIN

#endif
