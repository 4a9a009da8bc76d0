/* nn/conv.h - modules over images (N, C, H, W) and rows (N, C, L): convolutions, pooling, and what joins
 * their result to a linear layer. Each constructor returns a module that the caller frees or adds to a
 * parent; NULL with a sentence when it fails.
 */
#ifndef MT_NN_CONV_H
#define MT_NN_CONV_H

#include "../tensor/conv.h"
#include "init.h"
#include "module.h"

MT_BEGIN

/* x (N, in, L) or (N, in, H, W) to (N, out, ...), with the parameters "weight" (out, in / groups, kernel...)
 * and "bias" (out) on backend. kernel: its length; or (kh, kw). options: those of tensor/conv.h; of one
 * dimension the first of each pair. With left it is minitorch's convolution. in and out are at least 1; rng
 * is used by rules that draw. */
MT_API mt_module *mt_conv1d_layer(mt_backend *backend, int64_t in, int64_t out, int64_t kernel,
                                  mt_conv_options options, mt_init rule, mt_rng *rng);
MT_API mt_module *mt_conv2d_layer(mt_backend *backend, int64_t in, int64_t out, mt_shape kernel,
                                  mt_conv_options options, mt_init rule, mt_rng *rng);

/* The operations of the same names; a stride is most often the kernel. */
MT_API mt_module *mt_max_pool1d_layer(int64_t kernel, int64_t stride, int64_t padding);
MT_API mt_module *mt_avg_pool1d_layer(int64_t kernel, int64_t stride, int64_t padding);
MT_API mt_module *mt_max_pool2d_layer(mt_shape kernel, mt_shape stride, mt_shape padding);
MT_API mt_module *mt_avg_pool2d_layer(mt_shape kernel, mt_shape stride, mt_shape padding);

/* x (N, ...) to (N, product of the other sizes). */
MT_API mt_module *mt_flatten_layer(void);

MT_END

#endif
