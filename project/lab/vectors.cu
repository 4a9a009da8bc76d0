/* Rung 5, vectors: a thread computes 8 x 8 elements of C from 8 floats of A and 8 of B, and moves float4.
 *
 * Per step of k a thread reads 16 floats of shared memory for 128 flops, in four instructions of 16 bytes: A
 * lies transposed there so that its rows are neighbours. A thread's 8 are two groups of 4, half a tile apart,
 * and a line of A is padded by 4, so that the threads of a warp do not meet in a bank. Device memory is read
 * 16 bytes a thread too, from addresses that 16 must divide: only if k and n are multiples of 4 does every
 * row begin at one. The launcher looks, and takes the same kernel with single floats if not. The tile is 64 x
 * 64 for 64 threads; a large card wants 128 x 128 for 256, and the next piece on its way while this one is
 * multiplied.
 */
#include "lab.cuh"

namespace MT_TWIN {

enum {
    TILE = 64,
    DEPTH = 8,
    ITEMS = 8,
    HALF = TILE / 2,
    PITCH = TILE + 4,
    ACROSS = TILE / ITEMS,
    THREADS = ACROSS * ACROSS
};

/* from[0..3] of a row that has `left` elements from there on. */
template <bool WIDE> MT_DEVICE float4 load_four(const float *from, int left)
{
    if (WIDE) return left > 0 ? *reinterpret_cast<const float4 *>(from) : make_float4(0, 0, 0, 0);
    return make_float4(left > 0 ? from[0] : 0, left > 1 ? from[1] : 0, left > 2 ? from[2] : 0,
                       left > 3 ? from[3] : 0);
}

template <bool WIDE> MT_DEVICE void store_four(float *to, int left, const float *four)
{
    if (WIDE && left > 0) *reinterpret_cast<float4 *>(to) = make_float4(four[0], four[1], four[2], four[3]);
    for (int e = 0; !WIDE && e < 4; e++)
        if (e < left) to[e] = four[e];
}

MT_DEVICE void read_eight(const float *from, float (&to)[ITEMS])
{
    float4 low = *reinterpret_cast<const float4 *>(from);
    float4 high = *reinterpret_cast<const float4 *>(from + HALF);
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

template <bool WIDE> MT_KERNEL void vectors(const float *a, const float *b, float *c, int m, int n, int k)
{
    MT_SHARED(float4, as, [DEPTH][PITCH / 4]); /* float4, so that 16 divides its address */
    MT_SHARED(float4, bs, [DEPTH][TILE / 4]);
    float *at = reinterpret_cast<float *>(as), *bt = reinterpret_cast<float *>(bs);
    int t = threadIdx.x, x = t % ACROSS * 4, y = t / ACROSS * 4;
    int top = blockIdx.y * TILE, left = blockIdx.x * TILE;
    float sum[ITEMS][ITEMS] = {};
    for (int first = 0; first < k; first += DEPTH) {
        for (int i = t; i < TILE * DEPTH / 4; i += THREADS) {
            int row = i / (DEPTH / 4), d = i % (DEPTH / 4) * 4;
            int have = top + row < m ? k - first - d : 0;
            float4 v = load_four<WIDE>(a + (top + row) * k + first + d, have);
            at[d * PITCH + row] = v.x, at[(d + 1) * PITCH + row] = v.y;
            at[(d + 2) * PITCH + row] = v.z, at[(d + 3) * PITCH + row] = v.w;
        }
        for (int i = t; i < DEPTH * TILE / 4; i += THREADS) {
            int d = i / (TILE / 4), column = i % (TILE / 4) * 4;
            int have = first + d < k ? n - left - column : 0;
            bs[d][column / 4] = load_four<WIDE>(b + (first + d) * n + left + column, have);
        }
        __syncthreads();
        for (int d = 0; d < DEPTH; d++) {
            float down[ITEMS], across[ITEMS];
            read_eight(at + d * PITCH + y, down);
            read_eight(bt + d * TILE + x, across);
            for (int i = 0; i < ITEMS; i++)
                for (int j = 0; j < ITEMS; j++) sum[i][j] += down[i] * across[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < ITEMS; i++) {
        int row = top + y + i / 4 * HALF + i % 4, column = left + x;
        if (row >= m) continue;
        store_four<WIDE>(c + row * n + column, n - column, &sum[i][0]);
        store_four<WIDE>(c + row * n + column + HALF, n - column - HALF, &sum[i][4]);
    }
}

LAB_MATMUL(vectors, a, b, c, m, n, k)
{
    dim3 blocks((n + TILE - 1) / TILE, (m + TILE - 1) / TILE);
    if (k % 4 == 0 && n % 4 == 0)
        return MT_LAUNCH((vectors<true>), blocks, dim3(THREADS), 0, 0, a, b, c, m, n, k);
    return MT_LAUNCH((vectors<false>), blocks, dim3(THREADS), 0, 0, a, b, c, m, n, k);
}

} // namespace MT_TWIN
