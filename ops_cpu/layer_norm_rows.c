/* ops_cpu/layer_norm_rows.c - layer norm of one row and its gradient.
 *
 * Blocks of a row are summed by the tree of folds.c and added in double; the variance takes a second pass, so
 * that a large mean costs no digits. Compiled once for each instruction set.
 */
#include <math.h>

#include "kernels.h"

enum { BLOCK = 4096 / (int)sizeof(mt_real) };

#define SIMD _Pragma("omp simd")

static double sum_of(int64_t n, const mt_real *x)
{
    return (double)MT_FOR_ISA(mt_fold_kernels).fold[MT_SUM](n, x, 1);
}

static void layer_norm_value(const mt_layer_norm_work *work, int64_t r)
{
    const int64_t n = work->n;
    const mt_real *x = work->x + r * n, *restrict gamma = work->gamma, *restrict beta = work->beta;
    mt_real *restrict out = work->out + r * n, square[BLOCK];
    double squares = 0;
    const mt_real mean = (mt_real)(sum_of(n, x) / (double)n);
    for (int64_t first = 0, length; first < n; first += length) {
        const mt_real *from = x + first;
        length = n - first < BLOCK ? n - first : BLOCK;
        SIMD for (int64_t i = 0; i < length; i++) square[i] = (from[i] - mean) * (from[i] - mean);
        squares += sum_of(length, square);
    }
    const mt_real scale = (mt_real)(1 / sqrt(squares / (double)n + work->eps));
    work->mean[r] = mean, work->scale[r] = scale;
    SIMD for (int64_t i = 0; i < n; i++) out[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
}

/* to_x = scale (g gamma - (sum of g gamma + h sum of g gamma h) / n) and hat = g h; h = (x - mean) scale. */
static void layer_norm_back(const mt_layer_norm_work *work, int64_t r)
{
    const int64_t n = work->n;
    const mt_real *restrict x = work->x + r * n, *restrict g = work->g + r * n, *restrict gamma = work->gamma;
    const mt_real mean = work->mean[r], scale = work->scale[r];
    mt_real slope[BLOCK], along[BLOCK];
    double sum = 0, projected = 0;
    for (int64_t first = 0, length; first < n && work->to_x; first += length) {
        length = n - first < BLOCK ? n - first : BLOCK;
        SIMD for (int64_t i = 0; i < length; i++)
        {
            slope[i] = g[first + i] * gamma[first + i];
            along[i] = slope[i] * ((x[first + i] - mean) * scale);
        }
        sum += sum_of(length, slope);
        projected += sum_of(length, along);
    }
    const mt_real less = (mt_real)(sum / (double)n), by = (mt_real)(projected / (double)n);
    if (work->to_x) {
        mt_real *restrict to = work->to_x + r * n;
        SIMD for (int64_t i = 0; i < n; i++) to[i] =
            scale * (g[i] * gamma[i] - (less + (x[i] - mean) * scale * by));
    }
    if (work->hat) {
        mt_real *restrict hat = work->hat + r * n;
        SIMD for (int64_t i = 0; i < n; i++) hat[i] = g[i] * ((x[i] - mean) * scale);
    }
}

const mt_layer_norm_kernels MT_FOR_ISA(mt_layer_norm_kernels) = {layer_norm_value, layer_norm_back};
