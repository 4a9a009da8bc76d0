/* tests/test_masks.c - comparisons and reductions of INDEX: beside the arithmetic of int64_t in random
 * layouts, near 2^53, which float and double round, and at the ends of the range.
 */
#include "autodiff/elementwise.h"
#include "autodiff/operation.h"
#include "support.h"

#include <math.h>
#include <string.h>

/* ---- INDEX tensors with any integer, in any layout ---- */

static int64_t draw_integer(void)
{
    static const int64_t special[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1};
    const int64_t big = (int64_t)1 << 53;
    if (test_chance(0.2)) return special[test_below((int64_t)TEST_LENGTH(special))];
    return test_chance(0.5) ? big + test_from(-3, 3) : test_from(-2, 2);
}

/* A tensor of that shape, cut out of a larger one, stretched along some dimensions; values: its elements,
 * row-major. */
static mt_tensor *integers(mt_backend *b, mt_shape shape, bool plain, int64_t **values)
{
    test_cut cut = test_cut_make(shape, true);
    if (plain) cut.base = shape;
    const int64_t n = test_count(cut.base), count = test_count(shape);
    int64_t *base = test_memory((size_t)(n + 1) * sizeof *base);
    for (int64_t i = 0; i < n; i++) base[i] = draw_integer();
    *values = test_memory((size_t)(count + 1) * sizeof **values);
    for (int64_t i = 0; i < count; i++) (*values)[i] = base[plain ? i : test_cut_position(&cut, i)];
    mt_tensor *x = OWN(mt_from_indices(b, base, cut.base));
    return plain ? x : test_cut_tensor(&cut, x);
}

static int64_t *read_indices(const mt_tensor *x)
{
    const int64_t count = mt_tensor_count(x);
    int64_t *values = test_memory((size_t)(count + 1) * sizeof *values);
    TEST_OK(mt_to_indices(x, values, count));
    return values;
}

/* ---- comparisons ---- */

static const struct {
    const char *name;
    mt_op op;
    bool when[3]; /* a < b, a == b, a > b */
} comparisons[] = {
    {"lt", MT_OP_lt, {1, 0, 0}}, {"le", MT_OP_le, {1, 1, 0}}, {"gt", MT_OP_gt, {0, 0, 1}},
    {"ge", MT_OP_ge, {0, 1, 1}}, {"eq", MT_OP_eq, {0, 1, 0}}, {"ne", MT_OP_ne, {1, 0, 1}},
};

static void compare_with(mt_backend *b, mt_shape shape, bool plain, int which)
{
    test_array *out = test_array_from(b, shape, plain ? TEST_OUTPUT | TEST_PLAIN : TEST_OUTPUT, NULL);
    const mt_tensor *in[2];
    int64_t *values[2];
    mt_shape own[2];
    for (int k = 0; k < 2; k++) {
        own[k] = plain || test_chance(0.5) ? shape : test_narrower(shape);
        in[k] = integers(b, own[k], plain, &values[k]);
    }
    TEST_OK(mt_op_zip(out->x, comparisons[which].op, in[0], in[1], 0, 0));
    const double *got = test_read(out->x);
    for (int64_t i = 0; i < test_count(shape); i++) {
        const int64_t x = values[0][test_broadcast_from(own[0], shape, i)],
                      y = values[1][test_broadcast_from(own[1], shape, i)];
        const double want = comparisons[which].when[x < y ? 0 : x == y ? 1 : 2];
        TEST_CHECK(got[i] == want, "%s: %s of %s, element %lld: %lld and %lld give %g", b->name,
                   comparisons[which].name, test_text(shape), (long long)i, (long long)x, (long long)y,
                   got[i]);
    }
    test_guards(out, comparisons[which].name);
    test_cases++;
    test_release();
}

static void test_comparisons(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 120; round++)
        compare_with(b, test_shape(MT_MAX_DIMS, 3000, true), round % 8 == 0,
                     round % (int)TEST_LENGTH(comparisons));
}

/* More than one thread, and results that are streamed past the cache. */
static void test_large_comparisons(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int i = 0; i < 4; i++) {
        const int64_t rows = test_small() ? 65 : i < 2 ? 701 : 2100, columns = test_small() ? 130 : 2049;
        compare_with(b, mt_shape(rows, columns), i % 2, i);
    }
}

