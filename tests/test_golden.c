/* tests/test_golden.c - every row of op_table.inc against values and derivatives that PyTorch computed once,
 * on edge values and ordinary ones. golden/make_golden.py wrote the file, and says where minitorch.c differs
 * on purpose.
 */
#include "tensor/op_id.h"
#include "support.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *path;

#define NO_VALUES                                                                                  \
    "%s has no golden values: add a line for it to tests/golden/make_golden.py, and with PyTorch " \
    "run python3 make_golden.py > golden.txt there"

typedef struct line {
    mt_op op;
    double p[2], in[2], y, d[2];
    bool flows[2]; /* whether a derivative is given */
} line;

static line *lines;
static size_t line_count;
static double ulps[MT_OP_COUNT], epsilons[MT_OP_COUNT];
static bool described[MT_OP_COUNT];

/* The whole field is a number of the file's precision. The shortest text of a float need not be that of the
 * double. */
static double number(const char *text, bool single, int at)
{
    char *end;
    double value = single ? (double)strtof(text, &end) : strtod(text, &end);
    TEST_CHECK(end != text && *end == '\0', "line %d: \"%s\" is no number", at, text);
    return value;
}

static mt_op operation(const char *name, int at)
{
    mt_op op = mt_op_by_name(name);
    TEST_CHECK(op != MT_OP_COUNT, "line %d: %s", at, mt_last_message());
    return op;
}

/* Reads every line, also those of the other precision, and keeps this library's. */
static void test_reading(void **data)
{
    (void)data;
    FILE *file = fopen(path, "r");
    TEST_CHECK(file, "%s: %s", path, strerror(errno));
    char text[400];
    size_t room = 0;
    for (int at = 1; fgets(text, sizeof text, file); at++) {
        char *field[12];
        int fields = 0;
        TEST_CHECK(strchr(text, '\n'), "line %d is too long or has no end", at);
        if (text[0] == '#') continue;
        for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
            TEST_CHECK(fields < 12, "line %d has too many fields", at);
            field[fields++] = word;
        }
        if (fields == 4 && strcmp(field[0], "tolerance") == 0) {
            mt_op op = operation(field[1], at);
            TEST_CHECK(!described[op], "line %d: a second tolerance for %s", at, field[1]);
            described[op] = true;
            ulps[op] = number(field[2], false, at);
            epsilons[op] = number(field[3], false, at);
            continue;
        }
        bool single = strcmp(field[0], "f") == 0;
        TEST_CHECK(fields > 2 && (single || strcmp(field[0], "d") == 0), "line %d is none of the known kinds",
                   at);
        line entry = {.op = operation(field[1], at)};
        int arity = mt_op_describe(entry.op)->arity;
        TEST_CHECK(fields == 5 + 2 * arity, "line %d has %d fields", at, fields);
        for (int i = 0; i < 2; i++) entry.p[i] = number(field[2 + i], false, at);
        for (int i = 0; i < arity; i++) entry.in[i] = number(field[4 + i], single, at);
        entry.y = number(field[4 + arity], single, at);
        for (int i = 0; i < arity; i++) {
            entry.flows[i] = strcmp(field[5 + arity + i], "-") != 0;
            if (entry.flows[i]) entry.d[i] = number(field[5 + arity + i], single, at);
        }
        if (single != (sizeof(mt_real) == sizeof(float))) continue;
        if (line_count == room) {
            room = room ? 2 * room : 1024;
            lines = realloc(lines, room * sizeof *lines);
            TEST_TRUE(lines);
        }
        lines[line_count++] = entry;
    }
    TEST_CHECK(!ferror(file), "%s cannot be read", path);
    fclose(file);
    for (int op = 0; op < MT_OP_COUNT; op++)
        TEST_CHECK(described[op], NO_VALUES, mt_op_describe((mt_op)op)->name);
    TEST_TRUE(line_count > 2000);
    test_cases += (long)line_count;
}

