/* tests/test_step.c - mt_step: one shard has the bits of a loop over a mean; several have those of a tree
 * made by hand from their own gradients, and the mean's gradient; weights, clipping, evaluation, and what is
 * refused.
 */
#include "support.h"

#include <math.h>
#include <string.h>

#include "minitorch.h"

enum { INPUTS = 3, OUTPUTS = 2, MOST_ROWS = 40 };

/* ---- a model, its optimiser and data ---- */

typedef struct {
    mt_backend *backend;
    mt_module *net;
    mt_optimizer *optimizer;
    mt_tensor *x, *y; /* MOST_ROWS rows */
} setting;

static setting make(mt_backend *backend, bool adam)
{
    setting s = {.backend = backend};
    mt_rng rng = mt_rng_make(9);
    s.net = mt_mlp(backend, mt_shape(INPUTS, 7, OUTPUTS), MT_OP_tanh, MT_INIT_XAVIER, &rng);
    mt_adam_options options = mt_adam_defaults();
    options.rate = 0.02;
    s.optimizer = adam ? mt_adam_new(s.net, options) : mt_sgd_new(s.net, mt_sgd_defaults());
    s.x = mt_normal(backend, mt_shape(MOST_ROWS, INPUTS), &rng, 0, 1);
    s.y = mt_uniform(backend, mt_shape(MOST_ROWS, OUTPUTS), &rng, 0, 1);
    TEST_CHECK(s.optimizer && s.x && s.y, "%s", mt_last_message());
    return s;
}

static void drop(setting *s)
{
    mt_optimizer_free(s->optimizer);
    mt_module_free(s->net);
    mt_tensor_free(s->x);
    mt_tensor_free(s->y);
}

static mt_tensor *rows_of(mt_tensor *x, int64_t first, int64_t last)
{
    mt_tensor *view = mt_tensor_slice(x, 0, first, last, 1);
    TEST_CHECK(view, "%s", mt_last_message());
    return view;
}

static mt_step *step_of(setting *s, mt_loss_fn loss, mt_step_options options)
{
    mt_step *step = mt_step_new(s->net, loss, s->optimizer, options);
    TEST_CHECK(step, "%s", mt_last_message());
    return step;
}

static void run(mt_step *step, setting *s, int64_t first, int64_t last)
{
    mt_tensor *x = rows_of(s->x, first, last), *y = rows_of(s->y, first, last);
    const mt_status status = mt_step_run(step, x, y);
    TEST_CHECK(status == MT_OK, "%s", mt_last_message());
    mt_tensor_free(x);
    mt_tensor_free(y);
}

static void same_parameters(const setting *a, const setting *b, const char *what)
{
    for (int i = 0; i < mt_module_parameters(a->net); i++) {
        const mt_tensor *p = mt_module_parameter_at(a->net, i);
        TEST_ALL_SAME(test_read(p), test_read(mt_module_parameter_at(b->net, i)), mt_tensor_count(p), what);
    }
}

/* ---- one shard: the loop that a program writes, bit for bit ---- */

