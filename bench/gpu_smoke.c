/* gpu_smoke.c - gpu_numbers' first part and its last: is there a device that multiplies rightly, and five
 * kernels for a profiler.
 */
#include <stdio.h>
#include <string.h>

#include "gpu_figures.h"
#include "tensor/elementwise_ops.h"

/* ---- smoke ---- */

void gpu_smoke(gpu_bench *bench)
{
    gpu_line_begin("smoke", "device", NULL, NULL);
    gpu_line_text("name", bench->facts.name);
    gpu_line_number("memory", (double)bench->facts.memory);
    gpu_line_number("l2", (double)bench->facts.l2);
    gpu_line_number("multiprocessors", bench->facts.multiprocessors);
    gpu_line_text("cublas", bench->cublas.about);
    gpu_line_end();

    gpu_work work = {.stage = "smoke", .what = "copy", .bytes = bench->tiny ? 8192 : (double)(1 << 29)};
    gpu_copy copied;
    gpu_turn turn = {.by = "copy", .body = gpu_copy_body, .context = &copied, .error = -1};
    snprintf(work.text, sizeof work.text, "copy %.0f bytes", work.bytes / 2);
    if (gpu_copy_make(&copied, bench, work.bytes, 1) && gpu_measure(bench, &turn, 1, 1))
        gpu_line(bench, &work, &turn);
    else
        gpu_refused(bench, &work, "copy");
    gpu_copy_free(&copied);

    const int n = bench->tiny ? 64 : 256;
    const gpu_product product = {1, n, n, n, false, false};
    gpu_time_product(bench, "smoke", &product);
}

/* ---- for a profiler ---- */

static mt_status run_product(mt_tensor *out, mt_tensor *x) { return mt_op_matmul(out, x, x); }
static mt_status run_map(mt_tensor *out, mt_tensor *x) { return mt_op_relu(out, x); }
static mt_status run_sum(mt_tensor *out, mt_tensor *x) { return mt_op_sum(out, x, mt_axes(1)); }
static mt_status run_turned(mt_tensor *out, mt_tensor *x)
{
    mt_tensor *turned = mt_tensor_transpose(x, 0, 1);
    const mt_status status = mt_op_copy(out, turned);
    mt_tensor_free(turned);
    return status;
}

/* Squares of side n, and what the backend calls the kernel that must run. */
static const struct {
    const char *kernel, *text;
    int64_t n, tiny, columns; /* columns: of the result */
    mt_status (*run)(mt_tensor *out, mt_tensor *x);
} once[] = {
    {"matmul large", "product", 4096, 64, 0, run_product},
    {"matmul middle", "product", 1024, 64, 0, run_product},
    {"map relu", "relu", 8192, 64, 0, run_map},
    {"reduce sum", "sum rows", 8192, 64, 1, run_sum},
    {"copy transposed", "transposed", 8192, 64, 0, run_turned},
};

/* The first run fills the pool; the second is the one to look at. */
static bool run_once(gpu_bench *bench, size_t i, int64_t n)
{
    mt_tensor *x = mt_uniform(bench->backend, mt_shape(n, n), &bench->rng, -1, 1);
    mt_tensor *out =
        mt_empty(bench->backend, mt_shape(n, once[i].columns > 0 ? once[i].columns : n), MT_REAL);
    bool good = x != NULL && out != NULL && once[i].run(out, x) == MT_OK && bench->clock->wait();
    bench->clock->profile(true);
    good = good && once[i].run(out, x) == MT_OK && bench->clock->wait();
    bench->clock->profile(false);
    mt_tensor_free(x);
    mt_tensor_free(out);
    return good;
}

void gpu_once(gpu_bench *bench)
{
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
        const int64_t n = bench->tiny ? once[i].tiny : once[i].n;
        gpu_work work = {.stage = "ncu", .what = once[i].kernel};
        snprintf(work.text, sizeof work.text, "%s %lldx%lld", once[i].text, (long long)n, (long long)n);
        if (!run_once(bench, i, n)) {
            gpu_refused(bench, &work, "ours");
            continue;
        }
        gpu_line_begin(work.stage, work.what, work.text, "ours");
        gpu_line_end();
    }
}
