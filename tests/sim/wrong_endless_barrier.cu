/* The block meets again and again: nobody says when to stop. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void endless_barrier(int *out)
{
    MT_SHARED(int, round, );
    if (threadIdx.x == 0) round = 1;
    __syncthreads();
    const int *again = &round;
    while (*again > 0) __syncthreads(); /* BUG */
    out[threadIdx.x] = round;
}

extern "C" int MT_LAUNCHER(endless_barrier)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(endless_barrier, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
