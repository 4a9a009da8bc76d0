/* ceilings.c - copy, read and multiply-add loops, as fast as the machine runs them (see ceilings.h).
 *
 * The loops are written once on vectors of 64 bytes and compiled for what the processor has; the compiler
 * takes as many registers as such a vector needs.
 */
#define _DEFAULT_SOURCE /* madvise */
#define _POSIX_C_SOURCE 200809L
#include "ceilings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float wide __attribute__((vector_size(64), may_alias));
enum { LANES = 16 };

/* ---- the loops ---- */

#define READ_BODY                                                   \
    {                                                               \
        const wide *x = (const wide *)(const void *)in;             \
        wide a = {0}, b = a, c = a, d = a;                          \
        for (size_t i = 0; i < n / LANES; i += 4) {                 \
            a += x[i], b += x[i + 1], c += x[i + 2], d += x[i + 3]; \
        }                                                           \
        a += b + c + d;                                             \
        float sum = 0;                                              \
        for (int i = 0; i < LANES; i++) sum += a[i];                \
        return sum;                                                 \
    }

/* steps multiply-adds on each of COUNT registers of TYPE, enough to hide their latency; up to 16 the compiler
 * unrolls the inner loop. The values stay near 1. */
#define FMA_BODY(TYPE, COUNT, SET, FMA, FIRST)                                  \
    {                                                                           \
        TYPE sum[COUNT];                                                        \
        const TYPE factor = SET(0.5f), term = SET(0.5f * start);                \
        for (int i = 0; i < COUNT; i++) sum[i] = SET(start + (float)i * 1e-3f); \
        for (size_t step = 0; step < steps; step++)                             \
            for (int i = 0; i < COUNT; i++) sum[i] = FMA(sum[i], factor, term); \
        float total = 0;                                                        \
        for (int i = 0; i < COUNT; i++) total += FIRST(sum[i]);                 \
        return total;                                                           \
    }

#if defined(__x86_64__)
static void copy_stream(size_t n, float *out, const float *in)
{
    for (size_t i = 0; i < n; i += 16) {
        _mm_stream_ps(out + i, _mm_load_ps(in + i));
        _mm_stream_ps(out + i + 4, _mm_load_ps(in + i + 4));
        _mm_stream_ps(out + i + 8, _mm_load_ps(in + i + 8));
        _mm_stream_ps(out + i + 12, _mm_load_ps(in + i + 12));
    }
    _mm_sfence();
}
#define MUL_ADD(x, y, z) _mm_add_ps(_mm_mul_ps(x, y), z)
static float fma_narrow(size_t steps, float start) FMA_BODY(__m128, 12, _mm_set1_ps, MUL_ADD, _mm_cvtss_f32)
    __attribute__((target("avx2,fma"))) static float fma_avx2(size_t steps, float start)
        FMA_BODY(__m256, 12, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32)
            __attribute__((target("avx512f"))) static float fma_avx512(size_t steps, float start)
                FMA_BODY(__m512, 12, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32)
                    __attribute__((target("avx2"))) static float read_avx2(size_t n,
                                                                           const float *in) READ_BODY
    __attribute__((target("avx512f"))) static float read_avx512(size_t n, const float *in) READ_BODY
#else
static void copy_stream(size_t n, float *out, const float *in) { memcpy(out, in, n * sizeof *out); }
#if defined(__aarch64__)
#define NEON_FMA(x, y, z) vfmaq_f32(z, x, y)
#define NEON_FIRST(x)     vgetq_lane_f32(x, 0)
static float fma_narrow(size_t steps, float start)
    FMA_BODY(float32x4_t, 16, vdupq_n_f32, NEON_FMA, NEON_FIRST)
#else
#define PLAIN_SET(x)       (x)
#define PLAIN_FMA(x, y, z) ((x) * (y) + (z))
static float fma_narrow(size_t steps, float start) FMA_BODY(float, 16, PLAIN_SET, PLAIN_FMA, PLAIN_SET)
#endif
#endif
    static float read_narrow(size_t n, const float *in) READ_BODY

    /* ---- over threads ---- */

    typedef struct job {
    int threads, lanes; /* lanes of a vector, for counting */
    int registers;
    size_t n, steps; /* numbers in all, a multiple of 64 for each thread */
    float *out, *in, *sums;
    float (*read)(size_t n, const float *in);
    float (*fma)(size_t steps, float start);
} job;

enum { APART = 16 }; /* sums of two threads lie in two cache lines */

static bool copy_all(void *context)
{
    const job *self = context;
    const size_t share = self->n / (size_t)self->threads;
#pragma omp parallel for num_threads(self->threads) schedule(static)
    for (int t = 0; t < self->threads; t++)
        copy_stream(share, self->out + (size_t)t * share, self->in + (size_t)t * share);
    return true;
}

static bool read_all(void *context)
{
    const job *self = context;
    const size_t share = self->n / (size_t)self->threads;
#pragma omp parallel for num_threads(self->threads) schedule(static)
    for (int t = 0; t < self->threads; t++)
        self->sums[t * APART] = self->read(share, self->in + (size_t)t * share);
    return true;
}

