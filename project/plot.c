/* plot.c - gathers what a plot shows, checks that it can be drawn, writes CSV itself (see plot.h).
 *
 * CSV has one header and three kinds of rows: region (the probability at a cell of the grid), point (label
 * and probability), loss (x is the epoch).
 */
#define _POSIX_C_SOURCE 200809L
#include "plot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gnuplot.h"
#include "outfile.h"

static bool format_of(const char *path, plot_format *format)
{
    static const char *const endings[] = {".svg", ".png", ".csv"};
    const size_t length = strlen(path);
    for (int i = 0; i < 3; i++) {
        if (length > 4 && path[length - 5] != '/' && same_word(path + length - 4, endings[i])) {
            *format = (plot_format)i;
            return true;
        }
    }
    return false;
}

int plot_check(const char *path, plot_format *format)
{
    if (!format_of(path, format)) {
        char shown[QUOTED_BYTES];
        fprintf(stderr, "run_fast: --plot must name a file that ends in .svg, .png or .csv, not '%s'\n",
                quoted(path, shown));
        return 2;
    }
    if (!outfile_check(path, "run_fast")) return 1;
    return *format == PLOT_CSV || gnuplot_check(*format) ? 0 : 1;
}

/* Cells of the grid, then the data set's points, all through the model. */
static mt_status gather(plot_data *data, run_trainer *trainer)
{
    const int64_t points = data->points;
    double *cells = malloc(sizeof *cells * 2 * PLOT_SIDE * PLOT_SIDE);
    data->region = malloc(sizeof *data->region * PLOT_SIDE * PLOT_SIDE);
    data->x = malloc(sizeof *data->x * 2 * (size_t)points);
    data->y = malloc(sizeof *data->y * (size_t)points);
    data->p = malloc(sizeof *data->p * (size_t)points);
    mt_status status = MT_OK;
    if (cells == NULL || data->region == NULL || data->x == NULL || data->y == NULL || data->p == NULL) {
        status = mt_fail(MT_ERR_MEMORY, "no memory is left to plot %" PRId64 " points; use fewer --points",
                         points);
    }
    if (status == MT_OK) status = mt_to_doubles(trainer_x(trainer), data->x, 2 * points);
    if (status == MT_OK) status = mt_to_doubles(trainer_y(trainer), data->y, points);
    if (status == MT_OK) {
        data->low = 0;
        data->high = 1;
        for (int64_t i = 0; i < 2 * points; i++) { /* spiral's arms reach a little outside the unit square */
            if (data->x[i] - 0.02 < data->low && data->x[i] < 0) data->low = data->x[i] - 0.02;
            if (data->x[i] + 0.02 > data->high && data->x[i] > 1) data->high = data->x[i] + 0.02;
        }
        for (int j = 0; j < PLOT_SIDE; j++) {
            for (int i = 0; i < PLOT_SIDE; i++) {
                cells[2 * (j * PLOT_SIDE + i)] = plot_cell(data, i);
                cells[2 * (j * PLOT_SIDE + i) + 1] = plot_cell(data, j);
            }
        }
        status = trainer_predict(trainer, cells, PLOT_SIDE * PLOT_SIDE, data->region);
    }
    if (status == MT_OK) status = trainer_predict(trainer, data->x, points, data->p);
    free(cells);
    return status;
}

static void write_csv(const plot_data *data, FILE *stream)
{
    fputs("part,x,y,label,value\n", stream);
    for (int j = 0; j < PLOT_SIDE; j++) {
        for (int i = 0; i < PLOT_SIDE; i++) {
            fprintf(stream, "region,%.6g,%.6g,,%.6g\n", plot_cell(data, i), plot_cell(data, j),
                    mt_printable(data->region[j * PLOT_SIDE + i]));
        }
    }
    for (int64_t i = 0; i < data->points; i++) {
        fprintf(stream, "point,%.9g,%.9g,%d,%.6g\n", data->x[2 * i], data->x[2 * i + 1], data->y[i] > 0.5,
                mt_printable(data->p[i]));
    }
    for (int i = 0; i < data->curve->count; i++) {
        fprintf(stream, "loss,%" PRId64 ",,,%.9g\n", data->curve->epoch[i],
                mt_printable(data->curve->loss[i]));
    }
}

bool plot_write(const run_settings *settings, plot_format format, run_trainer *trainer,
                const loss_curve *curve, int64_t correct)
{
    plot_data data = {.points = settings->points, .curve = curve};
    data.loss_name =
        settings->report == REPORT_LAST_BATCH ? "loss, summed over the last batch" : "mean loss of an epoch";
    snprintf(data.title, sizeof data.title,
             "%s, seed %" PRIu64 ", %" PRId64 " epochs: %" PRId64 " of %" PRId64 " correct",
             mt_dataset_name(settings->dataset), settings->seed, settings->epochs, correct, settings->points);
    outfile file = {NULL, NULL, NULL};
    bool good = gather(&data, trainer) == MT_OK;
    if (!good) fprintf(stderr, "run_fast: %s\n", mt_last_message());
    good = good && outfile_open(&file, settings->plot, "run_fast");
    if (good && format == PLOT_CSV) write_csv(&data, file.stream);
    if (good && format != PLOT_CSV) good = gnuplot_draw(format, &data, fileno(file.stream));
    if (good) {
        good = outfile_commit(&file, "run_fast");
    } else {
        outfile_abandon(&file);
    }
    free(data.region);
    free(data.x);
    free(data.y);
    free(data.p);
    return good;
}
