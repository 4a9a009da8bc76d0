/* autodiff/tape_struct.h - the fields of a tape, for tape.c and backward.c. Internal. */
#ifndef MT_TAPE_STRUCT_H
#define MT_TAPE_STRUCT_H

#include <stddef.h>

#include "node.h"

/* A tensor of the tape with its storage (of which a view uses the serial only), linked from the newest to the
 * oldest. */
typedef struct mt_handle {
    mt_tensor tensor;
    mt_storage storage;
    struct mt_handle *older;
    bool scratch; /* temporary: forgotten when the VJP that made it returns */
} mt_handle;

/* The handle of a storage in a tape's arena. */
static inline const mt_handle *mt_handle_of(const mt_storage *storage)
{
    return (const mt_handle *)((const char *)storage - offsetof(mt_handle, storage));
}

/* A constructor's tensor that an operation used: freed, in the sense of one reference less, at the reset. */
typedef struct mt_held {
    mt_tensor *tensor;
    uint64_t serial;
    struct mt_held *older;
} mt_held;

enum { MT_TAPE_QUARANTINE = 1024 };

/* Every so many backwards since the reset the tape's memory is compared with what it was at the first such
 * look, and growth of so many bytes is warned of. Many backwards over one result, or with a rewind after
 * each, do not grow; a few large ones, to add up gradients of parts of a batch, are not so many. */
enum { MT_TAPE_WATCH = 128, MT_TAPE_GROWTH = 32 << 20 };

struct mt_tape {
    mt_backend *backend;
    mt_lifetime *lifetime;
    mt_arena handles[2], nodes, values;
    int turn; /* which of handles is in use */
    /* The values of temporaries, which are made while scratching is set. */
    mt_arena scratch;
    bool scratching;
    uint64_t sections; /* how often that began */
    bool recording, fusing;
    bool walked;          /* a backward has left gradients on the tape */
    uint64_t walk_serial; /* when the latest backward began: what it made has a later serial */
    /* No gradient on the tape has a later serial: what a rewind to here or behind need not look for. */
    uint64_t newest_gradient;
    mt_node *newest;
    mt_handle *newest_handle;
    /* Handles that a rewind took back, in the order in which they came; the first is used again once there
     * are more than MT_TAPE_QUARANTINE. */
    mt_handle *quarantine, **quarantine_end;
    int quarantined;
    mt_held *held;
    uint64_t serial; /* of the latest handle or held tensor; no number is given twice */
    int64_t length;
    int64_t backwards; /* since the reset */
    size_t watched;    /* the memory held at the first look since then */
    bool warned;       /* of growth; once for a tape */
    mt_status status;
    bool located; /* message begins with a path of modules */
    char message[640];
    /* When the failures that may explain a NULL operand begin: after so many of that thread's. */
    const void *thread;
    uint64_t failures;
};

static inline mt_scratch mt_tape_begin_scratch(mt_tape *tape)
{
    const mt_scratch scratch = {tape->newest_handle, tape->newest, tape->length,
                                mt_arena_position(&tape->scratch), tape->scratching};
    if (!tape->scratching) tape->sections++;
    tape->scratching = true;
    return scratch;
}

#endif
