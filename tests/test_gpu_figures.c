/* tests/test_gpu_figures.c - how gpu_numbers measures, on clocks and a cuBLAS that are known: what no machine
 * without a card would run otherwise.
 *
 * A clock whose time is what the work costs, with graphs that remember the calls they hold: every figure must
 * be that cost, and no piece may be used again before nearly all others were. A library with cuBLAS's
 * interface, by columns, must be asked for the products that we mean. A backend with a fault must give lines
 * that say so.
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "bench/gpu_figures.h"
#include "tensor/storage.h"

static const char *fake_library;

/* ---- a clock ---- */

enum { MOST_PIECES = 2100 };

/* Of all turns together: when each piece was used last, in uses of any, and the fewest between two of one. */
static int64_t uses, last_use[MOST_PIECES], nearest;

static double now, moments[GPU_MARKS];
static bool has_graphs, is_lost; /* lost: the card answers nothing any more */
static int graphs, replays;

typedef struct graph {
    gpu_body body;
    void *context;
    int64_t first;
    int calls;
} graph;

static void forget_uses(void)
{
    uses = 0, nearest = INT64_MAX;
    memset(last_use, 0, sizeof last_use);
}

static bool mark(int i)
{
    if (i < 0 || i >= GPU_MARKS) abort();
    if (i == 2) forget_uses(); /* warming up uses the first two moments, and is over */
    moments[i] = now;
    return !is_lost;
}
static bool wait_for_it(void) { return !is_lost; }
static double between(int from, int to) { return moments[to] - moments[from]; }

static void *capture(gpu_body body, void *context, int64_t first, int calls)
{
    graph *g = has_graphs ? malloc(sizeof *g) : NULL;
    if (g == NULL) return NULL;
    *g = (graph){body, context, first, calls};
    graphs++;
    return g;
}
static bool replay(void *it)
{
    const graph *g = it;
    replays++;
    for (int i = 0; i < g->calls; i++)
        if (!g->body(g->context, g->first + i)) return false;
    return !is_lost;
}
static void drop(void *it)
{
    graphs -= it != NULL;
    free(it);
}

static const gpu_clock fake_clock = {.backend = "fake",
                                     .mark = mark,
                                     .wait = wait_for_it,
                                     .between = between,
                                     .capture = capture,
                                     .replay = replay,
                                     .drop = drop};

/* ---- work that costs what it says ---- */

typedef struct work {
    double cost;
    int64_t pieces;
    bool refuses;
} work;

static bool body(void *context, int64_t i)
{
    const work *w = context;
    if (w->refuses) return mt_fail(MT_ERR_VALUE, "no such work") == MT_OK;
    if (i < 0 || i >= w->pieces) abort();
    now += w->cost;
    uses++;
    if (last_use[i] > 0 && uses - last_use[i] < nearest) nearest = uses - last_use[i];
    last_use[i] = uses;
    return true;
}

/* Two turns on the same pieces, one of them half as fast: both figures, and the least distance between two
 * uses. */
static void measure(int64_t pieces, double cost)
{
    const gpu_bench bench = {.clock = &fake_clock};
    work one = {cost, pieces, false}, two = {2 * cost, pieces, false};
    gpu_turn turns[2] = {{.by = "one", .body = body, .context = &one},
                         {.by = "two", .body = body, .context = &two}};
    replays = 0;
    forget_uses();
    assert_true(gpu_measure(&bench, turns, 2, pieces));
    for (int t = 0; t < 2; t++) {
        const double want = cost * (t + 1), got = turns[t].time.median;
        if (!(got > 0.999 * want && got < 1.001 * want && turns[t].time.low <= got &&
              turns[t].time.high >= got))
            fail_msg("%lld pieces of %g s: turn %d has %g s", (long long)pieces, want, t, got);
        assert_true(turns[t].time.samples >= 3 && turns[t].by_graph == has_graphs);
    }
    assert_int_equal(graphs, 0);
    assert_true((replays > 0) == has_graphs);
}

