/* tensor/scalar/scalar_ops.h - the maths of every elementwise operation, written once, compiled for the CPU
 * and for CUDA.
 *
 * For a map: mt_f_name(x, p0, p1) and its gradient mt_d_name(g, x, y, p0, p1) = g dy/dx, where y is the value
 * at x and g the gradient of y. For a zip: mt_f_name(a, b, p0, p1) and the gradients
 * mt_da_name(g, a, b, y, p0, p1) = g dy/da and mt_db_name(...) = g dy/db. g is inside, so that a derivative
 * that no number holds does not spoil a gradient that one does. An argument that the row in op_table.inc does
 * not declare as needed must not be read: it is NaN. A derivative that the row gives as MT_IS_ONE or
 * MT_IS_ZERO has no function. This is the common subset of C17 and C++17.
 */
#ifndef MT_SCALAR_OPS_H
#define MT_SCALAR_OPS_H

#include "scalar_math.h"

#define MT_MAP_FN(name) MT_FN mt_real mt_f_##name(mt_real x, mt_real p0, mt_real p1)
#define MT_MAP_D(name)  MT_FN mt_real mt_d_##name(mt_real g, mt_real x, mt_real y, mt_real p0, mt_real p1)
#define MT_ZIP_FN(name) MT_FN mt_real mt_f_##name(mt_real a, mt_real b, mt_real p0, mt_real p1)
#define MT_ZIP_D_ARGS   mt_real g, mt_real a, mt_real b, mt_real y, mt_real p0, mt_real p1
#define MT_ZIP_DA(name) MT_FN mt_real mt_da_##name(MT_ZIP_D_ARGS)
#define MT_ZIP_DB(name) MT_FN mt_real mt_db_##name(MT_ZIP_D_ARGS)
/* The text `fixed` where needs, a column of op_table.inc, is MT_IS_ONE, MT_IS_ZERO or MT_OF_ORDER, and the
 * text `computed` elsewhere: what names mt_da_name or mt_db_name stands in `computed`. Either may be empty;
 * neither has a comma outside parentheses. For those three the pasted MT_FIXED_needs is a comma, which makes
 * `fixed` the second of a list. */
#define MT_DERIVED(needs, computed, fixed) MT_SECOND_OF(MT_FIXED_##needs fixed, computed, )
#define MT_FIXED_MT_IS_ONE                 ,
#define MT_FIXED_MT_IS_ZERO                ,
#define MT_FIXED_MT_OF_ORDER               ,
#define MT_SECOND_OF(...)                  MT_SECOND_OF_(__VA_ARGS__)
#define MT_SECOND_OF_(first, second, ...)  second
#define MT_UNUSED2(a, b)                   ((void)(a), (void)(b))
#define MT_X_ONLY                          MT_UNUSED2(p0, p1)
#define MT_D_OF_X                          ((void)y, MT_UNUSED2(p0, p1))
#define MT_D_OF_Y                          ((void)x, MT_UNUSED2(p0, p1))
#define MT_AB_ONLY                         MT_UNUSED2(p0, p1)

/* clang-format off */

MT_MAP_FN(neg) { MT_X_ONLY; return -x; }
MT_MAP_D(neg)  { MT_D_OF_X; (void)x; return -g; }

/* NaN is not less than 0, so it passes through, and so does its gradient. The derivative at 0 is 0. */
MT_MAP_FN(relu) { MT_X_ONLY; return x <= 0 ? 0 : x; }
MT_MAP_D(relu)  { MT_D_OF_Y; return y <= 0 ? 0 : g; }

MT_MAP_FN(leaky_relu) { (void)p1; return x > 0 ? x : p0 * x; }
MT_MAP_D(leaky_relu)  { (void)y; (void)p1; return x > 0 ? g : g * p0; }

/* Two branches by sign, so that exp never overflows. */
MT_MAP_FN(sigmoid) { MT_X_ONLY; mt_real e = mt_m_exp_down(-mt_m_abs(x)); return (x >= 0 ? (mt_real)1 : e) / (1 + e); }
MT_MAP_D(sigmoid)  { MT_D_OF_Y; return g * (y * (1 - y)); }

