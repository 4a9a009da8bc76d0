/* tests/test_operations.c - operations without a tape, on every backend: elementwise rows, reductions, rows,
 * products.
 *
 * Inputs and outputs lie in random layouts with guards around them. Elementwise results are compared with
 * `simple`, and must not change by a bit with the layout; reductions and products are compared with sums in
 * long double.
 */
#include "tensor/elementwise.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The call must fail and leave out's storage as it was, version included. */
#define REFUSED(out, call, status, part)                                                                   \
    do {                                                                                                   \
        uint64_t version_before = mt_tensor_version((out)->x);                                             \
        TEST_FAILS(call, status, part);                                                                    \
        TEST_CHECK(mt_tensor_version((out)->x) == version_before, "a refused call raised the version: %s", \
                   #call);                                                                                 \
        test_unchanged(out, #call);                                                                        \
        test_cases++;                                                                                      \
    } while (0)

/* ---- elementwise: the named functions of the table ---- */

/* clang-format off */
#define PASS_0
#define PASS_1 , p[0]
#define PASS_2 , p[0], p[1]
#define NAMED_MAP(name, more) case MT_OP_##name: return mt_op_##name(out, x more);
#define NAMED_ZIP(name, more) case MT_OP_##name: return mt_op_##name(out, a, b more);

static mt_status call_map(mt_op op, mt_tensor *out, const mt_tensor *x, const double *p)
{
    switch (op) {
#define MT_MAP(name, params, needs, low, high, formula) NAMED_MAP(name, PASS_##params)
#include "tensor/scalar/op_table.inc"
    default: return mt_op_map(out, op, x, p[0], p[1]);
    }
}

static mt_status call_zip(mt_op op, mt_tensor *out, const mt_tensor *a, const mt_tensor *b, const double *p)
{
    switch (op) {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) NAMED_ZIP(name, PASS_##params)
#include "tensor/scalar/op_table.inc"
    default: return mt_op_zip(out, op, a, b, p[0], p[1]);
    }
}
/* clang-format on */

static mt_status call(const mt_op_info *info, mt_op op, mt_tensor *out, const mt_tensor *const *in,
                      const double *p)
{
    return info->arity == 1 ? call_map(op, out, in[0], p) : call_zip(op, out, in[0], in[1], p);
}

static mt_status call_grad(const mt_op_info *info, mt_op op, int which, mt_tensor *out, const mt_tensor *g,
                           const mt_tensor *const *in, const mt_tensor *y, const double *p)
{
    return info->arity == 1 ? mt_op_map_grad(out, op, g, in[0], y, p[0], p[1])
                            : mt_op_zip_grad(out, op, which, g, in[0], in[1], y, p[0], p[1]);
}

/* Constants that make sense for any row: a slope, bounds in order, tolerances. */
static const double constants[2] = {0.125, 0.75};

/* Mostly from the row's domain, at times an edge. */
static double draw(const mt_op_info *info, int operand)
{
    static const double edges[] = {0,     -0.0,  INFINITY, -INFINITY, NAN, 1e-40, -1e-310, 1e30,
                                   -1e30, 0.125, 0.75,     1,         -1,  100,   -100};
    if (test_chance(0.1)) return edges[test_below((int64_t)TEST_LENGTH(edges))];
    if (test_chance(0.1)) return (double)test_from(-3, 3);
    return test_between(info->low[operand], info->high[operand]);
}

static test_array *draw_array(mt_backend *b, mt_shape shape, unsigned flags, const mt_op_info *info,
                              int operand)
{
    int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = draw(info, operand);
    return test_array_from(b, shape, flags, values);
}

/* The values of a as a plain tensor of a wider shape: what the layout must not matter against. */
static mt_tensor *plain(mt_backend *b, const test_array *a, mt_shape shape)
{
    int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = a->values[test_broadcast_from(a->shape, shape, i)];
    return OWN(mt_from_doubles(b, values, shape));
}

/* Backends may round a transcendental function differently. */
static void compare_backends(const mt_backend *b, const double *got, const double *want, int64_t n,
                             const char *what)
{
    if (b == test_simple())
        TEST_ALL_SAME(got, want, n, what);
    else
        TEST_ALL_CLOSE(got, want, n, 8 * test_epsilon, 16 * test_epsilon, what);
}

static void check_elementwise(mt_backend *b, mt_op op, mt_shape shape)
{
    const mt_op_info *info = mt_op_describe(op);
    int64_t n = test_count(shape);
    test_array *in[2] = {NULL, NULL}, *out = test_array_from(b, shape, TEST_OUTPUT, NULL);
    const mt_tensor *x[2] = {NULL, NULL}, *flat[2] = {NULL, NULL}, *oracle[2] = {NULL, NULL};
    for (int k = 0; k < info->arity; k++) {
        in[k] = draw_array(b, k == 0 && info->arity == 1 ? shape : test_narrower(shape), TEST_INPUT, info, k);
        x[k] = in[k]->x;
        flat[k] = plain(b, in[k], shape);
        oracle[k] = plain(test_simple(), in[k], shape);
    }
    uint64_t version = mt_tensor_version(out->x);
    TEST_OK(call(info, op, out->x, x, constants));
    TEST_TRUE(mt_tensor_version(out->x) > version);
    const double *got = test_read(out->x);
    test_guards(out, info->name);
    mt_tensor *same = OWN(mt_empty(b, shape, MT_REAL)),
              *simple = OWN(mt_empty(test_simple(), shape, MT_REAL));
    TEST_OK(info->arity == 1 ? mt_op_map(same, op, flat[0], constants[0], constants[1])
                             : mt_op_zip(same, op, flat[0], flat[1], constants[0], constants[1]));
    TEST_ALL_SAME(got, test_read(same), n, info->name);
    TEST_OK(call(info, op, simple, oracle, constants));
    compare_backends(b, got, test_read(simple), n, info->name);
    for (int k = 0; k < info->arity; k++) test_unchanged(in[k], info->name);

    /* Each element by itself: the same bits, so neither the position nor the neighbours matter. */
    mt_tensor *one = OWN(mt_empty(b, mt_shape(1), MT_REAL));
    for (int round = 0; round < 4 && n > 0; round++) {
        int64_t i = test_below(n);
        const mt_tensor *single[2] = {NULL, NULL};
        for (int k = 0; k < info->arity; k++)
            single[k] =
                OWN(mt_full(b, mt_shape(1), in[k]->values[test_broadcast_from(in[k]->shape, shape, i)]));
        TEST_OK(call(info, op, one, single, constants));
        TEST_CHECK(test_same(mt_item(one), got[i]), "%s alone gives %.17g, at %lld of %s %.17g", info->name,
                   mt_item(one), (long long)i, test_text(shape), got[i]);
    }

    /* The derivatives: in layouts as well, and what is not needed may be NaN or missing. */
    for (int which = 0; which < info->arity; which++) {
        test_array *g = test_array_random(b, test_narrower(shape), TEST_INPUT, -2, 2);
        test_array *d = test_array_from(b, shape, TEST_OUTPUT, NULL);
        mt_tensor *plain_g = plain(b, g, shape), *nan = OWN(mt_full(b, mt_shape(1), NAN));
        int needs = info->needs[which];
        const mt_tensor *given[2] = {needs & MT_NEED_A ? x[0] : nan, needs & MT_NEED_B ? x[1] : nan};
        const mt_tensor *y = needs & MT_NEED_Y ? out->x : nan;
        TEST_OK(call_grad(info, op, which, d->x, g->x, given, y, constants));
        got = test_read(d->x);
        test_guards(d, info->name);
        const mt_tensor *absent[2] = {needs & MT_NEED_A ? flat[0] : NULL, needs & MT_NEED_B ? flat[1] : NULL};
        TEST_OK(
            call_grad(info, op, which, same, plain_g, absent, needs & MT_NEED_Y ? out->x : NULL, constants));
        TEST_ALL_SAME(got, test_read(same), n, info->name);
        const mt_tensor *y_simple = OWN(mt_tensor_to(out->x, test_simple()));
        TEST_OK(
            call_grad(info, op, which, simple, plain(test_simple(), g, shape), oracle, y_simple, constants));
        compare_backends(b, got, test_read(simple), n, info->name);
    }
    test_cases++;
    test_release();
}

static void test_elementwise(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int op = 0; op < MT_OP_COUNT; op++) {
            for (int round = 0; round < 8; round++) check_elementwise(b, (mt_op)op, test_shape(6, 700, true));
            check_elementwise(b, (mt_op)op, test_shape(2, 20000, false));
            check_elementwise(b, (mt_op)op, mt_shape(test_from(30, 50), test_from(30, 50)));
        }
    }
    test_rows += MT_OP_COUNT;
}

/* One value at every position of vectors of every short length gives the same bits everywhere. */
static void test_tails(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int op = 0; op < MT_OP_COUNT; op++) {
            const mt_op_info *info = mt_op_describe((mt_op)op);
            double p = test_between(info->low[0], info->high[0]),
                   q = test_between(info->low[1], info->high[1]);
            mt_tensor *base[2] = {OWN(mt_full(b, mt_shape(100), p)), OWN(mt_full(b, mt_shape(100), q))};
            double want = 0;
            for (int64_t n = 1; n <= 67; n += n < 36 ? 1 : 31) {
                int64_t lead = test_below(20);
                const mt_tensor *in[2] = {OWN(mt_tensor_slice(base[0], 0, lead, lead + n, 1)),
                                          OWN(mt_tensor_slice(base[1], 0, 3, 3 + n, 1))};
                test_array *out = test_array_from(b, mt_shape(n), TEST_OUTPUT, NULL);
                TEST_OK(call(info, (mt_op)op, out->x, in, constants));
                const double *got = test_read(out->x);
                test_guards(out, info->name);
                if (n == 1) want = got[0];
                for (int64_t i = 0; i < n; i++)
                    TEST_CHECK(test_same(got[i], want),
                               "%s of %.17g: element %lld of %lld is %.17g instead of %.17g", info->name, p,
                               (long long)i, (long long)n, got[i], want);
                test_cases++;
            }
            test_release();
        }
    }
}

/* x += y and the like: an input may be the very view that is written. */
static void test_in_place(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int op = 0; op < MT_OP_COUNT; op++) {
            const mt_op_info *info = mt_op_describe((mt_op)op);
            for (int round = 0; round < 4; round++) {
                mt_shape shape = test_shape(4, 900, true);
                test_array *x = draw_array(b, shape, TEST_OUTPUT, info, 0),
                           *other = draw_array(b, shape, TEST_INPUT, info, 1);
                int place = info->arity == 1 ? 0 : (int)test_below(3); /* out is a, b, or both */
                const mt_tensor *in[2] = {place == 1 ? other->x : x->x, place == 0 ? other->x : x->x};
                mt_tensor *want = OWN(mt_empty(b, shape, MT_REAL));
                TEST_OK(call(info, (mt_op)op, want, in, constants));
                /* another handle on the same view is the same view */
                mt_tensor *again = test_cut_tensor(&x->cut, x->base);
                TEST_OK(call(info, (mt_op)op, test_chance(0.5) ? x->x : again, in, constants));
                TEST_ALL_SAME(test_read(x->x), test_read(want), x->count, info->name);
                test_guards(x, info->name);
                test_cases++;
                test_release();
            }
        }
    }
}

