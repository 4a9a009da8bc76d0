/* harness.c - the command line, the clock and the samples that all benches share (see harness.h). */
#define _DEFAULT_SOURCE /* getloadavg */
#define _POSIX_C_SOURCE 200809L
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bind.h"
#include "project/outfile.h"

enum { MOST_SAMPLES = 1000 };

#define AT(field) offsetof(bench_options, field)
static const option rows[] = {
    {"--quick", "", OPTION_FLAG, AT(quick), 0, 0, NULL, "", "",
     "small sizes and few repetitions: whether it runs, not how fast"},
    {"--threads", "", OPTION_INT, AT(threads), 1, 1024, NULL, "N", "",
     "threads of the cpu backend and its peers; without it OMP_NUM_THREADS, else every processor or a "
     "container's quota"},
    {"--seed", "", OPTION_SEED, AT(seed), 0, 0, NULL, "N", "1", "of all random numbers"},
    {"--csv", "", OPTION_TEXT, AT(csv), 0, 0, NULL, "FILE", "", "write the figures there as well"},
    {"--json", "", OPTION_TEXT, AT(json), 0, 0, NULL, "FILE", "",
     "the same as a JSON list, which --baseline reads"},
    {"--baseline", "", OPTION_TEXT, AT(baseline), 0, 0, NULL, "FILE", "",
     "compare with a FILE that --json wrote, and name what is 1.1 times slower, each figure taken relative "
     "to "
     "its own run's ceiling"},
    {"--check", "", OPTION_FLAG, AT(check), 0, 0, NULL, "", "",
     "with --baseline: exit 1 when something is slower"},
    BENCH_ASKED,
};
const option_group bench_options_group = {"Measuring and output", rows, (int)(sizeof rows / sizeof rows[0])};

int bench_fail(const char *program, const char *sentence)
{
    fprintf(stderr, "%s: %s\n", program, sentence);
    return 1;
}

bool bench_flushed(const char *program)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    fprintf(stderr, "%s: cannot write to standard output: %s; free some space, or send it elsewhere\n",
            program, strerror(errno));
    return false;
}

void bench_ignore_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN);
#endif
}

int bench_command_line(const option_table *table, int argc, char **argv, void *settings, const char *about)
{
    const bench_asked *asked = settings;
    bench_ignore_signals();
    options_defaults(table, settings);
    if (!options_parse(table, argc, argv, settings)) return 2;
    if (!asked->help && !asked->version) return -1;
    if (asked->help) {
        printf("Usage: %s [--option VALUE | --option=VALUE]...\n%s\n\n", table->program, about);
        options_help(table, stdout);
    } else {
        printf("%s (minitorch.c) %s\n", table->program, mt_version());
    }
    return bench_flushed(table->program) ? 0 : 1;
}

int bench_start(const option_table *table, int argc, char **argv, void *settings, const char *about)
{
    const bench_options *options = settings;
    const int status = bench_command_line(table, argc, argv, settings, about);
    if (status >= 0) return status;
    if (options->check && options->baseline == NULL) {
        fprintf(stderr, "%s: --check needs --baseline FILE to compare with\n", table->program);
        return 2;
    }
    if (options->csv != NULL && options->json != NULL && strcmp(options->csv, options->json) == 0) {
        char shown[QUOTED_BYTES];
        fprintf(stderr,
                "%s: --csv and --json both name '%s', and one would replace the other; name two files\n",
                table->program, quoted(options->csv, shown));
        return 2;
    }
    if (options->threads > 0 && mt_set_threads((int)options->threads) != MT_OK)
        return bench_fail(table->program, mt_last_message());
    if (options->csv != NULL && !outfile_check(options->csv, table->program)) return 1;
    if (options->json != NULL && !outfile_check(options->json, table->program)) return 1;
    return -1;
}

/* ---- time ---- */

double bench_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

