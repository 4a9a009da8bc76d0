/* tests/test_windows.c - windows as a view, their gradient, a constant around a tensor, and outputs whose
 * elements share memory: what the descriptors' checks (test_descriptors.c) cannot know.
 */
#include <string.h>

#include "support.h"
#include "tensor/elementwise_ops.h"

/* The layout of windows of windows, against the definition. */
static void test_layouts(void **data)
{
    (void)data;
    for (int round = 0; round < 600; round++) {
        const test_array *a =
            test_array_random(test_simple(), test_shape(4, 200, true), TEST_INPUT | TEST_INDICES, -9, 9);
        mt_tensor *x = a->x, *y = NULL;
        for (int deep = 0; deep < 3 && mt_tensor_count(x) < 2000; deep++, x = y) {
            const mt_shape shape = mt_tensor_shape(x);
            const int64_t dim = test_below(shape.rank), most = shape.size[dim];
            if (most == 0) break;
            const int64_t size = test_from(1, most), step = test_from(1, 4);
            y = OWN(mt_tensor_unfold(x, test_chance(0.5) ? dim : dim - shape.rank, size, step));
            mt_shape want = shape;
            want.size[dim] = (most - size) / step + 1;
            want.size[want.rank++] = size;
            TEST_CHECK(mt_shape_equal(mt_tensor_shape(y), want), "windows of %lld, step %lld, of %s: %s",
                       (long long)size, (long long)step, test_text(shape), test_text(mt_tensor_shape(y)));
            const double *got = test_read(y), *from = test_read(x);
            for (int64_t i = 0, index[MT_MAX_DIMS]; i < test_count(want); i++) {
                test_unravel(want, i, index);
                index[dim] = index[dim] * step + index[shape.rank];
                TEST_TRUE(got[i] == from[test_ravel(shape, index)]);
            }
            test_cases++;
        }
        test_release();
    }
    mt_tensor *x = OWN(mt_zeros(test_simple(), mt_shape(3, 5)));
    TEST_NULL(mt_tensor_unfold(x, 2, 1, 1), MT_ERR_INDEX, "unfold: dimension 2 of shape (3, 5)");
    TEST_NULL(mt_tensor_unfold(x, 1, 6, 1), MT_ERR_SHAPE, "windows of 6 along dimension 1 of shape (3, 5)");
    TEST_NULL(mt_tensor_unfold(x, 1, 0, 1), MT_ERR_SHAPE, "windows of 0");
    TEST_NULL(mt_tensor_unfold(x, 1, INT64_MIN, 1), MT_ERR_SHAPE, "");
    TEST_NULL(mt_tensor_unfold(x, 1, 2, 0), MT_ERR_VALUE, "step 0");
    TEST_NULL(mt_tensor_unfold(x, 1, 2, INT64_MIN), MT_ERR_VALUE, "step");
    TEST_TRUE(mt_tensor_size(OWN(mt_tensor_unfold(x, 1, 5, INT64_MAX)), 1) == 1);
    TEST_TRUE(!mt_tensor_unfold(NULL, 0, 1, 1));
    x = OWN(mt_zeros(test_simple(), mt_shape(1, 1, 1, 1, 1, 1, 1, 1)));
    TEST_NULL(mt_tensor_unfold(x, 0, 1, 1), MT_ERR_SHAPE, "8 dimensions already");
}

/* Any sizes and strides, against the list of positions: the answer is exact for all that small. */
static void test_overlap(void **data)
{
    (void)data;
    int sharing = 0, apart = 0;
    for (int round = 0; round < 20000; round++) {
        static unsigned char seen[1000];
        mt_layout layout = {.rank = (int)test_from(1, 5)};
        for (int d = 0; d < layout.rank; d++) {
            layout.size[d] = test_chance(0.02) ? 0 : test_from(1, d < 2 ? 6 : 3);
            layout.stride[d] = test_from(test_chance(0.1) ? 0 : 1, test_chance(0.5) ? 5 : 40);
        }
        const mt_shape shape = mt_layout_shape(&layout);
        bool shared = false;
        memset(seen, 0, sizeof seen);
        for (int64_t i = 0, index[MT_MAX_DIMS]; i < test_count(shape); i++) {
            test_unravel(shape, i, index);
            unsigned char *at = &seen[mt_layout_position(&layout, index)];
            shared |= *at;
            *at = 1;
        }
        TEST_CHECK(mt_layout_overlaps_itself(&layout) == shared,
                   "%s with strides %lld %lld %lld %lld %lld: %d", test_text(shape),
                   (long long)layout.stride[0], (long long)layout.stride[1], (long long)layout.stride[2],
                   (long long)layout.stride[3], (long long)layout.stride[4], shared);
        sharing += shared, apart += !shared;
        test_cases++;
    }
    TEST_TRUE(sharing > 2000 && apart > 2000);
    /* so many ways that the answer is the careful one */
    mt_layout wide = {
        .rank = 4, .size = {1000, 1000, 1000, 1000}, .stride = {999983, 999979, 999961, 999959}};
    TEST_TRUE(mt_layout_overlaps_itself(&wide));
}

