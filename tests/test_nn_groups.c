/* tests/test_nn_groups.c - groups of parameters, clipping and the state of an optimiser: PyTorch's
 * trajectories, a run that goes on from a copied state, norms for any number of threads, and what is refused.
 */
#include "support.h"

#include <math.h>
#include <string.h>

#include "minitorch.h"

/* ---- trajectories: the two layers of test_nn_optim.c ---- */

enum { STEPS = 16, VALUES = 16, CHECKS = 3 };

static const int checked[CHECKS] = {1, 6, 16};
static const struct golden {
    const char *name;
    double norm, value, norms[STEPS], want[CHECKS][VALUES];
} goldens[] = {
#include "golden/groups.inc"
};

static const double x_values[] = {0.5, -1, 2, 1.5, 0.25, -0.75, -0.5, 1, 0.125, 2, -0.5, 1}; /* (4, 3) */
static const double y_values[] = {1, 0, -0.5, 0.75, 0.25, -1, 0.5, 2};                       /* (4, 2) */
static const char *const paths[] = {"a.weight", "a.bias", "b.weight", "b.bias"};
static const int counts[] = {6, 2, 6, 2};
static const double start[VALUES] = {0.1,  -0.2, 0.3,  0.4,   -0.5, 0.6,  0.05, -0.1,
                                     -0.3, 0.2,  0.15, -0.25, 0.35, 0.45, 0,    0.2};

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

/* The optimisers of make_groups.py. */
static mt_optimizer *optimizer_of(mt_module *net, int i)
{
    mt_sgd_options sgd = mt_sgd_defaults();
    mt_adam_options adam = i == 1 ? mt_adamw_defaults() : mt_adam_defaults();
    mt_rmsprop_options rmsprop = mt_rmsprop_defaults();
    sgd.rate = adam.rate = 0.05, rmsprop.rate = 0.02;
    sgd.momentum = 0.9, rmsprop.momentum = 0.5, rmsprop.centered = true;
    if (i == 2) adam.weight_decay = 0.03;
    rmsprop.weight_decay = 0.1;
    mt_optimizer *optimizer = i == 0   ? mt_sgd_new(net, sgd)
                              : i <= 2 ? mt_adam_new(net, adam)
                                       : mt_rmsprop_new(net, rmsprop);
    TEST_CHECK(optimizer, "%s", mt_last_message());
    assert_int_equal(mt_optimizer_spare_biases(optimizer), 1);
    assert_int_equal(mt_optimizer_add_group(optimizer, 0.03, 0.2), 2);
    TEST_OK(mt_optimizer_set_group(optimizer, 2, "b.weight"));
    TEST_OK(
        mt_optimizer_set_schedule(optimizer, mt_schedule_warm_up(4, 0.25, mt_schedule_cosine(10, 0.001))));
    return optimizer;
}

/* One step of them; the norm before clipping where it is asked for. */
static double step_once(mt_module *net, mt_optimizer *optimizer, mt_tape *tape, const struct golden *g,
                        int step)
{
    mt_backend *backend = mt_tape_backend(tape);
    mt_tensor *x = mt_from_doubles(backend, x_values, mt_shape(4, 3));
    mt_tensor *y = mt_from_doubles(backend, y_values, mt_shape(4, 2));
    TEST_OK(mt_optimizer_zero_grad(optimizer));
    mt_tensor *p = mt_module_forward(mt_module_child(net, "a"), tape, x);
    if (step != 5 && step != 6) p = mt_add(tape, p, mt_module_forward(mt_module_child(net, "b"), tape, x));
    mt_status status = mt_backward(tape, mt_scale(tape, mt_mse(tape, p, y), 4));
    TEST_CHECK(status == MT_OK, "%s", mt_tape_message(tape));
    const double norm = mt_item(mt_optimizer_clip_norm(optimizer, g->norm));
    TEST_OK(mt_optimizer_clip_value(optimizer, g->value));
    TEST_OK(mt_optimizer_step(optimizer));
    mt_tape_reset(tape);
    mt_tensor_free(x);
    mt_tensor_free(y);
    return norm;
}

