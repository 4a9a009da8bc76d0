/* ops_cpu/kernels.h - the inner loops of the cpu backend, compiled once for each instruction set, behind one table.
 *
 * Drivers (map.c, zip.c, reduce.c, matmul.c) own the plan and the parallel loop and are compiled once; they call row
 * functions through the table that fits the processor. Files with MT_ISA in their names' suffix define nothing else
 * with external linkage.
 */
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#include "tensor/backend.h"

/* One row of an elementwise operation: out[i*so] = f(in[0][i*si[0]], ...) for i in 0..n-1, p the two parameters. The
 * result for an element depends on its inputs alone, never on n, i, alignment or strides. */
typedef void (*mt_row_fn)(int64_t n, mt_real *out, int64_t so, const mt_real *const *in, const int64_t *si,
                          const mt_real *p);

/* A reduction of one row to one value, n >= 1: sum in a fixed tree, prod, max, min, all; and the position of the
 * first maximum or minimum (the first NaN if there is one). */
typedef mt_real (*mt_fold_fn)(int64_t n, const mt_real *in, int64_t step);
typedef int64_t (*mt_arg_fn)(int64_t n, const mt_real *in, int64_t step);
/* acc[j] = acc[j] (op) in[j] for a row of n values. */
typedef void (*mt_combine_fn)(int64_t n, mt_real *acc, const mt_real *in);

/* A micro-kernel: the mr x nr tile of C from packed panels of A (k x mr) and B (k x nr). See gemm_kernel.c. */
struct mt_gemm_kernels;

typedef struct mt_cpu_kernels {
    const char *isa;
    mt_row_fn value[MT_OP_COUNT], grad_a[MT_OP_COUNT], grad_b[MT_OP_COUNT];
    mt_fold_fn fold[MT_ALL + 1];       /* by mt_reduction */
    mt_combine_fn combine[MT_ALL + 1]; /* by mt_reduction */
    mt_arg_fn argmax, argmin;
    const struct mt_gemm_kernels *gemm;
} mt_cpu_kernels;

MT_BEGIN
MT_INTERNAL extern const mt_cpu_kernels mt_cpu_kernels_base;
#ifdef MT_HAVE_X86
MT_INTERNAL extern const mt_cpu_kernels mt_cpu_kernels_avx2;
MT_INTERNAL extern const mt_cpu_kernels mt_cpu_kernels_avx512;
#endif

/* The table that fits this processor, chosen once; MT_ISA=base|avx2|avx512 in the environment asks for another. */
MT_INTERNAL const mt_cpu_kernels *mt_cpu_kernels_get(void);

/* How many threads to use for work of about that many elementary steps: 1 below the grain, in a forked child, or in a
 * parallel region of the caller's. */
MT_INTERNAL int mt_cpu_threads(double work);
MT_END

#endif
