/* peers.h - PyTorch, NumPy and JAX, timed by peers.py in a python that we talk to over two pipes: one line
 * asks for one piece of work, one line for each peer answers.
 *
 * A python without them is no error: the report says which are absent, and why.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "child.h"
#include "report.h"

/* Part of the settings of a bench that has peers, behind its bench_options. */
typedef struct peers_options {
    const char *python, *script;
    bool none;
} peers_options;

enum { PEERS = 3 };
typedef struct peers {
    child python;
    bool running;
    bool there[PEERS];
    char about[PEERS][128]; /* the version, or why it is absent */
} peers;

extern const char *const peers_names[PEERS]; /* "torch", "numpy", "jax" */

/* Starts the script and prints who is there. Nobody there is no failure. */
void peers_open(peers *self, const peers_options *options, const bench_options *bench);
void peers_close(peers *self);

/* Has every peer do work of the given shape ("1000", "25 x 40"), and adds a row like *like with its time to
 * the report for each that knows that work. seconds[i] is its median, NaN for those that do not. When the
 * python ends early, that is told and everybody is absent from then on. */
void peers_measure(peers *self, bench_report *report, const bench_row *like, double seconds[PEERS]);

#endif
