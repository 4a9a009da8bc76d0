/* tests/test_frozen.c - what needs no gradient costs nothing in backward: the work that a backend is given is
 * counted.
 *
 * The backend "counting" is cpu with a count of its slots' calls. A network with frozen layers is compared
 * with the network that is left when these are taken away, and each operation with one gradient wanted with
 * all of them.
 */
#include "support.h"

#include <string.h>

#include "minitorch.h"

/* ---- the backend ---- */

typedef struct {
    int64_t calls, products, flops, kept; /* kept: pre-activations that a product stores for a VJP */
} work;

static work done;
static mt_backend *cpu;

#define COUNTED(name, type)                                         \
    static mt_status counted_##name(mt_backend *b, const type *job) \
    {                                                               \
        (void)b;                                                    \
        done.calls++;                                               \
        return cpu->name(cpu, job);                                 \
    }
COUNTED(map, mt_elementwise_work)
COUNTED(zip, mt_elementwise_work)
COUNTED(reduce, mt_reduce_work)
COUNTED(scatter, mt_scatter_work)
COUNTED(rows, mt_rows_work)
COUNTED(softmax, mt_softmax_work)
COUNTED(cross_entropy, mt_cross_entropy_work)
COUNTED(conv, mt_conv_work)
COUNTED(layer_norm, mt_layer_norm_work)
COUNTED(gather, mt_gather_work)

static mt_status counted_matmul(mt_backend *b, const mt_matmul_work *job)
{
    (void)b;
    const mt_layout *out = job->out.layout, *a = job->a.layout;
    int64_t flops = 2 * a->size[a->rank - 1];
    for (int d = 0; d < out->rank; d++) flops *= out->size[d];
    done.calls++;
    done.products++;
    done.flops += flops;
    done.kept += job->pre.data != NULL && job->pre.data != job->out.data;
    return cpu->matmul(cpu, job);
}

static mt_status counted_fill(mt_backend *b, mt_operand out, mt_kind kind, double value)
{
    (void)b;
    done.calls++;
    return cpu->fill(cpu, out, kind, value);
}

static mt_status counted_copy(mt_backend *b, mt_operand out, mt_kind out_kind, mt_operand in, mt_kind in_kind)
{
    (void)b;
    done.calls++;
    return cpu->copy(cpu, out, out_kind, in, in_kind);
}

static mt_status counted_where(mt_backend *b, mt_operand out, mt_operand mask, mt_kind mask_kind,
                               mt_operand x, mt_operand y)
{
    (void)b;
    done.calls++;
    return cpu->where(cpu, out, mask, mask_kind, x, y);
}

static mt_backend *counting(void)
{
    static mt_backend *registered = NULL;
    if (registered) return registered;
    cpu = mt_backend_get("cpu");
    mt_backend backend = *cpu;
    backend.name = "counting";
    backend.map = counted_map;
    backend.zip = counted_zip;
    backend.reduce = counted_reduce;
    backend.scatter = counted_scatter;
    backend.rows = counted_rows;
    backend.softmax = counted_softmax;
    backend.cross_entropy = counted_cross_entropy;
    backend.conv = counted_conv;
    backend.layer_norm = counted_layer_norm;
    backend.gather = counted_gather;
    backend.matmul = counted_matmul;
    backend.fill = counted_fill;
    backend.copy = counted_copy;
    backend.where = counted_where;
    TEST_OK(mt_backend_register(&backend));
    return registered = mt_backend_get("counting");
}

/* ---- networks ---- */

enum { ROWS = 12, WIDTH = 16, LAYERS = 4 };

/* Layers "layer1" to "layer4" of 16 units with gelu, whose gradient reads what was before it. */
static mt_module *layers_from(mt_backend *backend, int first)
{
    mt_module *net = mt_sequential();
    for (int i = first; i <= LAYERS; i++) {
        char name[20];
        mt_rng rng = mt_rng_make((uint64_t)i);
        snprintf(name, sizeof name, "layer%d", i);
        mt_module_add(net, name,
                      mt_linear_act_layer(backend, WIDTH, WIDTH, MT_OP_gelu, MT_INIT_XAVIER, &rng));
    }
    TEST_OK(mt_module_status(net));
    return net;
}

