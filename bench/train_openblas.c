/* train_openblas.c - a step by cblas_sgemm and plain loops (see train_openblas.h).
 *
 * Layer i is v[i] = act(v[i-1] W[i] + b[i]), relu but for the last. Three products a layer, two in the first,
 * whose input needs no gradient; a gradient is added to its parameter by cblas_saxpy.
 */
#include "train_openblas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *numbers(size_t count)
{
    float *memory = openblas_numbers(count);
    if (memory != NULL) memset(memory, 0, count * sizeof(float));
    return memory;
}

bool hand_net_make(hand_net *net, const openblas *blas, int layers, const int *widths, int batch,
                   bool sigmoid, float rate)
{
    *net = (hand_net){.blas = blas, .layers = layers, .batch = batch, .sigmoid = sigmoid, .rate = rate};
    bool there = true;
    for (int i = 0; i <= layers; i++) net->width[i] = widths[i];
    for (int i = 0; i < layers; i++) {
        const size_t in = (size_t)widths[i], out = (size_t)widths[i + 1], values = (size_t)batch * out;
        there = (net->weight[i] = numbers(in * out)) != NULL && there;
        there = (net->weight_grad[i] = numbers(in * out)) != NULL && there;
        there = (net->bias[i] = numbers(out)) != NULL && there;
        there = (net->bias_grad[i] = numbers(out)) != NULL && there;
        there = (net->value[i] = numbers(values)) != NULL && there;
        there = (net->value_grad[i] = numbers(values)) != NULL && there;
    }
    if (!there) hand_net_free(net);
    return there;
}

void hand_net_free(hand_net *net)
{
    for (int i = 0; i < net->layers; i++) {
        free(net->weight[i]);
        free(net->weight_grad[i]);
        free(net->bias[i]);
        free(net->bias_grad[i]);
        free(net->value[i]);
        free(net->value_grad[i]);
    }
    net->layers = 0;
}

static void forward(hand_net *net, const float *x, int rows)
{
    for (int i = 0; i < net->layers; i++) {
        const int in = net->width[i], out = net->width[i + 1];
        float *v = net->value[i];
        for (int r = 0; r < rows; r++) memcpy(v + (size_t)r * out, net->bias[i], (size_t)out * sizeof *v);
        net->blas->sgemm(BLAS_ROW_MAJOR, BLAS_PLAIN, BLAS_PLAIN, rows, out, in, 1,
                         i == 0 ? x : net->value[i - 1], in, net->weight[i], out, 1, v, out);
        if (i + 1 == net->layers) break;
        for (int k = 0; k < rows * out; k++) v[k] = v[k] > 0 ? v[k] : 0;
    }
}

/* The loss, and its gradient in the last layer's values. */
static float loss_of(hand_net *net, const float *y, int rows)
{
    const int last = net->layers - 1, count = rows * net->width[net->layers];
    const float *z = net->value[last];
    float *g = net->value_grad[last], loss = 0;
    for (int k = 0; k < count; k++) {
        if (net->sigmoid) { /* softplus(z) - y z, without overflow */
            const float e = expf(-fabsf(z[k]));
            loss += (z[k] > 0 ? z[k] : 0) + log1pf(e) - y[k] * z[k];
            g[k] = ((z[k] >= 0 ? 1 : e) / (1 + e) - y[k]) / (float)count;
        } else {
            const float away = z[k] - y[k];
            loss += away * away;
            g[k] = 2 * away / (float)count;
        }
    }
    return loss / (float)count;
}

static void backward(hand_net *net, const float *x, int rows)
{
    for (int i = net->layers - 1; i >= 0; i--) {
        const int in = net->width[i], out = net->width[i + 1];
        const float *g = net->value_grad[i], *before = i == 0 ? x : net->value[i - 1];
        net->blas->sgemm(BLAS_ROW_MAJOR, BLAS_TRANSPOSED, BLAS_PLAIN, in, out, rows, 1, before, in, g, out, 0,
                         net->weight_grad[i], out);
        float *b = net->bias_grad[i];
        memcpy(b, g, (size_t)out * sizeof *b);
        for (int r = 1; r < rows; r++)
            for (int j = 0; j < out; j++) b[j] += g[(size_t)r * out + j];
        if (i == 0) continue;
        float *to = net->value_grad[i - 1];
        net->blas->sgemm(BLAS_ROW_MAJOR, BLAS_PLAIN, BLAS_TRANSPOSED, rows, in, out, 1, g, out,
                         net->weight[i], out, 0, to, in);
        for (int k = 0; k < rows * in; k++) to[k] = before[k] > 0 ? to[k] : 0;
    }
}

float hand_net_step(hand_net *net, const float *x, const float *y, int rows)
{
    forward(net, x, rows);
    const float loss = loss_of(net, y, rows);
    backward(net, x, rows);
    for (int i = 0; i < net->layers; i++) {
        const int in = net->width[i], out = net->width[i + 1];
        net->blas->saxpy(in * out, -net->rate, net->weight_grad[i], 1, net->weight[i], 1);
        net->blas->saxpy(out, -net->rate, net->bias_grad[i], 1, net->bias[i], 1);
    }
    return loss;
}
