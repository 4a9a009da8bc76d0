/* ops_cpu/share.c - parallel regions, and the floating-point mode of the threads in them (see share.h). */
#include "share.h"

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

/* One share in that mode; the thread, which the program's own regions use too, gets its own mode back. */
static void run_share(mt_share_fn run, const void *context, int share, int shares, mode callers)
{
    const mode own = get_mode();
    if (own != callers) set_mode(callers);
    run(context, share, shares);
    if (own != callers) set_mode(own);
}

/* ---- regions ---- */

void mt_share_region(int threads, mt_share_fn run, mt_share_fn then, const void *context)
{
    const mode callers = get_mode();
    if (!then) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int t = 0; t < threads; t++) run_share(run, context, t, threads, callers);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int t = 0; t < threads; t++) run_share(run, context, t, threads, callers);
#pragma omp for schedule(static) nowait
        for (int t = 0; t < threads; t++) run_share(then, context, t, threads, callers);
    }
}
