/* nn/schedule.c - schedules: a row for each kind, with its formula and what its numbers must be. */
#include "schedule.h"

#include <inttypes.h>
#include <math.h>

static const double pi = 3.14159265358979323846;

/* ---- the formulas; t counts from the end of the warm-up ---- */

static double constant(const mt_schedule *s, double rate, double t)
{
    (void)s, (void)t;
    return rate;
}

static double step(const mt_schedule *s, double rate, double t)
{
    return rate * pow(s->factor, floor(t / (double)s->steps));
}

static double cosine(const mt_schedule *s, double rate, double t)
{
    return s->least + (rate - s->least) * (1 + cos(pi * t / (double)s->steps)) / 2;
}

/* From first to last on half a cosine, at part of the way. */
static double anneal(double first, double last, double part)
{
    return last + (first - last) / 2 * (1 + cos(pi * part));
}

static double one_cycle(const mt_schedule *s, double rate, double t)
{
    const double first = rate / s->start, last = (double)s->steps - 1,
                 top = s->rise * (double)s->steps - 1; /* where the peak is; below 0: before the first step */
    if (t <= top) return anneal(first, rate, top > 0 ? t / top : 1);
    if (t >= last) return first / s->end;
    return anneal(rate, first / s->end, (t - top) / (last - top));
}

/* ---- what the numbers must be; conditions are true for good values, so that NaN is refused ---- */

static bool is_rate(double value) { return value >= 0 && value <= 1e300; }

static const struct {
    const char *name;
    double (*formula)(const mt_schedule *s, double rate, double t);
    bool counts; /* whether steps is read, which then is at least 1 */
} kinds[MT_SCHEDULE_COUNT] = {
    [MT_SCHEDULE_CONSTANT] = {"constant", constant, false},
    [MT_SCHEDULE_STEP] = {"step", step, true},
    [MT_SCHEDULE_COSINE] = {"cosine", cosine, true},
    [MT_SCHEDULE_ONE_CYCLE] = {"one-cycle", one_cycle, true},
};

static mt_status refuse(const mt_schedule *s, const char *what, double value, const char *bounds)
{
    return mt_fail(MT_ERR_VALUE, "schedule: %s of the %s schedule is %g; it must be %s", what,
                   kinds[s->kind].name, mt_printable(value), bounds);
}

static mt_status check(const mt_schedule *s)
{
    if ((unsigned)s->kind >= MT_SCHEDULE_COUNT)
        return mt_fail(MT_ERR_VALUE, "schedule: kind number %d; there are %d, from 0", (int)s->kind,
                       (int)MT_SCHEDULE_COUNT);
    if (kinds[s->kind].counts && s->steps < 1)
        return refuse(s, "the number of steps", (double)s->steps, "at least 1");
    if (s->warm_up < 0) return refuse(s, "the length of the warm-up", (double)s->warm_up, "at least 0");
    if (!(s->warm_from >= 0 && s->warm_from <= 1))
        return refuse(s, "the first factor of the warm-up", s->warm_from, "in [0, 1]");
    if (!is_rate(s->factor)) return refuse(s, "the factor", s->factor, "finite, and at least 0");
    if (!is_rate(s->least)) return refuse(s, "the least rate", s->least, "finite, and at least 0");
    if (!(s->rise >= 0 && s->rise <= 1)) return refuse(s, "the share of the rise", s->rise, "in [0, 1]");
    if (s->kind != MT_SCHEDULE_ONE_CYCLE) return MT_OK;
    if (!(s->start > 0 && is_rate(s->start)))
        return refuse(s, "the divisor at the start", s->start, "finite, and above 0");
    if (!(s->end > 0 && is_rate(s->end)))
        return refuse(s, "the divisor at the end", s->end, "finite, and above 0");
    return MT_OK;
}

double mt_schedule_rate(mt_schedule schedule, double rate, int64_t step)
{
    const mt_schedule *s = &schedule;
    mt_status status = check(s);
    if (status == MT_OK && !is_rate(rate))
        status = mt_fail(MT_ERR_VALUE, "schedule: the rate is %g; it must be finite, and at least 0",
                         mt_printable(rate));
    if (status == MT_OK && step < 0)
        status = mt_fail(MT_ERR_VALUE, "schedule: step %" PRId64 "; the first is 0", step);
    if (status != MT_OK) return NAN;
    if (step < s->warm_up)
        return rate * (s->warm_from + (1 - s->warm_from) * (double)step / (double)s->warm_up);
    return kinds[s->kind].formula(s, rate, (double)(step - s->warm_up));
}

/* ---- making ---- */

mt_schedule mt_schedule_constant(void) { return (mt_schedule){.kind = MT_SCHEDULE_CONSTANT}; }

mt_schedule mt_schedule_step(int64_t every, double factor)
{
    return (mt_schedule){.kind = MT_SCHEDULE_STEP, .steps = every, .factor = factor};
}

mt_schedule mt_schedule_cosine(int64_t steps, double least)
{
    return (mt_schedule){.kind = MT_SCHEDULE_COSINE, .steps = steps, .least = least};
}

mt_schedule mt_schedule_one_cycle(int64_t steps, double rise, double start, double end)
{
    return (mt_schedule){
        .kind = MT_SCHEDULE_ONE_CYCLE, .steps = steps, .rise = rise, .start = start, .end = end};
}

mt_schedule mt_schedule_warm_up(int64_t steps, double from, mt_schedule then)
{
    then.warm_up = steps;
    then.warm_from = from;
    return then;
}