static void trajectories(void **state)
{
    (void)state;
    EACH_BACKEND(backend)
    {
        for (int i = 0; i < (int)TEST_LENGTH(goldens); i++) {
            const struct golden *g = &goldens[i];
            mt_module *net = two_layers(backend);
            mt_optimizer *optimizer = optimizer_of(net, i);
            mt_tape *tape = test_tape(backend);
            int check = 0;
            for (int step = 1; step <= STEPS; step++) {
                char what[100];
                snprintf(what, sizeof what, "%s, step %d on %s", g->name, step, backend->name);
                const double norm = step_once(net, optimizer, tape, g, step);
                TEST_ALL_CLOSE(&norm, &g->norms[step - 1], 1, 0, 200 * test_epsilon, what);
                if (step != checked[check]) continue;
                for (int k = 0, at = 0; k < 4; at += counts[k++])
                    TEST_ALL_CLOSE(test_read(mt_module_parameter(net, paths[k])), g->want[check] + at,
                                   counts[k], 300 * test_epsilon, 0, what);
                check++;
            }
            assert_int_equal(mt_optimizer_steps(optimizer), STEPS);
            assert_int_equal(mt_optimizer_parameter_steps(optimizer, "b.bias"), STEPS - 2);
            mt_optimizer_free(optimizer);
            mt_module_free(net);
            test_cases++;
        }
    }
}

/* ---- the state by name: a copy of everything that it names goes on with the same bits ---- */

static void copy_state(mt_optimizer *to, mt_optimizer *from)
{
    assert_string_equal(mt_optimizer_rule(to), mt_optimizer_rule(from));
    TEST_OK(mt_optimizer_set_steps(to, mt_optimizer_steps(from)));
    for (int i = 0; i < mt_optimizer_parameters(from); i++) {
        const char *name = mt_optimizer_parameter_name(from, i);
        TEST_OK(mt_optimizer_set_parameter_steps(to, name, mt_optimizer_parameter_steps(from, name)));
        for (int s = 0; s < mt_optimizer_states(from); s++) {
            const char *what = mt_optimizer_state_name(from, s);
            TEST_OK(mt_op_copy(mt_optimizer_state(to, name, what), mt_optimizer_state(from, name, what)));
        }
    }
}

static void goes_on(void **state)
{
    (void)state;
    EACH_BACKEND(backend)
    {
        for (int i = 0; i < (int)TEST_LENGTH(goldens); i++) {
            mt_module *net = two_layers(backend), *again = two_layers(backend);
            mt_optimizer *optimizer = optimizer_of(net, i);
            mt_tape *tape = test_tape(backend);
            for (int step = 1; step <= 7; step++) step_once(net, optimizer, tape, &goldens[i], step);
            mt_optimizer *other = optimizer_of(again, i);
            TEST_OK(mt_module_copy(again, net));
            copy_state(other, optimizer);
            for (int step = 8; step <= 12; step++) {
                step_once(net, optimizer, tape, &goldens[i], step);
                step_once(again, other, tape, &goldens[i], step);
            }
            for (int k = 0; k < 4; k++)
                TEST_ALL_SAME(test_read(mt_module_parameter(again, paths[k])),
                              test_read(mt_module_parameter(net, paths[k])), counts[k], paths[k]);
            mt_optimizer_free(optimizer);
            mt_optimizer_free(other);
            mt_module_free(net);
            mt_module_free(again);
            test_cases++;
        }
    }
}

