/* tests/test_slots.c - the slots of a backend, and a tape that does not fuse, which calls them one by one. */
#include <stdlib.h>
#include <string.h>

#include "autodiff/elementwise.h"
#include "autodiff/ops.h"
#include "support.h"
#include "tensor/op_id.h"

#define EACH_BACKEND(b)                                                                               \
    mt_backend *backends[TEST_MAX_BACKENDS];                                                          \
    for (int i_of_backend = 0, n_of_backends = test_backends(backends); i_of_backend < n_of_backends; \
         i_of_backend++)                                                                              \
        for (mt_backend *b = backends[i_of_backend]; b; b = NULL)

/* ---- registering ---- */

/* The members of the list are those of the struct, in its order, and nothing but the list lies behind the
 * first. The backends of the library say how large they are and have all of it. */
static void test_list_and_struct(void **data)
{
    (void)data;
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {
#define MT_SLOT(need, result, name, parameters, text) {#name, offsetof(mt_backend, name)},
#include "tensor/slots.inc"
    };
    for (size_t i = 0; i < TEST_LENGTH(rows); i++) {
        TEST_TRUE(rows[i].offset == offsetof(mt_backend, allocate) + i * sizeof(void (*)(void)));
        test_cases++;
    }
    TEST_TRUE(sizeof(mt_backend) ==
              offsetof(mt_backend, allocate) + TEST_LENGTH(rows) * sizeof(void (*)(void)));
    EACH_BACKEND(b)
    {
        TEST_TRUE(b->size == sizeof(mt_backend));
        for (size_t i = 0; i < TEST_LENGTH(rows); i++) {
            void (*slot)(void);
            memcpy(&slot, (char *)b + rows[i].offset, sizeof slot);
            TEST_CHECK(slot || strcmp(rows[i].name, "counts") == 0, "%s has no %s", b->name, rows[i].name);
        }
    }
}

/* A backend that was compiled when the list was shorter: the rest is not read, and counts as missing. */
static void test_sizes(void **data)
{
    (void)data;
    mt_backend mine = *test_simple();
    mine.name = "older";
    mine.size = offsetof(mt_backend, describe);
    mt_backend *older = malloc(mine.size); /* nothing behind it may be read */
    TEST_TRUE(older);
    memcpy(older, &mine, mine.size);
    const mt_status status = mt_backend_register(older);
    free(older);
    TEST_OK(status);
    mt_backend *b = mt_backend_get("older");
    TEST_TRUE(b->size == sizeof(mt_backend) && !b->describe && !b->counts && b->update == mine.update);
    mt_tape *tape = test_tape(b);
    TEST_TRUE(mt_item(mt_sum(tape, OWN(mt_ones(b, mt_shape(3))))) == 3);

    struct {
        mt_backend known;
        void (*later[3])(void);
    } newer = {.known = *test_simple()};
    newer.known.name = "newer";
    newer.known.size = sizeof newer;
    TEST_OK(mt_backend_register(&newer.known));
    TEST_TRUE(mt_backend_get("newer")->size == sizeof(mt_backend));

    const size_t wrong[] = {0,
                            1,
                            sizeof(size_t),
                            offsetof(mt_backend, allocate) - sizeof(void *),
                            sizeof(mt_backend) - 1,
                            sizeof(mt_backend) + 1,
                            1 << 20,
                            SIZE_MAX};
    mine.name = "of a wrong size";
    for (size_t i = 0; i < TEST_LENGTH(wrong); i++) {
        mine.size = wrong[i];
        TEST_FAILS(mt_backend_register(&mine), MT_ERR_VALUE, ".size = sizeof(mt_backend)");
        test_cases++;
    }
    TEST_TRUE(!mt_backend_get("of a wrong size"));
}

