/* tools/try_operation.c - a descriptor's examples, applied on the backend simple: what they make must be what
 * the fields say. */
#include "check_operation.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/tape_struct.h"
#include "tensor/backend.h"

enum { MOST_ELEMENTS = 4096 };

/* One application of an example. */
typedef struct trial {
    const mt_example *example;
    mt_tape *tape;
    mt_tensor *in[MT_MAX_INPUTS + 1], *out;
    int inputs;
} trial;

static void end(trial *t)
{
    mt_tape_free(t->tape);
    for (int i = 0; i < t->inputs; i++) mt_tensor_free(t->in[i]);
}

/* Values from the input's interval, the same each time; of a mask whole numbers. */
static mt_tensor *draw(const mt_input *input, mt_shape shape, mt_kind any, mt_rng *rng)
{
    const bool index = input->takes == MT_TAKES_INDEX || (input->takes == MT_TAKES_ANY && any == MT_INDEX);
    const bool mask = input->takes == MT_TAKES_ANY && input->constant;
    mt_tensor *x = mt_uniform(mt_backend_get("simple"), shape, rng, input->low, input->high);
    if (!index && !mask) return x;
    mt_tensor *whole = x ? mt_tensor_as(x, MT_INDEX) : NULL;
    mt_tensor_free(x);
    if (index || !whole) return whole;
    x = mt_tensor_as(whole, MT_REAL);
    mt_tensor_free(whole);
    return x;
}

/* Applies the example to new inputs of which those in wants require a gradient; inputs that take either kind
 * are of kind any, and of a list there is one more when twice is set. */
static void begin(trial *t, const mt_operation *o, const mt_example *example, mt_kind any, unsigned wants,
                  bool twice)
{
    mt_rng rng = mt_rng_make(1);
    *t = (trial){.example = example, .tape = mt_tape_new(mt_backend_get("simple"))};
    int described = 0;
    while (described < MT_MAX_INPUTS && o->input[described].name) described++;
    const int shapes = mt_example_inputs(example);
    for (int i = 0; i < shapes + twice; i++)
        t->in[t->inputs++] = draw(&o->input[i < described ? i : described - 1],
                                  example->shape[i < shapes ? i : shapes - 1], any, &rng);
    for (int i = 0; i < t->inputs; i++)
        if (wants >> i & 1) mt_require_grad(t->in[i], true);
    t->out = mt_apply_operation(t->tape, o, t->in, t->inputs, example->attribute);
    mt_node *node = t->tape->newest;
    if (node && node->operation == o && !node->attribute) node->attribute = example->attribute;
}

/* Backward, from the same cotangent each time. */
static mt_status go_back(trial *t)
{
    mt_rng rng = mt_rng_make(2);
    mt_tensor *g = mt_uniform(mt_backend_get("simple"), mt_tensor_shape(t->out), &rng, 0.5, 1.5);
    mt_status status = g ? mt_backward_from(t->tape, t->out, g) : MT_ERR_MEMORY;
    mt_tensor_free(g);
    return status;
}

static int number_of(const mt_operation *o, const mt_example *example)
{
    return (int)(example - o->examples);
}

/* ---- shape and kind ---- */

