/* ops_cpu/softmax.h - what the rows of softmax and cross entropy share: the checks, and rows made contiguous.
 */
#ifndef MT_CPU_SOFTMAX_H
#define MT_CPU_SOFTMAX_H

#include "cpu.h"
#include "row_walk.h"

/* The operands of a mt_cross_entropy_work in its walk. */
enum { MT_CE_X, MT_CE_LABELS, MT_CE_TARGET, MT_CE_OUT, MT_CE_G, MT_CE_OPERANDS };

MT_BEGIN
/* The walk over a cross entropy's operands; fails at the first label that is neither a class nor ignored. */
MT_INTERNAL mt_row_walk mt_cpu_cross_entropy_walk(const mt_cross_entropy_work *work);
MT_INTERNAL mt_status mt_cpu_check_labels(const mt_cross_entropy_work *work, const mt_row_walk *walk);
MT_END

#endif
