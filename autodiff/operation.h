/* autodiff/operation.h - a differentiable operation as data: what it takes, its shape rule, what computes it
 * and what brings its gradient back.
 *
 * One constant mt_operation stands beside the code of each operation, and operations.c lists them all. The
 * list is what the gradient checks, the comparison of the backends, the refusals, the bench lines and
 * docs/operations.md are made from, and from which another language can make its functions: it walks
 * mt_operation_at and calls mt_apply_operation.
 */
#ifndef MT_OPERATION_H
#define MT_OPERATION_H

#include "tape.h"

typedef struct mt_operation mt_operation;
typedef struct mt_node mt_node; /* a recorded operation; node.h */

enum { MT_MAX_INPUTS = 3, MT_MAX_ATTRIBUTES = 4, MT_MAX_LIST = 24 };

/* What an input may hold (a row's inputs that may hold either are of one kind); and the kind of a result:
 * always one kind, that of input 0, or the first attribute's. */
typedef enum mt_takes { MT_TAKES_REAL, MT_TAKES_INDEX, MT_TAKES_ANY } mt_takes;
typedef enum mt_gives { MT_GIVES_REAL, MT_GIVES_INDEX, MT_GIVES_KIND_OF_INPUT, MT_GIVES_KIND_ASKED } mt_gives;

/* An argument that is no tensor. Its type stands in the descriptor; DIM is a dimension of input 0, -rank to
 * rank-1. */
typedef enum mt_attribute_type {
    MT_NO_ATTRIBUTE,
    MT_ATTRIBUTE_REAL,    /* real */
    MT_ATTRIBUTE_INTEGER, /* integer */
    MT_ATTRIBUTE_DIM,     /* integer */
    MT_ATTRIBUTE_BOOL,    /* truth */
    MT_ATTRIBUTE_SHAPE,   /* shape */
    MT_ATTRIBUTE_DIMS,    /* shape: dimensions of input 0; NULL: every one */
    MT_ATTRIBUTE_KIND,    /* kind */
    MT_ATTRIBUTE_OP       /* op: a row of op_table.inc */
} mt_attribute_type;

typedef union mt_attribute {
    double real;
    int64_t integer;
    bool truth;
    mt_kind kind;
    mt_op op;
    const mt_shape *shape; /* read during the call alone */
} mt_attribute;

/* One application: its inputs and attributes as the descriptor lists them. The last three are for run:
 * whether input i wants a gradient (bit i of wants); what the VJP will read (from reads; run may add to it);
 * and what it keeps for the VJP, in the tape's memory. */
typedef struct mt_call {
    mt_tape *tape;
    mt_tensor *const *in;
    const mt_attribute *attribute;
    const mt_operation *operation;
    int inputs;
    unsigned wants, saves;
    void *extra;
} mt_call;

/* In reads[i], what the VJP reads for input i's gradient: bit k: the values of input k; or the result's, or
 * attributes. What is read may not be written in place between the operation and backward, and backward
 * checks that. */
enum { MT_READS_OUT = 1 << 30, MT_READS_ATTRIBUTES = 1 << 29 };

/* What an element of the result costs: no arithmetic, some, or some with an exp, a logarithm or the like. */
typedef enum mt_cost { MT_COST_UNKNOWN, MT_COST_NOTHING, MT_COST_ARITHMETIC, MT_COST_TRANSCENDENTAL } mt_cost;

/* A call that checks can make: shapes of the inputs and attributes. Where the last input stands for any
 * number, shapes behind its own are those of further ones. A list of examples ends with a first shape of rank
 * 0. */
typedef struct mt_example {
    mt_shape shape[MT_MAX_INPUTS];
    mt_attribute attribute[MT_MAX_ATTRIBUTES];
} mt_example;

/* How many inputs an example has. */
static inline int mt_example_inputs(const mt_example *example)
{
    int inputs = 0;
    while (inputs < MT_MAX_INPUTS && example->shape[inputs].rank) inputs++;
    return inputs;
}

typedef struct mt_input {
    const char *name;
    mt_takes takes;
    bool constant;    /* no gradient flows to it: a target, which must not ask for one; an index, a mask */
    bool contiguous;  /* must be row-major */
    double low, high; /* the interval from which checks draw its values; of INDEX, low to high-1 */
} mt_input;

struct mt_operation {
    int row; /* of an operation of op_table.inc: its mt_op + 1; 0 for every other */
    const char *name;
    const char *formula;           /* of the result, for people; the header's line ends with it */
    mt_input input[MT_MAX_INPUTS]; /* those with a name */
    bool list;                     /* the last of them stands for any number of its like, one at least */
    struct {
        const char *name;
        mt_attribute_type type;
    } attribute[MT_MAX_ATTRIBUTES]; /* those with a name */
    mt_gives gives;

    /* How the result comes about:
     * - shape and run: the shape rule, and what writes into a new tensor of that shape; or
     * - view alone: the layout in which the result shows the storage of input 0; or
     * - shape and expression: the rule, and what builds the result from other operations. With a vjp it is
     * recorded as one node; without, as the operations that it is made of (by_parts says why that is well).
     * An expression beside run is the same result from other operations, for a tape that does not fuse. */
    mt_status (*shape)(const mt_call *call, mt_shape *result);
    mt_status (*run)(mt_call *call, mt_tensor *out);
    mt_status (*view)(const mt_call *call, mt_layout *result);
    mt_tensor *(*expression)(mt_call *call);

    /* The vector-Jacobian product: from g, the gradient of the result, those of the inputs, which it gives to
     * mt_send (node.h, which is the library's own: a descriptor of a program has its gradient by parts, and
     * mt_apply is there for a backward). Nothing that it does is recorded, and what it makes is gone after
     * it. Absent: no_vjp says why. */
    void (*vjp)(mt_tape *tape, const mt_node *node, mt_tensor *g);
    const char *no_vjp;
    const char *by_parts;
    unsigned reads[MT_MAX_INPUTS];

    mt_cost cost;
    const mt_example *examples;
};

MT_BEGIN

/* How many operations there are, and the i-th (from 0); NULL past the last. */
MT_API int mt_operation_count(void);
MT_API const mt_operation *mt_operation_at(int i);
/* The operation of that name; NULL with a sentence. */
MT_API const mt_operation *mt_operation_by_name(const char *name);

/* Applies an operation: what mt_sum_dim, mt_matmul and the others call. in has as many tensors as the
 * operation has inputs (of a list, up to MT_MAX_LIST), attribute as many as it has attributes (NULL for
 * none). Checks them, computes the result, and records it. operation itself must outlive the tape's reset.
 * NULL with the failure in the tape. */
MT_API mt_tensor *mt_apply_operation(mt_tape *tape, const mt_operation *operation, mt_tensor *const *in,
                                     int inputs, const mt_attribute *attribute);

MT_END

#endif