static void states(void **state)
{
    (void)state;
    mt_module *net = two_layers(test_cpu());
    static const char *const names[MT_UPDATE_COUNT][MT_UPDATE_STATES] = {
        [MT_UPDATE_sgd] = {NULL},
        [MT_UPDATE_momentum] = {"momentum_buffer"},
        [MT_UPDATE_adam] = {"exp_avg", "exp_avg_sq"},
        [MT_UPDATE_adamw] = {"exp_avg", "exp_avg_sq"},
        [MT_UPDATE_adagrad] = {"sum"},
        [MT_UPDATE_rmsprop] = {"square_avg"},
        [MT_UPDATE_rmsprop_momentum] = {"square_avg", "momentum_buffer"},
        [MT_UPDATE_rmsprop_centered] = {"square_avg", "grad_avg"},
        [MT_UPDATE_rmsprop_centered_momentum] = {"square_avg", "grad_avg", "momentum_buffer"},
    };
    for (int r = 0; r < (int)MT_UPDATE_COUNT; r++) {
        const mt_update_info *rule = mt_update_describe((mt_update_rule)r);
        for (int s = 0; s < MT_UPDATE_STATES; s++) {
            assert_true((rule->state[s] != NULL) == (s < rule->states));
            if (rule->state[s]) assert_string_equal(rule->state[s], names[r][s]);
        }
    }
    mt_adagrad_options options = mt_adagrad_defaults();
    options.initial = 0.5;
    mt_optimizer *optimizer = mt_adagrad_new(net, options), *plain = mt_sgd_new(net, mt_sgd_defaults());
    assert_int_equal(mt_optimizer_parameters(optimizer), 4);
    assert_int_equal(mt_optimizer_states(optimizer), 1);
    assert_int_equal(mt_optimizer_states(plain), 0);
    for (int i = 0; i < 4; i++) assert_string_equal(mt_optimizer_parameter_name(optimizer, i), paths[i]);
    assert_true(test_read(mt_optimizer_state(optimizer, "b.weight", "sum"))[5] == 0.5);
    TEST_NULL(mt_optimizer_state(optimizer, "b.weight", "exp_avg"), MT_ERR_NAME,
              "adagrad keeps no state \"exp_avg\"; it keeps sum");
    TEST_NULL(mt_optimizer_state(plain, "b.weight", "sum"), MT_ERR_NAME,
              "sgd keeps no state \"sum\"; it keeps none");
    TEST_NULL(mt_optimizer_state(optimizer, "c", "sum"), MT_ERR_NAME,
              "no parameter \"c\"; it has a.weight, a.bias, b.weight, b.bias");
    TEST_NULL(mt_optimizer_parameter_name(optimizer, 4), MT_ERR_INDEX, "no parameter 4");
    TEST_NULL(mt_optimizer_state_name(optimizer, 1), MT_ERR_INDEX, "no state 1");
    TEST_FAILS(mt_optimizer_set_steps(optimizer, -1), MT_ERR_VALUE, "-1 steps");
    TEST_FAILS(mt_optimizer_set_parameter_steps(optimizer, "a.bias", INT64_MAX), MT_ERR_VALUE, "2^53");
    TEST_FAILS(mt_optimizer_set_parameter_steps(optimizer, "a", 1), MT_ERR_NAME, "no parameter \"a\"");
    test_stale();
    assert_int_equal(mt_optimizer_parameter_steps(optimizer, ""), -1);
    assert_int_equal(mt_last_status(), MT_ERR_NAME);
    mt_optimizer_free(optimizer);
    mt_optimizer_free(plain);
    mt_module_free(net);
}

/* ---- groups ---- */

static mt_tensor *identity(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    (void)self, (void)context, (void)tape;
    return x;
}

