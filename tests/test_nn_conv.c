/* tests/test_nn_conv.c - layers over images: what they compute, their first values, and what is refused. */
#include <math.h>

#include "autodiff/elementwise.h"
#include "autodiff/operations.h"
#include "nn/conv.h"
#include "nn/layers.h"
#include "nn/optim.h"
#include "support.h"
#include "tensor/op_id.h"

static mt_tensor *images(mt_backend *b, mt_rng *rng, mt_shape shape)
{
    return OWN(mt_uniform(b, shape, rng, -1, 1));
}

/* A layer gives what its operation gives for its parameters. */
static void test_layers(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (int dims = 1; dims <= 2; dims++)
        for (int left = 0; left < 2; left++) {
            mt_rng rng = mt_rng_make(test_bits());
            mt_conv_options o = mt_conv_defaults();
            o.groups = left ? 1 : 2, o.left = left;
            if (!left) o.stride[0] = 2, o.padding[0] = 1, o.dilation[dims - 1] = 2;
            mt_tape *t = test_tape(b);
            mt_module *layer = dims == 1 ? mt_conv1d_layer(b, 4, 6, 3, o, MT_INIT_PYTORCH, &rng)
                                         : mt_conv2d_layer(b, 4, 6, mt_shape(3, 2), o, MT_INIT_PYTORCH, &rng);
            TEST_CHECK(layer, "%s", mt_last_message());
            mt_tensor *w = mt_module_parameter(layer, "weight"), *bias = mt_module_parameter(layer, "bias");
            mt_tensor *x = images(b, &rng, dims == 1 ? mt_shape(2, 4, 9) : mt_shape(2, 4, 7, 8));
            mt_tensor *flat = ON(t, mt_reshape(t, bias, dims == 1 ? mt_shape(6, 1) : mt_shape(6, 1, 1)));
            mt_tensor *bare =
                left        ? (dims == 1 ? mt_conv1d_left : mt_conv2d_left)(t, x, w)
                : dims == 1 ? mt_conv1d(t, x, w, o.stride[0], o.padding[0], o.dilation[0], o.groups)
                            : mt_conv2d(t, x, w, mt_shape_make(2, o.stride), mt_shape_make(2, o.padding),
                                        mt_shape_make(2, o.dilation), o.groups);
            const mt_tensor *want = ON(t, mt_add(t, ON(t, bare), flat)),
                            *got = ON(t, mt_module_forward(layer, t, x));
            TEST_TRUE(mt_shape_equal(mt_tensor_shape(got), mt_tensor_shape(want)));
            TEST_ALL_CLOSE(test_read(got), test_read(want), mt_tensor_count(want), 8 * test_epsilon,
                           8 * test_epsilon, "a layer");
            mt_module_free(layer);
            test_cases++;
            test_release();
        }
}