bench_effort bench_effort_of(const bench_options *options)
{
    if (options->quick)
        return (bench_effort){.warm_up = 5e-4, .sample = 2e-4, .budget = 0.01, .samples = 5, .pause = 1e-3};
    return (bench_effort){.warm_up = 0.03, .sample = 2e-3, .budget = 0.5, .samples = 21, .pause = 0.06};
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value a share of the way through count sorted values, between two of them where it must be. */
static double at_share(const double *values, int count, double share)
{
    const double position = share * (count - 1);
    const int below = (int)position, above = below + 1 < count ? below + 1 : below;
    return values[below] + (position - below) * (values[above] - values[below]);
}

/* What comes before a measurement: every thread in its place, and silence. One thread alone has nobody to
 * wait for, and a pause would only let the clock sink.
 */
static void settle(const bench_effort *effort, bool peer)
{
    const int threads = mt_get_threads();
    if (threads == 1) return;
    if (peer)
        bench_unbind();
    else
        bench_bind(threads);
    nanosleep(&(struct timespec){.tv_nsec = (long)(effort->pause * 1e9)}, NULL);
}

/* Calls body for some seconds and gives the number of calls in a sample; 0 when body said false. */
static int64_t warm_up(const bench_effort *effort, double seconds, bench_body body, void *context)
{
    double fastest = 1e30;
    const double start = bench_now();
    for (double spent = 0; spent < seconds || fastest > 1e29; spent = bench_now() - start) {
        const double before = bench_now();
        if (!body(context)) return 0;
        const double once = bench_now() - before;
        if (once < fastest) fastest = once;
    }
    if (fastest < 2e-8) fastest = 2e-8; /* what the clock itself costs */
    return fastest < effort->sample ? (int64_t)(effort->sample / fastest) + 1 : 1;
}

/* One sample in *seconds: what a call took. */
static bool take(int64_t calls, bench_body body, void *context, double *seconds)
{
    const double before = bench_now();
    for (int64_t i = 0; i < calls; i++) {
        if (!body(context)) return false;
    }
    *seconds = (bench_now() - before) / (double)calls;
    return true;
}

bench_time bench_summary(double *seconds, int count, int64_t calls)
{
    qsort(seconds, (size_t)count, sizeof *seconds, ascending);
    return (bench_time){.median = at_share(seconds, count, 0.5),
                        .low = at_share(seconds, count, 0.25),
                        .high = at_share(seconds, count, 0.75),
                        .best = seconds[0],
                        .samples = count,
                        .calls = calls};
}

bool bench_measure(const bench_effort *effort, bench_body body, void *context, bench_time *time)
{
    double seconds[MOST_SAMPLES];
    settle(effort, false);
    const int64_t calls = warm_up(effort, effort->warm_up, body, context);
    const int wanted = effort->samples < MOST_SAMPLES ? effort->samples : MOST_SAMPLES;
    int count = 0;
    if (calls == 0) return false;
    const double start = bench_now();
    do {
        if (!take(calls, body, context, &seconds[count++])) return false;
    } while (count < wanted && (count < 3 || bench_now() - start < effort->budget));
    *time = bench_summary(seconds, count, calls);
    return true;
}

bool bench_measure_by_turns(const bench_effort *effort, bench_turn *turns, int count)
{
    static double seconds[BENCH_TURNS][MOST_SAMPLES];
    int64_t calls[BENCH_TURNS];
    const int wanted = effort->samples < MOST_SAMPLES ? effort->samples : MOST_SAMPLES;
    int taken = 0;
    for (int i = 0; i < count; i++) {
        settle(effort, turns[i].peer);
        calls[i] = warm_up(effort, effort->warm_up, turns[i].body, turns[i].context);
        if (calls[i] == 0) return false;
    }
    const double start = bench_now();
    do {
        for (int k = 0; k < count; k++) {
            const int i = (k + taken) % count;
            settle(effort, turns[i].peer);
            if (warm_up(effort, effort->warm_up / 3, turns[i].body, turns[i].context) == 0 ||
                !take(calls[i], turns[i].body, turns[i].context, &seconds[i][taken]))
                return false;
        }
        taken++;
    } while (taken < wanted && (taken < 3 || bench_now() - start < effort->budget));
    for (int i = 0; i < count; i++) turns[i].time = bench_summary(seconds[i], taken, calls[i]);
    return true;
}

/* ---- the machine ---- */

void bench_cpu_name(char *text, size_t size)
{
    char line[256];
    snprintf(text, size, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
        snprintf(text, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file != NULL) fclose(file);
}

double bench_load(void)
{
    double load = -1;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

int bench_read_list(const char *program, const char *name, const char *text, int64_t largest, int64_t *values,
                    int most)
{
    int count = 0;
    for (const char *at = text;; at++) {
        char *end = NULL;
        errno = 0;
        const long long value = *at >= '0' && *at <= '9' ? strtoll(at, &end, 10) : 0;
        if (value < 1 || value > largest || errno != 0 || (*end != 0 && *end != ',') || count == most) {
            char shown[QUOTED_BYTES];
            fprintf(stderr,
                    "%s: %s must be up to %d whole numbers from 1 to %lld with commas between them, as in "
                    "64,128, not '%s'\n",
                    program, name, most, (long long)largest, quoted(text, shown));
            return 0;
        }
        values[count++] = value;
        if (*end == 0) return count;
        at = end;
    }
}
