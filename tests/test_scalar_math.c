/* tests/test_scalar_math.c - the elementary functions of the cpu backend against the C library's in double.
 *
 * In float every MT_TEST_STRIDE-th of the 2^32 bit patterns (251 by default, 1 for all) goes through the
 * vector code of mt_op_exp and its like, and the result may be 4 ULP off (gelu's 8), where an ULP of a
 * subnormal result is the least subnormal. In double the functions are the C library's, and must agree to the
 * bit. Powers have two operands: random pairs, a grid of special ones, and with a few exponents as many
 * floats as above.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/elementwise_ops.h"
#include "support.h"
#include "tensor/scalar/scalar_math.h"

enum { BLOCK = 1 << 14 };

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double softplus(double x) { return (x <= 0 ? 0 : x) + log1p(exp(-fabs(x))); }
static double sign(double x) { return (x > 0) - (x < 0); }
static double gelu(double x) { return x * (0.5 * erfc(-x * 0.70710678118654752440)); }

typedef struct {
    const char *name;
    mt_status (*op)(mt_tensor *out, const mt_tensor *x);
    double (*exact)(double x);
    double ulps; /* allowed in float */
    bool own;    /* a formula of ours in double too */
} function;

static const function functions[] = {
    {"exp", mt_op_exp, exp, 4, false},
    {"log", mt_op_log, log, 4, false},
    {"log1p", mt_op_log1p, log1p, 4, false},
    {"tanh", mt_op_tanh, tanh, 4, false},
    {"sigmoid", mt_op_sigmoid, sigmoid, 4, true},
    {"softplus", mt_op_softplus, softplus, 4, false},
    {"gelu", mt_op_gelu, gelu, 8, true},
    {"sin", mt_op_sin, sin, 2, false},
    {"cos", mt_op_cos, cos, 2, false},
    {"erf", mt_op_erf, erf, 2, false},
    {"floor", mt_op_floor, floor, 0, false},
    {"round", mt_op_round, rint, 0, false},
    {"sign", mt_op_sign, sign, 0, false},
};

#ifdef MT_DOUBLE
static void test_functions(void **state)
{
    (void)state;
    mt_backend *cpu = mt_backend_get("cpu");
    mt_rng rng = mt_rng_make(7);
    mt_tensor *x = OWN(mt_normal(cpu, mt_shape(BLOCK), &rng, 0, 30)),
              *y = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    for (size_t k = 0; k < TEST_LENGTH(functions); k++) {
        if (functions[k].own) continue;
        TEST_OK(functions[k].op(y, x));
        const double *in = mt_tensor_data(x), *out = mt_tensor_data(y);
        for (int64_t i = 0; i < BLOCK; i++) {
            double want = functions[k].exact(in[i]);
            TEST_CHECK(out[i] == want || (isnan(out[i]) && isnan(want)), "%s(%a) is %a, not %a",
                       functions[k].name, in[i], out[i], want);
        }
        test_cases++;
    }
}
#else
/* How far got is from want, in units in the last place of a float at want. */
static double distance(float got, double want)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (got == (float)want) return !signbit(got) == !signbit(want) ? 0 : INFINITY;
    int exponent;
    frexp(want, &exponent);
    if (exponent > 128) exponent = 128;
    double value = isinf(got) ? copysign(0x1p128, got) : (double)got; /* one past the largest float */
    return fabs(value - want) / ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

static uint64_t stride_or(uint64_t usual)
{
    const char *wish = getenv("MT_TEST_STRIDE");
    const uint64_t stride = wish ? strtoull(wish, NULL, 10) : usual;
    TEST_CHECK(stride >= 1, "MT_TEST_STRIDE is %s; give a whole number from 1", wish);
    return stride;
}

/* Fills in with the next BLOCK floats of a sweep over all bit patterns; false at its end. What the last block
 * has to spare is -0, which a stride may miss. */
static bool next_floats(float *in, uint64_t *pattern, uint64_t stride)
{
    const uint64_t end = (uint64_t)1 << 32;
    if (*pattern >= end) return false;
    for (int64_t i = 0; i < BLOCK; i++, *pattern += stride) {
        const uint32_t bits = *pattern < end ? (uint32_t)*pattern : 0x80000000u;
        memcpy(&in[i], &bits, sizeof bits);
    }
    return true;
}

/* Rows try a formula without special cases on a few hundred numbers first: beside NaN, for which they take
 * the other, each number's result has the same bits. */
static void check_beside_nan(const function *f, mt_tensor *x, const mt_tensor *y, mt_tensor *z)
{
    enum { APART = 128 };
    float *in = (float *)mt_tensor_data(x);
    const float *alone = mt_tensor_data(y), *beside = mt_tensor_data(z);
    for (int at = 0; at < 2; at++) { /* so that each number is compared */
        float kept[BLOCK / APART];
        for (int k = 0; k < BLOCK / APART; k++) kept[k] = in[k * APART + at], in[k * APART + at] = NAN;
        TEST_OK(f->op(z, x));
        for (int k = 0; k < BLOCK / APART; k++) in[k * APART + at] = kept[k];
        for (int64_t i = 0; i < BLOCK; i++)
            TEST_CHECK(i % APART == at || memcmp(&alone[i], &beside[i], sizeof *alone) == 0 ||
                           (isnan(alone[i]) && isnan(beside[i])),
                       "%s(%a) is %a, and %a beside NaN", f->name, (double)in[i], (double)alone[i],
                       (double)beside[i]);
    }
}

