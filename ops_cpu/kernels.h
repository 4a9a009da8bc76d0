/* ops_cpu/kernels.h - the inner loops of the cpu backend, compiled once for each instruction set, behind one
 * table.
 *
 * Drivers (map_zip.c, reduce.c, matmul.c) own the plan and the parallel loop and are compiled once; they
 * call row functions through the table that fits the processor. The others (ops_cpu_kernel_sources of
 * meson.build) are compiled for each instruction set with -DMT_ISA_NAME=base, avx2, ..., and define constants
 * with external linkage.
 */
#ifndef MT_KERNELS_H
#define MT_KERNELS_H

#include "tensor/backend.h"
#include "tensor/scalar/update_ops.h"

#define MT_ISA_JOIN_(name, isa) name##_##isa
#define MT_ISA_JOIN(name, isa)  MT_ISA_JOIN_(name, isa)
#define MT_FOR_ISA(name)        MT_ISA_JOIN(name, MT_ISA_NAME)

/* The instruction sets that the library is built for, from the least to the best; meson.build defines it. */
#ifndef MT_EACH_ISA
#define MT_EACH_ISA(X) X(base)
#endif

/* A tile of an elementwise operation: size[0] rows of size[1] elements each. data[0] is the output, data[1..]
 * are the inputs; step[k][0] leads from row to row of data[k], step[k][1] from element to element; p are the
 * two parameters, or what a slot has in their place. The result for an element depends on its inputs alone,
 * never on where it stands or on steps. */
typedef void (*mt_tile_fn)(const int64_t size[2], mt_real *const *data, const int64_t (*step)[2],
                           const mt_real *p);

/* A reduction of one row to one value: sum in a fixed tree, prod, max, min, all. n 0 gives the identity. The
 * result depends on the values in their order, not on step. */
typedef mt_real (*mt_fold_fn)(int64_t n, const mt_real *in, int64_t step);
/* out[i] = the same of row i, each n contiguous elements, step apart. */
typedef void (*mt_fold_rows_fn)(int64_t rows, int64_t n, const mt_real *in, int64_t step, mt_real *out);
/* The position of the first maximum or minimum, the first NaN if there is one; n >= 1. */
typedef int64_t (*mt_arg_fn)(int64_t n, const mt_real *in, int64_t step);
/* acc[j] = acc[j] (op) in[j] for a row of n values. */
typedef void (*mt_combine_fn)(int64_t n, mt_real *acc, const mt_real *in);
/* acc[j] = in[j] (op) in[j + step] (op) ... for that many rows, one after the other; rows >= 1. */
typedef void (*mt_columns_fn)(int64_t n, mt_real *acc, const mt_real *in, int64_t step, int64_t rows);
/* For that many rows in turn, the first of which is number first: where in[j] beats top[j], it takes its
 * place, and the row's number that of at[j]; a NaN beats numbers, the first one stays. Numbers are as wide as
 * mt_real, for vectors; top and at have room for whole ones. */
#ifdef MT_DOUBLE
typedef int64_t mt_place;
#else
typedef int32_t mt_place;
#endif
typedef void (*mt_arg_rows_fn)(int64_t n, mt_real *top, mt_place *at, const mt_real *in, int64_t step,
                               int64_t rows, int64_t first);

enum { MT_FOLDS = MT_ALL + 1 }; /* the reductions that fold values: sum, prod, max, min, all */

typedef struct mt_fold_kernels {
    mt_real identity[MT_FOLDS];
    mt_fold_fn fold[MT_FOLDS];
    mt_fold_rows_fn rows[MT_FOLDS];
    mt_combine_fn combine[MT_FOLDS];
    mt_columns_fn columns[MT_FOLDS];
    mt_arg_fn argmax, argmin;
    mt_arg_rows_fn argmax_rows, argmin_rows;
} mt_fold_kernels;

/* Elements first..last-1 of one parameter through one step of an optimiser. */
typedef void (*mt_step_fn)(const mt_update_row *row, const mt_update_constants *constants, int64_t first,
                           int64_t last);

typedef struct mt_step_kernels {
    mt_step_fn rule[MT_UPDATE_COUNT];
} mt_step_kernels;

/* Softmax of a contiguous row of n >= 1, or its logarithm (1): of x; its gradient from the result y and g. */
typedef void (*mt_softmax_fn)(int64_t n, mt_real *out, const mt_real *x);
typedef void (*mt_softmax_back_fn)(int64_t n, mt_real *out, const mt_real *y, const mt_real *g);

