/* train.c - times training: an epoch of run_fast's toy network, and a step of an MNIST-shaped one, beside
 * PyTorch, JAX and a step written by hand around OpenBLAS.
 *
 * The toy network 2-H-H-1 learns xor from 50 shuffled points in batches of 10 with binary cross entropy. The
 * other, 784-128-64-10, learns random numbers in a batch of 64 with the mean squared error, since the library
 * has no loss for ten classes yet. Both begin with the same weights here and in the step by hand, and their
 * losses after some steps are compared.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "peers.h"
#include "train_openblas.h"

static const char PROGRAM[] = "train";

typedef struct settings {
    bench_options bench;
    peers_options peers;
} settings;

static const option rows[] = {
    {"--python", "", OPTION_TEXT, offsetof(settings, peers.python), 0, 0, NULL, "NAME", "python3",
     "the python that may have PyTorch and JAX"},
    {"--peers", "", OPTION_TEXT, offsetof(settings, peers.script), 0, 0, NULL, "FILE", BENCH_PEERS,
     "the script that times them"},
    {"--no-peers", "", OPTION_FLAG, offsetof(settings, peers.none), 0, 0, NULL, "", "",
     "time only ourselves and OpenBLAS"},
};

typedef struct task {
    const char *work, *shape;
    network_task network;
} task;

static const task tasks[] = {
    {"toy epoch", "2-100-100-1, 50 points, batch 10", {{2, 100, 100, 1}, 50, 10, true}},
    {"toy epoch", "2-1000-1000-1, 50 points, batch 10", {{2, 1000, 1000, 1}, 50, 10, true}},
    {"mlp step", "784-128-64-10, 64 points, batch 64", {{784, 128, 64, 10}, 64, 64, false}},
};

enum { CHECKED_EPOCHS = 20 };

/* The network of a task, by the library and by hand. */
typedef struct trainer {
    network net;
    hand_net hand;
    float *hand_x, *hand_y, *shuffled_x, *shuffled_y;
    int64_t *order;
    double loss, hand_loss;
} trainer;

static bool step(trainer *self, mt_tensor *x, mt_tensor *y)
{
    const mt_tensor *loss = network_step(&self->net, x, y);
    if (loss != NULL) self->loss = mt_item(loss);
    return loss != NULL;
}

/* What is timed: an epoch of shuffled batches, or a step. */
static bool run_library(void *context)
{
    trainer *self = context;
    network *net = &self->net;
    if (!net->task.toy) return step(self, net->x, net->y);
    bool good = network_shuffle(net);
    for (int64_t i = 0; i < mt_batches_count(net->batches) && good; i++)
        good = step(self, mt_batches_x(net->batches, i), mt_batches_y(net->batches, i));
    return good;
}

static bool run_hand(void *context)
{
    trainer *self = context;
    const network_task *t = &self->net.task;
    const size_t in = (size_t)t->widths[0], out = (size_t)t->widths[NETWORK_LAYERS];
    if (!t->toy) {
        self->hand_loss = hand_net_step(&self->hand, self->hand_x, self->hand_y, t->points);
        return true;
    }
    mt_rng_permutation(&self->net.rng, self->order, t->points);
    for (int i = 0; i < t->points; i++) {
        const size_t from = (size_t)self->order[i], to = (size_t)i;
        memcpy(self->shuffled_x + to * in, self->hand_x + from * in, in * sizeof(float));
        memcpy(self->shuffled_y + to * out, self->hand_y + from * out, out * sizeof(float));
    }
    for (int i = 0; i < t->points; i += t->batch)
        self->hand_loss = hand_net_step(&self->hand, self->shuffled_x + (size_t)i * in,
                                        self->shuffled_y + (size_t)i * out, t->batch);
    return true;
}

/* Copies the model's weights and the data into the network by hand. */
static bool copy_to_hand(trainer *self)
{
    const network_task *t = &self->net.task;
    bool good = mt_to_floats(self->net.x, self->hand_x, mt_tensor_count(self->net.x)) == MT_OK &&
                mt_to_floats(self->net.y, self->hand_y, mt_tensor_count(self->net.y)) == MT_OK;
    for (int i = 0; i < NETWORK_LAYERS && good; i++) {
        const int64_t in = t->widths[i], out = t->widths[i + 1];
        good = mt_to_floats(mt_module_parameter_at(self->net.model, 2 * i), self->hand.weight[i], in * out) ==
                   MT_OK &&
               mt_to_floats(mt_module_parameter_at(self->net.model, 2 * i + 1), self->hand.bias[i], out) ==
                   MT_OK;
    }
    return good;
}

static bool make_hand(trainer *self, const openblas *blas)
{
    const network_task *t = &self->net.task;
    const size_t x = (size_t)t->points * (size_t)t->widths[0],
                 y = (size_t)t->points * (size_t)t->widths[NETWORK_LAYERS];
    self->hand_x = calloc(2 * (x + y), sizeof(float));
    self->order = calloc((size_t)t->points, sizeof *self->order);
    if (self->hand_x == NULL || self->order == NULL ||
        !hand_net_make(&self->hand, blas, NETWORK_LAYERS, t->widths, t->batch, t->toy, (float)network_rate)) {
        mt_fail(MT_ERR_MEMORY, "no memory is left for the network by hand; close other programs");
        return false;
    }
    self->hand_y = self->hand_x + x;
    self->shuffled_x = self->hand_y + y;
    self->shuffled_y = self->shuffled_x + x;
    return copy_to_hand(self);
}

static void release(trainer *self)
{
    network_free(&self->net);
    hand_net_free(&self->hand);
    free(self->hand_x);
    free(self->order);
}

