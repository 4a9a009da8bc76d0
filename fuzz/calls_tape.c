/* fuzz/calls_tape.c - instructions that are operations on a tape. */
#include <stdlib.h>

#include "machine.h"

#define REDUCTIONS(row) row(sum) row(mean) row(prod) row(max) row(min) row(all) row(argmax) row(argmin)
const reduction reductions[] = {
#define ROW(name) {mt_##name, mt_##name##_dim, mt_##name##_dims, mt_op_##name},
    REDUCTIONS(ROW)};
static void i_view(machine *m)
{
    mt_tensor *x = pick(m);
    const handle *of = handle_of(m, x);
    const uint64_t base = of ? of->base : 0;
    on_tape(m, view(m, TAPE, x, false), base ? base : 1);
}

static void i_map(machine *m)
{
    const mt_op op = (mt_op)BELOW(MT_MAP_COUNT + 1);
    mt_tensor *x = pick(m);
    const double p0 = NUMBER, p1 = NUMBER;
    on_tape(m, mt_map(TAPE, op, x, p0, p1), 0);
}

bool small_together(const mt_tensor *a, const mt_tensor *b)
{
    mt_shape shape;
    if (!a || !b || mt_shape_broadcast(mt_tensor_shape(a), mt_tensor_shape(b), &shape) != MT_OK) return true;
    return mt_shape_count(shape) <= 2 * MOST_ELEMENTS;
}

static void i_zip(machine *m)
{
    const mt_op op = (mt_op)(MT_MAP_COUNT + BELOW(MT_OP_COUNT - MT_MAP_COUNT + 1));
    mt_tensor *a = pick(m), *b = pick(m);
    if (!small_together(a, b)) return;
    m->failures = mt_failures();
    const double p0 = NUMBER, p1 = NUMBER;
    on_tape(m, mt_zip(TAPE, op, a, b, p0, p1), 0);
}

static void i_reduce(machine *m)
{
    const int which = BELOW(REDUCTION_COUNT), form = BELOW(6);
    mt_tensor *x = pick(m);
    if (form == 0)
        on_tape(m, reductions[which].whole(TAPE, x), 0);
    else if (form < 4)
        on_tape(m, reductions[which].dim(TAPE, x, pick_dim(m), form & 1), 0);
    else
        on_tape(m, reductions[which].dims(TAPE, x, pick_dims(m, x), form & 1), 0);
}

static void i_var(machine *m)
{
    const double correction = BELOW(4) - 1;
    const int form = BELOW(6);
    mt_tensor *x = pick(m);
    if (form == 0)
        on_tape(m, mt_var(TAPE, x, correction), 0);
    else if (form < 4)
        on_tape(m, mt_var_dim(TAPE, x, pick_dim(m), correction, form & 1), 0);
    else
        on_tape(m, mt_var_dims(TAPE, x, pick_dims(m, x), correction, form & 1), 0);
}

static void i_matmul(machine *m)
{
    mt_tensor *a = pick(m), *b = NULL;
    const bool square = BELOW(4) == 0 && a && mt_tensor_rank(a) > 1 && m->operands == VALID;
    if (square && !m->foreign && !m->mixed) b = mt_transpose(TAPE, a, -1, -2);
    if (!b) b = pick(m);
    if (count_of(a) * count_of(b) > 40000) return;
    on_tape(m, mt_matmul(TAPE, a, b), 0);
}

static void i_linear(machine *m)
{
    mt_tensor *x = pick(m), *w = pick(m), *bias = pick(m);
    const int act = BELOW(MT_MAP_COUNT + 4);
    if (count_of(x) * count_of(w) > 40000) return;
    on_tape(m, act < MT_MAP_COUNT ? mt_linear_act(TAPE, x, w, bias, (mt_op)act) : mt_linear(TAPE, x, w, bias),
            0);
}

/* A layer that fits x. */
static void i_layer(machine *m)
{
    mt_tensor *x = pick(m);
    if (!x || m->operands != VALID) return;
    const int64_t in = mt_tensor_size(x, -1), out = BELOW(10);
    double *values = numbers(m, (in + 1) * out);
    mt_tensor *w = mt_from_doubles(m->backend, values, mt_shape(in, out));
    mt_tensor *bias = mt_from_doubles(m->backend, values, mt_shape(out));
    free(values);
    if (w) mt_require_grad(w, true);
    if (bias) mt_require_grad(bias, BYTE & 1);
    const int act = BELOW(MT_MAP_COUNT + 1);
    mt_tensor *y = NULL;
    if (count_of(x) * out <= 8 * MOST_ELEMENTS || !w)
        y = act < MT_MAP_COUNT ? mt_linear_act(TAPE, x, w, bias, (mt_op)act) : mt_linear(TAPE, x, w, bias);
    mt_tensor_free(w);
    mt_tensor_free(bias);
    if (y || mt_tape_status(TAPE) != MT_OK) on_tape(m, y, 0);
}

static void i_take_rows(machine *m)
{
    mt_tensor *x = pick(m), *index = pick(m);
    if (count_of(x) * count_of(index) > 40000) return;
    on_tape(m, mt_take_rows(TAPE, x, index), 0);
}

static void i_loss(machine *m)
{
    mt_tensor *(*const losses[])(mt_tape *, mt_tensor *, mt_tensor *) = {mt_mse, mt_bce, mt_bce_with_logits};
    const int which = BELOW(3);
    mt_tensor *p = pick(m), *target = pick(m);
    on_tape(m, losses[which](TAPE, p, target), 0);
}

static void i_num(machine *m) { on_tape(m, mt_num(TAPE, NUMBER), 0); }

static void i_detach(machine *m)
{
    mt_tensor *x = pick(m);
    const handle *of = handle_of(m, x);
    const uint64_t base = of && of->base ? of->base : 1;
    on_tape(m, BYTE & 1 ? mt_detach(TAPE, x) : mt_copy(TAPE, x), base);
}

static mt_tensor *product(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_mul(tape, in[0], in[1]);
}

static mt_status product_back(mt_tape *tape, void *context, mt_tensor *const *in, const mt_tensor *out,
                              const mt_tensor *cotangent, const bool *needs, mt_tensor *const *grad)
{
    (void)tape, (void)context, (void)out;
    mt_status status = MT_OK;
    for (int i = 0; i < 2 && status == MT_OK; i++)
        if (needs[i] && mt_shape_equal(mt_tensor_shape(grad[i]), mt_tensor_shape(cotangent)))
            status = mt_op_mul(grad[i], cotangent, in[1 - i]);
    return status;
}

static void i_apply(machine *m)
{
    static const mt_function function = {"product", 2, NULL, product, product_back};
    mt_tensor *in[2];
    in[0] = pick(m), in[1] = pick(m);
    if (!small_together(in[0], in[1])) return;
    m->failures = mt_failures();
    on_tape(m, mt_apply(TAPE, &function, in), 0);
}

static const instruction rows[] = {
    {"view", i_view},
    {"view", i_view},
    {"map", i_map},
    {"map", i_map},
    {"zip", i_zip},
    {"zip", i_zip},
    {"reduce", i_reduce},
    {"reduce", i_reduce},
    {"var", i_var},
    {"matmul", i_matmul},
    {"linear", i_linear},
    {"layer", i_layer},
    {"take rows", i_take_rows},
    {"loss", i_loss},
    {"num", i_num},
    {"detach or copy", i_detach},
    {"apply", i_apply},
};
const instruction_group calls_tape = {rows, LENGTH(rows)};
