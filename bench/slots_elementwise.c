/* slots_elementwise.c - gpu_slots' checks of fill, copy, map, zip, where, compare and random: one element
 * at a time.
 */
#include "slots.h"
#include "tensor/elementwise_ops.h"

#include <math.h>
#include <string.h>

#include "tensor/plan.h"

/* Both twins evaluate the same formulas; a function of the C library may be off by a few units. */
#define ROUNDING (16 * test_epsilon)

/* Shapes by round: tails of 16 bytes and of a warp, and random ones. */
static mt_shape shape_of(int round)
{
    static const int64_t lengths[] = {1, 3, 4, 5, 33, 127, 128, 129, 1027};
    const int64_t length = lengths[test_below((int64_t)TEST_LENGTH(lengths))];
    return round == 0 ? mt_shape(length) : test_shape(5, 300, false);
}
enum { SHAPES = 4 };

/* Layouts whose plans have each rank that has a kernel of its own, on more than one block: an operand that is
 * broadcast, or lies as the view says, beside contiguous ones. */
typedef struct spread {
    const char *what;
    mt_shape shape, own; /* of the work, and of that operand */
    enum { AS_IT_IS, TURNED, COLUMN } view;
} spread;

static const spread spreads[] = {
    {"a number", {1, {1027}}, {1, {1}}, AS_IT_IS},
    {"every third number", {1, {1027}}, {2, {1027, 3}}, COLUMN},
    {"a row", {2, {31, 37}}, {1, {37}}, AS_IT_IS},
    {"a column", {2, {31, 36}}, {2, {31, 1}}, AS_IT_IS},
    {"a transpose", {2, {31, 37}}, {2, {37, 31}}, TURNED},
    {"a repeated matrix", {3, {3, 11, 37}}, {3, {3, 1, 37}}, AS_IT_IS},
    {"every other dimension", {4, {2, 3, 5, 37}}, {4, {2, 1, 5, 1}}, AS_IT_IS},
};

/* p, which has the shape `own`, as the view shows it. */
static pair as_seen(pair p, const spread *s)
{
    EACH(i)
    {
        mt_tensor *x = p.on[i]->x;
        if (s->view == TURNED) p.on[i]->x = OWN(mt_tensor_transpose(x, 0, 1));
        if (s->view == COLUMN) p.on[i]->x = OWN(mt_tensor_select(x, 1, 1));
    }
    return p;
}

/* ---- fill and copy ---- */

static const unsigned kinds[] = {0, TEST_INDICES};

static mt_kind kind_of(unsigned flags) { return flags & TEST_INDICES ? MT_INDEX : MT_REAL; }

static void fill_one(pair out, unsigned kind)
{
    static const double values[] = {2.5, -7, 0, NAN, INFINITY, 0x1p62};
    const double value = values[test_below((int64_t)TEST_LENGTH(values))];
    EACH(i) TEST_OK(backends[i]->fill(backends[i], slots_operand(out, i), kind_of(kind), value));
    agree(out, 0, slots_text("fill of %s with %g", test_text(out.on[0]->shape), value));
    test_release();
}

/* What the plan of a fill leaves of an output's dimensions; 0 where it is contiguous. */
static int rank_left(pair out)
{
    const mt_operand operand = slots_operand(out, 0);
    mt_elementwise_plan plan;
    mt_plan_elementwise(&operand, 1, &plan);
    return plan.row_class == MT_ROW_CONTIGUOUS ? 0 : plan.rank;
}

void check_fill(void **state)
{
    (void)state;
    for (size_t k = 0; k < TEST_LENGTH(kinds); k++) {
        for (int round = 0; round < 4 * SHAPES; round++)
            fill_one(output(shape_of(round % SHAPES), slots_flags(round % SHAPES) | kinds[k]), kinds[k]);
        for (int rank = 1; rank <= 4; rank++) {
            const mt_shape shape = {rank, {3, 5, 7, 11}};
            pair out = output(shape, kinds[k]);
            for (int draw = 0; rank_left(out) != rank; draw++) {
                TEST_CHECK(draw < 1000, "no layout of rank %d among %d drawn", rank, draw);
                out = output(shape, kinds[k]);
            }
            fill_one(out, kinds[k]);
        }
    }
}

