/* ops_cuda/memory.cu - the backend's memory: a pool in size classes, copies by way of pinned memory, and
 * counts.
 *
 * A size is rounded up to its class; what is given back waits in its class for the next request, and goes
 * back to the card when that has no room, or when the last tensor is gone: then a slab and a few large pieces
 * stay, so that a program that makes and frees one tensor again and again asks the card once. Small pieces
 * are cut from slabs. The simulator is told each piece's exact bytes, so that pooling hides no overrun. One
 * lock guards it all.
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
    MOST = SIZE_MAX / 4,     /* a larger request is refused: no sum of sizes here overflows */
    SMALL = (size_t)1 << 16, /* pieces up to this are cut from slabs */
    SLAB = (size_t)1 << 21,
    SPARE = (size_t)1 << 28, /* bytes of large pieces that stay when no tensor is left */
    RING = (size_t)1 << 20   /* pinned memory that uploads pass through */
};
enum { SPARES = 8 };

/* ---- classes: multiples of 256 up to 4096, then eight between a power of two and the next ---- */

struct size_class {
    unsigned number;
    size_t bytes; /* of a piece, its guard included */
};
static constexpr size_class class_of(size_t bytes)
{
    size_t step = 256, base = 4096;
    bytes += GUARD;
    if (bytes <= base) {
        size_t steps = (bytes + step - 1) / step;
        return {(unsigned)steps - 1, steps * step};
    }
    unsigned power = 0;
    while (bytes > 2 * base) base *= 2, power++;
    step = base / 8;
    size_t eighth = (bytes - base + step - 1) / step;
    return {16 + power * 8 + (unsigned)eighth - 1, base + eighth * step};
}

struct region {
    char *start;
    size_t bytes;
};
/* Addresses in a list that grows; device memory cannot hold its own links. */
struct region_list {
    region *item;
    size_t count, room;
};
/* The pieces of one class that wait for a request, and `out`, how many are handed out. room is at least count
 * + out, so that giving back never needs memory. */
struct waiting_list : region_list {
    size_t out;
};

static struct {
    std::mutex lock;
    bool open;
    mt_stream stream;
    char device[160];
    waiting_list waiting[class_of(MOST).number + 1];
    region_list slabs, large; /* what the card was asked for, apart from what is spare */
    size_t slab_used;         /* of the last slab */
    char *spare_slab;         /* null: none */
    region spare[SPARES];     /* large pieces, the oldest first */
    int spares;
    size_t spare_bytes;
    size_t held, in_use;
    size_t pieces, kept; /* handed out, and how many of them to the backend itself (keep) */
    char *ring;
    size_t ring_used;
    mt_backend_counts counts;
} pool;

typedef std::lock_guard<std::mutex> locked;

/* Makes room for so many; false with a sentence when the host has none. */
static bool reserve(region_list *list, size_t count)
{
    if (count <= list->room) return true;
    size_t room = count > 2 * list->room ? count : 2 * list->room;
    if (room < 16) room = 16;
    region *item = static_cast<region *>(mt_alloc(room * sizeof *item));
    if (!item) return false;
    if (list->count) memcpy(item, list->item, list->count * sizeof *item);
    mt_free(list->item, list->room * sizeof *item);
    list->item = item;
    list->room = room;
    return true;
}

static void forget(region_list *list)
{
    mt_free(list->item, list->room * sizeof *list->item);
    *list = {nullptr, 0, 0};
}

/* ---- what the card is asked for, and gets back ---- */

static char *ask(size_t bytes)
{
    void *start = nullptr;
    if (dev_alloc(&start, bytes, nullptr) != 0) return nullptr;
    dev_mark(start, bytes, false);
    pool.held += bytes;
    pool.counts.allocations++;
    return static_cast<char *>(start);
}

/* Waits for the device, which may still be using the memory. */
static void give_back(region r)
{
    dev_sync(pool.stream);
    dev_free(r.start);
    pool.held -= r.bytes;
}

/* Takes spare piece i out of those that stay. */
static region take_spare(int i)
{
    region r = pool.spare[i];
    pool.spare_bytes -= r.bytes;
    pool.spares--;
    for (int k = i; k < pool.spares; k++) pool.spare[k] = pool.spare[k + 1];
    return r;
}

/* Keeps a large piece for the next program part that wants one of its size; the oldest ones make room. */
static void make_spare(region r)
{
    if (r.bytes > SPARE) {
        give_back(r);
        return;
    }
    while (pool.spares == SPARES || pool.spare_bytes + r.bytes > SPARE) give_back(take_spare(0));
    pool.spare[pool.spares++] = r;
    pool.spare_bytes += r.bytes;
}

/* Gives back every large piece that waits, and all that is spare. */
static void give_back_large()
{
    while (pool.spares > 0) give_back(take_spare(0));
    if (pool.spare_slab) give_back({pool.spare_slab, SLAB});
    pool.spare_slab = nullptr;
    for (waiting_list &list : pool.waiting)
        while (list.count > 0 && list.item[0].bytes > SMALL) {
            region r = list.item[--list.count];
            size_t i = 0;
            while (pool.large.item[i].start != r.start) i++;
            pool.large.item[i] = pool.large.item[--pool.large.count];
            give_back(r);
        }
}

/* No piece is out: gives back all but a slab and the large pieces that may stay, and the host's lists. */
static void rest()
{
    while (pool.large.count > 0) make_spare(pool.large.item[--pool.large.count]);
    while (pool.slabs.count > 0) {
        region slab = pool.slabs.item[--pool.slabs.count];
        if (pool.spare_slab)
            give_back(slab);
        else
            pool.spare_slab = slab.start;
    }
    pool.slab_used = 0;
    for (waiting_list &list : pool.waiting) forget(&list);
    forget(&pool.large);
    forget(&pool.slabs);
}

