/* tensor/scalar/scalar_math.h - the functions that scalar_ops.h is made of, for one mt_real: exp, log, tanh,
 * pow, sin, cos, erf, rounding and so on.
 *
 * In float they are polynomials without branches, a table or a call, so that the compiler turns a loop over
 * them into vector code and the GPU computes the same formula; each is within 4 ULP of the true value
 * (mt_m_tail 8; sin, cos and erf 2; rounding is exact) for every float, subnormal results and the sine of the
 * largest one included (tests/test_scalar_math.c). In the double
 * library, which is for checking gradients, they are the C library's. launch.cuh defines MT_FN and MT_FMA
 * before this is read by a CUDA compiler.
 *
 * The polynomials are near-minimax fits by reweighted least squares, made with tools/fit_scalar_math.py.
 */
#ifndef MT_SCALAR_MATH_H
#define MT_SCALAR_MATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../base.h"

#ifndef MT_FN
#define MT_FN static inline
#endif

/* a b + c, rounded once where the instruction set has it; the compiler is told never to make one by itself.
 */
#ifdef MT_FMA
#define MT_FUSED
#else
#if (defined(__FMA__) || defined(__ARM_FEATURE_FMA)) && !defined(MT_SIMD_PORTABLE)
#define MT_FUSED
#define MT_FMA(a, b, c) fmaf(a, b, c)
#else
#define MT_FMA(a, b, c) ((a) * (b) + (c))
#endif
#endif

/* The nearest integer towards zero, at the ends of the range where it does not fit; NaN gives 0. */
MT_FN int64_t mt_m_to_index(double x)
{
    if (x != x) return 0;
    if (x >= 9223372036854775808.0) return INT64_MAX;
    if (x < -9223372036854775808.0) return INT64_MIN;
    return (int64_t)x;
}

#ifdef MT_DOUBLE
/* clang-format off */
#define MT_REAL_MAX DBL_MAX
MT_FN mt_real mt_m_abs(mt_real x)   { return fabs(x); }
MT_FN mt_real mt_m_sqrt(mt_real x)  { return sqrt(x); }
MT_FN mt_real mt_m_next(mt_real x, mt_real toward) { return nextafter(x, toward); }
MT_FN mt_real mt_m_exp(mt_real x)   { return exp(x); }
MT_FN mt_real mt_m_exp_down(mt_real x) { return exp(x); }
MT_FN mt_real mt_m_log(mt_real x)   { return log(x); }
MT_FN mt_real mt_m_log1p(mt_real x) { return log1p(x); }
MT_FN mt_real mt_m_log1p_unit(mt_real x) { return log1p(x); }
MT_FN mt_real mt_m_tanh(mt_real x)  { return tanh(x); }
MT_FN mt_real mt_m_pow(mt_real a, mt_real b) { return pow(a, b); }
MT_FN mt_real mt_m_sin(mt_real x)   { return sin(x); }
MT_FN mt_real mt_m_cos(mt_real x)   { return cos(x); }
MT_FN mt_real mt_m_erf(mt_real x)   { return erf(x); }
MT_FN mt_real mt_m_bell(mt_real x)  { return exp(-x * x); }
MT_FN mt_real mt_m_round(mt_real x) { return rint(x); }
MT_FN mt_real mt_m_floor(mt_real x) { return floor(x); }
/* clang-format on */
MT_FN mt_real mt_m_tail(mt_real z, mt_real *power)
{
    *power = exp(-0.5 * z * z);
    return *power > 0 ? 0.5 * erfc(z * 0.70710678118654752440) / *power : 0;
}
#else
#define MT_REAL_MAX FLT_MAX

MT_FN float mt_m_abs(float x) { return fabsf(x); }
MT_FN float mt_m_sqrt(float x) { return sqrtf(x); }
MT_FN float mt_m_next(float x, float toward) { return nextafterf(x, toward); }

MT_FN uint32_t mt_m_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

MT_FN float mt_m_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* a b + c where c is all but -a b: what a rounded product or quotient lacks. */
MT_FN float mt_m_rest(float a, float b, float c)
{
#ifdef MT_FUSED
    return MT_FMA(a, b, c);
#else
    return (float)((double)a * b + c);
#endif
}

/* x = n ln 2 + r with |r| <= ln 2 / 2 and e^x = 2^n e^r; this is e^r - 1. n is found by adding 1.5 2^23 and a
 * bias to x / ln 2: the sum is so large that it ends in the last bits, which, moved up, are an exponent. The
 * bias keeps that within what a float can hold, and a constant factor takes it away again at the end, so that
 * nothing overflows on the way and a subnormal result is rounded once. low, when it is not MT_NO_LOW, holds
 * bits of x that x itself has no room for. */
