/* outfile.h - a file that is either complete or not there: written under a temporary name beside it, then
 * renamed. */
#ifndef RUN_OUTFILE_H
#define RUN_OUTFILE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct outfile {
    FILE *stream;
    char *temporary, *target; /* owned */
} outfile;

/* Opens a new file beside path for writing. False when path cannot become a file, which has been told on
 * stderr: a missing or unwritable directory, a name that is too long, or something there that is not a plain
 * file. A link is followed. */
bool outfile_open(outfile *file, const char *path, const char *program);
/* Puts what was written in path's place, or leaves path as it was and returns false with a sentence on
 * stderr. */
bool outfile_commit(outfile *file, const char *program);
/* Takes the temporary file away. Allowed after a failed open or commit. */
void outfile_abandon(outfile *file);
/* Whether outfile_open would succeed now. */
bool outfile_check(const char *path, const char *program);

#endif
