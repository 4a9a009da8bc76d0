/* tests/test_machine.c - what control groups leave to a process, read from files laid out in a folder:
 * versions 1 and 2, nested groups, containers with and without a namespace of their own, and what is no
 * number.
 */
#define _XOPEN_SOURCE 700
#include "support.h"

#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/alloc.h"
#include "tensor/machine.h"

enum { MOST_FILES = 12 };
#define MB 1048576.0

typedef struct layout_case {
    const char *name;
    const char *files[MOST_FILES][2]; /* path and contents */
    int processors;                   /* INT_MAX: no quota */
    double memory;                    /* megabytes */
} layout_case;

/* 1000 MB, of which 600 are available. */
#define MEMINFO \
    "proc/meminfo", "MemTotal: 1024000 kB\nMemFree: 1000 kB\nMemAvailable: 614400 kB\nSwapFree: 0 kB\n"
#define MOUNT_V2                                                                                          \
    "proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n31 23 0:28 / /fs rw - cgroup2 cgroup2 " \
                           "rw\n"
#define MOUNT_V1(top)                                                                       \
    "proc/self/mountinfo", "32 31 0:29 " top " /fs/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" \
                           "35 31 0:32 " top " /fs/memory rw shared:1 - cgroup cgroup rw,memory\n"

static const layout_case cases[] = {
    {"nothing is told but memory", {{MEMINFO}}, INT_MAX, 600},
    {"free swap counts, up to what the machine has",
     {{"proc/meminfo", "MemTotal: 1024000 kB\nMemAvailable: 614400 kB\nSwapFree: 102400 kB\n"}},
     INT_MAX,
     700},
    {"version 2 without limits",
     {{MEMINFO},
      {MOUNT_V2},
      {"proc/self/cgroup", "0::/a\n"},
      {"fs/a/cpu.max", "max 100000\n"},
      {"fs/a/memory.max", "max\n"},
      {"fs/a/memory.current", "1048576\n"}},
     INT_MAX,
     600},
    {"version 2: a quota is rounded up, what is used goes off, files do not count",
     {{MEMINFO},
      {MOUNT_V2},
      {"proc/self/cgroup", "0::/a\n"},
      {"fs/a/cpu.max", "250000 100000\n"},
      {"fs/a/memory.max", "209715200\n"},
      {"fs/a/memory.current", "104857600\n"},
      {"fs/a/memory.stat", "anon 1\ninactive_file 31457280\nactive_file 20971520\n"}},
     3,
     150},
    {"less than a processor is one; used up is nothing",
     {{MEMINFO},
      {MOUNT_V2},
      {"proc/self/cgroup", "0::/a\n"},
      {"fs/a/cpu.max", "5000 100000\n"},
      {"fs/a/memory.max", "1048576\n"},
      {"fs/a/memory.current", "4194304\n"}},
     1,
     0},
    {"version 2, nested: the least of the path, and no other group's",
     {{MEMINFO},
      {MOUNT_V2},
      {"proc/self/cgroup", "0::/a/b/c\n"},
      {"fs/a/cpu.max", "200000 100000\n"},
      {"fs/a/b/cpu.max", "max 100000\n"},
      {"fs/a/b/c/cpu.max", "400000 100000\n"},
      {"fs/a/b/memory.max", "104857600\n"},
      {"fs/a/b/memory.current", "0\n"},
      {"fs/a/b/c/memory.max", "max\n"},
      {"fs/other/cpu.max", "100000 100000\n"}},
     2,
     100},
    {"version 2, a container with a namespace of its own: the top holds the limits",
     {{MEMINFO},
      {MOUNT_V2},
      {"proc/self/cgroup", "0::/\n"},
      {"fs/cpu.max", "150000 100000\n"},
      {"fs/memory.max", "52428800\n"},
      {"fs/memory.current", "0\n"}},
     2,
     50},
    {"version 1",
     {{MEMINFO},
      {MOUNT_V1("/")},
      {"proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/b\n1:name=systemd:/c\n0::/\n"},
      {"fs/cpu/b/cpu.cfs_quota_us", "400000\n"},
      {"fs/cpu/b/cpu.cfs_period_us", "100000\n"},
      {"fs/memory/a/memory.limit_in_bytes", "209715200\n"},
      {"fs/memory/a/memory.usage_in_bytes", "104857600\n"},
      {"fs/memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 52428800\ntotal_active_file 0\n"}},
     4,
     150},
    {"version 1, nested, without limits in the group itself",
     {{MEMINFO},
      {MOUNT_V1("/")},
      {"proc/self/cgroup", "4:memory:/a/b\n3:cpu,cpuacct:/a/b\n"},
      {"fs/cpu/a/b/cpu.cfs_quota_us", "-1\n"},
      {"fs/cpu/a/b/cpu.cfs_period_us", "100000\n"},
      {"fs/cpu/a/cpu.cfs_quota_us", "150000\n"},
      {"fs/cpu/a/cpu.cfs_period_us", "50000\n"},
      {"fs/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"},
      {"fs/memory/a/b/memory.usage_in_bytes", "1\n"},
      {"fs/memory/a/memory.limit_in_bytes", "104857600\n"},
      {"fs/memory/a/memory.usage_in_bytes", "0\n"}},
     3,
     100},
    {"version 1, a container that sees its own group as the top",
     {{MEMINFO},
      {MOUNT_V1("/docker/1f")},
      {"proc/self/cgroup", "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f/x\n"},
      {"fs/cpu/cpu.cfs_quota_us", "200000\n"},
      {"fs/cpu/cpu.cfs_period_us", "100000\n"},
      {"fs/cpu/x/cpu.cfs_quota_us", "-1\n"},
      {"fs/memory/memory.limit_in_bytes", "52428800\n"},
      {"fs/memory/memory.usage_in_bytes", "0\n"}},
     2,
     50},
    {"a path outside what is mounted leaves the top",
     {{MEMINFO},
      {MOUNT_V2},
      {"proc/self/cgroup", "0::/../other\n"},
      {"fs/cpu.max", "200000 100000\n"},
      {"other/cpu.max", "100000 100000\n"}},
     2,
     600},
    {"a blank in the path of the mount",
     {{MEMINFO},
      {"proc/self/mountinfo", "31 23 0:28 / /my\\040fs rw - cgroup2 cgroup2 rw\n"},
      {"proc/self/cgroup", "0::/a\n"},
      {"my fs/a/cpu.max", "200000 100000\n"}},
     2,
     600},
    {"no numbers",
     {{MEMINFO},
      {MOUNT_V2},
      {"proc/self/cgroup", "nonsense\n0::/a\n"},
      {"fs/a/cpu.max", "\n"},
      {"fs/a/memory.max", "many\n"},
      {"fs/a/memory.current", "\n"}},
     INT_MAX,
     600},
};

