/* tests/pairs.h - the same array on two backends: one under test, and one to compare it with.
 *
 * Both have the same values in the same layout, drawn as support.h says, and are freed with everything else
 * that a test makes. Values are never small, so that an element lost or taken twice is seen.
 */
#ifndef MT_TEST_PAIRS_H
#define MT_TEST_PAIRS_H

#include "support.h"

extern mt_backend *backends[2]; /* set by the program: under test, and the other */
typedef struct pair {
    test_array *on[2];
} pair;
#define EACH(i) for (int i = 0; i < 2; i++)

/* The second of a pair, whose first is on backends[0]. */
pair twins(test_array *first);
/* Flags as in support.h. Inputs are from 0.5 to 1.5; indices from 0 to limit-1, both of which are among them.
 */
pair input(mt_shape shape, unsigned flags);
pair output(mt_shape shape, unsigned flags);
pair indices(mt_shape shape, int64_t limit);
pair indices_laid(mt_shape shape, int64_t limit, unsigned flags); /* TEST_PLAIN: contiguous */

/* m, n and k of products, by the numbers of the kernels: short k, a vector, the small tile, whole and cut,
 * with and without loads of 16 bytes and rows of C that are whole 16 bytes; behind the first PAIR_SMALL_SIDES
 * also a k that is cut into chunks, and more than one tile. */
enum { PAIR_SMALL_SIDES = 12, PAIR_SIDES = 18 };
extern const int64_t pair_sides[PAIR_SIDES][3];

/* Both hold the same, within tolerance absolute or relative, and around the first nothing was written. */
void agree(pair out, double tolerance, const char *what);

#endif
