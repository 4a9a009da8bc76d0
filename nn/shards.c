/* nn/shards.c - the tree in which shards of a batch meet, walked as a binary counter carries.
 *
 * For each trailing 1 of a shard's number what waits at that level is added to it; the result waits at the
 * level above the last of them. After the last shard what still waits is added, from the lowest level up.
 */
#include "shards.h"

#include "../tensor/elementwise_ops.h"
#include "../tensor/ops.h"

enum { LEVELS = 10 }; /* 2^LEVELS is MT_SHARDS_MOST */
_Static_assert(1 << LEVELS == MT_SHARDS_MOST, "a level for each bit of a shard's number");

/* A sum over some shards. */
typedef struct {
    mt_tensor **grad; /* of each parameter of the optimiser, with has[i]: whether a gradient has arrived */
    bool *has;
    mt_tensor *sum, *weight; /* (1) */
    bool counted;            /* whether any shard of them had rows */
} partial;

struct mt_shards {
    const mt_optimizer *optimizer;
    int slots, count, arrived, levels;
    partial level[LEVELS];   /* what waits */
    mt_tensor *sum, *weight; /* of what is being added up, whose gradients are the parameters' */
    bool counted;
};

/* ---- making ---- */

void mt_shards_free(mt_shards *shards)
{
    if (!shards) return;
    for (int l = 0; l < shards->levels; l++) {
        partial *p = &shards->level[l];
        for (int i = 0; p->grad && i < shards->slots; i++) mt_tensor_free(p->grad[i]);
        mt_free(p->grad, (size_t)shards->slots * sizeof *p->grad);
        mt_free(p->has, (size_t)shards->slots * sizeof *p->has);
        mt_tensor_free(p->sum);
        mt_tensor_free(p->weight);
    }
    mt_tensor_free(shards->sum);
    mt_tensor_free(shards->weight);
    mt_free(shards, sizeof *shards);
}

static mt_tensor *number(const mt_optimizer *optimizer)
{
    return mt_empty(optimizer->backend, mt_shape(1), MT_REAL);
}

static bool make_partial(partial *p, const mt_optimizer *optimizer)
{
    p->grad = mt_alloc_zeroed((size_t)optimizer->slots * sizeof *p->grad);
    p->has = mt_alloc_zeroed((size_t)optimizer->slots * sizeof *p->has);
    p->sum = number(optimizer);
    p->weight = number(optimizer);
    bool made = p->grad && p->has && p->sum && p->weight;
    for (int i = 0; i < optimizer->slots && made; i++) {
        p->grad[i] = mt_empty(optimizer->backend, mt_tensor_shape(optimizer->slot[i].tensor), MT_REAL);
        made = p->grad[i] != NULL;
    }
    return made;
}

mt_shards *mt_shards_new(const mt_optimizer *optimizer, int count)
{
    mt_shards *shards = mt_alloc_zeroed(sizeof *shards);
    if (!shards) return NULL;
    shards->optimizer = optimizer;
    shards->slots = optimizer->slots;
    shards->count = count;
    shards->sum = number(optimizer);
    shards->weight = number(optimizer);
    bool made = shards->sum && shards->weight;
    while (made && (count - 1) >> shards->levels > 0)
        made = make_partial(&shards->level[shards->levels++], optimizer);
    if (made) return shards;
    mt_shards_free(shards);
    return NULL;
}

/* ---- meeting ---- */

static mt_status set_numbers(mt_shards *shards, const mt_tensor *sum, const mt_tensor *weight)
{
    shards->counted = true;
    const mt_status status = mt_op_copy(shards->sum, sum);
    return status == MT_OK ? mt_op_copy(shards->weight, weight) : status;
}

static mt_status add_gradient(mt_tensor *parameter, const mt_tensor *waiting)
{
    if (parameter->has_grad) return mt_op_add(parameter->grad, waiting, parameter->grad);
    if (!mt_grad(parameter)) return mt_last_status(); /* room for it */
    const mt_status status = mt_op_copy(parameter->grad, waiting);
    parameter->has_grad = status == MT_OK;
    return status;
}

/* What is being added up = what waits + it. */
static mt_status meet(mt_shards *shards, const partial *waiting)
{
    mt_status status = MT_OK;
    for (int i = 0; i < shards->slots && status == MT_OK; i++)
        if (waiting->has[i]) status = add_gradient(shards->optimizer->slot[i].tensor, waiting->grad[i]);
    if (!waiting->counted || status != MT_OK) return status;
    if (!shards->counted) return set_numbers(shards, waiting->sum, waiting->weight);
    status = mt_op_add(shards->sum, waiting->sum, shards->sum);
    return status == MT_OK ? mt_op_add(shards->weight, waiting->weight, shards->weight) : status;
}

/* What has been added up waits at the level. */
static mt_status wait_at(mt_shards *shards, partial *level)
{
    mt_status status = MT_OK;
    for (int i = 0; i < shards->slots && status == MT_OK; i++) {
        mt_tensor *parameter = shards->optimizer->slot[i].tensor;
        level->has[i] = parameter->has_grad;
        if (parameter->has_grad) status = mt_op_copy(level->grad[i], parameter->grad);
        parameter->has_grad = false;
    }
    level->counted = shards->counted;
    if (!shards->counted || status != MT_OK) return status;
    status = mt_op_copy(level->sum, shards->sum);
    return status == MT_OK ? mt_op_copy(level->weight, shards->weight) : status;
}

void mt_shards_begin(mt_shards *shards)
{
    shards->arrived = 0;
    shards->counted = false;
}

mt_status mt_shards_arrive(mt_shards *shards, bool empty, const mt_tensor *sum, const mt_tensor *weight)
{
    const int s = shards->arrived++;
    const bool last = s == shards->count - 1;
    int level = 0;
    shards->counted = false;
    mt_status status = empty ? MT_OK : set_numbers(shards, sum, weight);
    for (; s >> level & 1 && status == MT_OK; level++) status = meet(shards, &shards->level[level]);
    for (; last && s >> level && status == MT_OK; level++)
        if (s >> level & 1) status = meet(shards, &shards->level[level]);
    return last || status != MT_OK ? status : wait_at(shards, &shards->level[level]);
}

mt_tensor *mt_shards_sum(const mt_shards *shards) { return shards->sum; }

mt_tensor *mt_shards_weight(const mt_shards *shards) { return shards->weight; }

mt_status mt_shards_divide(mt_shards *shards)
{
    mt_status status = MT_OK;
    for (int i = 0; i < shards->slots && status == MT_OK; i++) {
        const mt_optimizer_slot *slot = &shards->optimizer->slot[i];
        if (mt_optimizer_moves(slot))
            status = mt_op_div(slot->tensor->grad, slot->tensor->grad, shards->weight);
    }
    return status;
}
