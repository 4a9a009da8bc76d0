/* autodiff/reduce.c - reductions on the tape. Each VJP sees its cotangent with the reduced dimensions as
 * size 1. */
#include "elementwise.h"
#include "node.h"

#include <math.h>
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

/* ---- prod: each factor receives the product of the others, and no division makes it: x may be 0, and the
 * product too small or too large for a number where that of the others is none of these ---- */

/* Halvings until one element is left: of up to 2^63 - 1, and one more in each dimension of an odd size. */
enum { HALVINGS = 63 + MT_MAX_DIMS };

/* Elements first to first + n - 1 of x along dim. */
static mt_tensor part_of(const mt_tensor *x, int dim, int64_t first, int64_t n)
{
    mt_layout layout = x->layout;
    layout.offset += first * layout.stride[dim];
    layout.size[dim] = n;
    return mt_alias(x, &layout);
}

/* The size n of x along dim becomes half = (n + 1) / 2: y[i] = x[i] x[i + half], and x[i] where an odd n
 * leaves no other. */
static mt_status fold_half(mt_tensor *y, const mt_tensor *x, int dim)
{
    const int64_t half = y->layout.size[dim], pairs = x->layout.size[dim] - half;
    mt_tensor to = part_of(y, dim, 0, pairs), left = part_of(x, dim, 0, pairs),
              right = part_of(x, dim, half, pairs);
    const mt_status status = mt_op_mul(&to, &left, &right);
    if (pairs == half || status != MT_OK) return status;
    to = part_of(y, dim, pairs, 1), left = part_of(x, dim, pairs, 1);
    return mt_op_copy(&to, &left);
}

/* And back: others[i] is what elements i and i + half of x are not part of, all[i] what their pair is not. */
static mt_status unfold_half(mt_tensor *others, const mt_tensor *all, const mt_tensor *x, int dim)
{
    const int64_t half = all->layout.size[dim], pairs = x->layout.size[dim] - half;
    mt_status status = MT_OK;
    for (int side = 0; side < 2 && status == MT_OK; side++) {
        mt_tensor to = part_of(others, dim, side * half, pairs), from = part_of(all, dim, 0, pairs),
                  other = part_of(x, dim, half - side * half, pairs);
        status = mt_op_mul(&to, &from, &other);
    }
    if (pairs == half || status != MT_OK) return status;
    mt_tensor to = part_of(others, dim, pairs, 1), from = part_of(all, dim, pairs, 1);
    return mt_op_copy(&to, &from);
}

/* For each element of x the product of the others along the reduced dimensions: products of halves on the way
 * down to one element, and on the way back up, times each half's other half. NULL with a sentence. */
static mt_tensor *products_of_others(mt_tape *tape, mt_tensor *x, const reduction *r)
{
    mt_tensor *level[HALVINGS + 1] = {x};
    int along[HALVINGS], depth = 0;
    for (int i = 0; i < r->dims.rank; i++)
        while (level[depth]->layout.size[r->dims.size[i]] > 1) {
            const int dim = along[depth] = r->dims.size[i];
            mt_shape shape = mt_tensor_shape(level[depth]);
            shape.size[dim] = (shape.size[dim] + 1) / 2;
            mt_tensor *half = mt_tape_empty(tape, shape, MT_REAL);
            if (!half || fold_half(half, level[depth], dim) != MT_OK) return NULL;
            level[++depth] = half;
        }
    mt_tensor *all = mt_tape_empty(tape, r->kept, MT_REAL);
    if (!all || mt_op_fill(all, 1) != MT_OK) return NULL;
    for (; depth > 0; depth--) {
        mt_tensor *others = mt_tape_like(tape, level[depth - 1]);
        if (!others || unfold_half(others, all, level[depth - 1], along[depth - 1]) != MT_OK) return NULL;
        all = others;
    }
    return all;
}

/* The same where some of x are 0. A zero among the others makes their product 0 whatever else is there, NaN
 * excepted, also where large factors have made infinity of it: so zeros stand as ones in the products, which
 * are kept where no other is zero or where they are NaN. */
