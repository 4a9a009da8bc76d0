/* tensor/arena.h - the only malloc and free of the library, and the bump arena built on them. Internal.
 *
 * Everything the library allocates goes through mt_alloc (alloc.h says how a program replaces it). An arena
 * hands out pieces of large blocks and takes them back all at once; a tape has two for its handles, one for
 * its nodes and one for values.
 */
#ifndef MT_ARENA_H
#define MT_ARENA_H

#include "alloc.h"

MT_BEGIN

/* Aligned memory, not cleared. NULL with a sentence when there is none. bytes 0 is allowed. The size must be
 * given back with the pointer; freeing NULL does nothing. */
MT_INTERNAL void *mt_alloc(size_t bytes);
MT_INTERNAL void *mt_alloc_zeroed(size_t bytes);
MT_INTERNAL void mt_free(void *pointer, size_t bytes);

/* Makes the k-th request from now fail (1 is the next); 0 turns that off. For tests of allocation failure. */
MT_INTERNAL void mt_alloc_fail_at(uint64_t k);

/* A bump arena: blocks are kept when it is reset or rewound, so a program that repeats its steps allocates
 * only in the first. A block that is too small for what comes next makes way for a larger one, and one that
 * has not served for MT_ARENA_IDLE resets is given back, so what is held follows what the steps need. With
 * AddressSanitizer, memory that was handed back is poisoned until it is handed out again. */
typedef struct mt_arena_block mt_arena_block;

enum { MT_ARENA_IDLE = 64 };

/* Where an arena's blocks come from; for device memory a backend's allocation slots stand here. */
typedef struct mt_arena_source {
    void *(*allocate)(void *context, size_t bytes);
    void (*release)(void *context, void *pointer, size_t bytes);
    /* Told of each piece handed out (live) and taken back; NULL when nobody wants to know. */
    void (*mark)(void *context, void *pointer, size_t bytes, bool live);
    void *context;
} mt_arena_source;

typedef struct mt_arena {
    mt_arena_source source;
    mt_arena_block *first, *current; /* a list in the order of use */
    size_t block_bytes;              /* the least size of the next block */
    uint64_t resets;
    bool keeps; /* no block is given back before mt_arena_free: old pointers into it may be read */
    char *at;   /* the next free byte of the current block, and how many there are */
    size_t room;
} mt_arena;

typedef struct mt_arena_mark {
    mt_arena_block *block;
    char *at;
} mt_arena_mark;

MT_INTERNAL void mt_arena_init(mt_arena *arena, size_t block_bytes, mt_arena_source source);
MT_INTERNAL mt_arena_source mt_host_arena_source(void);
/* Whether this build guards host memory that an arena has not handed out: with AddressSanitizer. */
MT_INTERNAL bool mt_arena_guards_host(void);
/* The part of mt_arena_alloc that goes on to another block. */
MT_INTERNAL void *mt_arena_alloc_block(mt_arena *arena, size_t bytes);
MT_INTERNAL void mt_arena_rewind(mt_arena *arena, mt_arena_mark position);
/* The bytes of all blocks up to the current one. */
MT_INTERNAL size_t mt_arena_used(const mt_arena *arena);
MT_INTERNAL void mt_arena_reset(mt_arena *arena);
MT_INTERNAL void mt_arena_free(mt_arena *arena);

MT_END

/* What a piece of so many bytes takes up: whole lines, and one between it and the next where overruns are
 * watched for. */
static inline size_t mt_arena_room_for(const mt_arena *arena, size_t bytes)
{
    return ((bytes + MT_ALIGN - 1) & ~(size_t)(MT_ALIGN - 1)) + (arena->source.mark ? MT_ALIGN : 0);
}

static inline mt_arena_mark mt_arena_position(const mt_arena *arena)
{
    const mt_arena_mark position = {arena->current, arena->at};
    return position;
}

/* Aligned to MT_ALIGN; NULL with a sentence. */
static inline void *mt_arena_alloc(mt_arena *arena, size_t bytes)
{
    size_t rounded = mt_arena_room_for(arena, bytes);
    if (bytes > arena->room || rounded > arena->room || !arena->current)
        return mt_arena_alloc_block(arena, bytes);
    char *pointer = arena->at;
    arena->at += rounded;
    arena->room -= rounded;
    if (arena->source.mark) arena->source.mark(arena->source.context, pointer, bytes, true);
    return pointer;
}

#endif
