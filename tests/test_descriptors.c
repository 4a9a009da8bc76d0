/* tests/test_descriptors.c - every operation of the list (autodiff/operation.h): its gradient against
 * differences, its value on every backend, its refusals, and whether a mistake in its VJP would be seen.
 *
 * All cases come from the descriptors: shapes and attributes from the examples, values from the inputs'
 * intervals, in random layouts. Samples stay away from kinks: those of input 0 lie near odd multiples of 1/8,
 * those of the others near even ones, and where elements of one input are compared (one input that is no row)
 * no two are near each other.
 */
#include <math.h>
#include <string.h>

#include "autodiff/elementwise.h"
#include "autodiff/node.h"
#include "support.h"

/* ---- a call of an operation ---- */

typedef struct call_case {
    const mt_operation *operation;
    const mt_example *example;
    int inputs;
    test_cut cut[MT_MAX_INPUTS]; /* how an input is cut out of its parameter */
    mt_tensor *in[MT_MAX_INPUTS];
} call_case;

static int inputs_of(const mt_operation *operation)
{
    int inputs = 0;
    while (inputs < MT_MAX_INPUTS && operation->input[inputs].name) inputs++;
    return inputs;
}

/* A list's last input stands for those behind it. */
static const mt_input *input_of(const mt_operation *operation, int i)
{
    const int inputs = inputs_of(operation);
    return &operation->input[i < inputs ? i : inputs - 1];
}

static int attributes_of(const mt_operation *operation)
{
    int attributes = 0;
    while (attributes < MT_MAX_ATTRIBUTES && operation->attribute[attributes].name) attributes++;
    return attributes;
}

static double near_grid(double low, double high, int side)
{
    for (;;) {
        const double x =
            floor(test_between(low, high) * 4) / 4 + (side ? 0 : 0.125) + test_between(-0.03, 0.03);
        if (x > low + 0.04 && x < high - 0.04) return x;
    }
}

