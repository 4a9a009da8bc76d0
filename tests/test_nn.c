/* tests/test_nn.c - modules: the tree, names and paths, buffers, failures, text; and the layers' forward and
 * gradients. */
#include "support.h"

#include <string.h>

#include "minitorch.h"

static mt_tensor *identity(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    (void)self;
    (void)context;
    (void)tape;
    return x;
}

static mt_module *plain(const char *kind)
{
    mt_module *module = mt_module_new(kind, identity);
    TEST_CHECK(module, "no module: %s", mt_last_message());
    return module;
}

/* root { w (2, 3), a: A { v (4) , inner: I { u (1) } }, b: B } */
static mt_module *example(mt_backend *backend)
{
    mt_module *root = plain("Root"), *a = plain("A"), *inner = plain("I");
    assert_non_null(mt_module_add_parameter(root, "w", mt_ones(backend, mt_shape(2, 3))));
    assert_non_null(mt_module_add_parameter(a, "v", mt_ones(backend, mt_shape(4))));
    assert_non_null(mt_module_add_parameter(inner, "u", mt_ones(backend, mt_shape(1))));
    assert_ptr_equal(mt_module_add(root, "a", a), a);
    assert_ptr_equal(mt_module_add(a, "inner", inner), inner);
    assert_non_null(mt_module_add(root, "b", plain("B")));
    TEST_OK(mt_module_status(root));
    return root;
}

static void tree(void **state)
{
    (void)state;
    mt_module *root = example(test_simple());
    mt_module *a = mt_module_child(root, "a"), *inner = mt_module_child(root, "a.inner");
    assert_non_null(a);
    assert_ptr_equal(mt_module_child(a, "inner"), inner);
    assert_string_equal(mt_module_name(inner), "inner");
    assert_string_equal(mt_module_name(root), "");
    assert_string_equal(mt_module_kind(inner), "I");
    assert_ptr_equal(mt_module_parameter(root, "a.inner.u"), mt_module_parameter(inner, "u"));
    assert_ptr_equal(mt_module_child_at(root, 0), a);
    assert_int_equal(mt_module_children(root), 2);

    assert_int_equal(mt_module_count(root), 2 * 3 + 4 + 1);
    assert_int_equal(mt_module_count(mt_module_child(root, "b")), 0);
    assert_int_equal(mt_module_parameters(root), 3);
    const char *const paths[] = {"w", "a.v", "a.inner.u"};
    for (int i = 0; i < 3; i++) {
        char path[32];
        assert_int_equal(mt_module_parameter_path(root, i, path, sizeof path), strlen(paths[i]));
        assert_string_equal(path, paths[i]);
        assert_ptr_equal(mt_module_parameter_at(root, i), mt_module_parameter(root, path));
        assert_true(mt_requires_grad(mt_module_parameter_at(root, i)));
    }
    char path[32];
    assert_int_equal(mt_module_parameter_path(a, 1, path, sizeof path), 7);
    assert_string_equal(path, "inner.u"); /* from the module that was asked */
    assert_int_equal(mt_module_parameter_path(root, 2, path, 6), 9);
    assert_string_equal(path, "a.inn"); /* cut, as snprintf cuts */
    assert_int_equal(mt_module_parameter_path(root, 2, NULL, 0), 9);
    TEST_OK(mt_module_free(root));
}

static void modes(void **state)
{
    (void)state;
    mt_module *root = example(test_simple());
    assert_true(mt_module_is_training(root));
    TEST_OK(mt_module_train(root, false));
    assert_false(mt_module_is_training(mt_module_child(root, "a.inner")));
    TEST_OK(mt_module_train(mt_module_child(root, "a"), true));
    assert_false(mt_module_is_training(root));
    assert_true(mt_module_is_training(mt_module_child(root, "a.inner")));
    mt_module_free(root);
}

/* ---- buffers ---- */

/* Bn { mean (3), count (1) of INDEX, w (2), inner: I { var (2, 2), u (1) } }, all values `value`. */
static mt_module *with_buffers(mt_backend *backend, double value)
{
    mt_module *root = plain("Bn"), *inner = plain("I");
    mt_tensor *count = mt_arange(backend, 0, 1, 1);
    assert_non_null(mt_module_add_buffer(root, "mean", mt_full(backend, mt_shape(3), value)));
    assert_ptr_equal(mt_module_add_buffer(root, "count", count), count);
    assert_non_null(mt_module_add_parameter(root, "w", mt_full(backend, mt_shape(2), value)));
    assert_non_null(mt_module_add_buffer(inner, "var", mt_full(backend, mt_shape(2, 2), value)));
    assert_non_null(mt_module_add_parameter(inner, "u", mt_full(backend, mt_shape(1), value)));
    assert_non_null(mt_module_add(root, "inner", inner));
    TEST_OK(mt_set(count, mt_at(0), value));
    TEST_OK(mt_module_status(root));
    return root;
}

