/* The digits of a number in a local array, which is one too short for the largest. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void local_overrun(int *out)
{
    int digit[4], n = 9990 + (int)threadIdx.x, count = 0;
    for (; n > 0; n /= 10) digit[count++] = n % 10; /* BUG */
    int sum = 0;
    for (int i = 0; i < count; i++) sum += digit[i];
    out[threadIdx.x] = sum;
}

extern "C" int MT_LAUNCHER(local_overrun)(void)
{
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(local_overrun, dim3(1), dim3(32), 0, 0, out);
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