static double *draw(const mt_operation *operation, int input, int64_t n)
{
    const mt_input *from = input_of(operation, input);
    double *values = test_memory((size_t)(n + 1) * sizeof *values);
    int64_t *order = test_memory((size_t)(n + 1) * sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    test_shuffle(order, n);
    const bool distinct = !operation->row && !operation->input[1].name;
    for (int64_t i = 0; i < n; i++)
        if (from->takes == MT_TAKES_INDEX || (from->takes == MT_TAKES_ANY && from->constant))
            values[i] = from->low + (double)test_below((int64_t)(from->high - from->low));
        else if (distinct) /* the distance is wider than a difference, also past the interval's end */
            values[i] = from->low + fmax((from->high - from->low) / (double)n, 0.1) *
                                        ((double)order[i] + test_between(0.3, 0.7));
        else
            values[i] = near_grid(from->low, from->high, input > 0);
    return values;
}

/* Rows of one number again and again have a spread of 0, where std has a kink, and layer_norm divides the
 * rounding of their mean by the root of eps: such are not drawn for these. */
static bool may_stretch(const mt_operation *operation)
{
    return operation != mt_operation_by_name("std") && operation != mt_operation_by_name("layer_norm");
}

static call_case make_case(mt_backend *b, const mt_operation *operation, const mt_example *example,
                           bool plain)
{
    call_case c = {.operation = operation, .example = example, .inputs = mt_example_inputs(example)};
    for (int i = 0; i < c.inputs; i++) {
        const mt_input *input = input_of(operation, i);
        c.cut[i] = test_cut_make(example->shape[i], may_stretch(operation));
        if (plain || input->takes == MT_TAKES_INDEX || input->contiguous) {
            c.cut[i].base = example->shape[i]; /* as it is */
            c.cut[i].shape.rank = 0;
        }
        const int64_t n = test_count(c.cut[i].base);
        const double *values = draw(operation, i, n);
        c.in[i] = OWN(mt_from_doubles(b, values, c.cut[i].base));
        if (input->takes == MT_TAKES_INDEX) c.in[i] = OWN(mt_tensor_as(c.in[i], MT_INDEX));
        if (input->takes != MT_TAKES_INDEX && !input->constant) TEST_OK(mt_require_grad(c.in[i], true));
    }
    return c;
}

static mt_tensor *apply(mt_tape *tape, void *context, mt_tensor *const *in)
{
    const call_case *c = context;
    mt_tensor *cut[MT_MAX_INPUTS];
    for (int i = 0; i < c->inputs; i++)
        cut[i] = c->cut[i].shape.rank ? test_cut_tape(&c->cut[i], tape, in[i]) : in[i];
    return mt_apply_operation(tape, c->operation, cut, c->inputs, c->example->attribute);
}

#define EACH_EXAMPLE(operation, example) \
    for (const mt_example *example = (operation)->examples; example->shape[0].rank; example++)
#define EACH_OPERATION(operation)                                                      \
    for (int operation##_i = 0; operation##_i < mt_operation_count(); operation##_i++) \
        for (const mt_operation *operation = mt_operation_at(operation##_i); operation; operation = NULL)

static mt_kind kind_of_result(const mt_operation *operation, const mt_example *example)
{
    if (operation->gives == MT_GIVES_KIND_ASKED) return example->attribute[0].kind;
    return operation->gives == MT_GIVES_INDEX ? MT_INDEX
                                              : MT_REAL; /* inputs that may be either are REAL here */
}

/* ---- the list ---- */

static void test_list(void **data)
{
    (void)data;
    TEST_TRUE(mt_operation_at(-1) == NULL && mt_operation_at(mt_operation_count()) == NULL);
    EACH_OPERATION(operation)
    {
        TEST_TRUE(mt_operation_by_name(operation->name) == operation);
        test_rows++;
    }
    TEST_NULL(mt_operation_by_name("soft"), MT_ERR_NAME, "\"soft\"");
    TEST_NULL(mt_operation_by_name(NULL), MT_ERR_NAME, "mt_operation_at");
}

/* ---- gradients ---- */

static mt_status check_gradient(mt_backend *b, call_case *c, int64_t every_index)
{
    mt_gradcheck_options options = mt_gradcheck_defaults();
    options.seed = test_bits();
    options.every_index = every_index;
    return mt_gradcheck(b, apply, c, c->in, c->inputs, options);
}

static void test_gradients(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    EACH_OPERATION(operation)
    {
        if (operation->no_vjp) continue;
        EACH_EXAMPLE(operation, example)
        for (int round = 0; round < 3 && kind_of_result(operation, example) == MT_REAL; round++) {
            call_case c = make_case(b, operation, example, round == 0);
            const mt_status status = check_gradient(b, &c, INT64_MAX);
            TEST_CHECK(status == MT_OK, "%s: %s, example %d: %s", b->name, operation->name,
                       (int)(example - operation->examples), mt_last_message());
            test_cases++;
            test_release();
        }
    }
}

/* ---- values ---- */

/* What apply gives on a backend for the values of c; NULL for a failure. */
static double *value_on(mt_backend *b, const call_case *c, bool fuse, mt_shape *shape)
{
    call_case here = *c;
    mt_tape *tape = test_tape(b);
    mt_tape_fuse(tape, fuse);
    for (int i = 0; i < c->inputs; i++) here.in[i] = OWN(mt_tensor_to(c->in[i], b));
    mt_tensor *out = ON(tape, apply(tape, &here, here.in));
    *shape = mt_tensor_shape(out);
    TEST_TRUE(mt_tensor_kind(out) == kind_of_result(c->operation, c->example));
    return test_read(out);
}

/* The first backend is the oracle of the others; and the shape is the rule's. */
static void test_values(void **data)
{
    (void)data;
    mt_backend *oracle = *test_backend_list();
    EACH_OPERATION(operation)
    EACH_EXAMPLE(operation, example)
    {
        call_case c = make_case(oracle, operation, example, false);
        mt_shape shape, other;
        const double *want = value_on(oracle, &c, true, &shape);
        if (operation->shape) {
            mt_tensor *like[MT_MAX_INPUTS];
            for (int i = 0; i < c.inputs; i++) like[i] = OWN(mt_zeros(oracle, example->shape[i]));
            const mt_call call = {
                .in = like, .attribute = example->attribute, .operation = operation, .inputs = c.inputs};
            TEST_OK(operation->shape(&call, &other));
            TEST_CHECK(mt_shape_equal(shape, other), "%s: the result has shape %s, the rule says %s",
                       operation->name, test_text(shape), test_text(other));
        }
        EACH_BACKEND(b)
        for (int fuse = 1; fuse >= 0; fuse--) {
            const double *got = value_on(b, &c, fuse, &other);
            TEST_TRUE(mt_shape_equal(shape, other));
            for (int64_t k = 0; k < test_count(shape); k++)
                TEST_CHECK(test_close(got[k], want[k], 64 * test_epsilon, 64 * test_epsilon),
                           "%s%s: element %lld of %s is %.9g, on %s it is %.9g", b->name,
                           fuse ? "" : " without fusing", (long long)k, operation->name, got[k], oracle->name,
                           want[k]);
            test_cases++;
        }
        test_release();
    }
}

/* From one kind to the other and back on the tape: to INDEX rounds towards zero and ends the way of
 * gradients. */
static void test_kinds(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        const double values[] = {-1.75, -0.5, 0.5, 2.25};
        const int64_t large[] = {(int64_t)1 << 53, -3};
        mt_tensor *x = OWN(mt_from_doubles(b, values, mt_shape(4))),
                  *i = OWN(mt_from_indices(b, large, mt_shape(2)));
        TEST_OK(mt_require_grad(x, true));
        mt_tape *tape = test_tape(b);
        mt_tensor *whole = ON(tape, mt_as(tape, x, MT_INDEX)), *again = ON(tape, mt_as(tape, whole, MT_REAL));
        TEST_TRUE(mt_tensor_kind(whole) == MT_INDEX && mt_tensor_kind(again) == MT_REAL);
        TEST_TRUE(!mt_requires_grad(whole) && !mt_requires_grad(again) && mt_tape_length(tape) == 0);
        TEST_ALL_SAME(test_read(again), (const double[]){-1, 0, 0, 2}, 4, "towards zero");
        TEST_TRUE(mt_get(ON(tape, mt_as(tape, i, MT_INDEX)), mt_at(0), &(double){0}) == MT_OK);
        mt_tensor *same = ON(tape, mt_as(tape, x, MT_REAL));
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_mul(tape, same, again)))));
        TEST_ALL_SAME(test_read(mt_grad(x)), (const double[]){-1, 0, 0, 2}, 4,
                      "the gradient through as REAL");
        test_cases++;
        test_release();
    }
}

