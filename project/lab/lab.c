/* lab.c - runs the kernels of this folder on the simulator, or on a GPU: are they right, and what do they ask
 * of the memory?
 *
 * A product is compared with one summed in double. Rounding alone may move an element by k 2^-24 sum |a b|;
 * more is wrong. On the simulator each run is repeated with several schedules, and whatever it reports is
 * printed.
 */
#define _GNU_SOURCE /* setitimer, sigaction */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "command.h"
#include "lab.h"
#include "ops_cuda/sim/sim.h"

enum { REPEATS = 20, MOST_ROWS = 1024, FUEL = 1 << 27 };

/* What became of one kernel of the lab. */
typedef struct outcome {
    double error, flops, seconds; /* error: the largest, as a part of what rounding may do */
    bool is_matmul, failed, no_device;
} outcome;

/* What one kernel asked of the memory in one run of one size. */
typedef struct counted {
    mt_sim_stats stats;
    lab_size size;
    bool is_matmul;
    double flop_per_byte; /* of all kernels of the run together */
} counted;

static counted s_counted[MOST_ROWS];
static int s_counted_count, s_counted_more; /* more: rows that found no room */

/* The element of C that is furthest from right. */
typedef struct furthest {
    int row, column;
    double got, wanted, error; /* error: as a part of what rounding may do; infinite for a NaN */
} furthest;

/* ---- matrices ---- */

/* SplitMix64, as a float from -1 to 1. */
static float next_value(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)(z >> 40) * 0x1p-23f - 1;
}

static float *random_matrix(size_t count, uint64_t *state)
{
    float *x = malloc(count * sizeof *x);
    for (size_t i = 0; x != NULL && i < count; i++) x[i] = next_value(state);
    return x;
}

static furthest furthest_of(const lab_task *t)
{
    furthest most = {.error = 0};
    for (int i = 0; i < t->m; i++) {
        for (int j = 0; j < t->n; j++) {
            double sum = 0, size = 0;
            for (int p = 0; p < t->k; p++) {
                const double product = (double)t->a[(size_t)i * t->k + p] * t->b[(size_t)p * t->n + j];
                sum += product, size += fabs(product);
            }
            const double got = t->c[(size_t)i * t->n + j];
            const double error = fabs(got - sum) / (t->k * 0x1p-24 * size + 1e-30);
            if (!(error <= most.error))
                most = (furthest){i, j, isnan(got) ? NAN : got, sum, isnan(error) ? INFINITY : error};
            if (isinf(most.error)) return most;
        }
    }
    return most;
}

/* ---- running ---- */

