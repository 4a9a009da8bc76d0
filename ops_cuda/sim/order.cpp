/* ops_cuda/sim/order.cpp - which accesses are ordered before which: barriers, warps, and fences with atomics.
 *
 * A barrier orders all that the block did before it, __syncwarp what the lanes of its mask did. Between
 * blocks, and where there is no barrier, an atomic orders: it acquires what earlier atomics on the same
 * address released, and it releases what a __threadfence before it has made ready (the calling thread's own
 * accesses before the fence, and those that a barrier or a whole warp's __syncwarp ordered before the fence).
 * An atomic without a fence before it releases nothing. Shuffles and votes order nothing, as CUDA says.
 */
#include "internal.h"
#include <unordered_map>

namespace mt_sim {

namespace {

enum { FENCE_FUEL = 16 }; /* stamps are few: an endless loop of fences must end before they do */

/* What the threads of a block had fenced when a barrier came: any of them may release it afterwards. */
struct fence_snapshot {
    u32 all;
    std::vector<u32> own;
};

struct release_entry {
    u32 block, thread, at; /* the block's first stamp; the atomic's thread and stamp */
    fence_stamps fence;
    u32 snapshot; /* index + 1, 0: none */
};

/* An address that atomics met at, with its releases in the order in which they happened: blocks ascend. */
struct atomic_variable {
    std::vector<release_entry> releases;
    std::vector<acquisition> passed_on; /* what the releasing threads had acquired themselves */
};

std::vector<fence_snapshot> s_snapshots;
std::vector<atomic_variable> s_vars;
std::unordered_map<u64, u32> s_var_of;

void learn(std::vector<acquisition> &to, acquisition what)
{
    for (acquisition &have : to) {
        if (have.var != what.var) continue;
        if (have.length < what.length) have.length = what.length;
        return;
    }
    if (!attempt([&] { to.push_back(what); })) out_of_memory();
}

void learn_all(std::vector<acquisition> &to, const std::vector<acquisition> &what)
{
    for (const acquisition &one : what) learn(to, one);
}

bool covers(const release_entry &r, u32 thread, u32 stamp, bool atomic)
{
    if (stamp < r.fence.all) return true;
    if (thread >> 5 == r.thread >> 5 && stamp < r.fence.warp) return true;
    if (thread == r.thread && (stamp < r.fence.own || (atomic && stamp <= r.at))) return true;
    if (r.snapshot == 0) return false;
    const fence_snapshot &snapshot = s_snapshots[r.snapshot - 1];
    return stamp < snapshot.all || stamp < snapshot.own[thread];
}

bool released(const std::vector<acquisition> &acquired, u32 block, u32 thread, u32 stamp, bool atomic)
{
    for (const acquisition &a : acquired) {
        const std::vector<release_entry> &all = s_vars[a.var].releases;
        size_t low = 0, high = a.length;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (all[middle].block < block)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < a.length && all[low].block == block; ++low)
            if (covers(all[low], thread, stamp, atomic)) return true;
    }
    return false;
}

u32 known_of(u32 thread)
{
    const cuda_warp &warp = g_warps[g_now.warp];
    return warp.partial ? warp.known[g_now.thread & 31][thread & 31] : g_now.self->warp_known;
}

} // namespace

bool ordered(u32 thread, u32 stamp, u32 from, bool atomic)
{
    if (stamp < from) return true;
    u32 block = g_now.block;
    if (stamp >= block) {
        if (stamp < g_now.interval || thread == g_now.thread) return true;
        if (thread >> 5 == g_now.warp && stamp < known_of(thread)) return true;
    } else {
        block = block_of_stamp(stamp)->stamp;
    }
    return released(g_now.self->acquired, block, thread, stamp, atomic) ||
           released(g_block.acquired, block, thread, stamp, atomic);
}

void order_launch_start(void)
{
    s_snapshots.clear();
    s_vars.clear();
    s_var_of.clear();
}

void order_block_start(void)
{
    g_block.fences = 0;
    g_block.fenced = g_block.atomics = false;
    g_block.acquired.clear();
}

void order_barrier(void)
{
    if (g_block.fenced) {
        fence_snapshot snapshot = {0, {}};
        if (!attempt([&] { snapshot.own.resize(g_block.threads), s_snapshots.emplace_back(); })) {
            out_of_memory();
            return;
        }
        for (u32 t = 0; t < g_block.threads; ++t) {
            const fence_stamps &fence = g_threads[t].fence;
            if (fence.all > snapshot.all) snapshot.all = fence.all;
            snapshot.own[t] = fence.own;
        }
        s_snapshots.back() = std::move(snapshot);
        g_block.fences = (u32)s_snapshots.size();
        g_block.fenced = false;
    }
    if (g_block.atomics) {
        for (u32 t = 0; t < g_block.threads; ++t) learn_all(g_block.acquired, g_threads[t].acquired);
        g_block.atomics = false;
    }
}

void order_join_lanes(u32 first_thread, u32 lanes)
{
    if (!g_block.atomics) return;
    std::vector<acquisition> all;
    for (u32 l = lanes; l; l &= l - 1)
        learn_all(all, g_threads[first_thread + (u32)__builtin_ctz(l)].acquired);
    for (u32 l = lanes; l; l &= l - 1)
        if (!attempt([&] { g_threads[first_thread + (u32)__builtin_ctz(l)].acquired = all; }))
            out_of_memory();
}

bool order_fenced(void) { return g_now.self->fence.own != 0 || g_block.fences != 0; }

void order_atomic(const void *address, bool reads, bool writes)
{
    cuda_thread *self = g_now.self;
    size_t offset = (uintptr_t)address - g_memory.base;
    u64 key = (u64)offset << 1; /* a block's shared memory is its own: the block's stamp tells them apart */
    if (offset < g_shared_size) key = (u64)g_now.block << 32 | key | 1;
    bool releases = writes && order_fenced();
    auto found = s_var_of.find(key);
    if (found == s_var_of.end()) {
        if (!releases) return;
        u32 number = (u32)s_vars.size();
        if (!attempt([&] { s_vars.emplace_back(), found = s_var_of.emplace(key, number).first; }))
            out_of_memory();
    }
    atomic_variable &var = s_vars[found->second];
    if (reads && !var.releases.empty()) {
        learn(self->acquired, {found->second, (u32)var.releases.size()});
        learn_all(self->acquired, var.passed_on);
        g_block.atomics = true;
    }
    if (releases) {
        learn_all(var.passed_on, self->acquired);
        learn_all(var.passed_on, g_block.acquired);
        release_entry release = {g_now.block, g_now.thread, g_now.stamp, self->fence, g_block.fences};
        if (!attempt([&] { var.releases.push_back(release); })) out_of_memory();
    }
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" void mt_sim_fence(void)
{
    cuda_thread *self = g_now.self;
    u32 stamp = ++g_block.clock;
    self->fence = {stamp, self->warp_known, g_now.interval};
    self->stamp = g_now.stamp = stamp;
    g_block.fenced = true;
    g_now.fuel -= FENCE_FUEL;
}
