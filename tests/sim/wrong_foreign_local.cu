/* A thread gives away the address of its own variable. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void foreign_local(int *out)
{
    MT_SHARED(int *, place, );
    int mine = threadIdx.x;
    if (threadIdx.x == 0) place = &mine;
    __syncthreads();
    out[threadIdx.x] = *place; /* BUG */
    __syncthreads();
}

extern "C" int MT_LAUNCHER(foreign_local)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(foreign_local, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
