/* fuzz/pair.c - see pair.h.
 *
 * An operand is copied to memory of exactly the elements that it reaches, with the layout moved there, so
 * that AddressSanitizer sees a step beside it. How far an element may be off comes from the same work on
 * absolute values, by `simple` too.
 */
#include "pair.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tensor/op_id.h"

static mt_backend pair, *tested, *oracle;
static bool comparing = true;
static unsigned char junk;

void pair_compare(bool on) { comparing = on; }

void pair_fill(unsigned char byte) { junk = byte; }

static const double epsilon = sizeof(mt_real) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;
static const double least = sizeof(mt_real) == sizeof(float) ? FLT_TRUE_MIN : DBL_TRUE_MIN;
static const double largest = sizeof(mt_real) == sizeof(float) ? FLT_MAX : DBL_MAX;

/* ---- copies of operands ---- */

enum { MOST_COPIES = 8 };

typedef struct copy {
    mt_operand from;
    mt_kind kind;
    mt_layout layout;
    int64_t low;
    size_t bytes;
    char *data, *before; /* before: as data was, where the operand is an output */
} copy;

static mt_operand take(copy *c, mt_operand from, mt_kind kind, bool output)
{
    int64_t high;
    *c = (copy){.from = from, .kind = kind, .layout = *from.layout};
    mt_layout_extent(from.layout, &c->low, &high);
    c->layout.offset = high > c->low ? c->layout.offset - c->low : 0;
    c->bytes = (size_t)(high - c->low) * mt_kind_bytes(kind);
    c->data = fuzz_memory(c->bytes);
    const char *start = (const char *)from.data + c->low * (int64_t)mt_kind_bytes(kind);
    if (c->bytes) tested->download(tested, c->data, start, c->bytes);
    if (output) c->before = memcpy(fuzz_memory(c->bytes), c->data, c->bytes);
    return (mt_operand){c->data, &c->layout};
}

static void drop(copy *c)
{
    free(c->data);
    free(c->before);
}

static int64_t position(const mt_layout *layout, int64_t i)
{
    int64_t index[MT_MAX_DIMS];
    for (int d = layout->rank - 1; d >= 0; d--) {
        index[d] = i % layout->size[d];
        i /= layout->size[d];
    }
    return mt_layout_position(layout, index);
}

static mt_real real_at(const char *data, int64_t at) { return ((const mt_real *)(const void *)data)[at]; }

/* How far apart results may be: |got - want| <= atol[i] + rtol max(|got|, |want|) for element i in row-major
 * order, with atol + i*step; NaN in atol: anything is right. atol NULL: the same bits, but for NaN. */
typedef struct slack {
    const double *atol;
    int step;
    double rtol;
} slack;

static bool close_to(double got, double want, double atol, double rtol)
{
    if (isnan(atol) || got == want) return true;
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want)) {
        const double finite = isinf(got) ? want : got;
        return isinf(finite) ? false : fabs(finite) > 0.9999 * largest && (got > 0) == (want > 0);
    }
    return fabs(got - want) <= atol + rtol * fmax(fabs(got), fabs(want));
}

/* Compares what the backend under test left in an output with what is right, which is in the copy. */
static void agree(const copy *c, slack s, const char *what)
{
    const size_t size = mt_kind_bytes(c->kind), reach = c->bytes / size;
    char *got = fuzz_memory(c->bytes);
    bool *inside = memset(fuzz_memory(reach), 0, reach ? reach : 1);
    if (c->bytes)
        tested->download(tested, got, (const char *)c->from.data + c->low * (int64_t)size, c->bytes);
    const int64_t count = mt_layout_count(&c->layout);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = position(&c->layout, i);
        inside[at] = true;
        if (memcmp(got + at * (int64_t)size, c->data + at * (int64_t)size, size) == 0) continue;
        FUZZ_CHECK(c->kind == MT_REAL, "%s: index %lld differs", what, (long long)i);
        const double is = (double)real_at(got, at), should = (double)real_at(c->data, at);
        const bool fine =
            s.atol ? close_to(is, should, s.atol[i * s.step], s.rtol) : isnan(is) && isnan(should);
        FUZZ_CHECK(fine, "%s: element %lld is %.17g and should be %.17g (atol %g, rtol %g)", what,
                   (long long)i, is, should, s.atol ? s.atol[i * s.step] : 0, s.rtol);
    }
    for (size_t at = 0; at < reach; at++)
        FUZZ_CHECK(inside[at] || memcmp(got + at * size, c->before + at * size, size) == 0,
                   "%s: a byte beside the result was written, at element %zu", what, at);
    free(inside);
    free(got);
}