/* A large piece for the list of those that the card was asked for, which has room. */
static char *large_piece(size_t bytes)
{
    int i = pool.spares - 1;
    while (i >= 0 && pool.spare[i].bytes != bytes) i--;
    char *start = i >= 0 ? take_spare(i).start : ask(bytes);
    if (start) pool.large.item[pool.large.count++] = {start, bytes};
    return start;
}

static char *cut_from_slab(size_t bytes)
{
    if (pool.slabs.count == 0 || SLAB - pool.slab_used < bytes) {
        char *start = pool.spare_slab ? pool.spare_slab : ask(SLAB);
        if (!start) return nullptr;
        pool.spare_slab = nullptr;
        pool.slabs.item[pool.slabs.count++] = {start, SLAB};
        pool.slab_used = 0;
    }
    char *start = pool.slabs.item[pool.slabs.count - 1].start + pool.slab_used;
    pool.slab_used += bytes;
    return start;
}

static void no_room(mt_backend *backend, size_t asked)
{
    size_t free_bytes = 0, all_bytes = 0;
    dev_room(&free_bytes, &all_bytes);
    mt_fail(MT_ERR_MEMORY,
            "backend %s: out of memory: %zu bytes asked for, %zu held by this program (%zu of them in use), "
            "%zu of the card's %zu free; use smaller tensors or batches, or backend cpu",
            backend->name, asked, pool.held, pool.in_use, free_bytes, all_bytes);
}

/* A piece that no waiting one can serve for; null with a sentence. */
static char *new_piece(mt_backend *backend, size_t asked, size_class c)
{
    waiting_list *list = &pool.waiting[c.number];
    region_list *source = c.bytes <= SMALL ? &pool.slabs : &pool.large;
    if (!reserve(list, list->out + 1) || !reserve(source, source->count + 1)) return nullptr;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (attempt > 0) give_back_large();
        char *start = c.bytes <= SMALL ? cut_from_slab(c.bytes) : large_piece(c.bytes);
        if (start) return start;
        if (!dev_no_memory()) {
            failed(backend);
            return nullptr;
        }
    }
    no_room(backend, asked);
    return nullptr;
}

static void *allocate_locked(mt_backend *backend, size_t asked)
{
    if (asked > MOST) {
        no_room(backend, asked);
        return nullptr;
    }
    size_class c = class_of(asked);
    waiting_list *list = &pool.waiting[c.number];
    char *start = list->count > 0 ? list->item[--list->count].start : new_piece(backend, asked, c);
    if (!start) {
        if (pool.pieces == 0) rest();
        return nullptr;
    }
    list->out++;
    pool.in_use += c.bytes;
    pool.pieces++;
    dev_mark(start, asked, true);
    return start;
}

static void release_locked(void *pointer, size_t asked)
{
    size_class c = class_of(asked);
    waiting_list *list = &pool.waiting[c.number];
    dev_mark(pointer, c.bytes, false);
    pool.in_use -= c.bytes;
    pool.pieces--;
    list->out--;
    list->item[list->count++] = {static_cast<char *>(pointer), c.bytes};
}

} // namespace

extern "C" void *MT_LAUNCHER(allocate)(mt_backend *backend, size_t bytes)
{
    locked guard(pool.lock);
    return allocate_locked(backend, bytes);
}

/* When the program has given back all of its tensors, the card gets its memory back but for what is spare. */
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
    if (pool.pieces == 0) rest();
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
 * the ring is full it waits for the copies that are under way. What is larger than the ring is read where it
 * stands, and waited for once. */
extern "C" mt_status MT_LAUNCHER(upload)(mt_backend *backend, void *to, const void *from_host, size_t bytes)
{
    locked guard(pool.lock);
    pool.counts.uploads++;
    pool.counts.upload_bytes += bytes;
    if (bytes == 0) return MT_OK;
    bool whole = bytes > RING;
    const void *from = from_host;
    if (!whole) {
        if (RING - pool.ring_used < bytes) {
            if (dev_sync(pool.stream) != 0) return failed(backend);
            pool.ring_used = 0;
        }
        from = memcpy(pool.ring + pool.ring_used, from_host, bytes);
        pool.ring_used += (bytes + 63) / 64 * 64;
    }
    if (dev_upload(to, from, bytes, pool.stream) != 0) return failed(backend);
    return whole && dev_sync(pool.stream) != 0 ? failed(backend) : MT_OK;
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

extern "C" void MT_LAUNCHER(describe)(mt_backend *, mt_backend_facts *facts)
{
    locked guard(pool.lock);
    facts->threads = 1;
    snprintf(facts->isa, sizeof facts->isa, "none");
    snprintf(facts->words, sizeof facts->words, "%s", pool.device);
}

/* ---- the device ---- */

extern "C" mt_stream MT_LAUNCHER(stream)(mt_backend *) { return pool.stream; }

extern "C" mt_status MT_LAUNCHER(open)(mt_backend *backend)
{
    locked guard(pool.lock);
    if (pool.open) return MT_OK;
    /* A second try after a failure of the rest finds the stream there. */
    if (!pool.device[0] && dev_open(&pool.stream, pool.device, sizeof pool.device) != 0)
        return failed(backend);
    void *ring = nullptr;
    if (dev_pinned(&ring, RING) != 0) return failed(backend);
    pool.ring = static_cast<char *>(ring);
    pool.counts.multiprocessors = dev_multiprocessors();
    pool.open = true;
    return MT_OK;
}

} // namespace MT_TWIN
