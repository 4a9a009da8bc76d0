/* tests/test_losses.c - losses against PyTorch's values (golden/losses.inc) on every backend, fused and not;
 * labels and options that are refused; and what mt_label_weight is for. */
#include <math.h>
#include <string.h>

#include "autodiff/elementwise.h"
#include "autodiff/operations.h"
#include "support.h"

/* ---- PyTorch's values ---- */

static const struct {
    const char *name;
    int operands; /* their case, below */
    double number;
    int weighted, ignored, reduction;
    double loss[12], gradient[12];
} rows[] = {
#include "golden/losses.inc"
};

static const double x_values[] = {0.5, -1.25, 2.0, 0.75, 1.5, -0.5, 0.0, 3.0, -2.5, 1.0, 0.25, -0.75};
static const double y_values[] = {0.25, 1.0, 0.5, 0.0, 0.75, 1.0, 0.125, 0.5, 0.0, 1.0, 0.625, 0.25};
static const int64_t labels_of[][4] = {{2, 0, 1, 1}, {0, 2, 1, 1}, {1}}, all_one[] = {1, 1, 1, 1};
static const mt_shape shapes[] = {{2, {4, 3}}, {3, {2, 3, 2}}, {1, {3}}};
static const mt_shape label_shapes[] = {{1, {4}}, {2, {2, 2}}, {1, {1}}};

/* The call of row i as one makes it from C; the weights are all 1 where there are none. */
static mt_tensor *apply_row(mt_tape *t, size_t i, mt_tensor *x, mt_tensor *y, mt_tensor *labels,
                            mt_tensor *weight)
{
    const char *name = rows[i].name;
    const mt_loss_reduction how = (mt_loss_reduction)rows[i].reduction;
    mt_cross_entropy_options options = mt_cross_entropy_defaults();
    options.reduction = how;
    options.label_smoothing = rows[i].number;
    if (rows[i].ignored) options.ignore_index = 1;
    const bool weighted = rows[i].weighted;
    if (strcmp(name, "mse") == 0) return mt_mse_with(t, x, y, how);
    if (strcmp(name, "l1") == 0) return mt_l1_with(t, x, y, how);
    if (strcmp(name, "huber") == 0) return mt_huber_with(t, x, y, rows[i].number, how);
    if (strcmp(name, "smooth_l1") == 0) return mt_smooth_l1_with(t, x, y, rows[i].number, how);
    if (strcmp(name, "bce") == 0) return mt_bce_with(t, x, y, how);
    if (strcmp(name, "bce_with_logits") == 0) return mt_bce_with_logits_with(t, x, y, how);
    if (strcmp(name, "nll") == 0)
        return weighted ? mt_nll_weighted(t, x, labels, weight, options) : mt_nll_with(t, x, labels, options);
    if (strcmp(name, "cross_entropy") == 0)
        return weighted ? mt_cross_entropy_weighted(t, x, labels, weight, options)
                        : mt_cross_entropy_with(t, x, labels, options);
    return weighted ? mt_soft_cross_entropy_weighted(t, x, y, weight, options)
                    : mt_soft_cross_entropy_with(t, x, y, options);
}

/* A parameter, and x, which is cut out of it in a random layout and has those values. */
typedef struct operand {
    test_cut cut;
    mt_tensor *base, *x;
} operand;

static operand laid_out(mt_tape *t, const double *values, mt_shape shape)
{
    operand o = {.cut = test_cut_make(shape, false)};
    double *all = test_memory((size_t)(test_count(o.cut.base) + 1) * sizeof *all);
    for (int64_t i = 0; i < test_count(shape); i++) all[test_cut_position(&o.cut, i)] = values[i];
    o.base = OWN(mt_from_doubles(mt_tape_backend(t), all, o.cut.base));
    TEST_OK(mt_require_grad(o.base, true));
    o.x = ON(t, test_cut_tape(&o.cut, t, o.base));
    return o;
}

/* x's part of the parameter's gradient. */
static double *slope_of(const operand *o)
{
    const int64_t n = test_count(o->cut.shape);
    const double *all = test_read(mt_grad(o->base));
    double *slope = test_memory((size_t)(n + 1) * sizeof *slope);
    for (int64_t i = 0; i < n; i++) slope[i] = all[test_cut_position(&o->cut, i)];
    return slope;
}

