/* A kernel leaves the address of its shared memory for the next one. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void leaves_shared(int **place)
{
    MT_SHARED(int, tile, [32]);
    tile[threadIdx.x] = threadIdx.x;
    if (threadIdx.x == 0) *place = tile;
}

MT_KERNEL void ended_shared(int *const *place, int *out)
{
    int *tile = *place;
    out[threadIdx.x] = tile[threadIdx.x]; /* BUG */
}

extern "C" int MT_LAUNCHER(ended_shared)(void)
{
    int **place = device_room<int *>("place", 1);
    int *out = device_room<int>("out", 32);
    int status = MT_LAUNCH(leaves_shared, dim3(1), dim3(32), 0, 0, place);
    if (status == 0) status = MT_LAUNCH(ended_shared, dim3(1), dim3(32), 0, 0, place, out);
    dev_free(place), dev_free(out);
    return status;
}

} // namespace MT_TWIN
