/* tensor/values.c - single elements and whole arrays between a tensor and the program. */
#include "ops.h"
#include "scalar/scalar_math.h"
#include "storage.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The address of one element, after checking the index against the shape. */
static mt_status element(const mt_tensor *x, mt_shape index, const char *what, void **address)
{
    char text[MT_SHAPE_TEXT], text_index[MT_SHAPE_TEXT];
    mt_status status = mt_tensor_check(x, what);
    if (status != MT_OK) return status;
    bool valid = index.rank == x->layout.rank;
    mt_shape given = index;
    for (int d = 0; valid && d < index.rank; d++) {
        if (index.size[d] < 0) index.size[d] += x->layout.size[d];
        valid = index.size[d] >= 0 && index.size[d] < x->layout.size[d];
    }
    if (!valid)
        return mt_fail(MT_ERR_INDEX, "%s: index %s is outside a tensor of shape %s", what,
                       mt_shape_text(given, text_index), mt_shape_text(mt_layout_shape(&x->layout), text));
    *address = (char *)x->storage->data +
               (size_t)mt_layout_position(&x->layout, index.size) * mt_kind_bytes(x->kind);
    return MT_OK;
}

typedef union {
    mt_real real;
    int64_t index;
} mt_value;

mt_status mt_get(const mt_tensor *x, mt_shape index, double *value)
{
    void *address;
    mt_value raw;
    mt_status status = value ? element(x, index, "get", &address) : MT_ERR_NULL;
    if (status == MT_OK)
        status = x->storage->backend->download(x->storage->backend, &raw, address, mt_kind_bytes(x->kind));
    if (status == MT_OK) *value = x->kind == MT_REAL ? mt_printable((double)raw.real) : (double)raw.index;
    return status;
}

mt_status mt_set(mt_tensor *x, mt_shape index, double value)
{
    void *address;
    mt_value raw;
    mt_status status = element(x, index, "set", &address);
    if (status != MT_OK) return status;
    if (x->kind == MT_REAL)
        raw.real = (mt_real)value;
    else
        raw.index = mt_m_to_index(value);
    status = x->storage->backend->upload(x->storage->backend, address, &raw, mt_kind_bytes(x->kind));
    if (status == MT_OK) mt_tensor_touch(x);
    return status;
}

double mt_item(const mt_tensor *x)
{
    char text[MT_SHAPE_TEXT];
    double value = NAN;
    if (!x) mt_fail_null("item");
    if (mt_tensor_check(x, "item") != MT_OK) return NAN;
    if (mt_tensor_count(x) != 1) {
        mt_fail(MT_ERR_SHAPE,
                "item: a tensor of shape %s is not a single number; use mt_get, or reduce it first",
                mt_shape_text(mt_layout_shape(&x->layout), text));
        return NAN;
    }
    const int64_t zeros[MT_MAX_DIMS] = {0};
    mt_get(x, mt_shape_make(x->layout.rank, zeros), &value);
    return value;
}

/* Whether a host array of count values matches x. */
static mt_status check_count(const mt_tensor *x, const void *values, int64_t count, const char *what)
{
    char text[MT_SHAPE_TEXT];
    mt_status status = values ? mt_tensor_check(x, what) : MT_ERR_NULL;
    if (status == MT_OK && count != mt_tensor_count(x))
        status = mt_fail(MT_ERR_SHAPE, "%s: %" PRId64 " values for a tensor of shape %s, which has %" PRId64,
                         what, count, mt_shape_text(mt_layout_shape(&x->layout), text), mt_tensor_count(x));
    return status;
}

/* ---- reading ---- */

typedef enum number_type { FLOATS, DOUBLES, INDICES } number_type; /* of the caller's array */

static const size_t number_bytes[] = {sizeof(float), sizeof(double), sizeof(int64_t)};

/* Writes element i of `from`, of that kind, to element i of `to`, for i = 0 .. n-1 in order: element i is
 * written after it was read and before the next one is. The arrays may overlap as read_all lets them, so both
 * are read and written as bytes. */
