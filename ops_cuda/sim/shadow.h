/* ops_cuda/sim/shadow.h - the fast path of a check: is this access ordered after those that its cell
 * remembers?
 *
 * These few lines run for every access of every kernel. They accept what they can see to be in order (earlier
 * launch, earlier barrier interval, the same thread) and keep the access; anything else goes to shadow.cpp,
 * which knows of warps and atomics and reports.
 */
#ifndef MT_SIM_SHADOW_H
#define MT_SIM_SHADOW_H

#include "internal.h"

#define MT_SIM_HOT     static inline __attribute__((always_inline))
#define MT_LIKELY(x)   __builtin_expect(!!(x), 1)
#define MT_UNLIKELY(x) __builtin_expect(!!(x), 0)

namespace mt_sim {

/* Shared memory is new for each block, device memory for each launch: older accesses do not matter. */
MT_SIM_HOT u32 first_stamp(const hook_state *now, size_t offset)
{
    return offset < g_shared_size ? now->block : now->launch;
}

/* Not ordered by a barrier or by launches: made in this interval of this block, or in another block of the
 * launch. */
MT_SIM_HOT bool concurrent(const hook_state *now, u32 stamp, u32 from)
{
    return stamp >= now->interval || (stamp < now->block && stamp >= from);
}

MT_SIM_HOT accessor who(const hook_state *now, const void *code)
{
    return {now->thread | (u32)((uintptr_t)code - now->code) << 10};
}

MT_SIM_HOT bool writer_in_order(const hook_state *now, const shadow_cell *cell, u32 from)
{
    return !concurrent(now, cell->stamp, from) ||
           (cell->stamp >= now->interval && cell->writer.thread() == now->thread);
}

/* Whether no reader can be in the way of a write by the running thread. */
MT_SIM_HOT bool readers_in_order(const hook_state *now, const reader_set *r, u32 from)
{
    if (concurrent(now, r->other_stamp, from) || r->earlier_stamp >= from) return false;
    if (!concurrent(now, r->stamp, from)) return true;
    return r->stamp >= now->interval && r->who.thread() >> 5 == now->warp && r->lanes == now->lane_bit;
}

MT_SIM_HOT void keep_earlier(const hook_state *now, reader_set *r, u32 thread, u32 stamp, u32 from)
{
    if (stamp < from || stamp >= now->block) return;
    r->earlier = (uint16_t)thread;
    r->earlier_stamp = stamp;
}

/* Once two warps have read in this interval any write in it is a race, and no further reader needs to be
 * known. */
MT_SIM_HOT bool readers_full(const hook_state *now, const reader_set *r)
{
    return r->other_stamp >= now->interval;
}

/* False, and nothing done, when the same warp has read and synchronised since: then add_lane decides. */
MT_SIM_HOT bool add_reader(const hook_state *now, reader_set *r, accessor me, u32 from)
{
    if (r->stamp >= now->interval) {
        if (r->who.thread() >> 5 == now->warp) {
            if (MT_UNLIKELY(r->stamp != now->stamp)) return false;
            r->lanes |= now->lane_bit;
            return true;
        }
        keep_earlier(now, r, r->other, r->other_stamp, from);
        r->other = (uint16_t)r->who.thread();
        r->other_stamp = r->stamp;
    } else {
        keep_earlier(now, r, r->who.thread(), r->stamp, from);
    }
    r->stamp = now->stamp;
    r->who = me;
    r->lanes = now->lane_bit;
    return true;
}

} // namespace mt_sim

#endif
