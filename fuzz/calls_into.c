/* fuzz/calls_into.c - instructions that write into a tensor that is there, or tell what one is. */
#include <stdlib.h>

#include "machine.h"

/* An output: one that is there, or a new one of that shape. */
static mt_tensor *output(machine *m, mt_shape shape, mt_kind kind, mt_tensor **fresh)
{
    *fresh = NULL;
    if (BELOW(3) == 0) return pick(m);
    for (int d = 0; d < shape.rank; d++)
        if (shape.size[d] < 0) shape.size[d] = 1;
    mt_tensor *x = mt_empty(m->backend, shape, kind);
    if (x && mt_op_fill(x, 1) != MT_OK) {
        mt_tensor_free(x);
        x = NULL;
    }
    m->null |= !x;
    *fresh = x;
    return x;
}

static void written(machine *m, mt_status status, mt_tensor *out, mt_tensor *fresh)
{
    done(m, status);
    if (fresh) {
        m->operands = VALID;
        m->null = false;
        made(m, fresh, NULL);
    } else if (out && m->operands == VALID && !m->scarce) {
        look(m, out);
    }
}

static mt_shape together(const mt_tensor *a, const mt_tensor *b)
{
    mt_shape shape = mt_tensor_shape(a);
    mt_shape_broadcast(mt_tensor_shape(a), mt_tensor_shape(b), &shape);
    return shape;
}

static void i_elementwise_into(machine *m)
{
    const int form = BELOW(4), op = BELOW(MT_OP_COUNT), which = BELOW(3);
    mt_tensor *fresh, *a = pick(m), *b = pick(m), *g = form == 0 ? a : pick(m), *y = form == 0 ? a : pick(m);
    const double p0 = NUMBER, p1 = NUMBER;
    if (!small_together(a, b)) return;
    const bool map = op < MT_MAP_COUNT;
    mt_tensor *out = output(m, map ? mt_tensor_shape(a) : together(a, b), MT_REAL, &fresh);
    if (form == 1) out = a;
    m->failures = mt_failures();
    mt_status status;
    m->null = false; /* not all of them are read */
    const use operands = m->operands;
    m->operands = VALID;
    if (form < 2)
        status = map ? mt_op_map(out, (mt_op)op, a, p0, p1) : mt_op_zip(out, (mt_op)op, a, b, p0, p1);
    else
        status = map ? mt_op_map_grad(out, (mt_op)op, g, a, y, p0, p1)
                     : mt_op_zip_grad(out, (mt_op)op, which, g, a, b, y, p0, p1);
    m->null = status == MT_ERR_NULL;
    mix(m, &status, sizeof status);
    m->operands = operands;
    if (form == 1 && fresh) mt_tensor_free(fresh), fresh = NULL;
    if (fresh) {
        m->operands = VALID;
        m->null = false;
        made(m, fresh, NULL);
    }
}

static void i_reduce_into(machine *m)
{
    const int which = BELOW(REDUCTION_COUNT + 1);
    mt_tensor *fresh, *x = pick(m);
    const mt_shape dims = pick_dims(m, x);
    const bool arg = which == REDUCTION_COUNT - 1 || which == REDUCTION_COUNT - 2;
    mt_tensor *out = output(m, without(mt_tensor_shape(x), dims, BYTE & 1), arg ? MT_INDEX : MT_REAL, &fresh);
    m->failures = mt_failures();
    written(m, (which < REDUCTION_COUNT ? reductions[which].into : mt_op_add_sum)(out, x, dims), out, fresh);
}

static void i_scatter(machine *m)
{
    const handle *like = choose(m); /* for its shape alone */
    mt_tensor *fresh, *x = like ? like->x : NULL;
    const mt_shape dims = pick_dims(m, x), rest = without(mt_tensor_shape(x), dims, false);
    mt_tensor *out = output(m, mt_tensor_shape(x), MT_REAL, &fresh);
    mt_tensor *index = NULL, *value = NULL, *own = NULL, *own_value = NULL;
    if (BYTE & 1 && (own = mt_empty(m->backend, rest, MT_INDEX)) && mt_op_fill(own, BELOW(9)) == MT_OK)
        index = own;
    if (!index) index = pick(m);
    if (own && BYTE & 1) value = own_value = mt_full(m->backend, rest, NUMBER);
    if (!value) value = pick(m);
    m->failures = mt_failures();
    const mt_status status = mt_op_scatter(out, index, value, dims);
    m->null |= status == MT_ERR_NULL;
    if (status != MT_OK && out && m->operands == VALID) mt_op_fill(out, 0); /* it may hold anything */
    done(m, status);
    if (fresh) {
        m->operands = VALID;
        m->null = false;
        made(m, fresh, NULL);
    }
    mt_tensor_free(own);
    mt_tensor_free(own_value);
}

static void i_rows_into(machine *m)
{
    mt_tensor *fresh, *x = pick(m), *index = pick(m);
    const bool put = BYTE & 1;
    mt_shape shape = mt_tensor_shape(x);
    if (count_of(x) * count_of(index) > 40000) return;
    if (shape.rank > 0 && index) shape.size[0] = put ? 9 : mt_tensor_shape(index).size[0];
    mt_tensor *out = output(m, shape, mt_tensor_kind(x), &fresh);
    m->failures = mt_failures();
    written(m, (put ? mt_op_put_rows : mt_op_take_rows)(out, x, index), out, fresh);
}

