/* tensor/storage.c - buffers, handles and lifetimes: who holds what, when it goes, and what a handle tells.
 */
#include "storage.h"

#include <string.h>

mt_storage *mt_storage_new(mt_backend *backend, size_t bytes)
{
    mt_storage *storage = mt_alloc_zeroed(sizeof *storage);
    if (!storage) return NULL;
    storage->data = backend->allocate(backend, bytes);
    if (!storage->data) {
        mt_free(storage, sizeof *storage);
        return NULL;
    }
    storage->backend = backend;
    storage->bytes = bytes;
    atomic_init(&storage->references, 1);
    return storage;
}

void mt_storage_retain(mt_storage *storage)
{
    if (!storage->borrowed) atomic_fetch_add_explicit(&storage->references, 1, memory_order_relaxed);
}

void mt_storage_release(mt_storage *storage)
{
    if (!storage || storage->borrowed) return;
    if (atomic_fetch_sub_explicit(&storage->references, 1, memory_order_acq_rel) != 1) return;
    storage->backend->release(storage->backend, storage->data, storage->bytes);
    mt_free(storage, sizeof *storage);
}

void mt_lifetime_retain(mt_lifetime *lifetime)
{
    if (lifetime) atomic_fetch_add_explicit(&lifetime->references, 1, memory_order_relaxed);
}

void mt_lifetime_release(mt_lifetime *lifetime)
{
    if (lifetime && atomic_fetch_sub_explicit(&lifetime->references, 1, memory_order_acq_rel) == 1)
        mt_free(lifetime, sizeof *lifetime);
}

mt_tensor *mt_tensor_handle(mt_storage *storage, const mt_layout *layout, mt_kind kind, const mt_tensor *like)
{
    mt_tensor *tensor = mt_alloc_zeroed(like ? sizeof(mt_outer_view) : sizeof *tensor);
    if (!tensor) return NULL;
    tensor->layout = *layout;
    tensor->storage = storage;
    tensor->kind = kind;
    atomic_init(&tensor->references, 1);
    mt_storage_retain(storage);
    tensor->holds_storage = !storage->borrowed;
    if (like) {
        tensor->is_view = true;
        tensor->is_gradient = like->is_gradient;
        tensor->lifetime = like->lifetime;
        mt_outer_view *view = (mt_outer_view *)tensor;
        view->generation = like->is_view ? ((const mt_outer_view *)like)->generation : like->generation;
        view->serial = storage->serial;
        mt_lifetime_retain(tensor->lifetime);
    }
    return tensor;
}

void mt_tensor_retain(mt_tensor *tensor)
{
    atomic_fetch_add_explicit(&tensor->references, 1, memory_order_relaxed);
}

void mt_tensor_free(mt_tensor *tensor)
{
    /* A tape's own handle stands in its arena and has no references of its own. */
    if (!tensor || atomic_load_explicit(&tensor->references, memory_order_relaxed) == 0) return;
    if (atomic_fetch_sub_explicit(&tensor->references, 1, memory_order_acq_rel) != 1) return;
    mt_tensor_free(tensor->grad);
    if (tensor->holds_storage) mt_storage_release(tensor->storage);
    mt_lifetime_release(tensor->lifetime);
    mt_free(tensor, tensor->is_view ? sizeof(mt_outer_view) : sizeof *tensor);
}

mt_status mt_tensor_check_closer(const mt_tensor *x, const char *what)
{
    if (!x) return MT_ERR_NULL;
    const mt_outer_view *view = (const mt_outer_view *)x;
    /* The generation first: when it is another one the storage itself may be gone. */
    if (x->is_view && view->generation == x->lifetime->generation && view->serial == x->storage->serial)
        return MT_OK;
    return mt_fail(
        MT_ERR_STATE,
        "%s: a tensor of a tape is used after the tape was reset, rewound or freed; copy what must "
        "last with mt_keep before the reset",
        what);
}

/* ---- what a tensor is ---- */

int mt_tensor_rank(const mt_tensor *x) { return x ? x->layout.rank : 0; }

mt_shape mt_tensor_shape(const mt_tensor *x) { return x ? mt_layout_shape(&x->layout) : (mt_shape){0}; }

int64_t mt_tensor_size(const mt_tensor *x, int64_t dim)
{
    int d;
    return x && mt_layout_dim(&x->layout, dim, "size", &d) == MT_OK ? x->layout.size[d] : -1;
}

int64_t mt_tensor_stride(const mt_tensor *x, int64_t dim)
{
    int d;
    return x && mt_layout_dim(&x->layout, dim, "stride", &d) == MT_OK ? x->layout.stride[d] : 0;
}

int64_t mt_tensor_offset(const mt_tensor *x) { return x ? x->layout.offset : 0; }

int64_t mt_tensor_count(const mt_tensor *x) { return x ? mt_layout_count(&x->layout) : -1; }

mt_kind mt_tensor_kind(const mt_tensor *x) { return x ? x->kind : MT_REAL; }

/* These two look into the storage, which may be gone with its tape. */
mt_backend *mt_tensor_backend(const mt_tensor *x)
{
    return mt_tensor_check(x, "backend") == MT_OK ? x->storage->backend : NULL;
}

bool mt_tensor_is_contiguous(const mt_tensor *x) { return x && mt_layout_is_contiguous(&x->layout); }

uint64_t mt_tensor_version(const mt_tensor *x)
{
    return mt_tensor_check(x, "version") == MT_OK ? x->storage->version : 0;
}

const void *mt_tensor_data(const mt_tensor *x)
{
    if (mt_tensor_check(x, "data") != MT_OK) return NULL;
    if (!x->storage->backend->host) {
        mt_fail(MT_ERR_BACKEND,
                "the values are on backend %s; copy them to the host with mt_to_floats or mt_tensor_to",
                x->storage->backend->name);
        return NULL;
    }
    return (const char *)x->storage->data + (size_t)x->layout.offset * mt_kind_bytes(x->kind);
}