static void buffers(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_module *root = with_buffers(backend, 7);
    assert_int_equal(mt_module_buffers(root), 3);
    assert_int_equal(mt_module_parameters(root), 2); /* apart */
    assert_int_equal(mt_module_buffer_count(root), 3 + 1 + 4);
    assert_int_equal(mt_module_count(root), 3);
    const char *const paths[] = {"mean", "count", "inner.var"};
    for (int i = 0; i < 3; i++) {
        char path[32];
        assert_int_equal(mt_module_buffer_path(root, i, path, sizeof path), strlen(paths[i]));
        assert_string_equal(path, paths[i]);
        mt_tensor *buffer = mt_module_buffer_at(root, i);
        assert_ptr_equal(buffer, mt_module_buffer(root, path));
        assert_false(mt_requires_grad(buffer));
        TEST_NULL(mt_module_parameter(root, path), MT_ERR_NAME, "no parameter");
    }
    TEST_NULL(mt_module_buffer(root, "w"), MT_ERR_NAME,
              "no buffer \"w\": Bn has nothing of that kind named \"w\"; it has parameters w; buffers mean, "
              "count; children inner");
    TEST_NULL(mt_module_buffer_at(root, 3), MT_ERR_INDEX, "3 buffers, there is no buffer 3");
    assert_int_equal(mt_module_buffer_path(root, -1, NULL, 0), -1);
    static const char want[] = "Bn, 3 parameters, 8 in buffers\n"
                               "  w (2)\n"
                               "  mean (3), buffer\n"
                               "  count (1), buffer of INDEX\n"
                               "  inner: I\n"
                               "    u (1)\n"
                               "    var (2, 2), buffer\n";
    char got[sizeof want];
    assert_int_equal(mt_module_format(root, got, sizeof got), sizeof want - 1);
    assert_string_equal(got, want);

    /* An optimiser has no part in them, and a forward writes them in place. */
    mt_tape *tape = test_tape(backend);
    mt_optimizer *optimizer = mt_sgd_new(root, mt_sgd_defaults());
    mt_tensor *mean = mt_module_buffer(root, "mean"), *w = mt_module_parameter(root, "w");
    mt_tensor *x = mt_add(tape, mt_mul(tape, w, w), mt_select(tape, mean, 0, 1));
    TEST_OK(mt_backward(tape, mt_sum(tape, x)));
    TEST_OK(mt_optimizer_step(optimizer));
    TEST_OK(mt_op_fill(mean, 4));
    assert_true(test_read(mean)[2] == 4 && test_read(w)[0] != 7);
    mt_optimizer_free(optimizer);
    mt_module_free(root);

    assert_null(mt_module_buffer(NULL, "a"));
    assert_int_equal(mt_module_buffer_count(NULL), -1);
    assert_int_equal(mt_module_buffers(NULL), 0);
    size_t held = mt_get_alloc_stats().bytes;
    assert_null(mt_module_add_buffer(NULL, "x", mt_ones(backend, mt_shape(2))));
    assert_int_equal(mt_get_alloc_stats().bytes, held);
}