static void check_row(mt_backend *b, size_t i, bool fuse)
{
    const int c = rows[i].operands;
    const mt_shape shape = shapes[c];
    const int64_t n = test_count(shape);
    double values[12], weights[12];
    for (int64_t k = 0; k < n; k++)
        values[k] = strcmp(rows[i].name, "bce") == 0 ? (x_values[k] + 3) / 8 : x_values[k];
    mt_tensor *labels =
        OWN(mt_from_indices(b, rows[i].ignored == 2 ? all_one : labels_of[c], label_shapes[c]));
    mt_tensor *weight = OWN(mt_from_doubles(b, (const double[]){0.5, 2, 1.25}, mt_shape(3)));
    mt_tape *tape = test_tape(b);
    mt_tape_fuse(tape, fuse);
    const operand x = laid_out(tape, values, shape);
    mt_tensor *y = test_array_from(b, shape, TEST_FIXED, y_values)->x;
    mt_tensor *loss = ON(tape, apply_row(tape, i, x.x, y, labels, weight));
    const int64_t results = test_count(mt_tensor_shape(loss));
    for (int64_t k = 0; k < results; k++) weights[k] = 1 + (double)k / 4;
    const char *what = rows[i].name;
    TEST_ALL_CLOSE(test_read(loss), rows[i].loss, results, 16 * test_epsilon, 16 * test_epsilon, what);
    mt_tensor *g = OWN(mt_from_doubles(b, weights, mt_tensor_shape(loss)));
    TEST_OK(mt_backward_from(tape, loss, g));
    TEST_ALL_CLOSE(slope_of(&x), rows[i].gradient, n, 16 * test_epsilon, 32 * test_epsilon, what);
    test_rows++;
}

static void test_golden(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(rows); i++) {
        check_row(b, i, true);
        check_row(b, i, false);
        test_release();
    }
}

/* The short names are the means, by the defaults. */
static void test_short_names(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(rows); i++) {
        const char *name = rows[i].name;
        if (rows[i].reduction != 0 || rows[i].weighted || rows[i].ignored) continue;
        const bool soft = strcmp(name, "soft_cross_entropy") == 0,
                   crossed = strcmp(name, "cross_entropy") == 0;
        if ((soft || crossed) && rows[i].number != 0) continue;
        const mt_shape shape = shapes[rows[i].operands];
        mt_tensor *x = OWN(mt_from_doubles(b, x_values, shape)),
                  *y = OWN(mt_from_doubles(b, y_values, shape));
        mt_tensor *labels =
            OWN(mt_from_indices(b, labels_of[rows[i].operands], label_shapes[rows[i].operands]));
        mt_tape *t = test_tape(b);
        if (strcmp(name, "bce") == 0) x = ON(t, mt_scale(t, mt_add(t, x, mt_num(t, 3)), 0.125));
        mt_tensor *loss = soft                             ? mt_soft_cross_entropy(t, x, y)
                          : crossed                        ? mt_cross_entropy(t, x, labels)
                          : strcmp(name, "nll") == 0       ? mt_nll(t, x, labels)
                          : strcmp(name, "mse") == 0       ? mt_mse(t, x, y)
                          : strcmp(name, "l1") == 0        ? mt_l1(t, x, y)
                          : strcmp(name, "huber") == 0     ? mt_huber(t, x, y, rows[i].number)
                          : strcmp(name, "smooth_l1") == 0 ? mt_smooth_l1(t, x, y, rows[i].number)
                          : strcmp(name, "bce") == 0       ? mt_bce(t, x, y)
                                                           : mt_bce_with_logits(t, x, y);
        TEST_ALL_CLOSE(test_read(ON(t, loss)), rows[i].loss, 1, 16 * test_epsilon, 16 * test_epsilon, name);
        test_cases++;
        test_release();
    }
}

/* ---- labels and the same as one-hot rows ---- */