static bool makes_what_it_says(const fault *f, const mt_example *example, mt_kind any, bool twice)
{
    const mt_operation *o = f->of;
    const int number = number_of(o, example);
    char text[MT_SHAPE_TEXT], rule[MT_SHAPE_TEXT];
    trial t;
    begin(&t, o, example, any, 0, twice);
    bool wrong = false;
    mt_shape shape;
    const mt_call call = {t.tape, t.in, example->attribute, o, t.inputs, 0, 0, NULL};
    mt_kind kind = o->gives == MT_GIVES_INDEX ? MT_INDEX : MT_REAL;
    if (o->gives == MT_GIVES_KIND_OF_INPUT) kind = mt_tensor_kind(t.in[0]);
    if (o->gives == MT_GIVES_KIND_ASKED) kind = example->attribute[0].kind;
    if (!t.out)
        wrong = fault_is(f, ".examples[%d]%s is refused: %s", number,
                         any == MT_INDEX ? ", with an INDEX," : "", mt_tape_message(t.tape));
    else if (mt_tensor_kind(t.out) != kind)
        wrong = fault_is(f, ".gives: the result of .examples[%d] is %s", number,
                         kind == MT_REAL ? "INDEX" : "REAL");
    else if (o->shape && o->shape(&call, &shape) == MT_OK && !mt_shape_equal(shape, mt_tensor_shape(t.out)))
        wrong = fault_is(f, ".shape says %s for .examples[%d], and the result has %s",
                         mt_shape_text(shape, rule), number, mt_shape_text(mt_tensor_shape(t.out), text));
    else if (mt_tensor_count(t.out) > MOST_ELEMENTS || mt_tensor_count(t.in[0]) > MOST_ELEMENTS)
        wrong = fault_is(f, ".examples[%d] has more than %d elements; checks make many calls", number,
                         MOST_ELEMENTS);
    end(&t);
    return wrong;
}

/* ---- gradients ---- */

/* Where a gradient arrives at one input it does at every other that is not constant. */
static bool gives_to_all(const fault *f, const mt_example *example, unsigned wants, bool twice)
{
    const mt_operation *o = f->of;
    trial t;
    begin(&t, o, example, MT_REAL, wants, twice);
    bool wrong = false;
    if (t.out && mt_tensor_kind(t.out) == MT_INDEX) {
        /* to which no gradient comes */
    } else if (!t.out || !mt_requires_grad(t.out)) {
        wrong = fault_is(f, ".examples[%d]: the result requires no gradient", number_of(o, example));
    } else if (go_back(&t) != MT_OK) {
        wrong =
            fault_is(f, ".vjp fails for .examples[%d]: %s", number_of(o, example), mt_tape_message(t.tape));
    } else {
        unsigned arrived = 0;
        for (int i = 0; i < t.inputs; i++)
            if (mt_has_grad(t.in[i])) arrived |= 1u << i;
        for (int i = 0; i < t.inputs && !wrong; i++)
            if (arrived && wants & ~arrived & 1u << i)
                wrong = twice ? fault_is(f, ".list: input %d gets no gradient where others do", i)
                              : fault_is(f, ".input[%d].constant: it gets no gradient where others do", i);
    }
    end(&t);
    return wrong;
}

/* What may be spoilt between the operation and backward: an input, or these. */
enum { NOTHING = -1, RESULT = MT_MAX_INPUTS, ATTRIBUTES };

static unsigned bit_of(int what)
{
    return what == RESULT       ? (unsigned)MT_READS_OUT
           : what == ATTRIBUTES ? (unsigned)MT_READS_ATTRIBUTES
                                : 1u << what;
}

static bool spoil_attributes(mt_node *node)
{
    static const mt_shape none = {0};
    static mt_attribute wrong[MT_MAX_ATTRIBUTES];
    for (int i = 0; i < MT_MAX_ATTRIBUTES; i++) switch (node->operation->attribute[i].type) {
        case MT_ATTRIBUTE_REAL: wrong[i].real = -(double)INT64_MAX; break;
        case MT_ATTRIBUTE_OP: wrong[i].op = -1; break;
        case MT_ATTRIBUTE_SHAPE:
        case MT_ATTRIBUTE_DIMS: wrong[i].shape = &none; break;
        default: wrong[i].integer = INT64_MIN;
        }
    node->attribute = wrong;
    return node->operation->attribute[0].name != NULL;
}

/* Writes over what the node then does not say that it reads; false where it says so, by another handle too.
 */
static bool spoil(mt_node *node, int what)
{
    if (node->saves & bit_of(what)) return false;
    if (what == ATTRIBUTES) return spoil_attributes(node);
    mt_tensor *x = what == RESULT ? node->out : node->in[what].tensor;
    if (node->saves & MT_READS_OUT && node->out->storage == x->storage) return false;
    for (int i = 0; i < node->inputs; i++)
        if (node->saves >> i & 1 && node->in[i].tensor->storage == x->storage) return false;
    return mt_op_fill(x, x->kind == MT_INDEX ? 0 : -1e30) == MT_OK;
}

