/* nn/optim.h - optimisers with PyTorch's semantics: SGD with momentum, Adam, AdamW, Adagrad, RMSprop.
 *
 * An optimiser holds the parameters that its module had when it was made, and state of the same size on their
 * backend, allocated then: a step allocates nothing and updates all parameters in one backend call, in place.
 * A parameter whose gradient is empty, or that is frozen, is skipped, and its own step count stays. Free the
 * optimiser before the module, or do not use it after. A step writes parameters in place, so take it after
 * mt_backward, not between forward and backward.
 */
#ifndef MT_OPTIM_H
#define MT_OPTIM_H

#include "module.h"

typedef struct mt_optimizer mt_optimizer;

/* With g = grad + weight_decay w:  w -= rate g;  with momentum, v = momentum v + g (v = g at first) and w -=
 * rate v, or w -= rate (g + momentum v) when nesterov is set. All numbers must be finite in the library's
 * precision. */
typedef struct mt_sgd_options {
    double rate;         /* 0.01; at least 0 */
    double momentum;     /* 0; at least 0 */
    double weight_decay; /* 0; at least 0 */
    bool nesterov;       /* false; needs a momentum above 0 */
} mt_sgd_options;

/* m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, and at a parameter's step t
 *   w -= rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 * where weight decay either adds weight_decay w to g (Adam) or, when decoupled, first scales w by 1 - rate
 * weight_decay (AdamW). Sources: Kingma and Ba 2015; Loshchilov and Hutter 2019. */
typedef struct mt_adam_options {
    double rate;         /* 0.001; at least 0 */
    double beta1, beta2; /* 0.9 and 0.999; in [0, 1) */
    double epsilon;      /* 1e-8; above 0 */
    double weight_decay; /* 0, for AdamW 0.01; at least 0 */
    bool decoupled;      /* false, for AdamW true */
} mt_adam_options;

/* With g = grad + weight_decay w:  v = v + g^2, from v = initial, and at a parameter's step t
 *   w -= rate / (1 + rate_decay (t - 1)) g / (sqrt(v) + epsilon)
 * Source: Duchi, Hazan and Singer 2011. */
typedef struct mt_adagrad_options {
    double rate;         /* 0.01; at least 0 */
    double rate_decay;   /* 0; at least 0 */
    double weight_decay; /* 0; at least 0 */
    double initial;      /* 0; at least 0 */
    double epsilon;      /* 1e-10; above 0 */
} mt_adagrad_options;

/* With g = grad + weight_decay w:  v = alpha v + (1 - alpha) g^2, and w -= rate g / (sqrt(v) + epsilon);
 * centered, a = alpha a + (1 - alpha) g, and v - a^2 stands for v under the root; with momentum
 *   u = momentum u + g / (sqrt(v) + epsilon), and w -= rate u.
 * Sources: Tieleman and Hinton 2012; centred after Graves 2013. Where rounding leaves v - a^2 below 0 it
 * counts as 0, where PyTorch's root is NaN: under a constant gradient nothing but epsilon is left to divide
 * by, so choose it for that. */
typedef struct mt_rmsprop_options {
    double rate;         /* 0.01; at least 0 */
    double alpha;        /* 0.99; in [0, 1) */
    double epsilon;      /* 1e-8; above 0 */
    double weight_decay; /* 0; at least 0 */
    double momentum;     /* 0; at least 0 */
    bool centered;       /* false */
} mt_rmsprop_options;

MT_BEGIN

MT_API mt_sgd_options mt_sgd_defaults(void);
MT_API mt_adam_options mt_adam_defaults(void);
MT_API mt_adam_options mt_adamw_defaults(void);
MT_API mt_adagrad_options mt_adagrad_defaults(void);
MT_API mt_rmsprop_options mt_rmsprop_defaults(void);

/* An optimiser of all parameters of module and everything below. NULL with a sentence when an option is out
 * of range or NaN, the module failed or has no parameters, parameters live on two backends, or memory runs
 * out. */
MT_API mt_optimizer *mt_sgd_new(mt_module *module, mt_sgd_options options);
MT_API mt_optimizer *mt_adam_new(mt_module *module, mt_adam_options options);
MT_API mt_optimizer *mt_adagrad_new(mt_module *module, mt_adagrad_options options);
MT_API mt_optimizer *mt_rmsprop_new(mt_module *module, mt_rmsprop_options options);
/* NULL is allowed. Frees the state; the parameters are the module's. */
MT_API void mt_optimizer_free(mt_optimizer *optimizer);

/* Updates every parameter that has a gradient and is not frozen; MT_ERR_STATE where there is none. Gradients
 * stay: call mt_optimizer_zero_grad before the next backward. */
MT_API mt_status mt_optimizer_step(mt_optimizer *optimizer);
MT_API mt_status mt_optimizer_zero_grad(mt_optimizer *optimizer);

/* The learning rate, for schedules; a finite number of at least 0. get gives NaN for NULL. */
MT_API mt_status mt_optimizer_set_rate(mt_optimizer *optimizer, double rate);
MT_API double mt_optimizer_get_rate(const mt_optimizer *optimizer);

MT_END

#endif
