/* autodiff/operations.c - the list of operations, and what applies one of them. */
#include <string.h>

#include "tape_struct.h"

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

static mt_status check_attributes(const mt_operation *operation, const mt_attribute *attribute)
{
    for (int i = 0; i < MT_MAX_ATTRIBUTES && operation->attribute[i].name; i++)
        if (!attribute || (operation->attribute[i].type == MT_ATTRIBUTE_SHAPE && !attribute[i].shape))
            return mt_fail(MT_ERR_VALUE, "%s: %s is NULL", operation->name, operation->attribute[i].name);
    return MT_OK;
}

static mt_status check_input(const mt_operation *operation, const mt_input *input, const mt_tensor *x)
{
    if (input->takes == MT_TAKES_REAL && x->kind != MT_REAL)
        return mt_fail(MT_ERR_KIND, "%s: %s holds indices (INDEX); convert it with mt_as(tape, %s, MT_REAL)",
                       operation->name, input->name, input->name);
    if (input->takes == MT_TAKES_INDEX && x->kind != MT_INDEX)
        return mt_fail(MT_ERR_KIND,
                       "%s: %s must be an INDEX tensor; this one is REAL; convert it with "
                       "mt_as(tape, %s, MT_INDEX)",
                       operation->name, input->name, input->name);
    if (input->constant && input->takes == MT_TAKES_REAL && x->requires_grad)
        return mt_fail(MT_ERR_STATE,
                       "%s: %s requires a gradient, and %s gives it none; pass mt_detach(tape, %s)",
                       operation->name, input->name, operation->name, input->name);
    return MT_OK;
}

/* Checks the inputs and notes which of them want a gradient, and what the VJP reads for these. */
static mt_status check_inputs(mt_call *call, int expected)
{
    const mt_operation *operation = call->operation;
    const bool records = operation->vjp && call->tape->recording;
    for (int i = 0; i < call->inputs; i++) {
        const int described = i < expected ? i : expected - 1;
        mt_status status = check_input(operation, &operation->input[described], call->in[i]);
        if (status != MT_OK) return status;
        if (!records || !call->in[i]->requires_grad || operation->input[described].constant) continue;
        call->wants |= 1u << i;
        call->saves |= operation->reads[described];
    }
    return MT_OK;
}

static mt_tensor *new_result(mt_call *call, mt_shape shape)
{
    const mt_operation *operation = call->operation;
    mt_kind kind = operation->gives == MT_GIVES_INDEX ? MT_INDEX : MT_REAL;
    if (operation->gives == MT_GIVES_KIND_OF_INPUT) kind = call->in[0]->kind;
    if (operation->gives == MT_GIVES_KIND_ASKED) kind = call->attribute[0].kind;
    mt_tensor *out = mt_tape_empty(call->tape, shape, kind);
    return out && operation->run(call, out) == MT_OK ? out : NULL;
}

static mt_tensor *new_view(mt_call *call)
{
    mt_tensor *out = mt_tape_alias(call->tape, call->in[0], NULL);
    return out && call->operation->view(call, &out->layout) == MT_OK ? out : NULL;
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
    /* A program's expression may return a constructor's tensor: the tape holds on to it, as to an operand. */
    if (value && !mt_tape_enter(tape, call->operation->name, &value, 1)) value = NULL;
    return mt_tape_end_scratch(tape, &scratch, value);
}

/* What a program's descriptor lacks of what is asked of it here; NULL: nothing. */
static const char *lack_of(const mt_operation *operation)
{
    if (!operation->input[0].name) return "it has no input; its descriptor needs a name in .input";
    if (!operation->view && !operation->expression && !(operation->run && operation->shape))
        return "nothing computes it; its descriptor needs .shape and .run, .view or .expression";
    if (operation->gives == MT_GIVES_KIND_ASKED &&
        (!operation->attribute[0].name || operation->attribute[0].type != MT_ATTRIBUTE_KIND))
        return "it gives the kind asked for, and its first attribute is none";
    return NULL;
}

/* Refuses a call before its inputs are looked at; a tape that has failed tells nothing new. */
static mt_tensor *refuse(mt_tape *tape, const mt_operation *operation, int inputs, int expected)
{
    if (!mt_tape_enter(tape, operation->name, NULL, 0)) return NULL;
    const char *lack = lack_of(operation);
    if (lack)
        mt_fail(MT_ERR_VALUE, "%s: %s", operation->name, lack);
    else if (operation->list)
        mt_fail(MT_ERR_VALUE, "%s: %d inputs; it takes %d to %d", operation->name, inputs, expected,
                MT_MAX_LIST);
    else
        mt_fail(MT_ERR_VALUE, "%s: %d inputs; it takes %d", operation->name, inputs, expected);
    return mt_tape_give_up(tape);
}

/* A failure in what the descriptor names, or in a slot of the backend that it called; without a sentence of
 * its own it gets one, since the thread's latest is of something else. failures: how many there were before.
 */
static mt_tensor *give_up(const mt_call *call, uint64_t failures)
{
    if (mt_failures() == failures && mt_tape_status(call->tape) == MT_OK)
        mt_fail(MT_ERR_VALUE, "%s: what computes it failed and did not say why", call->operation->name);
    return mt_tape_give_up(call->tape);
}

mt_tensor *mt_apply_operation(mt_tape *tape, const mt_operation *operation, mt_tensor *const *in, int inputs,
                              const mt_attribute *attribute)
{
    if (!operation || !operation->name || !in) {
        mt_fail(MT_ERR_VALUE, "apply_operation: %s is NULL",
                !operation         ? "the operation"
                : !operation->name ? "the operation's name"
                                   : "the array of inputs");
        return tape ? mt_tape_give_up(tape) : NULL;
    }
    int expected = 0;
    while (expected < MT_MAX_INPUTS && operation->input[expected].name) expected++;
    const bool counted = operation->list ? inputs >= expected && inputs <= MT_MAX_LIST : inputs == expected;
    if (!counted || lack_of(operation)) return refuse(tape, operation, inputs, expected);
    if (!mt_tape_enter(tape, operation->name, in, inputs)) return NULL;
    mt_call call = {.tape = tape, .in = in, .attribute = attribute, .operation = operation, .inputs = inputs};
    if (check_attributes(operation, attribute) != MT_OK || check_inputs(&call, expected) != MT_OK)
        return mt_tape_give_up(tape);
    mt_shape shape;
    const uint64_t failures = mt_failures();
    if (operation->shape && operation->shape(&call, &shape) != MT_OK) return give_up(&call, failures);
    mt_tensor *out;
    if (operation->expression && (!operation->vjp || (operation->run && !tape->fusing))) {
        out = operation->expression(&call); /* which records its parts */
        return out ? out : give_up(&call, failures);
    }
    if (operation->view)
        out = new_view(&call);
    else if (operation->run)
        out = new_result(&call, shape);
    else
        out = new_value(&call);
    return out ? mt_tape_node(&call, out) : give_up(&call, failures);
}
