/* ops_cpu/threads.c - how many threads an operation gets (see threads.h, and mt_cpu_threads in kernels.h). */
#define _POSIX_C_SOURCE 200809L
#include "threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#ifdef MT_OPENMP
#include <omp.h>
#endif

#include "kernels.h"
#include "tensor/machine.h"

/* ---- what was asked for ---- */

/* What mt_set_threads takes at most; the stacks of more threads need more memory than most limits allow. */
enum { MOST_THREADS = 1024 };

static atomic_int wanted_threads; /* the n of mt_set_threads; 0: it has not been called */
static _Thread_local mt_ledger ledger;
static double first_time;   /* mt_now() when the settings were read, in seconds */
static int64_t first_ticks; /* mt_ticks() at the same moment */
#ifdef MT_OPENMP
static int default_threads;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* No operation may start a team: set in a child of fork, where OpenMP's threads are gone and its runtime
 * would wait for them forever, and where pthread_atfork failed, since a fork would not be noticed then. */
static atomic_bool lost_team;

static void after_fork_in_child(void) { atomic_store(&lost_team, true); }

static void read_settings(void)
{
    first_time = mt_now();
    first_ticks = mt_ticks();
    /* What OMP_NUM_THREADS or the program asked of OpenMP; else the processors that may be used, but no more
     * than a container's quota of time lets run at once: a thread beyond it waits while the others spin. */
    default_threads = omp_get_max_threads();
    const int quota = mt_machine_processors("");
    if (!getenv("OMP_NUM_THREADS") && default_threads == omp_get_num_procs() && default_threads > quota)
        default_threads = quota;
    if (default_threads > MOST_THREADS) default_threads = MOST_THREADS;
    atomic_store(&lost_team, pthread_atfork(NULL, NULL, after_fork_in_child) != 0);
}
#endif

mt_status mt_set_threads(int n)
{
    if (n < 1 || n > MOST_THREADS)
        return mt_fail(MT_ERR_VALUE, "%d threads; give a number from 1 to %d", n, MOST_THREADS);
    atomic_store(&wanted_threads, n);
    ledger = (mt_ledger){0};
    return MT_OK;
}

int mt_get_threads(void)
{
#ifdef MT_OPENMP
    int wanted = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (wanted) return wanted;
    pthread_once(&once, read_settings);
    return default_threads;
#else
    return 1;
#endif
}

void mt_threads_prepare(void)
{
#ifdef MT_OPENMP
    pthread_once(&once, read_settings);
#endif
}

/* ---- what the system has ---- */

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

/* ---- what pays ---- */

/* Seconds. A region that lost less is not counted as a loss: a time slice that another program takes from a
 * thread is longer, a millisecond or more. */
static const double LEAST_LOSS = 200e-6;
/* Seconds. The most that one region counts as lost. Time slices and the period of a container's quota (100
 * ms) are no longer; whoever waits longer was stopped, by a debugger or with the machine. */
static const double LONGEST_LOSS = 0.1;
/* Loss number i of a debt, from 0, keeps the team small for 4^i times as long as it took; i is this at most.
 */
enum { MOST_LOSSES = 3 };
/* Seconds that one elementary step (see mt_cpu_threads) takes one thread, about: for a comparison of work
 * with losses, where a factor of two does not matter. */
static const double SECONDS_A_STEP = 0.1e-9;

void mt_ledger_note(mt_ledger *l, double now, int threads, double own, double waited)
{
    const double gain = (threads - 1) * own - waited;
    if (gain >= -LEAST_LOSS) {
        l->debt -= gain;
        if (l->debt <= 0) l->debt = 0, l->losses = 0;
        return;
    }
    l->loss = -gain < LONGEST_LOSS ? -gain : LONGEST_LOSS;
    l->debt = l->debt / 2 + l->loss; /* what was lost long ago counts less */
    l->until = now + l->loss * (1 << 2 * l->losses);
    l->team = threads / 2;
    if (l->losses < MOST_LOSSES) l->losses++;
}

int mt_ledger_team(mt_ledger *l, double now, int threads, double work)
{
    if (l->until == 0) return threads;
    /* A team saves work (threads - 1) / threads. Where that is more than the last loss, the region gains even
     * if the same is lost again. */
    if (work * SECONDS_A_STEP * (threads - 1) / threads > l->loss) return threads;
    if (now >= l->until) {
        l->team *= 2;
        l->until = now + l->loss;
    }
    if (l->team < threads) return l->team;
    l->until = 0;
    return threads;
}

double mt_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static atomic_bool no_account;

/* LEAST_LOSS in ticks: a shorter region cannot have lost as much. 0 until mt_threads_note has compared the
 * counter with the clock. */
static _Atomic int64_t short_ticks;

void mt_threads_note(int threads, int64_t own, int64_t all)
{
    if (all < atomic_load_explicit(&short_ticks, memory_order_relaxed) && ledger.debt == 0) return;
    if (atomic_load_explicit(&no_account, memory_order_relaxed)) return;
    /* The counter is read behind the clock at first, and before it now: a pause between them makes ticks
     * longer, so that no loss is overlooked. */
    const int64_t ticks = mt_ticks() - first_ticks;
    const double now = mt_now(), since = now - first_time;
    if (ticks <= 0 || since <= 0) return; /* a counter that was set back, or too early to compare */
    const double tick = since / (double)ticks;
    atomic_store_explicit(&short_ticks, (int64_t)(LEAST_LOSS / tick), memory_order_relaxed);
    mt_ledger_note(&ledger, now, threads, tick * (double)own, tick * (double)(all - own));
}

void mt_threads_keep_account(bool keep)
{
    atomic_store(&no_account, !keep);
    ledger = (mt_ledger){0};
}

/* Elementary steps, about 6.5 us of one thread. Starting a team costs some microseconds, so with less work
 * one thread is done sooner. */
enum { GRAIN = 65536 };

int mt_cpu_threads(double work)
{
#ifdef MT_OPENMP
    if (work < GRAIN) return 1;
    pthread_once(&once, read_settings);
    int threads = mt_get_threads();
    if (threads == 1 || omp_in_parallel() || atomic_load_explicit(&lost_team, memory_order_relaxed)) return 1;
    threads = team_of(threads);
    if (ledger.until == 0 || atomic_load_explicit(&no_account, memory_order_relaxed)) return threads;
    return mt_ledger_team(&ledger, mt_now(), threads, work);
#else
    (void)work;
    return 1;
#endif
}
