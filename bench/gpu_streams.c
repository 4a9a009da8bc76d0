/* gpu_streams.c - gpu_numbers' work that moves memory: maps, zips, reductions, copies, fills, draws and rows
 * by index, each beside a device copy of the same bytes in all.
 *
 * A kind is a row of a table: what is called, on operands of which shapes, and what element `at` of the
 * result is. A case is a kind and a matrix of rows x columns. Tolerances: a map of the library's own
 * polynomials may be off by 4 epsilon of the value (or of 1, where that is more), a sum of two by one; all
 * else is exact. So are sums: their numbers are -1, 0 or 1, and no partial sum of 10^8 of them, at random,
 * comes near 2^24. Of many elements the first, the last and some that are drawn
 * are looked at.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_figures.h"
#include "tensor/elementwise_ops.h"
#include "tensor/scalar/random_ops.h"

static const double FILLED = 1.5;
enum { DRAW_SEED = 5, MOST_TERMS = 1 << 20 /* of the CPU's check, or 16 elements */ };

typedef struct stream stream;

/* How an operand's shape follows from rows and columns. */
typedef enum extent { ABSENT, SAME, ROW, COLUMN, SCALAR, TURNED } extent;

typedef struct kind {
    const char *what, *name;
    extent x, y, out;
    bool thirds;  /* x holds -1, 0 and 1 */
    bool indexed; /* rows are taken by a vector of indices */
    mt_status (*run)(const stream *s, int64_t piece);
    double (*want)(const stream *s, int64_t at);
    double tolerance;
} kind;

struct stream {
    const kind *kind;
    int64_t rows, columns, pieces;
    mt_tensor *all[3];   /* x, y, out: (pieces, rows, columns) of each */
    mt_tensor **part[3]; /* of each piece */
    mt_tensor *index;    /* (rows) */
    float *values[3];    /* of piece 0, on the host; x's and y's while out is checked */
    int64_t *rows_taken;
};

#define X(s, i)   ((s)->part[0][i])
#define Y(s, i)   ((s)->part[1][i])
#define OUT(s, i) ((s)->part[2][i])

/* ---- kinds: the calls, and the elements of their results ---- */

static mt_status run_relu(const stream *s, int64_t i) { return mt_op_relu(OUT(s, i), X(s, i)); }
static double want_relu(const stream *s, int64_t at) { return s->values[0][at] > 0 ? s->values[0][at] : 0; }

static mt_status run_exp(const stream *s, int64_t i) { return mt_op_exp(OUT(s, i), X(s, i)); }
static double want_exp(const stream *s, int64_t at) { return exp((double)s->values[0][at]); }

static mt_status run_add(const stream *s, int64_t i) { return mt_op_add(OUT(s, i), X(s, i), Y(s, i)); }
static double want_add(const stream *s, int64_t at)
{
    const extent y = s->kind->y;
    const int64_t other = y == SAME ? at : y == ROW ? at % s->columns : y == COLUMN ? at / s->columns : 0;
    return (double)s->values[0][at] + (double)s->values[1][other];
}

static mt_status run_sum(const stream *s, int64_t i)
{
    const extent out = s->kind->out;
    return mt_op_sum(OUT(s, i), X(s, i),
                     out == COLUMN ? mt_axes(1)
                     : out == ROW  ? mt_axes(0)
                                   : mt_axes(0, 1));
}
static double want_sum(const stream *s, int64_t at)
{
    const extent out = s->kind->out;
    const int64_t first = out == COLUMN ? at * s->columns : at, step = out == ROW ? s->columns : 1;
    const int64_t count = out == COLUMN ? s->columns : out == ROW ? s->rows : s->rows * s->columns;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)s->values[0][first + i * step];
    return sum;
}

static mt_status run_copy(const stream *s, int64_t i) { return mt_op_copy(OUT(s, i), X(s, i)); }
static double want_copy(const stream *s, int64_t at)
{
    return (double)s->values[0][s->kind->x == TURNED ? at % s->rows * s->columns + at / s->rows : at];
}