static void groups(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_module *net = two_layers(backend);
    static const struct {
        const char *module, *name;
        int rank;
        bool spared;
    } more[] = {
        {"layer_norm2", "weight", 2, true}, {"normal", "weight", 2, false}, {"scale", "gain", 1, true},
        {"deep", "bias", 2, true},          {"enorm", "w", 2, true},        {"norms", "w", 2, false}};
    for (size_t i = 0; i < TEST_LENGTH(more); i++)
        mt_module_add_parameter(mt_module_add(net, more[i].module, mt_module_new("M", identity)),
                                more[i].name,
                                mt_ones(backend, more[i].rank == 2 ? mt_shape(2, 3) : mt_shape(3)));
    TEST_OK(mt_module_status(net));
    mt_optimizer *optimizer = mt_adam_new(net, mt_adamw_defaults());
    assert_int_equal(mt_optimizer_groups(optimizer), 1);
    assert_int_equal(mt_optimizer_add_group(optimizer, 0.5, 0.25), 1);
    TEST_OK(mt_optimizer_set_group(optimizer, 1, "b")); /* a module: all below it */
    assert_int_equal(mt_optimizer_get_group(optimizer, "b.bias"), 1);
    assert_int_equal(mt_optimizer_spare_biases(optimizer), 2);
    assert_int_equal(mt_optimizer_get_group(optimizer, "b.bias"), 1); /* stays where it was put */
    assert_int_equal(mt_optimizer_get_group(optimizer, "a.bias"), 2);
    assert_int_equal(mt_optimizer_get_group(optimizer, "a.weight"), 0);
    for (size_t i = 0; i < TEST_LENGTH(more); i++) {
        char path[60];
        snprintf(path, sizeof path, "%s.%s", more[i].module, more[i].name);
        TEST_CHECK(mt_optimizer_get_group(optimizer, path) == (more[i].spared ? 2 : 0), "%s", path);
    }
    assert_true(mt_optimizer_group_rate(optimizer, 2) == 0.001 &&
                mt_optimizer_group_decay(optimizer, 2) == 0);
    assert_true(mt_optimizer_group_rate(optimizer, 1) == 0.5 &&
                mt_optimizer_group_decay(optimizer, 1) == 0.25);
    TEST_OK(mt_optimizer_set_group_rate(optimizer, 2, 0.75));
    TEST_OK(mt_optimizer_set_group_decay(optimizer, 2, 0.125));
    assert_true(mt_optimizer_get_rate(optimizer) == 0.001);
    TEST_OK(mt_optimizer_set_rate(optimizer, 0.3)); /* of all */
    for (int g = 0; g < 3; g++) assert_true(mt_optimizer_group_rate(optimizer, g) == 0.3);
    assert_true(mt_optimizer_group_decay(optimizer, 2) == 0.125);

    TEST_FAILS(mt_optimizer_set_group(optimizer, 2, "b.weight"), MT_ERR_STATE,
               "\"b.weight\" is in group 1 already");
    TEST_FAILS(mt_optimizer_set_group(optimizer, 0, "a.bias"), MT_ERR_STATE, "in group 2 already");
    TEST_OK(mt_optimizer_set_group(optimizer, 1, "b.weight")); /* where it is */
    assert_int_equal(mt_optimizer_add_group(optimizer, 0, 0), 3);
    TEST_FAILS(mt_optimizer_set_group(optimizer, 3, "a"), MT_ERR_STATE, "\"a.bias\" is in group 2 already");
    assert_int_equal(mt_optimizer_get_group(optimizer, "a.weight"), 0); /* nothing moved */
    TEST_FAILS(mt_optimizer_set_group(optimizer, 1, "a.w"), MT_ERR_NAME, "no parameter \"a.w\"");
    TEST_FAILS(mt_optimizer_set_group(optimizer, 1, ""), MT_ERR_NAME, "no parameter \"\"");
    TEST_FAILS(mt_optimizer_set_group(optimizer, 4, "a.weight"), MT_ERR_INDEX, "no group 4; it has 4");
    TEST_FAILS(mt_optimizer_set_group_rate(optimizer, -1, 1), MT_ERR_INDEX, "no group -1");
    TEST_FAILS(mt_optimizer_set_group_rate(optimizer, 1, -1), MT_ERR_VALUE, "the rate is -1");
    TEST_FAILS(mt_optimizer_set_group_decay(optimizer, 1, NAN), MT_ERR_VALUE, "the weight decay is nan");
    static const double bad[] = {-1, NAN, INFINITY};
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        test_stale();
        assert_int_equal(mt_optimizer_add_group(optimizer, bad[i], 0), -1);
        assert_int_equal(mt_last_status(), MT_ERR_VALUE);
        assert_int_equal(mt_optimizer_add_group(optimizer, 0, bad[i]), -1);
    }
    assert_true(isnan(mt_optimizer_group_rate(optimizer, 4)) &&
                isnan(mt_optimizer_group_decay(optimizer, -1)));
    TEST_FAILS(mt_optimizer_set_schedule(optimizer, mt_schedule_cosine(0, 0)), MT_ERR_VALUE,
               "number of steps");

    /* A schedule that leaves the numbers stops the step before anything is written. */
    TEST_OK(mt_optimizer_set_schedule(optimizer, mt_schedule_step(1, 1e30)));
    TEST_OK(mt_optimizer_set_steps(optimizer, 20));
    mt_tensor *weight = mt_module_parameter(net, "a.weight");
    mt_tape *tape = test_tape(backend);
    TEST_OK(mt_backward(tape, mt_sum(tape, weight)));
    uint64_t version = mt_tensor_version(weight);
    TEST_FAILS(mt_optimizer_step(optimizer), MT_ERR_VALUE,
               "at step 20 the schedule makes the rate of group 0");
    assert_int_equal(mt_tensor_version(weight), version);
    assert_int_equal(mt_optimizer_steps(optimizer), 20);
    mt_tape_reset(tape);
    mt_optimizer_free(optimizer);
    mt_module_free(net);
}