static const int64_t piece_counts[] = {1, 2, 3, 8, 19, 20, 40, 100, 2000};
static const double costs[] = {2e-6, 1e-4, 5e-3, 0.1};

static void test_figures(void **data)
{
    (void)data;
    for (int with = 0; with < 2; with++) {
        has_graphs = with;
        for (size_t p = 0; p < sizeof piece_counts / sizeof *piece_counts; p++)
            for (size_t c = 0; c < sizeof costs / sizeof *costs; c++) measure(piece_counts[p], costs[c]);
    }
}

/* Short work on many pieces: between two uses of one lie nearly all the others, in graphs and without. */
static void test_rotation(void **data)
{
    (void)data;
    for (int with = 0; with < 2; with++) {
        has_graphs = with;
        for (size_t p = 0; p < sizeof piece_counts / sizeof *piece_counts; p++) {
            const int64_t pieces = piece_counts[p];
            measure(pieces, 2e-6);
            if (pieces > 1 && nearest < pieces / 2)
                fail_msg("%lld pieces: one is used again after %lld calls", (long long)pieces,
                         (long long)nearest);
        }
    }
}

static void test_refusals(void **data)
{
    (void)data;
    const gpu_bench bench = {.clock = &fake_clock};
    for (int with = 0; with < 2; with++) {
        work good = {1e-6, 1, false}, bad = {1e-6, 1, true};
        gpu_turn turns[2] = {{.body = body, .context = &good}, {.body = body, .context = &bad}};
        has_graphs = with;
        assert_false(gpu_measure(&bench, turns, 2, 1));
        assert_int_equal(graphs, 0);
        is_lost = true;
        assert_false(gpu_measure(&bench, turns, 1, 1));
        is_lost = false;
        assert_int_equal(graphs, 0);
    }
}

/* Twice a cache of 50 MB, in whole rounds of 20 above 20. */
static void test_pieces(void **data)
{
    (void)data;
    const gpu_bench bench = {.facts = {.l2 = 50000000}};
    const double bytes[] = {1e9, 1e8, 6e7, 1e7, 4.9e6, 1e3};
    const int64_t want[] = {1, 1, 2, 10, 40, 2000};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(gpu_pieces(&bench, bytes[i]), want[i]);
}

/* ---- cuBLAS ---- */

static double element(const float *x, bool turned, int rows, int columns, int i, int j)
{
    return (double)x[turned ? j * rows + i : i * columns + j];
}

static void multiply(const gpu_cublas *blas, const gpu_product *p)
{
    enum { MOST = 3 * 7 * 7 };
    float a[MOST], b[MOST], c[MOST];
    for (int i = 0; i < MOST; i++)
        a[i] = (float)(i * 7 % 11 - 5), b[i] = (float)(i * 5 % 13 - 6), c[i] = 1e30f;
    assert_true(gpu_cublas_multiply(blas, p, a, b, c));
    for (int s = 0; s < p->batch; s++)
        for (int i = 0; i < p->m; i++)
            for (int j = 0; j < p->n; j++) {
                double sum = 0;
                for (int l = 0; l < p->k; l++)
                    sum += element(a + s * p->m * p->k, p->turn_a, p->m, p->k, i, l) *
                           element(b + s * p->k * p->n, p->turn_b, p->k, p->n, l, j);
                const double got = (double)c[(s * p->m + i) * p->n + j];
                if (got != sum)
                    fail_msg("%d x %d x %d, turned %d %d: C[%d][%d] of %d is %g instead of %g", p->m, p->n,
                             p->k, p->turn_a, p->turn_b, i, j, s, got, sum);
            }
}