static bool fma_all(void *context)
{
    const job *self = context;
#pragma omp parallel for num_threads(self->threads) schedule(static)
    for (int t = 0; t < self->threads; t++) self->sums[t * APART] = self->fma(self->steps, 1 + self->in[t]);
    return true;
}

static const char *choose(job *self)
{
    self->read = read_narrow;
    self->fma = fma_narrow;
#if defined(__x86_64__)
    self->lanes = 4, self->registers = 12;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) {
        self->read = read_avx512;
        self->fma = fma_avx512;
        self->lanes = 16;
        return "AVX-512";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        self->read = read_avx2;
        self->fma = fma_avx2;
        self->lanes = 8;
        return "AVX2 and FMA";
    }
    return "SSE, multiplication and addition";
#elif defined(__aarch64__)
    self->lanes = 4, self->registers = 16;
    return "NEON";
#else
    self->lanes = 1, self->registers = 16;
    return "plain C";
#endif
}

/* Arrays of several times the last cache. */
static size_t stream_bytes(bool quick)
{
    size_t cache = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    const long known = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (known > 0) cache = (size_t)known;
#endif
    const size_t bytes = cache * (quick ? 1 : 4), least = (size_t)32 << 20,
                 most = (size_t)(quick ? 64 : 256) << 20;
    return bytes < least ? least : bytes > most ? most : bytes;
}

/* Memory as the library has it: the system is asked for huge pages. */
static float *stream_array(size_t n)
{
    const size_t page = (size_t)2 << 20;
    float *array = aligned_alloc(page, (n * sizeof(float) + page - 1) / page * page);
#ifdef MADV_HUGEPAGE
    if (array != NULL) madvise(array, n * sizeof(float), MADV_HUGEPAGE);
#endif
    return array;
}

static bool open_job(job *self, int threads, bool quick)
{
    const size_t unit = (size_t)threads * 64;
    self->threads = threads;
    self->n = stream_bytes(quick) / sizeof(float) / unit * unit;
    self->in = stream_array(self->n);
    self->out = stream_array(self->n);
    self->sums = aligned_alloc(64, (size_t)threads * APART * sizeof(float));
    if (self->in == NULL || self->out == NULL || self->sums == NULL) {
        fprintf(stderr, "no memory is left for arrays of %zu bytes; close other programs\n",
                self->n * sizeof(float));
        return false;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++) {
        const size_t share = self->n / (size_t)threads;
        memset(self->in + (size_t)t * share, 0, share * sizeof(float));
        memset(self->out + (size_t)t * share, 0, share * sizeof(float));
    }
    return true;
}

static void close_job(job *self)
{
    free(self->in);
    free(self->out);
    free(self->sums);
}

double bench_fma_now(const bench_options *options, int threads)
{
    job self = {.threads = threads, .steps = options->quick ? 20000 : 200000};
    bench_time time = {.best = NAN};
    choose(&self);
    self.in = calloc((size_t)threads, sizeof *self.in);
    self.sums = aligned_alloc(64, (size_t)threads * APART * sizeof(float));
    if (self.in != NULL && self.sums != NULL) {
        bench_effort effort = bench_effort_of(options);
        effort.samples *= 4; /* the best of many: what follows is measured against it */
        bench_measure(&effort, fma_all, &self, &time);
    } else {
        fprintf(stderr, "no memory is left for the sums of %d threads; close other programs\n", threads);
    }
    close_job(&self);
    return 2e-9 * (double)self.steps * self.registers * self.lanes * (double)threads / time.best;
}

bool bench_ceilings_measure(const bench_options *options, int threads, bench_ceilings *ceilings)
{
    job self = {.threads = threads};
    *ceilings = (bench_ceilings){.vector = choose(&self), .threads = threads};
    bench_time copy = {.best = 1}, read = {.best = 1};
    const bool there = open_job(&self, threads, options->quick);
    if (there) {
        bench_effort effort = bench_effort_of(options);
        effort.samples *= 4;
        bench_measure(&effort, copy_all, &self, &copy);
        bench_measure(&effort, read_all, &self, &read);
    }
    close_job(&self);
    /* The best, not the median: a ceiling is what the machine can do. */
    const double bytes = (double)self.n * sizeof(float);
    ceilings->copy = 2e-9 * bytes / copy.best;
    ceilings->read = 1e-9 * bytes / read.best;
    ceilings->fma = bench_fma_now(options, threads);
    return there && isfinite(ceilings->fma);
}

double bench_ceiling_now(const bench_options *options, int threads, bool copies)
{
    job self = {.threads = threads};
    choose(&self);
    bench_time time = {.median = NAN};
    if (open_job(&self, threads, options->quick)) {
        const bench_effort effort = bench_effort_of(options);
        bench_measure(&effort, copies ? copy_all : read_all, &self, &time);
    }
    close_job(&self);
    return (copies ? 2e-9 : 1e-9) * (double)self.n * sizeof(float) / time.median;
}