static void test_functions(void **state)
{
    (void)state;
    const uint64_t stride = stride_or(251);
    mt_backend *cpu = mt_backend_get("cpu");
    TEST_CHECK(cpu != NULL, "%s", mt_last_message());
    mt_tensor *x = OWN(mt_zeros(cpu, mt_shape(BLOCK))), *y = OWN(mt_zeros(cpu, mt_shape(BLOCK))),
              *z = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    float *in = (float *)mt_tensor_data(x);
    const float *out = mt_tensor_data(y);
    for (size_t k = 0; k < TEST_LENGTH(functions); k++) {
        double worst = 0;
        float at = 0;
        for (uint64_t pattern = 0; next_floats(in, &pattern, stride);) {
            TEST_OK(functions[k].op(y, x));
            check_beside_nan(&functions[k], x, y, z);
            for (int64_t i = 0; i < BLOCK; i++) {
                double off = distance(out[i], functions[k].exact(in[i]));
                if (off > worst) worst = off, at = in[i];
            }
        }
        print_message("    %s: at most %.2f ULP, at %a\n", functions[k].name, worst, (double)at);
        TEST_CHECK(worst <= functions[k].ulps, "%s is %.2f ULP off at %a; %g are allowed", functions[k].name,
                   worst, (double)at, functions[k].ulps);
        test_cases++;
    }
}
#endif

/* An element's bits depend neither on what stands nearby nor on where the result goes: beside numbers for
 * which short formulas do, others, and in place. */
static void test_neighbours(void **state)
{
    (void)state;
    static const mt_real odd[] = {0, (mt_real)-0.0, -1, INFINITY, -INFINITY, NAN, 0x1p-130f, 1e30f, -2};
    mt_backend *cpu = mt_backend_get("cpu");
    mt_tensor *x = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    mt_tensor *y = OWN(mt_zeros(cpu, mt_shape(BLOCK))), *z = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    mt_real *in = (mt_real *)mt_tensor_data(x);
    for (size_t k = 0; k < TEST_LENGTH(functions); k++) {
        for (int64_t i = 0; i < BLOCK; i++) in[i] = (mt_real)test_between(0.1, 9);
        TEST_OK(functions[k].op(y, x));
        for (int64_t i = 7; i < BLOCK; i += 700) in[i] = odd[test_below(TEST_LENGTH(odd))];
        TEST_OK(functions[k].op(z, x));
        const mt_real *before = mt_tensor_data(y), *after = mt_tensor_data(z);
        for (int64_t i = 0; i < BLOCK; i++)
            TEST_CHECK(i % 700 == 7 || after[i] == before[i], "%s(%a) is %a, and %a beside odd numbers",
                       functions[k].name, (double)in[i], (double)before[i], (double)after[i]);
        TEST_OK(functions[k].op(x, x));
        TEST_CHECK(memcmp(in, after, BLOCK * sizeof *in) == 0, "%s in place differs", functions[k].name);
        test_cases++;
    }
}

/* clang-format off */
static const mt_real specials[] = {
    0, (mt_real)-0.0, 1, -1, 2, -2, 0.5f, -0.5f, 3, -3, 2.5f, -2.5f, INFINITY, -INFINITY, NAN, -NAN,
    0x1p-149f, -0x1p-149f, 0x1.8p-130f, -0x1.8p-130f, 0x1p-126f, 0x1.fffffep127f, -0x1.fffffep127f,
    0x1.000002p0f, -0x1.000002p0f, 0x1.fffffep-1f, -0x1.fffffep-1f,     /* beside 1 */
    8388607.5f, -8388607.5f, 8388609, 16777215, -16777215, 16777216, 16777218, /* the last odd numbers */
    1e10f, 127, 128, -126, -149, -150};
/* clang-format on */

/* Fills a and b and returns how many pairs that is: every pair of the specials. */
static int64_t pairs_of_specials(mt_real *a, mt_real *b)
{
    const int64_t count = TEST_LENGTH(specials);
    for (int64_t i = 0; i < count * count; i++) a[i] = specials[i / count], b[i] = specials[i % count];
    return count * count;
}