/* ---- clipping ---- */

/* A module of parameters of those sizes, with gradients that are given. */
static mt_module *with_gradients(mt_backend *backend, const int64_t *sizes, int count,
                                 double *const *gradients)
{
    mt_module *net = mt_module_new("Net", identity);
    mt_tape *tape = mt_tape_new(backend);
    for (int i = 0; i < count; i++) {
        char name[20];
        snprintf(name, sizeof name, "p%d", i);
        mt_tensor *p = mt_module_add_parameter(net, name, mt_zeros(backend, mt_shape(sizes[i])));
        if (!gradients[i]) continue;
        mt_tensor *g = mt_from_doubles(backend, gradients[i], mt_shape(sizes[i]));
        TEST_OK(mt_backward(tape, mt_sum(tape, mt_mul(tape, p, g))));
        mt_tape_reset(tape);
        mt_tensor_free(g);
    }
    mt_tape_free(tape);
    return net;
}

/* Norms of gradients with sizes around those of blocks and pieces; scaled to the limit; no bit depends on
 * threads, or on a parameter that has no gradient. */
static void norms(void **state)
{
    (void)state;
    enum { PARAMETERS = 7 };
    const int64_t sizes[PARAMETERS] = {1, 1023, 0, 1024, 2049, test_small() ? 3000 : 300000, 70};
    double *gradients[PARAMETERS];
    long double square = 0;
    for (int i = 0; i < PARAMETERS; i++) {
        gradients[i] = test_memory((size_t)(sizes[i] + 1) * sizeof(double));
        for (int64_t j = 0; j < sizes[i]; j++) {
            gradients[i][j] = test_round(test_between(-1, 1));
            if (i != 6) square += (long double)gradients[i][j] * gradients[i][j];
        }
    }
    gradients[6] = NULL; /* empty */
    EACH_BACKEND(backend)
    {
        double first = 0, *first_values = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            TEST_OK(mt_set_threads(threads));
            mt_module *net = with_gradients(backend, sizes, PARAMETERS, gradients);
            mt_optimizer *optimizer = mt_sgd_new(net, mt_sgd_defaults());
            mt_tensor *p5 = mt_module_parameter(net, "p5");
            const double measured = mt_item(mt_optimizer_clip_norm(optimizer, INFINITY));
            TEST_ALL_SAME(test_read(mt_grad(p5)), gradients[5], sizes[5], "measured alone");
            const double norm = mt_item(mt_optimizer_clip_norm(optimizer, 2));
            TEST_CHECK(norm == measured && test_close(norm, sqrt((double)square), 0, 20 * test_epsilon),
                       "%.17g, not %.17g", norm, sqrt((double)square));
            TEST_TRUE(test_close(mt_item(mt_optimizer_clip_norm(optimizer, INFINITY)), 2, 0, 1e-5));
            double *values = test_read(mt_grad(p5));
            for (int64_t j = 0; j < sizes[5]; j += 997)
                TEST_TRUE(test_close(values[j], gradients[5][j] * 2 / (norm + 1e-6), 0, 4 * test_epsilon));
            if (threads == 1) first = norm, first_values = values;
            TEST_TRUE(norm == first);
            TEST_ALL_SAME(values, first_values, sizes[5], "any number of threads");
            TEST_TRUE(!mt_has_grad(mt_module_parameter(net, "p6")));
            mt_alloc_stats before = mt_get_alloc_stats();
            for (int i = 0; i < 5; i++) TEST_TRUE(mt_optimizer_clip_norm(optimizer, 3) != NULL);
            assert_int_equal(mt_get_alloc_stats().allocations, before.allocations);

            /* Frozen: no part of it, as if its gradient were empty. */
            TEST_OK(mt_require_grad(p5, false));
            TEST_TRUE(mt_item(mt_optimizer_clip_norm(optimizer, INFINITY)) < 1.9);
            mt_optimizer_free(optimizer);
            mt_module_free(net);
            test_cases++;
        }
        if (!backend->host) break;
    }
    TEST_OK(mt_set_threads(2));
}