static void test_cublas(void **data)
{
    (void)data;
    int stream = 0;
    char workspace[16];
    gpu_cublas blas;
    assert_true(gpu_cublas_open(&blas, fake_library, &stream, workspace, sizeof workspace));
    assert_string_equal(blas.about, "cuBLAS 13.1.2, default math without TF32");
    for (int layout = 0; layout < 4; layout++)
        for (int batch = 1; batch <= 3; batch++) {
            multiply(&blas, &(gpu_product){batch, 5, 3, 7, layout & 2, layout & 1});
            multiply(&blas, &(gpu_product){batch, 2, 6, 4, layout & 2, layout & 1});
        }
    gpu_cublas_close(&blas);
    assert_false(gpu_cublas_open(&blas, NULL, NULL, workspace, sizeof workspace));
    assert_false(gpu_cublas_open(&blas, "/nowhere/libcublas.so", &stream, workspace, sizeof workspace));
    assert_true(strstr(blas.about, "/nowhere/libcublas.so") != NULL && blas.handle == NULL);
}

/* ---- lines ---- */

static mt_backend *whole;
static mt_backend broken;

/* The first element of a result becomes another. */
static mt_status spoil(mt_status status, const mt_operand *out)
{
    float value = 0, *at = (float *)out->data + out->layout->offset;
    if (status == MT_OK) status = whole->download(whole, &value, at, sizeof value);
    value += 1;
    return status == MT_OK ? whole->upload(whole, at, &value, sizeof value) : status;
}
static mt_status bad_reduce(mt_backend *b, const mt_reduce_work *w)
{
    return spoil(whole->reduce(b, w), &w->out);
}
static mt_status bad_matmul(mt_backend *b, const mt_matmul_work *w)
{
    return spoil(whole->matmul(b, w), &w->out);
}
static mt_status bad_update(mt_backend *b, const mt_update_work *w)
{
    const mt_status status = whole->update(b, w);
    mt_layout layout = {.rank = 1, .size = {1}, .stride = {1}};
    return spoil(status, &(mt_operand){w->row[0].value, &layout});
}
static mt_status no_map(mt_backend *b, const mt_elementwise_work *w)
{
    (void)b, (void)w;
    return mt_fail(MT_ERR_BACKEND, "the card \"fell\" off the bus");
}

/* Of the bench that prints: each test sets what it needs. */
static gpu_clock clock_there;
static gpu_cublas cublas_there;

static void as_usual(void)
{
    whole = mt_backend_get("gpu-sim");
    assert_non_null(whole);
    broken = *whole;
    clock_there = gpu_clock_sim;
    cublas_there = (gpu_cublas){.about = "not asked for"};
}

/* What part prints on a backend that is broken; bench.failed in *failed. */
static const char *lines_of(void (*part)(gpu_bench *), bool *failed)
{
    static char text[40000];
    gpu_bench bench = {.clock = &clock_there,
                       .backend = &broken,
                       .cublas = cublas_there,
                       .tiny = true,
                       .rng = mt_rng_make(1)};
    FILE *lines = tmpfile();
    const int out = dup(1);
    assert_true(lines != NULL && out >= 0 && gpu_clock_sim.open(&broken, &bench.facts));
    fflush(stdout);
    dup2(fileno(lines), 1);
    part(&bench);
    fflush(stdout);
    dup2(out, 1);
    close(out);
    rewind(lines);
    text[fread(text, 1, sizeof text - 1, lines)] = 0;
    fclose(lines);
    *failed = bench.failed;
    return text;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) count++;
    return count;
}

static void test_wrong_lines(void **data)
{
    (void)data;
    const struct {
        void (*part)(gpu_bench *);
        const char *slot;
        int ours; /* lines that can be wrong */
    } cases[] = {{gpu_reductions, "reduce", 6}, {gpu_products, "matmul", 11}, {gpu_training, "update", 2}};
    as_usual();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool failed = true;
        broken = *whole;
        const char *text = lines_of(cases[i].part, &failed);
        assert_true(!failed && count_of(text, "\"wrong\":true") == 0);
        assert_int_equal(count_of(text, "\"tolerance\":"), cases[i].ours);
        broken.reduce = i == 0 ? bad_reduce : whole->reduce;
        broken.matmul = i == 1 ? bad_matmul : whole->matmul;
        broken.update = i == 2 ? bad_update : whole->update;
        text = lines_of(cases[i].part, &failed);
        if (!failed || count_of(text, "\"wrong\":true") != cases[i].ours)
            fail_msg("%s: %s", cases[i].slot, text);
    }
}

