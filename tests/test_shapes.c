/* tests/test_shapes.c - shapes and layouts against a model that lists the position of every element. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* ---- the model: the position of every element in row-major order, and the shape ---- */

enum { MODEL_MAX = 4096 };

typedef struct model {
    mt_shape shape;
    int64_t count, position[MODEL_MAX];
} model;

static void model_of(const mt_layout *layout, model *m)
{
    m->shape = mt_shape_make(layout->rank, layout->size);
    m->count = test_count(m->shape);
    TEST_TRUE(m->count <= MODEL_MAX);
    for (int64_t i = 0; i < m->count; i++) {
        int64_t index[MT_MAX_DIMS];
        test_unravel(m->shape, i, index);
        m->position[i] = mt_layout_position(layout, index);
    }
}

static void compare(const char *what, const mt_layout *layout, const model *want)
{
    model got;
    TEST_CHECK(mt_shape_equal(mt_layout_shape(layout), want->shape), "%s: shape %s instead of %s", what,
               test_text(mt_layout_shape(layout)), test_text(want->shape));
    TEST_TRUE(mt_layout_count(layout) == want->count);
    model_of(layout, &got);
    for (int64_t i = 0; i < want->count; i++)
        TEST_CHECK(got.position[i] == want->position[i], "%s: element %lld of %s at %lld instead of %lld",
                   what, (long long)i, test_text(want->shape), (long long)got.position[i],
                   (long long)want->position[i]);
    test_cases++;
}

/* The model after a view: element `index` of the new shape was element `source(index)`. */
static void model_gather(const model *from, mt_shape shape,
                         void (*source)(const void *how, const int64_t *to, int64_t *index), const void *how,
                         model *to)
{
    to->shape = shape;
    to->count = test_count(shape);
    for (int64_t i = 0; i < to->count; i++) {
        int64_t index[MT_MAX_DIMS] = {0}, origin[MT_MAX_DIMS] = {0};
        test_unravel(shape, i, index);
        source(how, index, origin);
        to->position[i] = from->position[test_ravel(from->shape, origin)];
    }
}

typedef struct how {
    mt_shape from;
    mt_shape order;
    int dim;
    int64_t start, step;
} how;

static void by_order(const void *data, const int64_t *to, int64_t *index)
{
    const how *h = data;
    for (int i = 0; i < h->order.rank; i++) index[h->order.size[i]] = to[i];
}

static void by_slice(const void *data, const int64_t *to, int64_t *index)
{
    const how *h = data;
    for (int i = 0; i < h->from.rank; i++) index[i] = i == h->dim ? h->start + to[i] * h->step : to[i];
}

static void by_select(const void *data, const int64_t *to, int64_t *index)
{
    const how *h = data;
    for (int i = 0; i < h->from.rank; i++) index[i] = i < h->dim ? to[i] : i == h->dim ? h->start : to[i - 1];
}

static void by_insert(const void *data, const int64_t *to, int64_t *index)
{
    const how *h = data;
    for (int i = 0; i < h->from.rank; i++) index[i] = to[i < h->dim ? i : i + 1];
}

static mt_layout random_layout(bool stretch, bool empty)
{
    mt_shape shape = test_shape(5, 300, empty);
    test_cut cut = test_cut_make(shape, stretch);
    mt_layout layout = mt_layout_contiguous(cut.base);
    for (int d = 0; d < cut.base.rank; d++)
        TEST_OK(mt_layout_slice(&layout, d, cut.start[d], cut.stop[d], cut.step[d], &layout));
    TEST_OK(mt_layout_permute(&layout, cut.order, &layout));
    TEST_OK(mt_layout_expand(&layout, cut.shape, &layout));
    return layout;
}

/* ---- shapes ---- */

