/* options.c - reads a command line by a table (see options.h), and writes --help from the same table.
 *
 * Every value goes through one function, defaults too, so a default that its own range forbids is found at
 * once.
 */
#define _POSIX_C_SOURCE 200809L
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

bool same_word(const char *a, const char *b)
{
    while (*a != 0 && lower(*a) == lower(*b)) a++, b++;
    return *a == 0 && *b == 0;
}

const char *quoted(const char *text, char buffer[QUOTED_BYTES])
{
    size_t n = 0;
    for (; text[n] != 0 && n < QUOTED_BYTES - 4; n++) {
        const unsigned char c = (unsigned char)text[n];
        buffer[n] = c < 0x20 || c == 0x7f ? '?' : text[n];
    }
    if (text[n] != 0) {
        memcpy(buffer + n, "...", 3);
        n += 3;
    }
    buffer[n] = 0;
    return buffer;
}

/* ---- what a value may be ---- */

static void print_allowed(const option *row, FILE *stream)
{
    switch (row->kind) {
    case OPTION_FLAG: break;
    case OPTION_INT: fprintf(stream, "a whole number from %.0f to %.0f", row->low, row->high); break;
    case OPTION_SEED: fprintf(stream, "a whole number from 0 to %llu", (unsigned long long)UINT64_MAX); break;
    case OPTION_REAL:
        fprintf(stream, "a number above %g", row->low);
        if (row->low == 0) fprintf(stream, " (in float, whose least is %.2g)", (double)FLT_TRUE_MIN);
        fprintf(stream, " and at most %g", row->high);
        break;
    case OPTION_TEXT: fprintf(stream, "a value that is not empty"); break;
    case OPTION_CHOICE:
    case OPTION_NAME:
        fprintf(stream, "one of ");
        for (int i = 0; row->choice(i) != NULL; i++)
            fprintf(stream, "%s%s", i > 0 ? ", " : "", row->choice(i));
        if (row->kind == OPTION_NAME) fprintf(stream, ", or a path with a slash");
        break;
    }
}

static bool all_of(const char *text, const char *allowed)
{
    return *text != 0 && text[strspn(text, allowed)] == 0;
}

/* Reads text as row's kind asks and stores it in settings; false, and nothing stored, when it is not allowed.
 */
static bool store(const option *row, const char *text, void *settings)
{
    void *field = (char *)settings + row->offset;
    char *end = NULL;
    errno = 0;
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)field = true; return true;
    case OPTION_INT: {
        if (!all_of(text, "+-0123456789")) return false;
        const long long value = strtoll(text, &end, 10);
        if (*end != 0 || errno != 0 || (double)value < row->low || (double)value > row->high) return false;
        *(int64_t *)field = value;
        return true;
    }
    case OPTION_SEED: {
        if (!all_of(text, "0123456789")) return false;
        const unsigned long long value = strtoull(text, &end, 10);
        if (*end != 0 || errno != 0) return false;
        *(uint64_t *)field = value;
        return true;
    }
    case OPTION_REAL: {
        if (!all_of(text, "+-.0123456789eE")) return false;
        const double value = strtod(text, &end); /* out of range: infinite, or nearly 0 */
        if (*end != 0 || !((float)value > row->low) || !(value <= row->high)) return false;
        *(double *)field = value;
        return true;
    }
    case OPTION_CHOICE:
        for (int i = 0; row->choice(i) != NULL; i++) {
            if (!same_word(text, row->choice(i))) continue;
            *(int *)field = i;
            return true;
        }
        return false;
    case OPTION_NAME:
        for (int i = 0; row->choice(i) != NULL; i++) {
            if (!same_word(text, row->choice(i))) continue;
            *(const char **)field = row->choice(i);
            return true;
        }
        if (strchr(text, '/') == NULL) return false;
        *(const char **)field = text;
        return true;
    case OPTION_TEXT:
        if (*text == 0) return false;
        *(const char **)field = text;
        return true;
    }
    return false;
}

void options_defaults(const option_table *table, void *settings)
{
    for (int g = 0; g < table->count; g++) {
        for (int i = 0; i < table->groups[g].count; i++) {
            const option *row = &table->groups[g].rows[i];
            if (row->fallback[0] == 0) continue;
            const bool allowed = store(row, row->fallback, settings);
            assert(allowed);
            (void)allowed;
        }
    }
}

/* ---- finding the row ---- */

static bool names(const option *row, const char *text, size_t length)
{
    const char *both[2] = {row->name, row->alias};
    for (int k = 0; k < 2; k++) {
        if (both[k][0] != 0 && strlen(both[k]) == length && memcmp(both[k], text, length) == 0) return true;
    }
    return false;
}

/* How many letters must be changed, added or dropped to turn a into b (Levenshtein), the case not counting.
 */
enum { LONGEST_NAME = 48 };
static int distance(const char *a, size_t a_length, const char *b)
{
    const size_t b_length = strlen(b);
    if (a_length > LONGEST_NAME || b_length > LONGEST_NAME) return LONGEST_NAME;
    int row[LONGEST_NAME + 1];
    for (size_t j = 0; j <= b_length; j++) row[j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            const int changed = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
            diagonal = row[j];
            const int dropped = row[j] + 1, added = row[j - 1] + 1;
            row[j] = changed < dropped ? changed : dropped;
            if (added < row[j]) row[j] = added;
        }
    }
    return row[b_length];
}

static const option *find(const option_table *table, const char *text, size_t length)
{
    for (int g = 0; g < table->count; g++) {
        for (int i = 0; i < table->groups[g].count; i++) {
            if (names(&table->groups[g].rows[i], text, length)) return &table->groups[g].rows[i];
        }
    }
    return NULL;
}

