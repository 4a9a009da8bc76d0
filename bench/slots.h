/* slots.h - gpu_slots' list: for each function of a backend's table, a check beside `simple` (see
 * gpu_slots.c).
 *
 * A check calls the slot itself with work that it describes, on arrays in random layouts with guards around
 * them (tests/pairs.h), and fails as tests do: the first difference ends it, in a sentence with what, where,
 * what was wanted and what was got.
 */
#ifndef BENCH_SLOTS_H
#define BENCH_SLOTS_H

#include "tensor/storage.h"
#include "tests/pairs.h"

typedef struct slot_check {
    const char *name;
    size_t offset; /* of the slot in mt_backend */
    void (*run)(void **state);
} slot_check;

extern const slot_check slot_checks[];
extern const int slot_check_count;

/* Also shapes that reach every kernel template: tiles of every size, long sums, large transposes. Set by the
 * program. */
extern bool slots_large;
/* Also elements 2^31 positions apart, on gpu: 9 GB of a card in float. Set by the program. */
extern bool slots_far;

/* The number of a slot of mt_backend (0: allocate) for which the list has no row, or -1. */
int slots_without_check(const slot_check *list, int count);
/* Runs the checks first .. first+count-1 on backends[0], a line for each, beside backends[1]; 0 when all are
 * right. */
int slots_run(int first, int count);

void check_fill(void **state);
void check_copy(void **state);
void check_map(void **state);
void check_zip(void **state);
void check_where(void **state);
void check_compare(void **state);
void check_random(void **state);
void check_reduce(void **state);
void check_reduce_index(void **state);
void check_scatter(void **state);
void check_rows(void **state);
void check_permutation(void **state);
void check_gather(void **state);
void check_cumsum(void **state);
void check_argsort(void **state);
void check_matmul(void **state);
void check_conv(void **state);
void check_update(void **state);
void check_softmax(void **state);
void check_cross_entropy(void **state);
void check_layer_norm(void **state);

/* A sentence's beginning, "map exp of (3, 4)", good until the fourth that follows. */
const char *slots_text(const char *format, ...) TEST_PRINTF(1, 2);
/* The operands of a slot's work. */
mt_operand slots_operand(pair p, int i);
/* Flags for round r of a check: plain layouts at first, then random ones. */
unsigned slots_flags(int round);

#endif
