/* tests/sim/test_sim.cpp - every planted bug is named under every schedule, and no correct kernel is ever
 * accused.
 *
 * Runs each kernel of this folder under 20 seeds. A wrong one must be reported in each: the kind, the kernel,
 * the block and thread where only one can be, and a line of its source that says BUG. Its argument is the
 * folder of the sources.
 */
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include "ops_cuda/sim/sim.h"

enum { SEEDS = 20, ANY = -1, FUEL = 1 << 20 };

struct wrong_kernel {
    const char *name; /* of the kernel, and of the file: wrong_<name>.cu */
    int (*run)(void);
    mt_sim_kind kind;
    int block, thread; /* x of whom the report must be about, or ANY */
    const char *says;  /* part of the sentence */
};

struct right_kernel {
    const char *name;
    int (*run)(void);
};

#define WRONG(X)                                                                                   \
    X(missing_barrier, RACE_SHARED, ANY, ANY, "")                                                  \
    X(off_by_one, OUT_OF_BOUNDS, 7, 103, "4 bytes, 0 bytes past the end of 'in'")                  \
    X(short_mask, WARP_MASK, 0, ANY, "")                                                           \
    X(lost_lane, WARP_MASK, 0, ANY, "which waits at __syncthreads")                                \
    X(unaligned_float4, MISALIGNED, 0, 1, "")                                                      \
    X(uninitialised_shared, UNINITIALISED, ANY, ANY, "")                                           \
    X(uninitialised_global, UNINITIALISED, 0, ANY, "")                                             \
    X(divergent_barrier, DIVERGED_BARRIER, 1, ANY, "")                                             \
    X(race_between_blocks, RACE_GLOBAL, ANY, ANY, "")                                              \
    X(overrun, OUT_OF_BOUNDS, 0, 8, "")                                                            \
    X(warp_synchronous, RACE_SHARED, 0, ANY, "")                                                   \
    X(use_after_free, USE_AFTER_FREE, 0, ANY, "")                                                  \
    X(missing_fence, RACE_GLOBAL, ANY, 0, "")                                                      \
    X(plain_and_atomic, RACE_SHARED, 0, ANY, "")                                                   \
    X(host_pointer, HOST_MEMORY, 0, ANY, "which is not device memory")                             \
    X(shared_overrun, OUT_OF_BOUNDS, 0, 31, "")                                                    \
    X(shared_alignment, MISALIGNED, 0, ANY, "'row' is declared with alignment 4")                  \
    X(dynamic_alignment, MISALIGNED, 0, ANY, "16 bytes from byte")                                 \
    X(struct_copy, OUT_OF_BOUNDS, 0, 10, "")                                                       \
    X(neighbour_block, RACE_GLOBAL, ANY, 0, "")                                                    \
    X(endless_loop, STUCK, 0, 0, "it seems to loop for ever (MT_SIM_FUEL=N allows N)")             \
    X(endless_barrier, STUCK, 0, ANY, "waits of its block: it seems to loop for ever")             \
    X(lonely_spin, STUCK, 0, ANY, "it seems to loop for ever")                                     \
    X(volatile_spin, STUCK, ANY, 0, "found the same value: it seems to wait for what never comes") \
    X(plain_spin, RACE_GLOBAL, 0, ANY, "a race")                                                   \
    X(unfenced_flag, RACE_GLOBAL, 0, ANY, "a race")                                                \
    X(volatile_warp, RACE_SHARED, 0, ANY, "a race")                                                \
    X(local_overrun, OUT_OF_BOUNDS, 0, ANY, "uses index 4 of an array that is 'int[4]'")           \
    X(far_index, OUT_OF_BOUNDS, 0, ANY, "past the end of 'in' (12800 bytes of device memory)")     \
    X(before_start, OUT_OF_BOUNDS, 0, 0,                                                           \
      "reads 4 bytes, 4 bytes before the start of 'in' (128 bytes of device memory)")              \
    X(overflowed_index, OUT_OF_BOUNDS, 0, ANY, "out of bounds")                                    \
    X(null_pointer, HOST_MEMORY, 0, ANY, "through a null pointer")                                 \
    X(ended_shared, USE_AFTER_FREE, 0, ANY, "of 'tile' (128 bytes of shared memory)")              \
    X(deep_recursion, STACK, 0, ANY, "a recursion without an end?")                                \
    X(foreign_local, LOCAL_MEMORY, 0, ANY, "reads 4 bytes of another thread's local variables")    \
    X(two_masks, WARP_MASK, 0, ANY, "which has left the kernel after a call with mask 0x0000ffff")

