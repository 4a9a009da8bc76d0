/* run_fast.c - trains minitorch's toy network: reads the command line, runs the epochs, prints the lines.
 *
 * Results go to stdout and everything else to stderr. Whatever can be wrong is found before training starts
 * where that is possible. Exit status: 0 done, 1 failed, 2 wrong command line, 130 interrupted.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "plot.h"
#include "progress.h"
#include "stats.h"

enum { DONE = 0, FAILED = 1, MISUSED = 2, INTERRUPTED = 130 };

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t preparing; /* data and weights are being made: there is no line to print yet */

static void interrupt(int signal_number)
{
    static const char sentence[] = "run_fast: interrupted before training began\n";
    (void)signal_number;
    interrupted = 1;
    if (!preparing) return;
    const ssize_t written = write(STDERR_FILENO, sentence, sizeof sentence - 1);
    (void)written;
    _exit(INTERRUPTED);
}

/* The first ^C (or a request to end) lets the step finish; the handler is then gone, so a second one kills. A
 * signal that whoever started the program has made it ignore (a job in the background of a script, nohup)
 * stays ignored. */
static void catch_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = interrupt;
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART;
    for (int i = 0; i < 2; i++)
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    action.sa_handler = SIG_IGN; /* a closed pipe is an error of write, told in a sentence */
    action.sa_flags = 0;
    sigaction(SIGPIPE, &action, NULL);
#ifdef SIGXFSZ
    sigaction(SIGXFSZ, &action, NULL); /* so is a file that grew to ulimit -f */
#endif
}

/* A program may be started with 0, 1 or 2 closed, and a file it opens would then become its stdout. The gap
 * is filled with a descriptor that cannot be used the way the missing one would be. */
static bool fill_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return false;
    }
    return true;
}

static int fail(const char *sentence)
{
    fprintf(stderr, "run_fast: %s\n", sentence);
    return FAILED;
}

static int fail_output(void)
{
    const int error = errno;
    fprintf(stderr, "run_fast: cannot write to standard output: %s; free some space, or send it elsewhere\n",
            error != 0 ? strerror(error) : "a write failed");
    return FAILED;
}

/* Whether the memory that training takes is there. A system that hands out more than it has, or than a
 * container may use, would otherwise let the run start and kill it later without a word. */
static bool fits(const run_settings *settings)
{
    const double there = mt_memory_room(), needed = trainer_bytes(settings);
    if (needed <= there) return true;
    fprintf(stderr,
            "run_fast: --hidden %" PRId64 " and --points %" PRId64
            " need about %.3g GB, and this process may use %.3g GB more of this machine or container; use a "
            "smaller --hidden, --points or --batch\n",
            settings->hidden, settings->points, needed * 1e-9, there * 1e-9);
    return false;
}

static int list_backends(void)
{
    for (int i = 0; mt_backend_name(i) != NULL; i++) {
        const bool there = mt_backend_get(mt_backend_name(i)) != NULL;
        printf("%-8s  %-13s  %s\n", mt_backend_name(i), there ? "available" : "not available",
               mt_backend_summary(i));
    }
    return log_flush() ? DONE : fail_output();
}

/* ---- one run ---- */

typedef struct run {
    const run_settings *settings;
    run_machine machine;
    mt_backend *backend;
    run_trainer *trainer;
    progress_line progress;
    run_stats stats;
    loss_curve curve;
    int64_t epoch;   /* the one that is running */
    int64_t correct; /* as last printed */
} run;

static bool go_on(void *context)
{
    run *self = context;
    const int64_t steps = trainer_batches(self->trainer);
    progress_show(&self->progress, self->epoch, self->settings->epochs, trainer_steps(self->trainer) % steps,
                  steps);
    return !interrupted;
}

/* Prints the line of the epoch that has just run. */
static int report(run *self)
{
    log_entry line = {.epoch = self->epoch};
    if (trainer_loss(self->trainer, (report_loss)self->settings->report, &line.loss) != MT_OK ||
        trainer_correct(self->trainer, &line.correct) != MT_OK) {
        progress_clear(&self->progress);
        return fail(mt_last_message());
    }
    if (self->stats.epochs > 0) line.seconds_per_epoch = self->stats.seconds / (double)self->stats.epochs;
    progress_clear(&self->progress);
    if (!log_line(self->settings, &self->machine, &line)) return fail_output();
    self->correct = line.correct;
    if (!isfinite(line.loss)) {
        char loss[32];
        fprintf(stderr,
                "run_fast: the loss became %s by epoch %" PRId64
                " and training stopped; try a --rate below %g\n",
                plain_number(line.loss, loss), self->epoch, self->settings->rate);
        return FAILED;
    }
    return DONE;
}