/* Cross entropy of a contiguous row: the terms of mt_cross_entropy_work (tensor/backend.h). */
typedef struct mt_softmax_kernels {
    mt_softmax_fn value[2];
    mt_softmax_back_fn back[2];
    void (*sum)(int64_t n, const mt_real *x, mt_real *most, mt_real *sum);
    double (*weighted_distance)(int64_t n, const mt_real *x, const mt_real *w, mt_real most);
    double (*target_sum)(int64_t n, const mt_real *t, const mt_real *w, mt_real rest, mt_real part,
                         const mt_real *x, mt_real most, double *distance);
    void (*slope_of_label)(int64_t n, mt_real *out, const mt_real *x, mt_real most, mt_real factor,
                           const mt_real *w, mt_real share);
    void (*slope_of_target)(int64_t n, mt_real *out, const mt_real *x, mt_real most, mt_real factor,
                            mt_real g, const mt_real *t, const mt_real *w, mt_real rest, mt_real part);
} mt_softmax_kernels;

/* Row r of a mt_layer_norm_work. */
typedef struct mt_layer_norm_kernels {
    void (*value)(const mt_layer_norm_work *work, int64_t r);
    void (*back)(const mt_layer_norm_work *work, int64_t r);
} mt_layer_norm_kernels;

struct mt_gemm_kernels; /* gemm.h */

/* The slots by number. */
enum {
#define MT_SLOT(need, result, name, parameters, text) MT_SLOT_##name,
#include "tensor/slots.inc"
    MT_SLOTS
};

typedef struct mt_cpu_kernels {
    const char *isa;
    /* [mt_part][row of map_table.inc], and of zip_table.inc; NULL for a derivative that is MT_IS_ONE or
     * MT_IS_ZERO */
    const mt_tile_fn *map[2], *zip[3];
    mt_tile_fn add; /* the value of the row add */
    /* [MT_SLOT_name]: of a slot that is elementwise and no row of op_table.inc; p as the slot has it. copy:
     * data[0] = data[1] */
    mt_tile_fn slot[MT_SLOTS];
    const mt_fold_kernels *folds;
    const mt_step_kernels *steps;
    const mt_softmax_kernels *softmax;
    const mt_layer_norm_kernels *layer_norm;
    const struct mt_gemm_kernels *gemm;
} mt_cpu_kernels;

MT_BEGIN
#define MT_DECLARE_KERNELS(isa)                                                                              \
    MT_INTERNAL extern const mt_tile_fn mt_map_value_##isa[];                                                \
    MT_INTERNAL extern const mt_tile_fn mt_map_grad_##isa[];                                                 \
    MT_INTERNAL extern const mt_tile_fn mt_zip_value_##isa[];                                                \
    MT_INTERNAL extern const mt_tile_fn mt_zip_grad_a_##isa[];                                               \
    MT_INTERNAL extern const mt_tile_fn mt_zip_grad_b_##isa[];                                               \
    MT_INTERNAL void mt_rows_add_##isa(const int64_t size[2], mt_real *const *data, const int64_t(*step)[2], \
                                       const mt_real *p);                                                    \
    MT_INTERNAL extern const mt_cpu_kernels mt_cpu_kernels_##isa;                                            \
    MT_INTERNAL extern const mt_fold_kernels mt_fold_kernels_##isa;                                          \
    MT_INTERNAL extern const mt_step_kernels mt_step_kernels_##isa;                                          \
    MT_INTERNAL extern const mt_softmax_kernels mt_softmax_kernels_##isa;                                    \
    MT_INTERNAL extern const mt_layer_norm_kernels mt_layer_norm_kernels_##isa;
MT_EACH_ISA(MT_DECLARE_KERNELS)

/* The table of the best set that this processor has, chosen once; MT_ISA in the environment names another. */
MT_INTERNAL const mt_cpu_kernels *mt_cpu_kernels_get(void);
/* Fails where MT_ISA names a set that is not there; the table is then that of base. */
MT_INTERNAL mt_status mt_cpu_kernels_found(void);

/* How many threads to use for work of about that many elementary steps (a load, an addition and a store of
 * one number): 1 below the grain, in a forked child, or in a parallel region of the caller's; fewer than were
 * asked for where the system has no more, or for a while after a region that had to wait (threads.h). The
 * answer may differ from one call to the next. */
MT_INTERNAL int mt_cpu_threads(double work);

/* Whether a result of that many bytes is too large for the last cache to keep, so that stream.h should write
 * it. */
MT_INTERNAL bool mt_cpu_streams(double bytes);
MT_END

#endif