static void one_shard(void **state)
{
    (void)state;
    static const int64_t batches[] = {10, 10, 7, 1, 13, 10};
    EACH_BACKEND(backend)
    {
        for (int which = 0; which < 4; which++) {
            const bool bce = which & 1, adam = which >> 1;
            setting mine = make(backend, adam), loop = make(backend, adam);
            mt_step_options options = mt_step_defaults();
            options.clip_norm = adam ? 0.3 : INFINITY;
            options.clip_value = adam ? 0.2 : INFINITY;
            mt_step *step = step_of(&mine, bce ? mt_loss_bce_with_logits : mt_loss_mse, options);
            mt_tape *tape = test_tape(backend);
            for (int epoch = 0; epoch < 2; epoch++) {
                for (size_t i = 0, first = 0; i < TEST_LENGTH(batches) && first < MOST_ROWS; i++) {
                    const int64_t last =
                        (int64_t)first + batches[i] < MOST_ROWS ? (int64_t)first + batches[i] : MOST_ROWS;
                    mt_tensor *x = rows_of(loop.x, (int64_t)first, last),
                              *y = rows_of(loop.y, (int64_t)first, last);
                    mt_tensor *p = mt_module_forward(loop.net, tape, x);
                    mt_tensor *loss = bce ? mt_bce_with_logits(tape, p, y) : mt_mse(tape, p, y);
                    TEST_OK(mt_optimizer_zero_grad(loop.optimizer));
                    TEST_OK(mt_backward(tape, loss));
                    if (adam) {
                        TEST_TRUE(mt_optimizer_clip_norm(loop.optimizer, 0.3) != NULL);
                        TEST_OK(mt_optimizer_clip_value(loop.optimizer, 0.2));
                    }
                    TEST_OK(mt_optimizer_step(loop.optimizer));
                    run(step, &mine, (int64_t)first, last);
                    /* simple divides its sum before it rounds */
                    const double rounding = backend == test_simple() ? test_epsilon : 0;
                    TEST_TRUE(test_close(mt_item(mt_step_loss(step)), mt_item(loss), 0, rounding));
                    TEST_TRUE(mt_item(mt_step_weight(step)) == (double)((last - (int64_t)first) * OUTPUTS));
                    mt_tape_reset(tape);
                    mt_tensor_free(x);
                    mt_tensor_free(y);
                    same_parameters(&mine, &loop, "a step beside a loop");
                    first = (size_t)last;
                    test_cases++;
                }
            }
            mt_step_free(step);
            drop(&mine);
            drop(&loop);
        }
    }
}

/* ---- shards ---- */

enum { VALUES = INPUTS * 7 + 7 + 7 * OUTPUTS + OUTPUTS };

/* The gradient, the sum and the weight of some rows, as double copies of what the library has. */
typedef struct {
    bool there;
    double grad[VALUES], sum, weight;
} numbers;

static void read_gradients(mt_module *net, double *to)
{
    for (int i = 0; i < mt_module_parameters(net); i++) {
        mt_tensor *p = mt_module_parameter_at(net, i);
        memcpy(to, test_read(mt_grad(p)), (size_t)mt_tensor_count(p) * sizeof *to);
        to += mt_tensor_count(p);
    }
}

static numbers of_rows(setting *s, mt_loss_fn loss, int64_t first, int64_t last)
{
    numbers n = {.there = last > first};
    if (!n.there) return n;
    mt_tape *tape = mt_tape_new(s->backend);
    mt_tensor *x = rows_of(s->x, first, last), *y = rows_of(s->y, first, last);
    mt_tensor *weight = mt_num(tape, (double)(last - first));
    mt_tensor *sum = loss(NULL, tape, mt_module_forward(s->net, tape, x), y, &weight);
    mt_module_zero_grad(s->net);
    TEST_OK(mt_backward(tape, sum));
    read_gradients(s->net, n.grad);
    n.sum = mt_item(sum), n.weight = mt_item(weight);
    mt_tape_free(tape);
    mt_tensor_free(x);
    mt_tensor_free(y);
    return n;
}

/* The tree of shards.h, with each sum rounded as the library rounds. */
static numbers tree(setting *s, mt_loss_fn loss, int64_t rows, int shards, int first, int count)
{
    if (count == 1) return of_rows(s, loss, first * rows / shards, (first + 1) * rows / shards);
    int left = 1;
    while (left * 2 < count) left *= 2;
    numbers a = tree(s, loss, rows, shards, first, left),
            b = tree(s, loss, rows, shards, first + left, count - left);
    if (!a.there || !b.there) return a.there ? a : b;
    for (int i = 0; i < VALUES; i++) a.grad[i] = test_round(a.grad[i] + b.grad[i]);
    a.sum = test_round(a.sum + b.sum), a.weight = test_round(a.weight + b.weight);
    return a;
}

/* A row counts as much as its first target says, so none where that is 0, as with class weights. */
static mt_tensor *weighted(void *context, mt_tape *tape, mt_tensor *p, mt_tensor *y, mt_tensor **weight)
{
    (void)context;
    mt_tensor *each = mt_mul(tape, mt_squared_difference(tape, p, y), mt_slice(tape, y, 1, 0, 1, 1));
    *weight = mt_sum(tape, mt_slice(tape, y, 1, 0, 1, 1));
    return mt_sum(tape, each);
}