static mt_status run_fill(const stream *s, int64_t i) { return mt_op_fill(OUT(s, i), FILLED); }
static double want_fill(const stream *s, int64_t at)
{
    (void)s, (void)at;
    return FILLED;
}

static mt_status run_uniform(const stream *s, int64_t i)
{
    mt_rng rng = mt_rng_make(DRAW_SEED);
    return mt_op_uniform(OUT(s, i), &rng, -1, 1);
}
static double want_uniform(const stream *s, int64_t at)
{
    (void)s;
    const mt_rng rng = mt_rng_make(DRAW_SEED);
    return mt_uniform_from_bits(mt_philox_bits(rng.seed, rng.counter + (uint64_t)at), -1, 1);
}

static mt_status run_take(const stream *s, int64_t i)
{
    return mt_op_take_rows(OUT(s, i), X(s, i), s->index);
}
static double want_take(const stream *s, int64_t at)
{
    return (double)s->values[0][s->rows_taken[at / s->columns] * s->columns + at % s->columns];
}

/* clang-format off */
static const kind kinds[] = {
    {"map",    "relu",        SAME,   ABSENT, SAME,   false, false, run_relu,    want_relu,    0},
    {"map",    "exp",         SAME,   ABSENT, SAME,   false, false, run_exp,     want_exp,     4 * FLT_EPSILON},
    {"zip",    "add same",    SAME,   SAME,   SAME,   false, false, run_add,     want_add,     FLT_EPSILON},
    {"zip",    "add row",     SAME,   ROW,    SAME,   false, false, run_add,     want_add,     FLT_EPSILON},
    {"zip",    "add column",  SAME,   COLUMN, SAME,   false, false, run_add,     want_add,     FLT_EPSILON},
    {"zip",    "add scalar",  SAME,   SCALAR, SAME,   false, false, run_add,     want_add,     FLT_EPSILON},
    {"reduce", "sum all",     SAME,   ABSENT, SCALAR, true,  false, run_sum,     want_sum,     0},
    {"reduce", "sum rows",    SAME,   ABSENT, COLUMN, true,  false, run_sum,     want_sum,     0},
    {"reduce", "sum columns", SAME,   ABSENT, ROW,    true,  false, run_sum,     want_sum,     0},
    {"copy",   "contiguous",  SAME,   ABSENT, SAME,   false, false, run_copy,    want_copy,    0},
    {"copy",   "transposed",  TURNED, ABSENT, TURNED, false, false, run_copy,    want_copy,    0},
    {"fill",   "fill",        ABSENT, ABSENT, SAME,   false, false, run_fill,    want_fill,    0},
    {"random", "uniform",     ABSENT, ABSENT, SAME,   false, false, run_uniform, want_uniform, 0},
    {"gather", "take rows",   SAME,   ABSENT, SAME,   false, true,  run_take,    want_take,    0},
};
/* clang-format on */

/* ---- operands ---- */

static mt_shape shape_of(const stream *s, extent e)
{
    if (e == ROW) return mt_shape(1, s->columns);
    if (e == COLUMN) return mt_shape(s->rows, 1);
    if (e == SCALAR) return mt_shape(1, 1);
    return mt_shape(s->rows, s->columns);
}

static double count_of(const stream *s, extent e)
{
    const mt_shape shape = shape_of(s, e);
    return e == ABSENT ? 0 : (double)shape.size[0] * (double)shape.size[1];
}

static void free_stream(stream *s)
{
    for (int k = 0; k < 3; k++) {
        for (int64_t i = 0; s->part[k] != NULL && i < s->pieces; i++) mt_tensor_free(s->part[k][i]);
        free(s->part[k]);
        free(s->values[k]);
        mt_tensor_free(s->all[k]);
    }
    mt_tensor_free(s->index);
    free(s->rows_taken);
}

/* -1, 0 and 1, by rounding towards zero. */
static mt_tensor *thirds(mt_backend *backend, mt_shape shape, mt_rng *rng)
{
    mt_tensor *x = mt_uniform(backend, shape, rng, -2, 2), *whole = mt_tensor_as(x, MT_INDEX);
    mt_tensor *result = mt_tensor_as(whole, MT_REAL);
    mt_tensor_free(x);
    mt_tensor_free(whole);
    return result;
}

