/* nn/optimizer.h - an optimiser's fields, for the files that work on them. Internal. */
#ifndef MT_OPTIMIZER_H
#define MT_OPTIMIZER_H

#include "../tensor/storage.h"
#include "optim.h"

#define MT_OPTIMIZER_STEPS                                                           \
    (INT64_C(1) << 53) /* the most that can be set; a double holds each number below \
                        */

/* One parameter. */
typedef struct mt_optimizer_slot {
    char *name;                         /* its path in the module when the optimiser was made */
    mt_tensor *tensor;                  /* the module's */
    mt_tensor *state[MT_UPDATE_STATES]; /* zeros at first; NULL beyond those that the rule keeps */
    int64_t step;                       /* how many steps it has taken part in */
    int group;
    bool ready; /* has a gradient in this step that is not applied yet */
} mt_optimizer_slot;

typedef struct mt_optimizer_group {
    double rate, weight_decay; /* rate: before the schedule */
} mt_optimizer_group;

/* What clipping by norm works in, made at its first call: the squares of a piece of a gradient; the sum over
 * each block of each gradient, parameter by parameter; and numbers, each (1). */
typedef struct mt_optimizer_norms {
    mt_tensor *squares, *sums;
    mt_tensor *norm, *factor, *small, *limit;
    double limit_value;
} mt_optimizer_norms;

struct mt_optimizer {
    mt_backend *backend;
    mt_update_work update; /* rule and options; rate, weight decay, rows, row and step are set at each call */
    int slots;
    mt_optimizer_slot *slot;
    mt_update_row *row;
    int groups, group_room;
    mt_optimizer_group *group;
    mt_schedule schedule;
    int64_t steps; /* taken */
    mt_optimizer_norms norms;
};

MT_BEGIN
/* An optimiser of that rule, all parameters in group 0; NULL with a sentence. */
MT_INTERNAL mt_optimizer *mt_optimizer_make(mt_module *module, mt_update_rule rule,
                                            mt_update_options options);
/* MT_ERR_VALUE with a sentence for a number below 0, NaN, or infinite in the library's precision. */
MT_INTERNAL mt_status mt_check_at_least_zero(const char *what, const char *option, double value);
MT_INTERNAL void mt_optimizer_free_norms(mt_optimizer *optimizer);
MT_END

/* Whether a step would move the parameter: it is not frozen and a gradient has arrived. */
static inline bool mt_optimizer_moves(const mt_optimizer_slot *slot)
{
    return slot->tensor->requires_grad && slot->tensor->has_grad;
}

#endif
