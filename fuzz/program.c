/* fuzz/program.c - a program over the library's interface, from bytes: each byte is an instruction
 * (calls_*.c), what follows its operands.
 *
 * It runs on the backend under test with `simple` beside it (pair.c), and again on that backend alone, in
 * memory that held something else: every value, shape and status must be the same. Here stands what must
 * become of a call whose operands cannot be used.
 */
#include "machine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff/tape_struct.h"
#include "pair.h"

enum { MOST_INSTRUCTIONS = 96 };

/* FNV-1a. */
void mix(machine *m, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) m->hash = (m->hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
}

/* ---- operands ---- */

handle *choose(machine *m)
{
    const int byte = fuzz_byte(&m->in);
    if (byte >= 250) return NULL;
    for (int i = 0; i < HANDLES; i++) {
        handle *h = &m->handles[(byte + i) % HANDLES];
        if (h->x) return h;
    }
    return NULL;
}

mt_tensor *pick(machine *m)
{
    handle *h = choose(m);
    if (!h) {
        m->null = true;
        return NULL;
    }
    if (h->state > m->operands) m->operands = h->state;
    m->foreign |= h->tape >= 0 && h->tape != m->tape;
    /* The handle of a forgotten one may be read, its storage not. */
    if (h->state == VALID) m->mixed |= mt_tensor_backend(h->x) != m->backend;
    return h->x;
}

int64_t count_of(const mt_tensor *x) { return x ? mt_tensor_count(x) : 0; }

int64_t pick_dim(machine *m) { return fuzz_below(&m->in, 7) - 2; }

mt_shape pick_shape(machine *m)
{
    const int byte = fuzz_byte(&m->in);
    handle *h = byte & 1 ? choose(m) : NULL;
    mt_shape shape = {.rank = 1 + (byte >> 1) % 4};
    if (h) {
        shape = mt_tensor_shape(h->x);
        const int change = byte >> 1 & 7; /* dimension of which the size becomes 1, or -1 */
        if (change < shape.rank) shape.size[change] = byte & 64 ? -1 : 1;
        return shape;
    }
    int64_t count = 1;
    for (int d = 0; d < shape.rank; d++) {
        shape.size[d] = fuzz_below(&m->in, 10);
        if (count * shape.size[d] > MOST_ELEMENTS) shape.size[d] = 1;
        count *= shape.size[d] ? shape.size[d] : 1;
    }
    return shape;
}

mt_shape pick_dims(machine *m, const mt_tensor *x)
{
    const int byte = fuzz_byte(&m->in);
    if (byte & 1) return mt_every_dim(x);
    mt_shape dims = {.rank = (byte >> 1) % 4};
    for (int i = 0; i < dims.rank; i++) dims.size[i] = pick_dim(m);
    return dims;
}

mt_shape without(mt_shape shape, mt_shape dims, bool keepdim)
{
    bool gone[MT_MAX_DIMS] = {false};
    for (int i = 0; i < dims.rank; i++) {
        const int64_t d = dims.size[i] < 0 ? dims.size[i] + shape.rank : dims.size[i];
        if (d >= 0 && d < shape.rank) gone[d] = true;
    }
    mt_shape rest = {0};
    for (int d = 0; d < shape.rank; d++)
        if (!gone[d] || keepdim) rest.size[rest.rank++] = gone[d] ? 1 : shape.size[d];
    return rest.rank ? rest : mt_shape(1);
}

/* ---- results ---- */

/* The place for a new handle, with what was there freed. */
static handle *place(machine *m)
{
    handle *h = &m->handles[fuzz_below(&m->in, HANDLES)];
    if (h->x && h->own) mt_tensor_free(h->x);
    *h = (handle){.tape = -1, .made = m->clock};
    return h;
}

void look(machine *m, const mt_tensor *x)
{
    const mt_shape shape = mt_tensor_shape(x);
    const int64_t count = mt_shape_count(shape);
    FUZZ_CHECK(count >= 0 && count == mt_tensor_count(x), "%s: %" PRId64 " elements", m->name, count);
    mix(m, &shape, sizeof shape);
    if (count > 8 * MOST_ELEMENTS) return;
    if (mt_tensor_kind(x) == MT_INDEX) {
        int64_t *values = fuzz_memory((size_t)count * sizeof *values);
        FUZZ_CHECK(mt_to_indices(x, values, count) == MT_OK || m->scarce, "%s: %s", m->name,
                   mt_last_message());
        if (!m->scarce) mix(m, values, (size_t)count * sizeof *values);
        free(values);
        return;
    }
    double *values = fuzz_memory((size_t)count * sizeof *values);
    FUZZ_CHECK(mt_to_doubles(x, values, count) == MT_OK || m->scarce, "%s: %s", m->name, mt_last_message());
    for (int64_t i = 0; i < count && !m->scarce; i++) {
        const double value = mt_printable(values[i]);
        mix(m, &value, sizeof value);
    }
    free(values);
}

