/* tests/test_nn_optim.c - optimisers against PyTorch's trajectories, their options, and training without
 * allocation. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "minitorch.h"

/* ---- trajectories ---- */

enum { STEPS = 20, VALUES = 16, CHECKS = 5 };

static const int checked[CHECKS] = {1, 2, 7, 12, 20};

static const struct golden {
    const char *name;
    enum { SGD, ADAM, ADAGRAD, RMSPROP } kind;
    mt_sgd_options sgd;
    mt_adam_options adam;
    mt_adagrad_options adagrad;
    mt_rmsprop_options rmsprop;
    double want[CHECKS][VALUES];
} cases[] = {
#include "golden/optim.inc"
};

static const double x_values[] = {0.5, -1, 2, 1.5, 0.25, -0.75, -0.5, 1, 0.125, 2, -0.5, 1}; /* (4, 3) */
static const double y_values[] = {1, 0, -0.5, 0.75, 0.25, -1, 0.5, 2};                       /* (4, 2) */
static const char *const paths[] = {"a.weight", "a.bias", "b.weight", "b.bias"};
static const int counts[] = {6, 2, 6, 2};
static const double start[VALUES] = {0.1,  -0.2, 0.3,  0.4,   -0.5, 0.6,  0.05, -0.1,
                                     -0.3, 0.2,  0.15, -0.25, 0.35, 0.45, 0,    0.2};

static bool without_b(int step) { return (step >= 3 && step <= 6) || step == 11; }

static mt_module *two_layers(mt_backend *backend)
{
    mt_rng rng = mt_rng_make(1);
    mt_module *net = mt_sequential();
    mt_module_add(net, "a", mt_linear_layer(backend, 3, 2, MT_INIT_ZEROS, &rng));
    mt_module_add(net, "b", mt_linear_act_layer(backend, 3, 2, MT_OP_tanh, MT_INIT_ZEROS, &rng));
    for (int i = 0, at = 0; i < 4; at += counts[i++])
        TEST_OK(mt_set_doubles(mt_module_parameter(net, paths[i]), start + at, counts[i]));
    return net;
}

static mt_optimizer *optimizer_of(mt_module *net, const struct golden *g)
{
    mt_optimizer *optimizer = NULL;
    switch (g->kind) {
    case SGD: optimizer = mt_sgd_new(net, g->sgd); break;
    case ADAM: optimizer = mt_adam_new(net, g->adam); break;
    case ADAGRAD: optimizer = mt_adagrad_new(net, g->adagrad); break;
    case RMSPROP: optimizer = mt_rmsprop_new(net, g->rmsprop); break;
    }
    TEST_CHECK(optimizer, "%s: %s", g->name, mt_last_message());
    return optimizer;
}

static void trajectory(mt_backend *backend, const struct golden *g)
{
    mt_module *net = two_layers(backend), *a = mt_module_child(net, "a"), *b = mt_module_child(net, "b");
    mt_optimizer *optimizer = optimizer_of(net, g);
    mt_tensor *x = OWN(mt_from_doubles(backend, x_values, mt_shape(4, 3)));
    mt_tensor *y = OWN(mt_from_doubles(backend, y_values, mt_shape(4, 2)));
    mt_tape *tape = test_tape(backend);
    int check = 0;
    for (int step = 1; step <= STEPS; step++) {
        if (step == 10) TEST_OK(mt_optimizer_set_rate(optimizer, mt_optimizer_get_rate(optimizer) / 3));
        TEST_OK(mt_optimizer_zero_grad(optimizer));
        mt_tensor *p = mt_module_forward(a, tape, x);
        if (!without_b(step)) p = mt_add(tape, p, mt_module_forward(b, tape, x));
        mt_status status = mt_backward(tape, mt_mse(tape, p, y));
        TEST_CHECK(status == MT_OK, "%s: %s", g->name, mt_tape_message(tape));
        TEST_OK(mt_optimizer_step(optimizer));
        mt_tape_reset(tape);
        if (step != checked[check]) continue;
        for (int i = 0, at = 0; i < 4; at += counts[i++]) {
            char what[100];
            snprintf(what, sizeof what, "%s, step %d, %s on %s", g->name, step, paths[i], backend->name);
            TEST_ALL_CLOSE(test_read(mt_module_parameter(net, paths[i])), g->want[check] + at, counts[i],
                           200 * test_epsilon, 0, what);
        }
        check++;
    }
    mt_optimizer_free(optimizer);
    mt_module_free(net);
}

static void trajectories(void **state)
{
    (void)state;
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < TEST_LENGTH(cases); i++, test_cases++) trajectory(backends[k], &cases[i]);
}

