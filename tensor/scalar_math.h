/* tensor/scalar_math.h - the functions that scalar_ops.h is made of, for one mt_real: exp, log, tanh, erf, ...
 *
 * In the double library they are the C library's. launch.cuh defines MT_FN before this is read by a CUDA compiler.
 */
#ifndef MT_SCALAR_MATH_H
#define MT_SCALAR_MATH_H

#include <float.h>
#include <math.h>

#include "base.h"

#ifndef MT_FN
#define MT_FN static inline
#endif

/* clang-format off */
#ifdef MT_DOUBLE
#define MT_REAL_MAX DBL_MAX
MT_FN mt_real mt_m_abs(mt_real x)   { return fabs(x); }
MT_FN mt_real mt_m_sqrt(mt_real x)  { return sqrt(x); }
MT_FN mt_real mt_m_exp(mt_real x)   { return exp(x); }
MT_FN mt_real mt_m_log(mt_real x)   { return log(x); }
MT_FN mt_real mt_m_log1p(mt_real x) { return log1p(x); }
MT_FN mt_real mt_m_tanh(mt_real x)  { return tanh(x); }
MT_FN mt_real mt_m_erf(mt_real x)   { return erf(x); }
MT_FN mt_real mt_m_cos(mt_real x)   { return cos(x); }
MT_FN mt_real mt_m_pow(mt_real a, mt_real b) { return pow(a, b); }
#else
#define MT_REAL_MAX FLT_MAX
MT_FN mt_real mt_m_abs(mt_real x)   { return fabsf(x); }
MT_FN mt_real mt_m_sqrt(mt_real x)  { return sqrtf(x); }
MT_FN mt_real mt_m_exp(mt_real x)   { return expf(x); }
MT_FN mt_real mt_m_log(mt_real x)   { return logf(x); }
MT_FN mt_real mt_m_log1p(mt_real x) { return log1pf(x); }
MT_FN mt_real mt_m_tanh(mt_real x)  { return tanhf(x); }
MT_FN mt_real mt_m_erf(mt_real x)   { return erff(x); }
MT_FN mt_real mt_m_cos(mt_real x)   { return cosf(x); }
MT_FN mt_real mt_m_pow(mt_real a, mt_real b) { return powf(a, b); }
#endif
/* clang-format on */

#endif