/* ---- refusals ---- */

/* Applies it to these instead, on a tape of its own. */
static void refused(mt_backend *b, const call_case *c, mt_tensor *const *in, int inputs,
                    const mt_attribute *attribute, mt_status want, const char *part)
{
    mt_tape *tape = test_tape(b);
    test_stale();
    const mt_tensor *out = mt_apply_operation(tape, c->operation, in, inputs, attribute);
    TEST_CHECK(!out && mt_tape_status(tape) != MT_OK, "%s was not refused (%s)", c->operation->name, part);
    if (want != MT_OK)
        TEST_CHECK(mt_tape_status(tape) == want, "%s was refused with %s instead of %s (%s)",
                   c->operation->name, mt_status_name(mt_tape_status(tape)), mt_status_name(want),
                   mt_tape_message(tape));
    TEST_CHECK(strstr(mt_tape_message(tape), part), "\"%s\" does not say \"%s\"", mt_tape_message(tape),
               part);
    test_cases++;
}

static void refuse_inputs(mt_backend *b, const call_case *c)
{
    const mt_operation *operation = c->operation;
    const mt_attribute *usual = c->example->attribute;
    mt_tensor *many[MT_MAX_LIST + 1] = {NULL};
    memcpy(many, c->in, sizeof c->in);
    refused(b, c, many, operation->list ? MT_MAX_LIST + 1 : c->inputs + 1, usual, MT_ERR_VALUE,
            operation->name);
    refused(b, c, c->in, inputs_of(operation) - 1, usual, MT_ERR_VALUE, operation->name);
    for (int i = 0; i < c->inputs; i++) {
        char operand[64];
        mt_tensor *in[MT_MAX_INPUTS + 1] = {NULL};
        memcpy(in, c->in, sizeof c->in);
        in[i] = NULL;
        snprintf(operand, sizeof operand, "operand %d of %s is NULL", i, operation->name);
        refused(b, c, in, c->inputs, usual, MT_OK, operand);
        if (input_of(operation, i)->takes != MT_TAKES_ANY) {
            const mt_kind wrong = input_of(operation, i)->takes == MT_TAKES_INDEX ? MT_REAL : MT_INDEX;
            in[i] = OWN(mt_empty(b, c->example->shape[i], wrong));
            refused(b, c, in, c->inputs, usual, MT_ERR_KIND, input_of(operation, i)->name);
        }
        if (input_of(operation, i)->constant && input_of(operation, i)->takes == MT_TAKES_REAL) {
            in[i] = OWN(mt_zeros(b, c->example->shape[i]));
            TEST_OK(mt_require_grad(in[i], true));
            refused(b, c, in, c->inputs, usual, MT_ERR_STATE, input_of(operation, i)->name);
        }
        if (c->inputs > 1) { /* sizes that go with nothing */
            const mt_shape odd = mt_shape(11, 13, 17);
            in[i] =
                OWN(mt_empty(b, odd, input_of(operation, i)->takes == MT_TAKES_INDEX ? MT_INDEX : MT_REAL));
            mt_tensor *other = in[1 - (i > 0)];
            if (test_count(mt_tensor_shape(other)) > 1 &&
                !(operation->input[1].takes == MT_TAKES_INDEX && i == 0))
                refused(b, c, in, c->inputs, usual, MT_ERR_SHAPE, "(11, 13, 17)");
        }
    }
}

