/* ops_cpu/softmax_rows.c - softmax and cross entropy of one contiguous row.
 *
 * A row goes by in blocks that stay in the first cache. Each block is summed by the tree of folds.c, and the
 * sums of blocks are added in double, so the result depends on the row alone. Compiled once for each
 * instruction set.
 */
#include "kernels.h"
#include "tensor/scalar/scalar_math.h"

enum { BLOCK = 4096 / (int)sizeof(mt_real) };

#define SIMD      _Pragma("omp simd")
#define SUM(n, x) ((double)MT_FOR_ISA(mt_fold_kernels).fold[MT_SUM](n, x, 1))
#define EACH_BLOCK(first, length, n)                                                             \
    for (int64_t first = 0, length; length = (n)-first < BLOCK ? (n)-first : BLOCK, first < (n); \
         first += BLOCK)

static mt_real largest(int64_t n, const mt_real *x)
{
    return MT_FOR_ISA(mt_fold_kernels).fold[MT_MAX](n, x, 1);
}

/* ---- softmax ---- */

static void softmax_value(int64_t n, mt_real *out, const mt_real *x)
{
    const mt_real most = largest(n, x);
    double sum = 0;
    EACH_BLOCK(first, length, n)
    {
        mt_real *e = out + first;
        const mt_real *from = x + first;
        SIMD for (int64_t i = 0; i < length; i++) e[i] = mt_m_exp_down(from[i] - most);
        sum += SUM(length, e);
    }
    const mt_real factor = (mt_real)(1 / sum);
    SIMD for (int64_t i = 0; i < n; i++) out[i] *= factor;
}

/* m and s of a row. */
static void softmax_sum(int64_t n, const mt_real *x, mt_real *most_of, mt_real *sum_of)
{
    const mt_real most = largest(n, x);
    mt_real e[BLOCK];
    double sum = 0;
    EACH_BLOCK(first, length, n)
    {
        const mt_real *from = x + first;
        SIMD for (int64_t i = 0; i < length; i++) e[i] = mt_m_exp_down(from[i] - most);
        sum += SUM(length, e);
    }
    *most_of = most;
    *sum_of = (mt_real)sum;
}

static void log_softmax_value(int64_t n, mt_real *out, const mt_real *x)
{
    mt_real most, sum;
    softmax_sum(n, x, &most, &sum);
    const mt_real log_sum = mt_m_log(sum);
    SIMD for (int64_t i = 0; i < n; i++) out[i] = (x[i] - most) - log_sum;
}

/* Sum of a b. */
static double dot(int64_t n, const mt_real *a, const mt_real *b)
{
    mt_real product[BLOCK];
    double sum = 0;
    EACH_BLOCK(first, length, n)
    {
        const mt_real *p = a + first, *q = b + first;
        SIMD for (int64_t i = 0; i < length; i++) product[i] = p[i] * q[i];
        sum += SUM(length, product);
    }
    return sum;
}

static void softmax_back(int64_t n, mt_real *out, const mt_real *y, const mt_real *g)
{
    const mt_real total = (mt_real)dot(n, y, g);
    SIMD for (int64_t i = 0; i < n; i++) out[i] = y[i] * (g[i] - total);
}

static void log_softmax_back(int64_t n, mt_real *out, const mt_real *y, const mt_real *g)
{
    double sum = 0;
    EACH_BLOCK(first, length, n) sum += SUM(length, g + first);
    const mt_real total = (mt_real)sum;
    SIMD for (int64_t i = 0; i < n; i++) out[i] = g[i] - mt_m_exp_down(y[i]) * total;
}

/* ---- cross entropy ---- */

/* Sum of w_c (x_c - most). */
static double weighted_distance(int64_t n, const mt_real *x, const mt_real *w, mt_real most)
{
    mt_real term[BLOCK];
    double sum = 0;
    EACH_BLOCK(first, length, n)
    {
        const mt_real *from = x + first, *weight = w + first;
        SIMD for (int64_t i = 0; i < length; i++) term[i] = weight[i] * (from[i] - most);
        sum += SUM(length, term);
    }
    return sum;
}

/* u_c = w_c (rest t_c + part), as mt_cross_entropy_work has it: their sum, and where x is given that of u_c
 * (x_c - most).
 */
static double target_sum(int64_t n, const mt_real *t, const mt_real *w, mt_real rest, mt_real part,
                         const mt_real *x, mt_real most, double *distance)
{
    mt_real u[BLOCK], term[BLOCK];
    double sum = 0, apart = 0;
    EACH_BLOCK(first, length, n)
    {
        const mt_real *target = t + first, *weight = w + first;
        SIMD for (int64_t i = 0; i < length; i++) u[i] = weight[i] * (rest * target[i] + part);
        sum += SUM(length, u);
        if (!x) continue;
        const mt_real *from = x + first;
        SIMD for (int64_t i = 0; i < length; i++) term[i] = u[i] * (from[i] - most);
        apart += SUM(length, term);
    }
    *distance = apart;
    return sum;
}

/* out_c = factor exp(x_c - most) - share w_c, w NULL: without the second term. */
static void slope_of_label(int64_t n, mt_real *out, const mt_real *x, mt_real most, mt_real factor,
                           const mt_real *w, mt_real share)
{
    if (!w) {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = factor * mt_m_exp_down(x[i] - most);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) out[i] = factor * mt_m_exp_down(x[i] - most) - share * w[i];
    }
}

/* out_c = factor exp(x_c - most) - g u_c */
static void slope_of_target(int64_t n, mt_real *out, const mt_real *x, mt_real most, mt_real factor,
                            mt_real g, const mt_real *t, const mt_real *w, mt_real rest, mt_real part)
{
    SIMD for (int64_t i = 0; i < n; i++) out[i] =
        factor * mt_m_exp_down(x[i] - most) - g * (w[i] * (rest * t[i] + part));
}

const mt_softmax_kernels MT_FOR_ISA(mt_softmax_kernels) = {
    .value = {softmax_value, log_softmax_value},
    .back = {softmax_back, log_softmax_back},
    .sum = softmax_sum,
    .weighted_distance = weighted_distance,
    .target_sum = target_sum,
    .slope_of_label = slope_of_label,
    .slope_of_target = slope_of_target,
};