#ifdef MT_DOUBLE
static void test_powers(void **state)
{
    (void)state;
    mt_backend *cpu = mt_backend_get("cpu");
    mt_tensor *a = OWN(mt_zeros(cpu, mt_shape(BLOCK))), *b = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    mt_tensor *y = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    mt_real *x = (mt_real *)mt_tensor_data(a), *e = (mt_real *)mt_tensor_data(b);
    const mt_real *out = mt_tensor_data(y);
    for (int64_t i = pairs_of_specials(x, e); i < BLOCK; i++)
        x[i] = test_between(-2, 20), e[i] = test_between(-9, 9);
    TEST_OK(mt_op_pow(y, a, b));
    for (int64_t i = 0; i < BLOCK; i++) {
        const double want = pow(x[i], e[i]);
        TEST_CHECK(out[i] == want || (isnan(out[i]) && isnan(want)), "%a to the power %a is %a, not %a", x[i],
                   e[i], out[i], want);
    }
    test_cases++;
}
#else
/* Powers of n pairs, or of one and n numbers, against pow. Keeps the worst in *worst. */
static void check_powers(mt_tensor *y, const mt_tensor *a, const mt_tensor *b, double *worst)
{
    const int64_t n = mt_tensor_size(y, 0);
    const float *x = mt_tensor_data(a), *e = mt_tensor_data(b), *out = mt_tensor_data(y);
    TEST_OK(mt_op_pow(y, a, b));
    for (int64_t i = 0; i < n; i++) {
        const float base = x[mt_tensor_size(a, 0) > 1 ? i : 0], power = e[mt_tensor_size(b, 0) > 1 ? i : 0];
        const double want = pow(base, power), off = distance(out[i], want);
        TEST_CHECK(off <= 4, "%a to the power %a is %a, %.2f ULP off %a; 4 are allowed", (double)base,
                   (double)power, (double)out[i], off, want);
        if (off > *worst) *worst = off;
    }
}

static float any_float(void)
{
    const uint32_t bits = (uint32_t)test_bits();
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void test_powers(void **state)
{
    (void)state;
    enum { ROUNDS = 200 };
    mt_backend *cpu = mt_backend_get("cpu");
    TEST_CHECK(cpu != NULL, "%s", mt_last_message());
    mt_tensor *a = OWN(mt_zeros(cpu, mt_shape(BLOCK))), *b = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    mt_tensor *y = OWN(mt_zeros(cpu, mt_shape(BLOCK))), *z = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    float *x = (float *)mt_tensor_data(a), *e = (float *)mt_tensor_data(b);
    double worst = 0;
    for (int64_t i = pairs_of_specials(x, e); i < BLOCK; i++) x[i] = any_float(), e[i] = any_float();
    check_powers(y, a, b, &worst);
    for (int round = 0; round < ROUNDS; round++) {
        /* Bases of any size and around 1; results from 0 to infinity, not beyond, or beside 1. */
        const double span = round % 3 == 0 ? 150 : round % 3 == 1 ? 124 : 1;
        for (int64_t i = 0; i < BLOCK; i++) {
            x[i] = round % 2 ? fabsf(any_float()) : (float)test_between(0.5, 2);
            e[i] = (float)(test_between(-span, span) / log2(x[i]));
            if (round % 5 == 0) x[i] = -x[i], e[i] = rintf(e[i]);
        }
        check_powers(y, a, b, &worst);
    }
    print_message("    pow: at most %.2f ULP\n", worst);

    /* One base with many exponents, and the reverse; the bits do not depend on what stands nearby. */
    for (int64_t i = 0; i < BLOCK; i++) x[i] = (float)test_between(0.1, 9), e[i] = (float)test_between(-9, 9);
    mt_tensor *one = OWN(mt_tensor_slice(a, 0, 0, 1, 1)), *power = OWN(mt_tensor_slice(b, 0, 0, 1, 1));
    check_powers(y, one, b, &worst);
    check_powers(y, a, power, &worst);
    TEST_OK(mt_op_pow(y, a, b));
    for (int64_t i = 7; i < BLOCK; i += 100) x[i] = -x[i];
    TEST_OK(mt_op_pow(z, a, b));
    const float *before = mt_tensor_data(y), *after = mt_tensor_data(z);
    for (int64_t i = 0; i < BLOCK; i++)
        TEST_CHECK(x[i] < 0 || after[i] == before[i],
                   "%a to the power %a is %a, and %a beside negative bases", (double)x[i], (double)e[i],
                   (double)before[i], (double)after[i]);
    test_cases++;
}

/* Floats of every size with exponents that programs use. */
static void test_exponents(void **state)
{
    (void)state;
    static const float exponents[] = {0.5f, 2, -1, 3, 1 / 3.0f, 10};
    const uint64_t stride = stride_or(251 * TEST_LENGTH(exponents));
    mt_backend *cpu = mt_backend_get("cpu");
    TEST_CHECK(cpu != NULL, "%s", mt_last_message());
    mt_tensor *x = OWN(mt_zeros(cpu, mt_shape(BLOCK))), *y = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    float *in = (float *)mt_tensor_data(x);
    for (size_t k = 0; k < TEST_LENGTH(exponents); k++) {
        mt_tensor *power = OWN(mt_from_floats(cpu, &exponents[k], mt_shape(1)));
        double worst = 0;
        for (uint64_t pattern = 0; next_floats(in, &pattern, stride);) check_powers(y, x, power, &worst);
        print_message("    power %g: at most %.2f ULP\n", (double)exponents[k], worst);
        test_cases++;
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_functions), TEST(test_neighbours), TEST(test_powers),
#ifndef MT_DOUBLE
                                       TEST(test_exponents)
#endif
    };
    return TEST_RUN("scalar_math", tests);
}
