/* tensor/format.c - tensors as nested text: mt_format writes all of it, for mt_parse, and mt_print what a
 * person can read: rows on lines of their own, in columns, and of a large tensor the edges.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "storage.h"
#include "text.h"

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

/* ---- which elements are shown ---- */

/* A row-major array of the elements that are shown. Of a dimension that is cut they are the first and the
 * last few. */
typedef struct {
    int rank;
    int64_t size[MT_MAX_DIMS]; /* of the array */
    bool cut[MT_MAX_DIMS];     /* the dimension has more elements, in the middle of these */
    int64_t count;
    mt_kind kind;
    void *values; /* double or int64_t by kind */
    int digits;   /* of a REAL */
} excerpt;

static void excerpt_free(excerpt *shown) { mt_free(shown->values, (size_t)shown->count * 8); }

/* Reads the elements of x that are shown into *values and moves it on; the dimensions before d are one index
 * each. Where nothing more is cut the rest is read at once, else slice by slice. */
static mt_status gather(const excerpt *shown, mt_tensor *x, int d, int64_t **values)
{
    int last = shown->rank - 1;
    while (last >= d && !shown->cut[last]) last--;
    if (last < d) {
        const int64_t count = mt_tensor_count(x);
        void *to = *values;
        mt_status status = x->kind == MT_REAL ? mt_to_doubles(x, to, count) : mt_to_indices(x, to, count);
        *values += count;
        return status;
    }
    const int64_t size = shown->size[d], run = d == last ? size / 2 : 1;
    mt_status status = MT_OK;
    for (int64_t i = 0; i < size && status == MT_OK; i += run) {
        const int64_t from = shown->cut[d] && i >= size / 2 ? x->layout.size[d] - size + i : i;
        mt_tensor *part = mt_tensor_slice(x, d, from, from + run, 1);
        status = part ? gather(shown, part, d + 1, values) : mt_last_status();
        mt_tensor_free(part);
    }
    return status;
}

/* The elements of x: all of them, or where there are more than threshold those at the edges. */
static mt_status excerpt_of(const mt_tensor *x, const char *what, mt_print_options options, excerpt *shown)
{
    mt_status status = mt_tensor_check(x, what);
    if (status != MT_OK) return status;
    *shown = (excerpt){.rank = x->layout.rank, .count = 1, .kind = x->kind, .digits = options.digits};
    bool summary = mt_tensor_count(x) > options.threshold;
    for (int d = 0; d < shown->rank; d++) {
        const int64_t size = x->layout.size[d];
        shown->cut[d] = summary && size > 2 * options.edge;
        shown->size[d] = shown->cut[d] ? 2 * options.edge : size;
        shown->count *= shown->size[d];
    }
    shown->values = mt_alloc((size_t)shown->count * 8);
    if (!shown->values) return MT_ERR_MEMORY;
    int64_t *values = shown->values;
    status = gather(shown, (mt_tensor *)x, 0, &values);
    if (status != MT_OK) excerpt_free(shown);
    return status;
}

static void number_text(const excerpt *shown, int64_t i, char text[MT_NUMBER_TEXT])
{
    if (shown->kind == MT_INDEX)
        snprintf(text, MT_NUMBER_TEXT, "%" PRId64, ((const int64_t *)shown->values)[i]);
    else
        mt_text_number(text, ((const double *)shown->values)[i], shown->digits);
}

/* ---- writing ---- */

/* How the text is laid out. */
typedef struct {
    bool lines; /* each row of the last dimension on a line of its own, else all on one */
    int column; /* characters that a number is padded to; 0: the text is one line */
    int width;  /* after which a row goes on in the next line; 0: never */
} page;

static void put_break(sink *out, const page *form, int breaks, int indent, int64_t *start)
{
    if (!form->lines) {
        put(out, ", ");
        return;
    }
    put(out, ",");
    for (int i = 0; i < breaks; i++) put(out, "\n");
    *start = out->length;
    put(out, "%*s", indent, "");
}

/* Nothing below an empty dimension can be shown: "[[], []]" for (2, 0), "[]" for (0, 3). */
static void put_empty(sink *out, const excerpt *shown)
{
    int depth = 0;
    while (shown->size[depth] != 0) depth++;
    int64_t lists = 1, in_row[MT_MAX_DIMS] = {0};
    for (int d = 0; d < depth; d++) lists *= shown->size[d];
    for (int d = 0; d < depth; d++) put(out, "[");
    for (int64_t i = 0; i < lists; i++) {
        put(out, "[]");
        int d = depth - 1;
        while (d >= 0 && ++in_row[d] == shown->size[d]) in_row[d--] = 0, put(out, "]");
        if (d >= 0) put(out, ", ");
        for (int open = d + 1; d >= 0 && open < depth; open++) put(out, "[");
    }
}

