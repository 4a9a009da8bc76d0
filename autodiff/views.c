/* autodiff/views.c - views on the tape: a new handle on the same storage, and a gradient that finds its way
 * back; copies; and rows by index.
 *
 * Going back, a reshape gives the cotangent x's shape, a permutation undoes the order, an expansion is summed
 * where cotangents accumulate, and a slice writes into the same slice of x's gradient.
 */
#include "node.h"
#include "../tensor/elementwise_ops.h"
#include "../tensor/rules.h"

#define ANY_X \
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2}}, .gives = MT_GIVES_KIND_OF_INPUT
#define READS_ATTRIBUTES ((unsigned)MT_READS_ATTRIBUTES)

static const mt_layout *layout_of(const mt_call *call) { return &call->in[0]->layout; }

/* ---- the same elements in another shape: view, reshape, flatten, squeeze, unsqueeze ---- */

static void vjp_shape(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const mt_shape shape = mt_tensor_shape(node->in[0].tensor);
    mt_layout layout;
    if (!mt_layout_is_contiguous(&g->layout)) {
        mt_tensor *rows = mt_lasting(tape, g);
        if (!rows || !mt_did(tape, mt_op_copy(rows, g))) return;
        g = rows;
    }
    if (mt_did(tape, mt_layout_view(&g->layout, shape, &layout)))
        mt_send(tape, node, 0, mt_tape_alias(tape, g, &layout));
}

static mt_status view_view(const mt_call *call, mt_layout *result)
{
    return mt_layout_view(layout_of(call), *call->attribute[0].shape, result);
}

