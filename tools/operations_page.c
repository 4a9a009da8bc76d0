/* tools/operations_page.c - the page of every operation. */
#include "operations_page.h"

#include <string.h>

#include "autodiff/operation.h"
#include "tensor/op_id.h"

static const char TOP[] =
    "# Operations\n\n"
    "Every operation on a tape, from its descriptor (`autodiff/operation.h`). Made by "
    "`tools/list_operations.c`; "
    "`meson compile\n"
    "-C build refresh` writes it again. What they mean at the edges, beside NumPy and PyTorch, stands in\n"
    "[semantics.md](semantics.md), how to add one in [extending.md](extending.md).\n\n"
    "\"Gradient\" names what backward reads, which may not be written in place until then. A `constant` "
    "input gets no gradient.\n"
    "Attributes stand in the order in which `mt_apply_operation` takes them; a list of dimensions is "
    "written\n"
    "`mt_axes(0, 2)`. Cost is that of an element of the result: nothing, arithmetic, or a transcendental\n"
    "function too.\n";

/* The parts, by the file that the headers say they are made from. */
static const struct {
    const char *file, *title;
} parts[] = {
    {"op_table.inc", "Elementwise"},
    {"reductions.c", "Reductions"},
    {"products.c", "Products"},
    {"views.c", "Views, copies and rows"},
    {"windows.c", "Windows and padding"},
    {"conv.c", "Convolutions"},
    {"pool.c", "Pooling"},
    {"joins.c", "Joins"},
    {"indexing.c", "By index"},
    {"scans.c", "Running results"},
    {"sorting.c", "Order"},
    {"composed.c", "Made of others"},
    {"softmax.c", "Softmax"},
    {"layer_norm.c", "Layer norm"},
    {"losses.c", "Losses"},
    {"cross_entropy.c", "Losses over classes"},
    {"norms.c", "Norms and spreads"},
    {"masks.c", "Masks"},
};

/* What an enum's value is called on the page. */
static const char *const kinds[] = {"REAL", "INDEX", "REAL or INDEX"};
static const char *const results[] = {"REAL", "INDEX", "of the kind of the first input",
                                      "of the kind asked for"};
static const char *const costs[] = {"?", "nothing", "arithmetic", "transcendental"};
static const char *const types[] = {[MT_NO_ATTRIBUTE] = "?",
                                    [MT_ATTRIBUTE_REAL] = "number",
                                    [MT_ATTRIBUTE_INTEGER] = "integer",
                                    [MT_ATTRIBUTE_DIM] = "dimension",
                                    [MT_ATTRIBUTE_BOOL] = "bool",
                                    [MT_ATTRIBUTE_SHAPE] = "list of integers",
                                    [MT_ATTRIBUTE_DIMS] = "list of dimensions, or all",
                                    [MT_ATTRIBUTE_KIND] = "kind",
                                    [MT_ATTRIBUTE_OP] = "row of op_table.inc"};

/* ---- what the headers say ---- */

/* Where the declaration of mt_NAME and suffix begins; NULL where there is none. */
static const char *declared(const char *headers, const char *name, const char *suffix)
{
    char text[100];
    snprintf(text, sizeof text, "mt_tensor *mt_%s%s(", name, suffix);
    return strstr(headers, text);
}

/* The file behind the last "from" before that place. */
static void file_of(const char *headers, const char *place, char *file, size_t size)
{
    *file = 0;
    for (const char *at = headers; (at = strstr(at, "\n/* from ")) && at < place;) {
        at += strlen("\n/* from ");
        snprintf(file, size, "%.*s", (int)strcspn(at, " "), at);
    }
}

/* A declaration in one line, as far as the character end. */
static void print_collapsed(FILE *to, const char *from, char end)
{
    for (const char *at = from; *at && *at != end; at++) {
        if (*at != '\n')
            fputc(*at, to);
        else {
            at += strspn(at, "\n ") - 1;
            if (at[1] != ')') fputc(' ', to);
        }
    }
}

/* ---- a line of the page ---- */

static void print_reads(FILE *to, const mt_operation *o, unsigned reads)
{
    const char *between = "";
    for (int i = 0; i < MT_MAX_INPUTS && o->input[i].name; i++)
        if (reads >> i & 1) {
            fprintf(to, "%s`%s`", between, o->input[i].name);
            between = ", ";
        }
    if (reads & MT_READS_OUT) {
        fprintf(to, "%sthe result", between);
        between = ", ";
    }
    if (reads & MT_READS_ATTRIBUTES) {
        fprintf(to, "%sattributes", between);
        between = ", ";
    }
    if (!*between) fprintf(to, "nothing");
}

