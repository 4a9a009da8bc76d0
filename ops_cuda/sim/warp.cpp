/* ops_cuda/sim/warp.cpp - shuffles, votes and __syncwarp: lanes of a warp that meet.
 *
 * A lane waits until all lanes of its mask have called the same operation with the same mask, from whatever
 * line. A shuffle wants every lane that its mask names; votes and __syncwarp do without lanes that have left
 * the kernel, as CUDA allows. Reading from a lane that takes no part is an error even when nobody uses the
 * value.
 */
#include "internal.h"
#include <cstdio>

namespace mt_sim {

namespace {

const char *const s_names[] = {"__shfl_sync",   "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync",
                               "__ballot_sync", "__any_sync",     "__all_sync",       "__syncwarp"};

bool is_shuffle(int kind) { return kind <= MT_SIM_SHFL_XOR; }

/* The lanes of the mask that wait in the same operation. */
u32 group_of(u32 warp, int kind, u32 mask)
{
    u32 group = 0;
    for (u32 l = g_warps[warp].waiting & mask; l; l &= l - 1) {
        u32 lane = (u32)__builtin_ctz(l);
        const warp_call &call = g_threads[warp * WARP + lane].call;
        if (call.kind == kind && call.mask == mask) group |= 1u << lane;
    }
    return group;
}

int source_lane(int lane, const warp_call &call)
{
    int first = lane & ~(call.width - 1), last = first + call.width - 1, source = lane;
    switch (call.kind) {
    case MT_SIM_SHFL: return first + (call.argument & (call.width - 1));
    case MT_SIM_SHFL_UP: source = lane - call.argument; return source < first ? lane : source;
    case MT_SIM_SHFL_DOWN: source = lane + call.argument; return source > last ? lane : source;
    default: source = lane ^ call.argument; return source > last ? lane : source;
    }
}

void shuffle(u32 warp, u32 group)
{
    bool told = false;
    for (u32 l = group; l; l &= l - 1) {
        u32 lane = (u32)__builtin_ctz(l);
        cuda_thread *t = &g_threads[warp * WARP + lane];
        u32 source = (u32)source_lane((int)lane, t->call);
        t->call.result = t->call.value;
        if (group >> source & 1) {
            t->call.result = g_threads[warp * WARP + source].call.value;
        } else if (!told) {
            told = true;
            bool there = g_warps[warp].all >> source & 1;
            report_threads(MT_SIM_WARP_MASK, (int)(warp * WARP + lane), &t->call.site,
                           there ? (int)(warp * WARP + source) : -1, nullptr,
                           "reads from lane %u in %s with mask 0x%08x, and lane %u takes no part", source,
                           s_names[t->call.kind], t->call.mask, source);
        }
    }
}

void vote(u32 warp, u32 group, int kind)
{
    u32 ballot = 0;
    for (u32 l = group; l; l &= l - 1) {
        u32 lane = (u32)__builtin_ctz(l);
        if (g_threads[warp * WARP + lane].call.value) ballot |= 1u << lane;
    }
    u64 result = kind == MT_SIM_BALLOT ? ballot : kind == MT_SIM_ANY ? ballot != 0 : ballot == group;
    for (u32 l = group; l; l &= l - 1) g_threads[warp * WARP + (u32)__builtin_ctz(l)].call.result = result;
}

/* All that the lanes of the group did, or knew to be ordered before them, is ordered before what they do
 * next. */
void synchronise(u32 warp, u32 group)
{
    cuda_warp *w = &g_warps[warp];
    cuda_thread *threads = &g_threads[warp * WARP];
    u32 stamp = ++g_block.clock;
    order_join_lanes(warp * WARP, group);
    if (group == w->all) {
        for (u32 l = group; l; l &= l - 1) {
            cuda_thread *t = &threads[__builtin_ctz(l)];
            t->stamp = t->warp_known = stamp;
        }
        w->partial = false;
        return;
    }
    if (!w->partial) {
        w->partial = true;
        for (u32 me = 0; me < WARP; ++me)
            for (u32 you = 0; you < WARP; ++you) w->known[me][you] = threads[me].warp_known;
    }
    u32 joined[WARP] = {};
    for (u32 l = group; l; l &= l - 1) {
        u32 lane = (u32)__builtin_ctz(l);
        for (u32 you = 0; you < WARP; ++you)
            if (w->known[lane][you] > joined[you]) joined[you] = w->known[lane][you];
    }
    for (u32 l = group; l; l &= l - 1) joined[__builtin_ctz(l)] = stamp;
    for (u32 l = group; l; l &= l - 1) {
        u32 lane = (u32)__builtin_ctz(l);
        for (u32 you = 0; you < WARP; ++you) w->known[lane][you] = joined[you];
        threads[lane].stamp = stamp;
    }
}

/* The lanes that a group still waits for: lanes that the block has not are not waited for. */
u32 missing_lanes(u32 warp, int kind, u32 mask, u32 group)
{
    const cuda_warp &w = g_warps[warp];
    return mask & (is_shuffle(kind) ? w.all : w.live) & ~group;
}

/* Whether the thread's latest warp operation was this one, with another mask. */
bool called_otherwise(const cuda_thread &thread, const warp_call &call)
{
    return thread.call.kind == call.kind && thread.call.mask != call.mask &&
           same_site(thread.call.site, call.site);
}

void report_missing(u32 warp, u32 group, u32 missing)
{
    u32 first = warp * WARP + (u32)__builtin_ctz(group), other = warp * WARP + (u32)__builtin_ctz(missing);
    const cuda_thread &t = g_threads[first], &o = g_threads[other];
    const code_site *site = o.state == thread_state::done         ? nullptr
                            : o.state == thread_state::at_barrier ? &o.site
                                                                  : &o.call.site;
    char where[64], before[80] = "";
    if (o.state == thread_state::at_warp)
        snprintf(where, sizeof where, "waits in %s with mask 0x%08x", s_names[o.call.kind], o.call.mask);
    else
        snprintf(where, sizeof where, "%s",
                 o.state == thread_state::done ? "has left the kernel" : "waits at __syncthreads");
    if (o.state != thread_state::at_warp && called_otherwise(o, t.call))
        snprintf(before, sizeof before, " after a call with mask 0x%08x", o.call.mask);
    report_threads(MT_SIM_WARP_MASK, (int)first, &t.call.site, (int)other, site,
                   "waits in %s with mask 0x%08x for lane %u, which %s%s", s_names[t.call.kind], t.call.mask,
                   other % WARP, where, before);
}

void finish(u32 warp, u32 group, int kind)
{
    const warp_call &call = g_threads[warp * WARP + (u32)__builtin_ctz(group)].call;
    /* Lanes that have left are not waited for in a vote, unless they left because they named other lanes. */
    for (u32 l = call.mask & g_warps[warp].all & ~g_warps[warp].live; l && !is_shuffle(kind); l &= l - 1)
        if (called_otherwise(g_threads[warp * WARP + (u32)__builtin_ctz(l)], call)) {
            report_missing(warp, group, l);
            break;
        }
    if (is_shuffle(kind))
        shuffle(warp, group);
    else if (kind == MT_SIM_SYNCWARP)
        synchronise(warp, group);
    else
        vote(warp, group, kind);
    g_block.kernel->stats.warp_operations++;
    g_warps[warp].waiting &= ~group;
    for (u32 l = group; l; l &= l - 1) make_ready(warp * WARP + (u32)__builtin_ctz(l));
}

} // namespace

void warp_start(u32 warp, u32 lanes)
{
    cuda_warp *w = &g_warps[warp];
    w->partial = false;
    w->waiting = 0;
    w->live = w->all = lanes;
}

bool warp_resolve_stuck(void)
{
    bool any = false;
    for (u32 warp = 0; warp < g_block.warps; ++warp) {
        while (g_warps[warp].waiting) {
            u32 lane = (u32)__builtin_ctz(g_warps[warp].waiting);
            const warp_call &call = g_threads[warp * WARP + lane].call;
            int kind = call.kind;
            u32 group = group_of(warp, kind, call.mask),
                missing = missing_lanes(warp, kind, call.mask, group);
            if (missing) report_missing(warp, group, missing);
            finish(warp, group, kind);
            any = true;
        }
    }
    return any;
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" uint64_t mt_sim_warp(int kind, unsigned mask, uint64_t value, int argument, int width,
                                const char *file, int line)
{
    cuda_thread *self = g_now.self;
    code_site site = {file, line, nullptr};
    if (!(mask & g_now.lane_bit)) {
        report_threads(MT_SIM_WARP_MASK, (int)g_now.thread, &site, -1, nullptr,
                       "calls %s with mask 0x%08x, which does not name its own lane %u", s_names[kind], mask,
                       g_now.thread % WARP);
        return value;
    }
    if (width <= 0 || width > WARP || (width & (width - 1))) {
        report_threads(MT_SIM_WARP_MASK, (int)g_now.thread, &site, -1, nullptr,
                       "calls %s with width %d: 1, 2, 4, 8, 16 or 32 are possible", s_names[kind], width);
        width = WARP;
    }
    self->call = {kind, mask, value, argument, width, site, value};
    self->state = thread_state::at_warp;
    u32 warp = g_now.warp;
    g_warps[warp].waiting |= g_now.lane_bit;
    if (!(mask & g_warps[warp].live & ~g_warps[warp].waiting)) {
        u32 group = group_of(warp, kind, mask);
        if (!missing_lanes(warp, kind, mask, group)) finish(warp, group, kind);
    }
    pause_here(site);
    return self->call.result;
}