static inline __attribute__((always_inline)) void convert_to(number_type type, void *to, mt_kind kind,
                                                             const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mt_real real = 0;
        int64_t index = 0;
        if (kind == MT_REAL)
            memcpy(&real, (const char *)from + i * sizeof real, sizeof real);
        else
            memcpy(&index, (const char *)from + i * sizeof index, sizeof index);
        const float single = kind == MT_REAL ? (float)real : (float)index;
        const double wide = kind == MT_REAL ? (double)real : (double)index;
        const int64_t whole = kind == MT_REAL ? mt_m_to_index(real) : index;
        if (type == FLOATS) memcpy((char *)to + i * sizeof single, &single, sizeof single);
        if (type == DOUBLES) memcpy((char *)to + i * sizeof wide, &wide, sizeof wide);
        if (type == INDICES) memcpy((char *)to + i * sizeof whole, &whole, sizeof whole);
    }
}

/* The same, with a loop of its own for each pair of types. */
static void convert(number_type type, void *to, mt_kind kind, const void *from, size_t n)
{
    if (type == FLOATS && kind == MT_REAL) convert_to(FLOATS, to, MT_REAL, from, n);
    if (type == FLOATS && kind == MT_INDEX) convert_to(FLOATS, to, MT_INDEX, from, n);
    if (type == DOUBLES && kind == MT_REAL) convert_to(DOUBLES, to, MT_REAL, from, n);
    if (type == DOUBLES && kind == MT_INDEX) convert_to(DOUBLES, to, MT_INDEX, from, n);
    if (type == INDICES && kind == MT_REAL) convert_to(INDICES, to, MT_REAL, from, n);
    if (type == INDICES && kind == MT_INDEX) convert_to(INDICES, to, MT_INDEX, from, n);
}

/* Reads x in row-major order into an array of that type, `bytes` bytes an element; backend->download waits,
 * so it is called as seldom as can be without memory of the library's own. All that is left is asked for at
 * once, arrives at the array's end and is converted from there to its place. With r elements left, n of them
 * sent and offsets in bytes from the place of the first, element i arrives at r*bytes - n*size + i*size and
 * goes to i*bytes, which is never behind the start of one that is still to be read. Where the device's
 * elements are the larger ones, r/2 of them have room there: the pieces halve until one fits into a block. */
static mt_status read_all(const mt_tensor *x, void *values, number_type type)
{
    const size_t bytes = number_bytes[type];
    union {
        mt_real real[4096];
        int64_t index[4096];
    } block;
    mt_tensor *rows = mt_tensor_contiguous((mt_tensor *)x);
    if (!rows) return mt_last_status();
    mt_backend *backend = x->storage->backend;
    const size_t size = mt_kind_bytes(x->kind), count = (size_t)mt_tensor_count(x);
    const char *from = (const char *)rows->storage->data + (size_t)rows->layout.offset * size;
    char *to = values, *const end = to + count * bytes;
    mt_status status = MT_OK;
    size_t left = count;
    if (backend->host) {
        convert(type, to, x->kind, from, count);
        left = 0;
    }
    while (left > 0 && status == MT_OK) {
        const bool fits = left * size <= sizeof block;
        const size_t n = fits || size <= bytes ? left : left * bytes / size;
        void *place = fits ? (void *)&block : end - n * size;
        status = backend->download(backend, place, from, n * size);
        if (status == MT_OK) convert(type, to, x->kind, place, n);
        from += n * size, to += n * bytes, left -= n;
    }
    mt_tensor_free(rows);
    return status;
}

mt_status mt_to_floats(const mt_tensor *x, float *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "to_floats");
    return status == MT_OK ? read_all(x, values, FLOATS) : status;
}

mt_status mt_to_doubles(const mt_tensor *x, double *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "to_doubles");
    return status == MT_OK ? read_all(x, values, DOUBLES) : status;
}

mt_status mt_to_indices(const mt_tensor *x, int64_t *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "to_indices");
    return status == MT_OK ? read_all(x, values, INDICES) : status;
}

mt_status mt_set_doubles(mt_tensor *x, const double *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "set_doubles");
    if (status != MT_OK) return status;
    mt_tensor *source = mt_from_doubles_as(x->storage->backend, values, mt_tensor_shape(x), x->kind);
    if (!source) return mt_last_status();
    status = mt_op_copy(x, source);
    mt_tensor_free(source);
    return status;
}