static void write_file(const char *root, const char *path, const char *contents)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", root, path);
    for (char *slash = strchr(name + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(name, 0777);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    TEST_CHECK(file && fputs(contents, file) >= 0 && fclose(file) == 0, "cannot write %s", name);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(path);
}

static void test_layouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        const layout_case *c = &cases[i];
        char root[] = "machine-XXXXXX";
        TEST_CHECK(mkdtemp(root) != NULL, "cannot make a folder");
        for (int k = 0; k < MOST_FILES && c->files[k][0]; k++)
            write_file(root, c->files[k][0], c->files[k][1]);
        const int processors = mt_machine_processors(root);
        const double memory = mt_machine_memory(root);
        nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        TEST_CHECK(processors == c->processors, "%s: %d processors for %d", c->name, processors,
                   c->processors);
        TEST_CHECK(fabs(memory - c->memory * MB) < 1, "%s: %g MB for %g", c->name, memory / MB, c->memory);
        test_cases++;
    }
}

/* Of this machine no more can be said than that it has something. */
static void test_here(void **state)
{
    (void)state;
    TEST_TRUE(mt_memory_room() > 0);
    TEST_TRUE(mt_machine_processors("") >= 1);
    mt_backend *cpu = mt_backend_get("cpu");
    TEST_TRUE(cpu != NULL && mt_get_threads() >= 1);
    if (!getenv("OMP_NUM_THREADS")) TEST_TRUE(mt_get_threads() <= mt_machine_processors(""));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_layouts),
        TEST(test_here),
    };
    return TEST_RUN("machine", tests);
}
