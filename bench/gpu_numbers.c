/* gpu_numbers.c - the gpu backend in figures: one JSON object a line, printed as soon as it is measured.
 *
 * Ours, cuBLAS and copies of the same bytes on one stream, by turns, and each result compared once with the
 * CPU's in double. bench/gpu.sh runs it; on gpu-sim all of it runs with tiny sizes, which says nothing about
 * time. Exit status: 0; 1 when a result was wrong or the library refused, after all lines; 2 for a wrong
 * command line.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_figures.h"
#include "tensor/storage.h"

static const char PROGRAM[] = "gpu_numbers";
enum { CUBLAS_WORKSPACE = 32 << 20 }; /* what cuBLAS takes for itself on a card of compute capability 9.0 */

typedef struct settings {
    bench_asked asked;
    bool quick;
    int backend, part;
    uint64_t seed;
    const char *cublas;
} settings;

/* Those that this build has; the build says which. */
static const gpu_clock *const clocks[] = {GPU_CLOCKS};
enum { CLOCKS = sizeof clocks / sizeof *clocks };

static const char *backend_choice(int i) { return i < (int)CLOCKS ? clocks[i]->backend : NULL; }

/* "all" is every part but the last, which is for a profiler. */
static const struct {
    const char *name;
    void (*run)(gpu_bench *bench);
} parts[] = {
    {"all", NULL},
    {"smoke", gpu_smoke},
    {"matmul", gpu_products},
    {"elementwise", gpu_elementwise},
    {"reduce", gpu_reductions},
    {"move", gpu_moves},
    {"training", gpu_training},
    {"ncu", gpu_once},
};
enum { PARTS = sizeof parts / sizeof *parts };

static const char *part_choice(int i) { return i < (int)PARTS ? parts[i].name : NULL; }

#define AT(field) offsetof(settings, field)
static const option rows[] = {
    {"--backend", "", OPTION_CHOICE, AT(backend), 0, 0, backend_choice, "NAME", "", "where to run"},
    {"--part", "", OPTION_CHOICE, AT(part), 0, 0, part_choice, "NAME", "all",
     "what to measure; ncu runs five kernels once, for a profiler, and is not in all"},
    {"--quick", "", OPTION_FLAG, AT(quick), 0, 0, NULL, "", "",
     "sizes up to 128 and few samples: whether it runs, not how fast; gpu-sim always does that"},
    {"--seed", "", OPTION_SEED, AT(seed), 0, 0, NULL, "N", "1", "of all random numbers"},
    {"--cublas", "", OPTION_TEXT, AT(cublas), 0, 0, NULL, "FILE", "",
     "the libcublas.so to compare with; without it the toolkit's, else the loader's"},
    BENCH_ASKED,
};
static const option_group group = {"What to measure", rows, (int)(sizeof rows / sizeof rows[0])};
static const option_table table = {PROGRAM, &group, 1};

static void run_parts(gpu_bench *bench, int part)
{
    if (part > 0 && part < (int)PARTS) {
        parts[part].run(bench);
        return;
    }
    for (int i = 1; i < (int)PARTS - 1; i++) parts[i].run(bench);
}

static int run(const settings *options)
{
    static gpu_bench bench;
    bench.clock = clocks[options->backend];
    bench.backend = mt_backend_get(bench.clock->backend);
    bench.rng = mt_rng_make(options->seed);
    if (bench.backend == NULL || !bench.clock->open(bench.backend, &bench.facts))
        return bench_fail(PROGRAM, mt_last_message());
    bench.tiny = options->quick || bench.clock->stream() == NULL;
    /* Held to the end, so that the pool is never empty and gives nothing back in between. */
    mt_tensor *workspace =
        mt_empty(bench.backend, mt_shape(bench.clock->stream() != NULL ? CUBLAS_WORKSPACE / 4 : 1), MT_REAL);
    if (workspace == NULL) return bench_fail(PROGRAM, mt_last_message());
    gpu_cublas_open(&bench.cublas, options->cublas, bench.clock->stream(), mt_tensor_operand(workspace).data,
                    CUBLAS_WORKSPACE);
    run_parts(&bench, options->part);
    gpu_cublas_close(&bench.cublas);
    mt_tensor_free(workspace);
    bench.clock->close();
    return bench.failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    settings options = {.seed = 0};
    const int status =
        bench_command_line(&table, argc, argv, &options,
                           "Measures the CUDA side beside cuBLAS and copies: one JSON object a line.");
    return status >= 0 ? status : run(&options);
}
