/* gnuplot.c - starts gnuplot, feeds it a script with the data in it, and waits (see gnuplot.h).
 *
 * Colours: blue and orange of Okabe and Ito's palette, which colour-blind readers tell apart, and two shapes
 * of points.
 */
#define _POSIX_C_SOURCE 200809L
#include "gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A picture of more points than this would be a blot: every k-th is drawn. */
enum { DRAWN_POINTS = 2000 };

typedef struct process {
    pid_t pid;
    FILE *script; /* what gnuplot reads */
    FILE *errors; /* what it complained */
} process;

/* Starts gnuplot with its results going to out. Returns 0 or an errno. */
static int start(process *self, int out)
{
    int ends[2];
    self->errors = tmpfile();
    if (self->errors == NULL) return errno;
    if (pipe(ends) != 0) {
        const int error = errno;
        fclose(self->errors);
        return error;
    }
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, fileno(self->errors), STDERR_FILENO);
    posix_spawn_file_actions_addclose(&files, ends[0]);
    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* we ignore these, gnuplot should not */
#ifdef SIGXFSZ
    sigaddset(&defaults, SIGXFSZ);
#endif
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    char name[] = "gnuplot", plain[] = "-d"; /* -d: without the user's start-up file */
    char *const arguments[] = {name, plain, NULL};
    int error = posix_spawnp(&self->pid, name, &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    close(ends[0]);
    self->script = error == 0 ? fdopen(ends[1], "w") : NULL;
    if (self->script == NULL) {
        if (error == 0) { /* it runs, but nobody can talk to it */
            error = errno;
            kill(self->pid, SIGKILL);
            waitpid(self->pid, NULL, 0);
        }
        close(ends[1]);
        fclose(self->errors);
    }
    return error;
}

static bool tell(const char *reason)
{
    fprintf(
        stderr,
        "run_fast: gnuplot cannot draw the plot: %s; --plot FILE.csv writes the numbers without gnuplot\n",
        reason);
    return false;
}

/* Why it could not be started, as an errno. */
static bool tell_start(int error)
{
    if (error != ENOENT) return tell(strerror(error));
    fputs("run_fast: gnuplot cannot draw the plot: it is not installed; install gnuplot (Debian: apt install "
          "gnuplot-nox), or use --plot FILE.csv, which needs none\n",
          stderr);
    return false;
}

/* Ends the script and waits; true when gnuplot was content. Otherwise its first line of errors is told, or
 * the signal that ended it. */
static bool finish(process *self)
{
    const bool sent = fclose(self->script) == 0;
    char complaint[QUOTED_BYTES], text[QUOTED_BYTES], shown[QUOTED_BYTES];
    int status = 0;
    while (waitpid(self->pid, &status, 0) < 0) {
        if (errno != EINTR) break;
    }
    snprintf(complaint, sizeof complaint, "it ended with status %d", WEXITSTATUS(status));
    rewind(self->errors);
    while (fgets(text, sizeof text, self->errors) != NULL) {
        text[strcspn(text, "\n")] = 0;
        if (text[strspn(text, " ^\t")] == 0) continue;
        snprintf(complaint, sizeof complaint, "%s", quoted(text, shown));
        if (strstr(text, "line ") != NULL) break;
    }
    fclose(self->errors);
    if (WIFSIGNALED(status)) { /* gnuplot is there, and installing it helps nobody */
        fprintf(stderr, "run_fast: gnuplot was ended by signal %d (%s), so there is no plot\n",
                WTERMSIG(status), strsignal(WTERMSIG(status)));
        return false;
    }
    return (sent && WEXITSTATUS(status) == 0) || tell(complaint);
}

static void set_terminal(plot_format format, FILE *script)
{
    if (format == PLOT_SVG) {
        fputs(
            "set terminal svg size 1120,560 dynamic noenhanced background rgb 'white' font 'sans-serif,15'\n",
            script);
    } else {
        fputs("if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) {\n"
              "  set terminal pngcairo size 1120,560 noenhanced background rgb 'white' font 'sans,12'\n"
              "} else {\n"
              "  set terminal png size 1120,560 noenhanced truecolor font 'sans,12'\n"
              "}\n",
              script);
    }
}

bool gnuplot_check(plot_format format)
{
    process self;
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0) return tell(strerror(errno));
    const int error = start(&self, null);
    close(null);
    if (error != 0) return tell_start(error);
    set_terminal(format, self.script);
    return finish(&self);
}

/* ---- the script ---- */

static void send_region(const plot_data *data, FILE *script)
{
    fputs("$region << END\n", script);
    for (int j = 0; j < PLOT_SIDE; j++) {
        for (int i = 0; i < PLOT_SIDE; i++) {
            fprintf(script, "%.6g %.6g %.6g\n", plot_cell(data, i), plot_cell(data, j),
                    mt_printable(data->region[j * PLOT_SIDE + i]));
        }
        fputc('\n', script);
    }
    fputs("END\n", script);
}

/* Columns: x1, x2, which of label 0, label 1; 1 when the model is wrong. Returns whether it is, at any of the
 * points that are drawn. */
