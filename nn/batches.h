/* nn/batches.h - shuffled batches of any data set, resident on a backend. */
#ifndef MT_BATCHES_H
#define MT_BATCHES_H

#include "../tensor/ops.h"

typedef struct mt_batches mt_batches;

MT_BEGIN

/* Batches of size rows of x and y, any tensors with the same first size, of at least one row, on one backend;
 * the last batch may be smaller. Holds shuffled copies of both and a handle for each batch, allocated here:
 * an epoch allocates nothing. x and y must outlive it. rng is copied. Before the first shuffle the rows stand
 * in their own order. A size larger than the number of rows makes one batch. NULL with a sentence when it
 * fails. */
MT_API mt_batches *mt_batches_new(const mt_tensor *x, const mt_tensor *y, int64_t size, mt_rng rng);
MT_API void mt_batches_free(mt_batches *batches); /* NULL is allowed */
/* Draws a new order of all rows: the start of an epoch. The batches change in place, so reset the tape first.
 * Each call advances the copy of rng by the number of rows, and the order depends on nothing else: a run that
 * continues after k of them makes its batches with a counter larger by k times the rows. */
MT_API mt_status mt_batches_shuffle(mt_batches *batches);
MT_API int64_t mt_batches_count(const mt_batches *batches); /* how many batches; -1 for NULL */
/* The i-th batch: (size, ...) rows, a view, borrowed. NULL with a sentence outside 0 .. count-1. */
MT_API mt_tensor *mt_batches_x(const mt_batches *batches, int64_t i);
MT_API mt_tensor *mt_batches_y(const mt_batches *batches, int64_t i);

MT_END

#endif
