/* Blocks of 64 threads advance by 63, so neighbours write the element between them. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void race_between_blocks(const float *in, float *out)
{
    int i = blockIdx.x * 63 + threadIdx.x;
    out[i] = 2 * in[i]; /* BUG */
}

extern "C" int MT_LAUNCHER(race_between_blocks)(void)
{
    float *in = device_array<float>("in", 127, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 127);
    int status = MT_LAUNCH(race_between_blocks, dim3(2), dim3(64), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
