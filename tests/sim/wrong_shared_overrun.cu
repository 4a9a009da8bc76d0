/* A row of a shared tile is one too short for the warp that fills it. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void shared_overrun(float *out)
{
    MT_SHARED(float, line, [31]);
    MT_SHARED(float, next, [32]);
    float *at = line + threadIdx.x;
    next[threadIdx.x] = 0;
    *at = 1; /* BUG */
    __syncthreads();
    out[threadIdx.x] = line[0] + next[0];
}

extern "C" int MT_LAUNCHER(shared_overrun)(void)
{
    float *out = device_room<float>("out", 32);
    int status = MT_LAUNCH(shared_overrun, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
