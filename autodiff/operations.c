/* autodiff/operations.c - the list of operations, and what applies one of them. */
#include <string.h>

#include "node.h"

/* ---- the list: rows of op_table.inc, then these ---- */

static const mt_operation *const others[] = {
#define MT_OPERATION(name) &mt_operation_##name,
#include "operations.inc"
};

enum { OTHERS = sizeof others / sizeof *others };

int mt_operation_count(void) { return mt_row_count() + OTHERS; }

const mt_operation *mt_operation_at(int i)
{
    const int rows = mt_row_count();
    if (i < 0 || i >= rows + OTHERS) return NULL;
    return i < rows ? mt_row_operation(i) : others[i - rows];
}

const mt_operation *mt_operation_by_name(const char *name)
{
    for (int i = 0; name && i < mt_operation_count(); i++)
        if (strcmp(mt_operation_at(i)->name, name) == 0) return mt_operation_at(i);
    mt_fail(MT_ERR_NAME, "no operation is called \"%.40s\"; mt_operation_at lists them", name ? name : "");
    return NULL;
}

/* ---- applying one ---- */

static int inputs_of(const mt_operation *operation)
{
    int inputs = 0;
    while (inputs < MT_MAX_INPUTS && operation->input[inputs].name) inputs++;
    return inputs;
}

/* The description of input i; those of a list share the last. */
static const mt_input *input_at(const mt_operation *operation, int i)
{
    const int last = inputs_of(operation) - 1;
    return &operation->input[i < last ? i : last];
}

static unsigned reads_at(const mt_operation *operation, int i)
{
    return operation->reads[input_at(operation, i) - operation->input];
}

unsigned mt_call_saves(const mt_call *call)
{
    unsigned saves = 0;
    for (int i = 0; i < call->inputs; i++)
        if (call->wants >> i & 1) saves |= reads_at(call->operation, i);
    return saves;
}

static mt_status check_attributes(const mt_operation *operation, const mt_attribute *attribute)
{
    for (int i = 0; i < MT_MAX_ATTRIBUTES && operation->attribute[i].name; i++)
        if (!attribute || (operation->attribute[i].type == MT_ATTRIBUTE_SHAPE && !attribute[i].shape))
            return mt_fail(MT_ERR_NULL, "%s: %s is NULL", operation->name, operation->attribute[i].name);
    return MT_OK;
}

static mt_status check_inputs(const mt_call *call)
{
    const mt_operation *operation = call->operation;
    for (int i = 0; i < call->inputs; i++) {
        const mt_input *input = input_at(operation, i);
        if (input->takes == MT_TAKES_REAL && call->in[i]->kind != MT_REAL)
            return mt_fail(MT_ERR_KIND,
                           "%s: %s holds indices (INDEX); convert it with mt_tensor_as(%s, MT_REAL)",
                           operation->name, input->name, input->name);
        if (input->takes == MT_TAKES_INDEX && call->in[i]->kind != MT_INDEX)
            return mt_fail(MT_ERR_KIND, "%s: %s must be an INDEX tensor; this one is REAL", operation->name,
                           input->name);
        if (input->constant && call->in[i]->requires_grad)
            return mt_fail(MT_ERR_STATE,
                           "%s: %s requires a gradient, and %s gives it none; pass mt_detach(tape, %s)",
                           operation->name, input->name, operation->name, input->name);
    }
    return MT_OK;
}

static mt_tensor *new_result(mt_call *call, mt_shape shape)
{
    const mt_operation *operation = call->operation;
    const mt_kind kind = operation->gives == MT_GIVES_KIND_OF_INPUT ? call->in[0]->kind
                         : operation->gives == MT_GIVES_INDEX       ? MT_INDEX
                                                                    : MT_REAL;
    mt_tensor *out = mt_tape_empty(call->tape, shape, kind);
    return out && operation->run(call, out) == MT_OK ? out : NULL;
}

static mt_tensor *new_view(mt_call *call)
{
    mt_layout layout;
    if (call->operation->view(call, &layout) != MT_OK) return NULL;
    return mt_tape_alias(call->tape, call->in[0], &layout);
}

/* The value of an expression that is recorded as one node: its parts are not, and only the value is kept. */
static mt_tensor *new_value(mt_call *call)
{
    mt_tape *tape = call->tape;
    const bool recording = mt_tape_is_recording(tape);
    const mt_scratch scratch = mt_tape_begin_scratch(tape);
    mt_tape_record(tape, false);
    mt_tensor *value = call->operation->expression(call);
    mt_tape_record(tape, recording);
    return mt_tape_end_scratch(tape, scratch, value);
}

mt_tensor *mt_apply_operation(mt_tape *tape, const mt_operation *operation, mt_tensor *const *in, int inputs,
                              const mt_attribute *attribute)
{
    if (!operation || !in) return NULL;
    if (!mt_tape_enter(tape, operation->name, NULL, 0)) return NULL;
    const int expected = inputs_of(operation);
    if (operation->list ? inputs < expected || inputs > MT_MAX_LIST : inputs != expected) {
        mt_fail(MT_ERR_VALUE, "%s: %d inputs; it takes %d%s", operation->name, inputs, expected,
                operation->list ? " or more" : "");
        return mt_tape_give_up(tape);
    }
    if (!mt_tape_enter(tape, operation->name, in, inputs)) return NULL;
    mt_call call = {.tape = tape, .in = in, .attribute = attribute, .operation = operation, .inputs = inputs};
    if (check_attributes(operation, attribute) != MT_OK || check_inputs(&call) != MT_OK)
        return mt_tape_give_up(tape);
    mt_shape shape;
    if (operation->shape && operation->shape(&call, &shape) != MT_OK) return mt_tape_give_up(tape);
    mt_tensor *out;
    if (operation->expression && (!operation->vjp || (operation->run && !mt_tape_is_fusing(tape)))) {
        out = operation->expression(&call); /* which records its parts */
        return out ? out : mt_tape_give_up(tape);
    }
    if (operation->vjp) call.wants = mt_tape_wants(tape, in, inputs);
    call.saves = mt_call_saves(&call);
    if (operation->view)
        out = new_view(&call);
    else if (operation->run)
        out = new_result(&call, shape);
    else
        out = new_value(&call);
    return out ? mt_tape_node(&call, out) : mt_tape_give_up(tape);
}
