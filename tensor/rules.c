/* tensor/rules.c - the shapes of reductions, matrix products and rows by index. */
#include "rules.h"

#include <inttypes.h>

/* ---- reductions ---- */

static mt_status mark_dims(const char *what, const mt_layout *x, const mt_shape *dims, bool *reduced)
{
    mt_status status = mt_shape_check_dims(*dims, what);
    for (int i = 0; i < dims->rank && status == MT_OK; i++) {
        int d;
        status = mt_layout_dim(x, dims->size[i], what, &d);
        if (status != MT_OK) return status;
        if (reduced[d]) {
            char text[MT_SHAPE_TEXT], text_dims[MT_SHAPE_TEXT];
            return mt_fail(MT_ERR_SHAPE, "%s: dimensions %s of shape %s; dimension %d is named twice", what,
                           mt_shape_text(*dims, text_dims), mt_shape_text(mt_layout_shape(x), text), d);
        }
        reduced[d] = true;
    }
    return status;
}

mt_status mt_rule_reduce(const char *what, const mt_layout *x, const mt_shape *dims, mt_reduced *result)
{
    const int rank = x->rank;
    for (int d = 0; d < MT_MAX_DIMS; d++) result->reduced[d] = !dims && d < rank;
    mt_status status = dims ? mark_dims(what, x, dims, result->reduced) : MT_OK;
    if (status != MT_OK) return status;
    int left = 0;
    result->length = 1;
    for (int d = 0; d < rank; d++) {
        if (result->reduced[d])
            result->length *= x->size[d];
        else
            result->dropped.size[left++] = x->size[d];
        result->kept.size[d] = result->reduced[d] ? 1 : x->size[d];
    }
    if (left == 0) result->dropped.size[left++] = 1;
    result->kept.rank = rank;
    result->dropped.rank = left;
    return MT_OK;
}

bool mt_reduced_layout(const mt_reduced *reduced, const mt_layout *y, mt_layout *result)
{
    const mt_shape *kept = &reduced->kept, *dropped = &reduced->dropped;
    const bool whole = y->rank == kept->rank;
    bool fits = whole || y->rank == dropped->rank;
    mt_layout wide = {.rank = kept->rank, .offset = y->offset};
    for (int d = 0, next = 0; d < kept->rank && fits; d++) {
        wide.size[d] = kept->size[d];
        if (!whole && reduced->reduced[d]) continue;
        const int own = whole ? d : next++;
        fits = y->size[own] == kept->size[d];
        wide.stride[d] = y->stride[own];
    }
    if (!whole && dropped->rank == 1) fits = fits && y->size[0] == dropped->size[0];
    if (fits) *result = wide;
    return fits;
}

/* ---- products ---- */

static mt_status products_differ(const char *what, const mt_layout *a, const mt_layout *b, const char *why)
{
    char text_a[MT_SHAPE_TEXT], text_b[MT_SHAPE_TEXT];
    return mt_fail(MT_ERR_SHAPE, "%s: %s times %s; %s", what, mt_shape_text(mt_layout_shape(a), text_a),
                   mt_shape_text(mt_layout_shape(b), text_b), why);
}

/* The leading dimensions of a result, behind which its rows and columns come. */
static mt_status broadcast_batch(const char *what, const mt_layout *a, const mt_layout *b, mt_shape *result)
{
    const int lead_a = a->rank > 2 ? a->rank - 2 : 0, lead_b = b->rank > 2 ? b->rank - 2 : 0;
    result->rank = lead_a > lead_b ? lead_a : lead_b;
    for (int d = 0; d < result->rank; d++) {
        const int in_a = d - (result->rank - lead_a), in_b = d - (result->rank - lead_b);
        const int64_t size_a = in_a >= 0 ? a->size[in_a] : 1, size_b = in_b >= 0 ? b->size[in_b] : 1;
        if (size_a != size_b && size_a != 1 && size_b != 1)
            return products_differ(what, a, b,
                                   "the leading dimensions do not broadcast; each pair must be equal, or one "
                                   "of them 1");
        result->size[d] = size_a == 1 ? size_b : size_a;
    }
    return MT_OK;
}

