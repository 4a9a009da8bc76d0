/* matmul_sweep.c - minitorch's timing of batched matrix products: random (batch, n, n) tensors, the product
 * alone timed, the median of some trials. `fast` is the cpu backend, `slow` the serial oracle, which is left
 * out above SLOW_LIMIT.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "minitorch.h"
#include "project/options.h"
#include "project/outfile.h"

enum { MOST_SIZES = 64, MOST_TRIALS = 1000, LARGEST_SIZE = 16384, SLOW_LIMIT = 256 };

typedef struct sweep {
    const char *sizes, *csv;
    int64_t batch, trials, threads;
    uint64_t seed;
    int backend; /* 0: fast and slow; else a position in the library's list, from 1 */
    bool all, help, version;
} sweep;

typedef struct result {
    int64_t size;
    const mt_backend *backend;
    double seconds, gflops;
} result;

static const char *backend_choice(int i) { return i == 0 ? "both" : mt_backend_name(i - 1); }

static const option rows[] = {
    {"--sizes", "", OPTION_TEXT, offsetof(sweep, sizes), 0, 0, NULL, "LIST", "64,128,256,512,1024",
     "sizes from 1 to 16384, with commas"},
    {"--batch", "", OPTION_INT, offsetof(sweep, batch), 1, 4096, NULL, "N", "2", "matrices in a product"},
    {"--trials", "", OPTION_INT, offsetof(sweep, trials), 1, MOST_TRIALS, NULL, "N", "7",
     "measurements of each, of which the median counts"},
    {"--backend", "", OPTION_CHOICE, offsetof(sweep, backend), 0, 0, backend_choice, "NAME", "both",
     "both is cpu and, up to size 256, simple"},
    {"--all", "", OPTION_FLAG, offsetof(sweep, all), 0, 0, NULL, "", "", "time simple at every size"},
    {"--threads", "", OPTION_INT, offsetof(sweep, threads), 1, 1024, NULL, "N", "",
     "threads of the cpu backend; without it OMP_NUM_THREADS, else every processor"},
    {"--seed", "", OPTION_SEED, offsetof(sweep, seed), 0, 0, NULL, "N", "1", "of the random matrices"},
    {"--csv", "", OPTION_TEXT, offsetof(sweep, csv), 0, 0, NULL, "FILE", "",
     "write size,backend,seconds,gflops there as well"},
    {"--help", "-h", OPTION_FLAG, offsetof(sweep, help), 0, 0, NULL, "", "", "print this and exit"},
    {"--version", "", OPTION_FLAG, offsetof(sweep, version), 0, 0, NULL, "", "",
     "print the version and exit"},
};
static const option_group groups[] = {{"Options", rows, (int)(sizeof rows / sizeof rows[0])}};
static const option_table table = {"matmul_sweep", groups, 1};

