/* tensor/shape.c - shapes and layouts: every view is computed here, on integers alone. */
#include "shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A shape made by hand may have any rank: no more is looked at than there is room for. */
static int bounded(int rank) { return rank < 0 ? 0 : rank > MT_MAX_DIMS ? MT_MAX_DIMS : rank; }

bool mt_shape_equal(mt_shape a, mt_shape b)
{
    return a.rank == b.rank && memcmp(a.size, b.size, (size_t)bounded(a.rank) * sizeof *a.size) == 0;
}

const char *mt_shape_text(mt_shape shape, char buffer[MT_SHAPE_TEXT])
{
    if (!buffer) return "";
    const int rank = bounded(shape.rank);
    size_t used = (size_t)snprintf(buffer, MT_SHAPE_TEXT, "(");
    for (int d = 0; d < rank; d++)
        used +=
            (size_t)snprintf(buffer + used, MT_SHAPE_TEXT - used, "%s%" PRId64, d ? ", " : "", shape.size[d]);
    snprintf(buffer + used, MT_SHAPE_TEXT - used, ")");
    return buffer;
}

/* Whether the rank is one that exists; everything that takes a shape asks first. */
static mt_status check_rank(mt_shape shape)
{
    if (shape.rank >= 1 && shape.rank <= MT_MAX_DIMS) return MT_OK;
    return mt_fail(MT_ERR_SHAPE, "a shape has 1 to %d sizes, not %d", MT_MAX_DIMS, shape.rank);
}

int64_t mt_shape_count(mt_shape shape)
{
    char text[MT_SHAPE_TEXT];
    if (check_rank(shape) != MT_OK) return -1;
    int64_t count = 1;
    bool empty = false, overflow = false;
    for (int d = 0; d < shape.rank; d++) {
        if (shape.size[d] < 0) {
            mt_fail(MT_ERR_SHAPE, "shape %s has a negative size, %" PRId64 " in dimension %d",
                    mt_shape_text(shape, text), shape.size[d], d);
            return -1;
        }
        if (shape.size[d] == 0)
            empty = true;
        else if (count > INT64_MAX / (int64_t)sizeof(double) / shape.size[d])
            overflow = true;
        else
            count *= shape.size[d];
    }
    /* Sizes beside a 0 count too: strides are computed from them. */
    if (overflow) {
        mt_fail(MT_ERR_SHAPE, "shape %s has too many elements to address", mt_shape_text(shape, text));
        return -1;
    }
    return empty ? 0 : count;
}

mt_status mt_shape_broadcast(mt_shape a, mt_shape b, mt_shape *result)
{
    if (!result) return MT_ERR_NULL;
    char text_a[MT_SHAPE_TEXT], text_b[MT_SHAPE_TEXT];
    if (check_rank(a) != MT_OK || check_rank(b) != MT_OK) return MT_ERR_SHAPE;
    mt_shape joint = {.rank = a.rank > b.rank ? a.rank : b.rank};
    for (int d = 1; d <= joint.rank; d++) {
        int64_t size_a = d <= a.rank ? a.size[a.rank - d] : 1, size_b = d <= b.rank ? b.size[b.rank - d] : 1;
        if (size_a != size_b && size_a != 1 && size_b != 1)
            return mt_fail(MT_ERR_SHAPE,
                           "shapes %s and %s do not broadcast: dimension %d has sizes %" PRId64
                           " and %" PRId64 "; they must be equal, or one of them 1",
                           mt_shape_text(a, text_a), mt_shape_text(b, text_b), joint.rank - d, size_a,
                           size_b);
        joint.size[joint.rank - d] = size_a == 1 ? size_b : size_a;
    }
    *result = joint;
    return MT_OK;
}

mt_status mt_shape_check_dims(mt_shape dims, const char *what)
{
    if (!what) return MT_ERR_NULL;
    if (dims.rank >= 1 && dims.rank <= MT_MAX_DIMS) return MT_OK;
    return mt_fail(MT_ERR_SHAPE, "%s: 1 to %d dimensions must be named, not %d", what, MT_MAX_DIMS,
                   dims.rank);
}

