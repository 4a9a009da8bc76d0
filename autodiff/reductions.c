/* autodiff/reductions.c - reductions on the tape.
 *
 * A result has x's shape with the reduced dimensions as size 1, or without them, and so has its gradient g. A
 * VJP looks at g with x's rank, which broadcasts to x's shape.
 */
#include "elementwise.h"
#include "node.h"
#include "../tensor/rules.h"

/* ---- what all of them share ---- */

enum { DIMS, KEEPDIM }; /* their attributes */

static mt_status shape(const mt_call *call, mt_shape *result)
{
    mt_reduced r;
    mt_status status =
        mt_rule_reduce(call->operation->name, &call->in[0]->layout, call->attribute[DIMS].shape, &r);
    if (status == MT_OK) *result = call->attribute[KEEPDIM].truth ? r.kept : r.dropped;
    return status;
}

/* The dimensions that a list names, or all. */
static mt_shape dims_of(const mt_tensor *x, const mt_attribute *attribute)
{
    return attribute[DIMS].shape ? *attribute[DIMS].shape : mt_every_dim(x);
}

/* Of a recorded node, whose dims have been found right. */
static mt_reduced reduced(const mt_node *node)
{
    mt_reduced r = {.length = 0};
    mt_rule_reduce(node->name, &node->in[0].tensor->layout, node->attribute[DIMS].shape, &r);
    return r;
}

/* g stretched over the reduced dimensions to x's shape, without a copy. */
static mt_tensor *stretch(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const mt_reduced r = reduced(node);
    mt_layout kept, wide;
    if (!mt_reduced_layout(&r, &g->layout, &kept) ||
        !mt_did(tape, mt_layout_expand(&kept, mt_tensor_shape(node->in[0].tensor), &wide)))
        return NULL;
    mt_tensor *stretched = mt_tape_alias(tape, g, &wide);
    return stretched ? stretched : mt_tape_give_up(tape);
}

static mt_status run_sum(mt_call *call, mt_tensor *out)
{
    return mt_op_sum(out, call->in[0], dims_of(call->in[0], call->attribute));
}

static mt_status run_mean(mt_call *call, mt_tensor *out)
{
    return mt_op_mean(out, call->in[0], dims_of(call->in[0], call->attribute));
}

static mt_status run_prod(mt_call *call, mt_tensor *out)
{
    return mt_op_prod(out, call->in[0], dims_of(call->in[0], call->attribute));
}

static mt_status run_max(mt_call *call, mt_tensor *out)
{
    return mt_op_max(out, call->in[0], dims_of(call->in[0], call->attribute));
}

static mt_status run_min(mt_call *call, mt_tensor *out)
{
    return mt_op_min(out, call->in[0], dims_of(call->in[0], call->attribute));
}

static mt_status run_all(mt_call *call, mt_tensor *out)
{
    return mt_op_all(out, call->in[0], dims_of(call->in[0], call->attribute));
}

static mt_status run_argmax(mt_call *call, mt_tensor *out)
{
    return mt_op_argmax(out, call->in[0], dims_of(call->in[0], call->attribute));
}

static mt_status run_argmin(mt_call *call, mt_tensor *out)
{
    return mt_op_argmin(out, call->in[0], dims_of(call->in[0], call->attribute));
}

/* ---- sum, mean, and all, through which nothing flows ---- */

static void vjp_sum(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_send(tape, node, 0, stretch(tape, node, g));
}

/* The share stays small, and stretched: mt_send keeps what mt_lasting gave. */
static void vjp_mean(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *share = mt_lasting(tape, g);
    if (share && mt_did(tape, mt_op_scale(share, g, 1 / (double)reduced(node).length)))
        mt_send(tape, node, 0, stretch(tape, node, share));
}

static void vjp_nothing(mt_tape *tape, const mt_node *node, mt_tensor *g) { (void)tape, (void)node, (void)g; }

/* ---- max and min give all of g to the element that argmax and argmin find ---- */

static void give_to(mt_tape *tape, const mt_node *node, mt_tensor *g, mt_tensor *index)
{
    const mt_tensor *x = node->in[0].tensor;
    mt_tensor *share = index ? mt_share(tape, node, 0, x) : NULL;
    if (share && mt_did(tape, mt_op_scatter(share, index, g, dims_of(x, node->attribute))))
        mt_send(tape, node, 0, share);
}