/* What may not become a buffer, each with a sentence that stays in the module. */
static void bad_buffers(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_tape *tape = test_tape(backend);
    for (int i = 0; i < 2; i++, mt_tape_reset(tape)) mt_exp(tape, OWN(mt_ones(backend, mt_shape(2))));
    size_t held = mt_get_alloc_stats().bytes; /* with the tape's own memory */
    mt_tensor *w = mt_ones(backend, mt_shape(2)), *x = mt_ones(backend, mt_shape(2));
    TEST_OK(mt_require_grad(x, true));
    TEST_OK(mt_require_grad(w, true));
    const struct {
        const char *name, *part;
        mt_tensor *tensor;
        mt_status status;
    } bad[] = {{"v", "requires a gradient", x, MT_ERR_STATE},
               {"v", "view, a gradient or the result", mt_tensor_select(w, 0, 0), MT_ERR_STATE},
               {"v", "view, a gradient or the result", mt_exp(tape, w), MT_ERR_STATE},
               {"v", "or is a gradient", mt_grad(w), MT_ERR_STATE},
               {"", "not empty", mt_ones(backend, mt_shape(1)), MT_ERR_NAME},
               {"a.b", "dot", mt_ones(backend, mt_shape(1)), MT_ERR_NAME},
               {"u", "has a parameter named \"u\" already", mt_ones(backend, mt_shape(1)), MT_ERR_NAME},
               {"m", "has a buffer named \"m\" already", mt_ones(backend, mt_shape(1)), MT_ERR_NAME}};
    for (size_t i = 0; i < TEST_LENGTH(bad); i++) {
        mt_module *root = plain("Root"), *child = plain("Child");
        assert_non_null(mt_module_add(root, "child", child));
        assert_non_null(mt_module_add_parameter(child, "u", mt_ones(backend, mt_shape(1))));
        assert_non_null(mt_module_add_buffer(child, "m", mt_ones(backend, mt_shape(1))));
        TEST_NULL(mt_module_add_buffer(child, bad[i].name, bad[i].tensor), bad[i].status, bad[i].part);
        assert_int_equal(mt_module_status(root), bad[i].status);
        assert_non_null(strstr(mt_module_message(root), bad[i].part));
        mt_module_free(root);
    }
    mt_module *root = plain("Root"), *other = plain("Other");
    mt_tensor *m = mt_module_add_buffer(root, "m", mt_ones(backend, mt_shape(1)));
    TEST_NULL(mt_module_add_parameter(other, "m", m), MT_ERR_STATE, "belongs to a module already");
    mt_module_free(other);
    other = plain("Other");
    TEST_NULL(mt_module_add_buffer(other, "lost", mt_ones(backend, mt_shape(-1))), MT_ERR_SHAPE, "");
    assert_non_null(strstr(mt_module_message(other), "buffer lost of Other could not be made"));
    mt_module_free(other);
    other = plain("Other");
    TEST_NULL(mt_module_add(other, "m", plain("X"))
                  ? mt_module_add_buffer(other, "m", mt_arange(backend, 0, 2, 1))
                  : m,
              MT_ERR_NAME, "a child named \"m\"");
    mt_module_free(other);
    mt_module_free(root);
    mt_tape_reset(tape);
    mt_tensor_free(w);
    assert_int_equal(mt_get_alloc_stats().bytes, held);
}

static void copies(void **state)
{
    (void)state;
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++) {
        mt_module *from = with_buffers(backends[0], 3), *to = with_buffers(backends[k], 5);
        uint64_t version = mt_tensor_version(mt_module_buffer(to, "inner.var"));
        TEST_OK(mt_require_grad(mt_module_parameter(to, "w"), false));
        TEST_OK(mt_module_copy(to, from));
        TEST_OK(mt_module_copy(to, to));
        for (int i = 0; i < 3; i++) {
            double *values = test_read(mt_module_buffer_at(to, i));
            for (int j = 0; j < mt_tensor_count(mt_module_buffer_at(to, i)); j++) assert_true(values[j] == 3);
        }
        for (int i = 0; i < 2; i++) assert_true(test_read(mt_module_parameter_at(to, i))[0] == 3);
        assert_int_equal(mt_tensor_version(mt_module_buffer(to, "inner.var")), version + 1);
        assert_false(mt_requires_grad(mt_module_parameter(to, "w"))); /* marks stay */
        assert_int_equal(mt_tensor_kind(mt_module_buffer(to, "count")), MT_INDEX);
        mt_module_free(from);
        mt_module_free(to);
        test_cases++;
    }

    /* Trees that differ: a sentence, and nothing is written. */
    mt_backend *backend = test_cpu();
    mt_module *to = with_buffers(backend, 5), *from = NULL;
    enum { MORE, OTHER_NAME, SHAPE, KIND, CHILDREN, CHILD_NAME, CASES };
    static const char *const parts[] = {
        "2 buffers and Bn  has 3", "buffer named \"count\"", "(2, 3)", "INDEX", "1 children",
        "child named \"inner\""};
    for (int i = 0; i < CASES; i++) {
        from = plain("Bn");
        mt_module_add_buffer(from, "mean", mt_zeros(backend, i == SHAPE ? mt_shape(2, 3) : mt_shape(3)));
        mt_module_add_buffer(from, i == OTHER_NAME ? "counts" : "count",
                             i == KIND ? mt_zeros(backend, mt_shape(1)) : mt_arange(backend, 0, 1, 1));
        mt_module_add_parameter(from, "w", mt_zeros(backend, mt_shape(2)));
        if (i == MORE) mt_module_add_buffer(from, "more", mt_zeros(backend, mt_shape(2)));
        if (i == CHILD_NAME) mt_module_add(from, "outer", plain("I"));
        TEST_OK(mt_module_status(from));
        TEST_FAILS(mt_module_copy(to, from),
                   i == SHAPE  ? MT_ERR_SHAPE
                   : i == KIND ? MT_ERR_KIND
                               : MT_ERR_NAME,
                   parts[i]);
        assert_true(test_read(mt_module_buffer(to, "mean"))[0] == 5);
        mt_module_free(from);
    }
    assert_int_equal(mt_module_copy(to, NULL), MT_ERR_NULL);
    assert_int_equal(mt_module_copy(NULL, to), MT_ERR_NULL);
    mt_module_free(to);
}

