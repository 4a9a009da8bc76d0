/* autodiff/reduce.c - reductions on the tape. Each VJP sees its cotangent with the reduced dimensions as
 * size 1. */
#include "node.h"

#include <string.h>

typedef mt_status (*reduce_fn)(mt_tensor *out, const mt_tensor *x, mt_shape dims);

/* What a node needs to know of its reduction. */
typedef struct {
    mt_shape dims;  /* as 0 .. rank-1 */
    mt_shape kept;  /* the output's shape with keepdim */
    reduce_fn arg;  /* max and min: what finds the chosen element */
    int64_t length; /* how many elements make one */
} reduction;

/* y, with or without its reduced dimensions, as a layout of the kept shape. y is row-major or expanded. */
static void with_kept_dims(const mt_tensor *y, const reduction *r, mt_layout *layout)
{
    mt_layout wide = {.rank = r->kept.rank, .offset = y->layout.offset};
    bool whole = y->layout.rank == r->kept.rank;
    int64_t reduced = 0;
    for (int i = 0; i < r->dims.rank; i++) reduced |= (int64_t)1 << r->dims.size[i];
    for (int d = 0, own = 0; d < wide.rank; d++) {
        wide.size[d] = r->kept.size[d];
        if (whole)
            wide.stride[d] = y->layout.stride[d];
        else if (!(reduced >> d & 1))
            wide.stride[d] = y->layout.stride[own++];
    }
    *layout = wide;
}

/* The cotangent stretched over the reduced dimensions, without a copy. */
static mt_tensor *stretch(mt_tape *tape, const mt_node *node, const mt_tensor *g)
{
    const reduction *r = node->extra;
    mt_layout kept, wide;
    with_kept_dims(g, r, &kept);
    if (mt_layout_expand(&kept, mt_tensor_shape(node->in[0].tensor), &wide) != MT_OK) return NULL;
    return mt_tape_alias(tape, g, &wide);
}

static mt_status vjp_sum(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    return mt_tape_accumulate(tape, node->in[0].tensor, stretch(tape, node, g), false);
}

static mt_status vjp_mean(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    const reduction *r = node->extra;
    mt_tensor *share = mt_tape_like(tape, g);
    mt_status status = share ? mt_op_scale(share, g, 1 / (double)r->length) : MT_ERR_MEMORY;
    return status == MT_OK ? vjp_sum(tape, node, share) : status;
}

static mt_status vjp_choice(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    const reduction *r = node->extra;
    mt_tensor *x = node->in[0].tensor;
    mt_tensor *index = mt_tape_empty(tape, r->kept, MT_INDEX), *share = mt_tape_like(tape, x);
    if (!index || !share) return MT_ERR_MEMORY;
    if (mt_tensor_count(x) == 0) return MT_OK;
    mt_status status = r->arg(index, x, r->dims);
    if (status == MT_OK) status = mt_op_scatter(share, index, g, r->dims);
    return status == MT_OK ? mt_tape_accumulate(tape, x, share, true) : status;
}

/* Writes value where there are count zeros, and 0 elsewhere, also for an infinite value: it is held between
 * -limit and limit, which are infinite or 0. */
static mt_status where_zeros(mt_tape *tape, mt_tensor *out, const mt_tensor *value, const mt_tensor *zeros,
                             double count)
{
    mt_tensor *number = mt_tape_number(tape, count), *limit = mt_tape_like(tape, value),
              *distance = mt_tape_like(tape, value);
    if (!number || !limit || !distance) return MT_ERR_MEMORY;
    mt_status status = mt_op_eq(limit, zeros, number);
    if (status == MT_OK) status = mt_op_sub(distance, zeros, number);
    if (status == MT_OK) status = mt_op_div(limit, limit, distance); /* 1 / 0, or 0 / a number */
    if (status == MT_OK) status = mt_op_minimum(out, value, limit);
    if (status == MT_OK) status = mt_op_neg(limit, limit);
    return status == MT_OK ? mt_op_maximum(out, out, limit) : status;
}

