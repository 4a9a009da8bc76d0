/* nn/optim_step.c - what an optimiser is: the parameters of a module and their state, in groups, and a
 * backend call for all of them.
 *
 * The arithmetic of a step stands in the backend's update slot; here is which parameters take part, and each
 * one's step count. Parameters of one group and equal count go into one call, so there is one call for each
 * group unless gradients were empty.
 */
#include "optimizer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- making ---- */

void mt_optimizer_free(mt_optimizer *optimizer)
{
    if (!optimizer) return;
    for (int i = 0; optimizer->slot && i < optimizer->slots; i++) {
        mt_optimizer_slot *slot = &optimizer->slot[i];
        for (int s = 0; s < MT_UPDATE_STATES; s++) mt_tensor_free(slot->state[s]);
        if (slot->name) mt_free(slot->name, strlen(slot->name) + 1);
    }
    mt_optimizer_free_norms(optimizer);
    mt_free(optimizer->slot, (size_t)optimizer->slots * sizeof *optimizer->slot);
    mt_free(optimizer->row, (size_t)optimizer->slots * sizeof *optimizer->row);
    mt_free(optimizer->group, (size_t)optimizer->group_room * sizeof *optimizer->group);
    mt_free(optimizer, sizeof *optimizer);
}

/* Takes parameter i of module into its slot, with as many state tensors as the rule keeps. */
static mt_status fill_slot(mt_optimizer *optimizer, const mt_module *module, int i, int states)
{
    char text[MT_SHAPE_TEXT];
    mt_optimizer_slot *to = &optimizer->slot[i];
    mt_tensor *tensor = mt_module_parameter_at(module, i);
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
    const int64_t length = mt_module_parameter_path(module, i, NULL, 0);
    to->name = length < 0 ? NULL : mt_alloc((size_t)length + 1);
    if (!to->name || mt_module_parameter_path(module, i, to->name, (size_t)length + 1) < 0)
        return mt_last_status();
    for (int s = 0; s < states; s++) {
        to->state[s] = mt_zeros(backend, mt_tensor_shape(tensor));
        if (!to->state[s]) return MT_ERR_MEMORY;
    }
    return MT_OK;
}

mt_optimizer *mt_optimizer_make(mt_module *module, mt_update_rule rule, mt_update_options options)
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
    optimizer->schedule = mt_schedule_constant();
    optimizer->slots = slots;
    optimizer->slot = mt_alloc_zeroed((size_t)slots * sizeof *optimizer->slot);
    optimizer->row = mt_alloc_zeroed((size_t)slots * sizeof *optimizer->row);
    mt_status status = optimizer->slot && optimizer->row ? MT_OK : MT_ERR_MEMORY;
    if (status == MT_OK && mt_optimizer_add_group(optimizer, options.rate, options.weight_decay) < 0)
        status = mt_last_status();
    for (int i = 0; i < slots && status == MT_OK; i++)
        status = fill_slot(optimizer, module, i, mt_update_describe(rule)->states);
    if (status == MT_OK) return optimizer;
    mt_optimizer_free(optimizer);
    return NULL;
}

/* ---- the rate ---- */

mt_status mt_optimizer_set_rate(mt_optimizer *optimizer, double rate)
{
    if (!optimizer) return MT_ERR_NULL;
    mt_status status = mt_check_at_least_zero("optimizer", "rate", rate);
    for (int g = 0; g < optimizer->groups && status == MT_OK; g++) optimizer->group[g].rate = rate;
    return status;
}

double mt_optimizer_get_rate(const mt_optimizer *optimizer)
{
    return optimizer ? mt_schedule_rate(optimizer->schedule, optimizer->group[0].rate, optimizer->steps)
                     : NAN;
}

mt_status mt_optimizer_set_schedule(mt_optimizer *optimizer, mt_schedule schedule)
{
    if (!optimizer) return MT_ERR_NULL;
    if (isnan(mt_schedule_rate(schedule, 0, 0))) return mt_last_status();
    optimizer->schedule = schedule;
    return MT_OK;
}

int64_t mt_optimizer_steps(const mt_optimizer *optimizer) { return optimizer ? optimizer->steps : -1; }

mt_status mt_optimizer_set_steps(mt_optimizer *optimizer, int64_t steps)
{
    if (!optimizer) return MT_ERR_NULL;
    if (steps < 0 || steps > MT_OPTIMIZER_STEPS)
        return mt_fail(MT_ERR_VALUE, "optimizer_set_steps: %" PRId64 " steps; give 0 to 2^53", steps);
    optimizer->steps = steps;
    return MT_OK;
}

/* ---- stepping ---- */

static mt_real *values(const mt_tensor *x)
{
    return x ? (mt_real *)x->storage->data + x->layout.offset : NULL;
}

/* Applies the step of all ready slots whose group and count are those of the first ready one; *done is set
 * when none was ready. */
static mt_status step_together(mt_optimizer *optimizer, bool *done)
{
    mt_update_work *update = &optimizer->update;
    int group = 0;
    update->rows = 0;
    for (int i = 0; i < optimizer->slots; i++) {
        mt_optimizer_slot *s = &optimizer->slot[i];
        if (!s->ready || (update->rows && (s->step + 1 != update->step || s->group != group))) continue;
        group = s->group;
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
    const mt_optimizer_group *g = &optimizer->group[group];
    update->options.rate = mt_schedule_rate(optimizer->schedule, g->rate, optimizer->steps);
    update->options.weight_decay = g->weight_decay;
    update->row = optimizer->row;
    return optimizer->backend->update(optimizer->backend, update);
}

/* Whether the schedule gives a rate for every group: asked before anything is written. */
static mt_status check_rates(const mt_optimizer *optimizer)
{
    for (int g = 0; g < optimizer->groups; g++) {
        const double rate = mt_schedule_rate(optimizer->schedule, optimizer->group[g].rate, optimizer->steps);
        if (!(rate >= 0 && isfinite((mt_real)rate)))
            return mt_fail(MT_ERR_VALUE,
                           "optimizer: at step %" PRId64
                           " the schedule makes the rate of group %d, %g, %g; it must be at least 0 and "
                           "finite in the library's precision",
                           optimizer->steps, g, optimizer->group[g].rate, mt_printable(rate));
    }
    return MT_OK;
}

mt_status mt_optimizer_step(mt_optimizer *optimizer)
{
    if (!optimizer) return MT_ERR_NULL;
    bool any = false;
    for (int i = 0; i < optimizer->slots; i++) {
        mt_optimizer_slot *s = &optimizer->slot[i];
        s->ready = mt_optimizer_moves(s);
        any = any || s->ready;
    }
    if (!any)
        return mt_fail(MT_ERR_STATE,
                       "optimizer: none of the %d parameters has a gradient, so nothing would move; call "
                       "mt_backward before each step",
                       optimizer->slots);
    mt_status status = check_rates(optimizer);
    for (bool done = false; !done && status == MT_OK;) status = step_together(optimizer, &done);
    if (status == MT_OK) optimizer->steps++;
    return status;
}

mt_status mt_optimizer_zero_grad(mt_optimizer *optimizer)
{
    if (!optimizer) return MT_ERR_NULL;
    for (int i = 0; i < optimizer->slots; i++) mt_zero_grad(optimizer->slot[i].tensor);
    return MT_OK;
}