/* A call that gave nothing has left a sentence; one whose operands cannot be used has given nothing. */
static void refusals(machine *m, bool failed, bool told)
{
    const bool must = m->operands == FORGOTTEN || m->null;
    FUZZ_CHECK(failed || !must, "%s: succeeded with an operand that is %s", m->name,
               m->null ? "NULL" : "forgotten");
    FUZZ_CHECK(!failed || told, "%s: failed without a sentence", m->name);
    if (failed && told && *mt_last_message()) fuzz_sentence(m->name, mt_last_message());
}

void on_tape(machine *m, mt_tensor *result, uint64_t base)
{
    mt_tape *tape = m->tapes[m->tape];
    const mt_status status = mt_tape_status(tape);
    mix(m, &status, sizeof status);
    FUZZ_CHECK(!result == (status != MT_OK), "%s: result %p, and the tape's status is %s", m->name,
               (void *)result, mt_status_name(status));
    refusals(m, !result, *mt_tape_message(tape) != 0);
    if (status != MT_OK) fuzz_sentence(m->name, mt_tape_message(tape));
    FUZZ_CHECK(!result || (!m->foreign && !m->mixed), "%s: took an operand of another tape or backend",
               m->name);
    if (!result) return;
    m->scarce = false;
    mt_alloc_fail_at(0);
    look(m, result);
    handle *h = place(m);
    h->x = result;
    h->tape = m->tape;
    h->base = base ? base : m->clock;
    h->resets = m->resets[m->tape];
}

void made(machine *m, mt_tensor *result, const handle *of)
{
    const handle source = of ? *of : (handle){.tape = -1};
    refusals(m, !result, m->null || mt_failures() > m->failures);
    const bool failed = !result;
    mix(m, &failed, sizeof failed);
    if (!result) return;
    m->scarce = false;
    mt_alloc_fail_at(0);
    if (m->operands == VALID) look(m, result);
    handle *h = place(m);
    h->x = result;
    h->own = true;
    if (!of) return;
    h->tape = source.tape;
    h->made = source.made;
    h->base = source.base;
    h->state = source.state;
    h->resets = source.resets;
}

void done(machine *m, mt_status status)
{
    refusals(m, status != MT_OK, m->null || mt_failures() > m->failures);
    mix(m, &status, sizeof status);
}

void done_on_tape(machine *m, mt_status status)
{
    refusals(m, status != MT_OK, *mt_tape_message(m->tapes[m->tape]) != 0);
    mix(m, &status, sizeof status);
}

/* ---- tapes ---- */

/* Every handle of the tape made after an instruction is forgotten, those of views too. */
static void forget(machine *m, int tape, uint64_t after, bool all)
{
    for (int i = 0; i < HANDLES; i++) {
        handle *h = &m->handles[i];
        if (!h->x || h->tape != tape) continue;
        const use before = h->state;
        if (all || (h->made > after && (!h->own || h->base > after)))
            h->state = FORGOTTEN;
        else if (h->made > after && h->state == VALID)
            h->state = UNSURE;
        if (h->state != before) h->serial = m->tapes[tape]->serial;
    }
}

/* The handles whose place a tape may have given to another: the program may not use these. */
static void give_up_lost(machine *m, int tape, bool all)
{
    for (int i = 0; i < HANDLES; i++) {
        handle *h = &m->handles[i];
        if (!h->x || h->own || h->tape != tape) continue;
        const bool reused = h->state == FORGOTTEN && m->tapes[tape]->serial - h->serial >= MT_TAPE_QUARANTINE;
        if (all || reused || m->resets[tape] - h->resets > 1) *h = (handle){.tape = -1};
    }
}

void tape_reset(machine *m, int tape)
{
    forget(m, tape, 0, true);
    mt_tape_reset(m->tapes[tape]);
    m->resets[tape]++;
    for (int i = 0; i < MARKS; i++)
        if (m->marks[i].tape == tape) m->marks[i].state = FORGOTTEN;
    give_up_lost(m, tape, false);
    FUZZ_CHECK(mt_tape_status(m->tapes[tape]) == MT_OK && mt_tape_length(m->tapes[tape]) == 0,
               "a tape that was reset has status %s and length %" PRId64,
               mt_status_name(mt_tape_status(m->tapes[tape])), mt_tape_length(m->tapes[tape]));
}

