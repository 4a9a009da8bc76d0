/* ops_cpu/simple.c - the oracle: every operation index by index, on one thread, with sums in double.
 *
 * It makes no plan and joins no dimensions; it computes the position of each element from its index, as the
 * definition says. Tests compare the other backends with it, timings show what they gain.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpu.h"
#include "tensor/arena.h"
#include "tensor/op_id.h"
#include "tensor/scalar/index_ops.h"
#include "tensor/rules.h"
#include "tensor/scalar/scalar_ops.h"
#include "tensor/scalar/random_ops.h"

/* The next index of shape in row-major order; false past the last. */
static bool next_index(int rank, const int64_t *size, int64_t *index)
{
    for (int d = rank - 1; d >= 0; d--) {
        if (++index[d] < size[d]) return true;
        index[d] = 0;
    }
    return false;
}

/* Where x keeps the element that an index of an output of the given rank reads: aligned at the right, 1
 * stretches. */
static int64_t position(const mt_operand *x, int rank, const int64_t *index)
{
    const mt_layout *layout = x->layout;
    int64_t at = layout->offset;
    for (int d = 0; d < layout->rank; d++)
        if (layout->size[d] != 1) at += index[d + rank - layout->rank] * layout->stride[d];
    return at;
}

static mt_real value_at(const mt_operand *x, int rank, const int64_t *index)
{
    return ((const mt_real *)x->data)[position(x, rank, index)];
}

static mt_real *place_of(const mt_operand *x, const int64_t *index)
{
    return (mt_real *)x->data + mt_layout_position(x->layout, index);
}

typedef mt_real (*map_fn)(mt_real x, mt_real p0, mt_real p1);
typedef mt_real (*map_grad_fn)(mt_real g, mt_real x, mt_real y, mt_real p0, mt_real p1);
typedef mt_real (*zip_fn)(mt_real a, mt_real b, mt_real p0, mt_real p1);
typedef mt_real (*zip_grad_fn)(mt_real g, mt_real a, mt_real b, mt_real y, mt_real p0, mt_real p1);

