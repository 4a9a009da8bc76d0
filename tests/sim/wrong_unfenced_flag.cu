/* The flag is volatile, and no fence says that the data goes before it. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void unfenced_flag(volatile int *flag, int *out)
{
    if (threadIdx.x == 0) {
        out[0] = 7; /* BUG */
        *flag = 1;  /* BUG */
    } else if (threadIdx.x == 32) {
        while (*flag == 0) continue; /* BUG */
        out[1] = out[0];             /* BUG */
    }
}

extern "C" int MT_LAUNCHER(unfenced_flag)(void)
{
    int *flag = device_array<int>("flag", 1, [](int) { return 0; });
    int *out = device_room<int>("out", 2);
    int status = MT_LAUNCH(unfenced_flag, dim3(1), dim3(64), 0, 0, flag, out);
    dev_free(flag), dev_free(out);
    return status;
}

} // namespace MT_TWIN
