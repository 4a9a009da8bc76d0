/* tensor/plan.h - turns operands with any layout into the loops that a backend runs. Pure integers, for those
 * who write a backend: what it is given has been checked.
 *
 * Dimensions of size 1 are dropped, the others ordered by the output's strides (outermost largest) and joined
 * where every operand allows it, so that a permuted contiguous tensor is one long row. The class of a plan is
 * decided here, once; backends choose a kernel by it. `simple` makes no plans: it is the oracle for this file
 * too.
 */
#ifndef MT_PLAN_H
#define MT_PLAN_H

#include "backend.h"

/* The innermost dimension of an elementwise plan. */
typedef enum mt_row_class {
    MT_ROW_CONTIGUOUS,   /* rank 1, every stride 1 */
    MT_ROW_LEFT_SCALAR,  /* rank 1, in[0] stride 0, the others 1 */
    MT_ROW_RIGHT_SCALAR, /* rank 1, in[1] stride 0, the others 1 */
    MT_ROW_GENERAL
} mt_row_class;

/* Operand 0 is the output. size and stride run from the outermost dimension. */
typedef struct mt_elementwise_plan {
    mt_row_class row_class;
    int operands, rank; /* rank 1 or more */
    int64_t count;      /* of elements; 0 when there is nothing to do, and then the rest means nothing */
    int64_t size[MT_MAX_DIMS];
    int64_t stride[MT_MAX_OPERANDS][MT_MAX_DIMS];
    int64_t first[MT_MAX_OPERANDS]; /* where the plan begins, behind the operand's first element; 0 until it
                                       is cut */
    int alignment;   /* the largest power of two up to 64 that divides every operand's address, in bytes */
    bool fits_int32; /* every position, counted from first, fits in 31 bits */
} mt_elementwise_plan;

/* How a reduction reads its input, after joining dimensions. */
typedef enum mt_reduce_class {
    MT_REDUCE_ALL,   /* one output, contiguous input */
    MT_REDUCE_INNER, /* the reduced dimension is one, with stride 1 */
    MT_REDUCE_OUTER, /* the kept dimension is innermost with stride 1: columns */
    MT_REDUCE_GENERAL
} mt_reduce_class;

typedef struct mt_reduce_plan {
    mt_reduce_class reduce_class;
    int kept_rank, reduced_rank; /* 1 or more each; a missing one has size 1 */
    int64_t kept_count, reduced_count;
    int64_t kept_size[MT_MAX_DIMS], kept_in[MT_MAX_DIMS], kept_out[MT_MAX_DIMS]; /* strides of in and out */
    int64_t reduced_size[MT_MAX_DIMS], reduced_in[MT_MAX_DIMS]; /* in row-major order: argmax counts it */
} mt_reduce_plan;

/* A matrix in memory: element (i, j) is data[i*row + j*col]. Strides count numbers; 0 repeats what is read.
 * One type for what is read (A, B, bias) and what is written (C, pre), so data is no pointer to const.
 * The strides stand first, since they are copied together, as 16 bytes: a load that takes in what two stores
 * wrote waits for both to reach the cache, which a small product feels. */
typedef struct mt_matrix {
    int64_t row, col;
    mt_real *data;
} mt_matrix;

/* C = A B with A of m x k, B of k x n, C and pre of m x n. */
typedef struct mt_matmul_plan {
    mt_matrix a, b, c, pre, bias; /* of the first product; pre.data, bias.data NULL: none. bias.row is 0 */
    int64_t m, n, k;
    int64_t batch;  /* how many products */
    int batch_rank; /* 1 or more */
    int64_t batch_size[MT_MAX_DIMS];
    int64_t batch_a[MT_MAX_DIMS], batch_b[MT_MAX_DIMS], batch_c[MT_MAX_DIMS], batch_pre[MT_MAX_DIMS];
} mt_matmul_plan;

MT_BEGIN
MT_API void mt_plan_elementwise(const mt_operand *operand, int operands, mt_elementwise_plan *plan);
/* The same without first, alignment and fits_int32, which loops on the host do without. */
MT_API void mt_plan_loops(const mt_operand *operand, int operands, mt_elementwise_plan *plan);
/* Cuts a plan that does not fit in 31 bits in two, across the dimension that takes an operand farthest.
 * Halves of halves fit in the end, and together have each element once. */
MT_API void mt_plan_halve(const mt_elementwise_plan *plan, mt_elementwise_plan half[2]);
MT_API void mt_plan_reduce(const mt_operand *out, const mt_operand *in, const bool *reduced,
                           mt_reduce_plan *plan);
MT_API void mt_plan_matmul(const mt_matmul_work *work, mt_matmul_plan *plan);
MT_END

/* The position of the i-th index (row-major over size) in strides; for the head of a chunk, not for every
 * element. */
static inline int64_t mt_plan_position(int rank, const int64_t *size, const int64_t *stride, int64_t i)
{
    int64_t position = 0;
    for (int d = rank - 1; d >= 0; d--) {
        position += i % size[d] * stride[d];
        i /= size[d];
    }
    return position;
}

#endif
