/* tests/test_ledger.c - the account that decides how many threads pay (ops_cpu/threads.h), on machines that
 * are made up: quiet ones, ones that stumble, and ones whose processors others want all the time.
 */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <time.h>

#include "ops_cpu/kernels.h"
#include "ops_cpu/share.h"
#include "ops_cpu/threads.h"

#define US 1e-6
#define MS 1e-3

/* About the work of one elementary step in a second, as threads.c has it. */
static const double STEPS_A_SECOND = 1e10;

/* A machine on which time passes by what runs on it. */
typedef struct machine {
    mt_ledger ledger;
    mt_rng rng;
    double now;
    int largest; /* team since this was cleared */
} machine;

/* An operation that takes one thread so many seconds; a team waits that much longer with that chance. */
static void operation(machine *m, int threads, double alone, double wait, double chance)
{
    const int team = mt_ledger_team(&m->ledger, m->now, threads, alone * STEPS_A_SECOND);
    if (team > m->largest) m->largest = team;
    if (team == 1) {
        m->now += alone;
        return;
    }
    const double waited = 3 * US + (mt_rng_double(&m->rng) < chance ? wait : 0);
    m->now += alone / team + waited;
    mt_ledger_note(&m->ledger, m->now, team, alone / team, waited);
}

static double seconds(machine m, int operations, int threads, double alone, double wait, double chance)
{
    const double begin = m.now;
    for (int i = 0; i < operations; i++) operation(&m, threads, alone, wait, chance);
    return m.now - begin;
}

static machine new_machine(uint64_t seed) { return (machine){.rng = mt_rng_make(seed), .now = 1000}; }

/* ---- regions ---- */

/* The share whose number context holds takes 50 ms. */
static void nap(const void *context, int share, int shares)
{
    (void)shares;
    if (share == *(const int *)context) nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}
static void nothing(const void *context, int share, int shares) { (void)context, (void)share, (void)shares; }

/* How many threads the next operation gets after a region in which one share, before or after all met, was
 * long. */
static int team_after(mt_share_fn run, mt_share_fn then, int share)
{
    TEST_OK(mt_set_threads(2));
    mt_share_region(2, nothing, NULL, &share); /* threads are made */
    TEST_OK(mt_set_threads(2));
    mt_share_region(2, run, then, &share);
    return mt_cpu_threads(1e6);
}

/* What a region tells the account: the caller's own time, and its wait for others. */
static void test_regions(void **data)
{
    (void)data;
    const int before = mt_get_threads();
    mt_threads_keep_account(true);
    TEST_OK(mt_set_threads(2));
    if (mt_cpu_threads(1e6) == 2) { /* not in a serial build */
        TEST_TRUE(team_after(nap, NULL, 0) == 2);
        TEST_TRUE(team_after(nap, nothing, 0) == 2);
        TEST_TRUE(team_after(nothing, nap, 0) == 2);
        TEST_TRUE(team_after(nap, NULL, 1) == 1);
        TEST_TRUE(team_after(nap, nothing, 1) == 1);
        TEST_TRUE(team_after(nothing, nap, 1) == 1);
        TEST_TRUE(mt_cpu_threads(1e12) == 2); /* work that gains more than was lost */
        mt_threads_keep_account(false);
        TEST_TRUE(mt_cpu_threads(1e6) == 2);
    }
    mt_threads_keep_account(false);
    TEST_OK(mt_set_threads(before));
}

/* ---- accounts ---- */

/* A quiet machine's teams stay whole, also when others' work is longer than the caller's. */
static void test_quiet(void **data)
{
    (void)data;
    mt_ledger l = {0};
    double now = 1;
    for (int i = 0; i < 10000; i++) {
        for (int threads = 2; threads <= 64; threads *= 2) {
            mt_ledger_note(&l, now, threads, 10 * US, 150 * US);
            mt_ledger_note(&l, now, threads, 10 * MS, 9.9 * MS);
            TEST_TRUE(mt_ledger_team(&l, now += 1 * MS, threads, 1e5) == threads);
        }
    }
}