#define MT_NO_LOW (-0.0f) /* adding it changes nothing, and compilers know */
MT_FN float mt_m_expm1_rest(float x, float low, float n)
{
    float r = MT_FMA(n, -0x1.62e4p-1f, x); /* the product is exact: 14 bits times 8 */
    r = MT_FMA(n, -0x1.7f7d1cp-20f, r) + low;
    float square = r * r, p = MT_FMA(0x1.1227f6p-7f, r, 0x1.555674p-5f);
    p = MT_FMA(0x1.6bebeep-10f, square, p);
    p = MT_FMA(p, square, MT_FMA(0x1.5554b0p-3f, r, 0x1.fffffep-2f));
    return MT_FMA(p, square, r);
}

/* e^(x + low) for |x| <= 105. */
MT_FN float mt_m_exp_bounded(float x, float low)
{
    float large = x < 0 ? 0x1.8p23f + 64 : 0x1.8p23f - 30, factor = x < 0 ? 0x1p-64f : 0x1p30f;
    float shifted = MT_FMA(x + low, 0x1.715476p0f, large);
    float p = 1.0f + mt_m_expm1_rest(x, low, shifted - large);
    return mt_m_from_bits(mt_m_bits(p) + (mt_m_bits(shifted) << 23)) * factor;
}

/* What is beyond 104 on either side is taken for 104, by its bits: fewer instructions than two comparisons
 * that let NaN pass. */
MT_FN float mt_m_exp(float x)
{
    const uint32_t size = mt_m_bits(x) & 0x7fffffffu, most = 0x42d00000u;
    float bounded = mt_m_from_bits((size < most ? size : most) | (mt_m_bits(x) & 0x80000000u));
    float y = mt_m_exp_bounded(bounded, MT_NO_LOW);
    return x == x ? y : x;
}

/* The same for |x| < 87, where nothing overflows and no result is subnormal. */
MT_FN float mt_m_exp_near(float x, float low)
{
    const float large = 0x1.8p23f;
    float shifted = MT_FMA(x + low, 0x1.715476p0f, large);
    float p = 1.0f + mt_m_expm1_rest(x, low, shifted - large);
    return mt_m_from_bits(mt_m_bits(p) + (mt_m_bits(shifted) << 23));
}

/* The same bits as mt_m_exp for |x| < 87. Others show in the largest *most of the |x| so far, as bits. */
MT_FN float mt_m_exp_plain(float x, uint32_t *most)
{
    uint32_t size = mt_m_bits(x) & 0x7fffffffu;
    *most = *most > size ? *most : size;
    return mt_m_exp_near(x, MT_NO_LOW);
}

MT_FN bool mt_m_is_plain_exp(uint32_t most) { return most < 0x42ae0000u; } /* 87 */

/* e^(x + low) for x <= 0, which takes fewer steps. NaN passes the bound, and through. */
MT_FN float mt_m_exp_down_from(float x, float low)
{
    const float large = 0x1.8p23f + (64 + 127);
    float bounded = x < -104.0f ? -104.0f : x, shifted = MT_FMA(bounded, 0x1.715476p0f, large);
    float p = 1.0f + mt_m_expm1_rest(bounded, low, shifted - large);
    return p * mt_m_from_bits(mt_m_bits(shifted) << 23) * 0x1p-64f;
}

MT_FN float mt_m_exp_down(float x) { return mt_m_exp_down_from(x, MT_NO_LOW); }

/* e^x - 1 for |x| <= 80, as 2^n (e^r - 1) + (2^n - 1) with n and r as above: no digit is lost near 0. */
MT_FN float mt_m_expm1_bounded(float x)
{
    const float large = 0x1.8p23f + 127;
    float shifted = MT_FMA(x, 0x1.715476p0f, large), n = shifted - large;
    float p = mt_m_expm1_rest(x, MT_NO_LOW, n);
    float power = mt_m_from_bits(mt_m_bits(shifted) << 23);
    return MT_FMA(power, p, power - 1.0f);
}

/* x = 2^n m with m in [sqrt 1/2, sqrt 2); returns m - 1, and n in *e times 2^23, as the bits of x have it. */
MT_FN float mt_m_split_normal(float x, float *e)
{
    uint32_t exponent = (mt_m_bits(x) - 0x3f3504f3u) & 0xff800000u; /* sqrt 1/2 */
    *e = (float)(int32_t)exponent;
    return mt_m_from_bits(mt_m_bits(x) - exponent) - 1.0f;
}