static void test_one_hot(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 20; round++) {
        const int64_t n = test_from(1, 9), classes = test_from(2, 40), inner = test_from(1, 3);
        double *one_hot = test_memory((size_t)(n * classes * inner) * sizeof *one_hot);
        int64_t *labels = test_memory((size_t)(n * inner) * sizeof *labels);
        for (int64_t i = 0; i < n * inner; i++) {
            labels[i] = test_below(classes);
            one_hot[(i / inner * classes + labels[i]) * inner + i % inner] = 1;
        }
        const mt_shape shape = mt_shape(n, classes, inner);
        double *values = test_memory((size_t)(n * classes * inner) * sizeof *values);
        for (int64_t i = 0; i < n * classes * inner; i++) values[i] = test_between(-5, 5);
        mt_tensor *y = OWN(mt_from_doubles(b, one_hot, shape)),
                  *l = OWN(mt_from_indices(b, labels, mt_shape(n, inner)));
        double *slope[2];
        for (int soft = 0; soft < 2; soft++) {
            mt_tape *t = test_tape(b);
            const operand x = laid_out(t, values, shape);
            TEST_OK(
                mt_backward(t, ON(t, soft ? mt_soft_cross_entropy(t, x.x, y) : mt_cross_entropy(t, x.x, l))));
            slope[soft] = slope_of(&x);
        }
        TEST_ALL_CLOSE(slope[0], slope[1], n * classes * inner, 4 * test_epsilon, 16 * test_epsilon,
                       "one-hot");
        test_cases++;
        test_release();
    }
}

/* ---- parts of a batch ---- */

/* The sums of parts, of different weights, over the sum of their weights are the mean of all. */
static void test_parts(void **data)
{
    (void)data;
    static const int64_t labels[] = {0, 1, 2, 1, 1, 2, 0};
    static const int64_t bound[] = {0, 2, 3, 7};
    EACH_BACKEND(b)
    for (int weighted = 0; weighted < 2; weighted++) {
        mt_tape *t = test_tape(b);
        mt_tensor *x = OWN(mt_from_doubles(
            b, (const double[]){1, 2, 3, 4, 0, 1, 2, 2, 5, 1, 1, 0, 3, -1, 2, 0, 4, 1, -2, 2, 0},
            mt_shape(7, 3)));
        mt_tensor *l = OWN(mt_from_indices(b, labels, mt_shape(7)));
        mt_tensor *w = OWN(mt_from_doubles(b, (const double[]){0.5, 3, 1.5}, mt_shape(weighted ? 3 : 1)));
        mt_cross_entropy_options options = mt_cross_entropy_defaults();
        options.ignore_index = 2;
        const double whole = mt_item(ON(t, mt_cross_entropy_weighted(t, x, l, w, options)));
        double sum = 0, weight = 0;
        options.reduction = MT_LOSS_SUM;
        for (int k = 0; k < 3; k++) {
            mt_tensor *part = ON(t, mt_slice(t, x, 0, bound[k], bound[k + 1], 1)),
                      *of = ON(t, mt_slice(t, l, 0, bound[k], bound[k + 1], 1));
            sum += mt_item(ON(t, mt_cross_entropy_weighted(t, part, of, w, options)));
            weight += mt_item(ON(t, mt_label_weight(t, of, w, 2)));
        }
        if (!weighted) TEST_TRUE(weight == 5 * 0.5);
        TEST_TRUE(test_close(sum / weight, whole, 0, 16 * test_epsilon));
        test_cases++;
        test_release();
    }
}

/* ---- what is ignored, and what is infinite ---- */

