/* sweep_plot.c - draws a sweep with gnuplot (see sweep_plot.h). Colours of Okabe and Ito's palette, which
 * colour-blind readers tell apart, and a shape of point for each line. */
#define _POSIX_C_SOURCE 200809L
#include "sweep_plot.h"

#include <string.h>

#include "child.h"
#include "project/outfile.h"

static const char PROGRAM[] = "matmul_sweep";
enum { MOST_LINES = 24 };

static bool ends_in(const char *path, const char *ending)
{
    const size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcmp(path + length - tail, ending) == 0;
}

bool sweep_plot_check(const char *path)
{
    if (ends_in(path, ".svg") || ends_in(path, ".png")) return outfile_check(path, PROGRAM);
    char shown[QUOTED_BYTES];
    fprintf(stderr, "%s: --plot must name a file that ends in .svg or .png, not '%s'\n", PROGRAM,
            quoted(path, shown));
    return false;
}

/* The lines of the plot: the first row of each engine and batch. */
typedef struct series {
    char engine[24];
    long batch;
} series;

static bool is_in(const bench_row *row, const series *s)
{
    long batch = 0;
    return sscanf(row->shape, "%ld x", &batch) == 1 && batch == s->batch &&
           strcmp(row->engine, s->engine) == 0;
}

static int find_series(const bench_report *report, series *found)
{
    int count = 0;
    for (int i = 0; i < report->count && count < MOST_LINES; i++) {
        series s = {.batch = 0};
        snprintf(s.engine, sizeof s.engine, "%s", report->rows[i].engine);
        if (sscanf(report->rows[i].shape, "%ld x", &s.batch) != 1) continue;
        bool known = false;
        for (int k = 0; k < count; k++) known = known || is_in(&report->rows[i], &found[k]);
        if (!known) found[count++] = s;
    }
    return count;
}

static void send(FILE *script, const bench_report *report, bool svg)
{
    static const char *const colours[] = {"#0072b2", "#c04a00", "#009e73", "#cc79a7", "#56b4e9", "#555555"};
    series lines[MOST_LINES];
    const int count = find_series(report, lines);
    fputs(
        svg ? "set terminal svg size 900,520 dynamic noenhanced background rgb 'white' font 'sans-serif,15'\n"
            : "set terminal png size 900,520 noenhanced truecolor font 'sans,12'\n",
        script);
    for (int k = 0; k < count; k++) {
        fprintf(script, "$line%d << END\n", k);
        for (int i = 0; i < report->count; i++) {
            const bench_row *row = &report->rows[i];
            long batch = 0, size = 0;
            if (!is_in(row, &lines[k]) || sscanf(row->shape, "%ld x %ld", &batch, &size) != 2) continue;
            fprintf(script, "%ld %.6g %.6g %.6g\n", size, 1e-9 * row->flops / row->time.median,
                    1e-9 * row->flops / row->time.high, 1e-9 * row->flops / row->time.low);
        }
        fputs("END\n", script);
    }
    fprintf(
        script,
        "set logscale x 2\nset logscale y 10\nset grid lt 1 lw 1 lc rgb '#dddddd'\nset key outside right\n"
        "set xlabel 'n, products of n x n matrices'\nset ylabel 'GFLOP/s'\nset border lc rgb '#555555'\n"
        "set title '%d threads; bars are quartiles'\n"
        "peak = %.6g\nplot peak with lines dt 2 lc rgb '#999999' title 'multiply-add peak'",
        report->ceilings.threads, report->ceilings.fma);
    for (int k = 0; k < count; k++) {
        const char *colour = colours[k % (int)(sizeof colours / sizeof *colours)];
        fprintf(script,
                ", \\\n  $line%d using 1:2 with lines lw 1.5 lc rgb '%s' notitle, \\\n"
                "  $line%d using 1:2:3:4 with yerrorbars pt %d ps 0.8 lc rgb '%s' title '%s, batch %ld'",
                k, colour, k, 5 + k, colour, lines[k].engine, lines[k].batch);
    }
    fputc('\n', script);
}

bool sweep_plot_write(const char *path, const bench_report *report)
{
    outfile file;
    child gnuplot;
    char name[] = "gnuplot", plain[] = "-d"; /* -d: without the user's start-up file */
    char *const arguments[] = {name, plain, NULL};
    if (!outfile_open(&file, path, PROGRAM)) return false;
    const int error = child_start(&gnuplot, arguments, fileno(file.stream), 0);
    if (error == 0) {
        send(gnuplot.to, report, ends_in(path, ".svg"));
        if (child_finish(&gnuplot) == 0) return outfile_commit(&file, PROGRAM);
    }
    outfile_abandon(&file);
    bench_fail(PROGRAM, error != 0
                            ? "gnuplot cannot be started (Debian: apt install gnuplot-nox); --csv needs "
                              "none"
                            : "gnuplot could not draw the plot; --csv writes the same numbers");
    return false;
}