MT_FN float mt_m_split(float x, float *e)
{
    float f = mt_m_split_normal(x < FLT_MIN ? x * 0x1p23f : x, e); /* subnormal numbers are scaled up first */
    *e += x < FLT_MIN ? -23 * 0x1p23f : 0.0f;
    return f;
}

/* n ln 2 + ln(1 + f), from what mt_m_split found. */
MT_FN float mt_m_log_split(float e, float f)
{
    float square = f * f, p = 0x1.14573ep-4f; /* two coefficients a step: a shorter chain */
    p = MT_FMA(p, square, MT_FMA(-0x1.de3bf8p-4f, f, 0x1.e6f08cp-4f));
    p = MT_FMA(p, square, MT_FMA(-0x1.fc220ep-4f, f, 0x1.233766p-3f));
    p = MT_FMA(p, square, MT_FMA(-0x1.555c4ep-3f, f, 0x1.99a4b6p-3f));
    p = MT_FMA(p, square, MT_FMA(-0x1.000006p-2f, f, 0x1.555548p-2f));
    float y = MT_FMA(-0.5f, square, p * (square * f));
    y = MT_FMA(e, 0x1.7f7d1cp-43f, y);
    return MT_FMA(e, 0x1.62e4p-24f, y + f);
}

MT_FN float mt_m_log(float x)
{
    float e, f = mt_m_split(x, &e), y = mt_m_log_split(e, f);
    y = x > FLT_MAX ? x : y; /* infinity */
    y = x == 0 ? -INFINITY : y;
    return x >= 0 ? y : NAN;
}

/* ln(1 + x) = ln u + c / u, where u = 1 + x rounded and c is what the rounding lost. Its sign is that of x,
 * which keeps -0. */
MT_FN float mt_m_log1p(float x)
{
    float u = 1.0f + x, c = x - (u - 1.0f), log = mt_m_log(u);
    float y = u > FLT_MAX || u == 0 ? log : log + c / u;
    return mt_m_from_bits(mt_m_bits(y) | (mt_m_bits(x) & 0x80000000u));
}

/* The same bits as mt_m_log, and mt_m_log1p, for less where the logarithm's argument is positive, finite and
 * not subnormal. Others show in the largest *most of the arguments so far: see mt_m_is_plain_log. */
MT_FN float mt_m_log_plain(float x, uint32_t *most)
{
    float e, f = mt_m_split_normal(x, &e);
    uint32_t above = mt_m_bits(x) - 0x00800000u;
    *most = *most > above ? *most : above;
    return mt_m_log_split(e, f);
}

MT_FN float mt_m_log1p_plain(float x, uint32_t *most)
{
    float u = 1.0f + x, c = x - (u - 1.0f), y = mt_m_log_plain(u, most) + c / u;
    return mt_m_from_bits(mt_m_bits(y) | (mt_m_bits(x) & 0x80000000u));
}

MT_FN bool mt_m_is_plain_log(uint32_t most) { return most < 0x7f000000u; } /* infinity less FLT_MIN */

/* For 0 <= x <= 1, or NaN. */
MT_FN float mt_m_log1p_unit(float x)
{
    float p = -0x1.a931fp-9f;
    p = MT_FMA(p, x, 0x1.453e3ap-6f);
    p = MT_FMA(p, x, -0x1.d29c04p-5f);
    p = MT_FMA(p, x, 0x1.b252fcp-4f);
    p = MT_FMA(p, x, -0x1.397544p-3f);
    p = MT_FMA(p, x, 0x1.92f68cp-3f);
    p = MT_FMA(p, x, -0x1.ff0f86p-3f);
    p = MT_FMA(p, x, 0x1.554c8p-2f);
    p = MT_FMA(p, x, -0x1.ffffbep-2f);
    return MT_FMA(p * x, x, x);
}

/* tanh x = e / (e + 2) with e = e^2x - 1. From 9.02 on the result is 1. */
MT_FN float mt_m_tanh(float x)
{
    float size = fabsf(x), e = mt_m_expm1_bounded(2.0f * (size > 9.5f ? 9.5f : size));
    return copysignf(e / (e + 2.0f), x);
}

