/* tests/test_tape.c - the tape: what it records, how long things live on it, how it fails, what it allocates.
 *
 * This program stands in front of malloc and its family, where the C library lets it, to see that a step in
 * steady state calls none of them.
 */
#define _GNU_SOURCE
#include "autodiff/elementwise.h"
#include "support.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

/* ---- every call of malloc, calloc, realloc, aligned_alloc, posix_memalign, memalign and mmap is counted
 * ---- */

static atomic_long calls;

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTS_CALLS true
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *pointer, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_calloc(count, bytes);
}

void *realloc(void *pointer, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_realloc(pointer, bytes);
}

void *memalign(size_t alignment, size_t bytes);
void *memalign(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **pointer, size_t alignment, size_t bytes)
{
    atomic_fetch_add(&calls, 1);
    *pointer = __libc_memalign(alignment, bytes);
    return *pointer ? 0 : ENOMEM;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    atomic_fetch_add(&calls, 1);
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}
#else
#define COUNTS_CALLS false
#endif

static mt_tensor *leaf(mt_backend *b, const char *text)
{
    mt_tensor *x = OWN(mt_parse(b, text));
    TEST_OK(mt_require_grad(x, true));
    return x;
}

static void expect_grad(mt_tensor *x, const char *text, const char *what)
{
    mt_tensor *grad = mt_grad(x), *want = OWN(mt_parse(mt_tensor_backend(x), text));
    TEST_CHECK(grad, "%s: no gradient: %s", what, mt_last_message());
    TEST_TRUE(mt_shape_equal(mt_tensor_shape(grad), mt_tensor_shape(x)));
    TEST_ALL_SAME(test_read(grad), test_read(want), mt_tensor_count(want), what);
    test_cases++;
}

/* The tape must hold that failure, and nothing may come of it any more. */
#define TAPE_FAILED(tape, status, part) tape_failed(__FILE__, __LINE__, tape, status, part)

static void tape_failed(const char *file, int line, mt_tape *tape, mt_status status, const char *part)
{
    if (mt_tape_status(tape) != status || !strstr(mt_tape_message(tape), part) ||
        strlen(mt_tape_message(tape)) < 10)
        test_fail(file, line, "the tape says %s: \"%s\", not %s with \"%s\"",
                  mt_status_name(mt_tape_status(tape)), mt_tape_message(tape), mt_status_name(status), part);
    int64_t length = mt_tape_length(tape);
    if (mt_num(tape, 1) || mt_tape_length(tape) != length)
        test_fail(file, line, "an operation ran on a failed tape");
    test_cases++;
}

/* ---- accumulation ---- */

static void test_leaves(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = leaf(b, "[1, 2, 3]"), *other = leaf(b, "[5]");
        TEST_TRUE(mt_requires_grad(x) && !mt_has_grad(x));
        expect_grad(x, "[0, 0, 0]", "before any backward");
        TEST_TRUE(!mt_has_grad(x));
        TEST_OK(mt_backward(tape, mt_sum(tape, mt_square(tape, x))));
        TEST_TRUE(mt_has_grad(x) && !mt_has_grad(other));
        expect_grad(x, "[2, 4, 6]", "the first backward");
        expect_grad(other, "[0]", "a leaf that took no part");
        mt_tape_reset(tape);
        expect_grad(x, "[2, 4, 6]", "after a reset");
        TEST_OK(mt_backward(tape, mt_sum(tape, mt_square(tape, x))));
        expect_grad(x, "[4, 8, 12]", "two backwards add up");
        mt_zero_grad(x);
        TEST_TRUE(!mt_has_grad(x));
        expect_grad(x, "[0, 0, 0]", "after mt_zero_grad");
        mt_tape_reset(tape);
        TEST_OK(mt_backward(tape, mt_sum(tape, mt_mul(tape, x, other))));
        expect_grad(x, "[5, 5, 5]", "writes after mt_zero_grad");
        expect_grad(other, "[6]", "broadcast");
        /* a parameter that is the loss itself */
        mt_zero_grad(other);
        mt_tape_reset(tape);
        TEST_OK(mt_backward(tape, other));
        TEST_OK(mt_backward(tape, other));
        expect_grad(other, "[2]", "a leaf as the loss");
        /* constants get none, and cost nothing */
        mt_tape_reset(tape);
        mt_tensor *constant = OWN(mt_ones(b, mt_shape(3)));
        ON(tape, mt_exp(tape, mt_add(tape, constant, constant)));
        TEST_TRUE(mt_tape_length(tape) == 0 && !mt_requires_grad(constant) && !mt_has_grad(constant));
        TEST_NULL(mt_grad(constant), MT_ERR_STATE, "require_grad");
        TEST_OK(mt_require_grad(x, false));
        TEST_TRUE(!mt_requires_grad(mt_neg(tape, x)));
        mt_zero_grad(NULL);
        TEST_TRUE(!mt_has_grad(NULL) && !mt_grad(NULL) && !mt_requires_grad(NULL));
        test_release();
    }
}

static void test_diamonds(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = leaf(b, "[1, 2, 3]");
        mt_tensor *y = ON(tape, mt_square(tape, x));                                   /* x^2 */
        mt_tensor *z = ON(tape, mt_add(tape, mt_mul(tape, y, x), mt_add(tape, y, y))); /* x^3 + 2 x^2 */
        TEST_OK(mt_backward(tape, mt_sum(tape, z)));
        expect_grad(x, "[7, 20, 39]", "3 x^2 + 4 x");
        expect_grad(y, "[3, 4, 5]", "an inner tensor: x + 2");
        /* again, for another output: leaves add, inner tensors show the latest alone */
        mt_tensor *twice = ON(tape, mt_sum(tape, mt_add(tape, y, y)));
        TEST_OK(mt_backward(tape, twice));
        expect_grad(x, "[11, 28, 51]", "both outputs");
        expect_grad(y, "[2, 2, 2]", "the second output alone");
        expect_grad(z, "[0, 0, 0]", "not on the way");
        test_release();
    }
}

/* A random expression of numbers, against derivatives carried forward. */
static void test_random_graphs(void **data)
{
    (void)data;
    enum { LEAVES = 4, NODES = 40 };
    EACH_BACKEND(b)
    {
        for (int round = 0; round < 40; round++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *node[NODES];
            double value[NODES], slope[NODES][LEAVES] = {{0}};
            for (int i = 0; i < LEAVES; i++) {
                value[i] = test_round(test_between(0.5, 1.5));
                node[i] = OWN(mt_full(b, mt_shape(1), value[i]));
                TEST_OK(mt_require_grad(node[i], true));
                slope[i][i] = 1;
            }
            for (int i = LEAVES; i < NODES; i++) {
                int p = (int)test_from(i > 8 ? i - 8 : 0, i - 1), q = (int)test_below(i),
                    kind = (int)test_below(4);
                double dp = 0, dq = 0;
                if (kind == 0)
                    node[i] = mt_add(tape, node[p], node[q]), value[i] = value[p] + value[q], dp = dq = 1;
                if (kind == 1)
                    node[i] = mt_sub(tape, node[p], node[q]), value[i] = value[p] - value[q], dp = 1, dq = -1;
                if (kind == 2)
                    node[i] = mt_tanh(tape, node[p]), value[i] = tanh(value[p]), dp = 1 - value[i] * value[i];
                if (kind == 3) {
                    mt_tensor *squashed = mt_sigmoid(tape, node[q]);
                    double s = 1 / (1 + exp(-value[q]));
                    node[i] = mt_mul(tape, node[p], squashed), value[i] = value[p] * s, dp = s,
                    dq = value[p] * s * (1 - s);
                }
                for (int k = 0; k < LEAVES; k++) slope[i][k] = dp * slope[p][k] + dq * slope[q][k];
            }
            mt_tensor *out = ON(tape, node[NODES - 1]);
            TEST_TRUE(test_close(mt_item(out), value[NODES - 1], 1e3 * test_epsilon, 1e3 * test_epsilon));
            TEST_OK(mt_backward(tape, out));
            for (int k = 0; k < LEAVES; k++) {
                double want = slope[NODES - 1][k], got = mt_item(mt_grad(node[k]));
                TEST_CHECK(test_close(got, want, 1e4 * test_epsilon, 1e4 * test_epsilon),
                           "leaf %d: %.17g instead of %.17g", k, got, want);
            }
            test_cases++;
            test_release();
        }
    }
}

