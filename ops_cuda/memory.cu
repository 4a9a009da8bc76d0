/* ops_cuda/memory.cu - the backend's memory: a pool in size classes, copies by way of pinned memory, and
 * counts.
 *
 * A size is rounded up to its class; what is given back waits in its class for the next request, and goes
 * back to the card when that has no room, or when the last tensor is gone. Small pieces are cut from slabs.
 * The simulator is told each piece's exact bytes, so that pooling hides no overrun. One lock guards it all.
 */
#include <cstdio>
#include <cstring>
#include <mutex>

#include "backend.cuh"
#include "tensor/arena.h"

namespace MT_TWIN {

namespace {

enum : size_t {
    GUARD = 64,              /* bytes between pieces that belong to nobody */
    SMALL = (size_t)1 << 16, /* pieces up to this are cut from slabs */
    SLAB = (size_t)1 << 21,
    RING = (size_t)1 << 20 /* pinned memory that uploads pass through */
};

struct region {
    char *start;
    size_t bytes;
};
/* Addresses in a list that grows; device memory cannot hold its own links. */
struct region_list {
    region *item;
    size_t count, room;
};

static struct {
    std::mutex lock;
    bool open;
    mt_stream stream;
    char device[160];
    region_list waiting[256]; /* by class */
    region_list slabs, large; /* what the card was asked for */
    size_t slab_used;         /* of the last slab */
    size_t held, in_use;
    size_t pieces, kept; /* out there, and how many of them the backend keeps for itself */
    char *ring;
    size_t ring_used;
    mt_backend_counts counts;
} pool;

typedef std::lock_guard<std::mutex> locked;

/* ---- classes: multiples of 256 up to 4096, then eight between a power of two and the next ---- */

static size_t class_bytes(size_t bytes, unsigned *number)
{
    size_t step = 256, base = 4096;
    bytes += GUARD;
    if (bytes <= base) {
        *number = (unsigned)((bytes + step - 1) / step) - 1;
        return (*number + 1) * step;
    }
    unsigned power = 0;
    while (bytes > 2 * base) base *= 2, power++;
    step = base / 8;
    unsigned eighth = (unsigned)((bytes - base + step - 1) / step);
    *number = 16 + power * 8 + eighth - 1;
    return base + eighth * step;
}

static bool push(region_list *list, region r)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        region *item = static_cast<region *>(mt_alloc(room * sizeof *item));
        if (!item) return false;
        if (list->count) memcpy(item, list->item, list->count * sizeof *item);
        mt_free(list->item, list->room * sizeof *item);
        list->item = item;
        list->room = room;
    }
    list->item[list->count++] = r;
    return true;
}

/* ---- what the card is asked for, and gets back ---- */

static char *ask(region_list *list, size_t bytes, bool *no_list)
{
    void *start = nullptr;
    *no_list = false;
    if (dev_alloc(&start, bytes, nullptr) != 0) return nullptr;
    if (!push(list, {static_cast<char *>(start), bytes})) {
        dev_free(start);
        *no_list = true;
        return nullptr;
    }
    dev_mark(start, bytes, false);
    pool.held += bytes;
    pool.counts.allocations++;
    return static_cast<char *>(start);
}

/* Gives back every large piece that waits. Waits for the device, which may still be using them. */
static void give_back_large()
{
    dev_sync(pool.stream);
    for (region_list &list : pool.waiting)
        while (list.count > 0 && list.item[0].bytes > SMALL) {
            region r = list.item[--list.count];
            size_t i = 0;
            while (pool.large.item[i].start != r.start) i++;
            pool.large.item[i] = pool.large.item[--pool.large.count];
            dev_free(r.start);
            pool.held -= r.bytes;
        }
}

