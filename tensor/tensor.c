/* tensor/tensor.c - constructors, views and copies outside any tape. Each returns a handle that the caller
 * frees. */
#include "ops.h"
#include "scalar/scalar_math.h"
#include "storage.h"

#include <inttypes.h>
#include <string.h>

/* ---- constructors ---- */

mt_tensor *mt_empty(mt_backend *backend, mt_shape shape, mt_kind kind)
{
    if (!backend) return NULL;
    int64_t count = mt_shape_count(shape);
    if (count < 0) return NULL;
    if (kind != MT_REAL && kind != MT_INDEX) {
        mt_fail(MT_ERR_KIND, "empty: %d is no kind of element; give MT_REAL or MT_INDEX", (int)kind);
        return NULL;
    }
    mt_layout layout = mt_layout_contiguous(shape);
    mt_storage *storage = mt_storage_new(backend, (size_t)count * mt_kind_bytes(kind));
    if (!storage) return NULL;
    mt_tensor *tensor = mt_tensor_handle(storage, &layout, kind, NULL);
    mt_storage_release(storage); /* the handle holds it now, or nobody does */
    return tensor;
}

/* Frees tensor and returns NULL when making it failed half-way. */
static mt_tensor *keep_if(mt_tensor *tensor, mt_status status)
{
    if (status == MT_OK) return tensor;
    mt_tensor_free(tensor);
    return NULL;
}

/* What is sent to a device, or between two, at a time where it needs memory of the library's own. */
enum { PIECE_BYTES = 1 << 20 };

/* Fills a new tensor: convert(values, first, n, to) writes elements first to first+n-1 as the tensor's kind.
 * Where the values are such elements already (as_they_are) a device gets them in one piece. */
static mt_tensor *from_host(mt_backend *backend, mt_shape shape, mt_kind kind, const void *values,
                            bool as_they_are,
                            void (*convert)(const void *values, int64_t first, int64_t n, void *to))
{
    if (!values) return NULL;
    mt_tensor *tensor = mt_empty(backend, shape, kind);
    if (!tensor) return NULL;
    const size_t size = mt_kind_bytes(kind);
    const int64_t count = mt_tensor_count(tensor), most = PIECE_BYTES / (int64_t)size;
    char *data = tensor->storage->data;
    if (backend->host || count == 0) {
        convert(values, 0, count, data);
        return tensor;
    }
    if (as_they_are) return keep_if(tensor, backend->upload(backend, data, values, (size_t)count * size));
    const size_t bytes = (size_t)(count < most ? count : most) * size;
    void *piece = mt_alloc(bytes);
    mt_status status = piece ? MT_OK : MT_ERR_MEMORY;
    for (int64_t first = 0; first < count && status == MT_OK; first += most) {
        const int64_t n = count - first < most ? count - first : most;
        convert(values, first, n, piece);
        status = backend->upload(backend, data + (size_t)first * size, piece, (size_t)n * size);
    }
    mt_free(piece, bytes);
    return keep_if(tensor, status);
}

static void from_float(const void *values, int64_t first, int64_t n, void *to)
{
    for (int64_t i = 0; i < n; i++) ((mt_real *)to)[i] = (mt_real)((const float *)values)[first + i];
}

static void from_double(const void *values, int64_t first, int64_t n, void *to)
{
    for (int64_t i = 0; i < n; i++) ((mt_real *)to)[i] = (mt_real)((const double *)values)[first + i];
}

static void from_double_to_index(const void *values, int64_t first, int64_t n, void *to)
{
    for (int64_t i = 0; i < n; i++) ((int64_t *)to)[i] = mt_m_to_index(((const double *)values)[first + i]);
}

static void from_index(const void *values, int64_t first, int64_t n, void *to)
{
    memcpy(to, (const int64_t *)values + first, (size_t)n * sizeof(int64_t));
}

mt_tensor *mt_from_floats(mt_backend *backend, const float *values, mt_shape shape)
{
    return from_host(backend, shape, MT_REAL, values, sizeof(mt_real) == sizeof(float), from_float);
}

mt_tensor *mt_from_doubles(mt_backend *backend, const double *values, mt_shape shape)
{
    return mt_from_doubles_as(backend, values, shape, MT_REAL);
}

mt_tensor *mt_from_doubles_as(mt_backend *backend, const double *values, mt_shape shape, mt_kind kind)
{
    const bool real = kind == MT_REAL;
    return from_host(backend, shape, kind, values, real && sizeof(mt_real) == sizeof(double),
                     real ? from_double : from_double_to_index);
}

mt_tensor *mt_from_indices(mt_backend *backend, const int64_t *values, mt_shape shape)
{
    return from_host(backend, shape, MT_INDEX, values, true, from_index);
}

