/* tensor/scalar/update_ops.h - one element of an optimiser's step, for the CPU and for CUDA; the common
 * subset of C and C++. A function for each row of update_table.inc: w after the step, from w, its gradient g,
 * its elements s of the states, which are changed, and the constants of the step.
 */
#ifndef MT_UPDATE_OPS_H
#define MT_UPDATE_OPS_H

#include "scalar_math.h"
#include "../update_rules.h"

/* The constants of a step, worked out once for all elements. */
typedef struct mt_update_constants {
    mt_real rate, decay, momentum, beta1, beta2, epsilon;
    mt_real rest1, rest2;       /* 1 - beta1 and 1 - beta2, subtracted in double */
    mt_real correct1, correct2; /* 1 / (1 - beta1^t) and 1 / (1 - beta2^t) at step t */
    bool nesterov, first;
} mt_update_constants;

MT_FN mt_update_constants mt_update_constants_at(const mt_update_options *o, int64_t step)
{
    const double t = (double)step;
    mt_update_constants c;
    c.rate = (mt_real)(o->rate / (1 + (t - 1) * o->rate_decay));
    c.decay = (mt_real)o->weight_decay;
    c.momentum = (mt_real)o->momentum;
    c.beta1 = (mt_real)o->beta1;
    c.beta2 = (mt_real)o->beta2;
    c.epsilon = (mt_real)o->epsilon;
    c.rest1 = (mt_real)(1 - o->beta1);
    c.rest2 = (mt_real)(1 - o->beta2);
    c.correct1 = o->beta1 > 0 ? (mt_real)(1 / (1 - pow(o->beta1, t))) : 1;
    c.correct2 = o->beta2 > 0 ? (mt_real)(1 / (1 - pow(o->beta2, t))) : 1;
    c.nesterov = o->nesterov;
    c.first = step <= 1;
    return c;
}

/* ---- the rules ---- */

MT_FN mt_real mt_update_sgd(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                            const mt_update_constants *c)
{
    (void)s0, (void)s1, (void)s2;
    return w - c->rate * (g + c->decay * w);
}

/* As PyTorch has it. The state is the velocity. */
MT_FN mt_real mt_update_momentum(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                                 const mt_update_constants *c)
{
    (void)s1, (void)s2;
    g = g + c->decay * w;
    *s0 = c->first ? g : c->momentum * *s0 + g;
    return w - c->rate * (c->nesterov ? g + c->momentum * *s0 : *s0);
}

/* The part of Adam that AdamW shares. The states are the first and the second moment. */
MT_FN mt_real mt_update_by_moments(mt_real w, mt_real g, mt_real *s0, mt_real *s1,
                                   const mt_update_constants *c)
{
    *s0 = c->beta1 * *s0 + c->rest1 * g;
    *s1 = c->beta2 * *s1 + c->rest2 * g * g;
    return w - c->rate * (*s0 * c->correct1) / (mt_m_sqrt(*s1 * c->correct2) + c->epsilon);
}

/* Kingma and Ba, arXiv:1412.6980. */
MT_FN mt_real mt_update_adam(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                             const mt_update_constants *c)
{
    (void)s2;
    return mt_update_by_moments(w, g + c->decay * w, s0, s1, c);
}

/* Decoupled decay, after Loshchilov and Hutter, arXiv:1711.05101. */
MT_FN mt_real mt_update_adamw(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                              const mt_update_constants *c)
{
    (void)s2;
    return mt_update_by_moments(w - c->rate * c->decay * w, g, s0, s1, c);
}

/* Duchi, Hazan and Singer, Journal of Machine Learning Research 12, 2011. The state is the sum of squares. */
MT_FN mt_real mt_update_adagrad(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                                const mt_update_constants *c)
{
    (void)s1, (void)s2;
    g = g + c->decay * w;
    *s0 = *s0 + g * g;
    return w - c->rate * g / (mt_m_sqrt(*s0) + c->epsilon);
}

/* RMSprop's g / (sqrt v + epsilon), where v is the mean square, or with a mean of g, kept in average, the
 * variance: Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6.5, 2012; centred after
 * Graves, arXiv:1308.0850. average is NULL without. Rounding may leave a variance below 0, which counts as 0.
 */
MT_FN mt_real mt_update_by_size(mt_real g, mt_real *v, mt_real *average, const mt_update_constants *c)
{
    *v = c->beta2 * *v + c->rest2 * g * g;
    mt_real spread = *v;
    if (average) {
        *average = c->beta2 * *average + c->rest2 * g;
        spread = spread - *average * *average;
        spread = spread < 0 ? 0 : spread;
    }
    return g / (mt_m_sqrt(spread) + c->epsilon);
}

MT_FN mt_real mt_update_rmsprop(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                                const mt_update_constants *c)
{
    (void)s1, (void)s2;
    return w - c->rate * mt_update_by_size(g + c->decay * w, s0, NULL, c);
}

MT_FN mt_real mt_update_rmsprop_momentum(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                                         const mt_update_constants *c)
{
    (void)s2;
    *s1 = c->momentum * *s1 + mt_update_by_size(g + c->decay * w, s0, NULL, c);
    return w - c->rate * *s1;
}

MT_FN mt_real mt_update_rmsprop_centered(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                                         const mt_update_constants *c)
{
    (void)s2;
    return w - c->rate * mt_update_by_size(g + c->decay * w, s0, s1, c);
}

MT_FN mt_real mt_update_rmsprop_centered_momentum(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                                                  const mt_update_constants *c)
{
    *s2 = c->momentum * *s2 + mt_update_by_size(g + c->decay * w, s0, s1, c);
    return w - c->rate * *s2;
}

#endif
