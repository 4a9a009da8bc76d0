/* tests/test_vjp.c - what a VJP or a function's backward may do on the tape that runs it, and what it may
 * not: record, mark, rewind, reset, go backward again, give one tensor to several inputs, run out of memory.
 */
#include "autodiff/elementwise.h"
#include "autodiff/node.h"
#include "support.h"

#include <string.h>

/* ---- a function whose backward does something on the way ---- */

typedef mt_status (*on_the_way)(mt_tape *tape, mt_tensor *x);
static mt_tape_position outside; /* marked before the backward */
static mt_tape_position inside;  /* and in it */

static mt_tensor *forward_square(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_square(tape, in[0]);
}

static mt_status backward_square(mt_tape *tape, void *context, mt_tensor *const *in, const mt_tensor *out,
                                 const mt_tensor *cotangent, const bool *needs, mt_tensor *const *grad)
{
    (void)out, (void)needs;
    mt_status status = (*(on_the_way *)context)(tape, in[0]);
    if (status == MT_OK) status = mt_op_mul(grad[0], cotangent, in[0]);
    return status == MT_OK ? mt_op_scale(grad[0], grad[0], 2) : status;
}

/* A graph that goes on only while the backward runs. */
static mt_tensor *graph_on(mt_tape *tape, mt_tensor *x)
{
    mt_tape_record(tape, true);
    mt_tensor *y = mt_sum(tape, mt_exp(tape, mt_contiguous(tape, x)));
    return y;
}

static mt_status records(mt_tape *tape, mt_tensor *x)
{
    return graph_on(tape, x) ? MT_OK : mt_tape_status(tape);
}

static mt_status goes_back(mt_tape *tape, mt_tensor *x) { return mt_backward(tape, graph_on(tape, x)); }

static mt_status on_another(mt_tape *tape, mt_tensor *x)
{
    mt_tape *other = mt_tape_new(mt_tape_backend(tape));
    mt_tensor *w = mt_keep(x);
    mt_status status = mt_require_grad(w, true);
    if (status == MT_OK) status = mt_backward(other, mt_sum(other, mt_mul(other, w, w)));
    TEST_TRUE(test_read(mt_grad(w))[0] == 2 * test_read(x)[0]);
    mt_tensor_free(w);
    mt_tape_free(other);
    return status;
}

static mt_status rewinds_all(mt_tape *tape, mt_tensor *x)
{
    (void)x;
    return mt_tape_rewind(tape, outside);
}

static mt_status rewinds_own(mt_tape *tape, mt_tensor *x)
{
    const mt_tape_position here = mt_tape_mark(tape);
    if (!mt_exp(tape, x)) return mt_tape_status(tape);
    inside = mt_tape_mark(tape);
    return mt_tape_rewind(tape, here);
}

static mt_status resets(mt_tape *tape, mt_tensor *x)
{
    (void)x;
    mt_tape_reset(tape);
    return mt_tape_status(tape);
}

/* y = x, x^2 by the function, whose share arrives while x has one already. */
static mt_tensor *graph(mt_tape *tape, const mt_function *function, mt_tensor *x)
{
    mt_tensor *y = mt_scale(tape, x, 1);
    for (int i = 0; i < 4; i++) y = mt_add(tape, mt_scale(tape, y, 0.5), mt_scale(tape, y, 0.5));
    outside = mt_tape_mark(tape);
    return mt_sum(tape, mt_add(tape, mt_apply(tape, function, &y), y));
}

