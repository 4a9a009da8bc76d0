/* nn/datasets.h - minitorch's six toy data sets, resident on a backend.
 *
 * All randomness comes from an explicit generator; the float and the double library draw the same points, up
 * to rounding, with the same labels.
 */
#ifndef MT_DATASETS_H
#define MT_DATASETS_H

#include "../tensor/ops.h"

/* Which points (x1, x2) have label 1; the others have 0. All but spiral are uniform in the unit square. */
typedef enum mt_dataset_kind {
    MT_DATASET_SIMPLE, /* x1 < 0.5 */
    MT_DATASET_DIAG,   /* x1 + x2 < 0.5 */
    MT_DATASET_SPLIT,  /* x1 < 0.2 or x1 > 0.8 */
    MT_DATASET_XOR,    /* x1 < 0.5 and x2 > 0.5, or x1 > 0.5 and x2 < 0.5 */
    MT_DATASET_CIRCLE, /* (x1 - 0.5)^2 + (x2 - 0.5)^2 > 0.1 */
    MT_DATASET_SPIRAL, /* two arms, not drawn: see mt_dataset_make */
    MT_DATASET_COUNT
} mt_dataset_kind;

typedef struct mt_dataset mt_dataset;

MT_BEGIN

/* The i-th data set's name and its formula; NULL past the last. */
MT_API const char *mt_dataset_name(int i);
MT_API const char *mt_dataset_summary(int i);
/* Finds a data set by its name, in any case; MT_DATASET_COUNT with a sentence that lists the names otherwise.
 */
MT_API mt_dataset_kind mt_dataset_by_name(const char *name);

/* points of them, 1 to 10,000,000, on backend. rng advances by 2 for each point (x1 first), by none for
 * spiral, whose points are, with h = points / 2 rounded down (at least 1) and t = 10 i / h for i = 5, 6, ...:
 *   first arm, label 0:   (t cos t / 20 + 0.5, t sin t / 20 + 0.5), points - h of them
 *   second arm, label 1:  (-t sin(-t) / 20 + 0.5, -t cos(-t) / 20 + 0.5), h of them
 * so that an odd number gives the first arm one more. NULL with a sentence when it fails. The caller frees
 * it. */
MT_API mt_dataset *mt_dataset_make(mt_backend *backend, mt_dataset_kind kind, int64_t points, mt_rng *rng);
MT_API void mt_dataset_free(mt_dataset *dataset); /* NULL is allowed */
/* Features (points, 2) and labels (points, 1); borrowed. */
MT_API mt_tensor *mt_dataset_x(const mt_dataset *dataset);
MT_API mt_tensor *mt_dataset_y(const mt_dataset *dataset);
MT_API int64_t mt_dataset_points(const mt_dataset *dataset); /* -1 for NULL */

MT_END

#endif