static void freeze(mt_module *net, const char *path)
{
    char whole[40];
    for (int i = 0; i < mt_module_parameters(net); i++)
        if (mt_module_parameter_path(net, i, whole, sizeof whole) > 0 && strstr(whole, path))
            TEST_OK(mt_require_grad(mt_module_parameter_at(net, i), false));
}

typedef struct {
    work forward, backward;
    int64_t nodes;
} cost;

/* Of the second of two equal steps on x, which is constant. */
static cost measure(mt_module *net, mt_tensor *x)
{
    cost c = {0};
    mt_tape *tape = mt_tape_new(counting());
    for (int again = 0; again < 2; again++) {
        mt_tape_reset(tape);
        mt_module_zero_grad(net);
        done = (work){0};
        mt_tensor *loss = mt_sum(tape, mt_module_forward(net, tape, x));
        c.forward = done;
        c.nodes = mt_tape_length(tape);
        done = (work){0};
        mt_status status = mt_backward(tape, loss);
        TEST_CHECK(status == MT_OK, "%s", mt_tape_message(tape));
        c.backward = done;
    }
    mt_tape_free(tape);
    return c;
}

static mt_tensor *batch(void)
{
    mt_rng rng = mt_rng_make(5);
    return OWN(mt_normal(counting(), mt_shape(ROWS, WIDTH), &rng, 0, 1));
}

static bool has_gradient(mt_module *net, const char *path)
{
    return mt_has_grad(mt_module_parameter(net, path));
}

/* Layers below the first that learns: as if the network began there. */
static void below(void **state)
{
    (void)state;
    mt_tensor *x = batch();
    for (int first = 2; first <= LAYERS; first++) {
        mt_module *net = layers_from(counting(), 1), *rest = layers_from(counting(), first);
        for (int i = 1; i < first; i++) {
            char name[20];
            snprintf(name, sizeof name, "layer%d.", i);
            freeze(net, name);
        }
        const cost frozen = measure(net, x), left = measure(rest, x);
        TEST_CHECK(memcmp(&frozen.backward, &left.backward, sizeof(work)) == 0,
                   "from layer %d: %d calls and %d flops in backward, not %d and %d", first,
                   (int)frozen.backward.calls, (int)frozen.backward.flops, (int)left.backward.calls,
                   (int)left.backward.flops);
        assert_int_equal(frozen.nodes, left.nodes);               /* nothing is recorded below */
        assert_int_equal(frozen.forward.kept, left.forward.kept); /* and nothing kept */
        assert_int_equal(left.forward.kept, LAYERS - first + 1);
        assert_false(has_gradient(net, "layer1.weight"));
        assert_true(has_gradient(net, "layer4.weight"));
        mt_module_free(net);
        mt_module_free(rest);
        test_cases++;
    }
}

/* A frozen layer in the middle costs the product for its input alone, and what lies below gets the same bits.
 */
static void between(void **state)
{
    (void)state;
    mt_tensor *x = batch();
    mt_module *net = layers_from(counting(), 1), *all = layers_from(counting(), 1);
    freeze(net, "layer3.");
    const cost frozen = measure(net, x), full = measure(all, x);
    assert_int_equal(full.backward.products, 2 * LAYERS - 1);
    assert_int_equal(frozen.backward.products, 2 * LAYERS - 2);
    assert_int_equal(full.backward.flops - frozen.backward.flops, 2 * ROWS * WIDTH * WIDTH);
    assert_true(frozen.backward.calls < full.backward.calls - 1); /* the bias's sum too */
    assert_int_equal(frozen.nodes, full.nodes);
    assert_false(has_gradient(net, "layer3.weight") || has_gradient(net, "layer3.bias"));
    static const char *const paths[] = {"layer1.weight", "layer1.bias", "layer2.weight", "layer4.bias"};
    for (size_t i = 0; i < TEST_LENGTH(paths); i++) {
        mt_tensor *p = mt_module_parameter(net, paths[i]), *q = mt_module_parameter(all, paths[i]);
        TEST_ALL_SAME(test_read(mt_grad(p)), test_read(mt_grad(q)), mt_tensor_count(p), paths[i]);
    }
    mt_module_free(net);
    mt_module_free(all);
}

