/* nn/batches.c - shuffled mini-batches: copies of the data in a random order, and a view for each batch.
 *
 * An epoch draws one permutation into an INDEX tensor on the backend, where the data lives, and copies
 * the rows of x and of y in that order (mt_op_take_rows). The views were made once, so that an epoch
 * allocates nothing.
 */
#include <inttypes.h>

#include "../tensor/storage.h"
#include "batches.h"

struct mt_batches {
    const mt_tensor *source[2]; /* x and y, the caller's */
    mt_tensor *shuffled[2];     /* their rows in the order of this epoch */
    mt_tensor **batch[2];       /* views of shuffled, count of each */
    mt_tensor *index;           /* the order, on the backend */
    int64_t rows, size, count;
    mt_rng rng;
};

void mt_batches_free(mt_batches *batches)
{
    if (!batches) return;
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; batches->batch[k] && i < batches->count; i++)
            mt_tensor_free(batches->batch[k][i]);
        mt_free(batches->batch[k], (size_t)batches->count * sizeof *batches->batch[k]);
        mt_tensor_free(batches->shuffled[k]);
    }
    mt_tensor_free(batches->index);
    mt_free(batches, sizeof *batches);
}

/* The copy of x or y and the views of it. */
static mt_status make_side(mt_batches *batches, int k)
{
    batches->shuffled[k] = mt_tensor_copy(batches->source[k]);
    if (!batches->shuffled[k]) return mt_last_status();
    batches->batch[k] = mt_alloc_zeroed((size_t)batches->count * sizeof *batches->batch[k]);
    if (!batches->batch[k]) return MT_ERR_MEMORY;
    for (int64_t i = 0; i < batches->count; i++) {
        int64_t first = i * batches->size, left = batches->rows - first;
        int64_t stop = first + (left < batches->size ? left : batches->size);
        batches->batch[k][i] = mt_tensor_slice(batches->shuffled[k], 0, first, stop, 1);
        if (!batches->batch[k][i]) return mt_last_status();
    }
    return MT_OK;
}

mt_batches *mt_batches_new(const mt_tensor *x, const mt_tensor *y, int64_t size, mt_rng rng)
{
    char text[MT_SHAPE_TEXT], text_y[MT_SHAPE_TEXT];
    if (mt_tensor_check(x, "batches") != MT_OK || mt_tensor_check(y, "batches") != MT_OK) return NULL;
    int64_t rows = mt_tensor_size(x, 0);
    mt_status status = MT_OK;
    if (rows != mt_tensor_size(y, 0) || rows < 1)
        status =
            mt_fail(MT_ERR_SHAPE,
                    "batches: x has shape %s and y %s; their first sizes, the number of rows, must be the "
                    "same and at least 1",
                    mt_shape_text(mt_tensor_shape(x), text), mt_shape_text(mt_tensor_shape(y), text_y));
    else if (mt_tensor_backend(x) != mt_tensor_backend(y))
        status =
            mt_fail(MT_ERR_BACKEND, "batches: x is on backend %s and y on %s; copy one with mt_tensor_to",
                    mt_tensor_backend(x)->name, mt_tensor_backend(y)->name);
    else if (size < 1)
        status = mt_fail(MT_ERR_VALUE, "batches: a batch of %" PRId64 " rows; choose at least 1", size);
    if (status != MT_OK) return NULL;

    mt_batches *batches = mt_alloc_zeroed(sizeof *batches);
    if (!batches) return NULL;
    batches->source[0] = x;
    batches->source[1] = y;
    batches->rows = rows;
    batches->size = size < rows ? size : rows;
    batches->count = (rows - 1) / batches->size + 1;
    batches->rng = rng;
    batches->index = mt_empty(mt_tensor_backend(x), mt_shape(rows), MT_INDEX);
    status = batches->index ? MT_OK : MT_ERR_MEMORY;
    for (int k = 0; k < 2 && status == MT_OK; k++) status = make_side(batches, k);
    if (status == MT_OK) return batches;
    mt_batches_free(batches);
    return NULL;
}

mt_status mt_batches_shuffle(mt_batches *batches)
{
    if (!batches) return MT_ERR_NULL;
    mt_status status = mt_op_permutation(batches->index, &batches->rng);
    for (int k = 0; k < 2 && status == MT_OK; k++)
        status = mt_op_take_rows(batches->shuffled[k], batches->source[k], batches->index);
    return status;
}

int64_t mt_batches_count(const mt_batches *batches) { return batches ? batches->count : -1; }

static mt_tensor *batch_at(const mt_batches *batches, int k, int64_t i)
{
    if (!batches) return NULL;
    if (i >= 0 && i < batches->count) return batches->batch[k][i];
    mt_fail(MT_ERR_INDEX, "batches: there is no batch %" PRId64 " among %" PRId64 ", which count from 0", i,
            batches->count);
    return NULL;
}

mt_tensor *mt_batches_x(const mt_batches *batches, int64_t i) { return batch_at(batches, 0, i); }

mt_tensor *mt_batches_y(const mt_batches *batches, int64_t i) { return batch_at(batches, 1, i); }
