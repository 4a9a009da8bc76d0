/* options.h - a command line read by a table: one row an option, from which parsing, ranges, defaults,
 * messages and
 * --help all follow.
 *
 * `--name value` and `--name=value` mean the same; the last one wins. Numbers must fill the whole argument. A
 * wrong argument is told in one sentence on stderr that names what is allowed.
 */
#ifndef RUN_OPTIONS_H
#define RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What stands at an option's offset in the program's settings, and how its text is read. */
typedef enum option_kind {
    OPTION_FLAG,   /* bool: takes no value */
    OPTION_INT,    /* int64_t from low to high */
    OPTION_SEED,   /* uint64_t, any */
    OPTION_REAL,   /* double above low, rounded to float too, and at most high */
    OPTION_CHOICE, /* int: which of choice(0), choice(1), ...; any case */
    OPTION_NAME,   /* const char *: one of choice(0), ... in any case, or a path, which has a slash */
    OPTION_TEXT    /* const char *: not empty */
} option_kind;

typedef struct option {
    const char *name, *alias; /* with their dashes; alias "" when there is none */
    option_kind kind;
    size_t offset;
    double low, high;
    const char *(*choice)(int i); /* the i-th name, NULL past the last */
    const char *value;            /* what --help calls the value */
    const char *fallback;         /* the default, as a user would write it; "" when there is none */
    const char *help;
} option;

/* A titled run of rows in --help. */
typedef struct option_group {
    const char *title;
    const option *rows;
    int count;
} option_group;

typedef struct option_table {
    const char *program;
    const option_group *groups;
    int count;
} option_table;

/* Fills settings with the table's defaults. */
void options_defaults(const option_table *table, void *settings);
/* Reads the arguments after argv[0] into settings; false when one is wrong, which has been told on stderr. */
bool options_parse(const option_table *table, int argc, char **argv, void *settings);
/* The options, grouped, each with its range and default. */
void options_help(const option_table *table, FILE *stream);

/* A copy of text that is fit for a message: control characters shown as '?', a long one cut. Returns buffer.
 */
enum { QUOTED_BYTES = 72 };
const char *quoted(const char *text, char buffer[QUOTED_BYTES]);
/* Whether two ASCII words are the same but for case. */
bool same_word(const char *a, const char *b);

#endif
