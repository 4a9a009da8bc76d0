/* A warp sums over its 32 lanes with a mask that names half of them. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void short_mask(const float *in, float *out)
{
    float sum = in[threadIdx.x];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0x0000ffffu, sum, step); /* BUG */
    if (threadIdx.x == 0) out[0] = sum;
}

extern "C" int MT_LAUNCHER(short_mask)(void)
{
    float *in = device_array<float>("in", 32, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 1);
    int status = MT_LAUNCH(short_mask, dim3(1), dim3(32), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
