/* tensor/ops.c - checks operands, describes the work and hands it to the backend. Nothing here touches an
 * element. */
#include "elementwise_ops.h"
#include "rules.h"
#include "scalar/scalar_ops.h"
#include "storage.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- checks ---- */

/* out and its inputs can be used, live on one backend, and out can be written. NULL entries of in pass the
 * failure on. exact: whether an input may be the very same view as out. */
static mt_status check(const char *what, const mt_tensor *out, const mt_tensor *const *in, int inputs,
                       bool exact)
{
    char text[MT_SHAPE_TEXT];
    mt_status status = mt_tensor_check(out, what);
    for (int i = 0; i < inputs && status == MT_OK; i++) status = mt_tensor_check(in[i], what);
    if (status != MT_OK) return status;
    if (mt_layout_overlaps_itself(&out->layout))
        return mt_fail(
            MT_ERR_SHAPE,
            "%s: the output of shape %s is expanded or unfolded, so elements share memory; copy it first",
            what, mt_shape_text(mt_layout_shape(&out->layout), text));
    for (int i = 0; i < inputs; i++) {
        const mt_tensor *x = in[i];
        if (x->storage->backend != out->storage->backend)
            return mt_fail(MT_ERR_BACKEND,
                           "%s: one operand is on backend %s, another on %s; move one with mt_tensor_to",
                           what, x->storage->backend->name, out->storage->backend->name);
        if (x->storage != out->storage) continue;
        int64_t low, high, out_low, out_high;
        mt_layout_extent(&x->layout, &low, &high);
        mt_layout_extent(&out->layout, &out_low, &out_high);
        bool same = exact && x->kind == out->kind && x->layout.offset == out->layout.offset;
        same = same && x->layout.rank == out->layout.rank;
        for (int d = 0; d < out->layout.rank && same; d++)
            same = x->layout.size[d] == out->layout.size[d] &&
                   (x->layout.stride[d] == out->layout.stride[d] || x->layout.size[d] == 1);
        if (!same && low < out_high && out_low < high)
            return mt_fail(
                MT_ERR_SHAPE,
                "%s: the output may overlap an input, which is a view of the same storage; write to another "
                "tensor",
                what);
    }
    return MT_OK;
}

mt_status mt_check_operands(const char *what, const mt_tensor *out, const mt_tensor *const *in, int inputs)
{
    return check(what, out, in, inputs, false);
}

static mt_status check_real(const char *what, const mt_tensor *x)
{
    return x->kind == MT_REAL
               ? MT_OK
               : mt_fail(MT_ERR_KIND,
                         "%s: an operand holds indices (INDEX); convert it with mt_tensor_as(x, MT_REAL)",
                         what);
}

static mt_status check_index(const char *what, const mt_tensor *x)
{
    return x->kind == MT_INDEX
               ? MT_OK
               : mt_fail(MT_ERR_KIND, "%s: indices must be an INDEX tensor; this one is REAL", what);
}

/* x broadcasts to out without changing out's shape. */
static mt_status check_fits(const char *what, const mt_tensor *out, const mt_tensor *x)
{
    const mt_layout *to = &out->layout, *from = &x->layout;
    int lead = to->rank - from->rank;
    bool fits = lead >= 0;
    for (int d = 0; d < from->rank && fits; d++)
        fits = from->size[d] == 1 || from->size[d] == to->size[d + lead];
    if (fits) return MT_OK;
    char text[MT_SHAPE_TEXT], text_out[MT_SHAPE_TEXT];
    return mt_fail(MT_ERR_SHAPE, "%s: an operand of shape %s does not broadcast to the output's shape %s",
                   what, mt_shape_text(mt_layout_shape(from), text),
                   mt_shape_text(mt_layout_shape(to), text_out));
}

static bool has_shape(const mt_layout *layout, const mt_shape *shape)
{
    bool same = layout->rank == shape->rank;
    for (int d = 0; d < layout->rank && same; d++) same = layout->size[d] == shape->size[d];
    return same;
}

/* ---- elementwise ---- */

