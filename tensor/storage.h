/* tensor/storage.h - what stands behind a handle: the buffer, and the handle's own fields. Internal.
 *
 * A storage is a buffer on one backend with a count of handles and a version that every in-place write
 * raises. A handle that a tape made lives in the tape's arena and is valid while its generation is
 * lifetime->generation, which a reset raises; a rewind sets the generation of the handles that it takes back
 * to 0. A handle of a constructor or a view is allocated and counted, because tapes that used it hold on to
 * it. A view that the program made of a tape's tensor (mt_outer_view) is in no list that a rewind could go
 * through, so it is valid while its serial is the storage's as well, which a rewind sets to 0.
 */
#ifndef MT_STORAGE_H
#define MT_STORAGE_H

#include <stdatomic.h>

#include "arena.h"
#include "tensor.h"

typedef struct mt_storage {
    atomic_int references;
    bool borrowed; /* in a tape's arena: neither counted nor freed */
    bool scratch;  /* and there until the operation or VJP that made it returns */
    /* Of a storage in a tape's arena: a number that its tape gives only once, 0 when it has been rewound. */
    uint64_t serial;
    uint64_t version;
    /* At version order_version the whole buffer held a permutation of 0 .. order_count-1; 0: never. */
    uint64_t order_version;
    int64_t order_count;
    mt_backend *backend;
    void *data;
    size_t bytes;
} mt_storage;

/* Shared by a tape and the handles made from it; the generation rises at each reset, so an old handle is
 * recognised even after the tape is gone. */
typedef struct mt_lifetime {
    atomic_int references;
    uint64_t generation;
    const void *tape;
} mt_lifetime;

struct mt_tensor {
    mt_layout layout;
    mt_storage *storage;
    mt_kind kind;
    bool requires_grad;
    bool has_grad;    /* a gradient has arrived in grad */
    bool is_gradient; /* this is some tensor's grad */
    bool is_view;
    bool in_module;        /* a module owns it and frees it */
    bool holds_storage;    /* one of storage's references is this handle's; it may outlive a tape's storage */
    atomic_int references; /* of a handle that is not a tape's */
    mt_lifetime *lifetime; /* NULL for what no tape made */
    uint64_t generation;   /* of the lifetime, which never is 0, as in an mt_outer_view */
    struct mt_node *node;  /* the tape node that made it, NULL for a leaf or a constant */
    mt_tensor *grad;       /* a parameter's: owned; a tape tensor's: in the arena */
    bool grad_shared;      /* grad stands for another tensor's gradient too, so it is not added to in place */
};

/* A handle with is_view: a view that the program made. */
typedef struct mt_outer_view {
    mt_tensor tensor;
    uint64_t generation, serial; /* of its lifetime and its storage when it was made */
} mt_outer_view;

MT_BEGIN

/* A storage of so many bytes, not cleared. */
MT_INTERNAL mt_storage *mt_storage_new(mt_backend *backend, size_t bytes);
MT_INTERNAL void mt_storage_retain(mt_storage *storage);
MT_INTERNAL void mt_storage_release(mt_storage *storage);

/* A handle of its own on storage (one more reference), outside any tape; like's lifetime is inherited. */
MT_INTERNAL mt_tensor *mt_tensor_handle(mt_storage *storage, const mt_layout *layout, mt_kind kind,
                                        const mt_tensor *like);
/* mt_from_doubles for a kind: an index is the nearest integer towards zero. */
MT_INTERNAL mt_tensor *mt_from_doubles_as(mt_backend *backend, const double *values, mt_shape shape,
                                          mt_kind kind);
MT_INTERNAL void mt_tensor_retain(mt_tensor *tensor);

/* The rest of mt_tensor_check: views of a tape's tensors, and the sentence. */
MT_INTERNAL mt_status mt_tensor_check_closer(const mt_tensor *x, const char *what);
/* mt_op_gather and mt_op_scatter_add (put), mt_op_index_select and mt_op_index_add (vector), where indices
 * are looked at otherwise than first. */
MT_INTERNAL mt_status mt_op_gather_with(mt_tensor *out, const mt_tensor *x, const mt_tensor *index,
                                        int64_t dim, bool put, bool vector, mt_index_check check);
/* The value of an operation into a tensor that was just made, in the shape that the inputs broadcast to, on
 * their backend: what mt_op_map and mt_op_zip would check is known. */
MT_INTERNAL mt_status mt_op_fresh(mt_tensor *out, mt_op op, const mt_tensor *const *in, int inputs, double p0,
                                  double p1);
MT_INTERNAL void mt_lifetime_retain(mt_lifetime *lifetime);
MT_INTERNAL void mt_lifetime_release(mt_lifetime *lifetime);

MT_END

/* Whether x can be used: MT_ERR_NULL for NULL, MT_ERR_STATE with a sentence that begins with what when its
 * tape was reset or rewound. */
static inline mt_status mt_tensor_check(const mt_tensor *x, const char *what)
{
    bool usable = x && (!x->lifetime || x->lifetime->generation == x->generation);
    return usable ? MT_OK : mt_tensor_check_closer(x, what);
}

/* Notes an in-place write. */
static inline void mt_tensor_touch(mt_tensor *x) { x->storage->version++; }

static inline bool mt_same_shape(const mt_tensor *x, const mt_tensor *y)
{
    bool same = x->layout.rank == y->layout.rank;
    for (int d = 0; d < x->layout.rank && same; d++) same = x->layout.size[d] == y->layout.size[d];
    return same;
}

static inline mt_operand mt_tensor_operand(const mt_tensor *x)
{
    mt_operand operand = {x->storage->data, &x->layout};
    return operand;
}

#endif
