/* autodiff/scans.c - running results along a dimension. */
#include "node.h"

static mt_status shape_cumsum(const mt_call *call, mt_shape *result)
{
    int d;
    *result = mt_layout_shape(&call->in[0]->layout);
    return mt_layout_dim(&call->in[0]->layout, call->attribute[0].integer, "cumsum", &d);
}

static mt_status run_cumsum(mt_call *call, mt_tensor *out)
{
    return mt_op_cumsum(out, call->in[0], call->attribute[0].integer, false);
}

/* x[i] is in the sums from i on: the sums of g from the end. */
static void vjp_cumsum(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *to = mt_share(tape, node, 0, node->out);
    if (to && mt_did(tape, mt_op_cumsum(to, g, node->attribute[0].integer, true))) mt_send(tape, node, 0, to);
}

static const mt_example cumsum_examples[] = {
    {.shape = {{2, {3, 4}}}, .attribute = {{.integer = 1}}},
    {.shape = {{3, {4, 2, 3}}}, .attribute = {{.integer = -3}}},
    {.shape = {{0}}},
};
const mt_operation mt_operation_cumsum = {
    .name = "cumsum",
    .formula = "the sums of x[..., 0, ...] to x[..., i, ...], i along dim",
    .input = {{.name = "x", .low = -2, .high = 2}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .shape = shape_cumsum,
    .run = run_cumsum,
    .vjp = vjp_cumsum,
    .reads = {(unsigned)MT_READS_ATTRIBUTES},
    .cost = MT_COST_ARITHMETIC,
    .examples = cumsum_examples,
};

mt_tensor *mt_cumsum(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_cumsum, &x, 1, &(mt_attribute){.integer = dim});
}
