/* ops_cuda/sim/scheduler.cpp - runs a launch: blocks one after another, the threads of a block as fibers.
 *
 * The order of blocks, and which of the threads that can run goes next, come from the seed. A thread runs
 * until it waits at a barrier or a warp operation. When none can run, either all wait at one barrier, which
 * then opens, or the block is stuck: that is reported, and those who wait go on, so that a wrong kernel still
 * ends.
 */
#include "shadow.h"
#include <cstring>

namespace mt_sim {

std::recursive_mutex g_lock;
hook_state g_now;
running_block g_block;
cuda_thread g_threads[MAX_THREADS];
cuda_warp g_warps[MAX_WARPS];
__thread hook_state *t_now;
std::vector<block_run> g_block_runs;

namespace {

u64 s_random;
u32 s_clock = 1; /* the latest stamp of all */
u32 s_ready[MAX_THREADS], s_ready_count;
bool s_stop;

void thread_main(void *argument)
{
    cuda_thread *self = static_cast<cuda_thread *>(argument);
    g_block.launch->call(g_block.launch->arguments);
    u32 thread = (u32)(self - g_threads);
    g_warps[thread / WARP].live &= ~(1u << thread % WARP);
    g_block.live--;
    self->state = thread_state::done;
    fiber_pause(self->fiber);
}

void run_thread(u32 thread)
{
    cuda_thread *t = &g_threads[thread];
    if (!t->fiber) t->fiber = fiber_take(thread_main, t);
    if (!t->fiber) {
        report_threads(MT_SIM_MEMORY, (int)thread, nullptr, -1, nullptr,
                       "there is no memory for the threads' stacks");
        s_stop = true;
        return;
    }
    g_now.thread = thread;
    g_now.warp = thread / WARP;
    g_now.lane_bit = 1u << thread % WARP;
    g_now.stamp = t->stamp;
    g_now.self = t;
    g_now.fuel = fuel_slice(t);
    g_now.stack_end = fiber_stack_end(t->fiber);
    fiber_resume(t->fiber);
    if (t->state == thread_state::done) {
        fiber_release(t->fiber);
        t->fiber = nullptr;
    }
}

void start_interval()
{
    g_now.interval = ++g_block.clock;
    for (u32 t = 0; t < g_block.threads; ++t) g_threads[t].stamp = g_threads[t].warp_known = g_now.interval;
    for (u32 w = 0; w < g_block.warps; ++w) g_warps[w].partial = false;
}

void start_block(u32 linear)
{
    const mt_sim_launch *launch = g_block.launch;
    block_index_of(linear, g_block.index);
    g_block.live = g_block.threads;
    g_block.waits = 0;
    g_now.block = g_block.clock + 1;
    g_block_runs.push_back({g_now.block, linear}); /* has room */
    order_block_start();
    shared_block_start();
    u32 index[3] = {0, 0, 0};
    for (u32 i = 0; i < g_block.threads; ++i) {
        cuda_thread *t = &g_threads[i];
        memcpy(t->index, index, sizeof index);
        t->fiber = nullptr;
        t->fence = {};
        t->spent = t->slices = t->spins = 0;
        t->spin_at = nullptr;
        t->site = {};
        t->call = {};
        t->acquired.clear();
        make_ready(i);
        if (++index[0] == launch->block[0]) {
            index[0] = 0;
            if (++index[1] == launch->block[1]) index[1] = 0, ++index[2];
        }
    }
    for (u32 w = 0; w < g_block.warps; ++w) {
        u32 lanes = g_block.threads - w * WARP;
        warp_start(w, lanes >= WARP ? 0xffffffffu : (1u << lanes) - 1);
    }
    start_interval();
}

/* Tells of one thread that waits at a barrier and one that does not wait there. */
void report_divergence(u32 waiting)
{
    const cuda_thread *w = &g_threads[waiting];
    for (u32 t = 0; t < g_block.threads; ++t) {
        const cuda_thread *o = &g_threads[t];
        if (o->state == thread_state::done) {
            report_threads(
                MT_SIM_DIVERGED_BARRIER, (int)waiting, &w->site, (int)t, nullptr,
                "waits at a __syncthreads that not all threads reach: another one has left the kernel");
            return;
        }
        if (o->state == thread_state::at_barrier && !same_site(o->site, w->site)) {
            report_threads(
                MT_SIM_DIVERGED_BARRIER, (int)waiting, &w->site, (int)t, &o->site,
                "waits at a __syncthreads that not all threads reach: another one waits elsewhere");
            return;
        }
    }
}

void open_barrier()
{
    u32 first = MAX_THREADS, count = 0, all = 1, any = 0;
    bool even = g_block.live == g_block.threads;
    for (u32 t = 0; t < g_block.threads; ++t) {
        cuda_thread *thread = &g_threads[t];
        if (thread->state != thread_state::at_barrier) continue;
        if (first == MAX_THREADS)
            first = t;
        else if (even && !same_site(thread->site, g_threads[first].site))
            even = false;
        count += thread->predicate != 0;
        any |= thread->predicate != 0;
        all &= thread->predicate != 0;
    }
    if (!even) report_divergence(first);
    g_block.kernel->stats.barriers++;
    if (g_detail) count_interval_end();
    order_barrier();
    start_interval();
    for (u32 t = 0; t < g_block.threads; ++t) {
        cuda_thread *thread = &g_threads[t];
        if (thread->state != thread_state::at_barrier) continue;
        int kind = thread->barrier_result;
        thread->barrier_result = (int)(kind == MT_SIM_BARRIER_COUNT ? count
                                       : kind == MT_SIM_BARRIER_AND ? all
                                                                    : any);
        make_ready(t);
    }
}

void run_block(u32 linear)
{
    start_block(linear);
    for (;;) {
        while (s_ready_count > 0 && !s_stop) {
            u32 i = random_below(s_ready_count);
            u32 thread = s_ready[i];
            s_ready[i] = s_ready[--s_ready_count];
            run_thread(thread);
        }
        if (s_stop || g_block.live == 0) break;
        if (!warp_resolve_stuck()) open_barrier();
    }
    if (g_detail) count_interval_end();
    for (u32 t = 0; s_stop && t < g_block.threads; ++t)
        if (g_threads[t].fiber) fiber_release(g_threads[t].fiber);
    s_ready_count = 0;
}

} // namespace

void run_grid(const mt_sim_launch *launch, u64 random)
{
    u64 blocks = (u64)launch->grid[0] * launch->grid[1] * launch->grid[2];
    if (s_clock > 0xc0000000u) {
        memory_forget_stamps();
        s_clock = 1;
    }
    s_random = random | 1;
    g_block.threads = launch->block[0] * launch->block[1] * launch->block[2];
    g_block.warps = (g_block.threads + WARP - 1) / WARP;
    g_block.clock = s_clock;
    g_now.launch = s_clock + 1;
    g_now.code = (uintptr_t)launch->code;
    g_block_runs.clear();
    order_launch_start();
    mt_sim_stats *stats = &g_block.kernel->stats;
    stats->launches++;
    static std::vector<u32> order;
    if (!attempt([&] { order.resize(blocks), g_block_runs.reserve(blocks), count_launch(launch->code); })) {
        out_of_memory();
        return;
    }
    for (u64 i = 0; i < blocks; ++i) {
        u64 j = random_below((u32)(i + 1));
        order[i] = order[j];
        order[j] = (u32)i;
    }
    s_stop = false;
    for (u64 i = 0; i < blocks && !s_stop; ++i) {
        run_block(order[i]);
        stats->blocks++;
        stats->threads += g_block.threads;
    }
    s_clock = g_block.clock;
}

void out_of_memory(void)
{
    report_threads(MT_SIM_MEMORY, -1, nullptr, -1, nullptr,
                   "the host has no memory for what the simulator keeps of its work; use smaller tensors or "
                   "batches, or backend cpu");
    if (fiber_owns((uintptr_t)__builtin_frame_address(0))) stop_launch();
    s_stop = true;
}

bool same_site(const code_site &a, const code_site &b)
{
    return a.line == b.line && (a.file == b.file || (a.file && b.file && !strcmp(a.file, b.file)));
}

u32 random_below(u32 n)
{
    s_random ^= s_random << 13;
    s_random ^= s_random >> 7;
    s_random ^= s_random << 17;
    return (u32)(((s_random >> 32) * n) >> 32);
}

void make_ready(u32 thread)
{
    g_threads[thread].state = thread_state::ready;
    s_ready[s_ready_count++] = thread;
}

void pause_here(const code_site &site)
{
    fuel_wait(site);
    fiber_pause(g_now.self->fiber);
}

void yield_here(void)
{
    cuda_thread *self = g_now.self;
    if (s_ready_count == 0) {
        g_now.fuel = fuel_slice(self);
        return;
    }
    make_ready(g_now.thread);
    fiber_pause(self->fiber);
}

void stop_launch(void)
{
    s_stop = true;
    fiber_pause(g_now.self->fiber);
    __builtin_trap();
}

const block_run *block_of_stamp(u32 stamp)
{
    size_t low = 0, high = g_block_runs.size();
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (g_block_runs[middle].stamp <= stamp)
            low = middle;
        else
            high = middle;
    }
    return &g_block_runs[low];
}

void block_index_of(u32 linear, unsigned index[3])
{
    const unsigned *grid = g_block.launch->grid;
    index[0] = linear % grid[0];
    index[1] = linear / grid[0] % grid[1];
    index[2] = linear / grid[0] / grid[1];
}

void thread_index_of(u32 thread, unsigned index[3])
{
    const unsigned *block = g_block.launch->block;
    index[0] = thread % block[0];
    index[1] = thread / block[0] % block[1];
    index[2] = thread / block[0] / block[1];
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" {

unsigned mt_sim_thread_index(int axis) { return g_now.self->index[axis]; }
unsigned mt_sim_block_index(int axis) { return g_block.index[axis]; }
unsigned mt_sim_block_size(int axis) { return g_block.launch->block[axis]; }
unsigned mt_sim_grid_size(int axis) { return g_block.launch->grid[axis]; }

int mt_sim_barrier(int kind, int predicate, const char *file, int line)
{
    cuda_thread *self = g_now.self;
    self->site = {file, line, nullptr};
    self->predicate = predicate;
    self->barrier_result = kind;
    self->state = thread_state::at_barrier;
    pause_here(self->site);
    return self->barrier_result;
}

} // extern "C"