/* Both statuses are the same; a failure leaves the output as it was. */
static mt_status same_status(mt_status got, mt_status want, const copy *c, const char *what)
{
    if (got == MT_ERR_MEMORY) return got; /* where a program lets requests fail */
    FUZZ_CHECK(got == want, "%s: status %s instead of %s", what, mt_status_name(got), mt_status_name(want));
    if (got != MT_OK) {
        fuzz_sentence(what, mt_last_message());
        memcpy(c->data, c->before, c->bytes);
        agree(c, (slack){NULL, 0, 0}, what);
    }
    return got;
}

/* ---- the slots ---- */

static void *pair_allocate(mt_backend *backend, size_t bytes)
{
    (void)backend;
    void *memory = tested->allocate(tested, bytes);
    if (memory && tested->host) memset(memory, junk, bytes);
    return memory;
}

static void pair_release(mt_backend *backend, void *pointer, size_t bytes)
{
    (void)backend;
    tested->release(tested, pointer, bytes);
}

static void pair_mark(mt_backend *backend, void *pointer, size_t bytes, bool live)
{
    (void)backend;
    tested->mark(tested, pointer, bytes, live);
    if (live && tested->host) memset(pointer, junk, bytes);
}

static mt_status pair_upload(mt_backend *backend, void *to, const void *from, size_t bytes)
{
    (void)backend;
    return tested->upload(tested, to, from, bytes);
}

static mt_status pair_download(mt_backend *backend, void *to, const void *from, size_t bytes)
{
    (void)backend;
    return tested->download(tested, to, from, bytes);
}

static void pair_describe(mt_backend *backend, mt_backend_facts *facts)
{
    (void)backend;
    tested->describe(tested, facts);
}

static mt_status pair_fill_slot(mt_backend *backend, mt_operand out, mt_kind kind, double value)
{
    (void)backend;
    if (!comparing) return tested->fill(tested, out, kind, value);
    copy c;
    mt_operand own = take(&c, out, kind, true);
    mt_status status = same_status(tested->fill(tested, out, kind, value),
                                   oracle->fill(oracle, own, kind, value), &c, "fill");
    if (status == MT_OK) agree(&c, (slack){NULL, 0, 0}, "fill");
    drop(&c);
    return status;
}

static mt_status pair_copy(mt_backend *backend, mt_operand out, mt_kind out_kind, mt_operand in,
                           mt_kind in_kind)
{
    (void)backend;
    if (!comparing) return tested->copy(tested, out, out_kind, in, in_kind);
    copy c[2];
    mt_operand own_out = take(&c[0], out, out_kind, true), own_in = take(&c[1], in, in_kind, false);
    mt_status status = same_status(tested->copy(tested, out, out_kind, in, in_kind),
                                   oracle->copy(oracle, own_out, out_kind, own_in, in_kind), &c[0], "copy");
    if (status == MT_OK) agree(&c[0], (slack){NULL, 0, 0}, "copy");
    drop(&c[0]);
    drop(&c[1]);
    return status;
}

static mt_status elementwise(const mt_elementwise_work *work)
{
    const bool map = work->op < (mt_op)MT_MAP_COUNT;
    mt_status (*const test)(mt_backend *, const mt_elementwise_work *) = map ? tested->map : tested->zip;
    if (!comparing) return test(tested, work);
    copy c[MT_MAX_OPERANDS];
    mt_elementwise_work own = *work;
    for (int i = 0; i < work->operands; i++) own.operand[i] = take(&c[i], work->operand[i], MT_REAL, i == 0);
    mt_status status = same_status(test(tested, work), (map ? oracle->map : oracle->zip)(oracle, &own), &c[0],
                                   mt_op_describe(work->op)->name);
    /* A derivative is rounded before the cotangent, in[0], is multiplied with it. */
    double scale = 1;
    for (int64_t i = 0; work->part != MT_PART_VALUE && i < mt_layout_count(&c[1].layout); i++) {
        const double g = fabs((double)real_at(c[1].data, position(&c[1].layout, i)));
        if (g > scale && !isinf(g)) scale = g;
    }
    const double atol = 8 * epsilon * scale;
    char what[80];
    snprintf(what, sizeof what, "%s (part %d)", mt_op_describe(work->op)->name, (int)work->part);
    if (status == MT_OK) agree(&c[0], (slack){&atol, 0, 16 * epsilon}, what);
    for (int i = 0; i < work->operands; i++) drop(&c[i]);
    return status;
}

