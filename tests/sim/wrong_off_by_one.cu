/* The last thread reads one element past the end. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void off_by_one(const float *in, float *out, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n - 1) out[i] = in[i + 1] - in[i]; /* BUG */
}

extern "C" int MT_LAUNCHER(off_by_one)(void)
{
    float *in = device_array<float>("in", 1000, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 1000);
    int status = MT_LAUNCH(off_by_one, dim3(8), dim3(128), 0, 0, in, out, 1000);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