/* As torch.nn.utils.clip_grad_norm_ and clip_grad_value_ of PyTorch 2.5.1. */
static void not_numbers(void **state)
{
    (void)state;
    double large = sizeof(mt_real) == 4 ? 1e30 : 1e200;
    double g0[] = {3, NAN}, g1[] = {4, -INFINITY, 0.5}, g2[] = {0, 0}, g3[] = {large, 1};
    double *const with_nan[] = {g0, g1}, *const with_inf[] = {g2, g1}, *const zero[] = {g2, g2},
                  *const too_large[] = {g3, g2};
    static const int64_t sizes[] = {2, 3}, pairs[] = {2, 2};
    const struct {
        double *const *gradients;
        const int64_t *sizes;
        double norm, want[2][3];
    } cases[] = {{with_nan, sizes, NAN, {{NAN, NAN}, {NAN, NAN, NAN}}},
                 {with_inf, sizes, INFINITY, {{0, 0}, {0, NAN, 0}}},
                 {zero, pairs, 0, {{0, 0}, {0, 0}}},
                 {too_large, pairs, INFINITY, {{0, 0}, {0, 0}}}};
    EACH_BACKEND(backend)
    {
        for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
            mt_module *net = with_gradients(backend, cases[i].sizes, 2, cases[i].gradients);
            mt_optimizer *optimizer = mt_sgd_new(net, mt_sgd_defaults());
            const double norm = mt_item(mt_optimizer_clip_norm(optimizer, 2));
            TEST_CHECK(test_same(norm, cases[i].norm), "case %d: the norm is %g", (int)i, norm);
            for (int p = 0; p < 2; p++)
                TEST_ALL_CLOSE(test_read(mt_grad(mt_module_parameter_at(net, p))), cases[i].want[p],
                               cases[i].sizes[p], 0, 0, "clipped by norm");
            mt_optimizer_free(optimizer);
            mt_module_free(net);
        }
        mt_module *net = with_gradients(backend, sizes, 2, with_nan);
        mt_optimizer *optimizer = mt_sgd_new(net, mt_sgd_defaults());
        const double want[2][3] = {{1.5, NAN}, {1.5, -1.5, 0.5}};
        TEST_OK(mt_optimizer_clip_value(optimizer, INFINITY));
        TEST_OK(mt_optimizer_clip_value(optimizer, 1.5));
        for (int p = 0; p < 2; p++)
            TEST_ALL_SAME(test_read(mt_grad(mt_module_parameter_at(net, p))), want[p], sizes[p], "by value");
        static const double bad[] = {-1, NAN, -INFINITY};
        for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
            TEST_NULL(mt_optimizer_clip_norm(optimizer, bad[i]), MT_ERR_VALUE, "largest norm is");
            TEST_FAILS(mt_optimizer_clip_value(optimizer, bad[i]), MT_ERR_VALUE, "largest size is");
        }
        TEST_OK(mt_optimizer_zero_grad(optimizer)); /* nothing to clip */
        TEST_TRUE(mt_item(mt_optimizer_clip_norm(optimizer, 2)) == 0);
        TEST_OK(mt_optimizer_clip_value(optimizer, 2));
        mt_optimizer_free(optimizer);
        mt_module_free(net);
    }
}

