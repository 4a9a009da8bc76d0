/* autodiff/operations.h - differentiable operations: each computes its result at once and records itself on
 * the tape.
 *
 * Each comment above a declaration begins with the operation's formula; between "from" and "to here" both are
 * made from the operations' code by tools/declare_operations.py. The result belongs to the tape. Operands are
 * tensors of this tape or of a constructor, all on the tape's backend. A failure is recorded in the tape and
 * the result is NULL; a NULL operand passes through. Shapes broadcast as in NumPy.
 */
#ifndef MT_AUTODIFF_OPS_H
#define MT_AUTODIFF_OPS_H

#include "losses.h"
#include "tape.h"

MT_BEGIN

/* Elementwise, by number; by name they stand in elementwise.h. */
MT_API mt_tensor *mt_map(mt_tape *tape, mt_op op, mt_tensor *x, double p0, double p1);
MT_API mt_tensor *mt_zip(mt_tape *tape, mt_op op, mt_tensor *a, mt_tensor *b, double p0, double p1);

/* ---- reductions: over everything, to shape (1); over one dimension; over several, each named once. keepdim
 * leaves them as size 1; dropping every dimension gives (1). max, min, argmax and argmin of nothing are
 * errors. sum, prod, max and min of an INDEX are an INDEX, its mean and all REAL. ---- */

