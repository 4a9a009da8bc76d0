/* tensor/parse.c - nested text becomes a tensor: "[[1, 2], [3, 4]]".
 *
 * The reader keeps one count for each level of brackets: the first list of a level sets how long its
 * neighbours must be. Any amount of white space may stand between numbers, commas and brackets.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "storage.h"
#include "text.h"

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

static mt_status read_number(reader *in)
{
    if (!*in->at || !strchr("+-.0123456789nNiI", *in->at)) return bad(in, "a number or a bracket is missing");
    const char *end;
    errno = 0;
    double value = mt_text_to_double(in->at, &end);
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
