/* gpu_slots.c - is every slot of a backend right? Compares each with `simple` on random layouts, and prints a
 * line for each: "ok", or "FAIL" with what was wrong. Needs no test library, so that it runs on a bare
 * machine with a card.
 *
 * Exit status: 0 when all are right, 1 when one is not, 2 for a wrong command line. --large reaches every
 * kernel template: for compute-sanitizer. MT_TEST_SEED repeats a run.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "slots.h"

static const char PROGRAM[] = "gpu_slots";

typedef struct settings {
    bool large, help, version;
    int backend;
} settings;

static const char *backend_choice(int i) { return mt_backend_name(i); }

#define AT(field) offsetof(settings, field)
static const option rows[] = {
    {"--backend", "", OPTION_CHOICE, AT(backend), 0, 0, backend_choice, "NAME", "gpu", "whose slots"},
    {"--large", "", OPTION_FLAG, AT(large), 0, 0, NULL, "", "",
     "also shapes that reach every kernel template: slow on gpu-sim"},
    {"--help", "-h", OPTION_FLAG, AT(help), 0, 0, NULL, "", "", "print this and exit"},
    {"--version", "", OPTION_FLAG, AT(version), 0, 0, NULL, "", "", "print the version and exit"},
};
static const option_group group = {"What to check", rows, (int)(sizeof rows / sizeof rows[0])};
static const option_table table = {PROGRAM, &group, 1};

int main(int argc, char **argv)
{
    settings options = {.large = false};
    bench_ignore_signals();
    options_defaults(&table, &options);
    if (!options_parse(&table, argc, argv, &options)) return 2;
    if (options.help) {
        printf("Usage: %s [--option VALUE | --option=VALUE]...\nCompares every slot of a backend with "
               "simple.\n\n",
               PROGRAM);
        options_help(&table, stdout);
    } else if (options.version) {
        printf("%s (minitorch.c) %s\n", PROGRAM, mt_version());
    }
    if (options.help || options.version) return bench_flushed(PROGRAM) ? 0 : 1;
    for (int i = 0; i < 2; i++) {
        backends[i] = mt_backend_get(i == 0 ? mt_backend_name(options.backend) : "simple");
        if (backends[i] == NULL) return bench_fail(PROGRAM, mt_last_message());
    }
    slots_large = options.large;
    const int failed = slots_run(0, slot_check_count);
    return bench_flushed(PROGRAM) ? failed : 1;
}
