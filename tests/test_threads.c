/* tests/test_threads.c - different tapes in different threads at once, sharing what they only read; and a
 * forked child; the floating-point mode of the caller.
 *
 * Meant for ThreadSanitizer too, which knows nothing of OpenMP's own barriers: there the cpu backend is set
 * to one thread, and the program's threads alone run at once.
 */
#define _POSIX_C_SOURCE 200809L
#include "autodiff/elementwise.h"
#include "nn/layers.h"
#include "support.h"

#include <errno.h>
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZED
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZED
#endif

enum { THREADS = 4, STEPS = 12 };

static mt_backend *backends[TEST_MAX_BACKENDS];
static int backend_count;

/* What all threads read. */
typedef struct shared {
    mt_backend *backend;
    mt_tensor *inputs, *targets, *weights; /* constants here, views of which every thread makes */
    mt_tensor *frozen; /* wants a gradient, but is only used while the tape does not record */
} shared;

typedef struct worker {
    const shared *all;
    int number;
    double loss, checksum;
    char message[200]; /* of a failure that this thread caused on purpose */
    mt_status status;
} worker;

/* A few steps of training with parameters of the thread's own. */
static void *work(void *argument)
{
    worker *w = argument;
    const shared *all = w->all;
    mt_rng rng = mt_rng_make(7 + (uint64_t)w->number % 2); /* two threads of each kind must agree */
    mt_tensor *p = mt_uniform(all->backend, mt_shape(16, 1), &rng, -0.5, 0.5),
              *bias = mt_zeros(all->backend, mt_shape(1));
    mt_tensor *rate = mt_full(all->backend, mt_shape(1), 0.1),
              *view = mt_tensor_transpose(all->weights, 0, 1);
    mt_tape *t = mt_tape_new(all->backend);
    w->status = mt_require_grad(p, true);
    if (w->status == MT_OK) w->status = mt_require_grad(bias, true);
    for (int i = 0; i < STEPS && w->status == MT_OK; i++) {
        mt_tape_record(t, false);
        mt_tensor *scale = mt_sigmoid(t, mt_sum(t, all->frozen));
        mt_tape_record(t, true);
        mt_tensor *hidden = mt_tanh(t, mt_matmul(t, all->inputs, mt_transpose(t, view, 0, 1)));
        mt_tensor *logits = mt_linear(t, mt_mul(t, hidden, scale), p, bias);
        mt_tensor *loss = mt_bce_with_logits(t, logits, all->targets);
        w->status = mt_backward(t, loss);
        if (w->status != MT_OK) break;
        w->loss = mt_item(loss);
        mt_tensor *const parameters[] = {p, bias};
        for (int k = 0; k < 2 && w->status == MT_OK; k++) {
            mt_tensor *grad = mt_grad(parameters[k]);
            w->status = mt_op_mul(grad, grad, rate);
            if (w->status == MT_OK) w->status = mt_op_sub(parameters[k], parameters[k], grad);
            mt_zero_grad(parameters[k]);
        }
        mt_tape_reset(t);
    }
    mt_tensor *total = mt_sum(t, p);
    w->checksum = mt_item(total);
    /* failures and their sentences belong to the thread */
    mt_status want = mt_tensor_select(all->inputs, 0, 1000 + w->number) ? MT_OK : MT_ERR_INDEX;
    snprintf(w->message, sizeof w->message, "%s", mt_last_message());
    if (w->status == MT_OK && (want != MT_ERR_INDEX || mt_last_status() != MT_ERR_INDEX))
        w->status = MT_ERR_VALUE;
    mt_tape_free(t);
    mt_tensor_free(view);
    mt_tensor_free(rate);
    mt_tensor_free(bias);
    mt_tensor_free(p);
    return NULL;
}

static shared share(mt_backend *b)
{
    mt_rng rng = mt_rng_make(test_bits());
    shared all = {.backend = b};
    all.inputs = OWN(mt_uniform(b, mt_shape(64, 8), &rng, -1, 1));
    all.targets = OWN(mt_zeros(b, mt_shape(64, 1)));
    all.weights = OWN(mt_uniform(b, mt_shape(8, 16), &rng, -1, 1));
    all.frozen = OWN(mt_uniform(b, mt_shape(16), &rng, -1, 1));
    TEST_OK(mt_require_grad(all.frozen, true));
    return all;
}