static void test_starting_points(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = leaf(b, "[[1, 2], [3, 4]]"), *c = OWN(mt_parse(b, "[[1, 0], [2, -1]]"));
        mt_tensor *y = ON(tape, mt_square(tape, x));
        TEST_OK(mt_backward_from(tape, y, c));
        expect_grad(x, "[[2, 0], [12, -8]]", "mt_backward_from");
        /* a tensor of the tape as the cotangent; through a transpose */
        mt_zero_grad(x);
        mt_tensor *turned = ON(tape, mt_transpose(tape, y, 0, 1));
        TEST_OK(mt_backward_from(tape, turned, ON(tape, mt_mul(tape, c, mt_num(tape, 2)))));
        expect_grad(x, "[[4, 16], [0, -16]]", "a transposed result");
        TEST_FAILS(mt_backward(tape, y), MT_ERR_SHAPE, "(2, 2)");
        TAPE_FAILED(tape, MT_ERR_SHAPE, "(2, 2)");
        mt_tape_reset(tape);
        TEST_TRUE(mt_tape_status(tape) == MT_OK && strcmp(mt_tape_message(tape), "") == 0);
        y = ON(tape, mt_square(tape, x));
        mt_tensor *row = OWN(mt_ones(b, mt_shape(2)));
        TEST_FAILS(mt_backward_from(tape, y, row), MT_ERR_SHAPE, "(2)"); /* a cotangent does not broadcast */
        TAPE_FAILED(tape, MT_ERR_SHAPE, "(2, 2)");
        mt_tape_reset(tape);
        mt_tensor *constant = ON(tape, mt_sum(tape, c));
        TEST_FAILS(mt_backward(tape, constant), MT_ERR_STATE, "gradient");
        TAPE_FAILED(tape, MT_ERR_STATE, "require_grad");
        /* no double backward */
        mt_tape_reset(tape);
        y = ON(tape, mt_square(tape, x));
        TEST_FAILS(mt_backward_from(tape, y, x), MT_ERR_STATE, "double backward");
        TAPE_FAILED(tape, MT_ERR_STATE, "double backward");
        TEST_FAILS(mt_require_grad(mt_grad(x), true), MT_ERR_STATE, "gradient");
        /* what can be marked, and what cannot */
        mt_tape_reset(tape);
        y = ON(tape, mt_square(tape, x));
        TEST_FAILS(mt_require_grad(y, true), MT_ERR_STATE, "tape");
        TEST_FAILS(mt_require_grad(OWN(mt_tensor_transpose(x, 0, 1)), true), MT_ERR_STATE, "view");
        TEST_FAILS(mt_require_grad(OWN(mt_arange(b, 0, 3, 1)), true), MT_ERR_KIND, "INDEX");
        TEST_TRUE(mt_require_grad(NULL, true) == MT_ERR_NULL);
        TEST_OK(mt_backward(tape, mt_sum(tape, y)));
        test_cases += 4;
        test_release();
    }
}

/* ---- recording off, detach, keep ---- */

static void test_recording_off(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = leaf(b, "[1, 2, 3]");
        TEST_TRUE(mt_tape_is_recording(tape) && mt_tape_backend(tape) == b);
        mt_tape_record(tape, false);
        TEST_TRUE(!mt_tape_is_recording(tape));
        mt_tensor *y = ON(tape, mt_sum(tape, mt_square(tape, x)));
        TEST_TRUE(mt_item(y) == 14 && !mt_requires_grad(y) && mt_tape_length(tape) == 0 &&
                  mt_requires_grad(x));
        TEST_FAILS(mt_backward(tape, y), MT_ERR_STATE, "");
        mt_tape_reset(tape);
        mt_tape_record(tape, true);
        mt_tensor *inner = ON(tape, mt_square(tape, x)), *same = ON(tape, mt_detach(tape, inner));
        TEST_TRUE(!mt_requires_grad(same) && mt_tape_length(tape) == 1);
        TEST_ALL_SAME(test_read(same), test_read(inner), 3, "detach");
        if (mt_tensor_data(inner)) TEST_TRUE(mt_tensor_data(same) == mt_tensor_data(inner));
        TEST_OK(mt_backward(tape, mt_sum(tape, mt_mul(tape, inner, same))));
        expect_grad(x, "[2, 16, 54]", "2 x times the detached x^2");
        mt_tensor *kept = OWN(mt_keep(mt_transpose(tape, mt_view(tape, inner, mt_shape(1, 3)), 0, 1)));
        mt_tape_reset(tape);
        TEST_TRUE(!mt_requires_grad(kept) && mt_tensor_is_contiguous(kept));
        TEST_ALL_SAME(test_read(kept), (const double[]){1, 4, 9}, 3, "mt_keep");
        TEST_OK(mt_require_grad(kept, true)); /* it is a tensor like a constructor's */
        mt_tensor *number = ON(tape, mt_num(tape, 2.5));
        TEST_TRUE(mt_shape_equal(mt_tensor_shape(number), mt_shape(1)) && mt_item(number) == 2.5);
        test_release();
    }
}

/* ---- lives ---- */

static void test_after_a_reset(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = leaf(b, "[1, 2, 3]");
        for (int round = 0; round < 3; round++) {
            mt_tensor *y = ON(tape, mt_square(tape, x)), *view = OWN(mt_tensor_view(y, mt_shape(3, 1)));
            TEST_OK(mt_backward(tape, mt_sum(tape, y)));
            mt_tensor *grad = ON(tape, mt_grad(y));
            mt_tape_reset(tape);
            TEST_TRUE(mt_tape_length(tape) == 0);
            double value = 7, out[3] = {7, 7, 7};
            char text[40] = "before";
            mt_tensor *const old[] = {y, view, grad};
            for (size_t i = 0; i < TEST_LENGTH(old); i++) {
                TEST_FAILS(mt_to_doubles(old[i], out, 3), MT_ERR_STATE, "reset");
                TEST_FAILS(mt_get(old[i], mt_at(0), &value), MT_ERR_STATE, "reset");
                TEST_FAILS(mt_set(old[i], mt_at(0), 1), MT_ERR_STATE, "reset");
                TEST_NULL(mt_tensor_copy(old[i]), MT_ERR_STATE, "reset");
                TEST_NULL(mt_keep(old[i]), MT_ERR_STATE, "reset");
                TEST_NULL(mt_tensor_slice(old[i], 0, 0, 1, 1), MT_ERR_STATE, "reset");
                TEST_NULL(mt_tensor_data(old[i]), MT_ERR_STATE, "reset");
                TEST_TRUE(mt_format(old[i], text, sizeof text) == -1);
                TEST_FAILS(mt_op_exp(x, old[i]), MT_ERR_STATE, "reset");
                TEST_NULL(mt_neg(tape, old[i]), MT_ERR_STATE, "reset");
                TAPE_FAILED(tape, MT_ERR_STATE, "reset");
                mt_tape_reset(tape);
                TEST_FAILS(mt_backward(tape, old[i]), MT_ERR_STATE, "reset");
                mt_tape_reset(tape);
                TEST_TRUE(value == 7 && out[0] == 7);
            }
            TEST_ALL_SAME(test_read(x), (const double[]){1, 2, 3}, 3, "the leaf");
            test_cases++;
        }
        /* and after the tape is gone */
        mt_tape *short_lived = mt_tape_new(b);
        TEST_TRUE(short_lived);
        mt_tensor *y = ON(short_lived, mt_square(short_lived, x)),
                  *view = OWN(mt_tensor_view(y, mt_shape(3, 1)));
        mt_tape_free(short_lived);
        TEST_NULL(mt_tensor_copy(view), MT_ERR_STATE, "reset");
        mt_tape_free(NULL);
        mt_tape_reset(NULL);
        TEST_TRUE(mt_tape_status(NULL) != MT_OK && strlen(mt_tape_message(NULL)) > 10 &&
                  mt_tape_length(NULL) == 0);
        TEST_TRUE(!mt_tape_new(NULL) && !mt_tape_backend(NULL) && !mt_tape_is_recording(NULL));
        test_release();
    }
}

