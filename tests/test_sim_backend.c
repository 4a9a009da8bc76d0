/* tests/test_sim_backend.c - what only the simulator can show of the CUDA side: that every slot of the
 * backend selects its device and restores the caller's; and what becomes of a failure of the simulator's own
 * memory.
 *
 * CUDA keeps a current device for each thread; the simulator keeps a number and refuses all work under a
 * wrong one. Its memory comes from operator new, which failing_new.cpp replaces.
 */
#define _POSIX_C_SOURCE 200809L
#include "autodiff/elementwise.h"
#include "support.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops_cuda/sim/sim.h"
#include "tensor/storage.h"

enum { N = 4 };

static mt_backend *sim;

/* Operands of the slots below, made while the right device was current. */
static struct {
    mt_tensor *x, *y, *out, *index, *matrix, *column, *state;
} made;

static mt_operand operand(const mt_tensor *x) { return mt_tensor_operand(x); }

static mt_tensor *ones(mt_shape shape) { return OWN(mt_ones(sim, shape)); }

static void make_operands(void)
{
    made.x = ones(mt_shape(N)), made.y = ones(mt_shape(N)), made.out = ones(mt_shape(N));
    made.index = OWN(mt_arange(sim, 0, N, 1));
    made.matrix = ones(mt_shape(N, N)), made.column = ones(mt_shape(N, 1)), made.state = ones(mt_shape(N));
}

/* ---- one function for each slot, in the order of tensor/backend.h: whether the call went well ---- */

static void *piece;

static bool call_allocate(void) { return (piece = sim->allocate(sim, 100)) != NULL; }

static bool call_release(void)
{
    sim->release(sim, piece, 100);
    return true;
}

static bool call_mark(void)
{
    sim->mark(sim, made.state->storage->data, N * sizeof(mt_real), true);
    return true;
}

static bool call_upload(void)
{
    static const mt_real values[N] = {1, 2, 3, 4};
    return sim->upload(sim, made.x->storage->data, values, sizeof values) == MT_OK;
}

static bool call_download(void)
{
    mt_real values[N];
    return sim->download(sim, values, made.x->storage->data, sizeof values) == MT_OK;
}

static bool call_fill(void) { return sim->fill(sim, operand(made.out), MT_REAL, 1) == MT_OK; }

static bool call_copy(void)
{
    return sim->copy(sim, operand(made.out), MT_REAL, operand(made.x), MT_REAL) == MT_OK;
}

static bool call_map(void)
{
    const mt_elementwise_work work = {
        .op = MT_OP_exp, .operands = 2, .operand = {operand(made.out), operand(made.x)}};
    return sim->map(sim, &work) == MT_OK;
}

static bool call_zip(void)
{
    const mt_elementwise_work work = {
        .op = MT_OP_add, .operands = 3, .operand = {operand(made.out), operand(made.x), operand(made.y)}};
    return sim->zip(sim, &work) == MT_OK;
}

static bool call_reduce(void)
{
    mt_layout one = made.out->layout;
    one.size[0] = 1;
    const mt_reduce_work work = {.op = MT_SUM,
                                 .reduced = {true},
                                 .divisor = 1,
                                 .out = {made.out->storage->data, &one},
                                 .in = operand(made.x)};
    return sim->reduce(sim, &work) == MT_OK;
}

static bool call_scatter(void)
{
    mt_layout one = made.index->layout;
    one.size[0] = 1;
    const mt_scatter_work work = {.reduced = {true},
                                  .out = operand(made.out),
                                  .index = {made.index->storage->data, &one},
                                  .value = {made.x->storage->data, &one}};
    return sim->scatter(sim, &work) == MT_OK;
}

static bool call_rows(void)
{
    const mt_rows_work work = {
        .kind = MT_REAL, .out = operand(made.out), .in = operand(made.x), .index = operand(made.index)};
    return sim->rows(sim, &work) == MT_OK;
}