/* Why a run failed: what the simulator reports, else what is wrong with C, else what the entry said. */
static void print_failure(const char *name, const lab_task *task, int status, const furthest *most)
{
    for (int i = 0; i < mt_sim_report_count(); i++) printf("%s: %s\n", name, mt_sim_report_at(i)->sentence);
    if (mt_sim_report_count() > 0)
        mt_sim_clear();
    else if (status == 0)
        printf("%s: C[%d][%d] is %.9g, and should be %.9g: the error is %.3g times what rounding may do\n",
               name, most->row, most->column, most->got, most->wanted, most->error);
    else
        printf("%s: %s\n", name, task->message[0] != 0 ? task->message : "the result is not right");
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

/* The kernels that ran since the last reset, which one run of an entry launched. An entry that is no product
 * may do the same for every size: it is told once. */
static void keep_stats(lab_size size, bool is_matmul)
{
    mt_sim_stats s;
    double bytes = 0;
    for (int i = 0; mt_sim_stats_at(i, &s); i++) bytes += 32.0 * (double)s.sectors;
    for (int i = 0; mt_sim_stats_at(i, &s); i++) {
        bool known = s.launches == 0;
        for (int j = 0; j < s_counted_count && !is_matmul; j++)
            known |= memcmp(&s_counted[j].stats, &s, sizeof s) == 0;
        if (known) continue;
        const counted row = {s, size, is_matmul, ratio(2.0 * size.m * size.n * size.k, bytes)};
        if (s_counted_count < MOST_ROWS)
            s_counted[s_counted_count++] = row;
        else
            s_counted_more++;
    }
}

/* One size, every schedule. The first is counted: what a kernel asks of the memory is alike in all of them.
 */
static void run_size(const lab_settings *options, const lab_kernel *kernel, lab_size size, outcome *result)
{
    uint64_t state = options->seed;
    float *a = random_matrix((size_t)size.m * (size_t)size.k, &state);
    float *b = random_matrix((size_t)size.k * (size_t)size.n, &state);
    float *c = malloc((size_t)size.m * (size_t)size.n * sizeof *c);
    const bool on_card = options->backend == 1;
    if (a == NULL || b == NULL || c == NULL) {
        printf("%s: no memory for %d x %d x %d; try a smaller --size\n", kernel->name, size.m, size.n,
               size.k);
        result->failed = true;
    }
    for (int64_t i = 0; !result->failed && i < (on_card ? 1 : options->schedules); i++) {
        lab_task task = {.m = size.m, .n = size.n, .k = size.k, .a = a, .b = b, .c = c};
        task.repeats = on_card ? REPEATS : 0;
        const bool counting = options->stats && !on_card && i == 0;
        mt_sim_set_seed(options->seed + (uint64_t)i);
        mt_sim_set_detail(counting);
        mt_sim_stats_reset();
        const int status = on_card ? kernel->gpu(&task) : kernel->sim(&task);
        const furthest most = status == 0 && task.is_matmul ? furthest_of(&task) : (furthest){.error = 0};
        if (counting) keep_stats(size, task.is_matmul);
        result->is_matmul |= task.is_matmul;
        result->flops += 2.0 * size.m * size.n * size.k;
        result->seconds += task.seconds;
        if (most.error > result->error) result->error = most.error;
        result->failed = status != 0 || !(most.error <= 1);
        result->no_device = status == LAB_NO_DEVICE;
        if (result->no_device) fprintf(stderr, "lab: %s\n", task.message);
        if (!result->failed || result->no_device) continue;
        print_failure(kernel->name, &task, status, &most);
        printf("%s: %s", kernel->name, status == LAB_IDLE ? "NOT TRIED" : "WRONG");
        if (task.is_matmul) printf(", %d x %d x %d", size.m, size.n, size.k);
        if (!on_card && status != LAB_IDLE) printf(", schedule %" PRIu64, options->seed + (uint64_t)i);
        printf("\n");
    }
    free(a);
    free(b);
    free(c);
}

/* A second of processor time has gone by. */
static void on_tick(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    mt_sim_watch(context);
}

/* So that even an empty loop without an end is told. */
static void watch(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    const struct itimerval second = {{1, 0}, {1, 0}};
    action.sa_sigaction = on_tick;
    sigaction(SIGPROF, &action, NULL);
    setitimer(ITIMER_PROF, &second, NULL);
}

static void print_stats(void)
{
    bool few = false;
    printf(
        "\nCounts of one run, not times. A request is one access of a warp, a sector 32 bytes of device "
        "memory, partial\n"
        "a request that only some threads of the warp made (an edge, or a branch), flop/byte the work done "
        "for each byte\n"
        "moved.\n"
        "%16s %-11s %8s %8s %8s %9s %8s %9s %9s\n",
        "", "", "", "", "", "device", "sectors/", "shared", "bank");
    printf("%-16s %-11s %8s %8s %8s %9s %8s %9s %9s %7s %9s\n", "kernel", "size", "launches", "blocks",
           "barriers", "requests", "request", "requests", "conflicts", "partial", "flop/byte");
    for (int i = 0; i < s_counted_count; i++) {
        const counted *row = &s_counted[i];
        const mt_sim_stats *s = &row->stats;
        const bool fills = s->blocks >= MT_SIM_MULTIPROCESSORS * s->launches;
        char size[40] = "-", work[32] = "-";
        few |= !fills;
        if (row->is_matmul) {
            snprintf(size, sizeof size, "%dx%dx%d", row->size.m, row->size.n, row->size.k);
            snprintf(work, sizeof work, "%.2f", row->flop_per_byte);
        }
        printf("%-16s %-11s %8" PRIu64 " %7" PRIu64 "%s %8" PRIu64 " %9" PRIu64 " %8.2f %9" PRIu64
               " %9" PRIu64 " %6.1f%% %9s\n",
               s->kernel, size, s->launches, s->blocks, fills ? " " : "*", s->barriers, s->requests,
               ratio((double)s->sectors, (double)s->requests), s->shared_requests, s->bank_conflicts,
               100 * ratio((double)s->partial_requests, (double)(s->requests + s->shared_requests)), work);
    }
    if (s_counted_more > 0) printf("%d more rows are not shown\n", s_counted_more);
    if (few)
        printf(
            "* fewer blocks a launch than an H100 has multiprocessors (%d): the others have nothing to do\n",
            MT_SIM_MULTIPROCESSORS);
    printf("\n");
}

/* ---- the command line ---- */

static void print_kernels(FILE *stream)
{
    for (int i = 0; i < lab_kernel_count; i++)
        fprintf(stream, "%s%s", i > 0 ? ", " : "", lab_kernels[i].name);
    fputc('\n', stream);
}

static int print_help(void)
{
    printf("Usage: lab KERNEL|all [--option VALUE | --option=VALUE]...\n"
           "Runs a CUDA kernel of project/lab and compares its product with one summed in double.\n"
           "Kernels: ");
    print_kernels(stdout);
    printf("\n");
    options_help(lab_table(), stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int run(const lab_settings *options, const char *name, const lab_size *sizes, int count)
{
    bool all = strcmp(name, "all") == 0, found = false, failed = false;
    static outcome results[64];
    if (options->backend == 0) watch();
    if (getenv("MT_SIM_FUEL") == NULL) mt_sim_set_fuel(FUEL);
    printf("seed %" PRIu64 ", backend %s\n", options->seed, options->backend == 1 ? "gpu" : "gpu-sim");
    for (int i = 0; i < lab_kernel_count && i < 64; i++) {
        const lab_kernel *kernel = &lab_kernels[i];
        if (!all && strcmp(kernel->name, name) != 0) continue;
        found = true;
        if (options->backend == 1 && kernel->gpu == NULL) {
            fprintf(
                stderr,
                "lab: this build has no kernels for a GPU, since it was made without nvcc; use gpu-sim\n");
            return 1;
        }
        for (int s = 0; s < count && !results[i].failed; s++)
            run_size(options, kernel, sizes[s], &results[i]);
        if (results[i].no_device) return 1;
        failed |= results[i].failed;
    }
    if (!found) {
        char shown[QUOTED_BYTES];
        fprintf(stderr, "lab: there is no kernel '%s'; there are ", quoted(name, shown));
        print_kernels(stderr);
        return 2;
    }
    if (s_counted_count > 0) print_stats();
    for (int i = 0; i < lab_kernel_count && i < 64; i++) {
        const outcome *r = &results[i];
        if ((!all && strcmp(lab_kernels[i].name, name) != 0) || r->failed) continue;
        printf("%-16s right", lab_kernels[i].name);
        if (r->is_matmul)
            printf(": %d size%s, largest error %.2f of what rounding may do", count, count == 1 ? "" : "s",
                   r->error);
        if (r->seconds > 0) printf(", %.4g GFLOP/s", 1e-9 * r->flops / r->seconds);
        printf("\n");
    }
    if (fflush(stdout) != 0) return 1;
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write */
    lab_settings options = {.sizes = NULL};
    options_defaults(lab_table(), &options);
    const bool named = argc > 1 && argv[1][0] != '-';
    char *const name = named ? argv[1] : NULL;
    if (named) argv[1] = argv[0];
    if (named && argc > 2 && argv[2][0] != '-') {
        fprintf(stderr, "lab: one kernel, or all, and then options\n");
        return 2;
    }
    if (!options_parse(lab_table(), argc - named, argv + named, &options)) return 2;
    if (options.help) return print_help();
    if (!named) {
        fprintf(stderr, "lab: say which kernel: all, ");
        print_kernels(stderr);
        return 2;
    }
    lab_size sizes[LAB_MOST_SIZES];
    const int count = lab_read_sizes(options.sizes, sizes);
    return count == 0 ? 2 : run(&options, name, sizes, count);
}
