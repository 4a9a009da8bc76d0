/* tests/test_pytorch.c - operations that are no row of op_table.inc against results and gradients that
 * PyTorch computed once. golden/make_pytorch.py wrote the cases; their numbers are exact in float too.
 */
#include <math.h>

#include "autodiff/operation.h"
#include "support.h"

typedef struct golden_array {
    mt_kind kind;
    mt_shape shape; /* rank 0: none */
    const double *values;
} golden_array;

static const struct {
    const char *name;
    golden_array in[MT_MAX_INPUTS];
    int inputs;
    mt_attribute attribute[MT_MAX_ATTRIBUTES];
    golden_array out, grad[MT_MAX_INPUTS];
} cases[] = {
#include "golden/pytorch.inc"
};

static void same(const mt_tensor *got, const golden_array *want, size_t number, const char *what)
{
    char text[80];
    snprintf(text, sizeof text, "case %d, %s of %s", (int)number, what, cases[number].name);
    TEST_CHECK(mt_tensor_kind(got) == want->kind, "%s: another kind", text);
    TEST_CHECK(mt_shape_equal(mt_tensor_shape(got), want->shape), "%s has shape %s instead of %s", text,
               test_text(mt_tensor_shape(got)), test_text(want->shape));
    TEST_ALL_SAME(test_read(got), want->values, test_count(want->shape), text);
}

/* Inputs lie in random layouts: views of parameters, to which the gradients go back. */
static void run_case(mt_backend *b, size_t number)
{
    mt_tensor *in[MT_MAX_INPUTS], *view[MT_MAX_INPUTS];
    mt_tape *tape = test_tape(b);
    for (int i = 0; i < cases[number].inputs; i++) {
        const golden_array *from = &cases[number].in[i];
        mt_tensor *x = OWN(mt_from_doubles(b, from->values, from->shape));
        if (from->kind == MT_INDEX) {
            in[i] = view[i] = OWN(mt_tensor_as(x, MT_INDEX));
            continue;
        }
        /* The same elements with the dimensions in reverse order, and the view that turns them back. */
        mt_shape reverse = {.rank = from->shape.rank};
        for (int d = 0; d < reverse.rank; d++) reverse.size[d] = reverse.rank - 1 - d;
        in[i] = OWN(mt_tensor_copy(OWN(mt_tensor_permute(x, reverse))));
        TEST_OK(mt_require_grad(in[i], true));
        view[i] = ON(tape, mt_permute(tape, in[i], reverse));
    }
    const mt_operation *operation = mt_operation_by_name(cases[number].name);
    TEST_CHECK(operation, "%s", mt_last_message());
    mt_tensor *out =
        ON(tape, mt_apply_operation(tape, operation, view, cases[number].inputs, cases[number].attribute));
    same(out, &cases[number].out, number, "the result");
    if (mt_requires_grad(out)) {
        const int64_t n = test_count(cases[number].out.shape);
        double *values = test_memory((size_t)(n + 1) * sizeof *values);
        for (int64_t i = 0; i < n; i++) values[i] = (double)(i % 4 + 1);
        TEST_OK(mt_backward_from(tape, out, OWN(mt_from_doubles(b, values, cases[number].out.shape))));
    }
    for (int i = 0; i < cases[number].inputs; i++) {
        const golden_array *want = &cases[number].grad[i];
        if (want->shape.rank) same(mt_grad(view[i]), want, number, "a gradient");
    }
    test_cases++;
    test_release();
}

static void test_cases_of_pytorch(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) run_case(b, i);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_cases_of_pytorch)};
    return TEST_RUN("pytorch", tests);
}
