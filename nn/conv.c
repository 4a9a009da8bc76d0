/* nn/conv.c - convolutions, pooling and flattening as modules. */
#include "conv.h"

#include <inttypes.h>
#include <stdio.h>

#include "../autodiff/elementwise.h"
#include "../autodiff/operations.h"
#include "../tensor/alloc.h"
#include "tree.h"

/* ---- convolutions ---- */

typedef struct conv {
    mt_tensor *weight, *bias; /* the module's, kept here so that a step looks nothing up */
    mt_conv_options options;
    int dims;
} conv;

static mt_tensor *conv_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    const conv *layer = context;
    const mt_conv_options *o = &layer->options;
    mt_tensor *w = layer->weight, *bias = layer->bias;
    (void)self;
    if (o->left && layer->dims == 1)
        return mt_add(tape, mt_conv1d_left(tape, x, w), mt_reshape(tape, bias, mt_shape(-1, 1)));
    if (o->left) return mt_add(tape, mt_conv2d_left(tape, x, w), mt_reshape(tape, bias, mt_shape(-1, 1, 1)));
    if (layer->dims == 1)
        return mt_conv1d_bias(tape, x, w, bias, o->stride[0], o->padding[0], o->dilation[0], o->groups);
    return mt_conv2d_bias(tape, x, w, bias, mt_shape_make(2, o->stride), mt_shape_make(2, o->padding),
                          mt_shape_make(2, o->dilation), o->groups);
}

static void conv_release(void *context) { mt_free(context, sizeof(conv)); }

/* kernel: one size or two. */
static mt_module *conv_layer(mt_backend *backend, int64_t in, int64_t out, mt_shape kernel,
                             mt_conv_options options, mt_init rule, mt_rng *rng)
{
    char kind[120], text[MT_SHAPE_TEXT];
    const int64_t groups = options.groups;
    if (!backend || !rng) return NULL;
    if (in < 1 || out < 1 || groups < 1 || in % groups || out % groups) {
        mt_fail(MT_ERR_SHAPE,
                "conv layer: %" PRId64 " inputs, %" PRId64 " outputs and %" PRId64
                " groups; all must be at least 1, and the groups divide both",
                in, out, groups);
        return NULL;
    }
    if (options.left && groups != 1) {
        mt_fail(MT_ERR_VALUE, "conv layer: anchored left there are no groups, and %" PRId64 " were asked for",
                groups);
        return NULL;
    }
    mt_shape shape = {.rank = kernel.rank + 2, .size = {out, in / groups}};
    for (int d = 0; d < kernel.rank; d++) {
        shape.size[d + 2] = kernel.size[d];
        const bool fits = kernel.size[d] >= 1 && options.stride[d] >= 1 && options.dilation[d] >= 1 &&
                          options.padding[d] >= 0;
        const bool plain = options.stride[d] == 1 && options.dilation[d] == 1 && options.padding[d] == 0;
        if (fits && (plain || !options.left)) continue;
        mt_fail(MT_ERR_VALUE,
                "conv layer: kernel %s, and along dimension %d of it stride %" PRId64 ", padding %" PRId64
                ", dilation %" PRId64 "; %s",
                mt_shape_text(kernel, text), d, options.stride[d], options.padding[d], options.dilation[d],
                fits ? "anchored left, stride and dilation are 1 and padding is 0"
                     : "kernel, stride and dilation must be at least 1 and the padding at least 0");
        return NULL;
    }
    snprintf(kind, sizeof kind, "Conv%dd(%" PRId64 " -> %" PRId64 ", kernel %s%s)", kernel.rank, in, out,
             mt_shape_text(kernel, text), options.left ? ", left" : "");
    mt_tensor *weight = mt_empty(backend, shape, MT_REAL), *bias = mt_empty(backend, mt_shape(out), MT_REAL);
    if (mt_init_conv(weight, bias, rule, rng) != MT_OK) {
        mt_tensor_free(weight);
        mt_tensor_free(bias);
        return NULL;
    }
    mt_module *module = mt_module_new(kind, conv_forward);
    mt_tensor *held_weight = mt_module_add_parameter(module, "weight", weight),
              *held_bias = mt_module_add_parameter(module, "bias", bias);
    conv *layer = mt_alloc(sizeof *layer);
    if (layer) *layer = (conv){held_weight, held_bias, options, kernel.rank};
    mt_module_own_context(module, layer, conv_release);
    return mt_module_finished(module);
}

