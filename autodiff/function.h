/* autodiff/function.h - an operation of your own: a forward and a backward, recorded as one node. */
#ifndef MT_FUNCTION_H
#define MT_FUNCTION_H

#include "operations.h"

enum { MT_FUNCTION_INPUTS = 8 };

typedef struct mt_function {
    const char *name; /* for messages */
    int inputs;       /* 1 to MT_FUNCTION_INPUTS */
    void *context;    /* handed to both; must outlive the tape's reset */

    /* The result, made with tape operations; the tape does not record while this runs. NULL is a failure. */
    mt_tensor *(*forward)(mt_tape *tape, void *context, mt_tensor *const *in);

    /* Writes, for each i with needs[i], the gradient of in[i] into grad[i], which has in[i]'s shape and holds
     * zeros: the cotangent of out times the derivative. Use tensor/ops (mt_op_mul(grad[0], cotangent, in[1]))
     * or tape operations on tape, which does not record, and of which nothing is left after the return:
     * mt_keep copies a value out. mt_backward is for another tape, and tape is not reset, nor rewound to
     * before this call. Anything but MT_OK fails the whole backward. */
    mt_status (*backward)(mt_tape *tape, void *context, mt_tensor *const *in, const mt_tensor *out,
                          const mt_tensor *cotangent, const bool *needs, mt_tensor *const *grad);
} mt_function;

MT_BEGIN
/* Applies function to in[0 .. inputs-1]. function itself is not copied and must outlive the tape's reset. */
MT_API mt_tensor *mt_apply(mt_tape *tape, const mt_function *function, mt_tensor *const *in);
MT_END

#endif
