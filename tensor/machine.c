/* tensor/machine.c - reads the limits of control groups, and the memory of the machine (see machine.h).
 *
 * A process has one group in the tree of version 2, and in version 1 one in the tree of each controller; a
 * machine may have both. /proc/self/cgroup names the groups, /proc/self/mountinfo the folders in which the
 * trees can be seen. A group is held to the limits of all groups above it, too.
 */
#define _POSIX_C_SOURCE 200809L
#include "machine.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"

enum { LINE = 4096 };

/* ---- files ---- */

static FILE *open_in(const char *folder, const char *name)
{
    char path[2 * LINE];
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length < (int)sizeof path ? fopen(path, "re") : NULL;
}

/* The next line without its end, cut where it is longer than a line; false at the end of the file. */
static bool next_line(FILE *file, char line[LINE])
{
    if (!fgets(line, LINE, file)) return false;
    const size_t length = strcspn(line, "\n");
    if (!line[length])
        for (int c = 0; c != EOF && c != '\n';) c = getc(file);
    line[length] = 0;
    return true;
}

/* The number at the beginning of a file; infinity where it has none ("max"), or is not there. */
static double number_in(const char *folder, const char *name)
{
    double number = INFINITY;
    FILE *file = open_in(folder, name);
    if (file && fscanf(file, "%lf", &number) != 1) number = INFINITY;
    if (file) fclose(file);
    return number;
}

/* What a file of lines "name number" has for the name; -1 where it has none. */
static double entry_in(const char *folder, const char *file_name, const char *name)
{
    char line[LINE];
    double number = -1;
    const size_t length = strlen(name);
    FILE *file = open_in(folder, file_name);
    while (file && number < 0 && next_line(file, line))
        if (strncmp(line, name, length) == 0 && (line[length] == ':' || line[length] == ' '))
            number = atof(line + length + 1);
    if (file) fclose(file);
    return number;
}

/* ---- groups ---- */

/* The folder of a group, and how many characters of it name the folder at the top of what can be seen. */
typedef struct group {
    char folder[2 * LINE];
    size_t top;
} group;

/* Whether a list, separated by commas, has the word. */
static bool lists(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || !at[length])) return true;
    }
    return false;
}

/* The group of this process in the tree of the controller, or of version 2 for NULL. */
static bool find_path(const char *root, const char *controller, char path[LINE])
{
    char line[LINE];
    bool found = false;
    FILE *file = open_in(root, "proc/self/cgroup"); /* number:controllers:path */
    while (file && !found && next_line(file, line)) {
        char *list = strchr(line, ':'), *end = list ? strchr(list + 1, ':') : NULL;
        if (!end) continue;
        *end = 0;
        found = controller ? lists(list + 1, controller) : !list[1];
        if (found) snprintf(path, LINE, "%s", end + 1);
    }
    if (file) fclose(file);
    return found;
}

/* Blanks in a path of mountinfo stand there as \040. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (at[0] == '\\' && at[1] && at[2] && at[3]) {
            *to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + at[3] - '0');
            at += 3;
        } else {
            *to++ = *at;
        }
    }
    *to = 0;
}

/* Where that tree is mounted, and which of its groups is the top there. */
static bool find_mount(const char *root, const char *controller, char top[LINE], char point[LINE])
{
    char line[LINE], type[64], options[LINE];
    bool found = false;
    FILE *file =
        open_in(root, "proc/self/mountinfo"); /* id parent device top point ... - type source options */
    while (file && !found && next_line(file, line)) {
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(dash, " - %63s %*s %4095s", type, options) != 2) continue;
        found = controller ? strcmp(type, "cgroup") == 0 && lists(options, controller)
                           : strcmp(type, "cgroup2") == 0;
        found = found && sscanf(line, "%*s %*s %*s %4095s %4095s", top, point) == 2;
    }
    if (file) fclose(file);
    if (!found) return false;
    unescape(top);
    unescape(point);
    return true;
}

