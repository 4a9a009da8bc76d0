/* tensor/scalar/map_ops.h - the maths of every elementwise operation of one operand, written once, compiled
 * for the CPU and for CUDA.
 *
 * mt_f_name(x, p0, p1) and its gradient mt_d_name(g, x, y, p0, p1) = g dy/dx, where y is the value at x and g
 * the gradient of y. g is inside, so that a derivative that no number holds does not spoil a gradient that
 * one does. An argument that the row in map_table.inc does not declare as needed must not be read: it is NaN.
 * This is the common subset of C17 and C++17.
 */
#ifndef MT_MAP_OPS_H
#define MT_MAP_OPS_H

#include "needs.h"
#include "scalar_math.h"

#define MT_MAP_FN(name) MT_FN mt_real mt_f_##name(mt_real x, mt_real p0, mt_real p1)
#define MT_MAP_D(name)  MT_FN mt_real mt_d_##name(mt_real g, mt_real x, mt_real y, mt_real p0, mt_real p1)
#define MT_X_ONLY       ((void)p0, (void)p1)
#define MT_D_OF_X       ((void)y, (void)p0, (void)p1)
#define MT_D_OF_Y       ((void)x, (void)p0, (void)p1)

/* clang-format off */

MT_MAP_FN(neg) { MT_X_ONLY; return -x; }
MT_MAP_D(neg)  { MT_D_OF_X; (void)x; return -g; }

/* NaN is not less than 0, so it passes through, and so does its gradient. The derivative at 0 is 0. */
MT_MAP_FN(relu) { MT_X_ONLY; return x <= 0 ? 0 : x; }
MT_MAP_D(relu)  { MT_D_OF_Y; return y <= 0 ? 0 : g; }

MT_MAP_FN(leaky_relu) { (void)p1; return x > 0 ? x : p0 * x; }
MT_MAP_D(leaky_relu)  { (void)y; (void)p1; return x > 0 ? g : g * p0; }

MT_MAP_FN(sigmoid) { MT_X_ONLY; return mt_m_sigmoid(x); }
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

MT_MAP_FN(silu) { MT_X_ONLY; return x * mt_m_sigmoid(x); }
MT_MAP_D(silu)  { MT_D_OF_X; mt_real s = mt_m_sigmoid(x); return g * (s * (1 + x * (1 - s))); }

/* max(x, 0) + ln(1 + exp(-|x|)): neither overflows nor loses small values. */
MT_MAP_FN(softplus) { MT_X_ONLY; return (x <= 0 ? 0 : x) + mt_m_log1p_unit(mt_m_exp_down(-mt_m_abs(x))); }
MT_MAP_D(softplus)  { MT_D_OF_X; return g * mt_m_sigmoid(x); }

MT_MAP_FN(sin) { MT_X_ONLY; return mt_m_sin(x); }
MT_MAP_D(sin)  { MT_D_OF_X; return g * mt_m_cos(x); }

MT_MAP_FN(cos) { MT_X_ONLY; return mt_m_cos(x); }
MT_MAP_D(cos)  { MT_D_OF_X; return -g * mt_m_sin(x); }

MT_MAP_FN(erf) { MT_X_ONLY; return mt_m_erf(x); }
MT_MAP_D(erf)  { MT_D_OF_X; return g * ((mt_real)1.12837916709551257390 * mt_m_bell(x)); } /* 2 / sqrt(pi) */

MT_MAP_FN(floor) { MT_X_ONLY; return mt_m_floor(x); }
MT_MAP_FN(round) { MT_X_ONLY; return mt_m_round(x); }

/* 0 at NaN too, as PyTorch. */
MT_MAP_FN(sign) { MT_X_ONLY; return x > 0 ? (mt_real)1 : x < 0 ? (mt_real)-1 : 0; }

MT_MAP_FN(scale) { (void)p1; return p0 * x; }
MT_MAP_D(scale)  { (void)x, (void)y, (void)p1; return g * p0; }

/* NaN fails both comparisons and passes through. The derivative is 1 at the bounds. */
MT_MAP_FN(clamp) { mt_real low = x < p0 ? p0 : x; return low > p1 ? p1 : low; }
MT_MAP_D(clamp)  { (void)y; return x >= p0 && x <= p1 ? g : 0; }

/* clang-format on */

#endif
