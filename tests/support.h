/* tests/support.h - what the unit tests share: the seed, random shapes and layouts, guard words, closeness,
 * failures.
 *
 * A test draws its inputs in layouts that are permuted, stepped, offset and broadcast as the normal case.
 * Around every element of such a tensor lie others of the same storage: NaN around an input, so that a read
 * outside shows in the result, and a known number around an output, so that a write outside is found.
 * Everything that a test makes through these functions is freed when the test ends, or at test_release.
 */
#ifndef MT_TEST_SUPPORT_H
#define MT_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "autodiff/function.h"
#include "autodiff/gradcheck.h"
#include "tensor/arena.h"
#include "tensor/ops.h"

#define TEST_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- running ---- */

/* An entry of the list of tests: the generator is set to the seed before each, so that each repeats alone. */
#define TEST(function) cmocka_unit_test_setup_teardown(function, test_begin, test_end)
int test_begin(void **state);
int test_end(void **state);

/* Runs the tests, prints the seed before and, when one fails, after, and a line that sums up. To be returned
 * from main. */
#define TEST_RUN(name, tests) test_run(name, tests, TEST_LENGTH(tests))
int test_run(const char *name, const struct CMUnitTest *tests, size_t count);

/* What the summary counts. */
extern long test_cases, test_rows;

/* ---- failures ---- */

#ifdef __GNUC__
#define TEST_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define TEST_PRINTF(fmt, first)
#endif

