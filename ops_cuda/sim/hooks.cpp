/* ops_cuda/sim/hooks.cpp - the functions that -fsanitize=thread makes kernels call at each access to memory.
 *
 * The compiler calls them __tsan_read4 and so on; twin.cuh makes that mt_sim_hook_read4 in the kernel's
 * object, so that a program's own ThreadSanitizer keeps its names. They serve gcc and clang. They return at
 * once when the OS thread runs no kernel (a launcher's own code is compiled with the same flag), and quickly
 * when the address is not in shared or device memory. A hook runs before its access; one that reports a fatal
 * fault does not return.
 */
#include <cstring>
#include "shadow.h"

using namespace mt_sim;

namespace {

__attribute__((noinline, cold)) void burn(const void *code) { out_of_fuel({nullptr, 0, code}); }

/* All that the fast path leaves over. It may record again what the fast path has recorded: that changes
 * nothing. */
__attribute__((noinline, cold)) void slow_access(uintptr_t address, size_t bytes, bool write,
                                                 const void *code)
{
    if (address - g_memory.base >= g_memory.size) {
        check_outside(address, bytes, write, code);
        return;
    }
    if (address % (bytes < 8 ? bytes : 8)) fail_misaligned(address, bytes, write, false, code, nullptr);
    if (g_detail) count_access(address, bytes, code);
    check_access(address, bytes, write, code);
}

/* Records an access to one granule; false when more has to be known of it. */
template <bool WRITE> MT_SIM_HOT bool granule(hook_state *now, size_t offset, const void *code)
{
    uint16_t *state = &g_state[offset >> 2];
    shadow_cell *cell = &g_cells[offset >> 2];
    u32 from = first_stamp(now, offset);
    if (WRITE) {
        if (MT_UNLIKELY(*state != USABLE && *state != LIVE)) return false;
        if (MT_UNLIKELY(!writer_in_order(now, cell, from) || !readers_in_order(now, &cell->readers, from)))
            return false;
        *state = USABLE;
        cell->stamp = now->stamp;
        cell->writer = who(now, code);
        return true;
    }
    if (MT_UNLIKELY(*state != USABLE)) return false;
    if (readers_full(now, &cell->readers)) return true;
    if (MT_UNLIKELY(!writer_in_order(now, cell, from))) return false;
    return add_reader(now, &cell->readers, who(now, code), from);
}

template <size_t N, bool WRITE> MT_SIM_HOT void access(const void *pointer, const void *code)
{
    hook_state *now = t_now;
    if (!now) return;
    if (MT_UNLIKELY(--now->fuel < 0)) burn(code);
    uintptr_t address = (uintptr_t)pointer;
    size_t offset = address - g_memory.base;
    if (N < 4 || offset >= g_fast_size || offset % N) return slow_access(address, N, WRITE, code);
    if (!granule<WRITE>(now, offset, code)) return slow_access(address, N, WRITE, code);
    if (N >= 8 && !granule<WRITE>(now, offset + 4, code)) return slow_access(address, N, WRITE, code);
    if (N < 16) return;
    if (granule<WRITE>(now, offset + 8, code) && granule<WRITE>(now, offset + 12, code)) return;
    slow_access(address, N, WRITE, code);
}

void range(const void *pointer, size_t bytes, bool write, const void *code)
{
    if (!t_now || bytes == 0) return;
    if (MT_UNLIKELY(--g_now.fuel < 0)) burn(code);
    uintptr_t address = (uintptr_t)pointer;
    if (address - g_memory.base >= g_memory.size) {
        check_outside(address, bytes, write, code);
        return;
    }
    if (g_detail) count_access(address, bytes, code);
    check_access(address, bytes, write, code);
}

u64 value_at(const void *pointer, size_t bytes)
{
    u64 value = 0;
    memcpy(&value, pointer, bytes < sizeof value ? bytes : sizeof value);
    return value;
}

/* A volatile read may be one turn of a loop that waits: other threads may run before it. As long as it finds
 * the same it is not checked again. */
void volatile_access(const void *pointer, size_t bytes, bool write, const void *code)
{
    if (!t_now) return;
    if (MT_UNLIKELY(--g_now.fuel < 0)) burn(code);
    uintptr_t address = (uintptr_t)pointer;
    if (address - g_memory.base >= g_memory.size) {
        check_outside(address, bytes, write, code);
        return;
    }
    if (address % (bytes < 8 ? bytes : 8)) fail_misaligned(address, bytes, write, false, code, nullptr);
    const cuda_thread *self = g_now.self;
    if (write)
        spin_ends();
    else
        spin(pointer, value_at(pointer, bytes), {nullptr, 0, code});
    if (!write && self->spins > 0 && self->spin_value == value_at(pointer, bytes)) return;
    if (g_detail) count_access(address, bytes, code);
    check_volatile(address, bytes, write, code);
}

} // namespace

#define CALLER __builtin_return_address(0)