/* As doubles 2^53 and 2^53 + 1 are one number. On the tape, by name and by descriptor. */
static void test_large_numbers(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        const int64_t big = (int64_t)1 << 53, left[] = {big, big + 1, INT64_MAX, INT64_MIN},
                      right[] = {big + 1, big, INT64_MIN, INT64_MIN};
        mt_tensor *in[] = {OWN(mt_from_indices(b, left, mt_shape(4))),
                           OWN(mt_from_indices(b, right, mt_shape(4)))};
        mt_tape *tape = test_tape(b);
        mt_tensor *lt = ON(tape, mt_lt(tape, in[0], in[1]));
        TEST_TRUE(mt_tensor_kind(lt) == MT_REAL);
        TEST_ALL_SAME(test_read(lt), (const double[]){1, 0, 0, 0}, 4, "lt");
        TEST_ALL_SAME(test_read(ON(tape, mt_le(tape, in[0], in[1]))), (const double[]){1, 0, 0, 1}, 4, "le");
        TEST_ALL_SAME(test_read(ON(tape, mt_gt(tape, in[0], in[1]))), (const double[]){0, 1, 1, 0}, 4, "gt");
        TEST_ALL_SAME(test_read(ON(tape, mt_ge(tape, in[0], in[1]))), (const double[]){0, 1, 1, 1}, 4, "ge");
        TEST_ALL_SAME(test_read(ON(tape, mt_eq(tape, in[0], in[1]))), (const double[]){0, 0, 0, 1}, 4, "eq");
        const mt_operation *ne = mt_operation_by_name("ne");
        TEST_TRUE(ne->input[0].takes == MT_TAKES_ANY && ne->input[1].takes == MT_TAKES_ANY);
        TEST_ALL_SAME(test_read(ON(tape, mt_apply_operation(tape, ne, in, 2, NULL))),
                      (const double[]){1, 1, 1, 0}, 4, "ne");
        mt_tensor *one = OWN(mt_arange(b, big, big + 1, 1));
        TEST_ALL_SAME(test_read(ON(tape, mt_eq(tape, one, in[1]))), (const double[]){0, 1, 0, 0}, 4,
                      "broadcast");
        TEST_TRUE(mt_tape_length(tape) == 0);
        test_cases++;
        test_release();
    }
}

/* ---- reductions ---- */

enum { SUM, PROD, MAX, MIN, MEAN, ALL, REDUCTIONS };
static const struct {
    const char *name;
    mt_status (*op)(mt_tensor *out, const mt_tensor *x, mt_shape dims);
    mt_tensor *(*on_tape)(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
    int64_t start;
} reductions[REDUCTIONS] = {
    [SUM] = {"sum", mt_op_sum, mt_sum_dims, 0},         [PROD] = {"prod", mt_op_prod, mt_prod_dims, 1},
    [MAX] = {"max", mt_op_max, mt_max_dims, INT64_MIN}, [MIN] = {"min", mt_op_min, mt_min_dims, INT64_MAX},
    [MEAN] = {"mean", mt_op_mean, mt_mean_dims, 0},     [ALL] = {"all", mt_op_all, mt_all_dims, 1},
};

static bool gives_real(int r) { return r == MEAN || r == ALL; }

static int64_t joined(int r, int64_t a, int64_t b)
{
    switch (r) {
    case PROD: return (int64_t)((uint64_t)a * (uint64_t)b);
    case MAX: return a > b ? a : b;
    case MIN: return a < b ? a : b;
    case ALL: return a && b;
    default: return (int64_t)((uint64_t)a + (uint64_t)b);
    }
}

/* The result by its definition: out[kept part of i] joins x[i]. n: elements of each result. */
static int64_t *reduced(int r, const int64_t *x, mt_shape shape, mt_shape kept, int64_t *n)
{
    const int64_t results = test_count(kept);
    int64_t *want = test_memory((size_t)(results + 1) * sizeof *want);
    for (int64_t i = 0; i < results; i++) want[i] = reductions[r].start;
    for (int64_t i = 0; i < test_count(shape); i++) {
        int64_t *to = &want[test_broadcast_from(kept, shape, i)];
        *to = joined(r, *to, x[i]);
    }
    *n = 1;
    for (int d = 0; d < shape.rank; d++)
        if (kept.size[d] != shape.size[d]) *n *= shape.size[d];
    return want;
}

static void check_result(mt_backend *b, int r, const mt_tensor *got, const int64_t *want, int64_t n,
                         mt_shape shape)
{
    const int64_t count = mt_tensor_count(got);
    if (gives_real(r)) {
        const double *real = test_read(got);
        for (int64_t i = 0; i < count; i++) {
            const double expected = r == ALL ? (double)want[i] : n == 0 ? NAN : (double)want[i] / (double)n;
            TEST_CHECK(test_same(real[i], test_round(expected)),
                       "%s: %s over %lld of %s, result %lld: %.17g, not %.17g", b->name, reductions[r].name,
                       (long long)n, test_text(shape), (long long)i, real[i], expected);
        }
    } else {
        const int64_t *index = read_indices(got);
        for (int64_t i = 0; i < count; i++)
            TEST_CHECK(index[i] == want[i], "%s: %s over %lld of %s, result %lld: %lld, not %lld", b->name,
                       reductions[r].name, (long long)n, test_text(shape), (long long)i, (long long)index[i],
                       (long long)want[i]);
    }
    test_cases++;
}

/* Without a tape into any layout, and on one. */
static void reduce_with(mt_backend *b, int r, mt_shape shape, mt_shape dims, bool plain)
{
    mt_shape kept = test_without(shape, dims, true), dropped = test_without(shape, dims, false);
    int64_t *values, n;
    mt_tensor *x = integers(b, shape, plain, &values);
    const int64_t *want = reduced(r, values, shape, kept, &n);
    if (n == 0 && test_count(kept) > 0 && (r == MAX || r == MIN)) return;
    const bool keepdim = test_chance(0.5);
    test_array *out =
        test_array_from(b, keepdim ? kept : dropped, TEST_OUTPUT | (gives_real(r) ? 0 : TEST_INDICES), NULL);
    TEST_OK(reductions[r].op(out->x, x, dims));
    check_result(b, r, out->x, want, n, shape);
    test_guards(out, reductions[r].name);
    mt_tape *tape = test_tape(b);
    mt_tensor *y = ON(tape, reductions[r].on_tape(tape, x, dims, keepdim));
    TEST_TRUE(mt_tensor_kind(y) == (gives_real(r) ? MT_REAL : MT_INDEX));
    TEST_TRUE(mt_shape_equal(mt_tensor_shape(y), keepdim ? kept : dropped));
    TEST_TRUE(!mt_requires_grad(y) && mt_tape_length(tape) == 0);
    check_result(b, r, y, want, n, shape);
}

static mt_shape some_dims(mt_shape shape)
{
    mt_shape dims = {.rank = 0};
    while (dims.rank == 0)
        for (int d = 0; d < shape.rank; d++)
            if (test_chance(0.5)) dims.size[dims.rank++] = test_chance(0.5) ? d : d - shape.rank;
    return dims;
}

static void test_reductions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 240; round++) {
        const mt_shape shape = test_shape(MT_MAX_DIMS, 3000, true);
        reduce_with(b, round % REDUCTIONS, shape, some_dims(shape), round % 8 == 0);
        test_release();
    }
}