static void refuse_attributes(mt_backend *b, const call_case *c)
{
    const mt_operation *operation = c->operation;
    const mt_shape twice = mt_axes(0, 0), outside = mt_axes(MT_MAX_DIMS), no_shape = {0};
    const int count = attributes_of(operation);
    if (count) refused(b, c, c->in, c->inputs, NULL, MT_ERR_VALUE, operation->attribute[0].name);
    for (int i = 0; i < count; i++) {
        mt_attribute changed[MT_MAX_ATTRIBUTES];
        memcpy(changed, c->example->attribute, sizeof changed);
        switch (operation->attribute[i].type) {
        case MT_ATTRIBUTE_DIM:
            changed[i].integer = c->example->shape[0].rank;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_INDEX, operation->name);
            changed[i].integer = -c->example->shape[0].rank - 1;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_INDEX, operation->name);
            break;
        case MT_ATTRIBUTE_DIMS:
            changed[i].shape = &twice;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_SHAPE, "named twice");
            changed[i].shape = &outside;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_INDEX, operation->name);
            changed[i].shape = &no_shape;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_SHAPE, "");
            break;
        case MT_ATTRIBUTE_SHAPE:
            changed[i].shape = NULL;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_VALUE, operation->attribute[i].name);
            changed[i].shape = &no_shape;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_SHAPE, "");
            break;
        case MT_ATTRIBUTE_KIND:
            changed[i].kind = (mt_kind)2;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_KIND, operation->name);
            break;
        case MT_ATTRIBUTE_OP:
            changed[i].op = -1;
            refused(b, c, c->in, c->inputs, changed, MT_ERR_NAME, "");
            break;
        default: break; /* any number and any truth is one */
        }
    }
}

static void test_refusals(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    EACH_OPERATION(operation)
    {
        call_case c = make_case(b, operation, operation->examples, true);
        refuse_inputs(b, &c);
        refuse_attributes(b, &c);
        test_release();
    }
}

/* ---- an operation of one's own, of a list of inputs ---- */

static mt_status shape_total(const mt_call *call, mt_shape *result)
{
    *result = mt_tensor_shape(call->in[0]);
    for (int i = 1; i < call->inputs; i++)
        if (!mt_shape_equal(*result, mt_tensor_shape(call->in[i])))
            return mt_fail(MT_ERR_SHAPE, "total: input %d has another shape", i);
    return MT_OK;
}

static mt_status run_total(mt_call *call, mt_tensor *out)
{
    mt_status status = mt_op_fill(out, 0);
    for (int i = 0; i < call->inputs && status == MT_OK; i++) status = mt_op_add(out, out, call->in[i]);
    return status == MT_OK ? mt_op_scale(out, out, call->attribute[0].real) : status;
}

static void vjp_total(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    for (int i = 0; i < node->inputs; i++) mt_send(tape, node, i, mt_scale(tape, g, node->attribute[0].real));
}

