/* The block that finishes last adds up the others' parts, and nothing says that they are there before the
 * count is. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void missing_fence(float *parts, unsigned *count, float *out)
{
    if (threadIdx.x > 0) return;
    parts[blockIdx.x] = (float)blockIdx.x; /* BUG */
    if (atomicAdd(count, 1u) + 1 < gridDim.x) return;
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i]; /* BUG */
    out[0] = sum;
}

extern "C" int MT_LAUNCHER(missing_fence)(void)
{
    float *parts = device_room<float>("parts", 4), *out = device_room<float>("out", 1);
    unsigned *count = device_array<unsigned>("count", 1, [](int) { return 0u; });
    int status = MT_LAUNCH(missing_fence, dim3(4), dim3(32), 0, 0, parts, count, out);
    dev_free(parts), dev_free(count), dev_free(out);
    return status;
}

} // namespace MT_TWIN
