/* gpu_figures.c - measures by turns and prints lines (see gpu_figures.h). */
#include "gpu_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tensor/storage.h"

/* CALLS of a graph at most, which the numbers of pieces above it are multiples of. */
enum { CALLS = 20, MOST_PIECES = 2000, MOST_GRAPHS = 128, MOST_SAMPLES = GPU_MARKS / (2 * GPU_TURNS) };

int64_t gpu_pieces(const gpu_bench *bench, double bytes)
{
    const double wanted = ceil(2 * (double)bench->facts.l2 / bytes);
    if (wanted <= 1) return 1;
    if (wanted <= CALLS) return (int64_t)wanted;
    return wanted < MOST_PIECES ? ((int64_t)wanted + CALLS - 1) / CALLS * CALLS : MOST_PIECES;
}

/* ---- measuring ---- */

/* How a turn's samples are taken: calls pieces each, by the next of the graphs or, without any, one by one.
 */
typedef struct plan {
    gpu_turn *turn;
    int64_t pieces;
    double once; /* seconds of a call, about */
    int calls, graphs;
    void *graph[MOST_GRAPHS];
} plan;

/* Call number i of a turn, as a body: whatever i is, a piece that there is. */
static bool call(void *context, int64_t i)
{
    const plan *p = context;
    return p->turn->body(p->turn->context, i % p->pieces);
}

/* Runs the turn for some time, which fills the library's pool and wakes the card, and notes what a call
 * takes. */
static bool warm_up(const gpu_bench *bench, plan *p)
{
    const double enough = bench->tiny ? 0 : 0.01, start = bench_now();
    int64_t round = 1, piece = 0;
    do {
        if (!bench->clock->mark(0)) return false;
        for (int64_t i = 0; i < round; i++)
            if (!call(p, piece++)) return false;
        if (!bench->clock->mark(1) || !bench->clock->wait()) return false;
        p->once = bench->clock->between(0, 1) / (double)round;
        if (round < 64) round *= 2;
    } while (bench_now() - start < enough);
    return p->once >= 0;
}

/* As many calls as last a millisecond, up to CALLS, such that graphs after graph go through all pieces. */
static int calls_for(const plan *p)
{
    const double wanted = fmin(CALLS, fmax(1, 1e-3 / fmax(p->once, 1e-9)));
    if (p->pieces <= CALLS) return (int)p->pieces * (int)fmax(1, floor(wanted / (double)p->pieces));
    int calls = CALLS;
    while (CALLS % calls != 0 || calls > wanted) calls--;
    return calls;
}

/* Makes the graphs and runs each once; none when one cannot be made. */
static void make_graphs(const gpu_bench *bench, plan *p)
{
    const int64_t wanted = (p->pieces + p->calls - 1) / p->calls;
    while (p->graphs < wanted && p->graphs < MOST_GRAPHS) {
        void *graph = bench->clock->capture(call, p, (int64_t)p->graphs * p->calls, p->calls);
        if (graph == NULL || !bench->clock->replay(graph)) {
            bench->clock->drop(graph);
            while (p->graphs > 0) bench->clock->drop(p->graph[--p->graphs]);
            snprintf(p->turn->why_loop, sizeof p->turn->why_loop, "%s", mt_last_message());
            return;
        }
        p->graph[p->graphs++] = graph;
    }
}

static bool run_sample(const gpu_bench *bench, plan *p, int64_t sample)
{
    if (p->graphs > 0) return bench->clock->replay(p->graph[sample % p->graphs]);
    for (int i = 0; i < p->calls; i++)
        if (!call(p, sample * p->calls + i)) return false;
    return true;
}

static bool sample_all(const gpu_bench *bench, plan *plans, int count, int samples)
{
    static double seconds[GPU_TURNS][MOST_SAMPLES];
    const gpu_clock *clock = bench->clock;
    for (int s = 0; s < samples; s++) {
        for (int t = 0; t < count; t++) {
            /* Half a round apart, or a turn would find in the cache what the one before it has read. */
            const int64_t at = s + (int64_t)t * (plans[t].pieces / plans[t].calls / 2);
            const int mark = 2 * (s * count + t);
            if (!clock->mark(mark) || !run_sample(bench, &plans[t], at) || !clock->mark(mark + 1))
                return false;
        }
    }
    if (!clock->wait()) return false;
    for (int t = 0; t < count; t++) {
        for (int s = 0; s < samples; s++) {
            const int mark = 2 * (s * count + t);
            seconds[t][s] = clock->between(mark, mark + 1) / plans[t].calls;
            if (!(seconds[t][s] >= 0)) return false;
        }
        plans[t].turn->time = bench_summary(seconds[t], samples, plans[t].calls);
        plans[t].turn->by_graph = plans[t].graphs > 0;
    }
    return true;
}

bool gpu_measure(const gpu_bench *bench, gpu_turn *turns, int count, int64_t pieces)
{
    static plan plans[GPU_TURNS];
    const double budget = 0.15;
    int samples = bench->tiny ? 3 : 20;
    double round = 0;
    bool good = true;
    for (int t = 0; t < count && good; t++) {
        plans[t] = (plan){.turn = &turns[t], .pieces = pieces};
        good = warm_up(bench, &plans[t]);
        if (!good) break;
        plans[t].calls = calls_for(&plans[t]);
        make_graphs(bench, &plans[t]);
        round += plans[t].once * plans[t].calls;
        if (plans[t].graphs > samples) samples = plans[t].graphs;
    }
    if (good) {
        const double affordable = budget * count / fmax(round, 1e-9);
        if (affordable < samples) samples = (int)fmax(affordable, 3);
        if (samples > MOST_SAMPLES) samples = MOST_SAMPLES;
        good = sample_all(bench, plans, count, samples);
    }
    for (int t = 0; t < count; t++)
        while (plans[t].graphs > 0) bench->clock->drop(plans[t].graph[--plans[t].graphs]);
    return good;
}