static void test_refused_elementwise(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        test_array *out = test_array_from(b, mt_shape(4, 5), TEST_OUTPUT, NULL),
                   *x = test_array_random(b, mt_shape(4, 5), 0, 1, 2);
        test_array *wide = test_array_random(b, mt_shape(3, 4, 5), 0, 1, 2),
                   *odd = test_array_random(b, mt_shape(4, 3), 0, 1, 2);
        test_array *index = test_array_random(b, mt_shape(4, 5), TEST_INDICES, 0, 9);
        test_array *index_out = test_array_random(b, mt_shape(4, 5), TEST_INDICES, 0, 9);
        for (int op = 0; op < MT_OP_COUNT; op++) {
            const mt_op_info *info = mt_op_describe((mt_op)op);
            const mt_tensor *good[2] = {x->x, x->x};
            for (int k = 0; k < info->arity; k++) {
                const mt_tensor *in[2] = {x->x, x->x};
                in[k] = odd->x;
                REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_SHAPE, "(4, 3)");
                in[k] = wide->x; /* an output never grows */
                REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_SHAPE, "(3, 4, 5)");
                in[k] = index->x;
                REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_KIND, "INDEX");
                EACH_BACKEND(other)
                {
                    if (other == b) continue;
                    in[k] = OWN(mt_zeros(other, mt_shape(4, 5)));
                    REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_BACKEND, b->name);
                    TEST_TRUE(strstr(mt_last_message(), other->name));
                }
                in[k] = NULL; /* passes through: no sentence of its own */
                test_stale();
                TEST_TRUE(call(info, (mt_op)op, out->x, in, constants) == MT_ERR_NULL);
                TEST_TRUE(mt_last_status() == MT_ERR_IO);
                test_unchanged(out, info->name);
            }
            REFUSED(index_out, call(info, (mt_op)op, index_out->x, good, constants), MT_ERR_KIND, "INDEX");
            /* an output that shares elements, with itself or in part with an input */
            test_array *line = test_array_random(b, mt_shape(10), TEST_PLAIN, 1, 2);
            mt_tensor *one = OWN(mt_tensor_slice(line->base, 0, 0, 1, 1)),
                      *stretched = OWN(mt_tensor_expand(one, mt_shape(4, 5)));
            REFUSED(line, call(info, (mt_op)op, stretched, good, constants), MT_ERR_SHAPE, "(4, 5)");
            mt_tensor *low = OWN(mt_tensor_slice(line->base, 0, 0, 9, 1)),
                      *high = OWN(mt_tensor_slice(line->base, 0, 1, 10, 1));
            const mt_tensor *shifted[2] = {low, low};
            REFUSED(line, call(info, (mt_op)op, high, shifted, constants), MT_ERR_SHAPE, "overlap");
            test_array *square = test_array_random(b, mt_shape(3, 3), TEST_PLAIN, 1, 2);
            const mt_tensor *turned[2] = {OWN(mt_tensor_transpose(square->base, 0, 1)), square->base};
            REFUSED(square, call(info, (mt_op)op, square->base, turned, constants), MT_ERR_SHAPE, "overlap");
            const mt_tensor *row[2] = {OWN(mt_tensor_select(square->base, 0, 1)), square->base};
            REFUSED(square, call(info, (mt_op)op, square->base, row, constants), MT_ERR_SHAPE, "overlap");
            /* parts of one storage that do not meet are two tensors */
            mt_tensor *first = OWN(mt_tensor_slice(line->base, 0, 0, 5, 1)),
                      *second = OWN(mt_tensor_slice(line->base, 0, 5, 10, 1));
            const mt_tensor *halves[2] = {first, first};
            TEST_OK(call(info, (mt_op)op, second, halves, constants));
        }
        REFUSED(out, mt_op_map(out->x, MT_OP_add, x->x, 0, 0), MT_ERR_NAME, "add");
        REFUSED(out, mt_op_zip(out->x, MT_OP_neg, x->x, x->x, 0, 0), MT_ERR_NAME, "neg");
        REFUSED(out, mt_op_map(out->x, MT_OP_COUNT, x->x, 0, 0), MT_ERR_NAME, "");
        REFUSED(out, mt_op_zip(out->x, (mt_op)-1, x->x, x->x, 0, 0), MT_ERR_NAME, "");
        REFUSED(out, mt_op_map(out->x, (mt_op)1000000, x->x, 0, 0), MT_ERR_NAME, "");
        REFUSED(out, mt_op_zip_grad(out->x, MT_OP_mul, 2, x->x, x->x, x->x, x->x, 0, 0), MT_ERR_VALUE, "2");
        test_release();
    }
    TEST_TRUE(mt_op_by_name("relu") == MT_OP_relu && mt_op_by_name("is_close") == MT_OP_is_close);
    static const char *const names[] = {"", "rel", "relu6", "RELU", "mt_relu"};
    for (size_t i = 0; i < TEST_LENGTH(names); i++) {
        test_stale();
        TEST_TRUE(mt_op_by_name(names[i]) == MT_OP_COUNT);
        test_fails(__FILE__, __LINE__, "mt_op_by_name", mt_last_status(), MT_ERR_NAME, "sigmoid");
    }
}

/* ---- reductions ---- */

typedef mt_status (*reduction_fn)(mt_tensor *out, const mt_tensor *x, mt_shape dims);

typedef enum { SUM, MEAN, PROD, MAX, MIN, ALL, ARGMAX, ARGMIN, REDUCTIONS } reduction;

static const struct {
    const char *name;
    reduction_fn apply;
} reductions[REDUCTIONS] = {
    {"sum", mt_op_sum}, {"mean", mt_op_mean}, {"prod", mt_op_prod},     {"max", mt_op_max},
    {"min", mt_op_min}, {"all", mt_op_all},   {"argmax", mt_op_argmax}, {"argmin", mt_op_argmin},
};

/* One result: n values in row-major order of the reduced dimensions. */
static void model(reduction r, const double *values, int64_t n, bool equal, double *result, double *tolerance)
{
    long double sum = 0, magnitude = 0, product = 1;
    double best = 0;
    int64_t at = 0;
    bool all = true, low = r == MIN || r == ARGMIN;
    for (int64_t i = 0; i < n; i++) {
        double x = values[i];
        sum += x;
        magnitude += fabs(x);
        product *= x;
        all = all && x != 0;
        if (i == 0 || (!isnan(best) && (isnan(x) || (low ? x < best : x > best)))) best = x, at = i;
    }
    *tolerance = 0;
    switch (r) {
    case SUM:
        *result = (double)sum;
        *tolerance = test_sum_tolerance(n, (double)magnitude, equal);
        break;
    case MEAN:
        *result = n == 0 ? NAN : (double)(sum / n);
        *tolerance = n == 0 ? 0 : test_sum_tolerance(n, (double)(magnitude / n), equal);
        break;
    case PROD: /* each factor rounds once, and the errors add up */
        *result = (double)product;
        *tolerance = (double)(n + 2) * test_epsilon * fabs((double)product);
        break;
    case ALL: *result = all; break;
    case MAX:
    case MIN: *result = best; break;
    default: *result = (double)at; break;
    }
}

static mt_shape random_dims(int rank, bool *all)
{
    mt_shape dims = {.rank = rank};
    for (int d = 0; d < rank; d++) dims.size[d] = d;
    test_shuffle(dims.size, rank);
    dims.rank = (int)test_from(1, rank);
    for (int i = 0; i < dims.rank; i++)
        if (test_chance(0.3)) dims.size[i] -= rank;
    *all = dims.rank == rank;
    return dims;
}

static void collect(const test_array *x, mt_shape dims, mt_shape kept, int64_t i, double *values, int64_t *n)
{
    bool gone[MT_MAX_DIMS] = {false};
    int64_t start[MT_MAX_DIMS] = {0};
    for (int k = 0; k < dims.rank; k++)
        gone[dims.size[k] < 0 ? dims.size[k] + x->shape.rank : dims.size[k]] = true;
    mt_shape inner = x->shape;
    for (int d = 0; d < inner.rank; d++)
        if (!gone[d]) inner.size[d] = 1;
    test_unravel(kept, i, start);
    *n = test_count(inner);
    for (int64_t k = 0; k < *n; k++) {
        int64_t index[MT_MAX_DIMS];
        test_unravel(inner, k, index);
        for (int d = 0; d < inner.rank; d++) index[d] += gone[d] ? 0 : start[d];
        values[k] = x->values[test_ravel(x->shape, index)];
    }
}