static mt_status pair_elementwise(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    return elementwise(work);
}

/* What a factor or a term counts towards the size of a result. */
static mt_real absolute(mt_real x) { return isfinite(x) ? (mt_real)fabs((double)x) : 0; }

static mt_real above_one(mt_real x) { return absolute(x) > 1 ? absolute(x) : 1; }

static mt_real below_one(mt_real x) { return absolute(x) < 1 && x != 0 ? absolute(x) : 1; }

static void each(copy *c, mt_real (*f)(mt_real))
{
    mt_real *x = (mt_real *)(void *)c->data;
    for (size_t i = 0; i < c->bytes / sizeof *x; i++) x[i] = f(x[i]);
}

/* The oracle's result over f of the operands, as doubles in the order of the output. */
static double *reduced(const mt_reduce_work *work, mt_real (*f)(mt_real))
{
    copy c[2];
    mt_reduce_work own = *work;
    own.out = take(&c[0], work->out, MT_REAL, false);
    own.in = take(&c[1], work->in, MT_REAL, false);
    own.divisor = 1;
    each(&c[0], f);
    each(&c[1], f);
    oracle->reduce(oracle, &own);
    const int64_t count = mt_layout_count(&c[0].layout);
    double *values = fuzz_memory((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++) values[i] = (double)real_at(c[0].data, position(&c[0].layout, i));
    drop(&c[0]);
    drop(&c[1]);
    return values;
}

static mt_status pair_reduce(mt_backend *backend, const mt_reduce_work *work)
{
    (void)backend;
    if (!comparing) return tested->reduce(tested, work);
    static const char *const names[] = {"sum", "prod", "max", "min", "all", "argmax", "argmin"};
    const char *what = names[work->op];
    const bool arg = work->op == MT_ARGMAX || work->op == MT_ARGMIN;
    copy c[2];
    mt_reduce_work own = *work;
    double n = 1, *room = NULL, rtol = 0;
    for (int d = 0; d < work->in.layout->rank; d++)
        n *= work->reduced[d] ? (double)work->in.layout->size[d] : 1;
    own.out = take(&c[0], work->out, arg ? MT_INDEX : MT_REAL, true);
    own.in = take(&c[1], work->in, MT_REAL, false);
    const int64_t count = mt_layout_count(&c[0].layout);
    if (work->op == MT_SUM) {
        room = reduced(work, absolute);
        for (int64_t i = 0; i < count; i++)
            room[i] =
                room[i] < largest / 4 ? (4 + n) * (epsilon * room[i] / (double)work->divisor + least) : NAN;
        rtol = epsilon;
    }
    if (work->op == MT_PROD) {
        room = reduced(work, above_one);
        double *small = reduced(work, below_one);
        for (int64_t i = 0; i < count; i++)
            room[i] = room[i] < largest / 4 && small[i] > 1 / sqrt(largest) ? least : NAN;
        free(small);
        rtol = (n + 2) * epsilon;
    }
    mt_status status = same_status(tested->reduce(tested, work), oracle->reduce(oracle, &own), &c[0], what);
    /* max and min give either of two zeros. */
    static const double none = 0;
    if (status == MT_OK) agree(&c[0], room ? (slack){room, 1, rtol} : (slack){&none, 0, 0}, what);
    free(room);
    drop(&c[0]);
    drop(&c[1]);
    return status;
}

/* Of INDEX: the same numbers, and the same mean of them. */
static mt_status pair_reduce_index(mt_backend *backend, const mt_reduce_work *work, mt_kind out_kind)
{
    (void)backend;
    if (!comparing) return tested->reduce_index(tested, work, out_kind);
    copy c[2];
    mt_reduce_work own = *work;
    own.out = take(&c[0], work->out, out_kind, true);
    own.in = take(&c[1], work->in, MT_INDEX, false);
    mt_status status = same_status(tested->reduce_index(tested, work, out_kind),
                                   oracle->reduce_index(oracle, &own, out_kind), &c[0], "reduce_index");
    if (status == MT_OK) agree(&c[0], (slack){NULL, 0, 0}, "reduce_index");
    for (int i = 0; i < 2; i++) drop(&c[i]);
    return status;
}

static mt_status pair_compare_slot(mt_backend *backend, mt_operand out, mt_operand a, mt_operand b,
                                   const mt_real *order)
{
    (void)backend;
    if (!comparing) return tested->compare(tested, out, a, b, order);
    copy c[3];
    const mt_operand own_out = take(&c[0], out, MT_REAL, true), own_a = take(&c[1], a, MT_INDEX, false),
                     own_b = take(&c[2], b, MT_INDEX, false);
    mt_status status = same_status(tested->compare(tested, out, a, b, order),
                                   oracle->compare(oracle, own_out, own_a, own_b, order), &c[0], "compare");
    if (status == MT_OK) agree(&c[0], (slack){NULL, 0, 0}, "compare");
    for (int i = 0; i < 3; i++) drop(&c[i]);
    return status;
}

static mt_status pair_scatter(mt_backend *backend, const mt_scatter_work *work)
{
    (void)backend;
    if (!comparing) return tested->scatter(tested, work);
    copy c[3];
    mt_scatter_work own = *work;
    own.out = take(&c[0], work->out, MT_REAL, true);
    own.index = take(&c[1], work->index, MT_INDEX, false);
    own.value = take(&c[2], work->value, MT_REAL, false);
    mt_status got = tested->scatter(tested, work), want = oracle->scatter(oracle, &own);
    FUZZ_CHECK(got == want, "scatter: status %s instead of %s", mt_status_name(got), mt_status_name(want));
    if (got == MT_OK) agree(&c[0], (slack){NULL, 0, 0}, "scatter");
    for (int i = 0; i < 3; i++) drop(&c[i]);
    return got;
}

static mt_status pair_rows(mt_backend *backend, const mt_rows_work *work)
{
    (void)backend;
    if (!comparing) return tested->rows(tested, work);
    copy c[3];
    mt_rows_work own = *work;
    own.out = take(&c[0], work->out, work->kind, true);
    own.in = take(&c[1], work->in, work->kind, false);
    own.index = take(&c[2], work->index, MT_INDEX, false);
    own.known = false;
    mt_status status = same_status(tested->rows(tested, work), oracle->rows(oracle, &own), &c[0], "rows");
    if (status == MT_OK) agree(&c[0], (slack){NULL, 0, 0}, "rows");
    for (int i = 0; i < 3; i++) drop(&c[i]);
    return status;
}

/* The least and the largest of act around x, where nothing is known but that its argument is within tolerance
 * of x. Returns false where it is anything. */
static bool act_around(mt_op act, double x, double tolerance, double *low, double *high)
{
    enum { POINTS = 17 };
    mt_real at[POINTS], y[POINTS];
    const mt_layout line = mt_layout_contiguous(mt_shape(POINTS));
    for (int i = 0; i < POINTS; i++) at[i] = (mt_real)(x + tolerance * (i - POINTS / 2) / (POINTS / 2));
    mt_elementwise_work work = {
        .op = act, .part = MT_PART_VALUE, .operands = 2, .operand = {{y, &line}, {at, &line}}};
    oracle->map(oracle, &work);
    *low = INFINITY, *high = -INFINITY;
    for (int i = 0; i < POINTS; i++) {
        if (!isfinite(y[i])) return false;
        *low = fmin(*low, (double)y[i]), *high = fmax(*high, (double)y[i]);
    }
    return true;
}

static mt_status pair_matmul(mt_backend *backend, const mt_matmul_work *work)
{
    (void)backend;
    if (!comparing) return tested->matmul(tested, work);
    enum { OUT, A, B, BIAS, PRE };
    const bool bias = work->bias.data != NULL, pre = work->pre.data != NULL;
    copy c[PRE + 1], size[PRE];
    mt_matmul_work own = *work, whole = *work;
    /* The magnitudes first: |C| + |A| |B| + |bias|, which is one product more. */
    whole.out = take(&size[OUT], work->out, MT_REAL, false);
    whole.a = take(&size[A], work->a, MT_REAL, false);
    whole.b = take(&size[B], work->b, MT_REAL, false);
    if (bias) whole.bias = take(&size[BIAS], work->bias, MT_REAL, false);
    whole.has_act = false;
    whole.pre = (mt_operand){NULL, NULL};
    for (int i = 0; i < (bias ? PRE : BIAS); i++) each(&size[i], absolute);
    oracle->matmul(oracle, &whole);
    own.out = take(&c[OUT], work->out, MT_REAL, true);
    own.a = take(&c[A], work->a, MT_REAL, false);
    own.b = take(&c[B], work->b, MT_REAL, false);
    if (bias) own.bias = take(&c[BIAS], work->bias, MT_REAL, false);
    /* Where pre is not asked for, simple has it beside the output all the same. */
    if (pre || work->has_act) own.pre = take(&c[PRE], pre ? work->pre : work->out, MT_REAL, true);
    mt_status status =
        same_status(tested->matmul(tested, work), oracle->matmul(oracle, &own), &c[OUT], "matmul");
    const double n = (double)work->a.layout->size[work->a.layout->rank - 1];
    const int64_t count = mt_layout_count(work->out.layout);
    double *room = fuzz_memory((size_t)count * sizeof *room);
    for (int64_t i = 0; i < count; i++) {
        const double magnitude = (double)real_at(size[OUT].data, position(&size[OUT].layout, i));
        room[i] = magnitude < largest / 4 ? (6 + n) * (epsilon * magnitude + least) : NAN;
    }
    if (status == MT_OK && pre) agree(&c[PRE], (slack){room, 1, 0}, "matmul's argument of the activation");
    for (int64_t i = 0; work->has_act && i < count; i++) {
        double low, high;
        const double x = (double)real_at(c[PRE].data, position(&c[PRE].layout, i));
        if (isnan(room[i]) || !isfinite(x)) continue;
        room[i] = act_around(work->act, x, room[i], &low, &high) ? high - low + 8 * epsilon : NAN;
    }
    if (status == MT_OK) agree(&c[OUT], (slack){room, 1, 16 * epsilon}, "matmul");
    free(room);
    for (int i = 0; i <= PRE; i++) {
        if (i == BIAS && !bias) continue;
        if (i < PRE) drop(&size[i]);
        if (i < PRE || pre || work->has_act) drop(&c[i]);
    }
    return status;
}

static mt_status pair_random(mt_backend *backend, const mt_random_work *work)
{
    (void)backend;
    if (!comparing) return tested->random(tested, work);
    copy c;
    mt_random_work own = *work;
    own.out = take(&c, work->out, MT_REAL, true);
    mt_status status = same_status(tested->random(tested, work), oracle->random(oracle, &own), &c, "random");
    const double atol = 64 * epsilon * (fabs(work->a) + fabs(work->b));
    if (status == MT_OK) agree(&c, (slack){&atol, 0, 0}, "random");
    drop(&c);
    return status;
}

static mt_status pair_permutation(mt_backend *backend, mt_operand out, mt_rng rng)
{
    (void)backend;
    if (!comparing) return tested->permutation(tested, out, rng);
    copy c;
    mt_operand own = take(&c, out, MT_INDEX, true);
    mt_status status = same_status(tested->permutation(tested, out, rng),
                                   oracle->permutation(oracle, own, rng), &c, "permutation");
    if (status == MT_OK) agree(&c, (slack){NULL, 0, 0}, "permutation");
    drop(&c);
    return status;
}

static mt_status pair_update(mt_backend *backend, const mt_update_work *work)
{
    (void)backend;
    return tested->update(tested, work);
}

mt_backend *pair_backend(const char *name)
{
    oracle = mt_backend_get("simple");
    tested = mt_backend_get(name);
    FUZZ_CHECK(oracle && tested, "%s", mt_last_message());
    pair = (mt_backend){.size = sizeof(mt_backend),
                        .name = "pair",
                        .summary = "a backend beside simple",
                        .host = tested->host,
                        .allocate = pair_allocate,
                        .release = pair_release,
                        .mark = pair_mark,
                        .upload = pair_upload,
                        .download = pair_download,
                        .fill = pair_fill_slot,
                        .copy = pair_copy,
                        .map = pair_elementwise,
                        .zip = pair_elementwise,
                        .reduce = pair_reduce,
                        .reduce_index = pair_reduce_index,
                        .compare = pair_compare_slot,
                        .scatter = pair_scatter,
                        .rows = pair_rows,
                        .matmul = pair_matmul,
                        .random = pair_random,
                        .permutation = pair_permutation,
                        .update = pair_update,
                        .describe = pair_describe};
    return &pair;
}