/* A program may free what the tape still needs: the tape holds on to it until the reset. */
static void test_freed_before_backward(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        size_t held = mt_get_alloc_stats().bytes;
        for (int round = 0; round < 3; round++) {
            mt_tensor *x = mt_parse(b, "[[1, 2], [3, 4]]"), *w = leaf(b, "[[1, 1], [1, 1]]");
            mt_tensor *view = mt_tensor_transpose(x, 0, 1), *part = mt_tensor_slice(view, 0, 1, 2, 1),
                      *p = mt_parse(b, "[5, 6]");
            TEST_OK(mt_require_grad(p, true));
            mt_tensor *product = ON(tape, mt_mul(tape, w, view)),
                      *sum = ON(tape, mt_add(tape, product, mt_mul(tape, part, p)));
            mt_tensor_free(x);
            mt_tensor_free(view);
            mt_tensor_free(part);
            mt_tensor_free(p);   /* a parameter too; its gradient goes with it */
            mt_tensor_free(sum); /* the tape's own: nothing happens */
            TEST_OK(mt_backward(tape, mt_sum(tape, mt_square(tape, sum))));
            expect_grad(w, "[[22, 162], [48, 224]]", "operands freed before backward");
            mt_tape_reset(tape);
            test_cases++;
        }
        test_release();
        TEST_TRUE(mt_get_alloc_stats().bytes <= held);
    }
}

static void test_marks(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = leaf(b, "[1, 2, 3]");
        mt_tensor *base = ON(tape, mt_square(tape, x));
        mt_tape_position mark = mt_tape_mark(tape);
        size_t held = 0;
        mt_tensor *old = NULL;
        for (int i = 0; i < 500; i++) {
            mt_tensor *big = ON(tape, mt_expand(tape, base, mt_shape(200, 3)));
            old = ON(tape, mt_sum(tape, mt_mul(tape, big, mt_num(tape, i))));
            TEST_TRUE(test_close(mt_item(old), 2800.0 * i, 0, 100 * test_epsilon));
            TEST_TRUE(mt_tape_length(tape) == 4);
            TEST_OK(mt_tape_rewind(tape, mark));
            TEST_TRUE(mt_tape_length(tape) == 1);
            if (i == 300) held = mt_get_alloc_stats().bytes; /* 1024 handles wait by then */
        }
        TEST_TRUE(mt_get_alloc_stats().bytes == held);
        TEST_NULL(mt_tensor_copy(old), MT_ERR_STATE, "");
        TEST_ALL_SAME(test_read(base), (const double[]){1, 4, 9}, 3, "what was there before the mark");
        TEST_OK(mt_backward(tape, mt_sum(tape, base)));
        expect_grad(x, "[2, 4, 6]", "backward after rewinding");
        expect_grad(base, "[1, 1, 1]", "an inner gradient");

        /* a gradient that arrived after the mark is forgotten with the rest */
        mt_tape_reset(tape);
        base = ON(tape, mt_square(tape, x));
        mark = mt_tape_mark(tape);
        TEST_OK(mt_backward(tape, mt_sum(tape, mt_mul(tape, base, base))));
        expect_grad(base, "[2, 8, 18]", "before the rewind");
        TEST_OK(mt_tape_rewind(tape, mark));
        for (int i = 0; i < 20; i++) ON(tape, mt_num(tape, 77)); /* where the gradient was */
        expect_grad(base, "[0, 0, 0]", "after the rewind");
        mt_zero_grad(x);
        TEST_OK(mt_backward(tape, mt_sum(tape, base)));
        expect_grad(x, "[2, 4, 6]", "backward after a rewind over gradients");

        /* the program's views: of what is forgotten they are recognised, also when the place has been given
         * to another tensor; of what stays they stay */
        mt_tape_reset(tape);
        base = ON(tape, mt_square(tape, x));
        mt_tensor *row = OWN(mt_tensor_view(base, mt_shape(1, 3))), *constant = OWN(mt_parse(b, "[4, 5]"));
        mark = mt_tape_mark(tape);
        TEST_OK(mt_backward(tape, mt_sum(tape, base)));
        mt_tensor *far = ON(tape, mt_neg(tape, OWN(mt_ones(b, mt_shape(1, 5))))),
                  *stays = OWN(mt_tensor_select(base, 0, 1)),
                  *column = OWN(mt_tensor_view(row, mt_shape(3, 1)));
        mt_tensor *select = OWN(mt_tensor_select(far, 0, 0)),
                  *slice = OWN(mt_tensor_slice(select, 0, 1, 3, 1)),
                  *of_grad = OWN(mt_tensor_unsqueeze(mt_grad(base), 0)),
                  *of_alias =
                      OWN(mt_tensor_view(ON(tape, mt_permute(tape, far, mt_axes(1, 0))), mt_shape(5))),
                  *borrowed = OWN(mt_tensor_slice(ON(tape, mt_detach(tape, constant)), 0, 0, 1, 1));
        mt_tensor *const gone[] = {select, slice, of_grad, of_alias}, *const live[] = {row, stays, column};
        for (size_t i = 0; i < TEST_LENGTH(gone); i++) ON(tape, mt_sum(tape, gone[i]));
        for (int again = 0; again < 2; again++) {
            TEST_OK(mt_tape_rewind(tape, mark));
            for (int i = 0; i < 20 * again; i++) ON(tape, mt_num(tape, 99));
            for (size_t i = 0; i < TEST_LENGTH(gone); i++) {
                TEST_NULL(mt_tensor_copy(gone[i]), MT_ERR_STATE, "rewound");
                TEST_NULL(mt_tensor_view(gone[i], mt_shape(-1)), MT_ERR_STATE, "rewound");
            }
            for (size_t i = 0; i < TEST_LENGTH(live); i++) {
                TEST_TRUE(test_read(live[i])[i == 1 ? 0 : 1] == 4);
                ON(tape, mt_sum(tape, live[i]));
            }
            TEST_TRUE(test_read(borrowed)[0] == 4);
        }
        mt_tape_reset(tape);
        for (size_t i = 0; i < TEST_LENGTH(live); i++)
            TEST_NULL(mt_tensor_copy(live[i]), MT_ERR_STATE, "rewound");
        TEST_NULL(mt_neg(tape, select), MT_ERR_STATE, "rewound");
        TAPE_FAILED(tape, MT_ERR_STATE, "rewound");
        mt_tape_reset(tape);
        base = ON(tape, mt_square(tape, x));
        mark = mt_tape_mark(tape);

        /* positions that are not behind: of before a reset, or rewound over */
        mt_tape_reset(tape);
        TEST_FAILS(mt_tape_rewind(tape, mark), MT_ERR_STATE, "");
        mt_tape_record(tape, false);
        mt_tape_position first = mt_tape_mark(tape);
        ON(tape, mt_neg(tape, x));
        mt_tape_position second = mt_tape_mark(tape);
        TEST_OK(mt_tape_rewind(tape, first));
        TEST_FAILS(mt_tape_rewind(tape, second), MT_ERR_STATE, "");
        ON(tape, mt_neg(tape, mt_neg(tape, x)));
        TEST_FAILS(mt_tape_rewind(tape, second), MT_ERR_STATE, "");
        TEST_OK(mt_tape_rewind(tape, first));
        TEST_OK(mt_tape_rewind(tape, first)); /* as often as wanted */
        TEST_TRUE(mt_tape_rewind(NULL, first) == MT_ERR_NULL);
        /* of a tape that was freed, also where another has its address */
        for (int i = 0; i < 16; i++) {
            mt_tape *freed = mt_tape_new(b);
            ON(freed, mt_neg(freed, x));
            const mt_tape_position there = mt_tape_mark(freed);
            mt_tape_free(freed);
            mt_tape *next = test_tape(b);
            ON(next, mt_neg(next, x));
            TEST_FAILS(mt_tape_rewind(next, there), MT_ERR_STATE, "another tape");
        }
        test_cases++;
        test_release();
    }
}

