/* progress.h - a line on a terminal's stderr that says how far a run is, redrawn a few times a second. */
#ifndef RUN_PROGRESS_H
#define RUN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress_line {
    bool on;    /* stderr is a terminal and nobody asked for quiet */
    bool shown; /* the line stands there now */
    double due; /* when it may be drawn again, in seconds of now() */
} progress_line;

/* Seconds on a clock that never jumps. */
double now(void);

progress_line progress_start(bool quiet);
void progress_show(progress_line *progress, int64_t epoch, int64_t epochs, int64_t step, int64_t steps);
/* Takes the line away, before something else is written to the terminal. */
void progress_clear(progress_line *progress);

#endif