#define RIGHT(X)    \
    X(sgemm)        \
    X(block_reduce) \
    X(transpose)    \
    X(float4_add) X(last_block) X(histogram) X(warp_sync) X(alignments) X(volatile_flag) X(locals)

extern "C" {
#define DECLARE_WRONG(name, kind, block, thread, says) int mt_sim_launch_##name(void);
#define DECLARE_RIGHT(name)                            int mt_sim_launch_##name(void);
WRONG(DECLARE_WRONG)
RIGHT(DECLARE_RIGHT)
}

#define ROW_WRONG(name, kind, block, thread, says) \
    {#name, mt_sim_launch_##name, MT_SIM_##kind, block, thread, says},
#define ROW_RIGHT(name) {#name, mt_sim_launch_##name},
static const wrong_kernel s_wrong[] = {WRONG(ROW_WRONG)};
static const right_kernel s_right[] = {RIGHT(ROW_RIGHT)};

static int s_passed, s_failed;
static const char *s_folder;

static void tell(bool passed, const char *format, ...)
{
    (passed ? s_passed : s_failed)++;
    if (passed) return;
    va_list arguments;
    va_start(arguments, format);
    printf("FAILED: ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* Whether a place, "wrong_<name>.cu:<line>", is a line of that file that says BUG. */
static bool is_bug_line(const char *name, const char *place)
{
    char file[128], path[1024], text[512];
    snprintf(file, sizeof file, "wrong_%s.cu", name);
    size_t length = strlen(file);
    int line = 0;
    if (strncmp(place, file, length) != 0 || sscanf(place + length, ":%d", &line) != 1) return false;
    snprintf(path, sizeof path, "%s/%s", s_folder, file);
    FILE *source = fopen(path, "r");
    bool bug = false;
    for (int i = 1; source && fgets(text, sizeof text, source); ++i)
        if (i == line) bug = strstr(text, "/* BUG */") != nullptr;
    if (source) fclose(source);
    return bug;
}

/* Which of the things that a report must say are wrong in it; "" when none is. */
static const char *complaint(const wrong_kernel *w, const mt_sim_report *r)
{
    if (r->kind != w->kind) return "kind";
    if (strcmp(r->kernel, w->name) != 0) return "kernel";
    if (w->block != ANY && r->block[0] != (unsigned)w->block) return "block";
    if (w->thread != ANY && r->thread[0] != (unsigned)w->thread) return "thread";
    if (!is_bug_line(w->name, r->place)) return "line";
    if (!strstr(r->sentence, w->says)) return "words";
    if (r->other_place[0] && !is_bug_line(w->name, r->other_place)) return "other line";
    return "";
}

static void check_wrong(const wrong_kernel *w, uint64_t seed)
{
    mt_sim_set_seed(seed);
    mt_sim_clear();
    int status = w->run();
    const mt_sim_report *r = mt_sim_report_at(0);
    if (!r) {
        tell(false, "%s, seed %u: not reported", w->name, (unsigned)seed);
        return;
    }
    const char *bad = complaint(w, r);
    for (int i = 1; !bad[0] && i < mt_sim_report_count(); ++i)
        if (!is_bug_line(w->name, mt_sim_report_at(i)->place)) bad = "line of a further report";
    tell(status != 0 && !bad[0], "%s, seed %u: wrong %s in \"%s\"", w->name, (unsigned)seed,
         status == 0 ? "status" : bad, r->sentence);
    if (seed == 1) printf("  %s\n", mt_sim_last_report());
}

static void check_right(const right_kernel *r, uint64_t seed)
{
    mt_sim_set_seed(seed);
    mt_sim_clear();
    int status = r->run();
    tell(status == 0 && mt_sim_report_count() == 0, "%s, seed %u: status %d, \"%s\"", r->name, (unsigned)seed,
         status, mt_sim_last_report());
}

int main(int argc, char **argv)
{
    s_folder = argc > 1 ? argv[1] : ".";
    mt_sim_set_fuel(FUEL); /* endless loops end soon */
    for (const wrong_kernel &w : s_wrong)
        for (uint64_t seed = 1; seed <= SEEDS; ++seed) check_wrong(&w, seed);
    for (const right_kernel &r : s_right)
        for (uint64_t seed = 1; seed <= SEEDS; ++seed) check_right(&r, seed);
    printf("%d passed, %d failed\n", s_passed, s_failed);
    return s_failed != 0;
}