/* A loss halves the team for as long as it took; the next ones 4, 16, 64 and again 64 times as long. */
static void test_losses(void **data)
{
    (void)data;
    mt_ledger l = {0};
    double now = 5;
    const double times[] = {1, 4, 16, 64, 64};
    for (int i = 0; i < 5; i++) {
        mt_ledger_note(&l, now, 2, 30 * US, 10 * MS);
        TEST_TRUE(mt_ledger_team(&l, now + 9.9 * MS * times[i], 2, 1e6) == 1);
        TEST_TRUE(mt_ledger_team(&l, now += 10 * MS * times[i], 2, 1e6) == 2);
    }
    /* What takes longer than any slice is a program that was stopped: it does without a team for 0.1 s. */
    mt_ledger stopped = {0};
    mt_ledger_note(&stopped, 1, 2, 30 * US, 3600);
    TEST_TRUE(mt_ledger_team(&stopped, 1.05, 2, 1e6) == 1 && mt_ledger_team(&stopped, 1.11, 2, 1e6) == 2);
    /* 20 s of work gain what was lost; then the next loss is the first. */
    for (int i = 0; i < 20; i++) mt_ledger_note(&l, ++now, 2, 1, 0);
    mt_ledger_note(&l, now, 2, 30 * US, 10 * MS);
    TEST_TRUE(mt_ledger_team(&l, now + 10 * MS, 2, 1e6) == 2);
}

/* Work of a second has its team even if another 10 ms are lost; more threads than two come back in steps. */
static void test_sizes(void **data)
{
    (void)data;
    mt_ledger l = {0};
    mt_ledger_note(&l, 7, 8, 30 * US, 10 * MS);
    TEST_TRUE(mt_ledger_team(&l, 7, 8, 1 * STEPS_A_SECOND) == 8);
    TEST_TRUE(mt_ledger_team(&l, 7, 8, 1e6) == 4);
    mt_ledger_note(&l, 7, 4, 30 * US, 10 * MS);
    TEST_TRUE(mt_ledger_team(&l, 7, 8, 1e6) == 2);
    TEST_TRUE(mt_ledger_team(&l, 7.05, 8, 1e6) == 4);
    TEST_TRUE(mt_ledger_team(&l, 7.051, 8, 1e6) == 4);
    TEST_TRUE(mt_ledger_team(&l, 7.1, 8, 1e6) == 8);
}

/* Whole runs: what they take beside one thread and beside whole teams. */
static void test_runs(void **data)
{
    (void)data;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const double alone = 54 * US;
        /* Every tenth region waits 10 ms: teams alone would take some 20 times as long as one thread. */
        const double busy = seconds(new_machine(seed), 200000, 2, alone, 10 * MS, 0.1);
        TEST_CHECK(busy < 1.1 * 200000 * alone, "seed %d: beside others %.2f of one thread's time", (int)seed,
                   busy / (200000 * alone));
        /* Once in about a second 4 ms are lost: no reason to do without threads. */
        const double whole = 200000 * (alone / 2 + 3 * US);
        const double stumbling = seconds(new_machine(seed), 200000, 2, alone, 4 * MS, 30e-6);
        TEST_CHECK(stumbling < 1.05 * whole, "seed %d: with stumbles %.3f of a quiet machine's time",
                   (int)seed, stumbling / whole);
        /* Others come and go: soon after, the team is whole. */
        machine m = new_machine(seed);
        for (int i = 0; i < 50000; i++) operation(&m, 2, alone, 10 * MS, 0.1);
        const double after = seconds(m, 200000, 2, alone, 0, 0);
        TEST_CHECK(after < 1.25 * whole, "seed %d: after others %.3f of a quiet machine's time", (int)seed,
                   after / whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_regions), TEST(test_quiet), TEST(test_losses), TEST(test_sizes), TEST(test_runs),
    };
    return TEST_RUN("ledger", tests);
}
