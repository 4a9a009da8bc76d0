/* autodiff/indexing.c - elements along a dimension by an INDEX: taken (gather, index_select), or added to
 * (scatter_add). The gradient of the one is the other.
 */
#include "node.h"
#include "../tensor/rules.h"

#define READS_ATTRIBUTES ((unsigned)MT_READS_ATTRIBUTES)

/* x's gradient, whose elements that index names receive g; the others are cleared when the first gradient
 * arrives. */
static void add_back(mt_tape *tape, const mt_node *node, const mt_tensor *g, bool vector)
{
    bool add;
    mt_tensor *to = mt_target(tape, node, 0, &add);
    if (!to || (!add && !mt_did(tape, mt_op_fill(to, 0)))) return;
    mt_arrived(tape, node, 0,
               mt_op_gather_with(to, g, node->in[1].tensor, node->attribute[0].integer, true, vector,
                                 MT_INDEX_KNOWN));
}

/* ---- gather ---- */

static mt_status shape_gather(const mt_call *call, mt_shape *result)
{
    int d;
    return mt_rule_gather("gather", &call->in[0]->layout, &call->in[1]->layout, call->attribute[0].integer,
                          &d, result);
}

static mt_status run_gather(mt_call *call, mt_tensor *out)
{
    return mt_op_gather_with(out, call->in[0], call->in[1], call->attribute[0].integer, false, false,
                             MT_INDEX_ON_THE_WAY);
}

static void vjp_gather(mt_tape *tape, const mt_node *node, mt_tensor *g) { add_back(tape, node, g, false); }

static const mt_example gather_examples[] = {
    {.shape = {{2, {4, 3}}, {2, {4, 5}}}, .attribute = {{.integer = 1}}},
    {.shape = {{3, {3, 4, 2}}, {3, {6, 2, 2}}}, .attribute = {{.integer = -3}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_gather = {
    .name = "gather",
    .formula = "x[..., index[..., i, ...], ...], where i is the index along dim",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2},
              {.name = "index", .takes = MT_TAKES_INDEX, .constant = true, .low = 0, .high = 3}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .shape = shape_gather,
    .run = run_gather,
    .vjp = vjp_gather,
    .reads = {1u << 1 | READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = gather_examples,
};

/* index has x's rank, and is no larger than x but along dim; the result has its shape. */
mt_tensor *mt_gather(mt_tape *tape, mt_tensor *x, mt_tensor *index, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_gather, (mt_tensor *[]){x, index}, 2,
                              &(mt_attribute){.integer = dim});
}

/* ---- index_select ---- */

static mt_status shape_index_select(const mt_call *call, mt_shape *result)
{
    int d;
    return mt_rule_index_select("index_select", &call->in[0]->layout, &call->in[1]->layout,
                                call->attribute[0].integer, &d, result);
}

static mt_status run_index_select(mt_call *call, mt_tensor *out)
{
    return mt_op_gather_with(out, call->in[0], call->in[1], call->attribute[0].integer, false, true,
                             MT_INDEX_ON_THE_WAY);
}

static void vjp_index_select(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    add_back(tape, node, g, true);
}

static const mt_example index_select_examples[] = {
    {.shape = {{2, {4, 3}}, {1, {5}}}, .attribute = {{.integer = 1}}},
    {.shape = {{3, {3, 2, 4}}, {1, {2}}}, .attribute = {{.integer = -3}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_index_select = {
    .name = "index_select",
    .formula = "x[..., index[i], ...], where i is the index along dim; an entry may be named more than once",
    .input = {{.name = "x", .takes = MT_TAKES_ANY, .low = -2, .high = 2},
              {.name = "index", .takes = MT_TAKES_INDEX, .constant = true, .low = 0, .high = 3}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .gives = MT_GIVES_KIND_OF_INPUT,
    .shape = shape_index_select,
    .run = run_index_select,
    .vjp = vjp_index_select,
    .reads = {1u << 1 | READS_ATTRIBUTES},
    .cost = MT_COST_NOTHING,
    .examples = index_select_examples,
};

/* index is a vector of INDEX. */
mt_tensor *mt_index_select(mt_tape *tape, mt_tensor *x, mt_tensor *index, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_index_select, (mt_tensor *[]){x, index}, 2,
                              &(mt_attribute){.integer = dim});
}

/* ---- scatter_add ---- */

static mt_status shape_scatter_add(const mt_call *call, mt_shape *result)
{
    int d;
    mt_shape shape;
    const mt_tensor *x = call->in[0], *src = call->in[2];
    mt_status status = mt_rule_gather("scatter_add", &x->layout, &call->in[1]->layout,
                                      call->attribute[0].integer, &d, &shape);
    if (status != MT_OK) return status;
    char text[MT_SHAPE_TEXT], text_src[MT_SHAPE_TEXT];
    if (!mt_shape_equal(shape, mt_layout_shape(&src->layout)))
        return mt_fail(MT_ERR_SHAPE, "scatter_add: src has shape %s; it must have the index's, %s",
                       mt_shape_text(mt_layout_shape(&src->layout), text_src), mt_shape_text(shape, text));
    *result = mt_layout_shape(&x->layout);
    return MT_OK;
}

static mt_status run_scatter_add(mt_call *call, mt_tensor *out)
{
    mt_status status = mt_op_copy(out, call->in[0]);
    if (status != MT_OK) return status;
    return mt_op_gather_with(out, call->in[2], call->in[1], call->attribute[0].integer, true, false,
                             MT_INDEX_ON_THE_WAY);
}

static void vjp_scatter_add(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *to = mt_wants(node, 2) ? mt_share(tape, node, 2, node->in[2].tensor) : NULL;
    if (to && mt_did(tape, mt_op_gather_with(to, g, node->in[1].tensor, node->attribute[0].integer, false,
                                             false, MT_INDEX_KNOWN)))
        mt_send(tape, node, 2, to);
    mt_send(tape, node, 0, g);
}

static const mt_example scatter_add_examples[] = {
    {.shape = {{2, {4, 3}}, {2, {4, 5}}, {2, {4, 5}}}, .attribute = {{.integer = 1}}},
    {.shape = {{3, {3, 4, 2}}, {3, {6, 2, 2}}, {3, {6, 2, 2}}}, .attribute = {{.integer = -3}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_scatter_add = {
    .name = "scatter_add",
    .formula = "x, to whose elements [..., index[..., i, ...], ...] those of src [..., i, ...] are added, i "
               "along dim",
    .input = {{.name = "x", .low = -2, .high = 2},
              {.name = "index", .takes = MT_TAKES_INDEX, .constant = true, .low = 0, .high = 3},
              {.name = "src", .low = -2, .high = 2}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .shape = shape_scatter_add,
    .run = run_scatter_add,
    .vjp = vjp_scatter_add,
    .reads = {0, 0, 1u << 1 | READS_ATTRIBUTES},
    .cost = MT_COST_ARITHMETIC,
    .examples = scatter_add_examples,
};

/* A new tensor. index has x's rank, and is no larger than x but along dim; src has its shape. Where index
 * names an element more than once, what it receives is added in the order of i: the same bits each time. */
mt_tensor *mt_scatter_add(mt_tape *tape, mt_tensor *x, mt_tensor *index, mt_tensor *src, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_scatter_add, (mt_tensor *[]){x, index, src}, 3,
                              &(mt_attribute){.integer = dim});
}
