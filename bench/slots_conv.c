/* slots_conv.c - gpu_slots' check of conv.
 *
 * Factors are small integers, so that every sum of products is exact, whatever its order.
 */
#include "slots.h"

/* Sizes, and what goes along the height and along the width. */
typedef struct convolution {
    int64_t images, groups, channels, outputs; /* channels and outputs: of a group */
    int64_t size[2], kernel[2], stride[2], before[2], after[2], dilation[2];
} convolution;

static const convolution convolutions[] = {
    {1, 1, 1, 1, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}},
    {2, 1, 2, 3, {5, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 2, 2, 1, {7, 9}, {2, 3}, {2, 3}, {1, 0}, {1, 0}, {1, 2}},
    {1, 1, 1, 2, {4, 5}, {3, 2}, {1, 1}, {0, 0}, {2, 1}, {1, 1}}, /* anchored left */
    {3, 1, 3, 2, {6, 5}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}},
    {20, 1, 2, 4, {12, 13}, {5, 3}, {1, 1}, {2, 1}, {2, 1}, {1, 1}}, /* more windows than a block's threads */
};

static pair numbers(mt_shape shape, unsigned flags)
{
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = (double)test_from(-2, 2);
    return twins(test_array_from(backends[0], shape, flags, values));
}

static void convolve(const convolution *c, mt_conv_part part, unsigned flags, bool accumulate, bool with_bias)
{
    mt_shape x = mt_shape(c->images, c->groups * c->channels, c->size[0], c->size[1]);
    mt_shape w = mt_shape(c->groups * c->outputs, c->channels, c->kernel[0], c->kernel[1]);
    mt_shape y = mt_shape(c->images, c->groups * c->outputs, 0, 0);
    mt_conv_work work = {.part = part, .accumulate = accumulate, .groups = c->groups};
    for (int d = 0; d < 2; d++) {
        const int64_t room = c->size[d] + c->before[d] + c->after[d] - (c->kernel[d] - 1) * c->dilation[d];
        y.size[d + 2] = (room - 1) / c->stride[d] + 1;
        work.stride[d] = c->stride[d], work.before[d] = c->before[d], work.dilation[d] = c->dilation[d];
    }
    const mt_shape shapes[3] = {x, w, y};
    const int written = part == MT_CONV_VALUE ? 2 : part == MT_CONV_GRAD_X ? 0 : 1;
    pair of[3], bias = numbers(mt_shape(c->groups * c->outputs), flags);
    for (int k = 0; k < 3; k++)
        of[k] = k == written && !accumulate ? output(shapes[k], flags)
                                            : numbers(shapes[k], flags | (k == written ? TEST_FIXED : 0u));
    const char *what = slots_text("conv, part %d, of %s by %s%s%s", (int)part, test_text(x), test_text(w),
                                  with_bias ? ", bias" : "", accumulate ? ", +=" : "");
    EACH(i)
    {
        work.x = slots_operand(of[0], i), work.w = slots_operand(of[1], i), work.y = slots_operand(of[2], i);
        if (with_bias) work.bias = slots_operand(bias, i);
        TEST_OK(backends[i]->conv(backends[i], &work));
    }
    agree(of[written], 0, what);
    for (int k = 0; k < 3; k++)
        if (k != written) test_unchanged(of[k].on[0], what);
    test_release();
}

void check_conv(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_LENGTH(convolutions); i++)
        for (int round = 0; round < 3; round++) {
            const unsigned flags = slots_flags(round);
            convolve(&convolutions[i], MT_CONV_VALUE, flags, false, round % 2);
            convolve(&convolutions[i], MT_CONV_GRAD_X, flags, round % 2, false);
            convolve(&convolutions[i], MT_CONV_GRAD_W, flags, round % 2, false);
        }
}
