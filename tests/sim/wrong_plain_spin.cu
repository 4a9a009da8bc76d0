/* A flag over plain memory: nothing says that the write is ever seen. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void plain_spin(int *flag, int *out)
{
    if (threadIdx.x == 0) *flag = 1;                         /* BUG */
    while (threadIdx.x == 32 && *flag == 0) __threadfence(); /* BUG */
    out[threadIdx.x] = 1;
}

extern "C" int MT_LAUNCHER(plain_spin)(void)
{
    int *flag = device_array<int>("flag", 1, [](int) { return 0; });
    int *out = device_room<int>("out", 64);
    int status = MT_LAUNCH(plain_spin, dim3(1), dim3(64), 0, 0, flag, out);
    dev_free(flag), dev_free(out);
    return status;
}

} // namespace MT_TWIN