/* The same batches in the same order from the same weights: both must come to the same loss, up to rounding.
 */
static bool agree(trainer *self)
{
    const network_task *t = &self->net.task;
    for (int i = 0; i < CHECKED_EPOCHS; i++) {
        for (int first = 0; first < t->points; first += t->batch) {
            mt_tensor *x = mt_tensor_slice(self->net.x, 0, first, first + t->batch, 1);
            mt_tensor *y = mt_tensor_slice(self->net.y, 0, first, first + t->batch, 1);
            const bool good = step(self, x, y);
            mt_tape_reset(self->net.tape);
            mt_tensor_free(x);
            mt_tensor_free(y);
            if (!good) return bench_fail(PROGRAM, mt_last_message()) == 0;
            self->hand_loss =
                hand_net_step(&self->hand, self->hand_x + (size_t)first * (size_t)t->widths[0],
                              self->hand_y + (size_t)first * (size_t)t->widths[NETWORK_LAYERS], t->batch);
        }
    }
    const double away = fabs(self->loss - self->hand_loss);
    printf("the step by hand agrees: loss %.7g and %.7g after %d epochs\n", mt_printable(self->loss),
           mt_printable(self->hand_loss), CHECKED_EPOCHS);
    if (away <= 1e-3 * (fabs(self->loss) + 1e-3)) return true;
    return bench_fail(PROGRAM,
                      "the step by hand and the library come to different losses: one of them is wrong") == 0;
}

/* Prints and keeps a row, which it compares with ours when it is a peer's. The rate is that of the products
 * alone, which are nearly all of a step; the rest of its arithmetic is not counted. */
static bool tell(bench_report *report, bench_row *row, double ours)
{
    bench_report_raise(report, row);
    char median[24], low[24], high[24];
    printf("%-10s %-36s %-9s %10s  (%s to %s)", row->work, row->shape, row->engine,
           bench_seconds_text(row->time.median, median), bench_seconds_text(row->time.low, low),
           bench_seconds_text(row->time.high, high));
    printf("  %.1f GFLOP/s, %.0f %% of the multiply-add peak", 1e-9 * row->flops / row->time.median,
           100 * bench_row_share(report, row));
    if (row->peer) printf("  %.2f times ours", row->time.median / ours);
    putchar('\n');
    return bench_report_add(report, row) && bench_flushed(PROGRAM);
}

static bool time_task(const task *t, const settings *options, bench_report *report, peers *others,
                      const openblas *blas)
{
    const network_task *n = &t->network;
    mt_backend *cpu = mt_backend_get("cpu");
    trainer self = {.loss = 0};
    bench_effort effort = bench_effort_of(&options->bench);
    effort.budget = 1e30; /* every sample: pauses between two engines' turns cost no precision */
    bench_row row = {.bound = BENCH_BY_FMA, .percent = true, .threads = mt_get_threads()};
    snprintf(row.work, sizeof row.work, "%s", t->work);
    snprintf(row.shape, sizeof row.shape, "%s", t->shape);
    snprintf(row.engine, sizeof row.engine, "cpu");
    for (int i = 0; i < NETWORK_LAYERS; i++) /* forward and two gradients; the data need none */
        row.flops += (i == 0 ? 4.0 : 6.0) * n->points * n->widths[i] * n->widths[i + 1];
    bool good = cpu != NULL && network_make(&self.net, *n, cpu, options->bench.seed) &&
                (blas == NULL || make_hand(&self, blas));
    if (!good) bench_fail(PROGRAM, mt_last_message());
    good = good && (blas == NULL || agree(&self));
    bench_turn turns[2] = {{.body = run_library, .context = &self},
                           {.body = run_hand, .context = &self, .peer = true}};
    good = good && bench_measure_by_turns(&effort, turns, blas != NULL ? 2 : 1);
    row.time = turns[0].time;
    good = good && tell(report, &row, 0);
    if (good && blas != NULL) {
        bench_row by_hand = row;
        by_hand.peer = true;
        by_hand.time = turns[1].time;
        snprintf(by_hand.engine, sizeof by_hand.engine, "openblas");
        good = tell(report, &by_hand, row.time.median);
    }
    release(&self);
    double seconds[PEERS];
    if (good) peers_measure(others, report, &row, seconds);
    for (int i = 0; i < PEERS && good; i++) {
        char text[24];
        if (isfinite(seconds[i]))
            printf("%-47s %-9s %10s  %.2f times ours\n", "", peers_names[i],
                   bench_seconds_text(seconds[i], text), seconds[i] / row.time.median);
    }
    return good;
}

int main(int argc, char **argv)
{
    const option_group groups[] = {{"Peers", rows, (int)(sizeof rows / sizeof rows[0])}, bench_options_group};
    const option_table table = {PROGRAM, groups, 2};
    settings options = {.peers = {.none = false}};
    int status = bench_start(&table, argc, argv, &options,
                             "Times training beside PyTorch, JAX and a step by hand around OpenBLAS.");
    if (status >= 0) return status;
    bench_report report;
    peers others;
    openblas blas;
    if (!bench_report_open(&report, PROGRAM, &options.bench)) return 1;
    const bool with_blas = openblas_open(&blas, mt_get_threads());
    printf("openblas: %s%s\n", with_blas ? "" : "absent: ", blas.about);
    peers_open(&others, &options.peers, &options.bench);
    bool good = true;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks && good; i++) {
        if (options.bench.quick && tasks[i].network.widths[1] == 1000) continue;
        good = time_task(&tasks[i], &options, &report, &others, with_blas ? &blas : NULL);
    }
    peers_close(&others);
    status = good ? bench_report_finish(&report) : 1;
    bench_report_close(&report);
    return status;
}