/* ---- failures ---- */

static void test_failures(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b), *second = test_tape(b);
        mt_tensor *x = leaf(b, "[1, 2, 3]"), *y = OWN(mt_parse(b, "[1, 2]"));
        /* the first failure is kept, whatever comes after */
        TEST_NULL(mt_add(tape, x, y), MT_ERR_SHAPE, "(3)");
        TEST_TRUE(!mt_matmul(tape, x, NULL) && !mt_sum_dim(tape, x, 9, false) && !mt_exp(tape, x));
        TEST_TRUE(mt_backward(tape, mt_sum(tape, mt_exp(tape, x))) == MT_ERR_SHAPE);
        TAPE_FAILED(tape, MT_ERR_SHAPE, "(2)");
        TEST_TRUE(!mt_has_grad(x));
        mt_tape_reset(tape);
        ON(tape, mt_exp(tape, x));
        /* NULL passes through; the sentence is that of whatever made it NULL */
        mt_tensor *broken = mt_parse(b, "[1, 2");
        TEST_TRUE(!broken && !mt_exp(tape, broken));
        TAPE_FAILED(tape, MT_ERR_PARSE, "parse");
        mt_tape_reset(tape);
        TEST_TRUE(mt_backward(tape, NULL) != MT_OK && mt_tape_status(tape) != MT_OK);
        mt_tape_reset(tape);
        TEST_TRUE(mt_backward_from(tape, mt_exp(tape, x), NULL) != MT_OK);
        /* operands of two tapes */
        mt_tape_reset(tape);
        mt_tensor *far = ON(second, mt_exp(second, x));
        TEST_NULL(mt_add(tape, x, far), MT_ERR_STATE, "tape");
        TAPE_FAILED(tape, MT_ERR_STATE, "tape");
        TEST_TRUE(mt_tape_status(second) == MT_OK);
        mt_tape_reset(tape);
        TEST_FAILS(mt_backward(tape, mt_sum(second, far)), MT_ERR_STATE, "tape");
        /* operands of two backends */
        EACH_BACKEND(other)
        {
            if (other == b) continue;
            mt_tape_reset(tape);
            mt_tensor *there = OWN(mt_ones(other, mt_shape(3)));
            TEST_NULL(mt_add(tape, x, there), MT_ERR_BACKEND, other->name);
            TAPE_FAILED(tape, MT_ERR_BACKEND, b->name);
            mt_tape_reset(tape);
            TEST_NULL(mt_exp(tape, there), MT_ERR_BACKEND, other->name);
        }
        /* no tape at all */
        TEST_NULL(mt_exp(NULL, x), MT_ERR_STATE, "tape");
        TEST_TRUE(!mt_num(NULL, 1) && !mt_sum(NULL, x) && !mt_matmul(NULL, x, x) &&
                  !mt_view(NULL, x, mt_shape(3)));
        TEST_TRUE(!mt_detach(NULL, x) && mt_backward(NULL, x) != MT_OK && !mt_mse(NULL, x, x));
        /* every kind of bad argument gives up with a sentence, and the next step is fine */
        mt_tensor *index = OWN(mt_arange(b, 0, 3, 1)), *matrix = leaf(b, "[[1, 2], [3, 4]]");
        int64_t cases = 0;
#define GIVES_UP(call, status, part)     \
    do {                                 \
        mt_tape_reset(tape);             \
        TEST_NULL(call, status, part);   \
        TAPE_FAILED(tape, status, part); \
        cases++;                         \
    } while (0)
        GIVES_UP(mt_exp(tape, index), MT_ERR_KIND, "INDEX");
        GIVES_UP(mt_mul(tape, x, index), MT_ERR_KIND, "INDEX");
        GIVES_UP(mt_map(tape, MT_OP_add, x, 0, 0), MT_ERR_NAME, "add");
        GIVES_UP(mt_zip(tape, MT_OP_exp, x, x, 0, 0), MT_ERR_NAME, "exp");
        GIVES_UP(mt_map(tape, MT_OP_COUNT, x, 0, 0), MT_ERR_NAME, "");
        GIVES_UP(mt_argmax(tape, index), MT_ERR_KIND, "INDEX");
        GIVES_UP(mt_sum_dim(tape, x, 1, false), MT_ERR_INDEX, "1");
        GIVES_UP(mt_max_dim(tape, x, -2, true), MT_ERR_INDEX, "-2");
        GIVES_UP(mt_mean_dims(tape, matrix, mt_axes(0, 0), true), MT_ERR_SHAPE, "(0, 0)");
        GIVES_UP(mt_sum_dims(tape, matrix, mt_shape_make(9, NULL), true), MT_ERR_SHAPE, "");
        GIVES_UP(mt_sum_dims(tape, matrix, (mt_shape){.rank = 9}, true), MT_ERR_SHAPE, "1 to 8 dimensions");
        GIVES_UP(mt_max_dims(tape, matrix, (mt_shape){.rank = 1 << 30}, false), MT_ERR_SHAPE, "1 to 8");
        GIVES_UP(mt_var_dims(tape, matrix, (mt_shape){.rank = 9}, 1, true), MT_ERR_SHAPE,
                 "1 to 8 dimensions");
        GIVES_UP(mt_var_dims(tape, matrix, (mt_shape){0}, 1, true), MT_ERR_SHAPE, "1 to 8 dimensions");
        GIVES_UP(mt_var_dim(tape, x, 4, 1, false), MT_ERR_INDEX, "4");
        GIVES_UP(mt_max(tape, OWN(mt_zeros(b, mt_shape(0)))), MT_ERR_SHAPE, "(0)");
        GIVES_UP(mt_argmin_dim(tape, OWN(mt_zeros(b, mt_shape(2, 0))), 1, false), MT_ERR_SHAPE, "(2, 0)");
        GIVES_UP(mt_matmul(tape, matrix, x), MT_ERR_SHAPE, "(2, 2)");
        GIVES_UP(mt_matmul(tape, OWN(mt_ones(b, mt_shape(2, 2, 2))), OWN(mt_ones(b, mt_shape(3, 2, 2)))),
                 MT_ERR_SHAPE, "(3, 2, 2)");
        GIVES_UP(mt_linear(tape, matrix, x, y), MT_ERR_SHAPE, "(3)");
        GIVES_UP(mt_linear(tape, x, matrix, y), MT_ERR_SHAPE, "(2, 2)");
        GIVES_UP(mt_linear(tape, matrix, matrix, x), MT_ERR_SHAPE, "(3)");
        GIVES_UP(mt_linear_act(tape, matrix, matrix, y, MT_OP_clamp), MT_ERR_VALUE, "clamp");
        GIVES_UP(mt_linear_act(tape, matrix, matrix, y, MT_OP_add), MT_ERR_NAME, "add");
        GIVES_UP(mt_view(tape, x, mt_shape(2, 2)), MT_ERR_SHAPE, "(2, 2)");
        GIVES_UP(mt_view(tape, mt_transpose(tape, matrix, 0, 1), mt_shape(4)), MT_ERR_SHAPE, "(2, 2)");
        GIVES_UP(mt_reshape(tape, x, mt_shape(-1, -1)), MT_ERR_SHAPE, "-1");
        GIVES_UP(mt_permute(tape, matrix, mt_axes(0, 0)), MT_ERR_SHAPE, "(0, 0)");
        GIVES_UP(mt_transpose(tape, x, 0, 1), MT_ERR_INDEX, "1");
        GIVES_UP(mt_slice(tape, x, 0, 0, 2, 0), MT_ERR_VALUE, "0");
        GIVES_UP(mt_select(tape, x, 0, 3), MT_ERR_INDEX, "3");
        GIVES_UP(mt_expand(tape, x, mt_shape(2)), MT_ERR_SHAPE, "(3)");
        GIVES_UP(mt_squeeze(tape, x, 1), MT_ERR_INDEX, "1");
        GIVES_UP(mt_unsqueeze(tape, x, 3), MT_ERR_INDEX, "3");
        GIVES_UP(mt_flatten(tape, matrix, 1, 0), MT_ERR_SHAPE, "(2, 2)");
        GIVES_UP(mt_take_rows(tape, matrix, x), MT_ERR_KIND, "INDEX");
        GIVES_UP(mt_take_rows(tape, matrix, index), MT_ERR_INDEX, "2");
        GIVES_UP(mt_take_rows(tape, x, OWN(mt_from_indices(b, (int64_t[]){0, 0}, mt_shape(1, 2)))),
                 MT_ERR_SHAPE, "(1, 2)");
        GIVES_UP(mt_mse(tape, x, y), MT_ERR_SHAPE, "(2)");
        GIVES_UP(mt_bce(tape, x, x), MT_ERR_STATE, "target");
        GIVES_UP(mt_bce_with_logits(tape, index, index), MT_ERR_KIND, "INDEX");