static const mt_operation total = {
    .name = "total",
    .formula = "the sum of all inputs times factor",
    .input = {{.name = "x", .low = -1, .high = 1}},
    .list = true,
    .attribute = {{"factor", MT_ATTRIBUTE_REAL}},
    .shape = shape_total,
    .run = run_total,
    .vjp = vjp_total,
    .reads = {(unsigned)MT_READS_ATTRIBUTES},
    .cost = MT_COST_ARITHMETIC,
};

static mt_tensor *apply_total(mt_tape *tape, void *context, mt_tensor *const *in)
{
    return mt_apply_operation(tape, &total, in, *(int *)context, &(mt_attribute){.real = -1.5});
}

static void test_a_list(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *in[MT_MAX_LIST + 1];
        for (int i = 0; i <= MT_MAX_LIST; i++) {
            in[i] = OWN(mt_full(b, mt_shape(2, 3), i));
            TEST_OK(mt_require_grad(in[i], i % 3 != 1));
        }
        for (int n = 1; n <= MT_MAX_LIST; n += 7) {
            mt_tape *tape = test_tape(b);
            const mt_tensor *y = ON(tape, apply_total(tape, &n, in));
            TEST_TRUE(test_read(y)[5] == -1.5 * n * (n - 1) / 2);
            TEST_OK(mt_gradcheck(b, apply_total, &n, in, n, mt_gradcheck_defaults()));
            test_cases++;
        }
        mt_tape *tape = test_tape(b);
        int many = MT_MAX_LIST + 1;
        TEST_TRUE(!apply_total(tape, &many, in));
        TEST_CHECK(strstr(mt_tape_message(tape), "total: 25 inputs; it takes 1 to 24"), "%s",
                   mt_tape_message(tape));
        test_release();
    }
}

static mt_status run_silently(mt_call *call, mt_tensor *out)
{
    (void)call, (void)out;
    return MT_ERR_VALUE;
}

static mt_tensor *somebodys; /* a tensor of no tape */

static mt_tensor *express_somebodys(mt_call *call)
{
    (void)call;
    return somebodys;
}

/* Descriptors of a program may be wrong; its expression may give back a tensor that it frees, or another
 * tape's. */
static void test_of_a_program(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b), *other = test_tape(b);
        mt_tensor *x = OWN(mt_ones(b, mt_shape(3)));
        TEST_OK(mt_require_grad(x, true));
        mt_operation nothing = total;
        nothing.run = NULL;
        TEST_TRUE(!mt_apply_operation(tape, &nothing, &x, 1, &(mt_attribute){.real = 1}));
        TEST_CHECK(strstr(mt_tape_message(tape), "total: nothing computes it"), "%s", mt_tape_message(tape));
        mt_tape_reset(tape);
        nothing.run = run_silently;
        mt_fail(MT_ERR_IO, "a sentence of something else");
        TEST_TRUE(!mt_apply_operation(tape, &nothing, &x, 1, &(mt_attribute){.real = 1}));
        TEST_CHECK(strstr(mt_tape_message(tape), "total: what computes it failed"), "%s",
                   mt_tape_message(tape));
        mt_tape_reset(tape);
        mt_operation gives = *mt_operation_by_name("contiguous");
        gives.expression = express_somebodys;
        somebodys = mt_full(b, mt_shape(3), 7);
        mt_tensor *y = ON(tape, mt_apply_operation(tape, &gives, &x, 1, NULL));
        mt_tensor_free(somebodys);
        TEST_TRUE(test_read(y)[2] == 7);
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, y))));
        TEST_TRUE(test_read(mt_grad(x))[2] == 1);
        somebodys = ON(other, mt_num(other, 1));
        TEST_TRUE(!mt_apply_operation(tape, &gives, &x, 1, NULL));
        TEST_CHECK(strstr(mt_tape_message(tape), "another tape"), "%s", mt_tape_message(tape));
        somebodys = NULL;
        mt_tape_reset(tape);
        TEST_TRUE(!mt_apply_operation(tape, &gives, &x, 1, NULL) && mt_tape_status(tape) != MT_OK);
        test_cases++;
        test_release();
    }
}

/* ---- what a VJP makes is gone after it ---- */

static mt_tensor *kept;

static void vjp_keeps(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    kept = mt_scale(tape, g, 3);
    mt_send(tape, node, 0, mt_add(tape, kept, g));
}