static void shards_meet_in_a_tree(void **state)
{
    (void)state;
    static const struct {
        int shards;
        int64_t rows;
    } cases[] = {{1, 9},  {2, 9}, {3, 9}, {4, 40}, {5, 23},  {6, 23},
                 {7, 40}, {8, 8}, {8, 5}, {11, 3}, {40, 40}, {64, 1}};
    const mt_loss_fn losses[] = {mt_loss_bce_with_logits, weighted};
    EACH_BACKEND(backend)
    {
        for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
            for (size_t l = 0; l < TEST_LENGTH(losses); l++) {
                const int shards = cases[i].shards;
                const int64_t rows = cases[i].rows;
                char what[80];
                snprintf(what, sizeof what, "%d shards of %d rows on %s", shards, (int)rows, backend->name);
                setting s = make(backend, false);
                TEST_OK(mt_set(s.y, mt_at(0, 0), 0)); /* a row of weight 0 */
                numbers want = tree(&s, losses[l], rows, shards, 0, shards),
                        whole = of_rows(&s, losses[l], 0, rows);
                TEST_OK(mt_optimizer_set_rate(s.optimizer, 0)); /* gradients are looked at */
                mt_step_options options = mt_step_defaults();
                options.shards = shards;
                mt_step *step = step_of(&s, losses[l], options);
                /* not again where the gradient was 0 / 0 */
                for (int again = 0; again < (want.weight > 0 ? 2 : 1); again++) run(step, &s, 0, rows);
                double got[VALUES], exact[VALUES], close[VALUES];
                read_gradients(s.net, got);
                for (int v = 0; v < VALUES; v++) exact[v] = test_round(want.grad[v] / want.weight);
                for (int v = 0; v < VALUES; v++) close[v] = whole.grad[v] / whole.weight;
                if (shards > 1) {
                    TEST_ALL_SAME(got, exact, VALUES, what);
                    TEST_CHECK(mt_item(mt_step_sum(step)) == want.sum, "%s: the sum is %.17g, not %.17g",
                               what, mt_item(mt_step_sum(step)), want.sum);
                    TEST_CHECK(mt_item(mt_step_weight(step)) == want.weight, "%s: the weight", what);
                }
                if (want.weight > 0)
                    TEST_ALL_CLOSE(got, close, VALUES, 200 * test_epsilon, 200 * test_epsilon, what);
                const double loss = mt_item(mt_step_loss(step));
                TEST_TRUE(test_close(loss, test_round(whole.sum / whole.weight), 0, 200 * test_epsilon));

                /* An evaluation gives the same, and moves and records nothing. */
                mt_tensor *x = rows_of(s.x, 0, rows), *y = rows_of(s.y, 0, rows);
                const uint64_t version = mt_tensor_version(mt_module_parameter(s.net, "layer1.weight"));
                TEST_OK(mt_step_evaluate(step, x, y));
                TEST_TRUE(test_same(mt_item(mt_step_loss(step)), loss));
                assert_int_equal(mt_tape_length(mt_step_tape(step)), 0);
                assert_int_equal(mt_tensor_version(mt_module_parameter(s.net, "layer1.weight")), version);
                mt_tensor_free(x);
                mt_tensor_free(y);
                mt_step_free(step);
                drop(&s);
                test_cases++;
            }
        }
    }
}

/* Cross entropy with options: shards whose labels are ignored in part, or all, against the mean of the batch.
 */

static mt_tensor *class_weights;

static mt_tensor *of_classes(void *context, mt_tape *tape, mt_tensor *p, mt_tensor *y, mt_tensor **weight)
{
    mt_cross_entropy_options options = *(const mt_cross_entropy_options *)context;
    options.reduction = MT_LOSS_SUM;
    *weight = mt_label_weight(tape, y, class_weights, options.ignore_index);
    return mt_cross_entropy_weighted(tape, p, y, class_weights, options);
}

