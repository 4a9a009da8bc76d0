/* ops_cuda/random.cu - uniform and normal draws, and permutations.
 *
 * Element i of a draw, in row-major order, comes from counter + i alone, so the bits are those of every other
 * backend; a permutation is mt_random_order of random_ops.h, step by step.
 */
#include "backend.cuh"
#include "tensor/scalar/scalar_math.h"
#include "tensor/scalar/random_ops.h"

namespace MT_TWIN {

namespace {

struct random_work {
    mt_real *out;
    uint64_t seed, counter;
    double a, b;
    uint64_t count;
    walk<uint64_t, 1> dims;
};

/* One element a thread: element i is a function of seed and counter + i alone. */
template <mt_distribution DISTRIBUTION> MT_KERNEL void draw(random_work w)
{
    uint64_t i = (uint64_t)thread_number(), at[1] = {0};
    if (i >= w.count) return;
    position_of<0>(w.dims, i, at);
    uint64_t bits = mt_philox_bits(w.seed, w.counter + i);
    w.out[at[0]] = (mt_real)(DISTRIBUTION == MT_UNIFORM ? mt_uniform_from_bits(bits, w.a, w.b)
                                                        : mt_normal_from_bits(bits, w.a, w.b));
}

} // namespace

extern "C" mt_status MT_LAUNCHER(random)(mt_backend *backend, const mt_random_work *work)
{
    const mt_layout *layout = work->out.layout;
    random_work w;
    w.out = static_cast<mt_real *>(first_of(work->out, sizeof(mt_real)));
    w.seed = work->rng.seed, w.counter = work->rng.counter;
    w.a = work->a, w.b = work->b;
    w.count = 1;
    w.dims.rank = layout->rank;
    for (int d = 0; d < layout->rank; d++) {
        w.count *= (uint64_t)layout->size[d];
        w.dims.size[d].set(layout->size[d]);
        w.dims.stride[0][d] = (uint64_t)layout->stride[d];
    }
    if (w.count == 0) return MT_OK;
    if ((int64_t)w.count > MOST_THREADS) return too_large("random", (int64_t)w.count);
    unsigned block = block_for((int64_t)w.count);
    dim3 grid((unsigned)ceil_div((int64_t)w.count, block));
    return work->distribution == MT_UNIFORM
               ? MT_START(backend, "uniform", (draw<MT_UNIFORM>), grid, dim3(block), w)
               : MT_START(backend, "normal", (draw<MT_NORMAL>), grid, dim3(block), w);
}

namespace {

/* mt_random_order's steps k = 0 .. count-1, by one warp: j = j(k) is drawn from 0 to k; out[k] = out[j], then
 * out[j] = k. Lane l of the warp has step k = first + l, so 32 draws are made at once. Step k reads out[j],
 * which an earlier step s of the 32 writes where j(s) = j or s = j: `after` is the lane of the latest such s,
 * -1 where there is none. Lanes begin .. end-1, up to the first whose `after` is one of them, depend on none
 * of each other and store together: a run. 10,240 steps take some 450 runs, each of which waits for the
 * memory once; one thread alone would wait at each step. */
MT_KERNEL void shuffle_order(int64_t *out, int64_t stride, int64_t count, uint64_t seed, uint64_t counter)
{
    MT_SHARED(int64_t, drawn, [32]);
    const int lane = threadIdx.x;
    for (int64_t first = 0; first < count; first += 32) {
        const int64_t k = first + lane;
        const int64_t j =
            (int64_t)mt_upper_product(mt_philox_bits(seed, counter + (uint64_t)k), (uint64_t)k + 1);
        drawn[lane] = j;
        __syncthreads();
        int after = -1;
        for (int s = 0; s < lane; s++)
            if (drawn[s] == j || first + s == j) after = s;
        for (int begin = 0; begin < 32;) {
            const unsigned waiting = __ballot_sync(0xffffffffu, after >= begin);
            const int end = waiting ? __ffs((int)waiting) - 1 : 32;
            if (lane >= begin && lane < end && k < count) {
                out[k * stride] = j < k ? out[j * stride] : k;
                out[j * stride] = k;
            }
            begin = end;
            __syncthreads();
        }
    }
}

} // namespace

extern "C" mt_status MT_LAUNCHER(permutation)(mt_backend *backend, mt_operand out, mt_rng rng)
{
    if (out.layout->size[0] == 0) return MT_OK;
    return MT_START(backend, "permutation", shuffle_order, dim3(1), dim3(32),
                    static_cast<int64_t *>(first_of(out, sizeof(int64_t))), out.layout->stride[0],
                    out.layout->size[0], rng.seed, rng.counter);
}

} // namespace MT_TWIN
