/* nn/optim.c - the kinds of optimisers: their options, what these must be, and which rule they are. What an
 * optimiser is and how it steps stands in optim_step.c.
 */
#include "optimizer.h"

#include <math.h>

#include "../tensor/ops.h"

mt_sgd_options mt_sgd_defaults(void) { return (mt_sgd_options){.rate = 0.01}; }

mt_adam_options mt_adam_defaults(void)
{
    return (mt_adam_options){.rate = 0.001, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
}

mt_adam_options mt_adamw_defaults(void)
{
    mt_adam_options options = mt_adam_defaults();
    options.weight_decay = 0.01;
    options.decoupled = true;
    return options;
}

mt_adagrad_options mt_adagrad_defaults(void) { return (mt_adagrad_options){.rate = 0.01, .epsilon = 1e-10}; }

mt_rmsprop_options mt_rmsprop_defaults(void)
{
    return (mt_rmsprop_options){.rate = 0.01, .alpha = 0.99, .epsilon = 1e-8};
}

/* ---- options ---- */

/* NaN fails every comparison, so conditions are written to be true for good values. */
mt_status mt_check_at_least_zero(const char *what, const char *option, double value)
{
    if (value >= 0 && isfinite((mt_real)value)) return MT_OK;
    return mt_fail(MT_ERR_VALUE,
                   "%s: the %s is %g; it must be at least 0, and finite in the library's precision", what,
                   option, mt_printable(value));
}

static mt_status check_beta(const char *what, const char *option, double value)
{
    if (value >= 0 && value < 1) return MT_OK;
    return mt_fail(MT_ERR_VALUE, "%s: %s is %g; it must be at least 0 and below 1", what, option,
                   mt_printable(value));
}

static mt_status check_epsilon(const char *what, double value)
{
    const mt_status status = mt_check_at_least_zero(what, "epsilon", value);
    if (status != MT_OK || (mt_real)value > 0) return status;
    return mt_fail(MT_ERR_VALUE,
                   "%s: epsilon is %g; it must be above 0 as a number of this library, or a gradient of 0 "
                   "divides by 0",
                   what, value);
}

/* ---- a constructor for each kind ---- */

mt_optimizer *mt_sgd_new(mt_module *module, mt_sgd_options options)
{
    if (!module) return NULL;
    if (mt_check_at_least_zero("sgd", "rate", options.rate) != MT_OK ||
        mt_check_at_least_zero("sgd", "momentum", options.momentum) != MT_OK ||
        mt_check_at_least_zero("sgd", "weight decay", options.weight_decay) != MT_OK)
        return NULL;
    if (options.nesterov && options.momentum == 0) {
        mt_fail(MT_ERR_VALUE, "sgd: nesterov needs a momentum above 0; set one, or leave nesterov off");
        return NULL;
    }
    return mt_optimizer_make(module, options.momentum > 0 ? MT_UPDATE_momentum : MT_UPDATE_sgd,
                             (mt_update_options){.rate = options.rate,
                                                 .momentum = options.momentum,
                                                 .weight_decay = options.weight_decay,
                                                 .nesterov = options.nesterov});
}

mt_optimizer *mt_adam_new(mt_module *module, mt_adam_options options)
{
    if (!module) return NULL;
    if (mt_check_at_least_zero("adam", "rate", options.rate) != MT_OK ||
        check_beta("adam", "beta1", options.beta1) != MT_OK ||
        check_beta("adam", "beta2", options.beta2) != MT_OK ||
        check_epsilon("adam", options.epsilon) != MT_OK ||
        mt_check_at_least_zero("adam", "weight decay", options.weight_decay) != MT_OK)
        return NULL;
    return mt_optimizer_make(module, options.decoupled ? MT_UPDATE_adamw : MT_UPDATE_adam,
                             (mt_update_options){.rate = options.rate,
                                                 .weight_decay = options.weight_decay,
                                                 .beta1 = options.beta1,
                                                 .beta2 = options.beta2,
                                                 .epsilon = options.epsilon});
}

mt_optimizer *mt_adagrad_new(mt_module *module, mt_adagrad_options options)
{
    if (!module) return NULL;
    if (mt_check_at_least_zero("adagrad", "rate", options.rate) != MT_OK ||
        mt_check_at_least_zero("adagrad", "rate decay", options.rate_decay) != MT_OK ||
        mt_check_at_least_zero("adagrad", "weight decay", options.weight_decay) != MT_OK ||
        mt_check_at_least_zero("adagrad", "initial sum of squares", options.initial) != MT_OK ||
        check_epsilon("adagrad", options.epsilon) != MT_OK)
        return NULL;
    mt_optimizer *optimizer = mt_optimizer_make(module, MT_UPDATE_adagrad,
                                                (mt_update_options){.rate = options.rate,
                                                                    .rate_decay = options.rate_decay,
                                                                    .weight_decay = options.weight_decay,
                                                                    .epsilon = options.epsilon});
    for (int i = 0; optimizer && i < optimizer->slots; i++) {
        if (mt_op_fill(optimizer->slot[i].state[0], options.initial) == MT_OK) continue;
        mt_optimizer_free(optimizer);
        return NULL;
    }
    return optimizer;
}

mt_optimizer *mt_rmsprop_new(mt_module *module, mt_rmsprop_options options)
{
    static const mt_update_rule rules[2][2] = {
        {MT_UPDATE_rmsprop, MT_UPDATE_rmsprop_momentum},
        {MT_UPDATE_rmsprop_centered, MT_UPDATE_rmsprop_centered_momentum}};
    if (!module) return NULL;
    if (mt_check_at_least_zero("rmsprop", "rate", options.rate) != MT_OK ||
        check_beta("rmsprop", "alpha", options.alpha) != MT_OK ||
        check_epsilon("rmsprop", options.epsilon) != MT_OK ||
        mt_check_at_least_zero("rmsprop", "weight decay", options.weight_decay) != MT_OK ||
        mt_check_at_least_zero("rmsprop", "momentum", options.momentum) != MT_OK)
        return NULL;
    return mt_optimizer_make(module, rules[options.centered][options.momentum > 0],
                             (mt_update_options){.rate = options.rate,
                                                 .weight_decay = options.weight_decay,
                                                 .momentum = options.momentum,
                                                 .beta2 = options.alpha,
                                                 .epsilon = options.epsilon});
}
