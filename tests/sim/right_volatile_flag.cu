/* Flags that are volatile, each set behind a __threadfence: in a warp, in a block, and between two blocks of
 * which the later one, by a ticket, waits for the earlier. */
#include "host.cuh"

namespace MT_TWIN {

MT_KERNEL void flag_in_block(volatile int *flag, int *data, int *out, unsigned reader)
{
    if (threadIdx.x == 0) {
        for (int i = 0; i < 4; i++) {
            while (flag[0] != 2 * i) continue;
            __threadfence();
            *data = 10 + i;
            __threadfence();
            flag[0] = 2 * i + 1;
        }
    } else if (threadIdx.x == reader) {
        for (int i = 0; i < 4; i++) {
            while (flag[0] != 2 * i + 1) continue;
            __threadfence();
            out[i] = *data;
            __threadfence();
            flag[0] = 2 * i + 2;
        }
    }
}

MT_KERNEL void flag_between_blocks(int *ticket, volatile int *flag, int *data, int *out)
{
    int number = atomicAdd(ticket, 1);
    if (number == 0) {
        *data = 14;
        __threadfence();
        *flag = 1;
    } else {
        while (*flag == 0) continue;
        __threadfence();
        out[number + 3] = *data;
    }
}

extern "C" int MT_LAUNCHER(volatile_flag)(void)
{
    int *flag = device_array<int>("flag", 3, [](int) { return 0; });
    int *data = device_room<int>("data", 1);
    int *out = device_room<int>("out", 5);
    int status = MT_LAUNCH(flag_in_block, dim3(1), dim3(64), 0, 0, flag, data, out, 1u);
    if (status == 0) status = MT_LAUNCH(flag_in_block, dim3(1), dim3(64), 0, 0, flag + 1, data, out, 40u);
    dev_fill(flag, 0, 3 * sizeof *flag, 0);
    if (status == 0)
        status = MT_LAUNCH(flag_between_blocks, dim3(2), dim3(1), 0, 0, flag, flag + 1, data, out);
    if (status == 0) status = compare(out, 5, [](int i) { return 10 + i; });
    dev_free(flag), dev_free(data), dev_free(out);
    return status;
}

} // namespace MT_TWIN
