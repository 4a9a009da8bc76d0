/* A recursion whose end is not reached from an odd number. */
#include "host.cuh"

namespace MT_TWIN {

static __device__ __attribute__((noinline)) int steps_from(int n) /* BUG */
{                                                                 /* BUG */
    int around[8];                                                /* BUG */
    for (int i = 0; i < 8; i++) around[i] = n - i;
    return n == 0 ? 0 : 1 + around[7] * steps_from(n - 2) / 8; /* BUG */
}

MT_KERNEL void deep_recursion(int *out) { out[threadIdx.x] = steps_from(threadIdx.x); }

extern "C" int MT_LAUNCHER(deep_recursion)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(deep_recursion, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
