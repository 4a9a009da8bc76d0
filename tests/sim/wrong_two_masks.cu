/* Half of a warp says that it votes alone, the other half that all do. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void two_masks(unsigned *out)
{
    unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffffffffu;
    out[threadIdx.x] = __ballot_sync(mask, threadIdx.x % 3 == 0); /* BUG */
}

extern "C" int MT_LAUNCHER(two_masks)(void)
{
    unsigned *out = device_room<unsigned>("out", 32);
    int status = MT_LAUNCH(two_masks, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
