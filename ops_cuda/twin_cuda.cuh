/* ops_cuda/twin_cuda.cuh - launch.cuh as nvcc sees it: checked runtime calls under the names that both twins
 * share.
 *
 * Each call's failure is kept as a sentence for the calling thread, with the kernel or call and its place.
 * With MT_CUDA_SYNC=1 in the environment a launch waits for its end, so that a fault is told at the launch
 * that made it.
 */
#ifndef MT_TWIN_CUDA_CUH
#define MT_TWIN_CUDA_CUH

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cuda_runtime.h>

#define MT_FN     static inline __host__ __device__
#define MT_DEVICE static __device__ __forceinline__
#define MT_KERNEL static __global__
#ifndef MT_CUDA_ARCH
#define MT_CUDA_ARCH "90"
#endif
#define MT_RESTRICT     __restrict__
#define MT_FMA(a, b, c) fma(a, b, c)

#define MT_SHARED(type, name, ...) __shared__ type name __VA_ARGS__
#define MT_SHARED_DYNAMIC(type, name)                                        \
    extern __shared__ __align__(16) unsigned char mt_dynamic_shared_bytes[]; \
    type *name = reinterpret_cast<type *>(mt_dynamic_shared_bytes)

typedef cudaStream_t mt_stream;

namespace cuda {

static inline char *dev_message_buffer()
{
    static thread_local char text[512];
    return text;
}

static inline const char *dev_message() { return dev_message_buffer(); }

static inline bool &dev_no_memory_flag()
{
    static thread_local bool lacked;
    return lacked;
}

static inline bool dev_no_memory() { return dev_no_memory_flag(); }

/* What a person can do about it; "" where the runtime's own words say all. */
static inline const char *dev_remedy(cudaError_t error)
{
    switch (error) {
    case cudaErrorInsufficientDriver:
        return "; update the driver, or build with an older CUDA toolkit; gpu-sim runs the same kernels "
               "meanwhile";
    case cudaErrorNoDevice: return "; no GPU can be seen (is CUDA_VISIBLE_DEVICES set?); use cpu or gpu-sim";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
        return "; this library has code for compute capability " MT_CUDA_ARCH
               ": build it with -Dgpu_arch= and this card's, or use cpu or gpu-sim";
    case cudaErrorMemoryAllocation: return "; use smaller tensors or batches, or backend cpu";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
        return "; a kernel read or wrote where it must not, and this process cannot use the card any more: "
               "run it "
               "with MT_CUDA_SYNC=1 to see which kernel, or with backend gpu-sim, which names the line";
    default: return "";
    }
}

/* A failure becomes a sentence, and is told once: the program's own cudaGetLastError does not find it. */
static inline int dev_check(cudaError_t error, const char *what, const char *file, int line)
{
    if (error == cudaSuccess) return 0;
    cudaGetLastError();
    dev_no_memory_flag() = error == cudaErrorMemoryAllocation;
    const char *slash = strrchr(file, '/');
    snprintf(dev_message_buffer(), 512, "%s at %s:%d: %s (%s)%s", what, slash ? slash + 1 : file, line,
             cudaGetErrorString(error), cudaGetErrorName(error), dev_remedy(error));
    return (int)error;
}

static inline bool dev_synchronous()
{
    static const bool on = [] {
        const char *text = getenv("MT_CUDA_SYNC");
        return text && text[0] == '1';
    }();
    return on;
}

/* The calling thread's current device; where there is none a later call says why. */
static inline int dev_current()
{
    int number = DEV_NUMBER;
    if (cudaGetDevice(&number) == cudaSuccess) return number;
    cudaGetLastError();
    return DEV_NUMBER;
}

static inline int dev_select(int number)
{
    return dev_check(cudaSetDevice(number), "selecting the device", __FILE__, __LINE__);
}

/* What <<<>>> stands for, with its own status: cudaGetLastError may hold an earlier failure of the program's.
 */
template <class... P>
static inline cudaError_t start_kernel(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                                       mt_stream stream, P... values)
{
    void *places[] = {const_cast<void *>(static_cast<const void *>(&values))..., nullptr};
    return cudaLaunchKernel(reinterpret_cast<const void *>(kernel), grid, block, places, shared_bytes,
                            stream);
}

template <class... P, class... A>
static inline int launch(const char *name, const char *file, int line, dim3 grid, dim3 block,
                         size_t shared_bytes, mt_stream stream, void (*kernel)(P...), A &&...arguments)
{
    int status =
        dev_check(start_kernel<P...>(kernel, grid, block, shared_bytes, stream, static_cast<P>(arguments)...),
                  name, file, line);
    if (status == 0 && dev_synchronous()) status = dev_check(cudaStreamSynchronize(stream), name, file, line);
    return status;
}

static inline void dev_room(size_t *free_bytes, size_t *all_bytes)
{
    if (cudaMemGetInfo(free_bytes, all_bytes) == cudaSuccess) return;
    cudaGetLastError();
    *free_bytes = *all_bytes = 0;
}

static inline int dev_alloc(void **pointer, size_t bytes, const char *)
{
    cudaError_t error = cudaMalloc(pointer, bytes);
    if (error != cudaErrorMemoryAllocation) return dev_check(error, "cudaMalloc", __FILE__, __LINE__);
    cudaGetLastError();
    dev_no_memory_flag() = true;
    size_t free_bytes = 0, all_bytes = 0;
    dev_room(&free_bytes, &all_bytes);
    snprintf(dev_message_buffer(), 512, "the device has no room for %zu bytes: %zu of %zu are free", bytes,
             free_bytes, all_bytes);
    return (int)error;
}

static inline int dev_free(void *pointer)
{
    return dev_check(cudaFree(pointer), "cudaFree", __FILE__, __LINE__);
}

static inline int dev_upload(void *to, const void *from_host, size_t bytes, mt_stream stream)
{
    return dev_check(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, stream),
                     "copy to the device", __FILE__, __LINE__);
}

