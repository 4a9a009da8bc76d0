/* Halves a number until it is 1; 0 never is. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void endless_loop(int *out)
{
    int t = threadIdx.x, n = t, halvings = 0;
    while (n != 1) n /= 2, halvings++; /* BUG */
    out[t] = halvings;
}

extern "C" int MT_LAUNCHER(endless_loop)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(endless_loop, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
