/* tests/random_programs.c - draws programs from the list of operations, and runs programs.
 *
 *     random_programs draw SEED COUNT [SIZE]    writes programs; SIZE bounds the elements of a tensor (200)
 *     random_programs run BACKEND [value|gradient OPERATION]
 *                                               reads programs, writes what they give; the operation a little
 *                                               wrong, so that a test can see whether that is found
 *     random_programs list                      the operations
 *
 * Nothing here knows an operation but those that fit an operand. A call is drawn from its descriptor: the
 * sizes of an example renamed, stretched or taken from an earlier result, and attributes by their type, until
 * the shape rule accepts. Operands are earlier results where they have the shape or can be brought to it by
 * views, and where their values lie in the input's interval or can be brought there by a factor and a sum;
 * else new leaves, cut out of larger ones, permuted and stretched. A program runs on simple while it is
 * drawn, so that a call which is refused only for its values (an index) is taken back.
 *
 * What is left out: results that are not finite have no users, since all that follows would be NaN; and an
 * item ends a program when its value or a gradient moves by more than MOVED, or it is refused, where each
 * item before it moves by NOISE. There two right answers may differ: near a jump (a comparison, floor, a tie
 * of max), near a kink (std of equal elements), or where nearly equal numbers cancel. draw says on stderr how
 * often.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "programs.h"
#include "tensor/op_id.h"

static const double NOISE = 1e-12, MOVED = 1e-9;
/* Differences count against the largest element of a tensor, or this. */
static const double LEAST_SCALE = 1e-2;

/* What is known of an item: of its elements whether they are finite, and the least and the largest. */
typedef struct known {
    mt_shape shape;
    mt_kind kind;
    bool grad, finite, used;
    double low, high;
} known;

static mt_rng rng;
static program p;
static machine m;
static known about[MOST_ITEMS];
static int nodes;
static int64_t most_elements = 200;
static mt_backend *simple;
static struct {
    long programs, nodes, refused, not_finite, jumps, unsteady;
} total;

/* ---- chance ---- */

static int64_t below(int64_t bound) { return bound < 1 ? 0 : (int64_t)mt_rng_below(&rng, (uint64_t)bound); }
static int64_t from_to(int64_t low, int64_t high) { return low + below(high - low + 1); }
static double between(double low, double high) { return low + (high - low) * mt_rng_double(&rng); }
static bool chance(double probability) { return mt_rng_double(&rng) < probability; }

/* Sizes are small, so that they meet; 1 stretches, and 0 is rare. */
static int64_t draw_size(void)
{
    if (chance(0.01)) return 0;
    return most_elements > 1000 && chance(0.4) ? from_to(2, 200) : from_to(1, 5);
}

static mt_shape draw_order(int rank)
{
    mt_shape order = {.rank = rank};
    mt_rng_permutation(&rng, order.size, rank);
    return order;
}

/* ---- items ---- */

static double *read_item(int k, int64_t *count)
{
    *count = mt_tensor_count(m.result[k]);
    double *values = malloc((size_t)(*count + 1) * sizeof *values);
    if (!values) abort();
    tensor_numbers(m.result[k], values);
    return values;
}

static void learn(int k)
{
    int64_t count;
    double *values = read_item(k, &count);
    known *a = &about[k];
    *a = (known){.shape = mt_tensor_shape(m.result[k]),
                 .kind = mt_tensor_kind(m.result[k]),
                 .grad = mt_requires_grad(m.result[k]),
                 .finite = true,
                 .low = count ? values[0] : 0,
                 .high = count ? values[0] : 0};
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) a->finite = false;
        a->low = fmin(a->low, values[i]);
        a->high = fmax(a->high, values[i]);
    }
    total.not_finite += !a->finite;
    free(values);
}