/* The normal distribution beyond z >= 0: P(Z > z) = r e^(-z^2 / 2). Returns r, which is 1 - u times a
 * polynomial in u = 0.3 z / (1 + 0.3 z), with the exponential in *power: so nothing is lost of what lies near
 * 0, where 1 - erf would leave few digits or none. From 14.45 on *power is 0. */
MT_FN float mt_m_tail(float z, float *power)
{
    const float bounded = z > 14.45f ? 14.45f : z, t = 1.0f / MT_FMA(0.3f, bounded, 1.0f),
                u = 0.3f * bounded * t;
    const float square = bounded * bounded, lacks = mt_m_rest(bounded, bounded, -square);
    *power = mt_m_exp_down_from(-0.5f * square, -0.5f * lacks);
    float p = 0x1.4eece6p-6f;
    p = MT_FMA(p, u, -0x1.28d76cp-4f);
    p = MT_FMA(p, u, 0x1.1ecc3p-4f);
    p = MT_FMA(p, u, 0x1.6d6912p-7f);
    p = MT_FMA(p, u, 0x1.75bc76p-6f);
    p = MT_FMA(p, u, -0x1.1dce6ep-3f);
    p = MT_FMA(p, u, -0x1.4bfeccp-4f);
    p = MT_FMA(p, u, 0x1.3c7df6p-1f);
    p = MT_FMA(p, u, -0x1.a8dc8p-1f);
    return MT_FMA(p, u, 0.5f) * t;
}

/* A logarithm, or a multiple of one, that a single float has no room for: high + low. */
typedef struct {
    float high, low;
} mt_m_pair;

/* ln x from what mt_m_split found, with 30 bits. ln(1 + f) = 2 artanh s with s = f / (2 + f), and 2 artanh s
 * = 2 s + s^3 p(s^2). What the quotient lacks is (f - s (2 + f)) / (2 + f), where 1 / (2 + f) = (1 - s) / 2;
 * it counts 2 (1 + s^2) times, the slope of 2 artanh there, and s^3 can be left out of the product of the
 * two. */
MT_FN mt_m_pair mt_m_log_pair(float e, float f)
{
    float s = f / (2.0f + f), twice = s + s, square = s * s;
    float lacks = mt_m_rest(-s, f, f - twice) * (1.0f - s + square); /* the difference is exact */
    float p = 0x1.d776e2p-3f;
    p = MT_FMA(p, square, 0x1.248e94p-2f);
    p = MT_FMA(p, square, 0x1.9998f4p-2f);
    p = MT_FMA(p, square, 0x1.555556p-1f);
    float whole = e * 0x1.62e4p-24f, high = whole + twice; /* the product is exact: 14 bits times 8 */
    float low = MT_FMA(e, 0x1.7f7d1cp-43f, twice - (high - whole)) + lacks;
    mt_m_pair y = {high, MT_FMA(s * square, p, low)};
    return y;
}

MT_FN mt_m_pair mt_m_times(mt_m_pair x, float factor)
{
    float high = x.high * factor;
    mt_m_pair y = {high, MT_FMA(x.low, factor, mt_m_rest(x.high, factor, -high))};
    return y;
}

/* a^b = e^(b ln |a|), where 4 ULP of a result near the largest float are 2^-29 of the logarithm. Then come
 * the cases that the formula knows nothing of: |a| is no positive number, the result is no number, NaN with
 * an operand that makes it 1, and a negative a, for which b must be a whole number and may be odd. */
MT_FN float mt_m_pow(float a, float b)
{
    float size = mt_m_abs(a), power = mt_m_abs(b), e, f = mt_m_split(size, &e);
    mt_m_pair log = mt_m_log_pair(e, f);
    log.high = size <= FLT_MAX ? log.high : size; /* infinity, NaN */
    log.high = size == 0 ? -INFINITY : log.high;

    mt_m_pair x = mt_m_times(log, b);
    float y = mt_m_exp_bounded(x.high, x.low), beyond = x.high < 0 ? 0 : x.high + INFINITY;
    y = mt_m_abs(x.high) < 105.0f ? y : beyond; /* 0, infinity or NaN */
    y = size == 1 || b == 0 ? 1 : y;

    int32_t number = (int32_t)(power < 0x1p24f ? power : 0x1p24f); /* from 2^24 on all floats are even */
    bool whole = power >= 0x1p24f || (float)number == power;
    uint32_t odd = whole ? (uint32_t)number << 31 : 0;
    y = a < 0 && a >= -FLT_MAX && !whole ? NAN : y;
    return mt_m_from_bits(mt_m_bits(y) ^ (odd & mt_m_bits(a)));
}