mt_tensor *mt_full(mt_backend *backend, mt_shape shape, double value)
{
    mt_tensor *tensor = mt_empty(backend, shape, MT_REAL);
    return tensor ? keep_if(tensor, mt_op_fill(tensor, value)) : NULL;
}

mt_tensor *mt_zeros(mt_backend *backend, mt_shape shape) { return mt_full(backend, shape, 0); }

mt_tensor *mt_ones(mt_backend *backend, mt_shape shape) { return mt_full(backend, shape, 1); }

typedef struct {
    int64_t start, step;
} arange;

static void from_arange(const void *values, int64_t first, int64_t n, void *to)
{
    const arange *range = values;
    /* Unsigned: the product alone may not fit, the sum does. */
    for (int64_t i = 0; i < n; i++)
        ((int64_t *)to)[i] =
            (int64_t)((uint64_t)range->start + (uint64_t)(first + i) * (uint64_t)range->step);
}

mt_tensor *mt_arange(mt_backend *backend, int64_t start, int64_t stop, int64_t step)
{
    if (!backend) return NULL;
    if (step == 0) {
        mt_fail(MT_ERR_VALUE,
                "arange: a step of 0 never reaches the stop; give a step of at least 1, or at most -1");
        return NULL;
    }
    /* The distance as an unsigned number, since it may not fit a signed one. */
    bool up = step > 0;
    uint64_t distance = up ? (stop > start ? (uint64_t)stop - (uint64_t)start : 0)
                           : (start > stop ? (uint64_t)start - (uint64_t)stop : 0);
    uint64_t stride = up ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t count = distance ? (distance - 1) / stride + 1 : 0;
    if (count > INT64_MAX / sizeof(int64_t)) {
        mt_fail(MT_ERR_SHAPE, "arange: %" PRIu64 " elements are too many to address", count);
        return NULL;
    }
    arange range = {start, step};
    return from_host(backend, mt_shape((int64_t)count), MT_INDEX, &range, false, from_arange);
}

typedef struct {
    double first, last;
    int64_t count;
} linspace;

static void from_linspace(const void *values, int64_t first, int64_t n, void *to)
{
    const linspace *line = values;
    double steps = line->count > 1 ? (double)(line->count - 1) : 1;
    for (int64_t i = 0; i < n; i++) {
        double share = (double)(first + i) / steps;
        ((mt_real *)to)[i] = (mt_real)(line->first * (1 - share) + line->last * share);
    }
}

mt_tensor *mt_linspace(mt_backend *backend, double first, double last, int64_t count)
{
    linspace line = {first, last, count};
    return from_host(backend, mt_shape(count), MT_REAL, &line, false, from_linspace);
}

mt_tensor *mt_eye(mt_backend *backend, int64_t n)
{
    mt_tensor *eye = mt_zeros(backend, mt_shape(n, n));
    if (!eye) return NULL;
    /* The diagonal is a view: one dimension that steps by n + 1. */
    mt_layout layout = {.rank = 1, .size = {n}, .stride = {n + 1}};
    mt_tensor *diagonal = mt_tensor_handle(eye->storage, &layout, MT_REAL, eye);
    mt_status status = diagonal ? mt_op_fill(diagonal, 1) : MT_ERR_MEMORY;
    mt_tensor_free(diagonal);
    return keep_if(eye, status);
}

mt_tensor *mt_uniform(mt_backend *backend, mt_shape shape, mt_rng *rng, double low, double high)
{
    mt_tensor *tensor = mt_empty(backend, shape, MT_REAL);
    return tensor ? keep_if(tensor, mt_op_uniform(tensor, rng, low, high)) : NULL;
}

mt_tensor *mt_normal(mt_backend *backend, mt_shape shape, mt_rng *rng, double mean, double deviation)
{
    mt_tensor *tensor = mt_empty(backend, shape, MT_REAL);
    return tensor ? keep_if(tensor, mt_op_normal(tensor, rng, mean, deviation)) : NULL;
}

mt_tensor *mt_permutation(mt_backend *backend, mt_rng *rng, int64_t count)
{
    mt_tensor *tensor = mt_empty(backend, mt_shape(count), MT_INDEX);
    return tensor ? keep_if(tensor, mt_op_permutation(tensor, rng)) : NULL;
}

/* ---- views ---- */

/* A view of x; NULL where checking x, or making its layout, has failed. */
static mt_tensor *view_of(mt_tensor *x, mt_status status, const mt_layout *layout)
{
    return status == MT_OK ? mt_tensor_handle(x->storage, layout, x->kind, x) : NULL;
}