/* The number of the item that is refused, which only noise may bring about: it moves an index; -1: none. */
static int replay(double noise)
{
    machine_end(&m);
    machine_begin(&m, &p, simple, noise);
    for (int k = 0; k < p.count; k++)
        if (!machine_step(&m, &p, k)) {
            if (noise != 0) return k;
            fprintf(stderr, "random_programs: seed %" PRIu64 ": %s, which was right before\n", p.seed,
                    mt_tape_message(m.tape));
            exit(2);
        }
    return -1;
}

/* Its number; -1 when there is no room, or it is refused and taken back. */
static int add(const item *it)
{
    if (p.count == MOST_ITEMS || (it->operation && nodes == MOST_NODES)) return -1;
    p.item[p.count] = *it;
    if (!machine_step(&m, &p, p.count)) {
        total.refused++;
        replay(0);
        return -1;
    }
    learn(p.count);
    if (it->operation) nodes++;
    for (int i = 0; i < it->inputs; i++) about[it->in[i]].used = true;
    return p.count++;
}

/* The same of an operation by its name, with up to four integers or a list as attributes. k below 0 passes.
 */
static int add_named(const char *name, int k, mt_shape integers, bool list)
{
    item it = {.operation = mt_operation_by_name(name), .inputs = 1, .in = {k}};
    if (k < 0) return -1;
    if (list) it.list[0] = integers;
    for (int a = 0; a < integers.rank && !list; a++) it.attribute[a].integer = integers.size[a];
    return add(&it);
}

/* ---- leaves ---- */

/* A leaf that shows shape: as it is, or a larger one whose dimension `stepped` is cut with a step, permuted,
 * and with a dimension of size 1 that is stretched. */
static int add_leaf(mt_shape shape, mt_kind kind, bool grad, bool whole, double low, double high)
{
    item it = {.kind = kind, .grad = grad, .shape = shape};
    const bool plain = chance(0.5) || nodes > MOST_NODES - 4 || shape_count(shape) == 0;
    const mt_shape order = draw_order(shape.rank);
    const int stretched = !plain && chance(0.3) ? (int)below(shape.rank) : -1;
    const int stepped = !plain && chance(0.5) ? (int)below(shape.rank) : -1;
    const int64_t step = from_to(1, 3), lead = below(3), trail = below(3);
    for (int d = 0; d < shape.rank && !plain; d++) {
        const int64_t size = order.size[d] == stretched ? 1 : shape.size[order.size[d]];
        it.shape.size[d] = d == stepped ? lead + (size - 1) * step + 1 + trail : size;
    }
    it.values = program_numbers(&p, shape_count(it.shape));
    for (int64_t i = 0; i < shape_count(it.shape); i++)
        it.values[i] = whole ? low + (double)below((int64_t)(high - low)) : between(low, high);
    int k = add(&it);
    if (plain) return k;
    if (stepped >= 0)
        k = add_named("slice", k, mt_shape(stepped, lead, it.shape.size[stepped] - trail, step), false);
    mt_shape inverse = order;
    for (int d = 0; d < order.rank; d++) inverse.size[order.size[d]] = d;
    k = add_named("permute", k, inverse, true);
    return stretched >= 0 ? add_named("expand", k, shape, true) : k;
}

/* ---- operands ---- */

static bool same(mt_shape a, mt_shape b)
{
    return a.rank == b.rank && memcmp(a.size, b.size, (size_t)a.rank * sizeof *a.size) == 0;
}

/* Item k in another shape, by views and copies: stretched; or the first, or each step-th, of its elements; or
 * its elements again and again. */
