/* autodiff/joins.c - several tensors as one, along a dimension that is there (cat) or a new one (stack); and
 * one as several (split).
 *
 * A result is made of parts, each the view of it that shows one input: part i of cat is a slice, of stack a
 * selected index. Forward copies the inputs into the parts; back, input i receives the same part of g.
 */
#include <inttypes.h>

#include "node.h"

#define READS_ATTRIBUTES ((unsigned)MT_READS_ATTRIBUTES)

/* Whether every input has the kind of input 0, and its shape but for dimension except (-1: no exception). */
static mt_status check_alike(const mt_call *call, int except)
{
    const mt_tensor *x = call->in[0];
    for (int i = 1; i < call->inputs; i++) {
        const mt_tensor *y = call->in[i];
        bool alike = y->layout.rank == x->layout.rank;
        for (int d = 0; d < x->layout.rank && alike; d++)
            alike = d == except || x->layout.size[d] == y->layout.size[d];
        char text[MT_SHAPE_TEXT], text_y[MT_SHAPE_TEXT], but[40] = "";
        if (except >= 0) snprintf(but, sizeof but, ", but for dimension %d", except);
        if (!alike)
            return mt_fail(MT_ERR_SHAPE, "%s: input 0 has shape %s and input %d has %s; they must be equal%s",
                           call->operation->name, mt_shape_text(mt_layout_shape(&x->layout), text), i,
                           mt_shape_text(mt_layout_shape(&y->layout), text_y), but);
        if (y->kind != x->kind)
            return mt_fail(MT_ERR_KIND, "%s: input 0 is %s and input %d is not; convert one with mt_as",
                           call->operation->name, x->kind == MT_REAL ? "REAL" : "INDEX", i);
    }
    return MT_OK;
}

/* ---- cat: along a dimension of the inputs ---- */

static mt_status shape_cat(const mt_call *call, mt_shape *result)
{
    int d;
    mt_status status = mt_layout_dim(&call->in[0]->layout, call->attribute[0].integer, "cat", &d);
    if (status == MT_OK) status = check_alike(call, d);
    if (status != MT_OK) return status;
    mt_shape shape = mt_layout_shape(&call->in[0]->layout);
    for (int i = 1; i < call->inputs; i++) {
        const int64_t more = call->in[i]->layout.size[d];
        if (more > INT64_MAX - shape.size[d])
            return mt_fail(MT_ERR_SHAPE, "cat: the sizes along dimension %d add up to more than INT64_MAX",
                           d);
        shape.size[d] += more;
    }
    *result = shape;
    return MT_OK;
}

/* The part of whole, a result of cat or a gradient of one, from *start on that shows as many elements along
 * dim as x has; *start moves to the next part. */
static mt_status next_part(const mt_tensor *whole, int64_t dim, const mt_tensor *x, int64_t *start,
                           mt_layout *part)
{
    int d;
    mt_status status = mt_layout_dim(&x->layout, dim, "cat", &d);
    if (status != MT_OK) return status;
    const int64_t first = *start;
    *start += x->layout.size[d];
    return mt_layout_slice(&whole->layout, d, first, *start, 1, part);
}

static mt_status run_cat(mt_call *call, mt_tensor *out)
{
    int64_t start = 0;
    mt_status status = MT_OK;
    for (int i = 0; i < call->inputs && status == MT_OK; i++) {
        mt_layout layout;
        status = next_part(out, call->attribute[0].integer, call->in[i], &start, &layout);
        if (status != MT_OK) return status;
        mt_tensor part = mt_alias(out, &layout);
        status = mt_op_copy(&part, call->in[i]);
    }
    return status;
}

static void vjp_cat(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    int64_t start = 0;
    for (int i = 0; i < node->inputs; i++) {
        mt_layout part;
        if (!mt_did(tape, next_part(g, node->attribute[0].integer, node->in[i].tensor, &start, &part)))
            return;
        if (mt_wants(node, i)) mt_send(tape, node, i, mt_tape_alias(tape, g, &part));
    }
}

