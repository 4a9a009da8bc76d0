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

/* One share in the caller's mode; the thread, which the program's own regions use too, gets its own mode
 * back. Where share is 0, which is the caller's, its time is added to own. */
static inline void run_share(mt_share_fn run, const void *context, int share, int threads, mode caller,
                             int64_t *own)
{
    if (share == 0) {
        const int64_t begin = mt_ticks();
        run(context, 0, threads);
        *own += mt_ticks() - begin;
        return;
    }
    const mode before = get_mode();
    if (before != caller) set_mode(caller);
    run(context, share, threads);
    if (before != caller) set_mode(before);
}

/* What the threads need to know is passed by value, and the frame begins a cache line, so that the record of
 * it, which the compiler lays there, is one line that goes from the caller to the others; own, which the
 * caller alone writes, has another. */
void mt_share_region(int threads, mt_share_fn run, mt_share_fn then, const void *context)
{
    const mode caller = get_mode();
    const int64_t begin = mt_ticks();
    /* What the caller's shares take, without what it waits for before, between and after them. */
    _Alignas(MT_SHARE_LINE) int64_t own = 0;
    if (!then) {
#pragma omp parallel for num_threads(threads) schedule(static) firstprivate(run, context, threads, caller)
        for (int t = 0; t < threads; t++) run_share(run, context, t, threads, caller, &own);
    } else {
#pragma omp parallel num_threads(threads) firstprivate(run, then, context, threads, caller)
        {
#pragma omp for schedule(static)
            for (int t = 0; t < threads; t++) run_share(run, context, t, threads, caller, &own);
#pragma omp for schedule(static) nowait
            for (int t = 0; t < threads; t++) run_share(then, context, t, threads, caller, &own);
        }
    }
    mt_threads_note(threads, own, mt_ticks() - begin);
}
