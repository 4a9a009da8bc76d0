/* train_openblas.h - one training step of a small network, written by hand around OpenBLAS: what somebody
 * writes who wants speed and no engine. The yardstick of bench/train.
 */
#ifndef BENCH_TRAIN_OPENBLAS_H
#define BENCH_TRAIN_OPENBLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "openblas.h"

enum { HAND_LAYERS = 4 };

typedef struct hand_net {
    const openblas *blas;
    int layers, batch;
    int width[HAND_LAYERS + 1];
    bool sigmoid; /* binary cross entropy of a sigmoid; else the mean squared error */
    float rate;
    float *weight[HAND_LAYERS], *bias[HAND_LAYERS]; /* weight (in, out) */
    float *weight_grad[HAND_LAYERS], *bias_grad[HAND_LAYERS];
    float *value[HAND_LAYERS], *value_grad[HAND_LAYERS]; /* (batch, out) */
} hand_net;

/* Layers of the given widths for batches of at most batch rows; weights are not set. False, with nothing
 * left, when memory runs out. */
bool hand_net_make(hand_net *net, const openblas *blas, int layers, const int *widths, int batch,
                   bool sigmoid, float rate);
void hand_net_free(hand_net *net);

/* Forward, backward and update for rows of x (rows, in) and y (rows, out); the mean loss before the update.
 */
float hand_net_step(hand_net *net, const float *x, const float *y, int rows);

#endif
