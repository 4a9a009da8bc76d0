/* gnuplot.h - draws a plot with a gnuplot process, which reads its script from a pipe and writes the picture
 * to a descriptor of ours. No file name and no word of the user's enters the script.
 */
#ifndef RUN_GNUPLOT_H
#define RUN_GNUPLOT_H

#include "plot.h"

/* Whether gnuplot starts and knows format's terminal; false with a sentence on stderr. */
bool gnuplot_check(plot_format format);
/* Writes the picture to out. False with a sentence on stderr. */
bool gnuplot_draw(plot_format format, const plot_data *data, int out);

#endif
