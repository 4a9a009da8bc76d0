/* fuzz/calls_life.c - instructions about gradients, and about what happens to a tape. */
#include <stdlib.h>

#include "machine.h"

static void i_backward(machine *m)
{
    const int form = BELOW(4);
    mt_tensor *y = pick(m), *cotangent = form == 0 ? pick(m) : NULL;
    mt_status status;
    if (form == 0) {
        status = mt_backward_from(TAPE, y, cotangent);
    } else {
        if (form < 3 && m->operands == VALID && y && mt_tensor_count(y) != 1) y = mt_sum(TAPE, y);
        status = mt_backward(TAPE, y);
    }
    FUZZ_CHECK(status == mt_tape_status(TAPE), "backward gives %s, and the tape has %s",
               mt_status_name(status), mt_status_name(mt_tape_status(TAPE)));
    done_on_tape(m, status);
    if (status != MT_OK) return;
    for (int i = 0; i < HANDLES; i++) {
        handle *h = &m->handles[i];
        if (!h->x || h->state != VALID || !mt_requires_grad(h->x)) continue;
        mt_tensor *g = mt_grad(h->x);
        FUZZ_CHECK(g || m->scarce, "grad: %s", mt_last_message());
        if (!g) continue;
        FUZZ_CHECK(mt_shape_equal(mt_tensor_shape(g), mt_tensor_shape(h->x)), "a gradient of another shape");
        look(m, g);
    }
}

static void i_grad(machine *m)
{
    mt_tensor *x = pick(m);
    const int form = BELOW(4);
    mt_tensor *g = mt_grad(x);
    FUZZ_CHECK(!g || (!m->null && m->operands != FORGOTTEN), "grad: of a tensor that was forgotten");
    if (form == 0 && m->operands == VALID) mt_zero_grad(x);
    if (!g) return;
    look(m, g);
    if (form == 1) mt_op_scale(g, g, NUMBER);
    if (form == 2) made(m, mt_keep(g), NULL);
}

static void i_record(machine *m) { mt_tape_record(TAPE, BELOW(4) != 0); }

static void i_mark(machine *m)
{
    m->marks[BELOW(MARKS)] = (mark){.position = mt_tape_mark(TAPE), .tape = m->tape, .at = m->clock};
}

static void i_rewind(machine *m) { tape_rewind(m, BELOW(MARKS)); }

static void i_reset(machine *m) { tape_reset(m, m->tape); }

static void i_switch(machine *m) { m->tape = (m->tape + 1) % TAPES; }

static void i_new_tape(machine *m)
{
    tape_free(m, m->tape);
    mt_alloc_fail_at(0);
    TAPE = mt_tape_new(m->backend);
    FUZZ_CHECK(TAPE, "%s", mt_last_message());
    m->resets[m->tape] = 0;
}

/* A request for memory of the next instruction fails. */
static void i_starve(machine *m)
{
    m->scarce = m->starved = true;
    mt_alloc_fail_at(1 + (uint64_t)BELOW(6));
}

static const instruction rows[] = {
    {"backward", i_backward}, {"backward", i_backward}, {"grad", i_grad},   {"record", i_record},
    {"mark", i_mark},         {"rewind", i_rewind},     {"reset", i_reset}, {"switch", i_switch},
    {"new tape", i_new_tape}, {"starve", i_starve},
};
const instruction_group calls_life = {rows, LENGTH(rows)};