/* ---- lines ---- */

void gpu_line_begin(const char *stage, const char *what, const char *text, const char *by)
{
    const char *const keys[] = {"stage", "what", "case", "by"}, *const values[] = {stage, what, text, by};
    putchar('{');
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (values[i] == NULL) continue;
        printf("%s\"%s\":", i > 0 ? "," : "", keys[i]);
        json_write_text(stdout, values[i]);
    }
}

void gpu_line_number(const char *key, double value)
{
    printf(",\"%s\":", key);
    json_write_number(stdout, value);
}

void gpu_line_text(const char *key, const char *value)
{
    printf(",\"%s\":", key);
    json_write_text(stdout, value);
}

void gpu_line_check(gpu_bench *bench, double error, double tolerance)
{
    gpu_line_number("error", error);
    gpu_line_number("tolerance", tolerance);
    if (error <= tolerance) return;
    printf(",\"wrong\":true");
    bench->failed = true;
}

void gpu_line_end(void)
{
    puts("}");
    if (!bench_flushed("gpu_numbers")) exit(1); /* there is nobody to measure for */
}

void gpu_line(gpu_bench *bench, const gpu_work *work, const gpu_turn *turn)
{
    gpu_line_begin(work->stage, work->what, work->text, turn->by);
    if (turn->time.samples > 0) {
        gpu_line_number("us", 1e6 * turn->time.median);
        gpu_line_number("low_us", 1e6 * turn->time.low);
        gpu_line_number("high_us", 1e6 * turn->time.high);
        gpu_line_number("samples", turn->time.samples);
        gpu_line_number("calls", (double)turn->time.calls);
        gpu_line_text("timing", turn->by_graph ? "graph" : "loop");
        if (!turn->by_graph) gpu_line_text("why_loop", turn->why_loop);
    }
    if (work->flops > 0) gpu_line_number("flops", work->flops);
    if (work->bytes > 0) gpu_line_number("bytes", work->bytes);
    if (turn->error != -1) gpu_line_check(bench, turn->error, work->tolerance);
    gpu_line_end();
}

static void no_figure(const char *stage, const char *what, const char *text, const char *by, const char *key,
                      const char *why)
{
    gpu_line_begin(stage, what, text, by);
    gpu_line_text(key, why);
    gpu_line_end();
}

void gpu_not_here(const char *stage, const char *what, const char *text, const char *by, const char *why)
{
    no_figure(stage, what, text, by, "not_here", why);
}

void gpu_refused(gpu_bench *bench, const gpu_work *work, const char *by)
{
    gpu_not_here(work->stage, work->what, work->text, by, mt_last_message());
    bench->failed = true;
}

void gpu_peer_refused(const gpu_work *work, const char *by, const char *why)
{
    no_figure(work->stage, work->what, work->text, by, "refused", why);
}

void gpu_time(gpu_bench *bench, const gpu_work *work, gpu_turn *turns, int count, int64_t pieces)
{
    char why[256] = "";
    bool good = gpu_measure(bench, turns, count, pieces);
    const bool again = !good && count > 1;
    if (again) {
        /* Whose fault it was is seen without the peer. */
        snprintf(why, sizeof why, "%s", mt_last_message());
        good = gpu_measure(bench, turns, 1, pieces);
    }
    if (!good) {
        gpu_refused(bench, work, turns[0].by);
        return;
    }
    gpu_line(bench, work, &turns[0]);
    if (again)
        gpu_peer_refused(work, turns[1].by, why);
    else if (count > 1)
        gpu_line(bench, work, &turns[1]);
}

/* ---- values ---- */

float *gpu_read(const mt_tensor *x)
{
    const mt_operand operand = mt_tensor_operand(x);
    const size_t bytes = (size_t)mt_tensor_count(x) * sizeof(float);
    float *values = malloc(bytes);
    if (values == NULL) {
        mt_fail(MT_ERR_MEMORY, "no memory is left for %zu bytes of a result to be checked", bytes);
        return NULL;
    }
    mt_backend *backend = mt_tensor_backend(x);
    if (backend->download(backend, values, (const float *)operand.data + operand.layout->offset, bytes) ==
        MT_OK)
        return values;
    free(values);
    return NULL;
}

bool gpu_copy_make(gpu_copy *copy, gpu_bench *bench, double bytes, int64_t pieces)
{
    const int64_t floats = ((int64_t)(bytes / 2) + 255) / 256 * 64; /* of a piece, whole lines of 256 bytes */
    *copy = (gpu_copy){.clock = bench->clock, .bytes = (size_t)(bytes / 2)};
    copy->from = mt_uniform(bench->backend, mt_shape(pieces, floats), &bench->rng, -1, 1);
    copy->to = mt_empty(bench->backend, mt_shape(pieces, floats), MT_REAL);
    return copy->from != NULL && copy->to != NULL;
}

void gpu_copy_free(gpu_copy *copy)
{
    mt_tensor_free(copy->from);
    mt_tensor_free(copy->to);
}

bool gpu_copy_body(void *context, int64_t i)
{
    const gpu_copy *c = context;
    const size_t at = (size_t)i * (size_t)mt_tensor_stride(c->from, 0) * sizeof(float);
    return c->clock->copy((char *)mt_tensor_operand(c->to).data + at,
                          (const char *)mt_tensor_operand(c->from).data + at, c->bytes);
}
