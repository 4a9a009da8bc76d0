/* progress.c - the progress line (see progress.h). */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const double interval = 0.2;

double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

progress_line progress_start(bool quiet)
{
    /* Nothing is drawn in the first interval: a short run needs no progress line. */
    return (progress_line){
        .on = !quiet && isatty(STDERR_FILENO) == 1, .shown = false, .due = now() + interval};
}

void progress_show(progress_line *self, int64_t epoch, int64_t epochs, int64_t step, int64_t steps)
{
    if (!self->on) return;
    const double time = now();
    if (time < self->due) return;
    self->due = time + interval;
    self->shown = true;
    fprintf(stderr, "\repoch %" PRId64 " of %" PRId64 ", step %" PRId64 " of %" PRId64 "\x1b[K", epoch,
            epochs, step, steps);
    fflush(stderr);
}

void progress_clear(progress_line *self)
{
    if (!self->shown) return;
    self->shown = false;
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
}
