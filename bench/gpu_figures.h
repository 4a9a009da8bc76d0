/* gpu_figures.h - a figure of gpu_numbers: how it is measured on the library's stream, and the line that it
 * becomes.
 *
 * Work is given in pieces that differ in their buffers alone. Together the pieces are twice the second-level
 * cache and more, and each call takes the next, so that nothing is found there which a caller's data would
 * not be. Short calls are put into graphs, so that a graph's launch is timed and not those of its kernels.
 */
#ifndef BENCH_GPU_FIGURES_H
#define BENCH_GPU_FIGURES_H

#include "gpu_clock.h"
#include "gpu_cublas.h"
#include "harness.h"

typedef struct gpu_bench {
    const gpu_clock *clock;
    mt_backend *backend;
    gpu_facts facts;
    gpu_cublas cublas;
    bool tiny; /* sizes up to 128: whether it runs, not how fast */
    mt_rng rng;
    bool failed; /* a result is wrong, or the library refused: the exit status is 1 */
} gpu_bench;

/* One way to do a piece of work, and what came out. */
typedef struct gpu_turn {
    const char *by; /* "ours", "cublas", "copy" */
    gpu_body body;
    void *context;
    bench_time time;
    bool by_graph;
    char why_loop[160]; /* not by graph */
    double error;       /* the largest of the elements checked; NaN is wrong, -1: nothing to check */
} gpu_turn;

enum { GPU_TURNS = 4 };

/* What a line says of the work. stage, what and text (the case) name it; bytes are those that must be moved;
 * flops 0: none to speak of. error is compared with tolerance. */
typedef struct gpu_work {
    const char *stage, *what;
    char text[64];
    double flops, bytes, tolerance;
} gpu_work;

/* How many pieces of so many bytes are needed. */
int64_t gpu_pieces(const gpu_bench *bench, double bytes);

/* Times the turns one after the other, again and again; false with a sentence in mt_last_message. */
bool gpu_measure(const gpu_bench *bench, gpu_turn *turns, int count, int64_t pieces);

/* Times the first turn, which is ours, beside the second, a peer's, and prints a line for each; where the
 * peer refuses a line says so, and ours is timed alone. count 1: there is no peer. */
void gpu_time(gpu_bench *bench, const gpu_work *work, gpu_turn *turns, int count, int64_t pieces);

/* Prints the figure of a turn as a line; a wrong one is marked, and bench->failed set. */
void gpu_line(gpu_bench *bench, const gpu_work *work, const gpu_turn *turn);
/* Prints that there is no figure, and why. text NULL: in no case. */
void gpu_not_here(const char *stage, const char *what, const char *text, const char *by, const char *why);
/* The same where the library failed, which fails the program too. */
void gpu_refused(gpu_bench *bench, const gpu_work *work, const char *by);
/* The same where it was a peer that failed, for the reason why, which is no fault of ours. */
void gpu_peer_refused(const gpu_work *work, const char *by, const char *why);

/* The parts of the beginning of every line: stage, what, case, by; the rest is up to the caller. */
void gpu_line_begin(const char *stage, const char *what, const char *text, const char *by);
void gpu_line_number(const char *key, double value);
void gpu_line_text(const char *key, const char *value);
/* The error beside what is allowed; one that is larger, or NaN, is marked as wrong and fails the program. */
void gpu_line_check(gpu_bench *bench, double error, double tolerance);
void gpu_line_end(void); /* and what was printed is on its way */

/* ---- values ---- */

/* The elements of a contiguous float tensor, which the caller frees; NULL with a sentence. */
float *gpu_read(const mt_tensor *x);
/* A device copy of the same bytes in all (half of them read, half written), as work to be timed beside. */
typedef struct gpu_copy {
    const gpu_clock *clock;
    mt_tensor *from, *to;
    size_t bytes; /* of a piece */
} gpu_copy;
bool gpu_copy_make(gpu_copy *copy, gpu_bench *bench, double bytes, int64_t pieces);
void gpu_copy_free(gpu_copy *copy);
bool gpu_copy_body(void *context, int64_t i);

/* ---- the parts ---- */

void gpu_smoke(gpu_bench *bench);
void gpu_products(gpu_bench *bench);
void gpu_elementwise(gpu_bench *bench);
void gpu_reductions(gpu_bench *bench);
void gpu_moves(gpu_bench *bench);
void gpu_training(gpu_bench *bench);
void gpu_once(gpu_bench *bench);
/* What gpu_smoke needs of gpu_products: times one product and checks it. */
void gpu_time_product(gpu_bench *bench, const char *stage, const gpu_product *product);

#endif
