/* ops_cpu/cpu.c - the cpu backend: host memory, the choice of an instruction set, the slots. */
#define _POSIX_C_SOURCE 200809L
#include "cpu.h"
#include "gemm_plan.h"
#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "tensor/arena.h"

/* ---- memory on the host ---- */

void *mt_host_allocate(mt_backend *backend, size_t bytes)
{
    (void)backend;
    return mt_alloc(bytes);
}

void mt_host_release(mt_backend *backend, void *pointer, size_t bytes)
{
    (void)backend;
    mt_free(pointer, bytes);
}

void mt_host_mark(mt_backend *backend, void *pointer, size_t bytes, bool live)
{
    (void)backend;
    mt_arena_source host = mt_host_arena_source();
    if (host.mark) host.mark(host.context, pointer, bytes, live);
}

mt_status mt_host_copy(mt_backend *backend, void *to, const void *from, size_t bytes)
{
    (void)backend;
    if (bytes) memcpy(to, from, bytes);
    return MT_OK;
}

/* ---- instruction sets ---- */

static struct {
    const mt_cpu_kernels *kernels; /* NULL when MT_ISA names one that this processor does not have */
    double stream_bytes;           /* a larger result is streamed */
    char wish[16];
} settings;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const mt_cpu_kernels *best_kernels(const char *wish)
{
    const mt_cpu_kernels *best = &mt_cpu_kernels_base;
    bool named = strcmp(wish, best->isa) == 0;
#ifdef MT_HAVE_X86
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    const struct {
        bool there;
        const mt_cpu_kernels *kernels;
    } candidates[] = {{avx2, &mt_cpu_kernels_avx2}, {avx512, &mt_cpu_kernels_avx512}};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        if (!candidates[i].there || named) continue;
        best = candidates[i].kernels;
        named = strcmp(wish, best->isa) == 0;
    }
#endif
    return *wish && !named ? NULL : best;
}

/* Bytes of the last cache; 0 when nobody tells. What sysconf says of AMD's in a virtual machine is wrong. */
static double last_cache(void)
{
    double bytes = 0;
#if defined(__x86_64__)
    static const unsigned leaves[] = {4, 0x8000001du}; /* Intel's, AMD's */
    for (int i = 0; i < 2 && bytes == 0; i++) {
        unsigned a, b, c, d;
        for (unsigned k = 0; k < 8 && __get_cpuid_count(leaves[i], k, &a, &b, &c, &d) && a & 31; k++)
            if ((a & 31) != 2 && (a >> 5 & 7) >= 2) /* not for instructions, and level 2 or more */
                bytes = ((b >> 22) + 1.0) * ((b >> 12 & 1023) + 1.0) * ((b & 4095) + 1.0) * (c + 1.0);
    }
#elif defined(_SC_LEVEL3_CACHE_SIZE)
    bytes = (double)sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return bytes;
}

/* Half of the last cache: the operands want the other half. A cache of a hundred megabytes is other
 * programs' too. */
static double stream_bytes(void)
{
    const double half = last_cache() / 2, least = 4 << 20, most = 32 << 20, unknown = 8 << 20;
    return half <= 0 ? unknown : half < least ? least : half > most ? most : half;
}

/* The environment is read here, and in threads.c, once. */
static void read_settings(void)
{
    const char *isa = getenv("MT_ISA");
    snprintf(settings.wish, sizeof settings.wish, "%s", isa ? isa : "");
    settings.kernels = best_kernels(settings.wish);
    settings.stream_bytes = stream_bytes();
}

const mt_cpu_kernels *mt_cpu_kernels_get(void)
{
    pthread_once(&once, read_settings);
    return settings.kernels ? settings.kernels : &mt_cpu_kernels_base;
}

bool mt_cpu_streams(double bytes)
{
    if (bytes < 4 << 20) return false;
    pthread_once(&once, read_settings);
    return bytes >= settings.stream_bytes;
}

/* ---- the backend ---- */

static void describe(mt_backend *backend, mt_backend_facts *facts)
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
    .allocate = mt_host_allocate,
    .release = mt_host_release,
    .mark = mt_host_mark,
    .upload = mt_host_copy,
    .download = mt_host_copy,
    .fill = mt_cpu_fill,
    .copy = mt_cpu_copy,
    .map = mt_cpu_elementwise,
    .zip = mt_cpu_elementwise,
    .reduce = mt_cpu_reduce,
    .scatter = mt_cpu_scatter,
    .rows = mt_cpu_rows,
    .matmul = mt_cpu_matmul,
    .random = mt_cpu_random,
    .permutation = mt_cpu_permutation,
    .update = mt_cpu_update,
    .describe = describe,
};

mt_backend *mt_backend_cpu(void)
{
    pthread_once(&once, read_settings);
    mt_threads_prepare();
    if (settings.kernels) return &cpu;
    mt_fail(
        MT_ERR_BACKEND,
        "MT_ISA is \"%s\", which this processor or this build does not have; use base, avx2 or avx512, or "
        "leave it unset",
        settings.wish);
    return NULL;
}
