/* gpu_training.c - gpu_numbers' training: the time of a step, and what it asks of the card.
 *
 * A step is forward, loss, backward and update on one batch, as run_fast makes it; the loss stays on the
 * device. xor: 2-H-H-1 with relu and binary cross entropy on logits. mlp: 784-128-64-10 with relu and the
 * mean squared error of random targets. SGD, rate 0.05. The batches of an epoch are gathered at its
 * beginning, and the time of that is shared among its steps. "ours graph" replays an epoch's steps as one
 * graph, in a stream of the same launches: what is left when the host is out of the way. Its weights are held
 * to those of as many epochs by ordinary calls.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_figures.h"
#include "network.h"

typedef struct task {
    const char *text;
    network_task network;
} task;

static const task tasks[] = {
    {"xor hidden 100 batch 10", {{2, 100, 100, 1}, 50, 10, true}},
    {"xor hidden 1000 batch 100", {{2, 1000, 1000, 1}, 1000, 100, true}},
    {"mlp 784-128-64-10 batch 64", {{784, 128, 64, 10}, 640, 64, false}},
    {"mlp 784-128-64-10 batch 1024", {{784, 128, 64, 10}, 10240, 1024, false}},
};
static const task tiny_tasks[] = {
    {"xor hidden 8 batch 10", {{2, 8, 8, 1}, 20, 10, true}},
    {"mlp 28-8-6-10 batch 8", {{28, 8, 6, 10}, 16, 8, false}},
};

enum { CHECKED_EPOCHS = 2, LEAST_EPOCHS = 5 };
static const double TOLERANCE = 1e-4, SECONDS = 0.6;
static const double GRAPH_TOLERANCE = 1e-6; /* the same launches, which give the same numbers */

typedef struct trainer {
    network net;
    mt_tensor *loss; /* of the latest step, on the tape */
} trainer;

/* One step on batch i. */
static bool step(void *context, int64_t i)
{
    trainer *self = context;
    const mt_batches *batches = self->net.batches;
    self->loss = network_step(&self->net, mt_batches_x(batches, i), mt_batches_y(batches, i));
    return self->loss != NULL;
}

static bool epoch(trainer *self)
{
    bool good = network_shuffle(&self->net);
    for (int64_t i = 0; i < mt_batches_count(self->net.batches) && good; i++) good = step(self, i);
    return good;
}

/* How far the loss is from the one that the cpu backend comes to in as many epochs from the same seed. */
static bool compare(trainer *self, uint64_t seed, double *error)
{
    trainer cpu;
    mt_backend *backend = mt_backend_get("cpu");
    bool good = backend != NULL && network_make(&cpu.net, self->net.task, backend, seed);
    for (int e = 0; e < CHECKED_EPOCHS && good; e++) good = epoch(&cpu) && epoch(self);
    if (good) {
        const double want = mt_item(cpu.loss);
        *error = fabs(mt_item(self->loss) - want) / fabs(want);
    }
    if (backend != NULL) network_free(&cpu.net);
    return good;
}

/* ---- timing ---- */

/* An epoch by ordinary calls or, where there is a graph, by replaying it after the shuffle. */
static bool run_epoch(const gpu_bench *bench, trainer *self, void *graph)
{
    return graph == NULL ? epoch(self) : network_shuffle(&self->net) && bench->clock->replay(graph);
}

/* Seconds a step: one sample an epoch, from moments that the stream passes while the host goes on. *wall is
 * the mean by the host's clock, from the first call to the end of the last. */
static bool time_steps(const gpu_bench *bench, trainer *self, void *graph, bench_time *time, double *wall)
{
    static double seconds[GPU_MARKS];
    const int64_t steps = mt_batches_count(self->net.batches);
    for (int e = 0; e < 2; e++)
        if (!run_epoch(bench, self, graph)) return false;
    double start = bench_now();
    if (!bench->clock->wait() || !run_epoch(bench, self, graph) || !bench->clock->wait()) return false;
    const double wanted = bench->tiny ? LEAST_EPOCHS : SECONDS / (bench_now() - start);
    const int epochs = (int)fmin(GPU_MARKS - 1, fmax(LEAST_EPOCHS, wanted));
    start = bench_now();
    if (!bench->clock->mark(0)) return false;
    for (int e = 0; e < epochs; e++)
        if (!run_epoch(bench, self, graph) || !bench->clock->mark(e + 1)) return false;
    if (!bench->clock->wait()) return false;
    *wall = (bench_now() - start) / (double)(epochs * steps);
    for (int e = 0; e < epochs; e++) seconds[e] = bench->clock->between(e, e + 1) / (double)steps;
    *time = bench_summary(seconds, epochs, steps);
    return true;
}

/* ---- counts ---- */

typedef struct counts {
    double launches, copies, synchronisations, allocations;
} counts;

static counts counts_of(mt_backend *backend)
{
    static mt_backend_counts all; /* static: some twenty KB */
    counts c = {.allocations = 0};
    memset(&all, 0, sizeof all);
    if (backend->counts != NULL) backend->counts(backend, &all);
    for (int i = 0; i < all.kernels; i++) c.launches += (double)all.kernel[i].launches;
    c.copies = (double)(all.uploads + all.downloads);
    c.synchronisations =
        (double)all.downloads; /* each of which waits; nothing else does, without allocations */
    c.allocations = (double)all.allocations;
    return c;
}

