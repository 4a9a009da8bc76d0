/* ops_cuda/sim/twin.cuh - launch.cuh as the host's C++ compiler sees it: CUDA's words, spelt as calls to the
 * simulator.
 *
 * The .cu that includes this is compiled with -fsanitize=thread, so each access to memory calls
 * sim/hooks.cpp; the words here call sim/ directly. What is no atomic and no warp operation stays plain C++,
 * written so that a report names the line of the kernel and not one of this file.
 */
#ifndef MT_SIM_TWIN_CUH
#define MT_SIM_TWIN_CUH

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "device.h"
#include "sim.h"
#include "vectors.cuh"

/* Always inlined, as on the card: what lives in registers there must not become memory here. */
#define MT_FN       static inline __attribute__((always_inline))
#define MT_DEVICE   static inline __attribute__((always_inline))
#define MT_KERNEL   static
#define MT_RESTRICT __restrict__

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
/* So that the compiler's message says what to do. */
#define __shared__   write_MT_SHARED_or_MT_SHARED_DYNAMIC_instead
#define __constant__ the_simulator_has_no_constant_memory

/* What -fsanitize=thread makes this file call, __tsan_read4 and so on, is here another name for a function of
 * sim/hooks.cpp: a program that links kernels keeps ThreadSanitizer's own for itself. clang leaves the old
 * name in the object, where nothing refers to it; as it is weak, it needs no definition. */
#ifdef __ELF__
__asm__(".macro mt_sim_alias name, size, function\n"
        ".weak __tsan_\\name\\size\n"
        "__tsan_\\name\\size = \\function\\name\\size\n"
        ".endm\n"
        ".irp name, read, write, read_write, volatile_read, volatile_write, unaligned_read, unaligned_write, "
        "unaligned_read_write, unaligned_volatile_read, unaligned_volatile_write\n"
        "mt_sim_alias \\name, 1, mt_sim_hook_\n"
        "mt_sim_alias \\name, 2, mt_sim_hook_\n"
        "mt_sim_alias \\name, 4, mt_sim_hook_\n"
        "mt_sim_alias \\name, 8, mt_sim_hook_\n"
        "mt_sim_alias \\name, 16, mt_sim_hook_\n"
        ".endr\n"
        ".irp name, init, func_entry, func_exit, ignore_thread_begin, ignore_thread_end, vptr_read, "
        "vptr_update, read_range, write_range\n"
        "mt_sim_alias \\name, , mt_sim_hook_\n"
        ".endr\n"
        /* What the lab's kernels are compiled with as well (strict_flags in meson.build). */
        ".weak __sanitizer_cov_trace_pc, __ubsan_handle_out_of_bounds\n"
        "__sanitizer_cov_trace_pc = mt_sim_turn\n"
        "__ubsan_handle_out_of_bounds = mt_sim_index\n"
        /* The compiler copies large objects by calling memcpy, which no sanitizer hook sees; newer versions
         * of clang call a hook of that name. */
        ".irp name, memcpy, memmove, memset\n"
        "\\name = mt_sim_\\name\n"
        "mt_sim_alias \\name, , mt_sim_\n"
        ".endr\n");
#endif

