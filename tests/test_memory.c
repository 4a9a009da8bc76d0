/* tests/test_memory.c - memory that runs out at the 1st, 2nd, ... k-th request, until the program succeeds:
 * it never crashes, always says so in a sentence, and gives everything back. And the arena, and the counts.
 */
#include "autodiff/elementwise.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* ---- programs: each cleans up after itself and returns how it went ---- */

#define TRY(condition)               \
    do {                             \
        if (!(condition)) goto done; \
    } while (0)

/* What a program returns when it gave up: the thread's status, which must be a failure. */
static mt_status finish(bool completed)
{
    return completed ? MT_OK : mt_last_status() == MT_OK ? MT_ERR_STATE : mt_last_status();
}

/* Constructors, views, copies, text. */
static mt_status tensors(mt_backend *b)
{
    static const double values[] = {1, 2, 3, 4, 5, 6};
    mt_tensor *x = NULL, *view = NULL, *copy = NULL, *back = NULL, *index = NULL, *order = NULL,
              *drawn = NULL, *wide = NULL;
    mt_tensor *eye = NULL, *line = NULL, *moved = NULL;
    char text[400];
    double out[6];
    bool completed = false;
    mt_rng rng = mt_rng_make(3);
    TRY(x = mt_from_doubles(b, values, mt_shape(2, 3)));
    TRY(view = mt_tensor_transpose(x, 0, 1));
    TRY(copy = mt_tensor_contiguous(view));
    TRY(wide = mt_tensor_reshape(view, mt_shape(-1)));
    TRY(mt_format(view, text, sizeof text) > 0);
    TRY(back = mt_parse(b, text));
    TRY(mt_to_doubles(view, out, 6) == MT_OK);
    TRY(mt_set_doubles(view, out, 6) == MT_OK);
    TRY(index = mt_arange(b, 0, 2, 1));
    TRY(order = mt_permutation(b, &rng, 300));
    TRY(drawn = mt_normal(b, mt_shape(40, 40), &rng, 0, 1));
    TRY(eye = mt_eye(b, 5));
    TRY(line = mt_linspace(b, 0, 1, 9));
    TRY(moved = mt_tensor_to(view, test_simple()));
    TRY(mt_op_mul(x, x, x) == MT_OK);
    TRY(mt_op_add(copy, copy, view) == MT_OK);
    completed = true;
done:;
    mt_tensor *const all[] = {x, view, copy, back, index, order, drawn, wide, eye, line, moved};
    for (size_t i = 0; i < TEST_LENGTH(all); i++) mt_tensor_free(all[i]);
    return finish(completed);
}

/* A long text, whose reader's array grows. */
static mt_status long_text(mt_backend *b)
{
    enum { N = 3000 };
    char *text = malloc(3 * N + 2);
    if (!text) abort();
    text[0] = '[';
    for (int i = 0; i < N; i++) memcpy(text + 1 + 3 * i, i + 1 < N ? "7, " : "7]", 3); /* with its final 0 */
    mt_tensor *x = mt_parse(b, text);
    bool completed = x && mt_tensor_count(x) == N;
    mt_tensor_free(x);
    free(text);
    return finish(completed);
}

static mt_tensor *forward(mt_tape *t, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_mul(t, in[0], in[0]);
}

static mt_status backward(mt_tape *t, void *context, mt_tensor *const *in, const mt_tensor *out,
                          const mt_tensor *cotangent, const bool *needs, mt_tensor *const *grad)
{
    (void)context, (void)out, (void)needs;
    mt_tensor *two = mt_num(t, 2);
    mt_status status = two ? mt_op_mul(grad[0], in[0], two) : MT_ERR_MEMORY;
    return status == MT_OK ? mt_op_mul(grad[0], grad[0], cotangent) : status;
}