/* Reads "64,128" into sizes. Returns how many, 0 with a sentence on stderr. */
static int read_sizes(const char *text, int64_t sizes[MOST_SIZES])
{
    int count = 0;
    for (const char *at = text;; at++) {
        char *end = NULL;
        errno = 0;
        const long long size = *at >= '0' && *at <= '9' ? strtoll(at, &end, 10) : 0;
        if (size < 1 || size > LARGEST_SIZE || errno != 0 || (*end != 0 && *end != ',') ||
            count == MOST_SIZES) {
            char shown[QUOTED_BYTES];
            fprintf(stderr,
                    "matmul_sweep: --sizes must be up to %d whole numbers from 1 to %d with commas between "
                    "them, as in "
                    "64,128, not '%s'\n",
                    MOST_SIZES, LARGEST_SIZE, quoted(text, shown));
            return 0;
        }
        sizes[count++] = size;
        if (*end == 0) return count;
        at = end;
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

/* One element is fetched after each product, so that a backend which works behind our back has finished. */
static mt_status time_products(const sweep *options, mt_backend *backend, result *measured)
{
    const int64_t n = measured->size;
    mt_rng rng = mt_rng_make(options->seed);
    mt_tensor *a = mt_uniform(backend, mt_shape(options->batch, n, n), &rng, 0, 1);
    mt_tensor *b = mt_uniform(backend, mt_shape(options->batch, n, n), &rng, 0, 1);
    mt_tensor *out = mt_zeros(backend, mt_shape(options->batch, n, n));
    double seconds[MOST_TRIALS], corner = 0;
    mt_status status = a != NULL && b != NULL && out != NULL ? MT_OK : mt_last_status();
    for (int64_t trial = -1; trial < options->trials && status == MT_OK;
         trial++) { /* -1: a trial that warms up */
        const double start = now();
        status = mt_op_matmul(out, a, b);
        if (status == MT_OK) status = mt_get(out, mt_at(0, 0, 0), &corner);
        if (trial >= 0) seconds[trial] = now() - start;
    }
    mt_tensor_free(a);
    mt_tensor_free(b);
    mt_tensor_free(out);
    if (status != MT_OK) return status;
    measured->seconds = median(seconds, (int)options->trials);
    measured->gflops = 2e-9 * (double)options->batch * (double)n * (double)n * (double)n / measured->seconds;
    return MT_OK;
}

static const char *label(const mt_backend *backend)
{
    if (strcmp(backend->name, "cpu") == 0) return "fast";
    return strcmp(backend->name, "simple") == 0 ? "slow" : backend->name;
}

static int fail(const char *sentence)
{
    fprintf(stderr, "matmul_sweep: %s\n", sentence);
    return 1;
}

static int fail_output(void)
{
    fprintf(stderr,
            "matmul_sweep: cannot write to standard output: %s; free some space, or send it elsewhere\n",
            strerror(errno));
    return 1;
}

static bool flushed(void)
{
    errno = 0;
    return fflush(stdout) == 0 && !ferror(stdout);
}

static bool write_csv(const char *path, const result *results, int count)
{
    outfile file;
    if (!outfile_open(&file, path, "matmul_sweep")) return false;
    fputs("size,backend,seconds,gflops\n", file.stream);
    for (int i = 0; i < count; i++) {
        fprintf(file.stream, "%" PRId64 ",%s,%.6g,%.6g\n", results[i].size, results[i].backend->name,
                results[i].seconds, results[i].gflops);
    }
    return outfile_commit(&file, "matmul_sweep");
}

static int run(const sweep *options, const int64_t *sizes, int count)
{
    mt_backend *backends[2];
    int backend_count = 0;
    if (options->backend == 0) {
        backends[backend_count++] = mt_backend_get("cpu");
        backends[backend_count++] = mt_backend_get("simple");
    } else {
        backends[backend_count++] = mt_backend_get(backend_choice(options->backend));
    }
    for (int k = 0; k < backend_count; k++) {
        if (backends[k] == NULL) return fail(mt_last_message());
    }
    if (options->threads > 0 && mt_set_threads((int)options->threads) != MT_OK)
        return fail(mt_last_message());
    if (options->csv != NULL && !outfile_check(options->csv, "matmul_sweep")) return 1;
    for (int k = 0; k < backend_count; k++) {
        char text[512] = "";
        if (backends[k]->describe != NULL) backends[k]->describe(backends[k], text, sizeof text);
        fprintf(stderr, "%s: seed %" PRIu64 ", backend %s: %s\n", label(backends[k]), options->seed,
                backends[k]->name, text);
    }

    result results[2 * MOST_SIZES];
    int done = 0;
    printf("Timing summary\n");
    for (int i = 0; i < count; i++) {
        printf("Size: %" PRId64 "\n", sizes[i]);
        for (int k = 0; k < backend_count; k++) {
            const bool slow = strcmp(backends[k]->name, "simple") == 0;
            if (slow && options->backend == 0 && sizes[i] > SLOW_LIMIT && !options->all) continue;
            result *at = &results[done++];
            *at = (result){.size = sizes[i], .backend = backends[k]};
            if (time_products(options, backends[k], at) != MT_OK) return fail(mt_last_message());
            printf("    %s: %.*f\n", label(backends[k]), at->seconds < 0.01 ? 7 : 5, at->seconds);
            if (!flushed()) return fail_output();
        }
    }
    return options->csv == NULL || write_csv(options->csv, results, done) ? 0 : 1;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write, told in a sentence */
    int64_t sizes[MOST_SIZES];
    sweep options = {.sizes = NULL};
    options_defaults(&table, &options);
    if (!options_parse(&table, argc, argv, &options)) return 2;
    if (options.help || options.version) {
        if (options.help) {
            printf("Usage: matmul_sweep [--option VALUE | --option=VALUE]...\n"
                   "Times products of random square matrices.\n\n");
            options_help(&table, stdout);
        } else {
            printf("matmul_sweep (minitorch.c) %s\n", mt_version());
        }
        return flushed() ? 0 : fail_output();
    }
    const int count = read_sizes(options.sizes, sizes);
    return count == 0 ? 2 : run(&options, sizes, count);
}
