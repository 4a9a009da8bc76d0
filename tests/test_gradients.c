/* tests/test_gradients.c - every gradient against central differences, with random cotangents and random
 * layouts.
 *
 * Inputs are parameters, which are row-major; the expression under test first cuts its operand out of them by
 * slices, a permutation and an expansion. Samples stay away from kinks: on the domain that the table gives, a
 * and b lie on two grids that never meet each other nor a multiple of 1/4, where relu, abs, the constants
 * below and ties have theirs.
 */
#include "autodiff/elementwise.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "tensor/scalar/scalar_ops.h"

/* For rows that take constants: a slope, bounds, tolerances. */
static const double constants[2] = {-0.5, 1};

/* ---- samples ---- */

/* A number in [low, high) near an odd (side 0) or even (side 1) multiple of 1/8. */
static double sample(double low, double high, int side)
{
    for (;;) {
        double x = floor(test_between(low, high) * 4) / 4 + (side ? 0 : 0.125) + test_between(-0.03, 0.03);
        if (x > low + 0.04 && x < high - 0.04) return x;
    }
}

typedef enum { SPREAD, DISTINCT, ANY } sampler;

/* A parameter from which cut takes its elements. */
static mt_tensor *parameter(mt_backend *b, const test_cut *cut, double low, double high, int side,
                            sampler how)
{
    int64_t n = test_count(cut->base);
    double *values = test_memory((size_t)n * sizeof *values);
    int64_t *order = test_memory((size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    test_shuffle(order, n);
    for (int64_t i = 0; i < n; i++) {
        if (how == SPREAD) values[i] = sample(low, high, side);
        if (how == ANY) values[i] = test_between(low, high);
        if (how == DISTINCT) /* no two are closer than 0.6 of the grid, which is wider than a difference */
            values[i] =
                low + fmax((high - low) / (double)n, 0.1) * ((double)order[i] + test_between(0.3, 0.7));
    }
    mt_tensor *x = OWN(mt_from_doubles(b, values, cut->base));
    TEST_OK(mt_require_grad(x, true));
    return x;
}

/* ---- expressions ---- */

typedef struct expression expression;
struct expression {
    const char *name;
    mt_tensor *(*build)(mt_tape *tape, const expression *e, mt_tensor *const *in);
    int inputs;
    test_cut cut[3];
    mt_op op;
    double p[2];
    mt_shape shape, dims; /* what a view or a reduction is given */
    int64_t dim, other, from, to, step;
    bool keepdim, kinks;
    int kind; /* which of a family */
    mt_tensor *constant;
};

static mt_tensor *evaluate(mt_tape *tape, void *context, mt_tensor *const *in)
{
    const expression *e = context;
    mt_tensor *cut[3] = {NULL, NULL, NULL};
    for (int i = 0; i < e->inputs; i++) cut[i] = test_cut_tape(&e->cut[i], tape, in[i]);
    return e->build(tape, e, cut);
}

/* Every element by itself up to 150 of them, random directions beyond. An expression with kinks that its
 * inputs reach together (a maximum, an activation of a sum) is checked by elements whatever its size: along a
 * direction of normal numbers no margin would be wide enough.
 */
static mt_gradcheck_options options(const expression *e)
{
    mt_gradcheck_options o = mt_gradcheck_defaults();
    o.every_index = e->kinks ? INT64_MAX : 150;
    o.seed = test_bits();
    return o;
}

/* Backward and differences agree, and the inputs are left as they were, without gradients. */
static void check_with(mt_backend *b, const expression *e, mt_tensor *const *in, mt_gradcheck_options o)
{
    double *before[3] = {NULL, NULL, NULL};
    for (int i = 0; i < e->inputs; i++) before[i] = test_read(in[i]);
    mt_status status = mt_gradcheck(b, evaluate, (void *)(uintptr_t)e, in, e->inputs, o);
    TEST_CHECK(status == MT_OK, "%s: %s of %s%s%s: %s", b->name, e->name, test_text(e->cut[0].shape),
               e->inputs > 1 ? " and " : "", e->inputs > 1 ? test_text(e->cut[1].shape) : "",
               mt_last_message());
    for (int i = 0; i < e->inputs; i++) {
        TEST_ALL_SAME(test_read(in[i]), before[i], mt_tensor_count(in[i]), "an input after mt_gradcheck");
        TEST_TRUE(!mt_has_grad(in[i]));
    }
    test_cases++;
}

static void check(mt_backend *b, const expression *e, mt_tensor *const *in)
{
    check_with(b, e, in, options(e));
}

/* One input of that shape, sampled anywhere in [low, high). */
static void check_one(mt_backend *b, expression *e, mt_shape shape, double low, double high, sampler how)
{
    e->inputs = 1;
    e->cut[0] = test_cut_make(shape, true);
    mt_tensor *x = parameter(b, &e->cut[0], low, high, 0, how);
    check(b, e, &x);
    test_release();
}

/* ---- rows of the table ---- */

/* clang-format off */
#define PASS_0
#define PASS_1(p0) , e->p[0]
#define PASS_2(p0, p1) , e->p[0], e->p[1]
#define NAMED_MAP(name, more) case MT_OP_##name: return mt_##name(tape, in[0] more);
#define NAMED_ZIP(name, more) case MT_OP_##name: return mt_##name(tape, in[0], in[1] more);

static mt_tensor *build_row(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    switch (e->op) {
#define MT_MAP(name, params, needs, low, high, formula) NAMED_MAP(name, PASS_##params)
#include "tensor/scalar/op_table.inc"
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula) NAMED_ZIP(name, PASS_##params)
#include "tensor/scalar/op_table.inc"
    default: return NULL;
    }
}
/* clang-format on */

static mt_tensor *build_by_number(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    return e->inputs == 1 ? mt_map(tape, e->op, in[0], e->p[0], e->p[1])
                          : mt_zip(tape, e->op, in[0], in[1], e->p[0], e->p[1]);
}

/* x with itself: both of a zip's gradients arrive at one operand. */
static mt_tensor *build_with_itself(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    return mt_zip(tape, e->op, in[0], in[0], e->p[0], e->p[1]);
}

static void check_row(mt_backend *b, mt_op op, mt_shape shape, bool by_number)
{
    const mt_op_info *info = mt_op_describe(op);
    expression e = {.name = info->name,
                    .op = op,
                    .p = {constants[0], constants[1]},
                    .inputs = info->arity,
                    .kinks = true};
    e.build = by_number ? build_by_number : build_row;
    mt_tensor *in[2] = {NULL, NULL};
    for (int k = 0; k < info->arity; k++) {
        e.cut[k] = test_cut_make(info->arity == 1 ? shape : test_narrower(shape), true);
        in[k] = parameter(b, &e.cut[k], info->low[k], info->high[k], k, SPREAD);
    }
    if (info->arity == 2 && test_chance(0.3))
        TEST_OK(mt_require_grad(in[test_below(2)], false)); /* one is constant */
    check(b, &e, in);
    test_release();
}

static void test_table(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int op = 0; op < MT_OP_COUNT; op++) {
            for (int round = 0; round < 5; round++)
                check_row(b, (mt_op)op, test_shape(4, 16, true), round == 4);
            check_row(b, (mt_op)op, mt_shape(test_from(18, 40)), false);
        }
        static const mt_op twice[] = {MT_OP_add, MT_OP_sub, MT_OP_mul};
        for (size_t i = 0; i < TEST_LENGTH(twice); i++) {
            expression e = {.name = "x with itself", .build = build_with_itself, .op = twice[i]};
            check_one(b, &e, test_shape(3, 12, false), -2, 2, ANY);
        }
    }
    test_rows += MT_OP_COUNT;
}

