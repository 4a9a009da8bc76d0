/* fuzz/calls_new.c - instructions that make tensors of the program's own: constructors, copies and views. */
#include <stdlib.h>

#include "machine.h"

const handle *handle_of(const machine *m, const mt_tensor *x)
{
    for (int i = 0; i < HANDLES; i++)
        if (x && m->handles[i].x == x) return &m->handles[i];
    return NULL;
}

double *numbers(machine *m, int64_t count)
{
    double *values = fuzz_memory((size_t)count * sizeof *values);
    const int least = BELOW(64); /* of how many bytes the values are made; the rest repeats them */
    for (int64_t i = 0; i < count; i++) values[i] = i <= least ? NUMBER : values[i - least - 1];
    return values;
}

static mt_shape new_shape(machine *m)
{
    mt_shape shape = pick_shape(m);
    for (int d = 0; d < shape.rank; d++)
        if (shape.size[d] < 0) shape.size[d] = 2;
    return shape;
}

static void i_reals(machine *m)
{
    const mt_shape shape = new_shape(m);
    const int64_t count = mt_shape_count(shape);
    if (count > MOST_ELEMENTS) return;
    double *values = numbers(m, count);
    made(m, mt_from_doubles(m->backend, values, shape), NULL);
    free(values);
}

static void i_parameter(machine *m)
{
    const mt_shape shape = new_shape(m);
    const int64_t count = mt_shape_count(shape);
    if (count > MOST_ELEMENTS) return;
    double *values = numbers(m, count);
    mt_tensor *x = mt_from_doubles(m->backend, values, shape);
    if (x) mt_require_grad(x, true);
    made(m, x, NULL);
    free(values);
}

static void i_indices(machine *m)
{
    const mt_shape shape = new_shape(m);
    const int64_t count = mt_shape_count(shape);
    if (count > MOST_ELEMENTS) return;
    int64_t *values = fuzz_memory((size_t)count * sizeof *values);
    const int bound = 1 + BELOW(12), offset = BELOW(16) == 0;
    for (int64_t i = 0; i < count; i++) values[i] = (i < 16 ? BYTE : i) % bound - offset;
    made(m, mt_from_indices(m->backend, values, shape), NULL);
    free(values);
}

static void i_arange(machine *m)
{
    const int start = BYTE - 20, stop = start + BELOW(60), step = BELOW(8) - 1;
    made(m, mt_arange(m->backend, start, stop, step), NULL);
}

static void i_linspace(machine *m)
{
    const double first = NUMBER, last = NUMBER;
    made(m, mt_linspace(m->backend, first, last, BELOW(40)), NULL);
}

static void i_eye(machine *m) { made(m, mt_eye(m->backend, BELOW(10)), NULL); }

static void i_random(machine *m)
{
    const mt_shape shape = new_shape(m);
    if (mt_shape_count(shape) > MOST_ELEMENTS) return;
    const double a = NUMBER, b = NUMBER;
    const int which = BELOW(3);
    if (which == 2)
        made(m, mt_permutation(m->backend, &m->rng, BELOW(30)), NULL);
    else
        made(m, (which ? mt_normal : mt_uniform)(m->backend, shape, &m->rng, a, b), NULL);
}

static void i_elsewhere(machine *m)
{
    mt_tensor *x = pick(m);
    made(m, mt_tensor_to(x, m->other), NULL);
}

/* ---- copies and views of the program's own ---- */

static void i_keep(machine *m)
{
    const int which = BELOW(3);
    mt_tensor *x = pick(m);
    made(m, which == 0 ? mt_keep(x) : which == 1 ? mt_tensor_copy(x) : mt_tensor_as(x, BELOW(3)), NULL);
}

/* Each: x's view by arguments from the bytes, the program's own or on the tape. */
typedef mt_tensor *view_fn(machine *m, mt_tape *tape, mt_tensor *x, bool own);

static mt_tensor *v_view(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    const mt_shape shape = pick_shape(m);
    return own ? mt_tensor_view(x, shape) : mt_view(tape, x, shape);
}

static mt_tensor *v_reshape(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    m->copied = !mt_tensor_is_contiguous(x);
    const mt_shape shape = pick_shape(m);
    return own ? mt_tensor_reshape(x, shape) : mt_reshape(tape, x, shape);
}