/* The same bits at half the price for most pairs: a positive, finite and not subnormal, |b ln a| < 87. Others
 * show in the largest *base and *size of the pairs so far: see mt_m_is_plain_pow. */
MT_FN float mt_m_pow_plain(float a, float b, uint32_t *base, uint32_t *size)
{
    float e, f = mt_m_split_normal(a, &e);
    mt_m_pair x = mt_m_times(mt_m_log_pair(e, f), b);
    uint32_t above = mt_m_bits(a) - 0x00800000u, bits = mt_m_bits(x.high) & 0x7fffffffu;
    *base = *base > above ? *base : above;
    *size = *size > bits ? *size : bits;
    return mt_m_exp_near(x.high, x.low);
}

MT_FN bool mt_m_is_plain_pow(uint32_t base, uint32_t size)
{
    return mt_m_is_plain_log(base) && mt_m_is_plain_exp(size);
}

/* x as quadrant pi/2 + rest with |rest| <= pi/4, or all but; of quadrant the last two bits count. */
typedef struct {
    float rest;
    uint32_t quadrant;
} mt_m_angle;

/* For |x| < 2^20, in double: pi/2 has 33 bits in the first constant and 53 more in the second, so its product
 * with the quadrant, of 20 bits, is exact, and what is missing at the end is below 2^-66; no float lies
 * nearer than 2^-30 to a multiple of pi/2. Adding 1.5 2^52 rounds to a whole number, in the last bits of the
 * sum. */
MT_FN mt_m_angle mt_m_angle_near(float x)
{
    const double large = 0x1.8p52, shifted = (double)x * 0x1.45f306dc9c883p-1 + large, n = shifted - large;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    mt_m_angle y = {(float)(((double)x - n * 0x1.921fb544p0) - n * 0x1.0b4611a626331p-34), (uint32_t)bits};
    return y;
}

/* 32 binary digits of 2/pi: of word 1 those next behind the point, of word 0 those before. */
MT_FN uint32_t mt_m_two_over_pi(uint32_t word)
{
    uint32_t low = word == 0 ? 0 : word == 1 ? 0xa2f9836eu : word == 2 ? 0x4e441529u : 0xfc2757d1u;
    uint32_t high = word == 4 ? 0xf534ddc0u : word == 5 ? 0xdb629599u : word == 6 ? 0x3c439041u : 0xfe5163abu;
    return word < 4 ? low : high;
}

/* For 2^20 <= |x|, after Payne and Hanek (1983). |x| = m 2^e with a whole m of 24 bits; digits of 2/pi so far
 * to the left that m times them is a multiple of 4 quadrants are left out, and 96 that follow are taken.
 * Their product with m, of which the first 64 bits are kept, has two bits of quadrant before the point. */
MT_FN mt_m_angle mt_m_angle_far(float x)
{
    const uint32_t m = (mt_m_bits(x) & 0x7fffffu) | 0x800000u, negative = mt_m_bits(x) >> 31;
    const uint32_t first = (mt_m_bits(x) >> 23 & 255u) - 120, word = first >> 5 & 7, shift = first & 31;
    const uint64_t a = (uint64_t)mt_m_two_over_pi(word) << 32 | mt_m_two_over_pi(word + 1),
                   b = (uint64_t)mt_m_two_over_pi(word + 1) << 32 | mt_m_two_over_pi(word + 2),
                   c = (uint64_t)mt_m_two_over_pi(word + 2) << 32 | mt_m_two_over_pi(word + 3);
    const uint64_t product =
        (m * (a << shift >> 32) << 32) + m * (b << shift >> 32) + (m * (c << shift >> 32) >> 32);
    const uint32_t quadrant = (uint32_t)(product >> 62) + (uint32_t)(product >> 61 & 1);
    const float rest = (float)((double)(int64_t)(product << 2) * 0x1.921fb54442d18p-64); /* pi/2 2^-64 */
    mt_m_angle y = {negative ? -rest : rest, negative ? 0 - quadrant : quadrant};
    return y;
}

