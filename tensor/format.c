/* tensor/format.c - tensors as nested text, and back: "[[1, 2], [3, 4]]".
 *
 * Numbers carry enough digits to come back as they were (9 for float, 17 for double). The reader keeps one
 * count for each level of brackets: the first list of a level sets how long its neighbours must be.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "storage.h"

/* ---- writing ---- */

/* Where text goes: a stream, or a buffer that keeps the beginning of a text that is too long. */
typedef struct {
    FILE *stream;
    char *buffer;
    size_t size;
    int64_t length; /* of the whole text so far */
    bool failed;
} sink;

static void put(sink *out, const char *format, ...) MT_PRINTF(2, 3);
static void put(sink *out, const char *format, ...)
{
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (out->stream) {
        if (fputs(text, out->stream) == EOF) out->failed = true;
    } else if ((size_t)out->length + 1 < out->size) {
        size_t room = out->size - 1 - (size_t)out->length, take = (size_t)n < room ? (size_t)n : room;
        memcpy(out->buffer + out->length, text, take);
        out->buffer[(size_t)out->length + take] = '\0';
    }
    out->length += n;
}

/* What printf and strtod take for a decimal point follows the program's locale; the text here does not. */
static const char *decimal_point(void) { return localeconv()->decimal_point; }

static void put_number(sink *out, const mt_tensor *x, const void *values, int64_t i)
{
    if (x->kind == MT_INDEX) {
        put(out, "%" PRId64, ((const int64_t *)values)[i]);
        return;
    }
    char text[32];
    const char *point = decimal_point();
    snprintf(text, sizeof text, "%.*g", sizeof(mt_real) == sizeof(float) ? 9 : 17,
             ((const double *)values)[i]);
    char *found = strcmp(point, ".") == 0 ? NULL : strstr(text, point);
    if (found)
        put(out, "%.*s.%s", (int)(found - text), text, found + strlen(point));
    else
        put(out, "%s", text);
}

static void put_tensor(sink *out, const mt_tensor *x, const void *values)
{
    int rank = x->layout.rank;
    const int64_t *size = x->layout.size;
    int64_t count = mt_layout_count(&x->layout);
    if (count == 0) {
        /* Nothing below an empty dimension can be shown: "[[], []]" for (2, 0), "[]" for (0, 3). */
        int depth = 0;
        while (size[depth] != 0) depth++;
        int64_t lists = 1, in_row[MT_MAX_DIMS] = {0};
        for (int d = 0; d < depth; d++) lists *= size[d];
        for (int d = 0; d < depth; d++) put(out, "[");
        for (int64_t i = 0; i < lists; i++) {
            put(out, "[]");
            int d = depth - 1;
            while (d >= 0 && ++in_row[d] == size[d]) in_row[d--] = 0, put(out, "]");
            if (d >= 0) put(out, ", ");
            for (int open = d + 1; d >= 0 && open < depth; open++) put(out, "[");
        }
        return;
    }
    int64_t index[MT_MAX_DIMS] = {0};
    for (int d = 0; d < rank; d++) put(out, "[");
    for (int64_t i = 0; i < count; i++) {
        put_number(out, x, values, i);
        int d = rank - 1;
        while (d >= 0 && ++index[d] == size[d]) index[d--] = 0, put(out, "]");
        if (d < 0) break;
        put(out, ", ");
        for (int open = d + 1; open < rank; open++) put(out, "[");
    }
}

static mt_status format_to(sink *out, const mt_tensor *x)
{
    mt_status status = mt_tensor_check(x);
    if (status != MT_OK) return status;
    int64_t count = mt_tensor_count(x);
    size_t bytes = (size_t)count * 8; /* doubles or int64_t */
    void *values = mt_alloc(bytes);
    if (!values) return MT_ERR_MEMORY;
    status = x->kind == MT_REAL ? mt_to_doubles(x, values, count) : mt_to_indices(x, values, count);
    if (status == MT_OK) put_tensor(out, x, values);
    mt_free(values, bytes);
    return status;
}

int64_t mt_format(const mt_tensor *x, char *buffer, size_t size)
{
    sink out = {.buffer = buffer, .size = buffer ? size : 0};
    if (out.size) buffer[0] = '\0';
    return format_to(&out, x) == MT_OK ? out.length : -1;
}

mt_status mt_print(FILE *stream, const mt_tensor *x)
{
    if (!stream) return MT_ERR_NULL;
    sink out = {.stream = stream};
    mt_status status = format_to(&out, x);
    if (status != MT_OK) return status;
    put(&out, "\n");
    if (out.failed || fflush(stream) != 0)
        return mt_fail(MT_ERR_IO, "print: cannot write: %s", strerror(errno));
    return MT_OK;
}

/* ---- reading ---- */