/* Weights frozen, biases not: no product for a weight. And everything frozen: nothing is recorded. */
static void parts(void **state)
{
    (void)state;
    mt_tensor *x = batch();
    mt_module *net = layers_from(counting(), 1);
    freeze(net, "weight");
    assert_int_equal(measure(net, x).backward.products, LAYERS - 1);
    freeze(net, "bias");
    mt_tape *tape = test_tape(counting());
    done = (work){0};
    mt_tensor *y = ON(tape, mt_module_forward(net, tape, x));
    assert_int_equal(mt_tape_length(tape), 0);
    assert_int_equal(done.kept, 0);
    assert_int_equal(mt_backward(tape, mt_sum(tape, y)), MT_ERR_STATE);
    mt_tape_reset(tape);
    mt_module_free(net);
}

/* ---- each operation: one gradient alone costs less than all of them ---- */

static void operations(void **state)
{
    (void)state;
    mt_tape *tape = test_tape(counting());
    int tried = 0;
    for (int o = 0; o < mt_operation_count(); o++) {
        const mt_operation *operation = mt_operation_at(o);
        int inputs = 0, wanting = 0;
        while (inputs < MT_MAX_INPUTS && operation->input[inputs].name) {
            const mt_input *input = &operation->input[inputs++];
            wanting += !input->constant && input->takes != MT_TAKES_INDEX;
        }
        if (wanting < 2 || operation->no_vjp || operation->gives == MT_GIVES_INDEX) continue;
        const mt_example *example = operation->examples;
        mt_tensor *in[MT_MAX_INPUTS];
        for (int i = 0; i < inputs; i++) {
            mt_rng rng = mt_rng_make(2);
            const mt_input *input = &operation->input[i];
            in[i] = OWN(mt_uniform(counting(), example->shape[i], &rng, input->low, input->high));
            if (input->takes == MT_TAKES_INDEX) in[i] = OWN(mt_tensor_as(in[i], MT_INDEX));
        }
        work all = {0}, none = {0};
        for (int which = inputs; which >= -1; which--) { /* all, then each alone, then none */
            int wants = 0;
            for (int i = 0; i < inputs; i++) {
                const mt_input *input = &operation->input[i];
                const bool on =
                    !input->constant && input->takes != MT_TAKES_INDEX && (which == inputs || which == i);
                if (mt_tensor_kind(in[i]) == MT_REAL) TEST_OK(mt_require_grad(in[i], on));
                mt_zero_grad(in[i]);
                wants += on;
            }
            mt_tensor *out = ON(tape, mt_apply_operation(tape, operation, in, inputs, example->attribute));
            if (wants == 0) {
                TEST_CHECK(mt_tape_length(tape) == 0, "%s is recorded although no input wants a gradient",
                           operation->name);
                mt_tape_reset(tape);
                continue;
            }
            mt_tensor *g = mt_ones(counting(), mt_tensor_shape(out));
            done = none;
            TEST_OK(mt_backward_from(tape, out, g));
            if (which == inputs)
                all = done;
            else
                /* 1: the cotangent's copy alone; nothing flows through a comparison */
                TEST_CHECK(done.calls < all.calls || all.calls == 1,
                           "%s: the gradient of input %d alone takes %d calls, all take %d", operation->name,
                           which, (int)done.calls, (int)all.calls);
            for (int i = 0; i < inputs; i++)
                TEST_CHECK(!mt_has_grad(in[i]) || mt_requires_grad(in[i]), "%s gives input %d a gradient",
                           operation->name, i);
            mt_tape_reset(tape);
            mt_tensor_free(g);
        }
        tried++;
    }
    TEST_TRUE(tried > 10);
    test_cases += tried;
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(below), TEST(between), TEST(parts), TEST(operations)};
    return TEST_RUN("frozen", tests);
}
