/* tests/test_joins.c - cat, stack, split and flip: what the descriptors' checks (test_descriptors.c) and
 * PyTorch's cases (test_pytorch.c) cannot know: random layouts and counts of inputs, empty dimensions, split.
 */
#include "autodiff/elementwise.h"
#include "autodiff/operation.h"
#include "autodiff/operations.h"
#include "support.h"

#include <math.h>
#include <string.h>

/* An array of either kind in a random layout whose elements are numbers of their own, a NaN among them. */
static test_array *numbered(mt_backend *b, mt_shape shape, unsigned kind, double first)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = !kind && test_chance(0.01) ? NAN : first + (double)i;
    return test_array_from(b, shape, kind, values);
}

/* cat and stack of shapes alike, element by element from the definition. */
static void join_one(mt_backend *b, bool stack, unsigned kind)
{
    mt_shape shape = test_shape(stack ? 4 : 5, 60, true);
    const int inputs = (int)test_from(1, 6);
    const int rank = shape.rank + stack;
    const int at = (int)test_below(rank);
    test_array *in[MT_MAX_LIST];
    mt_tensor *x[MT_MAX_LIST];
    mt_shape want = {.rank = rank};
    for (int d = 0; d < rank; d++) want.size[d] = d == at ? 0 : shape.size[d - (stack && d > at)];
    for (int i = 0; i < inputs; i++) {
        if (!stack) shape.size[at] = test_from(0, 4);
        in[i] = numbered(b, shape, kind, 1000 * i);
        x[i] = in[i]->x;
        want.size[at] += stack ? 1 : shape.size[at];
    }
    mt_tape *tape = test_tape(b);
    const int64_t dim = test_chance(0.5) ? at : at - rank;
    mt_tensor *out = ON(tape, stack ? mt_stack(tape, x, inputs, dim) : mt_cat(tape, x, inputs, dim));
    TEST_TRUE(mt_shape_equal(mt_tensor_shape(out), want) && mt_tensor_kind(out) == mt_tensor_kind(x[0]));
    const double *got = test_read(out);
    for (int64_t i = 0; i < test_count(want); i++) {
        int64_t index[MT_MAX_DIMS], own[MT_MAX_DIMS];
        test_unravel(want, i, index);
        int which = 0;
        int64_t along = index[at];
        if (stack)
            which = (int)along;
        else
            while (along >= in[which]->shape.size[at]) along -= in[which++]->shape.size[at];
        for (int d = 0; d < rank; d++)
            if (!stack || d != at) own[d - (stack && d > at)] = !stack && d == at ? along : index[d];
        const double element = in[which]->values[test_ravel(in[which]->shape, own)];
        TEST_CHECK(test_same(got[i], element), "%s: element %lld of %s is %g instead of %g", b->name,
                   (long long)i, stack ? "stack" : "cat", got[i], element);
    }
    for (int i = 0; i < inputs; i++) test_unchanged(in[i], "a joined input");
    test_cases++;
    test_release();
}

static void test_joined(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 160; round++) join_one(b, round & 1, round & 2 ? TEST_INDICES : 0);
}

/* One input many times, and an input that gets no gradient. */
static void test_gradients_of_joins(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int stack = 0; stack < 2; stack++) {
        mt_tensor *x = OWN(mt_from_doubles(b, (const double[]){1, 2}, mt_shape(2))),
                  *constant = OWN(mt_ones(b, mt_shape(2)));
        TEST_OK(mt_require_grad(x, true));
        mt_tape *tape = test_tape(b);
        mt_tensor *in[] = {x, constant, x, ON(tape, mt_square(tape, x))};
        mt_tensor *y = ON(tape, stack ? mt_stack(tape, in, 4, 0) : mt_cat(tape, in, 4, 0));
        mt_tensor *g =
            OWN(mt_from_doubles(b, (const double[]){1, 2, 4, 8, 16, 32, 64, 128}, mt_tensor_shape(y)));
        TEST_OK(mt_backward_from(tape, y, g));
        TEST_ALL_SAME(test_read(mt_grad(x)), ((const double[]){1 + 16 + 2 * 64, 2 + 32 + 4 * 128}), 2,
                      "the gradient of a joined input");
        TEST_TRUE(!mt_has_grad(constant));
        test_cases++;
        test_release();
    }
}