/* The derivatives do not read what the row does not declare: it is NaN here. */
static void test_unneeded_arguments(void **data)
{
    (void)data;
    for (int round = 0; round < 50; round++) {
        const mt_real p0 = (mt_real)constants[0], p1 = (mt_real)constants[1], nan = (mt_real)NAN;
#define GIVE(needs, bit, value) ((needs) & (bit) ? (value) : nan)
/* of a row whose derivative has a function (MT_DERIVED) */
#define DERIVED(name, needs, low, high)                                                              \
    {                                                                                                \
        mt_real x = (mt_real)sample(low, high, 0);                                                   \
        mt_real y = mt_f_##name(x, p0, p1);                                                          \
        mt_real full = mt_d_##name(1, x, y, p0, p1);                                                 \
        mt_real bare = mt_d_##name(1, GIVE(needs, MT_NEED_A, x), GIVE(needs, MT_NEED_Y, y), p0, p1); \
        TEST_CHECK(full == bare,                                                                     \
                   "the derivative of " #name " reads an argument that its row does not declare");   \
        TEST_CHECK(test_close(full,                                                                  \
                              ((double)mt_f_##name(x + (mt_real)0.015625, p0, p1) -                  \
                               (double)mt_f_##name(x - (mt_real)0.015625, p0, p1)) /                 \
                                  0.03125,                                                           \
                              0.05, 0.05),                                                           \
                   "the derivative of " #name " at %g is %g", (double)x, (double)full);              \
        test_cases++;                                                                                \
    }
#define MT_MAP(name, params, needs, low, high, formula) MT_DERIVED(needs, DERIVED(name, needs, low, high), )
#include "tensor/scalar/op_table.inc"
#define MT_ZIP(name, params, needs_a, needs_b, low_a, high_a, low_b, high_b, formula)                 \
    {                                                                                                 \
        mt_real a = (mt_real)sample(low_a, high_a, 0), b = (mt_real)sample(low_b, high_b, 1);         \
        const mt_real y = mt_f_##name(a, b, p0, p1);                                                  \
        const mt_op_info *info = mt_op_describe(MT_OP_##name);                                        \
        TEST_TRUE(info->needs[0] == (needs_a) && info->needs[1] == (needs_b) && isfinite((double)y)); \
        test_cases++;                                                                                 \
    }
#include "tensor/scalar/op_table.inc"
        (void)p1;
    }
    /* A derivative of a zip that is 1 or 0 has no function, so all of them are asked of mt_op_zip_grad. */
    EACH_BACKEND(b)
    {
        for (int op = MT_MAP_COUNT; op < MT_OP_COUNT; op++) {
            const mt_op_info *info = mt_op_describe((mt_op)op);
            mt_tensor *a = OWN(mt_full(b, mt_shape(1), sample(info->low[0], info->high[0], 0)));
            mt_tensor *c = OWN(mt_full(b, mt_shape(1), sample(info->low[1], info->high[1], 1)));
            mt_tensor *y = OWN(mt_empty(b, mt_shape(1), MT_REAL)),
                      *d = OWN(mt_empty(b, mt_shape(1), MT_REAL));
            mt_tensor *one = OWN(mt_ones(b, mt_shape(1))), *nan = OWN(mt_full(b, mt_shape(1), NAN));
            TEST_OK(mt_op_zip(y, (mt_op)op, a, c, constants[0], constants[1]));
            for (int which = 0; which < 2; which++) {
                int needs = info->needs[which];
                TEST_OK(mt_op_zip_grad(d, (mt_op)op, which, one, a, c, y, constants[0], constants[1]));
                double full = mt_item(d);
                TEST_OK(mt_op_zip_grad(d, (mt_op)op, which, one, needs & MT_NEED_A ? a : nan,
                                       needs & MT_NEED_B ? c : nan, needs & MT_NEED_Y ? y : nan, constants[0],
                                       constants[1]));
                TEST_CHECK(mt_item(d) == full,
                           "derivative %d of %s reads an argument that its row does not declare", which,
                           info->name);
                test_cases++;
            }
            test_release();
        }
    }
}

/* A gradient is finite where it is a number, though the derivative is none; a side that nothing flows to gets
 * 0 of an infinite one, and NaN is passed on as PyTorch does. */
static void test_edges(void **data)
{
    (void)data;
    const double most = MT_REAL_MAX, least = sizeof(mt_real) == sizeof(float) ? (double)FLT_MIN : DBL_MIN,
                 root = sqrt(least), inf = INFINITY, nan = NAN;
    const struct {
        mt_op op;
        double g, a, b, da, db;
    } edges[] = {
        {MT_OP_square, 0.25, 0.75 * most, 0, 0.375 * most, 0},
        {MT_OP_squared_difference, 0.25, 0.75 * most, 0, 0.375 * most, -0.375 * most},
        {MT_OP_squared_difference, 0.25, 0, 0.75 * most, -0.375 * most, 0.375 * most},
        {MT_OP_log, 0x1p-10, least / 8, 0, 0x1p-7 / least, 0},
        {MT_OP_inv, 0x1p-30, root / 8, 0, -0x1p-24 / least, 0},
        {MT_OP_div, 0x1p-30, least * 0x1p22, least * 4, 0x1p-32 / least, -0x1p-12 / least},
        {MT_OP_relu, inf, -1, 0, 0, 0},
        {MT_OP_relu, 3, nan, 0, 3, 0},
        {MT_OP_leaky_relu, 3, nan, 0, -1.5, 0},
        {MT_OP_clamp, inf, 2, 0, 0, 0},
        {MT_OP_clamp, 3, nan, 0, 0, 0},
        {MT_OP_abs, 3, nan, 0, 0, 0},
        {MT_OP_maximum, inf, 1, 2, 0, inf},
        {MT_OP_maximum, 3, nan, 2, 3, 3},
        {MT_OP_maximum, 3, 1, nan, 3, 3},
        {MT_OP_minimum, inf, 1, 2, inf, 0},
        {MT_OP_minimum, 3, nan, 2, 3, 3},
        {MT_OP_minimum, 3, 1, nan, 3, 3},
    };
    EACH_BACKEND(b)
    {
        for (size_t i = 0; i < TEST_LENGTH(edges); i++) {
            const mt_op_info *info = mt_op_describe(edges[i].op);
            mt_tape *tape = test_tape(b);
            mt_tensor *in[2] = {OWN(mt_full(b, mt_shape(1), edges[i].a)),
                                OWN(mt_full(b, mt_shape(1), edges[i].b))};
            for (int k = 0; k < info->arity; k++) TEST_OK(mt_require_grad(in[k], true));
            mt_tensor *y = info->arity == 1 ? mt_map(tape, edges[i].op, in[0], constants[0], constants[1])
                                            : mt_zip(tape, edges[i].op, in[0], in[1], 0, 0);
            TEST_OK(mt_backward_from(tape, ON(tape, y), OWN(mt_full(b, mt_shape(1), edges[i].g))));
            for (int k = 0; k < info->arity; k++) {
                const double got = mt_item(mt_grad(in[k])), want = k == 0 ? edges[i].da : edges[i].db;
                TEST_CHECK(test_close(got, want, 0, 4 * test_epsilon),
                           "%s: gradient %d of %s at (%g, %g) is %.9g instead of %.9g", b->name, k,
                           info->name, edges[i].a, edges[i].b, got, want);
            }
            test_cases++;
            test_release();
        }
        mt_tape *tape = test_tape(b);
        mt_tensor *p = OWN(mt_full(b, mt_shape(4), 0.75 * most)), *target = OWN(mt_zeros(b, mt_shape(4)));
        TEST_OK(mt_require_grad(p, true));
        TEST_OK(mt_backward(tape, ON(tape, mt_mse(tape, p, target))));
        for (int i = 0; i < 4; i++)
            TEST_CHECK(test_close(test_read(mt_grad(p))[i], 0.375 * most, 0, 4 * test_epsilon),
                       "%s: the gradient of mse is %g instead of %g", b->name, test_read(mt_grad(p))[i],
                       0.375 * most);
        test_release();
    }
}

/* gelu = x P(Z < x) and its derivative P(Z < x) + x density(x), where 1 + erf would leave no digit. */
static void test_tails(void **data)
{
    (void)data;
    static const double points[][3] = {
        {-0.5, -0.15426876936299345, 0.13250487534383716},
        {0.5, 0.34573123063700655, 0.86749512465616284},
        {-2.5, -0.015524163314440338, -0.037611085908145208},
        {-4, -0.00012668496733247969, -0.00050364966122642149},
        {-5.5, -1.0444259356238246e-7, -5.7334723987399248e-7},
        {-8, -4.9767684594174273e-15, -3.979607261086796e-14},
        {-12, -2.1317785344932148e-32, -2.5578956616748956e-31},
    };
    EACH_BACKEND(b)
    {
        for (size_t i = 0; i < TEST_LENGTH(points); i++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *x = OWN(mt_full(b, mt_shape(1), points[i][0]));
            TEST_OK(mt_require_grad(x, true));
            mt_tensor *y = ON(tape, mt_gelu(tape, x));
            TEST_OK(mt_backward(tape, y));
            const double got[] = {mt_item(y), mt_item(mt_grad(x))};
            for (int k = 0; k < 2; k++)
                TEST_CHECK(test_close(got[k], points[i][k + 1], 0,
                                      (16 + 2 * points[i][0] * points[i][0]) * test_epsilon),
                           "%s: gelu's %s at %g is %.9g instead of %.9g", b->name, k ? "derivative" : "value",
                           points[i][0], got[k], points[i][k + 1]);
            test_cases++;
            test_release();
        }
    }
}

/* ---- reductions ---- */

enum { SUM, MEAN, PROD, MAX, MIN, VAR, REDUCTIONS };
static const char *const reduction_names[REDUCTIONS] = {"sum", "mean", "prod", "max", "min", "var"};

#define REDUCE(name)                                                                 \
    (e->dims.rank == 0   ? mt_##name(tape, in[0])                                    \
     : e->dims.rank == 1 ? mt_##name##_dim(tape, in[0], e->dims.size[0], e->keepdim) \
                         : mt_##name##_dims(tape, in[0], e->dims, e->keepdim))

static mt_tensor *build_reduction(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    switch (e->kind) {
    case SUM: return REDUCE(sum);
    case MEAN: return REDUCE(mean);
    case PROD: return REDUCE(prod);
    case MAX: return REDUCE(max);
    case MIN: return REDUCE(min);
    default:
        return e->dims.rank == 0   ? mt_var(tape, in[0], e->p[0])
               : e->dims.rank == 1 ? mt_var_dim(tape, in[0], e->dims.size[0], e->p[0], e->keepdim)
                                   : mt_var_dims(tape, in[0], e->dims, e->p[0], e->keepdim);
    }
}

static void random_reduction(expression *e, mt_shape shape)
{
    e->build = build_reduction;
    e->keepdim = test_chance(0.5);
    e->dims.rank = shape.rank;
    for (int d = 0; d < shape.rank; d++) e->dims.size[d] = test_chance(0.3) ? d - shape.rank : d;
    test_shuffle(e->dims.size, shape.rank);
    e->dims.rank = (int)test_from(0, shape.rank);
}

static void test_reductions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int kind = 0; kind < REDUCTIONS; kind++) {
            for (int round = 0; round < 20; round++) {
                bool chooses = kind == MAX || kind == MIN;
                mt_shape shape = test_shape(4, chooses ? 8 : 16, kind == SUM || kind == PROD);
                expression e = {.name = reduction_names[kind],
                                .kind = kind,
                                .p = {(double)test_below(2)},
                                .kinks = chooses};
                random_reduction(&e, shape);
                if (kind == VAR) { /* at least two elements, or the unbiased estimate is 0 / 0 */
                    int64_t n = 1;
                    for (int i = 0; i < e.dims.rank; i++)
                        n *= shape.size[e.dims.size[i] < 0 ? e.dims.size[i] + shape.rank : e.dims.size[i]];
                    if (e.dims.rank == 0) n = test_count(shape);
                    if (n < 2) e.p[0] = 0;
                }
                double low = kind == PROD ? 0.5 : -2, high = kind == PROD ? 1.5 : 2;
                check_one(b, &e, shape, low, high, chooses ? DISTINCT : ANY);
            }
        }
        /* larger than a tile or a chunk, along random directions */
        for (int kind = 0; kind < REDUCTIONS; kind++) {
            if (kind == PROD || kind == MAX || kind == MIN) continue;
            expression e = {.name = reduction_names[kind], .kind = kind, .p = {1}, .inputs = 1};
            mt_shape shape = mt_shape(37, 41);
            random_reduction(&e, shape);
            check_one(b, &e, shape, -2, 2, ANY);
        }
    }
    test_rows += REDUCTIONS;
}

/* What the gradient of max, min and prod is where differences cannot tell, and what passes none on. */
static void test_chosen_values(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        static const struct {
            const char *name, *x, *want;
            int kind, dim;
        } cases[] = {
            {"max, a tie", "[[1, 3, 3], [2, 2, 2]]", "[[0, 1, 0], [1, 0, 0]]", MAX, 1},
            {"min, a tie", "[[1, 3, 1], [2, 2, 2]]", "[[1, 0, 0], [1, 0, 0]]", MIN, 1},
            {"max down the columns", "[[1, 3, 3], [2, 3, 2]]", "[[0, 1, 1], [1, 0, 0]]", MAX, 0},
            {"max with a NaN", "[[1, nan, 3], [nan, nan, 2]]", "[[0, 1, 0], [1, 0, 0]]", MAX, 1},
            {"prod without a zero", "[[2, 3, 4], [1, -1, 5]]", "[[12, 8, 6], [-5, 5, -1]]", PROD, 1},
            {"prod with one zero", "[[2, 0, 4], [0, 3, 5]]", "[[0, 8, 0], [15, 0, 0]]", PROD, 1},
            {"prod with two zeros", "[[0, 3, 0], [-0, 0, 0]]", "[[0, 0, 0], [0, 0, 0]]", PROD, 1},
        };
        for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *x = OWN(mt_parse(b, cases[i].x)), *want = OWN(mt_parse(b, cases[i].want)), *y;
            TEST_OK(mt_require_grad(x, true));
            y = cases[i].kind == MAX   ? mt_max_dim(tape, x, cases[i].dim, false)
                : cases[i].kind == MIN ? mt_min_dim(tape, x, cases[i].dim, true)
                                       : mt_prod_dim(tape, x, cases[i].dim, false);
            TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, y))));
            const double *got = test_read(mt_grad(x)), *expected = test_read(want);
            for (int k = 0; k < 6; k++)
                TEST_CHECK(got[k] == expected[k], "%s: gradient %d is %g instead of %g", cases[i].name, k,
                           got[k], expected[k]);
            test_cases++;
        }
        mt_tape *tape = test_tape(b);
        mt_tensor *x = OWN(mt_parse(b, "[[1, 3], [2, 0]]"));
        TEST_OK(mt_require_grad(x, true));
        TEST_TRUE(mt_tensor_kind(ON(tape, mt_argmax(tape, x))) == MT_INDEX &&
                  mt_item(mt_argmax(tape, x)) == 1);
        TEST_TRUE(!mt_requires_grad(mt_argmin_dim(tape, x, 0, false)));
        /* all passes none on; whether it asks for one or not, the gradient is 0 */
        mt_tensor *sum = ON(tape, mt_add(tape, mt_sum(tape, x), mt_all(tape, x)));
        TEST_OK(mt_backward(tape, sum));
        for (int k = 0; k < 4; k++) TEST_TRUE(test_read(mt_grad(x))[k] == 1);
        /* ties of maximum and minimum: half each; clamp: 1 at its bounds; relu and abs: 0 at 0 */
        mt_tensor *a = OWN(mt_parse(b, "[1, 2, 3, 0]")), *c = OWN(mt_parse(b, "[1, 3, 2, 0]"));
        TEST_OK(mt_require_grad(a, true));
        TEST_OK(mt_require_grad(c, true));
        static const double half[] = {0.5, 0, 1, 0.5}, other[] = {0.5, 1, 0, 0.5}, edge[] = {1, 1, 0, 0},
                            step[] = {1, 1, 1, 0};
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_maximum(tape, a, c)))));
        TEST_ALL_SAME(test_read(mt_grad(a)), half, 4, "maximum at a tie");
        TEST_ALL_SAME(test_read(mt_grad(c)), other, 4, "maximum at a tie");
        mt_zero_grad(a);
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_minimum(tape, c, a)))));
        TEST_ALL_SAME(test_read(mt_grad(a)), (const double[]){0.5, 1, 0, 0.5}, 4, "minimum at a tie");
        mt_zero_grad(a);
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_clamp(tape, a, 1, 2)))));
        TEST_ALL_SAME(test_read(mt_grad(a)), edge, 4, "clamp at its bounds");
        mt_zero_grad(a);
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_relu(tape, a)))));
        TEST_ALL_SAME(test_read(mt_grad(a)), step, 4, "relu at 0");
        mt_zero_grad(a);
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_abs(tape, a)))));
        TEST_ALL_SAME(test_read(mt_grad(a)), step, 4, "abs at 0");
        test_release();
    }
}