static bool make_operand(stream *s, gpu_bench *bench, int k, extent e)
{
    const mt_shape one = shape_of(s, e);
    const mt_shape shape = e == TURNED && k == 2 ? mt_shape(s->pieces, one.size[1], one.size[0])
                                                 : mt_shape(s->pieces, one.size[0], one.size[1]);
    if (e == ABSENT) return true;
    s->all[k] = k == 2            ? mt_empty(bench->backend, shape, MT_REAL)
                : s->kind->thirds ? thirds(bench->backend, shape, &bench->rng)
                                  : mt_uniform(bench->backend, shape, &bench->rng, -1, 1);
    s->part[k] = calloc((size_t)s->pieces, sizeof *s->part[k]);
    if (s->all[k] == NULL) return false;
    if (s->part[k] == NULL)
        return mt_fail(MT_ERR_MEMORY, "no memory is left for %" PRId64 " handles", s->pieces) == MT_OK;
    for (int64_t i = 0; i < s->pieces; i++) {
        mt_tensor *part = mt_tensor_select(s->all[k], 0, i);
        s->part[k][i] = e == TURNED && k == 0 ? mt_tensor_transpose(part, 0, 1) : part;
        if (s->part[k][i] != part) mt_tensor_free(part);
        if (s->part[k][i] == NULL) return false;
    }
    return true;
}

static bool make_index(stream *s, gpu_bench *bench)
{
    if (!s->kind->indexed) return true;
    s->index = mt_permutation(bench->backend, &bench->rng, s->rows);
    s->rows_taken = malloc((size_t)s->rows * sizeof *s->rows_taken);
    if (s->rows_taken == NULL) return mt_fail(MT_ERR_MEMORY, "no memory is left for indices") == MT_OK;
    return mt_to_indices(s->index, s->rows_taken, s->rows) == MT_OK;
}

/* ---- checking ---- */

/* The elements of piece 0 as they lie. */
static bool read_first(stream *s, int k)
{
    if (s->all[k] == NULL) return true;
    mt_tensor *first = mt_tensor_select(s->all[k], 0, 0);
    s->values[k] = first != NULL ? gpu_read(first) : NULL;
    mt_tensor_free(first);
    return s->values[k] != NULL;
}

static bool check(stream *s, gpu_bench *bench, double *error)
{
    bool good = mt_op_fill(OUT(s, 0), NAN) == MT_OK && s->kind->run(s, 0) == MT_OK;
    for (int k = 0; k < 3 && good; k++) good = read_first(s, k);
    if (!good) return false;
    const int64_t outputs = (int64_t)count_of(s, s->kind->out);
    const int64_t terms = s->kind->run == run_sum ? s->rows * s->columns / outputs : 1;
    const int64_t most = MOST_TERMS / terms > 16 ? MOST_TERMS / terms : 16;
    *error = 0;
    for (int64_t i = 0; i < (outputs < most ? outputs : most) && !isnan(*error); i++) {
        const int64_t drawn = i == 0   ? 0
                              : i == 1 ? outputs - 1
                                       : (int64_t)mt_rng_below(&bench->rng, (uint64_t)outputs);
        const int64_t at = outputs <= most ? i : drawn;
        const double want = s->kind->want(s, at);
        const double e = fabs((double)s->values[2][at] - want) / fmax(1, fabs(want));
        if (!(e <= *error)) *error = e;
    }
    for (int k = 0; k < 3; k++) {
        free(s->values[k]);
        s->values[k] = NULL;
    }
    return true;
}

/* ---- cases ---- */

static bool run(void *context, int64_t i)
{
    const stream *s = context;
    return s->kind->run(s, i) == MT_OK;
}

