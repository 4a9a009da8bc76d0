/* tensor/random_ops.h - from 64 random bits to a number; the common subset of C and C++, as philox.h. */
#ifndef MT_RANDOM_OPS_H
#define MT_RANDOM_OPS_H

#include <math.h>

#include "philox.h"

/* In [low, high): 53 bits scaled. Rounding to float may reach high itself, so the last value below it stands in. */
MT_FN double mt_uniform_from_bits(uint64_t bits, double low, double high)
{
    double share = (double)(bits >> 40) * 0x1p-24 + (double)(bits >> 11 & 0x1fffffff) * 0x1p-53;
    double value = low + (high - low) * share;
    return sizeof(mt_real) == sizeof(float) && (float)value >= (float)high && high > low
               ? low + (high - low) * (1 - 0x1p-24)
               : value;
}

/* Box and Muller, 1958: the radius from the upper 32 bits, which never give 0, the angle from the lower 32. */
MT_FN double mt_normal_from_bits(uint64_t bits, double mean, double deviation)
{
    double u = ((double)(bits >> 32) + 0.5) * 0x1p-32, turn = (double)(bits & 0xffffffffu) * 0x1p-32;
    return mean + deviation * sqrt(-2 * log(u)) * cos(6.283185307179586476925 * turn);
}

#endif