#define MT_SHARED(type, name, ...)                                                     \
    typedef type mt_shared_##name __VA_ARGS__;                                         \
    static const mt_sim_shared_site mt_site_##name = {#name, sizeof(mt_shared_##name), \
                                                      alignof(mt_shared_##name)};      \
    mt_shared_##name &name = *static_cast<mt_shared_##name *>(mt_sim_shared(&mt_site_##name))
#define MT_SHARED_DYNAMIC(type, name) type *name = static_cast<type *>(mt_sim_dynamic_shared())

typedef void *mt_stream;

#define MT_SIM_INLINE static inline __attribute__((always_inline))
/* The caller's place. */
#define MT_SIM_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace sim {

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

/* Macros, so that their line is the kernel's. */
#define MT_SIM_TRIPLE(function) (::sim::uint3{function(0), function(1), function(2)})
#define threadIdx               MT_SIM_TRIPLE(mt_sim_thread_index)
#define blockIdx                MT_SIM_TRIPLE(mt_sim_block_index)
#define blockDim                MT_SIM_TRIPLE(mt_sim_block_size)
#define gridDim                 MT_SIM_TRIPLE(mt_sim_grid_size)
static constexpr int warpSize = 32;

/* Loads through the read-only cache: a plain access, spelt as a macro so that its line is the kernel's. */
#define __ldg(pointer) (*(pointer))

/* Before an access of 16 bytes: gcc calls the same hook for a struct of two 8-byte members, which need not be
 * aligned to more than 8. */
MT_SIM_INLINE void expect_aligned(const void *at, size_t bytes, bool write, const char *file, int line)
{
    if ((uintptr_t)at % bytes != 0) mt_sim_misaligned(at, bytes, write, file, line);
}

/* ---- barriers and fences ---- */

MT_SIM_INLINE void __syncthreads(MT_SIM_AT) { mt_sim_barrier(MT_SIM_BARRIER_PLAIN, 0, file, line); }
MT_SIM_INLINE int __syncthreads_count(int predicate, MT_SIM_AT)
{
    return mt_sim_barrier(MT_SIM_BARRIER_COUNT, predicate, file, line);
}
MT_SIM_INLINE int __syncthreads_and(int predicate, MT_SIM_AT)
{
    return mt_sim_barrier(MT_SIM_BARRIER_AND, predicate, file, line);
}
MT_SIM_INLINE int __syncthreads_or(int predicate, MT_SIM_AT)
{
    return mt_sim_barrier(MT_SIM_BARRIER_OR, predicate, file, line);
}
MT_SIM_INLINE void __threadfence() { mt_sim_fence(); }
MT_SIM_INLINE void __threadfence_block() { mt_sim_fence(); }
MT_SIM_INLINE void __threadfence_system() { mt_sim_fence(); }

/* ---- warps ---- */

MT_SIM_INLINE void __syncwarp(unsigned mask = 0xffffffffu, MT_SIM_AT)
{
    mt_sim_warp(MT_SIM_SYNCWARP, mask, 0, 0, 32, file, line);
}

template <class T>
MT_SIM_INLINE T shuffle(int kind, unsigned mask, T value, int argument, int width, const char *file, int line)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    bits = mt_sim_warp(kind, mask, bits, argument, width, file, line);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> MT_SIM_INLINE T __shfl_sync(unsigned mask, T value, int source, int width = 32, MT_SIM_AT)
{
    return shuffle(MT_SIM_SHFL, mask, value, source, width, file, line);
}
template <class T>
MT_SIM_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, MT_SIM_AT)
{
    return shuffle(MT_SIM_SHFL_UP, mask, value, (int)delta, width, file, line);
}
template <class T>
MT_SIM_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, MT_SIM_AT)
{
    return shuffle(MT_SIM_SHFL_DOWN, mask, value, (int)delta, width, file, line);
}
template <class T>
MT_SIM_INLINE T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, MT_SIM_AT)
{
    return shuffle(MT_SIM_SHFL_XOR, mask, value, lane_mask, width, file, line);
}
MT_SIM_INLINE unsigned __ballot_sync(unsigned mask, int predicate, MT_SIM_AT)
{
    return (unsigned)mt_sim_warp(MT_SIM_BALLOT, mask, predicate != 0, 0, 32, file, line);
}
MT_SIM_INLINE int __any_sync(unsigned mask, int predicate, MT_SIM_AT)
{
    return (int)mt_sim_warp(MT_SIM_ANY, mask, predicate != 0, 0, 32, file, line);
}
MT_SIM_INLINE int __all_sync(unsigned mask, int predicate, MT_SIM_AT)
{
    return (int)mt_sim_warp(MT_SIM_ALL, mask, predicate != 0, 0, 32, file, line);
}
/* CUDA promises only that the caller's own lane is in it, and here nothing else is: code that expects more is
 * wrong. */
MT_SIM_INLINE unsigned __activemask()
{
    uint3 i = threadIdx, n = blockDim;
    return 1u << ((i.x + n.x * (i.y + n.y * i.z)) & 31);
}

/* ---- atomics ---- */

#define MT_SIM_ATOMIC(name, kind, type, call) \
    MT_SIM_INLINE type name(type *at, type value, MT_SIM_AT) { return call(kind, at, value, 0, file, line); }
