/* Threads past the end of the array leave before the barrier. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void divergent_barrier(const float *in, float *out, int n)
{
    MT_SHARED(float, tile, [64]);
    int i = blockIdx.x * 64 + threadIdx.x;
    if (i >= n) return;
    tile[threadIdx.x] = in[i];
    __syncthreads(); /* BUG */
    out[i] = tile[threadIdx.x];
}

extern "C" int MT_LAUNCHER(divergent_barrier)(void)
{
    float *in = device_array<float>("in", 100, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 100);
    int status = MT_LAUNCH(divergent_barrier, dim3(2), dim3(64), 0, 0, in, out, 100);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
