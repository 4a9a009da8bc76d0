/* ops_cpu/lines.h - the lines of arrays along one dimension: what an operation along a dimension does for
 * each index of the others.
 */
#ifndef MT_LINES_H
#define MT_LINES_H

#include "tensor/plan.h"

/* x without dimension dim: where its lines begin. */
static inline mt_layout mt_line_begins(const mt_layout *x, int dim)
{
    mt_layout rest = {.rank = x->rank > 1 ? x->rank - 1 : 1, .offset = x->offset, .size = {1}, .stride = {1}};
    for (int d = 0, n = 0; d < x->rank; d++) {
        if (d == dim) continue;
        rest.size[n] = x->size[d];
        rest.stride[n++] = x->stride[d];
    }
    return rest;
}

/* The lines of up to MT_MAX_OPERANDS arrays of like shape but for dim, operand 0 the output. Line number i
 * begins at mt_plan_position(plan->rank, plan->size, plan->stride[k], i) behind the first element of array k.
 */
static inline void mt_plan_lines(const mt_operand *operand, int operands, int dim, mt_elementwise_plan *plan)
{
    mt_layout rest[MT_MAX_OPERANDS];
    mt_operand lines[MT_MAX_OPERANDS];
    for (int k = 0; k < operands; k++) {
        rest[k] = mt_line_begins(operand[k].layout, dim);
        lines[k] = (mt_operand){operand[k].data, &rest[k]};
    }
    mt_plan_elementwise(lines, operands, plan);
}

#endif
