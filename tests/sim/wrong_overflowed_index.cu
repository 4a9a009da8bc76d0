/* The product of a row and a pitch is more than an int holds. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void overflowed_index(const int *in, int *out, unsigned pitch)
{
    int i = (int)(threadIdx.x * pitch); /* as an int product would wrap on the card */
    out[threadIdx.x] = in[i];           /* BUG */
}

extern "C" int MT_LAUNCHER(overflowed_index)(void)
{
    int *in = device_array<int>("in", 32, [](int i) { return i; });
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(overflowed_index, dim3(1), dim3(32), 0, 0, in, out, 2000000000u);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