static const mt_shape by_four = {2, {4, -1}};
static const mt_example view_examples[] = {
    {.shape = {{3, {2, 6, 5}}}, .attribute = {{.shape = &by_four}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_view = {
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .contiguous = true, .low = -2, .high = 2}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .name = "view",
    .formula = "x, which must be contiguous, in that shape; one size may be -1",
    .attribute = {{"shape", MT_ATTRIBUTE_SHAPE}},
    .view = view_view,
    .vjp = vjp_shape,
    .cost = MT_COST_NOTHING,
    .examples = view_examples,
};

mt_tensor *mt_view(mt_tape *tape, mt_tensor *x, mt_shape shape)
{
    return mt_apply_operation(tape, &mt_operation_view, &x, 1, &(mt_attribute){.shape = &shape});
}

static mt_status shape_reshape(const mt_call *call, mt_shape *result)
{
    return mt_shape_infer(*call->attribute[0].shape, mt_tensor_count(call->in[0]), result);
}

/* A view of x where its layout allows that, otherwise of a copy. */
static mt_tensor *express_reshape(mt_call *call)
{
    mt_tensor *x = call->in[0];
    mt_shape shape;
    if (call->operation->shape(call, &shape) != MT_OK) return NULL;
    return mt_view(call->tape, mt_layout_is_contiguous(&x->layout) ? x : mt_copy(call->tape, x), shape);
}

const mt_operation mt_operation_reshape = {
    ANY_X,
    .name = "reshape",
    .formula = "x in that shape, row-major, a copy when it must; one size may be -1",
    .attribute = {{"shape", MT_ATTRIBUTE_SHAPE}},
    .shape = shape_reshape,
    .expression = express_reshape,
    .vjp = vjp_shape,
    .cost = MT_COST_NOTHING,
    .examples = view_examples,
};

mt_tensor *mt_reshape(mt_tape *tape, mt_tensor *x, mt_shape shape)
{
    return mt_apply_operation(tape, &mt_operation_reshape, &x, 1, &(mt_attribute){.shape = &shape});
}

static mt_status shape_flatten(const mt_call *call, mt_shape *result)
{
    return mt_shape_flatten(mt_layout_shape(layout_of(call)), call->attribute[0].integer,
                            call->attribute[1].integer, result);
}

static const mt_example flatten_examples[] = {
    {.shape = {{3, {2, 3, 4}}}, .attribute = {{.integer = 1}, {.integer = -1}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_flatten = {
    ANY_X,
    .name = "flatten",
    .formula = "x with dimensions first to last joined into one, a copy when it must",
    .attribute = {{"first", MT_ATTRIBUTE_DIM}, {"last", MT_ATTRIBUTE_DIM}},
    .shape = shape_flatten,
    .expression = express_reshape,
    .vjp = vjp_shape,
    .cost = MT_COST_NOTHING,
    .examples = flatten_examples,
};

mt_tensor *mt_flatten(mt_tape *tape, mt_tensor *x, int64_t first, int64_t last)
{
    return mt_apply_operation(tape, &mt_operation_flatten, &x, 1,
                              (const mt_attribute[]){{.integer = first}, {.integer = last}});
}

static mt_status view_squeeze(const mt_call *call, mt_layout *result)
{
    return mt_layout_squeeze(layout_of(call), call->attribute[0].integer, result);
}

static const mt_example squeeze_examples[] = {
    {.shape = {{3, {2, 1, 4}}}, .attribute = {{.integer = 1}}},
    {.shape = {{3, {2, 1, 4}}}, .attribute = {{.integer = -1}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_squeeze = {
    ANY_X,
    .name = "squeeze",
    .formula = "x without dim where its size is 1, otherwise x",
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .view = view_squeeze,
    .vjp = vjp_shape,
    .cost = MT_COST_NOTHING,
    .examples = squeeze_examples,
};

mt_tensor *mt_squeeze(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_squeeze, &x, 1, &(mt_attribute){.integer = dim});
}

static mt_status view_unsqueeze(const mt_call *call, mt_layout *result)
{
    return mt_layout_unsqueeze(layout_of(call), call->attribute[0].integer, result);
}

const mt_operation mt_operation_unsqueeze = {
    ANY_X,
    .name = "unsqueeze",
    .formula = "x with a dimension of size 1 before dim; -1 appends it",
    .attribute = {{"dim", MT_ATTRIBUTE_INTEGER}},
    .view = view_unsqueeze,
    .vjp = vjp_shape,
    .cost = MT_COST_NOTHING,
    .examples = squeeze_examples,
};

mt_tensor *mt_unsqueeze(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_unsqueeze, &x, 1, &(mt_attribute){.integer = dim});
}

/* ---- another order of the dimensions ---- */

static mt_status view_permute(const mt_call *call, mt_layout *result)
{
    return mt_layout_permute(layout_of(call), *call->attribute[0].shape, result);
}

static void vjp_permute(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const mt_shape order = *node->attribute[0].shape;
    mt_shape inverse = order;
    for (int i = 0; i < order.rank; i++)
        inverse.size[order.size[i] < 0 ? order.size[i] + order.rank : order.size[i]] = i;
    mt_send(tape, node, 0, mt_permute(tape, g, inverse));
}

static const mt_shape cycle = {3, {2, 0, -2}};
static const mt_example permute_examples[] = {
    {.shape = {{3, {2, 3, 4}}}, .attribute = {{.shape = &cycle}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_permute = {
    ANY_X,
    .name = "permute",
    .formula = "x with its dimensions in that order: dimension i is x's order[i]",
    .attribute = {{"order", MT_ATTRIBUTE_SHAPE}},
    .view = view_permute,
    .vjp = vjp_permute,
    .reads = {READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = permute_examples,
};

mt_tensor *mt_permute(mt_tape *tape, mt_tensor *x, mt_shape order)
{
    return mt_apply_operation(tape, &mt_operation_permute, &x, 1, &(mt_attribute){.shape = &order});
}

static mt_status view_transpose(const mt_call *call, mt_layout *result)
{
    return mt_layout_transpose(layout_of(call), call->attribute[0].integer, call->attribute[1].integer,
                               result);
}

static void vjp_transpose(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_send(tape, node, 0, mt_transpose(tape, g, node->attribute[0].integer, node->attribute[1].integer));
}

static const mt_example transpose_examples[] = {
    {.shape = {{3, {2, 3, 4}}}, .attribute = {{.integer = 0}, {.integer = -1}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_transpose = {
    ANY_X,
    .name = "transpose",
    .formula = "x with dimensions dim0 and dim1 exchanged",
    .attribute = {{"dim0", MT_ATTRIBUTE_DIM}, {"dim1", MT_ATTRIBUTE_DIM}},
    .view = view_transpose,
    .vjp = vjp_transpose,
    .reads = {READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = transpose_examples,
};

mt_tensor *mt_transpose(mt_tape *tape, mt_tensor *x, int64_t dim0, int64_t dim1)
{
    return mt_apply_operation(tape, &mt_operation_transpose, &x, 1,
                              (const mt_attribute[]){{.integer = dim0}, {.integer = dim1}});
}

/* ---- a part of x: slice, select ---- */

/* g goes into the same part of x's gradient, which the operation's own view finds in a tensor of x's shape;
 * the rest of it is cleared when the first gradient arrives. */
static void vjp_part(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    bool add;
    mt_tensor *to = mt_target(tape, node, 0, &add);
    mt_layout layout;
    const mt_call call = {.in = &to, .attribute = node->attribute, .operation = node->operation, .inputs = 1};
    if (!to || !mt_did(tape, node->operation->view(&call, &layout))) return;
    if (!add && !mt_did(tape, mt_op_fill(to, 0))) return;
    mt_tensor part = mt_alias(to, &layout);
    mt_arrived(tape, node, 0, add ? mt_op_add(&part, &part, g) : mt_op_copy(&part, g));
}

static mt_status view_slice(const mt_call *call, mt_layout *result)
{
    const mt_attribute *a = call->attribute;
    return mt_layout_slice(layout_of(call), a[0].integer, a[1].integer, a[2].integer, a[3].integer, result);
}

static const mt_example slice_examples[] = {
    {.shape = {{2, {3, 7}}}, .attribute = {{.integer = 1}, {.integer = 1}, {.integer = 6}, {.integer = 2}}},
    {.shape = {{2, {6, 4}}},
     .attribute = {{.integer = -2}, {.integer = -3}, {.integer = MT_END_OF_DIM}, {.integer = 1}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_slice = {
    ANY_X,
    .name = "slice",
    .formula = "elements start, start + step, ... before stop of x along dim",
    .attribute = {{"dim", MT_ATTRIBUTE_DIM},
                  {"start", MT_ATTRIBUTE_INTEGER},
                  {"stop", MT_ATTRIBUTE_INTEGER},
                  {"step", MT_ATTRIBUTE_INTEGER}},
    .view = view_slice,
    .vjp = vjp_part,
    .reads = {READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = slice_examples,
};

mt_tensor *mt_slice(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t start, int64_t stop, int64_t step)
{
    return mt_apply_operation(
        tape, &mt_operation_slice, &x, 1,
        (const mt_attribute[]){{.integer = dim}, {.integer = start}, {.integer = stop}, {.integer = step}});
}

static mt_status view_select(const mt_call *call, mt_layout *result)
{
    return mt_layout_select(layout_of(call), call->attribute[0].integer, call->attribute[1].integer, result);
}

static const mt_example select_examples[] = {
    {.shape = {{2, {3, 5}}}, .attribute = {{.integer = 1}, {.integer = -2}}},
    {.shape = {{1, {6}}}, .attribute = {{.integer = 0}, {.integer = 4}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_select = {
    ANY_X,
    .name = "select",
    .formula = "element index of x along dim, which disappears",
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}, {"index", MT_ATTRIBUTE_INTEGER}},
    .view = view_select,
    .vjp = vjp_part,
    .reads = {READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = select_examples,
};

mt_tensor *mt_select(mt_tape *tape, mt_tensor *x, int64_t dim, int64_t index)
{
    return mt_apply_operation(tape, &mt_operation_select, &x, 1,
                              (const mt_attribute[]){{.integer = dim}, {.integer = index}});
}

/* ---- the cotangent as it is: expand, contiguous, copy ---- */

static void vjp_same(mt_tape *tape, const mt_node *node, mt_tensor *g) { mt_send(tape, node, 0, g); }

static mt_status view_expand(const mt_call *call, mt_layout *result)
{
    return mt_layout_expand(layout_of(call), *call->attribute[0].shape, result);
}

static const mt_shape wider = {3, {2, -1, 4}};
static const mt_example expand_examples[] = {
    {.shape = {{2, {3, 1}}}, .attribute = {{.shape = &wider}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_expand = {
    ANY_X,
    .name = "expand",
    .formula = "x with sizes of 1 stretched to that shape; -1 keeps a size",
    .attribute = {{"shape", MT_ATTRIBUTE_SHAPE}},
    .view = view_expand,
    .vjp = vjp_same,
    .cost = MT_COST_NOTHING,
    .examples = expand_examples,
};

mt_tensor *mt_expand(mt_tape *tape, mt_tensor *x, mt_shape shape)
{
    return mt_apply_operation(tape, &mt_operation_expand, &x, 1, &(mt_attribute){.shape = &shape});
}

static mt_status shape_same(const mt_call *call, mt_shape *result)
{
    *result = mt_layout_shape(layout_of(call));
    return MT_OK;
}

static mt_status run_copy(mt_call *call, mt_tensor *out) { return mt_op_copy(out, call->in[0]); }

static const mt_example copy_examples[] = {
    {.shape = {{3, {2, 3, 4}}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_copy = {
    ANY_X,
    .name = "copy",
    .formula = "a row-major copy of x, always",
    .shape = shape_same,
    .run = run_copy,
    .vjp = vjp_same,
    .cost = MT_COST_NOTHING,
    .examples = copy_examples,
};

mt_tensor *mt_copy(mt_tape *tape, mt_tensor *x)
{
    return mt_apply_operation(tape, &mt_operation_copy, &x, 1, NULL);
}

static mt_status shape_as(const mt_call *call, mt_shape *result)
{
    const mt_kind kind = call->attribute[0].kind;
    if (kind != MT_REAL && kind != MT_INDEX)
        return mt_fail(MT_ERR_KIND, "as: %d is no kind; give MT_REAL or MT_INDEX", (int)kind);
    return shape_same(call, result);
}

static const mt_example as_examples[] = {
    {.shape = {{2, {3, 4}}}, .attribute = {{.kind = MT_REAL}}},
    {.shape = {{1, {5}}}, .attribute = {{.kind = MT_INDEX}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_as = {
    .name = "as",
    .formula = "a row-major copy of x as REAL, or as INDEX, rounded towards zero",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2}},
    .attribute = {{"kind", MT_ATTRIBUTE_KIND}},
    .gives = MT_GIVES_KIND_ASKED,
    .shape = shape_as,
    .run = run_copy,
    .vjp = vjp_same,
    .cost = MT_COST_NOTHING,
    .examples = as_examples,
};

/* An INDEX has no gradient: none flows back through it. */
mt_tensor *mt_as(mt_tape *tape, mt_tensor *x, mt_kind kind)
{
    return mt_apply_operation(tape, &mt_operation_as, &x, 1, &(mt_attribute){.kind = kind});
}

static mt_tensor *express_contiguous(mt_call *call)
{
    mt_tensor *x = call->in[0];
    return mt_layout_is_contiguous(&x->layout) ? x : mt_copy(call->tape, x);
}

const mt_operation mt_operation_contiguous = {
    ANY_X,
    .name = "contiguous",
    .formula = "x row-major: a view of it where it is so already, otherwise a copy",
    .shape = shape_same,
    .expression = express_contiguous,
    .vjp = vjp_same,
    .cost = MT_COST_NOTHING,
    .examples = copy_examples,
};

/* Either way another handle, the tape's like every result. */
mt_tensor *mt_contiguous(mt_tape *tape, mt_tensor *x)
{
    return mt_apply_operation(tape, &mt_operation_contiguous, &x, 1, NULL);
}

/* ---- rows by index ---- */

static mt_status shape_take_rows(const mt_call *call, mt_shape *result)
{
    return mt_rule_take_rows("take_rows", layout_of(call), &call->in[1]->layout, result);
}

static mt_status run_take_rows(mt_call *call, mt_tensor *out)
{
    return mt_op_take_rows(out, call->in[0], call->in[1]);
}

static void vjp_take_rows(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    bool add;
    mt_tensor *to = mt_target(tape, node, 0, &add);
    if (!to || (!add && !mt_did(tape, mt_op_fill(to, 0)))) return;
    mt_arrived(tape, node, 0, mt_op_put_rows(to, g, node->in[1].tensor));
}

static const mt_example take_rows_examples[] = {
    {.shape = {{2, {3, 4}}, {1, {5}}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_take_rows = {
    .name = "take_rows",
    .formula = "rows of x in the order that index names; a row may be named more than once",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2},
              {.name = "index", .takes = MT_TAKES_INDEX, .constant = true, .low = 0, .high = 3}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .shape = shape_take_rows,
    .run = run_take_rows,
    .vjp = vjp_take_rows,
    .reads = {1u << 1},
    .cost = MT_COST_NOTHING,
    .examples = take_rows_examples,
};

/* index is a vector of INDEX. */
mt_tensor *mt_take_rows(mt_tape *tape, mt_tensor *x, mt_tensor *index)
{
    return mt_apply_operation(tape, &mt_operation_take_rows, (mt_tensor *[]){x, index}, 2, NULL);
}
