/* ops_cuda/sim/launch.cpp - what is asked before a launch runs: the settings, the calling thread's device,
 * and whether a card would take grid and block. The settings' environment is read once, at the first use.
 */
#include "internal.h"
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace mt_sim {

namespace {

__thread int t_device;
u64 s_seed = 1, s_launches;
char s_wrong_seed[64]; /* what MT_SIM_SEED holds where that is no seed, until another one is set */

u64 mix(u64 x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

bool seed_known()
{
    if (!s_wrong_seed[0]) return true;
    report_threads(
        MT_SIM_LAUNCH, -1, nullptr, -1, nullptr,
        "MT_SIM_SEED is \"%s\", which is no schedule; use a whole number from 0 to %llu, or leave it "
        "unset",
        s_wrong_seed, (unsigned long long)UINT64_MAX);
    return false;
}

bool acceptable(const mt_sim_launch *launch)
{
    if (!seed_known() || !fuel_known()) return false;
    const unsigned *g = launch->grid, *b = launch->block;
    u64 threads = (u64)b[0] * b[1] * b[2];
    Site site = {launch->file, launch->line, nullptr};
    if (threads == 0 || threads > MAX_THREADS || b[2] > 64) {
        report_threads(MT_SIM_LAUNCH, -1, &site, -1, nullptr,
                       "blocks of %u x %u x %u threads: 1 to %d are possible", b[0], b[1], b[2], MAX_THREADS);
        return false;
    }
    if (g[0] == 0 || g[1] == 0 || g[2] == 0 || g[0] > 0x7fffffffu || g[1] > 65535 || g[2] > 65535) {
        report_threads(MT_SIM_LAUNCH, -1, &site, -1, nullptr,
                       "a grid of %u x %u x %u blocks: 1 to 2147483647 x 65535 x 65535 are possible", g[0],
                       g[1], g[2]);
        return false;
    }
    if (shared_launch_start(launch->dynamic_shared)) return true;
    report_threads(MT_SIM_LAUNCH, -1, &site, -1, nullptr,
                   "%zu bytes of dynamic shared memory are more than a block has", launch->dynamic_shared);
    return false;
}

/* An empty text is as good as none. */
void read_seed(const char *text)
{
    if (text[0] && !read_whole(text, &s_seed)) snprintf(s_wrong_seed, sizeof s_wrong_seed, "%s", text);
}

void read_environment()
{
    if (const char *seed = getenv("MT_SIM_SEED")) read_seed(seed);
    if (const char *fuel = getenv("MT_SIM_FUEL")) read_fuel(fuel);
    if (const char *trap = getenv("MT_SIM_HOST_TRAP")) mt_sim_set_host_trap(trap[0] == '1');
    if (const char *detail = getenv("MT_SIM_DETAIL")) mt_sim_set_detail(detail[0] == '1');
}

} // namespace

void setup_once(void)
{
    static bool done;
    if (done) return;
    done = true;
    read_environment();
}

bool device_current(const char *what)
{
    if (t_device == 0) return true;
    report_threads(
        MT_SIM_LAUNCH, -1, nullptr, -1, nullptr,
        "%s while device %d is the calling thread's current one, and the memory and kernels are device "
        "0's; select that before, and the caller's again afterwards",
        what, t_device);
    return false;
}

bool read_whole(const char *text, u64 *value)
{
    char *end = nullptr;
    errno = 0;
    u64 read = strtoull(text, &end, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) return false;
    *value = read;
    return true;
}

} // namespace mt_sim

using namespace mt_sim;

extern "C" {

int mt_sim_run(const mt_sim_launch *launch)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    setup_once();
    u64 faults = faults_seen();
    g_block.launch = launch;
    g_block.kernel = kernel_named(launch->kernel);
    if (!memory_reserve()) {
        Site site = {launch->file, launch->line, nullptr};
        report_threads(MT_SIM_MEMORY, -1, &site, -1, nullptr,
                       "no addresses can be reserved for device memory");
    } else if (!g_block.kernel) {
        out_of_memory();
    } else if (device_current("a launch") && acceptable(launch)) {
        memory_open(true);
        t_now = &g_now;
        run_grid(launch, mix(s_seed * 0x2545f4914f6cdd1du + s_launches++));
        t_now = nullptr;
        memory_open(false);
    }
    return call_end(faults) ? 0 : 1;
}

void mt_sim_set_device(int number) { t_device = number; }
int mt_sim_device(void) { return t_device; }

void mt_sim_set_seed(uint64_t seed)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    setup_once();
    s_seed = seed;
    s_launches = 0;
    s_wrong_seed[0] = '\0';
}

bool mt_sim_ready(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    setup_once();
    u64 faults = faults_seen();
    if (seed_known()) fuel_known();
    return call_end(faults);
}

uint64_t mt_sim_seed(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    setup_once();
    return s_seed;
}

} // extern "C"