static void test_many_tapes(void **data)
{
    (void)data;
    for (int i = 0; i < backend_count; i++) {
        shared all = share(backends[i]);
        worker alone[2] = {{.all = &all, .number = 0}, {.all = &all, .number = 1}};
        work(&alone[0]);
        work(&alone[1]);
        for (int round = 0; round < 5; round++) {
            worker workers[THREADS] = {{0}};
            pthread_t thread[THREADS];
            for (int k = 0; k < THREADS; k++) {
                workers[k] = (worker){.all = &all, .number = k};
                TEST_TRUE(pthread_create(&thread[k], NULL, work, &workers[k]) == 0);
            }
            for (int k = 0; k < THREADS; k++) TEST_TRUE(pthread_join(thread[k], NULL) == 0);
            for (int k = 0; k < THREADS; k++) {
                char part[20];
                snprintf(part, sizeof part, "%d", 1000 + k);
                TEST_CHECK(workers[k].status == MT_OK, "thread %d: %s", k, mt_status_name(workers[k].status));
                TEST_CHECK(strstr(workers[k].message, part), "thread %d reads \"%s\"", k, workers[k].message);
                TEST_CHECK(workers[k].loss == alone[k % 2].loss &&
                               workers[k].checksum == alone[k % 2].checksum,
                           "%s: thread %d finds a loss of %.17g instead of %.17g", backends[i]->name, k,
                           workers[k].loss, alone[k % 2].loss);
                test_cases++;
            }
        }
        TEST_TRUE(alone[0].loss != alone[1].loss && isfinite(alone[0].loss));
        test_release();
    }
}

/* ---- one module in several threads ---- */

/* What each thread asks of the module: its result alone; with a tape that records; and, of a frozen one, the
 * gradient in what it is given. */
enum { QUIET, RECORDED, FROZEN, USES };

typedef struct asker {
    mt_module *module;
    const mt_tensor *inputs;
    int use, number;
    double sum, slope;
    mt_status status;
} asker;

static void *ask(void *argument)
{
    asker *a = argument;
    mt_backend *b = mt_tensor_backend(a->inputs);
    mt_tape *t = mt_tape_new(b);
    mt_tensor *x = mt_tensor_copy(a->inputs), *number = mt_full(b, mt_shape(1), a->number);
    mt_tape_record(t, a->use != QUIET);
    a->status = mt_op_add(x, x, number);
    if (a->status == MT_OK && a->use == FROZEN) a->status = mt_require_grad(x, true);
    for (int i = 0; i < STEPS && a->status == MT_OK; i++) {
        mt_tensor *total = mt_sum(t, mt_module_forward(a->module, t, x));
        a->status = a->use == FROZEN ? mt_backward(t, total) : mt_tape_status(t);
        a->sum = mt_item(total);
        mt_tape_reset(t);
    }
    if (a->status == MT_OK && a->use == FROZEN) {
        mt_tensor *total = mt_sum(t, mt_grad(x));
        a->slope = mt_item(total);
    }
    mt_tape_free(t);
    mt_tensor_free(number);
    mt_tensor_free(x);
    return NULL;
}

