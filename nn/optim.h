/* nn/optim.h - optimisers with PyTorch's semantics: SGD with momentum, Adam, AdamW, Adagrad, RMSprop; groups
 * of parameters, schedules, clipping of gradients, and the state by name.
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
#include "schedule.h"

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

/* ---- the rate, and groups ---- */

/* Sets the rate of every group: a finite number of at least 0. get gives that of group 0 in the next step, as
 * the schedule makes it; NaN for NULL. */
MT_API mt_status mt_optimizer_set_rate(mt_optimizer *optimizer, double rate);
MT_API double mt_optimizer_get_rate(const mt_optimizer *optimizer);
/* From now on a step that follows n others uses mt_schedule_rate(schedule, rate of the group, n). A new
 * optimiser has mt_schedule_constant. */
MT_API mt_status mt_optimizer_set_schedule(mt_optimizer *optimizer, mt_schedule schedule);
/* How many steps were taken, of which the schedule is a function (-1 for NULL); sets it, 0 to 2^53. */
MT_API int64_t mt_optimizer_steps(const mt_optimizer *optimizer);
MT_API mt_status mt_optimizer_set_steps(mt_optimizer *optimizer, int64_t steps);

/* Every parameter is in one group: in group 0, which has the rate and weight decay of the options, until it
 * is put into another. add gives the number of a new, empty group, or -1 with a sentence: rate and decay must
 * be finite and at least 0. groups: how many; 0 for NULL. */
MT_API int mt_optimizer_add_group(mt_optimizer *optimizer, double rate, double weight_decay);
MT_API int mt_optimizer_groups(const mt_optimizer *optimizer);
/* Puts the parameter of that path, or every parameter of the module of that path, into a group. An error, and
 * nothing moves, when there is none, or one is in another group than 0 already: a parameter leaves group 0
 * once and does not come back. */
MT_API mt_status mt_optimizer_set_group(mt_optimizer *optimizer, int group, const char *path);
/* Adds a group with group 0's rate and no weight decay, and puts into it the parameters of group 0 that decay
 * is not meant for: those called "bias", those of rank 0 or 1 (the gains of norms), and those below a module
 * whose name ends in "norm" and maybe a number. Returns the group's number; -1 with a sentence. */
MT_API int mt_optimizer_spare_biases(mt_optimizer *optimizer);
/* The group of a parameter; -1 with a sentence when there is no such parameter. */
MT_API int mt_optimizer_get_group(const mt_optimizer *optimizer, const char *parameter);
/* A group's rate, before the schedule, and weight decay; NaN with a sentence when there is no such group. */
MT_API mt_status mt_optimizer_set_group_rate(mt_optimizer *optimizer, int group, double rate);
MT_API mt_status mt_optimizer_set_group_decay(mt_optimizer *optimizer, int group, double weight_decay);
MT_API double mt_optimizer_group_rate(const mt_optimizer *optimizer, int group);
MT_API double mt_optimizer_group_decay(const mt_optimizer *optimizer, int group);

/* ---- clipping: between mt_backward and the step ---- */

/* Multiplies every gradient by most / (norm + 1e-6) where that is below 1, with norm the square root of the
 * sum of all their squares, which is returned: shape (1), the optimiser's, overwritten by the next call. most
 * is at least 0; with INFINITY the norm is measured and nothing changed. A NaN among the gradients makes norm
 * and every gradient NaN; an infinite norm (an infinity, or squares too large to add up) makes finite
 * gradients 0 and infinite ones NaN: both as PyTorch. Parameters that the step would skip count as 0. NULL
 * with a sentence when it fails. The first call allocates. */
MT_API mt_tensor *mt_optimizer_clip_norm(mt_optimizer *optimizer, double most);
/* Makes every element of every gradient at least -most and at most most; NaN stays. */
MT_API mt_status mt_optimizer_clip_value(mt_optimizer *optimizer, double most);

/* ---- the state by name, for checkpoints ---- */

/* The rule's name: "sgd", "momentum" (sgd with one), "adam", "adamw", "adagrad", "rmsprop", which tells
 * centered and momentum apart ("rmsprop_centered_momentum"); NULL for NULL. */
MT_API const char *mt_optimizer_rule(const mt_optimizer *optimizer);
/* The parameters, and the path of the i-th; the states that the rule keeps for each, and their names, which
 * are PyTorch's ("exp_avg"). NULL with a sentence outside 0 .. count-1. */
MT_API int mt_optimizer_parameters(const mt_optimizer *optimizer); /* how many; 0 for NULL */
MT_API const char *mt_optimizer_parameter_name(const mt_optimizer *optimizer, int i);
MT_API int mt_optimizer_states(const mt_optimizer *optimizer); /* how many; 0 for NULL */
MT_API const char *mt_optimizer_state_name(const mt_optimizer *optimizer, int i);
/* A state of a parameter, of its shape, borrowed: to be read, and set back by writing into it. NULL with a
 * sentence when there is no such parameter or state. */
MT_API mt_tensor *mt_optimizer_state(mt_optimizer *optimizer, const char *parameter, const char *state);
/* In how many steps a parameter took part, on which Adam's and momentum's next step depends (-1 with a
 * sentence); sets it, 0 to 2^53. */
MT_API int64_t mt_optimizer_parameter_steps(const mt_optimizer *optimizer, const char *parameter);
MT_API mt_status mt_optimizer_set_parameter_steps(mt_optimizer *optimizer, const char *parameter,
                                                  int64_t steps);

MT_END

#endif
