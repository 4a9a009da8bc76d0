/* autodiff/node.h - the inside of a tape: nodes, and what operations and their VJPs call. Internal.
 *
 * A VJP (vector-Jacobian product) receives a node and the cotangent of its output and sends each input its
 * share, with mt_tape_accumulate or by writing to what mt_tape_target returns. Broadcasting is undone in
 * mt_tape_accumulate and nowhere else. VJPs call tensor/ops; nothing they do is recorded.
 */
#ifndef MT_NODE_H
#define MT_NODE_H

#include "../tensor/ops.h"
#include "../tensor/storage.h"
#include "ops.h"

typedef struct mt_node mt_node;
typedef mt_status (*mt_vjp_fn)(mt_tape *tape, mt_node *node, mt_tensor *cotangent);

typedef struct mt_edge {
    mt_tensor *tensor;
    uint64_t version; /* of its storage when the operation ran */
} mt_edge;

/* In saves: bit i says that the VJP reads input i's values, MT_SAVES_OUT that it reads the output's. In
 * wants: bit i says that input i required a gradient when the operation ran, and saves was chosen for these
 * alone. */
enum { MT_SAVES_OUT = 1 << 30 };

struct mt_node {
    const char *name; /* for messages */
    mt_vjp_fn vjp;
    mt_node *older;
    mt_tensor *out;
    uint64_t out_version;
    unsigned saves, wants;
    int inputs;
    mt_op op; /* and p: what elementwise operations need */
    double p[2];
    void *extra; /* what others need, in the tape's arena */
    mt_edge in[];
};

MT_BEGIN

/* The start of every operation: whether the tape is fine and the inputs can be used. If not, the failure is
 * in the tape, with the operation's name and the operand that is NULL, and the operation returns NULL.
 * Tensors of constructors are held on to until the reset. */
MT_INTERNAL bool mt_tape_enter(mt_tape *tape, const char *name, mt_tensor *const *in, int inputs);
/* Records the thread's latest failure in the tape, if it has none, and returns NULL. */
MT_INTERNAL mt_tensor *mt_tape_give_up(mt_tape *tape);
/* Puts where a failure happened in front of the tape's sentence: called with "layer2", then with "encoder",
 * it makes "encoder.layer2: ..." of it. */
MT_INTERNAL void mt_tape_locate(mt_tape *tape, const char *name);

/* A row-major tensor of the tape, not cleared, of that shape or REAL of x's; a handle of the tape on x's
 * storage; memory. NULL with a sentence. */
MT_INTERNAL mt_tensor *mt_tape_empty(mt_tape *tape, mt_shape shape, mt_kind kind);
MT_INTERNAL mt_tensor *mt_tape_like(mt_tape *tape, const mt_tensor *x);
MT_INTERNAL mt_tensor *mt_tape_alias(mt_tape *tape, const mt_tensor *x, const mt_layout *layout);
MT_INTERNAL void *mt_tape_memory(mt_tape *tape, size_t bytes);
/* A one-element constant, without going through mt_tape_enter: for VJPs. */
MT_INTERNAL mt_tensor *mt_tape_number(mt_tape *tape, double value);

/* The end of every operation: records a node when the tape records and an input requires a gradient. Returns
 * the node to fill in, or NULL when none is needed; *failed is set when memory ran out. */
MT_INTERNAL mt_node *mt_tape_node(mt_tape *tape, const char *name, mt_vjp_fn vjp, mt_tensor *out,
                                  mt_tensor *const *in, int inputs, unsigned saves, bool *failed);

/* Adds g to x's gradient, after summing it to x's shape. Does nothing when x requires none; a VJP of several
 * inputs asks mt_wants before. own: g was made for this call and nothing else reads it. */
MT_INTERNAL mt_status mt_tape_accumulate(mt_tape *tape, mt_tensor *x, mt_tensor *g, bool own);
/* Where to write a gradient of exactly x's shape: *add says whether to add to what is there. NULL with a
 * sentence. What came of writing goes through mt_arrived. */
MT_INTERNAL mt_tensor *mt_tape_target(mt_tape *tape, mt_tensor *x, bool *add);

MT_END

/* Whether the VJP sends that input a gradient: it was marked when the operation ran, and the mark has not
 * been taken away since. A VJP with one input need not ask: it is not called in vain. */
static inline bool mt_wants(const mt_node *node, int input)
{
    return node->wants >> input & 1 && node->in[input].tensor->requires_grad;
}

/* Ends what mt_tape_target began: x has a gradient once it has been written. */
static inline mt_status mt_arrived(mt_tensor *x, mt_status status)
{
    if (status == MT_OK) x->has_grad = true;
    return status;
}

/* x with another layout, to pass to tensor/ops: no handle is made. */
static inline mt_tensor mt_alias(const mt_tensor *x, const mt_layout *layout)
{
    return (mt_tensor){.layout = *layout, .storage = x->storage, .kind = x->kind};
}

#endif
