/* tensor/alloc.c - the only place that asks the C library for memory, and that counts what is held. */
#include "arena.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void *default_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    return aligned_alloc(alignment, bytes);
}

static void default_release(void *context, void *pointer, size_t bytes)
{
    (void)context;
    (void)bytes;
    free(pointer);
}

static mt_allocator allocator = {default_allocate, default_release, NULL};
static atomic_uint_least64_t requests, allocations, fail_at;
static atomic_size_t held, peak;

mt_status mt_set_allocator(mt_allocator replacement)
{
    if (!replacement.allocate || !replacement.release)
        return mt_fail(MT_ERR_VALUE, "mt_set_allocator: both allocate and release must be given");
    if (atomic_load(&requests) != 0)
        return mt_fail(MT_ERR_STATE,
                       "mt_set_allocator: memory is in use already; call it before anything else");
    allocator = replacement;
    return MT_OK;
}

mt_alloc_stats mt_get_alloc_stats(void)
{
    return (mt_alloc_stats){atomic_load(&allocations), atomic_load(&held), atomic_load(&peak)};
}

void mt_alloc_fail_at(uint64_t k) { atomic_store(&fail_at, k ? atomic_load(&requests) + k : 0); }

/* What is really asked for: a whole number of alignment units, never zero. */
static size_t rounded(size_t bytes)
{
    return bytes ? (bytes + MT_ALIGN - 1) / MT_ALIGN * MT_ALIGN : MT_ALIGN;
}

void *mt_alloc(size_t bytes)
{
    uint64_t request = atomic_fetch_add(&requests, 1) + 1;
    void *pointer = NULL;
    if (bytes <= PTRDIFF_MAX - MT_ALIGN && request != atomic_load(&fail_at))
        pointer = allocator.allocate(allocator.context, rounded(bytes), MT_ALIGN);
    if (!pointer) {
        mt_fail(MT_ERR_MEMORY, "out of memory: %zu bytes asked for, %zu held; use smaller tensors or batches",
                bytes, atomic_load(&held));
        return NULL;
    }
    atomic_fetch_add(&allocations, 1);
    size_t now = atomic_fetch_add(&held, rounded(bytes)) + rounded(bytes);
    size_t before = atomic_load(&peak);
    while (before < now && !atomic_compare_exchange_weak(&peak, &before, now)) {}
    return pointer;
}

void *mt_alloc_zeroed(size_t bytes)
{
    void *pointer = mt_alloc(bytes);
    if (pointer) memset(pointer, 0, bytes);
    return pointer;
}

void mt_free(void *pointer, size_t bytes)
{
    if (!pointer) return;
    atomic_fetch_sub(&held, rounded(bytes));
    allocator.release(allocator.context, pointer, rounded(bytes));
}