/* grad: NULL where the row has MT_IS_ZERO. */
static const struct {
    map_fn value;
    map_grad_fn grad;
} maps[] = {
#define MT_MAP(name, params, needs, low, high, formula) \
    [MT_OP_##name] = {mt_f_##name, MT_DERIVED(needs, mt_d_##name, NULL)},
#include "tensor/scalar/op_table.inc"
};

/* grad[i]: of operand i; NULL where the row has MT_IS_ONE, MT_IS_ZERO or MT_OF_ORDER. */
static const struct {
    zip_fn value;
    zip_grad_fn grad[2];
} zips[] = {
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) \
    [MT_OP_##name - MT_MAP_COUNT] = {                                                 \
        mt_f_##name, {MT_DERIVED(needs_a, mt_da_##name, NULL), MT_DERIVED(needs_b, mt_db_##name, NULL)}},
#include "tensor/scalar/op_table.inc"
};

static mt_real give(int needs, int bit, mt_real value) { return needs & bit ? value : (mt_real)NAN; }

mt_status mt_simple_map(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    const mt_operand *to = work->operand, *from = to + 1;
    const mt_layout *out = to->layout;
    const int needs = mt_op_describe(work->op)->needs[0];
    const mt_real p0 = work->p[0], p1 = work->p[1];
    int64_t index[MT_MAX_DIMS] = {0};
    if (mt_layout_count(out) == 0) return MT_OK;
    do {
        mt_real in[3] = {0};
        for (int k = 0; k < work->operands - 1; k++) in[k] = value_at(&from[k], out->rank, index);
        mt_real result;
        if (work->part == MT_PART_VALUE)
            result = maps[work->op].value(in[0], p0, p1);
        else
            result = maps[work->op].grad(in[0], give(needs, MT_NEED_A, in[1]), give(needs, MT_NEED_Y, in[2]),
                                         p0, p1);
        *place_of(to, index) = result;
    } while (next_index(out->rank, out->size, index));
    return MT_OK;
}

mt_status mt_simple_zip(mt_backend *backend, const mt_elementwise_work *work)
{
    (void)backend;
    const mt_operand *to = work->operand, *from = to + 1;
    const mt_layout *out = to->layout;
    const int side = work->part == MT_PART_GRAD_B, row = (int)work->op - MT_MAP_COUNT;
    const int needs = mt_op_describe(work->op)->needs[side];
    const mt_real p0 = work->p[0], p1 = work->p[1];
    int64_t index[MT_MAX_DIMS] = {0};
    if (mt_layout_count(out) == 0) return MT_OK;
    do {
        mt_real in[4] = {0};
        for (int k = 0; k < work->operands - 1; k++) in[k] = value_at(&from[k], out->rank, index);
        mt_real result;
        if (work->part == MT_PART_VALUE)
            result = zips[row].value(in[0], in[1], p0, p1);
        else
            result = zips[row].grad[side](in[0], give(needs, MT_NEED_A, in[1]), give(needs, MT_NEED_B, in[2]),
                                          give(needs, MT_NEED_Y, in[3]), p0, p1);
        *place_of(to, index) = result;
    } while (next_index(out->rank, out->size, index));
    return MT_OK;
}

/* A reduction of the elements so far: its value, how many there were, and which was the best. */
typedef struct {
    double value;
    int64_t seen, best;
} fold;

static void fold_in(mt_reduction op, fold *f, double x)
{
    bool nan = isnan(x), had_nan = isnan(f->value);
    switch (op) {
    case MT_SUM: f->value += x; break;
    case MT_PROD: f->value *= x; break;
    case MT_ALL: f->value = f->value != 0 && x != 0; break;
    case MT_MAX:
    case MT_ARGMAX:
        if (f->seen == 0 || (!had_nan && (nan || x > f->value))) f->value = x, f->best = f->seen;
        break;
    case MT_MIN:
    case MT_ARGMIN:
        if (f->seen == 0 || (!had_nan && (nan || x < f->value))) f->value = x, f->best = f->seen;
        break;
    }
    f->seen++;
}

mt_status mt_simple_reduce(mt_backend *backend, const mt_reduce_work *work)
{
    (void)backend;
    const mt_layout *in = work->in.layout, *out = work->out.layout;
    int64_t kept[MT_MAX_DIMS] = {0}, reduced_size[MT_MAX_DIMS], reduced_count = 1;
    for (int d = 0; d < in->rank; d++) {
        reduced_size[d] = work->reduced[d] ? in->size[d] : 1;
        reduced_count *= reduced_size[d];
    }
    if (mt_layout_count(out) == 0) return MT_OK;
    do {
        fold f = {.value = work->op == MT_PROD || work->op == MT_ALL};
        int64_t step[MT_MAX_DIMS] = {0};
        if (reduced_count > 0) do {
                int64_t index[MT_MAX_DIMS];
                for (int d = 0; d < in->rank; d++) index[d] = kept[d] + step[d];
                fold_in(work->op, &f, value_at(&work->in, in->rank, index));
            } while (next_index(in->rank, reduced_size, step));
        int64_t at = mt_layout_position(out, kept);
        if (work->op == MT_ARGMAX || work->op == MT_ARGMIN) {
            ((int64_t *)work->out.data)[at] = f.best;
        } else {
            mt_real *y = (mt_real *)work->out.data + at;
            double result = f.value / (double)work->divisor;
            *y = (mt_real)(work->accumulate ? (double)*y + result : result);
        }
    } while (next_index(out->rank, out->size, kept));
    return MT_OK;
}

mt_status mt_simple_reduce_index(mt_backend *backend, const mt_reduce_work *work, mt_kind out_kind)
{
    (void)backend;
    const mt_layout *in = work->in.layout, *out = work->out.layout;
    int64_t kept[MT_MAX_DIMS] = {0}, reduced_size[MT_MAX_DIMS], reduced_count = 1;
    for (int d = 0; d < in->rank; d++) {
        reduced_size[d] = work->reduced[d] ? in->size[d] : 1;
        reduced_count *= reduced_size[d];
    }
    if (mt_layout_count(out) == 0) return MT_OK;
    do {
        int64_t result = mt_index_start(work->op), step[MT_MAX_DIMS] = {0};
        if (reduced_count > 0) do {
                int64_t index[MT_MAX_DIMS];
                for (int d = 0; d < in->rank; d++) index[d] = kept[d] + step[d];
                result = mt_index_both(
                    work->op, result, ((const int64_t *)work->in.data)[position(&work->in, in->rank, index)]);
            } while (next_index(in->rank, reduced_size, step));
        const int64_t at = mt_layout_position(out, kept);
        if (out_kind == MT_INDEX)
            ((int64_t *)work->out.data)[at] = result;
        else
            ((mt_real *)work->out.data)[at] = mt_index_real(result, work->divisor);
    } while (next_index(out->rank, out->size, kept));
    return MT_OK;
}

mt_status mt_simple_matmul(mt_backend *backend, const mt_matmul_work *work)
{
    (void)backend;
    const mt_layout *out = work->out.layout;
    const int rank = out->rank;
    const int64_t k = work->a.layout->size[work->a.layout->rank - 1];
    int64_t index[MT_MAX_DIMS] = {0};
    if (mt_layout_count(out) == 0) return MT_OK;
    do {
        int64_t in_a[MT_MAX_DIMS], in_b[MT_MAX_DIMS];
        memcpy(in_a, index, sizeof in_a);
        memcpy(in_b, index, sizeof in_b);
        double sum = 0;
        for (int64_t p = 0; p < k; p++) {
            in_a[rank - 1] = in_b[rank - 2] = p;
            sum += (double)value_at(&work->a, rank, in_a) * (double)value_at(&work->b, rank, in_b);
        }
        if (work->bias.data) sum += (double)value_at(&work->bias, rank, index);
        if (work->pre.data) *place_of(&work->pre, index) = (mt_real)sum;
        mt_real *c = place_of(&work->out, index);
        if (work->accumulate)
            *c = (mt_real)((double)*c + sum);
        else
            *c = work->has_act ? maps[work->act].value((mt_real)sum, 0, 0) : (mt_real)sum;
    } while (next_index(rank, out->size, index));
    return MT_OK;
}

/* ---- convolutions: the definition, as seven loops ---- */

/* The element of x that place p of the kernel meets in window i, along the height (d 0) or the width (1);
 * -1: a zero outside. */
static int64_t met(const mt_conv_work *work, int d, int64_t i, int64_t p)
{
    const int64_t at = i * work->stride[d] + p * work->dilation[d] - work->before[d];
    return at >= 0 && at < work->x.layout->size[d + 2] ? at : -1;
}

/* The sum of the products of the other two factors, over all in which that element of the operand that is
 * written is one. */
static double products_of(const mt_conv_work *work, const int64_t *index)
{
    const int64_t *x_size = work->x.layout->size, *w_size = work->w.layout->size,
                  *y_size = work->y.layout->size;
    const int64_t outputs = w_size[0] / work->groups, channels = w_size[1];
    /* From..to-1 of n, o, c (within a group), p, q, i, j: one where the element names it. */
    int64_t from[7] = {0},
            to[7] = {x_size[0], w_size[0], channels, w_size[2], w_size[3], y_size[2], y_size[3]};
    double sum = 0;
    if (work->part != MT_CONV_GRAD_W) from[0] = index[0], to[0] = index[0] + 1;
    if (work->part == MT_CONV_VALUE) {
        from[1] = index[1], from[5] = index[2], from[6] = index[3];
        to[1] = from[1] + 1, to[5] = from[5] + 1, to[6] = from[6] + 1;
    } else if (work->part == MT_CONV_GRAD_X) {
        const int64_t group = index[1] / channels;
        from[1] = group * outputs, to[1] = from[1] + outputs;
        from[2] = index[1] % channels, to[2] = from[2] + 1;
    } else {
        from[1] = index[0], from[2] = index[1], from[3] = index[2], from[4] = index[3];
        for (int k = 1; k < 5; k++) to[k] = from[k] + 1;
    }
    for (int64_t n = from[0]; n < to[0]; n++)
        for (int64_t o = from[1]; o < to[1]; o++)
            for (int64_t c = from[2]; c < to[2]; c++)
                for (int64_t p = from[3]; p < to[3]; p++)
                    for (int64_t q = from[4]; q < to[4]; q++)
                        for (int64_t i = from[5]; i < to[5]; i++)
                            for (int64_t j = from[6]; j < to[6]; j++) {
                                const int64_t x[] = {n, o / outputs * channels + c, met(work, 0, i, p),
                                                     met(work, 1, j, q)};
                                const int64_t w[] = {o, c, p, q}, y[] = {n, o, i, j};
                                if (x[2] < 0 || x[3] < 0) continue;
                                if (work->part == MT_CONV_GRAD_X && (x[2] != index[2] || x[3] != index[3]))
                                    continue;
                                const double of_x =
                                    work->part == MT_CONV_GRAD_X ? 1 : (double)*place_of(&work->x, x);
                                const double of_w =
                                    work->part == MT_CONV_GRAD_W ? 1 : (double)*place_of(&work->w, w);
                                const double of_y =
                                    work->part == MT_CONV_VALUE ? 1 : (double)*place_of(&work->y, y);
                                sum += of_x * of_w * of_y;
                            }
    return sum;
}

mt_status mt_simple_conv(mt_backend *backend, const mt_conv_work *work)
{
    (void)backend;
    const mt_operand *out = work->part == MT_CONV_VALUE    ? &work->y
                            : work->part == MT_CONV_GRAD_X ? &work->x
                                                           : &work->w;
    int64_t index[MT_MAX_DIMS] = {0};
    if (mt_layout_count(out->layout) == 0) return MT_OK;
    do {
        double sum = products_of(work, index);
        if (work->bias.data) sum += (double)*place_of(&work->bias, &index[1]);
        mt_real *to = place_of(out, index);
        *to = (mt_real)(work->accumulate ? (double)*to + sum : sum);
    } while (next_index(4, out->layout->size, index));
    return MT_OK;
}

static int64_t to_index(double x)
{
    if (isnan(x)) return 0;
    return x >= 9223372036854775808.0 ? INT64_MAX : x < -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}

mt_status mt_simple_copy(mt_backend *backend, mt_operand out, mt_kind out_kind, mt_operand in,
                         mt_kind in_kind)
{
    (void)backend;
    int64_t index[MT_MAX_DIMS] = {0};
    if (mt_layout_count(out.layout) == 0) return MT_OK;
    do {
        int64_t from = position(&in, out.layout->rank, index), to = mt_layout_position(out.layout, index);
        if (out_kind == MT_INDEX && in_kind == MT_INDEX) {
            ((int64_t *)out.data)[to] = ((const int64_t *)in.data)[from];
        } else if (out_kind == MT_REAL) {
            ((mt_real *)out.data)[to] = in_kind == MT_REAL ? ((const mt_real *)in.data)[from]
                                                           : (mt_real)((const int64_t *)in.data)[from];
        } else {
            ((int64_t *)out.data)[to] = to_index((double)((const mt_real *)in.data)[from]);
        }
    } while (next_index(out.layout->rank, out.layout->size, index));
    return MT_OK;
}

mt_status mt_simple_fill(mt_backend *backend, mt_operand out, mt_kind kind, double value)
{
    mt_real real = (mt_real)value;
    int64_t index = to_index(value); /* not through mt_real, which holds fewer integers */
    mt_layout one = {.rank = 1, .size = {1}, .stride = {1}};
    return mt_simple_copy(backend, out, kind,
                          (mt_operand){kind == MT_REAL ? (void *)&real : (void *)&index, &one}, kind);
}

mt_status mt_simple_where(mt_backend *backend, mt_operand out, mt_operand mask, mt_kind mask_kind,
                          mt_operand a, mt_operand b)
{
    (void)backend;
    int64_t index[MT_MAX_DIMS] = {0};
    if (mt_layout_count(out.layout) == 0) return MT_OK;
    do {
        const int64_t at = position(&mask, out.layout->rank, index);
        const bool yes = mask_kind == MT_INDEX ? ((const int64_t *)mask.data)[at] != 0
                                               : ((const mt_real *)mask.data)[at] != 0;
        *place_of(&out, index) = value_at(yes ? &a : &b, out.layout->rank, index);
    } while (next_index(out.layout->rank, out.layout->size, index));
    return MT_OK;
}

mt_status mt_simple_compare(mt_backend *backend, mt_operand out, mt_operand a, mt_operand b,
                            const mt_real *order)
{
    (void)backend;
    int64_t index[MT_MAX_DIMS] = {0};
    if (mt_layout_count(out.layout) == 0) return MT_OK;
    do {
        const int64_t x = ((const int64_t *)a.data)[position(&a, out.layout->rank, index)],
                      y = ((const int64_t *)b.data)[position(&b, out.layout->rank, index)];
        *place_of(&out, index) = order[x < y ? 0 : x == y ? 1 : 2];
    } while (next_index(out.layout->rank, out.layout->size, index));
    return MT_OK;
}

/* ---- along a dimension ---- */

mt_status mt_simple_gather(mt_backend *backend, const mt_gather_work *work)
{
    (void)backend;
    const mt_layout *places = work->index.layout, *whole = (work->put ? work->out : work->in).layout;
    const int64_t *index = work->index.data;
    const size_t bytes = mt_kind_bytes(work->kind);
    int64_t at[MT_MAX_DIMS] = {0}, number = 0;
    if (mt_layout_count(places) == 0) return MT_OK;
    do {
        const int64_t value = index[mt_layout_position(places, at)];
        if (value < 0 || value >= whole->size[work->dim]) return mt_rule_outside(work, number, value);
        number++;
    } while (next_index(places->rank, places->size, at));
    do {
        int64_t entry[MT_MAX_DIMS];
        memcpy(entry, at, sizeof entry);
        entry[work->dim] = index[mt_layout_position(places, at)];
        if (work->put)
            *place_of(&work->out, entry) += *place_of(&work->in, at);
        else
            memcpy((char *)work->out.data + (size_t)mt_layout_position(work->out.layout, at) * bytes,
                   (const char *)work->in.data + (size_t)mt_layout_position(work->in.layout, entry) * bytes,
                   bytes);
    } while (next_index(places->rank, places->size, at));
    return MT_OK;
}

/* The next index of shape with 0 along dim. */
static bool next_line(int rank, const int64_t *size, int dim, int64_t *index)
{
    do
        if (!next_index(rank, size, index)) return false;
    while (index[dim] != 0);
    return true;
}

mt_status mt_simple_cumsum(mt_backend *backend, mt_operand out, mt_operand in, int dim, bool back)
{
    (void)backend;
    const mt_layout *layout = out.layout;
    int64_t at[MT_MAX_DIMS] = {0};
    if (mt_layout_count(layout) == 0) return MT_OK;
    do {
        double sum = 0;
        for (int64_t i = 0; i < layout->size[dim]; i++) {
            int64_t entry[MT_MAX_DIMS];
            memcpy(entry, at, sizeof entry);
            entry[dim] = back ? layout->size[dim] - 1 - i : i;
            sum += (double)*place_of(&in, entry);
            *place_of(&out, entry) = (mt_real)sum;
        }
    } while (next_line(layout->rank, layout->size, dim, at));
    return MT_OK;
}

/* Whether x comes before y: NaN is larger than all. */
static bool comes_before(mt_real x, mt_real y, bool descending)
{
    if (descending) return isnan(x) ? !isnan(y) : x > y;
    return isnan(y) ? !isnan(x) : x < y;
}

/* Joins order[0 .. half-1] and order[half .. n-1], both in order; of equal elements those of the first. */
static void merge(int64_t *order, int64_t half, int64_t n, int64_t *room, const mt_real *x, int64_t step,
                  bool descending)
{
    int64_t a = 0, b = half;
    for (int64_t i = 0; i < n; i++) {
        const bool from_b =
            a == half || (b < n && comes_before(x[order[b] * step], x[order[a] * step], descending));
        room[i] = from_b ? order[b++] : order[a++];
    }
    memcpy(order, room, (size_t)n * sizeof *order);
}

mt_status mt_simple_argsort(mt_backend *backend, mt_operand out, mt_operand in, int dim, bool descending)
{
    (void)backend;
    const mt_layout *layout = in.layout;
    const int64_t n = layout->size[dim], step = layout->stride[dim];
    int64_t at[MT_MAX_DIMS] = {0}, *order;
    if (mt_layout_count(out.layout) == 0) return MT_OK;
    if ((size_t)n > SIZE_MAX / (2 * sizeof *order) || !(order = mt_alloc(2 * (size_t)n * sizeof *order)))
        return MT_ERR_MEMORY;
    do {
        const mt_real *x = place_of(&in, at);
        for (int64_t i = 0; i < n; i++) order[i] = i;
        for (int64_t half = 1; half < n; half *= 2)
            for (int64_t i = 0; i + half < n; i += 2 * half)
                merge(order + i, half, n - i < 2 * half ? n - i : 2 * half, order + n, x, step, descending);
        for (int64_t i = 0; i < out.layout->size[dim]; i++)
            ((int64_t *)out.data)[mt_layout_position(out.layout, at) + i * out.layout->stride[dim]] =
                order[i];
    } while (next_line(layout->rank, layout->size, dim, at));
    mt_free(order, 2 * (size_t)n * sizeof *order);
    return MT_OK;
}

mt_status mt_simple_random(mt_backend *backend, const mt_random_work *work)
{
    (void)backend;
    const mt_layout *out = work->out.layout;
    int64_t index[MT_MAX_DIMS] = {0};
    uint64_t counter = work->rng.counter;
    if (mt_layout_count(out) == 0) return MT_OK;
    do {
        uint64_t bits = mt_philox_bits(work->rng.seed, counter++);
        *place_of(&work->out, index) =
            (mt_real)(work->distribution == MT_UNIFORM ? mt_uniform_from_bits(bits, work->a, work->b)
                                                       : mt_normal_from_bits(bits, work->a, work->b));
    } while (next_index(out->rank, out->size, index));
    return MT_OK;
}

void mt_simple_describe(mt_backend *backend, mt_backend_facts *facts)
{
    (void)backend;
    *facts = (mt_backend_facts){.threads = 1, .isa = "none"};
}

static mt_backend simple = {
    .size = sizeof(mt_backend),
    .name = "simple",
    .summary = "one index at a time on one thread, to compare with",
    .host = true,
#define MT_SLOT(need, result, name, parameters, text) .name = mt_simple_##name,
#include "tensor/slots.inc"
};

mt_backend *mt_backend_simple(void) { return &simple; }
