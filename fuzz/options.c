/* fuzz/options.c - command lines by the tables of run_fast and of the lab: refused in one sentence, or
 * accepted with every value in its range.
 *
 * The input is a text: the program's name, then one argument a line.
 */
#define _POSIX_C_SOURCE 200809L /* fmemopen */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "project/lab/command.h"
#include "project/settings.h"

/* What is told on stderr is read here, so the parser is compiled with another stream in its place. */
static FILE *told;
static char told_text[8192];
#undef stderr
#define stderr told
#include "project/lab/command.c"
#include "project/options.c"

enum { MOST_ARGUMENTS = 64 };

static void in_range(const option *row, const void *settings)
{
    const void *field = (const char *)settings + row->offset;
    const bool optional = row->fallback[0] == 0; /* and 0 where it was not given */
    if (row->kind == OPTION_INT) {
        const int64_t value = *(const int64_t *)field;
        FUZZ_CHECK((optional && value == 0) || ((double)value >= row->low && (double)value <= row->high),
                   "%s became %lld", row->name, (long long)value);
    }
    if (row->kind == OPTION_REAL) {
        const double value = *(const double *)field;
        FUZZ_CHECK(value > row->low && value <= row->high, "%s became %g", row->name, value);
    }
    if (row->kind == OPTION_CHOICE) {
        const int value = *(const int *)field;
        int count = 0;
        while (row->choice(count) != NULL) count++;
        FUZZ_CHECK(value >= 0 && value < count, "%s became choice %d of %d", row->name, value, count);
    }
    if (row->kind == OPTION_NAME) {
        const char *value = *(const char *const *)field;
        bool known = value != NULL && strchr(value, '/') != NULL;
        for (int i = 0; !known && row->choice(i) != NULL; i++) known = value == row->choice(i);
        FUZZ_CHECK(known, "%s became a name that is none", row->name);
    }
    if (row->kind == OPTION_TEXT) {
        const char *value = *(const char *const *)field;
        FUZZ_CHECK(value == NULL ? optional : value[0] != 0, "%s became no text", row->name);
    }
}

/* What was told since the last call; NULL where nothing was. */
static const char *sentence(void)
{
    fflush(told);
    const long length = ftell(told);
    FUZZ_CHECK(length >= 0 && (size_t)length < sizeof told_text, "%ld bytes were told", length);
    told_text[length] = 0;
    rewind(told);
    return length > 0 ? told_text : NULL;
}

static void refused(const char *program)
{
    char *text = (char *)sentence();
    FUZZ_CHECK(text, "refused without a sentence");
    const size_t length = strlen(text), name = strlen(program);
    FUZZ_CHECK(strncmp(text, program, name) == 0 && text[name] == ':', "it does not name the program: %s",
               text);
    FUZZ_CHECK(text[length - 1] == '\n', "the sentence does not end its line: %s", text);
    text[length - 1] = 0;
    fuzz_sentence("a command line", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!told) {
        told = fmemopen(told_text, sizeof told_text, "w");
        FUZZ_CHECK(told, "no stream");
    }
    char *arguments[MOST_ARGUMENTS + 1] = {NULL};
    int count = 0;
    for (size_t from = 0, i = 0; i <= size && count < MOST_ARGUMENTS; i++) {
        if (i < size && data[i] != '\n' && data[i] != 0) continue;
        char *argument = fuzz_memory(i - from + 1);
        if (i > from) memcpy(argument, data + from, i - from);
        argument[i - from] = 0;
        arguments[count++] = argument;
        from = i + 1;
    }
    union {
        run_settings run;
        lab_settings lab;
    } settings;
    memset(&settings, 0, sizeof settings);
    const bool lab = strcmp(arguments[0], "lab") == 0;
    const option_table *table = lab ? lab_table() : settings_table();
    options_defaults(table, &settings);
    const bool accepted = options_parse(table, count, arguments, &settings);
    if (!accepted)
        refused(table->program);
    else
        FUZZ_CHECK(!sentence(), "accepted with a sentence: %s", told_text);
    for (int g = 0; g < table->count; g++)
        for (int i = 0; i < table->groups[g].count; i++) in_range(&table->groups[g].rows[i], &settings);
    if (accepted && lab) {
        lab_size sizes[LAB_MOST_SIZES];
        const int n = lab_read_sizes(settings.lab.sizes, sizes);
        FUZZ_CHECK(n >= 0 && n <= LAB_MOST_SIZES, "%d sizes", n);
        if (n == 0) refused("lab");
        for (int i = 0; i < n; i++)
            FUZZ_CHECK(sizes[i].m >= 1 && sizes[i].n >= 1 && sizes[i].k >= 1 &&
                           sizes[i].m <= LAB_LARGEST_SIZE && sizes[i].n <= LAB_LARGEST_SIZE &&
                           sizes[i].k <= LAB_LARGEST_SIZE,
                       "a size of %d x %d x %d", sizes[i].m, sizes[i].n, sizes[i].k);
    }
    for (int i = 0; i < count; i++) free(arguments[i]);
    return 0;
}
