/* ops_cpu/threads.h - how many threads an operation gets: what was asked for, what the system has, and what
 * pays.
 *
 * A team of threads pays on a machine that has a processor for each. Where other programs want the processors
 * too, a thread of the team may be without one when a region begins, or lose it within; its caller then waits
 * a time slice, milliseconds for microseconds of work. So each region's wait is measured, and after a loss
 * the calling thread's teams are smaller for a while: a ledger keeps account. Results do not depend on it.
 */
#ifndef MT_THREADS_H
#define MT_THREADS_H

#include "tensor/base.h"

/* The account of one calling thread. Times are seconds. All zero is a thread that has lost nothing. */
typedef struct mt_ledger {
    double loss;  /* of the last region that took longer than its work would have taken one thread */
    double debt;  /* lost, and not yet gained again by regions that paid */
    double until; /* when the team may grow again; 0: it has not been made smaller */
    int team;     /* how many threads it has until then */
    int losses;   /* since there was no debt */
} mt_ledger;

MT_BEGIN
/* Reads the environment and watches for forks, once: before the first team of anybody's in the process, if it
 * can be. */
MT_INTERNAL void mt_threads_prepare(void);

/* Notes a region of so many threads, over at the time now, in which the caller worked for own seconds and
 * waited for waited, before, between and after its shares. It saved (threads - 1) own, the others' work, and
 * lost waited; a balance below -200 us is a loss. The team is halved for as long as the loss took; after the
 * next ones for 4, 16, 64 times as long as they took, so that in the end regions which lose take 1/64 of the
 * time. When the savings since have paid the debt, counting begins anew. A loss counts as 100 ms at most:
 * what takes longer is a program that was stopped. */
MT_INTERNAL void mt_ledger_note(mt_ledger *ledger, double now, int threads, double own, double waited);
/* Of so many threads, how many a region for that much work should have at that time. */
MT_INTERNAL int mt_ledger_team(mt_ledger *ledger, double now, int threads, double work);

/* Notes a region in the calling thread's own account; times are in ticks, all of it and the caller's own.
 * Where nothing is owed, one too short for a loss is passed by. */
MT_INTERNAL void mt_threads_note(int threads, int64_t own, int64_t all);
/* Whether accounts are kept, as they are at first. Without, every team is whole: for tests and programs that
 * count what a team does or holds. */
MT_INTERNAL void mt_threads_keep_account(bool keep);
/* Seconds of a clock that never goes back. */
MT_INTERNAL double mt_now(void);
MT_END

/* Ticks of a counter that is read in some nanoseconds: the processor's, where programs may read one, else
 * the clock's nanoseconds. How long a tick is, threads.c measures by the clock. */
static inline int64_t mt_ticks(void)
{
#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE2__))
    return (int64_t)__builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    int64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return (int64_t)(1e9 * mt_now());
#endif
}

#endif