/* Each slot of work or memory is missed by its name; a note is not. */
static void test_missing_slots(void **data)
{
    (void)data;
    mt_backend mine;
    enum { MEMORY, WORK, NOTE };
#define MT_SLOT(need, result, slot, parameters, text)                        \
    mine = *test_simple();                                                   \
    mine.name = "lacking";                                                   \
    mine.slot = NULL;                                                        \
    if (need != NOTE) {                                                      \
        TEST_FAILS(mt_backend_register(&mine), MT_ERR_VALUE, "slot " #slot); \
        TEST_TRUE(strstr(mt_last_message(), "lacking"));                     \
        TEST_TRUE(!mt_backend_get("lacking"));                               \
        test_cases++;                                                        \
    }
#include "tensor/slots.inc"
    mine = *test_simple();
    mine.name = "notes";
    mine.mark = NULL, mine.describe = NULL, mine.counts = NULL;
    TEST_OK(mt_backend_register(&mine));
    mt_tape *tape = test_tape(mt_backend_get("notes"));
    TEST_TRUE(mt_item(mt_sum(tape, OWN(mt_ones(mt_backend_get("notes"), mt_shape(3))))) == 3);
    mine = *test_simple();
    mine.summary = NULL;
    TEST_FAILS(mt_backend_register(&mine), MT_ERR_VALUE, "summary");
    mine.name = NULL;
    TEST_FAILS(mt_backend_register(&mine), MT_ERR_VALUE, "a name");
}

/* ---- a tape that does not fuse ---- */

/* A linear layer with the activation op (MT_OP_COUNT: none). */
static mt_tensor *layer(mt_tape *tape, mt_tensor *const *in, mt_op op)
{
    return op == MT_OP_COUNT ? mt_linear(tape, in[0], in[1], in[2])
                             : mt_linear_act(tape, in[0], in[1], in[2], op);
}

/* The same layer on a fusing tape and on one that is not: result and gradients differ by roundings. */
static void compare_layers(mt_backend *b, mt_op op)
{
    mt_shape shape = test_shape(3, 60, true);
    const int64_t k = test_from(1, 40), n = test_from(1, 9);
    mt_rng rng = mt_rng_make(test_bits());
    shape.size[shape.rank - 1] = k;
    mt_tensor *in[3] = {OWN(mt_uniform(b, shape, &rng, 0.1, 1)),
                        OWN(mt_uniform(b, mt_shape(k, n), &rng, 0.1, 1)),
                        OWN(mt_uniform(b, mt_shape(n), &rng, 0.1, 1))};
    for (int i = 0; i < 3; i++) TEST_OK(mt_require_grad(in[i], true));
    double *found[2][4] = {{NULL}};
    int64_t count = 0;
    for (int fused = 0; fused < 2; fused++) {
        mt_tape *tape = test_tape(b);
        TEST_TRUE(mt_tape_is_fusing(tape));
        mt_tape_fuse(tape, fused);
        TEST_TRUE(mt_tape_is_fusing(tape) == (bool)fused);
        mt_tensor *y = ON(tape, layer(tape, in, op));
        TEST_TRUE(mt_tape_length(tape) == (fused ? 1 : op == MT_OP_COUNT ? 2 : 3));
        count = test_count(mt_tensor_shape(y));
        found[fused][3] = test_read(y);
        TEST_OK(mt_backward(tape, ON(tape, mt_sum(tape, mt_square(tape, y)))));
        for (int i = 0; i < 3; i++) {
            found[fused][i] = test_read(mt_grad(in[i]));
            mt_zero_grad(in[i]);
        }
    }
    const char *name = op == MT_OP_COUNT ? "linear" : mt_op_describe(op)->name;
    const double close = 400 * test_epsilon;
    for (int i = 0; i < 3; i++)
        TEST_ALL_CLOSE(found[0][i], found[1][i], test_count(mt_tensor_shape(in[i])), close, close, name);
    TEST_ALL_CLOSE(found[0][3], found[1][3], count, close, close, name);
    test_cases++;
}

static void test_unfused_layers(void **data)
{
    (void)data;
    static const mt_op acts[] = {MT_OP_COUNT, MT_OP_relu, MT_OP_tanh, MT_OP_sigmoid, MT_OP_silu, MT_OP_neg};
    EACH_BACKEND(b)
    for (int i = 0; i < 60; i++) compare_layers(b, acts[i % (int)TEST_LENGTH(acts)]);
    TEST_TRUE(!mt_tape_is_fusing(NULL));
    mt_tape_fuse(NULL, false);
}

/* What a fusing tape refuses the other refuses too, with the same status. */
static void test_unfused_refusals(void **data)
{
    (void)data;
    EACH_BACKEND(b)
    {
        mt_tensor *matrix = OWN(mt_ones(b, mt_shape(2, 2))), *vector = OWN(mt_ones(b, mt_shape(2)));
        mt_tensor *three = OWN(mt_ones(b, mt_shape(3))), *one = OWN(mt_ones(b, mt_shape(1)));
        mt_tensor *numbers = OWN(mt_empty(b, mt_shape(2), MT_INDEX));
        const struct {
            mt_tensor *x, *w, *bias;
            mt_op act;
            mt_status status;
            const char *part;
        } wrong[] = {
            {matrix, vector, vector, MT_OP_COUNT, MT_ERR_SHAPE, "(in, out)"},
            {three, matrix, vector, MT_OP_COUNT, MT_ERR_SHAPE, "(3)"},
            {matrix, matrix, three, MT_OP_COUNT, MT_ERR_SHAPE, "bias"},
            {matrix, matrix, one, MT_OP_COUNT, MT_ERR_SHAPE, "bias"}, /* add alone would broadcast it */
            {matrix, matrix, matrix, MT_OP_relu, MT_ERR_SHAPE, "bias"},
            {matrix, matrix, numbers, MT_OP_COUNT, MT_ERR_KIND, ""},
            {numbers, matrix, vector, MT_OP_relu, MT_ERR_KIND, ""},
            {matrix, matrix, vector, MT_OP_clamp, MT_ERR_VALUE, "clamp"},
            {matrix, matrix, vector, MT_OP_add, MT_ERR_NAME, "add"},
        };
        for (size_t i = 0; i < TEST_LENGTH(wrong); i++) {
            for (int fused = 0; fused < 2; fused++) {
                mt_tape *tape = test_tape(b);
                mt_tape_fuse(tape, fused);
                TEST_NULL(wrong[i].act == MT_OP_COUNT
                              ? mt_linear(tape, wrong[i].x, wrong[i].w, wrong[i].bias)
                              : mt_linear_act(tape, wrong[i].x, wrong[i].w, wrong[i].bias, wrong[i].act),
                          wrong[i].status, wrong[i].part);
                TEST_TRUE(mt_tape_status(tape) == wrong[i].status && mt_tape_length(tape) == 0);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_list_and_struct),  TEST(test_sizes), TEST(test_missing_slots), TEST(test_unfused_layers),
        TEST(test_unfused_refusals),
    };
    return TEST_RUN("slots", tests);
}