/* Two steps of training with an operation of each kind; the loss of the second is left in *result. */
static mt_status train(mt_backend *b, double *result)
{
    static const mt_function square = {
        .name = "square by hand", .inputs = 1, .forward = forward, .backward = backward};
    mt_tensor *x = NULL, *y = NULL, *w = NULL, *bias = NULL, *rate = NULL, *rows = NULL, *kept = NULL;
    mt_tape *t = NULL;
    bool completed = false;
    mt_rng rng = mt_rng_make(5);
    TRY(x = mt_uniform(b, mt_shape(12, 7), &rng, -1, 1));
    TRY(y = mt_zeros(b, mt_shape(12, 40)));
    TRY(w = mt_uniform(b, mt_shape(7, 40), &rng, -0.5, 0.5));
    TRY(bias = mt_zeros(b, mt_shape(40)));
    TRY(rate = mt_full(b, mt_shape(1), 0.1));
    TRY(rows = mt_arange(b, 0, 12, 1));
    TRY(mt_require_grad(w, true) == MT_OK && mt_require_grad(bias, true) == MT_OK);
    TRY(t = mt_tape_new(b));
    for (int step = 0; step < 2; step++) {
        mt_tensor *batch = mt_take_rows(t, x, rows), *hidden = mt_linear_act(t, batch, w, bias, MT_OP_silu);
        mt_tensor *score =
            mt_add(t, hidden, mt_permute(t, mt_expand(t, bias, mt_shape(1, 12, 40)), mt_axes(1, 0, 2)));
        mt_tape_position here = mt_tape_mark(t);
        mt_tensor *unused = mt_exp(t, score);
        TRY(unused && mt_tape_rewind(t, here) == MT_OK);
        mt_tensor *flat = mt_reshape(t, mt_slice(t, mt_transpose(t, score, 0, 1), 0, 0, 1, 1), mt_shape(-1));
        mt_tensor *extra = mt_add(t, mt_prod(t, mt_max_dim(t, w, 0, true)), mt_var(t, flat, 1));
        mt_tensor *product = mt_sum(t, mt_matmul(t, w, mt_transpose(t, w, 0, 1)));
        mt_tensor *loss =
            mt_add(t, mt_bce_with_logits(t, mt_select(t, score, 1, 0), y), mt_mul(t, mt_num(t, 0.01), extra));
        mt_tensor *applied = w;
        loss = mt_add(t, loss, mt_add(t, product, mt_mean(t, mt_apply(t, &square, &applied))));
        TRY(mt_backward(t, loss) == MT_OK);
        *result = mt_item(loss);
        for (int k = 0; k < 2; k++) {
            mt_tensor *p = k ? bias : w, *grad = mt_grad(p);
            TRY(grad && mt_op_mul(grad, grad, rate) == MT_OK && mt_op_sub(p, p, grad) == MT_OK);
            mt_zero_grad(p);
        }
        if (step == 1) TRY(kept = mt_keep(loss));
        mt_tape_reset(t);
    }
    completed = true;
done:
    if (t && mt_tape_status(t) != MT_OK) { /* told on the tape as well, in a sentence */
        TEST_TRUE(mt_tape_status(t) == MT_ERR_MEMORY && strlen(mt_tape_message(t)) > 10);
    }
    mt_tape_free(t);
    mt_tensor *const all[] = {x, y, w, bias, rate, rows, kept};
    for (size_t i = 0; i < TEST_LENGTH(all); i++) mt_tensor_free(all[i]);
    return finish(completed);
}

static double trained;

static mt_status training(mt_backend *b) { return train(b, &trained); }

static mt_tensor *cube(mt_tape *t, void *context, mt_tensor *const *in)
{
    (void)context;
    return mt_mul(t, mt_square(t, in[0]), in[1]);
}

static mt_status gradcheck(mt_backend *b)
{
    mt_tensor *in[2] = {mt_ones(b, mt_shape(3)), NULL};
    bool completed = false;
    TRY(in[0] && (in[1] = mt_full(b, mt_shape(100, 1), 2)));
    TRY(mt_require_grad(in[0], true) == MT_OK && mt_require_grad(in[1], true) == MT_OK);
    TRY(mt_gradcheck(b, cube, NULL, in, 2, mt_gradcheck_defaults()) == MT_OK);
    completed = true;
done:
    for (int i = 0; i < 2; i++) mt_tensor_free(in[i]);
    return finish(completed);
}

/* Larger operands, whose kernels may want room of their own. */
static mt_status large(mt_backend *b)
{
    mt_rng rng = mt_rng_make(7);
    mt_tensor *x = NULL, *y = NULL, *out = NULL, *sum = NULL, *index = NULL;
    bool completed = false;
    TRY(x = mt_uniform(b, mt_shape(150, 130), &rng, 0, 1));
    TRY(y = mt_tensor_transpose(x, 0, 1));
    TRY(out = mt_empty(b, mt_shape(150, 150), MT_REAL));
    TRY(sum = mt_empty(b, mt_shape(150), MT_REAL));
    TRY(index = mt_empty(b, mt_shape(150), MT_INDEX));
    TRY(mt_op_matmul(out, x, y) == MT_OK);
    TRY(mt_op_sum(sum, out, mt_axes(0)) == MT_OK);
    TRY(mt_op_argmax(index, out, mt_axes(1)) == MT_OK);
    TRY(mt_op_tanh(out, out) == MT_OK);
    completed = true;
done:;
    mt_tensor *const all[] = {x, y, out, sum, index};
    for (size_t i = 0; i < TEST_LENGTH(all); i++) mt_tensor_free(all[i]);
    return finish(completed);
}