mt_layout mt_layout_contiguous(mt_shape shape)
{
    mt_layout layout = {.rank = bounded(shape.rank)};
    uint64_t stride = 1; /* a shape that mt_shape_count refuses may overflow it; its strides mean nothing */
    for (int d = layout.rank - 1; d >= 0; d--) {
        layout.size[d] = shape.size[d];
        layout.stride[d] = (int64_t)stride;
        stride *= shape.size[d] > 0 ? (uint64_t)shape.size[d] : 1;
    }
    return layout;
}

int64_t mt_layout_rows(int rank, const int64_t *size, mt_layout *layout)
{
    if (!size || !layout) return -1;
    int64_t count = 1;
    bool small = rank >= 1 && rank <= MT_MAX_DIMS;
    for (int d = rank - 1; d >= 0 && small; d--) {
        /* Sizes for which nothing can overflow; anything else is looked at properly. */
        small = size[d] >= 1 && size[d] <= INT32_MAX && count <= INT32_MAX / 8;
        layout->size[d] = size[d];
        layout->stride[d] = count;
        if (small) count *= size[d];
    }
    layout->rank = rank;
    if (small) return count;
    mt_shape shape = mt_shape_make(rank, size);
    *layout = mt_layout_contiguous(shape);
    return mt_shape_count(shape);
}

mt_shape mt_layout_shape(const mt_layout *layout)
{
    return layout ? mt_shape_make(layout->rank, layout->size) : (mt_shape){0};
}

int64_t mt_layout_count(const mt_layout *layout)
{
    if (!layout) return -1;
    int64_t count = 1;
    for (int d = 0; d < layout->rank; d++) count *= layout->size[d];
    return count;
}

bool mt_layout_is_contiguous(const mt_layout *layout)
{
    if (!layout) return false;
    if (mt_layout_count(layout) == 0) return true;
    int64_t expected = 1;
    for (int d = layout->rank - 1; d >= 0; d--) {
        if (layout->size[d] == 1) continue;
        if (layout->stride[d] != expected) return false;
        expected *= layout->size[d];
    }
    return true;
}

int64_t mt_layout_position(const mt_layout *layout, const int64_t *index)
{
    if (!layout || !index) return -1;
    int64_t position = layout->offset;
    for (int d = 0; d < layout->rank; d++) position += index[d] * layout->stride[d];
    return position;
}

/* dim of -rank..rank-1 as 0..rank-1, or a sentence; text describes the tensor. */
static mt_status resolve_dim(int rank, const int64_t *size, int64_t dim, const char *what, int *result)
{
    char text[MT_SHAPE_TEXT];
    if (dim < -rank || dim >= rank)
        return mt_fail(MT_ERR_INDEX, "%s: dimension %" PRId64 " of shape %s; it has dimensions %d to %d",
                       what, dim, mt_shape_text(mt_shape_make(rank, size), text), -rank, rank - 1);
    *result = (int)(dim < 0 ? dim + rank : dim);
    return MT_OK;
}

mt_status mt_layout_dim(const mt_layout *layout, int64_t dim, const char *what, int *result)
{
    if (!layout || !what || !result) return MT_ERR_NULL;
    return resolve_dim(layout->rank, layout->size, dim, what, result);
}

mt_status mt_shape_infer(mt_shape shape, int64_t count, mt_shape *result)
{
    if (!result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT];
    mt_status status = check_rank(shape);
    if (status != MT_OK) return status;
    int hole = -1;
    mt_shape known = shape;
    for (int d = 0; d < shape.rank; d++) {
        if (shape.size[d] != -1) continue;
        if (hole >= 0)
            return mt_fail(MT_ERR_SHAPE, "shape %s has more than one -1; only one size can be inferred",
                           mt_shape_text(shape, text));
        hole = d;
        known.size[d] = 1;
    }
    int64_t product = mt_shape_count(known);
    if (product < 0) return MT_ERR_SHAPE;
    bool fits = hole < 0 ? product == count : product > 0 && count % product == 0;
    if (!fits)
        return mt_fail(MT_ERR_SHAPE, "%" PRId64 " elements do not fit shape %s", count,
                       mt_shape_text(shape, text));
    if (hole >= 0) known.size[hole] = count / product;
    *result = known;
    return MT_OK;
}

