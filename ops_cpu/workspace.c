/* ops_cpu/workspace.c - memory that one call of the backend works in, kept for the next one.
 *
 * A call takes the first free slot and gives it back at its end; the slot grows to what was ever asked and is
 * kept until the program ends, so there are as many as calls ever ran at the same time. With more than SLOTS
 * at once, the others allocate and free.
 */
#include "workspace.h"

#include <stdatomic.h>

#include "tensor/arena.h"

enum { SLOTS = 32 };

static struct mt_workspace_slot {
    atomic_bool busy;
    void *data;
    size_t bytes;
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