static void cross_entropies(void **state)
{
    (void)state;
    static const int64_t labels[] = {0, 7, 7, 1, 1, 0, 1, 7, 0, 1};
    EACH_BACKEND(backend)
    {
        mt_tensor *y = OWN(mt_from_indices(backend, labels, mt_shape(10)));
        class_weights = OWN(mt_from_doubles(backend, (double[]){0.3, 2.5}, mt_shape(2)));
        for (int shards = 1; shards <= 10; shards += 3) {
            for (int weighed = 0; weighed < 2; weighed++) {
                setting s = make(backend, false);
                TEST_OK(mt_optimizer_set_rate(s.optimizer, 0));
                mt_cross_entropy_options loss = mt_cross_entropy_defaults();
                loss.ignore_index = 7;
                loss.label_smoothing = 0.1;
                mt_step_options options = mt_step_defaults();
                options.shards = shards;
                options.context = &loss;
                mt_step *step = step_of(&s, weighed ? of_classes : mt_loss_cross_entropy, options);
                mt_tensor *x = OWN(rows_of(s.x, 0, 10));
                const mt_status status = mt_step_run(step, x, y);
                TEST_CHECK(status == MT_OK, "%s", mt_last_message());
                double got[VALUES], want[VALUES];
                read_gradients(s.net, got);
                const double mean = mt_item(mt_step_loss(step));
                mt_tape *tape = test_tape(backend);
                mt_tensor *p = mt_module_forward(s.net, tape, x);
                mt_tensor *whole = weighed ? mt_cross_entropy_weighted(tape, p, y, class_weights, loss)
                                           : mt_cross_entropy_with(tape, p, y, loss);
                mt_module_zero_grad(s.net);
                TEST_OK(mt_backward(tape, whole));
                read_gradients(s.net, want);
                TEST_ALL_CLOSE(got, want, VALUES, 20 * test_epsilon, 20 * test_epsilon,
                               "cross entropy in shards");
                TEST_TRUE(test_close(mean, mt_item(whole), 0, 20 * test_epsilon));
                mt_tape_reset(tape);
                mt_step_free(step);
                drop(&s);
                test_cases++;
            }
        }
    }
}

/* A parameter that only some shards use: its gradient is the sum of those that it has. */

typedef struct {
    mt_tensor *used, *rare;
    int calls, modulus;
} sometimes;

static mt_tensor *sometimes_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    sometimes *c = context;
    (void)self;
    mt_tensor *y = mt_mul(tape, x, c->used);
    return c->calls++ % 4 == c->modulus ? mt_mul(tape, y, c->rare) : y;
}

static void absent_gradients(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_tensor *x = OWN(mt_from_doubles(backend, (double[]){1, 2, 4, 8}, mt_shape(4, 1)));
    mt_tensor *y = OWN(mt_zeros(backend, mt_shape(4, 1)));
    for (int which = 0; which <= 4; which++) {
        sometimes c = {.modulus = which};
        mt_module *net = mt_module_new("Sometimes", sometimes_forward);
        c.used = mt_module_add_parameter(net, "used", mt_full(backend, mt_shape(1), 3));
        c.rare = mt_module_add_parameter(net, "rare", mt_full(backend, mt_shape(1), 1));
        TEST_OK(mt_module_borrow_context(net, &c));
        mt_sgd_options sgd = mt_sgd_defaults();
        sgd.rate = 0;
        mt_optimizer *optimizer = mt_sgd_new(net, sgd);
        mt_step_options options = mt_step_defaults();
        options.shards = 4;
        mt_step *step = mt_step_new(net, mt_loss_mse, optimizer, options);
        for (int again = 0; again < 2; again++) TEST_OK(mt_step_run(step, x, y));
        TEST_TRUE(mt_has_grad(c.rare) == (which < 4));
        /* of (3 x rare)^2: 2 * 9 x^2 */
        if (which < 4) TEST_TRUE(mt_item(mt_grad(c.rare)) == 2 * 9 * pow(4, which) / 4);
        TEST_TRUE(mt_item(mt_grad(c.used)) == 2 * 3 * (1 + 4 + 16 + 64) / 4.0);
        mt_step_free(step);
        mt_optimizer_free(optimizer);
        mt_module_free(net);
        test_cases++;
    }
}

/* ---- threads, allocations ---- */

