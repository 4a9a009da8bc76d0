/* ops_cuda/sim/shadow.cpp - the full check of an access: live bytes, written bytes, and races.
 *
 * A granule whose bytes are accessed one by one, or by atomics, has a cell for each byte, kept aside in a
 * table; the flag SPLIT in its state says so. Atomics are kept as a set of their own beside the readers: they
 * are no race with each other, but with every plain access that is not ordered with them. A volatile read is
 * no race with an atomic, and neither is a volatile write that a __threadfence goes before: such a pair is a
 * flag. Without the fence a volatile write orders nothing, and is a race like a plain one, with volatile
 * reads too.
 */
#include "shadow.h"
#include <unordered_map>
#ifdef __ELF__
#include <link.h>
#endif

namespace mt_sim {

memory_range g_memory;
size_t g_shared_size, g_fast_size;
uint16_t *g_state;
shadow_cell *g_cells;

namespace {

struct byte_cell {
    shadow_cell cell;
    reader_set atomics; /* and fenced volatile writes */
    reader_set looks;   /* volatile reads */
};
struct split_granule {
    byte_cell byte[4];
};
std::unordered_map<size_t, split_granule> s_byte_cells;

byte_cell *byte_cells(size_t g)
{
    byte_cell *byte = nullptr;
    if (!attempt([&] { byte = s_byte_cells[g].byte; })) out_of_memory();
    if (!(g_state[g] & SPLIT)) {
        for (int i = 0; i < 4; ++i) byte[i] = {g_cells[g], {}, {}};
        g_state[g] |= SPLIT;
    }
    return byte;
}

/* One of the accesses in the set that is not ordered before the running thread's; false when there is none.
 */
bool find_conflict(const reader_set &r, u32 from, bool atomic, accessor *found, u32 *stamp)
{
    if (r.stamp >= g_now.block && r.who.thread() >> 5 == g_now.warp) {
        for (u32 lanes = r.lanes; lanes; lanes &= lanes - 1) {
            u32 thread = (r.who.thread() & ~31u) + (u32)__builtin_ctz(lanes);
            if (thread == g_now.thread || ordered(thread, r.stamp, from, atomic)) continue;
            *found = thread == r.who.thread() ? r.who : accessor{thread | (r.who.bits & ~1023u)};
            *stamp = r.stamp;
            return true;
        }
    } else if (!ordered(r.who.thread(), r.stamp, from, atomic)) {
        *found = r.who;
        *stamp = r.stamp;
        return true;
    }
    if (!ordered(r.other, r.other_stamp, from, atomic)) {
        *found = accessor{r.other};
        *stamp = r.other_stamp;
        return true;
    }
    if (!ordered(r.earlier, r.earlier_stamp, from, atomic)) {
        *found = accessor{r.earlier};
        *stamp = r.earlier_stamp;
        return true;
    }
    return false;
}

struct checked_access {
    size_t offset, bytes; /* the whole access, for the report */
    bool write, atomic;   /* atomic: it is no race with other atomics */
    const void *code;
    const code_site *site;
    bool flag; /* it is volatile */
};

void race(const checked_access &a, accessor other, u32 stamp, bool other_write, bool other_atomic)
{
    access_fault fault = {};
    fault.kind = a.offset < g_shared_size ? MT_SIM_RACE_SHARED : MT_SIM_RACE_GLOBAL;
    fault.offset = a.offset, fault.bytes = a.bytes;
    fault.write = a.write, fault.atomic = a.atomic;
    fault.code = a.code, fault.site = a.site;
    fault.has_other = true, fault.other_write = other_write, fault.other_atomic = other_atomic;
    fault.other = other, fault.other_stamp = stamp;
    report_access(fault);
}

/* Adds the running thread to the readers. Where its warp has read and synchronised since, perhaps in part,
 * lanes that are ordered before this one need not be known any more. */
void add_lane(reader_set *r, accessor me, u32 from)
{
    if (readers_full(&g_now, r) || add_reader(&g_now, r, me, from)) return;
    u32 first = r->who.thread() & ~31u, kept = 0;
    for (u32 lanes = r->lanes; lanes; lanes &= lanes - 1) {
        u32 lane = (u32)__builtin_ctz(lanes);
        if (!ordered(first + lane, r->stamp, from, false)) kept |= 1u << lane;
    }
    if (kept == 0) r->who = me;
    r->lanes = kept | g_now.lane_bit;
    if (g_now.stamp > r->stamp) r->stamp = g_now.stamp;
}

/* Compares an access with what one cell remembers, reports at most one race, and remembers it. */
void check_cell(shadow_cell *cell, byte_cell *byte, const checked_access &a)
{
    reader_set *atomics = byte ? &byte->atomics : nullptr, *looks = byte ? &byte->looks : nullptr;
    bool look = a.flag && !a.write;
    u32 from = first_stamp(&g_now, a.offset);
    accessor other;
    u32 stamp;
    if (!ordered(cell->writer.thread(), cell->stamp, from, false))
        race(a, cell->writer, cell->stamp, true, false);
    else if ((a.write || a.atomic) && find_conflict(cell->readers, from, false, &other, &stamp))
        race(a, other, stamp, false, false);
    else if (atomics && !a.atomic && !look && find_conflict(*atomics, from, true, &other, &stamp))
        race(a, other, stamp, true, true);
    else if (looks && a.write && !a.atomic && find_conflict(*looks, from, false, &other, &stamp))
        race(a, other, stamp, false, false);
    accessor me = who(&g_now, a.code);
    if (a.atomic) {
        me = accessor{g_now.thread | site_number(a.site) << 10};
        add_lane(atomics, me, from);
    } else if (a.write) {
        cell->stamp = g_now.stamp;
        cell->writer = me;
        cell->readers = {};
        if (byte) byte->atomics = byte->looks = {};
    } else if (look) {
        add_lane(looks, me, from);
    } else {
        add_lane(&cell->readers, me, from);
    }
}

[[noreturn]] void fatal(mt_sim_kind kind, const checked_access &a)
{
    access_fault fault = {};
    fault.kind = kind;
    fault.offset = a.offset, fault.bytes = a.bytes;
    fault.write = a.write, fault.atomic = a.atomic;
    fault.code = a.code, fault.site = a.site;
    report_access(fault);
    stop_launch();
}

/* An access just past a live piece, or just before it, is an overrun of it, whatever the bytes were before.
 */
[[noreturn]] void fail_dead(const checked_access &a, size_t offset)
{
    const char *kernel;
    bool freed = false;
    if (offset < g_shared_size) {
        freed = shared_piece_ended(offset, &kernel);
    } else {
        const memory_piece *near = piece_near(offset);
        const memory_piece *after = piece_after(offset);
        bool beside = (near && offset - (near->offset + near->bytes) < MT_SIM_GUARD) ||
                      (after && after->offset - offset <= MT_SIM_GUARD);
        freed = !beside && piece_freed(offset);
    }
    fatal(freed ? MT_SIM_USE_AFTER_FREE : MT_SIM_OUT_OF_BOUNDS, a);
}

void check_unwritten(const checked_access &a)
{
    access_fault fault = {};
    fault.kind = MT_SIM_UNINITIALISED;
    fault.offset = a.offset, fault.bytes = a.bytes;
    fault.atomic = a.atomic;
    fault.code = a.code, fault.site = a.site;
    report_access(fault);
}

void check(const checked_access &a)
{
    size_t end = a.offset + a.bytes;
    if (end > g_memory.size) fail_dead(a, g_memory.size - 1);
    bool unwritten = false;
    for (size_t g = a.offset >> 2; g <= (end - 1) >> 2; ++g) {
        size_t first = g << 2 < a.offset ? a.offset & 3 : 0;
        size_t last = end < (g + 1) << 2 ? end & 3 : 4;
        unsigned bytes = ((1u << last) - 1) & ~((1u << first) - 1);
        if (bytes & ~g_state[g]) fail_dead(a, (g << 2) + (size_t)__builtin_ctz(bytes & ~g_state[g]));
        if ((!a.write || (a.atomic && !a.flag)) && ((bytes << 4) & ~g_state[g])) unwritten = true;
    }
    if (unwritten) check_unwritten(a);
    for (size_t g = a.offset >> 2; g <= (end - 1) >> 2; ++g) {
        size_t first = g << 2 < a.offset ? a.offset & 3 : 0;
        size_t last = end < (g + 1) << 2 ? end & 3 : 4;
        unsigned bytes = ((1u << last) - 1) & ~((1u << first) - 1);
        if (a.write) g_state[g] |= (uint16_t)(bytes << 4);
        if (!a.atomic && !a.flag && bytes == 15 && !(g_state[g] & SPLIT)) {
            check_cell(&g_cells[g], nullptr, a);
            continue;
        }
        byte_cell *cells = byte_cells(g);
        for (size_t i = first; i < last; ++i) check_cell(&cells[i].cell, &cells[i], a);
    }
}

#ifdef __ELF__
struct static_search {
    uintptr_t address;
    bool found;
};

int search_segments(struct dl_phdr_info *info, size_t, void *data)
{
    static_search *search = static_cast<static_search *>(data);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr) &segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD) continue;
        if (search->address - (info->dlpi_addr + segment.p_vaddr) < segment.p_memsz) search->found = true;
    }
    return search->found;
}

