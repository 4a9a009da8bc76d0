/* ops_cuda/sim/counters.cpp - counts by kernel, and with detail what a warp's accesses cost the memory.
 *
 * Threads run one after another, so a warp's access is put together afterwards: the n-th access of each of
 * its lanes from the same instruction, within a barrier interval, is one request. Lanes that took different
 * turns of a loop are therefore paired by turn. A request to device memory touches 32-byte sectors; one to
 * shared memory needs a pass for each different word that falls on the same of 32 banks, apart for each 128
 * bytes that the lanes ask for.
 */
#include "internal.h"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>

namespace mt_sim {

bool g_detail;

namespace {

enum { MOST_KEPT = 1 << 20, BANKS = 32 };

struct counted_access {
    uintptr_t code;
    u32 warp, lane, turn, bytes;
    size_t offset;
};

std::deque<kernel_record> s_kernels; /* stays in place as it grows */
std::vector<const void *> s_launched;
std::vector<counted_access> s_accesses;
std::vector<size_t> s_units;

size_t distinct(std::vector<size_t> &units)
{
    std::sort(units.begin(), units.end());
    return (size_t)(std::unique(units.begin(), units.end()) - units.begin());
}

u64 sectors(const counted_access *first, const counted_access *last)
{
    s_units.clear();
    for (const counted_access *a = first; a < last; ++a)
        for (size_t s = a->offset / 32; s <= (a->offset + a->bytes - 1) / 32; ++s) s_units.push_back(s);
    return distinct(s_units);
}

/* Lanes are served in groups that ask for at most 128 bytes: 32 of 4 bytes, 16 of 8, 8 of 16. */
u64 extra_passes(const counted_access *first, const counted_access *last)
{
    u32 lanes = first->bytes > 4 ? 128 / first->bytes : 32;
    u64 extra = 0;
    while (first < last) {
        u32 group = first->lane / lanes, passes[BANKS] = {}, most = 1;
        s_units.clear();
        for (; first < last && first->lane / lanes == group; ++first)
            for (size_t w = first->offset / 4; w <= (first->offset + first->bytes - 1) / 4; ++w)
                s_units.push_back(w);
        size_t words = distinct(s_units);
        for (size_t i = 0; i < words; ++i) most = std::max(most, ++passes[s_units[i] % BANKS]);
        extra += most - 1;
    }
    return extra;
}

void count_request(const counted_access *first, const counted_access *last)
{
    mt_sim_stats *stats = &g_block.kernel->stats;
    if (first->offset < g_shared_size) {
        stats->shared_requests++;
        stats->bank_conflicts += extra_passes(first, last);
    } else {
        stats->requests++;
        stats->sectors += sectors(first, last);
    }
    u32 lanes = (u32)(last - first);
    if (lanes < (u32)__builtin_popcount(g_warps[first->warp].all)) stats->partial_requests++;
}

} // namespace

kernel_record *kernel_named(const char *name)
{
    char clean[sizeof(kernel_record::name)];
    snprintf(clean, sizeof clean, "%s", name);
    size_t length = strlen(clean);
    if (length > 1 && clean[0] == '(' && clean[length - 1] == ')') {
        clean[length - 1] = '\0';
        memmove(clean, clean + 1, length - 1);
    }
    for (kernel_record &kernel : s_kernels)
        if (strcmp(kernel.name, clean) == 0) return &kernel;
    if (!attempt([] { s_kernels.emplace_back(); })) return nullptr;
    kernel_record *kernel = &s_kernels.back();
    memcpy(kernel->name, clean, sizeof clean);
    kernel->stats.kernel = kernel->name;
    return kernel;
}

void count_launch(const void *code)
{
    if (std::find(s_launched.begin(), s_launched.end(), code) == s_launched.end()) s_launched.push_back(code);
}

void count_access(uintptr_t address, size_t bytes, const void *code)
{
    counted_access access = {(uintptr_t)code,        g_now.warp, g_now.thread % WARP, 0, (u32)bytes,
                             address - g_memory.base};
    if (!attempt([&] { s_accesses.push_back(access); })) out_of_memory();
    if (s_accesses.size() >= MOST_KEPT) count_interval_end();
}

static void count_all()
{
    auto by_thread = [](const counted_access &a, const counted_access &b) {
        if (a.code != b.code) return a.code < b.code;
        if (a.warp != b.warp) return a.warp < b.warp;
        return a.lane < b.lane;
    };
    auto by_turn = [](const counted_access &a, const counted_access &b) {
        if (a.code != b.code) return a.code < b.code;
        if (a.warp != b.warp) return a.warp < b.warp;
        if (a.turn != b.turn) return a.turn < b.turn;
        return a.lane < b.lane;
    };
    std::stable_sort(s_accesses.begin(), s_accesses.end(), by_thread);
    for (size_t i = 1; i < s_accesses.size(); ++i) {
        const counted_access &before = s_accesses[i - 1];
        counted_access &a = s_accesses[i];
        if (a.code == before.code && a.warp == before.warp && a.lane == before.lane) a.turn = before.turn + 1;
    }
    std::sort(s_accesses.begin(), s_accesses.end(), by_turn);
    const counted_access *all = s_accesses.data(), *end = all + s_accesses.size();
    for (const counted_access *first = all; first < end;) {
        const counted_access *last = first + 1;
        while (last < end && last->code == first->code && last->warp == first->warp &&
               last->turn == first->turn)
            ++last;
        count_request(first, last);
        first = last;
    }
}

void count_interval_end(void)
{
    bool counted = attempt(count_all);
    s_accesses.clear();
    if (!counted) out_of_memory();
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" {

int mt_sim_stats_count(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    return (int)s_kernels.size();
}

bool mt_sim_stats_at(int i, mt_sim_stats *stats)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    if (i < 0 || (size_t)i >= s_kernels.size()) return false;
    *stats = s_kernels[(size_t)i].stats;
    return true;
}

void mt_sim_stats_reset(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    for (kernel_record &kernel : s_kernels) {
        const char *name = kernel.stats.kernel;
        kernel.stats = {};
        kernel.stats.kernel = name;
    }
}

const void *mt_sim_launched(int i)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    return i < 0 || (size_t)i >= s_launched.size() ? nullptr : s_launched[(size_t)i];
}

void mt_sim_set_detail(bool on)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    g_detail = on;
    g_fast_size = on ? 0 : g_memory.size;
}

} // extern "C"