static void same_bits_for_any_number_of_threads(void **state)
{
    (void)state;
    const int hidden = test_small() ? 20 : 200, rows = test_small() ? 30 : 300;
    EACH_BACKEND(backend)
    {
        double *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            TEST_OK(mt_set_threads(threads));
            mt_rng rng = mt_rng_make(3);
            mt_module *net =
                mt_mlp(backend, mt_shape(20, hidden, hidden, 1), MT_OP_relu, MT_INIT_KAIMING, &rng);
            mt_optimizer *optimizer = mt_adam_new(net, mt_adamw_defaults());
            mt_tensor *x = mt_normal(backend, mt_shape(rows, 20), &rng, 0, 1);
            mt_tensor *y = mt_uniform(backend, mt_shape(rows, 1), &rng, 0, 1);
            mt_step_options options = mt_step_defaults();
            options.shards = 3;
            options.clip_norm = 0.01;
            mt_step *step = mt_step_new(net, mt_loss_bce_with_logits, optimizer, options);
            for (int i = 0; i < 3; i++) TEST_OK(mt_step_run(step, x, y));
            TEST_TRUE(mt_item(mt_step_norm(step)) > 0.01);
            mt_tensor *weight = mt_module_parameter(net, "layer2.weight");
            double *got = test_read(weight);
            if (threads == 1) first = got;
            TEST_ALL_SAME(got, first, mt_tensor_count(weight), "any number of threads");
            mt_step_free(step);
            mt_tensor_free(x);
            mt_tensor_free(y);
            mt_optimizer_free(optimizer);
            mt_module_free(net);
            test_cases++;
        }
        if (!backend->host) break;
    }
    TEST_OK(mt_set_threads(2));
}

static void allocations(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    setting s = make(backend, true);
    mt_tensor *x = OWN(rows_of(s.x, 0, 10)), *y = OWN(rows_of(s.y, 0, 10));
    for (int shards = 1; shards <= 3; shards += 2) {
        mt_step_options options = mt_step_defaults();
        options.shards = shards;
        options.clip_norm = 1;
        const size_t held = mt_get_alloc_stats().bytes;
        mt_step *step = NULL;
        bool done = false;
        int k = 0;
        for (; !done; k++) {
            test_stale();
            mt_alloc_fail_at((uint64_t)k + 1);
            step = mt_step_new(s.net, mt_loss_mse, s.optimizer, options);
            const mt_status status = mt_last_status();
            mt_alloc_fail_at(0);
            done = step != NULL;
            TEST_CHECK(done || status == MT_ERR_MEMORY, "allocation %d: %s", k, mt_last_message());
            TEST_CHECK(done || mt_get_alloc_stats().bytes == held, "allocation %d leaks", k);
        }
        TEST_TRUE(k > 3 * shards);
        for (int i = 0; i < 3; i++) TEST_OK(mt_step_run(step, x, y));
        const mt_alloc_stats before = mt_get_alloc_stats();
        for (int i = 0; i < 10; i++) TEST_OK(mt_step_run(step, x, y));
        TEST_TRUE(mt_item(mt_step_loss(step)) > 0);
        assert_int_equal(mt_get_alloc_stats().allocations, before.allocations);
        mt_step_free(step);
        test_cases += k;
    }
    drop(&s);
}

/* ---- what is refused ---- */

static mt_tensor *no_loss(void *context, mt_tape *tape, mt_tensor *p, mt_tensor *y, mt_tensor **weight)
{
    const int which = *(const int *)context;
    if (which == 0) return NULL;
    if (which == 1) return mt_squared_difference(tape, p, y);
    if (which == 2) *weight = mt_sum_dim(tape, y, 1, false);
    if (which == 3) *weight = NULL;
    if (which == 4) return mt_sum(tape, mt_detach(tape, p));
    return mt_sum(tape, p);
}