static void vjp_max(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *x = node->in[0].tensor;
    if (mt_tensor_count(x) > 0)
        give_to(tape, node, g, mt_argmax_dims(tape, x, dims_of(x, node->attribute), true));
}

static void vjp_min(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *x = node->in[0].tensor;
    if (mt_tensor_count(x) > 0)
        give_to(tape, node, g, mt_argmin_dims(tape, x, dims_of(x, node->attribute), true));
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
static mt_tensor *fold_half(mt_tape *tape, const mt_tensor *x, int dim)
{
    const int64_t half = (x->layout.size[dim] + 1) / 2, pairs = x->layout.size[dim] - half;
    mt_shape shape = mt_tensor_shape(x);
    shape.size[dim] = half;
    mt_tensor *y = mt_tape_empty(tape, shape, MT_REAL);
    if (!y) return mt_tape_give_up(tape);
    mt_tensor to = part_of(y, dim, 0, pairs), left = part_of(x, dim, 0, pairs),
              right = part_of(x, dim, half, pairs);
    if (!mt_did(tape, mt_op_mul(&to, &left, &right))) return NULL;
    if (pairs == half) return y;
    to = part_of(y, dim, pairs, 1), left = part_of(x, dim, pairs, 1);
    return mt_did(tape, mt_op_copy(&to, &left)) ? y : NULL;
}

/* And back: others[i] is the product of what elements i and i + half of x are not part of, all[i] that of
 * what their pair is not. */
static mt_tensor *unfold_half(mt_tape *tape, const mt_tensor *all, const mt_tensor *x, int dim)
{
    const int64_t half = all->layout.size[dim], pairs = x->layout.size[dim] - half;
    mt_tensor *others = mt_tape_like(tape, x);
    if (!others) return mt_tape_give_up(tape);
    for (int side = 0; side < 2; side++) {
        mt_tensor to = part_of(others, dim, side * half, pairs), from = part_of(all, dim, 0, pairs),
                  other = part_of(x, dim, half - side * half, pairs);
        if (!mt_did(tape, mt_op_mul(&to, &from, &other))) return NULL;
    }
    if (pairs == half) return others;
    mt_tensor to = part_of(others, dim, pairs, 1), from = part_of(all, dim, pairs, 1);
    return mt_did(tape, mt_op_copy(&to, &from)) ? others : NULL;
}

/* For each element of x the product of the others along the reduced dimensions: products of halves on the way
 * down to one element, and on the way back up, times each half's other half. */
static mt_tensor *products_of_others(mt_tape *tape, mt_tensor *x, const mt_reduced *r)
{
    if (!x) return NULL;
    mt_tensor *level[HALVINGS + 1] = {x};
    int along[HALVINGS], depth = 0;
    for (int d = 0; d < r->kept.rank; d++)
        while (r->reduced[d] && level[depth]->layout.size[d] > 1) {
            along[depth] = d;
            level[depth + 1] = fold_half(tape, level[depth], d);
            if (!level[++depth]) return NULL;
        }
    mt_tensor *all = mt_tape_empty(tape, r->kept, MT_REAL);
    if (!all || !mt_did(tape, mt_op_fill(all, 1))) return mt_tape_give_up(tape);
    for (; all && depth > 0; depth--) all = unfold_half(tape, all, level[depth - 1], along[depth - 1]);
    return all;
}

/* The same where some of x are 0. A zero among the others makes their product 0 whatever else is there, NaN
 * excepted, also where large factors have made infinity of it: so zeros stand as ones in the products, which
 * are kept where no other is zero or where they are NaN. */
static mt_tensor *products_beside_zeros(mt_tape *tape, mt_tensor *x, const mt_node *node, const mt_reduced *r)
{
    mt_tensor *is_zero = mt_eq(tape, x, mt_num(tape, 0));
    mt_tensor *zeros = mt_sum_dims(tape, is_zero, dims_of(x, node->attribute), true);
    mt_tensor *others = products_of_others(tape, mt_add(tape, x, is_zero), r);
    mt_tensor *none = mt_eq(tape, zeros, is_zero); /* no zero but, maybe, this one */
    mt_tensor *nan = mt_clamp(tape, others, 0, 0); /* NaN stays, numbers become 0 */
    mt_tensor *keep = mt_add(tape, none, nan);
    if (!keep) return NULL;
    /* keep <= 0 ? 0 : others */
    return mt_did(tape, mt_op_map_grad(others, MT_OP_relu, others, keep, keep, 0, 0)) ? others : NULL;
}

static void vjp_prod(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *x = node->in[0].tensor;
    const mt_reduced r = reduced(node);
    if (r.length <= 1) { /* there are no others */
        vjp_sum(tape, node, g);
        return;
    }
    /* Asked of a backend on the host alone: a device's answer would have to be waited for, and what is done
     * for zeros gives the same bits where there are none. */
    const bool zeros = !mt_tape_backend(tape)->host || mt_item(mt_all(tape, x)) == 0;
    mt_tensor *others = zeros ? products_beside_zeros(tape, x, node, &r) : products_of_others(tape, x, &r);
    mt_tensor *share = others ? mt_share(tape, node, 0, x) : NULL, *wide = stretch(tape, node, g);
    if (share && wide && mt_did(tape, mt_op_mul(share, others, wide))) mt_send(tape, node, 0, share);
}

/* ---- descriptors ---- */

static const mt_shape first = {1, {0}}, last = {1, {-1}}, outer = {2, {2, 0}};
static const mt_example examples[] = {
    {.shape = {{3, {3, 4, 2}}}, .attribute = {{.shape = NULL}, {.truth = false}}},
    {.shape = {{3, {3, 4, 2}}}, .attribute = {{.shape = &outer}, {.truth = true}}},
    {.shape = {{2, {5, 7}}}, .attribute = {{.shape = &last}, {.truth = false}}},
    {.shape = {{2, {5, 7}}}, .attribute = {{.shape = &first}, {.truth = true}}},
    {.shape = {{0}}},
};

#define READS_ATTRIBUTES ((unsigned)MT_READS_ATTRIBUTES)
#define COMMON(taken, given)                                                                    \
    .input = {{.name = "x", .takes = taken, .low = -2, .high = 2}},                             \
    .attribute = {{"dims", MT_ATTRIBUTE_DIMS}, {"keepdim", MT_ATTRIBUTE_BOOL}}, .gives = given, \
    .shape = shape, .cost = MT_COST_ARITHMETIC, .examples = examples

const mt_operation mt_operation_sum = {
    COMMON(MT_TAKES_ANY, MT_GIVES_KIND_OF_INPUT),
    .name = "sum",
    .formula = "the sum of x over dims; 0 over nothing",
    .run = run_sum,
    .vjp = vjp_sum,
    .reads = {READS_ATTRIBUTES},
};
const mt_operation mt_operation_mean = {
    COMMON(MT_TAKES_ANY, MT_GIVES_REAL),
    .name = "mean",
    .formula = "the sum of x over dims divided by their count; NaN over nothing",
    .run = run_mean,
    .vjp = vjp_mean,
    .reads = {READS_ATTRIBUTES},
};
const mt_operation mt_operation_prod = {
    COMMON(MT_TAKES_ANY, MT_GIVES_KIND_OF_INPUT),
    .name = "prod",
    .formula = "the product of x over dims; 1 over nothing",
    .run = run_prod,
    .vjp = vjp_prod,
    .reads = {1u << 0 | READS_ATTRIBUTES},
};
const mt_operation mt_operation_max = {
    COMMON(MT_TAKES_ANY, MT_GIVES_KIND_OF_INPUT),
    .name = "max",
    .formula = "the largest of x over dims; its gradient goes to the first",
    .run = run_max,
    .vjp = vjp_max,
    .reads = {1u << 0 | READS_ATTRIBUTES},
};
const mt_operation mt_operation_min = {
    COMMON(MT_TAKES_ANY, MT_GIVES_KIND_OF_INPUT),
    .name = "min",
    .formula = "the smallest of x over dims; its gradient goes to the first",
    .run = run_min,
    .vjp = vjp_min,
    .reads = {1u << 0 | READS_ATTRIBUTES},
};
const mt_operation mt_operation_all = {
    COMMON(MT_TAKES_ANY, MT_GIVES_REAL),
    .name = "all",
    .formula = "1 when no x over dims is 0, else 0; passes no gradient on",
    .run = run_all,
    .vjp = vjp_nothing,
};

/* NaN is not 0, so it counts. */
static mt_tensor *express_any(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0], *is_zero = mt_eq(t, x, mt_num(t, 0));
    mt_tensor *none = mt_all_dims(t, is_zero, dims_of(x, call->attribute), call->attribute[KEEPDIM].truth);
    return mt_sub(t, mt_num(t, 1), none);
}

