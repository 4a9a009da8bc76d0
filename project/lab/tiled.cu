/* Rung 3, tiled: a block brings a 16 x 16 tile of A and one of B to shared memory, and all its threads use
 * them.
 *
 * Each element is loaded from device memory once a block and used 16 times, so device memory is asked for 16
 * times less: 4 flops a byte instead of 1/4. The price is two barriers a tile: nobody may multiply before the
 * tile is there, and nobody may overwrite it before everyone has multiplied. Now shared memory is what the
 * threads wait for: still two loads for two flops. Threads past the edge of C stay, since they are needed at
 * the barriers and to load.
 */
#include "lab.cuh"

namespace MT_TWIN {

template <int T> MT_KERNEL void tiled(const float *a, const float *b, float *c, int m, int n, int k)
{
    MT_SHARED(float, as, [T][T]);
    MT_SHARED(float, bs, [T][T]);
    int x = threadIdx.x, y = threadIdx.y;
    int row = blockIdx.y * T + y, column = blockIdx.x * T + x;
    float sum = 0;
    for (int first = 0; first < k; first += T) {
        as[y][x] = row < m && first + x < k ? a[row * k + first + x] : 0.0f;
        bs[y][x] = first + y < k && column < n ? b[(first + y) * n + column] : 0.0f;
        __syncthreads();
        for (int i = 0; i < T; i++) sum += as[y][i] * bs[i][x];
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column] = sum;
}

LAB_MATMUL(tiled, a, b, c, m, n, k)
{
    dim3 blocks((n + 15) / 16, (m + 15) / 16), threads(16, 16);
    return MT_LAUNCH((tiled<16>), blocks, threads, 0, 0, a, b, c, m, n, k);
}

} // namespace MT_TWIN