static void refused(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    setting s = make(backend, false), other = make(backend, false), far = make(test_simple(), false);
    mt_step_options options = mt_step_defaults();
    TEST_TRUE(options.shards == 1 && isinf(options.clip_norm) && isinf(options.clip_value) &&
              !options.context);
    static const double bad[] = {-1, NAN, -INFINITY};
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        options.clip_norm = bad[i];
        TEST_NULL(mt_step_new(s.net, mt_loss_mse, s.optimizer, options), MT_ERR_VALUE, "clip_norm is");
        options = mt_step_defaults();
        options.clip_value = bad[i];
        TEST_NULL(mt_step_new(s.net, mt_loss_mse, s.optimizer, options), MT_ERR_VALUE, "clip_value is");
        options = mt_step_defaults();
    }
    static const int counts[] = {-1, 0, 1025, INT32_MAX};
    for (size_t i = 0; i < TEST_LENGTH(counts); i++) {
        options.shards = counts[i];
        TEST_NULL(mt_step_new(s.net, mt_loss_mse, s.optimizer, options), MT_ERR_VALUE,
                  "shards; give 1 to 1024");
    }
    options.shards = 1;
    TEST_NULL(mt_step_new(s.net, mt_loss_mse, other.optimizer, options), MT_ERR_VALUE,
              "moves parameter \"layer1.weight\", which is not one of the model's");

    mt_step *step = step_of(&s, mt_loss_mse, options);
    TEST_NULL(mt_step_loss(step), MT_ERR_STATE, "call mt_step_run");
    TEST_NULL(mt_step_sum(step), MT_ERR_STATE, "step_sum: there is none");
    TEST_NULL(mt_step_weight(step), MT_ERR_STATE, "step_weight: there is none");
    TEST_NULL(mt_step_norm(step), MT_ERR_STATE, "set clip_norm");
    mt_tensor *x5 = OWN(rows_of(s.x, 0, 5)), *y4 = OWN(rows_of(s.y, 0, 4)), *y5 = OWN(rows_of(s.y, 0, 5));
    mt_tensor *x0 = OWN(rows_of(s.x, 0, 0)), *y0 = OWN(rows_of(s.y, 0, 0)),
              *narrow = OWN(mt_tensor_slice(y5, 1, 0, 1, 1));
    TEST_FAILS(mt_step_run(step, x5, y4), MT_ERR_SHAPE,
               "a batch of shape (5, 3) and targets of shape (4, 2)");
    TEST_FAILS(mt_step_run(step, x0, y0), MT_ERR_SHAPE, "at least 1");
    TEST_FAILS(mt_step_run(step, far.x, s.y), MT_ERR_BACKEND, "the batch is on backend simple");
    TEST_FAILS(mt_step_run(step, y5, y5), MT_ERR_SHAPE, "layer1: linear_act");
    TEST_FAILS(mt_step_run(step, x5, narrow), MT_ERR_SHAPE,
               "mse: predictions of shape (5, 2) and targets of shape (5, 1)");
    TEST_NULL(mt_step_loss(step), MT_ERR_STATE, "look whether it failed");
    TEST_OK(mt_step_run(step, x5, y5)); /* and a step goes on after a failure */
    assert_int_equal(mt_step_run(step, NULL, y5), MT_ERR_NULL);
    assert_int_equal(mt_step_run(NULL, x5, y5), MT_ERR_NULL);
    assert_int_equal(mt_step_evaluate(step, x5, NULL), MT_ERR_NULL);
    mt_step_free(step);

    static const struct {
        mt_status status;
        const char *part;
    } wrong[] = {{MT_ERR_STATE, "gives NULL"},
                 {MT_ERR_SHAPE, "a sum of shape (5, 2)"},
                 {MT_ERR_SHAPE, "a weight of shape (5)"},
                 {MT_ERR_STATE, "gives NULL"},
                 {MT_ERR_STATE, "requires no gradient"}};
    for (int i = 0; i < (int)TEST_LENGTH(wrong); i++) {
        for (int shards = 1; shards <= 1 + (i != 1 && i != 2); shards++) {
            options.context = &i;
            options.shards = shards;
            step = step_of(&s, no_loss, options);
            TEST_FAILS(mt_step_run(step, x5, y5), wrong[i].status, wrong[i].part);
            mt_step_free(step);
        }
    }
    mt_step_free(NULL);
    drop(&s);
    drop(&other);
    drop(&far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(one_shard),
                                       TEST(shards_meet_in_a_tree),
                                       TEST(cross_entropies),
                                       TEST(absent_gradients),
                                       TEST(same_bits_for_any_number_of_threads),
                                       TEST(allocations),
                                       TEST(refused)};
    return TEST_RUN("step", tests);
}
