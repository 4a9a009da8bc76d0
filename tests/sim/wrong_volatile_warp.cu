/* The sum of a warp as it was written when lanes kept step: volatile, and no __syncwarp. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void volatile_warp(int *out)
{
    MT_SHARED(int, part, [64]);
    volatile int *at = part;
    int t = threadIdx.x;
    part[t] = t;
    part[t + 32] = t;
    __syncthreads();
    for (int half = 32; half > 0; half /= 2) at[t] = at[t] + at[t + half]; /* BUG */
    out[t] = at[t];                                                        /* BUG */
}

extern "C" int MT_LAUNCHER(volatile_warp)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(volatile_warp, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