/* A refusal is a line with the library's sentence, and what can still be measured is. */
static void test_refused_lines(void **data)
{
    (void)data;
    bool failed = false;
    as_usual();
    broken.map = no_map;
    const char *text = lines_of(gpu_elementwise, &failed);
    assert_true(failed);
    assert_int_equal(count_of(text, "\"not_here\":\"the card \\\"fell\\\" off the bus\""), 4);
    assert_int_equal(count_of(text, "\"what\":\"zip\""), 16);
}

static bool no_copy(void *to, const void *from, size_t bytes)
{
    (void)to, (void)from, (void)bytes;
    return mt_fail(MT_ERR_BACKEND, "no copies today") == MT_OK;
}
static int no_product(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                      const float *a, int a_column, const float *b, int b_column, const float *beta, float *c,
                      int c_column)
{
    (void)handle, (void)turn_a, (void)turn_b, (void)m, (void)n, (void)k, (void)alpha, (void)a;
    (void)a_column, (void)b, (void)b_column, (void)beta, (void)c, (void)c_column;
    return 15;
}
static int no_products(void *handle, int turn_a, int turn_b, int m, int n, int k, const float *alpha,
                       const float *a, int a_column, long long a_step, const float *b, int b_column,
                       long long b_step, const float *beta, float *c, int c_column, long long c_step,
                       int count)
{
    (void)a_step, (void)b_step, (void)c_step, (void)count;
    return no_product(handle, turn_a, turn_b, m, n, k, alpha, a, a_column, b, b_column, beta, c, c_column);
}

/* A peer that refuses has a line, and takes no figure of ours with it. */
static void test_peers_refuse(void **data)
{
    (void)data;
    bool failed = true;
    as_usual();
    clock_there.copy = no_copy;
    const char *text = lines_of(gpu_reductions, &failed);
    assert_true(!failed);
    assert_int_equal(count_of(text, "\"by\":\"ours\",\"us\":"), 6);
    assert_int_equal(count_of(text, "\"by\":\"copy\",\"refused\":\"no copies today\""), 6);
    as_usual();
    cublas_there.handle = &failed;
    cublas_there.product = no_product;
    cublas_there.products = no_products;
    text = lines_of(gpu_products, &failed);
    assert_true(!failed);
    assert_int_equal(count_of(text, "\"by\":\"ours\",\"us\":"), 11);
    assert_int_equal(count_of(text, "\"by\":\"cublas\",\"refused\":\"cuBLAS refuses a product of"), 11);
}

static bool replay_nothing(void *it)
{
    (void)it;
    return true;
}

/* Training by a graph is held to training by calls; where there are no graphs a line says why. */
static void test_graph_lines(void **data)
{
    (void)data;
    bool failed = true;
    as_usual();
    has_graphs = true;
    clock_there.capture = capture;
    clock_there.replay = replay;
    clock_there.drop = drop;
    const char *text = lines_of(gpu_training, &failed);
    if (failed || count_of(text, "\"by\":\"ours graph\",\"us\":") != 2 ||
        count_of(text, "\"tolerance\":") != 4)
        fail_msg("graphs: %s", text);
    clock_there.replay = replay_nothing;
    text = lines_of(gpu_training, &failed);
    if (!failed || count_of(text, "\"wrong\":true") != 2) fail_msg("graphs that do nothing: %s", text);
    assert_int_equal(graphs, 0);
    as_usual();
    text = lines_of(gpu_products, &failed);
    assert_true(!failed);
    assert_int_equal(count_of(text, "\"timing\":\"loop\",\"why_loop\":\"the simulator has no graphs\""), 11);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),      cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_cublas),       cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_graph_lines),  cmocka_unit_test(test_refused_lines),
        cmocka_unit_test(test_peers_refuse),
    };
    fake_library = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
