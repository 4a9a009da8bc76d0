/* tensor/scalar/index_ops.h - the arithmetic of reductions of INDEX; the common subset of C and C++.
 *
 * mt_index_both is associative and commutative for every reduction here, so however a backend cuts its work
 * the result is the same.
 */
#ifndef MT_INDEX_OPS_H
#define MT_INDEX_OPS_H

#include "../backend.h"
#include "scalar_math.h"

/* The reduction of no elements: for each x of its kind both(start, x) is x, and of ALL whether x is not 0. */
MT_FN int64_t mt_index_start(mt_reduction op)
{
    return op == MT_SUM ? 0 : op == MT_MAX ? INT64_MIN : op == MT_MIN ? INT64_MAX : 1;
}

/* a + b and a b modulo 2^64, in two's complement; the larger, the smaller; whether neither is 0. There is no
 * argmax or argmin. */
MT_FN int64_t mt_index_both(mt_reduction op, int64_t a, int64_t b)
{
    return op == MT_SUM    ? (int64_t)((uint64_t)a + (uint64_t)b)
           : op == MT_PROD ? (int64_t)((uint64_t)a * (uint64_t)b)
           : op == MT_MAX  ? (a > b ? a : b)
           : op == MT_MIN  ? (a < b ? a : b)
                           : (a != 0 && b != 0 ? 1 : 0);
}

/* A result as REAL: divided, by the count for a mean, and rounded once more. */
MT_FN mt_real mt_index_real(int64_t result, mt_real divisor)
{
    return (mt_real)((double)result / (double)divisor);
}

#endif