MT_MAP_FN(tanh) { MT_X_ONLY; return mt_m_tanh(x); }
MT_MAP_D(tanh)  { MT_D_OF_Y; return g * (1 - y * y); }

MT_MAP_FN(exp) { MT_X_ONLY; return mt_m_exp(x); }
MT_MAP_D(exp)  { MT_D_OF_Y; return g * y; }

MT_MAP_FN(log) { MT_X_ONLY; return mt_m_log(x); }
MT_MAP_D(log)  { MT_D_OF_X; return g / x; }

MT_MAP_FN(log1p) { MT_X_ONLY; return mt_m_log1p(x); }
MT_MAP_D(log1p)  { MT_D_OF_X; return g / (1 + x); }

MT_MAP_FN(inv) { MT_X_ONLY; return 1 / x; }
MT_MAP_D(inv)  { MT_D_OF_Y; return -g * y * y; }

MT_MAP_FN(sqrt) { MT_X_ONLY; return mt_m_sqrt(x); }
MT_MAP_D(sqrt)  { MT_D_OF_Y; return (mt_real)0.5 * g / y; }

MT_MAP_FN(square) { MT_X_ONLY; return x * x; }
MT_MAP_D(square)  { MT_D_OF_X; return 2 * (g * x); }

/* The derivative at 0 is 0. */
MT_MAP_FN(abs) { MT_X_ONLY; return mt_m_abs(x); }
MT_MAP_D(abs)  { MT_D_OF_X; return g * (x > 0 ? (mt_real)1 : x < 0 ? (mt_real)-1 : 0); }

/* x P(Z < x): the erf form, not the tanh approximation. Hendrycks and Gimpel, arXiv:1606.08415. */
MT_MAP_FN(gelu)
{
    MT_X_ONLY;
    mt_real power, r = mt_m_tail(mt_m_abs(x), &power);
    return x < 0 ? x * r * power : x * (1 - r * power);
}
MT_MAP_D(gelu)
{
    MT_D_OF_X;
    mt_real power, z = mt_m_abs(x), r = mt_m_tail(z, &power);
    mt_real share = (r - z * (mt_real)0.39894228040143267794) * power; /* z / sqrt(2 pi) */
    return g * (x < 0 ? share : 1 - share);
}

MT_MAP_FN(silu) { MT_X_ONLY; return x * mt_f_sigmoid(x, 0, 0); }
MT_MAP_D(silu)  { MT_D_OF_X; mt_real s = mt_f_sigmoid(x, 0, 0); return g * (s * (1 + x * (1 - s))); }

/* max(x, 0) + ln(1 + exp(-|x|)): neither overflows nor loses small values. */
MT_MAP_FN(softplus) { MT_X_ONLY; return (x <= 0 ? 0 : x) + mt_m_log1p_unit(mt_m_exp_down(-mt_m_abs(x))); }
MT_MAP_D(softplus)  { MT_D_OF_X; return g * mt_f_sigmoid(x, 0, 0); }

MT_MAP_FN(scale) { (void)p1; return p0 * x; }
MT_MAP_D(scale)  { (void)x, (void)y, (void)p1; return g * p0; }

/* NaN fails both comparisons and passes through. The derivative is 1 at the bounds. */
MT_MAP_FN(clamp) { mt_real low = x < p0 ? p0 : x; return low > p1 ? p1 : low; }
MT_MAP_D(clamp)  { (void)y; return x >= p0 && x <= p1 ? g : 0; }

MT_ZIP_FN(add) { MT_AB_ONLY; return a + b; }

MT_ZIP_FN(sub) { MT_AB_ONLY; return a - b; }
MT_ZIP_DB(sub) { MT_AB_ONLY; MT_UNUSED2(a, b); (void)y; return -g; }

MT_ZIP_FN(mul) { MT_AB_ONLY; return a * b; }
MT_ZIP_DA(mul) { MT_AB_ONLY; (void)a; (void)y; return g * b; }
MT_ZIP_DB(mul) { MT_AB_ONLY; (void)b; (void)y; return g * a; }