static mt_tensor *products_beside_zeros(mt_tape *tape, mt_tensor *x, const reduction *r)
{
    mt_tensor *zero = mt_tape_number(tape, 0), *is_zero = mt_tape_like(tape, x),
              *factor = mt_tape_like(tape, x), *zeros = mt_tape_empty(tape, r->kept, MT_REAL),
              *keep = is_zero;
    if (!zero || !is_zero || !factor || !zeros) return NULL;
    mt_status status = mt_op_eq(is_zero, x, zero);
    if (status == MT_OK) status = mt_op_add(factor, x, is_zero);
    if (status == MT_OK) status = mt_op_sum(zeros, is_zero, r->dims);
    mt_tensor *others = status == MT_OK ? products_of_others(tape, factor, r) : NULL;
    if (!others) return NULL;
    status = mt_op_eq(keep, zeros, is_zero);                         /* no zero but, maybe, this one */
    if (status == MT_OK) status = mt_op_clamp(factor, others, 0, 0); /* NaN stays, numbers become 0 */
    if (status == MT_OK) status = mt_op_add(keep, keep, factor);
    if (status == MT_OK)
        status = mt_op_map_grad(others, MT_OP_relu, others, keep, keep, 0, 0); /* keep <= 0 ? 0 : others */
    return status == MT_OK ? others : NULL;
}

/* Asked of a backend on the host alone: a device's answer would have to be waited for, and what is done for
 * zeros gives the same bits where there are none. */
static mt_status any_zero(mt_tape *tape, const mt_tensor *x, bool *zeros)
{
    double all = 1;
    mt_tensor *nonzero = mt_tape_empty(tape, mt_shape(1), MT_REAL);
    mt_status status = nonzero ? mt_op_all(nonzero, x, mt_every_dim(x)) : MT_ERR_MEMORY;
    if (status == MT_OK) status = mt_get(nonzero, mt_at(0), &all);
    *zeros = all == 0;
    return status;
}

static mt_status vjp_prod(mt_tape *tape, mt_node *node, mt_tensor *g)
{
    const reduction *r = node->extra;
    if (r->length <= 1) return vjp_sum(tape, node, g); /* there are no others */
    mt_tensor *x = node->in[0].tensor;
    bool zeros = true;
    if (mt_tape_backend(tape)->host && any_zero(tape, x, &zeros) != MT_OK) return mt_last_status();
    mt_tensor *others = (zeros ? products_beside_zeros : products_of_others)(tape, x, r),
              *wide = stretch(tape, node, g);
    if (!others || !wide) return mt_last_status();
    const mt_status status = mt_op_mul(others, others, wide);
    return status == MT_OK ? mt_tape_accumulate(tape, x, others, true) : status;
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

#define REDUCTION(name)                                                                                   \
    mt_tensor *mt_##name(mt_tape *tape, mt_tensor *x)                                                     \
    {                                                                                                     \
        return mt_tape_enter(tape, #name, &x, 1) ? reduce(tape, &name, x, mt_every_dim(x), false) : NULL; \
    }                                                                                                     \
    mt_tensor *mt_##name##_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)                    \
    {                                                                                                     \
        return mt_tape_enter(tape, #name, &x, 1) ? reduce(tape, &name, x, mt_axes(dim), keepdim) : NULL;  \
    }                                                                                                     \
    mt_tensor *mt_##name##_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)                 \
    {                                                                                                     \
        return mt_tape_enter(tape, #name, &x, 1) ? reduce(tape, &name, x, dims, keepdim) : NULL;          \
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
    if (!mt_tape_enter(tape, "var", &x, 1)) return NULL;
    if (mt_shape_check_dims(dims, "var") != MT_OK) return mt_tape_give_up(tape);
    if (!isfinite(correction)) {
        mt_fail(MT_ERR_VALUE, "var: the correction is %g; give a finite number, 1 for the unbiased estimate",
                mt_printable(correction));
        return mt_tape_give_up(tape);
    }
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
    return mt_tape_enter(tape, "var", &x, 1) ? mt_var_dims(tape, x, mt_every_dim(x), correction, false)
                                             : NULL;
}