static const mt_example cat_examples[] = {
    {.shape = {{2, {3, 2}}, {2, {3, 4}}}, .attribute = {{.integer = 1}}},
    {.shape = {{2, {2, 3}}, {2, {1, 3}}, {2, {4, 3}}}, .attribute = {{.integer = -2}}},
    {.shape = {{1, {4}}}, .attribute = {{.integer = 0}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_cat = {
    .name = "cat",
    .formula = "the inputs one behind the other along dim; they are alike but for its size",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2}},
    .list = true,
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .shape = shape_cat,
    .run = run_cat,
    .vjp = vjp_cat,
    .reads = {READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = cat_examples,
};

/* x is an array of that many tensors, 1 to MT_MAX_LIST. */
mt_tensor *mt_cat(mt_tape *tape, mt_tensor *const *x, int inputs, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_cat, x, inputs, &(mt_attribute){.integer = dim});
}

/* ---- stack: along a new dimension ---- */

/* The new dimension's number in the result, for 0 to rank, or -rank-1 to -1 from the end; else -1, with a
 * sentence. */
static int new_dim(const mt_tensor *x, int64_t dim)
{
    char text[MT_SHAPE_TEXT];
    const int rank = x->layout.rank;
    if (dim >= -rank - 1 && dim <= rank) return (int)(dim < 0 ? dim + rank + 1 : dim);
    mt_fail(MT_ERR_INDEX, "stack: dimension %" PRId64 " beside those of shape %s; the new one is %d to %d",
            dim, mt_shape_text(mt_layout_shape(&x->layout), text), -rank - 1, rank);
    return -1;
}

static mt_status shape_stack(const mt_call *call, mt_shape *result)
{
    const mt_layout *x = &call->in[0]->layout;
    const int at = new_dim(call->in[0], call->attribute[0].integer);
    if (at < 0) return MT_ERR_INDEX;
    mt_status status = check_alike(call, -1);
    if (status != MT_OK) return status;
    if (x->rank == MT_MAX_DIMS)
        return mt_fail(MT_ERR_SHAPE, "stack: the inputs have %d dimensions, and no tensor has more", x->rank);
    mt_shape shape = {.rank = x->rank + 1};
    for (int d = 0; d < shape.rank; d++) shape.size[d] = d == at ? call->inputs : x->size[d - (d > at)];
    *result = shape;
    return MT_OK;
}

static mt_status run_stack(mt_call *call, mt_tensor *out)
{
    const int at = new_dim(call->in[0], call->attribute[0].integer);
    mt_status status = MT_OK;
    for (int i = 0; i < call->inputs && status == MT_OK; i++) {
        mt_layout layout;
        status = mt_layout_select(&out->layout, at, i, &layout);
        if (status != MT_OK) return status;
        mt_tensor part = mt_alias(out, &layout);
        status = mt_op_copy(&part, call->in[i]);
    }
    return status;
}

static void vjp_stack(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const int at = new_dim(node->in[0].tensor, node->attribute[0].integer);
    if (!mt_did(tape, at < 0 ? MT_ERR_INDEX : MT_OK)) return;
    for (int i = 0; i < node->inputs; i++)
        if (mt_wants(node, i)) mt_send(tape, node, i, mt_select(tape, g, at, i));
}

static const mt_example stack_examples[] = {
    {.shape = {{2, {3, 2}}, {2, {3, 2}}}, .attribute = {{.integer = 1}}},
    {.shape = {{1, {4}}, {1, {4}}, {1, {4}}}, .attribute = {{.integer = -1}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_stack = {
    .name = "stack",
    .formula = "the inputs, all of one shape, along a new dimension before dim; -1 appends it",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2}},
    .list = true,
    .attribute = {{"dim", MT_ATTRIBUTE_INTEGER}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .shape = shape_stack,
    .run = run_stack,
    .vjp = vjp_stack,
    .reads = {READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = stack_examples,
};

/* x is an array of that many tensors, 1 to MT_MAX_LIST. */
mt_tensor *mt_stack(mt_tape *tape, mt_tensor *const *x, int inputs, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_stack, x, inputs, &(mt_attribute){.integer = dim});
}

/* ---- split: views ---- */

/* What both functions check first; parts are NULL until they are there. */
static mt_status begin_split(mt_tape *tape, mt_tensor *x, int64_t dim, mt_tensor **parts, int count, int *d)
{
    for (int i = 0; parts && i < count; i++) parts[i] = NULL;
    if (!mt_tape_enter(tape, "split", &x, 1)) return tape ? mt_tape_status(tape) : MT_ERR_NULL;
    mt_status status = MT_OK;
    if (!parts || count < 1)
        status = mt_fail(MT_ERR_VALUE, "split: %s", parts ? "there is room for no part" : "parts is NULL");
    if (status == MT_OK) status = mt_layout_dim(&x->layout, dim, "split", d);
    if (status != MT_OK) mt_tape_give_up(tape);
    return status;
}

/* Part i, from start on; where one cannot be made there is none. */
static mt_status give_part(mt_tape *tape, mt_tensor *x, int d, int64_t start, int64_t size, mt_tensor **parts,
                           int i)
{
    parts[i] = mt_slice(tape, x, d, start, start + size, 1);
    if (parts[i]) return MT_OK;
    while (i > 0) parts[--i] = NULL;
    return mt_tape_status(tape);
}

mt_status mt_split(mt_tape *tape, mt_tensor *x, int64_t size, int64_t dim, mt_tensor **parts, int count)
{
    int d;
    char text[MT_SHAPE_TEXT];
    mt_status status = begin_split(tape, x, dim, parts, count, &d);
    if (status != MT_OK) return status;
    const int64_t n = x->layout.size[d], whole = size > 0 ? n / size + (n % size > 0) : 0;
    const int64_t needed = whole > 0 ? whole : 1;
    if (size < 1)
        status = mt_fail(MT_ERR_VALUE, "split: parts of size %" PRId64 "; it must be at least 1", size);
    else if (needed != count)
        status = mt_fail(MT_ERR_SHAPE,
                         "split: dimension %d of shape %s in parts of %" PRId64 " makes %" PRId64
                         " parts, and there is room for %d",
                         d, mt_shape_text(mt_layout_shape(&x->layout), text), size, needed, count);
    if (status != MT_OK) mt_tape_give_up(tape);
    for (int i = 0; i < count && status == MT_OK; i++) {
        const int64_t start = i * size;
        status = give_part(tape, x, d, start, n - start < size ? n - start : size, parts, i);
    }
    return status;
}

mt_status mt_split_sizes(mt_tape *tape, mt_tensor *x, const int64_t *sizes, int64_t dim, mt_tensor **parts,
                         int count)
{
    int d;
    char text[MT_SHAPE_TEXT];
    mt_status status = begin_split(tape, x, dim, parts, count, &d);
    if (status != MT_OK) return status;
    const int64_t n = x->layout.size[d];
    int64_t left = n;
    if (!sizes) status = mt_fail(MT_ERR_VALUE, "split: sizes is NULL");
    for (int i = 0; i < count && status == MT_OK; i++) {
        if (sizes[i] < 0 || sizes[i] > left)
            status = mt_fail(MT_ERR_VALUE,
                             "split: part %d has size %" PRId64 ", and %" PRId64 " of %" PRId64 " are left",
                             i, sizes[i], left, n);
        else
            left -= sizes[i];
    }
    if (status == MT_OK && left > 0)
        status = mt_fail(MT_ERR_SHAPE,
                         "split: the sizes add up to %" PRId64 ", and dimension %d of shape %s has %" PRId64,
                         n - left, d, mt_shape_text(mt_layout_shape(&x->layout), text), n);
    if (status != MT_OK) mt_tape_give_up(tape);
    for (int64_t i = 0, start = 0; i < count && status == MT_OK; start += sizes[i++])
        status = give_part(tape, x, d, start, sizes[i], parts, (int)i);
    return status;
}
