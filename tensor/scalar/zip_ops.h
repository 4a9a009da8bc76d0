/* tensor/scalar/zip_ops.h - the maths of every elementwise operation of two operands, as map_ops.h has that
 * of one.
 *
 * mt_f_name(a, b, p0, p1) and the gradients mt_da_name(g, a, b, y, p0, p1) = g dy/da and
 * mt_db_name(...) = g dy/db. An argument that the row in zip_table.inc does not declare as needed is NaN. A
 * derivative that the row gives as MT_IS_ONE or MT_IS_ZERO has no function.
 */
#ifndef MT_ZIP_OPS_H
#define MT_ZIP_OPS_H

#include "needs.h"
#include "scalar_math.h"

#define MT_ZIP_FN(name) MT_FN mt_real mt_f_##name(mt_real a, mt_real b, mt_real p0, mt_real p1)
#define MT_ZIP_D_ARGS   mt_real g, mt_real a, mt_real b, mt_real y, mt_real p0, mt_real p1
#define MT_ZIP_DA(name) MT_FN mt_real mt_da_##name(MT_ZIP_D_ARGS)
#define MT_ZIP_DB(name) MT_FN mt_real mt_db_##name(MT_ZIP_D_ARGS)
#define MT_AB_ONLY      ((void)p0, (void)p1)

/* clang-format off */

MT_ZIP_FN(add) { MT_AB_ONLY; return a + b; }

MT_ZIP_FN(sub) { MT_AB_ONLY; return a - b; }
MT_ZIP_DB(sub) { MT_AB_ONLY; (void)a; (void)b; (void)y; return -g; }

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
MT_ZIP_DA(sigmoid_cross_entropy) { MT_AB_ONLY; (void)y; return g * (mt_m_sigmoid(a) - b); }
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
