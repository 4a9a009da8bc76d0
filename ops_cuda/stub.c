/* ops_cuda/stub.c - the gpu backends that a build lacks: each says why it is not there and what else to use.
 */
#include "tensor/backend.h"

#ifndef MT_HAVE_GPU
mt_backend *mt_backend_gpu(void)
{
    mt_fail(MT_ERR_BACKEND, "backend gpu is not in this library: " MT_GPU_MISSING
                            "; gpu-sim runs the same kernels slowly, cpu is the fast one here");
    return NULL;
}
#endif

#ifndef MT_HAVE_SIM
mt_backend *mt_backend_gpu_sim(void)
{
    mt_fail(MT_ERR_BACKEND, "backend gpu-sim is not in this library: " MT_SIM_MISSING "; use cpu");
    return NULL;
}
#endif
