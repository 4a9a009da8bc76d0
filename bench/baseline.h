/* baseline.h - the figures of an earlier run, read from a file that --json wrote.
 *
 * It is read before anything is measured, and as a whole: a file that breaks off would otherwise pass for
 * one in which nothing is slower.
 */
#ifndef BENCH_BASELINE_H
#define BENCH_BASELINE_H

#include <stdbool.h>

typedef struct baseline_row {
    char work[48], shape[48], engine[24];
    int threads;
    double seconds, ceiling; /* NaN where the file has null */
} baseline_row;

typedef struct baseline {
    baseline_row *rows;
    int count, room;
} baseline;

/* False with a sentence on stderr, and nothing to free, when path cannot be read or is not what --json
 * writes. */
bool baseline_read(baseline *self, const char *path, const char *program);
void baseline_free(baseline *self);

/* NULL when there is none with something to compare. */
const baseline_row *baseline_find(const baseline *self, const char *work, const char *shape,
                                  const char *engine, int threads);

#endif
