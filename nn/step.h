/* nn/step.h - the training step that programs share: forward, loss, backward, clipping, update.
 *
 * A step owns a tape and fixed places, into which each batch is copied. A batch may be cut into shards, which
 * are computed one after another, so that it needs the memory of one: rows floor(s n / S) to floor((s + 1) n
 * / S) - 1 are shard s of S. A shard's gradient is that of the sum of its rows' losses and depends on its
 * rows alone. Shards meet in a binary tree, ((0 1) (2 3)) ((4 5) 6) of seven, whose left side is the largest
 * power of two below their number; sums of losses and weights meet in the same tree, and the gradients are
 * divided by the weight in the end. So shards of uneven size count by their weight, and the bits depend on S
 * and the batch alone.
 */
#ifndef MT_STEP_H
#define MT_STEP_H

#include "optim.h"

typedef struct mt_step mt_step;

/* The sum of the losses of all rows, shape (1), of tape operations. *weight is what the sum is divided by for
 * the mean, a tensor of shape (1): the number of rows when the function is called, which it may set to
 * another, of the tape (mt_num, or a sum of class weights); no gradient flows to it. context is the options'.
 * NULL is a failure. */
typedef mt_tensor *(*mt_loss_fn)(void *context, mt_tape *tape, mt_tensor *prediction, mt_tensor *target,
                                 mt_tensor **weight);

typedef struct mt_step_options {
    void *context;     /* NULL; borrowed, for the loss */
    int shards;        /* 1; up to 1024. More than one: a copy of all gradients for each level of the tree */
    double clip_norm;  /* INFINITY: not clipped; at least 0, as mt_optimizer_clip_norm takes it */
    double clip_value; /* INFINITY: not clipped; at least 0; after clip_norm, where both are given */
} mt_step_options;

MT_BEGIN

MT_API mt_step_options mt_step_defaults(void);
/* A step of that model, which borrows all three: they must outlive it, and every parameter of the optimiser
 * must be the model's. NULL with a sentence when it fails. The caller frees it. */
MT_API mt_step *mt_step_new(mt_module *model, mt_loss_fn loss, mt_optimizer *optimizer,
                            mt_step_options options);
MT_API void mt_step_free(mt_step *step); /* NULL is allowed */

/* One step with a batch x (n, ...) and its targets (n, ...), n at least 1, on the optimiser's backend:
 * forward, loss, backward, clipping, mt_optimizer_step. Gradients are left as the update found them. The
 * model's mode is left as it is. After a failure gradients hold anything, and parameters are as they were
 * unless the update itself failed. From the second step on, with batches no larger, nothing is allocated. */
MT_API mt_status mt_step_run(mt_step *step, mt_tensor *x, mt_tensor *target);
/* Forward and loss alone: nothing is recorded, no parameter and no state of the optimiser moves. The model's
 * mode is left as it is here too: a forward that writes buffers in training mode writes them, so call
 * mt_module_train(model, false) before. */
MT_API mt_status mt_step_evaluate(mt_step *step, mt_tensor *x, mt_tensor *target);

/* Of the latest run or evaluation, shape (1), the step's, overwritten by the next: the sum of the losses, the
 * weight, and their quotient. NULL with a sentence before the first, and after one that failed. */
MT_API mt_tensor *mt_step_sum(mt_step *step);
MT_API mt_tensor *mt_step_weight(mt_step *step);
MT_API mt_tensor *mt_step_loss(mt_step *step);
/* The norm of the gradients before clipping; NULL with a sentence where clip_norm is INFINITY. */
MT_API mt_tensor *mt_step_norm(mt_step *step);
/* The tape, borrowed: for mt_tape_fuse and mt_tape_message. Each shard resets it. */
MT_API mt_tape *mt_step_tape(mt_step *step);

/* Losses for mt_step_new, with the means of mt_mse and mt_bce_with_logits, whose weight is the number of
 * elements, and of mt_cross_entropy: labels that are not ignored, and as context NULL or borrowed
 * mt_cross_entropy_options, of which the reduction is not used. Another takes a few lines: with class weights
 * it returns mt_cross_entropy_weighted(tape, prediction, target, classes, options), whose reduction is
 * MT_LOSS_SUM, after *weight = mt_label_weight(tape, target, classes, options.ignore_index). */
MT_API mt_tensor *mt_loss_mse(void *context, mt_tape *tape, mt_tensor *prediction, mt_tensor *target,
                              mt_tensor **weight);
MT_API mt_tensor *mt_loss_bce_with_logits(void *context, mt_tape *tape, mt_tensor *prediction,
                                          mt_tensor *target, mt_tensor **weight);
MT_API mt_tensor *mt_loss_cross_entropy(void *context, mt_tape *tape, mt_tensor *prediction,
                                        mt_tensor *target, mt_tensor **weight);

MT_END

#endif
