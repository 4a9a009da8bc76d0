/* Waits, over plain memory, for what nobody writes. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void lonely_spin(const int *flag, int *out)
{
    while (*flag == 0) continue; /* BUG */
    out[threadIdx.x] = 1;
}

extern "C" int MT_LAUNCHER(lonely_spin)(void)
{
    int *flag = device_array<int>("flag", 1, [](int) { return 0; });
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(lonely_spin, dim3(1), dim3(32), 0, 0, flag, out);
    dev_free(flag), dev_free(out);
    return status;
}

} // namespace MT_TWIN
