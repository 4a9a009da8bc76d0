/* One thread clears the counter that the others of its block already count in. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void plain_and_atomic(int *out)
{
    MT_SHARED(int, count, );
    if (threadIdx.x == 0) count = 0; /* BUG */
    atomicAdd(&count, 1);            /* BUG */
    __syncthreads();
    if (threadIdx.x == 0) out[0] = count;
}

extern "C" int MT_LAUNCHER(plain_and_atomic)(void)
{
    int *out = device_room<int>("out", 1);
    int status = MT_LAUNCH(plain_and_atomic, dim3(1), dim3(48), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