typedef struct {
    const char *text, *at;
    double *values;
    int64_t count, room;
    int leaf; /* the depth that holds numbers, 0 until known */
    int64_t
        size[MT_MAX_DIMS + 1]; /* by depth: entries in every list of that depth, -1 until one has closed */
    int64_t entries[MT_MAX_DIMS + 1]; /* entries so far in the list that is open at that depth */
} reader;

static mt_status bad(const reader *in, const char *what)
{
    return mt_fail(MT_ERR_PARSE, "parse: %s at character %td, near \"%.20s\"", what, in->at - in->text + 1,
                   in->at);
}

static void skip_space(reader *in)
{
    while (isspace((unsigned char)*in->at)) in->at++;
}

/* strtod with a decimal point whatever the locale; *end is text where there is no number. */
static double read_double(const char *text, const char **end)
{
    char number[1100],
        *after; /* longer than any number that takes all of its digits to be told from others */
    const char *const point = decimal_point(), *const others = ",[] \t\n\v\f\r";
    if (strcmp(point, ".") == 0) {
        const double value = strtod(text, &after);
        *end = after;
        return value;
    }
    const size_t length = strcspn(text, others), before = strcspn(text, "."), extra = strlen(point) - 1;
    *end = text;
    if (length + extra >= sizeof number) return 0;
    if (before < length)
        snprintf(number, sizeof number, "%.*s%s%.*s", (int)before, text, point, (int)(length - before - 1),
                 text + before + 1);
    else
        snprintf(number, sizeof number, "%.*s", (int)length, text);
    const double value = strtod(number, &after);
    const size_t used = (size_t)(after - number);
    *end = text + (used > before ? used - extra : used);
    return value;
}

static mt_status read_number(reader *in)
{
    if (!*in->at || !strchr("+-.0123456789nNiI", *in->at)) return bad(in, "a number or a bracket is missing");
    const char *end;
    errno = 0;
    double value = read_double(in->at, &end);
    if (end == in->at) return bad(in, "a number or a bracket is missing");
    bool huge = errno == ERANGE && fabs(value) > 1;
    if (huge || (isfinite(value) && !isfinite((mt_real)value))) return bad(in, "the number is too large");
    if (in->count == in->room) {
        int64_t room = in->room ? 2 * in->room : 256;
        double *more = mt_alloc((size_t)room * sizeof *more);
        if (!more) return MT_ERR_MEMORY;
        if (in->count) memcpy(more, in->values, (size_t)in->count * sizeof *more);
        mt_free(in->values, (size_t)in->room * sizeof *more);
        in->values = more;
        in->room = room;
    }
    in->values[in->count++] = value;
    in->at = end;
    return MT_OK;
}

/* Reads the whole text; depth is the number of open brackets. Each turn reads one entry, or closes a list. */
static mt_status read_text(reader *in)
{
    int depth = 0;
    for (;;) {
        skip_space(in);
        if (*in->at == '[') {
            if (depth == MT_MAX_DIMS) return bad(in, "more than 8 levels of brackets");
            if (in->leaf && depth + 1 > in->leaf) return bad(in, "a list stands where a number is expected");
            in->at++;
            in->entries[++depth] = 0;
            skip_space(in);
            if (*in->at != ']') continue;
        } else {
            if (in->leaf && depth != in->leaf) return bad(in, "a number stands where a list is expected");
            in->leaf = depth;
            mt_status status = read_number(in);
            if (status != MT_OK) return status;
            if (depth == 0) break;
            in->entries[depth]++;
        }
        /* After an entry: close as many lists as end here, then a comma or the end of the text. */
        for (skip_space(in); depth > 0 && *in->at == ']'; skip_space(in)) {
            if (in->entries[depth] == 0) {
                /* An empty list is a leaf too: nothing may stand deeper anywhere. */
                if (in->leaf && in->leaf != depth) return bad(in, "rows of different length");
                in->leaf = depth;
            }
            if (in->size[depth] < 0) in->size[depth] = in->entries[depth];
            if (in->size[depth] != in->entries[depth]) return bad(in, "rows of different length");
            in->at++;
            if (--depth > 0) in->entries[depth]++;
        }
        if (depth == 0) break;
        if (*in->at != ',')
            return bad(in, *in->at ? "a comma or a closing bracket is missing" : "the text ends too soon");
        in->at++;
    }
    skip_space(in);
    return *in->at ? bad(in, "something follows the tensor") : MT_OK;
}

mt_tensor *mt_parse(mt_backend *backend, const char *text)
{
    if (!backend || !text) return NULL;
    reader in = {.text = text, .at = text};
    for (int d = 0; d <= MT_MAX_DIMS; d++) in.size[d] = -1;
    mt_tensor *result = NULL;
    if (read_text(&in) == MT_OK) {
        static const double nothing;
        mt_shape shape = in.leaf ? mt_shape_make(in.leaf, in.size + 1) : mt_shape(1);
        result = mt_from_doubles(backend, in.count ? in.values : &nothing, shape);
    }
    mt_free(in.values, (size_t)in.room * sizeof *in.values);
    return result;
}
