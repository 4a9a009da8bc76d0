/* tests/test_arguments.c - functions that take a real number or a count, given each of NaN, the
 * infinities, a negative one, 0 and one that a float does not hold: refused with a sentence, or allowed as
 * its header says. Operations of op_table.inc take any constants.
 */
#include "autodiff/elementwise.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "nn/batches.h"
#include "nn/datasets.h"
#include "support.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static mt_backend *backend;
static mt_rng rng;
static mt_module *net;
static mt_tensor *weight, *vector;
static mt_tape *tape;

/* ---- each function as one of a number; pointers as statuses ---- */

static mt_status made(mt_tensor *x)
{
    const mt_status status = x ? MT_OK : mt_last_status();
    mt_tensor_free(x);
    return status;
}

static mt_status made_optimizer(mt_optimizer *optimizer)
{
    const mt_status status = optimizer ? MT_OK : mt_last_status();
    mt_optimizer_free(optimizer);
    return status;
}

static mt_status made_module(mt_module *module)
{
    const mt_status status = module ? MT_OK : mt_last_status();
    if (module) mt_module_free(module);
    return status;
}

static mt_status on_tape(const mt_tensor *x)
{
    const mt_status status = x ? MT_OK : mt_tape_status(tape);
    mt_tape_reset(tape);
    return status;
}

static mt_tensor *twice(mt_tape *t, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_add(t, in[0], in[0]);
}

static mt_status checked(int inputs, mt_gradcheck_options options)
{
    return mt_gradcheck(backend, twice, NULL, &vector, inputs, options);
}

#define REAL(name, call) \
    static mt_status real_##name(double v) { return call; }
#define WITH(type, defaults, field, call) \
    type o = defaults();                  \
    o.field = v;                          \
    return call
#define OPTION(name, type, defaults, field, call) \
    static mt_status real_##name(double v) { WITH(type, defaults, field, call); }

OPTION(check_epsilon, mt_gradcheck_options, mt_gradcheck_defaults, epsilon, checked(1, o))
OPTION(check_atol, mt_gradcheck_options, mt_gradcheck_defaults, atol, checked(1, o))
OPTION(check_rtol, mt_gradcheck_options, mt_gradcheck_defaults, rtol, checked(1, o))
OPTION(sgd_rate, mt_sgd_options, mt_sgd_defaults, rate, made_optimizer(mt_sgd_new(net, o)))
OPTION(sgd_momentum, mt_sgd_options, mt_sgd_defaults, momentum, made_optimizer(mt_sgd_new(net, o)))
OPTION(sgd_decay, mt_sgd_options, mt_sgd_defaults, weight_decay, made_optimizer(mt_sgd_new(net, o)))
OPTION(adam_rate, mt_adam_options, mt_adam_defaults, rate, made_optimizer(mt_adam_new(net, o)))
OPTION(adam_beta1, mt_adam_options, mt_adam_defaults, beta1, made_optimizer(mt_adam_new(net, o)))
OPTION(adam_beta2, mt_adam_options, mt_adam_defaults, beta2, made_optimizer(mt_adam_new(net, o)))
OPTION(adam_epsilon, mt_adam_options, mt_adam_defaults, epsilon, made_optimizer(mt_adam_new(net, o)))
OPTION(adamw_decay, mt_adam_options, mt_adamw_defaults, weight_decay, made_optimizer(mt_adam_new(net, o)))
OPTION(adagrad_rate, mt_adagrad_options, mt_adagrad_defaults, rate, made_optimizer(mt_adagrad_new(net, o)))
OPTION(adagrad_rate_decay, mt_adagrad_options, mt_adagrad_defaults, rate_decay,
       made_optimizer(mt_adagrad_new(net, o)))
OPTION(adagrad_decay, mt_adagrad_options, mt_adagrad_defaults, weight_decay,
       made_optimizer(mt_adagrad_new(net, o)))