static void give_back_all()
{
    give_back_large();
    while (pool.slabs.count > 0) dev_free(pool.slabs.item[--pool.slabs.count].start);
    pool.slab_used = 0;
    pool.held = 0;
    for (region_list &list : pool.waiting) {
        mt_free(list.item, list.room * sizeof *list.item);
        list = {nullptr, 0, 0};
    }
    mt_free(pool.large.item, pool.large.room * sizeof(region));
    mt_free(pool.slabs.item, pool.slabs.room * sizeof(region));
    pool.large = pool.slabs = {nullptr, 0, 0};
}

static char *cut_from_slab(size_t bytes, bool *no_list)
{
    if (pool.slabs.count == 0 || SLAB - pool.slab_used < bytes) {
        if (!ask(&pool.slabs, SLAB, no_list)) return nullptr;
        pool.slab_used = 0;
    }
    char *start = pool.slabs.item[pool.slabs.count - 1].start + pool.slab_used;
    pool.slab_used += bytes;
    return start;
}

static void *allocate_locked(mt_backend *backend, size_t asked)
{
    if (asked > SIZE_MAX / 4) {
        mt_fail(MT_ERR_MEMORY, "out of memory: %zu bytes asked for", asked);
        return nullptr;
    }
    unsigned number;
    size_t bytes = class_bytes(asked, &number);
    region_list *list = &pool.waiting[number];
    char *start = nullptr;
    bool no_list = false;
    if (list->count > 0) {
        start = list->item[--list->count].start;
    } else {
        /* Room in the list for the day it comes back, so that giving back cannot fail. */
        for (int attempt = 0; attempt < 2 && !start && !no_list; attempt++) {
            if (attempt > 0) give_back_large();
            start = bytes <= SMALL ? cut_from_slab(bytes, &no_list) : ask(&pool.large, bytes, &no_list);
        }
    }
    if (!start) {
        size_t free_bytes = 0, all_bytes = 0;
        dev_room(&free_bytes, &all_bytes);
        if (!no_list)
            mt_fail(MT_ERR_MEMORY,
                    "backend %s: out of memory: %zu bytes asked for, %zu held by this program (%zu of them "
                    "in use), "
                    "%zu of the card's %zu free; use smaller tensors or batches, or backend cpu",
                    backend->name, asked, pool.held, pool.in_use, free_bytes, all_bytes);
        return nullptr;
    }
    pool.in_use += bytes;
    pool.pieces++;
    dev_mark(start, asked, true);
    return start;
}

static void release_locked(void *pointer, size_t asked)
{
    unsigned number;
    size_t bytes = class_bytes(asked, &number);
    dev_mark(pointer, bytes, false);
    pool.in_use -= bytes;
    pool.pieces--;
    /* Without host memory for the list the piece is lost until all are given back. */
    push(&pool.waiting[number], {static_cast<char *>(pointer), bytes});
}

} // namespace

extern "C" void *MT_LAUNCHER(allocate)(mt_backend *backend, size_t bytes)
{
    locked guard(pool.lock);
    return allocate_locked(backend, bytes);
}

/* When the program has given back all of its tensors, the card gets all of its memory back. */
extern "C" void MT_LAUNCHER(release)(mt_backend *backend, void *pointer, size_t bytes)
{
    if (!pointer) return;
    {
        locked guard(pool.lock);
        release_locked(pointer, bytes);
        if (pool.pieces > pool.kept) return;
    }
    MT_LAUNCHER(forget_tables)(backend);
    locked guard(pool.lock);
    if (pool.pieces == 0) give_back_all();
}

extern "C" void *MT_LAUNCHER(keep)(mt_backend *backend, size_t bytes)
{
    locked guard(pool.lock);
    void *pointer = allocate_locked(backend, bytes);
    if (pointer) pool.kept++;
    return pointer;
}

extern "C" void MT_LAUNCHER(unkeep)(mt_backend *, void *pointer, size_t bytes)
{
    if (!pointer) return;
    locked guard(pool.lock);
    release_locked(pointer, bytes);
    pool.kept--;
}