static void time_stream(gpu_bench *bench, const kind *of, int64_t rows, int64_t columns)
{
    stream s = {.kind = of, .rows = rows, .columns = columns};
    gpu_copy copied = {.clock = NULL};
    gpu_turn turns[2] = {{.by = "ours", .body = run, .context = &s},
                         {.by = "copy", .body = gpu_copy_body, .context = &copied, .error = -1}};
    gpu_work work = {.stage = "numbers", .what = of->what, .tolerance = of->tolerance};
    work.bytes = sizeof(float) * (count_of(&s, of->x) + count_of(&s, of->y) + count_of(&s, of->out));
    if (of->indexed) work.bytes += sizeof(int64_t) * (double)rows;
    snprintf(work.text, sizeof work.text, "%s %" PRId64 "x%" PRId64, of->name, rows, columns);
    s.pieces = gpu_pieces(bench, work.bytes);
    const extent shapes[3] = {of->x, of->y, of->out};
    bool good = make_index(&s, bench);
    for (int k = 0; k < 3 && good; k++) good = make_operand(&s, bench, k, shapes[k]);
    if (!good || !check(&s, bench, &turns[0].error)) {
        gpu_refused(bench, &work, "ours");
    } else {
        const bool peer = gpu_copy_make(&copied, bench, work.bytes, s.pieces);
        if (!peer) gpu_peer_refused(&work, "copy", mt_last_message());
        gpu_time(bench, &work, turns, peer ? 2 : 1, s.pieces);
    }
    gpu_copy_free(&copied);
    free_stream(&s);
}

/* Matrices for the kinds whose what, and whose name where one is given, are these. {0, 0} ends a list. */
typedef struct family {
    const char *what, *name;
    int64_t shapes[7][2], tiny[3][2];
} family;

static const family families[] = {
    {"map", NULL, {{250, 400}, {2500, 4000}, {10000, 10000}}, {{16, 64}, {128, 128}}},
    {"zip", NULL, {{250, 400}, {2500, 4000}, {10000, 10000}}, {{16, 64}, {128, 128}}},
    {"reduce", "sum all", {{250, 400}, {2500, 4000}, {10000, 10000}}, {{16, 64}, {128, 128}}},
    {"reduce",
     "sum rows",
     {{312500, 32}, {3125000, 32}, {10000, 1024}, {100000, 1024}, {10, 1000000}, {100, 1000000}},
     {{16, 32}, {16, 128}}},
    {"reduce",
     "sum columns",
     {{2500, 4000}, {10000, 1000}, {100000, 1000}, {1000, 100000}},
     {{128, 16}, {64, 128}}},
    {"copy", "contiguous", {{250, 400}, {2500, 4000}, {10000, 10000}}, {{16, 64}, {128, 128}}},
    {"copy", "transposed", {{250, 400}, {4096, 4096}, {4095, 4097}, {10000, 10000}}, {{16, 64}, {33, 127}}},
    {"fill", NULL, {{250, 400}, {2500, 4000}, {10000, 10000}}, {{16, 64}}},
    {"random", NULL, {{250, 400}, {2500, 4000}, {10000, 10000}}, {{16, 64}}},
    {"gather", NULL, {{1000000, 2}, {100000, 128}, {10000, 1024}}, {{64, 2}, {16, 64}}},
};

static void time_kinds(gpu_bench *bench, const char *what)
{
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
            const family *of = &families[f];
            if (strcmp(kinds[k].what, what) != 0 || strcmp(of->what, what) != 0) continue;
            if (of->name != NULL && strcmp(of->name, kinds[k].name) != 0) continue;
            const int64_t(*shapes)[2] = bench->tiny ? of->tiny : of->shapes;
            for (int i = 0; shapes[i][0] > 0; i++) time_stream(bench, &kinds[k], shapes[i][0], shapes[i][1]);
        }
}

void gpu_elementwise(gpu_bench *bench)
{
    time_kinds(bench, "map");
    time_kinds(bench, "zip");
}

void gpu_reductions(gpu_bench *bench) { time_kinds(bench, "reduce"); }

void gpu_moves(gpu_bench *bench)
{
    time_kinds(bench, "copy");
    time_kinds(bench, "fill");
    time_kinds(bench, "random");
    time_kinds(bench, "gather");
}