#define MT_SIM_ATOMIC_INTS(name, kind)                     \
    MT_SIM_ATOMIC(name, kind, int, mt_sim_atomic_i32)      \
    MT_SIM_ATOMIC(name, kind, unsigned, mt_sim_atomic_u32) \
    MT_SIM_ATOMIC(name, kind, unsigned long long, mt_sim_atomic_u64)

MT_SIM_ATOMIC_INTS(atomicAdd, MT_SIM_ADD)
MT_SIM_ATOMIC(atomicAdd, MT_SIM_ADD, float, mt_sim_atomic_f32)
MT_SIM_ATOMIC(atomicAdd, MT_SIM_ADD, double, mt_sim_atomic_f64)
MT_SIM_ATOMIC_INTS(atomicExch, MT_SIM_EXCH)
MT_SIM_ATOMIC(atomicExch, MT_SIM_EXCH, float, mt_sim_atomic_f32)
MT_SIM_ATOMIC_INTS(atomicMin, MT_SIM_MIN)
MT_SIM_ATOMIC(atomicMin, MT_SIM_MIN, long long, mt_sim_atomic_i64)
MT_SIM_ATOMIC_INTS(atomicMax, MT_SIM_MAX)
MT_SIM_ATOMIC(atomicMax, MT_SIM_MAX, long long, mt_sim_atomic_i64)
MT_SIM_ATOMIC_INTS(atomicAnd, MT_SIM_AND)
MT_SIM_ATOMIC_INTS(atomicOr, MT_SIM_OR)
MT_SIM_ATOMIC_INTS(atomicXor, MT_SIM_XOR)
MT_SIM_ATOMIC(atomicInc, MT_SIM_INC, unsigned, mt_sim_atomic_u32)
MT_SIM_ATOMIC(atomicDec, MT_SIM_DEC, unsigned, mt_sim_atomic_u32)

MT_SIM_INLINE int atomicSub(int *at, int value, MT_SIM_AT)
{
    return mt_sim_atomic_i32(MT_SIM_ADD, at, (int)(0u - (unsigned)value), 0, file, line);
}
MT_SIM_INLINE unsigned atomicSub(unsigned *at, unsigned value, MT_SIM_AT)
{
    return mt_sim_atomic_u32(MT_SIM_ADD, at, 0u - value, 0, file, line);
}
MT_SIM_INLINE int atomicCAS(int *at, int compare, int value, MT_SIM_AT)
{
    return mt_sim_atomic_i32(MT_SIM_CAS, at, value, compare, file, line);
}
MT_SIM_INLINE unsigned atomicCAS(unsigned *at, unsigned compare, unsigned value, MT_SIM_AT)
{
    return mt_sim_atomic_u32(MT_SIM_CAS, at, value, compare, file, line);
}
MT_SIM_INLINE unsigned long long atomicCAS(unsigned long long *at, unsigned long long compare,
                                           unsigned long long value, MT_SIM_AT)
{
    return mt_sim_atomic_u64(MT_SIM_CAS, at, value, compare, file, line);
}

/* ---- arithmetic that CUDA has and <cmath> has not ---- */

template <class T> MT_SIM_INLINE T min(T a, T b) { return b < a ? b : a; }
template <class T> MT_SIM_INLINE T max(T a, T b) { return a < b ? b : a; }
MT_SIM_INLINE float rsqrtf(float x) { return 1.0f / sqrtf(x); }
MT_SIM_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
MT_SIM_INLINE int __float_as_int(float x)
{
    int bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
MT_SIM_INLINE float __int_as_float(int bits)
{
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}
MT_SIM_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
MT_SIM_INLINE int __ffs(int x) { return __builtin_ffs(x); }
MT_SIM_INLINE int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }

/* ---- launch ---- */

/* The kernel's arguments as the launch took them, and a call with all of them; no hook sees it. Unnamed, so
 * that both precisions' twins can be linked into one program without a symbol in common. */