static void unknown_names(void **state)
{
    (void)state;
    mt_module *root = example(test_simple());
    TEST_NULL(mt_module_parameter(root, "weight"), MT_ERR_NAME, "it has parameters w; children a, b");
    TEST_NULL(mt_module_parameter(root, "a.x"), MT_ERR_NAME,
              "named \"x\"; it has parameters v; children inner");
    TEST_NULL(mt_module_parameter(root, "c.w"), MT_ERR_NAME, "\"c.w\"");
    TEST_NULL(mt_module_parameter(root, "a"), MT_ERR_NAME, "no parameter \"a\"");
    TEST_NULL(mt_module_parameter(root, ""), MT_ERR_NAME, "no parameter");
    TEST_NULL(mt_module_parameter(root, "a."), MT_ERR_NAME, "no parameter");
    TEST_NULL(mt_module_child(root, "b.x"), MT_ERR_NAME, "neither parameters nor children");
    TEST_NULL(mt_module_child(root, "w"), MT_ERR_NAME, "no module \"w\"");
    TEST_NULL(mt_module_child_at(root, 2), MT_ERR_INDEX, "2 children");
    TEST_NULL(mt_module_parameter_at(root, 3), MT_ERR_INDEX, "3 parameters");
    TEST_NULL(mt_module_parameter_at(root, -1), MT_ERR_INDEX, "no parameter -1");
    TEST_FAILS(mt_module_free(mt_module_child(root, "a")), MT_ERR_STATE, "child \"a\" of Root");
    TEST_OK(mt_module_status(root)); /* looking up is not building */
    mt_module_free(root);

    /* A list of names that is too long to show is cut, never written past its end. */
    root = plain("Root");
    char name[64];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "a_rather_long_name_of_a_child_%d", i);
        assert_non_null(mt_module_add(root, name, plain("X")));
    }
    TEST_NULL(mt_module_child(root, "x"), MT_ERR_NAME, "...");
    mt_module_free(root);
}