/* What prod's gradient is by its definition, for elements of x that are reduced with element i: those whose
 * indices differ in reduced dimensions alone. Powers of two, so that every order gives the same bits. */
static double product_of_others(mt_shape shape, const double *values, const bool *reduced, int64_t i)
{
    int64_t at[MT_MAX_DIMS], other[MT_MAX_DIMS];
    double product = 1;
    bool zero = false, nan = false;
    test_unravel(shape, i, at);
    for (int64_t k = 0; k < test_count(shape); k++) {
        test_unravel(shape, k, other);
        bool same = k != i;
        for (int d = 0; d < shape.rank; d++) same = same && (reduced[d] || at[d] == other[d]);
        if (!same) continue;
        product *= values[k];
        zero = zero || values[k] == 0;
        nan = nan || isnan(values[k]);
    }
    return nan ? NAN : zero ? 0 : product;
}

/* prod's gradient in any shape, over any dimensions, with zeros, infinities and NaN among the factors. */
static void test_products_of_others(void **data)
{
    (void)data;
    static const double factors[] = {1, -1, 2, 0.5, -2, -0.5}, odd[] = {0, -0.0, INFINITY, -INFINITY, NAN, 0};
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 60; round++) {
            const mt_shape shape = test_shape(4, 60, false);
            double *values = test_memory((size_t)test_count(shape) * sizeof *values);
            const double chance = round % 3 * 0.1;
            for (int64_t i = 0; i < test_count(shape); i++)
                values[i] = test_chance(chance) ? odd[test_below(TEST_LENGTH(odd))]
                                                : factors[test_below(TEST_LENGTH(factors))];
            mt_tensor *x = OWN(mt_from_doubles(b, values, shape));
            bool reduced[MT_MAX_DIMS] = {false};
            mt_shape dims = {0};
            for (int d = 0; d < shape.rank; d++) reduced[d] = test_chance(0.6);
            reduced[test_below(shape.rank)] = true;
            for (int d = 0; d < shape.rank; d++)
                if (reduced[d]) dims.size[dims.rank++] = d;
            test_shuffle(dims.size, dims.rank);
            mt_tape *tape = test_tape(b);
            TEST_OK(mt_require_grad(x, true));
            TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_prod_dims(tape, x, dims, round % 2)))));
            const double *got = test_read(mt_grad(x));
            for (int64_t i = 0; i < test_count(shape); i++) {
                const double want = product_of_others(shape, values, reduced, i);
                TEST_CHECK(test_close(got[i], want, 0, 0),
                           "%s: shape %s, dimensions %s: gradient %d is %g instead of %g", b->name,
                           test_text(shape), test_text(dims), (int)i, got[i], want);
            }
            test_cases++;
            test_release();
        }
        /* the product of two is no number, each alone is one */
        const double most = sizeof(mt_real) == sizeof(float) ? 0x1p100 : 0x1p1000;
        for (int k = 0; k < 3; k++) {
            const double pair[][2] = {{most, -most}, {1 / most, 1 / most}, {INFINITY, 2}};
            mt_tape *tape = test_tape(b);
            mt_tensor *x = OWN(mt_from_doubles(b, pair[k], mt_shape(2)));
            TEST_OK(mt_require_grad(x, true));
            TEST_OK(mt_backward(tape, ON(tape, mt_prod(tape, x))));
            for (int i = 0; i < 2; i++)
                TEST_CHECK(test_read(mt_grad(x))[i] == pair[k][1 - i], "%s: the gradient beside %g is %g",
                           b->name, pair[k][1 - i], test_read(mt_grad(x))[i]);
            test_cases++;
            test_release();
        }
    }
}

