/* slots_elementwise.c - gpu_slots' checks of fill, copy, map, zip and random: one element at a time. */
#include "slots.h"

#include <math.h>
#include <string.h>

/* Both twins evaluate the same formulas; a function of the C library may be off by a few units. */
#define ROUNDING (16 * test_epsilon)

/* Shapes by round: tails of 16 bytes and of a warp, a rank for each kernel, and random ones. */
static mt_shape shape_of(int round)
{
    static const int64_t lengths[] = {1, 3, 4, 5, 33, 127, 128, 129, 1027};
    const int64_t length = lengths[test_below((int64_t)TEST_LENGTH(lengths))];
    if (round == 0) return mt_shape(length);
    if (slots_large && round == 1) return mt_shape(3, 211, 41);
    return test_shape(5, 300, false);
}
enum { SHAPES = 4 };

/* ---- fill and copy ---- */

static const unsigned kinds[] = {0, TEST_INDICES};

static mt_kind kind_of(unsigned flags) { return flags & TEST_INDICES ? MT_INDEX : MT_REAL; }

void check_fill(void **state)
{
    (void)state;
    static const double values[] = {2.5, -7, 0, NAN, INFINITY, 0x1p62};
    for (int round = 0; round < 4 * SHAPES; round++)
        for (size_t k = 0; k < TEST_LENGTH(kinds); k++) {
            const mt_shape shape = shape_of(round % SHAPES);
            const double value = values[test_below((int64_t)TEST_LENGTH(values))];
            pair out = output(shape, slots_flags(round % SHAPES) | kinds[k]);
            EACH(i) TEST_OK(backends[i]->fill(backends[i], slots_operand(out, i), kind_of(kinds[k]), value));
            agree(out, 0, slots_text("fill of %s with %g", test_text(shape), value));
            test_release();
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
    static const int64_t sides[][2] = {{32, 32}, {33, 31}, {17, 65}, {16, 40}},
                         large[][2] = {{700, 333}, {256, 1024}};
    for (int round = 0; round < 3 * SHAPES; round++)
        for (int k = 0; k < 4; k++) {
            const mt_shape shape = shape_of(round % SHAPES);
            const unsigned flags = slots_flags(round % SHAPES), to = kinds[k & 1], from = kinds[k >> 1];
            pair in = from ? indices(shape, 1000) : input(round % 2 ? test_narrower(shape) : shape, flags);
            copy_one(output(shape, flags | to), to, in, from,
                     slots_text("copy of %s, kinds %d", test_text(shape), k));
            test_release();
        }
    for (size_t k = 0; k < TEST_LENGTH(kinds); k++) {
        for (size_t i = 0; i < TEST_LENGTH(sides); i++) copy_turned(sides[i][0], sides[i][1], kinds[k]);
        for (size_t i = 0; slots_large && i < TEST_LENGTH(large); i++)
            copy_turned(large[i][0], large[i][1], kinds[k]);
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

/* One row and part on inputs that broadcast to shape. A gradient's are g, then a, b and y where the row needs
 * them, and g again where it does not. */
static void check_row(mt_op op, mt_part part, mt_shape shape, unsigned flags, bool narrow)
{
    const mt_op_info *info = mt_op_describe(op);
    const int bits[] = {MT_NEED_A, MT_NEED_B, MT_NEED_Y};
    const int needs = info->needs[part == MT_PART_GRAD_B];
    pair in[4], out = output(shape, flags);
    int inputs = 0;
    if (part != MT_PART_VALUE) in[inputs++] = input(narrow ? test_narrower(shape) : shape, flags);
    for (int k = 0; k < info->arity; k++) {
        const bool given = part == MT_PART_VALUE || needs & bits[k];
        in[inputs] = given ? values_of(info, k, narrow ? test_narrower(shape) : shape, flags) : in[0];
        inputs++;
    }
    if (part != MT_PART_VALUE) {
        in[inputs] = needs & MT_NEED_Y ? input(shape, flags) : in[0];
        inputs++;
    }
    mt_elementwise_work work = {
        .op = op, .part = part, .operands = inputs + 1, .p = {(mt_real)0.125, (mt_real)0.75}};
    const char *what = slots_text("%s %s%s of %s", info->arity == 1 ? "map" : "zip", info->name, parts[part],
                                  test_text(shape));
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
                check_row((mt_op)op, (mt_part)part, shape_of(round), slots_flags(round), round > 1);
        }
        test_rows++;
    }
}

/* Elements so far apart that their positions need 64 bits: 9 GB of a card, of which 3 numbers are touched. */
static void check_far(void)
{
    if (!slots_large || strcmp(backends[0]->name, "gpu") != 0) return;
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

/* One operand that is a single element, kept in a register. */
static void check_scalars(mt_op op)
{
    const mt_op_info *info = mt_op_describe(op);
    const mt_shape shape = shape_of(0);
    for (int scalar = 0; scalar < 2; scalar++) {
        pair in[2], out = output(shape, TEST_PLAIN);
        for (int k = 0; k < 2; k++) in[k] = values_of(info, k, k == scalar ? mt_shape(1) : shape, TEST_PLAIN);
        mt_elementwise_work work = {
            .op = op, .part = MT_PART_VALUE, .operands = 3, .p = {(mt_real)0.125, (mt_real)0.75}};
        EACH(i)
        {
            const mt_operand operands[] = {slots_operand(out, i), slots_operand(in[0], i),
                                           slots_operand(in[1], i)};
            for (int k = 0; k < 3; k++) work.operand[k] = operands[k];
            TEST_OK(backends[i]->zip(backends[i], &work));
        }
        agree(out, ROUNDING,
              slots_text("zip %s of %s, operand %d a scalar", info->name, test_text(shape), scalar));
        test_release();
    }
}

void check_zip(void **state)
{
    (void)state;
    check_rows_of(2);
    for (int op = MT_MAP_COUNT; op < MT_OP_COUNT; op++) check_scalars((mt_op)op);
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
