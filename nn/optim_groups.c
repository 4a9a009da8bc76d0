/* nn/optim_groups.c - groups of parameters with a rate and a decay of their own, and an optimiser's state by
 * name: what a checkpoint writes and sets back.
 */
#include "optimizer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- names ---- */

/* Whether the path names the parameter called name, or a module above it. */
static bool is_below(const char *name, const char *path)
{
    const size_t length = strlen(path);
    return length > 0 && strncmp(name, path, length) == 0 && (name[length] == 0 || name[length] == '.');
}

static mt_status no_parameter(const mt_optimizer *optimizer, const char *path)
{
    char names[400] = "";
    for (int i = 0; i < optimizer->slots; i++) {
        const size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", optimizer->slot[i].name);
    }
    if (strlen(names) == sizeof names - 1) memcpy(names + sizeof names - 4, "...", 3);
    return mt_fail(MT_ERR_NAME, "optimizer: it has no parameter \"%.100s\"; it has %s", path, names);
}

static mt_optimizer_slot *slot_of(const mt_optimizer *optimizer, const char *parameter)
{
    if (!optimizer || !parameter) return NULL;
    for (int i = 0; i < optimizer->slots; i++)
        if (strcmp(optimizer->slot[i].name, parameter) == 0) return &optimizer->slot[i];
    no_parameter(optimizer, parameter);
    return NULL;
}

/* ---- groups ---- */

int mt_optimizer_groups(const mt_optimizer *optimizer) { return optimizer ? optimizer->groups : 0; }

int mt_optimizer_add_group(mt_optimizer *optimizer, double rate, double weight_decay)
{
    if (!optimizer || mt_check_at_least_zero("optimizer group", "rate", rate) != MT_OK ||
        mt_check_at_least_zero("optimizer group", "weight decay", weight_decay) != MT_OK)
        return -1;
    if (optimizer->groups == optimizer->group_room) {
        const int room = optimizer->group_room ? 2 * optimizer->group_room : 2;
        mt_optimizer_group *larger = mt_alloc((size_t)room * sizeof *larger);
        if (!larger) return -1;
        if (optimizer->groups) memcpy(larger, optimizer->group, (size_t)optimizer->groups * sizeof *larger);
        mt_free(optimizer->group, (size_t)optimizer->group_room * sizeof *larger);
        optimizer->group = larger;
        optimizer->group_room = room;
    }
    optimizer->group[optimizer->groups] = (mt_optimizer_group){rate, weight_decay};
    return optimizer->groups++;
}

static mt_status check_group(const mt_optimizer *optimizer, int group)
{
    if (group >= 0 && group < optimizer->groups) return MT_OK;
    return mt_fail(MT_ERR_INDEX, "optimizer: there is no group %d; it has %d, from 0", group,
                   optimizer->groups);
}

mt_status mt_optimizer_set_group(mt_optimizer *optimizer, int group, const char *path)
{
    if (!optimizer || !path) return MT_ERR_NULL;
    mt_status status = check_group(optimizer, group);
    int found = 0;
    for (int i = 0; i < optimizer->slots && status == MT_OK; i++) {
        const mt_optimizer_slot *slot = &optimizer->slot[i];
        if (!is_below(slot->name, path)) continue;
        found++;
        if (slot->group != 0 && slot->group != group)
            status = mt_fail(MT_ERR_STATE,
                             "optimizer: parameter \"%s\" is in group %d already and cannot be in group %d "
                             "too; name each parameter once",
                             slot->name, slot->group, group);
    }
    if (status == MT_OK && found == 0) status = no_parameter(optimizer, path);
    for (int i = 0; i < optimizer->slots && status == MT_OK; i++)
        if (is_below(optimizer->slot[i].name, path)) optimizer->slot[i].group = group;
    return status;
}

/* Whether a part of the path is the name of a norm: "norm", "layer_norm", "batchnorm2". */
static bool is_of_norm(const char *name)
{
    for (const char *at = name; (at = strstr(at, "norm")) != NULL; at++) {
        const char *rest = at + 4;
        while (*rest >= '0' && *rest <= '9') rest++;
        if (*rest == '.') return true;
    }
    return false;
}

static bool is_bias(const char *name)
{
    const char *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, "bias") == 0;
}

int mt_optimizer_spare_biases(mt_optimizer *optimizer)
{
    const int group = optimizer ? mt_optimizer_add_group(optimizer, optimizer->group[0].rate, 0) : -1;
    for (int i = 0; group >= 0 && i < optimizer->slots; i++) {
        mt_optimizer_slot *slot = &optimizer->slot[i];
        if (slot->group == 0 &&
            (mt_tensor_rank(slot->tensor) <= 1 || is_bias(slot->name) || is_of_norm(slot->name)))
            slot->group = group;
    }
    return group;
}