/* prod's gradient where factors, or their product, are infinite. */
static void test_large_factors(void **data)
{
    (void)data;
    const double large = sizeof(mt_real) == sizeof(double) ? 1e200 : 1e30;
    const struct {
        const char *name;
        double x[4], want[4];
    } cases[] = {
        {"two zeros, large factors", {0, 0, large, large}, {0, 0, 0, 0}},
        {"one zero, large factors", {large, 0, large, 1}, {0, INFINITY, 0, 0}},
        {"one zero, a large product below 0", {large, 1, -large, -0.0}, {0, 0, 0, -INFINITY}},
        {"two zeros, an infinite factor", {0, INFINITY, 0, 2}, {0, 0, 0, 0}},
        {"three zeros, infinite factors", {0, -INFINITY, 0, -0.0}, {0, 0, 0, 0}},
        {"one zero, infinite factors", {0, INFINITY, -3, INFINITY}, {-INFINITY, 0, 0, 0}},
        {"no zero", {2, -3, 4, 0.5}, {-6, 4, -3, -24}},
    };
    EACH_BACKEND(b)
    {
        double x[4 * TEST_LENGTH(cases)], want[4 * TEST_LENGTH(cases)], c[TEST_LENGTH(cases)];
        for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
            c[i] = i + 1.0;
            for (int k = 0; k < 4; k++)
                x[4 * i + k] = cases[i].x[k], want[4 * i + k] = c[i] * cases[i].want[k];
        }
        /* by rows, by columns, and over two dimensions */
        for (int how = 0; how < 3; how++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *values = OWN(mt_from_doubles(b, x, mt_shape(TEST_LENGTH(cases), 4))),
                      *weights = OWN(mt_from_doubles(b, c, mt_shape(TEST_LENGTH(cases))));
            TEST_OK(mt_require_grad(values, true));
            mt_tensor *y = how == 0   ? mt_prod_dim(tape, values, 1, false)
                           : how == 1 ? mt_prod_dim(tape, mt_transpose(tape, values, 0, 1), 0, false)
                                      : mt_prod_dims(tape, mt_view(tape, values, mt_shape(-1, 2, 2)),
                                                     mt_axes(2, 1), false);
            TEST_OK(mt_backward_from(tape, ON(tape, y), weights));
            const double *got = test_read(mt_grad(values));
            for (size_t k = 0; k < TEST_LENGTH(x); k++)
                TEST_CHECK(got[k] == want[k], "%s: gradient %zu is %g instead of %g", cases[k / 4].name,
                           k % 4, got[k], want[k]);
            test_cases++;
        }
        /* one factor alone: its derivative is 1, whatever it is */
        mt_tape *tape = test_tape(b);
        mt_tensor *alone = OWN(mt_parse(b, "[[inf], [nan], [0], [-inf]]"));
        TEST_OK(mt_require_grad(alone, true));
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_prod_dim(tape, alone, 1, false)))));
        for (int k = 0; k < 4; k++) TEST_TRUE(test_read(mt_grad(alone))[k] == 1);
        test_cases++;
        test_release();
    }
}

/* ---- products ---- */

static mt_tensor *build_matmul(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    (void)e;
    return mt_matmul(tape, in[0], in[1]);
}