/* Each bad way to build makes the module and those above it failed, with a sentence, and leaks nothing. */
static void bad_building(void **state)
{
    (void)state;
    mt_backend *backend = test_simple();
    size_t held = mt_get_alloc_stats().bytes;
    static const struct {
        const char *name;
        mt_status status;
        const char *part;
    } names[] = {{"", MT_ERR_NAME, "not empty"},
                 {NULL, MT_ERR_NAME, "not empty"},
                 {"x.y", MT_ERR_NAME, "dot"},
                 {"v", MT_ERR_NAME, "a parameter named \"v\""},
                 {"inner", MT_ERR_NAME, "a child named \"inner\""}};
    for (size_t i = 0; i < TEST_LENGTH(names); i++) {
        for (int child = 0; child < 2; child++) {
            mt_module *root = example(backend), *a = mt_module_child(root, "a");
            if (child)
                TEST_NULL(mt_module_add(a, names[i].name, plain("X")), names[i].status, names[i].part);
            else
                TEST_NULL(mt_module_add_parameter(a, names[i].name, mt_ones(backend, mt_shape(2))),
                          names[i].status, names[i].part);
            assert_int_equal(mt_module_status(root), names[i].status);
            assert_non_null(strstr(mt_module_message(root), names[i].part));
            assert_int_equal(mt_module_status(mt_module_child(root, "a.inner")), MT_OK);
            TEST_OK(mt_module_free(root));
        }
    }
    mt_module *root = example(backend), *a = mt_module_child(root, "a");
    TEST_NULL(mt_module_add(mt_module_child(root, "b"), "again", a), MT_ERR_STATE, "has a parent already");
    mt_module_free(root);
    root = example(backend);
    TEST_NULL(mt_module_add(mt_module_child(root, "a.inner"), "up", root), MT_ERR_STATE, "above it");
    mt_module_free(root);
    root = example(backend);
    TEST_NULL(mt_module_add_parameter(mt_module_child(root, "b"), "w", mt_module_parameter(root, "a.v")),
              MT_ERR_STATE, "belongs to a module already");
    mt_module_free(root);
    /* one parameter in two trees would be freed twice */
    mt_module *first = plain("First"), *second = plain("Second");
    mt_tensor *w = mt_ones(backend, mt_shape(2));
    assert_ptr_equal(mt_module_add_parameter(first, "w", w), w);
    TEST_NULL(mt_module_add_parameter(second, "w", w), MT_ERR_STATE, "mt_tensor_copy");
    assert_int_equal(mt_module_status(second), MT_ERR_STATE);
    assert_int_equal(mt_module_status(first), MT_OK);
    assert_ptr_equal(mt_module_parameter(first, "w"), w);
    mt_module_free(second);
    second = plain("Second");
    TEST_NULL(mt_module_add_parameter(second, "g", mt_grad(w)), MT_ERR_STATE, "gradient");
    mt_module_free(second);
    assert_int_equal(mt_tensor_count(w), 2);
    mt_module_free(first);
    root = example(backend);
    TEST_NULL(mt_module_add_parameter(root, "labels", mt_arange(backend, 0, 3, 1)), MT_ERR_KIND, "");
    mt_module_free(root);
    TEST_NULL(mt_module_new("X", NULL), MT_ERR_VALUE, "forward function");
    assert_int_equal(mt_get_alloc_stats().bytes, held);
}

/* A whole model may be built before asking: the first failure stands in the root. */
static void failures_stay(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_rng rng = mt_rng_make(1);
    mt_module *net = mt_sequential(), *inside = mt_module_add(net, "inside", mt_sequential());
    mt_module *bad = mt_module_add(inside, "bad", mt_linear_layer(backend, 3, -4, MT_INIT_XAVIER, &rng));
    assert_null(bad);
    mt_module_add_parameter(net, "late", mt_ones(backend, mt_shape(-1)));
    assert_int_equal(mt_module_status(net), MT_ERR_SHAPE);
    assert_string_equal(mt_module_message(net), mt_module_message(inside));
    assert_non_null(strstr(mt_module_message(net), "child bad of Sequential could not be made"));
    assert_non_null(strstr(mt_module_message(net), "-4 outputs"));

    mt_tape *tape = test_tape(backend);
    mt_tensor *x = OWN(mt_ones(backend, mt_shape(2, 3)));
    TEST_NULL(mt_module_forward(net, tape, x), MT_ERR_SHAPE, "-4 outputs");
    assert_int_equal(mt_backward(tape, mt_sum(tape, mt_module_forward(net, tape, x))), MT_ERR_SHAPE);
    assert_non_null(strstr(mt_tape_message(tape), "-4 outputs"));
    mt_tape_reset(tape);
    TEST_NULL(mt_sgd_new(net, mt_sgd_defaults()), MT_ERR_SHAPE, "-4 outputs");
    char text[1000];
    assert_true(mt_module_format(net, text, sizeof text) > 0);
    assert_non_null(strstr(text, "failed: child bad"));

    /* A failed module that is added takes its failure along, and is freed. */
    mt_module *outer = mt_sequential();
    assert_null(mt_module_add(outer, "net", net));
    assert_non_null(strstr(mt_module_message(outer), "-4 outputs"));
    mt_module_free(outer);
}