OPTION(adagrad_initial, mt_adagrad_options, mt_adagrad_defaults, initial,
       made_optimizer(mt_adagrad_new(net, o)))
OPTION(adagrad_epsilon, mt_adagrad_options, mt_adagrad_defaults, epsilon,
       made_optimizer(mt_adagrad_new(net, o)))
OPTION(rmsprop_rate, mt_rmsprop_options, mt_rmsprop_defaults, rate, made_optimizer(mt_rmsprop_new(net, o)))
OPTION(rmsprop_alpha, mt_rmsprop_options, mt_rmsprop_defaults, alpha, made_optimizer(mt_rmsprop_new(net, o)))
OPTION(rmsprop_epsilon, mt_rmsprop_options, mt_rmsprop_defaults, epsilon,
       made_optimizer(mt_rmsprop_new(net, o)))
OPTION(rmsprop_decay, mt_rmsprop_options, mt_rmsprop_defaults, weight_decay,
       made_optimizer(mt_rmsprop_new(net, o)))
OPTION(rmsprop_momentum, mt_rmsprop_options, mt_rmsprop_defaults, momentum,
       made_optimizer(mt_rmsprop_new(net, o)))
REAL(uniform_low, mt_op_uniform(weight, &rng, v, 2))
REAL(uniform_high, mt_op_uniform(weight, &rng, -2, v))
REAL(normal_mean, mt_op_normal(weight, &rng, v, 1))
REAL(normal_deviation, mt_op_normal(weight, &rng, 0, v))
REAL(init_constant, mt_init_constant(weight, v))
REAL(xavier_uniform, mt_init_xavier_uniform(weight, &rng, v))
REAL(xavier_normal, mt_init_xavier_normal(weight, &rng, v))
REAL(kaiming_uniform, mt_init_kaiming_uniform(weight, &rng, v))
REAL(kaiming_normal, mt_init_kaiming_normal(weight, &rng, v))
REAL(var_correction, on_tape(mt_var(tape, vector, v)))
REAL(fill, mt_op_fill(weight, v))
REAL(num, on_tape(mt_num(tape, v)))
REAL(linspace, made(mt_linspace(backend, v, 1, 3)))
REAL(clamp, on_tape(mt_clamp(tape, vector, v, 1)))
REAL(activation, made_module(mt_activation_layer(MT_OP_leaky_relu, v, 0)))

static mt_status real_rate_later(double v)
{
    mt_optimizer *optimizer = mt_sgd_new(net, mt_sgd_defaults());
    const mt_status status = mt_optimizer_set_rate(optimizer, v);
    mt_optimizer_free(optimizer);
    return status;
}

/* ---- real numbers ---- */

enum {
    NOT_A_NUMBER = 1,
    PLUS_INFINITY = 2,
    MINUS_INFINITY = 4,
    NEGATIVE = 8, /* -1 */
    ZERO = 16,
    FAR = 32, /* 1e300, which float does not hold */
    INFINITE = NOT_A_NUMBER | PLUS_INFINITY | MINUS_INFINITY,
    UNHELD = INFINITE | FAR
};

static const double numbers[] = {NAN, INFINITY, -INFINITY, -1, 0, 1e300};

