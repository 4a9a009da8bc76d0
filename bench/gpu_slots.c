/* gpu_slots.c - is every slot of a backend right? Compares each with `simple` on random layouts, and prints a
 * line for each: "ok", or "FAIL" with what was wrong. Needs no test library, so that it runs on a bare
 * machine with a card.
 *
 * Exit status: 0 when all are right, 1 when one is not, 2 for a wrong command line. --large reaches every
 * kernel template, compute-sanitizer's runs too; --far goes beyond 2^31 positions, which is too much for
 * them. MT_TEST_SEED repeats a run.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "slots.h"

static const char PROGRAM[] = "gpu_slots";

typedef struct settings {
    bench_asked asked;
    bool large, far;
    const char *backend;
} settings;

static const char *backend_choice(int i) { return mt_backend_name(i); }

#define AT(field) offsetof(settings, field)
static const option rows[] = {
    {"--backend", "", OPTION_NAME, AT(backend), 0, 0, backend_choice, "NAME", "gpu", "whose slots"},
    {"--large", "", OPTION_FLAG, AT(large), 0, 0, NULL, "", "",
     "also shapes that reach every kernel template: slow on gpu-sim"},
    {"--far", "", OPTION_FLAG, AT(far), 0, 0, NULL, "", "",
     "also elements 2^31 apart: 9 GB of a card, twice that in double"},
    BENCH_ASKED,
};
static const option_group group = {"What to check", rows, (int)(sizeof rows / sizeof rows[0])};
static const option_table table = {PROGRAM, &group, 1};

int main(int argc, char **argv)
{
    settings options = {.large = false};
    const int status =
        bench_command_line(&table, argc, argv, &options, "Compares every slot of a backend with simple.");
    if (status >= 0) return status;
    for (int i = 0; i < 2; i++) {
        backends[i] = mt_backend_open(i == 0 ? options.backend : "simple");
        if (backends[i] == NULL) return bench_fail(PROGRAM, mt_last_message());
    }
    slots_large = options.large;
    slots_far = options.far;
    const int failed = slots_run(0, slot_check_count);
    return bench_flushed(PROGRAM) ? failed : 1;
}
