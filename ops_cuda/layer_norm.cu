/* ops_cuda/layer_norm.cu - layer norm of rows without gaps, and its gradient: the lanes of a row read it once
 * for each of its sums, and once to write.
 */
#include "lanes.cuh"

namespace MT_TWIN {

namespace {

struct norm_rows {
    const mt_real *x, *gamma, *beta, *g;
    mt_real *out, *mean, *scale, *to_x, *hat;
    int64_t rows, n;
    double eps;
};

/* The row of this thread, and its length: 0 past the last, where the thread takes part in what the block
 * does. */
MT_DEVICE int64_t row_of(const norm_rows &w, int64_t *length)
{
    const int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    *length = row < w.rows ? w.n : 0;
    return row < w.rows ? row : 0;
}

MT_KERNEL void layer_norm_value(norm_rows w)
{
    MT_SHARED(mt_real, room, [LANES / WARP]);
    int64_t n;
    const int64_t row = row_of(w, &n);
    const mt_real *x = w.x + row * w.n;
    const mt_real mean = sum_of(n, room, [&](int64_t i) { return x[i]; }) / (mt_real)w.n;
    const mt_real squares = sum_of(n, room, [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    const mt_real scale = 1 / mt_m_sqrt(squares / (mt_real)w.n + (mt_real)w.eps);
    if (n > 0 && threadIdx.x == 0) w.mean[row] = mean, w.scale[row] = scale;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        w.out[row * w.n + i] = (x[i] - mean) * scale * w.gamma[i] + w.beta[i];
}

MT_KERNEL void layer_norm_back(norm_rows w)
{
    MT_SHARED(mt_real, room, [LANES / WARP]);
    int64_t n;
    const int64_t row = row_of(w, &n);
    const mt_real *x = w.x + row * w.n, *g = w.g + row * w.n;
    const mt_real mean = w.mean[row], scale = w.scale[row];
    mt_real less = 0, by = 0;
    if (w.to_x) {
        less = sum_of(n, room, [&](int64_t i) { return g[i] * w.gamma[i]; }) / (mt_real)w.n;
        by = sum_of(n, room, [&](int64_t i) { return g[i] * w.gamma[i] * ((x[i] - mean) * scale); }) /
             (mt_real)w.n;
    }
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const mt_real h = (x[i] - mean) * scale;
        if (w.to_x) w.to_x[row * w.n + i] = scale * (g[i] * w.gamma[i] - (less + h * by));
        if (w.hat) w.hat[row * w.n + i] = g[i] * h;
    }
}

} // namespace

extern "C" mt_status MT_LAUNCHER(layer_norm)(mt_backend *backend, const mt_layer_norm_work *work)
{
    const norm_rows w = {work->x,     work->gamma, work->beta, work->g,    work->out, work->mean,
                         work->scale, work->to_x,  work->hat,  work->rows, work->n,   work->eps};
    if (w.rows == 0 || w.n == 0) return MT_OK;
    if (w.rows > MOST_THREADS / 256) return too_large("layer_norm", w.rows);
    const dim3 block = block_of(w.n), grid = grid_of(w.rows, block);
    return work->back ? MT_START(backend, "layer norm back", layer_norm_back, grid, block, w)
                      : MT_START(backend, "layer norm", layer_norm_value, grid, block, w);
}

} // namespace MT_TWIN
