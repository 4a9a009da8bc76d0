/* tensor/arena.h - the only malloc and free of the library, and the bump arena built on them. Internal.
 *
 * Everything the library allocates goes through mt_alloc (alloc.h says how a program replaces it). An arena hands out
 * pieces of large blocks and takes them back all at once; a tape has one for its handles and nodes and one for values.
 */
#ifndef MT_ARENA_H
#define MT_ARENA_H

#include "alloc.h"

MT_BEGIN

/* Aligned memory, not cleared. NULL with a sentence when there is none. bytes 0 is allowed. The size must be given
 * back with the pointer; freeing NULL does nothing. */
MT_INTERNAL void *mt_alloc(size_t bytes);
MT_INTERNAL void *mt_alloc_zeroed(size_t bytes);
MT_INTERNAL void mt_free(void *pointer, size_t bytes);

/* Makes the k-th request from now fail (1 is the next); 0 turns that off. For tests of allocation failure. */
MT_INTERNAL void mt_alloc_fail_at(uint64_t k);

/* A bump arena: blocks are kept when it is reset or rewound, so a program that repeats its steps allocates only in
 * the first. With AddressSanitizer, memory that was handed back is poisoned until it is handed out again. */
typedef struct mt_arena_block mt_arena_block;

/* Where an arena's blocks come from; for device memory a backend's allocation slots stand here. */
typedef struct mt_arena_source {
    void *(*allocate)(void *context, size_t bytes);
    void (*release)(void *context, void *pointer, size_t bytes);
    void (*mark)(void *context, void *pointer, size_t bytes, bool live); /* told of each piece handed out and back */
    void *context;
} mt_arena_source;

typedef struct mt_arena {
    mt_arena_source source;
    mt_arena_block *first, *current; /* a list in the order of use */
    size_t block_bytes;              /* the least size of the next block */
    size_t used;                     /* bytes used of the current block */
} mt_arena;

typedef struct mt_arena_mark {
    mt_arena_block *block;
    size_t used;
} mt_arena_mark;

MT_INTERNAL void mt_arena_init(mt_arena *arena, size_t block_bytes, mt_arena_source source);
MT_INTERNAL mt_arena_source mt_host_arena_source(void);
MT_INTERNAL void *mt_arena_alloc(mt_arena *arena, size_t bytes); /* aligned to MT_ALIGN; NULL with a sentence */
MT_INTERNAL mt_arena_mark mt_arena_position(const mt_arena *arena);
MT_INTERNAL void mt_arena_rewind(mt_arena *arena, mt_arena_mark mark);
MT_INTERNAL void mt_arena_reset(mt_arena *arena);
MT_INTERNAL void mt_arena_free(mt_arena *arena);

MT_END

#endif