static void test_scratch(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_operation keeps = *mt_operation_by_name("copy");
        keeps.vjp = vjp_keeps;
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_ones(b, mt_shape(1000))), *one = OWN(mt_ones(b, mt_shape(1000)));
        TEST_OK(mt_require_grad(x, true));
        for (int step = 0; step < 4; step++) {
            mt_zero_grad(x);
            mt_tensor *y = x;
            for (int i = 0; i < 3; i++) y = mt_apply_operation(tape, &keeps, &y, 1, NULL);
            const uint64_t before = mt_get_alloc_stats().allocations;
            TEST_OK(mt_backward_from(tape, ON(tape, y), one));
            if (step > 0) TEST_TRUE(mt_get_alloc_stats().allocations == before);
            TEST_TRUE(test_read(mt_grad(x))[999] == 64);
            TEST_NULL(mt_keep(kept), MT_ERR_STATE, "used after");
            mt_tape_reset(tape);
        }
        test_cases++;
        test_release();
    }
}

/* ---- mistakes in a VJP: every backend call that it makes is changed in turn ---- */

typedef enum { SIGN, FACTOR, DROPPED, MISTAKES } mistake_kind;
static const char *const mistake_names[MISTAKES] = {"a flipped sign", "a factor", "a dropped term"};

enum { G = -1, FIRST_INPUT = -2 }; /* input i is FIRST_INPUT - i */

/* A backend in front of simple, which changes what one call of a VJP writes. */
static struct {
    bool in_vjp;
    int calls;   /* of this VJP so far */
    int most;    /* the most that one made */
    int changed; /* which of them, from 0; G: the cotangent that the VJP receives; below: an input is
                    forgotten */
    mistake_kind mistake;
    bool effect; /* whether any change made a difference */
    void (*vjp)(mt_tape *tape, const mt_node *node, mt_tensor *g);
} plan;

static void vjp_watched(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    static const double factors[MISTAKES] = {-1, 1.5, 0};
    union {
        mt_node node;
        char room[sizeof(mt_node) + MT_MAX_INPUTS * sizeof(mt_edge)]; /* with the node's edges behind it */
    } copy;
    memcpy(&copy, node, sizeof *node + (size_t)node->inputs * sizeof(mt_edge));
    if (plan.changed == G) g = mt_scale(tape, g, factors[plan.mistake]);
    if (plan.changed <= FIRST_INPUT) copy.node.wants &= ~(1u << (FIRST_INPUT - plan.changed));
    plan.effect |= plan.changed < 0;
    plan.in_vjp = true;
    plan.calls = 0;
    plan.vjp(tape, &copy.node, g);
    if (plan.calls > plan.most) plan.most = plan.calls;
    plan.in_vjp = false;
}

/* What a call wrote becomes wrong, if it is the one. */
static mt_status then_spoil(mt_operand out, mt_kind kind, mt_status status)
{
    if (status != MT_OK || !plan.in_vjp || plan.calls++ != plan.changed) return status;
    int64_t index[MT_MAX_DIMS] = {0};
    const mt_shape shape = mt_layout_shape(out.layout);
    for (int64_t i = 0; i < test_count(shape); i++) {
        test_unravel(shape, i, index);
        const int64_t at = mt_layout_position(out.layout, index);
        if (kind == MT_INDEX) { /* another position, which is one too */
            int64_t *x = (int64_t *)out.data + at;
            plan.effect |= *x != 0;
            *x = 0;
            continue;
        }
        mt_real *x = (mt_real *)out.data + at;
        const mt_real was = *x;
        *x = plan.mistake == SIGN ? -was : plan.mistake == FACTOR ? (mt_real)1.5 * was : 0;
        plan.effect |= *x != was;
    }
    return status;
}

static mt_status spoiled_fill(mt_backend *b, mt_operand out, mt_kind kind, double value)
{
    (void)b;
    return then_spoil(out, kind, test_simple()->fill(test_simple(), out, kind, value));
}

static mt_status spoiled_copy(mt_backend *b, mt_operand out, mt_kind out_kind, mt_operand in, mt_kind in_kind)
{
    (void)b;
    return then_spoil(out, out_kind, test_simple()->copy(test_simple(), out, out_kind, in, in_kind));
}

static mt_status spoiled_map(mt_backend *b, const mt_elementwise_work *work)
{
    (void)b;
    return then_spoil(work->operand[0], MT_REAL, test_simple()->map(test_simple(), work));
}

