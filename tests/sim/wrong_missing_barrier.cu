/* A block sums its elements in shared memory, and one step of the tree has no barrier before it. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void missing_barrier(const float *in, float *out)
{
    MT_SHARED(float, part, [128]);
    unsigned t = threadIdx.x;
    part[t] = in[blockIdx.x * 128 + t]; /* BUG */
    for (unsigned half = 64; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half]; /* BUG */
        if (half < 64) __syncthreads();
    }
    if (t == 0) out[blockIdx.x] = part[0];
}

extern "C" int MT_LAUNCHER(missing_barrier)(void)
{
    float *in = device_array<float>("in", 512, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 4);
    int status = MT_LAUNCH(missing_barrier, dim3(4), dim3(128), 0, 0, in, out);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
