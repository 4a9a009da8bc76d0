/* out = in transposed, through a shared tile, so that both sides are read and written along rows. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void transpose(const double *in, double *out, int rows, int columns)
{
    MT_SHARED(double, tile, [32][33]);
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8)
        if (x < columns && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * columns + x];
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x, y = blockIdx.x * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8)
        if (x < rows && y + j < columns) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
}

extern "C" int MT_LAUNCHER(transpose)(void)
{
    int rows = 50, columns = 70;
    double *in = device_array<double>("in", rows * columns, [](int i) { return (double)i; });
    double *out = device_room<double>("out", rows * columns);
    int status = MT_LAUNCH(transpose, dim3(3, 2), dim3(32, 8), 0, 0, in, out, rows, columns);
    if (status == 0)
        status = compare(out, rows * columns, [=](int i) { return (double)(i % rows * columns + i / rows); });
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
