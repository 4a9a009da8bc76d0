/* out = a + b, 16 bytes at a time, and the tail one by one. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void float4_add(const float *MT_RESTRICT a, const float *MT_RESTRICT b, float *MT_RESTRICT out,
                          int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (4 * i + 3 < n) {
        float4 x = reinterpret_cast<const float4 *>(a)[i], y = __ldg(reinterpret_cast<const float4 *>(b) + i);
        reinterpret_cast<float4 *>(out)[i] = make_float4(x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w);
    } else {
        for (int j = 4 * i; j < n; ++j) out[j] = a[j] + b[j];
    }
}

extern "C" int MT_LAUNCHER(float4_add)(void)
{
    float *a = device_array<float>("a", 1003, [](int i) { return (float)i; });
    float *b = device_array<float>("b", 1003, [](int i) { return (float)(2 * i); });
    float *out = device_room<float>("out", 1003);
    int status = MT_LAUNCH(float4_add, dim3(2), dim3(128), 0, 0, a, b, out, 1003);
    if (status == 0) status = compare(out, 1003, [](int i) { return (float)(3 * i); });
    dev_free(a), dev_free(b), dev_free(out);
    return status;
}

} // namespace MT_TWIN
