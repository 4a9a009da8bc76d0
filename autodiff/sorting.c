/* autodiff/sorting.c - the elements in another order along dimensions. */
#include <inttypes.h>

#include "node.h"
#include "../tensor/rules.h"

#define READS_ATTRIBUTES ((unsigned)MT_READS_ATTRIBUTES)

/* ---- flip ---- */

static mt_status shape_flip(const mt_call *call, mt_shape *result)
{
    mt_reduced marked;
    *result = mt_layout_shape(&call->in[0]->layout);
    return mt_rule_reduce("flip", &call->in[0]->layout, call->attribute[0].shape, &marked);
}

/* A copy from a layout that begins at the last element of each dimension and steps back. No tensor has such a
 * layout: it is made here and read once. */
static mt_status run_flip(mt_call *call, mt_tensor *out)
{
    const mt_tensor *x = call->in[0];
    mt_reduced marked;
    mt_status status = mt_rule_reduce("flip", &x->layout, call->attribute[0].shape, &marked);
    if (status != MT_OK || mt_layout_count(&x->layout) == 0) return status;
    mt_layout back = x->layout;
    for (int d = 0; d < back.rank; d++) {
        if (!marked.reduced[d]) continue;
        back.offset += (back.size[d] - 1) * back.stride[d];
        back.stride[d] = -back.stride[d];
    }
    const mt_tensor turned = mt_alias(x, &back);
    return mt_op_copy(out, &turned);
}

static void vjp_flip(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_send(tape, node, 0, mt_apply_operation(tape, node->operation, &g, 1, node->attribute));
}