static bool call_matmul(void)
{
    const mt_matmul_work work = {
        .out = operand(made.column), .a = operand(made.matrix), .b = operand(made.column)};
    mt_tensor *copy = mt_tensor_copy(made.column);
    mt_matmul_work into = work;
    into.out = copy ? operand(copy) : work.out;
    const bool good = copy && sim->matmul(sim, &into) == MT_OK;
    mt_tensor_free(copy);
    return good;
}

static bool call_random(void)
{
    const mt_random_work work = {.rng = mt_rng_make(1), .b = 1, .out = operand(made.out)};
    return sim->random(sim, &work) == MT_OK;
}

static bool call_permutation(void)
{
    return sim->permutation(sim, operand(made.index), mt_rng_make(1)) == MT_OK;
}

static bool call_update(void)
{
    const mt_update_row row = {.value = made.x->storage->data,
                               .grad = made.y->storage->data,
                               .state = {made.column->storage->data},
                               .n = N};
    const mt_update_work work = {.rule = MT_UPDATE_momentum,
                                 .options = {.rate = 0.5, .momentum = 0.5},
                                 .step = 1,
                                 .rows = 1,
                                 .row = &row};
    return sim->update(sim, &work) == MT_OK;
}

static bool call_describe(void)
{
    mt_backend_facts facts;
    sim->describe(sim, &facts);
    return facts.threads == 1 && strcmp(facts.isa, "none") == 0 && facts.words[0] != 0;
}

static bool call_counts(void)
{
    mt_backend_counts counts;
    sim->counts(sim, &counts);
    return counts.kernels > 0;
}

static bool call_where(void)
{
    return sim->where(sim, operand(made.out), operand(made.index), MT_INDEX, operand(made.x),
                      operand(made.y)) == MT_OK;
}

static bool call_compare(void)
{
    const mt_real order[3] = {1, 0, 0};
    return sim->compare(sim, operand(made.out), operand(made.index), operand(made.index), order) == MT_OK;
}

static bool call_reduce_index(void)
{
    mt_layout one = made.out->layout;
    one.size[0] = 1;
    const mt_reduce_work work = {.op = MT_SUM,
                                 .reduced = {true},
                                 .divisor = 1,
                                 .out = {made.out->storage->data, &one},
                                 .in = operand(made.index)};
    return sim->reduce_index(sim, &work, MT_REAL) == MT_OK;
}

static bool call_softmax(void)
{
    const mt_softmax_work work = {.out = operand(made.out), .in = operand(made.x)};
    return sim->softmax(sim, &work) == MT_OK;
}

/* Of one row of logarithms, whose label is class 0. */
static bool call_cross_entropy(void)
{
    mt_layout label = made.index->layout;
    label.size[0] = 1;
    const mt_cross_entropy_work work = {.logarithms = true,
                                        .ignore_index = -100,
                                        .x = operand(made.x),
                                        .labels = {made.index->storage->data, &label},
                                        .weight = operand(made.y),
                                        .loss = made.out->storage->data,
                                        .row_weight = (mt_real *)made.out->storage->data + 1};
    return sim->cross_entropy(sim, &work) == MT_OK;
}

/* An image of 1 x N by a kernel of one place. */
static bool call_conv(void)
{
    const mt_layout image = mt_layout_contiguous(mt_shape(1, 1, 1, N)),
                    one = mt_layout_contiguous(mt_shape(1, 1, 1, 1));
    const mt_conv_work work = {.part = MT_CONV_VALUE,
                               .groups = 1,
                               .stride = {1, 1},
                               .dilation = {1, 1},
                               .x = {made.x->storage->data, &image},
                               .w = {made.y->storage->data, &one},
                               .y = {made.out->storage->data, &image}};
    return sim->conv(sim, &work) == MT_OK;
}

