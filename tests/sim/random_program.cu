/* Runs a program drawn by test_random.cpp: in each step a thread does one access, or a barrier, or a
 * __syncwarp.
 *
 * kind[step] is 0 for accesses, 1 for __syncthreads, 2 for __syncwarp. op[step][block][thread] is a mask for
 * the latter (0: none), and for an access 0 or: what to do (1 read, 2 write, 3 atomic), plus 4 for device
 * memory instead of shared, plus 8 times the word.
 */
#include "host.cuh"
#include "random_program.h"

namespace MT_TWIN {

MT_KERNEL void random_program(const int *kind, const unsigned *op, int steps, int *words, int *out)
{
    MT_SHARED(int, shared, [RANDOM_WORDS]);
    int t = threadIdx.x, block = blockIdx.x, sum = 0;
    if (t < RANDOM_WORDS) shared[t] = 0;
    __syncthreads();
    for (int step = 0; step < steps; ++step) {
        unsigned o = op[(step * RANDOM_BLOCKS + block) * RANDOM_THREADS + t];
        if (kind[step] == 1) {
            __syncthreads();
        } else if (kind[step] == 2) {
            if (o) __syncwarp(o);
        } else {
            int *word = (o & 4 ? words : shared) + (o >> 3);
            if ((o & 3) == 1) sum += *word;
            if ((o & 3) == 2) *word = step;
            if ((o & 3) == 3) sum += atomicAdd(word, 1);
        }
    }
    out[block * RANDOM_THREADS + t] = sum;
}

extern "C" int MT_LAUNCHER(random_program)(const int *kind, const unsigned *op, int steps)
{
    int *k = device_array<int>("kind", steps, [=](int i) { return kind[i]; });
    unsigned *o =
        device_array<unsigned>("op", steps * RANDOM_BLOCKS * RANDOM_THREADS, [=](int i) { return op[i]; });
    int *words = device_array<int>("words", RANDOM_WORDS, [](int) { return 0; });
    int *out = device_room<int>("out", RANDOM_BLOCKS * RANDOM_THREADS);
    int status =
        MT_LAUNCH(random_program, dim3(RANDOM_BLOCKS), dim3(RANDOM_THREADS), 0, 0, k, o, steps, words, out);
    dev_free(k), dev_free(o), dev_free(words), dev_free(out);
    return status;
}

} // namespace MT_TWIN
