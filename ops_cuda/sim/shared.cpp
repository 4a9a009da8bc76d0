/* ops_cuda/sim/shared.cpp - where a block's shared arrays stand, and their names.
 *
 * Arrays keep their place for a whole launch and are dead bytes apart, so that an index past one never lands
 * in the next. Each begins at an odd multiple of the alignment that it is declared with: a card promises no
 * more, and a wider access that happens to work on one card is caught here. At a block's start all their
 * bytes are live and unwritten again. Two launches, one after the other, use different addresses, so that a
 * pointer kept from the first is known in the second.
 */
#include "internal.h"
#include <cstdio>
#include <cstring>

namespace mt_sim {

namespace {

enum { STATIC_LIMIT = 48 * 1024, DYNAMIC_LIMIT = 227 * 1024, MAX_ARRAYS = 64 };
/* Of a launch's half of the addresses: dynamic shared memory, and the rest. Where a launch asks for none, its
 * place is dead bytes. APART: dead bytes between two arrays, more than any block's index can be wrong by when
 * it is meant for a row, a column or a tile; no power of two, or arrays would share the lines of a cache. */
enum : size_t {
    HALF = 4 << 20,
    DYNAMIC_ALIGN = 16,
    DYNAMIC_OFFSET = 64 * 1024 + DYNAMIC_ALIGN,
    STATIC_OFFSET = 512 * 1024,
    APART = 40 * 1024 + 64
};

struct shared_array {
    const mt_sim_shared_site *site; /* null: the dynamic one */
    memory_piece piece;
};
shared_array s_arrays[MAX_ARRAYS], s_ended[MAX_ARRAYS]; /* of this launch, and of the one before */
int s_count, s_ended_count;
size_t s_half, s_end, s_static_bytes; /* half: where this launch's addresses begin */
const char *s_kernel, *s_ended_kernel;

void add_array(const mt_sim_shared_site *site, const char *name, size_t bytes, size_t align)
{
    shared_array *a = &s_arrays[s_count++];
    a->site = site;
    a->piece.offset = ((s_end + align - 1) / align | 1) * align;
    a->piece.bytes = bytes;
    a->piece.align = align;
    snprintf(a->piece.name, sizeof a->piece.name, "%s", name);
    mark_state(a->piece.offset, bytes, LIVE);
    s_end = a->piece.offset + bytes + APART;
}

} // namespace

bool shared_launch_start(size_t dynamic_bytes)
{
    for (int i = 0; i < s_count; ++i) mark_state(s_arrays[i].piece.offset, s_arrays[i].piece.bytes, 0);
    memcpy(s_ended, s_arrays, (size_t)s_count * sizeof *s_arrays);
    s_ended_count = s_count;
    s_ended_kernel = s_kernel;
    s_kernel = g_block.kernel->name;
    s_count = 0;
    s_static_bytes = 0;
    s_half = HALF - s_half;
    if (dynamic_bytes > DYNAMIC_LIMIT) return false;
    s_end = s_half + DYNAMIC_OFFSET;
    if (dynamic_bytes > 0) add_array(nullptr, "dynamic", dynamic_bytes, DYNAMIC_ALIGN);
    s_end = s_half + STATIC_OFFSET;
    return true;
}

void shared_block_start(void)
{
    for (int i = 0; i < s_count; ++i) mark_state(s_arrays[i].piece.offset, s_arrays[i].piece.bytes, LIVE);
}

const memory_piece *shared_piece_near(size_t offset)
{
    const memory_piece *near = nullptr;
    for (int i = 0; i < s_count; ++i)
        if (s_arrays[i].piece.offset <= offset) near = &s_arrays[i].piece;
    return near;
}

const memory_piece *shared_piece_after(size_t offset)
{
    for (int i = 0; i < s_count; ++i)
        if (s_arrays[i].piece.offset > offset) return &s_arrays[i].piece;
    return nullptr;
}

const memory_piece *shared_piece_ended(size_t offset, const char **kernel)
{
    *kernel = s_ended_kernel;
    for (int i = 0; i < s_ended_count; ++i)
        if (offset - s_ended[i].piece.offset < s_ended[i].piece.bytes) return &s_ended[i].piece;
    return nullptr;
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" {

void *mt_sim_shared(const mt_sim_shared_site *site)
{
    for (int i = 0; i < s_count; ++i)
        if (s_arrays[i].site == site) return (void *)(g_memory.base + s_arrays[i].piece.offset);
    s_static_bytes += site->bytes;
    if (s_static_bytes > STATIC_LIMIT || s_count == MAX_ARRAYS) {
        report_threads(MT_SIM_LAUNCH, (int)g_now.thread, nullptr, -1, nullptr,
                       "needs %zu bytes of shared memory with '%s': a block has %d, and up to %d when asked "
                       "for at the launch",
                       s_static_bytes, site->name, STATIC_LIMIT, DYNAMIC_LIMIT);
        stop_launch();
    }
    add_array(site, site->name, site->bytes, site->align);
    return (void *)(g_memory.base + s_arrays[s_count - 1].piece.offset);
}

void *mt_sim_dynamic_shared(void) { return (void *)(g_memory.base + s_half + DYNAMIC_OFFSET); }

} // extern "C"
