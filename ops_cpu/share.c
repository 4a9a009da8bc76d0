/* ops_cpu/share.c - parallel regions: the floating-point mode of the threads in them, and how long their
 * callers wait (see share.h, threads.h). */
#include "share.h"
#include "threads.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <fenv.h>
#endif

/* ---- the mode: all that decides what an operation gives, without the flags of what has happened ---- */

#if defined(__SSE2__)
typedef unsigned mode;
enum { FLAGS = 0x3f };
static mode get_mode(void) { return _mm_getcsr() & ~(unsigned)FLAGS; }
static void set_mode(mode m) { _mm_setcsr((_mm_getcsr() & FLAGS) | m); }
#elif defined(__aarch64__)
typedef uint64_t mode; /* FPCR; the flags stand in FPSR */
static mode get_mode(void)
{
    mode m;
    __asm__ volatile("mrs %0, fpcr" : "=r"(m));
    return m;
}
static void set_mode(mode m) { __asm__ volatile("msr fpcr, %0" : : "r"(m)); }
#else
typedef int mode; /* the rounding mode is all that C knows */
static mode get_mode(void) { return fegetround(); }
static void set_mode(mode m) { fesetround(m); }
#endif

/* ---- regions ---- */

struct region {
    int threads;
    const void *context;
    mode mode;  /* the caller's */
    double own; /* seconds: what the caller's shares took, without what it waited for before, between and
                   after them; it has those of number 0 */
};

/* One share in the region's mode; the thread, which the program's own regions use too, gets its own mode
 * back. */
static void run_share(struct region *region, mt_share_fn run, int share)
{
    const double begin = share == 0 ? mt_now() : 0;
    const mode own = get_mode();
    if (own != region->mode) set_mode(region->mode);
    run(region->context, share, region->threads);
    if (own != region->mode) set_mode(own);
    if (share == 0) region->own += mt_now() - begin;
}

void mt_share_region(int threads, mt_share_fn run, mt_share_fn then, const void *context)
{
    struct region region = {threads, context, get_mode(), 0};
    const double begin = mt_now();
    if (!then) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int t = 0; t < threads; t++) run_share(&region, run, t);
    } else {
#pragma omp parallel num_threads(threads)
        {
#pragma omp for schedule(static)
            for (int t = 0; t < threads; t++) run_share(&region, run, t);
#pragma omp for schedule(static) nowait
            for (int t = 0; t < threads; t++) run_share(&region, then, t);
        }
    }
    const double end = mt_now();
    mt_threads_note(end, threads, region.own, end - begin - region.own);
}