static mt_status run_row(mt_tensor *out, mt_op op, mt_part part, const mt_tensor *const *in, int inputs,
                         double p0, double p1)
{
    mt_elementwise_work work; /* filled field by field: not all of it is read */
    work.op = op;
    work.part = part;
    work.operands = inputs + 1;
    work.p[0] = (mt_real)p0, work.p[1] = (mt_real)p1;
    work.operand[0] = mt_tensor_operand(out);
    for (int i = 0; i < inputs; i++) work.operand[i + 1] = mt_tensor_operand(in[i]);
    mt_backend *backend = out->storage->backend;
    return (op < (mt_op)MT_MAP_COUNT ? backend->map : backend->zip)(backend, &work);
}

/* Operands of a comparison of which one at least is INDEX. */
static mt_status check_both_index(mt_op op, const mt_tensor *const *in)
{
    if (in[0]->kind == in[1]->kind) return MT_OK;
    return mt_fail(
        MT_ERR_KIND,
        "%s: operand %d is INDEX and the other REAL; convert one of them with mt_as(tape, x, kind), "
        "or mt_tensor_as(x, kind) where there is no tape",
        mt_op_describe(op)->name, in[1]->kind == MT_INDEX);
}

/* order[0], order[1] and order[2]: what a comparison gives where a < b, a == b and a > b. */
static void order_of(mt_op op, mt_real *order)
{
    switch (op) {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    case MT_OP_##name:                                                                \
        if ((needs_a) == MT_OF_ORDER)                                                 \
            order[0] = mt_f_##name(0, 1, 0, 0), order[1] = mt_f_##name(0, 0, 0, 0),   \
            order[2] = mt_f_##name(1, 0, 0, 0);                                       \
        break;
#include "scalar/op_table.inc"
    default: break;
    }
}

static mt_status compare(mt_tensor *out, mt_op op, const mt_tensor *const *in)
{
    mt_real order[3] = {0};
    order_of(op, order);
    mt_backend *backend = out->storage->backend;
    return backend->compare(backend, mt_tensor_operand(out), mt_tensor_operand(in[0]),
                            mt_tensor_operand(in[1]), order);
}

mt_status mt_op_fresh(mt_tensor *out, mt_op op, const mt_tensor *const *in, int inputs, double p0, double p1)
{
    for (int i = 0; i < inputs; i++) {
        if (in[i]->kind == MT_REAL) continue;
        const mt_op_info *info = mt_op_describe(op);
        if (info->needs[0] != MT_OF_ORDER)
            return mt_fail(MT_ERR_KIND,
                           "%s: operand %d holds indices (INDEX); convert it with mt_as(tape, x, MT_REAL)",
                           info->name, i);
        mt_status status = check_both_index(op, in);
        return status == MT_OK ? compare(out, op, in) : status;
    }
    return run_row(out, op, MT_PART_VALUE, in, inputs, p0, p1);
}

static mt_status elementwise(const mt_op_info *info, mt_tensor *out, mt_op op, mt_part part,
                             const mt_tensor *const *in, int inputs, double p0, double p1)
{
    const char *what = info->name;
    mt_status status = check(what, out, in, inputs, true);
    if (status == MT_OK) status = check_real(what, out);
    const bool compares = part == MT_PART_VALUE && info->needs[0] == MT_OF_ORDER;
    bool indices = false;
    for (int i = 0; i < inputs && status == MT_OK; i++) {
        indices = indices || in[i]->kind == MT_INDEX;
        if (!compares) status = check_real(what, in[i]);
        if (status == MT_OK) status = check_fits(what, out, in[i]);
    }
    if (status == MT_OK && indices) status = check_both_index(op, in);
    if (status != MT_OK) return status;
    mt_tensor_touch(out);
    return indices ? compare(out, op, in) : run_row(out, op, part, in, inputs, p0, p1);
}

mt_status mt_op_map(mt_tensor *out, mt_op op, const mt_tensor *x, double p0, double p1)
{
    const mt_op_info *info = mt_op_of_arity(op, 1);
    return info ? elementwise(info, out, op, MT_PART_VALUE, (const mt_tensor *[]){x}, 1, p0, p1)
                : MT_ERR_NAME;
}

mt_status mt_op_zip(mt_tensor *out, mt_op op, const mt_tensor *a, const mt_tensor *b, double p0, double p1)
{
    const mt_op_info *info = mt_op_of_arity(op, 2);
    return info ? elementwise(info, out, op, MT_PART_VALUE, (const mt_tensor *[]){a, b}, 2, p0, p1)
                : MT_ERR_NAME;
}

