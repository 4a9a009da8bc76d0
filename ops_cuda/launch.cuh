/* ops_cuda/launch.cuh - what every .cu includes instead of cuda_runtime.h, so that it compiles twice.
 *
 * nvcc makes the `gpu` twin (namespace cuda), the host's C++ compiler makes `gpu-sim` (namespace sim), where
 * the same kernels run on the processor with every access checked. A .cu keeps everything in namespace
 * MT_TWIN, its kernels and helpers static; only launchers are extern "C", named by MT_LAUNCHER, so that the
 * twins never share a symbol. It must be read before tensor/scalar/scalar_math.h, for which it defines MT_FN.
 *
 *     namespace MT_TWIN {
 *     template <int R> MT_KERNEL void scale(float *x, float by, int n)
 *     {
 *         MT_SHARED(float, tile, [32][33]); // float tile[32][33] for the block
 *         MT_SHARED(__align__(16) float, row, [64]); // aligned to 16, so that float4 may be read from it
 *         MT_SHARED(int, last, );           // int last, a single value
 *         MT_SHARED_DYNAMIC(float, rest);   // float *rest: what the launch asked for
 *         ...
 *     }
 *     extern "C" int MT_LAUNCHER(scale)(float *x, float by, int n, mt_stream stream)
 *     {
 *         return MT_LAUNCH((scale<4>), dim3(n / 256), dim3(256), 0, stream, x, by, n);
 *     }
 *     } // namespace MT_TWIN
 *
 * MT_LAUNCH and the dev_ functions return 0, or another number after which dev_message() is a sentence for a
 * person, and dev_no_memory() says whether it is about memory. They work on the calling thread's current
 * device, which must be DEV_NUMBER where the backend is meant.
 */
#ifndef MT_LAUNCH_CUH
#define MT_LAUNCH_CUH

#include <cmath>
#include <cstddef>
#include <cstdint>

#define MT_PASTE_(a, b) a##b
#define MT_PASTE(a, b)  MT_PASTE_(a, b)

#ifdef MT_DOUBLE
#define MT_LAUNCHER_PREFIX mtd_
#else
#define MT_LAUNCHER_PREFIX mt_
#endif
/* mt_sim_launch_name, mt_cuda_launch_name, and mtd_ for the double library. */
#define MT_LAUNCHER(name) MT_PASTE(MT_PASTE(MT_LAUNCHER_PREFIX, MT_TWIN), MT_PASTE(_launch_, name))

#define MT_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    MT_LAUNCH_NAMED(#kernel, kernel, grid, block, shared_bytes, stream, ##__VA_ARGS__)
/* For a kernel that comes from a table: name is what messages and --stats call it. */
#define MT_LAUNCH_NAMED(name, kernel, grid, block, shared_bytes, stream, ...) \
    ::MT_TWIN::launch(name, __FILE__, __LINE__, grid, block, shared_bytes, stream, kernel, ##__VA_ARGS__)

/* What the simulator counted for a kernel; see mt_kernel_counts in tensor/backend.h. */
typedef struct dev_counts {
    uint64_t blocks, barriers, requests, sectors, shared_requests, bank_conflicts, partial;
} dev_counts;

/* The backend's device. On a machine with several CUDA_VISIBLE_DEVICES says which card that is. */
enum { DEV_NUMBER = 0 };

#ifdef __CUDACC__
#define MT_TWIN cuda
#include "twin_cuda.cuh"
#else
#define MT_TWIN sim
#include "sim/twin.cuh"
#endif

#endif
