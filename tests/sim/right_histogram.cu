/* Counts byte values with atomics in shared memory, then in device memory, and marks each input byte as seen:
 * threads write neighbouring bytes of the same word. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void histogram(const unsigned char *in, unsigned *bins, unsigned char *seen, int n)
{
    MT_SHARED(unsigned, local, [16]);
    if (threadIdx.x < 16) local[threadIdx.x] = 0;
    __syncthreads();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        atomicAdd(&local[in[i] & 15], 1u);
        seen[i] = 1;
    }
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&bins[threadIdx.x], local[threadIdx.x]);
}

extern "C" int MT_LAUNCHER(histogram)(void)
{
    int n = 1001;
    unsigned char *in = device_array<unsigned char>("in", n, [](int i) { return (unsigned char)(i * i); });
    unsigned char *seen = device_room<unsigned char>("seen", n);
    unsigned *bins = device_array<unsigned>("bins", 16, [](int) { return 0u; });
    int status = MT_LAUNCH(histogram, dim3(11), dim3(96), 0, 0, in, bins, seen, n);
    if (status == 0) status = compare(seen, n, [](int) { return 1; });
    if (status == 0)
        status = compare(bins, 16, [=](int bin) {
            unsigned count = 0;
            for (int i = 0; i < n; ++i) count += (i * i & 15) == bin;
            return count;
        });
    dev_free(in), dev_free(seen), dev_free(bins);
    return status;
}

} // namespace MT_TWIN