#undef GIVES_UP
        mt_tape_reset(tape);
        mt_zero_grad(x);
        TEST_OK(mt_backward(tape, mt_sum(tape, x)));
        expect_grad(x, "[1, 1, 1]", "after all those failures");
        test_cases += (long)cases;
        test_release();
    }
}

/* A value that backward needs has been written meanwhile: an error, where it matters, and only there. */
static void test_overwritten(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        for (int how = 0; how < 4; how++) {
            mt_tape_reset(tape);
            mt_tensor *x = leaf(b, "[1, 2, 3]"), *c = OWN(mt_parse(b, "[4, 5, 6]")),
                      *part = OWN(mt_tensor_slice(c, 0, 1, 2, 1));
            mt_tensor *loss = ON(tape, mt_sum(tape, mt_mul(tape, x, c)));
            if (how == 0) TEST_OK(mt_set(c, mt_at(0), 9));
            if (how == 1) TEST_OK(mt_op_fill(part, 9)); /* through a view */
            if (how == 2) TEST_OK(mt_op_exp(c, c));
            if (how == 3)
                TEST_OK(mt_set_doubles(c, (const double[]){4, 5, 6}, 3)); /* even with the same values */
            TEST_FAILS(mt_backward(tape, loss), MT_ERR_STATE, "mul");
            TAPE_FAILED(tape, MT_ERR_STATE, "in place");
            TEST_TRUE(!mt_has_grad(x));
        }
        mt_tape_reset(tape);
        mt_tensor *x = leaf(b, "[1, 2, 3]"),
                  *y = ON(tape, mt_exp(tape, x)); /* exp's derivative is its result */
        TEST_OK(mt_op_fill(y, 1));
        TEST_FAILS(mt_backward(tape, mt_sum(tape, y)), MT_ERR_STATE, "exp");
        mt_tape_reset(tape);
        y = ON(tape, mt_exp(tape, x));
        mt_tensor *loss = ON(tape, mt_sum(tape, y));
        TEST_OK(mt_op_fill(x, 1)); /* and not its argument */
        TEST_OK(mt_backward(tape, loss));
        mt_tape_reset(tape);
        loss = ON(tape, mt_sum(tape, mt_add(tape, x, x)));
        TEST_OK(mt_op_fill(x, 2)); /* a sum needs no values at all */
        TEST_OK(mt_backward(tape, loss));
        mt_tape_reset(tape);
        mt_tensor *w = leaf(b, "[[1, 2], [3, 4]]"), *v = leaf(b, "[1, 1]");
        loss = ON(tape, mt_sum(tape, mt_matmul(tape, w, v)));
        TEST_OK(mt_op_sub(w, w, w)); /* an optimiser's step in the wrong place */
        TEST_FAILS(mt_backward(tape, loss), MT_ERR_STATE, "matmul");
        mt_tape_reset(tape);
        loss = ON(tape, mt_sum(tape, mt_linear_act(tape, w, w, v, MT_OP_sigmoid)));
        TEST_OK(mt_set(w, mt_at(0, 0), 1));
        TEST_FAILS(mt_backward(tape, loss), MT_ERR_STATE, "linear");
        mt_tape_reset(tape);
        loss = ON(tape, mt_sum(tape, mt_max_dim(tape, w, 0, false)));
        TEST_OK(mt_set(w, mt_at(0, 0), 100));
        TEST_FAILS(mt_backward(tape, loss), MT_ERR_STATE, "max");
        mt_tape_reset(tape);
        loss = ON(tape, mt_bce_with_logits(tape, v, OWN(mt_ones(b, mt_shape(2)))));
        TEST_OK(mt_set(v, mt_at(0), 100));
        TEST_FAILS(mt_backward(tape, loss), MT_ERR_STATE, "sigmoid_cross_entropy");
        test_cases += 8;
        test_release();
    }
}

/* ---- marks that change between an operation and backward ---- */

static mt_tensor *product_forward(mt_tape *t, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_mul(t, in[0], in[1]);
}

static mt_status product_backward(mt_tape *t, void *context, mt_tensor *const *in, const mt_tensor *out,
                                  const mt_tensor *cotangent, const bool *needs, mt_tensor *const *grad)
{
    (void)t, (void)context, (void)out;
    mt_status status = MT_OK;
    for (int i = 0; i < 2 && status == MT_OK; i++)
        if (needs[i]) status = mt_op_mul(grad[i], cotangent, in[!i]);
    return status;
}

static const mt_function own_product = {
    .name = "own product", .inputs = 2, .forward = product_forward, .backward = product_backward};

/* Products of a and b, a 2 x 2 matrix each; k says through which operation. NULL past the last. */
static mt_tensor *product(mt_tape *t, int k, mt_tensor *a, mt_tensor *b)
{
    mt_tensor *in[] = {a, b}, *zeros = OWN(mt_zeros(mt_tape_backend(t), mt_shape(2)));
    switch (k) {
    case 0: return mt_mul(t, a, b);
    case 1: return mt_matmul(t, a, b);
    case 2: return mt_linear(t, a, b, zeros);
    case 3: return mt_linear_act(t, a, b, zeros, MT_OP_relu);
    case 4: return mt_apply(t, &own_product, in);
    default: return NULL;
    }
}

