/* tests/test_elementwise.c - maps, zips and their gradients without a tape, on every backend.
 *
 * Inputs and outputs lie in random layouts with guards around them. Results are compared with `simple`, and
 * must not change by a bit with the layout.
 */
#include "tensor/elementwise_ops.h"
#include "support.h"

#include <math.h>
#include <string.h>

/* clang-format off */
#define PASS_0
#define PASS_1(p0) , p[0]
#define PASS_2(p0, p1) , p[0], p[1]
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
                TEST_REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_SHAPE, "(4, 3)");
                in[k] = wide->x; /* an output never grows */
                TEST_REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_SHAPE, "(3, 4, 5)");
                in[k] = index->x;
                TEST_REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_KIND, "INDEX");
                EACH_BACKEND(other)
                {
                    if (other == b) continue;
                    in[k] = OWN(mt_zeros(other, mt_shape(4, 5)));
                    TEST_REFUSED(out, call(info, (mt_op)op, out->x, in, constants), MT_ERR_BACKEND, b->name);
                    TEST_TRUE(strstr(mt_last_message(), other->name));
                }
                in[k] = NULL; /* passes through: no sentence of its own */
                test_stale();
                TEST_TRUE(call(info, (mt_op)op, out->x, in, constants) == MT_ERR_NULL);
                TEST_TRUE(mt_last_status() == MT_ERR_IO);
                test_unchanged(out, info->name);
            }
            TEST_REFUSED(index_out, call(info, (mt_op)op, index_out->x, good, constants), MT_ERR_KIND,
                         "INDEX");
            /* an output that shares elements, with itself or in part with an input */
            test_array *line = test_array_random(b, mt_shape(10), TEST_PLAIN, 1, 2);
            mt_tensor *one = OWN(mt_tensor_slice(line->base, 0, 0, 1, 1)),
                      *stretched = OWN(mt_tensor_expand(one, mt_shape(4, 5)));
            TEST_REFUSED(line, call(info, (mt_op)op, stretched, good, constants), MT_ERR_SHAPE, "(4, 5)");
            mt_tensor *low = OWN(mt_tensor_slice(line->base, 0, 0, 9, 1)),
                      *high = OWN(mt_tensor_slice(line->base, 0, 1, 10, 1));
            const mt_tensor *shifted[2] = {low, low};
            TEST_REFUSED(line, call(info, (mt_op)op, high, shifted, constants), MT_ERR_SHAPE, "overlap");
            test_array *square = test_array_random(b, mt_shape(3, 3), TEST_PLAIN, 1, 2);
            const mt_tensor *turned[2] = {OWN(mt_tensor_transpose(square->base, 0, 1)), square->base};
            TEST_REFUSED(square, call(info, (mt_op)op, square->base, turned, constants), MT_ERR_SHAPE,
                         "overlap");
            const mt_tensor *row[2] = {OWN(mt_tensor_select(square->base, 0, 1)), square->base};
            TEST_REFUSED(square, call(info, (mt_op)op, square->base, row, constants), MT_ERR_SHAPE,
                         "overlap");
            /* parts of one storage that do not meet are two tensors */
            mt_tensor *first = OWN(mt_tensor_slice(line->base, 0, 0, 5, 1)),
                      *second = OWN(mt_tensor_slice(line->base, 0, 5, 10, 1));
            const mt_tensor *halves[2] = {first, first};
            TEST_OK(call(info, (mt_op)op, second, halves, constants));
        }
        TEST_REFUSED(out, mt_op_map(out->x, MT_OP_add, x->x, 0, 0), MT_ERR_NAME, "add");
        TEST_REFUSED(out, mt_op_zip(out->x, MT_OP_neg, x->x, x->x, 0, 0), MT_ERR_NAME, "neg");
        TEST_REFUSED(out, mt_op_map(out->x, MT_OP_COUNT, x->x, 0, 0), MT_ERR_NAME, "");
        TEST_REFUSED(out, mt_op_zip(out->x, (mt_op)-1, x->x, x->x, 0, 0), MT_ERR_NAME, "");
        TEST_REFUSED(out, mt_op_map(out->x, (mt_op)1000000, x->x, 0, 0), MT_ERR_NAME, "");
        TEST_REFUSED(out, mt_op_zip_grad(out->x, MT_OP_mul, 2, x->x, x->x, x->x, x->x, 0, 0), MT_ERR_VALUE,
                     "2");
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_elementwise),
        TEST(test_tails),
        TEST(test_in_place),
        TEST(test_refused_elementwise),
    };
    return TEST_RUN("elementwise", tests);
}