const mt_operation mt_operation_any = {
    COMMON(MT_TAKES_REAL, MT_GIVES_REAL),
    .name = "any",
    .formula = "1 when an x over dims is not 0, else 0; passes no gradient on",
    .expression = express_any,
    .by_parts = "nothing flows through a comparison, so nothing is kept",
};
const mt_operation mt_operation_argmax = {
    COMMON(MT_TAKES_REAL, MT_GIVES_INDEX),
    .name = "argmax",
    .formula = "where in dims, in row-major order, the first largest of x stands",
    .run = run_argmax,
    .no_vjp = "its result is an INDEX",
};
const mt_operation mt_operation_argmin = {
    COMMON(MT_TAKES_REAL, MT_GIVES_INDEX),
    .name = "argmin",
    .formula = "where in dims, in row-major order, the first smallest of x stands",
    .run = run_argmin,
    .no_vjp = "its result is an INDEX",
};

/* ---- the functions ---- */

static mt_tensor *reduce(mt_tape *tape, const mt_operation *operation, mt_tensor *x, const mt_shape *dims,
                         bool keepdim)
{
    return mt_apply_operation(tape, operation, &x, 1,
                              (const mt_attribute[]){{.shape = dims}, {.truth = keepdim}});
}

mt_tensor *mt_sum(mt_tape *tape, mt_tensor *x) { return reduce(tape, &mt_operation_sum, x, NULL, false); }
mt_tensor *mt_sum_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_sum_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_sum_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_sum, x, &dims, keepdim);
}

