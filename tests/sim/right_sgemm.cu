/* C = A B in tiles of 16 x 16 with two shared buffers: one is filled while the other is multiplied. */
#include "host.cuh"

namespace MT_TWIN {

template <int T> MT_KERNEL void sgemm(const float *a, const float *b, float *c, int m, int n, int k)
{
    MT_SHARED(float, as, [2][T][T + 1]);
    MT_SHARED(float, bs, [2][T][T]);
    int tx = threadIdx.x, ty = threadIdx.y;
    int row = blockIdx.y * T + ty, column = blockIdx.x * T + tx;
    int tiles = (k + T - 1) / T;
    float sum = 0;
    for (int tile = 0; tile <= tiles; ++tile) {
        if (tile < tiles) {
            int ka = tile * T + tx, kb = tile * T + ty;
            as[tile & 1][ty][tx] = row < m && ka < k ? a[row * k + ka] : 0.0f;
            bs[tile & 1][ty][tx] = kb < k && column < n ? b[kb * n + column] : 0.0f;
        }
        if (tile > 0)
            for (int i = 0; i < T; ++i) sum = fmaf(as[(tile - 1) & 1][ty][i], bs[(tile - 1) & 1][i][tx], sum);
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column] = sum;
}

/* Small integers, so that every order of addition gives the same sum. */
static float value_a(int i) { return (float)(i % 7 - 3); }
static float value_b(int i) { return (float)(i % 5 - 2); }

extern "C" int MT_LAUNCHER(sgemm_sized)(int m, int n, int k)
{
    float *a = device_array<float>("a", m * k, value_a), *b = device_array<float>("b", k * n, value_b);
    float *c = device_room<float>("c", m * n);
    dim3 grid((n + 15) / 16, (m + 15) / 16), block(16, 16);
    int status = MT_LAUNCH((sgemm<16>), grid, block, 0, 0, a, b, c, m, n, k);
    if (status == 0)
        status = compare(c, m * n, [=](int i) {
            float sum = 0;
            for (int j = 0; j < k; ++j) sum += value_a(i / n * k + j) * value_b(j * n + i % n);
            return sum;
        });
    dev_free(a), dev_free(b), dev_free(c);
    return status;
}

extern "C" int MT_LAUNCHER(sgemm)(void) { return MT_LAUNCHER(sgemm_sized)(45, 37, 50); }

} // namespace MT_TWIN