/* Elements that share memory are read, and never written. */
static void test_writes(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_zeros(b, mt_shape(6))), *one = OWN(mt_ones(b, mt_shape(1)));
        mt_tensor *shared = OWN(mt_tensor_unfold(x, 0, 3, 2)), *apart = OWN(mt_tensor_unfold(x, 0, 2, 2));
        TEST_FAILS(mt_op_fill(shared, 1), MT_ERR_SHAPE, "elements share memory");
        TEST_FAILS(mt_op_add(shared, shared, one), MT_ERR_SHAPE, "add: the output of shape (2, 3)");
        TEST_OK(mt_op_fill(apart, 1));
        /* every other element of overlapping windows: 0 2, 2 4 */
        TEST_FAILS(mt_op_fill(OWN(mt_tensor_slice(shared, 1, 0, 3, 2)), 1), MT_ERR_SHAPE, "share memory");
        TEST_OK(mt_op_fill(OWN(mt_tensor_slice(shared, 1, 0, 2, 1)), 2));
        TEST_ALL_SAME(test_read(x), (const double[]){2, 2, 2, 2, 1, 1}, 6, "written through windows");
        test_cases++;
        test_release();
    }
}

/* The gradient of windows of windows: each element's is the sum of its places', in double beside a loop. */
static void test_gradients(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 60; round++) {
        const mt_shape shape = test_shape(3, 300, false);
        const int64_t dim = test_below(shape.rank), size = test_from(1, shape.size[dim]),
                      step = test_from(1, 5);
        mt_tensor *x = OWN(mt_zeros(b, shape));
        TEST_OK(mt_require_grad(x, true));
        mt_tape *tape = test_tape(b);
        mt_tensor *y = ON(tape, mt_unfold(tape, x, dim, size, step));
        const test_array *g = test_array_random(b, mt_tensor_shape(y), TEST_INPUT, -1, 1);
        const int times = (int)test_from(1, 2);
        TEST_OK(mt_backward_from(tape, y, g->x));
        if (times == 2) TEST_OK(mt_backward_from(tape, y, g->x)); /* added to what is there */
        double *want = test_memory((size_t)(test_count(shape) + 1) * sizeof *want);
        for (int64_t i = 0, index[MT_MAX_DIMS]; i < g->count; i++) {
            test_unravel(g->shape, i, index);
            index[dim] = index[dim] * step + index[shape.rank];
            want[test_ravel(shape, index)] += times * g->values[i];
        }
        const double off = 4 * (double)size * test_epsilon;
        TEST_ALL_CLOSE(test_read(mt_grad(x)), want, test_count(shape), off, off, "the gradient of windows");
        test_cases++;
        test_release();
    }
}

static void test_pad(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 60; round++) {
            const unsigned kind = test_chance(0.3) ? TEST_INDICES : 0;
            const test_array *a = test_array_random(b, test_shape(4, 200, true), TEST_INPUT | kind, -9, 9);
            mt_shape before = {.rank = a->shape.rank}, after = before, want = a->shape;
            for (int d = 0; d < want.rank; d++) {
                before.size[d] = test_from(0, 2), after.size[d] = test_from(0, 2);
                want.size[d] += before.size[d] + after.size[d];
            }
            mt_tape *tape = test_tape(b);
            mt_tensor *y = ON(tape, mt_pad(tape, a->x, before, after, -3));
            TEST_TRUE(mt_shape_equal(mt_tensor_shape(y), want) && mt_tensor_kind(y) == mt_tensor_kind(a->x));
            const double *got = test_read(y);
            for (int64_t i = 0, index[MT_MAX_DIMS]; i < test_count(want); i++) {
                bool inside = true;
                test_unravel(want, i, index);
                for (int d = 0; d < want.rank; d++) {
                    index[d] -= before.size[d];
                    inside = inside && index[d] >= 0 && index[d] < a->shape.size[d];
                }
                TEST_TRUE(got[i] == (inside ? a->values[test_ravel(a->shape, index)] : -3));
            }
            test_unchanged(a, "pad");
            test_cases++;
            test_release();
        }
        mt_tensor *x = OWN(mt_zeros(b, mt_shape(2, 3)));
        static const struct {
            mt_shape before, after;
        } bad[] = {
            {{1, {1}}, {2, {1, 1}}},
            {{2, {1, 1}}, {3, {1, 1, 1}}},
            {{2, {-1, 0}}, {2, {1, 1}}},
            {{2, {0, 0}}, {2, {0, INT64_MAX}}},
            {{2, {INT64_MAX, 0}}, {2, {INT64_MAX, 0}}},
        };
        for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
            mt_tape *tape = test_tape(b);
            TEST_NULL(mt_pad(tape, x, bad[i].before, bad[i].after, 0), MT_ERR_SHAPE, "pad: ");
            test_cases++;
        }
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_layouts), TEST(test_overlap), TEST(test_writes), TEST(test_gradients), TEST(test_pad),
    };
    return TEST_RUN("windows", tests);
}
