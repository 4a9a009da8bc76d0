/* autodiff/function.c - a user's own forward and backward as one node of the tape. */
#include "function.h"

#include "node.h"

static void vjp_function(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const mt_function *function = node->extra;
    mt_tensor *in[MT_FUNCTION_INPUTS], *grad[MT_FUNCTION_INPUTS];
    bool needs[MT_FUNCTION_INPUTS];
    for (int i = 0; i < node->inputs; i++) {
        in[i] = node->in[i].tensor;
        needs[i] = mt_wants(node, i);
        grad[i] = mt_tape_like(tape, in[i]);
        if (!grad[i] || !mt_did(tape, mt_op_fill(grad[i], 0))) {
            mt_tape_give_up(tape);
            return;
        }
    }
    const uint64_t before = mt_failures();
    const mt_status status = function->backward(tape, function->context, in, node->out, g, needs, grad);
    /* What it returns without a sentence of its own gets one: the thread's latest is of something else. */
    if (status != MT_OK && mt_failures() == before)
        mt_fail(status == MT_ERR_NULL ? MT_ERR_VALUE : status, "backward: the backward of %s returned \"%s\"",
                node->name, mt_status_name(status));
    /* Tape operations that the backward used report to the tape. */
    if (!mt_did(tape, status) || mt_tape_status(tape) != MT_OK) return;
    for (int i = 0; i < node->inputs; i++) mt_send(tape, node, i, grad[i]);
}

/* What a node of the program's own function refers to; the function itself is its extra. */
static const mt_operation function_operation = {.name = "function", .vjp = vjp_function};

mt_tensor *mt_apply(mt_tape *tape, const mt_function *function, mt_tensor *const *in)
{
    if (!function || !in) {
        mt_fail(MT_ERR_VALUE, "apply: %s is NULL", function ? "the array of inputs" : "the function");
        return tape ? mt_tape_give_up(tape) : NULL;
    }
    const char *name = function->name ? function->name : "function";
    if (!mt_tape_enter(tape, name, NULL, 0)) return NULL;
    if (function->inputs < 1 || function->inputs > MT_FUNCTION_INPUTS || !function->forward ||
        !function->backward) {
        mt_fail(MT_ERR_VALUE, "apply: function %s must have a forward, a backward and 1 to %d inputs, not %d",
                name, MT_FUNCTION_INPUTS, function->inputs);
        return mt_tape_give_up(tape);
    }
    if (!mt_tape_enter(tape, name, in, function->inputs)) return NULL;
    const uint64_t before = mt_failures();
    bool recording = mt_tape_is_recording(tape);
    mt_tape_record(tape, false);
    mt_tensor *result = function->forward(tape, function->context, in);
    mt_tape_record(tape, recording);
    if (!result && mt_tape_status(tape) == MT_OK && mt_failures() == before)
        mt_fail(MT_ERR_VALUE, "apply: the forward of %s returned NULL and no operation in it failed", name);
    if (!result) return mt_tape_give_up(tape);
    if (!mt_tape_enter(tape, name, &result, 1)) return NULL;
    /* A handle of its own: forward may return an input, or a tensor that is no tape's. */
    mt_tensor *out = mt_tape_alias(tape, result, &result->layout);
    if (!out) return mt_tape_give_up(tape);
    unsigned wants = 0;
    for (int i = 0; i < function->inputs && recording; i++)
        if (in[i]->requires_grad) wants |= 1u << i;
    const mt_call call = {.tape = tape,
                          .in = in,
                          .operation = &function_operation,
                          .inputs = function->inputs,
                          .wants = wants,
                          .saves = MT_READS_OUT | ((1u << function->inputs) - 1),
                          .extra = (void *)(uintptr_t)function};
    if (!mt_tape_node(&call, out)) return NULL;
    if (call.wants) out->node->name = name;
    return out;
}
