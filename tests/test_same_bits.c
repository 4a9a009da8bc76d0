/* tests/test_same_bits.c - what a result's bits do not depend on: the number of threads, and, for long
 * reductions, the place of what decides them.
 */
#include "tensor/elementwise_ops.h"
#include "support.h"

#include <math.h>

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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_one_zero),
        TEST(test_long_sums),
        TEST(test_threads_give_the_same_bits),
    };
    return TEST_RUN("same_bits", tests);
}
