/* ops_cpu/share.h - the one place where work is given to threads.
 *
 * Every thread computes in the floating-point mode of the calling one: its rounding mode, and whether it
 * flushes subnormal numbers to zero. So a mode that a program sets at any time holds for all of an operation,
 * and its result does not depend on the number of threads.
 */
#ifndef MT_SHARE_H
#define MT_SHARE_H

#include "tensor/base.h"

/* Bytes of what a processor takes from another at once. A context that many threads read, aligned to it, has
 * no line that the caller writes meanwhile. */
enum { MT_SHARE_LINE = 64 };

/* Does share number share of so many shares, 0 <= share < shares, of the work that context describes. */
typedef void (*mt_share_fn)(const void *context, int share, int shares);

MT_BEGIN
/* run(context, t, threads) for each t below threads, each by a thread of its own; threads is at least 2.
 * Where then is not NULL it runs in the same way, when all have come to the end of run. */
MT_INTERNAL void mt_share_region(int threads, mt_share_fn run, mt_share_fn then, const void *context);
MT_END

/* The same without then; one share, or less, is the caller's, without a region, for which OpenMP allocates.
 * Inline, so that small work pays nothing for this. */
static inline void mt_share_out(int threads, mt_share_fn run, const void *context)
{
    if (threads <= 1)
        run(context, 0, 1);
    else
        mt_share_region(threads, run, NULL, context);
}

/* Where a share of count pieces begins; the next one's beginning is its end. One share costs small work no
 * division. */
static inline int64_t mt_share_begin(int64_t count, int share, int shares)
{
    return shares == 1 ? count * share : count * share / shares;
}

#endif
