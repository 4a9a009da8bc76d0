/* ops_cuda/sim/fuel.cpp - kernels that never end: loops without an end, waits for what never comes,
 * recursion.
 *
 * A thread has fuel for what it does between two waits: an access costs one, and so does a block of code
 * where the kernel is compiled with -fsanitize-coverage=trace-pc, which calls mt_sim_turn in each. It gets
 * the fuel in slices, each twice as large as the one before, and the other threads run in between. So a
 * thread that waits for another in a loop lets it come, and where all loop for ever one is soon far ahead and
 * is told of.
 */
#include "internal.h"
#include <cstdio>
#include <ucontext.h>

namespace mt_sim {

namespace {

enum : u64 { FIRST_SLICE = 1 << 16, MOST_FUEL = (u64)1 << 46 };
enum : u32 { SPINS_BETWEEN_YIELDS = 1024, SPINS_UNTIL_STUCK = 1u << 22 };
enum { WATCHED_TICKS = 2 };

const void *s_watched_code;
int64_t s_watched_fuel;
int s_watched_ticks;

/* Where the signal came in; null where that is not known. */
const void *code_of(const void *context)
{
    const ucontext_t *c = static_cast<const ucontext_t *>(context);
#if defined(__linux__) && defined(__x86_64__)
    return (const void *)c->uc_mcontext.gregs[REG_RIP];
#elif defined(__linux__) && defined(__aarch64__)
    return (const void *)c->uc_mcontext.pc;
#else
    return c ? nullptr : c;
#endif
}

} // namespace

number_setting g_fuel = {
    1 << 30,
    1,
    MOST_FUEL,
    "MT_SIM_FUEL",
    "MT_SIM_FUEL is \"%s\", which is no number of accesses and turns; use a whole number from %llu to %llu, "
    "or leave it unset",
    ""};

int64_t fuel_slice(const cuda_thread *thread)
{
    u64 slice = FIRST_SLICE << thread->slices, left = g_fuel.value - thread->spent;
    return (int64_t)(slice < left ? slice : left);
}

void out_of_fuel(const code_site &site)
{
    cuda_thread *self = g_now.self;
    self->spent += (u64)fuel_slice(self);
    if (self->spent >= g_fuel.value) {
        report_threads(
            MT_SIM_STUCK, (int)g_now.thread, &site, -1, nullptr,
            "has gone on for %llu accesses and turns since it last waited for anything: it seems to loop "
            "for ever (MT_SIM_FUEL=N allows N)",
            (unsigned long long)g_fuel.value);
        stop_launch();
    }
    self->slices++;
    yield_here();
}

void fuel_wait(const code_site &site)
{
    cuda_thread *self = g_now.self;
    self->spent = self->slices = 0;
    spin_ends();
    if (++g_block.waits < g_fuel.value / 4) return;
    report_threads(
        MT_SIM_STUCK, (int)g_now.thread, &site, -1, nullptr,
        "waits once more, after %llu waits of its block: it seems to loop for ever (MT_SIM_FUEL=N allows "
        "N / 4)",
        (unsigned long long)g_block.waits);
    stop_launch();
}

void spin(const void *at, u64 value, const code_site &site)
{
    cuda_thread *self = g_now.self;
    if (at != self->spin_at || value != self->spin_value) {
        self->spin_at = at, self->spin_value = value;
        self->spins = 0;
        return;
    }
    /* At 1024 times, at 2048, 4096 and so on. */
    if (++self->spins < SPINS_BETWEEN_YIELDS || (self->spins & (self->spins - 1))) return;
    if (self->spins >= SPINS_UNTIL_STUCK || self->spins >= g_fuel.value / 4) {
        report_threads(MT_SIM_STUCK, (int)g_now.thread, &site, -1, nullptr,
                       "has looked %u times and found the same value: it seems to wait for what never comes",
                       self->spins);
        stop_launch();
    }
    yield_here();
}

void spin_ends(void)
{
    g_now.self->spin_at = nullptr;
    g_now.self->spins = 0;
}

void fail_deep(const void *code)
{
    code_site site = {nullptr, 0, code};
    report_threads(
        MT_SIM_STACK, (int)g_now.thread, &site, -1, nullptr,
        "needs more than %d bytes for its calls, the most that a card gives a thread: a recursion without "
        "an end?",
        LOCAL_MEMORY);
    stop_launch();
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" {

void mt_sim_turn(void)
{
    if (t_now && --g_now.fuel < 0) out_of_fuel({nullptr, 0, __builtin_return_address(0)});
}

void mt_sim_watch(const void *context)
{
    if (!t_now) return;
    const void *code = code_of(context);
    bool still = code && code == s_watched_code && g_now.fuel == s_watched_fuel;
    s_watched_code = code;
    s_watched_fuel = g_now.fuel;
    s_watched_ticks = still ? s_watched_ticks + 1 : 0;
    if (s_watched_ticks < WATCHED_TICKS) return;
    code_site site = {nullptr, 0, (const char *)code + 1}; /* as if a call returned there */
    report_threads(MT_SIM_STUCK, (int)g_now.thread, &site, -1, nullptr,
                   "is in a loop that does nothing and never ends");
    stop_launch();
}

void mt_sim_set_fuel(uint64_t fuel)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    setup_once();
    g_fuel.set(fuel);
}

} // extern "C"