static void test_lists(void **data)
{
    (void)data;
    mt_shape s = mt_shape(2, 3);
    TEST_TRUE(s.rank == 2 && s.size[0] == 2 && s.size[1] == 3);
    TEST_TRUE(mt_shape(1).rank == 1 && mt_shape(1, 2, 3, 4, 5, 6, 7, 8).rank == 8);
    TEST_TRUE(mt_axes(-1, 0).size[0] == -1 && mt_at(4, 5, 6).size[2] == 6);
    int64_t sizes[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    TEST_TRUE(mt_shape_make(8, sizes).rank == 8);
    static const int ranks[] = {9, 0, -1, 1000000};
    for (size_t i = 0; i < TEST_LENGTH(ranks); i++) {
        mt_shape bad = mt_shape_make(ranks[i], sizes), result = mt_shape(7);
        TEST_TRUE(bad.rank == 0);
        test_stale();
        TEST_TRUE(mt_shape_count(bad) == -1);
        test_fails(__FILE__, __LINE__, "mt_shape_count", mt_last_status(), MT_ERR_SHAPE, "8");
        TEST_FAILS(mt_shape_broadcast(bad, s, &result), MT_ERR_SHAPE, "");
        TEST_FAILS(mt_shape_broadcast(s, bad, &result), MT_ERR_SHAPE, "");
        TEST_FAILS(mt_shape_infer(bad, 1, &result), MT_ERR_SHAPE, "");
        TEST_TRUE(mt_shape_equal(result, mt_shape(7)));
        test_cases++;
    }
    TEST_TRUE(mt_shape_equal(s, mt_shape(2, 3)) && !mt_shape_equal(s, mt_shape(3, 2)));
    TEST_TRUE(!mt_shape_equal(s, mt_shape(2, 3, 1)) && !mt_shape_equal(mt_shape(1, 2, 3), s));
}

static void test_counts(void **data)
{
    (void)data;
    TEST_TRUE(mt_shape_count(mt_shape(2, 3, 5)) == 30);
    TEST_TRUE(mt_shape_count(mt_shape(4, 0, 5)) == 0);
    TEST_TRUE(mt_shape_count(mt_shape(1)) == 1);
    TEST_TRUE(mt_shape_count(mt_shape(INT64_C(1) << 30, INT64_C(1) << 29)) == INT64_C(1) << 59);
    static const struct {
        int rank;
        int64_t size[4];
        const char *part;
    } bad[] = {
        {1, {-1}, "(-1)"},
        {3, {2, -3, 4}, "-3"},
        {2, {0, -1}, "-1"},
        {1, {INT64_MIN}, ""},
        {2, {INT64_C(1) << 32, INT64_C(1) << 31}, "(4294967296, 2147483648)"},
        {2, {INT64_C(1) << 32, INT64_C(1) << 32}, ""},
        {2, {INT64_MAX, 2}, ""},
        {3, {INT64_C(3037000500), INT64_C(3037000500), 1}, ""},
        {4, {INT64_C(1) << 16, INT64_C(1) << 16, INT64_C(1) << 16, INT64_C(1) << 16}, ""},
    };
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        mt_shape shape = mt_shape_make(bad[i].rank, bad[i].size);
        test_stale();
        TEST_CHECK(mt_shape_count(shape) == -1, "%s has a count", test_text(shape));
        test_fails(__FILE__, __LINE__, test_text(shape), mt_last_status(), MT_ERR_SHAPE, bad[i].part);
        test_cases++;
    }
}

static void test_texts(void **data)
{
    (void)data;
    char buffer[MT_SHAPE_TEXT];
    TEST_TRUE(mt_shape_text(mt_shape(2, 3), buffer) == buffer);
    assert_string_equal(buffer, "(2, 3)");
    assert_string_equal(mt_shape_text(mt_shape(5), buffer), "(5)");
    mt_shape wide = {.rank = 8};
    for (int d = 0; d < 8; d++) wide.size[d] = INT64_MIN;
    TEST_TRUE(strlen(mt_shape_text(wide, buffer)) == 8 * 20 + 7 * 2 + 2);
    mt_shape none = {0}, broken = {.rank = 99};
    TEST_TRUE(strlen(mt_shape_text(none, buffer)) < MT_SHAPE_TEXT);
    TEST_TRUE(strlen(mt_shape_text(broken, buffer)) < MT_SHAPE_TEXT);
}

