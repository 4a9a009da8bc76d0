/* log.h - one line of results on stdout, in one of four formats: classic, timed, csv, json (one object a
 * line). */
#ifndef RUN_LOG_H
#define RUN_LOG_H

#include "settings.h"

/* What does not change during a run and stands in every csv and json line. */
typedef struct run_machine {
    const char *backend;
    char isa[16]; /* the instruction set, "none" when the backend names none */
    int threads;
} run_machine;

typedef struct log_entry {
    int64_t epoch, correct;
    double loss;
    double seconds_per_epoch; /* the mean so far, the updates alone */
} log_entry;

/* Each writes and flushes; false with errno when stdout took not everything. log_start writes csv's header.
 */
bool log_start(const run_settings *settings);
bool log_line(const run_settings *settings, const run_machine *machine, const log_entry *line);
/* Writes text to stdout, flushed. */
bool log_text(const char *text);
/* Flushes stdout and says whether everything written so far arrived. */
bool log_flush(void);

/* A double with up to 9 digits; nan without a sign, which means nothing. */
const char *plain_number(double value, char buffer[32]);
/* A double as JSON: a number of up to 9 digits, or null when it is not finite. */
const char *json_number(double value, char buffer[32]);

#endif
