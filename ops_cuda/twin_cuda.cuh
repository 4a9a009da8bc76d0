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
#include <cuda_runtime.h>

#define MT_FN       static inline __host__ __device__
#define MT_DEVICE   static __device__ __forceinline__
#define MT_KERNEL   static __global__
#define MT_RESTRICT __restrict__

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

static inline int dev_check(cudaError_t error, const char *what, const char *file, int line)
{
    if (error == cudaSuccess) return 0;
    snprintf(dev_message_buffer(), 512, "%s at %s:%d: %s (%s)", what, file, line, cudaGetErrorString(error),
             cudaGetErrorName(error));
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

template <class... P, class... A>
static inline int launch(const char *name, const char *file, int line, dim3 grid, dim3 block,
                         size_t shared_bytes, mt_stream stream, void (*kernel)(P...), A &&...arguments)
{
    kernel<<<grid, block, shared_bytes, stream>>>(static_cast<P>(arguments)...);
    int status = dev_check(cudaGetLastError(), name, file, line);
    if (status == 0 && dev_synchronous()) status = dev_check(cudaStreamSynchronize(stream), name, file, line);
    return status;
}

static inline int dev_alloc(void **pointer, size_t bytes, const char *)
{
    cudaError_t error = cudaMalloc(pointer, bytes);
    if (error != cudaErrorMemoryAllocation) return dev_check(error, "cudaMalloc", __FILE__, __LINE__);
    cudaGetLastError();
    size_t free_bytes = 0, all_bytes = 0;
    cudaMemGetInfo(&free_bytes, &all_bytes);
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

/* The simulator guards the edges of a pool's pieces; a card does not. */
static inline void dev_mark(void *, size_t, bool) {}
static inline void dev_name(void *, const char *) {}

} // namespace cuda

#endif
