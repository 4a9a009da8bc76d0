/* Kernels whose memory transactions can be counted by hand, and some that a device refuses to run. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void copy_strided(const float *in, float *out, int stride)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = in[i * stride];
}

template <int WIDTH> MT_KERNEL void copy_columns(float *out)
{
    MT_SHARED(float, tile, [32][WIDTH]);
    int t = threadIdx.x;
    for (int i = 0; i < 32; ++i) tile[i][t] = (float)i;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < 32; ++i) sum += tile[t][i];
    out[t] = sum;
}

MT_KERNEL void write_odd(int *out)
{
    if (threadIdx.x % 2) out[threadIdx.x] = 1;
}

MT_KERNEL void spin(int *flag)
{
    while (atomicAdd(flag, 0) == 0) {}
}

/* Thread 0 waits for what the last thread of the block sets. */
MT_KERNEL void wait_for_flag(int *out)
{
    MT_SHARED(int, flag, );
    if (threadIdx.x == 0) flag = 0;
    __syncthreads();
    if (threadIdx.x == blockDim.x - 1) atomicExch(&flag, 1);
    if (threadIdx.x == 0) {
        while (atomicAdd(&flag, 0) == 0) {}
        out[0] = 1;
    }
}

/* A thread that counts to five million. */
MT_KERNEL void count_far(int *count)
{
    for (int i = 0; i < 5000000; ++i) atomicAdd(count, 1);
}

extern "C" int MT_LAUNCHER(count_far)(void)
{
    int *count = device_array<int>("count", 1, [](int) { return 0; });
    int status = MT_LAUNCH(count_far, dim3(1), dim3(1), 0, 0, count);
    if (status == 0) status = compare(count, 1, [](int) { return 5000000; });
    dev_free(count);
    return status;
}

extern "C" int MT_LAUNCHER(copy_strided)(int stride)
{
    float *in = device_array<float>("in", 512 * stride, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 512);
    int status = MT_LAUNCH(copy_strided, dim3(2), dim3(256), 0, 0, in, out, stride);
    dev_free(in), dev_free(out);
    return status;
}

extern "C" int MT_LAUNCHER(copy_columns)(int width)
{
    float *out = device_room<float>("out", 32);
    int status = width == 32 ? MT_LAUNCH((copy_columns<32>), dim3(1), dim3(32), 0, 0, out)
                             : MT_LAUNCH((copy_columns<33>), dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

extern "C" int MT_LAUNCHER(write_odd)(int threads)
{
    int *out = device_room<int>("out", 1024);
    int status = MT_LAUNCH_NAMED("odd", write_odd, dim3(1), dim3(threads), 0, 0, out);
    dev_free(out);
    return status;
}

extern "C" int MT_LAUNCHER(spin)(void)
{
    int *flag = device_array<int>("flag", 1, [](int) { return 0; });
    int status = MT_LAUNCH(spin, dim3(1), dim3(2), 0, 0, flag);
    dev_free(flag);
    return status;
}

extern "C" int MT_LAUNCHER(wait_for_flag)(void)
{
    int *out = device_room<int>("out", 1);
    int status = MT_LAUNCH(wait_for_flag, dim3(1), dim3(64), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