static bool call_layer_norm(void)
{
    mt_real *room = made.matrix->storage->data; /* of N*N numbers */
    const mt_layer_norm_work work = {.rows = 1,
                                     .n = N,
                                     .eps = 0.5,
                                     .x = made.x->storage->data,
                                     .gamma = made.y->storage->data,
                                     .beta = made.y->storage->data,
                                     .out = made.out->storage->data,
                                     .mean = room,
                                     .scale = room + 1};
    return sim->layer_norm(sim, &work) == MT_OK;
}

static bool call_gather(void)
{
    const mt_gather_work work = {.put = true,
                                 .kind = MT_REAL,
                                 .out = operand(made.out),
                                 .in = operand(made.x),
                                 .index = operand(made.index),
                                 .what = "scatter_add"};
    return sim->gather(sim, &work) == MT_OK;
}

static bool call_cumsum(void)
{
    return sim->cumsum(sim, operand(made.out), operand(made.x), 0, true) == MT_OK;
}

static bool call_argsort(void)
{
    return sim->argsort(sim, operand(made.index), operand(made.x), 0, true) == MT_OK;
}

static const struct {
    const char *name;
    bool (*call)(void);
} slots[] = {
#define MT_SLOT(need, result, name, parameters, text) {#name, call_##name},
#include "tensor/slots.inc"
};

/* Everything under another device than the backend's: it works, and that device is the current one
 * afterwards. */
static void under_device(int number)
{
    for (size_t i = 0; i < TEST_LENGTH(slots); i++) {
        mt_sim_set_device(number);
        const bool good = slots[i].call();
        TEST_CHECK(good, "%s under device %d: %s", slots[i].name, number, mt_last_message());
        TEST_CHECK(mt_sim_report_count() == 0, "%s under device %d: %s", slots[i].name, number,
                   mt_sim_last_report());
        TEST_CHECK(mt_sim_device() == number, "%s leaves device %d instead of %d", slots[i].name,
                   mt_sim_device(), number);
        test_cases++;
    }
    /* a whole program, and memory that goes back to the device */
    mt_tape *t = test_tape(sim);
    mt_tensor *x = mt_full(sim, mt_shape(40, 30), 2);
    TEST_CHECK(x, "%s", mt_last_message());
    TEST_OK(mt_require_grad(x, true));
    TEST_OK(mt_backward(t, mt_sum(t, mt_mul(t, x, x))));
    TEST_TRUE(test_read(mt_grad(x))[0] == 4);
    mt_tensor_free(x);
    TEST_CHECK(mt_sim_report_count() == 0 && mt_sim_device() == number, "%s", mt_sim_last_report());
    mt_sim_set_device(0);
}

static void *other_thread(void *good)
{
    mt_sim_set_device(5);
    mt_tensor *x = mt_ones(sim, mt_shape(N));
    double value = 0;
    *(bool *)good = mt_get(x, mt_at(1), &value) == MT_OK && value == 1 && mt_sim_device() == 5;
    mt_tensor_free(x);
    return NULL;
}

static void test_current_device(void **data)
{
    (void)data;
    mt_sim_set_device(3); /* the first use of the backend too */
    sim = mt_backend_get("gpu-sim");
    TEST_CHECK(sim, "%s", mt_last_message());
    TEST_TRUE(mt_sim_device() == 3 && mt_sim_report_count() == 0);
    mt_sim_set_device(0);
    make_operands();
    for (int number = 0; number < 3; number++) under_device(number);
    pthread_t thread;
    bool good = false;
    TEST_TRUE(pthread_create(&thread, NULL, other_thread, &good) == 0 && pthread_join(thread, NULL) == 0);
    TEST_TRUE(good && mt_sim_device() == 0);
    test_release();
    mt_sim_set_device(1); /* what is larger than may stay goes back at once */
    piece = sim->allocate(sim, (size_t)300 << 20);
    TEST_TRUE(piece);
    sim->release(sim, piece, (size_t)300 << 20);
    TEST_CHECK(mt_sim_report_count() == 0 && mt_sim_device() == 1, "%s", mt_sim_last_report());
    mt_sim_set_device(0);
}