static void null_passes_through(void **state)
{
    (void)state;
    mt_backend *backend = test_simple();
    mt_tape *tape = test_tape(backend);
    mt_tensor *x = OWN(mt_ones(backend, mt_shape(1)));
    size_t held = mt_get_alloc_stats().bytes;
    mt_fail(MT_ERR_VALUE, "the reason");
    assert_null(mt_module_add(NULL, "x", mt_sequential()));
    assert_null(mt_module_add_parameter(NULL, "x", mt_ones(backend, mt_shape(2))));
    assert_null(mt_sequential_add(NULL, NULL));
    assert_null(mt_module_forward(NULL, tape, x));
    assert_null(mt_module_child(NULL, "a"));
    assert_null(mt_module_parameter(NULL, "a"));
    assert_null(mt_module_child_at(NULL, 0));
    assert_null(mt_module_parameter_at(NULL, 0));
    assert_int_equal(mt_module_free(NULL), MT_OK);
    assert_int_equal(mt_module_train(NULL, true), MT_ERR_NULL);
    assert_int_equal(mt_module_zero_grad(NULL), MT_ERR_NULL);
    assert_int_equal(mt_module_print(stdout, NULL), MT_ERR_NULL);
    assert_int_equal(mt_module_format(NULL, NULL, 0), -1);
    assert_int_equal(mt_module_count(NULL), -1);
    assert_int_equal(mt_module_parameters(NULL), 0);
    assert_int_equal(mt_module_status(NULL), MT_ERR_NULL);
    assert_string_equal(mt_module_message(NULL), "the reason");
    assert_null(mt_linear_layer(NULL, 1, 1, MT_INIT_ZEROS, NULL));
    assert_null(mt_mlp(backend, mt_shape(1, 1), MT_OP_relu, MT_INIT_ZEROS, NULL));
    assert_string_equal(mt_last_message(), "the reason");
    assert_int_equal(mt_get_alloc_stats().bytes, held);
}

static void text(void **state)
{
    (void)state;
    mt_rng rng = mt_rng_make(1);
    mt_module *net = mt_mlp(test_cpu(), mt_shape(2, 10, 10, 1), MT_OP_relu, MT_INIT_MINITORCH, &rng);
    assert_non_null(net);
    assert_non_null(mt_module_add(net, "slope", mt_activation_layer(MT_OP_leaky_relu, 0.1, 0)));
    TEST_OK(mt_require_grad(mt_module_parameter(net, "layer3.bias"), false));
    static const char want[] = "Sequential, 151 parameters\n"
                               "  layer1: Linear(2 -> 10, relu)\n"
                               "    weight (2, 10)\n"
                               "    bias (10)\n"
                               "  layer2: Linear(10 -> 10, relu)\n"
                               "    weight (10, 10)\n"
                               "    bias (10)\n"
                               "  layer3: Linear(10 -> 1)\n"
                               "    weight (10, 1)\n"
                               "    bias (1), frozen\n"
                               "  slope: leaky_relu(0.1)\n";
    char got[sizeof want + 10];
    for (size_t size = 0; size <= sizeof got; size++) {
        memset(got, '#', sizeof got);
        assert_int_equal(mt_module_format(net, size ? got : NULL, size), sizeof want - 1);
        size_t shown = size > sizeof want ? sizeof want : size;
        if (shown) {
            assert_memory_equal(got, want, shown - 1);
            assert_int_equal(got[shown - 1], 0);
        }
        for (size_t i = shown; i < sizeof got; i++) assert_int_equal(got[i], '#');
    }
    FILE *file = tmpfile();
    assert_non_null(file);
    TEST_OK(mt_module_print(file, net));
    rewind(file);
    assert_int_equal(fread(got, 1, sizeof got, file), sizeof want - 1);
    assert_memory_equal(got, want, sizeof want - 1);
    fclose(file);
    /* a stream that takes the text into its buffer, and cannot pass it on */
    file = fopen("/dev/full", "w");
    if (file) {
        TEST_FAILS(mt_module_print(file, net), MT_ERR_IO, "cannot write");
        fclose(file);
    }
    mt_module_free(net);
}

/* ---- a module of the program's own ---- */

typedef struct {
    mt_tensor *scale;
    mt_module *inner;
    int released;
} custom;

static mt_tensor *custom_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    custom *c = context;
    (void)self;
    return mt_mul(tape, mt_module_forward(c->inner, tape, x), c->scale);
}

static void custom_release(void *context) { ((custom *)context)->released++; }

static void own_module(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    custom c = {0};
    mt_module *module = mt_module_new("Scaled", custom_forward);
    TEST_OK(mt_module_own_context(module, &c, custom_release));
    c.scale = mt_module_add_parameter(module, "scale", mt_full(backend, mt_shape(1), 3));
    c.inner = mt_module_add(module, "inner", mt_activation_layer(MT_OP_square, 0, 0));
    TEST_OK(mt_module_status(module));
    mt_tape *tape = test_tape(backend);
    mt_tensor *x = OWN(mt_full(backend, mt_shape(2), 2));
    mt_tensor *y = ON(tape, mt_module_forward(module, tape, x));
    double *values = test_read(y);
    assert_true(values[0] == 12 && values[1] == 12);
    TEST_OK(mt_backward(tape, mt_sum(tape, y)));
    assert_true(mt_item(mt_grad(c.scale)) == 8);
    TEST_OK(mt_module_zero_grad(module));
    assert_false(mt_has_grad(c.scale));
    mt_tape_reset(tape);

    custom other = {0};
    TEST_FAILS(mt_module_own_context(module, &other, custom_release), MT_ERR_STATE, "given once");
    assert_int_equal(other.released, 1);
    mt_module_free(module);
    assert_int_equal(c.released, 1);
    assert_int_equal(mt_module_own_context(NULL, &other, custom_release), MT_ERR_NULL);
    assert_int_equal(other.released, 2);

    module = plain("Borrowing");
    TEST_OK(mt_module_borrow_context(module, &other));
    mt_module_free(module);
    assert_int_equal(other.released, 2);
}