static int reshaped(int k, mt_shape shape)
{
    mt_shape wide;
    if (k < 0 || same(about[k].shape, shape)) return k;
    int64_t have = shape_count(about[k].shape);
    const int64_t want = shape_count(shape);
    if (have == 0 || want == 0) return -1;
    if (mt_shape_broadcast(about[k].shape, shape, &wide) == MT_OK && same(wide, shape))
        return add_named("expand", k, shape, true);
    if (have < want) {
        const int64_t times = (want + have - 1) / have;
        k = add_named("reshape", k, mt_shape(1, have), true);
        k = add_named("expand", k, mt_shape(times, have), true);
        k = add_named("flatten", k, mt_shape(0, 1), false);
        have *= times;
    } else if (have > want) {
        k = add_named("flatten", k, mt_shape(0, -1), false);
    }
    if (have > want) {
        const int64_t step = want > 1 ? from_to(1, (have - 1) / (want - 1)) : 1;
        const int64_t reach = (want - 1) * step + 1, start = below(have - reach + 1);
        k = add_named("slice", k, mt_shape(0, start, start + reach, step), false);
    }
    return add_named("reshape", k, shape, true);
}

/* Item k, or it times a factor plus a number, so that it lies in low to high. An interval around 0 says how
 * large and not where: twice as much is let pass. */
static int within(int k, double low, double high)
{
    const double centre = (low + high) / 2, half = (high - low) / 2;
    if (k < 0 || shape_count(about[k].shape) == 0) return k;
    if (centre == 0 && fmax(-about[k].low, about[k].high) <= 2 * half) return k;
    if (about[k].low >= low && about[k].high <= high) return k;
    const double widest = fmax(0.9 * half, 1e-3), spread = centre == 0 ? fmax(-about[k].low, about[k].high)
                                                                       : (about[k].high - about[k].low) / 2;
    if (spread > widest) {
        item scale = {.operation = mt_operation_by_name("scale"), .inputs = 1, .in = {k}};
        scale.attribute[0].real = widest / spread;
        k = add(&scale);
    }
    if (k < 0 || centre == 0) return k;
    item sum = {.operation = mt_operation_by_name("add"), .inputs = 2, .in = {k}};
    const double shift = centre - (about[k].low + about[k].high) / 2;
    sum.in[1] = add_leaf(mt_shape(1), MT_REAL, false, false, shift, shift);
    k = sum.in[1] < 0 ? -1 : add(&sum);
    return k >= 0 && about[k].low >= low && about[k].high <= high ? k : -1;
}

/* An earlier item of that kind, best of that shape; indices below `bound` alone; -1: none. */
static int earlier(const mt_input *input, mt_kind kind, mt_shape shape, int64_t bound)
{
    int fits[MOST_ITEMS], equal[MOST_ITEMS], fit_count = 0, equal_count = 0;
    for (int k = 0; k < p.count; k++) {
        const known *a = &about[k];
        if (!a->finite || a->kind != kind || (input->constant && a->grad)) continue;
        if (kind == MT_INDEX && input->takes == MT_TAKES_INDEX && (a->low < 0 || a->high >= (double)bound))
            continue;
        fits[fit_count++] = k;
        if (same(a->shape, shape)) equal[equal_count++] = k;
    }
    if (equal_count && chance(0.9)) return equal[below(equal_count)];
    return fit_count && chance(0.4) ? fits[below(fit_count)] : -1;
}

static int operand(const mt_input *input, mt_kind kind, mt_shape shape, int64_t bound)
{
    const bool whole = kind == MT_INDEX || (input->takes == MT_TAKES_ANY && input->constant);
    int k = chance(0.85) ? reshaped(earlier(input, kind, shape, bound), shape) : -1;
    if (!whole) k = within(k, input->low, input->high);
    if (k < 0) {
        const double low = input->takes == MT_TAKES_INDEX ? 0 : input->low;
        const double high = input->takes == MT_TAKES_INDEX ? (double)bound : input->high;
        k = add_leaf(shape, kind, kind == MT_REAL && !input->constant && chance(0.85), whole, low, high);
    }
    if (k >= 0 && input->contiguous && !mt_tensor_is_contiguous(m.result[k]))
        k = add_named("contiguous", k, (mt_shape){0}, false);
    return k;
}

/* ---- shapes and attributes ---- */

static int inputs_of(const mt_operation *o)
{
    int inputs = 0;
    while (inputs < MT_MAX_INPUTS && o->input[inputs].name) inputs++;
    return inputs;
}

