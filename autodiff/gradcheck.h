/* autodiff/gradcheck.h - compares the gradients that backward gives with central differences. */
#ifndef MT_GRADCHECK_H
#define MT_GRADCHECK_H

#include "operations.h"

/* The expression under test: builds its result on tape from the inputs. Any shape; NULL is a failure. */
typedef mt_tensor *(*mt_gradcheck_fn)(mt_tape *tape, void *context, mt_tensor *const *in);

typedef struct mt_gradcheck_options {
    double epsilon;      /* the step of the differences; above 0 as a number of this library, and finite */
    double atol, rtol;   /* allowed: |difference - gradient| <= atol + rtol * max(|difference|, |gradient|);
                            finite, at least 0 */
    int64_t every_index; /* inputs of up to this many elements are checked at each one, larger ones along
                            directions; at least 0 */
    int directions;      /* how many random directions for larger inputs; at least 1 */
    uint64_t seed;       /* of the random cotangent and the directions */
} mt_gradcheck_options;

MT_BEGIN

/* The defaults for this library's precision. Use libminitorch_d (double) for checks that mean something. */
MT_API mt_gradcheck_options mt_gradcheck_defaults(void);

/* Draws a random cotangent c, takes the gradient of sum(c * fn(in)) in every input that requires one, and
 * compares it with D(eps) = sum(c (fn(in + eps e) - fn(in - eps e))) / (2 eps) for single elements or random
 * directions e. Where they disagree it is compared with (4 D(eps/2) - D(eps)) / 3 as well, whose error is of
 * order eps^4 instead of eps^2. Inputs, at least one, are tensors of constructors; they are perturbed in
 * place and restored, and their gradients are made empty. MT_ERR_VALUE with a sentence that names the input,
 * the index and both numbers when they disagree, or the option that is out of range; another error when fn
 * fails. */
MT_API mt_status mt_gradcheck(mt_backend *backend, mt_gradcheck_fn fn, void *context, mt_tensor *const *in,
                              int inputs, mt_gradcheck_options options);

MT_END

#endif
