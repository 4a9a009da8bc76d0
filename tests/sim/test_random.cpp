/* tests/sim/test_random.cpp - the race detector against the definition of a race, on random programs.
 *
 * Whether two accesses are ordered is computed here with a full vector clock per thread, for every pair of
 * accesses. The simulator, which keeps a summary per word, must report a race in shared memory exactly where
 * there is one, and likewise in device memory, under each schedule. Arguments: the first seed and how many
 * programs.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
#include "ops_cuda/sim/sim.h"
#include "random_program.h"

extern "C" int mt_sim_launch_random_program(const int *kind, const unsigned *op, int steps);

enum { SCHEDULES = 4, ALL = RANDOM_BLOCKS * RANDOM_THREADS };

struct drawn_program {
    int steps, kind[RANDOM_STEPS];
    unsigned op[RANDOM_STEPS][RANDOM_BLOCKS][RANDOM_THREADS];
};

struct drawn_access {
    int block, thread, when;
    bool write, atomic, global;
    unsigned word;
    int known[RANDOM_THREADS]; /* accesses of the block's threads before these times are ordered before it */
};

static uint64_t s_random;

static unsigned below(unsigned n)
{
    s_random = s_random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((s_random >> 33) % n);
}

/* Masks for one warp's __syncwarp: nobody, all lanes, or lanes split into two groups of which one may stay
 * away. */
static void draw_masks(unsigned *op, int lanes)
{
    unsigned all = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1, how = below(4);
    unsigned group = how == 0 ? 0 : how == 1 ? all : (below(1u << 16) << 16 | below(1u << 16)) & all;
    bool both = how == 3;
    for (int lane = 0; lane < lanes; ++lane)
        op[lane] = group >> lane & 1 ? group : both && how > 1 ? all & ~group : 0;
}

static void draw(drawn_program *p)
{
    memset(p, 0, sizeof *p);
    p->steps = 4 + (int)below(RANDOM_STEPS - 4);
    unsigned sparse = 2 + below(200), spread = 2 + below(RANDOM_WORDS - 2), writes = below(4);
    for (int s = 0; s < p->steps; ++s) {
        unsigned kind = below(8);
        p->kind[s] = kind == 0 ? 1 : kind < 3 ? 2 : 0;
        for (int b = 0; b < RANDOM_BLOCKS; ++b) {
            if (p->kind[s] == 2) {
                draw_masks(&p->op[s][b][0], 32);
                draw_masks(&p->op[s][b][32], RANDOM_THREADS - 32);
            }
            for (int t = 0; p->kind[s] == 0 && t < RANDOM_THREADS; ++t) {
                if (below(sparse)) continue;
                unsigned what = below(4) >= writes ? 1 : below(4) ? 2 : 3;
                p->op[s][b][t] = what | (below(2) ? 4u : 0u) | below(spread) << 3;
            }
        }
    }
}

static void join(int (*known)[RANDOM_THREADS], const unsigned *mask, int first, int lanes, int now)
{
    int old[32][RANDOM_THREADS];
    memcpy(old, known[first], sizeof(int) * RANDOM_THREADS * (size_t)lanes);
    for (int me = 0; me < lanes; ++me) {
        for (int you = 0; you < lanes; ++you) {
            if (!mask[me] || !(mask[me] >> you & 1)) continue;
            for (int t = 0; t < RANDOM_THREADS; ++t)
                if (old[you][t] > known[first + me][t]) known[first + me][t] = old[you][t];
            known[first + me][first + you] = now;
        }
    }
}

static void collect(const drawn_program *p, std::vector<drawn_access> *accesses)
{
    for (int b = 0; b < RANDOM_BLOCKS; ++b) {
        static int known[RANDOM_THREADS][RANDOM_THREADS];
        memset(known, 0, sizeof known);
        for (int s = 0; s < p->steps; ++s) {
            for (int t = 0; p->kind[s] == 0 && t < RANDOM_THREADS; ++t) {
                unsigned op = p->op[s][b][t];
                if (!op) continue;
                drawn_access a = {b, t, s, (op & 3) >= 2, (op & 3) == 3, (op & 4) != 0, op >> 3, {}};
                memcpy(a.known, known[t], sizeof a.known);
                accesses->push_back(a);
            }
            if (p->kind[s] == 1)
                for (int t = 0; t < RANDOM_THREADS; ++t)
                    for (int u = 0; u < RANDOM_THREADS; ++u) known[t][u] = s;
            if (p->kind[s] == 2) {
                join(known, &p->op[s][b][0], 0, 32, s);
                join(known, &p->op[s][b][32], 32, RANDOM_THREADS - 32, s);
            }
        }
    }
}

static bool is_race(const drawn_access &a, const drawn_access &b)
{
    if (a.global != b.global || a.word != b.word || !(a.write || b.write) || (a.atomic && b.atomic))
        return false;
    if (a.block != b.block) return a.global;
    if (a.thread == b.thread) return false;
    return !(a.when < b.known[a.thread]) && !(b.when < a.known[b.thread]);
}

static bool has_race(const drawn_program *p, bool global)
{
    std::vector<drawn_access> accesses;
    collect(p, &accesses);
    for (size_t i = 0; i < accesses.size(); ++i)
        for (size_t j = 0; j < i; ++j)
            if (accesses[i].global == global && is_race(accesses[i], accesses[j])) return true;
    return false;
}

static bool reported(mt_sim_kind kind)
{
    for (int i = 0; i < mt_sim_report_count(); ++i)
        if (mt_sim_report_at(i)->kind == kind) return true;
    return false;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], nullptr, 0) : 1;
    int programs = argc > 2 ? atoi(argv[2]) : 500, failed = 0, races[2] = {0, 0};
    static drawn_program p;
    for (int i = 0; i < programs; ++i) {
        s_random = (first + (uint64_t)i) * 0x9e3779b97f4a7c15u;
        draw(&p);
        bool shared = has_race(&p, false), global = has_race(&p, true);
        races[0] += shared, races[1] += global;
        for (int schedule = 1; schedule <= SCHEDULES; ++schedule) {
            mt_sim_set_seed((uint64_t)schedule);
            mt_sim_clear();
            int status = mt_sim_launch_random_program(p.kind, &p.op[0][0][0], p.steps);
            bool right = reported(MT_SIM_RACE_SHARED) == shared && reported(MT_SIM_RACE_GLOBAL) == global &&
                         (status != 0) == (shared || global);
            if (right) continue;
            ++failed;
            printf("FAILED: program %llu, schedule %d: races in shared memory %d, in device memory %d; "
                   "reported \"%s\"\n",
                   (unsigned long long)first + (unsigned)i, schedule, shared, global, mt_sim_last_report());
        }
    }
    printf("%d programs, %d with a race in shared memory, %d in device memory\n", programs, races[0],
           races[1]);
    printf("%d passed, %d failed\n", programs * SCHEDULES - failed, failed);
    return failed != 0;
}