/* Each size of the example renamed, alike in all shapes; like: those of the first input, where its rank is
 * the example's. */
static void rename_sizes(const mt_example *e, int inputs, int shapes, const mt_shape *like, mt_shape *shape)
{
    int64_t name[MT_MAX_INPUTS * MT_MAX_DIMS], becomes[MT_MAX_INPUTS * MT_MAX_DIMS];
    int count = 0;
    for (int i = 0; i < shapes; i++) {
        const mt_shape from = e->shape[i < inputs ? i : inputs - 1];
        shape[i].rank = from.rank;
        for (int d = 0; d < from.rank; d++) {
            int n = 0;
            while (n < count && name[n] != from.size[d]) n++;
            if (n == count) {
                name[count] = from.size[d];
                becomes[count++] = i == 0 && like && like->rank == from.rank ? like->size[d]
                                   : from.size[d] == 1 && chance(0.8)        ? 1
                                                                             : draw_size();
            }
            shape[i].size[d] = becomes[n];
        }
    }
}

static void draw_shapes(const mt_operation *o, const mt_example *e, int shapes, mt_shape *shape)
{
    const int inputs = inputs_of(o);
    mt_shape any = {.rank = (int)from_to(1, MT_MAX_DIMS)}; /* of many dimensions, most of size 1 and 2 */
    for (int d = 0; d < any.rank; d++) any.size[d] = from_to(1, any.rank > 3 ? 2 : 5);
    const mt_shape *like = chance(0.1) ? &any : p.count && chance(0.8) ? &about[below(p.count)].shape : NULL;
    if (chance(0.2)) /* as it is */
        for (int i = 0; i < shapes; i++) shape[i] = e->shape[i < inputs ? i : inputs - 1];
    else
        rename_sizes(e, inputs, shapes, like, shape);
    if (like && like->rank != e->shape[0].rank && chance(0.7))
        for (int i = 0; i < shapes; i++)
            if (i == 0 || chance(0.8)) shape[i] = *like;
    if (chance(0.15)) { /* a batch */
        const int64_t size = draw_size();
        for (int i = 0; i < shapes; i++) {
            if (shape[i].rank == MT_MAX_DIMS || chance(0.2)) continue;
            memmove(shape[i].size + 1, shape[i].size, (size_t)shape[i].rank++ * sizeof size);
            shape[i].size[0] = size;
        }
    }
    mt_shape *one = &shape[below(shapes)];
    if (chance(0.3)) one->size[below(one->rank)] = chance(0.6) ? 1 : draw_size();
    if (chance(0.1) && one->rank > 1)
        memmove(one->size, one->size + 1, (size_t)--one->rank * sizeof *one->size);
}

/* One of what lists of integers are: an order of dimensions, the sizes of x in another cut or stretched,
 * small numbers, or the example's. */
static mt_shape draw_integers(mt_shape x, const mt_shape *usual)
{
    mt_shape list = x;
    switch (below(usual ? 6 : 4)) {
    case 0:
        list = draw_order(x.rank);
        for (int d = 0; d < list.rank; d++)
            if (chance(0.2)) list.size[d] -= x.rank;
        return list;
    case 1: { /* factors of the count, the last may be left open */
        int64_t rest = shape_count(x);
        list = (mt_shape){.rank = (int)from_to(1, 4)};
        for (int d = 0; d < list.rank; d++) {
            int64_t factor = d == list.rank - 1 ? rest : from_to(1, 6);
            if (factor < 1 || rest % factor) factor = 1;
            list.size[d] = rest == 0 && d == list.rank - 1 ? 0 : factor;
            rest /= factor;
        }
        if (chance(0.3)) list.size[below(list.rank)] = -1;
        return list;
    }
    case 2: { /* stretched, with dimensions in front */
        const int more = (int)below(3);
        if (x.rank + more > MT_MAX_DIMS) return list;
        memmove(list.size + more, list.size, (size_t)list.rank * sizeof *list.size);
        list.rank += more;
        for (int d = 0; d < list.rank; d++)
            if (d < more || list.size[d] == 1)
                list.size[d] = draw_size();
            else if (chance(0.3))
                list.size[d] = -1;
        return list;
    }
    case 3:
        list.rank = usual ? usual->rank : (int)from_to(1, 3);
        for (int d = 0; d < list.rank; d++) list.size[d] = below(4);
        return list;
    case 4:
        list = *usual;
        list.size[below(list.rank)] += from_to(-1, 1);
        return list;
    default: return *usual;
    }
}

