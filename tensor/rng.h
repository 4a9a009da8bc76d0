/* tensor/rng.h - Philox4x32-10, a counter-based generator: the state is explicit, and element i of a draw
 * depends on the seed and on i alone, so any number of threads, and a GPU, produce the same bits.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
#ifndef MT_RNG_H
#define MT_RNG_H

#include "status.h"

/* The next unused counter of the sequence that belongs to seed. Copy it to fork a sequence. */
typedef struct mt_rng {
    uint64_t seed;
    uint64_t counter;
} mt_rng;

MT_BEGIN
MT_API mt_rng mt_rng_make(uint64_t seed);
/* One double in [0, 1) with 53 random bits; one integer in [0, bound), without bias (bound 0 gives 0). */
MT_API double mt_rng_double(mt_rng *rng);
MT_API uint64_t mt_rng_below(mt_rng *rng, uint64_t bound);
/* Puts 0 .. count-1 into values in a random order (Fisher and Yates); rng advances by count. A count below 1
 * does nothing. */
MT_API void mt_rng_permutation(mt_rng *rng, int64_t *values, int64_t count);
MT_END

#endif
