/* Two blocks wait for each other; one of them may not begin before the other ends. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void volatile_spin(volatile int *here, int *out)
{
    __threadfence();
    here[blockIdx.x] = 1;
    while (here[1 - blockIdx.x] == 0) continue; /* BUG */
    out[blockIdx.x] = 1;
}

extern "C" int MT_LAUNCHER(volatile_spin)(void)
{
    int *here = device_array<int>("here", 2, [](int) { return 0; });
    int *out = device_room<int>("out", 2);
    int status = MT_LAUNCH(volatile_spin, dim3(2), dim3(1), 0, 0, here, out);
    dev_free(here), dev_free(out);
    return status;
}

} // namespace MT_TWIN