/* Fans count the places of a kernel: PyTorch's bound is 1 / sqrt(4 * 3 * 5), and that of kaiming follows. */
static void test_init(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_rng rng = mt_rng_make(test_bits());
        mt_tensor *w = OWN(mt_zeros(b, mt_shape(64, 4, 3, 5))), *bias = OWN(mt_ones(b, mt_shape(64)));
        static const struct {
            mt_init rule;
            double bound, bias;
        } want[] = {{MT_INIT_PYTORCH, 1 / 60.0, 1 / 60.0},
                    {MT_INIT_KAIMING, 6 / 60.0, 0},
                    {MT_INIT_XAVIER, 6 / (60.0 + 64 * 15), 0}};
        for (size_t i = 0; i < TEST_LENGTH(want); i++) {
            TEST_OK(mt_init_conv(w, bias, want[i].rule, &rng));
            double most = 0, most_bias = 0;
            const double *values = test_read(w), *of_bias = test_read(bias);
            for (int64_t k = 0; k < 64 * 60; k++) most = fmax(most, fabs(values[k]));
            for (int64_t k = 0; k < 64; k++) most_bias = fmax(most_bias, fabs(of_bias[k]));
            TEST_TRUE(most <= sqrt(want[i].bound) && most > 0.99 * sqrt(want[i].bound));
            TEST_TRUE(most_bias <= sqrt(want[i].bias) && most_bias >= 0.8 * sqrt(want[i].bias));
            test_cases++;
        }
        mt_tensor *square = OWN(mt_zeros(b, mt_shape(64, 4))), *none = OWN(mt_zeros(b, mt_shape(64, 4, 0)));
        TEST_FAILS(mt_init_conv(square, bias, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE, "(out, in, places...)");
        TEST_FAILS(mt_init_linear(w, bias, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE, "(in, out)");
        TEST_FAILS(mt_init_conv(none, bias, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE, "has no fans");
        TEST_FAILS(mt_init_conv(w, w, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE, "a bias of shape (64)");
        test_release();
    }
}

/* minitorch's LeNet: 4 and 8 channels of 3 x 3, pooling 4 x 4, 392-64-10. Its shapes, and that it learns. */
static void test_lenet(void **data)
{
    (void)data;
    mt_backend *b = test_cpu();
    mt_rng rng = mt_rng_make(7);
    mt_conv_options left = mt_conv_defaults();
    left.left = true;
    const mt_shape four = mt_shape(4, 4), three = mt_shape(3, 3);
    mt_module *net = mt_sequential();
    mt_sequential_add(net, mt_conv2d_layer(b, 1, 4, three, left, MT_INIT_PYTORCH, &rng));
    mt_sequential_add(net, mt_activation_layer(MT_OP_relu, 0, 0));
    mt_sequential_add(net, mt_conv2d_layer(b, 4, 8, three, left, MT_INIT_PYTORCH, &rng));
    mt_sequential_add(net, mt_activation_layer(MT_OP_relu, 0, 0));
    mt_sequential_add(net, mt_avg_pool2d_layer(four, four, mt_shape(0, 0)));
    mt_sequential_add(net, mt_flatten_layer());
    mt_sequential_add(net, mt_linear_act_layer(b, 392, 64, MT_OP_relu, MT_INIT_PYTORCH, &rng));
    mt_sequential_add(net, mt_linear_layer(b, 64, 10, MT_INIT_PYTORCH, &rng));
    TEST_CHECK(mt_module_status(net) == MT_OK, "%s", mt_module_message(net));
    TEST_TRUE(mt_module_count(net) == 4 * 9 + 4 + 8 * 36 + 8 + 392 * 64 + 64 + 640 + 10);
    mt_tensor *x = images(b, &rng, mt_shape(8, 1, 28, 28)), *y = images(b, &rng, mt_shape(8, 10));
    mt_adam_options options = mt_adam_defaults();
    options.rate = 0.01;
    mt_optimizer *adam = mt_adam_new(net, options);
    double first = 0, last = 0;
    for (int step = 0; step < 12; step++) {
        mt_tape *t = test_tape(b);
        mt_optimizer_zero_grad(adam);
        mt_tensor *out = ON(t, mt_module_forward(net, t, x));
        TEST_TRUE(mt_shape_equal(mt_tensor_shape(out), mt_shape(8, 10)));
        mt_tensor *loss = ON(t, mt_mse(t, out, y));
        last = mt_item(loss);
        if (step == 0) first = last;
        TEST_OK(mt_backward(t, loss));
        TEST_OK(mt_optimizer_step(adam));
    }
    TEST_CHECK(last < 0.8 * first, "the loss went from %g to %g", first, last);
    mt_optimizer_free(adam);
    mt_module_free(net);
    test_cases++;
}

static void test_refused(void **data)
{
    (void)data;
    mt_backend *b = test_cpu();
    mt_rng rng = mt_rng_make(1);
    mt_conv_options o = mt_conv_defaults(), bad = o;
    const mt_shape two = mt_shape(2, 2), none = mt_shape(0, 0);
    TEST_NULL(mt_conv2d_layer(b, 0, 2, two, o, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE, "0 inputs");
    TEST_NULL(mt_conv2d_layer(b, 2, 2, mt_shape(2), o, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE,
              "a kernel of (2)");
    TEST_NULL(mt_conv2d_layer(b, 2, 2, none, o, MT_INIT_PYTORCH, &rng), MT_ERR_VALUE, "kernel (0, 0)");
    TEST_NULL(mt_conv1d_layer(b, 2, 2, INT64_MAX, o, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE, "");
    TEST_NULL(mt_conv1d_layer(b, 2, 2, 3, o, (mt_init)99, &rng), MT_ERR_VALUE, "99");
    bad.groups = 3;
    TEST_NULL(mt_conv1d_layer(b, 3, 2, 3, bad, MT_INIT_PYTORCH, &rng), MT_ERR_SHAPE, "3 groups");
    bad = o, bad.stride[0] = 0;
    TEST_NULL(mt_conv1d_layer(b, 3, 2, 3, bad, MT_INIT_PYTORCH, &rng), MT_ERR_VALUE, "stride");
    mt_conv_options left = mt_conv_defaults();
    left.left = true;
    left.groups = 2;
    TEST_NULL(mt_conv2d_layer(b, 2, 4, two, left, MT_INIT_ZEROS, &rng), MT_ERR_VALUE, "there are no groups");
    left.groups = 1;
    left.stride[1] = 2;
    TEST_NULL(mt_conv2d_layer(b, 2, 4, two, left, MT_INIT_ZEROS, &rng), MT_ERR_VALUE,
              "dimension 1 of it stride 2");
    TEST_NULL(mt_max_pool2d_layer(two, two, two), MT_ERR_VALUE, "at most half");
    TEST_NULL(mt_avg_pool2d_layer(mt_shape(2), two, none), MT_ERR_VALUE, "2 numbers each");
    TEST_NULL(mt_max_pool1d_layer(2, 0, 0), MT_ERR_VALUE, "1 numbers each");
    TEST_NULL(mt_avg_pool1d_layer(0, 1, 0), MT_ERR_VALUE, "kernel (0)");
    assert_null(mt_conv2d_layer(NULL, 1, 1, two, o, MT_INIT_ZEROS, &rng));
    assert_null(mt_conv1d_layer(b, 1, 1, 1, o, MT_INIT_ZEROS, NULL));
    /* a failure names the layer */
    mt_module *net = mt_sequential();
    mt_sequential_add(net, mt_max_pool1d_layer(2, 2, 0));
    mt_tape *t = test_tape(b);
    assert_null(mt_module_forward(net, t, images(b, &rng, mt_shape(3, 3))));
    TEST_CHECK(mt_tape_status(t) == MT_ERR_SHAPE, "%s", mt_tape_message(t));
    mt_module_free(net);
    test_cases++;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_layers), TEST(test_init), TEST(test_lenet),
                                              TEST(test_refused)};
    return TEST_RUN("nn_conv", tests);
}