/* ---- what a step touches ---- */

static void empty_gradients_are_skipped(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_module *net = two_layers(backend);
    mt_adam_options options = mt_adamw_defaults();
    options.weight_decay = 0.9; /* would move every parameter */
    mt_optimizer *optimizer = mt_adam_new(net, options);
    uint64_t version = mt_tensor_version(mt_module_parameter(net, "b.weight"));
    TEST_FAILS(mt_optimizer_step(optimizer), MT_ERR_STATE, "mt_backward"); /* no gradients at all */
    mt_tape *tape = test_tape(backend);
    mt_tensor *x = OWN(mt_from_doubles(backend, x_values, mt_shape(4, 3)));
    TEST_OK(mt_backward(tape, mt_sum(tape, mt_module_forward(mt_module_child(net, "a"), tape, x))));
    TEST_OK(mt_optimizer_step(optimizer));
    double rounded[VALUES];
    for (int i = 0; i < VALUES; i++) rounded[i] = test_round(start[i]);
    TEST_ALL_SAME(test_read(mt_module_parameter(net, "b.weight")), rounded + 8, 6, "b.weight");
    assert_int_equal(mt_tensor_version(mt_module_parameter(net, "b.weight")), version);
    assert_true(test_read(mt_module_parameter(net, "a.weight"))[0] != rounded[0]);
    assert_true(mt_has_grad(mt_module_parameter(net, "a.weight"))); /* a step leaves gradients */

    /* Freezing holds a parameter still, whatever its gradient. */
    mt_tensor *weight = mt_module_parameter(net, "a.weight"), *bias = mt_module_parameter(net, "a.bias");
    double weight_before = test_read(weight)[0], bias_before = test_read(bias)[0];
    TEST_OK(mt_require_grad(weight, false));
    TEST_OK(mt_optimizer_step(optimizer));
    assert_true(test_read(weight)[0] == weight_before && test_read(bias)[0] != bias_before);
    mt_tape_reset(tape);
    mt_optimizer_free(optimizer);
    mt_module_free(net);
}

/* A parameter that a step overwrites before backward has read it is noticed. */
static void a_step_before_backward_is_an_error(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_module *net = two_layers(backend), *a = mt_module_child(net, "a");
    mt_optimizer *optimizer = mt_sgd_new(net, mt_sgd_defaults());
    mt_tape *tape = test_tape(backend);
    mt_tensor *x = OWN(mt_from_doubles(backend, x_values, mt_shape(4, 3)));
    TEST_OK(mt_require_grad(x, true)); /* so that the weight is needed */
    TEST_OK(mt_backward(tape, mt_sum(tape, mt_module_forward(a, tape, x))));
    mt_tensor *loss = ON(tape, mt_sum(tape, mt_module_forward(a, tape, x)));
    TEST_OK(mt_optimizer_step(optimizer));
    assert_int_equal(mt_backward(tape, loss), MT_ERR_STATE);
    mt_tape_reset(tape);
    mt_optimizer_free(optimizer);
    mt_module_free(net);
}

/* PyTorch's, but for the rate of SGD, which older versions ask for and newer ones set to 0.001. */
static void defaults(void **state)
{
    (void)state;
    const mt_sgd_options sgd = mt_sgd_defaults();
    const mt_adam_options adam[] = {mt_adam_defaults(), mt_adamw_defaults()};
    const mt_adagrad_options adagrad = mt_adagrad_defaults();
    const mt_rmsprop_options rmsprop = mt_rmsprop_defaults();
    TEST_TRUE(sgd.rate == 0.01 && sgd.momentum == 0 && sgd.weight_decay == 0 && !sgd.nesterov);
    for (int w = 0; w < 2; w++)
        TEST_TRUE(adam[w].rate == 0.001 && adam[w].beta1 == 0.9 && adam[w].beta2 == 0.999 &&
                  adam[w].epsilon == 1e-8 && adam[w].weight_decay == (w ? 0.01 : 0) &&
                  adam[w].decoupled == w);
    TEST_TRUE(adagrad.rate == 0.01 && adagrad.rate_decay == 0 && adagrad.weight_decay == 0 &&
              adagrad.initial == 0 && adagrad.epsilon == 1e-10);
    TEST_TRUE(rmsprop.rate == 0.01 && rmsprop.alpha == 0.99 && rmsprop.epsilon == 1e-8 &&
              rmsprop.weight_decay == 0 && rmsprop.momentum == 0 && !rmsprop.centered);
}

