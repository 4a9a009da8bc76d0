/* log.c - the formats of a result line (see log.h). Losses are printed with 9 digits, which name a float
 * exactly. */
#define _POSIX_C_SOURCE 200809L
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "minitorch.h"

bool log_flush(void)
{
    errno = 0;
    return fflush(stdout) == 0 && !ferror(stdout);
}

bool log_text(const char *text) { return fputs(text, stdout) != EOF && log_flush(); }

const char *plain_number(double value, char buffer[32])
{
    snprintf(buffer, 32, "%.9g", mt_printable(value));
    return buffer;
}

const char *json_number(double value, char buffer[32])
{
    return isfinite(value) ? plain_number(value, buffer) : "null";
}

bool log_start(const run_settings *settings)
{
    if (settings->log != LOG_CSV) return true;
    return log_text("epoch,loss,correct,points,dataset,seed,backend,threads,isa\n");
}

bool log_line(const run_settings *settings, const run_machine *machine, const log_entry *line)
{
    char loss[32], milliseconds[32];
    int written = 0;
    switch ((log_format)settings->log) {
    case LOG_CLASSIC:
        written = printf("Epoch  %" PRId64 "  loss  %s correct %" PRId64 "\n", line->epoch,
                         plain_number(line->loss, loss), line->correct);
        break;
    case LOG_TIMED:
        written =
            printf("Epoch %" PRId64 " | Loss: %s | Correct: %" PRId64 " | Average time per epoch: %.*fs\n",
                   line->epoch, plain_number(line->loss, loss), line->correct,
                   line->seconds_per_epoch < 0.1 ? 7 : 4, line->seconds_per_epoch);
        break;
    case LOG_CSV:
        written = printf("%" PRId64 ",%s,%" PRId64 ",%" PRId64 ",%s,%" PRIu64 ",%s,%d,%s\n", line->epoch,
                         plain_number(line->loss, loss), line->correct, settings->points,
                         mt_dataset_name(settings->dataset), settings->seed, machine->backend,
                         machine->threads, machine->isa);
        break;
    case LOG_JSON:
        written =
            printf("{\"epoch\": %" PRId64 ", \"loss\": %s, \"correct\": %" PRId64 ", \"points\": %" PRId64
                   ", \"dataset\": \"%s\", \"seed\": %" PRIu64
                   ", \"backend\": \"%s\", \"threads\": %d, \"isa\": \"%s\", \"ms_per_epoch\": %s}\n",
                   line->epoch, json_number(line->loss, loss), line->correct, settings->points,
                   mt_dataset_name(settings->dataset), settings->seed, machine->backend, machine->threads,
                   machine->isa, json_number(line->seconds_per_epoch * 1e3, milliseconds));
        break;
    }
    return written >= 0 && log_flush();
}
