/* tests/test_scalar_math.c - the elementary functions of the cpu backend against the C library's in double.
 *
 * In float every MT_TEST_STRIDE-th of the 2^32 bit patterns (251 by default, 1 for all) goes through the
 * vector code of mt_op_exp and its like, and the result may be 4 ULP off, where an ULP of a subnormal result
 * is the least subnormal. In double the functions are the C library's, and must agree to the bit.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "tensor/scalar_math.h"

enum { BLOCK = 1 << 14 };

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double softplus(double x) { return (x <= 0 ? 0 : x) + log1p(exp(-fabs(x))); }

typedef struct {
    const char *name;
    mt_status (*op)(mt_tensor *out, const mt_tensor *x); /* NULL for erf, which is no operation of its own */
    double (*exact)(double x);
} function;

static const function functions[] = {
    {"exp", mt_op_exp, exp},
    {"log", mt_op_log, log},
    {"log1p", mt_op_log1p, log1p},
    {"tanh", mt_op_tanh, tanh},
    {"sigmoid", mt_op_sigmoid, sigmoid},
    {"softplus", mt_op_softplus, softplus},
    {"erf", NULL, erf},
};

static void apply(const function *f, mt_tensor *y, const mt_tensor *x)
{
    if (f->op) {
        TEST_OK(f->op(y, x));
        return;
    }
    const mt_real *from = mt_tensor_data(x);
    mt_real *to = (mt_real *)mt_tensor_data(y);
    for (int64_t i = 0; i < BLOCK; i++) to[i] = mt_m_erf(from[i]);
}

#ifdef MT_DOUBLE
static void test_functions(void **state)
{
    (void)state;
    mt_backend *cpu = mt_backend_get("cpu");
    mt_rng rng = mt_rng_make(7);
    mt_tensor *x = OWN(mt_normal(cpu, mt_shape(BLOCK), &rng, 0, 30)),
              *y = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    for (size_t k = 0; k < TEST_LENGTH(functions); k++) {
        if (functions[k].exact == sigmoid) continue;
        apply(&functions[k], y, x);
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
    if (got == (float)want) return 0;
    int exponent;
    frexp(want, &exponent);
    if (exponent > 128) exponent = 128;
    double value = isinf(got) ? copysign(0x1p128, got) : (double)got; /* one past the largest float */
    return fabs(value - want) / ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

static void test_functions(void **state)
{
    (void)state;
    const char *wish = getenv("MT_TEST_STRIDE");
    uint64_t stride = wish ? strtoull(wish, NULL, 10) : 251;
    TEST_CHECK(stride >= 1, "MT_TEST_STRIDE is %s; give a whole number from 1", wish);
    mt_backend *cpu = mt_backend_get("cpu");
    TEST_CHECK(cpu != NULL, "%s", mt_last_message());
    mt_tensor *x = OWN(mt_zeros(cpu, mt_shape(BLOCK))), *y = OWN(mt_zeros(cpu, mt_shape(BLOCK)));
    float *in = (float *)mt_tensor_data(x);
    const float *out = mt_tensor_data(y);
    for (size_t k = 0; k < TEST_LENGTH(functions); k++) {
        double worst = 0;
        float at = 0;
        for (uint64_t pattern = 0; pattern < (uint64_t)1 << 32;) {
            for (int64_t i = 0; i < BLOCK; i++, pattern += stride) {
                uint32_t bits = (uint32_t)(pattern < (uint64_t)1 << 32 ? pattern : 0);
                memcpy(&in[i], &bits, sizeof bits);
            }
            apply(&functions[k], y, x);
            for (int64_t i = 0; i < BLOCK; i++) {
                double off = distance(out[i], functions[k].exact(in[i]));
                if (off > worst) worst = off, at = in[i];
            }
        }
        print_message("    %s: at most %.2f ULP, at %a\n", functions[k].name, worst, (double)at);
        TEST_CHECK(worst <= 4, "%s is %.2f ULP off at %a; 4 are allowed", functions[k].name, worst,
                   (double)at);
        test_cases++;
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_functions)};
    return TEST_RUN("scalar_math", tests);
}
