/* tests/test_both.c - one program, both libraries: this half is compiled against the float one, both_double.c
 * against the double one. They share no symbol and no state.
 */
#define _POSIX_C_SOURCE 200809L
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "autodiff/elementwise.h"
#include "both.h"

static double value, gradient;

static void test_float_half(void **data)
{
    (void)data;
    mt_backend *b = mt_backend_get("cpu");
    assert_non_null(b);
    mt_tape *t = mt_tape_new(b);
    mt_tensor *x = mt_full(b, mt_shape(1), 1.0 / 3);
    assert_int_equal(mt_require_grad(x, true), MT_OK);
    mt_tensor *y = mt_sigmoid(t, mt_mul(t, x, x));
    assert_int_equal(mt_backward(t, y), MT_OK);
    value = mt_item(y);
    gradient = mt_item(mt_grad(x));
    mt_tape_free(t);
    mt_tensor_free(x);
    assert_true(sizeof(mt_real) == sizeof(float));
}

static void test_double_half(void **data)
{
    (void)data;
    double exact = 1 / (1 + exp(-1.0 / 9)), slope = exact * (1 - exact) * 2 / 3, found;
    int bytes;
    const char *name;
    double precise = both_double(&found, &bytes, &name);
    assert_int_equal(bytes, (int)sizeof(double));
    assert_string_equal(name, "mtd_backward");
    assert_string_equal(BOTH_NAME(mt_backward), "mt_backward");
    assert_true(fabs(precise - exact) < 4 * DBL_EPSILON && fabs(found - slope) < 4 * DBL_EPSILON);
    /* near enough to be the same computation, too far to be the same precision */
    assert_true(fabs(value - exact) < 4 * (double)FLT_EPSILON &&
                fabs(gradient - slope) < 4 * (double)FLT_EPSILON);
    assert_true(fabs(value - exact) > 1e-12);
}

static void test_apart(void **data)
{
    (void)data;
    mt_fail(MT_ERR_NAME, "said by the float library");
    assert_string_equal((const char *)both_double_message(), "said by the double library");
    assert_string_equal(mt_last_message(), "said by the float library");
    assert_int_equal(mt_last_status(), MT_ERR_NAME);
}

/* Threads of OpenMP belong to the process: a child has none, whichever library started them. */
static void test_fork(void **data)
{
    (void)data;
    enum { N = 300 };
    mt_set_threads(4);
    mt_backend *b = mt_backend_get("cpu");
    mt_tensor *x = mt_ones(b, mt_shape(N, N)), *y = mt_zeros(b, mt_shape(N, N));
    assert_int_equal(mt_op_matmul(y, x, x), MT_OK);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60); /* a child that waits for threads it does not have would wait for ever */
        _exit(both_double_product(N) == N ? 0 : 1);
    }
    int how = -1;
    assert_true(waitpid(child, &how, 0) == child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    mt_tensor_free(x);
    mt_tensor_free(y);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float_half),
        cmocka_unit_test(test_double_half),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_fork),
    };
    int failed = cmocka_run_group_tests_name("both", tests, NULL, NULL);
    printf("summary: both float+double tests=4 failed=%d\n", failed);
    return failed ? 1 : 0;
}
