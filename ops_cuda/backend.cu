/* ops_cuda/backend.cu - the twin's backend: its slots, and the constructor that finds its device. */
#include "backend.cuh"

namespace MT_TWIN {

#ifdef __CUDACC__
#define NAME        "gpu"
#define SUMMARY     "CUDA kernels on an NVIDIA GPU"
#define CONSTRUCTOR mt_backend_gpu
#else
#define NAME        "gpu-sim"
#define SUMMARY     "the CUDA kernels on the CPU, with every access checked"
#define CONSTRUCTOR mt_backend_gpu_sim
#endif

/* In the order of tensor/backend.h. */
static mt_backend self = {
    NAME,
    SUMMARY,
    false,
    nullptr,
    MT_LAUNCHER(allocate),
    MT_LAUNCHER(release),
    MT_LAUNCHER(mark),
    MT_LAUNCHER(upload),
    MT_LAUNCHER(download),
    MT_LAUNCHER(fill),
    MT_LAUNCHER(copy),
    MT_LAUNCHER(map),
    MT_LAUNCHER(zip),
    MT_LAUNCHER(reduce),
    MT_LAUNCHER(scatter),
    MT_LAUNCHER(rows),
    MT_LAUNCHER(matmul),
    MT_LAUNCHER(random),
    MT_LAUNCHER(permutation),
    MT_LAUNCHER(update),
    MT_LAUNCHER(describe),
    MT_LAUNCHER(counts),
};

extern "C" mt_backend *CONSTRUCTOR(void) { return MT_LAUNCHER(open)(&self) == MT_OK ? &self : nullptr; }

} // namespace MT_TWIN