/* "of x: y", for each input that gets a gradient. */
static void print_gradient(FILE *to, const mt_operation *o)
{
    if (!o->vjp) {
        fprintf(to, "%s%s", o->no_vjp ? "none: " : "of its parts: ", o->no_vjp ? o->no_vjp : o->by_parts);
        return;
    }
    const char *between = "reads ";
    for (int i = 0; i < MT_MAX_INPUTS && o->input[i].name; i++) {
        if (o->input[i].constant) continue;
        fprintf(to, "%s", between);
        print_reads(to, o, o->reads[i]);
        fprintf(to, " for `%s`", o->input[i].name);
        between = "; ";
    }
}

static void print_row(FILE *to, const mt_operation *o, const char *place)
{
    const mt_op_info *info = mt_op_describe(o->row - 1);
    fprintf(to, "| `%s(", o->name);
    print_collapsed(to, strchr(place, '(') + 1 + strlen("mt_tape *tape, "), ';');
    fprintf(to, "` | `");
    for (const char *c = o->formula; *c; c++)
        fprintf(to, "%s%c", *c == '|' ? "\\" : "", *c); /* a table's | */
    fprintf(to, "` | ");
    if (info->needs[0] & MT_IS_ZERO && (info->arity == 1 || info->needs[1] & MT_IS_ZERO))
        fprintf(to, "none flows%s", o->input[0].takes == MT_TAKES_ANY ? "; also of two INDEX" : "");
    else
        print_gradient(to, o);
    fprintf(to, " |\n");
}

static void print_operation(FILE *to, const mt_operation *o, const char *headers)
{
    static const char *const suffixes[] = {"", "_dim", "_dims", "_with", "_weighted"};
    fprintf(to, "\n### %s\n\n```c\n", o->name);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        const char *place = declared(headers, o->name, suffixes[i]);
        if (!place) continue;
        print_collapsed(to, place, ';');
        fprintf(to, ";\n");
    }
    fprintf(to, "```\n\n%s.\n\n- Inputs:", o->formula);
    for (int i = 0; i < MT_MAX_INPUTS && o->input[i].name; i++)
        fprintf(to, "%s `%s` (%s%s)", i ? "," : "", o->input[i].name, kinds[o->input[i].takes],
                o->input[i].constant ? ", constant" : "");
    fprintf(to, "%s\n", o->list ? ", the last any number of times" : "");
    for (int i = 0; i < MT_MAX_ATTRIBUTES && o->attribute[i].name; i++)
        fprintf(to, "%s `%s` (%s)%s", i ? "," : "- Attributes:", o->attribute[i].name,
                types[o->attribute[i].type],
                i + 1 == MT_MAX_ATTRIBUTES || !o->attribute[i + 1].name ? "\n" : "");
    fprintf(to, "- Result: %s\n- Gradient: ", results[o->gives]);
    print_gradient(to, o);
    fprintf(to, "\n- Cost: %s\n", costs[o->cost]);
}

bool operations_page(FILE *to, const char *headers)
{
    bool good = true;
    char part[60] = "", file[60];
    fputs(TOP, to);
    for (int i = 0; i < mt_operation_count(); i++) {
        const mt_operation *o = mt_operation_at(i);
        const char *place = declared(headers, o->name, "");
        if (!place) {
            fprintf(stderr, "%s: no header declares mt_%s\n", o->name, o->name);
            good = false;
            continue;
        }
        file_of(headers, place, file, sizeof file);
        if (strcmp(part, file) != 0) {
            const char *title = file;
            for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
                if (strcmp(parts[k].file, file) == 0) title = parts[k].title;
            fprintf(to, "\n## %s\n", title);
            if (o->row)
                fprintf(to, "\nRows of `tensor/scalar/op_table.inc`: `mt_NAME(tape, ...)` on a tape, "
                            "`mt_op_NAME(out, ...)` "
                            "without one.\nInputs are REAL and broadcast, and so is the result.\n\n| mt_ | "
                            "formula | gradient "
                            "|\n|---|---|---|\n");
            memcpy(part, file, sizeof part);
        }
        if (o->row)
            print_row(to, o, place);
        else
            print_operation(to, o, headers);
    }
    return good;
}
