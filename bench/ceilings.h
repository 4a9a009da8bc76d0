/* ceilings.h - what the machine can do at most, measured in the same run as everything it is compared with:
 * a copy with streaming stores and a read-only sum, both of arrays far larger than the last cache, and
 * multiply-adds on registers.
 */
#ifndef BENCH_CEILINGS_H
#define BENCH_CEILINGS_H

#include "harness.h"

typedef struct bench_ceilings {
    double copy;        /* GB/s, read and written bytes together */
    double read;        /* GB/s */
    double fma;         /* GFLOP/s in single precision, an FMA counting as two */
    const char *vector; /* the instructions that fma was measured with */
    int threads;
} bench_ceilings;

/* Measures with that many threads. False with a sentence on stderr when memory runs out. */
bool bench_ceilings_measure(const bench_options *options, int threads, bench_ceilings *ceilings);

/* The median rate of the copy or of the read-only loop at this moment, in GB/s: memory that other machines
 * use too is faster in one minute than in the next. NaN with a sentence when memory runs out. */
double bench_ceiling_now(const bench_options *options, int threads, bool copies);

/* The best multiply-add rate at this moment, in GFLOP/s; NaN with a sentence when memory runs out. */
double bench_fma_now(const bench_options *options, int threads);

#endif