mt_status mt_op_map_grad(mt_tensor *out, mt_op op, const mt_tensor *g, const mt_tensor *x, const mt_tensor *y,
                         double p0, double p1)
{
    const mt_op_info *info = mt_op_of_arity(op, 1);
    if (!info) return MT_ERR_NAME;
    if (info->needs[0] & MT_IS_ZERO) return mt_op_fill(out, 0);
    const mt_tensor *in[] = {g, info->needs[0] & MT_NEED_A ? x : g, info->needs[0] & MT_NEED_Y ? y : g};
    return elementwise(info, out, op, MT_PART_GRAD_A, in, 3, p0, p1);
}

mt_status mt_op_zip_grad(mt_tensor *out, mt_op op, int which, const mt_tensor *g, const mt_tensor *a,
                         const mt_tensor *b, const mt_tensor *y, double p0, double p1)
{
    const mt_op_info *info = mt_op_of_arity(op, 2);
    if (!info) return MT_ERR_NAME;
    if (which != 0 && which != 1)
        return mt_fail(MT_ERR_VALUE, "%s has operands 0 and 1, not %d", info->name, which);
    int needs = info->needs[which];
    if (needs & MT_IS_ZERO) return mt_op_fill(out, 0);
    if (needs & MT_IS_ONE) return mt_op_copy(out, g);
    const mt_tensor *in[] = {g, needs & MT_NEED_A ? a : g, needs & MT_NEED_B ? b : g,
                             needs & MT_NEED_Y ? y : g};
    return elementwise(info, out, op, which == 0 ? MT_PART_GRAD_A : MT_PART_GRAD_B, in, 4, p0, p1);
}

#define MAP_ARGS_0         mt_tensor *out, const mt_tensor *x
#define MAP_ARGS_1(p0)     MAP_ARGS_0, double p0
#define MAP_ARGS_2(p0, p1) MAP_ARGS_0, double p0, double p1
#define ZIP_ARGS_0         mt_tensor *out, const mt_tensor *a, const mt_tensor *b
#define ZIP_ARGS_1(p0)     ZIP_ARGS_0, double p0
#define ZIP_ARGS_2(p0, p1) ZIP_ARGS_0, double p0, double p1
#define PASS_0             0, 0
#define PASS_1(p0)         p0, 0
#define PASS_2(p0, p1)     p0, p1
#define MT_MAP(name, params, needs, low, high, formula) \
    mt_status mt_op_##name(MAP_ARGS_##params) { return mt_op_map(out, MT_OP_##name, x, PASS_##params); }
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    mt_status mt_op_##name(ZIP_ARGS_##params) { return mt_op_zip(out, MT_OP_##name, a, b, PASS_##params); }
#include "scalar/op_table.inc"

mt_status mt_op_where(mt_tensor *out, const mt_tensor *mask, const mt_tensor *a, const mt_tensor *b)
{
    const char *what = "where";
    const mt_tensor *in[] = {mask, a, b};
    mt_status status = check(what, out, in, 3, true);
    if (status == MT_OK) status = check_real(what, out);
    if (status == MT_OK) status = check_real(what, a);
    if (status == MT_OK) status = check_real(what, b);
    for (int i = 0; i < 3 && status == MT_OK; i++) status = check_fits(what, out, in[i]);
    if (status != MT_OK) return status;
    mt_backend *backend = out->storage->backend;
    mt_tensor_touch(out);
    return backend->where(backend, mt_tensor_operand(out), mt_tensor_operand(mask), mask->kind,
                          mt_tensor_operand(a), mt_tensor_operand(b));
}

/* ---- reductions ---- */

mt_shape mt_every_dim(const mt_tensor *x)
{
    mt_shape dims = {.rank = mt_tensor_rank(x)};
    for (int d = 0; d < dims.rank; d++) dims.size[d] = d;
    return dims;
}

/* y as a layout of x's rank, with size 1 in the reduced dimensions, which y may have left out. */
static mt_status keepdim_layout(const char *what, const mt_tensor *y, const mt_tensor *x,
                                const mt_reduced *reduced, mt_layout *result)
{
    if (mt_reduced_layout(reduced, &y->layout, result)) return MT_OK;
    char text[MT_SHAPE_TEXT], text_out[MT_SHAPE_TEXT];
    return mt_fail(MT_ERR_SHAPE, "%s: shape %s does not hold the reduction of shape %s over those dimensions",
                   what, mt_shape_text(mt_layout_shape(&y->layout), text_out),
                   mt_shape_text(mt_layout_shape(&x->layout), text));
}

