/* ops_cuda/backend.cu - the twin's backend: its slots, and the constructor that finds its device. */
#include <type_traits>

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

/* The entry that the table has for a launcher: the program's thread may have another device as its current
 * one, and must find that again. */
template <auto LAUNCHER> struct slot;
template <class R, class... A, R (*LAUNCHER)(mt_backend *, A...)> struct slot<LAUNCHER> {
    static R entry(mt_backend *backend, A... arguments)
    {
        on_device here;
        if (here.status != 0) {
            mt_status status = failed(backend);
            if constexpr (std::is_same_v<R, mt_status>) return status;
            if constexpr (std::is_pointer_v<R>) return nullptr;
        }
        return LAUNCHER(backend, arguments...);
    }
};

/* By name: a row of slots.inc without a launcher does not compile. */
static constexpr mt_backend table()
{
    mt_backend b{};
    b.size = sizeof b;
    b.name = NAME;
    b.summary = SUMMARY;
#define MT_SLOT(need, result, name, parameters, text) b.name = slot<MT_LAUNCHER(name)>::entry;
#include "tensor/slots.inc"
    return b;
}

static mt_backend self = table();

extern "C" mt_backend *CONSTRUCTOR(void)
{
    on_device here;
    if (here.status != 0) {
        failed(&self);
        return nullptr;
    }
    return MT_LAUNCHER(open)(&self) == MT_OK ? &self : nullptr;
}

} // namespace MT_TWIN
