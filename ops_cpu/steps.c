/* ops_cpu/steps.c - one parameter through one step of an optimiser: a loop around each function of
 * update_ops.h.
 *
 * A parameter, its gradient and its states are separate arrays, which the loop is told. Compiled once for
 * each instruction set.
 */
#include "kernels.h"
#include "tensor/scalar/update_ops.h"

typedef mt_real (*update_fn)(mt_real w, mt_real g, mt_real *s0, mt_real *s1, mt_real *s2,
                             const mt_update_constants *c);

/* Inlined into one function for each rule, where f and states are constants. */
static inline __attribute__((always_inline)) void step(update_fn f, int states, const mt_update_row *row,
                                                       const mt_update_constants *k, int64_t first,
                                                       int64_t last)
{
    mt_real *restrict w = row->value, *restrict s0 = row->state[0], *restrict s1 = row->state[1],
                      *restrict s2 = row->state[2];
    const mt_real *restrict g = row->grad;
    const mt_update_constants c = *k;
    _Pragma("omp simd") for (int64_t i = first; i < last; i++) w[i] =
        f(w[i], g[i], states > 0 ? &s0[i] : NULL, states > 1 ? &s1[i] : NULL, states > 2 ? &s2[i] : NULL, &c);
}

#define MT_UPDATE(name, states, names, formula)                                                    \
    static void step_##name(const mt_update_row *row, const mt_update_constants *k, int64_t first, \
                            int64_t last)                                                          \
    {                                                                                              \
        step(mt_update_##name, states, row, k, first, last);                                       \
    }
#include "tensor/scalar/update_table.inc"

#define MT_UPDATE(name, states, names, formula) [MT_UPDATE_##name] = step_##name,
const mt_step_kernels MT_FOR_ISA(mt_step_kernels) = {{
#include "tensor/scalar/update_table.inc"
}};