/* More than one thread: many results, one long one, a few columns and many; and whole chunks of a kernel. */
static void test_large_reductions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int r = 0; r < REDUCTIONS; r++) {
        const int64_t n = test_small() ? 300 : 200000;
        reduce_with(b, r, mt_shape(n), mt_axes(0), r % 2);
        reduce_with(b, r, mt_shape(n, 3), mt_axes(0), true);
        reduce_with(b, r, mt_shape(3, n), mt_axes(1), true);
        reduce_with(b, r, mt_shape(67, n / 60), mt_axes(0), true);
        reduce_with(b, r, mt_shape(7, n / 60, 5), mt_axes(0, 2), false);
        test_release();
    }
}

/* ---- on a tape: what masks are for ---- */

/* The share of rows whose largest logit is at the label, no operand converted; and of labels, how many are 1.
 * No gradient flows through either, and one flows beside the mask. */
static void test_accuracy(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        const int64_t numbers[] = {2, 0, 1, 1, 0, 1};
        mt_tensor *logits =
            OWN(mt_parse(b, "[[0, 1, 2], [3, 1, 2], [5, 4, 3], [0, 1, 0], [1, 2, 0], [0, 3, 0]]"));
        mt_tensor *labels = OWN(mt_from_indices(b, numbers, mt_shape(6, 1))),
                  *one = OWN(mt_arange(b, 1, 2, 1));
        TEST_OK(mt_require_grad(logits, true));
        mt_tape *tape = test_tape(b);
        mt_tensor *right = ON(tape, mt_eq(tape, ON(tape, mt_argmax_dim(tape, logits, 1, true)), labels));
        TEST_TRUE(!mt_requires_grad(right));
        const double share = mt_item(ON(tape, mt_mean(tape, right)));
        TEST_CHECK(test_close(share, 4.0 / 6, 4 * test_epsilon, 0), "%s: accuracy %g", b->name, share);
        TEST_TRUE(mt_item(ON(tape, mt_sum(tape, right))) == 4);
        TEST_TRUE(mt_item(ON(tape, mt_sum(tape, ON(tape, mt_eq(tape, labels, one))))) == 3);
        mt_tensor *sum = ON(tape, mt_sum(tape, labels));
        TEST_TRUE(mt_tensor_kind(sum) == MT_INDEX && mt_item(sum) == 5);
        TEST_TRUE(mt_tape_length(tape) == 0);
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_mul(tape, logits, right)))));
        const double *g = test_read(mt_grad(logits));
        const double *mask = test_read(right);
        for (int64_t i = 0; i < 18; i++) TEST_TRUE(g[i] == mask[i / 3]);
        test_cases++;
        test_release();
    }
}

