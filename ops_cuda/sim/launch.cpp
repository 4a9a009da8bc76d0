/* ops_cuda/sim/launch.cpp - what is asked before a launch runs: the settings, the calling thread's device,
 * and whether a card would take grid and block. The settings' environment is read once, at the first use.
 */
#include "internal.h"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace mt_sim {

namespace {

__thread int t_device;
number_setting s_seed = {
    1,
    0,
    UINT64_MAX,
    "MT_SIM_SEED",
    "MT_SIM_SEED is \"%s\", which is no schedule; use a whole number from %llu to %llu, or leave it unset",
    ""};
u64 s_launches;

u64 mix(u64 x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

bool acceptable(const mt_sim_launch *launch)
{
    if (!s_seed.known() || !g_fuel.known()) return false;
    const unsigned *g = launch->grid, *b = launch->block;
    u64 threads = (u64)b[0] * b[1] * b[2];
    code_site site = {launch->file, launch->line, nullptr};
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

/* A whole number, decimal or 0x and hexadecimal, and nothing else; false: it is none. */
bool read_whole(const char *text, u64 *value)
{
    char *end = nullptr;
    errno = 0;
    u64 read = strtoull(text, &end, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) return false;
    *value = read;
    return true;
}

void read_environment()
{
    s_seed.read();
    g_fuel.read();
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

void number_setting::read(void)
{
    const char *text = getenv(variable);
    u64 number;
    if (text == nullptr || text[0] == '\0') return;
    if (read_whole(text, &number) && number >= least && number <= most)
        set(number);
    else
        snprintf(wrong, sizeof wrong, "%s", text);
}

void number_setting::set(u64 number)
{
    value = std::clamp(number, least, most);
    wrong[0] = '\0';
}

bool number_setting::known(void) const
{
    if (wrong[0] == '\0') return true;
    report_threads(MT_SIM_LAUNCH, -1, nullptr, -1, nullptr, sentence, wrong, (unsigned long long)least,
                   (unsigned long long)most);
    return false;
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
        code_site site = {launch->file, launch->line, nullptr};
        report_threads(MT_SIM_MEMORY, -1, &site, -1, nullptr,
                       "no addresses can be reserved for device memory");
    } else if (!g_block.kernel) {
        out_of_memory();
    } else if (device_current("a launch") && acceptable(launch)) {
        memory_open(true);
        t_now = &g_now;
        run_grid(launch, mix(s_seed.value * 0x2545f4914f6cdd1du + s_launches++));
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
    s_seed.set(seed);
    s_launches = 0;
}

bool mt_sim_ready(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    setup_once();
    u64 faults = faults_seen();
    if (s_seed.known()) g_fuel.known();
    return call_end(faults);
}

uint64_t mt_sim_seed(void)
{
    std::lock_guard<std::recursive_mutex> lock(g_lock);
    setup_once();
    return s_seed.value;
}

} // extern "C"