/* Waits: the bytes are there when it returns. */
static inline int dev_download(void *to_host, const void *from, size_t bytes, mt_stream stream)
{
    int status = dev_check(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, stream),
                           "copy from the device", __FILE__, __LINE__);
    return status ? status
                  : dev_check(cudaStreamSynchronize(stream), "copy from the device", __FILE__, __LINE__);
}

static inline int dev_copy(void *to, const void *from, size_t bytes, mt_stream stream)
{
    return dev_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copy on the device",
                     __FILE__, __LINE__);
}

static inline int dev_fill(void *to, int byte, size_t bytes, mt_stream stream)
{
    return dev_check(cudaMemsetAsync(to, byte, bytes, stream), "cudaMemset", __FILE__, __LINE__);
}

static inline int dev_sync(mt_stream stream)
{
    return dev_check(cudaStreamSynchronize(stream), "waiting for the device", __FILE__, __LINE__);
}

MT_KERNEL void dev_probe() {}

/* Finds a card that the kernels of this library run on, and says which it is. */
static inline int dev_open(mt_stream *stream, char *text, size_t size)
{
    int driver = 0, runtime = 0, cards = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) {
        snprintf(dev_message_buffer(), 512,
                 "there is no NVIDIA driver on this machine; install one for an NVIDIA GPU, or "
                 "use cpu, or gpu-sim, which runs the same kernels slowly");
        return (int)cudaErrorNoDevice;
    }
    if (driver < runtime && driver / 1000 < runtime / 1000) {
        snprintf(dev_message_buffer(), 512,
                 "the driver knows CUDA up to %d.%d and this library was built with %d.%d; update "
                 "the driver, build with an older toolkit, or use cpu or gpu-sim",
                 driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
        return (int)cudaErrorInsufficientDriver;
    }
    int status = dev_check(cudaGetDeviceCount(&cards), "looking for a GPU", __FILE__, __LINE__);
    cudaDeviceProp card;
    if (status == 0)
        status =
            dev_check(cudaGetDeviceProperties(&card, DEV_NUMBER), "looking at the GPU", __FILE__, __LINE__);
    cudaFuncAttributes probe;
    if (status == 0) {
        status = dev_check(cudaFuncGetAttributes(&probe, dev_probe), card.name, __FILE__, __LINE__);
        if (status == 0)
            status = dev_check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), card.name, __FILE__,
                               __LINE__);
    }
    if (status != 0) return status;
    snprintf(text, size, "%.60s, compute capability %d.%d, driver %d.%d, runtime %d.%d", card.name,
             card.major, card.minor, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return 0;
}

/* Memory of the host that copies to the device start from, which the card can read by itself. */
static inline int dev_pinned(void **pointer, size_t bytes)
{
    return dev_check(cudaHostAlloc(pointer, bytes, cudaHostAllocDefault), "pinned memory", __FILE__,
                     __LINE__);
}

/* Of the current card; 0 where it does not say. */
static inline int dev_multiprocessors()
{
    int count = 0;
    return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, dev_current()) == cudaSuccess
               ? count
               : 0;
}

/* The simulator guards the edges of a pool's pieces; a card does not. */
static inline void dev_mark(void *, size_t, bool) {}
static inline void dev_name(void *, const char *) {}
/* Nor does it count. */
static inline bool dev_detail() { return false; }
static inline bool dev_counts_of(const char *, dev_counts *) { return false; }

} // namespace cuda

#endif
