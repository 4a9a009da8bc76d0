/* tensor/rules.h - the shapes of results, for operations whose rule is more than broadcasting (shape.h). Pure
 * integers. Internal.
 *
 * Each rule stands here once: an operation on a tape asks it for the result's shape, and one of ops.h
 * compares its destination with that. what names the operation in the sentence of a failure, after which
 * *result is unchanged.
 */
#ifndef MT_RULES_H
#define MT_RULES_H

#include "tensor.h"

/* A reduction of x over some of its dimensions. */
typedef struct mt_reduced {
    bool reduced[MT_MAX_DIMS]; /* which of x's dimensions */
    int64_t length;            /* how many elements make one: the product of their sizes */
    mt_shape kept;             /* x's shape with those sizes 1 */
    mt_shape dropped;          /* without them; (1) when all are reduced */
} mt_reduced;

MT_BEGIN

/* dims: each dimension once, counted from the end when negative; NULL: all of them. */
MT_INTERNAL mt_status mt_rule_reduce(const char *what, const mt_layout *x, const mt_shape *dims,
                                     mt_reduced *result);
/* y, of shape kept or dropped, as a layout of shape kept; false when it has neither shape. */
MT_INTERNAL bool mt_reduced_layout(const mt_reduced *reduced, const mt_layout *y, mt_layout *result);

/* a (..., m, k) times b (..., k, n) is (..., m, n): leading dimensions broadcast; a vector a is a row, a
 * vector b a column, whose size of 1 the result does not have. Two vectors give (1). */
MT_INTERNAL mt_status mt_rule_matmul(const char *what, const mt_layout *a, const mt_layout *b,
                                     mt_shape *result);

/* Rows of x named by index, a vector: x's shape with as many rows as index has entries. */
MT_INTERNAL mt_status mt_rule_take_rows(const char *what, const mt_layout *x, const mt_layout *index,
                                        mt_shape *result);

/* What ops.c checks of every call: out and its inputs can be used and live on one backend, out shares no
 * element with itself and overlaps no input. NULL entries of in pass the failure on. */
MT_INTERNAL mt_status mt_check_operands(const char *what, const mt_tensor *out, const mt_tensor *const *in,
                                        int inputs);

/* x's elements along dim by index, which has x's rank and at most its sizes in the other dimensions: index's
 * shape. *d: dim counted from the front. */
MT_INTERNAL mt_status mt_rule_gather(const char *what, const mt_layout *x, const mt_layout *index,
                                     int64_t dim, int *d, mt_shape *result);
/* The same where index is a vector, which names whole parts of x: x's shape with as many of them. */
MT_INTERNAL mt_status mt_rule_index_select(const char *what, const mt_layout *x, const mt_layout *index,
                                           int64_t dim, int *d, mt_shape *result);
/* The failure of an index whose element number `number`, row-major, is value, and no entry. */
MT_INTERNAL mt_status mt_rule_outside(const mt_gather_work *work, int64_t number, int64_t value);

MT_END

#endif
