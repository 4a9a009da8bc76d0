/* Each block writes its sum; the block that counts last adds up all of them. The fence before the count makes
 * the sums visible to whoever counts after. The counter is ready for the next launch when this one ends. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void last_block(const float *in, float *parts, unsigned *count, float *out)
{
    MT_SHARED(float, sums, [64]);
    MT_SHARED(int, last, );
    unsigned t = threadIdx.x;
    sums[t] = in[blockIdx.x * 64 + t];
    __syncthreads();
    for (unsigned half = 32; half > 0; half /= 2) {
        if (t < half) sums[t] += sums[t + half];
        __syncthreads();
    }
    if (t == 0) {
        parts[blockIdx.x] = sums[0];
        __threadfence();
        last = atomicAdd(count, 1u) + 1 == gridDim.x;
    }
    __syncthreads();
    if (!last) return;
    sums[t] = t < gridDim.x ? parts[t] : 0.0f;
    __syncthreads();
    if (t > 0) return;
    float sum = 0;
    for (int i = 0; i < 64; ++i) sum += sums[i];
    out[0] = sum;
    *count = 0;
}

/* The same where every thread writes and fences, and one counts after a barrier. */
MT_KERNEL void last_block_all(const float *in, float *copy, unsigned *count, float *out)
{
    MT_SHARED(int, last, );
    unsigned t = threadIdx.x, n = gridDim.x * 64;
    copy[blockIdx.x * 64 + t] = in[blockIdx.x * 64 + t];
    __threadfence();
    __syncthreads();
    if (t == 0) last = atomicInc(count, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (!last || t > 0) return;
    float sum = 0;
    for (unsigned i = 0; i < n; ++i) sum += copy[i];
    out[0] = sum;
}

extern "C" int MT_LAUNCHER(last_block)(void)
{
    float *in = device_array<float>("in", 640, [](int i) { return (float)(i % 13); });
    float *parts = device_room<float>("parts", 10), *out = device_room<float>("out", 1);
    float *copy = device_room<float>("copy", 640);
    unsigned *count = device_array<unsigned>("count", 1, [](int) { return 0u; });
    auto wanted = [](int) {
        float sum = 0;
        for (int i = 0; i < 640; ++i) sum += (float)(i % 13);
        return sum;
    };
    int status = 0;
    for (int round = 0; round < 2 && status == 0; ++round) {
        status = MT_LAUNCH(last_block, dim3(10), dim3(64), 0, 0, in, parts, count, out);
        if (status == 0) status = compare(out, 1, wanted);
        if (status == 0) status = MT_LAUNCH(last_block_all, dim3(10), dim3(64), 0, 0, in, copy, count, out);
        if (status == 0) status = compare(out, 1, wanted);
    }
    dev_free(in), dev_free(parts), dev_free(copy), dev_free(count), dev_free(out);
    return status;
}

} // namespace MT_TWIN
