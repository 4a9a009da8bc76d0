/* tensor/elementwise_ops.h - a function without a tape for each row of op_table.inc, with the rules of ops.h.
 */
#ifndef MT_ELEMENTWISE_H
#define MT_ELEMENTWISE_H

#include "op_id.h"
#include "ops.h"
#ifdef MT_DOUBLE
#include "mt_double_rows.h"
#endif

MT_BEGIN

/* Comparisons write 1 or 0; all but is_close also compare two INDEX, exactly. What follows is made by
 * tools/declare_operations.py. */

/* from op_table.inc */
/* neg: -x */
MT_ROW_API mt_status mt_op_neg(mt_tensor *out, const mt_tensor *x);
/* relu: x > 0 ? x : 0 */
MT_ROW_API mt_status mt_op_relu(mt_tensor *out, const mt_tensor *x);
/* leaky_relu: x > 0 ? x : slope x */
MT_ROW_API mt_status mt_op_leaky_relu(mt_tensor *out, const mt_tensor *x, double slope);
/* sigmoid: 1 / (1 + exp(-x)) */
MT_ROW_API mt_status mt_op_sigmoid(mt_tensor *out, const mt_tensor *x);
/* tanh: tanh x */
MT_ROW_API mt_status mt_op_tanh(mt_tensor *out, const mt_tensor *x);
/* exp: exp x */
MT_ROW_API mt_status mt_op_exp(mt_tensor *out, const mt_tensor *x);
/* log: ln x */
MT_ROW_API mt_status mt_op_log(mt_tensor *out, const mt_tensor *x);
/* log1p: ln(1 + x) */
MT_ROW_API mt_status mt_op_log1p(mt_tensor *out, const mt_tensor *x);
/* inv: 1 / x */
MT_ROW_API mt_status mt_op_inv(mt_tensor *out, const mt_tensor *x);
/* sqrt: square root of x */
MT_ROW_API mt_status mt_op_sqrt(mt_tensor *out, const mt_tensor *x);
/* square: x x */
MT_ROW_API mt_status mt_op_square(mt_tensor *out, const mt_tensor *x);
/* abs: |x| */
MT_ROW_API mt_status mt_op_abs(mt_tensor *out, const mt_tensor *x);
/* gelu: x (1 + erf(x / sqrt 2)) / 2 */
MT_ROW_API mt_status mt_op_gelu(mt_tensor *out, const mt_tensor *x);
/* silu: x sigmoid(x) */
MT_ROW_API mt_status mt_op_silu(mt_tensor *out, const mt_tensor *x);
/* softplus: ln(1 + exp x) */
MT_ROW_API mt_status mt_op_softplus(mt_tensor *out, const mt_tensor *x);
/* sin: sin x */
MT_ROW_API mt_status mt_op_sin(mt_tensor *out, const mt_tensor *x);
/* cos: cos x */
MT_ROW_API mt_status mt_op_cos(mt_tensor *out, const mt_tensor *x);
/* erf: 2 / sqrt pi times the integral of exp(-t t) from 0 to x */
MT_ROW_API mt_status mt_op_erf(mt_tensor *out, const mt_tensor *x);
/* floor: the largest whole number up to x */
MT_ROW_API mt_status mt_op_floor(mt_tensor *out, const mt_tensor *x);
/* round: the whole number nearest to x, halves to the even one */
MT_ROW_API mt_status mt_op_round(mt_tensor *out, const mt_tensor *x);
/* sign: x > 0 ? 1 : x < 0 ? -1 : 0 */
MT_ROW_API mt_status mt_op_sign(mt_tensor *out, const mt_tensor *x);
/* scale: factor x */
MT_ROW_API mt_status mt_op_scale(mt_tensor *out, const mt_tensor *x, double factor);
/* clamp: min(max(x, low), high) */
MT_ROW_API mt_status mt_op_clamp(mt_tensor *out, const mt_tensor *x, double low, double high);
/* add: a + b */
MT_ROW_API mt_status mt_op_add(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* sub: a - b */
MT_ROW_API mt_status mt_op_sub(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* mul: a b */
MT_ROW_API mt_status mt_op_mul(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* div: a / b */
MT_ROW_API mt_status mt_op_div(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* pow: a to the power b */
MT_ROW_API mt_status mt_op_pow(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* maximum: the larger of a and b */
MT_ROW_API mt_status mt_op_maximum(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* minimum: the smaller of a and b */
MT_ROW_API mt_status mt_op_minimum(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* squared_difference: (a - b) squared */
MT_ROW_API mt_status mt_op_squared_difference(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* sigmoid_cross_entropy: softplus(a) - a b */
MT_ROW_API mt_status mt_op_sigmoid_cross_entropy(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* lt: a < b */
MT_ROW_API mt_status mt_op_lt(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* le: a <= b */
MT_ROW_API mt_status mt_op_le(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* gt: a > b */
MT_ROW_API mt_status mt_op_gt(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* ge: a >= b */
MT_ROW_API mt_status mt_op_ge(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* eq: a == b */
MT_ROW_API mt_status mt_op_eq(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* ne: a != b */
MT_ROW_API mt_status mt_op_ne(mt_tensor *out, const mt_tensor *a, const mt_tensor *b);
/* is_close: |a - b| <= atol + rtol |b| */
MT_ROW_API mt_status mt_op_is_close(mt_tensor *out, const mt_tensor *a, const mt_tensor *b, double atol,
                                    double rtol);
/* to here */

MT_END

#endif