static void copy_one(pair out, unsigned out_flags, pair in, unsigned in_flags, const char *what)
{
    EACH(i)
    TEST_OK(backends[i]->copy(backends[i], slots_operand(out, i), kind_of(out_flags), slots_operand(in, i),
                              kind_of(in_flags)));
    agree(out, 0, what);
    test_unchanged(in.on[0], what);
}

/* The two innermost dimensions change places: tiles, whole and cut. */
static void copy_turned(int64_t rows, int64_t columns, unsigned flags)
{
    pair in = flags & TEST_INDICES ? indices(mt_shape(2, rows, columns), 1000)
                                   : input(mt_shape(2, rows, columns), TEST_PLAIN);
    pair out = output(mt_shape(2, columns, rows), TEST_PLAIN | flags);
    EACH(i)
    {
        mt_tensor *turned = OWN(mt_tensor_permute(in.on[i]->x, mt_axes(0, 2, 1)));
        TEST_OK(backends[i]->copy(backends[i], slots_operand(out, i), kind_of(flags),
                                  mt_tensor_operand(turned), kind_of(flags)));
    }
    agree(out, 0, slots_text("copy of a transpose, %lld x %lld", (long long)rows, (long long)columns));
    test_release();
}

/* An input that begins at the end of some dimensions and steps back along them. */
static void copy_back(mt_shape shape, unsigned flags)
{
    pair in = flags & TEST_INDICES ? indices(shape, 1000) : input(shape, TEST_FIXED);
    pair out = output(shape, flags);
    bool back[MT_MAX_DIMS];
    for (int d = 0; d < shape.rank; d++) back[d] = d == 0 || test_chance(0.5);
    EACH(i)
    {
        mt_layout layout = slots_operand(in, i).layout[0];
        for (int d = 0; d < shape.rank; d++) {
            if (!back[d]) continue;
            layout.offset += (layout.size[d] - 1) * layout.stride[d];
            layout.stride[d] = -layout.stride[d];
        }
        TEST_OK(backends[i]->copy(backends[i], slots_operand(out, i), kind_of(flags),
                                  (mt_operand){slots_operand(in, i).data, &layout}, kind_of(flags)));
    }
    agree(out, 0, slots_text("copy of %s that steps back", test_text(shape)));
    test_unchanged(in.on[0], "copy that steps back");
    test_release();
}

/* Numbers that no index holds. */
static void copy_edges(void)
{
    static const double edges[] = {NAN,     INFINITY, -INFINITY, 0x1p63, -0x1p63, 0x1p62,
                                   -0x1p62, 0x1p64,   -0x1p64,   2.75,   -2.75};
    const mt_shape shape = mt_shape((int64_t)TEST_LENGTH(edges));
    pair in = twins(test_array_from(backends[0], shape, TEST_FIXED, edges)),
         out = output(shape, TEST_INDICES);
    copy_one(out, TEST_INDICES, in, 0, "copy to indices of what does not fit");
    test_release();
}

void check_copy(void **state)
{
    (void)state;
    static const int64_t sides[][2] = {{32, 32}, {33, 31}, {17, 65}, {16, 40}}, large[] = {350, 333};
    for (int round = 0; round < 3 * SHAPES; round++)
        for (int k = 0; k < 4; k++) {
            const mt_shape shape = shape_of(round % SHAPES);
            const unsigned flags = slots_flags(round % SHAPES), to = kinds[k & 1], from = kinds[k >> 1];
            pair in = from ? indices(shape, 1000) : input(round % 2 ? test_narrower(shape) : shape, flags);
            copy_one(output(shape, flags | to), to, in, from,
                     slots_text("copy of %s, kinds %d", test_text(shape), k));
            test_release();
        }
    for (size_t i = 0; i < TEST_LENGTH(spreads); i++)
        for (int k = 0; k < 4; k++) {
            const spread *s = &spreads[i];
            const unsigned to = kinds[k & 1], from = kinds[k >> 1];
            pair in = twins(test_array_random(backends[0], s->own, TEST_PLAIN | from, 1, 1000));
            copy_one(output(s->shape, TEST_PLAIN | to), to, as_seen(in, s), from,
                     slots_text("copy of %s, kinds %d", s->what, k));
            test_release();
        }
    for (size_t k = 0; k < TEST_LENGTH(kinds); k++) {
        for (size_t i = 0; i < TEST_LENGTH(sides); i++) copy_turned(sides[i][0], sides[i][1], kinds[k]);
        if (slots_large) copy_turned(large[0], large[1], kinds[k]);
        for (int round = 0; round < 2 * SHAPES; round++) copy_back(shape_of(round % SHAPES), kinds[k]);
    }
    copy_edges();
}