/* What other programs call some options; NULL where text is none of these, or table lacks the option. */
static const char *known_elsewhere(const option_table *table, const char *text, size_t length)
{
    static const char *const other[][2] = {{"--lr", "--rate"},
                                           {"--learning-rate", "--rate"},
                                           {"--learning_rate", "--rate"},
                                           {"--device", "--backend"}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        const char *name = other[i][1];
        if (strlen(other[i][0]) == length && memcmp(other[i][0], text, length) == 0 &&
            find(table, name, strlen(name)) != NULL)
            return name;
    }
    return NULL;
}

static void tell_unknown(const option_table *table, const char *text, size_t length)
{
    const char *nearest = known_elsewhere(table, text, length);
    int least = nearest != NULL ? 0 : LONGEST_NAME;
    for (int g = 0; g < table->count; g++) {
        for (int i = 0; i < table->groups[g].count; i++) {
            const int d = distance(text, length, table->groups[g].rows[i].name);
            if (d < least) least = d, nearest = table->groups[g].rows[i].name;
        }
    }
    char cut[QUOTED_BYTES], shown[QUOTED_BYTES];
    snprintf(cut, sizeof cut, "%.*s", (int)(length < sizeof cut ? length : sizeof cut), text);
    fprintf(stderr, "%s: there is no option '%s'", table->program, quoted(cut, shown));
    if (nearest != NULL && 2 * (size_t)least <= length) fprintf(stderr, "; did you mean %s?", nearest);
    fprintf(stderr, " (%s --help lists them all)\n", table->program);
}

bool options_parse(const option_table *table, int argc, char **argv, void *settings)
{
    char shown[QUOTED_BYTES];
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i], *equals = strchr(argument, '=');
        const size_t length = equals != NULL ? (size_t)(equals - argument) : strlen(argument);
        if (argument[0] != '-') {
            fprintf(stderr, "%s: '%s' is not an option; options start with -- (%s --help lists them)\n",
                    table->program, quoted(argument, shown), table->program);
            return false;
        }
        const option *row = find(table, argument, length);
        if (row == NULL) {
            tell_unknown(table, argument, length);
            return false;
        }
        const char *value = equals != NULL ? equals + 1 : "";
        if (row->kind == OPTION_FLAG && equals != NULL) {
            fprintf(stderr, "%s: %s takes no value; write it alone\n", table->program, row->name);
            return false;
        }
        if (row->kind != OPTION_FLAG && equals == NULL) {
            if (i + 1 >= argc || strncmp(argv[i + 1], "--", 2) == 0) {
                fprintf(stderr, "%s: %s needs a value: ", table->program, row->name);
                print_allowed(row, stderr);
                fputc('\n', stderr);
                return false;
            }
            value = argv[++i];
        }
        if (!store(row, value, settings)) {
            fprintf(stderr, "%s: %s must be ", table->program, row->name);
            print_allowed(row, stderr);
            fprintf(stderr, ", not '%s'\n", quoted(value, shown));
            return false;
        }
    }
    return true;
}

/* ---- --help ---- */

enum { HELP_INDENT = 26, HELP_WIDTH = 80 };

/* Prints text from column on, broken at spaces, each further line indented; returns the column after it. */
static int wrap(FILE *stream, const char *text, int column)
{
    while (*text != 0) {
        const int word = (int)strcspn(text, " ");
        if (column > HELP_INDENT && column + 1 + word > HELP_WIDTH) {
            fprintf(stream, "\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        } else if (column > HELP_INDENT) {
            fputc(' ', stream);
            column++;
        }
        fprintf(stream, "%.*s", word, text);
        column += word;
        text += word;
        while (*text == ' ') text++;
    }
    return column;
}

static void help_row(const option *row, FILE *stream)
{
    char text[512];
    int column =
        snprintf(text, sizeof text, "  %s%s%s%s%s%s%s", row->name, row->value[0] != 0 ? " " : "", row->value,
                 row->alias[0] != 0 ? ", " : "", row->alias,
                 row->alias[0] != 0 && row->value[0] != 0 ? " " : "", row->alias[0] != 0 ? row->value : "");
    fputs(text, stream);
    if (column >= HELP_INDENT - 1) {
        fputc('\n', stream);
        column = 0;
    }
    fprintf(stream, "%*s", HELP_INDENT - column, "");
    column = wrap(stream, row->help, HELP_INDENT);
    if (row->kind == OPTION_CHOICE || row->kind == OPTION_NAME) {
        text[0] = 0;
        size_t used = 0;
        for (int i = 0; row->choice(i) != NULL && used < sizeof text; i++) {
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "(", row->choice(i));
        }
        if (used < sizeof text)
            snprintf(text + used, sizeof text - used, row->kind == OPTION_NAME ? ", or a path)" : ")");
        column = wrap(stream, text, column);
    }
    if (row->kind == OPTION_INT) {
        snprintf(text, sizeof text, "(%.0f to %.0f)", row->low, row->high);
        column = wrap(stream, text, column);
    }
    if (row->fallback[0] != 0) {
        snprintf(text, sizeof text, "[default: %s]", row->fallback);
        wrap(stream, text, column);
    }
    fputc('\n', stream);
}

void options_help(const option_table *table, FILE *stream)
{
    for (int g = 0; g < table->count; g++) {
        fprintf(stream, "%s%s\n", g > 0 ? "\n" : "", table->groups[g].title);
        for (int i = 0; i < table->groups[g].count; i++) help_row(&table->groups[g].rows[i], stream);
    }
}