static void check_reduction(mt_backend *b, reduction r, mt_shape shape)
{
    const char *name = reductions[r].name;
    bool all, integers = test_chance(0.6);
    mt_shape dims = random_dims(shape.rank, &all), kept = test_without(shape, dims, true);
    mt_shape result = test_without(shape, dims, test_chance(0.5));
    int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values),
           margin = 10 / ((double)n + 100); /* of factors */
    for (int64_t i = 0; i < n; i++) {       /* integers for ties and exact products, a NaN at times */
        values[i] = integers ? (double)test_from(-2, 2) : test_between(-2, 2);
        if (r == PROD)
            values[i] = test_chance(0.5 / (double)n)
                            ? 0
                            : test_between(1 - margin, 1 + margin) * (test_chance(0.5) ? 1 : -1);
        if (r == ALL) values[i] = test_chance(0.97) ? test_between(0.5, 2) : 0;
        if (n > 0 && test_chance(0.5 / (double)n)) values[i] = r == PROD ? INFINITY : NAN;
    }
    test_array *x = test_array_from(b, shape, TEST_INPUT, values);
    bool arg = r == ARGMAX || r == ARGMIN;
    test_array *out = test_array_from(b, result, arg ? TEST_INDICES : TEST_OUTPUT, NULL);
    bool nothing = n == 0 && test_count(result) > 0;
    if (nothing && (r == MAX || r == MIN || arg)) {
        REFUSED(out, reductions[r].apply(out->x, x->x, dims), MT_ERR_SHAPE, test_text(shape));
        test_release();
        return;
    }
    TEST_OK(reductions[r].apply(out->x, x->x, dims));
    test_guards(out, name);
    test_unchanged(x, name);
    const double *got = test_read(out->x);
    double *row = test_memory((size_t)n * sizeof *row);
    for (int64_t i = 0; i < out->count; i++) {
        double want, tolerance;
        int64_t length = 0;
        collect(x, dims, kept, i, row, &length);
        model(r, row, length, test_repeats(x), &want, &tolerance);
        TEST_CHECK(test_close(got[i], want, tolerance, test_epsilon),
                   "%s: %s of %s over %s: result %lld is %.17g instead of %.17g (tolerance %g)", b->name,
                   name, test_text(shape), test_text(dims), (long long)i, got[i], want, tolerance);
    }
    if (r == SUM) { /* out += the same sum */
        TEST_OK(mt_op_add_sum(out->x, x->x, dims));
        const double *twice = test_read(out->x);
        test_guards(out, "add_sum");
        for (int64_t i = 0; i < out->count; i++) {
            int64_t length = 0;
            double want, tolerance;
            collect(x, dims, kept, i, row, &length);
            model(r, row, length, test_repeats(x), &want, &tolerance);
            TEST_TRUE(test_close(twice[i], got[i] + want, 2 * tolerance, 2 * test_epsilon));
        }
    }
    if (arg && n > 0) { /* and its transpose: everything 0 but the chosen */
        test_array *value = test_array_random(b, result, TEST_INPUT, 1, 2),
                   *spread = test_array_from(b, shape, TEST_OUTPUT, NULL);
        TEST_OK(mt_op_scatter(spread->x, out->x, value->x, dims));
        test_guards(spread, "scatter");
        test_array *seen = test_memory(sizeof *seen);
        *seen = *x;
        seen->values = test_read(spread->x);
        for (int64_t i = 0; i < out->count; i++) {
            int64_t length = 0;
            collect(seen, dims, kept, i, row, &length);
            for (int64_t k = 0; k < length; k++)
                TEST_CHECK(row[k] == (k == (int64_t)got[i] ? value->values[i] : 0), "scatter into %s over %s",
                           test_text(shape), test_text(dims));
        }
    }
    test_cases++;
    test_release();
}

/* The tree of NumPy's sum of a row: leaves of up to 128 numbers, eight sums side by side in each. */
static mt_real numpy_sum(const mt_real *x, int64_t n)
{
    if (n > 128) {
        const int64_t half = n / 2 - n / 2 % 8;
        return numpy_sum(x, half) + numpy_sum(x + half, n - half);
    }
    mt_real side[8] = {0}, rest = 0;
    const int64_t whole = n - n % 8;
    for (int64_t i = 0; i < whole; i++) side[i % 8] += x[i];
    for (int64_t i = whole; i < n; i++) rest += x[i];
    return ((side[0] + side[1]) + (side[2] + side[3])) + ((side[4] + side[5]) + (side[6] + side[7])) + rest;
}

/* The root of the mean of squares of errors of sums of many rows, as a multiple of NumPy's: each error alone
 * is luck. Of random numbers, or of one number repeated, whose errors do not cancel. */
static double sum_errors(mt_backend *b, int rows, int64_t longest, bool constant)
{
    double ours = 0, theirs = 0;
    for (int r = 0; r < rows; r++) {
        mt_real *x = test_memory((size_t)longest * sizeof *x);
        const int64_t n = test_from(longest / 30, longest);
        const double low = r % 2 ? -1 : 0;
        long double exact = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            x[i] = constant && i > 0 ? x[0] : (mt_real)test_between(low, 1);
            exact += (long double)x[i];
            size += fabsl((long double)x[i]);
        }
        mt_tensor *row =
            OWN(sizeof(mt_real) == sizeof(float) ? mt_from_floats(b, (const float *)x, mt_shape(n))
                                                 : mt_from_doubles(b, (const double *)x, mt_shape(n)));
        mt_tensor *sum = OWN(mt_zeros(b, mt_shape(1)));
        TEST_OK(mt_op_sum(sum, row, mt_axes(0)));
        const double off = (double)(((long double)mt_item(sum) - exact) / size),
                     other = (double)(((long double)numpy_sum(x, n) - exact) / size);
        ours += off * off;
        theirs += other * other;
        test_release();
    }
    return sqrt(ours / theirs);
}

/* Sums of long rows err no more than NumPy's do. And the mean of equal numbers is that number. */
static void test_sum_errors(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        if (b == test_simple()) continue; /* whose sum is a chain */
        const bool slow = !b->host;
        const double random = sum_errors(b, 800, slow ? 30000 : 60000, false),
                     constant = sum_errors(b, slow ? 40 : 160, 200000, true);
        printf("    errors of sums on %s: %.2f of NumPy's; of equal numbers %.2f\n", b->name, random,
               constant);
        /* over 800 rows the ratio lies within 0.05 of its mean; with 64 numbers in turn it was 1.55 */
        TEST_CHECK(random <= 1.25, "%s: sums err %.2f times as much as NumPy's", b->name, random);
        TEST_CHECK(constant <= 1.25, "%s: sums of equal numbers err %.2f times as much as NumPy's", b->name,
                   constant);
    }
    EACH_BACKEND(each)
    {
        for (int64_t n = 1; n < 300; n++) {
            mt_tensor *ones = OWN(mt_ones(each, mt_shape(n))), *mean = OWN(mt_zeros(each, mt_shape(1)));
            TEST_OK(mt_op_mean(mean, ones, mt_axes(0)));
            TEST_CHECK(mt_item(mean) == 1, "%s: the mean of %lld ones is %.17g", each->name, (long long)n,
                       mt_item(mean));
            test_release();
        }
        test_cases++;
    }
}

static void test_reductions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int r = 0; r < REDUCTIONS; r++) {
            for (int round = 0; round < 60; round++)
                check_reduction(b, (reduction)r, test_shape(5, 500, true));
            for (int round = 0; round < 6; round++)
                check_reduction(b, (reduction)r, test_shape(3, 9000, false));
            check_reduction(b, (reduction)r, mt_shape(70000)); /* longer than a chunk */
            check_reduction(b, (reduction)r, mt_shape(90, 700));
            check_reduction(b, (reduction)r, mt_shape(700, 90));
            check_reduction(b, (reduction)r, mt_shape(37, 600, 3));
        }
    }
    test_rows += REDUCTIONS;
}

/* Ties go to the first; a NaN is chosen and wins, the first one; at every place and every length near a
 * vector's. */
static void test_choices(void **data)
{
    (void)data;
    static const reduction chosen[] = {MAX, MIN, ARGMAX, ARGMIN};
    EACH_BACKEND(b)
    {
        for (int64_t n = 1; n < 150; n += n < 40 ? 1 : 37) {
            for (int which = 0; which < 3; which++) {
                const int64_t columns = (const int64_t[]){1, 17, 70}[which];
                mt_shape shape = mt_shape(n, columns);
                double *values = test_memory((size_t)(n * columns) * sizeof *values);
                int64_t nan = test_chance(0.5) ? test_below(n) : n, second = test_below(n);
                for (int64_t i = 0; i < n * columns; i++) values[i] = (double)test_from(-1, 1);
                for (int64_t c = 0; c < columns && nan < n; c++)
                    values[nan * columns + c] = values[second * columns + c] = NAN;
                if (nan < n && second < nan) nan = second;
                test_array *x = test_array_from(b, shape, TEST_INPUT, values);
                for (size_t k = 0; k < TEST_LENGTH(chosen); k++) {
                    reduction r = chosen[k];
                    bool arg = r == ARGMAX || r == ARGMIN;
                    test_array *out =
                        test_array_from(b, mt_shape(columns), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
                    TEST_OK(reductions[r].apply(out->x, x->x, mt_axes(0)));
                    const double *got = test_read(out->x);
                    for (int64_t c = 0; c < columns; c++) {
                        double row[150], want, tolerance;
                        for (int64_t i = 0; i < n; i++) row[i] = x->values[i * columns + c];
                        model(r, row, n, false, &want, &tolerance);
                        TEST_CHECK(test_same(got[c], want), "%s: %s of %lld values is %g instead of %g",
                                   b->name, reductions[r].name, (long long)n, got[c], want);
                    }
                    test_guards(out, reductions[r].name);
                    test_cases++;
                }
                test_release();
            }
        }
        /* -inf and inf are values like others: max does not start from a number */
        mt_tensor *low = OWN(mt_full(b, mt_shape(5), -INFINITY)), *y = OWN(mt_zeros(b, mt_shape(1)));
        TEST_OK(mt_op_max(y, low, mt_axes(0)));
        TEST_TRUE(mt_item(y) == -INFINITY);
        mt_tensor *huge = OWN(mt_full(b, mt_shape(5), -1e30));
        TEST_OK(mt_op_max(y, huge, mt_axes(0)));
        TEST_TRUE(mt_item(y) == test_round(-1e30));
    }
}

/* Nothing to reduce: sum 0, prod 1, all 1, mean NaN; nothing to choose from is an error, unless there is no
 * result. */
static void test_empty_reductions(void **data)
{
    (void)data;
    static const double want[] = {0, NAN, 1, 0, 0, 1};
    EACH_BACKEND(b)
    {
        for (int r = 0; r < REDUCTIONS; r++) {
            bool arg = r == ARGMAX || r == ARGMIN;
            test_array *x = test_array_from(b, mt_shape(3, 0, 2), TEST_INPUT, NULL);
            test_array *out = test_array_from(b, mt_shape(3, 2), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
            test_array *one = test_array_from(b, mt_shape(1), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
            test_array *none = test_array_from(b, mt_shape(0, 2), arg ? TEST_INDICES : TEST_OUTPUT, NULL);
            if (r == MAX || r == MIN || arg) {
                REFUSED(out, reductions[r].apply(out->x, x->x, mt_axes(1)), MT_ERR_SHAPE, "(3, 0, 2)");
                REFUSED(one, reductions[r].apply(one->x, x->x, mt_axes(0, 1, 2)), MT_ERR_SHAPE, "(3, 0, 2)");
            } else {
                TEST_OK(reductions[r].apply(out->x, x->x, mt_axes(1)));
                TEST_OK(reductions[r].apply(one->x, x->x, mt_axes(0, 1, 2)));
                for (int i = 0; i < 6; i++) TEST_TRUE(test_same(test_read(out->x)[i], want[r]));
                TEST_TRUE(test_same(mt_item(one->x), want[r]));
                test_guards(out, reductions[r].name);
            }
            TEST_OK(reductions[r].apply(none->x, x->x, mt_axes(0))); /* (0, 2): no result at all */
            test_cases++;
            test_release();
        }
        mt_tensor *total = OWN(mt_full(b, mt_shape(1), 5)), *nothing = OWN(mt_zeros(b, mt_shape(0)));
        TEST_OK(mt_op_add_sum(total, nothing, mt_axes(0)));
        TEST_TRUE(mt_item(total) == 5);
    }
}

static void test_refused_reductions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int r = 0; r < REDUCTIONS; r++) {
            bool arg = r == ARGMAX || r == ARGMIN;
            unsigned kind = arg ? TEST_INDICES : TEST_OUTPUT;
            reduction_fn f = reductions[r].apply;
            test_array *x = test_array_random(b, mt_shape(3, 4, 5), TEST_INPUT, 1, 2);
            test_array *out = test_array_from(b, mt_shape(3, 5), kind, NULL);
            test_array *other = test_array_from(b, mt_shape(3, 5), arg ? TEST_OUTPUT : TEST_INDICES, NULL);
            test_array *index = test_array_random(b, mt_shape(3, 4, 5), TEST_INDICES, 0, 9);
            REFUSED(out, f(out->x, x->x, mt_axes(0)), MT_ERR_SHAPE, "(3, 4, 5)");
            REFUSED(out, f(out->x, x->x, mt_axes(0, 1, 2)), MT_ERR_SHAPE, "(3, 5)");
            REFUSED(out, f(out->x, x->x, mt_axes(1, 1)), MT_ERR_SHAPE, "1");
            REFUSED(out, f(out->x, x->x, mt_axes(1, -2)), MT_ERR_SHAPE, "1");
            REFUSED(out, f(out->x, x->x, mt_axes(3)), MT_ERR_INDEX, "3");
            REFUSED(out, f(out->x, x->x, mt_axes(-4)), MT_ERR_INDEX, "-4");
            REFUSED(out, f(out->x, x->x, mt_shape_make(0, NULL)), MT_ERR_SHAPE, "");
            REFUSED(other, f(other->x, x->x, mt_axes(1)), MT_ERR_KIND, "INDEX");
            REFUSED(out, f(out->x, index->x, mt_axes(1)), MT_ERR_KIND, "INDEX");
            EACH_BACKEND(far_backend)
            {
                if (far_backend == b) continue;
                mt_tensor *far = OWN(mt_zeros(far_backend, mt_shape(3, 4, 5)));
                REFUSED(out, f(out->x, far, mt_axes(1)), MT_ERR_BACKEND, far_backend->name);
            }
            if (!arg) { /* reductions never run in place */
                test_array *line = test_array_random(b, mt_shape(4, 5), TEST_PLAIN, 1, 2);
                mt_tensor *row = OWN(mt_tensor_select(line->base, 0, 2));
                REFUSED(line, f(row, line->base, mt_axes(0)), MT_ERR_SHAPE, "overlap");
            }
            TEST_TRUE(f(out->x, NULL, mt_axes(1)) == MT_ERR_NULL && f(NULL, x->x, mt_axes(1)) == MT_ERR_NULL);
            test_release();
        }
    }
}

