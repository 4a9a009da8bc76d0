/* tests/test_composed.c - operations made of others (autodiff/norms.c, masks.c, any, outer) against values
 * and gradients that PyTorch computed once, with zeros, ties, NaN and infinities among them.
 * golden/make_composed.py wrote them; what it could not ask PyTorch for, refusals, stands at the end.
 */
#include "autodiff/operation.h"
#include "autodiff/operations.h"
#include "support.h"

#include <math.h>
#include <string.h>

enum { EVERY = 9, MOST = 16 };

typedef struct {
    const char *name;
    mt_shape shape;
    int dim; /* EVERY: all */
    bool keepdim;
    double number; /* order, correction or value */
    int64_t integer;
    int count; /* of the result */
    double x[MOST], y[MOST], gradient[MOST];
} golden;

static const golden cases[] = {
#include "golden/composed.inc"
};

static mt_tensor *apply(mt_tape *tape, const golden *c, mt_tensor *x, mt_tensor *other)
{
    const mt_operation *operation = mt_operation_by_name(c->name);
    if (!operation) return NULL; /* which ON tells of */
    const mt_shape dims = mt_axes(c->dim);
    mt_attribute attribute[MT_MAX_ATTRIBUTES] = {{.real = 0}};
    for (int i = 0; i < MT_MAX_ATTRIBUTES && operation->attribute[i].name; i++) {
        const mt_attribute_type type = operation->attribute[i].type;
        if (type == MT_ATTRIBUTE_DIMS) attribute[i].shape = c->dim == EVERY ? NULL : &dims;
        if (type == MT_ATTRIBUTE_BOOL) attribute[i].truth = c->keepdim;
        if (type == MT_ATTRIBUTE_REAL) attribute[i].real = c->number;
        if (type == MT_ATTRIBUTE_INTEGER) attribute[i].integer = c->integer;
    }
    return mt_apply_operation(tape, operation, (mt_tensor *[]){x, other}, operation->input[1].name ? 2 : 1,
                              attribute);
}

static void compare(const mt_backend *b, const golden *c, const double *got, const double *want, int64_t n,
                    const char *what)
{
    for (int64_t k = 0; k < n; k++)
        TEST_CHECK(test_close(got[k], want[k], 64 * test_epsilon, 64 * test_epsilon),
                   "%s: case %d, %s: %s %lld is %.17g, in PyTorch %.17g", b->name, (int)(c - cases), c->name,
                   what, (long long)k, got[k], want[k]);
}

static void test_values(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
        const golden *c = &cases[i];
        const bool indices = strcmp(c->name, "one_hot") == 0, outer = strcmp(c->name, "outer") == 0;
        double cotangent[MOST];
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_from_doubles(b, c->x, c->shape));
        const double mask[] = {1, 0, outer ? -2 : NAN};
        mt_tensor *other = OWN(mt_from_doubles(b, mask, mt_shape(3)));
        if (indices) x = OWN(mt_tensor_as(x, MT_INDEX));
        if (!indices) TEST_OK(mt_require_grad(x, true));
        mt_tensor *y = ON(tape, apply(tape, c, x, other));
        TEST_TRUE(mt_tensor_count(y) == c->count && c->count <= MOST);
        compare(b, c, test_read(y), c->y, c->count, "element");
        if (!indices) {
            for (int k = 0; k < c->count; k++) cotangent[k] = 1 + k / 2.0;
            TEST_OK(mt_backward_from(tape, y, OWN(mt_from_doubles(b, cotangent, mt_tensor_shape(y)))));
            compare(b, c, test_read(mt_grad(x)), c->gradient, mt_tensor_count(x), "gradient");
        }
        test_cases++;
        test_release();
    }
}

/* Over nothing. */
static void test_nothing(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *none = OWN(mt_zeros(b, mt_shape(2, 0)));
        TEST_OK(mt_require_grad(none, true));
        mt_tensor *const results[] = {mt_any_dim(tape, none, 1, false), mt_norm_dim(tape, none, 1, 2, false),
                                      mt_norm_dim(tape, none, 1, 1, false),
                                      mt_logsumexp_dim(tape, none, 1, false),
                                      mt_std_dim(tape, none, 1, 0, false)};
        static const double want[] = {0, 0, 0, -INFINITY, NAN};
        for (size_t i = 0; i < TEST_LENGTH(results); i++) {
            const double *got = test_read(ON(tape, results[i]));
            TEST_ALL_SAME(got, ((const double[]){want[i], want[i]}), 2, "over nothing");
            TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, results[i]))));
            test_cases++;
        }
        test_release();
    }
}

static void test_refusals(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        const int64_t labels[] = {0, 3, -1};
        mt_tensor *index = OWN(mt_from_indices(b, labels, mt_shape(3))), *x = OWN(mt_ones(b, mt_shape(3))),
                  *none = OWN(mt_ones(b, mt_shape(2, 0))),
                  *deep = OWN(mt_empty(b, mt_shape(1, 1, 1, 1, 1, 1, 1, 1), MT_INDEX));
        mt_tensor *high = OWN(mt_tensor_slice(index, 0, 0, 2, 1));
#define REFUSED(call, status, text)               \
    do {                                          \
        mt_tape *t = test_tape(b);                \
        TEST_NULL(call, status, text);            \
        TEST_TRUE(mt_tape_status(t) == (status)); \
        test_cases++;                             \
    } while (0)
        REFUSED(mt_one_hot(t, index, 4), MT_ERR_INDEX, "one_hot: an index is not within 0 to 3");
        REFUSED(mt_one_hot(t, high, 3), MT_ERR_INDEX, "within 0 to 2");
        REFUSED(mt_one_hot(t, index, 0), MT_ERR_VALUE, "one_hot: 0 classes");
        REFUSED(mt_one_hot(t, deep, 2), MT_ERR_SHAPE, "8 dimensions");
        REFUSED(mt_one_hot(t, x, 2), MT_ERR_KIND, "must be an INDEX");
        REFUSED(mt_tril(t, x, 0), MT_ERR_SHAPE, "tril: x has shape (3)");
        REFUSED(mt_triu(t, x, 0), MT_ERR_SHAPE, "triu: x has shape (3)");
        REFUSED(mt_outer(t, x, none), MT_ERR_SHAPE, "outer: operand 1 has shape (2, 0)");
        REFUSED(mt_norm(t, x, 3), MT_ERR_VALUE, "the order is 3");
        REFUSED(mt_norm(t, x, NAN), MT_ERR_VALUE, "the order is nan");
        REFUSED(mt_norm_dim(t, none, 1, INFINITY, false), MT_ERR_SHAPE, "no largest");
        REFUSED(mt_std(t, x, INFINITY), MT_ERR_VALUE, "std: the correction is inf");
        REFUSED(mt_masked_fill(t, x, none, 0), MT_ERR_SHAPE, "(2, 0)");
        test_release();
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_values), TEST(test_nothing), TEST(test_refusals)};
    return TEST_RUN("composed", tests);
}