static int64_t draw_integer(mt_shape x, int64_t usual)
{
    int64_t largest = x.rank;
    for (int d = 0; d < x.rank; d++) largest = x.size[d] > largest ? x.size[d] : largest;
    if (chance(0.35)) return usual;
    if (chance(0.4) && usual > INT64_MIN + 2 && usual < INT64_MAX - 2) return usual + from_to(-2, 2);
    return from_to(-largest - 1, largest + 1);
}

static void draw_attribute(const mt_operation *o, const mt_example *e, mt_shape x, item *it, int a)
{
    mt_attribute *to = &it->attribute[a];
    *to = e->attribute[a];
    switch (o->attribute[a].type) {
    case MT_NO_ATTRIBUTE: break;
    case MT_ATTRIBUTE_REAL:
        if (chance(0.7)) to->real *= between(0.6, 1.4);
        break;
    case MT_ATTRIBUTE_INTEGER: to->integer = draw_integer(x, to->integer); break;
    case MT_ATTRIBUTE_DIM: to->integer = from_to(-x.rank, x.rank - 1); break;
    case MT_ATTRIBUTE_BOOL: to->truth = chance(0.5); break;
    case MT_ATTRIBUTE_SHAPE:
        it->list[a] = draw_integers(x, to->shape);
        to->shape = &it->list[a];
        break;
    case MT_ATTRIBUTE_DIMS: /* some, in any order, negative ones among them; or every one */
        it->list[a] = draw_order(x.rank);
        it->list[a].rank = (int)from_to(chance(0.3) ? 0 : 1, x.rank);
        for (int d = 0; d < it->list[a].rank; d++)
            if (chance(0.3)) it->list[a].size[d] -= x.rank;
        to->shape = it->list[a].rank ? &it->list[a] : NULL;
        break;
    case MT_ATTRIBUTE_KIND: to->kind = chance(0.6) ? MT_REAL : MT_INDEX; break;
    case MT_ATTRIBUTE_OP: to->op = (mt_op)below(MT_OP_COUNT); break;
    }
}

/* ---- calls ---- */

static mt_kind draw_kind(const mt_input *input)
{
    if (input->takes != MT_TAKES_ANY) return input->takes == MT_TAKES_INDEX ? MT_INDEX : MT_REAL;
    return chance(input->constant ? 0.5 : 0.2) ? MT_INDEX : MT_REAL;
}

/* Whether the operation's rule accepts it and nothing becomes too large. */
static bool accepted(const item *it, const mt_shape *shape, const mt_kind *kind)
{
    const mt_operation *o = it->operation;
    mt_tensor *like[MT_MAX_LIST] = {NULL};
    mt_shape result = {0};
    bool good = true;
    for (int i = 0; i < it->inputs && good; i++)
        good =
            shape_count(shape[i]) <= most_elements && (like[i] = mt_empty(simple, shape[i], kind[i])) != NULL;
    const mt_call call = {.in = like, .attribute = it->attribute, .operation = o, .inputs = it->inputs};
    if (good && o->shape) {
        good = o->shape(&call, &result) == MT_OK;
    } else if (good && o->view) {
        mt_layout layout;
        good = o->view(&call, &layout) == MT_OK;
        if (good) result = mt_layout_shape(&layout);
    }
    for (int i = 0; i < it->inputs; i++) mt_tensor_free(like[i]);
    return good && shape_count(result) <= most_elements;
}