static void test_products(void **data)
{
    (void)data;
    const mt_shape forms[][2] = {
        {mt_shape(3, 4), mt_shape(4, 2)},
        {mt_shape(4), mt_shape(4, 3)},
        {mt_shape(3, 4), mt_shape(4)},
        {mt_shape(4), mt_shape(4)},
        {mt_shape(1, 1), mt_shape(1, 1)},
        {mt_shape(2, 3, 4), mt_shape(4, 2)},
        {mt_shape(3, 4), mt_shape(2, 4, 2)},
        {mt_shape(2, 3, 2), mt_shape(2, 2, 3)},
        {mt_shape(2, 1, 2, 3), mt_shape(3, 3, 2)},
        {mt_shape(1, 2, 3), mt_shape(3, 3, 2)},
        {mt_shape(2, 2, 3), mt_shape(1, 3, 2)},
        {mt_shape(2, 3, 4), mt_shape(4)},
        {mt_shape(4), mt_shape(2, 4, 3)},
        {mt_shape(2, 2, 1, 3), mt_shape(3)},
        {mt_shape(2), mt_shape(3, 1, 2, 1)},
        {mt_shape(3, 0), mt_shape(0, 2)},
        {mt_shape(0, 3), mt_shape(3, 2)},
        {mt_shape(0, 2, 3), mt_shape(3, 2)},
        {mt_shape(2, 0, 3), mt_shape(2, 3, 2)},
        {mt_shape(2, 3, 0), mt_shape(0)},
        {mt_shape(1, 1, 2, 2), mt_shape(2, 1, 2, 2)},
        {mt_shape(1, 1, 1, 1, 1, 1, 2, 2), mt_shape(2)},
    };
    EACH_BACKEND(b)
    {
        for (size_t i = 0; i < TEST_LENGTH(forms); i++) {
            for (int round = 0; round < 3; round++) {
                expression e = {.name = "matmul", .build = build_matmul, .inputs = 2};
                mt_tensor *in[2];
                for (int k = 0; k < 2; k++) {
                    e.cut[k] = test_cut_make(forms[i][k], true);
                    in[k] = parameter(b, &e.cut[k], -2, 2, 0, ANY);
                }
                if (round == 2) TEST_OK(mt_require_grad(in[test_below(2)], false));
                check(b, &e, in);
                test_release();
            }
        }
        expression e = {.name = "a large matmul", .build = build_matmul, .inputs = 2};
        e.cut[0] = test_cut_make(mt_shape(2, 33, 40), false);
        e.cut[1] = test_cut_make(mt_shape(40, 17), false);
        mt_tensor *in[2] = {parameter(b, &e.cut[0], -1, 1, 0, ANY), parameter(b, &e.cut[1], -1, 1, 0, ANY)};
        check(b, &e, in);
        test_release();
    }
    test_rows++;
}

static mt_tensor *build_linear(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    return e->op == MT_OP_COUNT ? mt_linear(tape, in[0], in[1], in[2])
                                : mt_linear_act(tape, in[0], in[1], in[2], e->op);
}

/* How far x is from a kink of an activation: 0, or every half where the derivative is 0 between jumps. */
static double from_kink(mt_op op, double x)
{
    const bool jumps = op != MT_OP_COUNT && mt_op_describe(op)->needs[0] & MT_IS_ZERO;
    return fabs(jumps ? x - rint(2 * x) / 2 : x);
}

/* Weights and bias are drawn so that the activation's argument stays inside its domain, and further from a
 * kink than one element moves it: a weight that expand repeats over 4 inputs by 4 times epsilon.
 */
static void check_linear(mt_backend *b, mt_op op, mt_shape shape, int64_t units)
{
    int64_t width = shape.size[shape.rank - 1];
    double low = op == MT_OP_COUNT ? -2 : mt_op_describe(op)->low[0],
           high = op == MT_OP_COUNT ? 2 : mt_op_describe(op)->high[0];
    double middle = (low + high) / 2, half = (high - low) / 2;
    expression e = {.name = op == MT_OP_COUNT ? "linear" : mt_op_describe(op)->name,
                    .build = build_linear,
                    .op = op,
                    .inputs = 3,
                    .kinks = true};
    for (int attempt = 0; attempt < 200; attempt++) {
        e.cut[0] = test_cut_make(shape, true);
        e.cut[1] = test_cut_make(mt_shape(width, units), true);
        e.cut[2] = test_cut_make(mt_shape(units), true);
        double reach = 0.6 * half / (double)(width + 1);
        mt_tensor *in[3] = {parameter(b, &e.cut[0], -1, 1, 0, ANY),
                            parameter(b, &e.cut[1], -reach, reach, 0, ANY),
                            parameter(b, &e.cut[2], middle - 0.3 * half, middle + 0.3 * half, 0, ANY)};
        expression plain = e;
        plain.op = MT_OP_COUNT;
        mt_tape *tape = test_tape(b);
        mt_tensor *pre = ON(tape, evaluate(tape, &plain, in));
        const double *argument = test_read(pre);
        bool clear = true;
        for (int64_t i = 0; i < mt_tensor_count(pre); i++) clear = clear && from_kink(op, argument[i]) > 0.05;
        if (clear || attempt == 199) {
            TEST_TRUE(clear);
            check(b, &e, in);
            /* one node, and the same values as three operations */
            mt_tensor *whole = ON(tape, evaluate(tape, &e, in));
            if (op != MT_OP_COUNT) {
                mt_tensor *parts = ON(tape, mt_map(tape, op, pre, 0, 0));
                TEST_ALL_CLOSE(test_read(whole), test_read(parts), mt_tensor_count(pre), 8 * test_epsilon,
                               16 * test_epsilon, e.name);
            }
            test_release();
            return;
        }
        test_release();
    }
}

static void test_linear_layers(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int op = 0; op <= MT_MAP_COUNT; op++) {
            mt_op act = op == MT_MAP_COUNT ? MT_OP_COUNT : (mt_op)op;
            if (act != MT_OP_COUNT && mt_op_describe(act)->params > 0) continue;
            check_linear(b, act, mt_shape(3, 4), 2);
            check_linear(b, act, mt_shape(4), 3);
            check_linear(b, act, mt_shape(2, 1, 3), 2);
            check_linear(b, act, mt_shape(1, 1), 1);
        }
        check_linear(b, MT_OP_COUNT, mt_shape(0, 3), 2);
        check_linear(b, MT_OP_square, mt_shape(2, 0), 2);
    }
    test_rows += 2;
}

/* ---- views ---- */

enum {
    VIEW,
    RESHAPE,
    PERMUTE,
    TRANSPOSE,
    SLICE,
    SELECT,
    EXPAND,
    SQUEEZE,
    UNSQUEEZE,
    FLATTEN,
    CONTIGUOUS,
    COPY,
    VIEWS
};
static const char *const view_names[VIEWS] = {"view",      "reshape", "permute",    "transpose",
                                              "slice",     "select",  "expand",     "squeeze",
                                              "unsqueeze", "flatten", "contiguous", "copy"};

static mt_tensor *build_view(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    mt_tensor *x = in[0];
    switch (e->kind) {
    case VIEW: return mt_view(tape, mt_contiguous(tape, x), e->shape);
    case RESHAPE: return mt_reshape(tape, x, e->shape);
    case PERMUTE: return mt_permute(tape, x, e->dims);
    case TRANSPOSE: return mt_transpose(tape, x, e->dim, e->other);
    case SLICE: return mt_slice(tape, x, e->dim, e->from, e->to, e->step);
    case SELECT: return mt_select(tape, x, e->dim, e->from);
    case EXPAND: return mt_expand(tape, x, e->shape);
    case SQUEEZE: return mt_squeeze(tape, x, e->dim);
    case UNSQUEEZE: return mt_unsqueeze(tape, x, e->dim);
    case FLATTEN: return mt_flatten(tape, x, e->dim, e->other);
    case CONTIGUOUS: return mt_contiguous(tape, x);
    default: return mt_copy(tape, x);
    }
}

/* A view of a view, each used twice: cotangents meet in slices of one another. */
static mt_tensor *build_overlapping(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    (void)e;
    mt_tensor *x = in[0], *rows = mt_slice(tape, x, 0, 0, -1, 1),
              *more = mt_slice(tape, x, 0, 1, MT_END_OF_DIM, 1);
    mt_tensor *step = mt_slice(tape, x, 0, 0, -1, 2), *product = mt_mul(tape, rows, more);
    mt_tensor *row = mt_select(tape, x, 0, 0),
              *flat = mt_reshape(tape, mt_transpose(tape, product, 0, 1), mt_shape(-1));
    mt_tensor *total =
        mt_add(tape, mt_sum(tape, mt_square(tape, step)), mt_sum(tape, mt_mul(tape, row, row)));
    return mt_add(tape, mt_mul(tape, flat, flat), mt_mul(tape, total, mt_sum(tape, x)));
}

