/* ops_cuda/sim/memory.cpp - device memory: one range of addresses, what is live in it, and copies.
 *
 * The range and its shadow are reserved once and committed by use. Addresses are handed out in a circle, so
 * freed memory stays recognisable for long, and far apart while there is room, so that a wrong index lands
 * between two allocations. Allocations are what a pool asks for; pieces are what its marks say is a tensor,
 * or a whole allocation that no mark has cut. Both lists are sorted by offset.
 */
#include "internal.h"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>

namespace mt_sim {

namespace {

enum : size_t {
    SHARED_BYTES = 8 << 20,
    MOST = (size_t)8 << 30,
    LEAST = (size_t)256 << 20,
    PAGE = 4096,
    ALIGN = 256, /* of an allocation, as cudaMalloc promises; the address is an odd multiple */
    FREED = 256,
    WILD = (size_t)16 << 30 /* bytes on both sides that nothing else gets: 2^31 elements of 8 */
};
const size_t s_apart[] = {(size_t)16 << 20, 64 << 10,
                          MT_SIM_GUARD}; /* bytes between allocations: most wanted first */

struct device_allocation {
    size_t offset, bytes;
};
std::vector<device_allocation> s_allocations;
std::vector<memory_piece> s_pieces;
memory_piece s_freed[FREED];
unsigned s_freed_count;
size_t s_cursor; /* where the next allocation is tried first */
size_t s_capacity = (size_t)4 << 30;
mt_sim_memory s_stats;
bool s_trap, s_trapped;
bool s_unlisted; /* a piece is live that is not in the list: there was no memory for its entry */
size_t s_wild;   /* WILD, or 0 where there are no addresses for it */

void *reserve(size_t bytes, int protection = PROT_READ | PROT_WRITE)
{
    void *p = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return nullptr;
#ifdef MADV_DONTDUMP
    madvise(p, bytes, MADV_DONTDUMP);
#endif
    return p;
}

/* Device memory, with WILD bytes around it that trap. */
void *reserve_memory(size_t bytes)
{
    char *all = static_cast<char *>(reserve(WILD + bytes + WILD, PROT_NONE));
    if (!all) return reserve(bytes);
    if (mprotect(all + WILD, bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(all, WILD + bytes + WILD);
        return nullptr;
    }
    s_wild = WILD;
    return all + WILD;
}

/* Gives the whole pages within the bytes back to the system; they read as zero again. */
void drop_pages(void *start, size_t bytes)
{
    uintptr_t first = ((uintptr_t)start + PAGE - 1) & ~(PAGE - 1),
              last = ((uintptr_t)start + bytes) & ~(PAGE - 1);
    if (last > first) madvise((void *)first, last - first, MADV_DONTNEED);
}

/* The same for an array with an element of so many bytes a granule: the pages that hold granules from `first`
 * to `last` and none of a neighbour, which ends at `before` or begins at `after`. */
void drop_elements(void *array, size_t element, size_t first, size_t last, size_t before, size_t after)
{
    size_t begin = first * element & ~(PAGE - 1), end = (last * element + PAGE - 1) & ~(PAGE - 1);
    begin = std::max(begin, (before * element + PAGE - 1) & ~(PAGE - 1));
    end = std::min(end, after * element & ~(PAGE - 1));
    if (end > begin) drop_pages(static_cast<char *>(array) + begin, end - begin);
}

template <class T> size_t lower(const std::vector<T> &list, size_t offset)
{
    return (size_t)(std::lower_bound(list.begin(), list.end(), offset,
                                     [](const T &item, size_t at) { return item.offset < at; }) -
                    list.begin());
}

/* Takes the pieces that the bytes touch out of the list, and keeps what they were for reports. */
void forget_pieces(size_t offset, size_t bytes)
{
    size_t first = lower(s_pieces, offset);
    if (first > 0 && s_pieces[first - 1].offset + s_pieces[first - 1].bytes > offset) --first;
    size_t last = first;
    while (last < s_pieces.size() && s_pieces[last].offset < offset + bytes) {
        const memory_piece &p = s_pieces[last++];
        mark_state(p.offset, p.bytes, 0);
        if (!p.whole || bytes >= p.bytes) s_freed[s_freed_count++ % FREED] = p;
    }
    s_pieces.erase(s_pieces.begin() + (ptrdiff_t)first, s_pieces.begin() + (ptrdiff_t)last);
}

void add_piece(size_t offset, size_t bytes, bool whole, const char *name)
{
    memory_piece piece = {offset, bytes, ALIGN, whole, ""};
    snprintf(piece.name, sizeof piece.name, "%s", name ? name : "");
    if (!attempt([&] { s_pieces.insert(s_pieces.begin() + (ptrdiff_t)lower(s_pieces, offset), piece); }))
        s_unlisted = true; /* it is guarded all the same; a report has no name for it */
    mark_state(offset, bytes, LIVE);
}

bool is_device(const void *pointer)
{
    return (uintptr_t)pointer - g_memory.base < g_memory.size && g_memory.size;
}
size_t offset_of(const void *pointer) { return (uintptr_t)pointer - g_memory.base; }

/* The first gap of that size at or after the offset, with so many bytes to spare on both sides; 0 when there
 * is none before the end. */
size_t find_gap(size_t from, size_t bytes, size_t apart)
{
    size_t i = lower(s_allocations, from);
    if (i > 0) from = std::max(from, s_allocations[i - 1].offset + s_allocations[i - 1].bytes);
    for (;; ++i) {
        from = ((from + apart + ALIGN - 1) / ALIGN | 1) * ALIGN;
        size_t end = i < s_allocations.size() ? s_allocations[i].offset : g_memory.size;
        if (from + bytes + apart <= end) return from;
        if (i == s_allocations.size()) return 0;
        from = s_allocations[i].offset + s_allocations[i].bytes;
    }
}

/* All bytes live and, for a read, written; else a report. */
bool range_usable(const char *what, const void *pointer, size_t bytes, bool read)
{
    if (bytes == 0) return true;
    if (!device_current(what)) return false;
    size_t offset = offset_of(pointer), unwritten = SIZE_MAX, dead = SIZE_MAX;
    if (!is_device(pointer) || offset + bytes > g_memory.size) {
        report_threads(MT_SIM_LAUNCH, -1, nullptr, -1, nullptr,
                       "%s of %zu bytes: the address is not the device's", what, bytes);
        return false;
    }
    for (size_t at = offset; at < offset + bytes && dead == SIZE_MAX; ++at) {
        uint16_t state = g_state[at >> 2];
        if ((state & USABLE) == USABLE && at % 4 == 0) {
            at += 3;
            continue;
        }
        if (!(state >> at % 4 & 1))
            dead = at;
        else if (!(state >> (4 + at % 4) & 1) && unwritten == SIZE_MAX)
            unwritten = at;
    }
    if (dead != SIZE_MAX) {
        report_threads(MT_SIM_OUT_OF_BOUNDS, -1, nullptr, -1, nullptr,
                       "%s of %zu bytes: byte %zu of them is outside every tensor", what, bytes,
                       dead - offset);
        return false;
    }
    if (!read || unwritten == SIZE_MAX) return true;
    report_threads(MT_SIM_UNINITIALISED, -1, nullptr, -1, nullptr,
                   "%s of %zu bytes: nobody wrote byte %zu of them", what, bytes, unwritten - offset);
    return false;
}

/* What a call from the host holds while it touches device memory. */
struct api_call {
    std::lock_guard<std::recursive_mutex> lock;
    u64 faults;
    api_call() : lock(g_lock), faults(faults_seen())
    {
        setup_once();
        memory_reserve();
        memory_open(true);
    }
    ~api_call()
    {
        memory_open(false);
        call_end(faults);
    }
};

} // namespace

bool memory_reserve(void)
{
    if (g_memory.size) return true;
    size_t most = LEAST;
    while (most / 2 < s_capacity) most *= 2; /* so that freed memory stays recognisable for a while */
    for (size_t size = most; size >= LEAST; size /= 2) {
        void *memory = reserve_memory(size), *state = reserve(size / 4 * sizeof *g_state);
        void *cells = reserve(size / 4 * sizeof *g_cells);
        if (memory && state && cells) {
            g_state = static_cast<uint16_t *>(state);
            g_cells = static_cast<shadow_cell *>(cells);
            g_shared_size = s_cursor = SHARED_BYTES;
            g_memory = {(uintptr_t)memory, size};
            g_fast_size = g_detail ? 0 : size;
            return true;
        }
        if (memory) munmap((char *)memory - s_wild, s_wild + size + s_wild);
        s_wild = 0;
        if (state) munmap(state, size / 4 * sizeof *g_state);
        if (cells) munmap(cells, size / 4 * sizeof *g_cells);
    }
    return false;
}

void memory_open(bool open)
{
    if (!g_memory.size || s_trapped == !open || (!open && (!s_trap || t_now))) return;
    mprotect((void *)(g_memory.base + g_shared_size), g_memory.size - g_shared_size,
             open ? PROT_READ | PROT_WRITE : PROT_NONE);
    s_trapped = !open;
}

void memory_forget_stamps(void)
{
    drop_pages(g_cells, g_memory.size / 4 * sizeof *g_cells);
    for (size_t g = 0; g < g_memory.size / 4; ++g)
        if (g_state[g] & SPLIT) g_state[g] &= (uint16_t)~SPLIT; /* the byte cells are made anew when needed */
}

void mark_state(size_t offset, size_t bytes, uint16_t state)
{
    size_t at = offset, end = offset + bytes;
    for (; at < end && at % 4; ++at) {
        uint16_t byte = (uint16_t)(0x11u << at % 4);
        g_state[at >> 2] = (uint16_t)((g_state[at >> 2] & ~byte) | (state & byte));
    }
    if (at < end && end - at >= 4) {
        uint16_t *first = g_state + (at >> 2), *last = g_state + (end >> 2);
        if (state == 0 && (size_t)(last - first) > 64 * PAGE) {
            uint16_t *page = (uint16_t *)(((uintptr_t)first + PAGE - 1) & ~(PAGE - 1));
            std::fill(first, page, state);
            first = (uint16_t *)((uintptr_t)last & ~(PAGE - 1));
            drop_pages(page, (size_t)(first - page) * sizeof *page);
        }
        std::fill(first, last, state);
        at = end & ~(size_t)3;
    }
    for (; at < end; ++at) {
        uint16_t byte = (uint16_t)(0x11u << at % 4);
        g_state[at >> 2] = (uint16_t)((g_state[at >> 2] & ~byte) | (state & byte));
    }
}

const memory_piece *piece_near(size_t offset)
{
    if (offset < g_shared_size) return shared_piece_near(offset);
    size_t i = lower(s_pieces, offset + 1);
    return i > 0 ? &s_pieces[i - 1] : nullptr;
}

const memory_piece *piece_after(size_t offset)
{
    if (offset < g_shared_size) return shared_piece_after(offset);
    size_t i = lower(s_pieces, offset + 1);
    return i < s_pieces.size() ? &s_pieces[i] : nullptr;
}

bool memory_wild(uintptr_t address)
{
    return address - (g_memory.base - s_wild) < s_wild + g_memory.size + s_wild;
}

const memory_piece *piece_freed(size_t offset)
{
    for (unsigned i = 0; i < FREED && i < s_freed_count; ++i) {
        const memory_piece &p = s_freed[(s_freed_count - 1 - i) % FREED];
        if (offset - p.offset < p.bytes) return &p;
    }
    return nullptr;
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" {

void *mt_sim_alloc(size_t bytes, const char *name)
{
    api_call call;
    if (bytes == 0 || !device_current("an allocation")) return nullptr;
    size_t offset = 0;
    if (!memory_reserve()) {
        report_threads(MT_SIM_MEMORY, -1, nullptr, -1, nullptr,
                       "no addresses can be reserved for device memory");
        return nullptr;
    }
    if (bytes <= s_capacity && s_stats.held <= s_capacity - bytes) {
        for (size_t apart : s_apart) {
            if (!offset) offset = find_gap(s_cursor, bytes, apart);
            if (!offset) offset = find_gap(g_shared_size, bytes, apart);
        }
    }
    if (!offset) {
        report_threads(MT_SIM_MEMORY, -1, nullptr, -1, nullptr,
                       "the device has no room for %zu bytes: %zu of %zu are held", bytes, s_stats.held,
                       s_capacity);
        return nullptr;
    }
    device_allocation allocation = {offset, bytes};
    auto place = s_allocations.begin() + (ptrdiff_t)lower(s_allocations, offset);
    if (!attempt([&] { s_allocations.insert(place, allocation); })) {
        out_of_memory();
        return nullptr;
    }
    s_cursor = offset + bytes;
    add_piece(offset, bytes, true, name);
    s_stats.held += bytes;
    s_stats.allocations++;
    if (s_stats.held > s_stats.peak) s_stats.peak = s_stats.held;
    return (void *)(g_memory.base + offset);
}

void *mt_sim_pinned(size_t bytes)
{
    api_call call;
    void *pinned = reserve(bytes);
    if (!pinned) out_of_memory();
    return pinned;
}

bool mt_sim_free(void *pointer)
{
    api_call call;
    if (!device_current("a free")) return false;
    size_t offset = offset_of(pointer), i = lower(s_allocations, offset);
    if (i == s_allocations.size() || s_allocations[i].offset != offset) {
        report_threads(MT_SIM_LAUNCH, -1, nullptr, -1, nullptr,
                       "a free of what is no allocation's start, or was freed before");
        return false;
    }
    size_t bytes = s_allocations[i].bytes;
    forget_pieces(offset, bytes);
    mark_state(offset, bytes, 0);
    size_t before = i > 0 ? s_allocations[i - 1].offset + s_allocations[i - 1].bytes : g_shared_size;
    s_allocations.erase(s_allocations.begin() + (ptrdiff_t)i);
    size_t after = i < s_allocations.size() ? s_allocations[i].offset : g_memory.size;
    size_t first = offset / 4, last = (offset + bytes + 3) / 4;
    before = (before + 3) / 4, after /= 4;
    drop_elements((void *)g_memory.base, 4, first, last, before, after);
    drop_elements(g_state, sizeof *g_state, first, last, before, after);
    drop_elements(g_cells, sizeof *g_cells, first, last, before, after);
    s_stats.held -= bytes;
    return true;
}

void mt_sim_mark(void *pointer, size_t bytes, bool live)
{
    api_call call;
    if (!is_device(pointer) || bytes == 0 || !device_current("a mark")) return;
    forget_pieces(offset_of(pointer), bytes);
    if (live)
        add_piece(offset_of(pointer), bytes, false, nullptr);
    else if (s_unlisted)
        mark_state(offset_of(pointer), bytes, 0);
}

void mt_sim_name(void *pointer, const char *name)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    if (!is_device(pointer)) return;
    size_t i = lower(s_pieces, offset_of(pointer) + 1);
    if (i > 0) snprintf(s_pieces[i - 1].name, sizeof s_pieces[i - 1].name, "%s", name);
}

bool mt_sim_upload(void *to, const void *from_host, size_t bytes)
{
    api_call call;
    if (!range_usable("a copy to the device", to, bytes, false)) return false;
    memcpy(to, from_host, bytes);
    mark_state(offset_of(to), bytes, USABLE);
    s_stats.uploads++, s_stats.upload_bytes += bytes;
    return true;
}

bool mt_sim_download(void *to_host, const void *from, size_t bytes)
{
    api_call call;
    if (!range_usable("a copy from the device", from, bytes, true)) return false;
    memcpy(to_host, from, bytes);
    s_stats.downloads++, s_stats.download_bytes += bytes;
    return true;
}

bool mt_sim_copy(void *to, const void *from, size_t bytes)
{
    api_call call;
    if (!range_usable("a copy on the device", from, bytes, true)) return false;
    if (!range_usable("a copy on the device", to, bytes, false)) return false;
    memmove(to, from, bytes);
    mark_state(offset_of(to), bytes, USABLE);
    s_stats.copies++, s_stats.copy_bytes += bytes;
    return true;
}

bool mt_sim_fill(void *to, int byte, size_t bytes)
{
    api_call call;
    if (!range_usable("a fill on the device", to, bytes, false)) return false;
    memset(to, byte, bytes);
    mark_state(offset_of(to), bytes, USABLE);
    return true;
}

void mt_sim_set_host_trap(bool on)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    s_trap = on;
    memory_open(!on);
}

void mt_sim_set_capacity(size_t bytes)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    s_capacity = bytes;
}

mt_sim_memory mt_sim_memory_stats(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    s_stats.capacity = s_capacity;
    return s_stats;
}

} // extern "C"
