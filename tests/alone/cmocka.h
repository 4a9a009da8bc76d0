/* tests/alone/cmocka.h - the little of cmocka that the tests of a backend use.
 *
 * For a machine with a GPU and without cmocka, where bench/gpu.sh runs the gpu suite, and for another
 * processor than this one (tools/aarch64-linux-gnu.ini). Everywhere else cmocka itself is used, and without
 * it the rest of the suite is one failing test that says so.
 */
#ifndef MT_TEST_ALONE_CMOCKA_H
#define MT_TEST_ALONE_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
} CMUnitTest;

#define cmocka_unit_test_setup_teardown(function, setup, teardown) \
    {                                                              \
#function, function, setup, teardown                       \
    }

static jmp_buf alone_failed;
static char alone_sentence[2000]; /* what is wrong, until its test's line is printed */

static inline void print_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(alone_sentence, sizeof alone_sentence, format, arguments);
    va_end(arguments);
    alone_sentence[strcspn(alone_sentence, "\n")] = 0;
}

static inline void print_message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
}

static inline void _fail(const char *file, int line)
{
    const size_t used = strlen(alone_sentence);
    snprintf(alone_sentence + used, sizeof alone_sentence - used, " (%s:%d)", file, line);
    longjmp(alone_failed, 1);
}

/* For the tests themselves: support.c's own test_fail knows the way back. */
_Noreturn void test_fail(const char *file, int line, const char *format, ...);
#define assert_true(condition)                                                         \
    do {                                                                               \
        if (!(condition)) test_fail(__FILE__, __LINE__, "%s is not true", #condition); \
    } while (0)
#define assert_int_equal(a, b)    assert_true((a) == (b))
#define assert_null(pointer)      assert_true((pointer) == NULL)
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)

/* A function of its own: what setjmp's caller keeps in registers may be lost. */
static inline int alone_passes(void (*run)(void **state), void **state)
{
    if (setjmp(alone_failed) != 0) return 0;
    run(state);
    return 1;
}

static inline int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                          int (*setup)(void **), int (*teardown)(void **))
{
    int failed = 0;
    (void)setup;
    (void)teardown;
    for (size_t i = 0; i < count; i++) {
        void *state = NULL;
        int wrong = tests[i].setup != NULL && tests[i].setup(&state) != 0;
        if (!wrong && !alone_passes(tests[i].run, &state)) wrong = 1;
        if (tests[i].teardown != NULL && tests[i].teardown(&state) != 0) wrong = 1;
        printf("%s  %s %s%s%s\n", wrong ? "FAIL" : "ok  ", group, tests[i].name, wrong ? ": " : "",
               alone_sentence);
        alone_sentence[0] = 0;
        fflush(stdout);
        failed += wrong;
    }
    return failed;
}

#endif