mt_status mt_layout_view(const mt_layout *layout, mt_shape shape, mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT];
    if (!mt_layout_is_contiguous(layout))
        return mt_fail(MT_ERR_SHAPE,
                       "view: a tensor of shape %s is not contiguous; use reshape, which copies when it must",
                       mt_shape_text(mt_layout_shape(layout), text));
    mt_status status = mt_shape_infer(shape, mt_layout_count(layout), &shape);
    if (status != MT_OK) return status;
    int64_t offset = layout->offset;
    *result = mt_layout_contiguous(shape);
    result->offset = offset;
    return MT_OK;
}

mt_status mt_layout_permute(const mt_layout *layout, mt_shape order, mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT], text_order[MT_SHAPE_TEXT];
    mt_layout permuted = {.rank = layout->rank, .offset = layout->offset};
    unsigned seen = 0;
    bool valid = order.rank == layout->rank;
    for (int i = 0; valid && i < order.rank; i++) {
        int64_t dim = order.size[i] < 0 ? order.size[i] + layout->rank : order.size[i];
        valid = dim >= 0 && dim < layout->rank && !(seen >> dim & 1);
        if (!valid) break;
        seen |= 1u << dim;
        permuted.size[i] = layout->size[dim];
        permuted.stride[i] = layout->stride[dim];
    }
    if (!valid)
        return mt_fail(
            MT_ERR_SHAPE,
            "permute: order %s for a tensor of shape %s; each of its %d dimensions must be named once",
            mt_shape_text(order, text_order), mt_shape_text(mt_layout_shape(layout), text), layout->rank);
    *result = permuted;
    return MT_OK;
}

mt_status mt_layout_transpose(const mt_layout *layout, int64_t dim0, int64_t dim1, mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    int a = 0, b = 0;
    mt_status status = mt_layout_dim(layout, dim0, "transpose", &a);
    if (status == MT_OK) status = mt_layout_dim(layout, dim1, "transpose", &b);
    if (status != MT_OK) return status;
    mt_layout swapped = *layout;
    swapped.size[a] = layout->size[b], swapped.stride[a] = layout->stride[b];
    swapped.size[b] = layout->size[a], swapped.stride[b] = layout->stride[a];
    *result = swapped;
    return MT_OK;
}

/* An index that may count from the end, brought into 0..size. */
static int64_t clamp_index(int64_t index, int64_t size)
{
    if (index < 0) index = index < -size ? 0 : index + size;
    return index > size ? size : index;
}

mt_status mt_layout_slice(const mt_layout *layout, int64_t dim, int64_t start, int64_t stop, int64_t step,
                          mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    int d;
    mt_status status = mt_layout_dim(layout, dim, "slice", &d);
    if (status != MT_OK) return status;
    if (step < 1) return mt_fail(MT_ERR_VALUE, "slice: step %" PRId64 "; it must be at least 1", step);
    start = clamp_index(start, layout->size[d]);
    stop = clamp_index(stop, layout->size[d]);
    mt_layout sliced = *layout;
    sliced.size[d] = stop > start ? (stop - start - 1) / step + 1 : 0;
    sliced.offset += sliced.size[d] > 0 ? start * layout->stride[d] : 0;
    /* A step that leaves one element or none is never taken, and its product might not fit. */
    if (sliced.size[d] > 1) sliced.stride[d] *= step;
    *result = sliced;
    return MT_OK;
}

mt_status mt_layout_select(const mt_layout *layout, int64_t dim, int64_t index, mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT];
    int d;
    mt_status status = mt_layout_dim(layout, dim, "select", &d);
    if (status != MT_OK) return status;
    int64_t size = layout->size[d];
    if (index < -size || index >= size)
        return mt_fail(MT_ERR_INDEX,
                       "select: index %" PRId64 " in dimension %d of shape %s, which has %" PRId64 " entries",
                       index, d, mt_shape_text(mt_layout_shape(layout), text), size);
    mt_layout selected = *layout;
    selected.offset += (index < 0 ? index + size : index) * layout->stride[d];
    selected.size[d] = 1;
    if (layout->rank > 1) {
        memmove(selected.size + d, selected.size + d + 1, (size_t)(layout->rank - 1 - d) * sizeof(int64_t));
        memmove(selected.stride + d, selected.stride + d + 1,
                (size_t)(layout->rank - 1 - d) * sizeof(int64_t));
        selected.rank--;
        selected.size[selected.rank] = selected.stride[selected.rank] = 0;
    }
    *result = selected;
    return MT_OK;
}