static bool add_call(const mt_operation *o)
{
    enum { TRIES = 40 };
    item it = {.operation = o};
    mt_shape shape[MT_MAX_LIST];
    mt_kind kind[MT_MAX_LIST];
    int examples = 0;
    while (o->examples[examples].shape[0].rank) examples++;
    const int inputs = inputs_of(o);
    for (int tries = 0;; tries++) {
        if (tries == TRIES) return false;
        const mt_example *e = &o->examples[below(examples)];
        it.inputs = inputs;
        while (o->list && it.inputs < 5 && chance(0.5)) it.inputs++;
        draw_shapes(o, e, it.inputs, shape);
        for (int i = 0; i < it.inputs; i++)
            kind[i] = i >= inputs ? kind[inputs - 1] : draw_kind(&o->input[i]);
        for (int a = 0; a < MT_MAX_ATTRIBUTES && o->attribute[a].name; a++)
            draw_attribute(o, e, shape[0], &it, a);
        if (accepted(&it, shape, kind)) break;
    }
    int64_t least = INT64_MAX; /* an index below the least size is one of every dimension */
    for (int d = 0; d < shape[0].rank; d++) least = shape[0].size[d] < least ? shape[0].size[d] : least;
    const int64_t bound = chance(0.6) ? shape[0].size[below(shape[0].rank)] : least;
    for (int i = 0; i < it.inputs; i++) {
        if (bound == 0 && kind[i] == MT_INDEX && shape_count(shape[i]) > 0) return false;
        it.in[i] = operand(&o->input[i < inputs ? i : inputs - 1], kind[i], shape[i], bound);
        if (it.in[i] < 0) return false;
    }
    return add(&it) >= 0;
}

/* ---- programs ---- */

/* Backward starts from every result that nothing uses, and from some others. */
static void draw_cotangents(void)
{
    for (int k = 0; k < p.count; k++) {
        const known *a = &about[k];
        item *it = &p.item[k];
        it->cotangent = NULL;
        if (!it->operation || !a->grad || !a->finite || (a->used && !chance(0.05))) continue;
        const int64_t count = shape_count(a->shape);
        it->cotangent = program_numbers(&p, count);
        it->cotangents = count;
        for (int64_t i = 0; i < count; i++) it->cotangent[i] = between(0.3, 1.5) * (chance(0.5) ? -1 : 1);
    }
}

static void keep_items(int count)
{
    p.count = count;
    nodes = 0;
    for (int k = 0; k < count; k++) about[k].used = false;
    for (int k = 0; k < count; k++) {
        nodes += p.item[k].operation != NULL;
        for (int i = 0; i < p.item[k].inputs; i++) about[p.item[k].in[i]].used = true;
    }
    draw_cotangents();
}

/* Whether noise moves a tensor. lost: or leaves an element no digit, so that no rounding may decide whether
 * it is 0, which a mask asks: of equal elements var may be 0 or 1e-33. */
static bool moved(const double *a, const double *b, int64_t count, bool lost)
{
    double scale = LEAST_SCALE;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(a[i])) scale = fmax(scale, fabs(a[i]));
    for (int64_t i = 0; i < count; i++) {
        if (isfinite(a[i]) ? !(fabs(a[i] - b[i]) <= MOVED * scale) : isfinite(b[i])) return true;
        if (lost && fabs(a[i] - b[i]) > fmax(fabs(a[i]), fabs(b[i])) / 2) return true;
    }
    return false;
}

