/* ops_cuda/stub.c - the gpu backends of a build without them: each says why it is not there and what else to use. */
#include "tensor/backend.h"

mt_backend *mt_backend_gpu(void)
{
    mt_fail(MT_ERR_BACKEND, "backend gpu is not in this build: the CUDA kernels are not written yet; use cpu");
    return NULL;
}

mt_backend *mt_backend_gpu_sim(void)
{
    mt_fail(MT_ERR_BACKEND, "backend gpu-sim is not in this build: the CUDA kernels are not written yet; use cpu");
    return NULL;
}