static void test_refused_joins(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_ones(b, mt_shape(2, 3))), *wide = OWN(mt_ones(b, mt_shape(2, 4))),
                  *vector = OWN(mt_ones(b, mt_shape(3))), *index = OWN(mt_empty(b, mt_shape(2, 3), MT_INDEX)),
                  *deep = OWN(mt_ones(b, mt_shape(1, 1, 1, 1, 1, 1, 1, 1)));
        const struct {
            mt_tensor *in[3];
            int inputs;
            int64_t dim;
            bool cat, stack; /* which of them refuse it */
            mt_status status;
            const char *part;
        } wrong[] = {
            {{x, wide}, 2, 0, true, true, MT_ERR_SHAPE, "input 1 has (2, 4)"},
            {{wide, x}, 2, 1, false, true, MT_ERR_SHAPE, "input 0 has shape (2, 4) and input 1 has (2, 3)"},
            {{x, x, vector}, 3, 0, true, true, MT_ERR_SHAPE, "input 2 has (3)"},
            {{x, index}, 2, 0, true, true, MT_ERR_KIND, "input 0 is REAL and input 1 is not"},
            {{index, x}, 2, 0, true, true, MT_ERR_KIND, "input 0 is INDEX"},
            {{x, x}, 2, 2, true, false, MT_ERR_INDEX, "dimension 2 of shape (2, 3)"},
            {{x, x}, 2, 3, true, true, MT_ERR_INDEX, "dimension 3"},
            {{x, x}, 2, -4, true, true, MT_ERR_INDEX, "dimension -4"},
            {{x}, 0, 0, true, true, MT_ERR_VALUE, "0 inputs; it takes 1 to 24"},
            {{x}, -1, 0, true, true, MT_ERR_VALUE, "-1 inputs"},
            {{x}, MT_MAX_LIST + 1, 0, true, true, MT_ERR_VALUE, "25 inputs"},
            {{deep, deep}, 2, 0, false, true, MT_ERR_SHAPE, "8 dimensions"},
        };
        for (size_t i = 0; i < TEST_LENGTH(wrong); i++)
            for (int stack = 0; stack < 2; stack++) {
                if (!(stack ? wrong[i].stack : wrong[i].cat)) continue;
                mt_tape *tape = test_tape(b);
                TEST_NULL(stack ? mt_stack(tape, wrong[i].in, wrong[i].inputs, wrong[i].dim)
                                : mt_cat(tape, wrong[i].in, wrong[i].inputs, wrong[i].dim),
                          wrong[i].status, wrong[i].part);
                test_cases++;
            }
        test_release();
    }
}

/* ---- split ---- */

/* The parts are views of x, in order, and their gradients are parts of x's. */
static void split_one(mt_backend *b, bool by_sizes)
{
    enum { MOST = 12 };
    mt_shape shape = test_shape(4, 100, true);
    const int at = (int)test_below(shape.rank);
    int64_t sizes[MOST], size = test_from(1, 5);
    int count = (int)test_from(1, MOST);
    shape.size[at] = 0;
    for (int i = 0; i < count; i++) {
        sizes[i] = by_sizes ? test_from(0, 4) : i < count - 1 ? size : test_from(count > 1, size);
        shape.size[at] += sizes[i];
    }
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = (double)i;
    mt_tensor *x = OWN(mt_from_doubles(b, values, shape)), *parts[MOST];
    TEST_OK(mt_require_grad(x, true));
    mt_tape *tape = test_tape(b);
    const int64_t dim = test_chance(0.5) ? at : at - shape.rank;
    TEST_OK(by_sizes ? mt_split_sizes(tape, x, sizes, dim, parts, count)
                     : mt_split(tape, x, size, dim, parts, count));
    mt_tensor *sum = ON(tape, mt_num(tape, 0));
    for (int i = 0; i < count; i++) {
        TEST_TRUE(mt_tensor_size(parts[i], at) == sizes[i]);
        sum = mt_add(tape, sum, mt_scale(tape, mt_sum(tape, parts[i]), i + 1));
    }
    TEST_ALL_SAME(test_read(ON(tape, mt_cat(tape, parts, count, at))), values, n, "cat of split");
    TEST_OK(mt_backward(tape, ON(tape, sum)));
    const double *grad = test_read(mt_grad(x));
    for (int64_t i = 0; i < n; i++) {
        int64_t index[MT_MAX_DIMS];
        test_unravel(shape, i, index);
        int which = 0;
        for (int64_t along = index[at]; along >= sizes[which]; which++) along -= sizes[which];
        TEST_CHECK(grad[i] == which + 1, "the gradient at %lld is %g, of part %d", (long long)i, grad[i],
                   which);
    }
    test_cases++;
    test_release();
}

static void test_split(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 60; round++) split_one(b, round & 1);
}