static void i_matmul_into(machine *m)
{
    const int form = BELOW(5);
    mt_tensor *fresh, *a = pick(m), *b = pick(m), *bias = form > 1 ? pick(m) : NULL, *pre = NULL;
    if (count_of(a) * count_of(b) > 40000) return;
    mt_shape shape = mt_tensor_shape(a);
    if (shape.rank > 1 && b) shape.size[shape.rank - 1] = mt_tensor_size(b, -1);
    mt_tensor *out = output(m, shape, MT_REAL, &fresh);
    mt_op act = (mt_op)BELOW(MT_MAP_COUNT);
    if (form == 4) pre = pick(m);
    m->failures = mt_failures();
    mt_status status;
    if (form == 0)
        status = mt_op_matmul(out, a, b);
    else if (form == 1)
        status = mt_op_add_matmul(out, a, b);
    else if (form == 2)
        status = mt_op_linear(out, a, b, bias);
    else
        status = mt_op_linear_act(out, a, b, bias, act, form == 4, pre);
    written(m, status, out, fresh);
}

static void i_copy_into(machine *m)
{
    mt_tensor *fresh, *x = pick(m);
    mt_tensor *out = output(m, pick_shape(m), (mt_kind)BELOW(2), &fresh);
    m->failures = mt_failures();
    written(m, mt_op_copy(out, x), out, fresh);
}

static void i_fill(machine *m)
{
    mt_tensor *out = pick(m);
    const int form = BELOW(4);
    const double a = NUMBER, b = NUMBER;
    const mt_status status = form == 0   ? mt_op_fill(out, a)
                             : form == 1 ? mt_op_uniform(out, &m->rng, a, b)
                             : form == 2 ? mt_op_normal(out, &m->rng, a, b)
                                         : mt_op_permutation(out, &m->rng);
    written(m, status, out, NULL);
}

static void i_write(machine *m)
{
    mt_tensor *x = pick(m);
    const int64_t count = BYTE & 7 ? count_of(x) : BELOW(20);
    if (count > 2 * MOST_ELEMENTS) return;
    double *values = numbers(m, count);
    written(m, mt_set_doubles(x, values, count), x, NULL);
    free(values);
}

static mt_shape place_in(machine *m, const mt_tensor *x)
{
    mt_shape at = mt_tensor_shape(x);
    for (int d = 0; d < at.rank; d++) at.size[d] = at.size[d] > 0 ? BYTE % (at.size[d] + 2) - 1 : 0;
    if (BELOW(16) == 0) at.rank = BELOW(9);
    return at;
}

static void i_get(machine *m)
{
    mt_tensor *x = pick(m);
    double value = 0;
    const mt_shape at = place_in(m, x);
    done(m, BYTE & 1 ? mt_get(x, at, &value) : mt_set(x, at, NUMBER));
    mix(m, &value, sizeof value);
}

/* What a tensor is, and its values as text. */
static void i_tell(machine *m)
{
    mt_tensor *x = pick(m);
    const int64_t dim = pick_dim(m);
    const int64_t facts[] = {
        mt_tensor_rank(x),   mt_tensor_count(x),         mt_tensor_size(x, dim), mt_tensor_stride(x, dim),
        mt_tensor_offset(x), mt_tensor_is_contiguous(x), mt_has_grad(x)};
    mix(m, facts, sizeof facts);
    const uint64_t version = mt_tensor_version(x);
    mt_backend *backend = mt_tensor_backend(x);
    const void *data = mt_tensor_data(x);
    const double item = mt_item(x), value = mt_printable(item);
    const bool valid = !m->null && m->operands == VALID;
    FUZZ_CHECK(!valid || backend, "tell: a tensor without a backend: %s", mt_last_message());
    FUZZ_CHECK(m->null || m->operands != FORGOTTEN || (!backend && !data && version == 0 && item != item),
               "tell: a tensor that was forgotten is read");
    if (valid) mix(m, &version, sizeof version);
    if (valid) mix(m, &value, sizeof value);
    char text[200];
    m->failures = mt_failures();
    const int64_t length = mt_format(x, text, sizeof text);
    FUZZ_CHECK(length >= 0 || m->null || mt_failures() > m->failures, "format: no sentence");
    FUZZ_CHECK(length < 0 || (!m->null && m->operands != FORGOTTEN), "format: a text of what was forgotten");
    mix(m, &length, sizeof length);
}

static const instruction rows[] = {
    {"elementwise into", i_elementwise_into},
    {"reduce into", i_reduce_into},
    {"scatter", i_scatter},
    {"rows into", i_rows_into},
    {"matmul into", i_matmul_into},
    {"copy into", i_copy_into},
    {"fill", i_fill},
    {"write", i_write},
    {"get", i_get},
    {"tell", i_tell},
};
const instruction_group calls_into = {rows, LENGTH(rows)};
