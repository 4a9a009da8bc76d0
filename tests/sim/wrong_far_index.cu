/* Rows of 1000 in an array that has rows of 100: far past its end lies another array. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void far_index(const int *in, int *out) { out[threadIdx.x] = in[threadIdx.x * 1000]; /* BUG */ }

extern "C" int MT_LAUNCHER(far_index)(void)
{
    int *in = device_array<int>("in", 3200, [](int i) { return i; });
    int *other = device_array<int>("other", 1 << 16, [](int i) { return i; });
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(far_index, dim3(1), dim3(32), 0, 0, in, out);
    dev_free(in), dev_free(other), dev_free(out);
    return status;
}

} // namespace MT_TWIN
