/* Rung 4, registers: a thread computes 8 elements of a column of C, and keeps their sums in registers.
 *
 * An element of B that comes out of shared memory is used for 8 products instead of one: 9 loads for 16
 * flops, where the tiled kernel needed 16. And since a block of 256 threads now covers 64 x 32 elements of C,
 * each float from device memory is used 32 or 64 times. More work a thread, fewer threads: that is the trade
 * of all later rungs.
 */
#include "lab.cuh"

namespace MT_TWIN {

enum { ROWS = 64, COLUMNS = 32, DEPTH = 16, ITEMS = 8, THREADS = ROWS / ITEMS * COLUMNS };

MT_KERNEL void registers(const float *a, const float *b, float *c, int m, int n, int k)
{
    MT_SHARED(float, as, [ROWS][DEPTH]);
    MT_SHARED(float, bs, [DEPTH][COLUMNS]);
    int t = threadIdx.x, x = t % COLUMNS, y = t / COLUMNS * ITEMS;
    int top = blockIdx.y * ROWS, left = blockIdx.x * COLUMNS;
    float sum[ITEMS] = {};
    for (int first = 0; first < k; first += DEPTH) {
        for (int i = t; i < ROWS * DEPTH; i += THREADS) {
            int row = top + i / DEPTH, at = first + i % DEPTH;
            as[i / DEPTH][i % DEPTH] = row < m && at < k ? a[row * k + at] : 0.0f;
        }
        for (int i = t; i < DEPTH * COLUMNS; i += THREADS) {
            int at = first + i / COLUMNS, column = left + i % COLUMNS;
            bs[i / COLUMNS][i % COLUMNS] = at < k && column < n ? b[at * n + column] : 0.0f;
        }
        __syncthreads();
        for (int d = 0; d < DEPTH; d++) {
            float right = bs[d][x];
            for (int i = 0; i < ITEMS; i++) sum[i] += as[y + i][d] * right;
        }
        __syncthreads();
    }
    for (int i = 0; i < ITEMS; i++)
        if (top + y + i < m && left + x < n) c[(top + y + i) * n + left + x] = sum[i];
}

LAB_MATMUL(registers, a, b, c, m, n, k)
{
    dim3 blocks((n + COLUMNS - 1) / COLUMNS, (m + ROWS - 1) / ROWS);
    return MT_LAUNCH(registers, blocks, dim3(THREADS), 0, 0, a, b, c, m, n, k);
}

} // namespace MT_TWIN
