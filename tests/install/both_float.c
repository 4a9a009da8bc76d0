/* tests/install/both_float.c - one program that uses both libraries: this half computes in float and holds
 * main. */
#include <minitorch.h>

#include <math.h>
#include <stdio.h>

#include "both.h"

float float_third(void)
{
    mt_tensor *x = mt_full(mt_backend_get("cpu"), mt_shape(1), 1.0 / 3);
    double value = mt_item(x);
    mt_tensor_free(x);
    return (float)value;
}

int main(void)
{
    double wide = double_third(), narrow = float_third();
    printf("a third: %.17g in double, %.17g in float\n", wide, narrow);
    return !(wide == 1.0 / 3 && narrow != wide && fabs(narrow - wide) < 1e-7);
}