int mt_optimizer_get_group(const mt_optimizer *optimizer, const char *parameter)
{
    const mt_optimizer_slot *slot = slot_of(optimizer, parameter);
    return slot ? slot->group : -1;
}

mt_status mt_optimizer_set_group_rate(mt_optimizer *optimizer, int group, double rate)
{
    if (!optimizer) return MT_ERR_NULL;
    mt_status status = check_group(optimizer, group);
    if (status == MT_OK) status = mt_check_at_least_zero("optimizer group", "rate", rate);
    if (status == MT_OK) optimizer->group[group].rate = rate;
    return status;
}

mt_status mt_optimizer_set_group_decay(mt_optimizer *optimizer, int group, double weight_decay)
{
    if (!optimizer) return MT_ERR_NULL;
    mt_status status = check_group(optimizer, group);
    if (status == MT_OK) status = mt_check_at_least_zero("optimizer group", "weight decay", weight_decay);
    if (status == MT_OK) optimizer->group[group].weight_decay = weight_decay;
    return status;
}

double mt_optimizer_group_rate(const mt_optimizer *optimizer, int group)
{
    return optimizer && check_group(optimizer, group) == MT_OK ? optimizer->group[group].rate : NAN;
}

double mt_optimizer_group_decay(const mt_optimizer *optimizer, int group)
{
    return optimizer && check_group(optimizer, group) == MT_OK ? optimizer->group[group].weight_decay : NAN;
}

/* ---- state by name ---- */

static const mt_update_info *rule_of(const mt_optimizer *optimizer)
{
    return mt_update_describe(optimizer->update.rule);
}

const char *mt_optimizer_rule(const mt_optimizer *optimizer)
{
    return optimizer ? rule_of(optimizer)->name : NULL;
}

int mt_optimizer_parameters(const mt_optimizer *optimizer) { return optimizer ? optimizer->slots : 0; }

const char *mt_optimizer_parameter_name(const mt_optimizer *optimizer, int i)
{
    if (!optimizer) return NULL;
    if (i >= 0 && i < optimizer->slots) return optimizer->slot[i].name;
    mt_fail(MT_ERR_INDEX, "optimizer: there is no parameter %d; it has %d, from 0", i, optimizer->slots);
    return NULL;
}

int mt_optimizer_states(const mt_optimizer *optimizer) { return optimizer ? rule_of(optimizer)->states : 0; }

const char *mt_optimizer_state_name(const mt_optimizer *optimizer, int i)
{
    if (!optimizer) return NULL;
    const mt_update_info *rule = rule_of(optimizer);
    if (i >= 0 && i < rule->states) return rule->state[i];
    mt_fail(MT_ERR_INDEX, "optimizer: there is no state %d; %s keeps %d, from 0", i, rule->name,
            rule->states);
    return NULL;
}

mt_tensor *mt_optimizer_state(mt_optimizer *optimizer, const char *parameter, const char *state)
{
    const mt_optimizer_slot *slot = state ? slot_of(optimizer, parameter) : NULL;
    if (!slot) return NULL;
    char names[100] = "";
    const mt_update_info *rule = rule_of(optimizer);
    for (int i = 0; i < rule->states; i++) {
        if (strcmp(rule->state[i], state) == 0) return slot->state[i];
        const size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", rule->state[i]);
    }
    mt_fail(MT_ERR_NAME, "optimizer: %s keeps no state \"%.60s\"; it keeps %s", rule->name, state,
            rule->states ? names : "none");
    return NULL;
}

int64_t mt_optimizer_parameter_steps(const mt_optimizer *optimizer, const char *parameter)
{
    const mt_optimizer_slot *slot = slot_of(optimizer, parameter);
    return slot ? slot->step : -1;
}

mt_status mt_optimizer_set_parameter_steps(mt_optimizer *optimizer, const char *parameter, int64_t steps)
{
    if (!optimizer || !parameter) return MT_ERR_NULL;
    mt_optimizer_slot *slot = slot_of(optimizer, parameter);
    if (!slot) return mt_last_status();
    if (steps < 0 || steps > MT_OPTIMIZER_STEPS)
        return mt_fail(MT_ERR_VALUE, "optimizer: %" PRId64 " steps for parameter \"%s\"; give 0 to 2^53",
                       steps, slot->name);
    slot->step = steps;
    return MT_OK;
}
