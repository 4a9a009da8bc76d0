/* sweep_plot.h - the picture of a matmul sweep: GFLOP/s over the size, a line for each engine and batch.
 *
 * gnuplot reads script and numbers from a pipe and writes the picture to a descriptor of ours; no file name
 * and no word of the user's enters the script.
 */
#ifndef BENCH_SWEEP_PLOT_H
#define BENCH_SWEEP_PLOT_H

#include "report.h"

/* Whether path ends in .svg or .png and can be written; false with a sentence on stderr. */
bool sweep_plot_check(const char *path);
/* Draws; the file appears whole or not at all. False with a sentence on stderr. */
bool sweep_plot_write(const char *path, const bench_report *report);

#endif