/* sin(rest + quadrant pi/2). */
MT_FN float mt_m_sin_of(mt_m_angle x)
{
    float r = x.rest, square = r * r;
    float sine = MT_FMA(-0x1.9951f8p-13f, square, 0x1.110774p-7f);
    sine = MT_FMA(MT_FMA(sine, square, -0x1.555546p-3f), square * r, r);
    sine = mt_m_from_bits(mt_m_bits(sine) | (mt_m_bits(r) & 0x80000000u)); /* -0 stays */
    float cosine = MT_FMA(0x1.99e816p-16f, square, -0x1.6c0c28p-10f);
    cosine = MT_FMA(MT_FMA(cosine, square, 0x1.55554ap-5f), square * square, MT_FMA(-0.5f, square, 1.0f));
    return mt_m_from_bits(mt_m_bits(x.quadrant & 1 ? cosine : sine) ^ (x.quadrant & 2) << 30);
}

MT_FN float mt_m_sin_turned(float x, uint32_t quadrants)
{
    mt_m_angle angle = mt_m_abs(x) < 0x1p20f ? mt_m_angle_near(x) : mt_m_angle_far(x);
    angle.quadrant += quadrants;
    float y = mt_m_sin_of(angle);
    return mt_m_abs(x) <= FLT_MAX ? y : NAN;
}

MT_FN float mt_m_sin(float x) { return mt_m_sin_turned(x, 0); }
MT_FN float mt_m_cos(float x) { return mt_m_sin_turned(x, 1); }

/* The same bits for |x| < 2^20. Others show in the largest *most of the |x| so far, as bits. */
MT_FN float mt_m_sin_turned_plain(float x, uint32_t quadrants, uint32_t *most)
{
    uint32_t size = mt_m_bits(x) & 0x7fffffffu;
    *most = *most > size ? *most : size;
    mt_m_angle angle = mt_m_angle_near(x);
    angle.quadrant += quadrants;
    return mt_m_sin_of(angle);
}

MT_FN float mt_m_sin_plain(float x, uint32_t *most) { return mt_m_sin_turned_plain(x, 0, most); }
MT_FN float mt_m_cos_plain(float x, uint32_t *most) { return mt_m_sin_turned_plain(x, 1, most); }
MT_FN bool mt_m_is_plain_angle(uint32_t most) { return most < 0x49800000u; } /* 2^20 */

/* e^(-x^2), where the square's rounding would cost a digit or two. From 10.3 on it is 0. */
MT_FN float mt_m_bell(float x)
{
    const float size = mt_m_abs(x), bounded = size > 10.3f ? 10.3f : size, square = bounded * bounded;
    return mt_m_exp_down_from(-square, -mt_m_rest(bounded, bounded, -square));
}

/* x + x p(x^2) up to 1; from there 1 - e^(-x q(x)), and 1 from 4 on. */
MT_FN float mt_m_erf(float x)
{
    const float size = mt_m_abs(x), bounded = size > 4.0f ? 4.0f : size, square = x * x;
    float p = 0x1.4771fcp-14f;
    p = MT_FMA(p, square, -0x1.a3515ep-11f);
    p = MT_FMA(p, square, 0x1.53f224p-8f);
    p = MT_FMA(p, square, -0x1.b7f71ap-6f);
    p = MT_FMA(p, square, 0x1.ce2ce6p-4f);
    p = MT_FMA(p, square, -0x1.81273ep-2f);
    p = MT_FMA(p, square, 0x1.06eba8p-3f);
    float q = -0x1.b8c71ap-13f;
    q = MT_FMA(q, bounded, 0x1.a136ecp-9f);
    q = MT_FMA(q, bounded, -0x1.755376p-6f);
    q = MT_FMA(q, bounded, 0x1.ae79b8p-4f);
    q = MT_FMA(q, bounded, 0x1.458dacp-1f);
    q = MT_FMA(q, bounded, 0x1.20e3c6p0f);
    float large = 1.0f - mt_m_exp_down(-bounded * q), small = MT_FMA(p, size, size);
    return copysignf(size < 1.0f ? small : large, x);
}

/* To the nearest whole number, halves to the even one; from 2^23 on all floats are whole. */
MT_FN float mt_m_round(float x)
{
    float size = mt_m_abs(x), whole = (size + 0x1p23f) - 0x1p23f;
    return copysignf(size < 0x1p23f ? whole : size, x);
}

MT_FN float mt_m_floor(float x)
{
    float near = mt_m_round(x);
    return near - (near > x ? 1.0f : 0.0f);
}
#endif

/* 1 / (1 + exp(-x)): two branches by sign, so that exp never overflows. */
MT_FN mt_real mt_m_sigmoid(mt_real x)
{
    mt_real e = mt_m_exp_down(-mt_m_abs(x));
    return (x >= 0 ? (mt_real)1 : e) / (1 + e);
}

#endif
