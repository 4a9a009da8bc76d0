/* ops_cpu/workspace.c - memory that one call of the backend works in, kept for the next one.
 *
 * mt_workspace_borrow takes the first of SLOTS blocks that is not busy, and replaces it by a larger one where
 * it has too few bytes; mt_workspace_give_back marks it free. Blocks are kept until the program ends: as many
 * as calls ever ran at the same time, each as large as the largest request it has met. While all SLOTS are
 * busy a call gets memory of its own, which is freed at its end. (A block for each thread would be kept for
 * threads that have ended.)
 */
#include "workspace.h"

#include <stdatomic.h>

#include "tensor/arena.h"

enum { SLOTS = 32 };

static struct mt_workspace_slot {
    atomic_bool busy; /* lent: data and bytes are the borrower's to read and to change */
    void *data;       /* NULL: nothing was asked for yet, or memory had run out */
    size_t bytes;     /* of data; 0 where it is NULL */
} slots[SLOTS];

bool mt_workspace_borrow(size_t bytes, mt_workspace *result)
{
    *result = (mt_workspace){.bytes = bytes};
    if (bytes == 0) return true;
    for (int i = 0; i < SLOTS; i++) {
        struct mt_workspace_slot *slot = &slots[i];
        if (atomic_exchange_explicit(&slot->busy, true, memory_order_acquire)) continue;
        if (slot->bytes < bytes) {
            mt_free(slot->data, slot->bytes);
            slot->data = mt_alloc(bytes);
            slot->bytes = slot->data ? bytes : 0;
        }
        result->slot = slot;
        result->data = slot->data;
        if (!slot->data) atomic_store_explicit(&slot->busy, false, memory_order_release);
        return result->data != NULL;
    }
    result->data = mt_alloc(bytes);
    return result->data != NULL;
}

void mt_workspace_give_back(const mt_workspace *workspace)
{
    if (workspace->slot)
        atomic_store_explicit(&workspace->slot->busy, false, memory_order_release);
    else
        mt_free(workspace->data, workspace->data ? workspace->bytes : 0);
}