mt_tensor *mt_tensor_view(mt_tensor *x, mt_shape shape)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "view");
    if (status == MT_OK) status = mt_layout_view(&x->layout, shape, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_permute(mt_tensor *x, mt_shape order)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "permute");
    if (status == MT_OK) status = mt_layout_permute(&x->layout, order, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_transpose(mt_tensor *x, int64_t dim0, int64_t dim1)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "transpose");
    if (status == MT_OK) status = mt_layout_transpose(&x->layout, dim0, dim1, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_slice(mt_tensor *x, int64_t dim, int64_t start, int64_t stop, int64_t step)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "slice");
    if (status == MT_OK) status = mt_layout_slice(&x->layout, dim, start, stop, step, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_select(mt_tensor *x, int64_t dim, int64_t index)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "select");
    if (status == MT_OK) status = mt_layout_select(&x->layout, dim, index, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_expand(mt_tensor *x, mt_shape shape)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "expand");
    if (status == MT_OK) status = mt_layout_expand(&x->layout, shape, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_squeeze(mt_tensor *x, int64_t dim)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "squeeze");
    if (status == MT_OK) status = mt_layout_squeeze(&x->layout, dim, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_unsqueeze(mt_tensor *x, int64_t dim)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "unsqueeze");
    if (status == MT_OK) status = mt_layout_unsqueeze(&x->layout, dim, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_unfold(mt_tensor *x, int64_t dim, int64_t size, int64_t step)
{
    mt_layout layout;
    mt_status status = mt_tensor_check(x, "unfold");
    if (status == MT_OK) status = mt_layout_unfold(&x->layout, dim, size, step, &layout);
    return view_of(x, status, &layout);
}

mt_tensor *mt_tensor_reshape(mt_tensor *x, mt_shape shape)
{
    if (mt_tensor_check(x, "reshape") != MT_OK) return NULL;
    if (mt_shape_infer(shape, mt_tensor_count(x), &shape) != MT_OK) return NULL;
    mt_tensor *rows = mt_tensor_contiguous(x);
    mt_tensor *result = mt_tensor_view(rows, shape);
    mt_tensor_free(rows);
    return result;
}

mt_tensor *mt_tensor_flatten(mt_tensor *x, int64_t first, int64_t last)
{
    mt_shape shape;
    if (mt_tensor_check(x, "flatten") != MT_OK) return NULL;
    if (mt_shape_flatten(mt_layout_shape(&x->layout), first, last, &shape) != MT_OK) return NULL;
    return mt_tensor_reshape(x, shape);
}

/* ---- copies ---- */

mt_tensor *mt_tensor_contiguous(mt_tensor *x)
{
    if (mt_tensor_check(x, "contiguous") != MT_OK) return NULL;
    if (!mt_layout_is_contiguous(&x->layout)) return mt_tensor_copy(x);
    return mt_tensor_handle(x->storage, &x->layout, x->kind, x);
}

static mt_tensor *copy_as(const mt_tensor *x, const char *what, mt_kind kind)
{
    if (mt_tensor_check(x, what) != MT_OK) return NULL;
    mt_tensor *copy = mt_empty(x->storage->backend, mt_tensor_shape(x), kind);
    return copy ? keep_if(copy, mt_op_copy(copy, x)) : NULL;
}

mt_tensor *mt_tensor_as(const mt_tensor *x, mt_kind kind) { return copy_as(x, "as", kind); }

mt_tensor *mt_tensor_copy(const mt_tensor *x) { return copy_as(x, "copy", mt_tensor_kind(x)); }

/* By way of the host, a piece at a time. */
static mt_status between_devices(mt_backend *source, const char *from, mt_backend *backend, char *to,
                                 size_t bytes)
{
    const size_t most = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
    void *piece = mt_alloc(most);
    mt_status status = piece ? MT_OK : MT_ERR_MEMORY;
    for (size_t done = 0, n; done < bytes && status == MT_OK; done += n) {
        n = bytes - done < most ? bytes - done : most;
        status = source->download(source, piece, from + done, n);
        if (status == MT_OK) status = backend->upload(backend, to + done, piece, n);
    }
    mt_free(piece, most);
    return status;
}

mt_tensor *mt_tensor_to(const mt_tensor *x, mt_backend *backend)
{
    if (mt_tensor_check(x, "to") != MT_OK || !backend) return NULL;
    mt_backend *source = x->storage->backend;
    if (source == backend) return mt_tensor_copy(x);
    mt_tensor *rows = mt_tensor_contiguous((mt_tensor *)x);
    mt_tensor *copy = rows ? mt_empty(backend, mt_tensor_shape(x), x->kind) : NULL;
    mt_status status = copy ? MT_OK : MT_ERR_MEMORY;
    size_t element = mt_kind_bytes(x->kind), bytes = (size_t)mt_tensor_count(x) * element;
    if (copy && bytes) {
        const char *from = (const char *)rows->storage->data + (size_t)rows->layout.offset * element;
        char *to = copy->storage->data;
        if (source->host)
            status = backend->upload(backend, to, from, bytes);
        else if (backend->host)
            status = source->download(source, to, from, bytes);
        else
            status = between_devices(source, from, backend, to, bytes);
    }
    mt_tensor_free(rows);
    return keep_if(copy, status);
}