mt_status mt_rule_matmul(const char *what, const mt_layout *a, const mt_layout *b, mt_shape *result)
{
    const int rank_a = a->rank, rank_b = b->rank;
    if (a->size[rank_a - 1] != b->size[rank_b > 1 ? rank_b - 2 : 0])
        return products_differ(what, a, b,
                               rank_b > 1
                                   ? "the last size of the first must be the last but one of the second"
                                   : "the last size of the first must be the length of the second");
    int rank = 0;
    if (rank_a > 2 || rank_b > 2) {
        mt_status status = broadcast_batch(what, a, b, result);
        if (status != MT_OK) return status;
        rank = result->rank;
    }
    if (rank_a > 1) result->size[rank++] = a->size[rank_a - 2];
    if (rank_b > 1) result->size[rank++] = b->size[rank_b - 1];
    if (rank == 0) result->size[rank++] = 1;
    result->rank = rank;
    return MT_OK;
}

/* ---- rows by index ---- */

mt_status mt_rule_take_rows(const char *what, const mt_layout *x, const mt_layout *index, mt_shape *result)
{
    char text[MT_SHAPE_TEXT];
    if (index->rank != 1)
        return mt_fail(MT_ERR_SHAPE, "%s: the index has shape %s; it is a vector with one entry for each row",
                       what, mt_shape_text(mt_layout_shape(index), text));
    mt_shape shape = mt_layout_shape(x);
    shape.size[0] = index->size[0];
    *result = shape;
    return MT_OK;
}

/* ---- elements by index along a dimension ---- */

mt_status mt_rule_gather(const char *what, const mt_layout *x, const mt_layout *index, int64_t dim, int *d,
                         mt_shape *result)
{
    int at;
    mt_status status = mt_layout_dim(x, dim, what, &at);
    if (status != MT_OK) return status;
    bool fits = index->rank == x->rank;
    for (int i = 0; i < x->rank && fits; i++) fits = i == at || index->size[i] <= x->size[i];
    char text[MT_SHAPE_TEXT], text_x[MT_SHAPE_TEXT];
    if (!fits)
        return mt_fail(MT_ERR_SHAPE,
                       "%s: the index has shape %s and the operand %s; the index has as many dimensions, and "
                       "is no larger but along dimension %d",
                       what, mt_shape_text(mt_layout_shape(index), text),
                       mt_shape_text(mt_layout_shape(x), text_x), at);
    *d = at;
    *result = mt_layout_shape(index);
    return MT_OK;
}

mt_status mt_rule_index_select(const char *what, const mt_layout *x, const mt_layout *index, int64_t dim,
                               int *d, mt_shape *result)
{
    int at;
    mt_status status = mt_layout_dim(x, dim, what, &at);
    if (status != MT_OK) return status;
    char text[MT_SHAPE_TEXT];
    if (index->rank != 1)
        return mt_fail(MT_ERR_SHAPE, "%s: the index has shape %s; it is a vector", what,
                       mt_shape_text(mt_layout_shape(index), text));
    mt_shape shape = mt_layout_shape(x);
    shape.size[at] = index->size[0];
    *d = at;
    *result = shape;
    return MT_OK;
}

mt_status mt_rule_outside(const mt_gather_work *work, int64_t number, int64_t value)
{
    const mt_layout *index = work->index.layout, *whole = (work->put ? work->out : work->in).layout;
    char text[MT_SHAPE_TEXT];
    mt_shape place = {.rank = index->rank};
    for (int d = index->rank - 1; d >= 0; d--) {
        place.size[d] = number % index->size[d];
        number /= index->size[d];
    }
    if (work->vector) place = (mt_shape){1, {place.size[work->dim]}};
    return mt_fail(MT_ERR_INDEX,
                   "%s: the index at %s is %" PRId64 ", outside 0 <= index < %" PRId64
                   ", the size of dimension %d",
                   work->what, mt_shape_text(place, text), value, whole->size[work->dim], work->dim);
}
