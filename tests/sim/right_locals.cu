/* Local arrays to their ends, a pointer into the middle of one, a recursion, rows of a shared array as one.
 */
#include "host.cuh"

namespace MT_TWIN {

static __device__ __attribute__((noinline)) int sum_to(int n) { return n == 0 ? 0 : n + sum_to(n - 1); }

MT_KERNEL void locals(int *out)
{
    MT_SHARED(int, tile, [4][8]);
    int t = threadIdx.x, digit[5], count = 0;
    for (int n = 99000 + t; n > 0; n /= 10) digit[count++] = n % 10;
    int *middle = digit + 2, sum = 0;
    for (int i = -2; i < count - 2; i++) sum += middle[i];
    int *row = tile[0];
    row[t] = sum;
    __syncthreads();
    out[t] = tile[t / 8][t % 8] + sum_to(t);
}

extern "C" int MT_LAUNCHER(locals)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(locals, dim3(1), dim3(32), 0, 0, out);
    if (status == 0) status = compare(out, 32, [](int i) { return 18 + i % 10 + i / 10 + i * (i + 1) / 2; });
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
