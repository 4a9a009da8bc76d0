/* tensor/ops.h - operations without a tape: each checks its operands, calls the backend and writes into out.
 *
 * out must already have the result's shape; mt_op_add(out, a, b) broadcasts a and b to it. All operands live
 * on one backend. out may be the very same view as an input of an elementwise operation (x += y), but may not
 * overlap it otherwise (views that interleave count as overlapping), nor overlap itself. Every write raises
 * the version of out's storage. A failure writes nothing, but for scatter's of an index outside, after which
 * out holds anything.
 */
#ifndef MT_OPS_H
#define MT_OPS_H

#include "tensor.h"

MT_BEGIN

/* Elementwise, by number, for programs that choose at run time; by name they stand in elementwise_ops.h. */
MT_API mt_status mt_op_map(mt_tensor *out, mt_op op, const mt_tensor *x, double p0, double p1);
MT_API mt_status mt_op_zip(mt_tensor *out, mt_op op, const mt_tensor *a, const mt_tensor *b, double p0,
                           double p1);
/* out = g times the derivative of op at x, where y = op(x); and the two partial derivatives of a zip. g, x
 * (a, b) and y broadcast to out. Operands that the row does not declare as needed are not read. */
MT_API mt_status mt_op_map_grad(mt_tensor *out, mt_op op, const mt_tensor *g, const mt_tensor *x,
                                const mt_tensor *y, double p0, double p1);
MT_API mt_status mt_op_zip_grad(mt_tensor *out, mt_op op, int which, const mt_tensor *g, const mt_tensor *a,
                                const mt_tensor *b, const mt_tensor *y, double p0, double p1);

/* out = a where mask is not 0 (NaN is not), elsewhere b: every bit of the one, whatever the other holds. mask
 * is REAL or INDEX; all three broadcast to out. */
MT_API mt_status mt_op_where(mt_tensor *out, const mt_tensor *mask, const mt_tensor *a, const mt_tensor *b);

/* Reductions of x over the dimensions in dims (each named once). out has x's shape with those sizes 1, or
 * without those dimensions; over all of them, (1). Over nothing, sum is 0, prod 1, all 1 and mean NaN; max,
 * min, argmax and argmin are errors. argmax and argmin write an INDEX: the position, in row-major order,
 * within the reduced dimensions. sum, prod, max and min of an INDEX write an INDEX (a sum or product modulo
 * 2^64), its mean and all a REAL; argmax and argmin take none. */
MT_API mt_status mt_op_sum(mt_tensor *out, const mt_tensor *x, mt_shape dims);
MT_API mt_status mt_op_mean(mt_tensor *out, const mt_tensor *x, mt_shape dims);
MT_API mt_status mt_op_prod(mt_tensor *out, const mt_tensor *x, mt_shape dims);
MT_API mt_status mt_op_max(mt_tensor *out, const mt_tensor *x, mt_shape dims);
MT_API mt_status mt_op_min(mt_tensor *out, const mt_tensor *x, mt_shape dims);
MT_API mt_status mt_op_all(mt_tensor *out, const mt_tensor *x, mt_shape dims);
MT_API mt_status mt_op_argmax(mt_tensor *out, const mt_tensor *x, mt_shape dims);
MT_API mt_status mt_op_argmin(mt_tensor *out, const mt_tensor *x, mt_shape dims);
/* out += the sum of x over dims: how gradients are brought back to a broadcast operand's shape. */
MT_API mt_status mt_op_add_sum(mt_tensor *out, const mt_tensor *x, mt_shape dims);
/* Every dimension of x, for a reduction over all of it. */
MT_API mt_shape mt_every_dim(const mt_tensor *x);

/* out = 0 but at the positions that argmax or argmin found over dims, which receive value. */
MT_API mt_status mt_op_scatter(mt_tensor *out, const mt_tensor *index, const mt_tensor *value, mt_shape dims);
/* out[i] = x[index[i]] along dimension 0; and its transpose, out[index[i]] += x[i]. */
MT_API mt_status mt_op_take_rows(mt_tensor *out, const mt_tensor *x, const mt_tensor *index);
MT_API mt_status mt_op_put_rows(mt_tensor *out, const mt_tensor *x, const mt_tensor *index);

/* out[.., i, ..] = x[.., index[.., i, ..], ..] along dim, all of one rank: out has the shape of index, which
 * is no larger than x in the other dimensions; and its transpose, out[.., index[.., i, ..], ..] += x[.., i,
 * ..], in the order of i, with x of index's shape. An index outside is an error that says where it stands;
 * nothing is written. */
MT_API mt_status mt_op_gather(mt_tensor *out, const mt_tensor *x, const mt_tensor *index, int64_t dim);
MT_API mt_status mt_op_scatter_add(mt_tensor *out, const mt_tensor *index, const mt_tensor *x, int64_t dim);
/* The same for whole parts: out[.., i, ..] = x[.., index[i], ..], and out[.., index[i], ..] += x[.., i, ..].
 */
MT_API mt_status mt_op_index_select(mt_tensor *out, const mt_tensor *x, const mt_tensor *index, int64_t dim);
MT_API mt_status mt_op_index_add(mt_tensor *out, const mt_tensor *index, const mt_tensor *x, int64_t dim);

/* out = the sums so far of x along dim, from its end when back is set. */
MT_API mt_status mt_op_cumsum(mt_tensor *out, const mt_tensor *x, int64_t dim, bool back);
/* out, an INDEX, = where along dim the smallest element of x stands, then the next, or from the largest on
 * when descending; NaN is larger than all, and equal elements come as they stand. out has x's shape, or is
 * shorter along dim: then it is the first of that. */
MT_API mt_status mt_op_argsort(mt_tensor *out, const mt_tensor *x, int64_t dim, bool descending);

/* out (..., m, n) = a (..., m, k) times b (..., k, n): leading dimensions broadcast. A vector a is a row, a
 * vector b a column, whose dimension of 1 is missing in out, as NumPy's matmul has it. add_matmul adds to
 * out. */
MT_API mt_status mt_op_matmul(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
MT_API mt_status mt_op_add_matmul(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* out = x w + bias, x (..., in), w (in, out), bias (out). linear_act applies a map without parameters on top,
 * and keeps its argument in pre when keep_pre is set (otherwise pre is out itself). */
MT_API mt_status mt_op_linear(mt_tensor *out, const mt_tensor *x, const mt_tensor *w, const mt_tensor *bias);
MT_API mt_status mt_op_linear_act(mt_tensor *out, const mt_tensor *x, const mt_tensor *w,
                                  const mt_tensor *bias, mt_op act, bool keep_pre, mt_tensor *pre);

/* out = x, broadcast; kinds may differ. out = value. out = random draws, the rng advancing by the element
 * count. */
MT_API mt_status mt_op_copy(mt_tensor *out, const mt_tensor *x);
MT_API mt_status mt_op_fill(mt_tensor *out, double value);
MT_API mt_status mt_op_uniform(mt_tensor *out, mt_rng *rng, double low, double high);
MT_API mt_status mt_op_normal(mt_tensor *out, mt_rng *rng, double mean, double deviation);

/* out, a vector of INDEX, = 0 .. n-1 in a random order, the rng advancing by n; drawn where out lives. */
MT_API mt_status mt_op_permutation(mt_tensor *out, mt_rng *rng);

MT_END

#endif