static void test_edges(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int fuse = 0; fuse < 2; fuse++) {
        mt_tape *t = test_tape(b);
        mt_tape_fuse(t, fuse);
        mt_cross_entropy_options options = mt_cross_entropy_defaults();
        options.reduction = MT_LOSS_NONE;
        /* A row that is ignored may hold anything; 1000 does not overflow; -inf is a class that cannot be. */
        mt_tensor *x = OWN(mt_from_doubles(
            b,
            (const double[]){NAN, 1, INFINITY, 1000, 0, 0, 0, -INFINITY, 0, -INFINITY, -INFINITY, -INFINITY},
            mt_shape(4, 3)));
        mt_tensor *l = OWN(mt_from_indices(b, (const int64_t[]){-100, 1, 0, 0}, mt_shape(4)));
        TEST_ALL_CLOSE(test_read(ON(t, mt_cross_entropy_with(t, x, l, options))),
                       (const double[]){0, 1000, log(2), NAN}, 4, 0, 4 * test_epsilon, "edges");
        mt_tensor *none = OWN(mt_empty(b, mt_shape(0, 3), MT_REAL)),
                  *nobody = OWN(mt_empty(b, mt_shape(0), MT_INDEX));
        TEST_TRUE(isnan(mt_item(ON(t, mt_cross_entropy(t, none, nobody)))));
        TEST_TRUE(test_count(mt_tensor_shape(ON(t, mt_cross_entropy_with(t, none, nobody, options)))) == 0);
        options.reduction = MT_LOSS_SUM;
        TEST_TRUE(mt_item(ON(t, mt_cross_entropy_with(t, none, nobody, options))) == 0);
        TEST_TRUE(mt_item(ON(t, mt_nll_with(t, none, nobody, options))) == 0);
        /* Probabilities of no classes: each row is a sum of nothing. */
        mt_tensor *classless = OWN(mt_empty(b, mt_shape(2, 0), MT_REAL));
        options.reduction = MT_LOSS_NONE;
        TEST_ALL_CLOSE(test_read(ON(t, mt_soft_cross_entropy_with(t, classless, classless, options))),
                       (const double[]){0, 0}, 2, 0, 0, "no classes");
        TEST_TRUE(mt_item(ON(t, mt_soft_cross_entropy(t, classless, classless))) == 0);
        test_cases++;
        test_release();
    }
}

/* ---- the slots: by any number of threads, and beside the expressions ---- */

enum { SOFTMAX, LOG_SOFTMAX, CROSS_ENTROPY, SOFT, WAYS };

static mt_tensor *apply_way(mt_tape *t, int way, int dim, mt_tensor *x, mt_tensor *y, mt_tensor *labels,
                            mt_tensor *weight)
{
    mt_cross_entropy_options options = mt_cross_entropy_defaults();
    options.label_smoothing = 0.125;
    options.ignore_index = 0;
    options.reduction = MT_LOSS_NONE;
    return way == SOFTMAX         ? mt_softmax(t, x, dim)
           : way == LOG_SOFTMAX   ? mt_log_softmax(t, x, dim)
           : way == CROSS_ENTROPY ? mt_cross_entropy_weighted(t, x, labels, weight, options)
                                  : mt_soft_cross_entropy_weighted(t, x, y, weight, options);
}

/* Value and gradient, one after the other. */
static double *both_of(mt_backend *b, int way, bool fuse, int dim, mt_shape shape, const double *values,
                       int64_t *count)
{
    const int64_t n = test_count(shape), classes = shape.size[shape.rank > 1];
    mt_shape kept = shape;
    for (int d = 1; d + 1 < kept.rank; d++) kept.size[d] = kept.size[d + 1];
    if (--kept.rank == 0) kept = mt_shape(1);
    int64_t *labels = test_memory((size_t)(test_count(kept) + 1) * sizeof *labels);
    double *y = test_memory((size_t)(n + classes + 1) * sizeof *y),
           *w = test_memory((size_t)(classes + 1) * sizeof *w);
    for (int64_t i = 0; i < test_count(kept); i++) labels[i] = i * 7 % classes;
    for (int64_t i = 0; i < n; i++) y[i] = (double)(i % 5) / 4;
    for (int64_t i = 0; i < classes; i++) w[i] = 0.5 + (double)(i % 3) / 2;
    mt_tape *t = test_tape(b);
    mt_tape_fuse(t, fuse);
    const operand x = laid_out(t, values, shape);
    mt_tensor *out = ON(t, apply_way(t, way, dim, x.x, OWN(mt_from_doubles(b, y, shape)),
                                     OWN(mt_from_indices(b, labels, kept)),
                                     OWN(mt_from_doubles(b, w, mt_shape(classes)))));
    const mt_shape result = mt_tensor_shape(out);
    double *g = test_memory((size_t)(test_count(result) + 1) * sizeof *g);
    for (int64_t i = 0; i < test_count(result); i++) g[i] = (double)(i % 7) / 4 - 0.5;
    TEST_OK(mt_backward_from(t, out, OWN(mt_from_doubles(b, g, result))));
    *count = test_count(result) + n;
    double *both = test_memory((size_t)(*count + 1) * sizeof *both);
    memcpy(both, test_read(out), (size_t)test_count(result) * sizeof *both);
    memcpy(both + test_count(result), slope_of(&x), (size_t)n * sizeof *both);
    return both;
}