/* ---- the k-th request fails ---- */

typedef mt_status (*program)(mt_backend *b);

static void fail_each(const char *name, program run, mt_backend *b)
{
    /* first from cold: what a backend keeps for later may fail to be made as well */
    for (int warm = 0; warm < 2; warm++) {
        size_t held = mt_get_alloc_stats().bytes;
        int k = 1;
        for (mt_status status = MT_ERR_MEMORY; status != MT_OK; k++) {
            TEST_CHECK(k < 20000, "%s does not get to its end", name);
            test_stale();
            mt_alloc_fail_at((uint64_t)k);
            status = run(b);
            mt_alloc_fail_at(0);
            if (status != MT_OK) {
                TEST_CHECK(status == MT_ERR_MEMORY, "%s: %s: when request %d failed: %s: %s", b->name, name,
                           k, mt_status_name(status), mt_last_message());
                test_fails(__FILE__, __LINE__, name, status, MT_ERR_MEMORY, "");
                test_cases++;
            }
            if (warm)
                TEST_CHECK(mt_get_alloc_stats().bytes == held,
                           "%s: %s: request %d failed, and %lld bytes were not given back", b->name, name, k,
                           (long long)(mt_get_alloc_stats().bytes - held));
        }
        TEST_CHECK(k > 5, "%s: %s asked for memory %d times only", b->name, name, k - 2);
    }
    test_rows++;
}

static void test_running_out(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        double first, second;
        fail_each("tensors", tensors, b);
        fail_each("long_text", long_text, b);
        fail_each("training", training, b);
        fail_each("gradcheck", gradcheck, b);
        fail_each("large", large, b);
        TEST_OK(train(b, &first)); /* and no failure has left a mark on what comes after */
        TEST_OK(train(b, &second));
        TEST_CHECK(first == second && trained == first,
                   "%s: the loss is %.17g, then %.17g, after failures %.17g", b->name, first, second,
                   trained);
    }
}

/* A failed operation leaves its tape usable after a reset, and parameters as they were. */
static void test_going_on(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *x = OWN(mt_ones(b, mt_shape(300, 300)));
        TEST_OK(mt_require_grad(x, true));
        for (int k = 1;; k++) {
            mt_tape *fresh = mt_tape_new(b);
            TEST_TRUE(fresh);
            mt_alloc_fail_at((uint64_t)k);
            mt_status status = mt_backward(fresh, mt_sum(fresh, mt_mul(fresh, x, x)));
            mt_alloc_fail_at(0);
            if (status != MT_OK) {
                TEST_TRUE(status == MT_ERR_MEMORY && mt_tape_status(fresh) == MT_ERR_MEMORY);
                TEST_TRUE(strlen(mt_tape_message(fresh)) > 10);
                mt_tape_reset(fresh);
            }
            mt_zero_grad(x);
            TEST_OK(mt_backward(fresh, mt_sum(fresh, mt_mul(fresh, x, x))));
            double value;
            TEST_OK(mt_get(mt_grad(x), mt_at(-1, -1), &value));
            TEST_TRUE(value == 2);
            mt_tape_free(fresh);
            test_cases++;
            if (status == MT_OK) break;
        }
        test_release();
    }
}

/* simple, whose loops have no memory left from a certain call on. */
static mt_backend *working;
static long calls_left;

static bool works(void)
{
    if (calls_left-- > 0) return true;
    mt_fail(MT_ERR_MEMORY, "out of memory: a test says so");
    return false;
}

static mt_status fill(mt_backend *b, mt_operand out, mt_kind kind, double value)
{
    return works() ? working->fill(b, out, kind, value) : MT_ERR_MEMORY;
}

static mt_status copy(mt_backend *b, mt_operand out, mt_kind out_kind, mt_operand in, mt_kind in_kind)
{
    return works() ? working->copy(b, out, out_kind, in, in_kind) : MT_ERR_MEMORY;
}

