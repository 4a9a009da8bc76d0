/* Structs of 16 bytes that 8 aligns, vectors in arrays that 16 aligns, and bytes that nothing aligns. */
#include "host.cuh"

namespace MT_TWIN {

namespace {
struct pair {
    long long key, value;
};
} // namespace

MT_KERNEL void alignments(const pair *in, float *out)
{
    MT_SHARED(pair, pairs, [32]);
    MT_SHARED(__align__(16) float, row, [128]);
    MT_SHARED(unsigned char, bytes, [33]);
    MT_SHARED_DYNAMIC(float4, last);
    int t = threadIdx.x;
    pairs[t] = in[t];
    reinterpret_cast<float4 *>(row)[t] = make_float4(t, 1, 2, 3);
    bytes[t + 1] = (unsigned char)t;
    last[31 - t] = make_float4(t, t, t, t);
    __syncthreads();
    pair mine = pairs[31 - t];
    out[t] = (float)mine.key + row[4 * t] + bytes[32 - t] + last[t].w;
}

extern "C" int MT_LAUNCHER(alignments)(void)
{
    pair *in = device_array<pair>("in", 32, [](int i) { return pair{i, -i}; });
    float *out = device_room<float>("out", 32);
    int status = MT_LAUNCH(alignments, dim3(1), dim3(32), 32 * sizeof(float4), 0, in, out);
    if (status == 0) status = compare(out, 32, [](int i) { return (float)(3 * (31 - i) + i); });
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