/* ---- memory of the simulator's own ---- */

void failing_new_at(uint64_t k);
uint64_t failing_new_calls(void);

/* Work for kernels of every kind: barriers, warps, atomics and fences. A number, or NaN with a sentence. */
static double train(mt_backend *b)
{
    mt_rng rng = mt_rng_make(5);
    mt_tensor *x = mt_uniform(b, mt_shape(40, 30), &rng, -1, 1),
              *w = mt_uniform(b, mt_shape(30, 20), &rng, -1, 1), *rows = mt_permutation(b, &rng, 40);
    mt_tape *t = mt_tape_new(b);
    double result = NAN;
    if (mt_require_grad(w, true) == MT_OK) {
        mt_tensor *hidden = mt_tanh(t, mt_matmul(t, mt_take_rows(t, x, rows), w));
        mt_tensor *sum = mt_add(t, mt_mean(t, mt_square(t, mt_transpose(t, hidden, 0, 1))),
                                mt_sum(t, mt_max_dim(t, hidden, 0, false)));
        if (mt_backward(t, sum) == MT_OK) {
            const mt_update_row row = {
                .value = w->storage->data, .grad = mt_grad(w)->storage->data, .n = mt_tensor_count(w)};
            const mt_update_work work = {
                .rule = MT_UPDATE_sgd, .options = {.rate = 0.5}, .step = 1, .rows = 1, .row = &row};
            if (b->update(b, &work) == MT_OK) result = mt_item(mt_sum(t, w)) + mt_item(sum);
        }
    }
    mt_tape_free(t);
    mt_tensor *const made_here[] = {x, w, rows};
    for (size_t i = 0; i < TEST_LENGTH(made_here); i++) mt_tensor_free(made_here[i]);
    return result;
}

/* In a child, whose simulator is new: 0 when the k-th call of operator new failed, the program was told so in
 * a sentence or did not need it, and went on afterwards as if nothing had been; 1 when there was no k-th
 * call; else a fault. */
static int child(uint64_t k, bool detail)
{
    failing_new_at(k);
    mt_sim_set_detail(detail);
    mt_backend *b = mt_backend_get("gpu-sim");
    const size_t held = mt_get_alloc_stats().bytes;
    const double result = b ? train(b) : NAN;
    if (failing_new_calls() < k) return isnan(result) ? 2 : 1;
    failing_new_at(0);
    if (isnan(result)) {
        if (mt_last_status() != MT_ERR_MEMORY || strlen(mt_last_message()) < 20) return 3;
        if (mt_get_alloc_stats().bytes != held) return 4;
    }
    mt_sim_clear(); /* of the failure itself */
    b = mt_backend_get("gpu-sim");
    return !b || isnan(train(b)) ? 5 : mt_sim_report_count() > 0 ? 6 : 0;
}

/* Must come first: a child's simulator is as new as this program's is. */
static void test_failing_memory(void **data)
{
    (void)data;
    for (int detail = 0; detail < 2; detail++) {
        int how = 0;
        uint64_t k = 1;
        for (; how == 0; k++) {
            fflush(NULL);
            const pid_t pid = fork();
            TEST_TRUE(pid >= 0);
            if (pid == 0) _exit(child(k, detail));
            TEST_TRUE(waitpid(pid, &how, 0) == pid);
            TEST_CHECK(WIFEXITED(how) && WEXITSTATUS(how) < 2, "when call %d of operator new failed: %s %d",
                       (int)k, WIFEXITED(how) ? "exit status" : "signal",
                       WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
            test_cases++;
        }
        TEST_CHECK(k > 20, "the simulator asked for memory %d times only", (int)k);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_failing_memory), TEST(test_current_device)};
    return TEST_RUN("sim_backend", tests);
}
