/* ops_cpu/isa.c - what this processor has: the table of kernels for its best instruction set, and its last
 * cache.
 *
 * A set that the build has (MT_EACH_ISA, kernels.h) needs a row THERE_NAME here: whether the processor has
 * it.
 */
#define _POSIX_C_SOURCE 200809L
#include "kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define HAS(feature) (__builtin_cpu_supports(feature) != 0)
#define THERE_base   true
#define THERE_neon   true /* every aarch64 has it */
#define THERE_avx2   (HAS("avx2") && HAS("fma"))
#define THERE_avx512 (THERE_avx2 && HAS("avx512f") && HAS("avx512dq") && HAS("avx512vl") && HAS("avx512bw"))

static struct {
    const mt_cpu_kernels *kernels; /* NULL when MT_ISA names one that this processor does not have */
    double stream_bytes;           /* a larger result is streamed */
    char wish[16];
} settings;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The last set of the build's that is there, or the one of that name; NULL when that is not there. */
static const mt_cpu_kernels *best_kernels(const char *wish)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
#define CANDIDATE(isa) {THERE_##isa, &mt_cpu_kernels_##isa},
    const struct {
        bool there;
        const mt_cpu_kernels *kernels;
    } candidates[] = {MT_EACH_ISA(CANDIDATE)};
    const mt_cpu_kernels *best = NULL;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (candidates[i].there && (!*wish || strcmp(wish, candidates[i].kernels->isa) == 0))
            best = candidates[i].kernels;
    return best;
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

mt_status mt_cpu_kernels_found(void)
{
#define NAME(isa) ", " #isa
    static const char names[] = MT_EACH_ISA(NAME); /* with a comma before the first */
    pthread_once(&once, read_settings);
    if (settings.kernels) return MT_OK;
    return mt_fail(
        MT_ERR_BACKEND,
        "MT_ISA is \"%s\", which this processor or this build does not have; use one of %s, or leave "
        "it unset",
        settings.wish, names + 2);
}