/* Notes the loss for the plot, in at most CURVE_POINTS epochs and the last. */
static int note_loss(run *self)
{
    const int64_t epochs = self->settings->epochs, stride = (epochs + CURVE_POINTS - 1) / CURVE_POINTS;
    if (epochs > 0 && self->epoch % stride != 0 && self->epoch != epochs - 1) return DONE;
    double loss = 0;
    if (trainer_loss(self->trainer, (report_loss)self->settings->report, &loss) != MT_OK) {
        progress_clear(&self->progress);
        return fail(mt_last_message());
    }
    self->curve.epoch[self->curve.count] = self->epoch;
    self->curve.loss[self->curve.count++] = loss;
    return DONE;
}

static int epoch(run *self, bool learn)
{
    const run_settings *settings = self->settings;
    if (settings->stats && learn) stats_epoch_begins(&self->stats, self->backend);
    const double start = now();
    const mt_status status = trainer_epoch(self->trainer, learn, go_on, self);
    if (learn) {
        self->stats.seconds += now() - start;
        self->stats.epochs++;
        if (settings->stats) stats_epoch_ends(&self->stats, self->backend);
    }
    if (status != MT_OK) {
        progress_clear(&self->progress);
        return fail(mt_last_message());
    }
    int result = settings->plot != NULL ? note_loss(self) : DONE;
    const bool due = self->epoch % settings->every == 0 || self->epoch >= settings->epochs - 1;
    if (result == DONE && (due || interrupted)) result = report(self);
    if (self->epoch == 0) self->stats.first_requests = mt_get_alloc_stats().allocations;
    return result;
}

static int train(run *self)
{
    const run_settings *settings = self->settings;
    if (!log_start(settings)) return fail_output();
    self->progress = progress_start(settings->quiet);
    int result = settings->epochs == 0 ? epoch(self, false) : DONE;
    /* Interrupted or not, there is a first step, so that there is a line. */
    for (; self->epoch < settings->epochs && result == DONE && (self->epoch == 0 || !interrupted);
         self->epoch++)
        result = epoch(self, true);
    progress_clear(&self->progress);
    self->stats.steps = trainer_steps(self->trainer);
    self->stats.last_requests = mt_get_alloc_stats().allocations;
    return result;
}

static void announce(const run *self)
{
    const run_settings *settings = self->settings;
    if (settings->quiet || settings->log == LOG_CSV || settings->log == LOG_JSON) return;
    fprintf(stderr, "seed %" PRIu64 ", backend %s, threads %d, instruction set %s\n", settings->seed,
            self->machine.backend, self->machine.threads, self->machine.isa);
}

static int run_all(const run_settings *settings)
{
    static run self; /* large; zero */
    plot_format format = PLOT_CSV;
    self.settings = settings;
    self.backend = mt_backend_open(settings->backend);
    if (self.backend == NULL) return fail(mt_last_message());
    if (settings->threads > 0 && mt_set_threads((int)settings->threads) != MT_OK)
        return fail(mt_last_message());
    if (settings->plot != NULL) {
        const int wrong = plot_check(settings->plot, &format);
        if (wrong != 0) return wrong;
    }
    if (self.backend->host && !fits(settings)) return FAILED;
    stats_machine(self.backend, &self.machine);
    if (settings->stats) stats_epoch_begins(&self.stats, self.backend);
    preparing = 1;
    if (interrupted) interrupt(SIGINT);
    self.trainer = trainer_new(settings, self.backend);
    preparing = 0;
    if (self.trainer == NULL) return fail(mt_last_message());
    announce(&self);
    int result = train(&self);
    if (result == DONE && settings->plot != NULL && !interrupted &&
        !plot_write(settings, format, self.trainer, &self.curve, self.correct)) {
        result = FAILED;
    }
    if (settings->stats && result == DONE &&
        !stats_print(settings, &self.machine, self.backend, &self.stats)) {
        result = fail_output();
    }
    trainer_free(self.trainer);
    return interrupted ? (result == DONE ? INTERRUPTED : result) : result;
}

int main(int argc, char **argv)
{
    if (!fill_standard_streams()) return FAILED;
    catch_signals();
    run_settings settings = {.seed = 0};
    options_defaults(settings_table(), &settings);
    if (!options_parse(settings_table(), argc, argv, &settings)) return MISUSED;
    int result = DONE;
    if (settings.help) {
        settings_help(stdout);
        result = log_flush() ? DONE : fail_output();
    } else if (settings.version) {
        printf("run_fast (minitorch.c) %s\n", mt_version());
        result = log_flush() ? DONE : fail_output();
    } else if (settings.list_backends) {
        result = list_backends();
    } else {
        result = run_all(&settings);
    }
    if (fclose(stdout) != 0 && result == DONE) result = fail_output();
    return result;
}
