/* ops_cuda/sim/device.h - the calls that a kernel, compiled for the simulator, makes into it.
 *
 * Only twin.cuh, the simulator's face towards .cu files, and the files of sim/ include this. The
 * functions are compiled without the sanitizer, so what they touch is checked only where they say so. file
 * and line are the caller's, taken by default arguments.
 */
#ifndef MT_SIM_DEVICE_H
#define MT_SIM_DEVICE_H

#include <cstddef>
#include <cstdint>

extern "C" {

/* ---- where a thread is. They are constant for a thread, so the compiler may keep them. ---- */
unsigned mt_sim_thread_index(int axis) __attribute__((const));
unsigned mt_sim_block_index(int axis) __attribute__((const));
unsigned mt_sim_block_size(int axis) __attribute__((const));
unsigned mt_sim_grid_size(int axis) __attribute__((const));

/* ---- shared memory ---- */
struct mt_sim_shared_site {
    const char *name;
    size_t bytes, align;
};
/* The block's array for this site: the same for all its threads, uninitialised at its start. */
void *mt_sim_shared(const mt_sim_shared_site *site);
void *mt_sim_dynamic_shared(void);
/* Reports an access to an address that its size does not divide, and ends the launch; outside one it returns.
 */
void mt_sim_misaligned(const void *address, size_t bytes, bool write, const char *file, int line);

/* Called by the compiler: at each block of code, and where an index is outside its array's type. */
void mt_sim_turn(void);
void mt_sim_index(const void *place, uintptr_t index);

/* ---- barriers, warps, fences ---- */
enum mt_sim_barrier_kind {
    MT_SIM_BARRIER_PLAIN,
    MT_SIM_BARRIER_COUNT,
    MT_SIM_BARRIER_AND,
    MT_SIM_BARRIER_OR
};
int mt_sim_barrier(int kind, int predicate, const char *file, int line);

enum mt_sim_warp_kind {
    MT_SIM_SHFL,
    MT_SIM_SHFL_UP,
    MT_SIM_SHFL_DOWN,
    MT_SIM_SHFL_XOR,
    MT_SIM_BALLOT,
    MT_SIM_ANY,
    MT_SIM_ALL,
    MT_SIM_SYNCWARP
};
/* All lanes of mask meet here. A shuffle returns the source lane's value, a vote its result. */
uint64_t mt_sim_warp(int kind, unsigned mask, uint64_t value, int argument, int width, const char *file,
                     int line);
void mt_sim_fence(void);

/* ---- atomics ---- */
enum mt_sim_atomic_kind {
    MT_SIM_ADD,
    MT_SIM_EXCH,
    MT_SIM_CAS,
    MT_SIM_MIN,
    MT_SIM_MAX,
    MT_SIM_AND,
    MT_SIM_OR,
    MT_SIM_XOR,
    MT_SIM_INC,
    MT_SIM_DEC
};
int mt_sim_atomic_i32(int kind, int *at, int value, int compare, const char *file, int line);
unsigned mt_sim_atomic_u32(int kind, unsigned *at, unsigned value, unsigned compare, const char *file,
                           int line);
unsigned long long mt_sim_atomic_u64(int kind, unsigned long long *at, unsigned long long value,
                                     unsigned long long compare, const char *file, int line);
long long mt_sim_atomic_i64(int kind, long long *at, long long value, long long compare, const char *file,
                            int line);
float mt_sim_atomic_f32(int kind, float *at, float value, float compare, const char *file, int line);
double mt_sim_atomic_f64(int kind, double *at, double value, double compare, const char *file, int line);

/* ---- launch ---- */
struct mt_sim_launch {
    const char *kernel, *file;
    int line;
    unsigned grid[3], block[3];
    size_t dynamic_shared;
    void (*call)(const void *arguments); /* runs one thread of the kernel */
    const void *arguments;
    size_t argument_bytes;
    const void *code; /* the kernel's address: places are kept relative to it */
};
/* Runs the whole grid. 0, or 1 when there was a report. */
int mt_sim_run(const mt_sim_launch *launch);
}

#endif
