/* nn/shards.h - the tree in which shards of a batch meet: gradients, sums of losses and weights. Internal.
 *
 * Of S shards, which arrive in their order, the left side of the tree is the largest power of two below S,
 * and so on down: ((0 1) (2 3)) ((4 5) 6). Each number is left + right; where one side has none, it is the
 * other's.
 */
#ifndef MT_SHARDS_H
#define MT_SHARDS_H

#include "optimizer.h"

enum { MT_SHARDS_MOST = 1024 };

typedef struct mt_shards mt_shards;

MT_BEGIN
/* For `count` shards, 2 to MT_SHARDS_MOST, with a copy of the gradients of the optimiser's parameters for
 * each level of the tree. NULL with a sentence. */
MT_INTERNAL mt_shards *mt_shards_new(const mt_optimizer *optimizer, int count);
MT_INTERNAL void mt_shards_free(mt_shards *shards);
/* Before the first shard of a batch. */
MT_INTERNAL void mt_shards_begin(mt_shards *shards);
/* The next shard: its gradients are those of the parameters, which the next one finds empty; sum and weight,
 * (1), are copied. Without rows (empty) it has none of them. */
MT_INTERNAL mt_status mt_shards_arrive(mt_shards *shards, bool empty, const mt_tensor *sum,
                                       const mt_tensor *weight);
/* After the last: the sum and the weight of all, the object's; and the gradients, which the parameters have,
 * divided by that weight. */
MT_INTERNAL mt_tensor *mt_shards_sum(const mt_shards *shards);
MT_INTERNAL mt_tensor *mt_shards_weight(const mt_shards *shards);
MT_INTERNAL mt_status mt_shards_divide(mt_shards *shards);
MT_END

#endif
