/* nn/layers.h - the modules that come with the library. Each constructor returns a module that the caller
 * frees or adds to a parent; NULL with a sentence when it fails.
 */
#ifndef MT_LAYERS_H
#define MT_LAYERS_H

#include "init.h"
#include "module.h"

MT_BEGIN

/* x (..., in) to x weight + bias (..., out), with the parameters "weight" (in, out) and "bias" (out) on
 * backend. in and out are at least 1; rng is used by rules that draw. */
MT_API mt_module *mt_linear_layer(mt_backend *backend, int64_t in, int64_t out, mt_init rule, mt_rng *rng);
/* The same followed by act, a map without parameters (MT_OP_relu, MT_OP_sigmoid, ...): one node of the tape,
 * one pass over memory. */
MT_API mt_module *mt_linear_act_layer(mt_backend *backend, int64_t in, int64_t out, mt_op act, mt_init rule,
                                      mt_rng *rng);

/* x to op(x), elementwise, for any map; p0 and p1 are its constants (leaky_relu's slope), 0 where it takes
 * none. */
MT_API mt_module *mt_activation_layer(mt_op op, double p0, double p1);

/* Applies its children one after another, in the order in which they were added; without children, returns x.
 * Add with mt_module_add(sequential, "layer1", layer), or with mt_sequential_add, which names them "0", "1",
 * ... */
MT_API mt_module *mt_sequential(void);
MT_API mt_module *mt_sequential_add(mt_module *sequential, mt_module *layer);

/* A sequential of linear layers named "layer1", "layer2", ...: mt_mlp(dev, mt_shape(2, 100, 100, 1),
 * MT_OP_relu, rule, rng) is 2 -> 100 -> 100 -> 1 with act after every layer but the last, whose results are
 * logits. At least two sizes. */
MT_API mt_module *mt_mlp(mt_backend *backend, mt_shape sizes, mt_op act, mt_init rule, mt_rng *rng);

MT_END

#endif
