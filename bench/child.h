/* child.h - another program with pipes to its standard input and output: python for peers, gnuplot for plots.
 *
 * Nothing goes through a shell. The program is searched in PATH and reads what we write to `to`.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdio.h>
#include <sys/types.h>

typedef struct child {
    pid_t pid;
    FILE *to, *from; /* from is NULL when its output went to a descriptor of ours */
} child;

/* Starts arguments[0] with the NULL-terminated arguments. Its output goes to the descriptor out, or to `from`
 * when out is negative; what it complains goes to /dev/null when quiet is set. Returns 0 or an errno. */
int child_start(child *self, char *const arguments[], int out, int quiet);
/* Closes the pipes and waits. Returns the exit status, 128 + the signal that ended it, or -1. */
int child_finish(child *self);

#endif
