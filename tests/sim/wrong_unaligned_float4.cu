/* Rows of 6 floats are read four at a time: every second row begins 8 bytes off. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void unaligned_float4(const float *in, float *out)
{
    const float *row = in + threadIdx.x * 6;
    float4 four = *reinterpret_cast<const float4 *>(row); /* BUG */
    out[threadIdx.x] = four.x + four.y + four.z + four.w;
}

extern "C" int MT_LAUNCHER(unaligned_float4)(void)
{
    float *in = device_array<float>("in", 12, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 2);
    int status = MT_LAUNCH(unaligned_float4, dim3(1), dim3(2), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