/* from reductions.c */
/* sum: the sum of x over dims; 0 over nothing */
MT_API mt_tensor *mt_sum(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_sum_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_sum_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* mean: the sum of x over dims divided by their count; NaN over nothing */
MT_API mt_tensor *mt_mean(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_mean_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_mean_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* prod: the product of x over dims; 1 over nothing */
MT_API mt_tensor *mt_prod(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_prod_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_prod_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* max: the largest of x over dims; its gradient goes to the first */
MT_API mt_tensor *mt_max(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_max_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_max_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* min: the smallest of x over dims; its gradient goes to the first */
MT_API mt_tensor *mt_min(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_min_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_min_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* all: 1 when no x over dims is 0, else 0; passes no gradient on */
MT_API mt_tensor *mt_all(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_all_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_all_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* any: 1 when an x over dims is not 0, else 0; passes no gradient on */
MT_API mt_tensor *mt_any(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_any_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_any_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* argmax: where in dims, in row-major order, the first largest of x stands */
MT_API mt_tensor *mt_argmax(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_argmax_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_argmax_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* argmin: where in dims, in row-major order, the first smallest of x stands */
MT_API mt_tensor *mt_argmin(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_argmin_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_argmin_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* to here */

/* ---- products ---- */

/* from products.c */
/* matmul: the sum over k of a[..., i, k] b[..., k, j]; batches broadcast, vectors as in NumPy. a (...,
 * m, k), b (..., k, n). */
MT_API mt_tensor *mt_matmul(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* linear: x w + bias, x (..., in), w (in, out), bias (out) */
MT_API mt_tensor *mt_linear(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias);
/* linear_act: act(x w + bias), act a map without constants. Such as MT_OP_relu: in one pass, as one
 * node of the tape. */
MT_API mt_tensor *mt_linear_act(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, mt_op act);
/* outer: a[i] b[j], a (n), b (m), the result (n, m) */
MT_API mt_tensor *mt_outer(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* to here */

/* ---- views: nothing is copied, the gradient finds its way back through any layout. See tensor/tensor.h for
 * the meaning of the arguments ---- */

/* from views.c */
/* view: x, which must be contiguous, in that shape; one size may be -1 */
MT_API mt_tensor *mt_view(mt_tape *tape, mt_tensor *x, mt_shape shape);
/* reshape: x in that shape, row-major, a copy when it must; one size may be -1 */
MT_API mt_tensor *mt_reshape(mt_tape *tape, mt_tensor *x, mt_shape shape);
/* flatten: x with dimensions first to last joined into one, a copy when it must */
MT_API mt_tensor *mt_flatten(mt_tape *tape, mt_tensor *x, int64_t first, int64_t last);
/* squeeze: x without dim where its size is 1, otherwise x */
MT_API mt_tensor *mt_squeeze(mt_tape *tape, mt_tensor *x, int64_t dim);
/* unsqueeze: x with a dimension of size 1 before dim; -1 appends it */
MT_API mt_tensor *mt_unsqueeze(mt_tape *tape, mt_tensor *x, int64_t dim);
/* permute: x with its dimensions in that order: dimension i is x's order[i] */
MT_API mt_tensor *mt_permute(mt_tape *tape, mt_tensor *x, mt_shape order);
/* transpose: x with dimensions dim0 and dim1 exchanged */
MT_API mt_tensor *mt_transpose(mt_tape *tape, mt_tensor *x, int64_t dim0, int64_t dim1);
/* slice: elements start, start + step, ... before stop of x along dim */
MT_API mt_tensor *mt_slice(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t start, int64_t stop,
                           int64_t step);
/* select: element index of x along dim, which disappears */
MT_API mt_tensor *mt_select(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t index);
/* expand: x with sizes of 1 stretched to that shape; -1 keeps a size */
MT_API mt_tensor *mt_expand(mt_tape *tape, mt_tensor *x, mt_shape shape);
/* copy: a row-major copy of x, always */
MT_API mt_tensor *mt_copy(mt_tape *tape, mt_tensor *x);
/* as: a row-major copy of x as REAL, or as INDEX, rounded towards zero. An INDEX has no gradient: none
 * flows back through it. */
MT_API mt_tensor *mt_as(mt_tape *tape, mt_tensor *x, mt_kind kind);
/* contiguous: x row-major: a view of it where it is so already, otherwise a copy. Either way another
 * handle, the tape's like every result. */
MT_API mt_tensor *mt_contiguous(mt_tape *tape, mt_tensor *x);
/* take_rows: rows of x in the order that index names; a row may be named more than once. index is a
 * vector of INDEX. */
MT_API mt_tensor *mt_take_rows(mt_tape *tape, mt_tensor *x, mt_tensor *index);
/* to here */

/* ---- windows, and a constant around a tensor ---- */

/* from windows.c */
/* unfold: windows of size elements of x along dim, step apart, in a new last dimension. A view, as
 * PyTorch's Tensor.unfold: element (.., w, .., i) is x's (.., w step + i, ..). Windows may share
 * elements, whose gradients add up. */
MT_API mt_tensor *mt_unfold(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t size, int64_t step);
/* pad: x with before[d] elements of value before it, and after[d] behind it, along each dimension d.
 * before and after name every dimension of x: mt_pad(t, x, mt_shape(0, 1), mt_shape(0, 1), 0) puts a
 * column of zeros at each side of a matrix. */
MT_API mt_tensor *mt_pad(mt_tape *tape, mt_tensor *x, mt_shape before, mt_shape after, double value);
/* to here */

/* ---- convolutions and pooling: of images (N, C, H, W), or rows (N, C, L) ---- */

/* from conv.c */
/* conv1d: the sum over c, p of x[n, c, i stride + p dilation - padding] w[o, c, p], x 0 outside. x (N,
 * C, L), w (O, C / groups, K): PyTorch's. Groups of channels and of outputs meet in their order. */
MT_API mt_tensor *mt_conv1d(mt_tape *tape, mt_tensor *x, mt_tensor *w, int64_t stride, int64_t padding,
                            int64_t dilation, int64_t groups);
/* conv1d_bias: conv1d of x and w, and bias[o] */
MT_API mt_tensor *mt_conv1d_bias(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, int64_t stride,
                                 int64_t padding, int64_t dilation, int64_t groups);
/* conv2d: the sum over c, p, q of x[n, c, i stride0 + p dilation0 - padding0, j stride1 + q dilation1
 * - padding1] w[o, c, p, q], x 0 outside. x (N, C, H, W), w (O, C / groups, KH, KW): PyTorch's.
 * stride, padding and dilation have two numbers, along the height and along the width. */
MT_API mt_tensor *mt_conv2d(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_shape stride, mt_shape padding,
                            mt_shape dilation, int64_t groups);
/* conv2d_bias: conv2d of x and w, and bias[o] */
MT_API mt_tensor *mt_conv2d_bias(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, mt_shape stride,
                                 mt_shape padding, mt_shape dilation, int64_t groups);
/* conv1d_left: minitorch's conv1d: the sum over c, p of x[n, c, i + p] w[o, c, p], x 0 past its end. x
 * (N, C, L), w (O, C, K); the result is as long as x, however long the kernel. */
MT_API mt_tensor *mt_conv1d_left(mt_tape *tape, mt_tensor *x, mt_tensor *w);
/* conv2d_left: minitorch's conv2d: the sum over c, p, q of x[n, c, i + p, j + q] w[o, c, p, q], x 0
 * past its ends. x (N, C, H, W), w (O, C, KH, KW); the result is as high and as wide as x. */
MT_API mt_tensor *mt_conv2d_left(mt_tape *tape, mt_tensor *x, mt_tensor *w);
/* to here */

/* from pool.c */
/* max_pool1d: the largest of x[n, c, i stride + p - padding] over p < kernel. x (N, C, L). A NaN is
 * the largest; the gradient goes to the first of equal ones. padding, at most half the kernel, counts
 * as nothing. stride is most often the kernel. */
MT_API mt_tensor *mt_max_pool1d(mt_tape *tape, mt_tensor *x, int64_t kernel, int64_t stride, int64_t padding);
/* avg_pool1d: the mean of x[n, c, i stride + p - padding] over p < kernel, x 0 outside. x (N, C, L).
 * Zeros of the padding, at most half the kernel, are counted, as PyTorch does. */
MT_API mt_tensor *mt_avg_pool1d(mt_tape *tape, mt_tensor *x, int64_t kernel, int64_t stride, int64_t padding);
/* max_pool2d: the largest of x[n, c, i stride0 + p - padding0, j stride1 + q - padding1] over p, q <
 * kernel. x (N, C, H, W); the lists have two numbers, along the height and along the width. The rest
 * as max_pool1d. */
MT_API mt_tensor *mt_max_pool2d(mt_tape *tape, mt_tensor *x, mt_shape kernel, mt_shape stride,
                                mt_shape padding);
/* avg_pool2d: the mean of x[n, c, i stride0 + p - padding0, j stride1 + q - padding1] over p, q <
 * kernel, x 0 outside. x (N, C, H, W); the lists have two numbers, along the height and along the
 * width. The rest as avg_pool1d. */
MT_API mt_tensor *mt_avg_pool2d(mt_tape *tape, mt_tensor *x, mt_shape kernel, mt_shape stride,
                                mt_shape padding);
/* tile: minitorch's tile: x cut into tiles of the kernel's size, each a row of the last dimension. x
 * (N, C, H, W) and kernel (kh, kw), which divide height and width, give (N, C, H / kh, W / kw, kh kw):
 * a mean or a maximum over the last dimension is minitorch's pooling. */
MT_API mt_tensor *mt_tile(mt_tape *tape, mt_tensor *x, mt_shape kernel);
/* to here */

/* ---- joins: several tensors as one, and one as several ---- */

/* from joins.c */
/* cat: the inputs one behind the other along dim; they are alike but for its size. x is an array of
 * that many tensors, 1 to MT_MAX_LIST. */
MT_API mt_tensor *mt_cat(mt_tape *tape, mt_tensor *const *x, int inputs, int64_t dim);
/* stack: the inputs, all of one shape, along a new dimension before dim; -1 appends it. x is an array
 * of that many tensors, 1 to MT_MAX_LIST. */
MT_API mt_tensor *mt_stack(mt_tape *tape, mt_tensor *const *x, int inputs, int64_t dim);
/* to here */

/* Views of x along dim, one behind the other, into parts, an array with room for count of them: of size
 * elements each, the last of what is left (one part, empty, where dim is); or of sizes[0], sizes[1], ...
 * elements, which add up to dim's. count must be the number of parts that makes. The views are the tape's,
 * the array is the caller's. A failure is returned, and recorded in the tape; every part is NULL then. */
MT_API mt_status mt_split(mt_tape *tape, mt_tensor *x, int64_t size, int64_t dim, mt_tensor **parts,
                          int count);
MT_API mt_status mt_split_sizes(mt_tape *tape, mt_tensor *x, const int64_t *sizes, int64_t dim,
                                mt_tensor **parts, int count);

/* ---- elements by index along a dimension. An index outside is an error, a negative one too ---- */

/* from indexing.c */
/* gather: x[..., index[..., i, ...], ...], where i is the index along dim. index has x's rank, and is
 * no larger than x but along dim; the result has its shape. */
MT_API mt_tensor *mt_gather(mt_tape *tape, mt_tensor *x, mt_tensor *index, int64_t dim);
/* index_select: x[..., index[i], ...], where i is the index along dim; an entry may be named more than
 * once. index is a vector of INDEX. */
MT_API mt_tensor *mt_index_select(mt_tape *tape, mt_tensor *x, mt_tensor *index, int64_t dim);
/* scatter_add: x, to whose elements [..., index[..., i, ...], ...] those of src [..., i, ...] are
 * added, i along dim. A new tensor. index has x's rank, and is no larger than x but along dim; src has
 * its shape. Where index names an element more than once, what it receives is added in the order of i:
 * the same bits each time. */
MT_API mt_tensor *mt_scatter_add(mt_tape *tape, mt_tensor *x, mt_tensor *index, mt_tensor *src, int64_t dim);
/* to here */

/* ---- running results along a dimension ---- */

/* from scans.c */
/* cumsum: the sums of x[..., 0, ...] to x[..., i, ...], i along dim */
MT_API mt_tensor *mt_cumsum(mt_tape *tape, mt_tensor *x, int64_t dim);
/* to here */

/* ---- another order of the elements along dimensions ---- */

/* from sorting.c */
/* flip: a copy of x with the order of its elements along each of dims reversed */
MT_API mt_tensor *mt_flip(mt_tape *tape, mt_tensor *x, mt_shape dims);
/* argsort: where along dim the smallest of x stands, then the next (descending: the largest first).
 * Stable: equal elements come in the order in which they stand, descending too. NaN is larger than all
 * numbers, as in PyTorch; zeros of both signs are equal. */
MT_API mt_tensor *mt_argsort(mt_tape *tape, mt_tensor *x, int64_t dim, bool descending);
/* sort: x with its elements along dim in order, the smallest first (descending: the largest).
 * gather(x, argsort(x)); for both, call those. */
MT_API mt_tensor *mt_sort(mt_tape *tape, mt_tensor *x, int64_t dim, bool descending);
/* argtopk: where along dim the k largest of x stand, the largest first (or the smallest). The first k
 * of argsort. */
MT_API mt_tensor *mt_argtopk(mt_tape *tape, mt_tensor *x, int64_t k, int64_t dim, bool largest);
/* topk: the k largest of x along dim, the largest first (or the smallest). gather(x, argtopk(x)); for
 * both, call those. */
MT_API mt_tensor *mt_topk(mt_tape *tape, mt_tensor *x, int64_t k, int64_t dim, bool largest);
/* to here */

/* ---- made of others ---- */

/* from composed.c */
/* var: the sum over dims of (x - mean)^2 divided by their count - correction, at least 0. A correction
 * of 1 gives the unbiased estimate; any finite one is allowed, a negative one too; where count -
 * correction is not above 0 the result is infinite, or NaN where the distances are 0. */
MT_API mt_tensor *mt_var(mt_tape *tape, mt_tensor *x, double correction);
MT_API mt_tensor *mt_var_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double correction, bool keepdim);
MT_API mt_tensor *mt_var_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double correction, bool keepdim);
/* where: a where mask is not 0, elsewhere b. All three broadcast. mask is INDEX or REAL, such as
 * mt_lt(t, x, y), and gets no gradient; NaN is not 0. What is not taken reaches neither the result nor
 * a gradient, NaN and infinity neither. */
MT_API mt_tensor *mt_where(mt_tape *tape, mt_tensor *mask, mt_tensor *a, mt_tensor *b);
/* to here */

/* from softmax.c */
/* softmax: exp(x) / sum of exp(x) along dim. The largest x is subtracted first, so that nothing
 * overflows. */
MT_API mt_tensor *mt_softmax(mt_tape *tape, mt_tensor *x, int64_t dim);
/* log_softmax: x - ln(sum of exp(x) along dim). Exact where softmax is nearly 0 too. */
MT_API mt_tensor *mt_log_softmax(mt_tape *tape, mt_tensor *x, int64_t dim);
/* to here */

/* from layer_norm.c */
/* layer_norm: (x - mean) / sqrt(variance + eps) gamma + beta, mean and variance over x's last
 * dimensions, gamma's. gamma and beta have the shape of x's last dimensions, over which it is
 * normalised; the variance is divided by their count. eps is finite and at least 0; PyTorch's is 1e-5. */
MT_API mt_tensor *mt_layer_norm(mt_tape *tape, mt_tensor *x, mt_tensor *gamma, mt_tensor *beta, double eps);
/* to here */

/* ---- losses: the mean, of shape (1); those of mt_NAME_with reduced as is asked for (losses.h). A target,
 * labels and weights get no gradient ---- */

/* from losses.c */
/* mse: the mean of (p - target)^2 */
MT_API mt_tensor *mt_mse(mt_tape *tape, mt_tensor *p, mt_tensor *target);
MT_API mt_tensor *mt_mse_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, mt_loss_reduction reduction);
/* l1: the mean of |p - target|. The gradient is 0 where p equals the target. */
MT_API mt_tensor *mt_l1(mt_tape *tape, mt_tensor *p, mt_tensor *target);
MT_API mt_tensor *mt_l1_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, mt_loss_reduction reduction);
/* huber: the mean of d^2 / 2 where d = |p - target| is at most delta, elsewhere delta (d - delta / 2).
 * delta is above 0 and finite. */
MT_API mt_tensor *mt_huber(mt_tape *tape, mt_tensor *p, mt_tensor *target, double delta);
MT_API mt_tensor *mt_huber_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, double delta,
                                mt_loss_reduction reduction);
/* smooth_l1: the mean of d^2 / (2 beta) where d = |p - target| is at most beta, elsewhere d - beta /
 * 2. huber of that beta, divided by it; beta is above 0 and finite. */
MT_API mt_tensor *mt_smooth_l1(mt_tape *tape, mt_tensor *p, mt_tensor *target, double beta);
MT_API mt_tensor *mt_smooth_l1_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, double beta,
                                    mt_loss_reduction reduction);
/* bce_with_logits: the mean of max(z, 0) - z target + log1p(exp(-|z|)), which is bce of sigmoid(z). At
 * z = +inf that is (1 - target) z and at -inf it is -target z: +inf for a target in [0, 1], but NaN (0
 * times infinity) for the target that agrees with z, 1 or 0. An infinite target makes the loss
 * infinite or NaN. The gradient, (sigmoid(z) - target) / count, is finite for every finite target, at
 * an infinite z too. */
MT_API mt_tensor *mt_bce_with_logits(mt_tape *tape, mt_tensor *z, mt_tensor *target);
MT_API mt_tensor *mt_bce_with_logits_with(mt_tape *tape, mt_tensor *z, mt_tensor *target,
                                          mt_loss_reduction reduction);
/* bce: the mean of -(target ln p + (1 - target) ln(1 - p)), each logarithm at least -100. As in
 * PyTorch, but a p outside [0, 1], which that refuses, makes the loss NaN; its gradient is (p -
 * target) / 1e-12, divided by the count. */
MT_API mt_tensor *mt_bce(mt_tape *tape, mt_tensor *p, mt_tensor *target);
MT_API mt_tensor *mt_bce_with(mt_tape *tape, mt_tensor *p, mt_tensor *target, mt_loss_reduction reduction);
/* to here */

/* from cross_entropy.c */
/* nll: the mean of -logs[label], each times the weight of its label, over the sum of these weights.
 * logs are logarithms of probabilities, (n, classes, d1, ...) or (classes), such as log_softmax gives
 * along dimension 1, or 0; labels, INDEX, have that shape without the classes. A label of ignore_index
 * counts for nothing; the label_smoothing of options is not used. */
MT_API mt_tensor *mt_nll(mt_tape *tape, mt_tensor *logs, mt_tensor *labels);
MT_API mt_tensor *mt_nll_with(mt_tape *tape, mt_tensor *logs, mt_tensor *labels,
                              mt_cross_entropy_options options);
MT_API mt_tensor *mt_nll_weighted(mt_tape *tape, mt_tensor *logs, mt_tensor *labels, mt_tensor *weight,
                                  mt_cross_entropy_options options);
/* cross_entropy: nll of log_softmax(logits), where label_smoothing / classes of each target goes to
 * every class. logits (n, classes, d1, ...) or (classes); labels, INDEX, have that shape without the
 * classes, and each is a class or ignore_index, which counts for nothing. Everything ignored: NaN for
 * the mean, 0 for the sum. weight (classes): what each class counts; the mean is divided by the sum of
 * the labels' weights, as PyTorch has it. mt_label_weight gives that sum. */
MT_API mt_tensor *mt_cross_entropy(mt_tape *tape, mt_tensor *logits, mt_tensor *labels);
MT_API mt_tensor *mt_cross_entropy_with(mt_tape *tape, mt_tensor *logits, mt_tensor *labels,
                                        mt_cross_entropy_options options);
MT_API mt_tensor *mt_cross_entropy_weighted(mt_tape *tape, mt_tensor *logits, mt_tensor *labels,
                                            mt_tensor *weight, mt_cross_entropy_options options);
/* soft_cross_entropy: the mean over rows of -sum over classes of weight target log_softmax(logits),
 * the target smoothed to (1 - label_smoothing) target + label_smoothing / classes. target, of logits'
 * shape, has a probability for each class, one-hot rows too. The ignore_index of options is not used:
 * it is of labels. weight (classes) multiplies the terms, and the mean is over rows, as PyTorch has
 * it. */
MT_API mt_tensor *mt_soft_cross_entropy(mt_tape *tape, mt_tensor *logits, mt_tensor *target);
MT_API mt_tensor *mt_soft_cross_entropy_with(mt_tape *tape, mt_tensor *logits, mt_tensor *target,
                                             mt_cross_entropy_options options);
MT_API mt_tensor *mt_soft_cross_entropy_weighted(mt_tape *tape, mt_tensor *logits, mt_tensor *target,
                                                 mt_tensor *weight, mt_cross_entropy_options options);
/* to here */

/* ---- more reductions, made of others; dimensions as above ---- */

/* from norms.c */
/* logsumexp: ln of the sum over dims of exp(x); minus infinity over nothing. Nothing overflows on the
 * way. Where every x is minus infinity, so is the result, and the gradient is NaN. */
MT_API mt_tensor *mt_logsumexp(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_logsumexp_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
MT_API mt_tensor *mt_logsumexp_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
/* norm: over dims, of order 2 the square root of the sum of x x, of 1 the sum of |x|, of infinity the
 * largest |x|. The order is 1, 2 or INFINITY. A norm of 0 has the gradient 0; of order INFINITY
 * elements of the largest size share it evenly. */
MT_API mt_tensor *mt_norm(mt_tape *tape, mt_tensor *x, double order);
MT_API mt_tensor *mt_norm_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double order, bool keepdim);
MT_API mt_tensor *mt_norm_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double order, bool keepdim);
/* std: the square root of the variance over dims, of that correction. The correction is that of
 * mt_var. Where all x are equal the gradient is 0. */
MT_API mt_tensor *mt_std(mt_tape *tape, mt_tensor *x, double correction);
MT_API mt_tensor *mt_std_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double correction, bool keepdim);
MT_API mt_tensor *mt_std_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double correction, bool keepdim);
/* to here */

/* ---- elements kept, replaced or set by a mask ---- */

/* from masks.c */
/* masked_fill: value where mask is not 0, elsewhere x. Both broadcast. mask is INDEX or REAL, as of
 * mt_where; value may be infinite, as for weights that softmax is to make 0. */
MT_API mt_tensor *mt_masked_fill(mt_tape *tape, mt_tensor *x, mt_tensor *mask, double value);
/* tril: x (..., n, m) where column - row <= diagonal, elsewhere 0. A diagonal of 0 is the main one, 1
 * the one above it, -1 the one below. What is left out may be NaN. */
MT_API mt_tensor *mt_tril(mt_tape *tape, mt_tensor *x, int64_t diagonal);
/* triu: x (..., n, m) where column - row >= diagonal, elsewhere 0. The diagonal counts as in mt_tril. */
MT_API mt_tensor *mt_triu(mt_tape *tape, mt_tensor *x, int64_t diagonal);
/* one_hot: 1 at index along a new last dimension of size classes, elsewhere 0. index (...) of INDEX,
 * each within 0 to classes - 1; the result (..., classes) is REAL. */
MT_API mt_tensor *mt_one_hot(mt_tape *tape, mt_tensor *index, int64_t classes);
/* to here */

MT_END

#endif