static void test_deeds(void **data)
{
    (void)data;
    static const struct {
        on_the_way deed;
        const char *refused; /* NULL: it may */
    } rows[] = {
        {records, NULL},
        {on_another, NULL},
        {rewinds_own, NULL},
        {goes_back, "runs a backward already"},
        {rewinds_all, "rewind: the position was marked"},
        {resets, "reset: the tape runs a backward"},
    };
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(rows); i++) {
        on_the_way deed = rows[i].deed;
        const mt_function function = {.name = "squared",
                                      .inputs = 1,
                                      .context = &deed,
                                      .forward = forward_square,
                                      .backward = backward_square};
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_full(b, mt_shape(2, 3), 3));
        TEST_OK(mt_require_grad(x, true));
        for (int step = 0; step < 3; step++) {
            mt_tensor *y = ON(tape, graph(tape, &function, x));
            const int64_t length = mt_tape_length(tape);
            for (int again = 0; again < 3; again++) {
                mt_zero_grad(x);
                const mt_status status = mt_backward(tape, y);
                TEST_TRUE((status == MT_OK) == !rows[i].refused);
                if (rows[i].refused)
                    TEST_CHECK(strstr(mt_tape_message(tape), rows[i].refused), "%s", mt_tape_message(tape));
                else
                    TEST_TRUE(test_read(mt_grad(x))[5] == 7 && mt_tape_length(tape) == length);
                TEST_TRUE(mt_tape_is_recording(tape));
                if (rows[i].refused) break;
                /* handles that were given up come again, and are other tensors */
                for (int k = 0; k < 700; k++) ON(tape, mt_num(tape, k));
                if (deed == rewinds_own) TEST_FAILS(mt_tape_rewind(tape, inside), MT_ERR_STATE, "rewind");
            }
            mt_tape_reset(tape);
        }
        test_cases++;
        test_release();
    }
}

/* ---- descriptors of a program ---- */

static void vjp_one_for_both(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_tensor *share = mt_share(tape, node, 0, g);
    if (!share || !mt_did(tape, mt_op_copy(share, g))) return;
    mt_send(tape, node, 0, share);
    mt_send(tape, node, 1, share);
}

/* What mt_share gave out is input 0's own gradient, which more may be added to. */
static void test_one_for_both(void **data)
{
    (void)data;
    mt_operation both = *mt_operation_by_name("add");
    both.vjp = vjp_one_for_both;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_ones(b, mt_shape(4))), *y = OWN(mt_ones(b, mt_shape(4)));
        TEST_OK(mt_require_grad(x, true));
        TEST_OK(mt_require_grad(y, true));
        mt_tensor *p = ON(tape, mt_copy(tape, x)), *q = ON(tape, mt_copy(tape, y));
        mt_tensor *more = ON(tape, mt_scale(tape, p, 5));
        mt_tensor *sum = ON(tape, mt_apply_operation(tape, &both, (mt_tensor *[]){p, q}, 2, NULL));
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_add(tape, sum, more)))));
        TEST_TRUE(test_read(mt_grad(x))[3] == 6 && test_read(mt_grad(y))[3] == 1);
        TEST_TRUE(test_read(mt_grad(p))[3] == 6 && test_read(mt_grad(q))[3] == 1);
        test_cases++;
        test_release();
    }
}

static void vjp_takes_back(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    const mt_tape_position here = mt_tape_mark(tape);
    mt_send(tape, node, 0, mt_scale(tape, g, 100));
    mt_did(tape, mt_tape_rewind(tape, here));
    mt_send(tape, node, 0, mt_scale(tape, g, 3));
}

/* A gradient that arrived after a mark goes with the rewind, within a backward too. */
static void test_taken_back(void **data)
{
    (void)data;
    mt_operation takes = *mt_operation_by_name("copy");
    takes.vjp = vjp_takes_back;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_ones(b, mt_shape(4)));
        TEST_OK(mt_require_grad(x, true));
        mt_tensor *p = ON(tape, mt_copy(tape, x));
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_apply_operation(tape, &takes, &p, 1, NULL)))));
        TEST_TRUE(test_read(mt_grad(x))[3] == 3 && test_read(mt_grad(p))[3] == 3);
        test_cases++;
        test_release();
    }
}

static void vjp_too_flat(mt_tape *tape, const mt_node *node, mt_tensor *g)
{
    mt_send(tape, node, 0, mt_sum(tape, g));
}

static void test_too_flat(void **data)
{
    (void)data;
    mt_operation flat = *mt_operation_by_name("copy");
    flat.vjp = vjp_too_flat;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_ones(b, mt_shape(2, 3)));
        TEST_OK(mt_require_grad(x, true));
        mt_tensor *y = ON(tape, mt_apply_operation(tape, &flat, &x, 1, NULL));
        TEST_FAILS(mt_backward_from(tape, y, ON(tape, mt_detach(tape, x))), MT_ERR_SHAPE,
                   "the VJP of copy gives a gradient of 1 dimensions to an input of 2");
        test_cases++;
        test_release();
    }
}