/* An index outside the reduced dimensions, also where these are empty, so that every index is. */
static void test_scatter_outside(void **data)
{
    static const int64_t outside[] = {-1, 4, INT64_MAX, INT64_MIN};
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *value = OWN(mt_ones(b, mt_shape(3))), *out = OWN(mt_zeros(b, mt_shape(3, 4))),
                  *empty = OWN(mt_zeros(b, mt_shape(3, 0))), *flat = OWN(mt_zeros(b, mt_shape(3, 4, 0)));
        for (size_t i = 0; i < TEST_LENGTH(outside); i++) {
            mt_tensor *index = OWN(mt_from_indices(b, (int64_t[]){0, outside[i], 3}, mt_shape(3)));
            TEST_FAILS(mt_op_scatter(out, index, value, mt_axes(1)), MT_ERR_INDEX, "scatter");
        }
        mt_tensor *first = OWN(mt_from_indices(b, (int64_t[]){0, 0, 0}, mt_shape(3)));
        TEST_FAILS(mt_op_scatter(empty, first, value, mt_axes(1)), MT_ERR_INDEX, "scatter");
        TEST_FAILS(mt_op_scatter(flat, first, value, mt_axes(1, 2)), MT_ERR_INDEX, "scatter");
    }
}

/* ---- copies, constants, rows ---- */

static void test_copy_and_fill(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 80; round++) {
            mt_shape shape = test_shape(5, 3000, true);
            bool from_index = test_chance(0.4), to_index = test_chance(0.4);
            test_array *x =
                test_array_random(b, test_narrower(shape), from_index ? TEST_INDICES : TEST_INPUT, -9, 9);
            test_array *out = test_array_from(b, shape, to_index ? TEST_INDICES : TEST_OUTPUT, NULL);
            double *want = test_memory((size_t)out->count * sizeof *want);
            for (int64_t i = 0; i < out->count; i++) {
                want[i] = x->values[test_broadcast_from(x->shape, shape, i)];
                if (!to_index) continue;
                /* Through memory: with -fno-trapping-math gcc 12 makes one trunc() of both conversions, where
                 * there is such an instruction, and that leaves -0.5 at -0. */
                volatile int64_t whole = (int64_t)want[i];
                want[i] = (double)whole;
            }
            TEST_OK(mt_op_copy(out->x, x->x));
            TEST_ALL_SAME(test_read(out->x), want, out->count, "copy");
            test_guards(out, "copy");
            TEST_OK(mt_op_copy(out->x, out->x)); /* onto itself */
            TEST_ALL_SAME(test_read(out->x), want, out->count, "copy");
            TEST_OK(mt_op_fill(out->x, 42));
            for (int64_t i = 0; i < out->count; i++) want[i] = 42;
            TEST_ALL_SAME(test_read(out->x), want, out->count, "fill");
            test_guards(out, "fill");
            test_cases++;
            test_release();
        }
        /* integers keep all their bits, in the float library too */
        int64_t big[] = {(INT64_C(1) << 24) + 1, INT64_MAX - 1}, got[2];
        mt_tensor *x = OWN(mt_from_indices(b, big, mt_shape(2))),
                  *y = OWN(mt_empty(b, mt_shape(2), MT_INDEX));
        TEST_OK(mt_op_copy(y, x));
        TEST_OK(mt_to_indices(y, got, 2));
        TEST_TRUE(memcmp(big, got, sizeof got) == 0);
        TEST_OK(mt_op_fill(y, 16777217));
        TEST_OK(mt_to_indices(y, got, 2));
        TEST_CHECK(got[0] == 16777217 && got[1] == 16777217, "%s: filled with %lld", b->name,
                   (long long)got[0]);
        test_array *out = test_array_from(b, mt_shape(4), TEST_OUTPUT, NULL);
        REFUSED(out, mt_op_copy(out->x, x), MT_ERR_SHAPE, "(2)");
    }
}

/* Results of more than 32 MB, which the cpu backend streams: the same bits as a piece of them, which it does
 * not. */
static void test_large_results(void **data)
{
    (void)data;
    enum { ROWS = 2912, COLUMNS = 2900, FIRST = 1234, SOME = 7 };
    mt_backend *b = mt_backend_get("cpu");
    mt_rng rng = mt_rng_make(test_bits());
    mt_tensor *x = OWN(mt_uniform(b, mt_shape(ROWS, COLUMNS), &rng, -3, 3));
    mt_tensor *row = OWN(mt_uniform(b, mt_shape(COLUMNS), &rng, -3, 3));
    mt_tensor *part = OWN(mt_tensor_slice(x, 0, FIRST, FIRST + SOME, 1));
    mt_tensor *large = OWN(mt_empty(b, mt_shape(ROWS, COLUMNS), MT_REAL));
    mt_tensor *small = OWN(mt_empty(b, mt_shape(SOME, COLUMNS), MT_REAL));
    mt_tensor *same = OWN(mt_tensor_slice(large, 0, FIRST, FIRST + SOME, 1));
#define LIKE_A_PIECE(whole, piece) \
    TEST_OK(whole);                \
    TEST_OK(piece);                \
    TEST_ALL_SAME(test_read(same), test_read(small), (int64_t)SOME *COLUMNS, #piece)
    LIKE_A_PIECE(mt_op_relu(large, x), mt_op_relu(small, part));
    LIKE_A_PIECE(mt_op_mul(large, x, x), mt_op_mul(small, part, part));
    LIKE_A_PIECE(mt_op_add(large, x, row), mt_op_add(small, part, row));
    LIKE_A_PIECE(mt_op_copy(large, x), mt_op_copy(small, part));
    LIKE_A_PIECE(mt_op_fill(large, 3), mt_op_fill(small, 3));
    /* short rows, whose parts end within a cache line, to a result that begins within one */
    static const int64_t widths[] = {10, 29, 145};
    for (size_t w = 0; w < TEST_LENGTH(widths); w++) {
        const int64_t width = widths[w];
        const int64_t rows = (int64_t)ROWS * COLUMNS / width, first = test_from(1, 40);
        mt_tensor *short_x =
            OWN(mt_tensor_slice(OWN(mt_tensor_view(x, mt_shape(rows, width))), 0, 1, rows, 1));
        mt_tensor *short_out =
            OWN(mt_tensor_slice(OWN(mt_tensor_view(large, mt_shape(rows, width))), 0, 1, rows, 1));
        mt_tensor *short_row = OWN(mt_tensor_slice(row, 0, 0, width, 1));
        mt_tensor *some = OWN(mt_empty(b, mt_shape(40, width), MT_REAL));
        TEST_OK(mt_op_mul(short_out, short_x, short_row));
        for (int64_t at = first; at + 40 < rows; at += rows / 9) {
            TEST_OK(mt_op_mul(some, OWN(mt_tensor_slice(short_x, 0, at, at + 40, 1)), short_row));
            mt_tensor *there = OWN(mt_tensor_slice(short_out, 0, at, at + 40, 1));
            TEST_ALL_SAME(test_read(there), test_read(some), 40 * width, "a product with a short row");
        }
        const double *whole = test_read(short_out), *left = test_read(short_x), *right = test_read(short_row);
        for (int64_t i = (rows - 2) * width; i < (rows - 1) * width; i++)
            TEST_TRUE(whole[i] == test_round(left[i] * right[i % width]));
    }
    /* transposes: rows at the start of a cache line, and rows that are not */
    double *from = test_read(x);
    for (int64_t cut = 0; cut < 24; cut += 12) {
        mt_tensor *view = OWN(mt_tensor_transpose(OWN(mt_tensor_slice(x, 0, 0, ROWS - cut, 1)), 0, 1));
        mt_tensor *turned = OWN(mt_empty(b, mt_shape(COLUMNS, ROWS - cut), MT_REAL));
        TEST_OK(mt_op_copy(turned, view));
        double *to = test_read(turned);
        int64_t wrong = 0;
        for (int64_t j = 0; j < COLUMNS; j++)
            for (int64_t i = 0; i < ROWS - cut; i++)
                wrong += to[j * (ROWS - cut) + i] != from[i * COLUMNS + j];
        TEST_CHECK(wrong == 0, "%lld elements of a transposed copy are wrong", (long long)wrong);
    }
    test_cases += 10;
    test_release();
}

static void test_rows_of_a_tensor(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 60; round++) {
            mt_shape shape = test_shape(4, 2000, true), taken = shape;
            int64_t rows = shape.size[0], n = rows == 0 ? 0 : test_from(0, 40), width = 1;
            for (int d = 1; d < shape.rank; d++) width *= shape.size[d];
            taken.size[0] = n;
            double *which = test_memory((size_t)n * sizeof *which);
            for (int64_t i = 0; i < n; i++) which[i] = (double)test_below(rows);
            test_array *index = test_array_from(b, mt_shape(n), TEST_INDICES, which);
            bool integers = test_chance(0.3);
            test_array *x = test_array_random(b, shape, integers ? TEST_INDICES : TEST_INPUT, -9, 9);
            test_array *out = test_array_from(b, taken, integers ? TEST_INDICES : TEST_OUTPUT, NULL);
            double *want = test_memory((size_t)(n * width) * sizeof *want);
            for (int64_t i = 0; i < n * width; i++)
                want[i] = x->values[(int64_t)which[i / width] * width + i % width];
            TEST_OK(mt_op_take_rows(out->x, x->x, index->x));
            TEST_ALL_SAME(test_read(out->x), want, n * width, "take_rows");
            test_guards(out, "take_rows");

            /* the transpose adds, in the order of i */
            test_array *total = test_array_random(b, shape, TEST_OUTPUT, -1, 1),
                       *given = test_array_random(b, taken, TEST_INPUT, -9, 9);
            double *sums = test_memory((size_t)(rows * width) * sizeof *sums);
            memcpy(sums, total->values, (size_t)(rows * width) * sizeof *sums);
            for (int64_t i = 0; i < n * width; i++) {
                double *sum = &sums[(int64_t)which[i / width] * width + i % width];
                *sum = test_round(*sum + given->values[i]);
            }
            TEST_OK(mt_op_put_rows(total->x, given->x, index->x));
            TEST_ALL_SAME(test_read(total->x), sums, rows * width, "put_rows");
            test_guards(total, "put_rows");
            test_unchanged(x, "take_rows");
            test_unchanged(given, "put_rows");
            test_cases++;

            if (n > 0) { /* an index outside the rows is found before anything is written */
                static const double outside[] = {0, -1, 1e15};
                which[test_below(n)] = test_chance(0.4) ? (double)rows : outside[test_from(1, 2)];
                test_array *bad = test_array_from(b, mt_shape(n), TEST_INDICES, which);
                out = test_array_from(b, taken, integers ? TEST_INDICES : TEST_OUTPUT, NULL);
                TEST_FAILS(mt_op_take_rows(out->x, x->x, bad->x), MT_ERR_INDEX, "");
                test_unchanged(out, "a refused take_rows");
                total = test_array_random(b, shape, TEST_OUTPUT, -1, 1);
                TEST_FAILS(mt_op_put_rows(total->x, given->x, bad->x), MT_ERR_INDEX, "");
                test_unchanged(total, "a refused put_rows");
            }
            test_release();
        }
        test_array *x = test_array_random(b, mt_shape(4, 3), TEST_INPUT, -9, 9),
                   *out = test_array_from(b, mt_shape(2, 3), TEST_OUTPUT, NULL);
        test_array *index = test_array_random(b, mt_shape(2), TEST_INDICES, 0, 3),
                   *real = test_array_random(b, mt_shape(2), TEST_INPUT, 0, 3);
        test_array *square = test_array_random(b, mt_shape(2, 1), TEST_INDICES, 0, 3),
                   *longer = test_array_random(b, mt_shape(3), TEST_INDICES, 0, 3);
        REFUSED(out, mt_op_take_rows(out->x, x->x, real->x), MT_ERR_KIND, "INDEX");
        REFUSED(out, mt_op_take_rows(out->x, x->x, square->x), MT_ERR_SHAPE, "(2, 1)");
        REFUSED(out, mt_op_take_rows(out->x, x->x, longer->x), MT_ERR_SHAPE, "(3)");
        test_array *narrow = test_array_from(b, mt_shape(2, 2), TEST_OUTPUT, NULL);
        REFUSED(narrow, mt_op_take_rows(narrow->x, x->x, index->x), MT_ERR_SHAPE, "(2, 2)");
        test_array *whole = test_array_from(b, mt_shape(4, 3), TEST_OUTPUT, NULL);
        REFUSED(whole, mt_op_put_rows(whole->x, x->x, index->x), MT_ERR_SHAPE, "");
    }
}