static void test_broadcasts(void **data)
{
    (void)data;
    mt_shape r;
    for (int round = 0; round < 2000; round++) {
        mt_shape target = test_shape(6, 5000, true), a = test_narrower(target), b = test_narrower(target),
                 want = {0};
        want.rank = a.rank > b.rank ? a.rank : b.rank;
        for (int d = 1; d <= want.rank; d++) {
            int64_t x = d <= a.rank ? a.size[a.rank - d] : 1, y = d <= b.rank ? b.size[b.rank - d] : 1;
            want.size[want.rank - d] = x == 1 ? y : x;
        }
        TEST_OK(mt_shape_broadcast(a, b, &r));
        TEST_CHECK(mt_shape_equal(r, want), "%s and %s give %s", test_text(a), test_text(b), test_text(r));
        /* one size changed so that it fits no more */
        int d = (int)test_below(want.rank);
        int64_t *x = d < a.rank ? &a.size[a.rank - 1 - d] : NULL,
                *y = d < b.rank ? &b.size[b.rank - 1 - d] : NULL;
        if (x && y && *x > 1 && *y > 1) {
            (test_chance(0.5) ? x : y)[0] += 1;
            mt_shape kept = r;
            TEST_FAILS(mt_shape_broadcast(a, b, &r), MT_ERR_SHAPE, test_text(a));
            TEST_TRUE(strstr(mt_last_message(), test_text(b)));
            char dimension[40];
            snprintf(dimension, sizeof dimension, "dimension %d", want.rank - 1 - d);
            TEST_CHECK(strstr(mt_last_message(), dimension), "%s: \"%s\"", dimension, mt_last_message());
            TEST_TRUE(mt_shape_equal(kept, r));
        }
        test_cases++;
    }
    TEST_OK(mt_shape_broadcast(mt_shape(1), mt_shape(0), &r));
    TEST_TRUE(mt_shape_equal(r, mt_shape(0)));
    TEST_FAILS(mt_shape_broadcast(mt_shape(0), mt_shape(2), &r), MT_ERR_SHAPE, "(0)");
}

static void test_inference(void **data)
{
    (void)data;
    mt_shape r = mt_shape(7);
    TEST_OK(mt_shape_infer(mt_shape(2, -1), 6, &r));
    TEST_TRUE(mt_shape_equal(r, mt_shape(2, 3)));
    TEST_OK(mt_shape_infer(mt_shape(-1), 0, &r));
    TEST_TRUE(mt_shape_equal(r, mt_shape(0)));
    TEST_OK(mt_shape_infer(mt_shape(3, -1), 0, &r));
    TEST_TRUE(mt_shape_equal(r, mt_shape(3, 0)));
    TEST_OK(mt_shape_infer(mt_shape(1, 6, 1), 6, &r));
    TEST_TRUE(mt_shape_equal(r, mt_shape(1, 6, 1)));
    mt_shape kept = r;
    TEST_FAILS(mt_shape_infer(mt_shape(-1, 2, -1), 6, &r), MT_ERR_SHAPE, "-1");
    TEST_FAILS(mt_shape_infer(mt_shape(4, -1), 6, &r), MT_ERR_SHAPE, "6");
    TEST_FAILS(mt_shape_infer(mt_shape(4, 2), 6, &r), MT_ERR_SHAPE, "(4, 2)");
    TEST_FAILS(mt_shape_infer(mt_shape(0, -1), 0, &r), MT_ERR_SHAPE, "(0, -1)");
    TEST_FAILS(mt_shape_infer(mt_shape(0, -1), 6, &r), MT_ERR_SHAPE, "");
    TEST_FAILS(mt_shape_infer(mt_shape(-2, 3), 6, &r), MT_ERR_SHAPE, "-2");
    TEST_FAILS(mt_shape_infer(mt_shape(-2, -3), 6, &r), MT_ERR_SHAPE, "");
    TEST_TRUE(mt_shape_equal(kept, r));
}

