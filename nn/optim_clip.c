/* nn/optim_clip.c - gradients are clipped, by their common norm or one by one, before a step.
 *
 * The norm is summed in a tree that follows from the parameters alone: each gradient, in the order of its
 * elements, is cut into blocks of BLOCK; the squares of a block are summed; then the sums of all blocks,
 * those of a parameter without a gradient being 0. So its bits depend neither on the number of threads nor on
 * which gradients are there. The factor stays on the device, and nothing waits for it.
 */
#include "optimizer.h"

#include <math.h>

#include "../tensor/elementwise_ops.h"
#include "../tensor/ops.h"

enum { BLOCK = 1024, PIECE = 256 /* blocks whose squares are worked out at once */ };

static int64_t blocks_of(const mt_tensor *x) { return (mt_tensor_count(x) + BLOCK - 1) / BLOCK; }

/* Elements first to first + rows columns - 1 of a contiguous x as a matrix; a vector where columns is 0. */
static mt_tensor part_of(const mt_tensor *x, int64_t first, int64_t rows, int64_t columns)
{
    mt_layout layout = mt_layout_contiguous(columns ? mt_shape(rows, columns) : mt_shape(rows));
    layout.offset = x->layout.offset + first;
    return (mt_tensor){.layout = layout, .storage = x->storage, .kind = x->kind};
}

void mt_optimizer_free_norms(mt_optimizer *optimizer)
{
    mt_optimizer_norms *n = &optimizer->norms;
    mt_tensor *const all[] = {n->squares, n->sums, n->norm, n->factor, n->small, n->limit};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mt_tensor_free(all[i]);
    *n = (mt_optimizer_norms){.limit_value = NAN};
}

static mt_status make_norms(mt_optimizer *optimizer)
{
    mt_optimizer_norms *n = &optimizer->norms;
    mt_backend *backend = optimizer->backend;
    int64_t largest = 0, blocks = 0;
    if (n->limit) return MT_OK;
    for (int i = 0; i < optimizer->slots; i++) {
        const int64_t count = mt_tensor_count(optimizer->slot[i].tensor);
        if (count > largest) largest = count;
        blocks += blocks_of(optimizer->slot[i].tensor);
    }
    if (largest > (int64_t)BLOCK * PIECE) largest = (int64_t)BLOCK * PIECE;
    n->squares = mt_empty(backend, mt_shape(largest), MT_REAL);
    n->sums = mt_empty(backend, mt_shape(blocks), MT_REAL);
    n->norm = mt_empty(backend, mt_shape(1), MT_REAL);
    n->factor = mt_empty(backend, mt_shape(1), MT_REAL);
    n->small = mt_full(backend, mt_shape(1), 1e-6); /* PyTorch's, so that a norm of 0 divides nothing by 0 */
    n->limit = mt_empty(backend, mt_shape(1), MT_REAL);
    n->limit_value = NAN;
    if (n->squares && n->sums && n->norm && n->factor && n->small && n->limit) return MT_OK;
    mt_optimizer_free_norms(optimizer);
    return mt_last_status();
}

/* The sums of squares of the blocks of grad into n->sums, from `first` on. */
static mt_status sum_blocks(const mt_optimizer_norms *n, const mt_tensor *grad, int64_t first)
{
    const int64_t count = mt_tensor_count(grad);
    mt_status status = MT_OK;
    for (int64_t begin = 0, rows, width = BLOCK; begin < count && status == MT_OK; begin += rows * width) {
        rows = (count - begin) / BLOCK;
        if (rows > PIECE) rows = PIECE;
        if (rows == 0) rows = 1, width = count - begin;
        const mt_tensor g = part_of(grad, begin, rows, width);
        mt_tensor squares = part_of(n->squares, 0, rows, width), sums = part_of(n->sums, first, rows, 0);
        status = mt_op_square(&squares, &g);
        if (status == MT_OK) status = mt_op_sum(&sums, &squares, mt_axes(1));
        first += rows;
    }
    return status;
}

/* n->norm = the root of the sum of the squares of all gradients. */
static mt_status measure(mt_optimizer *optimizer)
{
    const mt_optimizer_norms *n = &optimizer->norms;
    mt_status status = MT_OK;
    int64_t first = 0;
    for (int i = 0; i < optimizer->slots && status == MT_OK; i++) {
        const mt_optimizer_slot *slot = &optimizer->slot[i];
        const int64_t blocks = blocks_of(slot->tensor);
        mt_tensor sums = part_of(n->sums, first, blocks, 0);
        status = mt_optimizer_moves(slot) ? sum_blocks(n, slot->tensor->grad, first) : mt_op_fill(&sums, 0);
        first += blocks;
    }
    if (status == MT_OK) status = mt_op_sum(n->norm, n->sums, mt_axes(0));
    return status == MT_OK ? mt_op_sqrt(n->norm, n->norm) : status;
}

mt_tensor *mt_optimizer_clip_norm(mt_optimizer *optimizer, double most)
{
    if (!optimizer) return NULL;
    if (!(most >= 0)) {
        mt_fail(MT_ERR_VALUE,
                "optimizer_clip_norm: the largest norm is %g; give at least 0, or INFINITY to measure alone",
                mt_printable(most));
        return NULL;
    }
    mt_status status = make_norms(optimizer);
    if (status == MT_OK) status = measure(optimizer);
    mt_optimizer_norms *n = &optimizer->norms;
    if (status != MT_OK || isinf(most)) return status == MT_OK ? n->norm : NULL;
    if (n->limit_value != most) status = mt_op_fill(n->limit, most);
    if (status == MT_OK) {
        n->limit_value = most;
        status = mt_op_add(n->factor, n->norm, n->small);
    }
    if (status == MT_OK) status = mt_op_div(n->factor, n->limit, n->factor);
    if (status == MT_OK) status = mt_op_clamp(n->factor, n->factor, 0, 1);
    for (int i = 0; i < optimizer->slots && status == MT_OK; i++) {
        const mt_optimizer_slot *slot = &optimizer->slot[i];
        if (mt_optimizer_moves(slot)) status = mt_op_mul(slot->tensor->grad, slot->tensor->grad, n->factor);
    }
    return status == MT_OK ? n->norm : NULL;
}

mt_status mt_optimizer_clip_value(mt_optimizer *optimizer, double most)
{
    if (!optimizer) return MT_ERR_NULL;
    if (!(most >= 0))
        return mt_fail(MT_ERR_VALUE, "optimizer_clip_value: the largest size is %g; give at least 0",
                       mt_printable(most));
    mt_status status = MT_OK;
    for (int i = 0; i < optimizer->slots && status == MT_OK; i++) {
        const mt_optimizer_slot *slot = &optimizer->slot[i];
        if (mt_optimizer_moves(slot))
            status = mt_op_clamp(slot->tensor->grad, slot->tensor->grad, -most, most);
    }
    return status;
}
