/* Dynamic shared memory is aligned to 16: a piece of it that begins after 3 doubles is not. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void dynamic_alignment(const double *in, double *out)
{
    MT_SHARED_DYNAMIC(double, rest);
    int t = threadIdx.x;
    double2 *pairs = reinterpret_cast<double2 *>(rest + 3);
    pairs[t] = make_double2(in[t], 1); /* BUG */
    __syncthreads();
    out[t] = rest[3 + 2 * t];
}

extern "C" int MT_LAUNCHER(dynamic_alignment)(void)
{
    double *in = device_array<double>("in", 32, [](int i) { return (double)i; });
    double *out = device_room<double>("out", 32);
    int status = MT_LAUNCH(dynamic_alignment, dim3(1), dim3(32), 67 * sizeof(double), 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