static void test_changing_marks(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        /* A mark set later: what is needed for that gradient was not kept, and none arrives. */
        for (int k = 0; k < 4; k++) {
            for (int second = 0; second < 2; second++) {
                mt_tape *tape = test_tape(b);
                mt_tensor *x[2] = {OWN(mt_full(b, mt_shape(2, 2), 2)), OWN(mt_full(b, mt_shape(2, 2), 3))};
                mt_tensor *marked = x[second], *later = x[!second];
                TEST_OK(mt_require_grad(marked, true));
                mt_tensor *y = ON(tape, mt_sum(tape, product(tape, k, x[0], x[1])));
                TEST_OK(mt_require_grad(later, true));
                TEST_OK(mt_op_fill(marked, 100));
                TEST_OK(mt_backward(tape, y));
                TEST_CHECK(!mt_has_grad(later), "operation %d gave input %d a gradient", k, !second);
                double want = (second ? 2 : 3) * (k == 0 ? 1 : 2);
                TEST_CHECK(mt_has_grad(marked) && test_read(mt_grad(marked))[0] == want,
                           "operation %d: the gradient is %g instead of %g", k, test_read(mt_grad(marked))[0],
                           want);
                test_cases++;
            }
        }
        /* A mark taken away: nothing arrives there, the others get theirs; set again, it counts again. */
        for (int k = 0; k < 5; k++) {
            for (int second = 0; second < 2; second++) {
                mt_tape *tape = test_tape(b);
                mt_tensor *x[2] = {leaf(b, "[[2, 2], [2, 2]]"), leaf(b, "[[3, 3], [3, 3]]")};
                mt_tensor *y = ON(tape, mt_sum(tape, product(tape, k, x[0], x[1])));
                TEST_OK(mt_require_grad(x[second], false));
                TEST_OK(mt_backward(tape, y));
                TEST_TRUE(!mt_has_grad(x[second]) && mt_has_grad(x[!second]));
                TEST_OK(mt_require_grad(x[second], true));
                mt_zero_grad(x[!second]);
                TEST_OK(mt_backward(tape, y));
                for (int i = 0; i < 2; i++) {
                    double want = (i ? 2 : 3) * (k == 0 || k == 4 ? 1 : 2);
                    TEST_TRUE(mt_has_grad(x[i]) && test_read(mt_grad(x[i]))[3] == want);
                }
                test_cases++;
            }
        }
        /* The same through operations with one operand that takes a gradient. */
        static mt_tensor *(*const ones[])(mt_tape *, mt_tensor *) = {mt_exp, mt_sum,  mt_mean,      mt_prod,
                                                                     mt_max, mt_copy, mt_contiguous};
        for (size_t k = 0; k < TEST_LENGTH(ones) + 4; k++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *x = leaf(b, "[1, 2, 3]"), *w = leaf(b, "[1]"), *rows = OWN(mt_arange(b, 0, 2, 1)), *y;
            size_t more = k - TEST_LENGTH(ones);
            y = k < TEST_LENGTH(ones) ? ones[k](tape, x)
                : more == 0           ? mt_slice(tape, x, 0, 0, 2, 1)
                : more == 1           ? mt_permute(tape, x, mt_axes(0))
                : more == 2           ? mt_take_rows(tape, x, rows)
                                      : mt_expand(tape, x, mt_shape(2, 3));
            y = ON(tape, mt_sum(tape, mt_add(tape, w, y)));
            TEST_OK(mt_require_grad(x, false));
            TEST_OK(mt_op_fill(x, 7)); /* nobody reads it any more */
            TEST_OK(mt_backward(tape, y));
            TEST_CHECK(!mt_has_grad(x), "a gradient arrived through operation %zu", k);
            TEST_TRUE(mt_has_grad(w));
            test_cases++;
        }
        /* A loss gives its target none, marked or not. */
        for (int k = 0; k < 3; k++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *p = leaf(b, "[0.5, 0.25]"), *target = OWN(mt_parse(b, "[0, 1]"));
            mt_tensor *loss = ON(tape, k == 0   ? mt_bce_with_logits(tape, p, target)
                                       : k == 1 ? mt_mse(tape, p, target)
                                                : mt_bce(tape, p, target));
            TEST_OK(mt_require_grad(target, true));
            TEST_OK(mt_backward(tape, loss));
            TEST_TRUE(mt_has_grad(p) && !mt_has_grad(target));
            test_cases++;
        }
        test_release();
    }
}

/* mt_contiguous is another handle in either case: a view where x is row-major, else a copy; mt_copy is a
 * copy. */
static void test_contiguous(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        for (int turned = 0; turned < 2; turned++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *x = leaf(b, "[[1, 2], [3, 4]]"), *from = turned ? mt_transpose(tape, x, 0, 1) : x;
            mt_tensor *rows = ON(tape, mt_contiguous(tape, from)), *copy = ON(tape, mt_copy(tape, from));
            TEST_TRUE(rows != from && copy != from && mt_tensor_is_contiguous(rows));
            TEST_TRUE((mt_tensor_data(rows) == mt_tensor_data(from)) == !turned);
            TEST_TRUE(mt_tensor_data(copy) != mt_tensor_data(from));
            TEST_OK(mt_backward(tape, mt_sum(tape, rows))); /* x's values are not needed: it may be written */
            TEST_ALL_SAME(test_read(mt_grad(x)), (const double[]){1, 1, 1, 1}, 4, "through contiguous");
            TEST_OK(mt_op_fill(x, 7));
            TEST_TRUE(test_read(rows)[1] == (turned ? 3 : 7) && test_read(copy)[1] == (turned ? 3 : 2));
            mt_tensor_free(rows); /* the tape's, like every result: this does nothing */
            TEST_TRUE(test_read(rows)[0] == (turned ? 1 : 7));
            test_cases++;
        }
        test_release();
    }
}

/* ---- size ---- */

/* A backend that counts what it is asked, on top of simple. */
static atomic_long slot_calls;
static mt_status (*simple_zip)(mt_backend *backend, const mt_elementwise_work *work);

static mt_status counting_zip(mt_backend *backend, const mt_elementwise_work *work)
{
    atomic_fetch_add(&slot_calls, 1);
    return simple_zip(backend, work);
}

typedef struct chain {
    mt_backend *backend;
    int64_t length;
    size_t bytes; /* the most that was held */
    long slots;   /* calls of zip */
    double value, grad;
    mt_status status;
} chain;

static void *run_chain(void *argument)
{
    chain *c = argument;
    size_t before = mt_get_alloc_stats().bytes;
    atomic_store(&slot_calls, 0);
    mt_tape *tape = mt_tape_new(c->backend);
    mt_tensor *x = mt_full(c->backend, mt_shape(1), 1), *y = x, *factor = mt_full(c->backend, mt_shape(1), 1);
    c->status = mt_require_grad(x, true);
    for (int64_t i = 0; i < c->length; i++) y = i % 2 ? mt_mul(tape, y, factor) : mt_add(tape, y, factor);
    if (c->status == MT_OK && mt_tape_length(tape) != c->length) c->status = MT_ERR_VALUE;
    if (c->status == MT_OK) c->status = mt_backward(tape, y);
    c->value = mt_item(y);
    c->grad = mt_item(mt_grad(x));
    c->bytes = mt_get_alloc_stats().bytes - before;
    c->slots = atomic_load(&slot_calls);
    mt_tape_free(tape);
    mt_tensor_free(x);
    mt_tensor_free(factor);
    if (mt_get_alloc_stats().bytes != before) c->status = MT_ERR_MEMORY;
    return NULL;
}

/* On a stack of 128 KiB, which a recursion over the nodes would overflow; memory and work grow linearly. */
static void test_a_long_chain(void **data)
{
    (void)data;
    static mt_backend counting;
    counting = *test_simple();
    counting.name = "counting";
    simple_zip = counting.zip;
    counting.zip = counting_zip;
    TEST_OK(mt_backend_register(&counting));
    chain runs[] = {{.backend = &counting, .length = 10000},
                    {.backend = &counting, .length = 100000},
                    {.backend = test_cpu(), .length = 100000}};
    for (size_t i = 0; i < TEST_LENGTH(runs); i++) {
        pthread_attr_t small;
        pthread_t thread;
        TEST_TRUE(pthread_attr_init(&small) == 0 &&
                  pthread_attr_setstacksize(&small, COUNTS_CALLS ? 128 << 10 : 1 << 20) == 0);
        TEST_TRUE(pthread_create(&thread, &small, run_chain, &runs[i]) == 0 &&
                  pthread_join(thread, NULL) == 0);
        pthread_attr_destroy(&small);
        TEST_TRUE(runs[i].status == MT_OK);
        TEST_TRUE(runs[i].value == 1 + (double)runs[i].length / 2 && runs[i].grad == 1);
        test_cases++;
    }
    TEST_CHECK(runs[1].slots <= 10 * runs[0].slots + 100, "%ld calls for 10,000 nodes, %ld for 100,000",
               runs[0].slots, runs[1].slots);
    /* blocks double, so a tape may hold twice what it needs; a quadratic cost would be a hundredfold */
    TEST_CHECK(runs[1].bytes <= 25 * runs[0].bytes, "%zu bytes for 10,000 nodes, %zu for 100,000",
               runs[0].bytes, runs[1].bytes);
}

/* ---- steady state ---- */

typedef struct training {
    mt_tape *tape;
    mt_tensor *x, *y, *w1, *b1, *w2, *b2, *rate;
} training;