static void test_refused_splits(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_ones(b, mt_shape(2, 7))), *parts[4];
        const int64_t good[] = {3, 4}, low[] = {-1, 8}, over[] = {4, 4}, under[] = {3, 3},
                      huge[] = {INT64_MAX, INT64_MAX};
        const struct {
            const int64_t *sizes; /* NULL: of one size */
            int64_t size, dim;
            int count;
            mt_status status;
            const char *part;
        } wrong[] = {
            {NULL, 0, 1, 3, MT_ERR_VALUE, "parts of size 0"},
            {NULL, -3, 1, 3, MT_ERR_VALUE, "parts of size -3"},
            {NULL, 3, 1, 2, MT_ERR_SHAPE, "makes 3 parts, and there is room for 2"},
            {NULL, INT64_MAX, 1, 2, MT_ERR_SHAPE, "makes 1 parts"},
            {NULL, 3, 2, 3, MT_ERR_INDEX, "dimension 2"},
            {NULL, 3, 1, 0, MT_ERR_VALUE, "room for no part"},
            {NULL, 3, 1, -1, MT_ERR_VALUE, "room for no part"},
            {low, 0, 1, 2, MT_ERR_VALUE, "part 0 has size -1"},
            {over, 0, 1, 2, MT_ERR_VALUE, "part 1 has size 4, and 3 of 7 are left"},
            {huge, 0, 1, 2, MT_ERR_VALUE, "part 0"},
            {under, 0, 1, 2, MT_ERR_SHAPE, "add up to 6"},
            {good, 0, -3, 2, MT_ERR_INDEX, "dimension -3"},
        };
        for (size_t i = 0; i < TEST_LENGTH(wrong); i++) {
            mt_tape *tape = test_tape(b);
            for (int k = 0; k < 4; k++) parts[k] = x;
            TEST_FAILS(wrong[i].sizes
                           ? mt_split_sizes(tape, x, wrong[i].sizes, wrong[i].dim, parts, wrong[i].count)
                           : mt_split(tape, x, wrong[i].size, wrong[i].dim, parts, wrong[i].count),
                       wrong[i].status, wrong[i].part);
            TEST_TRUE(mt_tape_status(tape) == wrong[i].status);
            for (int k = 0; k < wrong[i].count; k++) TEST_TRUE(!parts[k]);
            test_cases++;
        }
        mt_tape *tape = test_tape(b);
        TEST_FAILS(mt_split(tape, x, 4, 1, NULL, 2), MT_ERR_VALUE, "parts is NULL");
        mt_tape_reset(tape);
        TEST_FAILS(mt_split_sizes(tape, x, NULL, 1, parts, 2), MT_ERR_VALUE, "sizes is NULL");
        test_stale(); /* what failed before passes through */
        TEST_TRUE(mt_split(tape, x, 4, 1, parts, 2) == MT_ERR_VALUE && !parts[1]);
        TEST_TRUE(mt_split(NULL, x, 4, 1, parts, 2) == MT_ERR_NULL && !parts[0]);
        test_release();
    }
}

/* ---- flip ---- */

static void test_flip(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 120; round++) {
        const mt_shape shape =
            round % 20 == 0 && !test_small() ? mt_shape(300, 401) : test_shape(6, 2000, true);
        const test_array *x = numbered(b, shape, round & 1 ? TEST_INDICES : 0, 1);
        mt_shape dims = {.rank = 0};
        bool back[MT_MAX_DIMS] = {false};
        for (int d = 0; d < shape.rank; d++)
            if (test_chance(0.5) || (d == shape.rank - 1 && !dims.rank)) {
                dims.size[dims.rank++] = test_chance(0.5) ? d : d - shape.rank;
                back[d] = true;
            }
        mt_tape *tape = test_tape(b);
        const double *got = test_read(ON(tape, mt_flip(tape, x->x, dims)));
        for (int64_t i = 0; i < x->count; i++) {
            int64_t index[MT_MAX_DIMS];
            test_unravel(shape, i, index);
            for (int d = 0; d < shape.rank; d++)
                if (back[d]) index[d] = shape.size[d] - 1 - index[d];
            const double want = x->values[test_ravel(shape, index)];
            TEST_CHECK(test_same(got[i], want), "%s: flip of %s: element %lld is %g instead of %g", b->name,
                       test_text(shape), (long long)i, got[i], want);
        }
        test_unchanged(x, "flip");
        test_cases++;
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_joined), TEST(test_gradients_of_joins), TEST(test_refused_joins),
        TEST(test_split),  TEST(test_refused_splits),     TEST(test_flip),
    };
    return TEST_RUN("joins", tests);
}
