/* tensor/row_ops.h - the slots that work on rows along a dimension, as a tape calls them. Internal.
 *
 * Operands are tensors of one backend; out is new, or a gradient, and overlaps no input. Kinds and shapes are
 * checked where an operation's own rule might be wrong. Each raises the version of what it writes.
 */
#ifndef MT_ROW_OPS_H
#define MT_ROW_OPS_H

#include "tensor.h"

MT_BEGIN

/* out = softmax of x along dim, or its logarithm; and from that result, y, and its gradient g the gradient of
 * x. */
MT_INTERNAL mt_status mt_op_softmax(mt_tensor *out, const mt_tensor *x, int dim, bool log);
MT_INTERNAL mt_status mt_op_softmax_grad(mt_tensor *out, const mt_tensor *y, const mt_tensor *g, int dim,
                                         bool log);

/* The work, which writes into out: the four arrays of a value, or the gradient. */
MT_INTERNAL mt_status mt_op_cross_entropy(mt_tensor *out, const mt_cross_entropy_work *work);

/* The work, one of whose results is in out. */
MT_INTERNAL mt_status mt_op_layer_norm(mt_tensor *out, const mt_layer_norm_work *work);

MT_END

#endif