static mt_tensor *random_parameter(mt_backend *b, mt_shape shape, mt_rng *rng)
{
    mt_tensor *x = OWN(mt_uniform(b, shape, rng, -0.5, 0.5));
    TEST_OK(mt_require_grad(x, true));
    return x;
}

static training start_training(mt_backend *b, int64_t hidden)
{
    mt_rng rng = mt_rng_make(test_bits());
    training t = {.tape = test_tape(b)};
    t.x = OWN(mt_uniform(b, mt_shape(50, 2), &rng, 0, 1));
    t.y = OWN(mt_zeros(b, mt_shape(50, 1)));
    t.w1 = random_parameter(b, mt_shape(2, hidden), &rng), t.b1 = random_parameter(b, mt_shape(hidden), &rng);
    t.w2 = random_parameter(b, mt_shape(hidden, 1), &rng), t.b2 = random_parameter(b, mt_shape(1), &rng);
    t.rate = OWN(mt_full(b, mt_shape(1), 1e-3));
    return t;
}

/* One step of gradient descent, as a program would write it: no asserts inside, since they might allocate. */
static mt_status step(training *t, int i)
{
    mt_tape *tape = t->tape;
    mt_tensor *batch = mt_slice(tape, t->x, 0, i % 40, i % 40 + 10, 1),
              *target = mt_slice(tape, t->y, 0, i % 40, i % 40 + 10, 1);
    mt_tensor *hidden = mt_linear_act(tape, batch, t->w1, t->b1, MT_OP_relu);
    mt_tensor *p = mt_sigmoid(tape, mt_linear(tape, hidden, t->w2, t->b2));
    mt_tensor *penalty =
        mt_mul(tape, mt_num(tape, 1e-4), mt_sum(tape, mt_square(tape, mt_transpose(tape, t->w1, 0, 1))));
    mt_tensor *loss = mt_add(tape, mt_bce(tape, p, target), mt_add(tape, penalty, mt_var(tape, p, 1)));
    mt_status status =
        mt_backward(tape, mt_add(tape, loss, mt_mean(tape, mt_max_dim(tape, hidden, 1, false))));
    mt_tensor *const parameters[] = {t->w1, t->b1, t->w2, t->b2};
    for (int k = 0; k < 4 && status == MT_OK; k++) {
        mt_tensor *grad = mt_grad(parameters[k]);
        status = mt_op_mul(grad, grad, t->rate);
        if (status == MT_OK) status = mt_op_sub(parameters[k], parameters[k], grad);
        mt_zero_grad(parameters[k]);
    }
    mt_tape_reset(tape);
    return status;
}

static void test_steady_state(void **data)
{
    (void)data;
    int threads = mt_get_threads();
    TEST_OK(mt_set_threads(2));
    EACH_BACKEND(b)
    {
        bool simple = b == test_simple();
        static const int64_t widths[] = {20, 600};
        for (size_t k = 0; k < TEST_LENGTH(widths); k++) {
            training t = start_training(b, widths[k]);
            int warm = 100, steps = simple || k > 0 ? 400 : 10000;
            for (int i = 0; i < warm; i++) TEST_OK(step(&t, i));
            mt_alloc_stats before = mt_get_alloc_stats();
            long calls_before = atomic_load(&calls);
            mt_status status = MT_OK;
            for (int i = warm; i < steps && status == MT_OK; i++) status = step(&t, i);
            long calls_after = atomic_load(&calls);
            mt_alloc_stats after = mt_get_alloc_stats();
            TEST_OK(status);
            TEST_CHECK(after.bytes == before.bytes && after.peak_bytes == before.peak_bytes,
                       "%s: %zu bytes (peak %zu) after %d steps, %zu (peak %zu) after %d", b->name,
                       before.bytes, before.peak_bytes, warm, after.bytes, after.peak_bytes, steps);
            TEST_CHECK(after.allocations == before.allocations, "%s: %llu allocations in %d steps", b->name,
                       (unsigned long long)(after.allocations - before.allocations), steps - warm);
            if (COUNTS_CALLS)
                TEST_CHECK(calls_after == calls_before, "%s: %ld calls of malloc and the like in %d steps",
                           b->name, calls_after - calls_before, steps - warm);
            test_cases++;
            test_release();
        }
    }
    TEST_OK(mt_set_threads(threads));
    if (COUNTS_CALLS) {
        long before = atomic_load(&calls);
        void *volatile some = malloc(10);
        free(some);
        TEST_TRUE(atomic_load(&calls) > before); /* the counter counts */
    }
}

/* ---- who is to blame ---- */

static mt_status silent_backward(mt_tape *tape, void *context, mt_tensor *const *in, const mt_tensor *out,
                                 const mt_tensor *g, const bool *needs, mt_tensor *const *grad)
{
    (void)tape, (void)in, (void)out, (void)g, (void)needs, (void)grad;
    return *(const mt_status *)context;
}

static mt_tensor *plain_forward(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_exp(tape, in[0]);
}

static mt_tensor *silent_forward(mt_tape *tape, void *context, mt_tensor *const *in)
{
    (void)tape, (void)context, (void)in;
    return NULL;
}

/* A failure is told with its own sentence, never with that of an older one. */
static void test_blame(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = leaf(b, "[1, 2, 3]");
        TEST_TRUE(!mt_parse(b, "[1, oops"));
        mt_tape *tape = test_tape(b);
        TEST_TRUE(!mt_add(tape, x, NULL));
        TAPE_FAILED(tape, MT_ERR_NULL, "operand 1 of add is NULL");
        TEST_TRUE(!strstr(mt_tape_message(tape), "oops"));
        mt_tape_reset(tape);
        TEST_TRUE(!mt_matmul(tape, mt_parse(b, "[1, oops"), x));
        TAPE_FAILED(tape, MT_ERR_PARSE, "operand 0 of matmul is NULL: parse: ");
        mt_tape_reset(tape);
        TEST_TRUE(!mt_sum_dim(tape, NULL, 0, true));
        TAPE_FAILED(tape, MT_ERR_NULL, "operand 0 of sum is NULL");

        static mt_status returned;
        mt_function silent = {.name = "mine",
                              .inputs = 1,
                              .forward = plain_forward,
                              .backward = silent_backward,
                              .context = &returned};
        for (returned = MT_ERR_NULL; returned <= MT_ERR_NAME; returned++) {
            mt_tape_reset(tape);
            mt_tensor *y = ON(tape, mt_sum(tape, mt_apply(tape, &silent, &x)));
            TEST_TRUE(!mt_parse(b, "[1, oops"));
            const mt_status want = returned == MT_ERR_NULL ? MT_ERR_VALUE : returned;
            TEST_TRUE(mt_backward(tape, y) == want);
            TAPE_FAILED(tape, want, "the backward of mine returned");
            TEST_TRUE(!strstr(mt_tape_message(tape), "oops"));
        }
        mt_tape_reset(tape);
        silent.forward = silent_forward;
        TEST_TRUE(!mt_apply(tape, &silent, &x));
        TAPE_FAILED(tape, MT_ERR_VALUE, "the forward of mine returned NULL");

        /* A tape that could not be made: what it lacked is not forgotten. */
        mt_alloc_fail_at(1);
        mt_tape *none = mt_tape_new(b);
        mt_alloc_fail_at(0);
        TEST_TRUE(!none);
        TEST_TRUE(!mt_exp(none, x) && mt_last_status() == MT_ERR_STATE);
        TEST_TRUE(strstr(mt_last_message(), "exp: the tape is NULL") &&
                  strstr(mt_last_message(), "out of memory: "));
        test_cases++;
        test_release();
    }
}

/* ---- what a tape holds ---- */

