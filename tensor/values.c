/* tensor/values.c - single elements and whole arrays between a tensor and the program. */
#include "ops.h"
#include "scalar_math.h"
#include "storage.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The address of one element, after checking the index against the shape. */
static mt_status element(const mt_tensor *x, mt_shape index, const char *what, void **address)
{
    char text[MT_SHAPE_TEXT], text_index[MT_SHAPE_TEXT];
    mt_status status = mt_tensor_check(x);
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
    if (mt_tensor_check(x) != MT_OK) return NAN;
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
    mt_status status = values ? mt_tensor_check(x) : MT_ERR_NULL;
    if (status == MT_OK && count != mt_tensor_count(x))
        status = mt_fail(MT_ERR_SHAPE, "%s: %" PRId64 " values for a tensor of shape %s, which has %" PRId64,
                         what, count, mt_shape_text(mt_layout_shape(&x->layout), text), mt_tensor_count(x));
    return status;
}

enum { BLOCK = 4096 };

/* Reads x in row-major order, a block at a time; store receives elements of x's kind. */
static mt_status read_all(const mt_tensor *x, void *values,
                          void (*store)(void *values, int64_t first, int64_t n, const mt_tensor *x,
                                        const void *block))
{
    mt_tensor *rows = mt_tensor_contiguous((mt_tensor *)x);
    if (!rows) return mt_last_status();
    union {
        mt_real real[BLOCK];
        int64_t index[BLOCK];
    } block;
    mt_backend *backend = x->storage->backend;
    size_t size = mt_kind_bytes(x->kind);
    int64_t count = mt_tensor_count(x);
    mt_status status = MT_OK;
    for (int64_t first = 0; first < count && status == MT_OK; first += BLOCK) {
        int64_t n = count - first < BLOCK ? count - first : BLOCK;
        const char *from = (const char *)rows->storage->data + (size_t)(rows->layout.offset + first) * size;
        status = backend->download(backend, &block, from, (size_t)n * size);
        if (status == MT_OK) store(values, first, n, x, &block);
    }
    mt_tensor_free(rows);
    return status;
}

static double block_value(const mt_tensor *x, const void *block, int64_t i)
{
    return x->kind == MT_REAL ? (double)((const mt_real *)block)[i] : (double)((const int64_t *)block)[i];
}

static void store_float(void *values, int64_t first, int64_t n, const mt_tensor *x, const void *block)
{
    for (int64_t i = 0; i < n; i++) ((float *)values)[first + i] = (float)block_value(x, block, i);
}

static void store_double(void *values, int64_t first, int64_t n, const mt_tensor *x, const void *block)
{
    for (int64_t i = 0; i < n; i++) ((double *)values)[first + i] = block_value(x, block, i);
}

static void store_index(void *values, int64_t first, int64_t n, const mt_tensor *x, const void *block)
{
    for (int64_t i = 0; i < n; i++)
        ((int64_t *)values)[first + i] =
            x->kind == MT_INDEX ? ((const int64_t *)block)[i] : mt_m_to_index(block_value(x, block, i));
}

mt_status mt_to_floats(const mt_tensor *x, float *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "to_floats");
    return status == MT_OK ? read_all(x, values, store_float) : status;
}

mt_status mt_to_doubles(const mt_tensor *x, double *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "to_doubles");
    return status == MT_OK ? read_all(x, values, store_double) : status;
}

mt_status mt_to_indices(const mt_tensor *x, int64_t *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "to_indices");
    return status == MT_OK ? read_all(x, values, store_index) : status;
}

mt_status mt_write(mt_tensor *x, const double *values, int64_t count)
{
    mt_status status = check_count(x, values, count, "write");
    if (status != MT_OK) return status;
    mt_tensor *source = mt_from_doubles_as(x->storage->backend, values, mt_tensor_shape(x), x->kind);
    if (!source) return mt_last_status();
    status = mt_op_copy(x, source);
    mt_tensor_free(source);
    return status;
}
