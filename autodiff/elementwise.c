/* autodiff/elementwise.c - map and zip on the tape: one descriptor, one forward and one VJP each for all rows
 * of op_table.inc. */
#include "elementwise.h"
#include "tape_struct.h"

/* ---- going back ---- */

static mt_op op_of(const mt_operation *operation) { return operation->row - 1; }

static double constant(const mt_node *node, int i)
{
    return node->attribute && node->operation->attribute[i].name ? node->attribute[i].real : 0;
}

static void vjp_map(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    if (mt_op_describe(op_of(node->operation))->needs[0] & MT_IS_ZERO) return;
    mt_tensor *to = mt_share(tape, node, 0, node->out);
    if (to && mt_did(tape, mt_op_map_grad(to, op_of(node->operation), g, node->in[0].tensor, node->out,
                                          constant(node, 0), constant(node, 1))))
        mt_send(tape, node, 0, to);
}

static void vjp_zip(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const int *needs = mt_op_describe(op_of(node->operation))->needs;
    for (int i = 0; i < 2; i++) {
        if (!mt_wants(node, i) || needs[i] & MT_IS_ZERO) continue;
        if (needs[i] & MT_IS_ONE) {
            mt_send(tape, node, i, g);
            continue;
        }
        mt_tensor *to = mt_share(tape, node, i, node->out);
        if (to &&
            mt_did(tape, mt_op_zip_grad(to, op_of(node->operation), i, g, node->in[0].tensor,
                                        node->in[1].tensor, node->out, constant(node, 0), constant(node, 1))))
            mt_send(tape, node, i, to);
    }
}

/* ---- the descriptors ---- */

static mt_status shape_of_row(const mt_call *call, mt_shape *result)
{
    *result = mt_tensor_shape(call->in[0]);
    return call->inputs == 1 ? MT_OK : mt_shape_broadcast(*result, mt_tensor_shape(call->in[1]), result);
}

static mt_status run_row(mt_call *call, mt_tensor *out)
{
    const mt_operation *row = call->operation;
    return mt_op_fresh(out, op_of(row), (const mt_tensor *const *)call->in, call->inputs,
                       row->attribute[0].name ? call->attribute[0].real : 0,
                       row->attribute[1].name ? call->attribute[1].real : 0);
}

#define READS(needs, more)                                                    \
    ((needs)&MT_NEED_A ? 1u << 0 : 0u) | ((needs)&MT_NEED_B ? 1u << 1 : 0u) | \
        ((needs)&MT_NEED_Y ? (unsigned)MT_READS_OUT : 0u) | (more)
#define CONSTANTS_0
#define CONSTANTS_1(p0)     .attribute = {{#p0, MT_ATTRIBUTE_REAL}},
#define CONSTANTS_2(p0, p1) .attribute = {{#p0, MT_ATTRIBUTE_REAL}, {#p1, MT_ATTRIBUTE_REAL}},
#define KEPT_0              0u
#define KEPT_1(p0)          (unsigned)MT_READS_ATTRIBUTES
#define KEPT_2(p0, p1)      (unsigned)MT_READS_ATTRIBUTES

/* Both operands of a comparison are of one kind; mt_op_fresh sees to that. */
#define TAKES(needs) ((needs) == MT_OF_ORDER ? MT_TAKES_ANY : MT_TAKES_REAL)

static const mt_example one_input[] = {
    {.shape = {{3, {2, 3, 4}}}, .attribute = {{.real = -0.5}, {.real = 1}}},
    {.shape = {{1, {19}}}, .attribute = {{.real = -0.5}, {.real = 1}}},
    {.shape = {{0}}},
};
static const mt_example two_inputs[] = {
    {.shape = {{3, {2, 3, 4}}, {3, {2, 3, 4}}}, .attribute = {{.real = -0.5}, {.real = 1}}},
    {.shape = {{2, {3, 1}}, {3, {2, 1, 4}}}, .attribute = {{.real = -0.5}, {.real = 1}}},
    {.shape = {{1, {1}}, {2, {3, 5}}}, .attribute = {{.real = -0.5}, {.real = 1}}},
    {.shape = {{0}}},
};

