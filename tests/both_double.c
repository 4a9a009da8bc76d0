/* tests/both_double.c - the half of test_both.c that is compiled against the double library. */
#include "autodiff/elementwise.h"
#include "both.h"

#include "autodiff/gradcheck.h"

static mt_tensor *expression(mt_tape *t, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_sigmoid(t, mt_mul(t, in[0], in[0]));
}

double both_double(double *gradient, int *bytes, const char **name)
{
    mt_backend *b = mt_backend_get("cpu");
    mt_tape *t = mt_tape_new(b);
    mt_tensor *x = mt_full(b, mt_shape(1), 1.0 / 3), *in[1] = {x};
    mt_require_grad(x, true);
    mt_tensor *y = expression(t, NULL, in);
    double value = mt_backward(t, y) == MT_OK ? mt_item(y) : -1;
    *gradient = mt_item(mt_grad(x));
    *bytes = (int)sizeof(mt_real);
    *name = BOTH_NAME(mt_backward);
    if (mt_gradcheck(b, expression, NULL, in, 1, mt_gradcheck_defaults()) != MT_OK) value = -2;
    mt_tape_free(t);
    mt_tensor_free(x);
    return value;
}

double both_double_product(int n)
{
    mt_backend *b = mt_backend_get("cpu");
    mt_tensor *x = mt_ones(b, mt_shape(n, n)), *y = mt_zeros(b, mt_shape(n, n)),
              *most = mt_zeros(b, mt_shape(1));
    const mt_status status = mt_op_matmul(y, x, x);
    const double largest =
        status == MT_OK && mt_op_max(most, y, mt_every_dim(y)) == MT_OK ? mt_item(most) : -1;
    mt_tensor_free(x);
    mt_tensor_free(y);
    mt_tensor_free(most);
    return largest;
}

const void *both_double_message(void)
{
    mt_fail(MT_ERR_VALUE, "said by the double library");
    return mt_last_message();
}