#define HOOKS(n)                                                                         \
    void mt_sim_hook_read##n(void *p) { access<n, false>(p, CALLER); }                   \
    void mt_sim_hook_write##n(void *p) { access<n, true>(p, CALLER); }                   \
    void mt_sim_hook_unaligned_read##n(void *p) { range(p, n, false, CALLER); }          \
    void mt_sim_hook_unaligned_write##n(void *p) { range(p, n, true, CALLER); }          \
    void mt_sim_hook_read_write##n(void *p)                                              \
    {                                                                                    \
        access<n, false>(p, CALLER);                                                     \
        access<n, true>(p, CALLER);                                                      \
    }                                                                                    \
    void mt_sim_hook_unaligned_read_write##n(void *p)                                    \
    {                                                                                    \
        range(p, n, false, CALLER);                                                      \
        range(p, n, true, CALLER);                                                       \
    }                                                                                    \
    void mt_sim_hook_volatile_read##n(void *p) { volatile_access(p, n, false, CALLER); } \
    void mt_sim_hook_volatile_write##n(void *p) { volatile_access(p, n, true, CALLER); } \
    void mt_sim_hook_unaligned_volatile_read##n(void *p) { range(p, n, false, CALLER); } \
    void mt_sim_hook_unaligned_volatile_write##n(void *p) { range(p, n, true, CALLER); }

extern "C" {

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void mt_sim_hook_init(void) {}
void mt_sim_hook_func_entry(void *)
{
    if (t_now && (uintptr_t)__builtin_frame_address(0) < g_now.stack_end) fail_deep(CALLER);
}
void mt_sim_hook_func_exit(void) {}
void mt_sim_hook_ignore_thread_begin(void) {}
void mt_sim_hook_ignore_thread_end(void) {}
void mt_sim_hook_vptr_read(void **) {}
void mt_sim_hook_vptr_update(void **, void *) {}
void mt_sim_hook_read_range(void *p, size_t bytes) { range(p, bytes, false, CALLER); }
void mt_sim_hook_write_range(void *p, size_t bytes) { range(p, bytes, true, CALLER); }

void mt_sim_misaligned(const void *address, size_t bytes, bool write, const char *file, int line)
{
    code_site site = {file, line, nullptr};
    if (t_now) fail_misaligned((uintptr_t)address, bytes, write, false, nullptr, &site);
}

/* What -fsanitize=bounds gives its handler; both compilers know this layout. */
struct array_bounds {
    const char *file;
    uint32_t line, column;
    const struct Type {
        uint16_t kind,
            info;     /* info of an integer: bit 0 is set where it is signed, the rest is log2 of its bits */
        char name[1]; /* with quotes around it */
    } * array, *index;
};

void mt_sim_index(const void *place, uintptr_t index)
{
    const array_bounds *b = static_cast<const array_bounds *>(place);
    if (!t_now) return;
    int unused = 64 - (1 << (b->index->info >> 1));
    long long value = (long long)((u64)index << unused);
    value = b->index->info & 1 ? value >> unused : (long long)((u64)value >> unused);
    char type[64]; /* gcc says 'int [4]', clang 'int[4]' */
    size_t length = 0;
    for (const char *c = b->array->name; *c && length < sizeof type - 1; ++c)
        if (c[0] != ' ' || c[1] != '[') type[length++] = *c;
    type[length] = '\0';
    code_site site = {b->file, (int)b->line, nullptr};
    report_threads(MT_SIM_OUT_OF_BOUNDS, (int)g_now.thread, &site, -1, nullptr,
                   "uses index %lld of an array that is %s: out of bounds", value, type);
    stop_launch();
}

/* What memcpy, memmove and memset of the compiler become, and the hooks that newer versions of clang call. */
void *mt_sim_memcpy(void *to, const void *from, size_t bytes)
{
    range(from, bytes, false, CALLER);
    range(to, bytes, true, CALLER);
    return memcpy(to, from, bytes);
}
void *mt_sim_memmove(void *to, const void *from, size_t bytes)
{
    range(from, bytes, false, CALLER);
    range(to, bytes, true, CALLER);
    return memmove(to, from, bytes);
}
void *mt_sim_memset(void *to, int byte, size_t bytes)
{
    range(to, bytes, true, CALLER);
    return memset(to, byte, bytes);
}

} // extern "C"

void mt_sim::copy_vector(void *to, const void *from, size_t bytes, const void *code)
{
    if (t_now && (((uintptr_t)to | (uintptr_t)from) & (bytes - 1))) {
        bool write = ((uintptr_t)to & (bytes - 1)) != 0;
        fail_misaligned(write ? (uintptr_t)to : (uintptr_t)from, bytes, write, false, code, nullptr);
    }
    switch (bytes) {
    case 4:
        access<4, false>(from, code);
        access<4, true>(to, code);
        memcpy(to, from, 4);
        break;
    case 8:
        access<8, false>(from, code);
        access<8, true>(to, code);
        memcpy(to, from, 8);
        break;
    default:
        access<16, false>(from, code);
        access<16, true>(to, code);
        memcpy(to, from, 16);
        break;
    }
}