/* ---- refusals ---- */

static void test_refused(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        test_array *out = test_array_from(b, mt_shape(4, 5), TEST_OUTPUT, NULL),
                   *index_out = test_array_random(b, mt_shape(4, 5), TEST_INDICES, 0, 9),
                   *row = test_array_from(b, mt_shape(5), TEST_OUTPUT, NULL),
                   *index_row = test_array_random(b, mt_shape(5), TEST_INDICES, 0, 9);
        mt_tensor *x = OWN(mt_ones(b, mt_shape(4, 5))), *i = OWN(mt_empty(b, mt_shape(4, 5), MT_INDEX)),
                  *odd = OWN(mt_empty(b, mt_shape(4, 3), MT_INDEX)),
                  *none = OWN(mt_empty(b, mt_shape(0, 5), MT_INDEX));
        for (size_t k = 0; k < TEST_LENGTH(comparisons); k++) {
            const mt_op op = comparisons[k].op;
            TEST_REFUSED(out, mt_op_zip(out->x, op, x, i, 0, 0), MT_ERR_KIND, "operand 1 is INDEX");
            TEST_REFUSED(out, mt_op_zip(out->x, op, i, x, 0, 0), MT_ERR_KIND, "operand 0 is INDEX");
            TEST_REFUSED(out, mt_op_zip(out->x, op, i, odd, 0, 0), MT_ERR_SHAPE, "(4, 3)");
            TEST_REFUSED(index_out, mt_op_zip(index_out->x, op, i, i, 0, 0), MT_ERR_KIND, "INDEX");
            test_stale();
            TEST_TRUE(mt_op_zip(out->x, op, i, NULL, 0, 0) == MT_ERR_NULL && mt_last_status() == MT_ERR_IO);
            mt_tape *tape = test_tape(b);
            TEST_NULL(mt_zip(tape, op, x, i, 0, 0), MT_ERR_KIND, "mt_as(tape, x, kind)");
            TEST_TRUE(mt_tape_status(tape) == MT_ERR_KIND &&
                      strstr(mt_tape_message(tape), comparisons[k].name));
        }
        TEST_REFUSED(out, mt_op_is_close(out->x, i, i, 0, 0), MT_ERR_KIND, "INDEX");
        TEST_REFUSED(out, mt_op_maximum(out->x, i, i), MT_ERR_KIND, "INDEX");
        TEST_REFUSED(out, mt_op_zip_grad(out->x, MT_OP_mul, 0, i, i, i, i, 0, 0), MT_ERR_KIND, "INDEX");
        for (int r = 0; r < REDUCTIONS; r++) {
            test_array *wrong = gives_real(r) ? index_row : row, *right = gives_real(r) ? row : index_row;
            TEST_REFUSED(wrong, reductions[r].op(wrong->x, i, mt_axes(0)), MT_ERR_KIND, "INDEX");
            TEST_REFUSED(index_row, reductions[r].op(index_row->x, x, mt_axes(0)), MT_ERR_KIND, "INDEX");
            TEST_REFUSED(right, reductions[r].op(right->x, i, mt_axes(1)), MT_ERR_SHAPE, "(4, 5)");
            TEST_REFUSED(right, reductions[r].op(right->x, i, mt_axes(2)), MT_ERR_INDEX, "2");
            if (r == MAX || r == MIN)
                TEST_REFUSED(right, reductions[r].op(right->x, none, mt_axes(0)), MT_ERR_SHAPE,
                             "nothing to choose");
        }
        TEST_REFUSED(index_row, mt_op_argmax(index_row->x, i, mt_axes(0)), MT_ERR_KIND, "INDEX");
        TEST_REFUSED(index_row, mt_op_add_sum(index_row->x, i, mt_axes(0)), MT_ERR_KIND, "INDEX");
        TEST_REFUSED(row, mt_op_add_sum(row->x, i, mt_axes(0)), MT_ERR_KIND, "INDEX");
        TEST_FAILS(mt_op_sum(OWN(mt_tensor_select(i, 0, 0)), i, mt_axes(0)), MT_ERR_SHAPE, "overlap");
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_comparisons), TEST(test_large_comparisons), TEST(test_large_numbers),
        TEST(test_reductions),  TEST(test_large_reductions),  TEST(test_accuracy),
        TEST(test_refused),
    };
    return TEST_RUN("masks", tests);
}
