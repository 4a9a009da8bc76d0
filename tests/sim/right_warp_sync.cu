/* Lanes exchange values through shared memory, ordered by __syncwarp of the whole warp, of each half, and of
 * what a vote names; the last two lanes of a short warp are not there at all. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void warp_sync(int *out)
{
    MT_SHARED(int, slot, [2][32]);
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned all = warp == 0 ? 0xffffffffu : 0x3fffffffu, lanes = warp == 0 ? 32 : 30;
    int *mine = slot[warp];
    mine[lane] = lane;
    __syncwarp(all);
    int value = mine[(lane + 1) % lanes];
    __syncwarp(all);
    mine[lane] = value;
    unsigned half = (lane < 16 ? 0x0000ffffu : 0xffff0000u) & all;
    __syncwarp(half);
    value += mine[lane & 16];
    __syncwarp(half);
    if (lane % 16 == 0) mine[lane] = 100;
    __syncwarp();
    unsigned even = __ballot_sync(all, lane % 2 == 0);
    if (lane % 2 == 0) {
        value += mine[0];
        __syncwarp(even);
        if (lane == 0) mine[0] = 7;
        __syncwarp(even);
        value += mine[0];
    }
    out[threadIdx.x] = value;
}

extern "C" int MT_LAUNCHER(warp_sync)(void)
{
    int *out = device_room<int>("out", 62);
    int status = MT_LAUNCH(warp_sync, dim3(1), dim3(62), 0, 0, out);
    if (status == 0)
        status = compare(out, 62, [](int i) {
            int lane = i % 32, lanes = i < 32 ? 32 : 30;
            return (lane + 1) % lanes + ((lane & 16) + 1) % lanes + (lane % 2 == 0 ? 107 : 0);
        });
    dev_free(out);
    return status;
}

} // namespace MT_TWIN