static void test_views(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int kind = 0; kind < VIEWS; kind++) {
            for (int round = 0; round < 8; round++) {
                mt_shape shape = test_shape(4, 16, kind != SELECT);
                int64_t n = test_count(shape), size;
                expression e = {
                    .name = view_names[kind], .kind = kind, .build = build_view, .step = test_from(1, 3)};
                e.dim = test_below(shape.rank), e.other = test_below(shape.rank);
                size = shape.size[e.dim];
                e.from = kind == SELECT ? test_below(size) : test_below(size + 1),
                e.to = test_from(e.from, size);
                if (kind == FLATTEN && e.other < e.dim) e.other = e.dim;
                if (test_chance(0.3)) e.dim -= shape.rank;
                e.shape = test_chance(0.5) ? mt_shape(1, n) : mt_shape(n, 1, 1);
                e.dims = shape;
                for (int d = 0; d < shape.rank; d++) e.dims.size[d] = d;
                test_shuffle(e.dims.size, shape.rank);
                if (kind == EXPAND) {
                    e.shape = (mt_shape){.rank = shape.rank + 1, .size = {2}};
                    for (int d = 0; d < shape.rank; d++)
                        e.shape.size[d + 1] = shape.size[d] == 1 ? 3 : shape.size[d];
                }
                if (kind == SQUEEZE && test_chance(0.7))
                    shape.size[e.dim < 0 ? e.dim + shape.rank : e.dim] = 1;
                check_one(b, &e, shape, -2, 2, ANY);
            }
        }
        for (int round = 0; round < 6; round++) {
            expression e = {.name = "overlapping views", .build = build_overlapping};
            check_one(b, &e, mt_shape(test_from(2, 5), test_from(1, 3)), -1, 1, ANY);
        }
    }
    test_rows += VIEWS;
}

static mt_tensor *build_rows(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    return mt_take_rows(tape, in[0], e->constant);
}

static void test_taking_rows(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 12; round++) {
            mt_shape shape = test_shape(3, 16, false);
            int64_t n = test_from(0, 9);
            expression e = {.name = "take_rows", .build = build_rows};
            e.constant = test_array_random(b, mt_shape(n), TEST_INDICES, 0, (double)shape.size[0])
                             ->x; /* rows repeat */
            check_one(b, &e, shape, -2, 2, ANY);
        }
    }
    test_rows++;
}

/* ---- losses ---- */

static mt_tensor *build_loss(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    return e->kind == 0   ? mt_mse(tape, in[0], e->constant)
           : e->kind == 1 ? mt_bce(tape, in[0], e->constant)
                          : mt_bce_with_logits(tape, in[0], e->constant);
}

static void test_losses(void **data)
{
    (void)data;
    static const char *const names[] = {"mse", "bce", "bce_with_logits"};
    EACH_BACKEND(b)
    {
        for (int kind = 0; kind < 3; kind++) {
            for (int round = 0; round < 8; round++) {
                mt_shape shape = test_shape(3, 16, false);
                expression e = {.name = names[kind], .kind = kind, .build = build_loss};
                e.constant = test_array_random(b, shape, TEST_INPUT, 0, 1)->x;
                check_one(b, &e, shape, kind == 1 ? 0.1 : -2, kind == 1 ? 0.9 : 2, ANY);
            }
            /* the value, against the formula */
            mt_tape *tape = test_tape(b);
            test_array *p =
                test_array_random(b, mt_shape(7, 5), TEST_INPUT, kind == 1 ? 0.01 : -5, kind == 1 ? 0.99 : 5);
            test_array *y = test_array_random(b, mt_shape(7, 5), TEST_INPUT, 0, 1);
            expression e = {.kind = kind, .constant = y->x};
            double want = 0, size = 0;
            for (int i = 0; i < 35; i++) {
                double x = p->values[i], t = y->values[i];
                double term = kind == 0   ? (x - t) * (x - t)
                              : kind == 1 ? -(t * log(x) + (1 - t) * log(1 - x))
                                          : log1p(exp(-fabs(x))) + fmax(x, 0) - t * x;
                want += term / 35;
                size += (fabs(term) + fabs(t * x)) / 35;
            }
            mt_tensor *loss = ON(tape, build_loss(tape, &e, &p->x));
            TEST_TRUE(mt_shape_equal(mt_tensor_shape(loss), mt_shape(1)));
            TEST_CHECK(test_close(mt_item(loss), want, 20 * test_epsilon * size, 0),
                       "%s is %.17g instead of %.17g", names[kind], mt_item(loss), want);
            test_release();
        }
        /* extremes stay finite, as PyTorch's: ln at least -100; logits of any size */
        mt_tape *tape = test_tape(b);
        mt_tensor *p = OWN(mt_parse(b, "[0, 1, 0, 1]")), *y = OWN(mt_parse(b, "[1, 0, 0, 1]")),
                  *z = OWN(mt_parse(b, "[-1000, 1000, -1000, 1000]"));
        TEST_OK(mt_require_grad(p, true));
        TEST_OK(mt_require_grad(z, true));
        TEST_TRUE(mt_item(ON(tape, mt_bce(tape, p, y))) == 50 &&
                  mt_item(ON(tape, mt_bce_with_logits(tape, z, y))) == 500);
        TEST_OK(mt_backward(tape, mt_add(tape, mt_bce(tape, p, y), mt_bce_with_logits(tape, z, y))));
        const double *slope = test_read(mt_grad(z));
        TEST_ALL_SAME(slope, (const double[]){-0.25, 0.25, 0, 0}, 4, "bce_with_logits far out");
        for (int i = 0; i < 4; i++) TEST_TRUE(isfinite(test_read(mt_grad(p))[i]));
        /* and what is nearly right loses no digit: -ln p where p or 1 - p is small */
        for (double logit = 4; logit < 60; logit *= 1.5) {
            const double small = exp(-logit), sure = 1 / (1 + small), want = log1p(small);
            for (int label = 0; label < 2; label++) {
                mt_tensor *t = OWN(mt_full(b, mt_shape(1), label)),
                          *a = OWN(mt_full(b, mt_shape(1), label ? logit : -logit)),
                          *q = OWN(mt_full(b, mt_shape(1), label ? sure : 1 - sure));
                const double held = mt_item(q), direct = label ? -log(held) : -log1p(-held);
                const double by_logit = mt_item(ON(tape, mt_bce_with_logits(tape, a, t))),
                             by_p = mt_item(ON(tape, mt_bce(tape, q, t)));
                TEST_CHECK(fabs(by_logit - want) <= 1e-6 * want, "bce_with_logits of %g: %.9g, not %.9g",
                           label ? logit : -logit, by_logit, want);
                TEST_CHECK(fabs(by_p - direct) <= 1e-6 * direct, "bce of %.9g and %d: %.9g, not %.9g", held,
                           label, by_p, direct);
            }
        }
        mt_tensor *short_one = OWN(mt_zeros(b, mt_shape(3)));
        TEST_NULL(mt_mse(tape, p, short_one), MT_ERR_SHAPE, "(3)"); /* a loss does not broadcast */
        test_release();
    }
    test_rows += 3;
}

/* What operations.h says of infinite logits and labels, and of predictions that are no probabilities. */
static void test_losses_outside(void **data)
{
    (void)data;
    static const struct {
        mt_tensor *(*loss)(mt_tape *, mt_tensor *, mt_tensor *);
        double x, y, value, gradient;
    } cases[] = {
        {mt_bce_with_logits, INFINITY, 0, INFINITY, 1},
        {mt_bce_with_logits, INFINITY, 0.5, INFINITY, 0.5},
        {mt_bce_with_logits, INFINITY, 1, NAN, 0},
        {mt_bce_with_logits, INFINITY, 2, -INFINITY, -1},
        {mt_bce_with_logits, -INFINITY, 0, NAN, 0},
        {mt_bce_with_logits, -INFINITY, 0.5, INFINITY, -0.5},
        {mt_bce_with_logits, -INFINITY, 1, INFINITY, -1},
        {mt_bce_with_logits, -INFINITY, -1, -INFINITY, 1},
        {mt_bce_with_logits, 1, INFINITY, -INFINITY, -INFINITY},
        {mt_bce_with_logits, 1, -INFINITY, INFINITY, INFINITY},
        {mt_bce_with_logits, 0, INFINITY, NAN, -INFINITY},
        {mt_bce_with_logits, NAN, 1, NAN, NAN},
        {mt_bce_with_logits, 1, NAN, NAN, NAN},
        {mt_bce, -0.5, 0, NAN, -0.5e12},
        {mt_bce, -0.5, 1, NAN, -1.5e12},
        {mt_bce, 1.5, 0, NAN, 1.5e12},
        {mt_bce, 1.5, 1, NAN, 0.5e12},
        {mt_bce, INFINITY, 1, NAN, INFINITY},
        {mt_bce, -INFINITY, 0, NAN, -INFINITY},
        {mt_bce, NAN, 0, NAN, NAN},
    };
    EACH_BACKEND(b)
    {
        for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *x = OWN(mt_full(b, mt_shape(1), cases[i].x)),
                      *y = OWN(mt_full(b, mt_shape(1), cases[i].y));
            TEST_OK(mt_require_grad(x, true));
            mt_tensor *loss = ON(tape, cases[i].loss(tape, x, y));
            TEST_OK(mt_backward(tape, loss));
            const double value = mt_item(loss), gradient = mt_item(mt_grad(x));
            TEST_CHECK(test_same(value, cases[i].value) &&
                           test_close(gradient, cases[i].gradient, 0, 8 * test_epsilon),
                       "%s: loss %zu of %g and %g is %g with gradient %g, not %g and %g", b->name, i,
                       cases[i].x, cases[i].y, value, gradient, cases[i].value, cases[i].gradient);
            test_cases++;
        }
        test_release();
    }
}