extern "C" void MT_LAUNCHER(mark)(mt_backend *, void *pointer, size_t bytes, bool live)
{
    dev_mark(pointer, bytes, live);
}

/* ---- copies ---- */

/* Through the ring of pinned memory, so that the caller's bytes may change at once and nothing waits; when
 * the ring is full it waits for the copies that are under way. */
extern "C" mt_status MT_LAUNCHER(upload)(mt_backend *backend, void *to, const void *from_host, size_t bytes)
{
    locked guard(pool.lock);
    pool.counts.uploads++;
    pool.counts.upload_bytes += bytes;
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < RING ? bytes - done : RING;
        if (RING - pool.ring_used < part) {
            if (dev_sync(pool.stream) != 0) return failed(backend);
            pool.ring_used = 0;
        }
        char *place = pool.ring + pool.ring_used;
        memcpy(place, static_cast<const char *>(from_host) + done, part);
        if (dev_upload(static_cast<char *>(to) + done, place, part, pool.stream) != 0) return failed(backend);
        pool.ring_used += (part + 63) / 64 * 64;
        done += part;
    }
    return MT_OK;
}

extern "C" mt_status MT_LAUNCHER(download)(mt_backend *backend, void *to_host, const void *from, size_t bytes)
{
    locked guard(pool.lock);
    pool.counts.downloads++;
    pool.counts.download_bytes += bytes;
    if (bytes == 0) return MT_OK;
    return dev_download(to_host, from, bytes, pool.stream) == 0 ? MT_OK : failed(backend);
}

/* ---- counts ---- */

extern "C" void MT_LAUNCHER(count)(mt_backend *, const char *kernel, uint64_t blocks)
{
    locked guard(pool.lock);
    mt_backend_counts *all = &pool.counts;
    int i = 0, most = (int)(sizeof all->kernel / sizeof *all->kernel);
    while (i < all->kernels && i < most - 1 && strcmp(all->kernel[i].name, kernel) != 0) i++;
    if (i == all->kernels) all->kernel[all->kernels++].name = i < most - 1 ? kernel : "other kernels";
    all->kernel[i].launches++;
    all->kernel[i].few_blocks += blocks < (uint64_t)all->multiprocessors;
}

extern "C" void MT_LAUNCHER(counts)(mt_backend *, mt_backend_counts *counts)
{
    locked guard(pool.lock);
    mt_backend_counts *all = &pool.counts;
    all->device_bytes = pool.held;
    all->simulated = dev_detail();
    for (int i = 0; i < all->kernels; i++) {
        mt_kernel_counts *row = &all->kernel[i];
        dev_counts c = {};
        if (!dev_counts_of(row->name, &c)) continue;
        row->blocks = c.blocks, row->barriers = c.barriers;
        row->requests = c.requests, row->sectors = c.sectors;
        row->shared_requests = c.shared_requests, row->bank_conflicts = c.bank_conflicts;
        row->partial = c.partial;
    }
    memcpy(counts, all, sizeof *counts);
}

extern "C" int MT_LAUNCHER(describe)(mt_backend *, char *text, size_t size)
{
    locked guard(pool.lock);
    return snprintf(text, size, "threads 1, isa none, %s", pool.device);
}

/* ---- the device ---- */

extern "C" mt_stream MT_LAUNCHER(stream)(mt_backend *) { return pool.stream; }

extern "C" mt_status MT_LAUNCHER(open)(mt_backend *backend)
{
    locked guard(pool.lock);
    if (pool.open) return MT_OK;
    if (dev_open(&pool.stream, pool.device, sizeof pool.device) != 0) return failed(backend);
    void *ring = nullptr;
    if (dev_pinned(&ring, RING) != 0) return failed(backend);
    pool.ring = static_cast<char *>(ring);
    pool.counts.multiprocessors = dev_multiprocessors();
    pool.open = true;
    return MT_OK;
}

} // namespace MT_TWIN