static void options(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_module *net = two_layers(backend);
    static const double bad[] = {-1, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        mt_sgd_options sgd = mt_sgd_defaults();
        mt_adam_options adam = mt_adam_defaults();
        sgd.rate = adam.rate = bad[i];
        TEST_NULL(mt_sgd_new(net, sgd), MT_ERR_VALUE, "rate");
        TEST_NULL(mt_adam_new(net, adam), MT_ERR_VALUE, "rate");
        sgd = mt_sgd_defaults();
        sgd.momentum = bad[i];
        TEST_NULL(mt_sgd_new(net, sgd), MT_ERR_VALUE, "momentum");
        sgd = mt_sgd_defaults();
        adam = mt_adam_defaults();
        sgd.weight_decay = adam.weight_decay = bad[i];
        TEST_NULL(mt_sgd_new(net, sgd), MT_ERR_VALUE, "weight decay");
        TEST_NULL(mt_adam_new(net, adam), MT_ERR_VALUE, "weight decay");
        adam = mt_adam_defaults();
        adam.epsilon = bad[i];
        TEST_NULL(mt_adam_new(net, adam), MT_ERR_VALUE, "epsilon");
        mt_adagrad_options adagrad = mt_adagrad_defaults();
        adagrad.rate_decay = bad[i];
        TEST_NULL(mt_adagrad_new(net, adagrad), MT_ERR_VALUE, "rate decay");
        mt_rmsprop_options rmsprop = mt_rmsprop_defaults();
        rmsprop.alpha = bad[i];
        TEST_NULL(mt_rmsprop_new(net, rmsprop), MT_ERR_VALUE, "alpha");
        rmsprop = mt_rmsprop_defaults();
        rmsprop.momentum = bad[i];
        TEST_NULL(mt_rmsprop_new(net, rmsprop), MT_ERR_VALUE, "momentum");
        adagrad = mt_adagrad_defaults();
        adagrad.initial = bad[i];
        TEST_NULL(mt_adagrad_new(net, adagrad), MT_ERR_VALUE, "initial");
        adam = mt_adam_defaults();
        adam.beta1 = bad[i];
        TEST_NULL(mt_adam_new(net, adam), MT_ERR_VALUE, "beta1");
    }
    mt_adam_options adam = mt_adam_defaults();
    adam.beta2 = 1;
    TEST_NULL(mt_adam_new(net, adam), MT_ERR_VALUE, "beta2 is 1");
    adam = mt_adam_defaults();
    adam.epsilon = 0;
    TEST_NULL(mt_adam_new(net, adam), MT_ERR_VALUE, "epsilon is 0");
    mt_sgd_options sgd = mt_sgd_defaults();
    sgd.nesterov = true;
    TEST_NULL(mt_sgd_new(net, sgd), MT_ERR_VALUE, "momentum above 0");

    mt_optimizer *optimizer = mt_sgd_new(net, mt_sgd_defaults());
    TEST_FAILS(mt_optimizer_set_rate(optimizer, NAN), MT_ERR_VALUE, "rate is nan");
    assert_true(mt_optimizer_get_rate(optimizer) == 0.01);
    TEST_OK(mt_optimizer_set_rate(optimizer, 0));
    mt_optimizer_free(optimizer);

    mt_module *empty = mt_sequential();
    TEST_NULL(mt_sgd_new(empty, mt_sgd_defaults()), MT_ERR_VALUE, "no parameters");
    mt_module_free(empty);
    mt_module_add_parameter(net, "elsewhere", mt_ones(test_simple(), mt_shape(2)));
    TEST_NULL(mt_adam_new(net, mt_adam_defaults()), MT_ERR_BACKEND, "simple");
    mt_module_free(net);

    assert_null(mt_sgd_new(NULL, mt_sgd_defaults()));
    assert_null(mt_adam_new(NULL, mt_adam_defaults()));
    assert_null(mt_adagrad_new(NULL, mt_adagrad_defaults()));
    assert_null(mt_rmsprop_new(NULL, mt_rmsprop_defaults()));
    mt_optimizer_free(NULL);
    assert_int_equal(mt_optimizer_step(NULL), MT_ERR_NULL);
    assert_int_equal(mt_optimizer_zero_grad(NULL), MT_ERR_NULL);
    assert_int_equal(mt_optimizer_set_rate(NULL, 1), MT_ERR_NULL);
    assert_true(isnan(mt_optimizer_get_rate(NULL)));
}

/* ---- training ---- */

typedef struct {
    mt_dataset *data;
    mt_batches *batches;
    mt_module *net;
    mt_optimizer *optimizer;
    mt_tape *tape;
} training;