static const mt_shape outer_two = {2, {0, -2}};
static const mt_example flip_examples[] = {
    {.shape = {{3, {2, 3, 4}}}, .attribute = {{.shape = &outer_two}}},
    {.shape = {{2, {3, 5}}}, .attribute = {{.shape = NULL}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_flip = {
    .name = "flip",
    .formula = "a copy of x with the order of its elements along each of dims reversed",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2}},
    .attribute = {{"dims", MT_ATTRIBUTE_DIMS}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .shape = shape_flip,
    .run = run_flip,
    .vjp = vjp_flip,
    .reads = {READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = flip_examples,
};

mt_tensor *mt_flip(mt_tape *tape, mt_tensor *x, mt_shape dims)
{
    return mt_apply_operation(tape, &mt_operation_flip, &x, 1, &(mt_attribute){.shape = &dims});
}

/* ---- argsort, sort ---- */

static mt_status shape_of_x(const mt_call *call, mt_shape *result)
{
    int d;
    *result = mt_layout_shape(&call->in[0]->layout);
    return mt_layout_dim(&call->in[0]->layout, call->attribute[0].integer, call->operation->name, &d);
}

static mt_status run_argsort(mt_call *call, mt_tensor *out)
{
    return mt_op_argsort(out, call->in[0], call->attribute[0].integer, call->attribute[1].truth);
}

static const mt_example sort_examples[] = {
    {.shape = {{2, {3, 5}}}, .attribute = {{.integer = 1}, {.truth = false}}},
    {.shape = {{3, {4, 2, 3}}}, .attribute = {{.integer = -3}, {.truth = true}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_argsort = {
    .name = "argsort",
    .formula = "where along dim the smallest of x stands, then the next (descending: the largest first)",
    .input = {{.name = "x", .low = -2, .high = 2}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}, {"descending", MT_ATTRIBUTE_BOOL}},
    .gives = MT_GIVES_INDEX,
    .shape = shape_of_x,
    .run = run_argsort,
    .no_vjp = "the result is an INDEX",
    .cost = MT_COST_ARITHMETIC,
    .examples = sort_examples,
};

/* Stable: equal elements come in the order in which they stand, descending too. NaN is larger than all
 * numbers, as in PyTorch; zeros of both signs are equal. */
mt_tensor *mt_argsort(mt_tape *tape, mt_tensor *x, int64_t dim, bool descending)
{
    return mt_apply_operation(tape, &mt_operation_argsort, &x, 1,
                              (const mt_attribute[]){{.integer = dim}, {.truth = descending}});
}

static mt_tensor *express_sort(mt_call *call)
{
    const mt_attribute *a = call->attribute;
    mt_tensor *x = call->in[0];
    return mt_gather(call->tape, x, mt_argsort(call->tape, x, a[0].integer, a[1].truth), a[0].integer);
}

const mt_operation mt_operation_sort = {
    .name = "sort",
    .formula = "x with its elements along dim in order, the smallest first (descending: the largest)",
    .input = {{.name = "x", .low = -2, .high = 2}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}, {"descending", MT_ATTRIBUTE_BOOL}},
    .shape = shape_of_x,
    .expression = express_sort,
    .by_parts = "gather brings the gradient back to where argsort found the elements",
    .cost = MT_COST_ARITHMETIC,
    .examples = sort_examples,
};

/* gather(x, argsort(x)); for both, call those. */
mt_tensor *mt_sort(mt_tape *tape, mt_tensor *x, int64_t dim, bool descending)
{
    return mt_apply_operation(tape, &mt_operation_sort, &x, 1,
                              (const mt_attribute[]){{.integer = dim}, {.truth = descending}});
}

/* ---- the first of that: argtopk, topk ---- */

enum { K, TOP_DIM, LARGEST };

static mt_status shape_topk(const mt_call *call, mt_shape *result)
{
    int d;
    const mt_layout *x = &call->in[0]->layout;
    const int64_t k = call->attribute[K].integer;
    const char *name = call->operation->name;
    mt_status status = mt_layout_dim(x, call->attribute[TOP_DIM].integer, name, &d);
    if (status != MT_OK) return status;
    char text[MT_SHAPE_TEXT];
    if (k < 0 || k > x->size[d])
        return mt_fail(MT_ERR_VALUE,
                       "%s: k is %" PRId64 ", and dimension %d of shape %s has %" PRId64 " elements", name, k,
                       d, mt_shape_text(mt_layout_shape(x), text), x->size[d]);
    mt_shape shape = mt_layout_shape(x);
    shape.size[d] = k;
    *result = shape;
    return MT_OK;
}

static mt_status run_argtopk(mt_call *call, mt_tensor *out)
{
    const mt_attribute *a = call->attribute;
    return mt_op_argsort(out, call->in[0], a[TOP_DIM].integer, a[LARGEST].truth);
}

static const mt_example topk_examples[] = {
    {.shape = {{2, {3, 5}}}, .attribute = {{.integer = 2}, {.integer = 1}, {.truth = true}}},
    {.shape = {{3, {4, 2, 3}}}, .attribute = {{.integer = 3}, {.integer = -3}, {.truth = false}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_argtopk = {
    .name = "argtopk",
    .formula = "where along dim the k largest of x stand, the largest first (or the smallest)",
    .input = {{.name = "x", .low = -2, .high = 2}},
    .attribute = {{"k", MT_ATTRIBUTE_INTEGER}, {"dim", MT_ATTRIBUTE_DIM}, {"largest", MT_ATTRIBUTE_BOOL}},
    .gives = MT_GIVES_INDEX,
    .shape = shape_topk,
    .run = run_argtopk,
    .no_vjp = "the result is an INDEX",
    .cost = MT_COST_ARITHMETIC,
    .examples = topk_examples,
};

/* The first k of argsort. */
mt_tensor *mt_argtopk(mt_tape *tape, mt_tensor *x, int64_t k, int64_t dim, bool largest)
{
    return mt_apply_operation(tape, &mt_operation_argtopk, &x, 1,
                              (const mt_attribute[]){{.integer = k}, {.integer = dim}, {.truth = largest}});
}

static mt_tensor *express_topk(mt_call *call)
{
    const mt_attribute *a = call->attribute;
    mt_tensor *x = call->in[0];
    mt_tensor *places = mt_argtopk(call->tape, x, a[K].integer, a[TOP_DIM].integer, a[LARGEST].truth);
    return mt_gather(call->tape, x, places, a[TOP_DIM].integer);
}

const mt_operation mt_operation_topk = {
    .name = "topk",
    .formula = "the k largest of x along dim, the largest first (or the smallest)",
    .input = {{.name = "x", .low = -2, .high = 2}},
    .attribute = {{"k", MT_ATTRIBUTE_INTEGER}, {"dim", MT_ATTRIBUTE_DIM}, {"largest", MT_ATTRIBUTE_BOOL}},
    .shape = shape_topk,
    .expression = express_topk,
    .by_parts = "gather brings the gradient back to where argtopk found the elements",
    .cost = MT_COST_ARITHMETIC,
    .examples = topk_examples,
};

/* gather(x, argtopk(x)); for both, call those. */
mt_tensor *mt_topk(mt_tape *tape, mt_tensor *x, int64_t k, int64_t dim, bool largest)
{
    return mt_apply_operation(tape, &mt_operation_topk, &x, 1,
                              (const mt_attribute[]){{.integer = k}, {.integer = dim}, {.truth = largest}});
}
