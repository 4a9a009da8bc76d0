/* Rows are copied as whole structs, and one row too many. */
#include "host.cuh"

namespace MT_TWIN {

struct row {
    float value[24];
};

MT_KERNEL void struct_copy(const row *in, row *out, int n)
{
    int i = threadIdx.x;
    if (i <= n) out[i] = in[i]; /* BUG */
}

extern "C" int MT_LAUNCHER(struct_copy)(void)
{
    float *in = device_array<float>("in", 240, [](int i) { return (float)i; });
    float *out = device_room<float>("out", 240);
    int status = MT_LAUNCH(struct_copy, dim3(1), dim3(32), 0, 0, reinterpret_cast<const row *>(in),
                           reinterpret_cast<row *>(out), 10);
    dev_free(in), dev_free(out);
    return status;
}

} // namespace MT_TWIN
