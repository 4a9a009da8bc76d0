/* autodiff/elementwise.h - a differentiable function for each row of tensor/scalar/op_table.inc, with the
 * rules of ops.h.
 */
#ifndef MT_AUTODIFF_ELEMENTWISE_H
#define MT_AUTODIFF_ELEMENTWISE_H

#include "../tensor/elementwise.h"
#include "ops.h"

MT_BEGIN

/* Elementwise, from tensor/scalar/op_table.inc: mt_neg(t, x), mt_leaky_relu(t, x, slope), mt_clamp(t, x, low,
 * high), mt_add(t, a, b), mt_is_close(t, a, b, atol, rtol)... Comparisons give 1 or 0 and pass no gradient
 * on. Constants are any numbers and enter the formula as they are: clamp with low above high gives high, a
 * bound of NaN is none, and with a negative or NaN tolerance is_close is equality. */
#define MT_DECLARE_MAP_0(name) MT_ROW_API mt_tensor *mt_##name(mt_tape *tape, mt_tensor *x);
#define MT_DECLARE_MAP_1(name) MT_ROW_API mt_tensor *mt_##name(mt_tape *tape, mt_tensor *x, double p0);
#define MT_DECLARE_MAP_2(name) \
    MT_ROW_API mt_tensor *mt_##name(mt_tape *tape, mt_tensor *x, double p0, double p1);
#define MT_DECLARE_ZIP_0(name) MT_ROW_API mt_tensor *mt_##name(mt_tape *tape, mt_tensor *a, mt_tensor *b);
#define MT_DECLARE_ZIP_1(name) \
    MT_ROW_API mt_tensor *mt_##name(mt_tape *tape, mt_tensor *a, mt_tensor *b, double p0);
#define MT_DECLARE_ZIP_2(name) \
    MT_ROW_API mt_tensor *mt_##name(mt_tape *tape, mt_tensor *a, mt_tensor *b, double p0, double p1);
#define MT_MAP(name, params, needs, low, high, formula) MT_DECLARE_MAP_##params(name)
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    MT_DECLARE_ZIP_##params(name)
#include "../tensor/scalar/op_table.inc"
#undef MT_DECLARE_MAP_0
#undef MT_DECLARE_MAP_1
#undef MT_DECLARE_MAP_2
#undef MT_DECLARE_ZIP_0
#undef MT_DECLARE_ZIP_1
#undef MT_DECLARE_ZIP_2

MT_END

#endif
