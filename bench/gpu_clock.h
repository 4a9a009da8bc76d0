/* gpu_clock.h - what gpu_numbers needs of a device beside the library: its facts, moments on the library's
 * stream, graphs of launches, and a copy.
 *
 * One table for each twin: gpu_clock.cu for a card, gpu_clock_sim.c for the simulator, which has no time of
 * its own and no graphs. A function that fails returns false or NULL and leaves a sentence in
 * mt_last_message.
 */
#ifndef BENCH_GPU_CLOCK_H
#define BENCH_GPU_CLOCK_H

#include "tensor/backend.h"

enum { GPU_MARKS = 4096 };

typedef struct gpu_facts {
    char name[96];
    size_t memory, l2; /* bytes */
    int multiprocessors;
} gpu_facts;

/* Puts piece i of some work on the stream, without waiting for it; false when the library refused. */
typedef bool (*gpu_body)(void *context, int64_t i);

typedef struct gpu_clock {
    const char *backend;                                 /* whose stream it is */
    bool (*open)(mt_backend *backend, gpu_facts *facts); /* before everything else, once */
    void (*close)(void);

    bool (*mark)(int i); /* moment i, 0 .. GPU_MARKS-1, is when the stream comes to here */
    bool (*wait)(void);  /* until the stream has done all */
    /* Seconds from one moment to another, after wait; NaN when there is no answer. */
    double (*between)(int from, int to);

    /* Records what body puts on the stream for pieces first .. first+calls-1, without running it; NULL where
     * that is not possible, or when body waits or asks the card for memory. The caller drops it. */
    void *(*capture)(gpu_body body, void *context, int64_t first, int calls);
    bool (*replay)(void *graph);
    void (*drop)(void *graph); /* NULL is allowed */

    bool (*copy)(void *to, const void *from, size_t bytes); /* on the device, without waiting */
    void *(*stream)(void);                                  /* for cuBLAS; NULL: there is none */
    void (*profile)(bool on); /* what a profiler that waits to be told shall look at */
} gpu_clock;

#ifdef __cplusplus
extern "C" {
#endif
extern const gpu_clock gpu_clock_card, gpu_clock_sim;
#ifdef __cplusplus
}
#endif

#endif
