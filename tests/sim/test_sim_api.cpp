/* tests/sim/test_sim_api.cpp - what sim.h promises besides naming bugs: counts, memory, messages, the host
 * trap.
 *
 * The counts are compared with ones made by hand.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include "ops_cuda/sim/sim.h"

extern "C" {
int mt_sim_launch_copy_strided(int stride);
int mt_sim_launch_copy_columns(int width);
int mt_sim_launch_write_odd(int threads);
int mt_sim_launch_spin(void);
int mt_sim_launch_count_far(void);
int mt_sim_launch_wait_for_flag(void);
int mt_sim_launch_off_by_one(void);
int mt_sim_launch_short_mask(void);
int mt_sim_launch_sgemm(void);
}

enum { CAPACITY = 64 << 20 };

static int s_passed, s_failed;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (condition)                                                                                       \
            s_passed++;                                                                                      \
        else                                                                                                 \
            s_failed++,                                                                                      \
                printf("FAILED: %s:%d: %s; \"%s\"\n", __FILE__, __LINE__, #condition, mt_sim_last_report()); \
    } while (0)

static mt_sim_stats stats_of(const char *kernel)
{
    mt_sim_stats stats = {};
    for (int i = 0; mt_sim_stats_at(i, &stats); ++i)
        if (strcmp(stats.kernel, kernel) == 0) return stats;
    return {};
}

/* The first use of the simulator: what the environment says is read once. */
static void test_wrong_settings(void)
{
    setenv("MT_SIM_SEED", "x", 1);
    setenv("MT_SIM_FUEL", "0", 1);
    CHECK(!mt_sim_ready() && strstr(mt_sim_message(), "MT_SIM_SEED is \"x\""));
    CHECK(mt_sim_launch_write_odd(64) != 0 && strstr(mt_sim_message(), "MT_SIM_SEED is \"x\""));
    CHECK(mt_sim_report_count() == 1 && mt_sim_report_at(0)->kind == MT_SIM_LAUNCH);
    mt_sim_set_seed(1);
    CHECK(!mt_sim_ready() && strstr(mt_sim_message(), "MT_SIM_FUEL is \"0\""));
    CHECK(mt_sim_launch_write_odd(64) != 0 && strstr(mt_sim_message(), "use a whole number from 1"));
    mt_sim_set_fuel(1 << 30);
    CHECK(mt_sim_ready() && mt_sim_launch_write_odd(64) == 0);
    mt_sim_clear();
}

static void test_counts(void)
{
    mt_sim_set_detail(true);
    mt_sim_stats_reset();
    CHECK(mt_sim_launch_copy_strided(1) == 0);
    mt_sim_stats s = stats_of("copy_strided");
    CHECK(s.launches == 1 && s.blocks == 2 && s.threads == 512 && s.barriers == 0);
    CHECK(s.requests == 32 && s.sectors == 32 * 4 && s.partial_requests == 0);
    mt_sim_stats_reset();
    CHECK(mt_sim_launch_copy_strided(8) == 0);
    s = stats_of("copy_strided");
    CHECK(s.requests == 32 && s.sectors == 16 * 4 + 16 * 32);

    CHECK(mt_sim_launch_copy_columns(32) == 0 && mt_sim_launch_copy_columns(33) == 0);
    s = stats_of("copy_columns<32>");
    CHECK(s.barriers == 1 && s.shared_requests == 64 && s.bank_conflicts == 32 * 31);
    s = stats_of("copy_columns<33>");
    CHECK(s.shared_requests == 64 && s.bank_conflicts == 0);

    CHECK(mt_sim_launch_write_odd(64) == 0);
    s = stats_of("odd");
    CHECK(s.requests == 2 && s.partial_requests == 2);
    mt_sim_set_detail(false);
    CHECK(mt_sim_launch_write_odd(64) == 0);
    s = stats_of("odd");
    CHECK(s.launches == 2 && s.requests == 2);
}

static void test_memory(void)
{
    mt_sim_clear();
    char host[64] = {}, *p = (char *)mt_sim_alloc(64, "p"), *q = (char *)mt_sim_alloc(64, "q");
    CHECK(p && q && (size_t)p % 256 == 0);
    CHECK(!mt_sim_download(host, p, 64));
    CHECK(strstr(mt_sim_message(), "nobody wrote byte 0"));
    CHECK(mt_sim_upload(p, host, 10) && mt_sim_download(host, p, 10) && !mt_sim_download(host, p, 11));
    CHECK(mt_sim_fill(p, 7, 64) && mt_sim_copy(q, p, 64) && mt_sim_download(host, q, 64) && host[63] == 7);
    CHECK(!mt_sim_upload(p + 1, host, 64));
    CHECK(strstr(mt_sim_message(), "byte 63 of them is outside"));
    CHECK(!mt_sim_upload(host, host, 1) && !mt_sim_free(p + 1));
    CHECK(mt_sim_free(p) && !mt_sim_free(p) && !mt_sim_download(host, p, 1) && mt_sim_free(q));

    size_t held = mt_sim_memory_stats().held;
    mt_sim_set_capacity(held + 1000);
    CHECK(!mt_sim_alloc(1001, nullptr));
    CHECK(strstr(mt_sim_message(), "1001 bytes"));
    p = (char *)mt_sim_alloc(1000, nullptr);
    CHECK(p && mt_sim_memory_stats().held == held + 1000 && mt_sim_free(p) &&
          mt_sim_memory_stats().held == held);
    mt_sim_set_capacity(CAPACITY);
    for (int i = 0; i < 100; ++i) {
        p = (char *)mt_sim_alloc((size_t)8 << 20, nullptr); /* addresses go round */
        if (!p || !mt_sim_fill(p, i, 5) || !mt_sim_free(p)) break;
    }
    CHECK(p && mt_sim_memory_stats().held == held);
}

