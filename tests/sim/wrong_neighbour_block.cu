/* Each block replaces its element by its neighbour's, in place: whether it reads the old one is anyone's
 * guess. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void neighbour_block(int *x, int n)
{
    int i = blockIdx.x;
    int next = x[(i + 1) % n]; /* BUG */
    x[i] = next;               /* BUG */
}

extern "C" int MT_LAUNCHER(neighbour_block)(void)
{
    int *x = device_array<int>("x", 6, [](int i) { return i; });
    int status = MT_LAUNCH(neighbour_block, dim3(6), dim3(1), 0, 0, x, 6);
    dev_free(x);
    return status;
}

} // namespace MT_TWIN
