/* Each block sums 256 elements: shuffles within a warp, shared memory between warps. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void block_reduce(const float *in, float *out)
{
    MT_SHARED(float, warps, [8]);
    unsigned t = threadIdx.x;
    float sum = in[blockIdx.x * 256 + t];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (t % 32 == 0) warps[t / 32] = sum;
    __syncthreads();
    if (t >= 32) return;
    sum = t < 8 ? warps[t] : 0.0f;
    for (int step = 4; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
    if (t == 0) out[blockIdx.x] = sum;
}

extern "C" int MT_LAUNCHER(block_reduce)(void)
{
    float *in = device_array<float>("in", 1024, [](int i) { return (float)(i % 11); });
    float *out = device_room<float>("out", 4);
    int status = MT_LAUNCH(block_reduce, dim3(4), dim3(256), 0, 0, in, out);
    if (status == 0)
        status = compare(out, 4, [](int block) {
            float sum = 0;
            for (int i = 0; i < 256; ++i) sum += (float)((block * 256 + i) % 11);
            return sum;
        });
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
