/* A shuffle names all lanes of the warp, but the branch around it keeps one away. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void lost_lane(int *out)
{
    int value = threadIdx.x;
    if (threadIdx.x != 21) value = __shfl_xor_sync(0xffffffffu, value, 1); /* BUG */
    __syncthreads();                                                       /* BUG */
    out[threadIdx.x] = value;
}

extern "C" int MT_LAUNCHER(lost_lane)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(lost_lane, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
