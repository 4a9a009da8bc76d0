/* tensor/alloc.c - the only place that asks the C library for memory, and that counts what is held. */
#define _DEFAULT_SOURCE /* madvise */
#include "arena.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- large blocks ----
 *
 * The C library gives each large block back to the system when it is freed, and the next one arrives as
 * thousands of pages to be zeroed and mapped one by one. So a few are kept for the next request of about
 * their size, and the system is asked for huge pages. */
enum { KEPT_BLOCKS = 8 };
static const size_t huge_page = (size_t)2 << 20, /* and the least that is large */
    kept_bytes_most = (size_t)256 << 20;

#if defined(__SANITIZE_ADDRESS__)
#define MT_KEEPS_BLOCKS 0 /* the sanitizer should see each release */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MT_KEEPS_BLOCKS 0
#endif
#endif
#ifndef MT_KEEPS_BLOCKS
#define MT_KEEPS_BLOCKS 1
#endif

/* Never waited for: who finds it taken does without, so a child forked meanwhile cannot hang. */
static atomic_flag kept_busy = ATOMIC_FLAG_INIT;
static struct {
    struct {
        void *pointer;
        size_t bytes;
    } block[KEPT_BLOCKS]; /* the oldest first */
    int count;
    size_t bytes;
} kept;

static size_t large_rounded(size_t bytes) { return (bytes + huge_page - 1) / huge_page * huge_page; }

/* Takes block i out of those kept. */
static void *take(int i)
{
    void *pointer = kept.block[i].pointer;
    kept.bytes -= kept.block[i].bytes;
    kept.count--;
    for (int k = i; k < kept.count; k++) kept.block[k] = kept.block[k + 1];
    return pointer;
}

static void *large_allocate(size_t bytes)
{
    void *pointer = NULL;
    bytes = large_rounded(bytes);
    if (!atomic_flag_test_and_set(&kept_busy)) {
        for (int i = kept.count - 1; i >= 0 && !pointer; i--)
            if (kept.block[i].bytes == bytes) pointer = take(i);
        if (!pointer) pointer = aligned_alloc(huge_page, bytes);
        while (!pointer && kept.count > 0) { /* no memory: what is kept goes first */
            free(take(0));
            pointer = aligned_alloc(huge_page, bytes);
        }
        atomic_flag_clear(&kept_busy);
    } else {
        pointer = aligned_alloc(huge_page, bytes);
    }
#ifdef MADV_HUGEPAGE
    if (pointer) madvise(pointer, bytes, MADV_HUGEPAGE);
#endif
    return pointer;
}

/* Keeps the block, and lets the oldest go for it. */
static void large_release(void *pointer, size_t bytes)
{
    bytes = large_rounded(bytes);
    if (!MT_KEEPS_BLOCKS || bytes > kept_bytes_most || atomic_flag_test_and_set(&kept_busy)) {
        free(pointer);
        return;
    }
    while (kept.count == KEPT_BLOCKS || kept.bytes + bytes > kept_bytes_most) free(take(0));
    kept.block[kept.count].pointer = pointer;
    kept.block[kept.count++].bytes = bytes;
    kept.bytes += bytes;
    atomic_flag_clear(&kept_busy);
}

static void *default_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    return bytes >= huge_page ? large_allocate(bytes) : aligned_alloc(alignment, bytes);
}

static void default_release(void *context, void *pointer, size_t bytes)
{
    (void)context;
    if (bytes >= huge_page)
        large_release(pointer, bytes);
    else
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
