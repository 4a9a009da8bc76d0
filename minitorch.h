/* minitorch.h - everything: tensors, the tape, neural networks.
 *
 *     mt_backend *dev = mt_backend_get("cpu");
 *     mt_tensor *w = mt_ones(dev, mt_shape(2, 1)), *x = mt_parse(dev, "[[1, 2], [3, 4]]");
 *     mt_require_grad(w, true);
 *     mt_tape *t = mt_tape_new(dev);
 *     if (mt_backward(t, mt_sum(t, mt_sigmoid(t, mt_matmul(t, x, w)))) != MT_OK) puts(mt_tape_message(t));
 *     mt_print(stdout, mt_grad(w));
 *     mt_tape_free(t); mt_tensor_free(x); mt_tensor_free(w);
 */
#ifndef MINITORCH_H
#define MINITORCH_H

#include "tensor/base.h"
#include "tensor/status.h"
#include "tensor/alloc.h"
#include "tensor/shape.h"
#include "tensor/op_id.h"
#include "tensor/rng.h"
#include "tensor/backend.h"
#include "tensor/tensor.h"
#include "tensor/ops.h"
#include "tensor/conv.h"
#include "tensor/elementwise_ops.h"
#include "autodiff/tape.h"
#include "autodiff/operation.h"
#include "autodiff/losses.h"
#include "autodiff/operations.h"
#include "autodiff/elementwise.h"
#include "autodiff/function.h"
#include "autodiff/gradcheck.h"
#include "nn/module.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/conv.h"
#include "nn/optim.h"
#include "nn/schedule.h"
#include "nn/step.h"
#include "nn/batches.h"
#include "nn/datasets.h"

#endif