static void test_one_module(void **data)
{
    (void)data;
    for (int i = 0; i < backend_count; i++) {
        mt_rng rng = mt_rng_make(test_bits());
        mt_module *module = mt_mlp(backends[i], mt_shape(6, 24, 1), MT_OP_tanh, MT_INIT_XAVIER, &rng);
        mt_tensor *inputs = OWN(mt_uniform(backends[i], mt_shape(20, 6), &rng, -1, 1));
        for (int use = 0; use < USES; use++) {
            for (int k = 0; use == FROZEN && k < mt_module_parameters(module); k++)
                TEST_OK(mt_require_grad(mt_module_parameter_at(module, k), false));
            asker askers[THREADS], alone;
            pthread_t thread[THREADS];
            for (int k = 0; k < THREADS; k++) {
                askers[k] = (asker){.module = module, .inputs = inputs, .use = use, .number = k};
                TEST_TRUE(pthread_create(&thread[k], NULL, ask, &askers[k]) == 0);
            }
            for (int k = 0; k < THREADS; k++) TEST_TRUE(pthread_join(thread[k], NULL) == 0);
            for (int k = 0; k < THREADS; k++) {
                alone = (asker){.module = module, .inputs = inputs, .use = use, .number = k};
                ask(&alone);
                TEST_CHECK(alone.status == MT_OK && askers[k].status == MT_OK && askers[k].sum == alone.sum &&
                               askers[k].slope == alone.slope,
                           "%s, use %d: thread %d finds %.17g and slope %.17g, alone %.17g and %.17g",
                           backends[i]->name, use, k, askers[k].sum, askers[k].slope, alone.sum, alone.slope);
                TEST_TRUE((alone.slope != 0) == (use == FROZEN));
                test_cases++;
            }
        }
        TEST_OK(mt_module_free(module));
        test_release();
    }
}

/* Handles and storages are counted atomically: threads make and free views of one tensor. */
static void *make_views(void *argument)
{
    mt_tensor *x = argument;
    for (int i = 0; i < 2000; i++) {
        mt_tensor *row = mt_tensor_select(x, 0, i % 50), *turned = mt_tensor_unsqueeze(row, 0);
        double value = 0;
        if (mt_get(turned, mt_at(0, 3), &value) != MT_OK || value != i % 50) return x;
        mt_tensor_free(row);
        mt_tensor_free(turned);
    }
    return NULL;
}

static void test_shared_storage(void **data)
{
    (void)data;
    for (int i = 0; i < backend_count; i++) {
        size_t held = mt_get_alloc_stats().bytes;
        mt_tensor *column = OWN(mt_tensor_as(OWN(mt_arange(backends[i], 0, 50, 1)), MT_REAL));
        mt_tensor *x = OWN(mt_tensor_expand(OWN(mt_tensor_view(column, mt_shape(50, 1))), mt_shape(50, 5)));
        pthread_t thread[THREADS];
        for (int k = 0; k < THREADS; k++) TEST_TRUE(pthread_create(&thread[k], NULL, make_views, x) == 0);
        for (int k = 0; k < THREADS; k++) {
            void *failed;
            TEST_TRUE(pthread_join(thread[k], &failed) == 0 && !failed);
        }
        test_release();
        TEST_TRUE(mt_get_alloc_stats().bytes == held);
        test_cases++;
    }
}

#ifndef THREAD_SANITIZED
/* Threads that share the rows of a tall sum need memory for theirs; without it one thread finds the same. */
static void test_sum_without_workspace(void **data)
{
    (void)data;
    enum { ROWS = 1100, COLUMNS = 2000 };
    int threads = mt_get_threads();
    TEST_OK(mt_set_threads(4));
    mt_backend *cpu = mt_backend_get("cpu");
    mt_rng rng = mt_rng_make(test_bits());
    mt_tensor *x = OWN(mt_uniform(cpu, mt_shape(ROWS, COLUMNS), &rng, -1, 1)),
              *without = OWN(mt_empty(cpu, mt_shape(COLUMNS), MT_REAL)),
              *with = OWN(mt_empty(cpu, mt_shape(COLUMNS), MT_REAL));
    const size_t held = mt_get_alloc_stats().bytes;
    mt_alloc_fail_at(1);
    TEST_OK(mt_op_sum(without, x, mt_axes(0)));
    mt_alloc_fail_at(0);
    TEST_TRUE(mt_get_alloc_stats().bytes <= held); /* a smaller workspace may have gone */
    TEST_OK(mt_op_sum(with, x, mt_axes(0)));
    TEST_TRUE(mt_get_threads() == 1 || mt_get_alloc_stats().bytes > held); /* so the request had failed */
    TEST_ALL_SAME(test_read(without), test_read(with), COLUMNS, "a sum without a workspace");
    TEST_OK(mt_set_threads(threads));
    test_cases++;
}