/* ---- products ---- */

static mt_shape with_batch(mt_shape batch, int64_t rows, int64_t columns)
{
    mt_shape shape = batch;
    shape.size[shape.rank++] = rows;
    shape.size[shape.rank++] = columns;
    return shape;
}

typedef struct product {
    mt_shape a, b, c;              /* as given */
    mt_shape full_a, full_b, full; /* as matrices, c's batch in front */
    int64_t m, n, k;
} product;

static int64_t random_side(int64_t most)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 65, 100, 130};
    int64_t size = sizes[test_below((int64_t)TEST_LENGTH(sizes))];
    return size > most ? test_from(1, most) : size;
}

static product random_product(int64_t work, bool empty)
{
    product p = {.m = random_side(work / 8)};
    p.n = random_side(work / p.m);
    p.k = random_side(work / p.m / p.n < 1 ? 1 : work / p.m / p.n);
    if (empty && test_chance(0.1)) *(test_chance(0.5) ? &p.k : test_chance(0.5) ? &p.m : &p.n) = 0;
    int form = (int)test_below(6); /* a vector on the left, on the right, on both sides, or none */
    mt_shape batch = {0};
    if (form > 2 && work / (p.m * p.n * p.k + 1) > 1) {
        mt_shape drawn = test_shape(4, work / (p.m * p.n * p.k + 1), false);
        if (test_count(drawn) < 200) batch = drawn;
    }
    mt_shape batch_a = batch.rank ? test_narrower(batch) : batch,
             batch_b = batch.rank ? test_narrower(batch) : batch;
    if (test_chance(0.2)) batch_a.rank = 0;
    if (test_chance(0.2)) batch_b.rank = 0;
    if (form == 0 || form == 2) p.m = 1, batch_a.rank = 0;
    if (form == 1 || form == 2) p.n = 1, batch_b.rank = 0;
    mt_shape joint = {.rank = batch_a.rank > batch_b.rank ? batch_a.rank : batch_b.rank};
    for (int d = 1; d <= joint.rank; d++) {
        int64_t x = d <= batch_a.rank ? batch_a.size[batch_a.rank - d] : 1,
                y = d <= batch_b.rank ? batch_b.size[batch_b.rank - d] : 1;
        joint.size[joint.rank - d] = x == 1 ? y : x;
    }
    p.full_a = with_batch(batch_a, p.m, p.k);
    p.full_b = with_batch(batch_b, p.k, p.n);
    p.full = with_batch(joint, p.m, p.n);
    p.a = form == 0 || form == 2 ? mt_shape(p.k) : p.full_a;
    p.b = form == 1 || form == 2 ? mt_shape(p.k) : p.full_b;
    p.c = p.full;
    if (form == 0 || form == 2) p.c.size[p.c.rank - 2] = p.c.size[p.c.rank - 1], p.c.rank--;
    if (form == 1 || form == 2) p.c.rank--;
    if (p.c.rank == 0) p.c = mt_shape(1);
    return p;
}

/* Element i of a times b, and the sum of the terms' magnitudes. */
static double multiply(const product *p, const test_array *a, const test_array *b, int64_t i,
                       double *magnitude)
{
    int64_t index[MT_MAX_DIMS], left[MT_MAX_DIMS], right[MT_MAX_DIMS];
    test_unravel(p->full, i, index);
    int lead_a = p->full.rank - p->full_a.rank, lead_b = p->full.rank - p->full_b.rank;
    for (int d = 0; d < p->full_a.rank; d++) left[d] = p->full_a.size[d] == 1 ? 0 : index[d + lead_a];
    for (int d = 0; d < p->full_b.rank; d++) right[d] = p->full_b.size[d] == 1 ? 0 : index[d + lead_b];
    long double sum = 0;
    *magnitude = 0;
    for (int64_t k = 0; k < p->k; k++) {
        left[p->full_a.rank - 1] = right[p->full_b.rank - 2] = k;
        double term = a->values[test_ravel(p->full_a, left)] * b->values[test_ravel(p->full_b, right)];
        sum += (long double)a->values[test_ravel(p->full_a, left)] * b->values[test_ravel(p->full_b, right)];
        *magnitude += fabs(term);
    }
    return (double)sum;
}

static void check_product(mt_backend *backend, product p)
{
    test_array *a = test_array_random(backend, p.a, TEST_INPUT, -1, 1),
               *b = test_array_random(backend, p.b, TEST_INPUT, -1, 1);
    test_array *c = test_array_from(backend, p.c, TEST_OUTPUT, NULL),
               *sum = test_array_random(backend, p.c, TEST_OUTPUT, -1, 1);
    TEST_OK(mt_op_matmul(c->x, a->x, b->x));
    TEST_OK(mt_op_add_matmul(sum->x, a->x, b->x));
    const double *got = test_read(c->x), *added = test_read(sum->x);
    test_guards(c, "matmul");
    test_guards(sum, "add_matmul");
    test_unchanged(a, "matmul");
    test_unchanged(b, "matmul");
    for (int64_t i = 0; i < c->count; i++) {
        double magnitude, want = multiply(&p, a, b, i, &magnitude),
                          tolerance = test_sum_tolerance(p.k, magnitude, test_repeats(a) && test_repeats(b));
        TEST_CHECK(test_close(got[i], want, tolerance, 0),
                   "%s: %s times %s: element %lld is %.17g instead of %.17g (tolerance %g)", backend->name,
                   test_text(p.a), test_text(p.b), (long long)i, got[i], want, tolerance);
        double start = sum->values[i];
        TEST_CHECK(test_close(added[i], start + want,
                              tolerance + test_sum_tolerance(1, fabs(start) + magnitude, true), 0),
                   "%s: adding %s times %s: element %lld is %.17g instead of %.17g", backend->name,
                   test_text(p.a), test_text(p.b), (long long)i, added[i], start + want);
    }
    test_cases++;
    test_release();
}

static void test_products(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 150; round++) check_product(b, random_product(3000, true));
        for (int round = 0; round < 15; round++) check_product(b, random_product(150000, false));
        static const int64_t sides[][3] = {{130, 70, 300}, {257, 33, 65}, {1, 500, 300}, {500, 1, 300},
                                           {300, 400, 1},  {6, 16, 1000}, {64, 64, 64},  {3, 3, 5000}};
        for (size_t i = 0; i < TEST_LENGTH(sides); i++) {
            int64_t m = sides[i][0], n = sides[i][1], k = sides[i][2];
            product p = {
                .m = m, .n = n, .k = k, .a = mt_shape(m, k), .b = mt_shape(k, n), .c = mt_shape(m, n)};
            p.full_a = p.a, p.full_b = p.b, p.full = p.c;
            check_product(b, p);
        }
    }
}

