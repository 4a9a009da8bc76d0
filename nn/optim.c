/* nn/optim.c - optimisers: the parameters of a module, their state, and one backend call a step.
 *
 * The arithmetic of a step stands in the backend's update slot; here are the options, which parameters take
 * part, and each one's step count. Parameters of equal count go into one call, so there is one call unless
 * gradients were empty.
 */
#include "optim.h"

#include <math.h>

#include "../tensor/ops.h"
#include "../tensor/storage.h"

typedef struct {
    mt_tensor *tensor;                  /* the module's */
    mt_tensor *state[MT_UPDATE_STATES]; /* zeros at first; NULL beyond those that the rule keeps */
    int64_t step;                       /* how many steps it has taken part in */
    bool ready;                         /* has a gradient in this step that is not applied yet */
} slot;

struct mt_optimizer {
    mt_backend *backend;
    mt_update_work update; /* rule and options; rows, row and step are set at each call */
    int slots;
    slot *slot;
    mt_update_row *row;
};

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
static mt_status check_at_least_zero(const char *what, const char *option, double value)
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
    const mt_status status = check_at_least_zero(what, "epsilon", value);
    if (status != MT_OK || (mt_real)value > 0) return status;
    return mt_fail(MT_ERR_VALUE,
                   "%s: epsilon is %g; it must be above 0 as a number of this library, or a gradient of 0 "
                   "divides by 0",
                   what, value);
}

/* ---- making ---- */

void mt_optimizer_free(mt_optimizer *optimizer)
{
    if (!optimizer) return;
    for (int i = 0; optimizer->slot && i < optimizer->slots; i++)
        for (int s = 0; s < MT_UPDATE_STATES; s++) mt_tensor_free(optimizer->slot[i].state[s]);
    mt_free(optimizer->slot, (size_t)optimizer->slots * sizeof *optimizer->slot);
    mt_free(optimizer->row, (size_t)optimizer->slots * sizeof *optimizer->row);
    mt_free(optimizer, sizeof *optimizer);
}

/* Takes one parameter into its slot, with as many state tensors as the rule keeps. */
static mt_status fill_slot(mt_optimizer *optimizer, slot *to, mt_tensor *tensor, int states)
{
    char text[MT_SHAPE_TEXT];
    mt_backend *backend = mt_tensor_backend(tensor);
    if (!optimizer->backend) optimizer->backend = backend;
    if (optimizer->backend != backend)
        return mt_fail(MT_ERR_BACKEND,
                       "optimizer: a parameter is on backend %s and the first one on %s; make one optimizer "
                       "for each backend",
                       backend->name, optimizer->backend->name);
    if (!mt_tensor_is_contiguous(tensor))
        return mt_fail(MT_ERR_SHAPE,
                       "optimizer: a parameter of shape %s is not contiguous; make it with mt_tensor_copy",
                       mt_shape_text(mt_tensor_shape(tensor), text));
    to->tensor = tensor;
    for (int s = 0; s < states; s++) {
        to->state[s] = mt_zeros(backend, mt_tensor_shape(tensor));
        if (!to->state[s]) return MT_ERR_MEMORY;
    }
    return MT_OK;
}

static mt_optimizer *optimizer_new(mt_module *module, mt_update_rule rule, mt_update_options options)
{
    if (mt_module_status(module) != MT_OK) {
        mt_fail(mt_module_status(module), "%s", mt_module_message(module));
        return NULL;
    }
    int slots = mt_module_parameters(module);
    if (slots == 0) {
        mt_fail(MT_ERR_VALUE,
                "optimizer: %s has no parameters to update; add them before making the optimizer",
                mt_module_kind(module));
        return NULL;
    }
    mt_optimizer *optimizer = mt_alloc_zeroed(sizeof *optimizer);
    if (!optimizer) return NULL;
    optimizer->update = (mt_update_work){.rule = rule, .options = options};
    optimizer->slots = slots;
    optimizer->slot = mt_alloc_zeroed((size_t)slots * sizeof *optimizer->slot);
    optimizer->row = mt_alloc_zeroed((size_t)slots * sizeof *optimizer->row);
    mt_status status = optimizer->slot && optimizer->row ? MT_OK : MT_ERR_MEMORY;
    for (int i = 0; i < slots && status == MT_OK; i++)
        status = fill_slot(optimizer, &optimizer->slot[i], mt_module_parameter_at(module, i),
                           mt_update_describe(rule)->states);
    if (status == MT_OK) return optimizer;
    mt_optimizer_free(optimizer);
    return NULL;
}

/* ---- a constructor for each kind ---- */

mt_optimizer *mt_sgd_new(mt_module *module, mt_sgd_options options)
{
    if (!module) return NULL;
    if (check_at_least_zero("sgd", "rate", options.rate) != MT_OK ||
        check_at_least_zero("sgd", "momentum", options.momentum) != MT_OK ||
        check_at_least_zero("sgd", "weight decay", options.weight_decay) != MT_OK)
        return NULL;
    if (options.nesterov && options.momentum == 0) {
        mt_fail(MT_ERR_VALUE, "sgd: nesterov needs a momentum above 0; set one, or leave nesterov off");
        return NULL;
    }
    return optimizer_new(module, options.momentum > 0 ? MT_UPDATE_momentum : MT_UPDATE_sgd,
                         (mt_update_options){.rate = options.rate,
                                             .momentum = options.momentum,
                                             .weight_decay = options.weight_decay,
                                             .nesterov = options.nesterov});
}

