/* tensor/alloc.h - the library's memory as a program sees it: replace the allocator, read what it holds.
 *
 * Everything the library allocates goes through mt_alloc, so a program can bring its own allocator, a test
 * can make the k-th request fail, and --stats can count. Blocks are aligned to MT_ALIGN bytes.
 */
#ifndef MT_ALLOC_H
#define MT_ALLOC_H

#include "status.h"

#define MT_ALIGN 64

typedef struct mt_allocator {
    void *(*allocate)(void *context, size_t bytes, size_t alignment); /* NULL when it cannot */
    void (*release)(void *context, void *pointer, size_t bytes);
    void *context;
} mt_allocator;

/* What has been asked of the allocator so far, by the whole process. */
typedef struct mt_alloc_stats {
    uint64_t allocations; /* requests that succeeded */
    size_t bytes;         /* held now */
    size_t peak_bytes;    /* the most that was held at once */
} mt_alloc_stats;

MT_BEGIN

/* Replaces malloc and free. Call it before anything else of the library; afterwards it is an error. */
MT_API mt_status mt_set_allocator(mt_allocator allocator);
MT_API mt_alloc_stats mt_get_alloc_stats(void);

/* About how many bytes more this process can come to hold, beside what it holds already: the least of what
 * the machine has (available memory and free swap) and of what its control groups, those of a container and
 * of a service, leave of their limits. Where a program takes more, Linux lets it start and kills it later
 * without a word. Infinity where the system does not tell. */
MT_API double mt_memory_room(void);

MT_END

#endif