/* A high x wide matrix of random numbers that lies in memory as lies says. */
enum { ROWS_LIE, COLUMNS_LIE, COLUMNS_FAR, NOTHING_LIES, LAYS };
static mt_tensor *lying(mt_backend *b, mt_rng *rng, int lies, int64_t high, int64_t wide)
{
    if (lies == ROWS_LIE) return OWN(mt_uniform(b, mt_shape(high, wide), rng, -1, 1));
    const int64_t step = lies == NOTHING_LIES ? 2 : 1,
                  row = lies == COLUMNS_FAR ? (high + 1023) / 1024 * 1024 : high * step;
    mt_tensor *x = OWN(mt_uniform(b, mt_shape(wide, row), rng, -1, 1));
    return OWN(mt_tensor_transpose(OWN(mt_tensor_slice(x, 1, 0, high * step, step)), 0, 1));
}

/* Products for which operands are packed in blocks, and more than one of each kind: some of their elements.
 */
static void test_large_products(void **data)
{
    (void)data;
    enum { SAMPLES = 1000 };
    static const int64_t sides[][3] = {{2100, 70, 290}, {300, 1100, 270}, {130, 600, 520}, {64, 64, 2000}};
    const int threads = mt_get_threads();
    EACH_BACKEND(b)
    for (size_t s = 0; s < TEST_LENGTH(sides); s++)
        for (int lies = 0; lies < 2 * LAYS * LAYS; lies++) {
            const int64_t part = test_small() || b == test_simple() ? 16 : 1, m = sides[s][0] / part,
                          n = sides[s][1] / part, k = sides[s][2] / part;
            mt_rng rng = mt_rng_make(test_bits());
            mt_tensor *x = lying(b, &rng, lies / LAYS % LAYS, m, k), *y = lying(b, &rng, lies % LAYS, k, n);
            mt_tensor *out = OWN(mt_full(b, mt_shape(n, m), 1));
            if (test_chance(0.5))
                out = OWN(mt_tensor_transpose(out, 0, 1));
            else
                out = OWN(mt_tensor_view(out, mt_shape(m, n)));
            const double *left = test_read(x), *right = test_read(y);
            TEST_OK(mt_set_threads(lies < LAYS * LAYS ? 1 : (int)test_from(2, 3)));
            TEST_OK(mt_op_add_matmul(out, x, y));
            const double *got = test_read(out);
            for (int i = 0; i < SAMPLES; i++) {
                const int64_t row = test_below(m), column = test_below(n);
                double want = 1, magnitude = 1;
                for (int64_t q = 0; q < k; q++) {
                    const double term = left[row * k + q] * right[q * n + column];
                    want += term;
                    magnitude += fabs(term);
                }
                TEST_CHECK(
                    test_close(got[row * n + column], want, test_sum_tolerance(k + 1, magnitude, false), 0),
                    "%s: %lld x %lld x %lld, layouts %d: element (%lld, %lld) is %.17g instead of %.17g",
                    b->name, (long long)m, (long long)k, (long long)n, lies, (long long)row,
                    (long long)column, got[row * n + column], want);
            }
            test_cases++;
            test_release();
        }
    TEST_OK(mt_set_threads(threads));
}

/* An element has the same bits wherever it stands, in whole tiles or at their edges, or as a dot product that
 * is summed alone or together with others; and whether its sum is added to 1, or 1 to it. */
static void test_place_in_a_product(void **data)
{
    (void)data;
    mt_backend *b = mt_backend_get("cpu");
    for (int round = 0; round < 400; round++) {
        const bool dots = round % 2 == 1; /* few rows, a long k along which both operands are contiguous */
        const int64_t m = test_from(1, dots ? 12 : 40), n = test_from(20, dots ? 70 : 150),
                      k = dots ? test_from(340, 500) : test_from(1, 60);
        const int64_t row = test_below(m), rows = test_from(1, m - row), column = test_below(n - 1),
                      columns = test_from(2, n - column);
        mt_rng rng = mt_rng_make(test_bits());
        mt_tensor *x = lying(b, &rng, ROWS_LIE, m, k),
                  *y = lying(b, &rng, dots ? COLUMNS_LIE : ROWS_LIE, k, n);
        mt_tensor *whole = OWN(mt_ones(b, mt_shape(m, n))), *one = OWN(mt_ones(b, mt_shape(1))),
                  *part = OWN(mt_empty(b, mt_shape(rows, columns), MT_REAL));
        TEST_OK(mt_op_add_matmul(whole, x, y));
        TEST_OK(mt_op_matmul(part, OWN(mt_tensor_slice(x, 0, row, row + rows, 1)),
                             OWN(mt_tensor_slice(y, 1, column, column + columns, 1))));
        TEST_OK(mt_op_add(part, part, one));
        mt_tensor *same = OWN(mt_tensor_slice(whole, 0, row, row + rows, 1));
        same = OWN(mt_tensor_slice(same, 1, column, column + columns, 1));
        TEST_ALL_SAME(test_read(part), test_read(same), rows * columns, "a part of a product");
        test_cases++;
        test_release();
    }
}

/* 0 times NaN is NaN, so padding and skipping must not show. */
static void test_nan_in_products(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 20; round++) {
            int64_t m = random_side(40), n = random_side(40), k = random_side(40), row = test_below(m),
                    column = test_below(n), at = test_below(k);
            double *left = test_memory((size_t)(m * k) * sizeof *left),
                   *right = test_memory((size_t)(k * n) * sizeof *right);
            for (int64_t i = 0; i < m * k; i++) left[i] = (double)test_from(0, 1);
            for (int64_t i = 0; i < k * n; i++) right[i] = 0;
            left[row * k + at] = test_chance(0.5) ? NAN : INFINITY;
            test_array *a = test_array_from(b, mt_shape(m, k), TEST_FIXED, left),
                       *x = test_array_from(b, mt_shape(k, n), TEST_FIXED, right);
            test_array *c = test_array_from(b, mt_shape(m, n), TEST_OUTPUT, NULL);
            TEST_OK(mt_op_matmul(c->x, a->x, x->x));
            const double *got = test_read(c->x);
            for (int64_t i = 0; i < m * n; i++)
                TEST_TRUE(isnan(got[i]) == (i / n == row) && (isnan(got[i]) || got[i] == 0));
            left[row * k + at] = 0;
            right[at * n + column] = NAN;
            a = test_array_from(b, mt_shape(m, k), TEST_FIXED, left),
            x = test_array_from(b, mt_shape(k, n), TEST_FIXED, right);
            TEST_OK(mt_op_matmul(c->x, a->x, x->x));
            got = test_read(c->x);
            for (int64_t i = 0; i < m * n; i++)
                TEST_TRUE(isnan(got[i]) == (i % n == column) && (isnan(got[i]) || got[i] == 0));
            test_cases++;
            test_release();
        }
    }
}

/* x w + bias, and every map without constants on top: as if they were three operations. */
static void test_linear(void **data)
{
    (void)data;
    EACH_BACKEND(backend)
    {
        for (int op = -1; op < MT_MAP_COUNT; op++) {
            const mt_op_info *info = op < 0 ? NULL : mt_op_describe((mt_op)op);
            for (int round = 0; round < (op < 0 ? 20 : 6); round++) {
                mt_shape lead = test_shape(3, 60, true), shape_x = lead, shape_out = lead;
                int64_t in = test_chance(0.1) ? 0 : random_side(70), units = random_side(70);
                shape_x.size[shape_x.rank++] = in;
                shape_out.size[shape_out.rank++] = units;
                if (test_chance(0.2))
                    shape_x = mt_shape(in), shape_out = mt_shape(units); /* a vector is a row */
                test_array *x = test_array_random(backend, shape_x, TEST_INPUT, -1, 1),
                           *w = test_array_random(backend, mt_shape(in, units), TEST_INPUT, -1, 1);
                test_array *bias = test_array_random(backend, mt_shape(units), TEST_INPUT, -1, 1);
                test_array *out = test_array_from(backend, shape_out, TEST_OUTPUT, NULL),
                           *pre = test_array_from(backend, shape_out, TEST_OUTPUT, NULL);
                bool keep = test_chance(0.5);
                if (op >= 0 && info->params > 0) {
                    REFUSED(out, mt_op_linear_act(out->x, x->x, w->x, bias->x, (mt_op)op, keep, pre->x),
                            MT_ERR_VALUE, info->name);
                    test_release();
                    continue;
                }
                TEST_OK(op < 0 ? mt_op_linear(out->x, x->x, w->x, bias->x)
                               : mt_op_linear_act(out->x, x->x, w->x, bias->x, (mt_op)op, keep, pre->x));
                test_guards(out, "linear");
                test_guards(pre, "linear");
                if (op < 0 || !keep) test_unchanged(pre, "linear without pre");
                const double *got = test_read(out->x), *kept = test_read(pre->x);
                double *arguments = test_memory((size_t)out->count * sizeof *arguments);
                for (int64_t i = 0; i < out->count; i++) {
                    int64_t r = i / units, j = i % units;
                    long double sum = bias->values[j];
                    double magnitude = fabs(bias->values[j]);
                    for (int64_t k = 0; k < in; k++) {
                        sum += (long double)x->values[r * in + k] * w->values[k * units + j];
                        magnitude += fabs(x->values[r * in + k] * w->values[k * units + j]);
                    }
                    arguments[i] = (double)sum;
                    const double *linear = op < 0 ? got : keep ? kept : NULL;
                    if (linear)
                        TEST_CHECK(test_close(linear[i], (double)sum,
                                              test_sum_tolerance(in + 1, magnitude, true), 0),
                                   "%s: linear of %s: element %lld is %.17g instead of %.17g", backend->name,
                                   test_text(shape_x), (long long)i, linear[i], (double)sum);
                }
                if (op >= 0) { /* the activation of exactly what was kept */
                    mt_tensor *act = OWN(mt_empty(backend, shape_out, MT_REAL));
                    TEST_OK(mt_op_linear_act(out->x, x->x, w->x, bias->x, (mt_op)op, true, pre->x));
                    TEST_OK(mt_op_map(act, (mt_op)op, pre->x, 0, 0));
                    TEST_ALL_SAME(test_read(out->x), test_read(act), out->count, info->name);
                    if (keep) TEST_ALL_SAME(test_read(out->x), got, out->count, info->name);
                    /* row-major, keeping the argument changes no bit of the result */
                    mt_tensor *flat_x = OWN(mt_tensor_copy(x->x)), *flat_w = OWN(mt_tensor_copy(w->x));
                    mt_tensor *without = OWN(mt_empty(backend, shape_out, MT_REAL));
                    mt_tensor *kept_too = OWN(mt_empty(backend, shape_out, MT_REAL));
                    TEST_OK(mt_op_linear_act(without, flat_x, flat_w, bias->x, (mt_op)op, false, NULL));
                    TEST_OK(mt_op_linear_act(act, flat_x, flat_w, bias->x, (mt_op)op, true, kept_too));
                    TEST_ALL_SAME(test_read(act), test_read(without), out->count, info->name);
                }
                test_cases++;
                test_release();
            }
        }
    }
}