/* ---- a user's functions ---- */

/* f(a, b) = a b + a^2, by hand. */
static mt_tensor *by_hand_forward(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_add(tape, mt_mul(tape, in[0], in[1]), mt_square(tape, in[0]));
}

typedef struct mistake {
    double factor[2]; /* of the gradients: 1 is right */
    bool first_only;  /* only the first element is wrong */
} mistake;

static mt_status by_hand_backward(mt_tape *tape, void *context, mt_tensor *const *in, const mt_tensor *out,
                                  const mt_tensor *cotangent, const bool *needs, mt_tensor *const *grad)
{
    (void)tape, (void)out;
    const mistake *wrong = context;
    mt_status status = MT_OK;
    mt_tensor *factor = mt_full(mt_tensor_backend(in[0]), mt_shape(1), 1);
    if (!factor) return mt_last_status();
    if (needs[0] && status == MT_OK) {
        status = mt_op_add(grad[0], in[0], in[0]);
        if (status == MT_OK) status = mt_op_add(grad[0], grad[0], in[1]);
        if (status == MT_OK) status = mt_op_mul(grad[0], grad[0], cotangent);
    }
    if (needs[1] && status == MT_OK) status = mt_op_mul(grad[1], cotangent, in[0]);
    for (int i = 0; i < 2 && status == MT_OK; i++) {
        if (!needs[i] || wrong->factor[i] == 1) continue;
        mt_tensor *part =
            wrong->first_only ? mt_tensor_slice(grad[i], 0, 0, 1, 1) : mt_tensor_permute(grad[i], mt_axes(0));
        status = part ? mt_op_fill(factor, wrong->factor[i]) : mt_last_status();
        if (status == MT_OK) status = mt_op_mul(part, part, factor);
        mt_tensor_free(part);
    }
    mt_tensor_free(factor);
    return status;
}

typedef struct applied {
    mt_function function;
    mistake wrong;
} applied;

static applied by_hand(double a, double b, bool first_only)
{
    return (applied){
        {.name = "by hand", .inputs = 2, .forward = by_hand_forward, .backward = by_hand_backward},
        {{a, b}, first_only}};
}

static mt_tensor *apply(mt_tape *tape, void *context, mt_tensor *const *in)
{
    applied *a = context;
    a->function.context = &a->wrong;
    /* in the middle of an expression, and twice */
    mt_tensor *y = mt_apply(tape, &a->function, in), *swapped[2] = {y, in[0]};
    return mt_add(tape, mt_tanh(tape, y), mt_apply(tape, &a->function, swapped));
}

static mt_tensor *apply_once(mt_tape *tape, void *context, mt_tensor *const *in)
{
    applied *a = context;
    a->function.context = &a->wrong;
    return mt_apply(tape, &a->function, in);
}

static void draw_two(mt_backend *b, int64_t n, mt_tensor **in)
{
    for (int k = 0; k < 2; k++) {
        mt_rng rng = mt_rng_make(test_bits());
        in[k] = OWN(mt_uniform(b, mt_shape(n), &rng, 0.5, 1.5));
        TEST_OK(mt_require_grad(in[k], true));
    }
}

static void test_own_functions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *in[2];
        applied right = by_hand(1, 1, false);
        for (int64_t n = 1; n < 300; n = 3 * n + 1) {
            draw_two(b, n, in);
            mt_status status = mt_gradcheck(b, apply, &right, in, 2, options(&(expression){0}));
            TEST_CHECK(status == MT_OK, "a function by hand: %s", mt_last_message());
            TEST_OK(mt_require_grad(in[0], false));
            TEST_OK(mt_gradcheck(b, apply, &right, in, 2, options(&(expression){0})));
            test_cases += 2;
            test_release();
        }
        mt_tape *tape = test_tape(b);
        draw_two(b, 3, in);
        right.function.context = &right.wrong;
        ON(tape, mt_apply(tape, &right.function, in));
        TEST_TRUE(mt_tape_length(tape) == 1); /* one node, whatever forward is made of */
        applied bad = right;
        bad.function.inputs = MT_FUNCTION_INPUTS + 1;
        TEST_NULL(mt_apply(tape, &bad.function, in), MT_ERR_VALUE, "by hand");
        TEST_TRUE(mt_tape_status(tape) == MT_ERR_VALUE);
        test_release();
    }
    test_rows++;
}

/* A right gradient beside a difference that is far off: factor x^3 at 0 has the slope 0, and a step of eps
 * sees factor eps^2, a hundred times what is allowed.
 */
static mt_tensor *build_steep(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    return mt_scale(tape, mt_mul(tape, in[0], mt_square(tape, in[0])), e->p[0]);
}

static void test_steep_functions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        const mt_gradcheck_options o = mt_gradcheck_defaults();
        expression e = {.name = "a steep cube", .build = build_steep, .inputs = 1};
        e.p[0] = 100 * o.atol / (o.epsilon * o.epsilon);
        e.cut[0] = test_cut_make(mt_shape(7), false);
        mt_tensor *x = OWN(mt_zeros(b, e.cut[0].base));
        TEST_OK(mt_require_grad(x, true));
        check(b, &e, &x);
        test_release();
    }
}

/* A wrong VJP is caught: a flipped sign above all, of one input or of both, in one element, along directions
 * too. */
static void test_planted_mistakes(void **data)
{
    (void)data;
    static const struct {
        double a, b;
        bool first_only;
        int64_t n;
    } cases[] = {
        {-1, 1, false, 5}, {1, -1, false, 5}, {-1, -1, false, 5}, {2, 1, false, 5},    {1, 0.5, false, 5},
        {0, 1, false, 5},  {-1, 1, true, 5},  {1, -1, true, 1},   {-1, 1, false, 700}, {1, -1, false, 700},
    };
    EACH_BACKEND(b)
    {
        for (size_t i = 0; i < TEST_LENGTH(cases); i++) {
            mt_tensor *in[2];
            applied wrong = by_hand(cases[i].a, cases[i].b, cases[i].first_only);
            int caught = 0, rounds = 5;
            for (int round = 0; round < rounds; round++) {
                draw_two(b, cases[i].n, in);
                test_stale();
                mt_status status = mt_gradcheck(b, apply_once, &wrong, in, 2, options(&(expression){0}));
                TEST_TRUE(status == MT_OK || status == MT_ERR_VALUE);
                caught += status == MT_ERR_VALUE;
                const char *input = cases[i].a != 1 ? "input 0" : "input 1";
                if (status != MT_OK)
                    TEST_CHECK(strstr(mt_last_message(), input), "\"%s\" does not name %s", mt_last_message(),
                               input);
                for (int k = 0; k < 2; k++) TEST_TRUE(!mt_has_grad(in[k]));
                test_cases++;
                test_release();
            }
            /* in float, a cotangent near 0 may hide one wrong element below the tolerance */
            TEST_CHECK(caught >= (sizeof(mt_real) == sizeof(double) ? rounds : 3),
                       "a wrong VJP (%g, %g, %lld elements) was caught %d times of %d", cases[i].a,
                       cases[i].b, (long long)cases[i].n, caught, rounds);
        }
    }
}

static mt_tensor *gives_up(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_matmul(tape, in[0], in[0]);
}

static mt_tensor *gives_nothing(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)tape, (void)context, (void)in;
    return NULL;
}

/* In a thread of its own, whose latest status is still MT_OK. */
static void *check_nothing(void *argument)
{
    static mt_status status;
    mt_tensor *in[1] = {argument};
    status = mt_gradcheck(mt_tensor_backend(in[0]), gives_nothing, NULL, in, 1, mt_gradcheck_defaults());
    return &status;
}

