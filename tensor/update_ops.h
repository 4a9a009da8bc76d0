/* tensor/update_ops.h - one element of an optimiser's step, for the CPU and for CUDA; the common subset of C
 * and C++. */
#ifndef MT_UPDATE_OPS_H
#define MT_UPDATE_OPS_H

#include "scalar_math.h"

/* The constants of a step, worked out once for all elements. */
typedef struct mt_update_constants {
    mt_real rate, decay, momentum, beta1, beta2, epsilon;
    mt_real rest1, rest2;       /* Adam: 1 - beta1 and 1 - beta2, subtracted in double */
    mt_real correct1, correct2; /* Adam: 1 / (1 - beta1^t) and 1 / (1 - beta2^t) */
    bool nesterov, first, decoupled;
} mt_update_constants;

/* SGD as PyTorch has it: v = momentum v + g (v = g at the first step), w -= rate v, or rate (g + momentum v)
 * after Nesterov. velocity is not touched when momentum is 0. */
MT_FN mt_real mt_update_sgd(mt_real w, mt_real g, mt_real *velocity, const mt_update_constants *c)
{
    g = g + c->decay * w;
    if (c->momentum != 0) {
        mt_real v = c->first ? g : c->momentum * *velocity + g;
        *velocity = v;
        g = c->nesterov ? g + c->momentum * v : v;
    }
    return w - c->rate * g;
}

/* Kingma and Ba, arXiv:1412.6980; decoupled decay (AdamW) after Loshchilov and Hutter, arXiv:1711.05101. */
MT_FN mt_real mt_update_adam(mt_real w, mt_real g, mt_real *m, mt_real *v, const mt_update_constants *c)
{
    if (c->decoupled)
        w = w - c->rate * c->decay * w;
    else
        g = g + c->decay * w;
    *m = c->beta1 * *m + c->rest1 * g;
    *v = c->beta2 * *v + c->rest2 * g * g;
    return w - c->rate * (*m * c->correct1) / (mt_m_sqrt(*v * c->correct2) + c->epsilon);
}

#endif
