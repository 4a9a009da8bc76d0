/* tensor/update_rules.h - the step of an optimiser, as a backend's update slot receives it. */
#ifndef MT_UPDATE_H
#define MT_UPDATE_H

#include "status.h"

/* The rules of update_table.inc. */
#define MT_UPDATE(name, states, names, formula) MT_UPDATE_##name,
typedef enum mt_update_rule {
#include "scalar/update_table.inc"
    MT_UPDATE_COUNT
} mt_update_rule;

enum { MT_UPDATE_STATES = 3 }; /* arrays that a rule may keep for a parameter */

/* What a rule is made of; which of these one reads, its row says. Those that it does not read are 0. */
typedef struct mt_update_options {
    double rate, rate_decay, weight_decay, momentum, beta1, beta2, epsilon;
    bool nesterov;
} mt_update_options;

/* One contiguous parameter of n elements, its gradient, and the states that the rule keeps for it, all 0
 * before the first step unless the rule says otherwise. */
typedef struct mt_update_row {
    mt_real *value;
    const mt_real *grad;
    mt_real *state[MT_UPDATE_STATES]; /* NULL beyond those */
    int64_t n;
} mt_update_row;

/* One step of all rows. */
typedef struct mt_update_work {
    mt_update_rule rule;
    mt_update_options options;
    int64_t step; /* 1 at the first */
    int rows;
    const mt_update_row *row;
} mt_update_work;

/* A row of the table as data. */
typedef struct mt_update_info {
    const char *name, *formula;
    int states;
    const char *state[MT_UPDATE_STATES]; /* their names; NULL beyond */
} mt_update_info;

MT_BEGIN
/* The row of a rule; NULL with a sentence for a number outside the enum. */
MT_API const mt_update_info *mt_update_describe(mt_update_rule rule);
MT_END

#endif
