/* plot.h - the picture of a trained model: decision regions, points by label, the loss; as SVG, PNG or
 * numbers.
 *
 * SVG and PNG are drawn by gnuplot, which is tried before training starts; CSV needs nothing. The file
 * appears whole or not at all.
 */
#ifndef RUN_PLOT_H
#define RUN_PLOT_H

#include "train.h"

typedef enum plot_format { PLOT_SVG, PLOT_PNG, PLOT_CSV } plot_format;

/* The loss as it was in some of the epochs: at most CURVE_POINTS of them, spread evenly, and the last. */
enum { CURVE_POINTS = 1000 };
typedef struct loss_curve {
    int64_t epoch[CURVE_POINTS + 2];
    double loss[CURVE_POINTS + 2];
    int count;
} loss_curve;

/* The same numbers for every format. */
enum { PLOT_SIDE = 101 }; /* the grid's cells along each axis */
typedef struct plot_data {
    char title[160];
    const char *loss_name;
    double low, high; /* of both axes: 0 to 1, more where points lie outside */
    double *region;   /* PLOT_SIDE x PLOT_SIDE probabilities of label 1, x1 running faster */
    int64_t points;
    double *x, *y, *p; /* points pairs, labels, probabilities */
    const loss_curve *curve;
} plot_data;

/* The middle of the i-th cell of the grid. */
static inline double plot_cell(const plot_data *data, int i)
{
    return data->low + (data->high - data->low) * (i + 0.5) / PLOT_SIDE;
}

/* Looks whether path can be drawn: its ending, its directory, gnuplot. Returns the exit status, 0 when it
 * can; what is wrong has been told on stderr. */
int plot_check(const char *path, plot_format *format);
/* Draws. False with a sentence on stderr, and nothing left behind, when it fails. */
bool plot_write(const run_settings *settings, plot_format format, run_trainer *trainer,
                const loss_curve *curve, int64_t correct);

#endif
