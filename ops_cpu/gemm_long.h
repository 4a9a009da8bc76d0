/* ops_cpu/gemm_long.h - MT_GEMM_LONG, the path of matmul for few sums that are long. */
#ifndef MT_GEMM_LONG_H
#define MT_GEMM_LONG_H

#include "gemm_plan.h"

MT_BEGIN
/* All products of the batch. own in g is what mt_gemm_space says or more, and behind what the threads have
 * stand mt_gemm_space_partial numbers that all share. */
MT_INTERNAL void mt_gemm_run_long(const mt_gemm *g);
MT_END

#endif