static void null_passes_through(void **state)
{
    (void)state;
    mt_fail(MT_ERR_IO, "the reason");
    assert_int_equal(mt_optimizer_add_group(NULL, 1, 1), -1);
    assert_int_equal(mt_optimizer_spare_biases(NULL), -1);
    assert_int_equal(mt_optimizer_groups(NULL), 0);
    assert_int_equal(mt_optimizer_parameters(NULL), 0);
    assert_int_equal(mt_optimizer_states(NULL), 0);
    assert_int_equal(mt_optimizer_steps(NULL), -1);
    assert_int_equal(mt_optimizer_get_group(NULL, "x"), -1);
    assert_int_equal(mt_optimizer_parameter_steps(NULL, "x"), -1);
    assert_true(isnan(mt_optimizer_group_rate(NULL, 0)) && isnan(mt_optimizer_group_decay(NULL, 0)));
    assert_null(mt_optimizer_clip_norm(NULL, -1));
    assert_null(mt_optimizer_rule(NULL));
    assert_int_equal(mt_optimizer_clip_value(NULL, -1), MT_ERR_NULL);
    assert_int_equal(mt_optimizer_set_schedule(NULL, mt_schedule_cosine(0, 0)), MT_ERR_NULL);
    assert_string_equal(mt_last_message(), "the reason");
}

/* The first clipping allocates; where it cannot, nothing is left over and the next one does. */
static void allocation_failures(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    double g[] = {3, 4};
    double *const gradients[] = {g};
    static const int64_t sizes[] = {2};
    mt_module *net = with_gradients(backend, sizes, 1, gradients);
    mt_optimizer *optimizer = mt_sgd_new(net, mt_sgd_defaults());
    const size_t held = mt_get_alloc_stats().bytes;
    bool done = false;
    int k = 0;
    while (!done) {
        test_stale();
        mt_alloc_fail_at((uint64_t)++k);
        mt_tensor *norm = mt_optimizer_clip_norm(optimizer, 100);
        const mt_status status = mt_last_status();
        mt_alloc_fail_at(0);
        done = norm != NULL;
        if (done) break;
        TEST_CHECK(status == MT_ERR_MEMORY, "allocation %d: %s", k, mt_last_message());
        assert_int_equal(mt_get_alloc_stats().bytes, held);
    }
    TEST_TRUE(k > 10 && mt_item(mt_optimizer_clip_norm(optimizer, 100)) == 5);
    mt_optimizer_free(optimizer);
    mt_module_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(trajectories),
        TEST(goes_on),
        TEST(states),
        TEST(groups),
        TEST(norms),
        TEST(not_numbers),
        TEST(null_passes_through),
        TEST(allocation_failures),
    };
    return TEST_RUN("nn_groups", tests);
}
