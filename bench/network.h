/* network.h - what the benches of training train: a network of three linear layers with relu between them,
 * its data, SGD and batches, as run_fast makes them. A toy learns xor with binary cross entropy on logits;
 * the others learn random numbers from random numbers with the mean squared error.
 */
#ifndef BENCH_NETWORK_H
#define BENCH_NETWORK_H

#include "minitorch.h"

enum { NETWORK_LAYERS = 3 };

typedef struct network_task {
    int widths[NETWORK_LAYERS + 1], points, batch;
    bool toy;
} network_task;

typedef struct network {
    network_task task;
    mt_dataset *dataset; /* a toy's */
    mt_tensor *x, *y;    /* of the data set, or ours */
    mt_module *model;
    mt_optimizer *optimizer;
    mt_batches *batches;
    mt_tape *tape;
    mt_rng rng; /* what was not drawn yet */
} network;

extern const double network_rate;

/* Draws data and weights from seed. False with the library's sentence; network_free is called in any case. */
bool network_make(network *self, network_task task, mt_backend *backend, uint64_t seed);
void network_free(network *self);

/* Forward, loss, backward and update. The loss, which is the tape's until the next step; NULL when it failed.
 */
mt_tensor *network_step(network *self, mt_tensor *x, mt_tensor *y);
/* A new order of the rows; the tape, which may hold views of the batches, is reset before. */
bool network_shuffle(network *self);

#endif