mt_optimizer *mt_adam_new(mt_module *module, mt_adam_options options)
{
    if (!module) return NULL;
    if (check_at_least_zero("adam", "rate", options.rate) != MT_OK ||
        check_beta("adam", "beta1", options.beta1) != MT_OK ||
        check_beta("adam", "beta2", options.beta2) != MT_OK ||
        check_epsilon("adam", options.epsilon) != MT_OK ||
        check_at_least_zero("adam", "weight decay", options.weight_decay) != MT_OK)
        return NULL;
    return optimizer_new(module, options.decoupled ? MT_UPDATE_adamw : MT_UPDATE_adam,
                         (mt_update_options){.rate = options.rate,
                                             .weight_decay = options.weight_decay,
                                             .beta1 = options.beta1,
                                             .beta2 = options.beta2,
                                             .epsilon = options.epsilon});
}

mt_optimizer *mt_adagrad_new(mt_module *module, mt_adagrad_options options)
{
    if (!module) return NULL;
    if (check_at_least_zero("adagrad", "rate", options.rate) != MT_OK ||
        check_at_least_zero("adagrad", "rate decay", options.rate_decay) != MT_OK ||
        check_at_least_zero("adagrad", "weight decay", options.weight_decay) != MT_OK ||
        check_at_least_zero("adagrad", "initial sum of squares", options.initial) != MT_OK ||
        check_epsilon("adagrad", options.epsilon) != MT_OK)
        return NULL;
    mt_optimizer *optimizer = optimizer_new(module, MT_UPDATE_adagrad,
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
    if (check_at_least_zero("rmsprop", "rate", options.rate) != MT_OK ||
        check_beta("rmsprop", "alpha", options.alpha) != MT_OK ||
        check_epsilon("rmsprop", options.epsilon) != MT_OK ||
        check_at_least_zero("rmsprop", "weight decay", options.weight_decay) != MT_OK ||
        check_at_least_zero("rmsprop", "momentum", options.momentum) != MT_OK)
        return NULL;
    return optimizer_new(module, rules[options.centered][options.momentum > 0],
                         (mt_update_options){.rate = options.rate,
                                             .weight_decay = options.weight_decay,
                                             .momentum = options.momentum,
                                             .beta2 = options.alpha,
                                             .epsilon = options.epsilon});
}

/* ---- stepping ---- */

static mt_real *values(const mt_tensor *x)
{
    return x ? (mt_real *)x->storage->data + x->layout.offset : NULL;
}

/* Applies the step of all ready slots whose count is that of the first ready one; *done is set when none was
 * ready. */
static mt_status step_group(mt_optimizer *optimizer, bool *done)
{
    mt_update_work *update = &optimizer->update;
    update->rows = 0;
    for (int i = 0; i < optimizer->slots; i++) {
        slot *s = &optimizer->slot[i];
        if (!s->ready || (update->rows && s->step + 1 != update->step)) continue;
        update->step = s->step + 1;
        mt_update_row *row = &optimizer->row[update->rows++];
        *row = (mt_update_row){
            .value = values(s->tensor), .grad = values(mt_grad(s->tensor)), .n = mt_tensor_count(s->tensor)};
        s->ready = false;
        s->step++;
        mt_tensor_touch(s->tensor);
        for (int k = 0; k < MT_UPDATE_STATES; k++) {
            row->state[k] = values(s->state[k]);
            if (s->state[k]) mt_tensor_touch(s->state[k]);
        }
    }
    *done = update->rows == 0;
    if (*done) return MT_OK;
    update->row = optimizer->row;
    return optimizer->backend->update(optimizer->backend, update);
}

mt_status mt_optimizer_step(mt_optimizer *optimizer)
{
    if (!optimizer) return MT_ERR_NULL;
    bool any = false;
    for (int i = 0; i < optimizer->slots; i++) {
        slot *s = &optimizer->slot[i];
        s->ready = mt_requires_grad(s->tensor) && mt_has_grad(s->tensor);
        any = any || s->ready;
    }
    if (!any)
        return mt_fail(MT_ERR_STATE,
                       "optimizer: none of the %d parameters has a gradient, so nothing would move; call "
                       "mt_backward before each step",
                       optimizer->slots);
    mt_status status = MT_OK;
    for (bool done = false; !done && status == MT_OK;) status = step_group(optimizer, &done);
    return status;
}

mt_status mt_optimizer_zero_grad(mt_optimizer *optimizer)
{
    if (!optimizer) return MT_ERR_NULL;
    for (int i = 0; i < optimizer->slots; i++) mt_zero_grad(optimizer->slot[i].tensor);
    return MT_OK;
}

mt_status mt_optimizer_set_rate(mt_optimizer *optimizer, double rate)
{
    if (!optimizer) return MT_ERR_NULL;
    mt_status status = check_at_least_zero("optimizer", "rate", rate);
    if (status == MT_OK) optimizer->update.options.rate = rate;
    return status;
}

double mt_optimizer_get_rate(const mt_optimizer *optimizer)
{
    return optimizer ? optimizer->update.options.rate : NAN;
}
