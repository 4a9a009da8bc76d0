/* ops_cuda/sim/fiber.h - a stack and a place to go on from: what a CUDA thread is here.
 *
 * Fibers are pooled and reused latest first, so that a thread which never waits runs on a stack still in
 * cache.
 */
#ifndef MT_SIM_FIBER_H
#define MT_SIM_FIBER_H

#include <cstddef>
#include <cstdint>

namespace mt_sim {

struct sim_fiber;

/* A fiber that will run entry(argument) at its next resume; null when the pool is exhausted. entry must not
return, but pause for the last time. */
sim_fiber *fiber_take(void (*entry)(void *), void *argument);
/* From the scheduler's own stack: runs the fiber until it pauses or finishes. */
void fiber_resume(sim_fiber *fiber);
/* From a fiber: back to the scheduler, until the next resume. */
void fiber_pause(sim_fiber *self);
/* Gives a fiber that will not be resumed back to the pool. */
void fiber_release(sim_fiber *fiber);

/* What a card gives a thread for its local variables and calls, at most; a stack here has room for more. */
enum { LOCAL_MEMORY = 512 * 1024 };
/* The address that a fiber's calls come down to when they use all of it. */
uintptr_t fiber_stack_end(const sim_fiber *fiber);

/* Whether an address is on a fiber's stack, and on this one's. */
bool fiber_owns(uintptr_t address);
bool fiber_has(const sim_fiber *fiber, uintptr_t address);

} // namespace mt_sim

#endif