static mt_status spoiled_zip(mt_backend *b, const mt_elementwise_work *work)
{
    (void)b;
    return then_spoil(work->operand[0], MT_REAL, test_simple()->zip(test_simple(), work));
}

static mt_status spoiled_reduce(mt_backend *b, const mt_reduce_work *work)
{
    (void)b;
    const bool arg = work->op == MT_ARGMAX || work->op == MT_ARGMIN;
    return then_spoil(work->out, arg ? MT_INDEX : MT_REAL, test_simple()->reduce(test_simple(), work));
}

static mt_status spoiled_scatter(mt_backend *b, const mt_scatter_work *work)
{
    (void)b;
    return then_spoil(work->out, MT_REAL, test_simple()->scatter(test_simple(), work));
}

static mt_status spoiled_rows(mt_backend *b, const mt_rows_work *work)
{
    (void)b;
    return then_spoil(work->out, work->kind, test_simple()->rows(test_simple(), work));
}

static mt_status spoiled_matmul(mt_backend *b, const mt_matmul_work *work)
{
    (void)b;
    return then_spoil(work->out, MT_REAL, test_simple()->matmul(test_simple(), work));
}

static mt_status spoiled_where(mt_backend *b, mt_operand out, mt_operand mask, mt_kind mask_kind,
                               mt_operand x, mt_operand y)
{
    (void)b;
    return then_spoil(out, MT_REAL, test_simple()->where(test_simple(), out, mask, mask_kind, x, y));
}

static mt_status spoiled_softmax(mt_backend *b, const mt_softmax_work *work)
{
    (void)b;
    return then_spoil(work->out, MT_REAL, test_simple()->softmax(test_simple(), work));
}

static mt_status spoiled_cross_entropy(mt_backend *b, const mt_cross_entropy_work *work)
{
    (void)b;
    const mt_status status = test_simple()->cross_entropy(test_simple(), work);
    return work->back ? then_spoil(work->out, MT_REAL, status) : status;
}

static mt_status spoiled_conv(mt_backend *b, const mt_conv_work *work)
{
    (void)b;
    const mt_operand out = work->part == MT_CONV_VALUE    ? work->y
                           : work->part == MT_CONV_GRAD_X ? work->x
                                                          : work->w;
    return then_spoil(out, MT_REAL, test_simple()->conv(test_simple(), work));
}

/* Its two results one after the other, as two calls. */
static mt_status spoiled_layer_norm(mt_backend *b, const mt_layer_norm_work *work)
{
    (void)b;
    mt_status status = test_simple()->layer_norm(test_simple(), work);
    mt_real *const result[] = {work->to_x, work->hat};
    const mt_layout whole = {.rank = 1, .size = {work->rows * work->n}, .stride = {1}};
    for (int i = 0; i < 2 && work->back && status == MT_OK; i++)
        if (result[i]) status = then_spoil((mt_operand){result[i], &whole}, MT_REAL, status);
    return status;
}

static mt_status spoiled_gather(mt_backend *b, const mt_gather_work *work)
{
    (void)b;
    return then_spoil(work->out, work->kind, test_simple()->gather(test_simple(), work));
}

static mt_status spoiled_cumsum(mt_backend *b, mt_operand out, mt_operand in, int dim, bool back)
{
    (void)b;
    return then_spoil(out, MT_REAL, test_simple()->cumsum(test_simple(), out, in, dim, back));
}

static mt_backend *spoiling(void)
{
    static mt_backend backend;
    if (!backend.name) {
        backend = *test_simple();
        backend.name = "spoiling";
        backend.fill = spoiled_fill;
        backend.copy = spoiled_copy;
        backend.map = spoiled_map;
        backend.zip = spoiled_zip;
        backend.reduce = spoiled_reduce;
        backend.scatter = spoiled_scatter;
        backend.rows = spoiled_rows;
        backend.matmul = spoiled_matmul;
        backend.where = spoiled_where;
        backend.softmax = spoiled_softmax;
        backend.cross_entropy = spoiled_cross_entropy;
        backend.conv = spoiled_conv;
        backend.layer_norm = spoiled_layer_norm;
        backend.gather = spoiled_gather;
        backend.cumsum = spoiled_cumsum;
        TEST_OK(mt_backend_register(&backend));
    }
    return mt_backend_get("spoiling");
}

