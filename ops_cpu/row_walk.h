/* ops_cpu/row_walk.h - the rows of an array along one dimension, for the slots that work on whole rows:
 * softmax and cross entropy, in simple and in cpu.
 *
 * Rows are numbered in the row-major order of the shape without that dimension. An operand may have a size of
 * 1 there; then it has one element for each row.
 */
#ifndef MT_ROW_WALK_H
#define MT_ROW_WALK_H

#include "tensor/backend.h"

enum { MT_WALK_OPERANDS = 5 };

typedef struct mt_row_walk {
    int64_t rows, n;                 /* n: elements of a row of operand 0 */
    int64_t step[MT_WALK_OPERANDS];  /* from element to element of a row */
    int64_t start[MT_WALK_OPERANDS]; /* where row 0 begins, in elements of the operand's data */
    int rank;                        /* of the dimensions around, at least 1 */
    int64_t size[MT_MAX_DIMS];       /* of these; neighbours are joined where all operands allow it */
    int64_t stride[MT_WALK_OPERANDS][MT_MAX_DIMS]; /* 0 for an operand that is not there */
} mt_row_walk;

/* Operands whose data is NULL are not there. Operand 0 has the shape. */
static inline mt_row_walk mt_row_walk_of(const mt_operand *operand, int operands, int dim)
{
    const mt_layout *shape = operand[0].layout;
    mt_row_walk walk = {.rows = 1, .n = shape->size[dim]};
    for (int k = 0; k < operands; k++) {
        walk.step[k] = operand[k].data ? operand[k].layout->stride[dim] : 0;
        walk.start[k] = operand[k].data ? operand[k].layout->offset : 0;
    }
    for (int d = 0; d < shape->rank; d++) {
        if (d == dim || (shape->size[d] == 1 && walk.rank > 0)) continue;
        bool joined = walk.rank > 0;
        for (int k = 0; k < operands && joined; k++)
            joined = !operand[k].data ||
                     walk.stride[k][walk.rank - 1] == operand[k].layout->stride[d] * shape->size[d];
        const int at = joined ? walk.rank - 1 : walk.rank++;
        walk.size[at] = joined ? walk.size[at] * shape->size[d] : shape->size[d];
        for (int k = 0; k < operands; k++)
            walk.stride[k][at] = operand[k].data ? operand[k].layout->stride[d] : 0;
        walk.rows *= shape->size[d];
    }
    if (walk.rank == 0) walk.size[walk.rank++] = 1;
    return walk;
}

/* Where row r of operand k begins. */
static inline int64_t mt_row_at(const mt_row_walk *walk, int k, int64_t r)
{
    if (walk->rank == 1) return walk->start[k] + r * walk->stride[k][0];
    int64_t at = walk->start[k];
    for (int d = walk->rank - 1; d >= 0; d--) {
        at += r % walk->size[d] * walk->stride[k][d];
        r /= walk->size[d];
    }
    return at;
}

#endif
