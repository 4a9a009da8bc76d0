/* The border of a shared tile is read and never written. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void uninitialised_shared(const float *in, float *out)
{
    MT_SHARED(float, tile, [66]);
    unsigned t = threadIdx.x;
    tile[t + 1] = in[t];
    __syncthreads();
    out[t] = tile[t] + tile[t + 2]; /* BUG */
}

extern "C" int MT_LAUNCHER(uninitialised_shared)(void)
{
    float *in = device_array<float>("in", 64, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 64);
    int status = MT_LAUNCH(uninitialised_shared, dim3(3), dim3(64), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
