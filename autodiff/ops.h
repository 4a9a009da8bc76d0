/* autodiff/ops.h - differentiable operations: each computes its result at once and records itself on the
 * tape.
 *
 * The result belongs to the tape. Operands are tensors of this tape or of a constructor, all on the tape's
 * backend. A failure is recorded in the tape and the result is NULL; a NULL operand passes through. Shapes
 * broadcast as in NumPy.
 */
#ifndef MT_AUTODIFF_OPS_H
#define MT_AUTODIFF_OPS_H

#include "tape.h"

MT_BEGIN

/* Elementwise, by number; by name they stand in elementwise.h. */
MT_API mt_tensor *mt_map(mt_tape *tape, mt_op op, mt_tensor *x, double p0, double p1);
MT_API mt_tensor *mt_zip(mt_tape *tape, mt_op op, mt_tensor *a, mt_tensor *b, double p0, double p1);

/* Reductions: over everything, to shape (1); over one dimension; over several. keepdim leaves them as size 1;
 * dropping every dimension gives (1). mean's gradient is shared evenly, max and min give theirs to the first,
 * prod is right with zeros among the factors. all, argmax and argmin (INDEX) pass no gradient on. */
#define MT_DECLARE_REDUCTION(name)                                                             \
    MT_API mt_tensor *mt_##name(mt_tape *tape, mt_tensor *x);                                  \
    MT_API mt_tensor *mt_##name##_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim); \
    MT_API mt_tensor *mt_##name##_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
MT_DECLARE_REDUCTION(sum)
MT_DECLARE_REDUCTION(mean)
MT_DECLARE_REDUCTION(prod)
MT_DECLARE_REDUCTION(max)
MT_DECLARE_REDUCTION(min)
MT_DECLARE_REDUCTION(all)
MT_DECLARE_REDUCTION(argmax)
MT_DECLARE_REDUCTION(argmin)
#undef MT_DECLARE_REDUCTION

/* The variance: the sum of square distances from the mean, divided by n - correction; 1 gives the unbiased
 * estimate. Any finite correction, a negative one too; where n - correction is not above 0 the result is
 * infinite, or NaN where the distances are 0. */
MT_API mt_tensor *mt_var(mt_tape *tape, mt_tensor *x, double correction);
MT_API mt_tensor *mt_var_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double correction, bool keepdim);
MT_API mt_tensor *mt_var_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double correction, bool keepdim);

/* a (..., m, k) times b (..., k, n), batches broadcast; vectors as in NumPy. */
MT_API mt_tensor *mt_matmul(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* x w + bias: x (..., in), w (in, out), bias (out). mt_linear_act applies a map without parameters
 * (MT_OP_relu, ...) in the same pass, as one node of the tape. */
MT_API mt_tensor *mt_linear(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias);
MT_API mt_tensor *mt_linear_act(mt_tape *tape, mt_tensor *x, mt_tensor *w, mt_tensor *bias, mt_op act);

/* Views: nothing is copied, the gradient finds its way back through any layout. See tensor/tensor.h for the
 * meaning of the arguments. mt_reshape and mt_flatten copy when they must. */
MT_API mt_tensor *mt_view(mt_tape *tape, mt_tensor *x, mt_shape shape);
MT_API mt_tensor *mt_reshape(mt_tape *tape, mt_tensor *x, mt_shape shape);
MT_API mt_tensor *mt_permute(mt_tape *tape, mt_tensor *x, mt_shape order);
MT_API mt_tensor *mt_transpose(mt_tape *tape, mt_tensor *x, int64_t dim0, int64_t dim1);
MT_API mt_tensor *mt_slice(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t start, int64_t stop,
                           int64_t step);
MT_API mt_tensor *mt_select(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t index);
MT_API mt_tensor *mt_expand(mt_tape *tape, mt_tensor *x, mt_shape shape);
MT_API mt_tensor *mt_squeeze(mt_tape *tape, mt_tensor *x, int64_t dim);
MT_API mt_tensor *mt_unsqueeze(mt_tape *tape, mt_tensor *x, int64_t dim);
MT_API mt_tensor *mt_flatten(mt_tape *tape, mt_tensor *x, int64_t first, int64_t last);
/* contiguous: x's elements row-major; a view of x when they are so already, otherwise a copy. Either way it
 * is another handle, the tape's like every result. copy: a row-major copy always. */
MT_API mt_tensor *mt_contiguous(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_copy(mt_tape *tape, mt_tensor *x);

/* Rows of x in the order that index (a vector of INDEX) names; a row may be named more than once. */
MT_API mt_tensor *mt_take_rows(mt_tape *tape, mt_tensor *x, mt_tensor *index);

/* Losses, each a mean over all elements, of shape (1). target has the shape of the first operand and gets no
 * gradient.
 * mt_mse: mean of (p - y)^2, mt_squared_difference.
 * mt_bce: mean of -(y ln p + (1 - y) ln(1 - p)), with each logarithm at least -100 as in PyTorch. A p outside
 * [0, 1], which PyTorch refuses, makes the loss NaN; its gradient is (p - y) / 1e-12, divided by the count.
 * mt_bce_with_logits: the same for p = sigmoid(z), not forming p: mean of mt_sigmoid_cross_entropy, which is
 * max(z, 0) - z y + log1p(exp(-|z|)). At z = +inf that is (1 - y) z and at -inf it is -y z: +inf for y in
 * [0, 1], but NaN (0 times infinity) for the y that agrees with z, 1 or 0. An infinite y makes the loss
 * infinite or NaN. The gradient, (sigmoid(z) - y) / count, is finite for every finite y, at an infinite z
 * too. */
MT_API mt_tensor *mt_mse(mt_tape *tape, mt_tensor *p, mt_tensor *target);
MT_API mt_tensor *mt_bce(mt_tape *tape, mt_tensor *p, mt_tensor *target);
MT_API mt_tensor *mt_bce_with_logits(mt_tape *tape, mt_tensor *logits, mt_tensor *target);

MT_END

#endif