/* A piece of an odd length ends where it ends, and its neighbour begins there. */
static void test_marks(void)
{
    mt_sim_clear();
    char host[16] = {}, *pool = (char *)mt_sim_alloc(256, "pool");
    mt_sim_mark(pool, 5, true);
    CHECK(mt_sim_upload(pool, host, 5) && !mt_sim_upload(pool, host, 6));
    mt_sim_mark(pool + 5, 6, true);
    CHECK(mt_sim_download(host, pool, 5) && !mt_sim_download(host, pool + 5, 6));
    CHECK(mt_sim_upload(pool + 5, host, 6) && mt_sim_download(host, pool, 11) &&
          !mt_sim_download(host, pool, 12));
    mt_sim_mark(pool, 256, false);
    CHECK(!mt_sim_upload(pool, host, 1) && mt_sim_free(pool));
}

/* Device memory and kernels are device 0's; each thread has its own number. */
static void test_current_device(void)
{
    char host[64] = {}, *p = (char *)mt_sim_alloc(64, "p"), *q = (char *)mt_sim_alloc(64, "q");
    CHECK(p && q && mt_sim_fill(p, 1, 64) && mt_sim_device() == 0);
    mt_sim_set_device(1);
    std::thread([p] { CHECK(mt_sim_device() == 0 && mt_sim_fill(p, 1, 64)); }).join();
    auto refused = [](bool worked) {
        bool told = !worked && strstr(mt_sim_message(), "device 1 is the calling thread's current one");
        mt_sim_clear();
        return told;
    };
    CHECK(refused(mt_sim_alloc(64, "r")));
    CHECK(refused(mt_sim_upload(p, host, 64)) && refused(mt_sim_download(host, p, 64)));
    CHECK(refused(mt_sim_copy(q, p, 64)) && refused(mt_sim_fill(p, 2, 64)) && refused(mt_sim_free(p)));
    CHECK(refused(mt_sim_launch_sgemm() == 0));
    mt_sim_mark(p, 64, false);
    CHECK(mt_sim_report_count() == 1 && mt_sim_report_at(0)->kind == MT_SIM_LAUNCH);
    mt_sim_set_device(0);
    mt_sim_clear();
    CHECK(mt_sim_download(host, p, 64) && host[0] == 1 && mt_sim_free(p) && mt_sim_free(q));
}

static void count_reports(void *context, const mt_sim_report *report)
{
    CHECK(report->sentence[0]);
    ++*(int *)context;
}

static void test_reports(void)
{
    int called = 0;
    mt_sim_on_report(count_reports, &called);
    mt_sim_clear();
    CHECK(mt_sim_launch_off_by_one() != 0 && mt_sim_launch_off_by_one() != 0);
    CHECK(mt_sim_report_count() == 1 && mt_sim_report_at(0)->count == 2 && !mt_sim_report_at(1) &&
          called == 1);
    CHECK(mt_sim_launch_short_mask() != 0);
    CHECK(strstr(mt_sim_message(), "short_mask") && strstr(mt_sim_last_report(), "off_by_one"));
    std::thread([] {
        CHECK(mt_sim_launch_off_by_one() != 0);
        CHECK(strstr(mt_sim_message(), "off_by_one"));
    }).join();
    CHECK(strstr(mt_sim_message(), "short_mask"));
    mt_sim_clear();
    CHECK(mt_sim_report_count() == 0 && mt_sim_last_report()[0] == '\0');
    mt_sim_on_report(nullptr, nullptr);

    CHECK(mt_sim_launch_write_odd(1025) != 0 && mt_sim_report_at(0)->kind == MT_SIM_LAUNCH);
    CHECK(strstr(mt_sim_message(), "1025"));
    mt_sim_clear();
    CHECK(mt_sim_launch_wait_for_flag() == 0);
    CHECK(mt_sim_launch_spin() != 0 && mt_sim_report_at(0)->kind == MT_SIM_STUCK);
    mt_sim_clear();
    /* More atomics in a row than a thread that waits may do without seeing a change: these change something.
     */
    CHECK(mt_sim_launch_count_far() == 0);
    mt_sim_set_fuel(1 << 20);
    CHECK(mt_sim_launch_count_far() != 0 && mt_sim_report_at(0)->kind == MT_SIM_STUCK);
    CHECK(strstr(mt_sim_message(), "1048576 accesses and turns"));
    mt_sim_set_fuel(1 << 30);
    mt_sim_clear();
}

/* How a child ends that reads device memory from the host. */
static int signal_of_host_read(bool trap)
{
    pid_t child = fork();
    if (child == 0) {
        std::signal(SIGSEGV, SIG_DFL); /* a sanitizer has its own answer to it */
        std::signal(SIGBUS, SIG_DFL);
        char *p = (char *)mt_sim_alloc(64, nullptr);
        mt_sim_set_host_trap(trap);
        bool ran = mt_sim_launch_sgemm() == 0 && mt_sim_fill(p, 1, 64);
        _exit(ran ? *(volatile char *)p - 1 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void launch_often(void)
{
    for (int i = 0; i < 20; ++i) CHECK(mt_sim_launch_sgemm() == 0);
}

int main(void)
{
    mt_sim_set_capacity(CAPACITY);
    test_wrong_settings();
    test_counts();
    test_memory();
    test_marks();
    test_current_device();
    test_reports();
    int signal = signal_of_host_read(true);
    CHECK(signal == SIGSEGV || signal == SIGBUS);
    CHECK(signal_of_host_read(false) == 0);
    std::thread other(launch_often);
    other.join();
    launch_often();
    printf("%d passed, %d failed\n", s_passed, s_failed);
    return s_failed != 0;
}