static void test_failing_checks(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_ones(b, mt_shape(2, 3)));
        TEST_OK(mt_require_grad(x, true));
        TEST_FAILS(mt_gradcheck(b, gives_up, NULL, &x, 1, mt_gradcheck_defaults()), MT_ERR_SHAPE, "(2, 3)");
        pthread_t thread;
        void *status;
        TEST_TRUE(pthread_create(&thread, NULL, check_nothing, x) == 0 && pthread_join(thread, &status) == 0);
        TEST_CHECK(*(mt_status *)status != MT_OK, "a check of a function that returns NULL passed");
        mt_gradcheck_options o = mt_gradcheck_defaults();
        o.epsilon = 0;
        TEST_FAILS(mt_gradcheck(b, gives_up, NULL, &x, 1, o), MT_ERR_VALUE, "epsilon");
        o.epsilon = NAN;
        TEST_FAILS(mt_gradcheck(b, gives_up, NULL, &x, 1, o), MT_ERR_VALUE, "epsilon");
        TEST_TRUE(mt_gradcheck(NULL, gives_up, NULL, &x, 1, mt_gradcheck_defaults()) == MT_ERR_NULL);
    }
}

/* ---- minitorch's own expressions ---- */

static mt_tensor *number(mt_tape *tape, double value) { return mt_num(tape, value); }

typedef mt_tensor *(*tape_fn)(mt_tape *t, mt_tensor *x, mt_tensor *y);

#define ONE(name, expression, formula)                                    \
    static mt_tensor *tape_##name(mt_tape *t, mt_tensor *x, mt_tensor *y) \
    {                                                                     \
        (void)y;                                                          \
        return expression;                                                \
    }                                                                     \
    static double real_##name(double a, double b)                         \
    {                                                                     \
        (void)a, (void)b;                                                 \
        return formula;                                                   \
    }

static double logistic(double x) { return 1 / (1 + exp(-x)); }

ONE(neg, mt_neg(t, x), -a)
ONE(add_constant, mt_add(t, x, number(t, 5)), a + 5)
ONE(square, mt_mul(t, x, x), a *a)
ONE(cube, mt_mul(t, mt_mul(t, x, x), x), a *a *a)
ONE(sub_constant, mt_sub(t, x, number(t, 5)), a - 5)
ONE(mult_constant, mt_mul(t, number(t, 5), x), 5 * a)
ONE(div, mt_div(t, x, number(t, 5)), a / 5)
ONE(inv, mt_inv(t, mt_add(t, x, number(t, 3.5))), 1 / (a + 3.5))
ONE(sig, mt_sigmoid(t, x), logistic(a))
ONE(log, mt_log(t, mt_add(t, x, number(t, 100000))), log(a + 100000))
ONE(relu, mt_relu(t, mt_add(t, x, number(t, 5.5))), fmax(a + 5.5, 0))
ONE(exp, mt_exp(t, mt_sub(t, x, number(t, 200))), exp(a - 200))
ONE(explog, mt_add(t, mt_log(t, mt_add(t, x, number(t, 100000))), mt_exp(t, mt_sub(t, x, number(t, 200)))),
    log(a + 100000) + exp(a - 200))
ONE(logexp, mt_log(t, mt_exp(t, mt_sub(t, x, number(t, 2)))), a - 2)
ONE(complicated,
    mt_div(t,
           mt_log(t,
                  mt_sigmoid(t,
                             mt_mul(t,
                                    mt_relu(t, mt_add(t,
                                                      mt_mul(t,
                                                             mt_relu(t, mt_add(t, mt_mul(t, x, number(t, 10)),
                                                                               number(t, 7))),
                                                             number(t, 6)),
                                                      number(t, 5))),
                                    number(t, 10)))),
           number(t, 50)),
    log(logistic(10 * fmax(6 * fmax(10 * a + 7, 0) + 5, 0))) / 50)
ONE(sum, mt_sum_dim(t, x, 0, true), NAN)
ONE(mean, mt_mean_dim(t, x, 0, true), NAN)
ONE(full_mean, mt_mean(t, x), NAN)
ONE(add2, mt_add(t, x, y), a + b)
ONE(mul2, mt_mul(t, x, y), a *b)
ONE(div2, mt_div(t, x, mt_add(t, y, number(t, 5.5))), a / (b + 5.5))
ONE(gt2, mt_gt(t, mt_add(t, x, number(t, 1.25)), y), a + 1.25 > b)
ONE(lt2, mt_lt(t, mt_add(t, x, number(t, 1.25)), y), a + 1.25 < b)
ONE(eq2, mt_eq(t, x, mt_add(t, y, number(t, 1.25))), a == b + 1.25)

static const struct {
    const char *name;
    tape_fn build;
    double (*formula)(double a, double b);
    int inputs;
    bool reduces;
} minitorch[] = {
#define LIST(name, inputs, reduces)                      \
    {                                                    \
#name, tape_##name, real_##name, inputs, reduces \
    }
    LIST(neg, 1, false),    LIST(add_constant, 1, false), LIST(square, 1, false),
    LIST(cube, 1, false),   LIST(sub_constant, 1, false), LIST(mult_constant, 1, false),
    LIST(div, 1, false),    LIST(inv, 1, false),          LIST(sig, 1, false),
    LIST(log, 1, false),    LIST(relu, 1, false),         LIST(exp, 1, false),
    LIST(explog, 1, false), LIST(logexp, 1, false),       LIST(complicated, 1, false),
    LIST(sum, 1, true),     LIST(mean, 1, true),          LIST(full_mean, 1, true),
    LIST(add2, 2, false),   LIST(mul2, 2, false),         LIST(div2, 2, false),
    LIST(gt2, 2, false),    LIST(lt2, 2, false),          LIST(eq2, 2, false),
};

static mt_tensor *build_minitorch(mt_tape *tape, const expression *e, mt_tensor *const *in)
{
    return minitorch[e->kind].build(tape, in[0], in[1]);
}

static void test_minitorch_expressions(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (size_t i = 0; i < TEST_LENGTH(minitorch); i++) {
            for (int round = 0; round < 5; round++) {
                mt_shape shape = test_shape(4, 16, false);
                expression e = {.name = minitorch[i].name,
                                .kind = (int)i,
                                .build = build_minitorch,
                                .inputs = minitorch[i].inputs};
                mt_tensor *in[2] = {NULL, NULL};
                for (int k = 0; k < e.inputs; k++) {
                    e.cut[k] =
                        test_cut_make(shape, false); /* permuted, as its own strategy draws them, and cut */
                    in[k] = parameter(b, &e.cut[k], -3, 3, k, SPREAD);
                }
                check(b, &e, in);
                if (!minitorch[i].reduces) { /* forward, element by element */
                    mt_tape *tape = test_tape(b);
                    mt_tensor *y = ON(tape, evaluate(tape, &e, in));
                    TEST_TRUE(mt_shape_equal(mt_tensor_shape(y), shape));
                    const double *got = test_read(y),
                                 *x[2] = {test_read(in[0]), in[1] ? test_read(in[1]) : NULL};
                    for (int64_t k = 0; k < test_count(shape); k++) {
                        double want = minitorch[i].formula(x[0][test_cut_position(&e.cut[0], k)],
                                                           x[1] ? x[1][test_cut_position(&e.cut[1], k)] : 0);
                        TEST_CHECK(test_close(got[k], want, 50 * test_epsilon, 50 * test_epsilon),
                                   "%s: element %lld is %.17g instead of %.17g", e.name, (long long)k, got[k],
                                   want);
                    }
                }
                test_release();
            }
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_table),
        TEST(test_unneeded_arguments),
        TEST(test_edges),
        TEST(test_tails),
        TEST(test_reductions),
        TEST(test_chosen_values),
        TEST(test_products_of_others),
        TEST(test_large_factors),
        TEST(test_products),
        TEST(test_linear_layers),
        TEST(test_views),
        TEST(test_taking_rows),
        TEST(test_losses),
        TEST(test_losses_outside),
        TEST(test_own_functions),
        TEST(test_steep_functions),
        TEST(test_planted_mistakes),
        TEST(test_failing_checks),
        TEST(test_minitorch_expressions),
    };
    return TEST_RUN("gradients", tests);
}