/* ---- layers ---- */

static const double w_values[] = {1, -2, 0.5, 3, -1, 0.25}; /* (3, 2) */
static const double b_values[] = {0.5, -1};
static const double x_values[] = {1, 2, -1, -0.5, 1, 4}; /* (2, 3) */
/* x w + b by hand */
static const double xw_values[] = {1 + 1 + 1 + 0.5, -2 + 6 - 0.25 - 1, -0.5 + 0.5 - 4 + 0.5, 1 + 3 + 1 - 1};

static void linear_forward_by_hand(void **state)
{
    (void)state;
    mt_backend *backends[TEST_MAX_BACKENDS];
    int count = test_backends(backends);
    for (int k = 0; k < count; k++) {
        for (int act = 0; act < 2; act++) {
            mt_rng rng = mt_rng_make(1);
            mt_module *layer = act ? mt_linear_act_layer(backends[k], 3, 2, MT_OP_relu, MT_INIT_PYTORCH, &rng)
                                   : mt_linear_layer(backends[k], 3, 2, MT_INIT_PYTORCH, &rng);
            assert_non_null(layer);
            TEST_OK(mt_set_doubles(mt_module_parameter(layer, "weight"), w_values, 6));
            TEST_OK(mt_set_doubles(mt_module_parameter(layer, "bias"), b_values, 2));
            mt_tape *tape = test_tape(backends[k]);
            mt_tensor *x = OWN(mt_from_doubles(backends[k], x_values, mt_shape(2, 3)));
            mt_tensor *y = ON(tape, mt_module_forward(layer, tape, x));
            assert_true(mt_shape_equal(mt_tensor_shape(y), mt_shape(2, 2)));
            double *got = test_read(y);
            for (int i = 0; i < 4; i++) assert_true(got[i] == (act && xw_values[i] < 0 ? 0 : xw_values[i]));
            assert_int_equal(mt_tape_length(tape), 1); /* linear and relu are one node */

            /* Any number of leading dimensions. */
            mt_tensor *deep = ON(tape, mt_module_forward(layer, tape, mt_view(tape, x, mt_shape(2, 1, 3))));
            assert_true(mt_shape_equal(mt_tensor_shape(deep), mt_shape(2, 1, 2)));
            TEST_ALL_SAME(test_read(deep), got, 4, "a batch of matrices");

            TEST_OK(mt_backward(tape, mt_sum(tape, y)));
            double want_bias[2] = {0}, want_weight[6] = {0};
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 2; j++) {
                    if (act && xw_values[2 * i + j] < 0) continue;
                    want_bias[j] += 1;
                    for (int p = 0; p < 3; p++) want_weight[2 * p + j] += x_values[3 * i + p];
                }
            }
            TEST_ALL_SAME(test_read(mt_grad(mt_module_parameter(layer, "bias"))), want_bias, 2,
                          "bias gradient");
            TEST_ALL_CLOSE(test_read(mt_grad(mt_module_parameter(layer, "weight"))), want_weight, 6, 1e-6, 0,
                           "weight gradient");
            TEST_OK(mt_module_zero_grad(layer));
            assert_false(mt_has_grad(mt_module_parameter(layer, "bias")));
            mt_tape_reset(tape);
            mt_module_free(layer);
            test_cases++;
        }
    }
}