mt_status mt_layout_expand(const mt_layout *layout, mt_shape shape, mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT], text_shape[MT_SHAPE_TEXT];
    mt_layout wide = {.rank = shape.rank, .offset = layout->offset};
    mt_status status = check_rank(shape);
    if (status != MT_OK) return status;
    int lead = shape.rank - layout->rank;
    bool valid = lead >= 0;
    for (int d = 0; valid && d < shape.rank; d++) {
        int64_t size = d >= lead ? layout->size[d - lead] : 1;
        wide.size[d] = shape.size[d] == -1 && d >= lead ? size : shape.size[d];
        wide.stride[d] = d >= lead && size == wide.size[d] ? layout->stride[d - lead] : 0;
        valid = wide.size[d] >= 0 && (size == 1 || wide.size[d] == size);
    }
    if (!valid)
        return mt_fail(MT_ERR_SHAPE, "expand: shape %s does not stretch to %s; only sizes of 1 stretch",
                       mt_shape_text(mt_layout_shape(layout), text), mt_shape_text(shape, text_shape));
    if (mt_shape_count(mt_layout_shape(&wide)) < 0) return MT_ERR_SHAPE;
    *result = wide;
    return MT_OK;
}

mt_status mt_layout_squeeze(const mt_layout *layout, int64_t dim, mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    int d;
    mt_status status = mt_layout_dim(layout, dim, "squeeze", &d);
    if (status != MT_OK) return status;
    if (layout->size[d] == 1) return mt_layout_select(layout, d, 0, result);
    mt_layout same = *layout;
    *result = same;
    return MT_OK;
}

mt_status mt_layout_unsqueeze(const mt_layout *layout, int64_t dim, mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT];
    const int rank = layout->rank;
    if (rank == MT_MAX_DIMS)
        return mt_fail(MT_ERR_SHAPE, "unsqueeze: shape %s has %d dimensions already, the most there can be",
                       mt_shape_text(mt_layout_shape(layout), text), MT_MAX_DIMS);
    if (dim < -rank - 1 || dim > rank)
        return mt_fail(MT_ERR_INDEX, "unsqueeze: dimension %" PRId64 " of shape %s; it can go to %d to %d",
                       dim, mt_shape_text(mt_layout_shape(layout), text), -rank - 1, rank);
    const int d = (int)(dim < 0 ? dim + rank + 1 : dim);
    *result = *layout;
    result->rank = rank + 1;
    for (int i = rank; i > d; i--) {
        result->size[i] = result->size[i - 1];
        result->stride[i] = result->stride[i - 1];
    }
    result->size[d] = result->stride[d] = 1;
    return MT_OK;
}

mt_status mt_layout_unfold(const mt_layout *layout, int64_t dim, int64_t size, int64_t step,
                           mt_layout *result)
{
    if (!layout || !result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT];
    int d;
    mt_status status = mt_layout_dim(layout, dim, "unfold", &d);
    if (status != MT_OK) return status;
    if (layout->rank == MT_MAX_DIMS)
        return mt_fail(MT_ERR_SHAPE, "unfold: shape %s has %d dimensions already, the most there can be",
                       mt_shape_text(mt_layout_shape(layout), text), MT_MAX_DIMS);
    if (step < 1) return mt_fail(MT_ERR_VALUE, "unfold: step %" PRId64 "; it must be at least 1", step);
    if (size < 1 || size > layout->size[d])
        return mt_fail(MT_ERR_SHAPE,
                       "unfold: windows of %" PRId64 " along dimension %d of shape %s, which has %" PRId64
                       " entries; give a size from 1 to that",
                       size, d, mt_shape_text(mt_layout_shape(layout), text), layout->size[d]);
    mt_layout windows = *layout;
    windows.rank++;
    windows.size[d] = (layout->size[d] - size) / step + 1;
    /* A step past the only window is never taken, and its product might not fit. */
    if (windows.size[d] > 1) windows.stride[d] *= step;
    windows.size[layout->rank] = size;
    windows.stride[layout->rank] = layout->stride[d];
    if (mt_shape_count(mt_layout_shape(&windows)) < 0) return MT_ERR_SHAPE;
    *result = windows;
    return MT_OK;
}