/* A change of this call of the VJP makes no difference to the gradient, and why. */
static const struct {
    const char *operation;
    int call;
    mistake_kind mistake;
    const char *why;
} harmless[] = {
    {"prod", 0, SIGN, "whether a factor is 0 chooses between two ways with the same values"},
    {"prod", 0, FACTOR, "the same"},
    {"prod", 0, DROPPED, "the same"},
    {"bce", 3, SIGN, "the least divisor is not reached where a difference can be taken"},
    {"bce", 3, FACTOR, "the same"},
    {"bce", 3, DROPPED, "the same"},
};

static bool is_harmless(const char *name, int call, mistake_kind mistake)
{
    for (size_t i = 0; i < TEST_LENGTH(harmless); i++)
        if (strcmp(harmless[i].operation, name) == 0 && harmless[i].call == call &&
            harmless[i].mistake == mistake)
            return true;
    return false;
}

/* A sample may hide a mistake: an element that is clamped, a product that is nearly 0. */
enum { ROUNDS = 20 };

/* Whether an example of the operation shows the mistake; *changes says whether it changed anything anywhere.
 */
static bool is_caught(const mt_operation *operation, int call, mistake_kind mistake, bool *changes)
{
    mt_operation watched = *operation;
    watched.vjp = vjp_watched;
    bool caught = false;
    *changes = false;
    plan.most = 0;
    for (int round = 0; round < ROUNDS && !caught; round++) {
        if (round > 1 && call >= plan.most) break; /* there is no such call */
        EACH_EXAMPLE(operation, example)
        {
            if (caught) break;
            call_case c = make_case(spoiling(), &watched, example, false);
            plan.vjp = operation->vjp;
            plan.changed = call;
            plan.mistake = mistake;
            plan.effect = false;
            caught |= check_gradient(spoiling(), &c, INT64_MAX) == MT_ERR_VALUE;
            *changes |= plan.effect;
            test_release();
        }
    }
    return caught;
}

/* Whether nothing flows to that input in any case; G: to any. */
static bool passes_nothing(const mt_operation *operation, int input)
{
    bool nothing = true;
    if (input == G) {
        for (int i = 0; i < inputs_of(operation); i++) nothing = nothing && passes_nothing(operation, i);
        return nothing;
    }
    if (operation->input[input].constant || strcmp(operation->name, "all") == 0) return true;
    return operation->row && mt_op_describe(operation->row - 1)->needs[input] & MT_IS_ZERO;
}

/* One mistake: counts it where it changes anything, and tells of it when it goes unseen. Returns whether it
 * did. */
static bool is_unseen(const mt_operation *operation, int call, mistake_kind mistake, bool *changes)
{
    const bool caught = is_caught(operation, call, mistake, changes);
    if (!*changes) return false;
    test_cases++;
    const bool nothing = call < 0 && passes_nothing(operation, call == G ? G : FIRST_INPUT - call);
    if (caught != (nothing || is_harmless(operation->name, call, mistake))) return false;
    printf("    %s in call %d of the VJP of %s was %s\n", mistake_names[mistake], call, operation->name,
           caught ? "caught, though it is listed as harmless" : "not caught");
    return true;
}

static void test_mistakes(void **data)
{
    (void)data;
    long unseen = 0;
    if (sizeof(mt_real) == sizeof(float)) return; /* where differences are exact enough */
    EACH_OPERATION(operation)
    {
        if (!operation->vjp) continue;
        if (test_small() && operation_i % 8 != 0) continue; /* a VJP is written alike for every processor */
        bool any = true, changes;
        for (int i = 0; operation->input[1].name && !operation->input[1].constant && i < inputs_of(operation);
             i++)
            unseen += is_unseen(operation, FIRST_INPUT - i, DROPPED, &changes);
        for (int call = G; any; call++) {
            any = call < 0;
            for (int i = 0; i < MISTAKES; i++, any |= changes)
                unseen += is_unseen(operation, call, (mistake_kind)i, &changes);
        }
    }
    TEST_CHECK(unseen == 0, "%ld mistakes in VJPs were not seen", unseen);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_list),         TEST(test_gradients), TEST(test_values),
        TEST(test_kinds),        TEST(test_refusals),  TEST(test_a_list),
        TEST(test_of_a_program), TEST(test_scratch),   TEST(test_mistakes),
    };
    return TEST_RUN("descriptors", tests);
}
