/* fuzz/machine.h - a program over the library's interface that bytes choose: handles, tapes and marks, and
 * what must become of a call by what its operands are.
 */
#ifndef MT_FUZZ_MACHINE_H
#define MT_FUZZ_MACHINE_H

#include "autodiff/elementwise.h"
#include "autodiff/function.h"
#include "fuzz.h"
#include "tensor/arena.h"
#include "tensor/ops.h"

enum { HANDLES = 10, TAPES = 2, MARKS = 4, MOST_ELEMENTS = 1500 };

/* Whether a handle may be used. FORGOTTEN: its tape was reset, rewound or freed, and every use is refused.
 * UNSURE: a view of a result from before the mark, by way of one from after it. */
typedef enum use { VALID, UNSURE, FORGOTTEN } use;

typedef struct handle {
    mt_tensor *x;
    bool own;            /* the program frees it */
    int tape;            /* whose it is, or whose tensor it shows; -1: none */
    uint64_t made, base; /* the instruction that made the handle, and (or an earlier one) its storage */
    use state;
    uint64_t resets, serial; /* of its tape: at its making, and when it was forgotten */
} handle;

typedef struct mark {
    mt_tape_position position;
    int tape; /* -1: none */
    uint64_t at;
    use state;
} mark;

typedef struct machine {
    fuzz_bytes in;
    mt_backend *backend, *other; /* other: tensors of which may not meet those of backend */
    handle handles[HANDLES];
    mt_tape *tapes[TAPES];
    uint64_t resets[TAPES];
    mark marks[MARKS];
    int tape; /* the one in use */
    uint64_t clock, hash;
    mt_rng rng;
    bool scarce;  /* a request for memory may fail in this instruction */
    bool starved; /* ... in one so far */
    /* Of the operands picked since the instruction began: */
    use operands;
    bool null, foreign, mixed; /* one is NULL; of another tape, or of another backend, than the one in use */
    uint64_t failures;
    bool copied;   /* the latest view is a copy, since the layout did not allow one */
    char name[32]; /* of the instruction */
} machine;

/* ---- what instructions are made of ---- */

/* A handle that a byte chooses, seldom none (NULL). pick notes what must become of the call. */
handle *choose(machine *m);
mt_tensor *pick(machine *m);
int64_t count_of(const mt_tensor *x);
mt_shape pick_shape(machine *m); /* at times one of a handle's, or one that broadcasts to it */
mt_shape pick_dims(machine *m, const mt_tensor *x);
int64_t pick_dim(machine *m);
mt_shape without(mt_shape shape, mt_shape dims, bool keepdim);

/* The end of a call: of a tape's operation; of what makes a handle for the program, a view of `of` or none;
 * of what returns a status. `may`: an error of the shapes, kinds or values is possible. */
void on_tape(machine *m, mt_tensor *result, uint64_t base);
void made(machine *m, mt_tensor *result, const handle *of);
void done(machine *m, mt_status status);
/* The same of a call that leaves its failure in the tape, which may have failed before. */
void done_on_tape(machine *m, mt_status status);
/* Reads a tensor that may be used, into the hash. */
void look(machine *m, const mt_tensor *x);
void mix(machine *m, const void *bytes, size_t size);

/* What happens to a tape. */
void tape_reset(machine *m, int tape);
void tape_rewind(machine *m, int which);
void tape_free(machine *m, int tape);

/* ---- the instructions ---- */

typedef struct instruction {
    const char *name;
    void (*run)(machine *m);
} instruction;

/* An instruction's number counts through the groups in this order; files of the corpus hold these numbers. */
typedef struct instruction_group {
    const instruction *rows;
    int count;
} instruction_group;

extern const instruction_group calls_new, calls_tape, calls_into, calls_life;

#define BYTE          fuzz_byte(&m->in)
#define BELOW(n)      fuzz_below(&m->in, n)
#define NUMBER        fuzz_number(&m->in)
#define TAPE          m->tapes[m->tape]
#define LENGTH(array) (int)(sizeof(array) / sizeof((array)[0]))

/* The handle that x is of; NULL for NULL. */
const handle *handle_of(const machine *m, const mt_tensor *x);
/* So many values, to be freed; most of them repeat the first few. */
double *numbers(machine *m, int64_t count);
/* A view of x, or a copy where it must be one: the program's own, or on a tape. */
mt_tensor *view(machine *m, mt_tape *tape, mt_tensor *x, bool own);
/* Whether what a and b broadcast to is small enough. */
bool small_together(const mt_tensor *a, const mt_tensor *b);

typedef struct reduction {
    mt_tensor *(*whole)(mt_tape *tape, mt_tensor *x);
    mt_tensor *(*dim)(mt_tape *tape, mt_tensor *x, int64_t dim, bool keepdim);
    mt_tensor *(*dims)(mt_tape *tape, mt_tensor *x, mt_shape dims, bool keepdim);
    mt_status (*into)(mt_tensor *out, const mt_tensor *x, mt_shape dims);
} reduction;

enum { REDUCTION_COUNT = 8 }; /* argmax and argmin are the last two */
extern const reduction reductions[REDUCTION_COUNT];

#endif