/* The product of the others: with z zeros among the factors, and P the product of those that are not 0, the
 * derivative is P / x where z = 0, P at the zero where z = 1, and 0 elsewhere. P may be infinite, and times 0
 * it would be NaN: so it is chosen by where_zeros, and sent to the zero by a scatter. */
static mt_status vjp_prod(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    const reduction *r = node->extra;
    if (r->length <= 1) return vjp_sum(tape, node, g); /* there are no others */
    mt_tensor *x = node->in[0].tensor, *zero = mt_tape_number(tape, 0), *is_zero = mt_tape_like(tape, x),
              *factor = mt_tape_like(tape, x), *at_zero = mt_tape_like(tape, x);
    mt_tensor *zeros = mt_tape_empty(tape, r->kept, MT_REAL),
              *product = mt_tape_empty(tape, r->kept, MT_REAL), *none = mt_tape_empty(tape, r->kept, MT_REAL),
              *one = mt_tape_empty(tape, r->kept, MT_REAL);
    mt_tensor *index = mt_tape_empty(tape, r->kept, MT_INDEX), *wide = stretch(tape, node, g);
    if (!zero || !is_zero || !factor || !at_zero || !zeros || !product || !none || !one || !index || !wide)
        return MT_ERR_MEMORY;
    mt_status status = mt_op_eq(is_zero, x, zero);
    if (status == MT_OK) status = mt_op_add(factor, x, is_zero); /* zeros stand as ones */
    if (status == MT_OK) status = mt_op_sum(zeros, is_zero, r->dims);
    if (status == MT_OK) status = mt_op_prod(product, factor, r->dims);
    if (status == MT_OK) status = where_zeros(tape, none, product, zeros, 0);
    if (status == MT_OK) status = where_zeros(tape, one, product, zeros, 1);
    if (status == MT_OK) status = mt_op_argmax(index, is_zero, r->dims);
    if (status == MT_OK) status = mt_op_scatter(at_zero, index, one, r->dims);
    if (status == MT_OK) status = mt_op_div(factor, none, factor);
    if (status == MT_OK) status = mt_op_add(factor, factor, at_zero);
    if (status == MT_OK) status = mt_op_mul(factor, factor, wide);
    return status == MT_OK ? mt_tape_accumulate(tape, x, factor, true) : status;
}

/* all: nothing flows. */
static mt_status vjp_nothing(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    (void)tape, (void)node, (void)g;
    return MT_OK;
}

typedef struct {
    const char *name;
    reduce_fn run, arg; /* arg: what finds the element that max and min chose */
    mt_vjp_fn vjp;      /* argmax and argmin: none, their result is an INDEX */
    unsigned saves;
} reduction_kind;

static const reduction_kind sum = {"sum", mt_op_sum, NULL, vjp_sum, 0};
static const reduction_kind mean = {"mean", mt_op_mean, NULL, vjp_mean, 0};
static const reduction_kind prod = {"prod", mt_op_prod, NULL, vjp_prod, 1};
static const reduction_kind max = {"max", mt_op_max, mt_op_argmax, vjp_choice, 1};
static const reduction_kind min = {"min", mt_op_min, mt_op_argmin, vjp_choice, 1};
static const reduction_kind all = {"all", mt_op_all, NULL, vjp_nothing, 0};
static const reduction_kind argmax = {"argmax", mt_op_argmax, NULL, NULL, 0};
static const reduction_kind argmin = {"argmin", mt_op_argmin, NULL, NULL, 0};