static void training_free(training *t)
{
    mt_tape_free(t->tape);
    mt_optimizer_free(t->optimizer);
    mt_module_free(t->net);
    mt_batches_free(t->batches);
    mt_dataset_free(t->data);
    *t = (training){0};
}

/* Whether everything could be made. */
static bool training_make(training *t, mt_backend *backend, uint64_t seed, bool adam)
{
    mt_rng rng = mt_rng_make(seed);
    mt_adam_options options = mt_adam_defaults();
    options.rate = 0.02;
    *t = (training){0};
    t->data = mt_dataset_make(backend, MT_DATASET_XOR, 53, &rng);
    t->batches = mt_batches_new(mt_dataset_x(t->data), mt_dataset_y(t->data), 10, rng);
    t->net = mt_mlp(backend, mt_shape(2, 16, 16, 1), MT_OP_relu, MT_INIT_KAIMING, &rng);
    t->optimizer = adam ? mt_adam_new(t->net, options) : mt_sgd_new(t->net, mt_sgd_defaults());
    t->tape = mt_tape_new(backend);
    return t->batches && t->optimizer && t->tape;
}

/* One epoch; the mean of the batches' losses, or NaN when something failed. */
static double epoch(training *t)
{
    double sum = 0;
    if (mt_batches_shuffle(t->batches) != MT_OK) return NAN;
    int64_t count = mt_batches_count(t->batches);
    for (int64_t i = 0; i < count; i++) {
        mt_tensor *z = mt_module_forward(t->net, t->tape, mt_batches_x(t->batches, i));
        mt_tensor *loss = mt_bce_with_logits(t->tape, z, mt_batches_y(t->batches, i));
        bool good = mt_backward(t->tape, loss) == MT_OK && mt_optimizer_step(t->optimizer) == MT_OK;
        sum += good ? mt_item(loss) : NAN;
        mt_optimizer_zero_grad(t->optimizer);
        mt_tape_reset(t->tape);
        if (!good) return NAN;
    }
    return sum / (double)count;
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++) {
        for (int adam = 0; adam < 2; adam++) {
            training t;
            TEST_CHECK(training_make(&t, backends[k], 5, adam), "%s", mt_last_message());
            for (int i = 0; i < 3; i++) assert_true(epoch(&t) > 0);
            mt_alloc_stats before = mt_get_alloc_stats();
            for (int i = 0; i < 20; i++) assert_true(epoch(&t) > 0);
            mt_alloc_stats after = mt_get_alloc_stats();
            TEST_CHECK(after.allocations == before.allocations, "%d allocations in 20 epochs on %s",
                       (int)(after.allocations - before.allocations), backends[k]->name);
            assert_int_equal(after.bytes, before.bytes);
            training_free(&t);
        }
    }
}

static void training_learns_and_repeats(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    training t, again;
    TEST_CHECK(training_make(&t, backend, 7, true), "%s", mt_last_message());
    TEST_CHECK(training_make(&again, backend, 7, true), "%s", mt_last_message());
    double first = NAN, last = NAN;
    for (int i = 0; i < 60; i++) {
        last = epoch(&t);
        assert_true(epoch(&again) == last);
        if (i == 0) first = last;
    }
    TEST_CHECK(last < first / 2, "the loss went from %g to %g", first, last);
    training_free(&t);
    training_free(&again);
}

/* The k-th allocation fails, for every k until all succeed: no crash, no leak, a sentence. */
static void allocation_failures(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    training t;
    if (training_make(&t, backend, 1, true)) epoch(&t); /* what backends allocate once is there */
    training_free(&t);
    size_t held = mt_get_alloc_stats().bytes;
    bool done = false;
    int k = 0;
    while (!done) {
        test_stale();
        mt_alloc_fail_at((uint64_t)++k);
        bool made = training_make(&t, backend, 1, true);
        done = made && !isnan(epoch(&t));
        mt_status status = mt_last_status();
        mt_alloc_fail_at(0);
        if (!done) TEST_CHECK(status == MT_ERR_MEMORY, "allocation %d: %s", k, mt_last_message());
        training_free(&t);
        TEST_CHECK(mt_get_alloc_stats().bytes == held, "allocation %d: %ld bytes leaked", k,
                   (long)(mt_get_alloc_stats().bytes - held));
        TEST_CHECK(k < 10000, "allocations without end");
    }
    test_cases += k;
    assert_true(k > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(trajectories),
        TEST(empty_gradients_are_skipped),
        TEST(a_step_before_backward_is_an_error),
        TEST(defaults),
        TEST(options),
        TEST(steady_state_allocates_nothing),
        TEST(training_learns_and_repeats),
        TEST(allocation_failures),
    };
    return TEST_RUN("nn_optim", tests);
}
