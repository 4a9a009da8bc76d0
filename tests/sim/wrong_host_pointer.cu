/* The array that a kernel gets was never copied to the device. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void host_pointer(const float *in, float *out) { out[threadIdx.x] = in[threadIdx.x]; /* BUG */ }

extern "C" int MT_LAUNCHER(host_pointer)(void)
{
    float *in = new float[32]();
    float *out = device_room<float>("out", 32);
    int status = MT_LAUNCH(host_pointer, dim3(1), dim3(32), 0, 0, in, out);
    dev_free(out);
    delete[] in;
    return status;
}

} // namespace MT_TWIN
