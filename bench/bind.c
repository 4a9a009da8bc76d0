/* bind.c - threads on processors (see bind.h). */
#define _GNU_SOURCE /* sched_setaffinity */
#include "bind.h"

#if defined __linux__ && defined _OPENMP
#include <omp.h>
#include <sched.h>
#include <stdbool.h>

static cpu_set_t all; /* what the program was started with */
static int count;     /* how many processors are in it */

static bool know_all(void)
{
    if (count == 0 && sched_getaffinity(0, sizeof all, &all) == 0) count = CPU_COUNT(&all);
    return count > 0;
}

static int nth_processor(int n)
{
    int cpu = 0;
    for (; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && n-- == 0) break;
    }
    return cpu;
}

void bench_bind(int threads)
{
    if (threads < 2 || !know_all() || threads > count) return;
#pragma omp parallel num_threads(threads)
    {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(nth_processor(omp_get_thread_num()), &one);
        sched_setaffinity(0, sizeof one, &one);
    }
}

void bench_unbind(void)
{
    if (know_all()) sched_setaffinity(0, sizeof all, &all);
}

#else
void bench_bind(int threads) { (void)threads; }
void bench_unbind(void) {}
#endif
