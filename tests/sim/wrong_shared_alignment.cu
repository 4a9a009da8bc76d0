/* A shared array of floats, which 4 aligns, is read four at a time. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void shared_alignment(const float *in, float *out)
{
    MT_SHARED(float, row, [128]);
    int t = threadIdx.x;
    for (int i = 0; i < 4; ++i) row[i * 32 + t] = in[i * 32 + t];
    __syncthreads();
    float4 four = reinterpret_cast<const float4 *>(row)[t]; /* BUG */
    out[t] = four.x + four.y + four.z + four.w;
}

extern "C" int MT_LAUNCHER(shared_alignment)(void)
{
    float *in = device_array<float>("in", 128, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 32);
    int status = MT_LAUNCH(shared_alignment, dim3(1), dim3(32), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
