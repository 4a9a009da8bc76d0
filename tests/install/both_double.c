/* tests/install/both_double.c - the other half, compiled with `pkg-config --cflags minitorch_d`. */
#include <minitorch.h>

#include "both.h"

double double_third(void)
{
    mt_tensor *x = mt_full(mt_backend_get("cpu"), mt_shape(1), 1.0 / 3);
    double value = mt_item(x);
    mt_tensor_free(x);
    return value;
}