static void test_refused_products(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        test_array *a = test_array_random(b, mt_shape(3, 4), TEST_INPUT, -1, 1),
                   *x = test_array_random(b, mt_shape(4, 5), TEST_INPUT, -1, 1);
        test_array *c = test_array_from(b, mt_shape(3, 5), TEST_OUTPUT, NULL),
                   *v = test_array_random(b, mt_shape(5), TEST_INPUT, -1, 1);
        test_array *index = test_array_random(b, mt_shape(3, 4), TEST_INDICES, 0, 9),
                   *two = test_array_random(b, mt_shape(2, 3, 4), 0, -1, 1);
        test_array *three = test_array_random(b, mt_shape(3, 4, 5), TEST_INPUT, -1, 1),
                   *batch = test_array_from(b, mt_shape(2, 3, 5), TEST_OUTPUT, NULL);
        REFUSED(c, mt_op_matmul(c->x, a->x, a->x), MT_ERR_SHAPE, "(3, 4)");
        REFUSED(c, mt_op_matmul(c->x, x->x, a->x), MT_ERR_SHAPE, "(4, 5)");
        REFUSED(c, mt_op_matmul(c->x, a->x, v->x), MT_ERR_SHAPE, "(5)");
        REFUSED(c, mt_op_matmul(c->x, v->x, x->x), MT_ERR_SHAPE, "(5)");
        REFUSED(c, mt_op_matmul(c->x, two->x, x->x), MT_ERR_SHAPE, "(2, 3, 4)");
        REFUSED(batch, mt_op_matmul(batch->x, two->x, three->x), MT_ERR_SHAPE, "(3, 4, 5)");
        REFUSED(c, mt_op_matmul(c->x, index->x, x->x), MT_ERR_KIND, "INDEX");
        REFUSED(c, mt_op_linear(c->x, a->x, x->x, a->x), MT_ERR_SHAPE, "(3, 4)");
        test_array *short_bias = test_array_random(b, mt_shape(4), TEST_INPUT, -1, 1);
        REFUSED(c, mt_op_linear(c->x, a->x, x->x, short_bias->x), MT_ERR_SHAPE, "(4)");
        REFUSED(c, mt_op_linear_act(c->x, a->x, x->x, v->x, MT_OP_add, false, NULL), MT_ERR_NAME, "add");
        REFUSED(c, mt_op_linear_act(c->x, a->x, x->x, v->x, MT_OP_COUNT, false, NULL), MT_ERR_NAME, "");
        REFUSED(c, mt_op_linear_act(c->x, a->x, x->x, v->x, MT_OP_relu, true, c->x), MT_ERR_SHAPE, "overlap");
        TEST_TRUE(mt_op_matmul(c->x, NULL, x->x) == MT_ERR_NULL &&
                  mt_op_linear(c->x, a->x, x->x, NULL) == MT_ERR_NULL);
        EACH_BACKEND(other)
        {
            if (other == b) continue;
            REFUSED(c, mt_op_matmul(c->x, OWN(mt_zeros(other, mt_shape(3, 4))), x->x), MT_ERR_BACKEND,
                    other->name);
        }
        test_array *square = test_array_random(b, mt_shape(4, 4), TEST_PLAIN, -1, 1),
                   *other = test_array_random(b, mt_shape(4, 4), TEST_PLAIN, -1, 1);
        REFUSED(square, mt_op_matmul(square->base, square->base, other->x), MT_ERR_SHAPE, "overlap");
        REFUSED(square, mt_op_matmul(square->base, other->x, OWN(mt_tensor_transpose(square->base, 0, 1))),
                MT_ERR_SHAPE, "overlap");
        mt_tensor *one = OWN(mt_zeros(b, mt_shape(1, 5)));
        TEST_FAILS(mt_op_matmul(OWN(mt_tensor_expand(one, mt_shape(3, 5))), a->x, x->x), MT_ERR_SHAPE,
                   "(3, 5)");
        test_release();
    }
}

/* ---- the same bits for any number of threads ---- */

enum { RESULTS = 29 };

/* Large enough for every kernel to be shared out; and what does where schedules are what matters. */
typedef struct sizes {
    int64_t line, rows, columns, cube[3], draws, narrow, long_k, tall[2];
} sizes;
static const sizes large = {400003, 701, 501, {60, 70, 80}, 300007, 60, 3001, {1300, 300}},
                   small = {4003, 71, 53, {6, 7, 9}, 3007, 7, 67, {40, 30}};

static int run_all(mt_backend *b, const sizes *n, const mt_tensor *line, const mt_tensor *square,
                   const mt_tensor *turned, const mt_tensor *cube, double **results, int64_t *counts)
{
    int count = 0;
    mt_tensor *out;
#define KEEP(shape, kind, call)               \
    do {                                      \
        out = OWN(mt_empty(b, shape, kind));  \
        TEST_OK(call);                        \
        counts[count] = mt_tensor_count(out); \
        results[count++] = test_read(out);    \
    } while (0)
    KEEP(mt_shape(1), MT_REAL, mt_op_sum(out, line, mt_axes(0)));
    KEEP(mt_shape(1), MT_REAL, mt_op_mean(out, line, mt_axes(0)));
    KEEP(mt_shape(1), MT_REAL, mt_op_max(out, line, mt_axes(0)));
    KEEP(mt_shape(1), MT_INDEX, mt_op_argmin(out, line, mt_axes(0)));
    KEEP(mt_shape(1), MT_REAL, mt_op_prod(out, line, mt_axes(0)));
    KEEP(mt_shape(n->columns), MT_REAL, mt_op_sum(out, square, mt_axes(0)));
    KEEP(mt_shape(n->rows), MT_REAL, mt_op_sum(out, square, mt_axes(1)));
    KEEP(mt_shape(1), MT_REAL, mt_op_sum(out, square, mt_axes(0, 1)));
    KEEP(mt_shape(n->columns), MT_REAL, mt_op_sum(out, turned, mt_axes(1)));
    KEEP(mt_shape(1), MT_REAL, mt_op_sum(out, turned, mt_axes(0, 1)));
    KEEP(mt_shape(n->rows), MT_INDEX, mt_op_argmax(out, square, mt_axes(1)));
    KEEP(mt_shape(n->cube[1]), MT_REAL, mt_op_sum(out, cube, mt_axes(0, 2)));
    KEEP(mt_shape(n->cube[0], n->cube[2]), MT_REAL, mt_op_mean(out, cube, mt_axes(1)));
    KEEP(mt_shape(n->rows, n->rows), MT_REAL, mt_op_matmul(out, square, turned));
    KEEP(mt_shape(n->columns, n->columns), MT_REAL, mt_op_matmul(out, turned, square));
    KEEP(mt_shape(n->cube[0], n->cube[1], n->cube[1]), MT_REAL,
         mt_op_matmul(out, cube, OWN(mt_tensor_transpose((mt_tensor *)cube, 1, 2))));
    KEEP(mt_shape(n->rows), MT_REAL,
         mt_op_matmul(out, square, OWN(mt_tensor_slice((mt_tensor *)line, 0, 3, 3 + n->columns, 1))));
    KEEP(mt_shape(n->columns), MT_REAL,
         mt_op_matmul(out, OWN(mt_tensor_slice((mt_tensor *)line, 0, 3, 3 + n->rows, 1)), square));
    KEEP(mt_shape(1), MT_REAL, mt_op_matmul(out, line, line));
    KEEP(mt_shape(n->rows, n->columns), MT_REAL, mt_op_tanh(out, square));
    KEEP(mt_shape(n->columns, n->rows), MT_REAL,
         mt_op_mul(out, turned, OWN(mt_tensor_slice((mt_tensor *)line, 0, 0, n->rows, 1))));
    mt_rng rng = mt_rng_make(5);
    KEEP(mt_shape(n->draws), MT_REAL, mt_op_normal(out, &rng, 0, 1));
    KEEP(mt_shape(n->rows, n->rows), MT_REAL,
         mt_op_linear_act(out, square, turned, OWN(mt_tensor_slice((mt_tensor *)line, 0, 9, 9 + n->rows, 1)),
                          MT_OP_sigmoid, false, NULL));
    KEEP(mt_shape(n->columns, n->rows), MT_REAL, mt_op_copy(out, turned));
    /* so long that k is cut, not C */
    mt_tensor *x = OWN(mt_tensor_slice((mt_tensor *)line, 0, 0, n->narrow * n->long_k, 1));
    mt_tensor *wide = OWN(mt_tensor_view(x, mt_shape(n->narrow, n->long_k))),
              *high = OWN(mt_tensor_view(x, mt_shape(n->long_k, n->narrow)));
    KEEP(mt_shape(n->narrow, n->narrow), MT_REAL,
         mt_op_linear_act(out, wide, high, OWN(mt_tensor_slice((mt_tensor *)line, 0, 5, 5 + n->narrow, 1)),
                          MT_OP_log, true, OWN(mt_empty(b, mt_shape(n->narrow, n->narrow), MT_REAL))));
    KEEP(mt_shape(n->narrow, n->narrow), MT_REAL,
         mt_op_fill(out, 1) == MT_OK ? mt_op_add_matmul(out, OWN(mt_tensor_transpose(high, 0, 1)),
                                                        OWN(mt_tensor_transpose(wide, 0, 1)))
                                     : MT_ERR_VALUE);
    /* columns of rows so many that threads share them, also of such as are taken several at a time */
    mt_tensor *front = OWN(mt_tensor_slice((mt_tensor *)line, 0, 0, n->tall[0] * n->tall[1], 1)),
              *tall = OWN(mt_tensor_view(front, mt_shape(n->tall[0], n->tall[1])));
    KEEP(mt_shape(n->tall[1]), MT_REAL, mt_op_sum(out, tall, mt_axes(0)));
    KEEP(mt_shape(n->narrow), MT_REAL, mt_op_sum(out, high, mt_axes(0)));
    KEEP(mt_shape(n->columns), MT_INDEX, mt_op_argmax(out, square, mt_axes(0)));
    TEST_TRUE(count == RESULTS);
    return count;
}

/* all of a long row with one 0, wherever it stands: what is not read any more changes nothing, on any number
 * of threads. Neither NaN nor what is nearly 0 is a 0. */
