/* The last steps of a sum trust the lanes of a warp to run together; that they need not, since Volta. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void warp_synchronous(const float *in, float *out)
{
    MT_SHARED(float, part, [64]);
    unsigned t = threadIdx.x;
    part[t] = in[t];
    __syncthreads();
    if (t < 32) {
        part[t] += part[t + 32];
        __syncwarp();
        for (unsigned half = 16; half > 0; half /= 2) {
            if (t < half) part[t] += part[t + half]; /* BUG */
        }
    }
    if (t == 0) out[0] = part[0];
}

extern "C" int MT_LAUNCHER(warp_synchronous)(void)
{
    float *in = device_array<float>("in", 64, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 1);
    int status = MT_LAUNCH(warp_synchronous, dim3(1), dim3(64), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