bool is_static(uintptr_t address)
{
    static uintptr_t found[64]; /* pages found before, counted from 1: tables are read again and again */
    uintptr_t page = (address >> 12) + 1;
    if (found[page % 64] == page) return true;
    static_search search = {address, false};
    dl_iterate_phdr(search_segments, &search);
    if (search.found) found[page % 64] = page;
    return search.found;
}
#else
bool is_static(uintptr_t) { return true; }
#endif

/* Kernels may read their arguments and the program's constants, and use their own stack. a.offset: an
 * address. */
void outside(const checked_access &a)
{
    const mt_sim_launch *launch = g_block.launch;
    if (fiber_has(g_now.self->fiber, a.offset)) return;
    if (fiber_owns(a.offset)) fatal(MT_SIM_LOCAL_MEMORY, a);
    if (!a.atomic && a.offset - (uintptr_t)launch->arguments < launch->argument_bytes) return;
    if (!a.write && is_static(a.offset)) return;
    if (!memory_wild(a.offset)) fatal(MT_SIM_HOST_MEMORY, a);
    checked_access wild = a;
    wild.offset -= g_memory.base;
    fatal(MT_SIM_OUT_OF_BOUNDS, wild);
}

} // namespace

void check_access(uintptr_t address, size_t bytes, bool write, const void *code)
{
    check({address - g_memory.base, bytes, write, false, code, nullptr, false});
}

void check_atomic(uintptr_t address, size_t bytes, const code_site *site)
{
    if (address - g_memory.base >= g_memory.size)
        outside({address, bytes, true, true, nullptr, site, false});
    else
        check({address - g_memory.base, bytes, true, true, nullptr, site, false});
}

void check_volatile(uintptr_t address, size_t bytes, bool write, const void *code)
{
    code_site site = {nullptr, 0, code};
    bool flag = write && order_fenced();
    check({address - g_memory.base, bytes, write, flag, code, flag ? &site : nullptr, true});
    order_atomic((const void *)address, !write, write);
}

void fail_misaligned(uintptr_t address, size_t bytes, bool write, bool atomic, const void *code,
                     const code_site *site)
{
    fatal(MT_SIM_MISALIGNED, {address - g_memory.base, bytes, write, atomic, code, site, false});
}

void check_outside(uintptr_t address, size_t bytes, bool write, const void *code)
{
    outside({address, bytes, write, false, code, nullptr, false});
}

} // namespace mt_sim