/* ---- map and zip ---- */

static const char *const parts[] = {"", " gradient a", " gradient b"};

/* Mostly from the row's domain, at times an edge. */
static pair values_of(const mt_op_info *info, int operand, mt_shape shape, unsigned flags)
{
    static const double edges[] = {0, -0.0, INFINITY, -INFINITY, NAN, 0.75, 1, -1, 100, -100};
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = test_chance(0.1) ? edges[test_below((int64_t)TEST_LENGTH(edges))]
                                     : test_between(info->low[operand], info->high[operand]);
    return twins(test_array_from(backends[0], shape, flags, values));
}

/* How the operands of a row lie. */
typedef struct arrangement {
    mt_shape shape;
    unsigned flags;
    bool narrow;      /* inputs broadcast to shape, as they are drawn */
    const spread *at; /* null, or how input `which` lies instead */
    int which;
} arrangement;

/* The k-th input: values of the row's operand, or a cotangent's (operand -1). */
static pair input_of(const mt_op_info *info, int operand, const arrangement *a, int k)
{
    const bool spreads_out = a->at != NULL && a->which == k;
    const mt_shape shape = spreads_out ? a->at->own : a->narrow ? test_narrower(a->shape) : a->shape;
    pair x = operand >= 0 ? values_of(info, operand, shape, a->flags) : input(shape, a->flags);
    return spreads_out ? as_seen(x, a->at) : x;
}

/* One row and part. A gradient's inputs are g, then a, b and y where the row needs them, and g again where it
 * does not. */
static void check_row(mt_op op, mt_part part, const arrangement *a)
{
    const mt_op_info *info = mt_op_describe(op);
    const int bits[] = {MT_NEED_A, MT_NEED_B, MT_NEED_Y};
    const int needs = info->needs[part == MT_PART_GRAD_B];
    pair in[4], out = output(a->shape, a->flags);
    int inputs = 0;
    if (part != MT_PART_VALUE) in[inputs] = input_of(info, -1, a, inputs), inputs++;
    for (int k = 0; k < info->arity; k++) {
        const bool given = part == MT_PART_VALUE || needs & bits[k];
        in[inputs] = given ? input_of(info, k, a, inputs) : in[0];
        inputs++;
    }
    if (part != MT_PART_VALUE) {
        in[inputs] = needs & MT_NEED_Y ? input(a->shape, a->flags) : in[0];
        inputs++;
    }
    mt_elementwise_work work = {
        .op = op, .part = part, .operands = inputs + 1, .p = {(mt_real)0.125, (mt_real)0.75}};
    const char *what = slots_text("%s %s%s of %s%s%s", info->arity == 1 ? "map" : "zip", info->name,
                                  parts[part], test_text(a->shape), a->at != NULL ? ", one of them " : "",
                                  a->at != NULL ? a->at->what : "");
    EACH(i)
    {
        work.operand[0] = slots_operand(out, i);
        for (int k = 0; k < inputs; k++) work.operand[k + 1] = slots_operand(in[k], i);
        TEST_OK((info->arity == 1 ? backends[i]->map : backends[i]->zip)(backends[i], &work));
    }
    agree(out, ROUNDING, what);
    for (int k = 0; k < inputs; k++) test_unchanged(in[k].on[0], what);
    test_release();
}