_Noreturn void test_fail(const char *file, int line, const char *format, ...) TEST_PRINTF(3, 4);
#define TEST_FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define TEST_CHECK(condition, ...)                                    \
    do {                                                              \
        if (!(condition)) test_fail(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)
#define TEST_TRUE(condition) TEST_CHECK(condition, "%s", #condition)

/* The call must succeed; or must fail with that status and a fresh sentence that contains part. */
#define TEST_OK(call) test_ok(__FILE__, __LINE__, #call, (call))
#define TEST_FAILS(call, status, part) \
    (test_stale(), test_fails(__FILE__, __LINE__, #call, (call), status, part))
#define TEST_NULL(call, status, part) \
    (test_stale(), test_null(__FILE__, __LINE__, #call, (call), status, part))
/* A call that must fail so, and leave the array out, with its version, as it was. */
#define TEST_REFUSED(out, call, status, part)                                                              \
    do {                                                                                                   \
        uint64_t version_before = mt_tensor_version((out)->x);                                             \
        TEST_FAILS(call, status, part);                                                                    \
        TEST_CHECK(mt_tensor_version((out)->x) == version_before, "a refused call raised the version: %s", \
                   #call);                                                                                 \
        test_unchanged(out, #call);                                                                        \
        test_cases++;                                                                                      \
    } while (0)
void test_ok(const char *file, int line, const char *call, mt_status got);
void test_stale(void);
void test_fails(const char *file, int line, const char *call, mt_status got, mt_status want,
                const char *part);
void test_null(const char *file, int line, const char *call, const void *got, mt_status want,
               const char *part);

/* ---- what is freed when the test ends, or now ---- */

/* Fails the test with the library's sentence when the tensor is NULL. */
#define OWN(tensor) test_own(__FILE__, __LINE__, #tensor, (tensor))
mt_tensor *test_own(const char *file, int line, const char *call, mt_tensor *tensor);
/* A tensor of a tape: not owned, but must not be NULL. */
#define ON(tape, tensor) test_on(__FILE__, __LINE__, #tensor, (tape), (tensor))
mt_tensor *test_on(const char *file, int line, const char *call, const mt_tape *tape, mt_tensor *tensor);
mt_tape *test_tape(mt_backend *backend);
void *test_memory(size_t bytes); /* cleared */
void test_release(void);

/* ---- chance ---- */

uint64_t test_seed(void);
uint64_t test_bits(void);
int64_t test_below(int64_t bound);            /* 0 .. bound-1 */
int64_t test_from(int64_t low, int64_t high); /* both included */
double test_between(double low, double high);
bool test_chance(double probability);
void test_shuffle(int64_t *values, int64_t count);

/* ---- backends ---- */

enum { TEST_MAX_BACKENDS = 8 };
/* The backends under test: MT_TEST_BACKENDS="simple,cpu,./mine.so,..." or these two. The first is the oracle.
 */
int test_backends(mt_backend **list);
/* The same, with NULL behind the last. */
mt_backend *const *test_backend_list(void);
/* A loop over them: EACH_BACKEND(b) { ... b ... } */
#define EACH_BACKEND(b) \
    for (mt_backend *const *b##_at = test_backend_list(), *b; (b = *b##_at) != NULL; b##_at++)
/* MT_TEST_SMALL: shapes that are large for threads to share may be small. */
bool test_small(void);
mt_backend *test_simple(void);
mt_backend *test_cpu(void);

/* ---- shapes ---- */

/* One to max_rank sizes, odd ones, 1 and larger than a tile among them, 0 when empty allows it. */
mt_shape test_shape(int max_rank, int64_t max_count, bool empty);
int64_t test_count(mt_shape shape);
/* Row-major number to index and back; the number in `from` that a broadcast to `to` reads at number i. */
void test_unravel(mt_shape shape, int64_t i, int64_t *index);
int64_t test_ravel(mt_shape shape, const int64_t *index);
int64_t test_broadcast_from(mt_shape from, mt_shape to, int64_t i);
/* A shape that broadcasts to this one: some sizes become 1, some leading ones disappear. */
mt_shape test_narrower(mt_shape shape);
mt_shape test_without(mt_shape shape, mt_shape dims, bool keepdim); /* what a reduction over dims leaves */
const char *test_text(mt_shape shape);                              /* one of a few static buffers */

/* ---- layouts ---- */

/* How a tensor of some shape is cut out of a larger contiguous one: slice every dimension of base, permute,
 * expand. */
typedef struct test_cut {
    mt_shape base;
    int64_t start[MT_MAX_DIMS], stop[MT_MAX_DIMS], step[MT_MAX_DIMS]; /* of base's dimensions */
    mt_shape order, shape;
    bool stretched[MT_MAX_DIMS]; /* dimensions of shape with stride 0 */
} test_cut;

test_cut test_cut_make(mt_shape shape, bool stretch);
mt_tensor *test_cut_tensor(const test_cut *cut, mt_tensor *base); /* owned */
mt_tensor *test_cut_tape(const test_cut *cut, mt_tape *tape,
                         mt_tensor *base);                 /* on the tape; NULL when it failed */
int64_t test_cut_position(const test_cut *cut, int64_t i); /* in base, of element i of shape */

/* ---- tensors in random layouts ---- */

enum {
    TEST_INPUT = 0,   /* any layout, stride 0 included; NaN around it */
    TEST_OUTPUT = 1,  /* any layout without stride 0; a known number in it and around it */
    TEST_PLAIN = 2,   /* row-major */
    TEST_INDICES = 4, /* of kind INDEX, never stretched */
    TEST_FIXED = 8    /* an input whose values may not be changed: no stride 0 */
};

typedef struct test_array {
    mt_tensor *x, *base;
    mt_shape shape;
    test_cut cut;
    int64_t count, base_count;
    double *values;      /* row-major, as x holds them */
    double *base_values; /* the whole storage */
} test_array;

/* x holds values where they are given (those of a stretched dimension's first index), else draws from [low,
 * high). */
test_array *test_array_from(mt_backend *backend, mt_shape shape, unsigned flags, const double *values);
test_array *test_array_random(mt_backend *backend, mt_shape shape, unsigned flags, double low, double high);
/* The same cut and values on another backend. */
test_array *test_array_twin(const test_array *a, mt_backend *backend);
/* Nothing outside x's elements has changed; nothing at all has. */
void test_guards(const test_array *a, const char *what);
void test_unchanged(const test_array *a, const char *what);
/* The elements now, row-major. */
double *test_read(const mt_tensor *x);

/* ---- closeness ---- */

/* Machine epsilon of mt_real. */
extern const double test_epsilon;
/* A number as mt_real holds it. */
double test_round(double value);
/* NaN is close to NaN, an infinity to itself; otherwise |a - b| <= atol + rtol max(|a|, |b|). */
bool test_close(double a, double b, double atol, double rtol);
/* Equal, NaN to NaN, and zeros of one sign. */
bool test_same(double a, double b);
void test_all_close(const char *file, int line, const double *got, const double *want, int64_t count,
                    double atol, double rtol, const char *what);
void test_all_same(const char *file, int line, const double *got, const double *want, int64_t count,
                   const char *what);
#define TEST_ALL_CLOSE(...) test_all_close(__FILE__, __LINE__, __VA_ARGS__)
#define TEST_ALL_SAME(...)  test_all_same(__FILE__, __LINE__, __VA_ARGS__)

/* What a sum of n terms may be off by, where magnitude is the sum of their absolute values. Each of n
 * roundings errs by at most epsilon/2 of a partial sum, with a sign as good as random, so their total grows
 * with the root of n; where the terms are all equal the signs are too, and it grows with n. The factor leaves
 * room for rounding each term as well. */
double test_sum_tolerance(int64_t n, double magnitude, bool equal);
/* Whether elements of a may repeat along a dimension of stride 0. */
bool test_repeats(const test_array *a);

#endif
