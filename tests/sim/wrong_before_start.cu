/* The left neighbour of the first element. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void before_start(const int *in, int *out)
{
    int i = threadIdx.x;
    out[i] = in[i] - in[i - 1]; /* BUG */
}

extern "C" int MT_LAUNCHER(before_start)(void)
{
    int *in = device_array<int>("in", 32, [](int i) { return i; });
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(before_start, dim3(1), dim3(32), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