static mt_tensor *v_permute(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    mt_shape order = pick_dims(m, x);
    if (order.rank > 1 && BYTE & 1) order.size[0] = order.rank - 1, order.size[order.rank - 1] = 0;
    return own ? mt_tensor_permute(x, order) : mt_permute(tape, x, order);
}

static mt_tensor *v_transpose(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    const int64_t a = pick_dim(m), b = pick_dim(m);
    return own ? mt_tensor_transpose(x, a, b) : mt_transpose(tape, x, a, b);
}

static mt_tensor *v_slice(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    const int64_t start = BELOW(12) - 3, last = BELOW(14) - 3, step = BELOW(5), dim = pick_dim(m);
    const int64_t stop = last == 10 ? MT_END_OF_DIM : last;
    return own ? mt_tensor_slice(x, dim, start, stop, step) : mt_slice(tape, x, dim, start, stop, step);
}

static mt_tensor *v_select(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    const int64_t dim = pick_dim(m), index = BELOW(12) - 3;
    return own ? mt_tensor_select(x, dim, index) : mt_select(tape, x, dim, index);
}

static mt_tensor *v_expand(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    mt_shape shape = pick_shape(m);
    int64_t count = 1;
    for (int d = 0; d < shape.rank; d++) count *= shape.size[d] > 1 ? shape.size[d] : 1;
    if (count * (count_of(x) + 1) > 4 * MOST_ELEMENTS) shape = mt_shape(1);
    return own ? mt_tensor_expand(x, shape) : mt_expand(tape, x, shape);
}

static mt_tensor *v_squeeze(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    const int64_t dim = pick_dim(m);
    return own ? mt_tensor_squeeze(x, dim) : mt_squeeze(tape, x, dim);
}

static mt_tensor *v_unsqueeze(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    const int64_t dim = pick_dim(m);
    return own ? mt_tensor_unsqueeze(x, dim) : mt_unsqueeze(tape, x, dim);
}

static mt_tensor *v_flatten(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    m->copied = !mt_tensor_is_contiguous(x);
    const int64_t first = pick_dim(m), last = pick_dim(m);
    return own ? mt_tensor_flatten(x, first, last) : mt_flatten(tape, x, first, last);
}

static mt_tensor *v_unfold(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    const int64_t dim = pick_dim(m), step = BELOW(4), asked = BELOW(5);
    const int64_t size = asked * count_of(x) > 4 * MOST_ELEMENTS ? 1 : asked;
    return own ? mt_tensor_unfold(x, dim, size, step) : mt_unfold(tape, x, dim, size, step);
}

static mt_tensor *v_contiguous(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    m->copied = !mt_tensor_is_contiguous(x);
    return own ? mt_tensor_contiguous(x) : mt_contiguous(tape, x);
}

mt_tensor *view(machine *m, mt_tape *tape, mt_tensor *x, bool own)
{
    static view_fn *const views[] = {v_view,   v_reshape, v_permute,   v_transpose, v_slice,      v_select,
                                     v_expand, v_squeeze, v_unsqueeze, v_flatten,   v_contiguous, v_unfold};
    return views[BELOW(LENGTH(views))](m, tape, x, own);
}

static void i_own_view(machine *m)
{
    mt_tensor *x = pick(m);
    const handle *of = handle_of(m, x);
    m->copied = false;
    mt_tensor *result = view(m, NULL, x, true);
    made(m, result, m->copied ? NULL : of);
}

static void i_free(machine *m)
{
    handle *h = choose(m);
    if (!h) return;
    mt_tensor_free(h->x); /* does nothing to a tape's own */
    if (h->own) *h = (handle){.tape = -1};
}

static void i_require(machine *m)
{
    const bool on = BELOW(4) != 0;
    mt_tensor *x = pick(m);
    done(m, mt_require_grad(x, on));
    if (x) mt_requires_grad(x);
}

static const instruction rows[] = {
    {"reals", i_reals},       {"parameter", i_parameter}, {"indices", i_indices},
    {"arange", i_arange},     {"linspace", i_linspace},   {"eye", i_eye},
    {"random", i_random},     {"elsewhere", i_elsewhere}, {"keep", i_keep},
    {"own view", i_own_view}, {"free", i_free},           {"require", i_require},
};
const instruction_group calls_new = {rows, LENGTH(rows)};
