/* tests/test_matmul.c - products and linear layers without a tape, on every backend.
 *
 * Inputs and outputs lie in random layouts with guards around them; products are compared with sums in long
 * double.
 */
#include "tensor/elementwise_ops.h"
#include "support.h"

#include <math.h>

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
                    TEST_REFUSED(out, mt_op_linear_act(out->x, x->x, w->x, bias->x, (mt_op)op, keep, pre->x),
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
        TEST_REFUSED(c, mt_op_matmul(c->x, a->x, a->x), MT_ERR_SHAPE, "(3, 4)");
        TEST_REFUSED(c, mt_op_matmul(c->x, x->x, a->x), MT_ERR_SHAPE, "(4, 5)");
        TEST_REFUSED(c, mt_op_matmul(c->x, a->x, v->x), MT_ERR_SHAPE, "(5)");
        TEST_REFUSED(c, mt_op_matmul(c->x, v->x, x->x), MT_ERR_SHAPE, "(5)");
        TEST_REFUSED(c, mt_op_matmul(c->x, two->x, x->x), MT_ERR_SHAPE, "(2, 3, 4)");
        TEST_REFUSED(batch, mt_op_matmul(batch->x, two->x, three->x), MT_ERR_SHAPE, "(3, 4, 5)");
        TEST_REFUSED(c, mt_op_matmul(c->x, index->x, x->x), MT_ERR_KIND, "INDEX");
        TEST_REFUSED(c, mt_op_linear(c->x, a->x, x->x, a->x), MT_ERR_SHAPE, "(3, 4)");
        test_array *short_bias = test_array_random(b, mt_shape(4), TEST_INPUT, -1, 1);
        TEST_REFUSED(c, mt_op_linear(c->x, a->x, x->x, short_bias->x), MT_ERR_SHAPE, "(4)");
        TEST_REFUSED(c, mt_op_linear_act(c->x, a->x, x->x, v->x, MT_OP_add, false, NULL), MT_ERR_NAME, "add");
        TEST_REFUSED(c, mt_op_linear_act(c->x, a->x, x->x, v->x, MT_OP_COUNT, false, NULL), MT_ERR_NAME, "");
        TEST_REFUSED(c, mt_op_linear_act(c->x, a->x, x->x, v->x, MT_OP_relu, true, c->x), MT_ERR_SHAPE,
                     "overlap");
        TEST_TRUE(mt_op_matmul(c->x, NULL, x->x) == MT_ERR_NULL &&
                  mt_op_linear(c->x, a->x, x->x, NULL) == MT_ERR_NULL);
        EACH_BACKEND(other)
        {
            if (other == b) continue;
            TEST_REFUSED(c, mt_op_matmul(c->x, OWN(mt_zeros(other, mt_shape(3, 4))), x->x), MT_ERR_BACKEND,
                         other->name);
        }
        test_array *square = test_array_random(b, mt_shape(4, 4), TEST_PLAIN, -1, 1),
                   *other = test_array_random(b, mt_shape(4, 4), TEST_PLAIN, -1, 1);
        TEST_REFUSED(square, mt_op_matmul(square->base, square->base, other->x), MT_ERR_SHAPE, "overlap");
        TEST_REFUSED(square,
                     mt_op_matmul(square->base, other->x, OWN(mt_tensor_transpose(square->base, 0, 1))),
                     MT_ERR_SHAPE, "overlap");
        mt_tensor *one = OWN(mt_zeros(b, mt_shape(1, 5)));
        TEST_FAILS(mt_op_matmul(OWN(mt_tensor_expand(one, mt_shape(3, 5))), a->x, x->x), MT_ERR_SHAPE,
                   "(3, 5)");
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_products),        TEST(test_large_products), TEST(test_place_in_a_product),
        TEST(test_nan_in_products), TEST(test_linear),         TEST(test_refused_products),
    };
    return TEST_RUN("matmul", tests);
}
