/* gpu_clock_sim.c - gpu_numbers on the simulator: the host's clock, since a launch has run when it returns.
 * What it measures says nothing about a card; it is there so that every line of the program runs without one.
 */
#include <math.h>

#include "gpu_clock.h"
#include "harness.h"
#include "ops_cuda/sim/sim.h"

static double moments[GPU_MARKS];

/* A second-level cache so small that tiny operands rotate too. */
static bool open_sim(mt_backend *backend, gpu_facts *facts)
{
    *facts = (gpu_facts){.memory = mt_sim_memory_stats().capacity, .l2 = 4096, .multiprocessors = 1};
    snprintf(facts->name, sizeof facts->name, "%s", backend->name);
    return true;
}

static void nothing(void) {}

static bool mark(int i)
{
    moments[i] = bench_now();
    return true;
}

static bool wait_sim(void) { return true; }

static double between(int from, int to) { return moments[to] - moments[from]; }

static void *capture(gpu_body body, void *context, int64_t first, int calls)
{
    (void)body, (void)context, (void)first, (void)calls;
    mt_fail(MT_ERR_BACKEND, "the simulator has no graphs");
    return NULL;
}

static bool replay(void *graph) { return graph != NULL; }

static void drop(void *graph) { (void)graph; }

static bool copy(void *to, const void *from, size_t bytes)
{
    if (mt_sim_copy(to, from, bytes)) return true;
    mt_fail(MT_ERR_BACKEND, "%s", mt_sim_message());
    return false;
}

static void *stream(void) { return NULL; }

static void profile(bool on) { (void)on; }

const gpu_clock gpu_clock_sim = {
    .backend = "gpu-sim",
    .open = open_sim,
    .close = nothing,
    .mark = mark,
    .wait = wait_sim,
    .between = between,
    .capture = capture,
    .replay = replay,
    .drop = drop,
    .copy = copy,
    .stream = stream,
    .profile = profile,
};