static const struct {
    const char *name, *part; /* of the sentence */
    mt_status (*call)(double value);
    unsigned refused;
} reals[] = {
    {"gradcheck's epsilon", "epsilon is", real_check_epsilon, UNHELD | NEGATIVE | ZERO},
    {"gradcheck's atol", "atol is", real_check_atol, INFINITE | NEGATIVE},
    {"gradcheck's rtol", "rtol", real_check_rtol, INFINITE | NEGATIVE},
    {"sgd's rate", "rate is", real_sgd_rate, UNHELD | NEGATIVE},
    {"sgd's momentum", "momentum is", real_sgd_momentum, UNHELD | NEGATIVE},
    {"sgd's weight decay", "weight decay is", real_sgd_decay, UNHELD | NEGATIVE},
    {"adam's rate", "rate is", real_adam_rate, UNHELD | NEGATIVE},
    {"adam's beta1", "beta1 is", real_adam_beta1, UNHELD | NEGATIVE},
    {"adam's beta2", "beta2 is", real_adam_beta2, UNHELD | NEGATIVE},
    {"adam's epsilon", "epsilon is", real_adam_epsilon, UNHELD | NEGATIVE | ZERO},
    {"adamw's weight decay", "weight decay is", real_adamw_decay, UNHELD | NEGATIVE},
    {"adagrad's rate", "rate is", real_adagrad_rate, UNHELD | NEGATIVE},
    {"adagrad's rate decay", "rate decay is", real_adagrad_rate_decay, UNHELD | NEGATIVE},
    {"adagrad's weight decay", "weight decay is", real_adagrad_decay, UNHELD | NEGATIVE},
    {"adagrad's initial", "initial sum of squares is", real_adagrad_initial, UNHELD | NEGATIVE},
    {"adagrad's epsilon", "epsilon is", real_adagrad_epsilon, UNHELD | NEGATIVE | ZERO},
    {"rmsprop's rate", "rate is", real_rmsprop_rate, UNHELD | NEGATIVE},
    {"rmsprop's alpha", "alpha is", real_rmsprop_alpha, UNHELD | NEGATIVE},
    {"rmsprop's epsilon", "epsilon is", real_rmsprop_epsilon, UNHELD | NEGATIVE | ZERO},
    {"rmsprop's weight decay", "weight decay is", real_rmsprop_decay, UNHELD | NEGATIVE},
    {"rmsprop's momentum", "momentum is", real_rmsprop_momentum, UNHELD | NEGATIVE},
    {"optimizer_set_rate", "rate is", real_rate_later, UNHELD | NEGATIVE},
    {"uniform's low", "interval", real_uniform_low, UNHELD},
    {"uniform's high", "interval", real_uniform_high, UNHELD},
    {"normal's mean", "mean", real_normal_mean, UNHELD},
    {"normal's deviation", "deviation", real_normal_deviation, UNHELD | NEGATIVE},
    {"init_constant", "value is", real_init_constant, UNHELD},
    {"xavier_uniform's gain", "", real_xavier_uniform, UNHELD | NEGATIVE},
    {"xavier_normal's gain", "", real_xavier_normal, UNHELD | NEGATIVE},
    {"kaiming_uniform's gain", "", real_kaiming_uniform, UNHELD | NEGATIVE},
    {"kaiming_normal's gain", "", real_kaiming_normal, UNHELD | NEGATIVE},
    {"var's correction", "correction is", real_var_correction, INFINITE},
    {"fill", "", real_fill, 0},
    {"num", "", real_num, 0},
    {"linspace's first", "", real_linspace, 0},
    {"clamp's low", "", real_clamp, 0},
    {"leaky_relu's slope", "", real_activation, 0},
};

/* Whether 1e300 is one of those that are refused: where double holds it, only below a bound of 1. */
static bool refuses(size_t row, size_t k)
{
    if (!(reals[row].refused >> k & 1)) return false;
    return numbers[k] != 1e300 || sizeof(mt_real) == sizeof(float) || strstr(reals[row].part, "beta") ||
           strstr(reals[row].part, "alpha") || strcmp(reals[row].name, "uniform's low") == 0;
}

static void test_reals(void **data)
{
    (void)data;
    for (size_t i = 0; i < TEST_LENGTH(reals); i++) {
        for (size_t k = 0; k < TEST_LENGTH(numbers); k++) {
            test_stale();
            const mt_status status = reals[i].call(numbers[k]);
            const bool refused = refuses(i, k);
            TEST_CHECK(status == (refused ? MT_ERR_VALUE : MT_OK), "%s of %g: %s, \"%s\"", reals[i].name,
                       numbers[k], mt_status_name(status), mt_last_message());
            TEST_CHECK(!refused || strstr(mt_last_message(), reals[i].part), "%s of %g: \"%s\"",
                       reals[i].name, numbers[k], mt_last_message());
            test_cases++;
        }
        test_rows++;
    }
}