#define LOOP(slot)                                                  \
    static mt_status slot(mt_backend *b, const mt_##slot##_work *w) \
    {                                                               \
        return works() ? working->slot(b, w) : MT_ERR_MEMORY;       \
    }
typedef mt_elementwise_work mt_map_work, mt_zip_work;
LOOP(map)
LOOP(zip)
LOOP(reduce)
LOOP(scatter)
LOOP(rows)
LOOP(matmul)

/* A backward that fails half-way: a gradient that has arrived is whole, and where none has, none is there. */
static void test_half_way(void **data)
{
    (void)data;
    working = test_simple();
    static mt_backend failing;
    failing = *working;
    failing.fill = fill, failing.copy = copy, failing.map = map, failing.zip = zip;
    failing.reduce = reduce, failing.scatter = scatter, failing.rows = rows, failing.matmul = matmul;
    enum { EXP, MUL, STRETCHED, SUM, SLICE, ROWS, MATMUL, BATCHED, LINEAR, LEAF, KINDS };
    for (int kind = 0; kind < KINDS; kind++) {
        bool completed = false;
        for (long k = 0; !completed; k++) {
            calls_left = 1000;
            mt_tape *t = test_tape(&failing);
            mt_tensor *x = OWN(mt_full(&failing, mt_shape(2, 2), 2)),
                      *w = OWN(mt_full(&failing, mt_shape(2, 2), 2)),
                      *bias = OWN(mt_full(&failing, mt_shape(2), 2)),
                      *one = OWN(mt_full(&failing, mt_shape(1), 2)),
                      *index = OWN(mt_arange(&failing, 0, 2, 1)), *y;
            mt_tensor *const leaves[] = {x, w, bias, one};
            for (size_t i = 0; i < TEST_LENGTH(leaves); i++) TEST_OK(mt_require_grad(leaves[i], true));
            switch (kind) {
            case EXP: y = mt_square(t, x); break;
            case MUL: y = mt_mul(t, x, w); break;
            case STRETCHED: y = mt_add(t, x, one); break;
            case SUM: y = mt_sum_dim(t, x, 0, true); break;
            case SLICE: y = mt_slice(t, x, 0, 0, 2, 1); break;
            case ROWS: y = mt_take_rows(t, x, index); break;
            case MATMUL: y = mt_matmul(t, x, w); break;
            case BATCHED: y = mt_matmul(t, mt_expand(t, x, mt_shape(2, 2, 2)), w); break;
            case LINEAR: y = mt_linear(t, x, w, bias); break;
            default: y = one;
            }
            if (y != one) y = mt_sum(t, y);
            ON(t, y);
            double whole[TEST_LENGTH(leaves)] = {0};
            for (int last = 0; last < 2; last++) { /* first with all the memory, to know what is right */
                for (size_t i = 0; i < TEST_LENGTH(leaves); i++) mt_zero_grad(leaves[i]);
                calls_left = last ? k : 1000;
                mt_status status = mt_backward(t, y);
                calls_left = 1000;
                completed = status == MT_OK;
                TEST_TRUE(completed || (last && status == MT_ERR_MEMORY));
                for (size_t i = 0; i < TEST_LENGTH(leaves); i++) {
                    if (!mt_has_grad(leaves[i])) continue;
                    double value = test_read(mt_grad(leaves[i]))[0];
                    if (!last) {
                        whole[i] = value;
                        TEST_OK(mt_op_fill(mt_grad(leaves[i]), -77)); /* what is not written shows */
                    } else
                        TEST_CHECK(value == whole[i],
                                   "operation %d without memory from call %ld on: the gradient of leaf %zu "
                                   "is %g instead of %g",
                                   kind, k, i, value, whole[i]);
                }
            }
            test_release();
            test_cases++;
        }
    }
}

/* ---- counts ---- */

static void *never(void *context, size_t bytes, size_t alignment)
{
    (void)context, (void)bytes, (void)alignment;
    return NULL;
}

static void neither(void *context, void *pointer, size_t bytes) { (void)context, (void)pointer, (void)bytes; }

static void test_counts(void **data)
{
    (void)data;
    mt_alloc_stats before = mt_get_alloc_stats();
    void *p = mt_alloc(1000), *q = mt_alloc_zeroed(50), *none = mt_alloc(0);
    TEST_TRUE(p && q && (uintptr_t)p % MT_ALIGN == 0 && (uintptr_t)q % MT_ALIGN == 0);
    for (int i = 0; i < 50; i++) TEST_TRUE(((char *)q)[i] == 0);
    mt_alloc_stats held = mt_get_alloc_stats();
    TEST_TRUE(held.bytes >= before.bytes + 1050 && held.peak_bytes >= held.bytes &&
              held.allocations >= before.allocations + 2);
    mt_free(p, 1000);
    mt_free(q, 50);
    mt_free(none, 0);
    mt_free(NULL, 7);
    mt_alloc_stats after = mt_get_alloc_stats();
    TEST_TRUE(after.bytes == before.bytes && after.allocations == held.allocations &&
              after.peak_bytes == held.peak_bytes);
    mt_alloc_fail_at(2);
    p = mt_alloc(10);
    TEST_TRUE(p);
    TEST_NULL(mt_alloc(10), MT_ERR_MEMORY, "");
    q = mt_alloc(10); /* one fails, not all that follow */
    TEST_TRUE(q);
    mt_free(p, 10);
    mt_free(q, 10);
    TEST_NULL(mt_alloc(SIZE_MAX - 100), MT_ERR_MEMORY, "");
    TEST_NULL(mt_alloc(SIZE_MAX / 2), MT_ERR_MEMORY, "");
    TEST_TRUE(mt_get_alloc_stats().bytes == before.bytes);
    /* too late to replace the allocator */
    mt_allocator own = {.allocate = never, .release = neither};
    TEST_FAILS(mt_set_allocator(own), MT_ERR_STATE, "");
    TEST_FAILS(mt_set_allocator((mt_allocator){0}), MT_ERR_VALUE, "");
    test_cases++;
}

/* ---- the arena ---- */

static void test_arena(void **data)
{
    (void)data;
    size_t held = mt_get_alloc_stats().bytes;
    mt_arena arena;
    mt_arena_init(&arena, 4096, mt_host_arena_source());
    TEST_TRUE(mt_get_alloc_stats().bytes == held); /* nothing before it is asked */
    enum { PIECES = 400 };
    unsigned char *piece[PIECES];
    size_t bytes[PIECES], after_first = 0;
    for (int round = 0; round < 5; round++) {
        mt_arena_mark marks[PIECES];
        for (int i = 0; i < PIECES; i++) {
            marks[i] = mt_arena_position(&arena);
            bytes[i] = i == 77 ? 100000 : (size_t)((i * 37) % 700); /* one larger than a block, some empty */
            piece[i] = mt_arena_alloc(&arena, bytes[i]);
            TEST_TRUE(piece[i] && (uintptr_t)piece[i] % MT_ALIGN == 0);
            memset(piece[i], i & 255, bytes[i]);
        }
        for (int i = 0; i < PIECES; i++)
            for (size_t k = 0; k < bytes[i]; k++) TEST_TRUE(piece[i][k] == (i & 255));
        /* rewound to the middle, the same addresses come again, and what was before stands */
        mt_arena_rewind(&arena, marks[200]);
        for (int i = 200; i < PIECES; i++) {
            unsigned char *again = mt_arena_alloc(&arena, bytes[i]);
            TEST_TRUE(again == piece[i]);
            memset(again, 1, bytes[i]);
        }
        for (int i = 0; i < 200; i++)
            for (size_t k = 0; k < bytes[i]; k++) TEST_TRUE(piece[i][k] == (i & 255));
        if (round == 0) after_first = mt_get_alloc_stats().bytes;
        TEST_TRUE(mt_get_alloc_stats().bytes == after_first); /* blocks are kept */
        mt_arena_reset(&arena);
        test_cases++;
    }
    mt_alloc_fail_at(1);
    TEST_NULL(mt_arena_alloc(&arena, 1 << 24), MT_ERR_MEMORY, "");
    mt_alloc_fail_at(0);
    TEST_TRUE(mt_arena_alloc(&arena, 100) == piece[0]); /* the failure cost nothing */
    TEST_NULL(mt_arena_alloc(&arena, SIZE_MAX - 10), MT_ERR_MEMORY, "");
    mt_arena_free(&arena);
    TEST_TRUE(mt_get_alloc_stats().bytes == held);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_running_out), TEST(test_going_on), TEST(test_half_way), TEST(test_counts), TEST(test_arena),
    };
    return TEST_RUN("memory", tests);
}