static void test_flattening(void **data)
{
    (void)data;
    mt_shape r = mt_shape(7);
    for (int round = 0; round < 500; round++) {
        mt_shape shape = test_shape(8, 5000, true), want = {0};
        int first = (int)test_below(shape.rank), last = (int)test_from(first, shape.rank - 1);
        for (int d = 0; d < shape.rank; d++) {
            if (d > first && d <= last)
                want.size[want.rank - 1] *= shape.size[d];
            else
                want.size[want.rank++] = shape.size[d];
        }
        int64_t a = test_chance(0.5) ? first : first - shape.rank,
                b = test_chance(0.5) ? last : last - shape.rank;
        TEST_OK(mt_shape_flatten(shape, a, b, &r));
        TEST_CHECK(mt_shape_equal(r, want), "%s flattened from %d to %d is %s", test_text(shape), first, last,
                   test_text(r));
        test_cases++;
    }
    TEST_FAILS(mt_shape_flatten(mt_shape(2, 3, 4), 2, 1, &r), MT_ERR_SHAPE, "(2, 3, 4)");
    TEST_FAILS(mt_shape_flatten(mt_shape(2, 3, 4), 0, 3, &r), MT_ERR_INDEX, "3");
    TEST_FAILS(mt_shape_flatten(mt_shape(2, 3, 4), -4, 2, &r), MT_ERR_INDEX, "-4");
}

/* ---- layouts ---- */

static void test_row_major(void **data)
{
    (void)data;
    for (int round = 0; round < 300; round++) {
        mt_shape shape = test_shape(6, 2000, true);
        mt_layout layout = mt_layout_contiguous(shape);
        model m;
        TEST_TRUE(layout.offset == 0 && mt_shape_equal(mt_layout_shape(&layout), shape));
        TEST_TRUE(mt_layout_count(&layout) == test_count(shape) && mt_layout_is_contiguous(&layout));
        model_of(&layout, &m);
        for (int64_t i = 0; i < m.count; i++) TEST_TRUE(m.position[i] == i);
        test_cases++;
    }
}

/* What can be asked of any layout, against the list of its positions. */
static void test_properties(void **data)
{
    (void)data;
    int contiguous = 0, overlapping = 0;
    for (int round = 0; round < 3000; round++) {
        mt_layout layout = random_layout(true, true);
        model m;
        model_of(&layout, &m);
        bool in_order = true, shared = false;
        int64_t low = 0, high = 0;
        unsigned char *seen = test_memory(1 << 20);
        for (int64_t i = 0; i < m.count; i++) {
            int64_t p = m.position[i];
            in_order = in_order && p == m.position[0] + i;
            TEST_TRUE(p >= 0 && p < 1 << 20);
            shared = shared || seen[p];
            seen[p] = 1;
            if (i == 0 || p < low) low = p;
            if (i == 0 || p + 1 > high) high = p + 1;
        }
        TEST_CHECK(mt_layout_is_contiguous(&layout) == in_order, "contiguity of %s", test_text(m.shape));
        if (m.count > 0)
            TEST_CHECK(mt_layout_overlaps_itself(&layout) == shared, "overlap of %s", test_text(m.shape));
        int64_t got_low = -5, got_high = -5;
        mt_layout_extent(&layout, &got_low, &got_high);
        TEST_CHECK(got_low == low && got_high == high,
                   "the extent of %s is %lld to %lld instead of %lld to %lld", test_text(m.shape),
                   (long long)got_low, (long long)got_high, (long long)low, (long long)high);
        contiguous += in_order;
        overlapping += shared;
        test_release();
        test_cases++;
    }
    TEST_TRUE(contiguous > 100 && overlapping > 100); /* the draw means something */
    /* size-1 dimensions do not matter, whatever their strides */
    mt_layout odd = {.rank = 3, .size = {1, 4, 1}, .stride = {-77, 1, 999}, .offset = 5};
    TEST_TRUE(mt_layout_is_contiguous(&odd) && !mt_layout_overlaps_itself(&odd));
    odd.stride[1] = 0;
    TEST_TRUE(!mt_layout_is_contiguous(&odd) && mt_layout_overlaps_itself(&odd));
}

