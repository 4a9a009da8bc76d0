/* stats.c - reads a backend's description of itself, and prints --stats (see stats.h). */
#define _POSIX_C_SOURCE 200809L
#include "stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DESCRIPTION_BYTES = 512 };

/* The backend's words, fit for a JSON string; "" when it has none. */
static void describe(mt_backend *backend, char text[DESCRIPTION_BYTES])
{
    text[0] = 0;
    if (backend->describe != NULL) backend->describe(backend, text, DESCRIPTION_BYTES);
    for (char *c = text; *c != 0; c++) {
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20) *c = ' ';
    }
}

/* The word after key in "key word, key word, ..."; false when key is not there. */
static bool word_after(const char *text, const char *key, char *word, size_t size)
{
    const size_t length = strlen(key);
    for (const char *at = text; (at = strstr(at, key)) != NULL; at += length) {
        if ((at != text && at[-1] != ' ') || at[length] != ' ') continue;
        const char *start = at + length + 1;
        snprintf(word, size, "%.*s", (int)strcspn(start, " ,;"), start);
        return true;
    }
    return false;
}

void stats_machine(mt_backend *backend, run_machine *machine)
{
    char text[DESCRIPTION_BYTES], word[16];
    describe(backend, text);
    machine->backend = backend->name;
    machine->threads = word_after(text, "threads", word, sizeof word) ? atoi(word) : 1;
    if (!word_after(text, "isa", machine->isa, sizeof machine->isa)) strcpy(machine->isa, "none");
}

bool stats_print(const run_settings *settings, const run_machine *machine, mt_backend *backend,
                 const run_stats *stats)
{
    char text[DESCRIPTION_BYTES], per_epoch[32], per_second[32];
    describe(backend, text);
    const double milliseconds = stats->epochs > 0 ? stats->seconds * 1e3 / (double)stats->epochs : 0;
    const double rate = stats->seconds > 0 ? (double)stats->steps / stats->seconds : 0;
    const uint64_t peak = mt_get_alloc_stats().peak_bytes;
    const uint64_t steady = stats->last_requests - stats->first_requests;
    if (settings->log == LOG_JSON) {
        printf("{\"stats\": true, \"ms_per_epoch\": %s, \"steps_per_second\": %s, \"peak_bytes\": %" PRIu64
               ", \"steady_allocations\": %" PRIu64 ", \"seed\": %" PRIu64
               ", \"backend\": \"%s\", \"threads\": %d, \"isa\": \"%s\", \"kernels\": \"%s\"}\n",
               json_number(milliseconds, per_epoch), json_number(rate, per_second), peak, steady,
               settings->seed, machine->backend, machine->threads, machine->isa, text);
        return log_flush();
    }
    fprintf(stderr,
            "ms an epoch            %.4g\n"
            "steps a second         %.6g\n"
            "peak bytes             %" PRIu64 "\n"
            "steady allocations     %" PRIu64 "\n"
            "threads                %d\n"
            "instruction set        %s\n"
            "kernels                %s: %s\n",
            milliseconds, rate, peak, steady, machine->threads, machine->isa, machine->backend, text);
    return true;
}
