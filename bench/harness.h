/* harness.h - what every bench does alike: its command line, how a piece of work is timed, what the machine
 * is.
 *
 * A measurement warms up, cuts the time into samples of many calls, and keeps the median and the quartiles:
 * the median moves less than the mean when something else runs, and the quartiles say how much it can be
 * trusted.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include "tensor/tensor.h"
#include "project/options.h"

/* What may be asked for in place of the work: the first member of every program's settings, filled by
 * BENCH_ASKED among its rows. */
typedef struct bench_asked {
    bool help, version;
} bench_asked;

/* clang-format off */
#define BENCH_ASKED \
    {"--help", "-h", OPTION_FLAG, offsetof(bench_asked, help), 0, 0, NULL, "", "", "print this and exit"}, \
    {"--version", "", OPTION_FLAG, offsetof(bench_asked, version), 0, 0, NULL, "", "", "print the version and exit"}
/* clang-format on */

/* The first member of the settings of a bench that reports, filled by bench_options_group. */
typedef struct bench_options {
    bench_asked asked;
    bool quick, check;
    const char *csv, *json, *baseline; /* NULL: none */
    int64_t threads;                   /* 0: not given */
    uint64_t seed;
} bench_options;

extern const option_group bench_options_group;

/* How long to measure. */
typedef struct bench_effort {
    double warm_up, sample, budget; /* seconds: before, of a sample at least, of all samples at most */
    int samples;                    /* wanted; at least 3 are taken, whatever they last */
    double pause;                   /* seconds of silence before, in which idle threads go to sleep */
} bench_effort;

/* Seconds of one call. */
typedef struct bench_time {
    double median, low, high, best; /* low and high are the quartiles */
    int samples;
    int64_t calls; /* in a sample */
} bench_time;

/* The median and the quartiles of count samples of so many calls each; the samples are sorted. */
bench_time bench_summary(double *seconds, int count, int64_t calls);

/* The work that is timed; false ends the measurement. */
typedef bool (*bench_body)(void *context);

/* Reads the command line: -1 to go on, else the exit status (0 for --help and --version, 1, 2). settings is
 * the program's struct, which begins with a bench_asked. about is one sentence for --help. */
int bench_command_line(const option_table *table, int argc, char **argv, void *settings, const char *about);
/* The same for settings that begin with bench_options. Sets the library's threads. */
int bench_start(const option_table *table, int argc, char **argv, void *settings, const char *about);

/* Makes a closed pipe, and a file that grew to ulimit -f, errors of write, which are told in a sentence.
 * bench_command_line does it. */
void bench_ignore_signals(void);

bench_effort bench_effort_of(const bench_options *options);
/* False, with nothing written, when body said so. */
bool bench_measure(const bench_effort *effort, bench_body body, void *context, bench_time *time);

/* The same for several bodies, whose samples are taken by turns, so that what disturbs the machine disturbs
 * all alike. Each sample comes after the pause and a warm-up of its own. */
typedef struct bench_turn {
    bench_body body;
    void *context;
    bool peer;       /* runs threads of its own: ours are not bound meanwhile (see bind.h) */
    bench_time time; /* what was measured */
} bench_turn;

enum { BENCH_TURNS = 8 };
bool bench_measure_by_turns(const bench_effort *effort, bench_turn *turns, int count);

double bench_now(void); /* seconds of a clock that never jumps */

/* The processor's name and the load of the last minute (-1 where nobody knows it). */
void bench_cpu_name(char *text, size_t size);
double bench_load(void);

/* Reads text, up to most whole numbers from 1 to largest with commas between them; their count, or 0 with a
 * sentence on stderr that names the program and the option, name. */
int bench_read_list(const char *program, const char *name, const char *text, int64_t largest, int64_t *values,
                    int most);

/* Prints "program: sentence" on stderr and returns 1. bench_flushed: whether everything printed so far
 * arrived, with a sentence when not. */
int bench_fail(const char *program, const char *sentence);
bool bench_flushed(const char *program);

#endif