static void put_tensor(sink *out, const excerpt *shown, const page *form)
{
    if (shown->count == 0) {
        put_empty(out, shown);
        return;
    }
    const int rank = shown->rank;
    int64_t index[MT_MAX_DIMS] = {0}, start = out->length; /* of the line */
    for (int d = 0; d < rank; d++) put(out, "[");
    for (int64_t i = 0; i < shown->count; i++) {
        char text[MT_NUMBER_TEXT];
        number_text(shown, i, text);
        put(out, "%*s", form->column, text);
        int d = rank - 1;
        while (d >= 0 && ++index[d] == shown->size[d]) index[d--] = 0, put(out, "]");
        if (d < 0) break;
        const bool middle = shown->cut[d] && index[d] == shown->size[d] / 2;
        if (d == rank - 1) {
            put(out, middle ? ", ...," : ",");
            const bool full = form->column > 0 && form->width > 0 &&
                              out->length - start + 1 + form->column + rank > form->width;
            if (full) {
                put(out, "\n%*s", rank, "");
                start = out->length - rank;
            } else {
                put(out, " ");
            }
            continue;
        }
        /* As many line ends as dimensions ended: rows follow each other, matrices stand an empty line apart.
         */
        put_break(out, form, rank - 1 - d, d + 1, &start);
        if (middle) {
            put(out, "...");
            put_break(out, form, rank - 1 - d, d + 1, &start);
        }
        for (int open = d + 1; open < rank; open++) put(out, "[");
    }
}

static const mt_print_options everything = {sizeof(mt_real) == sizeof(float) ? 9 : 17, INT64_MAX, 1, 0};

int64_t mt_format(const mt_tensor *x, char *buffer, size_t size)
{
    sink out = {.buffer = buffer, .size = buffer ? size : 0};
    if (out.size) buffer[0] = '\0';
    excerpt shown;
    if (!x) mt_fail_null("format");
    if (excerpt_of(x, "format", everything, &shown) != MT_OK) return -1;
    put_tensor(&out, &shown, &(page){.lines = false});
    excerpt_free(&shown);
    return out.length;
}

mt_print_options mt_print_defaults(void) { return (mt_print_options){8, 1000, 3, 80}; }

mt_status mt_print(FILE *stream, const mt_tensor *x) { return mt_print_with(stream, x, mt_print_defaults()); }

mt_status mt_print_with(FILE *stream, const mt_tensor *x, mt_print_options options)
{
    if (!stream) return MT_ERR_NULL;
    if (options.digits < 1 || options.digits > 17 || options.threshold < 0 || options.edge < 1 ||
        options.edge > INT64_MAX / 2 || options.width < 0)
        return mt_fail(MT_ERR_VALUE,
                       "print: digits is %d (1 to 17), threshold %" PRId64 " (0 or more), edge %" PRId64
                       " (1 or more), width %d (0 or more)",
                       options.digits, options.threshold, options.edge, options.width);
    if (!x) {
        mt_fail_null("print");
        return fprintf(stream, "%s\n", mt_last_message()) < 0 || fflush(stream) != 0 ? MT_ERR_IO
                                                                                     : MT_ERR_NULL;
    }
    excerpt shown;
    mt_status status = excerpt_of(x, "print", options, &shown);
    if (status != MT_OK) return status;
    page form = {.lines = true, .width = options.width};
    int64_t length = 2 * shown.rank; /* of all on one line, with brackets and commas */
    bool row = true;
    for (int d = 0; d < shown.rank; d++) {
        row = row && (d == shown.rank - 1 || shown.size[d] == 1);
        length += shown.cut[d] ? 5 : 0;
    }
    for (int64_t i = 0; i < shown.count; i++) {
        char text[MT_NUMBER_TEXT];
        number_text(&shown, i, text);
        if ((int)strlen(text) > form.column) form.column = (int)strlen(text);
        length += (int64_t)strlen(text) + (i > 0 ? 2 : 0);
    }
    if (row && (form.width == 0 || length <= form.width)) form.column = 0; /* one line has no columns */
    sink out = {.stream = stream};
    put_tensor(&out, &shown, &form);
    put(&out, "\n");
    excerpt_free(&shown);
    if (out.failed || fflush(stream) != 0)
        return mt_fail(MT_ERR_IO, "print: cannot write: %s", strerror(errno));
    return MT_OK;
}
