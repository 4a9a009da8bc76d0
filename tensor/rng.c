/* tensor/rng.c - single draws on the host, from the same sequence as the backends' bulk draws. */
#include "rng.h"

#include "scalar/random_ops.h"

mt_rng mt_rng_make(uint64_t seed) { return (mt_rng){seed, 0}; }

double mt_rng_double(mt_rng *rng)
{
    return rng ? (double)(mt_philox_bits(rng->seed, rng->counter++) >> 11) * 0x1p-53 : 0;
}

uint64_t mt_rng_below(mt_rng *rng, uint64_t bound)
{
    if (!rng || bound == 0) return 0;
    /* Draws below 2^64 mod bound are rejected; what remains is a whole number of bounds. */
    uint64_t reject = (0 - bound) % bound, bits;
    do bits = mt_philox_bits(rng->seed, rng->counter++);
    while (bits < reject);
    return bits % bound;
}

void mt_rng_permutation(mt_rng *rng, int64_t *values, int64_t count)
{
    if (!rng || !values || count <= 0) return;
    mt_random_order(rng->seed, rng->counter, values, 1, count);
    rng->counter += (uint64_t)count;
}
