/* nn/schedule.h - schedules: the learning rate as a function of the number of steps taken.
 *
 * A schedule is a value without memory: the same step gives the same rate, so a run that continues needs the
 * number of its steps alone. An optimiser (mt_optimizer_set_schedule) asks it before each step, for each
 * group with that group's own rate.
 */
#ifndef MT_SCHEDULE_H
#define MT_SCHEDULE_H

#include "../tensor/status.h"

typedef enum mt_schedule_kind {
    MT_SCHEDULE_CONSTANT,
    MT_SCHEDULE_STEP,
    MT_SCHEDULE_COSINE,
    MT_SCHEDULE_ONE_CYCLE,
    MT_SCHEDULE_COUNT
} mt_schedule_kind;

/* Made by the functions below, which say what the numbers mean; those that a kind does not read are 0. */
typedef struct mt_schedule {
    mt_schedule_kind kind;
    int64_t steps;
    double factor, least, rise, start, end;
    int64_t warm_up; /* steps of a linear rise before all that, from warm_from times the rate; 0: none */
    double warm_from;
} mt_schedule;

MT_BEGIN

/* rate. */
MT_API mt_schedule mt_schedule_constant(void);
/* rate factor^(t / every), the quotient rounded down: PyTorch's StepLR, with every = 1 its ExponentialLR. */
MT_API mt_schedule mt_schedule_step(int64_t every, double factor);
/* least + (rate - least) (1 + cos(pi t / steps)) / 2: PyTorch's CosineAnnealingLR, which, as here, rises
 * again after steps. */
MT_API mt_schedule mt_schedule_cosine(int64_t steps, double least);
/* The rate is the peak. With first = rate / start it rises from first to rate at step rise steps - 1, and
 * falls from there to first / end at step steps - 1, on half a cosine each; after that it stays. PyTorch's
 * OneCycleLR with anneal_strategy cos and two phases, where rise is pct_start (0.3), start div_factor (25)
 * and end final_div_factor (10000); it moves no momentum. rise is in [0, 1], start and end above 0. */
MT_API mt_schedule mt_schedule_one_cycle(int64_t steps, double rise, double start, double end);
/* The rate of the first steps rises linearly, rate (from + (1 - from) t / steps), and then begins: its step 0
 * is at step `steps`. PyTorch's LinearLR, and SequentialLR of that and then. from is in [0, 1]; an earlier
 * warm-up of then is replaced. */
MT_API mt_schedule mt_schedule_warm_up(int64_t steps, double from, mt_schedule then);

/* The rate of the step that is taken after `step` others (0 at the first), for a group whose rate is `rate`.
 * NaN with a sentence where the schedule, the step or the rate is out of range. */
MT_API double mt_schedule_rate(mt_schedule schedule, double rate, int64_t step);

MT_END

#endif