static void test_fused(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int round = 0; round < 40; round++) {
        const mt_shape shape = round == 0 ? mt_shape(3, 4500) : test_shape(round % 2 ? 2 : 8, 600, false);
        const int64_t n = test_count(shape);
        double *values = test_memory((size_t)n * sizeof *values);
        for (int64_t i = 0; i < n; i++) values[i] = test_between(-6, 6);
        for (int way = 0; way < WAYS; way++) {
            const int dim = way < CROSS_ENTROPY ? (int)test_below(shape.rank) : 0;
            int64_t count;
            const double *fused = both_of(b, way, true, dim, shape, values, &count),
                         *parts = both_of(b, way, false, dim, shape, values, &count);
            TEST_ALL_CLOSE(fused, parts, count, 256 * test_epsilon, 64 * test_epsilon, "fused and by parts");
            test_cases++;
        }
        test_release();
    }
}

static void test_threads(void **data)
{
    (void)data;
    const int threads = mt_get_threads();
    EACH_BACKEND(b)
    for (int way = 0; way < WAYS && strcmp(b->name, "gpu-sim") != 0; way++)
        for (int dim = 0; dim < 2; dim++) {
            const mt_shape shape = test_small() ? mt_shape(20, 30)
                                   : dim        ? mt_shape(40, 3000)
                                                : mt_shape(3000, 40);
            const int64_t n = test_count(shape);
            double *values = test_memory((size_t)n * sizeof *values), *first = NULL;
            for (int64_t i = 0; i < n; i++) values[i] = test_between(-6, 6);
            for (int k = 1; k <= 4; k++) {
                int64_t count;
                TEST_OK(mt_set_threads(k));
                const double *now = both_of(b, way, true, dim, shape, values, &count);
                if (!first)
                    first = memcpy(test_memory((size_t)count * sizeof *first), now,
                                   (size_t)count * sizeof *first);
                TEST_ALL_SAME(now, first, count, "one thread or more");
                test_cases++;
            }
            test_release();
        }
    TEST_OK(mt_set_threads(threads));
}

/* Rows of infinities and NaN, as PyTorch has them. */
static void test_infinite(void **data)
{
    (void)data;
    const double x[] = {-INFINITY, -INFINITY, -INFINITY, 1,         INFINITY, 2,     0, NAN,
                        0,         -INFINITY, 0,         -INFINITY, 1e30,     -1e30, 0};
    const double y[] = {NAN, NAN, NAN, 0, NAN, 0, NAN, NAN, NAN, 0, 1, 0, 1, 0, 0};
    EACH_BACKEND(b)
    {
        mt_tape *t = test_tape(b);
        double *got = test_read(ON(t, mt_softmax(t, OWN(mt_from_doubles(b, x, mt_shape(5, 3))), 1)));
        TEST_TRUE(isnan(got[4])); /* the rest of that row is 0 or NaN: exp(-inf) over NaN */
        got[3] = got[5] = 0;
        TEST_ALL_SAME(got, y, 15, "softmax");
        got = test_read(ON(t, mt_log_softmax(t, OWN(mt_from_doubles(b, x, mt_shape(5, 3))), 1)));
        TEST_TRUE(isnan(got[0]) && isnan(got[4]) && isnan(got[7]) && got[9] == -INFINITY && got[10] == 0 &&
                  got[12] == 0);
        test_cases++;
        test_release();
    }
}

/* ---- refusals ---- */

