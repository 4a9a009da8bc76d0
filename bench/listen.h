/* listen.h - watches the cpu backend at work: which thread calls which kernel, with what, and how many
 * threads were asked for.
 *
 * The drivers of ops_cpu ask mt_cpu_kernels_get for their inner loops and mt_cpu_threads for their number of
 * threads. This program is linked with --wrap for both, so it can hand them a table whose entries note each
 * call and pass it on. Where the linker knows no --wrap, nothing is heard and listen_works is false.
 */
#ifndef BENCH_LISTEN_H
#define BENCH_LISTEN_H

#include "ops_cpu/kernels.h"

enum { LISTEN_THREADS = 64, LISTEN_NAMES = 16 };

/* The calls of one kernel: "tile", "fold", "columns", "combine", "arg", "arg_rows", "direct", "dot",
 * "packed",
 * ... */
typedef struct listen_kernel {
    const char *name;
    int64_t calls, by_thread[LISTEN_THREADS];
    int64_t least, most, second_most; /* elements of a row (rows of C for a product); columns of C, rows */
    int shared;                       /* places where two threads began to write */
    const void *lowest;               /* where it wrote first in memory; NULL where that is not noted */
} listen_kernel;

typedef struct listen_report {
    int threads; /* that called any kernel */
    int kernels;
    listen_kernel kernel[LISTEN_NAMES];
    double asked_work; /* the largest that mt_cpu_threads was asked about, and what it said */
    int asked_answer, asked;
    bool lost; /* more calls than there was room for: places were not compared for all */
} listen_report;

bool listen_works(void);
/* From start to stop everything is noted. op is the elementwise operation that will run, or MT_OP_COUNT. */
void listen_start(mt_op op);
void listen_stop(listen_report *report);
const listen_kernel *listen_find(const listen_report *report, const char *name); /* NULL: never called */

#endif
