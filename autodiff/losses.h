/* autodiff/losses.h - what the losses of operations.h share: the reduction, and the options of those over
 * classes. */
#ifndef MT_LOSSES_H
#define MT_LOSSES_H

#include "tape.h"

/* What a loss makes of its elements: their mean or their sum, of shape (1), or the elements as they are. */
typedef enum mt_loss_reduction { MT_LOSS_MEAN, MT_LOSS_SUM, MT_LOSS_NONE } mt_loss_reduction;

/* Of mt_cross_entropy_with and the others of that name. */
typedef struct mt_cross_entropy_options {
    mt_loss_reduction reduction; /* MT_LOSS_MEAN */
    int64_t ignore_index;        /* -100: the label of what counts for nothing; of labels alone */
    double label_smoothing;      /* 0; in [0, 1]: that part of each target goes to all classes alike */
} mt_cross_entropy_options;

MT_BEGIN

MT_API mt_cross_entropy_options mt_cross_entropy_defaults(void);
/* Of shape (1): the sum of the weights of labels that are not ignore_index, which is what the mean of mt_nll
 * and mt_cross_entropy is divided by. weight (classes), or (1) for one number and any label. So the sums of
 * losses of parts of a batch, divided by the sum of this over the parts, are the mean of all. */
MT_API mt_tensor *mt_label_weight(mt_tape *tape, mt_tensor *labels, mt_tensor *weight, int64_t ignore_index);

/* Whether an attribute is a mt_loss_reduction; a failure names the operation. */
MT_INTERNAL mt_status mt_loss_check(const char *operation, int64_t reduction);
/* elements reduced: the elements themselves where reduction is MT_LOSS_NONE. */
MT_INTERNAL mt_tensor *mt_loss_reduce(mt_tape *tape, mt_tensor *elements, int64_t reduction);

MT_END

#endif