/* What the constants of an operation do when they are no usual numbers. */
static void test_constants(void **data)
{
    (void)data;
    mt_tensor *x = OWN(mt_parse(backend, "[-2, 0, 2]")), *y = OWN(mt_parse(backend, "[-2, 0, 2.5]"));
    static const struct {
        double low, high, want[3];
    } clamps[] = {{1, -1, {-1, -1, -1}},
                  {NAN, 1, {-2, 0, 1}},
                  {-1, NAN, {-1, 0, 2}},
                  {-INFINITY, INFINITY, {-2, 0, 2}}};
    for (size_t i = 0; i < TEST_LENGTH(clamps); i++)
        TEST_ALL_SAME(test_read(ON(tape, mt_clamp(tape, x, clamps[i].low, clamps[i].high))), clamps[i].want,
                      3, "clamp");
    static const struct {
        double atol, rtol, want[3];
    } close[] = {{-1, 0, {1, 1, 0}}, {NAN, 0, {1, 1, 0}}, {0, NAN, {1, 1, 0}}, {INFINITY, 0, {1, 1, 1}}};
    for (size_t i = 0; i < TEST_LENGTH(close); i++)
        TEST_ALL_SAME(test_read(ON(tape, mt_is_close(tape, x, y, close[i].atol, close[i].rtol))),
                      close[i].want, 3, "is_close");
    /* distances 4, 0, 4: divided by 3 - correction, where that is above 0 */
    static const double corrections[][2] = {{1, 4}, {0, 8.0 / 3}, {-1, 2}, {3, INFINITY}, {5, INFINITY}};
    for (size_t i = 0; i < TEST_LENGTH(corrections); i++)
        TEST_TRUE(test_close(mt_item(ON(tape, mt_var(tape, x, corrections[i][0]))), corrections[i][1], 0,
                             2 * test_epsilon));
    TEST_TRUE(isnan(mt_item(ON(tape, mt_var(tape, OWN(mt_ones(backend, mt_shape(2))), 2)))));
    test_cases++;
}

/* ---- counts ---- */

#define COUNT(name, call) \
    static mt_status count_##name(int64_t v) { return call; }
static int as_int(int64_t v) { return v < INT_MIN ? INT_MIN : (int)v; }
static mt_status checked_at(int64_t every_index, int directions)
{
    mt_gradcheck_options o = mt_gradcheck_defaults();
    o.every_index = every_index;
    o.directions = directions;
    return checked(1, o);
}
static mt_status made_batches(int64_t size)
{
    mt_batches *batches = mt_batches_new(vector, vector, size, rng);
    const mt_status status = batches ? MT_OK : mt_last_status();
    mt_batches_free(batches);
    return status;
}
static mt_status made_dataset(int64_t points)
{
    mt_dataset *dataset = mt_dataset_make(backend, MT_DATASET_XOR, points, &rng);
    const mt_status status = dataset ? MT_OK : mt_last_status();
    mt_dataset_free(dataset);
    return status;
}

COUNT(check_inputs, checked(as_int(v), mt_gradcheck_defaults()))
COUNT(check_every_index, checked_at(v, 1))
COUNT(check_directions, checked_at(0, as_int(v)))
COUNT(linspace, made(mt_linspace(backend, 0, 1, v)))
COUNT(eye, made(mt_eye(backend, v)))
COUNT(permutation, made(mt_permutation(backend, &rng, v)))
COUNT(zeros, made(mt_zeros(backend, mt_shape(2, v))))
COUNT(step, made(mt_tensor_slice(vector, 0, 0, 1, v)))
COUNT(inputs, made_module(mt_linear_layer(backend, v, 2, MT_INIT_PYTORCH, &rng)))
COUNT(outputs, made_module(mt_linear_layer(backend, 2, v, MT_INIT_PYTORCH, &rng)))
COUNT(mlp, made_module(mt_mlp(backend, mt_shape(2, v, 1), MT_OP_relu, MT_INIT_PYTORCH, &rng)))
COUNT(points, made_dataset(v))
COUNT(batch, made_batches(v))
COUNT(threads, mt_set_threads(as_int(v)))

