/* tests/programs.h - a program of tensors as data: leaves and applied operations (autodiff/operation.h), in
 * the order in which they run; as text, and run on a backend.
 *
 * The text has a line for each item, and the numbers in it count items from 0:
 *
 *     program SEED fused              (or "parts": mt_tape_fuse off)
 *     leaf real grad 2x3 V V ...      (or index, or const; row-major)
 *     node sum dims=0,-1 keepdim=1 : 0
 *     cotangent 1 V V ...             backward starts from item 1 too; repeated up to its length
 *     end
 *
 * What it gives on a backend, for the items and for the leaves that ask for a gradient:
 *
 *     value 1 real 1x3 V V ...
 *     gradient 0 V V ...
 *     refused 1 SENTENCE              the item that was refused, or -1 for backward; nothing else follows
 *     end
 */
#ifndef TEST_PROGRAMS_H
#define TEST_PROGRAMS_H

#include <stdio.h>

#include "minitorch.h"

enum { MOST_NODES = 40, MOST_ITEMS = 120, MOST_NUMBERS = 1 << 21 };

typedef struct item {
    const mt_operation *operation; /* NULL: a leaf */
    int inputs, in[MT_MAX_LIST];
    mt_attribute attribute[MT_MAX_ATTRIBUTES]; /* a list stands in list; rank 0: NULL, every dimension */
    mt_shape list[MT_MAX_ATTRIBUTES];
    mt_kind kind;
    bool grad;
    mt_shape shape;
    double *values;    /* kind, grad, shape and values are a leaf's */
    double *cotangent; /* NULL: backward does not start here */
    int64_t cotangents;
} item;

/* Its numbers lie in one array, one behind the other. */
typedef struct program {
    uint64_t seed;
    bool fused;
    int count;
    item item[MOST_ITEMS];
    size_t used;
    double number[MOST_NUMBERS];
} program;

int64_t shape_count(mt_shape shape);
/* Room for count numbers; ends the program (the process) when there is none. */
double *program_numbers(program *p, int64_t count);

/* False at the end of the stream; exits with a sentence when the text is no program. */
bool program_read(program *p, FILE *from);
void program_write(const program *p, FILE *to);

/* A program on its way: what its items are on a tape. noise: each REAL item, leaf or result, is multiplied
 * by 1 + noise u, with u in [-1, 1) an element's own, which shows what a rounding would do. */
typedef struct machine {
    mt_backend *backend;
    double noise;
    mt_tape *tape;
    mt_tensor *leaf[MOST_ITEMS], *result[MOST_ITEMS];
} machine;

void machine_begin(machine *m, const program *p, mt_backend *backend, double noise);
/* Computes item k; false when it is refused, and the sentence is the tape's. */
bool machine_step(machine *m, const program *p, int k);
/* Every backward that the cotangents ask for. */
mt_status machine_backward(machine *m, const program *p);
void machine_end(machine *m);

/* The elements of x, of either kind, row-major. */
void tensor_numbers(const mt_tensor *x, double *values);
/* Runs it and writes what it gives. */
void program_run(const program *p, mt_backend *backend, FILE *to);

/* What the harness is tested with: an operation that is a little wrong, in its result or in its gradient, by
 * a factor of 1 + 1e-6. False when no operation is called so, or it has no gradient of its own to spoil. */
bool spoil(const char *name, bool gradient);

#endif
