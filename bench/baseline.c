/* baseline.c - reads an earlier run's figures (see baseline.h): a line "[", the machine, a row a line, "]".
 */
#define _POSIX_C_SOURCE 200809L
#include "baseline.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "project/options.h"

enum { LINE_BYTES = 2048, MOST_THREADS = 1 << 20 };

/* What the next line must be: NOWHERE when the last one was wrong. */
typedef enum place { AT_START, AT_MACHINE, AT_ROW, AT_CLOSE, AT_END, NOWHERE } place;

static bool add(baseline *self, const baseline_row *row)
{
    if (self->count == self->room) {
        const int room = self->room == 0 ? 64 : 2 * self->room;
        baseline_row *rows = realloc(self->rows, (size_t)room * sizeof *rows);
        if (rows == NULL) return false;
        self->rows = rows;
        self->room = room;
    }
    self->rows[self->count++] = *row;
    return true;
}

static double number_or_nan(const char *line, const char *key)
{
    double value = NAN;
    return json_read_number(line, key, &value) ? value : NAN;
}

static bool read_row(const char *line, baseline_row *row)
{
    const double threads = number_or_nan(line, "threads");
    if (!json_read_text(line, "work", row->work, sizeof row->work) ||
        !json_read_text(line, "shape", row->shape, sizeof row->shape) ||
        !json_read_text(line, "engine", row->engine, sizeof row->engine) ||
        !(threads >= 0 && threads <= MOST_THREADS))
        return false;
    row->threads = (int)threads;
    row->seconds = number_or_nan(line, "seconds");
    row->ceiling = number_or_nan(line, "ceiling_rate");
    return true;
}

/* Takes in a line that is not blank and says what comes next; a comma behind an object says that another one
 * does. */
static place take(baseline *self, const char *line, place at)
{
    baseline_row row;
    if (at == AT_START) return strcmp(line, "[") == 0 ? AT_MACHINE : NOWHERE;
    if (at == AT_CLOSE) return strcmp(line, "]") == 0 ? AT_END : NOWHERE;
    const char *behind = at == AT_END ? NULL : json_object_end(line);
    if (behind == NULL || (*behind != 0 && strcmp(behind, ",") != 0)) return NOWHERE;
    if (at == AT_ROW && (!read_row(line, &row) || !add(self, &row))) return NOWHERE;
    return *behind == ',' ? AT_ROW : AT_CLOSE;
}

static bool tell(baseline *self, const char *program, const char *path, const char *reason)
{
    char shown[QUOTED_BYTES];
    fprintf(stderr, "%s: cannot read the baseline '%s': %s; write one with --json FILE\n", program,
            quoted(path, shown), reason);
    baseline_free(self);
    return false;
}

bool baseline_read(baseline *self, const char *path, const char *program)
{
    char line[LINE_BYTES], reason[64];
    place at = AT_START;
    int number = 0;
    bool whole = true;
    *self = (baseline){.rows = NULL};
    FILE *file = fopen(path, "r");
    if (file == NULL) return tell(self, program, path, strerror(errno));
    errno = 0;
    while (at != NOWHERE && fgets(line, sizeof line, file) != NULL) {
        size_t length = strlen(line);
        whole = length > 0 && line[length - 1] == '\n';
        number++;
        while (length > 0 && strchr(" \t\r\n", line[length - 1]) != NULL) line[--length] = 0;
        if (!whole && !feof(file)) at = NOWHERE; /* too long, or with a zero byte in it */
        if (length > 0 && at != NOWHERE) at = take(self, line, at);
    }
    const int error = ferror(file) ? errno : 0;
    const bool cut = at != NOWHERE || (!whole && feof(file));
    fclose(file);
    if (error != 0) return tell(self, program, path, strerror(error));
    if (at == AT_END) return true;
    snprintf(reason, sizeof reason,
             cut ? "it breaks off after line %d" : "line %d is not one that --json writes",
             cut && !whole ? number - 1 : number);
    return tell(self, program, path, reason);
}

void baseline_free(baseline *self)
{
    free(self->rows);
    *self = (baseline){.rows = NULL};
}

const baseline_row *baseline_find(const baseline *self, const char *work, const char *shape,
                                  const char *engine, int threads)
{
    for (int i = 0; i < self->count; i++) {
        const baseline_row *row = &self->rows[i];
        if (row->threads == threads && row->seconds * row->ceiling > 0 && strcmp(row->work, work) == 0 &&
            strcmp(row->shape, shape) == 0 && strcmp(row->engine, engine) == 0)
            return row;
    }
    return NULL;
}