mt_tensor *mt_mean(mt_tape *tape, mt_tensor *x) { return reduce(tape, &mt_operation_mean, x, NULL, false); }
mt_tensor *mt_mean_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_mean_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_mean_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_mean, x, &dims, keepdim);
}

mt_tensor *mt_prod(mt_tape *tape, mt_tensor *x) { return reduce(tape, &mt_operation_prod, x, NULL, false); }
mt_tensor *mt_prod_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_prod_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_prod_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_prod, x, &dims, keepdim);
}

mt_tensor *mt_max(mt_tape *tape, mt_tensor *x) { return reduce(tape, &mt_operation_max, x, NULL, false); }
mt_tensor *mt_max_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_max_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_max_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_max, x, &dims, keepdim);
}

mt_tensor *mt_min(mt_tape *tape, mt_tensor *x) { return reduce(tape, &mt_operation_min, x, NULL, false); }
mt_tensor *mt_min_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_min_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_min_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_min, x, &dims, keepdim);
}

mt_tensor *mt_all(mt_tape *tape, mt_tensor *x) { return reduce(tape, &mt_operation_all, x, NULL, false); }
mt_tensor *mt_all_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_all_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_all_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_all, x, &dims, keepdim);
}

mt_tensor *mt_any(mt_tape *tape, mt_tensor *x) { return reduce(tape, &mt_operation_any, x, NULL, false); }
mt_tensor *mt_any_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_any_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_any_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_any, x, &dims, keepdim);
}

mt_tensor *mt_argmax(mt_tape *tape, mt_tensor *x)
{
    return reduce(tape, &mt_operation_argmax, x, NULL, false);
}
mt_tensor *mt_argmax_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_argmax_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_argmax_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_argmax, x, &dims, keepdim);
}

mt_tensor *mt_argmin(mt_tape *tape, mt_tensor *x)
{
    return reduce(tape, &mt_operation_argmin, x, NULL, false);
}
mt_tensor *mt_argmin_dim(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim)
{
    return mt_argmin_dims(tape, x, mt_axes(dim), keepdim);
}
mt_tensor *mt_argmin_dims(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim)
{
    return reduce(tape, &mt_operation_argmin, x, &dims, keepdim);
}
