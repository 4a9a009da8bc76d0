/* A tensor goes back to its pool, and a kernel still reads it. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void use_after_free(const float *in, float *out)
{
    out[threadIdx.x] = in[threadIdx.x + 8]; /* BUG */
}

extern "C" int MT_LAUNCHER(use_after_free)(void)
{
    float *in = device_array<float>("in", 64, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 32);
    dev_free(in);
    int status = MT_LAUNCH(use_after_free, dim3(1), dim3(32), 0, 0, in, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