mt_status mt_shape_flatten(mt_shape shape, int64_t first, int64_t last, mt_shape *result)
{
    if (!result) return MT_ERR_NULL;
    char text[MT_SHAPE_TEXT];
    int a = 0, b = 0;
    if (mt_shape_count(shape) < 0) return mt_last_status();
    mt_status status = resolve_dim(shape.rank, shape.size, first, "flatten", &a);
    if (status == MT_OK) status = resolve_dim(shape.rank, shape.size, last, "flatten", &b);
    if (status != MT_OK) return status;
    if (a > b)
        return mt_fail(MT_ERR_SHAPE,
                       "flatten: first dimension %" PRId64 " of shape %s comes after the last, %" PRId64,
                       first, mt_shape_text(shape, text), last);
    mt_shape flat = {0};
    for (int d = 0; d < shape.rank; d++) {
        if (d > a && d <= b)
            flat.size[flat.rank - 1] *= shape.size[d];
        else
            flat.size[flat.rank++] = shape.size[d];
    }
    *result = flat;
    return MT_OK;
}

void mt_layout_extent(const mt_layout *layout, int64_t *low, int64_t *high)
{
    if (!low || !high) return;
    *low = *high = 0;
    if (mt_layout_count(layout) <= 0) return;
    *low = *high = layout->offset;
    for (int d = 0; d < layout->rank; d++) {
        int64_t reach = (layout->size[d] - 1) * layout->stride[d];
        *(reach < 0 ? low : high) += reach;
    }
    ++*high;
}

/* ---- whether two indices share a position ---- */

/* The search for numbers d[i], not all 0, with |d[i]| < size[i], whose sum of d[i] stride[i] is 0: the
 * differences of two indices that share a position. Strides fall; reach[i] is the largest sum that those from
 * i on can make. */
typedef struct overlap {
    int rank;
    int64_t size[MT_MAX_DIMS], stride[MT_MAX_DIMS], reach[MT_MAX_DIMS + 1];
    int left; /* steps until the search gives up */
} overlap;

/* Whether those from i on can make the sum rest; with rest 0, without all being 0. */
static bool makes(overlap *o, int i, int64_t rest)
{
    if (o->left-- <= 0) return true;
    if (i == o->rank) return false; /* what makes rest 0 was found at the last dimension that does */
    const int64_t stride = o->stride[i], most = o->size[i] - 1, below = o->reach[i + 1];
    /* d * stride lies within below of rest. */
    int64_t low = rest - below, high = rest + below;
    low = low >= 0 ? (low + stride - 1) / stride : -(-low / stride);
    high = high >= 0 ? high / stride : -((-high + stride - 1) / stride);
    if (low < -most) low = -most;
    if (high > most) high = most;
    for (int64_t d = low; d <= high; d++) {
        const int64_t now = rest - d * stride;
        if (now == 0 && (d != 0 || rest != 0)) return true;
        if (makes(o, i + 1, now)) return true;
    }
    return false;
}

/* Where, sorted by stride, each stride spans all that is below it, no two indices share a position: so it is
 * in what views make from a row-major layout without an unfold, unless a stride is 0. Most are sorted. */
bool mt_layout_overlaps_itself(const mt_layout *layout)
{
    enum { STEPS = 20000 };
    if (!layout) return false;
    bool spans = true, repeats = false;
    int64_t reach = 0;
    for (int d = layout->rank - 1; d >= 0; d--) {
        if (layout->size[d] <= 1) continue;
        spans = spans && layout->stride[d] > reach;
        repeats |= layout->stride[d] == 0;
        reach += (layout->size[d] - 1) * layout->stride[d];
    }
    if (spans) return false;
    if (repeats || mt_layout_count(layout) <= 1) return mt_layout_count(layout) > 1;
    overlap o = {.left = STEPS};
    for (int d = 0; d < layout->rank; d++) {
        if (layout->size[d] == 1) continue;
        int at = o.rank++;
        for (; at > 0 && o.stride[at - 1] < layout->stride[d]; at--)
            o.stride[at] = o.stride[at - 1], o.size[at] = o.size[at - 1];
        o.stride[at] = layout->stride[d], o.size[at] = layout->size[d];
    }
    spans = true;
    for (int i = o.rank - 1; i >= 0; i--) {
        spans = spans && o.stride[i] > o.reach[i + 1];
        o.reach[i] = o.reach[i + 1] + (o.size[i] - 1) * o.stride[i];
    }
    return !spans && makes(&o, 0, 0);
}