static void test_one_zero(void **data)
{
    (void)data;
    enum { N = 300001 };
    static const int64_t places[] = {-1, 0, 4095, 4096, 65536, 150000, N - 1};
    const double least = sizeof(mt_real) == sizeof(float) ? 0x1p-149 : 0x1p-1074;
    const int before = mt_get_threads();
    mt_backend *b = test_cpu();
    mt_tensor *x = OWN(mt_full(b, mt_shape(N), NAN)), *y = OWN(mt_empty(b, mt_shape(1), MT_REAL));
    for (int64_t i = 0; i < N; i += 3) TEST_OK(mt_set(x, mt_at(i), i % 2 ? least : -least));
    for (size_t k = 0; k < TEST_LENGTH(places); k++) {
        double was = 1;
        if (places[k] >= 0) TEST_OK(mt_get(x, mt_at(places[k]), &was));
        if (places[k] >= 0) TEST_OK(mt_set(x, mt_at(places[k]), k % 2 ? 0.0 : -0.0));
        for (int threads = 1; threads <= 3; threads++) {
            TEST_OK(mt_set_threads(threads));
            TEST_OK(mt_op_all(y, x, mt_axes(0)));
            TEST_CHECK(mt_item(y) == (places[k] < 0), "all is %g with a 0 at %d, on %d threads", mt_item(y),
                       (int)places[k], threads);
        }
        if (places[k] >= 0) TEST_OK(mt_set(x, mt_at(places[k]), was));
        test_cases++;
    }
    TEST_OK(mt_set_threads(before));
}

/* rows x columns numbers from [low, high): row-major, transposed, or every other one of twice as many
 * columns. */
static mt_tensor *in_layout(mt_backend *b, int64_t batch, int64_t rows, int64_t columns, int layout,
                            double low, double high)
{
    mt_rng rng = mt_rng_make(test_bits());
    mt_shape shape = layout == 0   ? mt_shape(batch, rows, columns)
                     : layout == 1 ? mt_shape(batch, columns, rows)
                                   : mt_shape(batch, rows, 2 * columns);
    mt_tensor *x = OWN(mt_uniform(b, shape, &rng, low, high));
    return layout == 0   ? x
           : layout == 1 ? OWN(mt_tensor_transpose(x, 1, 2))
                         : OWN(mt_tensor_slice(x, 2, 0, MT_END_OF_DIM, 2));
}

/* Few sums that are long, in every layout, added to C or followed by a bias and an activation: the error
 * stays that of a tree, and the bits are the same for any number of threads. All terms have one sign: there
 * errors of a chain add up. */
static void test_long_sums(void **data)
{
    (void)data;
    static const int64_t long_sizes[][4] = {/* batch, m, k, n */
                                            {1, 1, 300001, 1}, {1, 4, 60000, 3}, {1, 1, 50000, 5},
                                            {1, 16, 9000, 16}, {1, 6, 40000, 1}, {3, 2, 20000, 2},
                                            {9, 1, 5000, 1}};
    static const int threads[] = {1, 2, 3};
    mt_backend *b = test_cpu();
    const int before = mt_get_threads();
    for (size_t s = 0; s < TEST_LENGTH(long_sizes); s++) {
        for (int layouts = 0; layouts < 9; layouts++) {
            const int64_t batch = long_sizes[s][0], m = long_sizes[s][1], k = long_sizes[s][2],
                          n = long_sizes[s][3], count = batch * m * n;
            mt_tensor *x = in_layout(b, batch, m, k, layouts % 3, 0, 1),
                      *w = in_layout(b, batch, k, n, layouts / 3, 0, 1);
            mt_tensor *one = OWN(mt_tensor_select(w, 0, 0)), *bias = OWN(mt_full(b, mt_shape(n), -1)),
                      *y = OWN(mt_empty(b, mt_shape(batch, m, n), MT_REAL)),
                      *z = OWN(mt_empty(b, mt_shape(batch, m, n), MT_REAL));
            const double *p = test_read(x), *q = test_read(w);
            double *want = test_memory((size_t)count * sizeof *want), *first[2] = {NULL, NULL};
            for (int64_t i = 0; i < count; i++) {
                long double sum = 0; /* a chain in double would err more than what it is compared with */
                for (int64_t t = 0; t < k; t++)
                    sum += (long double)p[i / n * k + t] * q[(i / (m * n) * k + t) * n + i % n];
                want[i] = (double)sum;
            }
            for (size_t t = 0; t < TEST_LENGTH(threads); t++) {
                TEST_OK(mt_set_threads(threads[t]));
                TEST_OK(mt_op_matmul(y, x, w));
                double *got = test_read(y);
                TEST_ALL_CLOSE(got, want, count, 0, 24 * test_epsilon, "a long sum");
                TEST_OK(mt_op_add_matmul(y, x, w));
                double *twice = test_read(y);
                for (int64_t i = 0; i < count; i++)
                    TEST_TRUE(test_close(twice[i], 2 * got[i], 0, 2 * test_epsilon));
                TEST_OK(mt_op_linear_act(z, x, one, bias, MT_OP_neg, false, NULL));
                double *act = test_read(z);
                for (int64_t i = 0; i < m * n; i++)
                    TEST_TRUE(test_close(act[i], 1 - got[i], 0, 32 * test_epsilon));
                if (t == 0) first[0] = got, first[1] = act;
                TEST_ALL_SAME(got, first[0], count, "a long sum on more threads");
                TEST_ALL_SAME(act, first[1], count, "a long sum, a bias and an activation on more threads");
            }
            test_cases++;
            test_release();
        }
    }
    TEST_OK(mt_set_threads(before));
}

static void test_threads_give_the_same_bits(void **data)
{
    (void)data;
    int before = mt_get_threads();
    TEST_TRUE(before >= 1);
    EACH_BACKEND(b)
    {
        if (b == test_simple()) continue; /* serial */
        const sizes *n = test_small() ? &small : &large;
        mt_tensor *line = test_array_random(b, mt_shape(n->line), TEST_PLAIN, 0.999, 1.001)->x;
        mt_tensor *square = test_array_random(b, mt_shape(n->rows, n->columns), TEST_INPUT, -1, 1)->x;
        mt_tensor *cube =
            test_array_random(b, mt_shape(n->cube[0], n->cube[1], n->cube[2]), TEST_FIXED, -1, 1)->x;
        mt_tensor *turned = OWN(mt_tensor_transpose(square, 0, 1));
        static const int threads[] = {1, 2, 7, 3};
        double *first[RESULTS], *now[RESULTS];
        int64_t counts[RESULTS];
        for (size_t i = 0; i < TEST_LENGTH(threads); i++) {
            TEST_OK(mt_set_threads(threads[i]));
            int used = mt_get_threads();
            TEST_TRUE(used == threads[i] || used == 1); /* 1 in a serial build */
            int count = run_all(b, n, line, square, turned, cube, i == 0 ? first : now, counts);
            for (int k = 0; k < count && i > 0; k++) {
                char what[60];
                snprintf(what, sizeof what, "%s: result %d on %d threads", b->name, k, threads[i]);
                TEST_ALL_SAME(now[k], first[k], counts[k], what);
                test_cases++;
            }
        }
        test_release();
    }
    TEST_OK(mt_set_threads(before));
    static const int bad[] = {0, -1, 1025, 1 << 30};
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) TEST_FAILS(mt_set_threads(bad[i]), MT_ERR_VALUE, "1024");
    TEST_TRUE(mt_get_threads() == before);
}

/* ---- backends ---- */

static void test_backend_names(void **data)
{
    (void)data;
    bool simple = false, cpu = false;
    for (int i = 0; mt_backend_name(i); i++) {
        simple = simple || strcmp(mt_backend_name(i), "simple") == 0;
        cpu = cpu || strcmp(mt_backend_name(i), "cpu") == 0;
        TEST_TRUE(mt_backend_summary(i) && strlen(mt_backend_summary(i)) > 5);
        test_stale();
        mt_backend *b = mt_backend_get(mt_backend_name(i));
        if (b)
            TEST_TRUE(strcmp(b->name, mt_backend_name(i)) == 0 && b == mt_backend_get(mt_backend_name(i)));
        else
            test_fails(__FILE__, __LINE__, mt_backend_name(i), mt_last_status(), MT_ERR_BACKEND,
                       mt_backend_name(i));
    }
    TEST_TRUE(simple && cpu);
    static const char *const names[] = {"", "CPU", "cuda", "cpu ", "simple,cpu"};
    for (size_t i = 0; i < TEST_LENGTH(names); i++) {
        test_stale();
        TEST_TRUE(!mt_backend_get(names[i]));
        TEST_CHECK(mt_last_status() == MT_ERR_BACKEND || mt_last_status() == MT_ERR_NAME, "%s",
                   mt_last_message());
        TEST_CHECK(strstr(mt_last_message(), "simple") && strstr(mt_last_message(), "cpu"), "%s",
                   mt_last_message());
    }
    EACH_BACKEND(b)
    {
        mt_backend_facts facts;
        b->describe(b, &facts);
        TEST_CHECK(facts.threads == (strcmp(b->name, "cpu") == 0 ? mt_get_threads() : 1) && facts.isa[0] != 0,
                   "%s: %d threads, isa \"%s\"", b->name, facts.threads, facts.isa);
    }
    mt_backend own = *test_simple();
    own.name = "cpu";
    TEST_FAILS(mt_backend_register(&own), MT_ERR_NAME, "cpu");
    own.name = "test-own";
    own.host = false, own.download = NULL;
    TEST_FAILS(mt_backend_register(&own), MT_ERR_VALUE, "test-own lacks the slot download");
    TEST_TRUE(!mt_backend_get("test-own"));
    own = *test_simple();
    own.name = "test-own";
    TEST_OK(mt_backend_register(&own));
    TEST_FAILS(mt_backend_register(&own), MT_ERR_NAME, "test-own");
    mt_tensor *x = OWN(mt_ones(mt_backend_get("test-own"), mt_shape(2))),
              *y = OWN(mt_ones(test_simple(), mt_shape(2)));
    TEST_FAILS(mt_op_add(x, x, y), MT_ERR_BACKEND, "test-own");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_elementwise),
        TEST(test_tails),
        TEST(test_in_place),
        TEST(test_refused_elementwise),
        TEST(test_reductions),
        TEST(test_sum_errors),
        TEST(test_choices),
        TEST(test_empty_reductions),
        TEST(test_refused_reductions),
        TEST(test_scatter_outside),
        TEST(test_copy_and_fill),
        TEST(test_large_results),
        TEST(test_rows_of_a_tensor),
        TEST(test_products),
        TEST(test_large_products),
        TEST(test_place_in_a_product),
        TEST(test_one_zero),
        TEST(test_long_sums),
        TEST(test_nan_in_products),
        TEST(test_linear),
        TEST(test_refused_products),
        TEST(test_backend_names),
        TEST(test_threads_give_the_same_bits),
    };
    return TEST_RUN("operations", tests);
}