static bool golden_close(mt_op op, double got, double want)
{
    if (ulps[op] == 0 && epsilons[op] == 0) return test_same(got, want);
    double denormal = sizeof(mt_real) == sizeof(float) ? 4 * (double)FLT_TRUE_MIN : 4 * DBL_TRUE_MIN;
    return test_close(got, want, epsilons[op] * test_epsilon + denormal, ulps[op] * test_epsilon);
}

/* A derivative that is MT_IS_ONE or MT_IS_ZERO, which mt_op_zip_grad writes without a backend's zip, is
 * checked too. */
static void check_row(mt_backend *backend, mt_op op)
{
    const mt_op_info *info = mt_op_describe(op);
    size_t first = 0;
    while (first < line_count && lines[first].op != op) first++;
    TEST_CHECK(first < line_count, NO_VALUES, info->name);
    int64_t n = 0;
    while (first + (size_t)n < line_count && lines[first + (size_t)n].op == op) n++;
    const line *row = lines + first;
    for (int64_t i = 0; i < n; i++) TEST_TRUE(row[i].p[0] == row[0].p[0] && row[i].p[1] == row[0].p[1]);

    double *values = test_memory((size_t)n * sizeof *values);
    mt_tensor *in[2] = {NULL, NULL}, *ones = OWN(mt_ones(backend, mt_shape(n)));
    for (int k = 0; k < info->arity; k++) {
        for (int64_t i = 0; i < n; i++) values[i] = row[i].in[k];
        in[k] = test_array_from(backend, mt_shape(n), TEST_FIXED, values)->x;
    }
    mt_tensor *y = OWN(mt_empty(backend, mt_shape(n), MT_REAL)),
              *d = OWN(mt_empty(backend, mt_shape(n), MT_REAL));
    double p0 = row[0].p[0], p1 = row[0].p[1];
    TEST_OK(info->arity == 1 ? mt_op_map(y, op, in[0], p0, p1) : mt_op_zip(y, op, in[0], in[1], p0, p1));
    const double *got = test_read(y);
    for (int64_t i = 0; i < n; i++)
        TEST_CHECK(golden_close(op, got[i], row[i].y), "%s: %s(%.9g, %.9g) is %.17g instead of %.17g",
                   backend->name, info->name, row[i].in[0], row[i].in[1], got[i], row[i].y);
    for (int which = 0; which < info->arity; which++) {
        TEST_OK(info->arity == 1 ? mt_op_map_grad(d, op, ones, in[0], y, p0, p1)
                                 : mt_op_zip_grad(d, op, which, ones, in[0], in[1], y, p0, p1));
        got = test_read(d);
        for (int64_t i = 0; i < n; i++)
            TEST_CHECK(golden_close(op, got[i], row[i].d[which]),
                       "%s: derivative %d of %s at (%.9g, %.9g) is %.17g instead of %.17g", backend->name,
                       which, info->name, row[i].in[0], row[i].in[1], got[i], row[i].d[which]);
    }
    test_release();
}

/* A row for each operation and backend, so that one failure hides no other. */
static void test_rows_of(const char *only)
{
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int b = 0; b < count; b++) {
        for (int op = 0; op < MT_OP_COUNT; op++) {
            const char *name = mt_op_describe((mt_op)op)->name;
            if (strcmp(name, only) == 0) check_row(backends[b], (mt_op)op);
        }
    }
    test_rows++;
}

#define MT_MAP(name, params, needs, low, high, formula) \
    static void row_##name(void **data)                 \
    {                                                   \
        (void)data;                                     \
        test_rows_of(#name);                            \
    }
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    MT_MAP(name, params, needs_a, low_a, high_a, formula)
/* clang-format off */
#include "tensor/scalar/op_table.inc"
/* clang-format on */

int main(int argc, char **argv)
{
    path = argc > 1 ? argv[1] : "golden/golden.txt";
    static const struct CMUnitTest tests[] = {
        TEST(test_reading),
#define MT_MAP(name, params, needs, low, high, formula)                               TEST(row_##name),
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) TEST(row_##name),
#include "tensor/scalar/op_table.inc"
    };
    int failed = TEST_RUN("golden", tests);
    free(lines);
    return failed;
}