static void check_rows_of(int arity)
{
    for (int op = 0; op < MT_OP_COUNT; op++) {
        if (mt_op_describe((mt_op)op)->arity != arity) continue;
        for (int part = MT_PART_VALUE; part <= arity; part++) {
            /* no slot is asked for a derivative that is 1 or 0 everywhere */
            if (part != MT_PART_VALUE &&
                mt_op_describe((mt_op)op)->needs[part == MT_PART_GRAD_B] & (MT_IS_ONE | MT_IS_ZERO))
                continue;
            for (int round = 0; round < SHAPES; round++)
                check_row((mt_op)op, (mt_part)part,
                          &(arrangement){shape_of(round), slots_flags(round), round > 1, NULL, 0});
            for (size_t i = 0; i < TEST_LENGTH(spreads); i++)
                for (int which = 0; which < (part == MT_PART_VALUE ? arity : 1); which++)
                    check_row((mt_op)op, (mt_part)part,
                              &(arrangement){spreads[i].shape, TEST_PLAIN, false, &spreads[i], which});
        }
        test_rows++;
    }
}

/* Elements so far apart that the work is cut into pieces: 9 GB of a card, of which 3 numbers are touched. */
static void check_far(void)
{
    if (!slots_far || strcmp(backends[0]->name, "gpu") != 0) return;
    const int64_t step = (int64_t)1 << 30;
    const double values[] = {1.5, -2.5, 3.5};
    mt_tensor *base = OWN(mt_empty(backends[0], mt_shape(2 * step + 1), MT_REAL));
    mt_tensor *far = OWN(mt_tensor_slice(base, 0, 0, MT_END_OF_DIM, step));
    mt_tensor *near = OWN(mt_from_doubles(backends[0], values, mt_shape(3)));
    mt_tensor *out = OWN(mt_empty(backends[0], mt_shape(3), MT_REAL));
    TEST_OK(mt_op_copy(far, near));
    TEST_OK(mt_op_neg(out, far));
    for (int i = 0; i < 3; i++)
        TEST_CHECK(test_read(out)[i] == -values[i], "map neg of element %d, 2^30 apart, is %g instead of %g",
                   i, test_read(out)[i], -values[i]);
    TEST_OK(mt_op_sub(far, near, out));
    TEST_OK(mt_op_copy(out, far));
    for (int i = 0; i < 3; i++)
        TEST_CHECK(test_read(out)[i] == 2 * values[i],
                   "zip sub of element %d, 2^30 apart, is %g instead of %g", i, test_read(out)[i],
                   2 * values[i]);
    TEST_OK(mt_op_fill(far, 4));
    TEST_OK(mt_op_copy(out, far));
    TEST_CHECK(test_read(out)[2] == 4, "fill of element 2, 2^30 apart, is %g instead of 4",
               test_read(out)[2]);
    test_release();
}

void check_map(void **state)
{
    (void)state;
    check_rows_of(1);
    check_far();
}

void check_zip(void **state)
{
    (void)state;
    check_rows_of(2);
}

/* ---- where ---- */