void tape_rewind(machine *m, int which)
{
    const mark *to = &m->marks[which];
    const mt_status status = mt_tape_rewind(m->tapes[m->tape], to->position);
    const bool must = to->tape != m->tape || to->state == FORGOTTEN;
    mix(m, &status, sizeof status);
    FUZZ_CHECK(!must || status != MT_OK,
               "rewind: went to a position of another tape, or from before a reset");
    FUZZ_CHECK(must || to->state == UNSURE || status == MT_OK, "rewind: %s", mt_last_message());
    if (status != MT_OK) return;
    forget(m, m->tape, to->at, false);
    for (int i = 0; i < MARKS; i++)
        if (m->marks[i].tape == m->tape && m->marks[i].at > to->at && m->marks[i].state == VALID)
            m->marks[i].state = UNSURE;
}

void tape_free(machine *m, int tape)
{
    forget(m, tape, 0, true);
    give_up_lost(m, tape, true);
    for (int i = 0; i < MARKS; i++)
        if (m->marks[i].tape == tape) m->marks[i].state = FORGOTTEN;
    mt_tape_free(m->tapes[tape]);
    m->tapes[tape] = NULL;
}

/* ---- a run ---- */

static const instruction *chosen(machine *m)
{
    const instruction_group *const groups[] = {&calls_new, &calls_tape, &calls_into, &calls_life};
    int count = 0, group = 0;
    for (int i = 0; i < LENGTH(groups); i++) count += groups[i]->count;
    int number = BELOW(count);
    while (number >= groups[group]->count) number -= groups[group++]->count;
    return &groups[group]->rows[number];
}

static void step(machine *m)
{
    m->operands = VALID;
    m->null = m->foreign = m->mixed = false;
    m->failures = mt_failures();
    m->clock++;
    mt_tape *tape = m->tapes[m->tape];
    /* A tape that has failed only says so, until it is reset. */
    if (mt_tape_status(tape) != MT_OK && fuzz_byte(&m->in) & 3) tape_reset(m, m->tape);
    for (int i = 0; i < TAPES; i++) give_up_lost(m, i, false);
    const instruction *next = chosen(m);
    snprintf(m->name, sizeof m->name, "%s", next->name);
    if (getenv("MT_FUZZ_TELL")) fprintf(stderr, "%3" PRIu64 " %s\n", m->clock, m->name);
    next->run(m);
}

static uint64_t run(mt_backend *backend, const uint8_t *data, size_t size, bool *starved)
{
    machine m = {.in = {data, data + size}, .backend = backend, .other = mt_backend_get("simple")};
    m.rng = mt_rng_make(7);
    m.hash = 0xcbf29ce484222325u;
    for (int i = 0; i < HANDLES; i++) m.handles[i].tape = -1;
    for (int i = 0; i < MARKS; i++) m.marks[i].tape = -1;
    for (int i = 0; i < TAPES; i++) {
        m.tapes[i] = mt_tape_new(backend);
        FUZZ_CHECK(m.tapes[i], "%s", mt_last_message());
    }
    for (int i = 0; i < MOST_INSTRUCTIONS && m.in.at < m.in.end; i++) {
        step(&m);
        if (m.scarce && strcmp(m.name, "starve") != 0) {
            mt_alloc_fail_at(0);
            m.scarce = false;
        }
    }
    mt_alloc_fail_at(0);
    m.scarce = false;
    for (int i = 0; i < HANDLES; i++)
        if (m.handles[i].x && m.handles[i].state == VALID) look(&m, m.handles[i].x);
    /* Tapes before tensors, or after them. */
    const bool tapes_first = size & 1;
    for (int i = 0; i < TAPES && tapes_first; i++) mt_tape_free(m.tapes[i]);
    for (int i = 0; i < HANDLES; i++)
        if (m.handles[i].own) mt_tensor_free(m.handles[i].x);
    for (int i = 0; i < TAPES && !tapes_first; i++) mt_tape_free(m.tapes[i]);
    *starved = m.starved;
    return m.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mt_backend *backend = pair_backend("cpu");
    bool starved;
    pair_compare(true);
    pair_fill(0xff);
    const uint64_t first = run(backend, data, size, &starved);
    pair_compare(false);
    pair_fill(0x3f);
    const uint64_t second = run(backend, data, size, &starved);
    FUZZ_CHECK(starved || first == second,
               "the program gives other results in memory that held something else");
    return 0;
}