/* A tensor that a rewind forgot is refused until 1024 later ones were forgotten too. */
static void test_quarantine(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tape *tape = test_tape(b);
        mt_tensor *x = leaf(b, "[1, 2, 3]");
        mt_tape_position mark = mt_tape_mark(tape);
        mt_tensor *old = ON(tape, mt_exp(tape, x));
        mt_tensor *seen = OWN(mt_tensor_select(old, 0, 1)),
                  *shown = OWN(mt_tensor_view(seen, mt_shape(1, 1)));
        TEST_OK(mt_tape_rewind(tape, mark));
        for (int i = 0; i < 1023; i++) {
            mt_tensor *later = ON(tape, mt_exp(tape, x));
            TEST_TRUE(later != old);
            TEST_TRUE(isnan(mt_item(old)) || mt_tensor_count(old) != 1);
            TEST_NULL(mt_tensor_copy(old), MT_ERR_STATE, "rewound");
            TEST_NULL(mt_tensor_copy(seen), MT_ERR_STATE, "rewound");
            TEST_TRUE(!mt_tensor_backend(shown) && mt_tensor_version(shown) == 0);
            TEST_OK(mt_tape_rewind(tape, mark));
        }
        test_cases++;
        /* A view whose tape is gone. */
        old = ON(tape, mt_exp(tape, x));
        mt_tape *gone = mt_tape_new(b);
        mt_tensor *view = OWN(mt_tensor_select(mt_exp(gone, x), 0, 1));
        mt_tape_free(gone);
        TEST_TRUE(!mt_tensor_backend(view) && mt_tensor_version(view) == 0 && !mt_tensor_data(view) &&
                  isnan(mt_item(view)));
        TEST_NULL(mt_tensor_copy(view), MT_ERR_STATE, "freed");
        TEST_NULL(mt_tensor_to(view, b), MT_ERR_STATE, "freed");
        TEST_NULL(mt_tensor_slice(view, 0, 0, 1, 1), MT_ERR_STATE, "freed");
        TEST_FAILS(mt_op_fill(view, 1), MT_ERR_STATE, "freed");
        TEST_FAILS(mt_print(stdout, view), MT_ERR_STATE, "freed");
        TEST_NULL(mt_exp(tape, view), MT_ERR_STATE, "freed");
        test_release();
    }
}

/* Steps whose tensors grow hold what the latest need, not what each one needed. */
static void test_growing_steps(void **data)
{
    (void)data;
    mt_backend *b = test_cpu();
    mt_tape *tape = test_tape(b);
    const size_t before = mt_get_alloc_stats().bytes;
    size_t needed = 0;
    for (int64_t step = 1; step <= 24; step++) {
        const int64_t count = step << 20;
        mt_tensor *x = ON(tape, mt_expand(tape, mt_num(tape, 1), mt_shape(count)));
        for (int i = 0; i < 3; i++) ON(tape, mt_copy(tape, x));
        needed = 3 * (size_t)count * sizeof(mt_real);
        mt_tape_reset(tape);
        const size_t held = mt_get_alloc_stats().bytes - before;
        TEST_CHECK(held < 2 * needed + (128 << 20), "%zu bytes are held after a step that needed %zu", held,
                   needed);
    }
    /* Small steps that follow give back what they do not use, in time. */
    for (int step = 0; step < 200; step++) {
        ON(tape, mt_exp(tape, mt_num(tape, 1)));
        mt_tape_reset(tape);
    }
    const size_t held = mt_get_alloc_stats().bytes - before;
    TEST_CHECK(held < needed, "%zu bytes are held by a tape whose steps need a few", held);
    test_cases++;
}

/* ---- a tape that nobody resets ---- */

/* How a program uses the tape, 300 times. */
enum { FORGETFUL, RESETTING, REWINDING, ACCUMULATING, SMALL, KINDS };

/* How many lines of a stream name mt_tape_reset, and how many there are. */
static void count_lines(FILE *stream, int *lines, int *named)
{
    char text[1000];
    *lines = *named = 0;
    rewind(stream);
    while (fgets(text, sizeof text, stream)) {
        *lines += 1;
        *named += strstr(text, "mt_tape_reset") && strstr(text, "MB");
    }
    rewind(stream);
    TEST_TRUE(ftruncate(fileno(stream), 0) == 0);
}

static void run_steps(mt_tape *tape, mt_tensor *x, int kind)
{
    const int steps = 300, parts = kind == ACCUMULATING ? 100 : 1;
    if (kind == REWINDING) ON(tape, mt_exp(tape, x));
    const mt_tape_position position = mt_tape_mark(tape);
    for (int i = 0; i < steps; i++) {
        mt_tensor *part = kind == SMALL ? mt_slice(tape, x, 0, 0, 8, 1) : x;
        TEST_OK(mt_backward(tape, mt_sum(tape, mt_exp(tape, part))));
        if (kind == RESETTING || (kind == ACCUMULATING && i % parts == parts - 1)) mt_tape_reset(tape);
        if (kind == REWINDING) TEST_OK(mt_tape_rewind(tape, position));
    }
}

/* It is told of once, on stderr or where the program says; and no other use of a tape is. */
static void test_never_reset(void **data)
{
    (void)data;
    mt_backend *b = test_cpu();
    FILE *told = tmpfile();
    TEST_TRUE(told);
    const int standard = dup(STDERR_FILENO);
    int lines, named;
    for (int kind = 0; kind < KINDS; kind++) {
        mt_tensor *x = OWN(mt_zeros(b, mt_shape(kind == SMALL ? 64 : 40000)));
        TEST_OK(mt_require_grad(x, true));
        mt_tape *tape = test_tape(b);
        fflush(stderr);
        TEST_TRUE(dup2(fileno(told), STDERR_FILENO) >= 0);
        run_steps(tape, x, kind);
        if (kind == FORGETFUL) { /* once for a tape, whatever it does later */
            mt_tape_reset(tape);
            run_steps(tape, x, kind);
        }
        TEST_TRUE(dup2(standard, STDERR_FILENO) >= 0);
        count_lines(told, &lines, &named);
        TEST_CHECK(lines == (kind == FORGETFUL) && named == lines, "use %d: %d warnings, %d of them right",
                   kind, lines, named);
        test_cases++;
    }
    /* Another stream, and none. */
    for (int round = 0; round < 2; round++) {
        mt_tensor *x = OWN(mt_zeros(b, mt_shape(40000)));
        TEST_OK(mt_require_grad(x, true));
        mt_set_warnings(round == 0 ? told : NULL);
        run_steps(test_tape(b), x, FORGETFUL);
        mt_set_warnings(stderr);
        count_lines(told, &lines, &named);
        TEST_TRUE(lines == (round == 0) && named == lines);
        test_release();
        test_cases++;
    }
    close(standard);
    fclose(told);
}

/* A rewind costs what it takes back: 20,000 of them behind a long tape with gradients would walk 6 10^9
 * nodes. */
static void test_many_rewinds(void **data)
{
    (void)data;
    mt_backend *b = test_cpu();
    mt_tape *tape = test_tape(b);
    mt_tensor *x = leaf(b, "[1]"), *y = x;
    for (int i = 0; i < 300000; i++) y = mt_neg(tape, y);
    TEST_OK(mt_backward(tape, y));
    mt_tape_position mark = mt_tape_mark(tape);
    for (int i = 0; i < 20000; i++) {
        TEST_TRUE(mt_neg(tape, y));
        TEST_OK(mt_tape_rewind(tape, mark));
    }
    expect_grad(y, "[1]", "a gradient from before the mark");
    expect_grad(x, "[1]", "a parameter's gradient");
    test_cases++;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_leaves),
        TEST(test_diamonds),
        TEST(test_random_graphs),
        TEST(test_starting_points),
        TEST(test_recording_off),
        TEST(test_after_a_reset),
        TEST(test_freed_before_backward),
        TEST(test_marks),
        TEST(test_failures),
        TEST(test_overwritten),
        TEST(test_changing_marks),
        TEST(test_contiguous),
        TEST(test_a_long_chain),
        TEST(test_steady_state),
        TEST(test_blame),
        TEST(test_quarantine),
        TEST(test_growing_steps),
        TEST(test_never_reset),
        TEST(test_many_rewinds),
    };
    return TEST_RUN("tape", tests);
}