/* Positions are INDEX, a mean and all are REAL, and what else is reduced keeps its kind. */
static mt_status check_reduced(const char *what, const mt_tensor *out, mt_reduction op, const mt_tensor *x,
                               bool mean, bool accumulate)
{
    if (op == MT_ARGMAX || op == MT_ARGMIN) {
        const mt_status status = check_real(what, x);
        return status == MT_OK ? check_index(what, out) : status;
    }
    if (x->kind == MT_REAL || mean || op == MT_ALL) return check_real(what, out);
    if (accumulate) return check_real(what, x);
    if (out->kind == MT_INDEX) return MT_OK;
    return mt_fail(MT_ERR_KIND, "%s: of an INDEX it is an INDEX, and the output is REAL", what);
}

static mt_status reduce(const char *what, mt_tensor *out, mt_reduction op, const mt_tensor *x, mt_shape dims,
                        bool mean, bool accumulate)
{
    char text[MT_SHAPE_TEXT];
    mt_reduce_work work = {.op = op, .accumulate = accumulate, .divisor = 1};
    mt_layout wide;
    mt_reduced r;
    bool arg = op == MT_ARGMAX || op == MT_ARGMIN;
    mt_status status = check(what, out, &x, 1, false);
    if (status == MT_OK) status = check_reduced(what, out, op, x, mean, accumulate);
    if (status == MT_OK) status = mt_rule_reduce(what, &x->layout, &dims, &r);
    if (status == MT_OK) status = keepdim_layout(what, out, x, &r, &wide);
    if (status != MT_OK) return status;
    if (r.length == 0 && mt_layout_count(&wide) > 0 && (arg || op == MT_MAX || op == MT_MIN))
        return mt_fail(MT_ERR_SHAPE, "%s: shape %s has nothing to choose from along those dimensions", what,
                       mt_shape_text(mt_layout_shape(&x->layout), text));
    mt_backend *backend = out->storage->backend;
    mt_tensor_touch(out);
    if (mean && r.length == 0) return mt_op_fill(out, NAN);
    if (mean) work.divisor = (mt_real)r.length;
    memcpy(work.reduced, r.reduced, sizeof work.reduced);
    work.out = (mt_operand){out->storage->data, &wide};
    work.in = mt_tensor_operand(x);
    return x->kind == MT_REAL ? backend->reduce(backend, &work)
                              : backend->reduce_index(backend, &work, out->kind);
}

