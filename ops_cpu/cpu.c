/* ops_cpu/cpu.c - the cpu backend: host memory, the choice of an instruction set, the number of threads, the
 * slots. */
#define _POSIX_C_SOURCE 200809L
#include "cpu.h"
#include "gemm_plan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#ifdef MT_OPENMP
#include <omp.h>
#endif

#include "tensor/arena.h"
#include "tensor/machine.h"

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

/* More would not find memory for their stacks. */
enum { MOST_THREADS = 1024 };

/* ---- instruction sets ---- */

static struct {
    const mt_cpu_kernels *kernels; /* NULL when MT_ISA names one that this processor does not have */
    int threads;
    double stream_bytes; /* a larger result is streamed */
    char wish[16];
} settings;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int wanted_threads;

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

#ifdef MT_OPENMP
/* OpenMP's threads do not survive a fork, and in the child the runtime would wait for them forever. Where
 * that could not be noticed, none are started. */
static atomic_bool lost_team;

static void after_fork_in_child(void) { atomic_store(&lost_team, true); }
#endif

/* The environment is read here, once. */
static void read_settings(void)
{
    const char *isa = getenv("MT_ISA");
    snprintf(settings.wish, sizeof settings.wish, "%s", isa ? isa : "");
    settings.kernels = best_kernels(settings.wish);
    settings.stream_bytes = stream_bytes();
#ifdef MT_OPENMP
    /* What OMP_NUM_THREADS or the program asked of OpenMP; else the processors that may be used, but no more
     * than a container's quota of time lets run at once: a thread beyond it waits while the others spin. */
    settings.threads = omp_get_max_threads();
    const int quota = mt_machine_processors("");
    if (!getenv("OMP_NUM_THREADS") && settings.threads == omp_get_num_procs() && settings.threads > quota)
        settings.threads = quota;
    if (settings.threads > MOST_THREADS) settings.threads = MOST_THREADS;
    atomic_store(&lost_team, pthread_atfork(NULL, NULL, after_fork_in_child) != 0);
#else
    settings.threads = 1;
#endif
}

const mt_cpu_kernels *mt_cpu_kernels_get(void)
{
    pthread_once(&once, read_settings);
    return settings.kernels ? settings.kernels : &mt_cpu_kernels_base;
}

/* ---- threads ---- */

mt_status mt_set_threads(int n)
{
    if (n < 1 || n > MOST_THREADS)
        return mt_fail(MT_ERR_VALUE, "%d threads; give a number from 1 to %d", n, MOST_THREADS);
    atomic_store(&wanted_threads, n);
    return MT_OK;
}

int mt_get_threads(void)
{
#ifdef MT_OPENMP
    int wanted = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (wanted) return wanted;
    pthread_once(&once, read_settings);
    return settings.threads;
#else
    return 1;
#endif
}

#ifdef MT_OPENMP
static void *stand(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* How many threads a team can have, up to the number given. OpenMP's runtime ends the process when the system
 * refuses it a thread (a limit on threads, or on memory for their stacks), so the system is asked before:
 * threads are started, wait until all are there, and end. There are twice as many as the team needs, since
 * the system may count one that has ended a moment longer. Their stacks have a megabyte more than usual: the
 * C library keeps them mapped for the next thread that asks for no more, which shall be the runtime's. */
static int threads_to_be_had(int threads)
{
    pthread_t thread[2 * MOST_THREADS];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_attr_t larger;
    size_t stack = 0;
    int count = 0;
    if (pthread_attr_init(&larger) != 0) return 1;
    if (pthread_attr_getstacksize(&larger, &stack) == 0)
        pthread_attr_setstacksize(&larger, stack + ((size_t)1 << 20));
    pthread_mutex_lock(&gate);
    while (count < 2 * (threads - 1) && pthread_create(&thread[count], &larger, stand, &gate) == 0) count++;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < count; i++) pthread_join(thread[i], NULL);
    pthread_attr_destroy(&larger);
    return count / 2 + 1;
}

/* What the calling thread's teams may have: asked for before its first one, and before a larger one than yet.
 * Each thread of a program has OpenMP threads of its own. */
static int team_of(int threads)
{
    static _Thread_local int asked, had;
    if (threads > asked) {
        had = threads_to_be_had(threads);
        asked = threads;
    }
    return threads < had ? threads : had;
}
#endif

/* Starting a team costs some microseconds; below this much work one thread is done sooner. */
enum { GRAIN = 65536 };

int mt_cpu_threads(double work)
{
#ifdef MT_OPENMP
    if (work < GRAIN) return 1;
    pthread_once(&once, read_settings);
    int threads = mt_get_threads();
    if (threads == 1 || omp_in_parallel() || atomic_load_explicit(&lost_team, memory_order_relaxed)) return 1;
    return team_of(threads);
#else
    (void)work;
    return 1;
#endif
}

bool mt_cpu_streams(double bytes)
{
    if (bytes < 4 << 20) return false;
    pthread_once(&once, read_settings);
    return bytes >= settings.stream_bytes;
}

/* ---- the backend ---- */

static int describe(mt_backend *backend, char *text, size_t size)
{
    (void)backend;
#ifdef MT_OPENMP
    const char *build = "";
#else
    const char *build = " (serial build)";
#endif
    const mt_cpu_kernels *kernels = mt_cpu_kernels_get();
    char products[160] = "";
    mt_gemm_counts(products, sizeof products);
    return snprintf(text, size, "threads %d%s, isa %s, matmul tiles of %d x %d, products by path: %s",
                    mt_get_threads(), build, kernels->isa, kernels->gemm->mr, kernels->gemm->nr,
                    *products ? products : "none");
}

static mt_backend cpu = {
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
    if (settings.kernels) return &cpu;
    mt_fail(
        MT_ERR_BACKEND,
        "MT_ISA is \"%s\", which this processor or this build does not have; use base, avx2 or avx512, or "
        "leave it unset",
        settings.wish);
    return NULL;
}
