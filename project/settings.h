/* settings.h - what run_fast was asked to do: the fields, and the table of options that fills them. */
#ifndef RUN_SETTINGS_H
#define RUN_SETTINGS_H

#include "options.h"

typedef enum log_format { LOG_CLASSIC, LOG_TIMED, LOG_CSV, LOG_JSON } log_format;
typedef enum report_loss { REPORT_LAST_BATCH, REPORT_MEAN_EPOCH } report_loss;
typedef enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW } optimizer_kind;

typedef struct run_settings {
    int dataset;                                           /* a mt_dataset_kind */
    int64_t points, hidden, epochs, batch, every, threads; /* threads 0: not given */
    double rate;
    uint64_t seed;
    int optimizer;       /* an optimizer_kind */
    int init;            /* a mt_init */
    int log;             /* a log_format */
    int report;          /* a report_loss */
    const char *backend; /* a name, or a path with a slash */
    const char *plot;    /* NULL: none */
    bool unfused, stats, quiet, list_backends, help, version;
} run_settings;

/* The table behind run_fast's command line. */
const option_table *settings_table(void);
/* The names behind the numbers, for logs. */
const char *optimizer_name(int i);
const char *report_name(int i);

/* Everything --help prints: the usage, the table, the exit codes, examples. */
void settings_help(FILE *stream);

#endif