/* A long chain of views, each compared with the model. */
static void test_chains(void **data)
{
    (void)data;
    static model before, after;
    for (int chain = 0; chain < 600; chain++) {
        mt_layout layout = random_layout(true, true), next;
        model_of(&layout, &before);
        for (int link = 0; link < 8; link++) {
            int rank = layout.rank, dim = (int)test_below(rank);
            int64_t given = test_chance(0.5) ? dim : dim - rank; /* a negative dim counts from the end */
            how h = {.from = before.shape, .dim = dim};
            mt_shape shape = before.shape;
            switch (test_below(8)) {
            case 0: { /* permute */
                h.order.rank = rank;
                for (int d = 0; d < rank; d++) h.order.size[d] = d;
                test_shuffle(h.order.size, rank);
                mt_shape asked = h.order;
                for (int d = 0; d < rank; d++) {
                    shape.size[d] = before.shape.size[h.order.size[d]];
                    if (test_chance(0.3)) asked.size[d] -= rank;
                }
                TEST_OK(mt_layout_permute(&layout, asked, &next));
                model_gather(&before, shape, by_order, &h, &after);
                compare("permute", &next, &after);
                break;
            }
            case 1: { /* transpose */
                int other = (int)test_below(rank);
                h.order.rank = rank;
                for (int d = 0; d < rank; d++) h.order.size[d] = d == dim ? other : d == other ? dim : d;
                for (int d = 0; d < rank; d++) shape.size[d] = before.shape.size[h.order.size[d]];
                TEST_OK(mt_layout_transpose(&layout, given, test_chance(0.5) ? other : other - rank, &next));
                model_gather(&before, shape, by_order, &h, &after);
                compare("transpose", &next, &after);
                break;
            }
            case 2: { /* slice, as Python computes slice(start, stop, step).indices(size) */
                int64_t size = shape.size[dim], start = test_from(-2 * size - 2, 2 * size + 2);
                int64_t stop = test_chance(0.3) ? MT_END_OF_DIM : test_from(-2 * size - 2, 2 * size + 2);
                if (test_chance(0.05)) start = INT64_MIN;
                if (test_chance(0.05)) stop = INT64_MIN;
                int64_t step = test_chance(0.05) ? INT64_MAX : test_from(1, 4);
                int64_t first = start < 0 ? (start < -size ? 0 : start + size) : start > size ? size : start;
                int64_t last = stop < 0 ? (stop < -size ? 0 : stop + size) : stop > size ? size : stop;
                shape.size[dim] = last > first ? (last - first - 1) / step + 1 : 0;
                h.start = first;
                h.step = shape.size[dim] > 1 ? step : 1; /* a step that is never taken may be huge */
                TEST_OK(mt_layout_slice(&layout, given, start, stop, step, &next));
                model_gather(&before, shape, by_slice, &h, &after);
                compare("slice", &next, &after);
                break;
            }
            case 3: { /* select */
                int64_t size = shape.size[dim];
                if (size == 0) {
                    TEST_FAILS(mt_layout_select(&layout, given, 0, &next), MT_ERR_INDEX, "");
                    continue;
                }
                h.start = test_below(size);
                for (int d = dim; d < rank - 1; d++) shape.size[d] = shape.size[d + 1];
                shape.rank--;
                if (shape.rank == 0) shape = mt_shape(1);
                TEST_OK(mt_layout_select(&layout, given, test_chance(0.5) ? h.start : h.start - size, &next));
                model_gather(&before, shape, by_select, &h, &after);
                compare("select", &next, &after);
                break;
            }
            case 4: { /* expand */
                mt_shape asked = {0};
                if (test_chance(0.3) && rank < MT_MAX_DIMS) asked.size[asked.rank++] = test_from(1, 2);
                int lead = asked.rank;
                for (int d = 0; d < rank; d++) {
                    int64_t size = shape.size[d] == 1 && test_chance(0.5) ? test_from(0, 3) : shape.size[d];
                    asked.size[asked.rank++] = size;
                }
                if (test_count(asked) > MODEL_MAX) continue;
                after.shape = asked;
                after.count = test_count(asked);
                for (int64_t i = 0; i < after.count; i++)
                    after.position[i] = before.position[test_broadcast_from(before.shape, asked, i)];
                for (int d = 0; d < rank; d++)
                    if (asked.size[d + lead] == shape.size[d] && test_chance(0.3)) asked.size[d + lead] = -1;
                TEST_OK(mt_layout_expand(&layout, asked, &next));
                compare("expand", &next, &after);
                break;
            }
            case 5: /* squeeze */
                TEST_OK(mt_layout_squeeze(&layout, given, &next));
                after = before;
                if (before.shape.size[dim] == 1 && rank > 1) {
                    for (int d = dim; d < rank - 1; d++) after.shape.size[d] = after.shape.size[d + 1];
                    after.shape.rank--;
                }
                compare("squeeze", &next, &after);
                break;
            case 6: { /* unsqueeze */
                if (rank == MT_MAX_DIMS) {
                    TEST_FAILS(mt_layout_unsqueeze(&layout, 0, &next), MT_ERR_SHAPE, "8");
                    continue;
                }
                int where = (int)test_from(0, rank);
                h.dim = where;
                shape.rank++;
                for (int d = 0; d < shape.rank; d++)
                    shape.size[d] = d < where    ? before.shape.size[d]
                                    : d == where ? 1
                                                 : before.shape.size[d - 1];
                TEST_OK(mt_layout_unsqueeze(&layout, test_chance(0.5) ? where : where - rank - 1, &next));
                model_gather(&before, shape, by_insert, &h, &after);
                compare("unsqueeze", &next, &after);
                break;
            }
            default: { /* view: the same elements under a shape that splits and joins */
                int64_t rest = before.count;
                shape = (mt_shape){.rank = (int)test_from(1, 4)};
                for (int d = 0; d < shape.rank - 1; d++) {
                    int64_t size = rest == 0 ? test_from(0, 2) : test_from(1, 4);
                    while (rest > 0 && rest % size) size--;
                    shape.size[d] = size;
                    rest = rest == 0 ? 0 : rest / size;
                }
                shape.size[shape.rank - 1] = rest;
                after = before;
                after.shape = shape;
                if (before.count > 0 && test_chance(0.5)) shape.size[test_below(shape.rank)] = -1;
                if (mt_layout_is_contiguous(&layout)) {
                    TEST_OK(mt_layout_view(&layout, shape, &next));
                    compare("view", &next, &after);
                } else {
                    next = layout;
                    TEST_FAILS(mt_layout_view(&layout, shape, &next), MT_ERR_SHAPE, test_text(before.shape));
                    TEST_TRUE(memcmp(&next, &layout, sizeof next) == 0);
                    continue;
                }
                break;
            }
            }
            layout = next;
            before = after;
            if (layout.rank == MT_MAX_DIMS) break;
        }
    }
}