static bool find_group(const char *root, const char *controller, group *self)
{
    char path[LINE], top[LINE], point[LINE];
    if (!find_path(root, controller, path) || !find_mount(root, controller, top, point)) return false;
    /* What of the path lies below the mounted group; a path outside it leaves the mounted group itself. */
    const size_t above = strcmp(top, "/") == 0 ? 0 : strlen(top);
    const bool below = strncmp(path, top, above) == 0 && path[above] == '/' && path[above + 1] &&
                       strncmp(path + above, "/..", 3) != 0;
    self->top = (size_t)snprintf(self->folder, sizeof self->folder, "%s%s", root, point);
    if (self->top >= sizeof self->folder) return false;
    const int rest =
        snprintf(self->folder + self->top, sizeof self->folder - self->top, "%s", below ? path + above : "");
    return (size_t)rest < sizeof self->folder - self->top;
}

/* The least that read says of the group and of those above it; infinity where there is none. */
static double least(const char *root, const char *controller, double (*read)(const char *folder))
{
    group self;
    double result = INFINITY;
    if (!find_group(root, controller, &self)) return result;
    for (;;) {
        result = fmin(result, read(self.folder));
        char *slash = strrchr(self.folder, '/');
        if (!slash || (size_t)(slash - self.folder) < self.top) return result;
        *slash = 0;
    }
}

/* ---- processors ---- */

static double processors_of_v2(const char *folder)
{
    double quota, period, result = INFINITY;
    FILE *file = open_in(folder, "cpu.max"); /* "max 100000" where there is none */
    if (file && fscanf(file, "%lf %lf", &quota, &period) == 2 && period > 0) result = quota / period;
    if (file) fclose(file);
    return result;
}

static double processors_of_v1(const char *folder)
{
    const double quota = number_in(folder, "cpu.cfs_quota_us"),
                 period = number_in(folder, "cpu.cfs_period_us");
    return quota > 0 && period > 0 && isfinite(period) ? quota / period : INFINITY; /* -1: none */
}

int mt_machine_processors(const char *root)
{
    const double quota = fmin(least(root, NULL, processors_of_v2), least(root, "cpu", processors_of_v1));
    return quota >= INT_MAX ? INT_MAX : quota < 1 ? 1 : (int)ceil(quota);
}

/* ---- memory ---- */

/* What is left of a limit; the pages of files are given up where they are in the way. */
static double left_of(double limit, double used, double active_files, double inactive_files)
{
    if (!isfinite(limit) || !isfinite(used)) return limit;
    return fmax(0, limit - fmax(0, used - fmax(0, active_files) - fmax(0, inactive_files)));
}

static double memory_of_v2(const char *folder)
{
    return left_of(number_in(folder, "memory.max"), number_in(folder, "memory.current"),
                   entry_in(folder, "memory.stat", "active_file"),
                   entry_in(folder, "memory.stat", "inactive_file"));
}

static double memory_of_v1(const char *folder)
{
    return left_of(number_in(folder, "memory.limit_in_bytes"), number_in(folder, "memory.usage_in_bytes"),
                   entry_in(folder, "memory.stat", "total_active_file"),
                   entry_in(folder, "memory.stat", "total_inactive_file"));
}

/* What the machine has to give, in bytes. */
static double memory_of_machine(const char *root)
{
    const double kilobyte = 1024;
    const double total = entry_in(root, "proc/meminfo", "MemTotal"),
                 available = entry_in(root, "proc/meminfo", "MemAvailable"),
                 swap = entry_in(root, "proc/meminfo", "SwapFree");
    if (total >= 0 && available >= 0) return fmin(total, available + fmax(0, swap)) * kilobyte;
#ifdef _SC_PHYS_PAGES
    const double pages = (double)sysconf(_SC_PHYS_PAGES);
    if (pages > 0) return pages * (double)sysconf(_SC_PAGESIZE);
#endif
    return INFINITY;
}

double mt_machine_memory(const char *root)
{
    return fmin(memory_of_machine(root),
                fmin(least(root, NULL, memory_of_v2), least(root, "memory", memory_of_v1)));
}

double mt_memory_room(void) { return mt_machine_memory(""); }