namespace {
template <class... P> struct arguments;
template <> struct arguments<> {
    template <class K, class... D> __attribute__((always_inline)) void call(K kernel, const D &...done) const
    {
        kernel(done...);
    }
};
template <class P, class... R> struct arguments<P, R...> {
    P first;
    arguments<R...> rest;
    arguments(P p, R... r) : first(p), rest(r...) {}
    template <class K, class... D> __attribute__((always_inline)) void call(K kernel, const D &...done) const
    {
        rest.call(kernel, done..., first);
    }
};
template <class... P> struct packed {
    void (*kernel)(P...);
    arguments<P...> values;
    __attribute__((no_sanitize("thread"))) static void run(const void *self)
    {
        const packed *p = static_cast<const packed *>(self);
        p->values.call(p->kernel);
    }
};
} // namespace

template <class... P, class... A>
static inline int launch(const char *name, const char *file, int line, dim3 grid, dim3 block,
                         size_t shared_bytes, mt_stream, void (*kernel)(P...), A &&...values)
{
    packed<P...> all = {kernel, arguments<P...>(static_cast<P>(values)...)};
    mt_sim_launch what = {name,
                          file,
                          line,
                          {grid.x, grid.y, grid.z},
                          {block.x, block.y, block.z},
                          shared_bytes,
                          packed<P...>::run,
                          &all,
                          sizeof all,
                          reinterpret_cast<const void *>(kernel)};
    return mt_sim_run(&what);
}

/* ---- memory ---- */

static inline const char *dev_message() { return mt_sim_message(); }
static inline bool dev_no_memory() { return mt_sim_no_memory(); }
/* The calling thread's current device. */
static inline int dev_current() { return mt_sim_device(); }
static inline int dev_select(int number)
{
    mt_sim_set_device(number);
    return 0;
}
static inline int dev_alloc(void **pointer, size_t bytes, const char *name)
{
    *pointer = mt_sim_alloc(bytes, name);
    return *pointer || bytes == 0 ? 0 : 1;
}
static inline int dev_free(void *pointer) { return pointer == nullptr || mt_sim_free(pointer) ? 0 : 1; }
static inline int dev_upload(void *to, const void *from_host, size_t bytes, mt_stream)
{
    return mt_sim_upload(to, from_host, bytes) ? 0 : 1;
}
static inline int dev_download(void *to_host, const void *from, size_t bytes, mt_stream)
{
    return mt_sim_download(to_host, from, bytes) ? 0 : 1;
}
static inline int dev_copy(void *to, const void *from, size_t bytes, mt_stream)
{
    return mt_sim_copy(to, from, bytes) ? 0 : 1;
}
static inline int dev_fill(void *to, int byte, size_t bytes, mt_stream)
{
    return mt_sim_fill(to, byte, bytes) ? 0 : 1;
}
static inline int dev_sync(mt_stream) { return 0; }
/* The device that a backend runs on, in words. */
static inline int dev_open(mt_stream *stream, char *text, size_t size)
{
    *stream = nullptr;
    if (!mt_sim_ready()) return 1;
    snprintf(text, size, "simulated, schedule %llu", (unsigned long long)mt_sim_seed());
    return 0;
}
/* Memory of the host that copies to the device start from. */
static inline int dev_pinned(void **pointer, size_t bytes)
{
    *pointer = mt_sim_pinned(bytes);
    return *pointer ? 0 : 1;
}
static inline void dev_room(size_t *free_bytes, size_t *all_bytes)
{
    mt_sim_memory m = mt_sim_memory_stats();
    *all_bytes = m.capacity;
    *free_bytes = m.capacity - m.held;
}
static inline int dev_multiprocessors() { return MT_SIM_MULTIPROCESSORS; }
static inline void dev_mark(void *pointer, size_t bytes, bool live) { mt_sim_mark(pointer, bytes, live); }
static inline void dev_name(void *pointer, const char *name) { mt_sim_name(pointer, name); }
/* Counts accesses from now on, and says that this twin can. */
static inline bool dev_detail()
{
    mt_sim_set_detail(true);
    return true;
}
/* What was counted for launches under that name, if there was one. */
static inline bool dev_counts_of(const char *kernel, dev_counts *counts)
{
    mt_sim_stats s;
    int i = 0;
    while (mt_sim_stats_at(i, &s) && strcmp(s.kernel, kernel) != 0) i++;
    if (!mt_sim_stats_at(i, &s)) return false;
    *counts = {s.blocks,          s.barriers,       s.requests,        s.sectors,
               s.shared_requests, s.bank_conflicts, s.partial_requests};
    return true;
}

} // namespace sim

#endif
