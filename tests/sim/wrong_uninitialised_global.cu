/* A kernel adds to an output that nobody has cleared. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void uninitialised_global(const float *in, float *sum)
{
    sum[threadIdx.x] += in[threadIdx.x]; /* BUG */
}

extern "C" int MT_LAUNCHER(uninitialised_global)(void)
{
    float *in = device_array<float>("in", 64, [](int i) { return (float)i; });
    float *sum = device_room<float>("sum", 64);
    int status = MT_LAUNCH(uninitialised_global, dim3(1), dim3(64), 0, 0, in, sum);
    dev_free(in), dev_free(sum);
    return status;
}

} // namespace MT_TWIN
