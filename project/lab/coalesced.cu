/* Rung 2, coalesced: the same work, and neighbouring threads take neighbouring COLUMNS.
 *
 * Only x and y changed places. The 32 threads of a warp now read 32 floats of B that lie side by side, and
 * write C the same way: 128 bytes, four sectors, all of them useful. A is one element for the whole warp: one
 * sector. That is coalescing. A flop still costs a load: two floats for two flops.
 */
#include "lab.cuh"

namespace MT_TWIN {

MT_KERNEL void coalesced(const float *a, const float *b, float *c, int m, int n, int k)
{
    int row = blockIdx.y * 8 + threadIdx.y, column = blockIdx.x * 32 + threadIdx.x;
    if (row >= m || column >= n) return;
    float sum = 0;
    for (int i = 0; i < k; i++) sum += a[row * k + i] * b[i * n + column];
    c[row * n + column] = sum;
}

LAB_MATMUL(coalesced, a, b, c, m, n, k)
{
    dim3 blocks((n + 31) / 32, (m + 7) / 8), threads(32, 8);
    return MT_LAUNCH(coalesced, blocks, threads, 0, 0, a, b, c, m, n, k);
}

} // namespace MT_TWIN
