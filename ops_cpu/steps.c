/* ops_cpu/steps.c - one parameter through one step of an optimiser: loops around the functions of
 * update_ops.h.
 *
 * A parameter, its gradient and its state are separate arrays, which the loops are told. Compiled once for
 * each instruction set.
 */
#include "kernels.h"

#define STEP(name) \
    static void name(const mt_update_row *row, const mt_update_constants *k, int64_t first, int64_t last)
#define SIMD _Pragma("omp simd")

STEP(sgd)
{
    mt_real *restrict w = row->value, unused = 0;
    const mt_real *restrict g = row->grad;
    const mt_update_constants c = *k;
    SIMD for (int64_t i = first; i < last; i++) w[i] = mt_update_sgd(w[i], g[i], &unused, &c);
}

STEP(momentum)
{
    mt_real *restrict w = row->value, *restrict velocity = row->state[0];
    const mt_real *restrict g = row->grad;
    const mt_update_constants c = *k;
    SIMD for (int64_t i = first; i < last; i++) w[i] = mt_update_sgd(w[i], g[i], &velocity[i], &c);
}

STEP(adam)
{
    mt_real *restrict w = row->value, *restrict m = row->state[0], *restrict v = row->state[1];
    const mt_real *restrict g = row->grad;
    const mt_update_constants c = *k;
    SIMD for (int64_t i = first; i < last; i++) w[i] = mt_update_adam(w[i], g[i], &m[i], &v[i], &c);
}

const mt_step_kernels MT_FOR_ISA(mt_step_kernels) = {sgd, momentum, adam};