static mt_tensor *reduce(mt_tape *tape, const reduction_kind *kind, mt_tensor *x, mt_shape dims, bool keepdim)
{
    reduction r = {.dims = dims, .kept = mt_tensor_shape(x), .arg = kind->arg, .length = 1};
    bool reduced[MT_MAX_DIMS] = {false};
    if (mt_shape_check_dims(dims, kind->name) != MT_OK) return mt_tape_give_up(tape);
    for (int i = 0; i < dims.rank; i++) {
        int d;
        if (mt_layout_dim(&x->layout, dims.size[i], kind->name, &d) != MT_OK) return mt_tape_give_up(tape);
        r.dims.size[i] = d;
        if (!reduced[d]) r.length *= x->layout.size[d];
        reduced[d] = true;
        r.kept.size[d] = 1;
    }
    mt_shape shape = r.kept;
    if (!keepdim) {
        shape.rank = 0;
        for (int d = 0; d < r.kept.rank; d++)
            if (!reduced[d]) shape.size[shape.rank++] = r.kept.size[d];
        if (shape.rank == 0) shape = mt_shape(1);
    }
    mt_tensor *out = mt_tape_empty(tape, shape, kind->vjp ? MT_REAL : MT_INDEX);
    if (!out || kind->run(out, x, dims) != MT_OK) return mt_tape_give_up(tape);
    if (!kind->vjp) return out;
    bool failed = false;
    mt_node *node = mt_tape_node(tape, kind->name, kind->vjp, out, &x, 1, kind->saves, &failed);
    if (node) {
        node->extra = mt_tape_memory(tape, sizeof r);
        if (node->extra)
            memcpy(node->extra, &r, sizeof r);
        else
            failed = true;
    }
    return failed ? mt_tape_give_up(tape) : out;
}

#define REDUCTION(name)                                                                            \
    mt_tensor *mt_##name(mt_tape *tape, mt_tensor *x)                                              \
    {                                                                                              \
        return mt_tape_enter(tape, &x, 1) ? reduce(tape, &name, x, mt_every_dim(x), false) : NULL; \
    }                                                                                              \
    mt_tensor *mt_##name##_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)             \
    {                                                                                              \
        return mt_tape_enter(tape, &x, 1) ? reduce(tape, &name, x, mt_axes(dim), keepdim) : NULL;  \
    }                                                                                              \
    mt_tensor *mt_##name##_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)          \
    {                                                                                              \
        return mt_tape_enter(tape, &x, 1) ? reduce(tape, &name, x, dims, keepdim) : NULL;          \
    }
REDUCTION(sum)
REDUCTION(mean)
REDUCTION(prod)
REDUCTION(max)
REDUCTION(min)
REDUCTION(all)
REDUCTION(argmax)
REDUCTION(argmin)

/* ---- the variance, from operations above: two passes, so that a large mean costs no digits ---- */

mt_tensor *mt_var_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, double correction, bool keepdim)
{
    if (!mt_tape_enter(tape, &x, 1)) return NULL;
    if (mt_shape_check_dims(dims, "var") != MT_OK) return mt_tape_give_up(tape);
    double length = 1;
    for (int i = 0; i < dims.rank; i++) {
        int d;
        if (mt_layout_dim(&x->layout, dims.size[i], "var", &d) != MT_OK) return mt_tape_give_up(tape);
        length *= (double)x->layout.size[d];
    }
    mt_tensor *distance = mt_sub(tape, x, mt_mean_dims(tape, x, dims, true));
    mt_tensor *total = mt_sum_dims(tape, mt_square(tape, distance), dims, keepdim);
    double divisor = length - correction;
    return mt_div(tape, total, mt_num(tape, divisor > 0 ? divisor : 0));
}

mt_tensor *mt_var_dim(mt_tape *tape, mt_tensor *x, int64_t dim, double correction, bool keepdim)
{
    return mt_var_dims(tape, x, mt_axes(dim), correction, keepdim);
}

mt_tensor *mt_var(mt_tape *tape, mt_tensor *x, double correction)
{
    return mt_tape_enter(tape, &x, 1) ? mt_var_dims(tape, x, mt_every_dim(x), correction, false) : NULL;
}
