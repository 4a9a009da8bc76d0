/* bind.h - each OpenMP thread on a processor of its own while something is timed.
 *
 * After a pause the Linux scheduler may wake a sleeping worker on the processor where its master already
 * runs; until it notices, milliseconds later, two threads share one processor and every parallel loop takes
 * twice its time or more. A bench must not time that. A program avoids it with OMP_PROC_BIND=true.
 *
 * Elsewhere than on Linux, and with fewer processors than threads, these do nothing.
 */
#ifndef BENCH_BIND_H
#define BENCH_BIND_H

/* Binds the calling thread and the workers of its next parallel regions of that many threads. */
void bench_bind(int threads);

/* Gives the calling thread all its processors back: before it makes threads or processes of others, which
 * inherit them.
 */
void bench_unbind(void);

#endif