#define REDUCTION(name, op, mean)                                             \
    mt_status mt_op_##name(mt_tensor *out, const mt_tensor *x, mt_shape dims) \
    {                                                                         \
        return reduce(#name, out, op, x, dims, mean, false);                  \
    }
REDUCTION(sum, MT_SUM, false)
REDUCTION(mean, MT_SUM, true)
REDUCTION(prod, MT_PROD, false)
REDUCTION(max, MT_MAX, false)
REDUCTION(min, MT_MIN, false)
REDUCTION(all, MT_ALL, false)
REDUCTION(argmax, MT_ARGMAX, false)
REDUCTION(argmin, MT_ARGMIN, false)

mt_status mt_op_add_sum(mt_tensor *out, const mt_tensor *x, mt_shape dims)
{
    return reduce("add_sum", out, MT_SUM, x, dims, false, true);
}

mt_status mt_op_scatter(mt_tensor *out, const mt_tensor *index, const mt_tensor *value, mt_shape dims)
{
    mt_scatter_work work = {0};
    mt_layout wide_index, wide_value;
    mt_reduced r;
    const char *what = "scatter";
    mt_status status = check(what, out, (const mt_tensor *[]){index, value}, 2, false);
    if (status == MT_OK) status = check_real(what, out);
    if (status == MT_OK) status = check_real(what, value);
    if (status == MT_OK) status = check_index(what, index);
    if (status == MT_OK) status = mt_rule_reduce(what, &out->layout, &dims, &r);
    if (status == MT_OK) status = keepdim_layout(what, index, out, &r, &wide_index);
    if (status == MT_OK) status = keepdim_layout(what, value, out, &r, &wide_value);
    if (status == MT_OK) status = mt_op_fill(out, 0);
    if (status != MT_OK) return status;
    memcpy(work.reduced, r.reduced, sizeof work.reduced);
    work.out = mt_tensor_operand(out);
    work.index = (mt_operand){index->storage->data, &wide_index};
    work.value = (mt_operand){value->storage->data, &wide_value};
    return out->storage->backend->scatter(out->storage->backend, &work);
}

/* ---- rows ---- */

static mt_status rows(const char *what, mt_tensor *out, const mt_tensor *x, const mt_tensor *index, bool put)
{
    mt_status status = check(what, out, (const mt_tensor *[]){x, index}, 2, false);
    if (status == MT_OK) status = check_index(what, index);
    if (status == MT_OK && put) status = check_real(what, x);
    if (status == MT_OK && x->kind != out->kind)
        status = mt_fail(MT_ERR_KIND, "%s: one of the operands is INDEX and the other REAL", what);
    if (status != MT_OK) return status;
    const mt_layout *named = put ? &x->layout : &out->layout, *whole = put ? &out->layout : &x->layout;
    mt_shape shape;
    status = mt_rule_take_rows(what, whole, &index->layout, &shape);
    if (status != MT_OK) return status;
    if (!has_shape(named, &shape)) {
        char text[MT_SHAPE_TEXT], text_out[MT_SHAPE_TEXT], text_index[MT_SHAPE_TEXT];
        return mt_fail(
            MT_ERR_SHAPE,
            "%s: output %s, operand %s and index %s do not fit; the index has one entry for each row", what,
            mt_shape_text(mt_layout_shape(&out->layout), text_out),
            mt_shape_text(mt_layout_shape(&x->layout), text),
            mt_shape_text(mt_layout_shape(&index->layout), text_index));
    }
    const mt_storage *order = index->storage;
    bool known = order->order_version > 0 && order->order_version == order->version &&
                 order->order_count <= whole->size[0];
    mt_rows_work work = {
        put, x->kind, mt_tensor_operand(out), mt_tensor_operand(x), mt_tensor_operand(index), known};
    mt_tensor_touch(out);
    return out->storage->backend->rows(out->storage->backend, &work);
}

mt_status mt_op_take_rows(mt_tensor *out, const mt_tensor *x, const mt_tensor *index)
{
    return rows("take_rows", out, x, index, false);
}

mt_status mt_op_put_rows(mt_tensor *out, const mt_tensor *x, const mt_tensor *index)
{
    return rows("put_rows", out, x, index, true);
}

/* ---- along a dimension ---- */

/* named: what has an element for each of index; whole: what index names entries of. */
mt_status mt_op_gather_with(mt_tensor *out, const mt_tensor *x, const mt_tensor *index, int64_t dim, bool put,
                            bool vector, mt_index_check when)
{
    static const char *const names[2][2] = {{"gather", "index_select"}, {"scatter_add", "index_add"}};
    const char *what = names[put][vector];
    mt_gather_work work = {
        .put = put, .vector = vector, .kind = x ? x->kind : MT_REAL, .check = when, .what = what};
    mt_status status = check(what, out, (const mt_tensor *[]){x, index}, 2, false);
    if (status == MT_OK) status = check_index(what, index);
    if (status == MT_OK && put) status = check_real(what, x);
    if (status == MT_OK && x->kind != out->kind)
        status = mt_fail(MT_ERR_KIND, "%s: one of the operands is INDEX and the other REAL", what);
    if (status != MT_OK) return status;
    const mt_tensor *named = put ? x : out, *whole = put ? out : x;
    mt_shape shape;
    status = vector ? mt_rule_index_select(what, &whole->layout, &index->layout, dim, &work.dim, &shape)
                    : mt_rule_gather(what, &whole->layout, &index->layout, dim, &work.dim, &shape);
    if (status != MT_OK) return status;
    char text[MT_SHAPE_TEXT], text_named[MT_SHAPE_TEXT];
    if (!has_shape(&named->layout, &shape))
        return mt_fail(MT_ERR_SHAPE, "%s: %s has shape %s; with that index it must be %s", what,
                       put ? "what is added" : "the output",
                       mt_shape_text(mt_layout_shape(&named->layout), text_named),
                       mt_shape_text(shape, text));
    mt_layout part = whole->layout, places = index->layout; /* of whole the part that index reaches */
    for (int d = 0; d < part.rank; d++)
        if (d != work.dim) part.size[d] = shape.size[d];
    if (vector) {
        places = (mt_layout){.rank = shape.rank, .offset = index->layout.offset};
        for (int d = 0; d < shape.rank; d++) places.size[d] = shape.size[d];
        places.stride[work.dim] = index->layout.stride[0];
    }
    work.out = put ? (mt_operand){out->storage->data, &part} : mt_tensor_operand(out);
    work.in = put ? mt_tensor_operand(x) : (mt_operand){x->storage->data, &part};
    work.index = (mt_operand){index->storage->data, &places};
    mt_tensor_touch(out);
    return out->storage->backend->gather(out->storage->backend, &work);
}

mt_status mt_op_gather(mt_tensor *out, const mt_tensor *x, const mt_tensor *index, int64_t dim)
{
    return mt_op_gather_with(out, x, index, dim, false, false, MT_INDEX_FIRST);
}

mt_status mt_op_scatter_add(mt_tensor *out, const mt_tensor *index, const mt_tensor *x, int64_t dim)
{
    return mt_op_gather_with(out, x, index, dim, true, false, MT_INDEX_FIRST);
}

mt_status mt_op_index_select(mt_tensor *out, const mt_tensor *x, const mt_tensor *index, int64_t dim)
{
    return mt_op_gather_with(out, x, index, dim, false, true, MT_INDEX_FIRST);
}

mt_status mt_op_index_add(mt_tensor *out, const mt_tensor *index, const mt_tensor *x, int64_t dim)
{
    return mt_op_gather_with(out, x, index, dim, true, true, MT_INDEX_FIRST);
}

mt_status mt_op_cumsum(mt_tensor *out, const mt_tensor *x, int64_t dim, bool back)
{
    int d;
    char text[MT_SHAPE_TEXT], text_out[MT_SHAPE_TEXT];
    mt_status status = check("cumsum", out, &x, 1, false);
    if (status == MT_OK) status = check_real("cumsum", out);
    if (status == MT_OK) status = check_real("cumsum", x);
    if (status == MT_OK) status = mt_layout_dim(&x->layout, dim, "cumsum", &d);
    if (status == MT_OK && !mt_same_shape(out, x))
        status = mt_fail(MT_ERR_SHAPE, "cumsum: the output has shape %s; it must have the operand's, %s",
                         mt_shape_text(mt_layout_shape(&out->layout), text_out),
                         mt_shape_text(mt_layout_shape(&x->layout), text));
    if (status != MT_OK) return status;
    mt_backend *backend = out->storage->backend;
    mt_tensor_touch(out);
    return backend->cumsum(backend, mt_tensor_operand(out), mt_tensor_operand(x), d, back);
}

mt_status mt_op_argsort(mt_tensor *out, const mt_tensor *x, int64_t dim, bool descending)
{
    int d;
    char text[MT_SHAPE_TEXT], text_out[MT_SHAPE_TEXT];
    mt_status status = check("argsort", out, &x, 1, false);
    if (status == MT_OK) status = check_index("argsort", out);
    if (status == MT_OK) status = check_real("argsort", x);
    if (status == MT_OK) status = mt_layout_dim(&x->layout, dim, "argsort", &d);
    if (status != MT_OK) return status;
    mt_shape shape = mt_layout_shape(&x->layout);
    if (out->layout.rank == shape.rank && out->layout.size[d] < shape.size[d])
        shape.size[d] = out->layout.size[d];
    if (!has_shape(&out->layout, &shape))
        return mt_fail(
            MT_ERR_SHAPE,
            "argsort: the output has shape %s; it must have the operand's, %s, or be shorter along "
            "dimension %d",
            mt_shape_text(mt_layout_shape(&out->layout), text_out),
            mt_shape_text(mt_layout_shape(&x->layout), text), d);
    mt_backend *backend = out->storage->backend;
    mt_tensor_touch(out);
    return backend->argsort(backend, mt_tensor_operand(out), mt_tensor_operand(x), d, descending);
}

/* ---- matrix products ---- */

/* layout with a dimension of size 1 at that place, as which a vector is a matrix. */
static const mt_layout *with_dim(const mt_layout *layout, int at, mt_layout *wide)
{
    *wide = *layout;
    for (int d = layout->rank; d > at; d--)
        wide->size[d] = wide->size[d - 1], wide->stride[d] = wide->stride[d - 1];
    wide->size[at] = 1;
    wide->stride[at] = 0;
    wide->rank++;
    return wide;
}

/* bias and pre are given only when has_bias and keep_pre say so. */
static mt_status matmul(const char *what, mt_tensor *out, const mt_tensor *a, const mt_tensor *b,
                        const mt_tensor *bias, bool has_bias, mt_tensor *pre, bool keep_pre,
                        mt_matmul_work work)
{
    const mt_tensor *in[3] = {a, b, bias};
    int inputs = has_bias ? 3 : 2;
    mt_status status = check(what, out, in, inputs, false);
    if (status == MT_OK && keep_pre) status = check(what, pre, in, inputs, false);
    if (status == MT_OK && keep_pre) status = check(what, pre, (const mt_tensor *[]){out}, 1, false);
    for (int i = 0; i < inputs && status == MT_OK; i++) status = check_real(what, in[i]);
    if (status == MT_OK) status = check_real(what, out);
    if (status == MT_OK && keep_pre) status = check_real(what, pre);
    if (status != MT_OK) return status;

    mt_shape shape;
    status = mt_rule_matmul(what, &a->layout, &b->layout, &shape);
    if (status != MT_OK) return status;
    const bool row = a->layout.rank == 1, column = b->layout.rank == 1;
    const int64_t columns = column ? 1 : b->layout.size[b->layout.rank - 1];
    char text[MT_SHAPE_TEXT], text_out[MT_SHAPE_TEXT], text_a[MT_SHAPE_TEXT], text_b[MT_SHAPE_TEXT];
    if (!has_shape(&out->layout, &shape))
        return mt_fail(MT_ERR_SHAPE, "%s: %s times %s is %s, and the output has shape %s", what,
                       mt_shape_text(mt_layout_shape(&a->layout), text_a),
                       mt_shape_text(mt_layout_shape(&b->layout), text_b), mt_shape_text(shape, text),
                       mt_shape_text(mt_layout_shape(&out->layout), text_out));
    if (keep_pre && !mt_same_shape(pre, out))
        return mt_fail(MT_ERR_SHAPE, "%s: the output has shape %s, and what it keeps beside it %s", what,
                       mt_shape_text(shape, text), mt_shape_text(mt_layout_shape(&pre->layout), text_out));
    if (has_bias && (bias->layout.rank != 1 || bias->layout.size[0] != columns))
        return mt_fail(MT_ERR_SHAPE,
                       "%s: the bias has shape %s; it must be (%" PRId64 "), one for each column", what,
                       mt_shape_text(mt_layout_shape(&bias->layout), text), columns);

    mt_layout wide_a, wide_b, wide_c, wide_pre; /* where a vector stands for a matrix */
    const mt_layout *of_a = row ? with_dim(&a->layout, 0, &wide_a) : &a->layout;
    const mt_layout *of_b = column ? with_dim(&b->layout, 1, &wide_b) : &b->layout;
    const mt_layout *of_c = &out->layout;
    const int batch = of_a->rank > of_b->rank ? of_a->rank : of_b->rank;
    const int missing = row ? batch - 2 : batch - 1; /* the dimension that a result of vectors lacks */
    if (row || column) of_c = with_dim(of_c, missing, &wide_c);
    work.a = (mt_operand){a->storage->data, of_a};
    work.b = (mt_operand){b->storage->data, of_b};
    work.out = (mt_operand){out->storage->data, of_c};
    if (has_bias) work.bias = mt_tensor_operand(bias);
    if (keep_pre) {
        const mt_layout *of_pre = &pre->layout;
        if (row || column) of_pre = with_dim(of_pre, missing, &wide_pre);
        work.pre = (mt_operand){pre->storage->data, of_pre};
        mt_tensor_touch(pre);
    }
    mt_tensor_touch(out);
    return out->storage->backend->matmul(out->storage->backend, &work);
}

mt_status mt_op_matmul(mt_tensor *out, const mt_tensor *a, const mt_tensor *b)
{
    return matmul("matmul", out, a, b, NULL, false, NULL, false, (mt_matmul_work){0});
}

mt_status mt_op_add_matmul(mt_tensor *out, const mt_tensor *a, const mt_tensor *b)
{
    return matmul("add_matmul", out, a, b, NULL, false, NULL, false, (mt_matmul_work){.accumulate = true});
}

mt_status mt_op_linear(mt_tensor *out, const mt_tensor *x, const mt_tensor *w, const mt_tensor *bias)
{
    return matmul("linear", out, x, w, bias, true, NULL, false, (mt_matmul_work){0});
}

mt_status mt_op_linear_act(mt_tensor *out, const mt_tensor *x, const mt_tensor *w, const mt_tensor *bias,
                           mt_op act, bool keep_pre, mt_tensor *pre)
{
    if (!mt_op_activation(act)) return mt_last_status();
    return matmul("linear_act", out, x, w, bias, true, pre, keep_pre,
                  (mt_matmul_work){.has_act = true, .act = act});
}

/* ---- copies, constants, random numbers ---- */

mt_status mt_op_copy(mt_tensor *out, const mt_tensor *x)
{
    mt_status status = check("copy", out, &x, 1, true);
    if (status == MT_OK) status = check_fits("copy", out, x);
    if (status != MT_OK) return status;
    mt_backend *backend = out->storage->backend;
    mt_tensor_touch(out);
    return backend->copy(backend, mt_tensor_operand(out), out->kind, mt_tensor_operand(x), x->kind);
}

mt_status mt_op_fill(mt_tensor *out, double value)
{
    mt_status status = check("fill", out, NULL, 0, true);
    if (status != MT_OK) return status;
    mt_tensor_touch(out);
    return out->storage->backend->fill(out->storage->backend, mt_tensor_operand(out), out->kind, value);
}

static mt_status draw(const char *what, mt_tensor *out, mt_rng *rng, mt_distribution distribution, double a,
                      double b)
{
    if (!rng) return MT_ERR_NULL;
    mt_status status = check(what, out, NULL, 0, true);
    if (status == MT_OK) status = check_real(what, out);
    const bool finite = isfinite((mt_real)a) && isfinite((mt_real)b);
    if (status == MT_OK && distribution == MT_UNIFORM && !(finite && a <= b && isfinite(b - a)))
        status = mt_fail(MT_ERR_VALUE,
                         "%s: the interval from %g to %g is not one; give numbers that are finite in the "
                         "library's precision, the lower first, and a finite distance",
                         what, mt_printable(a), mt_printable(b));
    if (status == MT_OK && distribution == MT_NORMAL && !(finite && b >= 0))
        status = mt_fail(MT_ERR_VALUE,
                         "%s: mean %g and deviation %g must be finite in the library's precision, and the "
                         "deviation at least 0",
                         what, mt_printable(a), mt_printable(b));
    if (status != MT_OK) return status;
    mt_random_work work = {distribution, *rng, a, b, mt_tensor_operand(out)};
    mt_tensor_touch(out);
    rng->counter += (uint64_t)mt_tensor_count(out);
    return out->storage->backend->random(out->storage->backend, &work);
}

mt_status mt_op_uniform(mt_tensor *out, mt_rng *rng, double low, double high)
{
    return draw("uniform", out, rng, MT_UNIFORM, low, high);
}

mt_status mt_op_normal(mt_tensor *out, mt_rng *rng, double mean, double deviation)
{
    return draw("normal", out, rng, MT_NORMAL, mean, deviation);
}

mt_status mt_op_permutation(mt_tensor *out, mt_rng *rng)
{
    char text[MT_SHAPE_TEXT];
    if (!rng) return MT_ERR_NULL;
    mt_status status = check("permutation", out, NULL, 0, true);
    if (status == MT_OK) status = check_index("permutation", out);
    if (status == MT_OK && out->layout.rank != 1)
        status = mt_fail(MT_ERR_SHAPE, "permutation: the output has shape %s; it must be a vector",
                         mt_shape_text(mt_layout_shape(&out->layout), text));
    if (status != MT_OK) return status;
    mt_backend *backend = out->storage->backend;
    mt_tensor_touch(out);
    mt_rng from = *rng;
    int64_t count = mt_tensor_count(out);
    rng->counter += (uint64_t)count;
    status = backend->permutation(backend, mt_tensor_operand(out), from);
    if (status == MT_OK && mt_layout_is_contiguous(&out->layout) &&
        (size_t)count * sizeof(int64_t) == out->storage->bytes) {
        out->storage->order_version = out->storage->version;
        out->storage->order_count = count;
    }
    return status;
}