static const struct {
    const char *name;
    mt_status (*call)(int64_t value);
    mt_status want;
    int64_t least;
} counts[] = {
    {"gradcheck's inputs", count_check_inputs, MT_ERR_VALUE, 1},
    {"gradcheck's every_index", count_check_every_index, MT_ERR_VALUE, 0},
    {"gradcheck's directions", count_check_directions, MT_ERR_VALUE, 1},
    {"linspace's count", count_linspace, MT_ERR_SHAPE, 0},
    {"eye's size", count_eye, MT_ERR_SHAPE, 0},
    {"permutation's count", count_permutation, MT_ERR_SHAPE, 0},
    {"a size", count_zeros, MT_ERR_SHAPE, 0},
    {"a slice's step", count_step, MT_ERR_VALUE, 1},
    {"a layer's inputs", count_inputs, MT_ERR_SHAPE, 1},
    {"a layer's outputs", count_outputs, MT_ERR_SHAPE, 1},
    {"mlp's sizes", count_mlp, MT_ERR_SHAPE, 1},
    {"a data set's points", count_points, MT_ERR_VALUE, 1},
    {"a batch's size", count_batch, MT_ERR_VALUE, 1},
    {"threads", count_threads, MT_ERR_VALUE, 1},
};

static void test_counts(void **data)
{
    (void)data;
    static const int64_t values[] = {INT64_MIN, -1, 0, 1};
    const int threads = mt_get_threads();
    for (size_t i = 0; i < TEST_LENGTH(counts); i++) {
        for (size_t k = 0; k < TEST_LENGTH(values); k++) {
            test_stale();
            const mt_status status = counts[i].call(values[k]);
            const bool refused = values[k] < counts[i].least;
            TEST_CHECK(status == (refused ? counts[i].want : MT_OK), "%s of %lld: %s, \"%s\"", counts[i].name,
                       (long long)values[k], mt_status_name(status), mt_last_message());
            TEST_CHECK(!refused || *mt_last_message(), "%s of %lld: no sentence", counts[i].name,
                       (long long)values[k]);
            test_cases++;
        }
        test_rows++;
    }
    TEST_OK(mt_set_threads(threads));
    int64_t order[] = {7, 7};
    const uint64_t before = rng.counter;
    mt_rng_permutation(&rng, order, 0);
    mt_rng_permutation(&rng, order, -1);
    TEST_TRUE(order[0] == 7 && order[1] == 7 && rng.counter == before);
}

static int prepare(void **state)
{
    const int begun = test_begin(state);
    backend = test_cpu();
    rng = mt_rng_make(test_bits());
    weight = OWN(mt_zeros(backend, mt_shape(2, 3)));
    vector = OWN(mt_ones(backend, mt_shape(2)));
    TEST_OK(mt_require_grad(vector, true));
    tape = test_tape(backend);
    net = mt_linear_layer(backend, 2, 1, MT_INIT_PYTORCH, &rng);
    TEST_OK(mt_module_status(net));
    return begun;
}

static int clear(void **state)
{
    mt_module_free(net);
    return test_end(state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reals, prepare, clear),
        cmocka_unit_test_setup_teardown(test_constants, prepare, clear),
        cmocka_unit_test_setup_teardown(test_counts, prepare, clear),
    };
    return TEST_RUN("arguments", tests);
}