static bool send_points(const plot_data *data, FILE *script)
{
    const int64_t stride = (data->points + DRAWN_POINTS - 1) / DRAWN_POINTS;
    bool wrong = false;
    fputs("$points << END\n", script);
    for (int64_t i = 0; i < data->points; i += stride) {
        const int label = data->y[i] > 0.5, predicted = data->p[i] > 0.5;
        fprintf(script, "%.6g %.6g %d %d\n", data->x[2 * i], data->x[2 * i + 1], label, label != predicted);
        wrong = wrong || label != predicted;
    }
    fputs("END\n", script);
    return wrong;
}

static void send_curve(const plot_data *data, FILE *script)
{
    fputs("$curve << END\n", script);
    for (int i = 0; i < data->curve->count; i++) {
        fprintf(script, "%" PRId64 " %.9g\n", data->curve->epoch[i], mt_printable(data->curve->loss[i]));
    }
    fputs("END\n", script);
}

/* wrong: points are marked as such, and the legend says how. */
static void draw_region(plot_format format, const plot_data *data, bool wrong, FILE *script)
{
    /* Points in SVG come out half as large again as in PNG. */
    const double size = (format == PLOT_SVG ? 0.6 : 0.9) * (data->points > 300 ? 0.6 : 1);
    fprintf(script,
            "set contour base\nset cntrparam levels discrete 0.5\nunset surface\n"
            "set table $boundary\nsplot $region using 1:2:3\nunset table\nunset contour\nset surface\n"
            "set multiplot title '%s' font ',18'\n"
            "set tmargin at screen 0.86\nset bmargin at screen 0.22\n"
            "set tics out nomirror\nset border lc rgb '#555555'\n"
            "set lmargin at screen 0.075\nset rmargin at screen 0.395\n"
            "set palette defined (0 '#8fc1e3', 0.5 '#ffffff', 1 '#f4b183')\n"
            "set cbrange [0:1]\nset cbtics 0, 0.25\nset title 'probability of label 1' font ',13'\n"
            "set colorbox user origin 0.407,0.22 size 0.013,0.64\n"
            "set xrange [%.6g:%.6g]\nset yrange [%.6g:%.6g]\nset xtics 0, 0.2, 1\nset ytics 0, 0.2, 1\n"
            "set xlabel 'x1' offset 0,0.5\nset ylabel 'x2' offset 1,0\n"
            "set key at screen 0.235,0.045 center center horizontal samplen 1.5 width -1\n",
            data->title, data->low, data->high, data->low, data->high);
    fprintf(
        script,
        "plot $region using 1:2:3 with image notitle, \\\n"
        "  $boundary using 1:2 with lines lw 1.5 lc rgb '#555555' title 'p = 0.5', \\\n"
        "  $points using 1:($3 == 0 ? $2 : 1/0) with points pt 7 ps %g lc rgb '#0072b2' title 'label 0', \\\n"
        "  $points using 1:($3 == 1 ? $2 : 1/0) with points pt 9 ps %g lc rgb '#c04a00' title 'label 1'",
        size, 1.2 * size);
    if (wrong)
        fprintf(script,
                ", \\\n  $points using 1:($4 == 1 ? $2 : 1/0) with points pt 6 ps %g lw 1.5 lc rgb '#000000' "
                "title 'wrong'",
                2.2 * size);
    fputc('\n', script);
}

/* A loss that spans more than two decades is drawn on a logarithmic axis. */
static bool spans_decades(const plot_data *data)
{
    double least = INFINITY, most = 0;
    for (int i = 0; i < data->curve->count; i++) {
        const double loss = data->curve->loss[i];
        if (loss > 0 && loss < least) least = loss;
        if (isfinite(loss) && loss > most) most = loss;
    }
    return most > 100 * least;
}

static void draw_curve(const plot_data *data, FILE *script)
{
    const int last = data->curve->count - 1;
    const int64_t end = data->curve->epoch[last] + 1; /* the tick at the right edge is then a round number */
    fprintf(script,
            "unset colorbox\nunset key\n"
            "set lmargin at screen 0.555\nset rmargin at screen 0.97\n"
            "set xrange [0:%" PRId64 "]\n%sset xtics auto\nset ytics auto\n"
            "set xlabel 'epoch'\nunset ylabel\nset title '%s' font ',13'\n"
            "set grid lt 1 lw 1 lc rgb '#dddddd'\n"
            "plot $curve using 1:2 with %s lw 1.5 pt 7 ps 1 lc rgb '#333333'\n"
            "unset multiplot\n",
            end,
            spans_decades(data) ? "set logscale y\nset format y '%g'\nset yrange [*:*]\n"
                                : "set yrange [0:*]\n",
            data->loss_name, last == 0 ? "points" : "lines");
}

bool gnuplot_draw(plot_format format, const plot_data *data, int out)
{
    process self;
    const int error = start(&self, out);
    if (error != 0) return tell_start(error);
    set_terminal(format, self.script);
    send_region(data, self.script);
    const bool wrong = send_points(data, self.script);
    send_curve(data, self.script);
    draw_region(format, data, wrong, self.script);
    draw_curve(data, self.script);
    return finish(&self);
}
