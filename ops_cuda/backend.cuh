/* ops_cuda/backend.cuh - what the .cu files of the backend share: the slots, the memory behind them, a
 * checked launch.
 *
 * Each slot is a launcher that plans its work on the host (tensor/plan.h) and starts kernels on the backend's
 * one stream. Work is ordered by that stream, so memory given back after a launch may be handed out again at
 * once. Every launch and every copy is counted.
 */
#ifndef MT_BACKEND_CUH
#define MT_BACKEND_CUH

#include "launch.cuh"
#include "tensor/plan.h"
#include "tensor/scalar/scalar_math.h"

/* Loops over registers must disappear, and a loop whose body is long must not be copied. */
#ifdef __CUDACC__
#define MT_UNROLL       _Pragma("unroll")
#define MT_UNROLL_EIGHT _Pragma("unroll 8")
#define MT_NO_UNROLL    _Pragma("unroll 1")
#else
#define MT_UNROLL
#define MT_UNROLL_EIGHT
#define MT_NO_UNROLL
#endif

namespace MT_TWIN {

extern "C" {
/* The slots, each in the .cu file that its name says. */
#define MT_SLOT(need, result, name, parameters, text) result MT_LAUNCHER(name) parameters;
#include "tensor/slots.inc"

#ifndef __CUDACC__
/* map.cu: row act of map_table.inc, at x. */
mt_real MT_LAUNCHER(activated)(int act, mt_real x);
#endif

/* memory.cu: a pool of device memory, staged copies, and counts. */
mt_status MT_LAUNCHER(open)(mt_backend *backend);
void *MT_LAUNCHER(keep)(mt_backend *backend, size_t bytes); /* for the backend itself, not a tensor's */
void MT_LAUNCHER(unkeep)(mt_backend *backend, void *pointer, size_t bytes);
mt_stream MT_LAUNCHER(stream)(mt_backend *backend);
void MT_LAUNCHER(count)(mt_backend *backend, const char *kernel, uint64_t blocks);
/* indexed.cu: the number, row-major, of the first entry of index outside 0 .. limit-1 and its value; -1 when
 * there is none. Waits for the device. */
mt_status MT_LAUNCHER(first_outside)(mt_backend *backend, const mt_operand *index, int64_t limit,
                                     int64_t *entry, int64_t *value);
void MT_LAUNCHER(forget_tables)(mt_backend *backend); /* update.cu's, when no tensor is left */
}

/* Types and templates stay in the file that uses them: the libraries of both precisions, and both twins, have
 * them under the same names. */
namespace {

/* A failure of the runtime as the library tells it. */
static inline mt_status failed(mt_backend *backend)
{
    return mt_fail(dev_no_memory() ? MT_ERR_MEMORY : MT_ERR_BACKEND, "backend %s: %s", backend->name,
                   dev_message());
}

/* While this lives the backend's device is the calling thread's current one; then the one before is again.
 * Made where the backend is entered (backend.cu), and nowhere else. */
struct on_device {
    int before, status; /* status: not 0 where it could not be selected, which dev_message then tells */
    on_device() : before(dev_current()), status(before == DEV_NUMBER ? 0 : dev_select(DEV_NUMBER)) {}
    ~on_device()
    {
        if (before != DEV_NUMBER) dev_select(before);
    }
    on_device(const on_device &) = delete;
    on_device &operator=(const on_device &) = delete;
};

/* Starts a kernel under a name of its own, which --stats and the simulator's reports show. */
template <class... P, class... A>
static inline mt_status start(mt_backend *backend, const char *name, const char *file, int line,
                              void (*kernel)(P...), dim3 grid, dim3 block, A &&...arguments)
{
    MT_LAUNCHER(count)(backend, name, (uint64_t)grid.x * grid.y * grid.z);
    int status = launch(name, file, line, grid, block, 0, MT_LAUNCHER(stream)(backend), kernel,
                        static_cast<A &&>(arguments)...);
    return status == 0 ? MT_OK : failed(backend);
}
#define MT_START(backend, name, kernel, grid, block, ...) \
    start(backend, name, __FILE__, __LINE__, kernel, grid, block, __VA_ARGS__)

/* Memory for the length of one slot's work. */
struct scratch {
    mt_backend *backend;
    size_t bytes;
    void *data;
    scratch(mt_backend *b, size_t n) : backend(b), bytes(n), data(MT_LAUNCHER(allocate)(b, n)) {}
    ~scratch()
    {
        if (data) MT_LAUNCHER(release)(backend, data, bytes);
    }
    scratch(const scratch &) = delete;
    scratch &operator=(const scratch &) = delete;
};

/* Threads of a block for n independent elements: whole warps, as few as do for a tiny tensor. */
static inline unsigned block_for(int64_t n, unsigned most = 256)
{
    return n >= (int64_t)most ? most : n <= 32 ? 32u : (unsigned)(n + 31) / 32 * 32;
}

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* How many elements a kernel gets through with one thread each: 2^31 - 1 blocks of 256. */
static const int64_t MOST_THREADS = (int64_t)0x7fffffff * 256;

static inline mt_status too_large(const char *name, int64_t count)
{
    return mt_fail(MT_ERR_SHAPE, "%s: %lld elements are more than a grid has threads; work in pieces", name,
                   (long long)count);
}

static inline void *first_of(const mt_operand &operand, size_t element)
{
    return static_cast<char *>(operand.data) + (size_t)operand.layout->offset * element;
}

/* ---- on the device ---- */

MT_DEVICE int64_t thread_number() { return (int64_t)blockIdx.x * blockDim.x + threadIdx.x; }

/* Divides by a number that the host knows. For 32 bits a multiplication and a shift, right for a dividend
 * below 2^31 (Granlund and Montgomery, 1994); for 64 bits a division. */
template <class I> struct divisor;
template <> struct divisor<uint32_t> {
    uint32_t by, factor, shift;
    void set(int64_t n)
    {
        by = (uint32_t)n;
        for (shift = 0; ((uint64_t)1 << shift) < by;) shift++;
        factor = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << shift) - by)) / by + 1);
    }
    __device__ __forceinline__ uint32_t quotient(uint32_t n) const
    {
        return (__umulhi(n, factor) + n) >> shift;
    }
};
template <> struct divisor<uint64_t> {
    uint64_t by;
    void set(int64_t n) { by = (uint64_t)n; }
    __device__ __forceinline__ uint64_t quotient(uint64_t n) const { return n / by; }
};