static counts difference(counts a, counts b)
{
    return (counts){b.launches - a.launches, b.copies - a.copies, b.synchronisations - a.synchronisations,
                    b.allocations - a.allocations};
}

/* What one step asks for, and one shuffle. */
static bool count(trainer *self, mt_backend *backend, counts *of_step, counts *of_shuffle)
{
    const counts a = counts_of(backend);
    bool good = network_shuffle(&self->net);
    const counts b = counts_of(backend);
    good = good && step(self, 0);
    *of_shuffle = difference(a, b);
    *of_step = difference(b, counts_of(backend));
    return good;
}

/* ---- lines ---- */

static void print_time(const task *t, const char *by, const bench_time *time, double wall)
{
    gpu_line_begin("training", "step", t->text, by);
    gpu_line_number("us", 1e6 * time->median);
    gpu_line_number("low_us", 1e6 * time->low);
    gpu_line_number("high_us", 1e6 * time->high);
    gpu_line_number("wall_us", 1e6 * wall);
    gpu_line_number("samples", time->samples);
    gpu_line_number("steps", (double)time->calls);
}

/* The largest difference between the weights of two, as a share of the largest weight. */
static bool compare_weights(const network *one, const network *other, double *error)
{
    double largest = 0, apart = 0;
    bool good = true;
    for (int p = 0; p < mt_module_parameters(one->model) && good; p++) {
        const mt_tensor *x = mt_module_parameter_at(one->model, p);
        float *want = gpu_read(x), *got = gpu_read(mt_module_parameter_at(other->model, p));
        good = want != NULL && got != NULL;
        for (int64_t i = 0; good && i < mt_tensor_count(x); i++) {
            const double difference = fabs((double)got[i] - (double)want[i]);
            largest = fmax(largest, fabs((double)want[i]));
            if (!isnan(apart) && !(difference <= apart)) apart = difference;
        }
        free(want);
        free(got);
    }
    *error = apart / largest;
    return good;
}

/* Two networks from one seed. What lives on of the first is made before the second one's graph, which goes on
 * writing to the memory of its steps. */
static bool run_graph(gpu_bench *bench, const task *t, uint64_t seed)
{
    trainer called, replayed = {.loss = NULL};
    bench_time time;
    double error = NAN, wall = 0;
    void *graph = NULL;
    bool good = network_make(&called.net, t->network, bench->backend, seed);
    for (int e = 0; e < 1 + CHECKED_EPOCHS && good; e++) good = epoch(&called);
    good = good && network_make(&replayed.net, t->network, bench->backend, seed) && epoch(&replayed);
    if (good) {
        graph = bench->clock->capture(step, &replayed, 0, (int)mt_batches_count(replayed.net.batches));
        if (graph == NULL) gpu_not_here("training", "step", t->text, "ours graph", mt_last_message());
    }
    for (int e = 0; e < CHECKED_EPOCHS && good && graph != NULL; e++)
        good = run_epoch(bench, &replayed, graph);
    if (good && graph != NULL) {
        good = compare_weights(&called.net, &replayed.net, &error) &&
               time_steps(bench, &replayed, graph, &time, &wall);
        if (good) {
            print_time(t, "ours graph", &time, wall);
            gpu_line_check(bench, error, GRAPH_TOLERANCE);
            gpu_line_end();
        }
    }
    bench->clock->drop(graph);
    network_free(&replayed.net);
    network_free(&called.net);
    return good;
}

static bool run_task(gpu_bench *bench, const task *t, uint64_t seed)
{
    trainer self;
    bench_time time;
    counts of_step, of_shuffle;
    double error = NAN, wall = 0;
    bool good = network_make(&self.net, t->network, bench->backend, seed) && compare(&self, seed, &error) &&
                time_steps(bench, &self, NULL, &time, &wall) &&
                count(&self, bench->backend, &of_step, &of_shuffle);
    if (good) {
        print_time(t, "ours", &time, wall);
        gpu_line_number("launches", of_step.launches);
        gpu_line_number("synchronisations", of_step.synchronisations);
        gpu_line_number("copies", of_step.copies);
        gpu_line_number("allocations", of_step.allocations);
        gpu_line_number("shuffle_launches", of_shuffle.launches);
        gpu_line_check(bench, error, TOLERANCE);
        gpu_line_end();
    }
    network_free(&self.net);
    return good;
}

void gpu_training(gpu_bench *bench)
{
    const task *list = bench->tiny ? tiny_tasks : tasks;
    const size_t count = bench->tiny ? sizeof tiny_tasks / sizeof *tiny_tasks : sizeof tasks / sizeof *tasks;
    for (size_t i = 0; i < count; i++) {
        const bool called = run_task(bench, &list[i], bench->rng.seed);
        if (called && run_graph(bench, &list[i], bench->rng.seed)) continue;
        gpu_not_here("training", "step", list[i].text, called ? "ours graph" : "ours", mt_last_message());
        bench->failed = true;
    }
}
