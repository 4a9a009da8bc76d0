/* train.h - the model, its data and one epoch of training; knows nothing of logs, clocks or files.
 *
 * Everything is allocated in trainer_new and during the first epoch; later epochs allocate nothing. The loss
 * leaves the device only in trainer_loss.
 */
#ifndef RUN_TRAIN_H
#define RUN_TRAIN_H

#include "minitorch.h"
#include "settings.h"

typedef struct run_trainer run_trainer;

/* About how many bytes a trainer will hold at most: what must be there, not each last row. */
double trainer_bytes(const run_settings *settings);
/* NULL with the library's sentence in mt_last_message. The caller frees it. */
run_trainer *trainer_new(const run_settings *settings, mt_backend *backend);
void trainer_free(run_trainer *trainer); /* NULL is allowed */

/* One pass over freshly shuffled batches; go_on is asked after every step and ends the pass by saying false.
 * With learn false the weights stay as they are. */
mt_status trainer_epoch(run_trainer *trainer, bool learn, bool (*go_on)(void *context), void *context);
/* Steps taken so far, and how many there are in an epoch. */
int64_t trainer_steps(const run_trainer *trainer);
int64_t trainer_batches(const run_trainer *trainer);

/* The loss of the latest pass: the sum over its last batch, or the mean over all its points. */
mt_status trainer_loss(run_trainer *trainer, report_loss which, double *loss);
/* How many of all points the model has on the right side of 0.5. */
mt_status trainer_correct(run_trainer *trainer, int64_t *correct);
/* p[i] = the probability of label 1 at (x[2 i], x[2 i + 1]), for count points. */
mt_status trainer_predict(run_trainer *trainer, const double *x, int64_t count, double *p);

/* The data set, borrowed: (points, 2) and (points, 1). */
const mt_tensor *trainer_x(const run_trainer *trainer);
const mt_tensor *trainer_y(const run_trainer *trainer);

#endif
