/* An array that nobody made. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void null_pointer(const int *in, int *out) { out[threadIdx.x] = in[threadIdx.x]; /* BUG */ }

extern "C" int MT_LAUNCHER(null_pointer)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(null_pointer, dim3(1), dim3(32), 0, 0, nullptr, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
