/* tests/test_schedule.c - schedules against PyTorch's schedulers, their ends, and what is refused. */
#include "support.h"

#include <math.h>

#include "minitorch.h"

enum { STEPS = 40 };

static void goldens(void **state)
{
    (void)state;
    const struct {
        const char *text;
        mt_schedule schedule;
        double rate, want[STEPS];
    } cases[] = {
#include "golden/schedules.inc"
    };
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        double got[STEPS];
        for (int t = 0; t < STEPS; t++) got[t] = mt_schedule_rate(cases[i].schedule, cases[i].rate, t);
        /* PyTorch's own closed forms are as far from its step by step values. */
        TEST_ALL_CLOSE(got, cases[i].want, STEPS, 1e-15, 1e-13, cases[i].text);
        test_cases++;
    }
}

static void ends(void **state)
{
    (void)state;
    const mt_schedule cycle = mt_schedule_one_cycle(10, 0.3, 4, 8),
                      sharp = mt_schedule_one_cycle(10, 0.1, 4, 8), one = mt_schedule_one_cycle(1, 0.5, 4, 8);
    TEST_TRUE(mt_schedule_rate(cycle, 1, 0) == 0.25);
    TEST_TRUE(mt_schedule_rate(cycle, 1, 2) == 1);
    TEST_TRUE(mt_schedule_rate(cycle, 1, 9) == 0.25 / 8);
    TEST_TRUE(mt_schedule_rate(cycle, 1, INT64_MAX) == 0.25 / 8); /* stays, where PyTorch raises an error */
    TEST_TRUE(mt_schedule_rate(sharp, 1, 0) == 1); /* the peak is step 0, where PyTorch divides by 0 */
    TEST_TRUE(mt_schedule_rate(one, 1, 0) == 0.25 / 8);
    const mt_schedule warm = mt_schedule_warm_up(4, 0, mt_schedule_step(2, 0));
    const double want[] = {0, 0.25, 0.5, 0.75, 1, 1, 0, 0};
    for (int t = 0; t < 8; t++) TEST_TRUE(mt_schedule_rate(warm, 1, t) == want[t]);
    /* a warm-up of none, and the later of two */
    TEST_TRUE(mt_schedule_rate(mt_schedule_warm_up(0, 0, mt_schedule_constant()), 3, 0) == 3);
    TEST_TRUE(mt_schedule_rate(mt_schedule_warm_up(2, 0.5, warm), 1, 1) == 0.75);
    TEST_TRUE(mt_schedule_rate(mt_schedule_cosine(INT64_MAX, 0), 1, INT64_MAX) < 1e-12);
    TEST_TRUE(mt_schedule_rate(mt_schedule_step(INT64_MAX, 0.5), 1, INT64_MAX) == 0.5);
}

static void refused(void **state)
{
    (void)state;
    const mt_schedule constant = mt_schedule_constant();
    const struct {
        mt_schedule schedule;
        double rate;
        int64_t step;
        const char *part;
    } bad[] = {{constant, -1, 0, "the rate is -1"},
               {constant, NAN, 0, "the rate is nan"},
               {constant, INFINITY, 0, "the rate is inf"},
               {constant, 1, -1, "step -1"},
               {mt_schedule_step(0, 0.5), 1, 0, "the number of steps of the step schedule is 0"},
               {mt_schedule_step(5, -0.5), 1, 0, "the factor of the step schedule is -0.5"},
               {mt_schedule_step(5, NAN), 1, 0, "the factor"},
               {mt_schedule_cosine(-3, 0), 1, 0, "the number of steps of the cosine schedule"},
               {mt_schedule_cosine(3, -0.1), 1, 0, "the least rate"},
               {mt_schedule_one_cycle(0, 0.3, 25, 1e4), 1, 0, "the number of steps of the one-cycle"},
               {mt_schedule_one_cycle(9, 1.5, 25, 1e4), 1, 0, "the share of the rise"},
               {mt_schedule_one_cycle(9, NAN, 25, 1e4), 1, 0, "the share of the rise"},
               {mt_schedule_one_cycle(9, 0.3, 0, 1e4), 1, 0, "the divisor at the start"},
               {mt_schedule_one_cycle(9, 0.3, 25, INFINITY), 1, 0, "the divisor at the end"},
               {mt_schedule_warm_up(-1, 0.3, constant), 1, 0, "the length of the warm-up"},
               {mt_schedule_warm_up(5, 1.1, constant), 1, 0, "the first factor of the warm-up"},
               {mt_schedule_warm_up(5, NAN, constant), 1, 0, "the first factor of the warm-up"},
               {{.kind = (mt_schedule_kind)77}, 1, 0, "kind number 77"}};
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        test_stale();
        const double rate = mt_schedule_rate(bad[i].schedule, bad[i].rate, bad[i].step);
        TEST_CHECK(isnan(rate), "case %d gives %g", (int)i, rate);
        TEST_FAILS(isnan(mt_schedule_rate(bad[i].schedule, bad[i].rate, bad[i].step)) ? mt_last_status()
                                                                                      : MT_OK,
                   MT_ERR_VALUE, bad[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(goldens), TEST(ends), TEST(refused)};
    return TEST_RUN("schedule", tests);
}
