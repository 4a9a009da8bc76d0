/* tensor/scalar/philox.h - the generator's core, in the common subset of C and C++ that the CUDA kernels can
 * compile too.
 *
 * Two elements share a block of four 32-bit words: element i uses words 0 and 1, or 2 and 3, of block i / 2.
 * Float and double libraries read the same words, so their draws agree to the precision of float.
 */
#ifndef MT_PHILOX_H
#define MT_PHILOX_H

#include <stdint.h>

#ifndef MT_FN
#define MT_FN static inline
#endif

/* Ten rounds of Philox 4x32 on the counter, in place. Salmon and others, SC 2011. */
MT_FN void mt_philox(uint64_t seed, uint64_t block, uint32_t word[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = 0, c3 = 0;
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

/* The 64 random bits of element i. */
MT_FN uint64_t mt_philox_bits(uint64_t seed, uint64_t i)
{
    uint32_t word[4];
    mt_philox(seed, i >> 1, word);
    return i & 1 ? (uint64_t)word[2] << 32 | word[3] : (uint64_t)word[0] << 32 | word[1];
}

#endif