/* The gradient of input i where that has been spoilt, after forget has been taken from what the node reads:
 * the number of values; -1 for a VJP that fails, 0 where there is nothing to spoil. */
static int64_t gradient_beside(const mt_operation *o, const mt_example *example, int i, int what,
                               unsigned forget, double *values)
{
    trial t;
    begin(&t, o, example, MT_REAL, 1u << i, false);
    int64_t count = 0;
    mt_node *node = t.out ? t.tape->newest : NULL;
    if (node) node->saves &= ~forget;
    if (node && node->operation == o && (what == NOTHING || spoil(node, what))) {
        count = go_back(&t) == MT_OK ? mt_tensor_count(t.in[i]) : -1;
        if (count > 0 && mt_to_doubles(mt_grad(t.in[i]), values, count) != MT_OK) count = -1;
    }
    end(&t);
    return count;
}

/* Whether the gradient of input i is another when that is spoilt; true and false also where it cannot be. */
static bool depends(const mt_operation *o, const mt_example *example, int i, int what, unsigned forget)
{
    static double right[MOST_ELEMENTS], beside[MOST_ELEMENTS];
    const int64_t count = gradient_beside(o, example, i, NOTHING, 0, right);
    const int64_t now = gradient_beside(o, example, i, what, forget, beside);
    return now != 0 && (now != count || memcmp(right, beside, (size_t)count * sizeof *right) != 0);
}

/* .reads[i] names all that the VJP reads for input i, and nothing else. (Of a row that is op_table.inc's to
 * say: pow reads b for a = 0 alone, and the loops of rows give NaN for what is not named.) */
static bool reads_wrongly(const fault *f, int i)
{
    const mt_operation *o = f->of;
    for (int what = 0; what <= ATTRIBUTES; what++) {
        if (what < RESULT && !o->input[what].name) continue;
        const bool says = o->reads[i] & bit_of(what);
        if (says && o->row) continue;
        bool does = false;
        for (const mt_example *e = o->examples; e->shape[0].rank && !does; e++)
            does = depends(o, e, i, what, says ? bit_of(what) : 0);
        if (says == does) continue;
        char name[40];
        snprintf(name, sizeof name, "1u << %d", what);
        return fault_is(f, ".reads[%d] %s %s, which the .vjp %s for %s", i, says ? "has" : "lacks",
                        what == RESULT       ? "MT_READS_OUT"
                        : what == ATTRIBUTES ? "MT_READS_ATTRIBUTES"
                                             : name,
                        says ? "does not need" : "reads", o->input[i].name);
    }
    return false;
}

bool operation_fails(const fault *f)
{
    const mt_operation *o = f->of;
    bool any = false;
    unsigned wants = 0;
    int last = 0;
    for (int i = 0; i < MT_MAX_INPUTS && o->input[i].name; i++) {
        any |= o->input[i].takes == MT_TAKES_ANY;
        last = i;
        if (!o->input[i].constant) wants |= 1u << i;
    }
    for (const mt_example *e = o->examples; e->shape[0].rank; e++) {
        for (int twice = 0; twice <= (o->list ? 1 : 0); twice++) {
            if (makes_what_it_says(f, e, MT_REAL, twice)) return true;
            if (any && makes_what_it_says(f, e, MT_INDEX, twice)) return true;
            if (!o->vjp && !o->by_parts) continue;
            unsigned all = wants;
            for (int i = last + 1; i < mt_example_inputs(e) + twice; i++)
                if (!o->input[last].constant) all |= 1u << i;
            if (gives_to_all(f, e, all, twice)) return true;
        }
    }
    for (int i = 0; o->vjp && i < MT_MAX_INPUTS; i++)
        if (wants >> i & 1 && reads_wrongly(f, i)) return true;
    return false;
}
