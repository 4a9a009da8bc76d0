/* tensor/arena.c - a bump arena: a list of blocks, a current one, and how much of it is used.
 *
 * A block is described by a small host record, since its memory may be a device's. Blocks stay in the list in
 * the order in which they were first used, so a repeated step walks the same addresses.
 */
#include "arena.h"

#if defined(__SANITIZE_ADDRESS__)
#define MT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MT_ASAN 1
#endif
#endif
#ifdef MT_ASAN
#include <sanitizer/asan_interface.h>
#else
#define MT_ASAN                                     0
#define ASAN_POISON_MEMORY_REGION(pointer, bytes)   ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(pointer, bytes) ((void)0)
#endif

struct mt_arena_block {
    mt_arena_block *next;
    char *memory;
    size_t bytes;
    uint64_t served; /* the arena's resets when the block was last current */
};

static void *host_allocate(void *context, size_t bytes)
{
    (void)context;
    return mt_alloc(bytes);
}

static void host_release(void *context, void *pointer, size_t bytes)
{
    (void)context;
    mt_free(pointer, bytes);
}

static void host_mark(void *context, void *pointer, size_t bytes, bool live)
{
    (void)context, (void)pointer, (void)bytes;
    if (live)
        ASAN_UNPOISON_MEMORY_REGION(pointer, bytes);
    else
        ASAN_POISON_MEMORY_REGION(pointer, bytes);
}

mt_arena_source mt_host_arena_source(void)
{
    return (mt_arena_source){host_allocate, host_release, mt_arena_guards_host() ? host_mark : NULL, NULL};
}

bool mt_arena_guards_host(void) { return MT_ASAN; }

static void mark(const mt_arena *arena, void *pointer, size_t bytes, bool live)
{
    if (arena->source.mark) arena->source.mark(arena->source.context, pointer, bytes, live);
}

void mt_arena_init(mt_arena *arena, size_t block_bytes, mt_arena_source source)
{
    *arena = (mt_arena){.source = source, .block_bytes = block_bytes};
}

/* Takes the block that *link points to out of the list and gives its memory back. */
static void give_back(mt_arena *arena, mt_arena_block **link)
{
    mt_arena_block *block = *link;
    *link = block->next;
    ASAN_UNPOISON_MEMORY_REGION(block->memory, block->bytes);
    arena->source.release(arena->source.context, block->memory, block->bytes);
    mt_free(block, sizeof *block);
}

/* Makes the block after the current one hold at least bytes, and current. */
static bool next_block(mt_arena *arena, size_t bytes)
{
    mt_arena_block **link = arena->current ? &arena->current->next : &arena->first;
    if (!*link || (*link)->bytes < bytes) {
        /* What follows the current block holds nothing: a block too small now would be in the way for good.
         */
        if (*link && !arena->keeps) give_back(arena, link);
        size_t size = bytes > arena->block_bytes ? bytes : arena->block_bytes;
        mt_arena_block *block = mt_alloc(sizeof *block);
        if (!block) return false;
        block->memory = arena->source.allocate(arena->source.context, size);
        if (!block->memory) {
            mt_free(block, sizeof *block);
            return false;
        }
        mark(arena, block->memory, size, false);
        block->bytes = size;
        block->next = *link;
        *link = block;
        if (arena->block_bytes < ((size_t)64 << 20)) arena->block_bytes *= 2;
    }
    arena->current = *link;
    arena->current->served = arena->resets;
    arena->at = arena->current->memory;
    arena->room = arena->current->bytes;
    return true;
}

void *mt_arena_alloc_block(mt_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        mt_fail(MT_ERR_MEMORY, "out of memory: %zu bytes asked for", bytes);
        return NULL;
    }
    size_t rounded = mt_arena_room_for(arena, bytes);
    return next_block(arena, rounded ? rounded : MT_ALIGN) ? mt_arena_alloc(arena, bytes) : NULL;
}

size_t mt_arena_used(const mt_arena *arena)
{
    size_t bytes = 0;
    for (const mt_arena_block *block = arena->first; block; block = block->next) {
        bytes += block->bytes;
        if (block == arena->current) break;
    }
    return bytes;
}

void mt_arena_rewind(mt_arena *arena, mt_arena_mark position)
{
    mt_arena_block *block = position.block ? position.block : arena->first;
    if (!block) return;
    char *at = position.block ? position.at : block->memory;
    for (mt_arena_block *b = block; b; b = b->next) {
        char *from = b == block ? at : b->memory;
        mark(arena, from, (size_t)(b->memory + b->bytes - from), false);
        if (b == arena->current) break;
    }
    arena->current = block;
    arena->at = at;
    arena->room = (size_t)(block->memory + block->bytes - at);
}

void mt_arena_reset(mt_arena *arena)
{
    /* Blocks are used in the order of the list, so those behind the current one have served less lately. */
    for (mt_arena_block **link = arena->current && !arena->keeps ? &arena->current->next : NULL;
         link && *link;)
        if (arena->resets - (*link)->served > MT_ARENA_IDLE)
            give_back(arena, link);
        else
            link = &(*link)->next;
    mt_arena_rewind(arena, (mt_arena_mark){NULL, NULL});
    arena->resets++;
    if (arena->first) arena->first->served = arena->resets;
}

void mt_arena_free(mt_arena *arena)
{
    while (arena->first) give_back(arena, &arena->first);
    arena->current = NULL;
    arena->at = NULL;
    arena->room = 0;
}
