/* settings.c - run_fast's options as a table: names, minitorch's upper-case aliases, ranges, defaults and
 * help. */
#define _POSIX_C_SOURCE 200809L
#include "settings.h"

#include "minitorch.h"

static const char *name_at(const char *const *names, int count, int i)
{
    return i >= 0 && i < count ? names[i] : NULL;
}

const char *optimizer_name(int i)
{
    static const char *const names[] = {"sgd", "adam", "adamw"};
    return name_at(names, 3, i);
}

const char *report_name(int i)
{
    static const char *const names[] = {"last-batch", "mean-epoch"};
    return name_at(names, 2, i);
}

static const char *log_name(int i)
{
    static const char *const names[] = {"classic", "timed", "csv", "json"};
    return name_at(names, 4, i);
}

#define AT(field)   offsetof(run_settings, field)
#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

static const option task_rows[] = {
    {"--dataset", "--DATASET", OPTION_CHOICE, AT(dataset), 0, 0, mt_dataset_name, "NAME", "simple",
     "what to learn; any case"},
    {"--points", "--PTS", OPTION_INT, AT(points), 1, 1e7, NULL, "N", "50", "points in the data set"},
    {"--seed", "", OPTION_SEED, AT(seed), 0, 0, NULL, "N", "1",
     "where all randomness comes from; the same seed prints the same bytes (0 to 2^64 - 1)"},
};

static const option training_rows[] = {
    {"--hidden", "--HIDDEN", OPTION_INT, AT(hidden), 1, 65536, NULL, "N", "100",
     "width of both hidden layers"},
    {"--init", "", OPTION_CHOICE, AT(init), 0, 0, mt_init_name, "NAME", "minitorch", "how the weights start"},
    {"--optimizer", "", OPTION_CHOICE, AT(optimizer), 0, 0, optimizer_name, "NAME", "sgd",
     "how the weights move"},
    {"--rate", "--RATE", OPTION_REAL, AT(rate), 0, 1e30, NULL, "X", "0.05", "learning rate, above 0"},
    {"--epochs", "", OPTION_INT, AT(epochs), 0, 1e9, NULL, "N", "500",
     "passes over the data; 0 prints the untrained line"},
    {"--batch", "", OPTION_INT, AT(batch), 1, 1e7, NULL, "N", "10",
     "points in a step; more than --points means all of them"},
};

static const option machine_rows[] = {
    {"--backend", "--BACKEND", OPTION_NAME, AT(backend), 0, 0, mt_backend_name, "NAME", "cpu",
     "what computes; see --list-backends; with a slash, the shared object of a backend of one's own"},
    {"--threads", "", OPTION_INT, AT(threads), 1, 1024, NULL, "N", "",
     "threads of the cpu backend; without it OMP_NUM_THREADS, else every processor or a container's quota"},
    {"--unfused", "", OPTION_FLAG, AT(unfused), 0, 0, NULL, "", "",
     "run a layer as matmul, add and map, not as one operation: a backend's own map is called"},
    {"--list-backends", "", OPTION_FLAG, AT(list_backends), 0, 0, NULL, "", "",
     "say which backends there are, and exit"},
};

static const option output_rows[] = {
    {"--every", "", OPTION_INT, AT(every), 1, 1e9, NULL, "N", "10",
     "print each N-th epoch, from 0; the last one is always printed"},
    {"--log", "", OPTION_CHOICE, AT(log), 0, 0, log_name, "FORMAT", "classic",
     "how a line looks; json is one object a line"},
    {"--report-loss", "", OPTION_CHOICE, AT(report), 0, 0, report_name, "WHICH", "last-batch",
     "last-batch is minitorch's figure, the sum over the last batch; mean-epoch is the mean over the epoch's "
     "points"},
    {"--plot", "--PLOT", OPTION_TEXT, AT(plot), 0, 0, NULL, "FILE", "",
     "draw decision regions, points and the loss into FILE.svg or FILE.png (with gnuplot), or write the "
     "numbers "
     "to FILE.csv"},
    {"--stats", "", OPTION_FLAG, AT(stats), 0, 0, NULL, "", "",
     "at the end tell time, memory and kernels, on stderr or as the last json object"},
    {"--quiet", "", OPTION_FLAG, AT(quiet), 0, 0, NULL, "", "",
     "nothing on stderr but errors and what --stats tells"},
    {"--help", "-h", OPTION_FLAG, AT(help), 0, 0, NULL, "", "", "print this and exit"},
    {"--version", "", OPTION_FLAG, AT(version), 0, 0, NULL, "", "", "print the version and exit"},
};

const option_table *settings_table(void)
{
    static const option_group groups[] = {
        {"The task", task_rows, COUNT(task_rows)},
        {"Training (a 2-H-H-1 network: relu, relu, sigmoid)", training_rows, COUNT(training_rows)},
        {"The machine", machine_rows, COUNT(machine_rows)},
        {"Output", output_rows, COUNT(output_rows)},
    };
    static const option_table table = {"run_fast", groups, COUNT(groups)};
    return &table;
}

void settings_help(FILE *stream)
{
    fputs("Usage: run_fast [--option VALUE | --option=VALUE]...\n"
          "Trains a small network on one of minitorch's toy data sets.\n\n",
          stream);
    options_help(settings_table(), stream);
    fputs("\n"
          "Exit status: 0 done; 1 something failed, or the loss is no longer a finite\n"
          "number; 2 a wrong command line; 130 interrupted, after the step was finished\n"
          "and the last line printed.\n\n"
          "Examples:\n"
          "  run_fast --dataset xor\n"
          "  run_fast --dataset spiral --optimizer adam --rate 0.01 --epochs 1000\n"
          "  run_fast --dataset circle --report-loss mean-epoch --plot circle.svg\n"
          "  run_fast --dataset diag --epochs 100 --log json --stats | tail -1\n",
          stream);
}