mt_module *mt_conv1d_layer(mt_backend *backend, int64_t in, int64_t out, int64_t kernel,
                           mt_conv_options options, mt_init rule, mt_rng *rng)
{
    return conv_layer(backend, in, out, mt_shape(kernel), options, rule, rng);
}

mt_module *mt_conv2d_layer(mt_backend *backend, int64_t in, int64_t out, mt_shape kernel,
                           mt_conv_options options, mt_init rule, mt_rng *rng)
{
    char text[MT_SHAPE_TEXT];
    if (kernel.rank == 2) return conv_layer(backend, in, out, kernel, options, rule, rng);
    mt_fail(MT_ERR_SHAPE, "conv2d layer: a kernel of %s; give its height and its width",
            mt_shape_text(kernel, text));
    return NULL;
}

/* ---- pooling ---- */

typedef struct pool {
    mt_shape kernel, stride, padding; /* one size each, or two */
    bool most;                        /* the maximum; else the mean */
} pool;

static mt_tensor *pool_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    const pool *p = context;
    (void)self;
    if (p->kernel.rank == 2)
        return (p->most ? mt_max_pool2d : mt_avg_pool2d)(tape, x, p->kernel, p->stride, p->padding);
    return (p->most ? mt_max_pool1d : mt_avg_pool1d)(tape, x, p->kernel.size[0], p->stride.size[0],
                                                     p->padding.size[0]);
}

static void pool_release(void *context) { mt_free(context, sizeof(pool)); }

static mt_module *pool_layer(mt_shape kernel, mt_shape stride, mt_shape padding, int dims, bool most)
{
    char kind[120], text[MT_SHAPE_TEXT], text_stride[MT_SHAPE_TEXT];
    bool fits = kernel.rank == dims && stride.rank == dims && padding.rank == dims;
    for (int d = 0; d < dims && fits; d++)
        fits = kernel.size[d] >= 1 && stride.size[d] >= 1 && padding.size[d] >= 0 &&
               padding.size[d] <= kernel.size[d] / 2;
    if (!fits) {
        mt_fail(MT_ERR_VALUE,
                "pool layer: kernel %s and stride %s; give %d numbers each, at least 1, and a padding of at "
                "most half the kernel",
                mt_shape_text(kernel, text), mt_shape_text(stride, text_stride), dims);
        return NULL;
    }
    snprintf(kind, sizeof kind, "%sPool%dd(kernel %s, stride %s)", most ? "Max" : "Avg", dims,
             mt_shape_text(kernel, text), mt_shape_text(stride, text_stride));
    mt_module *module = mt_module_new(kind, pool_forward);
    pool *layer = mt_alloc(sizeof *layer);
    if (layer) *layer = (pool){kernel, stride, padding, most};
    mt_module_own_context(module, layer, pool_release);
    return mt_module_finished(module);
}

mt_module *mt_max_pool1d_layer(int64_t kernel, int64_t stride, int64_t padding)
{
    return pool_layer(mt_shape(kernel), mt_shape(stride), mt_shape(padding), 1, true);
}

mt_module *mt_avg_pool1d_layer(int64_t kernel, int64_t stride, int64_t padding)
{
    return pool_layer(mt_shape(kernel), mt_shape(stride), mt_shape(padding), 1, false);
}

mt_module *mt_max_pool2d_layer(mt_shape kernel, mt_shape stride, mt_shape padding)
{
    return pool_layer(kernel, stride, padding, 2, true);
}

mt_module *mt_avg_pool2d_layer(mt_shape kernel, mt_shape stride, mt_shape padding)
{
    return pool_layer(kernel, stride, padding, 2, false);
}

/* ---- flatten ---- */

static mt_tensor *flatten_forward(mt_module *self, void *context, mt_tape *tape, mt_tensor *x)
{
    (void)self, (void)context;
    return mt_flatten(tape, x, 1, -1);
}

mt_module *mt_flatten_layer(void) { return mt_module_new("Flatten", flatten_forward); }
