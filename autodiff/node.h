/* autodiff/node.h - the inside of a tape: nodes, and what operations and their VJPs call. Internal.
 *
 * A VJP (vector-Jacobian product) receives a node and g, the gradient of its result, and gives each input its
 * share with mt_send. Broadcasting is undone there and nowhere else. A VJP is an expression on the tape,
 * which does not record while it runs: mt_send(t, n, 0, mt_mul(t, g, mt_cos(t, x))). What it makes lives in
 * the tape's scratch memory and is forgotten when it returns. Where a measurement shows that it pays, it
 * calls tensor/ops and writes into what mt_share or mt_target gives it.
 */
#ifndef MT_NODE_H
#define MT_NODE_H

#include "../tensor/ops.h"
#include "../tensor/storage.h"
#include "operation.h"
#include "operations.h"

typedef struct mt_edge {
    mt_tensor *tensor;
    uint64_t version; /* of its storage when the operation ran */
} mt_edge;

/* In saves: bit i says that the VJP reads input i's values, MT_READS_OUT that it reads the output's. In
 * wants: bit i says that input i required a gradient when the operation ran, and saves was chosen for these
 * alone. */
struct mt_node {
    const mt_operation *operation;
    const char *name; /* for messages: the operation's, or that of a function of the program's own */
    mt_node *older;
    mt_tensor *out;
    uint64_t out_version;
    unsigned saves, wants;
    int inputs;
    const mt_attribute *attribute; /* copies, when saves has MT_READS_ATTRIBUTES */
    void *extra;                   /* what run kept, in the tape's arena */
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
 * storage, with a layout to be filled in where it is NULL; memory. NULL with a sentence. */
MT_INTERNAL mt_tensor *mt_tape_empty(mt_tape *tape, mt_shape shape, mt_kind kind);
MT_INTERNAL mt_tensor *mt_tape_like(mt_tape *tape, const mt_tensor *x);
MT_INTERNAL mt_tensor *mt_tape_alias(mt_tape *tape, const mt_tensor *x, const mt_layout *layout);
MT_INTERNAL void *mt_tape_memory(mt_tape *tape, size_t bytes);
/* A one-element constant, without going through mt_tape_enter. */
MT_INTERNAL mt_tensor *mt_tape_number(mt_tape *tape, double value);

/* Between mt_tape_begin_scratch (tape_struct.h) and this, what operations make on the tape is temporary: it
 * lives in the tape's scratch memory, and at the end is forgotten as after a rewind, but for gradients and
 * for value (NULL: none), of which a copy, or a handle where it shows a lasting storage, is returned; NULL
 * with the failure in the tape. Within another such pair the outer one's end does it. */
typedef struct mt_scratch {
    const void *since;
    mt_node *newest; /* what is recorded on temporaries goes with them */
    int64_t length;
    mt_arena_mark start;
    bool within;
} mt_scratch;
MT_INTERNAL mt_tensor *mt_tape_end_scratch(mt_tape *tape, const mt_scratch *scratch, mt_tensor *value);

/* The end of every operation: records a node when an input wants a gradient. Returns out, or NULL with the
 * failure in the tape. */
MT_INTERNAL mt_tensor *mt_tape_node(const mt_call *call, mt_tensor *out);

/* Gives g, of the shape of the node's result, of the input, or between, to that input's gradient: sums it to
 * the input's shape and adds it to what is there. The end of a VJP. NULL (what made it failed)
 * fails the backward; an input that wants nothing is passed over. */
MT_INTERNAL void mt_send(mt_tape *tape, const mt_node *node, int input, mt_tensor *g);
/* Room for a share of like's shape, to be written and then given to mt_send: the input's own gradient where
 * nothing is there yet and the shape is its own, so that nothing is copied. NULL with the failure in the
 * tape. */
MT_INTERNAL mt_tensor *mt_share(mt_tape *tape, const mt_node *node, int input, const mt_tensor *like);
/* Room of x's shape that lasts until the reset, for a share that mt_send is to keep without a copy, or a view
 * of it. */
MT_INTERNAL mt_tensor *mt_lasting(mt_tape *tape, const mt_tensor *x);
/* For a VJP whose operation can add to its destination: that destination, the input's own gradient, of
 * exactly its shape; *add says whether to add to what is there. NULL with the failure in the tape. What came
 * of writing goes through mt_arrived. */
MT_INTERNAL mt_tensor *mt_target(mt_tape *tape, const mt_node *node, int input, bool *add);

/* The rows of tensor/scalar/op_table.inc as operations; i is an mt_op. */
MT_INTERNAL int mt_row_count(void);
MT_INTERNAL const mt_operation *mt_row_operation(mt_op i);
#define MT_OPERATION(name) MT_INTERNAL extern const mt_operation mt_operation_##name;
#include "operations.inc"

MT_END

/* Whether that input gets a gradient: it was marked when the operation ran, and the mark has not been taken
 * away since. mt_send asks; a VJP of several inputs asks before it computes. */
static inline bool mt_wants(const mt_node *node, int input)
{
    return node->wants >> input & 1 && node->in[input].tensor->requires_grad;
}

/* What mt_op_ functions give back, in a VJP: whether it was right; a failure is the tape's. */
static inline bool mt_did(mt_tape *tape, mt_status status)
{
    if (status != MT_OK) mt_tape_give_up(tape);
    return status == MT_OK;
}

/* Ends what mt_target began: the input has a gradient once it has been written. */
static inline void mt_arrived(mt_tape *tape, const mt_node *node, int input, mt_status status)
{
    if (mt_did(tape, status)) node->in[input].tensor->has_grad = true;
}

/* x with another layout, to pass to tensor/ops: no handle is made. */
static inline mt_tensor mt_alias(const mt_tensor *x, const mt_layout *layout)
{
    return (mt_tensor){.layout = *layout, .storage = x->storage, .kind = x->kind};
}

#endif