/* Calls that must fail, each leaving the result as it was; in place as well (result == layout). */
static void test_refusals(void **data)
{
    (void)data;
    mt_layout x = mt_layout_contiguous(mt_shape(2, 3, 4)), r;
    memset(&r, 0x5A, sizeof r);
    mt_layout kept = r;
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1), &r), MT_ERR_SHAPE, "(0, 1)");
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1, 2, 3), &r), MT_ERR_SHAPE, "(2, 3, 4)");
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1, 1), &r), MT_ERR_SHAPE, "(0, 1, 1)");
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1, -2), &r), MT_ERR_SHAPE, "-2");
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1, 3), &r), MT_ERR_SHAPE, "3");
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1, -4), &r), MT_ERR_SHAPE, "-4");
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1, INT64_MIN), &r), MT_ERR_SHAPE, "");
    TEST_FAILS(mt_layout_permute(&x, mt_axes(0, 1, INT64_MAX), &r), MT_ERR_SHAPE, "");
    TEST_FAILS(mt_layout_permute(&x, mt_shape_make(9, NULL), &r), MT_ERR_SHAPE, "");
    TEST_FAILS(mt_layout_transpose(&x, 0, 3, &r), MT_ERR_INDEX, "3");
    TEST_FAILS(mt_layout_transpose(&x, -4, 0, &r), MT_ERR_INDEX, "-4");
    TEST_FAILS(mt_layout_slice(&x, 3, 0, 1, 1, &r), MT_ERR_INDEX, "(2, 3, 4)");
    TEST_FAILS(mt_layout_slice(&x, 0, 0, 1, 0, &r), MT_ERR_VALUE, "0");
    TEST_FAILS(mt_layout_slice(&x, 0, 0, 1, -1, &r), MT_ERR_VALUE, "-1");
    TEST_FAILS(mt_layout_slice(&x, 0, 0, 1, INT64_MIN, &r), MT_ERR_VALUE, "");
    TEST_FAILS(mt_layout_select(&x, 1, 3, &r), MT_ERR_INDEX, "(2, 3, 4)");
    TEST_FAILS(mt_layout_select(&x, 1, -4, &r), MT_ERR_INDEX, "-4");
    TEST_FAILS(mt_layout_select(&x, -5, 0, &r), MT_ERR_INDEX, "-5");
    TEST_FAILS(mt_layout_select(&x, 0, INT64_MIN, &r), MT_ERR_INDEX, "");
    TEST_FAILS(mt_layout_expand(&x, mt_shape(3, 4), &r), MT_ERR_SHAPE, "(3, 4)");
    TEST_FAILS(mt_layout_expand(&x, mt_shape(2, 3, 5), &r), MT_ERR_SHAPE, "(2, 3, 4)");
    TEST_FAILS(mt_layout_expand(&x, mt_shape(2, 1, 4), &r), MT_ERR_SHAPE, "(2, 1, 4)");
    TEST_FAILS(mt_layout_expand(&x, mt_shape(-1, 2, 3, 4), &r), MT_ERR_SHAPE, "-1");
    TEST_FAILS(mt_layout_expand(&x, mt_shape(2, 3, -2), &r), MT_ERR_SHAPE, "-2");
    TEST_FAILS(mt_layout_expand(&x, mt_shape_make(9, NULL), &r), MT_ERR_SHAPE, "");
    TEST_FAILS(mt_layout_squeeze(&x, 3, &r), MT_ERR_INDEX, "3");
    TEST_FAILS(mt_layout_unsqueeze(&x, 4, &r), MT_ERR_INDEX, "4");
    TEST_FAILS(mt_layout_unsqueeze(&x, -5, &r), MT_ERR_INDEX, "-5");
    TEST_FAILS(mt_layout_view(&x, mt_shape(-1, 2, -1), &r), MT_ERR_SHAPE, "-1");
    TEST_FAILS(mt_layout_view(&x, mt_shape(5, 5), &r), MT_ERR_SHAPE, "(5, 5)");
    TEST_FAILS(mt_layout_view(&x, mt_shape(-2, -12), &r), MT_ERR_SHAPE, "-2");
    TEST_FAILS(mt_layout_view(&x, mt_shape(INT64_C(1) << 62, 8, 24), &r), MT_ERR_SHAPE, "");
    TEST_FAILS(mt_layout_view(&x, mt_shape_make(9, NULL), &r), MT_ERR_SHAPE, "");
    mt_layout one = mt_layout_contiguous(mt_shape(1, 1));
    TEST_FAILS(mt_layout_expand(&one, mt_shape(INT64_C(1) << 40, INT64_C(1) << 40), &r), MT_ERR_SHAPE, "");
    TEST_TRUE(memcmp(&kept, &r, sizeof r) == 0);

    int d = 77;
    TEST_FAILS(mt_layout_dim(&x, 3, "walk", &d), MT_ERR_INDEX, "walk");
    TEST_FAILS(mt_layout_dim(&x, -4, "walk", &d), MT_ERR_INDEX, "-4");
    TEST_TRUE(d == 77);
    TEST_OK(mt_layout_dim(&x, -1, "walk", &d));
    TEST_TRUE(d == 2);
    TEST_OK(mt_layout_dim(&x, 0, "walk", &d));
    TEST_TRUE(d == 0);

    mt_layout same = x;
    TEST_OK(mt_layout_permute(&same, mt_axes(2, 0, 1), &same)); /* in place */
    TEST_TRUE(same.size[0] == 4 && same.stride[0] == 1 && same.size[1] == 2 && same.stride[1] == 12);
    TEST_OK(mt_layout_select(&same, 0, -1, &same));
    TEST_TRUE(same.offset == 3 && same.rank == 2 && same.size[0] == 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_lists),     TEST(test_counts),     TEST(test_texts),     TEST(test_broadcasts),
        TEST(test_inference), TEST(test_flattening), TEST(test_row_major), TEST(test_properties),
        TEST(test_chains),    TEST(test_refusals),
    };
    return TEST_RUN("shapes", tests);
}
