/* autodiff/elementwise.h - a differentiable function for each row of tensor/scalar/op_table.inc, with the
 * rules of operations.h.
 */
#ifndef MT_AUTODIFF_ELEMENTWISE_H
#define MT_AUTODIFF_ELEMENTWISE_H

#include "../tensor/elementwise_ops.h"
#include "operations.h"

MT_BEGIN

/* Comparisons give 1 or 0 and pass no gradient on; all but is_close also compare two INDEX, exactly.
 * Constants are any numbers and enter the formula as they are: clamp with low above high gives high, a bound
 * of NaN is none, and with a negative or NaN tolerance is_close is equality. What follows is made by
 * tools/declare_operations.py. */

/* from op_table.inc */
/* neg: -x */
MT_ROW_API mt_tensor *mt_neg(mt_tape *tape, mt_tensor *x);
/* relu: x > 0 ? x : 0 */
MT_ROW_API mt_tensor *mt_relu(mt_tape *tape, mt_tensor *x);
/* leaky_relu: x > 0 ? x : slope x */
MT_ROW_API mt_tensor *mt_leaky_relu(mt_tape *tape, mt_tensor *x, double slope);
/* sigmoid: 1 / (1 + exp(-x)) */
MT_ROW_API mt_tensor *mt_sigmoid(mt_tape *tape, mt_tensor *x);
/* tanh: tanh x */
MT_ROW_API mt_tensor *mt_tanh(mt_tape *tape, mt_tensor *x);
/* exp: exp x */
MT_ROW_API mt_tensor *mt_exp(mt_tape *tape, mt_tensor *x);
/* log: ln x */
MT_ROW_API mt_tensor *mt_log(mt_tape *tape, mt_tensor *x);
/* log1p: ln(1 + x) */
MT_ROW_API mt_tensor *mt_log1p(mt_tape *tape, mt_tensor *x);
/* inv: 1 / x */
MT_ROW_API mt_tensor *mt_inv(mt_tape *tape, mt_tensor *x);
/* sqrt: square root of x */
MT_ROW_API mt_tensor *mt_sqrt(mt_tape *tape, mt_tensor *x);
/* square: x x */
MT_ROW_API mt_tensor *mt_square(mt_tape *tape, mt_tensor *x);
/* abs: |x| */
MT_ROW_API mt_tensor *mt_abs(mt_tape *tape, mt_tensor *x);
/* gelu: x (1 + erf(x / sqrt 2)) / 2 */
MT_ROW_API mt_tensor *mt_gelu(mt_tape *tape, mt_tensor *x);
/* silu: x sigmoid(x) */
MT_ROW_API mt_tensor *mt_silu(mt_tape *tape, mt_tensor *x);
/* softplus: ln(1 + exp x) */
MT_ROW_API mt_tensor *mt_softplus(mt_tape *tape, mt_tensor *x);
/* sin: sin x */
MT_ROW_API mt_tensor *mt_sin(mt_tape *tape, mt_tensor *x);
/* cos: cos x */
MT_ROW_API mt_tensor *mt_cos(mt_tape *tape, mt_tensor *x);
/* erf: 2 / sqrt pi times the integral of exp(-t t) from 0 to x */
MT_ROW_API mt_tensor *mt_erf(mt_tape *tape, mt_tensor *x);
/* floor: the largest whole number up to x */
MT_ROW_API mt_tensor *mt_floor(mt_tape *tape, mt_tensor *x);
/* round: the whole number nearest to x, halves to the even one */
MT_ROW_API mt_tensor *mt_round(mt_tape *tape, mt_tensor *x);
/* sign: x > 0 ? 1 : x < 0 ? -1 : 0 */
MT_ROW_API mt_tensor *mt_sign(mt_tape *tape, mt_tensor *x);
/* scale: factor x */
MT_ROW_API mt_tensor *mt_scale(mt_tape *tape, mt_tensor *x, double factor);
/* clamp: min(max(x, low), high) */
MT_ROW_API mt_tensor *mt_clamp(mt_tape *tape, mt_tensor *x, double low, double high);
/* add: a + b */
MT_ROW_API mt_tensor *mt_add(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* sub: a - b */
MT_ROW_API mt_tensor *mt_sub(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* mul: a b */
MT_ROW_API mt_tensor *mt_mul(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* div: a / b */
MT_ROW_API mt_tensor *mt_div(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* pow: a to the power b */
MT_ROW_API mt_tensor *mt_pow(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* maximum: the larger of a and b */
MT_ROW_API mt_tensor *mt_maximum(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* minimum: the smaller of a and b */
MT_ROW_API mt_tensor *mt_minimum(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* squared_difference: (a - b) squared */
MT_ROW_API mt_tensor *mt_squared_difference(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* sigmoid_cross_entropy: softplus(a) - a b */
MT_ROW_API mt_tensor *mt_sigmoid_cross_entropy(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* lt: a < b */
MT_ROW_API mt_tensor *mt_lt(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* le: a <= b */
MT_ROW_API mt_tensor *mt_le(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* gt: a > b */
MT_ROW_API mt_tensor *mt_gt(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* ge: a >= b */
MT_ROW_API mt_tensor *mt_ge(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* eq: a == b */
MT_ROW_API mt_tensor *mt_eq(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* ne: a != b */
MT_ROW_API mt_tensor *mt_ne(mt_tape *tape, mt_tensor *a, mt_tensor *b);
/* is_close: |a - b| <= atol + rtol |b| */
MT_ROW_API mt_tensor *mt_is_close(mt_tape *tape, mt_tensor *a, mt_tensor *b, double atol, double rtol);
/* to here */

MT_END

#endif
