/* tensor/conv.h - convolutions without a tape. What stands at the top of ops.h holds here too.
 *
 * y[n, o, i, j] = the sum over c, p, q of x[n, first(o) + c, i*stride[0] + p*dilation[0] - padding[0],
 * j*stride[1] + q*dilation[1] - padding[1]] w[o, c, p, q], where x is 0 outside. Input channels and outputs
 * are cut into groups of equal size, in their order, and first(o) is the first channel of o's group.
 */
#ifndef MT_CONV_H
#define MT_CONV_H

#include "tensor.h"

/* Along the height, then the width; of a one-dimensional convolution the first alone. */
typedef struct mt_conv_options {
    int64_t stride[2];   /* 1; at least 1 */
    int64_t padding[2];  /* 0; rows of zeros before the input, and as many behind it */
    int64_t dilation[2]; /* 1; distance between the elements that neighbours in the kernel meet */
    int64_t groups;      /* 1; a divisor of the input's channels and of the outputs */
    bool left; /* false; true: minitorch's. Zeros stand behind the input alone, as many as make the result as
                  large as the input, however large the kernel; stride and dilation 1, padding 0 */
} mt_conv_options;

MT_BEGIN

MT_API mt_conv_options mt_conv_defaults(void);

/* out (N, O, OH, OW) = the convolution of x (N, C, H, W) with w (O, C / groups, KH, KW); conv2d_bias adds
 * bias (O) to each image. */
MT_API mt_status mt_op_conv2d(mt_tensor *out, const mt_tensor *x, const mt_tensor *w,
                              mt_conv_options options);
MT_API mt_status mt_op_conv2d_bias(mt_tensor *out, const mt_tensor *x, const mt_tensor *w,
                                   const mt_tensor *bias, mt_conv_options options);
/* From g, the gradient of the result: that of x, or of w, into out, of its shape; added to it where
 * accumulate is set. */
MT_API mt_status mt_op_conv2d_grad_x(mt_tensor *out, const mt_tensor *g, const mt_tensor *w,
                                     mt_conv_options options, bool accumulate);
MT_API mt_status mt_op_conv2d_grad_w(mt_tensor *out, const mt_tensor *g, const mt_tensor *x,
                                     mt_conv_options options, bool accumulate);

/* The shape of the result for x (N, C, size...) and w (O, C / groups, size...), of dims (1 or 2) sizes each;
 * bias (O), or NULL for none. what names the operation in the sentence of a failure, after which *result is
 * unchanged. */
MT_INTERNAL mt_status mt_rule_conv(const char *what, int dims, const mt_layout *x, const mt_layout *w,
                                   const mt_layout *bias, const mt_conv_options *options, mt_shape *result);

/* How many windows of kernel elements, dilation apart, stand stride apart in size elements with padding
 * before and behind them; -1 with a sentence where none does or a number is outside. along: 0 or 1, of dims,
 * for the sentence. */
MT_INTERNAL int64_t mt_rule_windows(const char *what, int along, int dims, int64_t size, int64_t kernel,
                                    int64_t stride, int64_t padding, int64_t dilation);

MT_END

#endif