static void sequences(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_rng rng = mt_rng_make(3);
    mt_module *net = mt_sequential();
    mt_tape *tape = test_tape(backend);
    mt_tensor *x = OWN(mt_from_doubles(backend, x_values, mt_shape(2, 3)));
    assert_ptr_equal(mt_module_forward(net, tape, x), x); /* without children */
    mt_sequential_add(net, mt_linear_layer(backend, 3, 5, MT_INIT_XAVIER, &rng));
    mt_sequential_add(net, mt_activation_layer(MT_OP_tanh, 0, 0));
    mt_sequential_add(net, mt_linear_act_layer(backend, 5, 1, MT_OP_sigmoid, MT_INIT_XAVIER, &rng));
    TEST_OK(mt_module_status(net));
    assert_non_null(mt_module_parameter(net, "0.weight"));
    assert_non_null(mt_module_parameter(net, "2.bias"));
    mt_tensor *got = ON(tape, mt_module_forward(net, tape, x));
    mt_tensor *w0 = mt_module_parameter(net, "0.weight"), *b0 = mt_module_parameter(net, "0.bias");
    mt_tensor *w2 = mt_module_parameter(net, "2.weight"), *b2 = mt_module_parameter(net, "2.bias");
    mt_tensor *h = mt_tanh(tape, mt_add(tape, mt_matmul(tape, x, w0), b0));
    mt_tensor *want = ON(tape, mt_sigmoid(tape, mt_add(tape, mt_matmul(tape, h, w2), b2)));
    TEST_ALL_CLOSE(test_read(got), test_read(want), 2, 10 * test_epsilon, 0, "sequential");
    mt_tape_reset(tape);

    TEST_NULL(mt_module_forward(net, tape, OWN(mt_ones(backend, mt_shape(2, 4)))), MT_ERR_SHAPE, "(2, 4)");
    assert_int_not_equal(mt_tape_status(tape), MT_OK);
    mt_module_free(net);
}

static void layer_errors(void **state)
{
    (void)state;
    mt_backend *backend = test_cpu();
    mt_rng rng = mt_rng_make(1);
    size_t held = mt_get_alloc_stats().bytes;
    const mt_init rule = MT_INIT_XAVIER;
    TEST_NULL(mt_linear_layer(backend, 0, 2, rule, &rng), MT_ERR_SHAPE, "0 inputs and 2 outputs");
    TEST_NULL(mt_linear_layer(backend, INT64_MAX / 2, 8, rule, &rng), MT_ERR_SHAPE, "");
    TEST_NULL(mt_linear_layer(backend, 2, 2, (mt_init)99, &rng), MT_ERR_VALUE, "99");
    TEST_NULL(mt_linear_act_layer(backend, 2, 2, MT_OP_leaky_relu, rule, &rng), MT_ERR_VALUE, "leaky_relu");
    TEST_NULL(mt_linear_act_layer(backend, 2, 2, MT_OP_add, rule, &rng), MT_ERR_VALUE, "add");
    TEST_NULL(mt_activation_layer(MT_OP_add, 0, 0), MT_ERR_VALUE, "two operands");
    TEST_NULL(mt_activation_layer((mt_op)MT_OP_COUNT, 0, 0), MT_ERR_NAME, "");
    TEST_NULL(mt_mlp(backend, mt_shape(2), MT_OP_relu, rule, &rng), MT_ERR_SHAPE, "1 sizes");
    TEST_NULL(mt_mlp(backend, mt_shape(2, -3, 1), MT_OP_relu, rule, &rng), MT_ERR_SHAPE, "child layer1");
    assert_int_equal(mt_get_alloc_stats().bytes, held);

    /* A shape that does not fit is told with the path of the layer. */
    mt_module *outer = mt_sequential(), *inner = mt_mlp(backend, mt_shape(3, 4, 2), MT_OP_relu, rule, &rng);
    mt_module *odd = mt_linear_layer(backend, 5, 2, rule, &rng);
    TEST_TRUE(mt_module_add(outer, "encoder", inner) && mt_module_add(inner, "odd", odd));
    mt_tape *tape = test_tape(backend);
    TEST_TRUE(!mt_module_forward(outer, tape, OWN(mt_ones(backend, mt_shape(7, 3)))));
    const char *const told = "encoder.odd: linear: ";
    TEST_CHECK(strncmp(mt_tape_message(tape), told, strlen(told)) == 0, "the tape says: %s",
               mt_tape_message(tape));
    mt_module_free(outer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tree),         TEST(modes),         TEST(unknown_names),
        TEST(buffers),      TEST(bad_buffers),   TEST(copies),
        TEST(bad_building), TEST(failures_stay), TEST(null_passes_through),
        TEST(text),         TEST(own_module),    TEST(linear_forward_by_hand),
        TEST(sequences),    TEST(layer_errors),
    };
    return TEST_RUN("nn", tests);
}
