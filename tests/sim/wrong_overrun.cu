/* Two tensors share one block of a pool, and a kernel for the first runs on into the bytes between them. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void overrun(float *first, int n)
{
    for (int i = threadIdx.x; i < n; i += blockDim.x) first[i] = 1.0f; /* BUG */
}

extern "C" int MT_LAUNCHER(overrun)(void)
{
    char *pool = device_room<char>("pool", 1024);
    dev_mark(pool, 1024, false);
    dev_mark(pool, 40 * sizeof(float), true);
    dev_name(pool, "first");
    dev_mark(pool + 256, 40 * sizeof(float), true);
    dev_name(pool + 256, "second");
    int status = MT_LAUNCH(overrun, dim3(1), dim3(32), 0, 0, reinterpret_cast<float *>(pool), 41);
    dev_free(pool);
    return status;
}

} // namespace MT_TWIN
