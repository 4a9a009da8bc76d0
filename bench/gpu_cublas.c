/* gpu_cublas.c - finds cuBLAS and its functions (see gpu_cublas.h). */
#define _POSIX_C_SOURCE 200809L
#include "gpu_cublas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/status.h"

/* Of cuBLAS's interface, in which these numbers are fixed. */
enum { OP_N = 0, OP_T = 1, DEFAULT_MATH = 0 };

/* A library whose version is part of its name, the newest first. */
static const char *const versions[] = {".13", ".12", ".14", ""};

static void *load(const char *folder, const char *name, int flags)
{
    void *library = NULL;
    for (size_t i = 0; i < sizeof versions / sizeof *versions && library == NULL; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s%s%s%s", folder, *folder != 0 ? "/" : "", name, versions[i]);
        library = dlopen(path, flags);
    }
    return library;
}

/* dlsym gives an object pointer; POSIX has the bytes of a function's address be the same. */
static bool look_up(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

static void *find(const char *file)
{
    if (file != NULL) return dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const char *const folders[] = {BENCH_CUDA_LIBRARIES, ""};
    void *library = NULL;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && library == NULL; i++) {
        /* cppcheck-suppress leakReturnValNotUsed ; it stays: the other one asks for it */
        load(folders[i], "libcublasLt.so", RTLD_NOW | RTLD_GLOBAL);
        library = load(folders[i], "libcublas.so", RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

bool gpu_cublas_open(gpu_cublas *blas, const char *file, void *stream, void *workspace, size_t bytes)
{
    int (*create)(void **) = NULL, (*set_stream)(void *, void *) = NULL, (*set_math)(void *, int) = NULL;
    int (*set_workspace)(void *, void *, size_t) = NULL, (*get_version)(void *, int *) = NULL;
    *blas = (gpu_cublas){.handle = NULL};
    if (stream == NULL) {
        snprintf(blas->about, sizeof blas->about, "cuBLAS works on a card alone");
        return false;
    }
    /* Read when it starts; 1 would put TF32 into every product, whatever the mode. */
    setenv("NVIDIA_TF32_OVERRIDE", "0", 1);
    void *library = find(file);
    if (library == NULL) {
        const char *why = dlerror();
        snprintf(blas->about, sizeof blas->about, "libcublas.so was not found: %.120s",
                 why != NULL ? why : "");
        return false;
    }
    if (!look_up(library, "cublasCreate_v2", &create) ||
        !look_up(library, "cublasDestroy_v2", &blas->destroy) ||
        !look_up(library, "cublasSetStream_v2", &set_stream) ||
        !look_up(library, "cublasSetMathMode", &set_math) ||
        !look_up(library, "cublasSetWorkspace_v2", &set_workspace) ||
        !look_up(library, "cublasGetVersion_v2", &get_version) ||
        !look_up(library, "cublasSgemm_v2", &blas->product) ||
        !look_up(library, "cublasSgemmStridedBatched", &blas->products)) {
        snprintf(blas->about, sizeof blas->about, "this libcublas.so lacks a function that is needed");
        return false;
    }
    void *handle = NULL;
    int status = create(&handle), version = 0;
    /* In this order: a new stream takes the workspace away. */
    if (status == 0) status = set_stream(handle, stream);
    if (status == 0) status = set_workspace(handle, workspace, bytes);
    if (status == 0) status = set_math(handle, DEFAULT_MATH);
    if (status == 0) status = get_version(handle, &version);
    if (status != 0) {
        if (handle != NULL) blas->destroy(handle);
        snprintf(blas->about, sizeof blas->about, "cuBLAS does not start: its status is %d", status);
        return false;
    }
    blas->handle = handle;
    snprintf(blas->about, sizeof blas->about, "cuBLAS %d.%d.%d, default math without TF32", version / 10000,
             version / 100 % 100, version % 100);
    return true;
}

void gpu_cublas_close(gpu_cublas *blas)
{
    if (blas->handle != NULL) blas->destroy(blas->handle);
    blas->handle = NULL;
}

bool gpu_cublas_multiply(const gpu_cublas *blas, const gpu_product *p, const float *a, const float *b,
                         float *c)
{
    const float one = 1, zero = 0;
    /* By columns, as cuBLAS reads: C^T = B^T A^T, and a row-major matrix is its own transpose's columns. */
    const int turn_a = p->turn_a ? OP_T : OP_N, turn_b = p->turn_b ? OP_T : OP_N;
    const int a_row = p->turn_a ? p->m : p->k, b_row = p->turn_b ? p->k : p->n;
    int status;
    if (p->batch == 1)
        status = blas->product(blas->handle, turn_b, turn_a, p->n, p->m, p->k, &one, b, b_row, a, a_row,
                               &zero, c, p->n);
    else
        status = blas->products(blas->handle, turn_b, turn_a, p->n, p->m, p->k, &one, b, b_row,
                                (long long)p->k * p->n, a, a_row, (long long)p->m * p->k, &zero, c, p->n,
                                (long long)p->m * p->n, p->batch);
    if (status == 0) return true;
    mt_fail(MT_ERR_BACKEND, "cuBLAS refuses a product of %d x %d x %d: its status is %d", p->m, p->n, p->k,
            status);
    return false;
}