static void test_lacking(void **data)
{
    (void)data;
    const mt_operation good = *mt_operation_by_name("copy");
    mt_operation nameless = good, no_input = good, empty_list = good, no_kind = *mt_operation_by_name("as");
    nameless.name = NULL;
    no_input.input[0].name = NULL;
    empty_list.input[0].name = NULL, empty_list.list = true;
    no_kind.attribute[0].name = NULL;
    const struct {
        const mt_operation *operation;
        int inputs;
        bool array;
        mt_status status;
        const char *part;
    } rows[] = {
        {NULL, 1, true, MT_ERR_VALUE, "the operation is NULL"},
        {&good, 1, false, MT_ERR_VALUE, "the array of inputs is NULL"},
        {&nameless, 1, true, MT_ERR_VALUE, "the operation's name is NULL"},
        {&no_input, 0, true, MT_ERR_VALUE, "it has no input"},
        {&empty_list, 1, true, MT_ERR_VALUE, "it has no input"},
        {&good, -1, true, MT_ERR_VALUE, "-1 inputs"},
        {&no_kind, 1, true, MT_ERR_VALUE, "its first attribute is none"},
    };
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(rows); i++) {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_ones(b, mt_shape(3)));
        TEST_NULL(
            mt_apply_operation(tape, rows[i].operation, rows[i].array ? &x : NULL, rows[i].inputs, NULL),
            rows[i].status, rows[i].part);
        TEST_CHECK(mt_tape_status(tape) == rows[i].status && strstr(mt_tape_message(tape), rows[i].part),
                   "%s", mt_tape_message(tape));
        test_cases++;
        test_release();
    }
}

/* ---- no memory for a handle ---- */

static mt_tensor *sum_of(mt_tape *tape, mt_tensor *x) { return mt_sum(tape, x); }
static mt_tensor *mean_of(mt_tape *tape, mt_tensor *x) { return mt_mean_dim(tape, x, 0, false); }
static mt_tensor *prod_of(mt_tape *tape, mt_tensor *x) { return mt_prod(tape, x); }
static mt_tensor *view_of(mt_tape *tape, mt_tensor *x) { return mt_view(tape, x, mt_shape(6)); }
static mt_tensor *turn_of(mt_tape *tape, mt_tensor *x) { return mt_transpose(tape, x, 0, 1); }
static mt_tensor *softmax_of(mt_tape *tape, mt_tensor *x) { return mt_softmax(tape, x, 0); }

/* Wherever in a block of handles a backward finds the end: it fails, or the gradient is right. */
static void test_no_handle(void **data)
{
    (void)data;
    static mt_tensor *(*const of[])(mt_tape * tape, mt_tensor * x) = {sum_of,  mean_of, prod_of,
                                                                      view_of, turn_of, softmax_of};
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(of); i++) {
        mt_tensor *x = OWN(mt_full(b, mt_shape(2, 3), 0.5));
        TEST_OK(mt_require_grad(x, true));
        int failures = 0;
        for (int others = 0; others < 200; others++) {
            mt_tape *tape = mt_tape_new(b);
            mt_tensor *y = ON(tape, of[i](tape, x));
            mt_tensor *one = mt_ones(b, mt_tensor_shape(y));
            mt_zero_grad(x);
            TEST_OK(mt_backward_from(tape, y, one));
            const double *right = test_read(mt_grad(x));
            mt_zero_grad(x);
            for (int k = 0; k < others; k++) ON(tape, mt_num(tape, 0));
            mt_alloc_fail_at(1);
            const mt_status status = mt_backward_from(tape, y, one);
            mt_alloc_fail_at(0);
            failures += status != MT_OK;
            if (status == MT_OK) TEST_ALL_SAME(test_read(mt_grad(x)), right, 6, "with memory running out");
            mt_tensor_free(one);
            mt_tape_free(tape);
        }
        TEST_TRUE(failures > 0);
        test_cases++;
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_deeds),    TEST(test_one_for_both), TEST(test_taken_back),
        TEST(test_too_flat), TEST(test_lacking),      TEST(test_no_handle),
    };
    return TEST_RUN("vjp", tests);
}