MT_ZIP_FN(div) { MT_AB_ONLY; return a / b; }
MT_ZIP_DA(div) { MT_AB_ONLY; (void)a; (void)y; return g / b; }
MT_ZIP_DB(div) { MT_AB_ONLY; (void)a; return -g * y / b; }

/* d/da is 0 where the exponent is 0, even at a = 0; d/db is 0 at a = 0 where the power is 0 or 1. */
MT_ZIP_FN(pow) { MT_AB_ONLY; return mt_m_pow(a, b); }
MT_ZIP_DA(pow) { MT_AB_ONLY; (void)y; return b == 0 ? 0 : g * (b * mt_m_pow(a, b - 1)); }
MT_ZIP_DB(pow) { MT_AB_ONLY; return a == 0 && b >= 0 ? 0 : g * (y * mt_m_log(a)); }

/* A NaN on either side wins, and both receive the gradient then; at a tie each side receives half. */
MT_ZIP_FN(maximum) { MT_AB_ONLY; return a != a || a > b ? a : b; }
MT_ZIP_DA(maximum) { MT_AB_ONLY; (void)y; return a < b ? 0 : a == b ? g / 2 : g; }
MT_ZIP_DB(maximum) { MT_AB_ONLY; (void)y; return b < a ? 0 : a == b ? g / 2 : g; }

MT_ZIP_FN(minimum) { MT_AB_ONLY; return a != a || a < b ? a : b; }
MT_ZIP_DA(minimum) { MT_AB_ONLY; (void)y; return a > b ? 0 : a == b ? g / 2 : g; }
MT_ZIP_DB(minimum) { MT_AB_ONLY; (void)y; return b > a ? 0 : a == b ? g / 2 : g; }

MT_ZIP_FN(squared_difference) { MT_AB_ONLY; return (a - b) * (a - b); }
MT_ZIP_DA(squared_difference) { MT_AB_ONLY; (void)y; return 2 * (g * (a - b)); }
MT_ZIP_DB(squared_difference) { MT_AB_ONLY; (void)y; return -2 * (g * (a - b)); }

/* -b ln s - (1 - b) ln(1 - s) with s = sigmoid(a): a is the logit and b the label. That is softplus(a) - a b,
 * with nothing large left to cancel where the logit is right. */
MT_ZIP_FN(sigmoid_cross_entropy) { MT_AB_ONLY; return (a <= 0 ? -b : 1 - b) * a + mt_m_log1p_unit(mt_m_exp_down(-mt_m_abs(a))); }
MT_ZIP_DA(sigmoid_cross_entropy) { MT_AB_ONLY; (void)y; return g * (mt_f_sigmoid(a, 0, 0) - b); }
MT_ZIP_DB(sigmoid_cross_entropy) { MT_AB_ONLY; (void)b; (void)y; return g * -a; }

MT_ZIP_FN(lt) { MT_AB_ONLY; return a < b ? (mt_real)1 : 0; }
MT_ZIP_FN(le) { MT_AB_ONLY; return a <= b ? (mt_real)1 : 0; }
MT_ZIP_FN(gt) { MT_AB_ONLY; return a > b ? (mt_real)1 : 0; }
MT_ZIP_FN(ge) { MT_AB_ONLY; return a >= b ? (mt_real)1 : 0; }
MT_ZIP_FN(eq) { MT_AB_ONLY; return a == b ? (mt_real)1 : 0; }
MT_ZIP_FN(ne) { MT_AB_ONLY; return a != b ? (mt_real)1 : 0; }

/* Equal infinities are close (their difference is NaN); an infinity is close to nothing else. */
MT_ZIP_FN(is_close)
{
    mt_real size = mt_m_abs(b);
    return a == b || (mt_m_abs(a - b) <= p0 + p1 * size && size <= MT_REAL_MAX) ? (mt_real)1 : 0;
}

/* clang-format on */

#endif
