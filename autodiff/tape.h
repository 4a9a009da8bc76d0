/* autodiff/tape.h - the tape: records operations as they run, and walks them backwards.
 *
 * What a tape operation returns belongs to the tape and dies at mt_tape_reset, views of it too; mt_keep
 * copies a value out. A parameter is any tensor made by a constructor and marked with mt_require_grad; its
 * gradient belongs to it and outlives the tape.
 *
 * Threads: a tape is used by one thread at a time. Operations on different tapes may run in different threads
 * at once and read the same tensors, parameters and modules, recording or not, as long as nobody writes these
 * meanwhile. Written is a parameter's gradient by mt_backward, mt_grad and mt_zero_grad: two backwards that
 * bring gradients to one parameter must not run at once (a parameter for each thread, a lock around
 * mt_backward, or a frozen parameter, which gets none). A tensor's values and marks are written by mt_op_...,
 * mt_set, mt_set_doubles, an initialiser, mt_require_grad and an optimiser's step.
 *
 * The first failure since the last reset is kept in the tape; from then on its operations return NULL, so a
 * program may write a whole expression and ask once, at mt_backward.
 */
#ifndef MT_TAPE_H
#define MT_TAPE_H

#include "../tensor/tensor.h"

typedef struct mt_tape mt_tape;

typedef struct mt_tape_position {
    uint64_t opaque[14];
} mt_tape_position;

MT_BEGIN

/* A tape whose tensors live on backend. NULL with a sentence when memory runs out. */
MT_API mt_tape *mt_tape_new(mt_backend *backend);
/* Frees the tape and everything on it. NULL is allowed. */
MT_API void mt_tape_free(mt_tape *tape);
/* Forgets every operation and tensor on the tape and its failure, keeps the memory for the next step. A
 * training loop resets in each step: gradients of parameters stay. A tape that has come to hold 32 MB more
 * over at least 128 backwards since its last reset warns of that, once (mt_set_warnings). */
MT_API void mt_tape_reset(mt_tape *tape);

/* Recording off (inference): operations compute, their results need no gradient. A new tape records. */
MT_API void mt_tape_record(mt_tape *tape, bool on);
MT_API bool mt_tape_is_recording(const mt_tape *tape);
/* Fusing off: mt_linear, mt_linear_act, softmax, log_softmax, layer norm, convolutions and cross entropy
 * run as the primitives that they are made of (matmul, add, map, reductions), a node for each, so that every
 * one of them is the backend's own. Results may differ by roundings. A new tape fuses. */
MT_API void mt_tape_fuse(mt_tape *tape, bool on);
MT_API bool mt_tape_is_fusing(const mt_tape *tape);

/* The first failure since the last reset; MT_OK and "" when there was none. For a NULL tape, an error. */
MT_API mt_status mt_tape_status(const mt_tape *tape);
MT_API const char *mt_tape_message(const mt_tape *tape);
MT_API mt_backend *mt_tape_backend(const mt_tape *tape);
/* How many operations are recorded now. */
MT_API int64_t mt_tape_length(const mt_tape *tape);

/* For evaluation loops: everything made after the position is forgotten by the rewind, views of it too; what
 * was made before stays. A tensor that was forgotten is recognised, and refused with a sentence, until 1024
 * later ones have been forgotten too; then its handle becomes another tensor. */
MT_API mt_tape_position mt_tape_mark(mt_tape *tape);
MT_API mt_status mt_tape_rewind(mt_tape *tape, mt_tape_position position);

/* Computes the gradient of loss, a tensor of shape (1), in every tensor that requires it; those of parameters
 * are added to. mt_backward_from starts from a cotangent of y's shape instead of 1. It fails with the tape's
 * first failure, when loss needs no gradient, when a value that is needed has been written in place since, or
 * when the cotangent itself requires a gradient (there is no double backward). It may be called again, for
 * another output, until the reset. */
MT_API mt_status mt_backward(mt_tape *tape, mt_tensor *loss);
MT_API mt_status mt_backward_from(mt_tape *tape, mt_tensor *y, const mt_tensor *cotangent);

/* Marks a tensor of a constructor as wanting a gradient (a parameter), or takes the mark away. What an
 * operation records follows the marks at its call: a mark set later brings no gradient through it, and where
 * the mark is gone at backward none arrives. An error for a tensor of a tape, for an INDEX tensor, for a view
 * and for a gradient. */
MT_API mt_status mt_require_grad(mt_tensor *x, bool on);
MT_API bool mt_requires_grad(const mt_tensor *x);
/* The gradient of x after mt_backward, of x's shape: borrowed, it lives as long as x, or until the reset for
 * a tensor of a tape. Where no gradient has arrived it reads as zeros. NULL with a sentence when x requires
 * none. */
MT_API mt_tensor *mt_grad(mt_tensor *x);
/* Whether a gradient has arrived; and makes it empty again, so that the next backward writes instead of
 * adding. */
MT_API bool mt_has_grad(const mt_tensor *x);
MT_API void mt_zero_grad(mt_tensor *x);

/* A row-major copy of x that the caller owns and frees, with no history. */
MT_API mt_tensor *mt_keep(const mt_tensor *x);
/* The same values on the tape, without history: no gradient flows through. Shares the storage. */
MT_API mt_tensor *mt_detach(mt_tape *tape, mt_tensor *x);
/* A number as a tensor of shape (1), which broadcasts to anything. */
MT_API mt_tensor *mt_num(mt_tape *tape, double value);

MT_END

#endif