/* Whether numbers below count may be divided by divisor<uint32_t>. */
static inline bool fits_quick(int64_t count) { return count <= 0x7fffffff; }

/* Dimensions as a kernel counts through them: element number i, of type N, is an index in row-major order
 * over the sizes, and stands at the sum of index[d] * stride[operand][d], of type I, in each of OPERANDS
 * arrays. */
template <class I, int OPERANDS, int MOST = MT_MAX_DIMS, class N = I> struct walk {
    int rank;
    divisor<N> size[MOST];
    I stride[OPERANDS][MOST];
};

template <class I, int OPERANDS, int MOST, class N>
static inline void add_dimension(walk<I, OPERANDS, MOST, N> *w, int64_t size,
                                 const int64_t (&stride)[OPERANDS])
{
    w->size[w->rank].set(size);
    for (int k = 0; k < OPERANDS; k++) w->stride[k][w->rank] = (I)stride[k];
    w->rank++;
}

/* at[k] += the offset of element i in array k. RANK 0: w.rank dimensions, else RANK. */
template <int RANK, class I, int OPERANDS, int MOST>
MT_DEVICE void position_of(const walk<I, OPERANDS, MOST> &w, I i, I (&at)[OPERANDS])
{
    int rank = RANK ? RANK : w.rank;
    MT_UNROLL
    for (int d = rank - 1; d > 0; d--) {
        I q = w.size[d].quotient(i), r = i - q * w.size[d].by;
        for (int k = 0; k < OPERANDS; k++) at[k] += r * w.stride[k][d];
        i = q;
    }
    for (int k = 0; k < OPERANDS; k++) at[k] += i * w.stride[k][0];
}

/* The same with RANK 0, in a loop that is not unrolled: less code, for kernels where most plans have one
 * dimension.
 */
template <class I, int OPERANDS, int MOST, class N>
MT_DEVICE void rolled_position_of(const walk<I, OPERANDS, MOST, N> &w, N i, I (&at)[OPERANDS])
{
    MT_NO_UNROLL
    for (int d = w.rank - 1; d > 0; d--) {
        const N q = w.size[d].quotient(i), r = i - q * w.size[d].by;
        MT_UNROLL
        for (int k = 0; k < OPERANDS; k++) at[k] += (I)r * w.stride[k][d];
        i = q;
    }
    for (int k = 0; k < OPERANDS; k++) at[k] += (I)i * w.stride[k][0];
}

/* x y + s, fused on the card, where --fmad=false leaves every other sum as it is written. */
MT_DEVICE mt_real multiply_add(mt_real x, mt_real y, mt_real s) { return MT_FMA(x, y, s); }

/* 16 bytes as an array, from and to an address that 16 divides, in one access. */
#ifdef __CUDACC__
template <class T> struct wide;
template <> struct wide<float> {
    typedef float4 type;
};
template <> struct wide<double> {
    typedef double2 type;
};
template <> struct wide<int64_t> {
    typedef longlong2 type;
};
template <class T, size_t N> MT_DEVICE void load16(const T *from, T (&v)[N])
{
    typename wide<T>::type all = *reinterpret_cast<const typename wide<T>::type *>(from);
    v[0] = all.x, v[1] = all.y;
    if constexpr (N == 4) v[2] = all.z, v[3] = all.w;
}
template <class T, size_t N> MT_DEVICE void store16(T *to, const T (&v)[N])
{
    typename wide<T>::type all;
    all.x = v[0], all.y = v[1];
    if constexpr (N == 4) all.z = v[2], all.w = v[3];
    *reinterpret_cast<typename wide<T>::type *>(to) = all;
}
#else
template <class T> struct wide {
    typedef T type __attribute__((vector_size(16), may_alias));
};
/* Makes the compiler treat a vector as a whole: it might else split the one access of 16 bytes into accesses
 * of single numbers, and the simulator would count and check those.
 */
#if defined(__x86_64__)
#define WHOLE(vector) __asm__("" : "+x"(vector))
#elif defined(__aarch64__)
#define WHOLE(vector) __asm__("" : "+w"(vector))
#else
#define WHOLE(vector) ((void)0)
#endif
template <class T, size_t N> MT_DEVICE void load16(const T *from, T (&v)[N], MT_SIM_AT)
{
    expect_aligned(from, 16, false, file, line);
    typename wide<T>::type all = *reinterpret_cast<const typename wide<T>::type *>(from);
    WHOLE(all);
    for (size_t j = 0; j < N; j++) v[j] = all[j];
}
template <class T, size_t N> MT_DEVICE void store16(T *to, const T (&v)[N], MT_SIM_AT)
{
    expect_aligned(to, 16, true, file, line);
    typename wide<T>::type all = {};
    for (size_t j = 0; j < N; j++) all[j] = v[j];
    WHOLE(all);
    *reinterpret_cast<typename wide<T>::type *>(to) = all;
}
#undef WHOLE
#endif

} // namespace
} // namespace MT_TWIN

#endif