static const mt_operation rows[] = {
#define MT_MAP(op, params, needs, low_x, high_x, text)                      \
    [MT_OP_##op] = {.row = MT_OP_##op + 1,                                  \
                    .name = #op,                                            \
                    .formula = text,                                        \
                    .input = {{.name = "x", .low = low_x, .high = high_x}}, \
                    CONSTANTS_##params.shape = shape_of_row,                \
                    .run = run_row,                                         \
                    .vjp = vjp_map,                                         \
                    .reads = {READS(needs, KEPT_##params)},                 \
                    .cost = MT_COST_ARITHMETIC,                             \
                    .examples = one_input},
#define MT_ZIP(op, params, needs_a, needs_b, low_a, high_a, low_b, high_b, text)                     \
    [MT_OP_##op] = {.row = MT_OP_##op + 1,                                                           \
                    .name = #op,                                                                     \
                    .formula = text,                                                                 \
                    .input = {{.name = "a", .takes = TAKES(needs_a), .low = low_a, .high = high_a},  \
                              {.name = "b", .takes = TAKES(needs_b), .low = low_b, .high = high_b}}, \
                    CONSTANTS_##params.shape = shape_of_row,                                         \
                    .run = run_row,                                                                  \
                    .vjp = vjp_zip,                                                                  \
                    .reads = {READS(needs_a, KEPT_##params), READS(needs_b, KEPT_##params)},         \
                    .cost = MT_COST_ARITHMETIC,                                                      \
                    .examples = two_inputs},
#include "../tensor/scalar/op_table.inc"
};

int mt_row_count(void) { return MT_OP_COUNT; }

const mt_operation *mt_row_operation(mt_op i) { return &rows[i]; }

/* ---- the way of a row's own function, shorter than mt_apply_operation's ---- */

static mt_tensor *apply_row(mt_tape *tape, mt_op op, mt_tensor *const *in, int inputs, double p0, double p1)
{
    const bool known = (unsigned)op < MT_OP_COUNT && !rows[op].input[1].name == (inputs == 1);
    if (!mt_tape_enter(tape, known ? rows[op].name : inputs == 1 ? "map" : "zip", in, inputs)) return NULL;
    if (!known) {
        mt_op_of_arity(op, inputs); /* which says why */
        return mt_tape_give_up(tape);
    }
    const mt_attribute attribute[2] = {{.real = p0}, {.real = p1}};
    mt_call call = {.tape = tape, .in = in, .attribute = attribute, .operation = &rows[op], .inputs = inputs};
    for (int i = 0; i < inputs; i++) {
        if (!tape->recording || !in[i]->requires_grad) continue;
        call.wants |= 1u << i;
        call.saves |= call.operation->reads[i];
    }
    mt_tensor *out;
    if (inputs == 1 || mt_same_shape(in[0], in[1])) {
        out = mt_tape_like(tape, in[0]);
    } else {
        mt_shape shape;
        out = shape_of_row(&call, &shape) == MT_OK ? mt_tape_empty(tape, shape, MT_REAL) : NULL;
    }
    if (!out || mt_op_fresh(out, op, (const mt_tensor *const *)in, inputs, p0, p1) != MT_OK)
        return mt_tape_give_up(tape);
    return mt_tape_node(&call, out);
}

mt_tensor *mt_map(mt_tape *tape, mt_op op, mt_tensor *x, double p0, double p1)
{
    return apply_row(tape, op, &x, 1, p0, p1);
}

mt_tensor *mt_zip(mt_tape *tape, mt_op op, mt_tensor *a, mt_tensor *b, double p0, double p1)
{
    return apply_row(tape, op, (mt_tensor *[]){a, b}, 2, p0, p1);
}

#define MAP_ARGS_0         mt_tape *tape, mt_tensor *x
#define MAP_ARGS_1(p0)     MAP_ARGS_0, double p0
#define MAP_ARGS_2(p0, p1) MAP_ARGS_0, double p0, double p1
#define ZIP_ARGS_0         mt_tape *tape, mt_tensor *a, mt_tensor *b
#define ZIP_ARGS_1(p0)     ZIP_ARGS_0, double p0
#define ZIP_ARGS_2(p0, p1) ZIP_ARGS_0, double p0, double p1
#define PASS_0             0, 0
#define PASS_1(p0)         p0, 0
#define PASS_2(p0, p1)     p0, p1
#define MT_MAP(name, params, needs, low, high, formula) \
    mt_tensor *mt_##name(MAP_ARGS_##params) { return mt_map(tape, MT_OP_##name, x, PASS_##params); }
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    mt_tensor *mt_##name(ZIP_ARGS_##params) { return mt_zip(tape, MT_OP_##name, a, b, PASS_##params); }
#include "../tensor/scalar/op_table.inc"
