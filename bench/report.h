/* report.h - the figures of a run: kept as rows, printed as a table, written as CSV and JSON, compared with
 * those of an earlier run.
 *
 * A row is one piece of work by one engine. Its cost is what it took times what the ceiling could have done
 * in a second, so a machine that was busy in one run and idle in another can be compared with itself.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "baseline.h"
#include "ceilings.h"

/* Work that moves more bytes than this goes beyond the caches, and its share of a streaming rate means
 * something. */
enum { BENCH_STREAMED = 60000000 };

typedef enum bench_bound { BENCH_BY_FMA, BENCH_BY_COPY, BENCH_BY_READ } bench_bound;

typedef struct bench_row {
    char work[48], shape[48]; /* what is done to what: "add", "1000 x 1000" */
    char engine[24];          /* cpu, simple; or a peer: torch, numpy, jax, openblas */
    bool peer;
    int threads;
    bench_time time;
    double flops, bytes; /* of one call; 0 where it makes no sense to count them */
    bench_bound bound;   /* the ceiling that costs are relative to */
    double ceiling;      /* its rate when this row was measured, or of its threads; 0: that of the report */
    bool percent;        /* whether the share of that ceiling means anything: arrays beyond the caches */
} bench_row;

typedef struct bench_report {
    const char *program;
    const bench_options *options;
    baseline before; /* of --baseline; empty without it */
    bench_ceilings ceilings;
    char cpu[96], isa[32], date[32];
    double load;
    bench_row *rows;
    int count, room;
} bench_report;

/* Reads the baseline where the options name one, looks at the machine, measures the ceilings with the
 * library's number of threads, and prints both. */
bool bench_report_open(bench_report *report, const char *program, const bench_options *options);
void bench_report_close(bench_report *report);

/* Keeps a copy; false with a sentence when memory runs out. */
bool bench_report_add(bench_report *report, const bench_row *row);

/* The ceiling's rate, in GFLOP/s or GB/s; its name; and the share of it that a row reached, NaN where its
 * rate is not counted in that. */
double bench_row_ceiling(const bench_report *report, const bench_row *row);
const char *bench_bound_name(bench_bound bound);
double bench_ceiling_of(const bench_ceilings *ceilings, bench_bound bound);
double bench_row_share(const bench_report *report, const bench_row *row);

/* A product that is faster than the multiply-add peak tells that the peak was measured while something else
 * ran. Then it is measured again, a few times, and the best counts: for the report, or for the row where it
 * has a ceiling of its own. A warning says so on stderr, and another when the row stays above. */
void bench_report_raise(bench_report *report, bench_row *row);

/* "12.3 us" in text, which is returned. */
const char *bench_seconds_text(double seconds, char text[24]);
/* Prints the row: work, shape, engine, median, quartiles, rates, percent. The heading goes before the first.
 */
void bench_print_heading(void);
void bench_print_row(const bench_report *report, const bench_row *row);

/* Writes CSV and JSON where the options ask, and compares with the baseline: the exit status. */
int bench_report_finish(const bench_report *report);

#endif
