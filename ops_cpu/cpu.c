/* ops_cpu/cpu.c - the cpu backend: host memory and the slots. */
#include "cpu.h"
#include "gemm_plan.h"
#include "threads.h"

#include <stdio.h>
#include <string.h>

#include "tensor/arena.h"

/* ---- memory on the host ---- */

void *mt_cpu_allocate(mt_backend *backend, size_t bytes)
{
    (void)backend;
    return mt_alloc(bytes);
}

void mt_cpu_release(mt_backend *backend, void *pointer, size_t bytes)
{
    (void)backend;
    mt_free(pointer, bytes);
}

void mt_cpu_mark(mt_backend *backend, void *pointer, size_t bytes, bool live)
{
    (void)backend;
    mt_arena_source host = mt_host_arena_source();
    if (host.mark) host.mark(host.context, pointer, bytes, live);
}

mt_status mt_cpu_upload(mt_backend *backend, void *to, const void *from, size_t bytes)
{
    (void)backend;
    if (bytes) memcpy(to, from, bytes);
    return MT_OK;
}

/* ---- the backend ---- */

void mt_cpu_describe(mt_backend *backend, mt_backend_facts *facts)
{
    (void)backend;
#ifdef MT_OPENMP
    const char *build = "";
#else
    const char *build = "serial build, ";
#endif
    const mt_cpu_kernels *kernels = mt_cpu_kernels_get();
    char products[160] = "";
    mt_gemm_counts(products, sizeof products);
    facts->threads = mt_get_threads();
    snprintf(facts->isa, sizeof facts->isa, "%s", kernels->isa);
    snprintf(facts->words, sizeof facts->words, "%smatmul tiles of %d x %d, products by path: %s", build,
             kernels->gemm->mr, kernels->gemm->nr, *products ? products : "none");
}

static mt_backend cpu = {
    .size = sizeof(mt_backend),
    .name = "cpu",
    .summary = "OpenMP threads and vector instructions",
    .host = true,
#define MT_SLOT(need, result, name, parameters, text) .name = mt_cpu_##name,
#include "tensor/slots.inc"
};

mt_backend *mt_backend_cpu(void)
{
    mt_threads_prepare();
    return mt_cpu_kernels_found() == MT_OK ? &cpu : NULL;
}
