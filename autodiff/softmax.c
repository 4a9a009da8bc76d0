/* autodiff/softmax.c - softmax and its logarithm along a dimension, by a slot of their own, and as
 * expressions for a tape that does not fuse. The largest element is subtracted first, so that no exp
 * overflows. */
#include "../tensor/row_ops.h"
#include "elementwise.h"
#include "node.h"

static mt_status shape_along(const mt_call *call, mt_shape *result)
{
    int dim;
    *result = mt_tensor_shape(call->in[0]);
    return mt_layout_dim(&call->in[0]->layout, call->attribute[0].integer, call->operation->name, &dim);
}

static const mt_example along_examples[] = {
    {.shape = {{3, {2, 4, 3}}}, .attribute = {{.integer = 1}}},
    {.shape = {{2, {3, 5}}}, .attribute = {{.integer = -1}}},
    {.shape = {{1, {6}}}, .attribute = {{.integer = 0}}},
    {.shape = {{0}}},
};

static int dim_of(const mt_tensor *x, const mt_attribute *attribute)
{
    const int64_t dim = attribute[0].integer;
    return (int)(dim < 0 ? dim + mt_tensor_rank(x) : dim);
}

static mt_status run_softmax(mt_call *call, mt_tensor *out)
{
    return mt_op_softmax(out, call->in[0], dim_of(out, call->attribute), false);
}

static mt_status run_log_softmax(mt_call *call, mt_tensor *out)
{
    return mt_op_softmax(out, call->in[0], dim_of(out, call->attribute), true);
}

/* y (g - sum of g y), or g - exp(y) sum of g */
static void send_softmax(mt_tape *t, const mt_node *node, const mt_tensor *g, bool log)
{
    const mt_tensor *y = node->out;
    mt_tensor *to = mt_share(t, node, 0, y);
    if (to && mt_did(t, mt_op_softmax_grad(to, y, g, dim_of(y, node->attribute), log)))
        mt_send(t, node, 0, to);
}

static void vjp_softmax(mt_tape *t, const mt_node *node, mt_tensor *g) { send_softmax(t, node, g, false); }
static void vjp_log_softmax(mt_tape *t, const mt_node *node, mt_tensor *g) { send_softmax(t, node, g, true); }

/* ---- the two as expressions ---- */

/* x minus its largest element along dim, by which the result does not depend on that element: no gradient
 * flows through it. */
static mt_tensor *below_max(mt_tape *t, mt_tensor *x, int64_t dim)
{
    return mt_sub(t, x, mt_detach(t, mt_max_dim(t, x, dim, true)));
}

static mt_tensor *express_softmax(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    const int64_t dim = call->attribute[0].integer;
    if (mt_tensor_count(x) == 0) return x;
    mt_tensor *e = mt_exp(t, below_max(t, x, dim));
    return mt_div(t, e, mt_sum_dim(t, e, dim, true));
}

const mt_operation mt_operation_softmax = {
    .name = "softmax",
    .formula = "exp(x) / sum of exp(x) along dim",
    .input = {{.name = "x", .low = -3, .high = 3}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .shape = shape_along,
    .run = run_softmax,
    .expression = express_softmax,
    .vjp = vjp_softmax,
    .reads = {(unsigned)MT_READS_OUT | MT_READS_ATTRIBUTES},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = along_examples,
};

/* The largest x is subtracted first, so that nothing overflows. */
mt_tensor *mt_softmax(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_softmax, &x, 1, &(mt_attribute){.integer = dim});
}

static mt_tensor *express_log_softmax(mt_call *call)
{
    mt_tape *t = call->tape;
    mt_tensor *x = call->in[0];
    const int64_t dim = call->attribute[0].integer;
    if (mt_tensor_count(x) == 0) return x;
    mt_tensor *z = below_max(t, x, dim);
    return mt_sub(t, z, mt_log(t, mt_sum_dim(t, mt_exp(t, z), dim, true)));
}

const mt_operation mt_operation_log_softmax = {
    .name = "log_softmax",
    .formula = "x - ln(sum of exp(x) along dim)",
    .input = {{.name = "x", .low = -3, .high = 3}},
    .attribute = {{"dim", MT_ATTRIBUTE_DIM}},
    .shape = shape_along,
    .run = run_log_softmax,
    .expression = express_log_softmax,
    .vjp = vjp_log_softmax,
    .reads = {(unsigned)MT_READS_OUT | MT_READS_ATTRIBUTES},
    .cost = MT_COST_TRANSCENDENTAL,
    .examples = along_examples,
};

/* Exact where softmax is nearly 0 too. */
mt_tensor *mt_log_softmax(mt_tape *tape, mt_tensor *x, int64_t dim)
{
    return mt_apply_operation(tape, &mt_operation_log_softmax, &x, 1, &(mt_attribute){.integer = dim});
}