/* Zeros of both signs, infinities and NaN in the mask (of numbers) and in both choices. */
static pair choice_of(mt_shape shape, unsigned flags, unsigned kind)
{
    static const double special[] = {0, -0.0, NAN, INFINITY, 1e-30, -2.5, 7};
    const int64_t n = test_count(shape);
    double *values = test_memory((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = kind ? (test_chance(0.5)   ? 0
                            : test_chance(0.5) ? 0x1p40
                                               : -1)
                         : special[test_below((int64_t)TEST_LENGTH(special))];
    return twins(test_array_from(backends[0], shape, flags | kind, values));
}

static void where_one(const arrangement *a, unsigned kind)
{
    pair in[3], out = output(a->shape, a->flags);
    for (int k = 0; k < 3; k++) {
        const bool spreads_out = a->at != NULL && a->which == k;
        const mt_shape shape = spreads_out ? a->at->own : a->narrow ? test_narrower(a->shape) : a->shape;
        in[k] = choice_of(shape, a->flags, k == 0 ? kind : 0);
        if (spreads_out) in[k] = as_seen(in[k], a->at);
    }
    const char *what = slots_text("where of %s by %s%s%s", test_text(a->shape), kind ? "indices" : "numbers",
                                  a->at != NULL ? ", one of them " : "", a->at != NULL ? a->at->what : "");
    EACH(i)
    TEST_OK(backends[i]->where(backends[i], slots_operand(out, i), slots_operand(in[0], i), kind_of(kind),
                               slots_operand(in[1], i), slots_operand(in[2], i)));
    agree(out, 0, what);
    for (int k = 0; k < 3; k++) test_unchanged(in[k].on[0], what);
    test_release();
}

void check_where(void **state)
{
    (void)state;
    for (size_t k = 0; k < TEST_LENGTH(kinds); k++) {
        for (int round = 0; round < 4 * SHAPES; round++)
            where_one(
                &(arrangement){shape_of(round % SHAPES), slots_flags(round % SHAPES), round % 2, NULL, 0},
                kinds[k]);
        for (size_t i = 0; i < TEST_LENGTH(spreads); i++)
            for (int which = 0; which < 3; which++)
                where_one(&(arrangement){spreads[i].shape, TEST_PLAIN, false, &spreads[i], which}, kinds[k]);
    }
}

/* ---- compare ---- */

/* Of five numbers, so that all three cases are there; every one of them writes a number of its own. */
static void compare_one(const arrangement *a)
{
    static const mt_real order[3] = {2, 3, 5};
    pair in[2], out = output(a->shape, a->flags);
    for (int k = 0; k < 2; k++) {
        const bool spreads_out = a->at != NULL && a->which == k;
        in[k] = indices_laid(spreads_out ? a->at->own
                             : a->narrow ? test_narrower(a->shape)
                                         : a->shape,
                             5, a->flags & TEST_PLAIN);
        if (spreads_out) in[k] = as_seen(in[k], a->at);
    }
    const char *what = slots_text("compare of %s%s%s", test_text(a->shape),
                                  a->at != NULL ? ", one of them " : "", a->at != NULL ? a->at->what : "");
    EACH(i)
    TEST_OK(backends[i]->compare(backends[i], slots_operand(out, i), slots_operand(in[0], i),
                                 slots_operand(in[1], i), order));
    agree(out, 0, what);
    for (int k = 0; k < 2; k++) test_unchanged(in[k].on[0], what);
    test_release();
}

void check_compare(void **state)
{
    (void)state;
    for (int round = 0; round < 4 * SHAPES; round++)
        compare_one(
            &(arrangement){shape_of(round % SHAPES), slots_flags(round % SHAPES), round % 2, NULL, 0});
    for (size_t i = 0; i < TEST_LENGTH(spreads); i++)
        for (int which = 0; which < 2; which++)
            compare_one(&(arrangement){spreads[i].shape, TEST_PLAIN, false, &spreads[i], which});
}

/* ---- random ---- */

/* A new distribution makes the compiler ask for its name here. */
static const char *name_of(mt_distribution distribution)
{
    switch (distribution) {
    case MT_UNIFORM: return "uniform";
    case MT_NORMAL: return "normal";
    }
    return NULL;
}

void check_random(void **state)
{
    (void)state;
    for (int d = 0; name_of((mt_distribution)d) != NULL; d++)
        for (int round = 0; round < 4 * SHAPES; round++) {
            const mt_shape shape = shape_of(round % SHAPES);
            pair out = output(shape, slots_flags(round % SHAPES));
            const mt_rng rng = {test_bits(), test_bits() >> (round % 2 ? 1 : 40)};
            EACH(i)
            {
                const mt_random_work work = {(mt_distribution)d, rng, -1, 2, slots_operand(out, i)};
                TEST_OK(backends[i]->random(backends[i], &work));
            }
            /* A normal draw asks the C library for a logarithm and a cosine. */
            agree(out, d == MT_UNIFORM ? 0 : 4 * ROUNDING,
                  slots_text("%s draw of %s", name_of((mt_distribution)d), test_text(shape)));
            test_release();
        }
}