/* Every value, and behind them every gradient, one after the other; NULL when item *refused is refused. */
static double *all_numbers(double noise, int64_t *end, int *refused)
{
    if ((*refused = replay(noise)) >= 0) return NULL;
    if (machine_backward(&m, &p) != MT_OK) {
        fprintf(stderr, "random_programs: seed %" PRIu64 ": backward: %s\n", p.seed, mt_last_message());
        program_write(&p, stderr);
        exit(2);
    }
    int64_t count = 0;
    for (int k = 0; k < p.count; k++) count += 2 * mt_tensor_count(m.result[k]);
    double *numbers = calloc((size_t)(count + 1), sizeof *numbers);
    if (!numbers) abort();
    int64_t at = 0;
    for (int k = 0; k < p.count; at = end[k++]) {
        tensor_numbers(m.result[k], numbers + at);
        end[k] = at + mt_tensor_count(m.result[k]);
    }
    for (int k = 0; k < p.count; k++) {
        end[p.count + k] = at;
        if (!m.leaf[k] || !p.item[k].grad) continue;
        tensor_numbers(mt_grad(m.leaf[k]), numbers + at);
        at = end[p.count + k] += mt_tensor_count(m.leaf[k]);
    }
    return numbers;
}

/* The number of the first value (k) or gradient (count + k) that noise moves, or of the item that is refused
 * then; -1: none. */
static int unsteady(void)
{
    int64_t end[2 * MOST_ITEMS];
    int found;
    double *calm = all_numbers(0, end, &found);
    for (int sign = 1; sign >= -1 && found < 0; sign -= 2) {
        double *other = all_numbers(sign * NOISE, end, &found);
        for (int k = 0; k < 2 * p.count && found < 0; k++) {
            const int64_t start = k ? end[k - 1] : 0;
            if (moved(calm + start, other + start, end[k] - start, k < p.count)) found = k;
        }
        free(other);
    }
    free(calm);
    return found;
}

static void draw_program(uint64_t seed)
{
    rng = mt_rng_make(seed);
    p.seed = seed;
    p.fused = chance(0.7);
    p.count = nodes = 0;
    p.used = 0;
    machine_begin(&m, &p, simple, 0);
    const int want = (int)from_to(1, MOST_NODES);
    for (int tries = 0; nodes < want && tries < 4 * MOST_NODES && p.used < MOST_NUMBERS / 2; tries++)
        add_call(mt_operation_at((int)below(mt_operation_count())));
    keep_items(p.count);
    for (int k; (k = unsteady()) >= 0;) {
        total.jumps += k < p.count;
        total.unsteady += k >= p.count;
        keep_items(k < p.count ? k : p.count - 1);
    }
    total.programs++;
    total.nodes += nodes;
    machine_end(&m);
}

static int usage(void)
{
    fputs("usage: random_programs draw SEED COUNT [SIZE] | run BACKEND [value|gradient OPERATION] | list\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    simple = mt_backend_get("simple");
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (int i = 0; i < mt_operation_count(); i++) puts(mt_operation_at(i)->name);
        return 0;
    }
    if (argc < 3) return usage();
    if (strcmp(argv[1], "run") == 0 && (argc == 3 || argc == 5)) {
        mt_backend *backend = mt_backend_open(argv[2]);
        if (!backend || (argc == 5 && !spoil(argv[4], strcmp(argv[3], "gradient") == 0))) {
            fprintf(stderr, "random_programs: %s\n", backend ? "that cannot be spoiled" : mt_last_message());
            return 2;
        }
        while (program_read(&p, stdin)) program_run(&p, backend, stdout);
        return 0;
    }
    if (strcmp(argv[1], "draw") != 0 || argc < 4 || argc > 5) return usage();
    const uint64_t seed = strtoull(argv[2], NULL, 10);
    if (argc == 5) most_elements = strtoll(argv[4], NULL, 10);
    for (int64_t i = 0; i < strtoll(argv[3], NULL, 10); i++) {
        draw_program(seed + (uint64_t)i);
        program_write(&p, stdout);
    }
    fprintf(stderr,
            "%ld programs of %ld operations; taken back: %ld calls that were refused, and what ended a "
            "program: %ld "
            "values and %ld gradients that a rounding may move far; %ld results were not finite and have no "
            "users\n",
            total.programs, total.nodes, total.refused, total.jumps, total.unsteady, total.not_finite);
    return 0;
}