/* ---- the floating-point mode of the calling thread ---- */

/* Subnormal numbers flushed to zero, as far as this machine can; returns what unflush takes. */
static unsigned long flush_subnormals(void)
{
    unsigned long before = 0;
#if defined(__SSE2__)
    before = _mm_getcsr();
    _mm_setcsr((unsigned)before | 0x8040); /* results and operands */
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1ul << 24));
#endif
    return before;
}

static void unflush(unsigned long before)
{
#if defined(__SSE2__)
    _mm_setcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

enum { MODE_ROWS = 1200, MODE_COLUMNS = 260, MODE_RESULTS = 7 };

/* One of every kind of work that threads share, each to a tensor of its own. */
static void run_kinds(mt_tensor *const *out, const mt_tensor *x, const mt_tensor *small, const mt_tensor *w)
{
    TEST_OK(mt_op_mul(out[0], x, small));
    TEST_OK(mt_op_sum(out[1], x, mt_every_dim(x)));
    TEST_OK(mt_op_sum(out[2], x, mt_axes(0)));
    TEST_OK(mt_op_sum(out[3], x, mt_axes(1)));
    TEST_OK(mt_op_matmul(out[4], x, w));
    TEST_OK(mt_op_uniform(out[5], &(mt_rng){.seed = 3}, -1, 1));
    TEST_OK(mt_op_scale(out[6], x, 1 / 3.0));
}

/* A mode that is set after the first parallel call holds in every thread, so the bits are the same for any
 * number of them: subnormals flushed, and each rounding mode. Threads keep their own mode outside of the
 * library's work. */
static void test_modes(void **data)
{
    (void)data;
    const int before = mt_get_threads(), counts[] = {1, 2, 3, 4};
    static const int rounding[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    const double tiny = sizeof(mt_real) == sizeof(float) ? 1e-39 : 1e-310; /* no normal number */
    mt_backend *cpu = test_cpu();
    mt_rng rng = mt_rng_make(test_bits());
    const mt_shape shapes[MODE_RESULTS] = {mt_shape(MODE_ROWS, MODE_COLUMNS),
                                           mt_shape(1),
                                           mt_shape(MODE_COLUMNS),
                                           mt_shape(MODE_ROWS),
                                           mt_shape(MODE_ROWS, MODE_COLUMNS),
                                           mt_shape(MODE_ROWS, MODE_COLUMNS),
                                           mt_shape(MODE_ROWS, MODE_COLUMNS)};
    mt_tensor *x = OWN(mt_uniform(cpu, shapes[0], &rng, tiny, 1)),
              *small = OWN(mt_full(cpu, mt_shape(1), tiny)),
              *w = OWN(mt_uniform(cpu, mt_shape(MODE_COLUMNS, MODE_COLUMNS), &rng, -1, 1)),
              *out[MODE_RESULTS];
    double *first[MODE_RESULTS] = {NULL}, *nearest[MODE_RESULTS] = {NULL};
    for (int k = 0; k < MODE_RESULTS; k++) out[k] = OWN(mt_empty(cpu, shapes[k], MT_REAL));
    TEST_OK(mt_set_threads(4));
    run_kinds(out, x, small, w);
    for (int mode = 0; mode < 5; mode++) {
        for (size_t c = 0; c < TEST_LENGTH(counts); c++) {
            TEST_OK(mt_set_threads(counts[c]));
            const unsigned long flushed = mode == 4 ? flush_subnormals() : 0;
            if (mode < 4) TEST_TRUE(fesetround(rounding[mode]) == 0);
            run_kinds(out, x, small, w);
            if (mode == 4) unflush(flushed);
            fesetround(FE_TONEAREST);
            for (int k = 0; k < MODE_RESULTS; k++) {
                double *got = test_read(out[k]);
                if (c == 0) first[k] = got;
                TEST_CHECK(memcmp(got, first[k], (size_t)test_count(shapes[k]) * sizeof *got) == 0,
                           "mode %d, result %d: %d threads give other bits than one", mode, k, counts[c]);
                if (c == 0 && mode == 0) nearest[k] = got;
                if (c == 0 && mode > 0 && mode < 4 && k != 5) /* so the mode does hold */
                    TEST_TRUE(memcmp(got, nearest[k], (size_t)test_count(shapes[k]) * sizeof *got) != 0);
            }
            test_cases++;
        }
    }
#if defined(__SSE2__) || defined(__aarch64__)
    for (int64_t i = 0; i < test_count(shapes[0]); i++) TEST_TRUE(first[0][i] == 0);
#endif
    TEST_OK(mt_set_threads(before));
}

/* After parallel work a forked child computes serially, and the same. CUDA refuses a child of a process that
 * has used it, so on the card it gets a failure with a sentence. */
static void test_fork(void **data)
{
    (void)data;
    enum { N = 400 };
    int threads = mt_get_threads();
    TEST_OK(mt_set_threads(4));
    for (int i = 0; i < backend_count; i++) {
        mt_backend *b = backends[i];
        mt_rng rng = mt_rng_make(test_bits());
        int64_t n = b == test_simple() ? 60 : N;
        mt_tensor *x = OWN(mt_uniform(b, mt_shape(n, n), &rng, -1, 1));
        mt_tensor *product = OWN(mt_empty(b, mt_shape(n, n), MT_REAL)),
                  *sums = OWN(mt_empty(b, mt_shape(n), MT_REAL));
        TEST_OK(mt_op_matmul(product, x, x));
        TEST_OK(mt_op_tanh(product, product));
        TEST_OK(mt_op_sum(sums, product, mt_axes(1)));
        const double *want = test_read(sums);
        fflush(NULL);
        pid_t child = fork();
        TEST_TRUE(child >= 0);
        if (child == 0) {
            alarm(60); /* a child that waits for threads it does not have would wait for ever */
            mt_status status = mt_op_matmul(product, x, x);
            if (strcmp(b->name, "gpu") == 0) _exit(status != MT_OK && strlen(mt_last_message()) > 10 ? 0 : 3);
            if (status == MT_OK) status = mt_op_tanh(product, product);
            if (status == MT_OK) status = mt_op_sum(sums, product, mt_axes(1));
            double *got = malloc((size_t)n * sizeof *got);
            bool same = status == MT_OK && got && mt_to_doubles(sums, got, n) == MT_OK;
            for (int64_t k = 0; same && k < n; k++) same = got[k] == want[k];
            free(got);
            mt_tape *t = mt_tape_new(b);
            mt_tensor *w = mt_ones(b, mt_shape(n));
            bool trains =
                mt_require_grad(w, true) == MT_OK && mt_backward(t, mt_sum(t, mt_matmul(t, x, w))) == MT_OK;
            _exit(same ? trains ? 0 : 2 : 1);
        }
        int how = -1;
        TEST_TRUE(waitpid(child, &how, 0) == child);
        TEST_CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0, "%s: the child ended with %s %d", b->name,
                   WIFEXITED(how) ? "status" : "signal", WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
        TEST_OK(mt_op_matmul(product, x, x)); /* and the parent goes on in parallel */
        TEST_OK(mt_op_tanh(product, product));
        TEST_OK(mt_op_sum(sums, product, mt_axes(1)));
        TEST_ALL_SAME(test_read(sums), want, n, "the parent after a fork");
        test_cases++;
        test_release();
    }
    TEST_OK(mt_set_threads(threads));
}
#endif

#ifndef THREAD_SANITIZED
static const char starved[] = "MT_TEST_STARVED"; /* set in the environment of a program that shall be it */

/* A program whose memory is used up but for a few megabytes when it wants a team of 16: no stack for more
 * than one or two. 0 when all work was done. */
static int work_starved(void)
{
    enum { N = 1000, THREADS_WANTED = 16, LEFT = 24 << 20 };
    mt_backend *cpu = mt_backend_get("cpu");
    mt_tensor *x = mt_ones(cpu, mt_shape(N / 2, 100)), *y = mt_empty(cpu, mt_shape(N, N), MT_REAL),
              *z = mt_empty(cpu, mt_shape(N / 2, N / 2), MT_REAL), *turned = mt_tensor_transpose(x, 0, 1);
    FILE *statistics = fopen("/proc/self/statm", "r");
    long pages = 0;
    if (!y || !turned || !statistics || fscanf(statistics, "%ld", &pages) != 1) return 2;
    fclose(statistics);
    const rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + LEFT;
    const struct rlimit limit = {most, most};
    if (setrlimit(RLIMIT_AS, &limit) != 0 || mt_set_threads(THREADS_WANTED) != MT_OK) return 3;
    double sum = 0, product = 0;
    bool good = mt_op_fill(y, 2) == MT_OK && mt_op_exp(y, y) == MT_OK && mt_op_log(y, y) == MT_OK &&
                mt_get(y, mt_at(-1, -1), &sum) == MT_OK && fabs(sum - 2) < 1e-5;
    good = good && mt_op_matmul(z, x, turned) == MT_OK && mt_get(z, mt_at(-1, -1), &product) == MT_OK;
    return good && product == 100 ? 0 : 1;
}

enum { EMULATED = 126 }; /* a status: the system says that the program is for another processor */

/* Where the system has no threads the work is done by those that there are; OpenMP would end the program. */
static void test_no_threads_to_be_had(void **data)
{
    (void)data;
    if (mt_arena_guards_host()) {
        print_message("not done: AddressSanitizer needs more addresses than the test leaves\n");
        return;
    }
    fflush(NULL);
    const pid_t child = fork();
    TEST_TRUE(child >= 0);
    if (child == 0) {
        setenv(starved, "1", 1);
        execl("/proc/self/exe", "test_threads", (char *)NULL);
        _exit(errno == ENOEXEC ? EMULATED : 127);
    }
    int how = -1;
    TEST_TRUE(waitpid(child, &how, 0) == child);
    if (WIFEXITED(how) && WEXITSTATUS(how) == EMULATED) {
        print_message("not done: an emulator runs this program, and the system cannot start it again\n");
        return;
    }
    TEST_CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0,
               "a program without threads to be had ended with %s %d", WIFEXITED(how) ? "status" : "signal",
               WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
    test_cases++;
}
#endif

/* The first use of everything, in all threads at once: what is made on first use is made once. */
static void *start_cold(void *argument)
{
    bool *fine = argument;
    mt_backend *b = mt_backend_get("cpu");
    mt_tensor *x = mt_ones(b, mt_shape(3, 3)), *out = mt_empty(b, mt_shape(3, 3), MT_REAL),
              *sum = mt_zeros(b, mt_shape(3));
    *fine = mt_op_matmul(out, x, x) == MT_OK && mt_op_exp(out, out) == MT_OK &&
            mt_op_sum(sum, out, mt_axes(0)) == MT_OK;
    mt_tensor_free(x);
    mt_tensor_free(out);
    mt_tensor_free(sum);
    return NULL;
}

static void test_cold_start(void **data)
{
    (void)data;
    pthread_t thread[THREADS];
    bool fine[THREADS];
    for (int k = 0; k < THREADS; k++) TEST_TRUE(pthread_create(&thread[k], NULL, start_cold, &fine[k]) == 0);
    for (int k = 0; k < THREADS; k++) TEST_TRUE(pthread_join(thread[k], NULL) == 0 && fine[k]);
    backend_count = test_backends(backends);
    test_cases++;
}

int main(void)
{
#ifdef THREAD_SANITIZED
    mt_set_threads(1);
#else
    if (getenv(starved)) return work_starved();
#endif
    static const struct CMUnitTest tests[] = {
        TEST(test_cold_start), /* first: nothing of the library has run */
        TEST(test_many_tapes),
        TEST(test_one_module),
        TEST(test_shared_storage),
#ifndef THREAD_SANITIZED
        TEST(test_sum_without_workspace), /* before a larger workspace has been kept */
        TEST(test_modes),
        TEST(test_fork),
        TEST(test_no_threads_to_be_had),
#endif
    };
    return TEST_RUN("threads", tests);
}
