/* Rung 1, naive: one thread computes one element of C, and neighbouring threads take neighbouring ROWS.
 *
 * The 32 threads of a warp then read A at 32 addresses that lie k floats apart, and write C at 32 that lie n
 * apart: a card fetches memory in sectors of 32 bytes, so each such access costs 32 of them, for 4 useful
 * bytes each. B is the same element for all: one sector. For two flops a thread loads two floats, so nothing
 * is reused either.
 */
#include "lab.cuh"

namespace MT_TWIN {

MT_KERNEL void naive(const float *a, const float *b, float *c, int m, int n, int k)
{
    int row = blockIdx.x * 32 + threadIdx.x, column = blockIdx.y * 8 + threadIdx.y;
    if (row >= m || column >= n) return;
    float sum = 0;
    for (int i = 0; i < k; i++) sum += a[row * k + i] * b[i * n + column];
    c[row * n + column] = sum;
}

LAB_MATMUL(naive, a, b, c, m, n, k)
{
    dim3 blocks((m + 31) / 32, (n + 7) / 8), threads(32, 8);
    return MT_LAUNCH(naive, blocks, threads, 0, 0, a, b, c, m, n, k);
}

} // namespace MT_TWIN
