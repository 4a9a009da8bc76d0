/* tensor/scalar/random_ops.h - from 64 random bits to a number; the common subset of C and C++, as philox.h.
 */
#ifndef MT_RANDOM_OPS_H
#define MT_RANDOM_OPS_H

#include <math.h>

#include "philox.h"
#include "scalar_math.h"

/* In [low, high): 53 bits scaled. Rounding may reach high itself, for which the last number below it stands
 * in.
 */
MT_FN double mt_uniform_from_bits(uint64_t bits, double low, double high)
{
    double share = (double)(bits >> 40) * 0x1p-24 + (double)(bits >> 11 & 0x1fffffff) * 0x1p-53;
    mt_real value = (mt_real)(low + (high - low) * share);
    return value >= (mt_real)high && high > low ? mt_m_next((mt_real)high, (mt_real)low) : value;
}

/* Box and Muller, 1958: the radius from the upper 32 bits, which never give 0, the angle from the lower 32.
 */
MT_FN double mt_normal_from_bits(uint64_t bits, double mean, double deviation)
{
    double u = ((double)(bits >> 32) + 0.5) * 0x1p-32, turn = (double)(bits & 0xffffffffu) * 0x1p-32;
    return mean + deviation * sqrt(-2 * log(u)) * cos(6.283185307179586476925 * turn);
}

/* The upper 64 bits of a b. */
MT_FN uint64_t mt_upper_product(uint64_t a, uint64_t b)
{
    uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), low = (middle & 0xffffffffu) + a0 * b1;
    return a1 * b1 + (middle >> 32) + (low >> 32);
}

/* 0 .. count-1 in a random order, after Fisher and Yates: step i takes the draw of counter + i, scaled to 0
 * .. i, which is off from uniform by at most count / 2^64. */
MT_FN void mt_random_order(uint64_t seed, uint64_t counter, int64_t *values, int64_t stride, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits = mt_philox_bits(seed, counter + (uint64_t)i);
        int64_t j = (int64_t)mt_upper_product(bits, (uint64_t)i + 1);
        values[i * stride] = j < i ? values[j * stride] : i;
        values[j * stride] = i;
    }
}

#endif