static void refuse_labels(mt_backend *b, const int64_t *labels, bool fuse, const char *value)
{
    mt_tensor *x = OWN(mt_ones(b, mt_shape(3, 4))), *l = OWN(mt_from_indices(b, labels, mt_shape(3)));
    for (int nll = 0; nll < 2; nll++) {
        mt_tape *t = test_tape(b);
        mt_tape_fuse(t, fuse);
        TEST_NULL(nll ? mt_nll(t, x, l) : mt_cross_entropy(t, x, l), MT_ERR_INDEX, value);
        TEST_CHECK(strstr(mt_tape_message(t), "2") && strstr(mt_tape_message(t), "4"),
                   "\"%s\" does not name entry 2 and 4 classes", mt_tape_message(t));
        test_cases++;
    }
}

static void test_refusals(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int fuse = 0; fuse < 2; fuse++) {
            refuse_labels(b, (const int64_t[]){0, 3, 4}, fuse, "4");
            refuse_labels(b, (const int64_t[]){0, -100, -1}, fuse, "-1");
            refuse_labels(b, (const int64_t[]){1, 2, (int64_t)1 << 40}, fuse, "1099511627776");
        }
        mt_tensor *x = OWN(mt_ones(b, mt_shape(3, 4))),
                  *l = OWN(mt_from_indices(b, (const int64_t[]){0, 0, 0}, mt_shape(3)));
        mt_tensor *three = OWN(mt_ones(b, mt_shape(3))), *column = OWN(mt_ones(b, mt_shape(4, 1)));
        mt_cross_entropy_options wrong = mt_cross_entropy_defaults();
        mt_tape *t = test_tape(b);
#define REFUSED(call, status, part)    \
    do {                               \
        TEST_NULL(call, status, part); \
        mt_tape_reset(t);              \
        test_cases++;                  \
    } while (0)
        wrong.reduction = (mt_loss_reduction)3;
        REFUSED(mt_cross_entropy_with(t, x, l, wrong), MT_ERR_VALUE, "reduction 3");
        REFUSED(mt_soft_cross_entropy_with(t, x, x, wrong), MT_ERR_VALUE, "reduction 3");
        REFUSED(mt_nll_with(t, x, l, wrong), MT_ERR_VALUE, "reduction 3");
        REFUSED(mt_mse_with(t, x, x, wrong.reduction), MT_ERR_VALUE, "mse: reduction 3");
        wrong = mt_cross_entropy_defaults();
        const double numbers[] = {-0.1, 1.1, NAN};
        for (size_t i = 0; i < TEST_LENGTH(numbers); i++) {
            wrong.label_smoothing = numbers[i];
            REFUSED(mt_cross_entropy_with(t, x, l, wrong), MT_ERR_VALUE, "label_smoothing");
            REFUSED(mt_soft_cross_entropy_with(t, x, x, wrong), MT_ERR_VALUE, "label_smoothing");
        }
        const double bends[] = {0, -1, NAN, INFINITY};
        for (size_t i = 0; i < TEST_LENGTH(bends); i++) {
            REFUSED(mt_huber(t, x, x, bends[i]), MT_ERR_VALUE, "huber: delta");
            REFUSED(mt_smooth_l1(t, x, x, bends[i]), MT_ERR_VALUE, "smooth_l1: beta");
        }
        wrong = mt_cross_entropy_defaults();
        REFUSED(mt_cross_entropy(t, x, three), MT_ERR_KIND, "labels");
        REFUSED(mt_cross_entropy_weighted(t, x, l, three, wrong), MT_ERR_SHAPE, "(4)");
        REFUSED(mt_cross_entropy_weighted(t, x, l, column, wrong), MT_ERR_SHAPE, "(4, 1)");
        REFUSED(mt_label_weight(t, l, column, 0), MT_ERR_SHAPE, "(4, 1)");
        REFUSED(mt_label_weight(t, OWN(mt_from_indices(b, (const int64_t[]){3}, mt_shape(1))), three, 0),
                MT_ERR_INDEX, "3");
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_golden), TEST(test_short_names), TEST(test_one_hot),
                                              TEST(test_parts),  TEST(test_edges),       TEST(test_refusals),
                                              TEST(test_fused),  TEST(test_threads),     TEST(test_infinite)};
    return TEST_RUN("losses", tests);
}
