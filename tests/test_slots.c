/* tests/test_slots.c - the slots of a backend, and a tape that does not fuse, which calls them one by one. */
#include <stdlib.h>
#include <string.h>

#include "autodiff/elementwise.h"
#include "autodiff/operations.h"
#include "support.h"
#include "tensor/conv.h"
#include "tensor/op_id.h"
#include "tensor/storage.h"

/* ---- names ---- */

static void test_backend_names(void **data)
{
    (void)data;
    bool simple = false, cpu = false;
    for (int i = 0; mt_backend_name(i); i++) {
        simple = simple || strcmp(mt_backend_name(i), "simple") == 0;
        cpu = cpu || strcmp(mt_backend_name(i), "cpu") == 0;
        TEST_TRUE(mt_backend_summary(i) && strlen(mt_backend_summary(i)) > 5);
        test_stale();
        mt_backend *b = mt_backend_get(mt_backend_name(i));
        if (b)
            TEST_TRUE(strcmp(b->name, mt_backend_name(i)) == 0 && b == mt_backend_get(mt_backend_name(i)));
        else
            test_fails(__FILE__, __LINE__, mt_backend_name(i), mt_last_status(), MT_ERR_BACKEND,
                       mt_backend_name(i));
    }
    TEST_TRUE(simple && cpu);
    static const char *const names[] = {"", "CPU", "cuda", "cpu ", "simple,cpu"};
    for (size_t i = 0; i < TEST_LENGTH(names); i++) {
        test_stale();
        TEST_TRUE(!mt_backend_get(names[i]));
        TEST_CHECK(mt_last_status() == MT_ERR_BACKEND || mt_last_status() == MT_ERR_NAME, "%s",
                   mt_last_message());
        TEST_CHECK(strstr(mt_last_message(), "simple") && strstr(mt_last_message(), "cpu"), "%s",
                   mt_last_message());
    }
    EACH_BACKEND(b)
    {
        mt_backend_facts facts;
        b->describe(b, &facts);
        TEST_CHECK(facts.threads == (strcmp(b->name, "cpu") == 0 ? mt_get_threads() : 1) && facts.isa[0] != 0,
                   "%s: %d threads, isa \"%s\"", b->name, facts.threads, facts.isa);
    }
    mt_backend own = *test_simple();
    own.name = "cpu";
    TEST_FAILS(mt_backend_register(&own), MT_ERR_NAME, "cpu");
    own.name = "test-own";
    own.host = false, own.download = NULL;
    TEST_FAILS(mt_backend_register(&own), MT_ERR_VALUE, "test-own lacks the slot download");
    TEST_TRUE(!mt_backend_get("test-own"));
    own = *test_simple();
    own.name = "test-own";
    TEST_OK(mt_backend_register(&own));
    TEST_FAILS(mt_backend_register(&own), MT_ERR_NAME, "test-own");
    mt_tensor *x = OWN(mt_ones(mt_backend_get("test-own"), mt_shape(2))),
              *y = OWN(mt_ones(test_simple(), mt_shape(2)));
    TEST_FAILS(mt_op_add(x, x, y), MT_ERR_BACKEND, "test-own");
}

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
    mine.size = offsetof(mt_backend, rows);
    mt_backend *older = malloc(mine.size); /* nothing behind it may be read */
    TEST_TRUE(older);
    memcpy(older, &mine, mine.size);
    const mt_status status = mt_backend_register(older);
    free(older);
    TEST_OK(status);
    mt_backend *b = mt_backend_get("older");
    TEST_TRUE(b->size == sizeof(mt_backend) && b->rows && b->matmul && b->update && !b->counts);
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

/* Work for one slot and no other of WORK, on x (2, 3) and its indices; the result is in *out. */
typedef struct operands {
    mt_tensor *x, *y, *w, *places, *numbers, *order;
} operands;

static mt_status do_fill(operands *o) { return mt_op_fill(o->y, 1.5); }
static mt_status do_copy(operands *o) { return mt_op_copy(o->y, o->x); }
static mt_status do_map(operands *o) { return mt_op_exp(o->y, o->x); }
static mt_status do_zip(operands *o) { return mt_op_mul(o->y, o->x, o->x); }
static mt_status do_reduce(operands *o)
{
    return mt_op_add_sum(OWN(mt_tensor_select(o->y, 0, 1)), o->x, mt_axes(0));
}

static mt_status do_rows(operands *o) { return mt_op_take_rows(o->y, o->x, o->numbers); }
static mt_status do_matmul(operands *o) { return mt_op_matmul(o->y, o->x, o->w); }

static mt_status do_scatter(operands *o)
{
    mt_tensor *value = OWN(mt_tensor_slice(o->x, 1, 0, 1, 1));
    mt_backend *b = mt_tensor_backend(o->x);
    const mt_scatter_work work = {.reduced = {false, true},
                                  .out = mt_tensor_operand(o->y),
                                  .index = mt_tensor_operand(o->places),
                                  .value = mt_tensor_operand(value)};
    return b->scatter(b, &work);
}

static mt_status do_random(operands *o)
{
    mt_rng rng = mt_rng_make(5);
    return mt_op_normal(o->y, &rng, 1, 2);
}

static mt_status do_permutation(operands *o)
{
    mt_rng rng = mt_rng_make(6);
    return mt_op_permutation(o->order, &rng);
}

static mt_status do_update(operands *o)
{
    mt_backend *b = mt_tensor_backend(o->x);
    const mt_update_row row = {
        .value = mt_tensor_operand(o->y).data, .grad = mt_tensor_operand(o->x).data, .n = 6};
    const mt_update_work work = {
        .rule = MT_UPDATE_sgd, .options = {.rate = 0.1}, .step = 1, .rows = 1, .row = &row};
    return b->update(b, &work);
}

static mt_status do_where(operands *o)
{
    const mt_tensor *one = OWN(mt_tensor_slice(o->x, 1, 0, 1, 1));
    return mt_op_where(o->y, o->places, o->x, one);
}

static mt_status do_softmax(operands *o)
{
    mt_backend *b = mt_tensor_backend(o->x);
    return b->softmax(
        b, &(mt_softmax_work){.dim = 1, .out = mt_tensor_operand(o->y), .in = mt_tensor_operand(o->x)});
}

/* The losses of the two rows of x, in y's first row. */
static mt_status do_cross_entropy(operands *o)
{
    mt_backend *b = mt_tensor_backend(o->x);
    mt_real *y = mt_tensor_operand(o->y).data;
    const mt_tensor *weight = OWN(mt_tensor_select(o->w, 0, 1));
    return b->cross_entropy(b, &(mt_cross_entropy_work){.dim = 1,
                                                        .logarithms = true,
                                                        .ignore_index = -100,
                                                        .x = mt_tensor_operand(o->x),
                                                        .labels = mt_tensor_operand(o->places),
                                                        .weight = mt_tensor_operand(weight),
                                                        .loss = y,
                                                        .row_weight = y + 2});
}

static mt_status do_compare(operands *o) { return mt_op_le(o->y, o->places, o->places); }

static mt_status do_reduce_index(operands *o)
{
    return mt_op_sum(OWN(mt_tensor_slice(o->order, 0, 1, 2, 1)), o->places, mt_axes(0, 1));
}

static mt_status do_conv(operands *o)
{
    const mt_tensor *x = OWN(mt_tensor_view(o->x, mt_shape(1, 1, 2, 3))),
                    *w = OWN(mt_tensor_view(o->w, mt_shape(1, 1, 3, 3)));
    mt_conv_options options = mt_conv_defaults();
    options.padding[0] = options.padding[1] = 1;
    return mt_op_conv2d(OWN(mt_tensor_view(o->y, mt_shape(1, 1, 2, 3))), x, w, options);
}

static mt_status do_layer_norm(operands *o)
{
    mt_backend *b = mt_tensor_backend(o->x);
    const mt_real *w = mt_tensor_operand(o->w).data;
    mt_real *places = mt_tensor_operand(o->order).data; /* 32 bytes, which take the two means and scales */
    return b->layer_norm(b, &(mt_layer_norm_work){.rows = 2,
                                                  .n = 3,
                                                  .eps = 0.5,
                                                  .x = mt_tensor_operand(o->x).data,
                                                  .gamma = w,
                                                  .beta = w + 3,
                                                  .out = mt_tensor_operand(o->y).data,
                                                  .mean = places,
                                                  .scale = places + 2});
}

static mt_status do_gather(operands *o)
{
    return mt_op_scatter_add(o->y, o->places, OWN(mt_tensor_slice(o->x, 1, 0, 1, 1)), 1);
}

static mt_status do_cumsum(operands *o) { return mt_op_cumsum(o->y, o->x, 1, false); }

static mt_status do_argsort(operands *o)
{
    mt_tensor *row = OWN(mt_tensor_select(o->x, 0, 0)), *first = OWN(mt_tensor_slice(o->order, 0, 0, 3, 1));
    return mt_op_argsort(first, row, 0, true);
}

/* What the slot leaves behind in y and order, on a backend; n in *count. */
static double *result_of(mt_backend *b, mt_status (*work)(operands *), mt_status want, const char *part)
{
    static const float values[] = {1, -2, 3, 0.5f, 4, -1}, weights[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const int64_t places[] = {2, 0}, numbers[] = {1, 0}, zeros[] = {0, 0, 0, 0};
    static const float start[] = {1, 1, 1, 1, 1, 1};
    operands o = {.x = OWN(mt_from_floats(b, values, mt_shape(2, 3))),
                  .y = OWN(mt_from_floats(b, start, mt_shape(2, 3))),
                  .w = OWN(mt_from_floats(b, weights, mt_shape(3, 3))),
                  .places = OWN(mt_from_indices(b, places, mt_shape(2, 1))),
                  .numbers = OWN(mt_from_indices(b, numbers, mt_shape(2))),
                  .order = OWN(mt_from_indices(b, zeros, mt_shape(4)))};
    if (want != MT_OK) {
        TEST_FAILS(work(&o), want, part);
        return NULL;
    }
    TEST_OK(work(&o));
    double *all = test_memory(10 * sizeof *all);
    memcpy(all, test_read(o.y), 6 * sizeof *all);
    memcpy(all + 6, test_read(o.order), 4 * sizeof *all);
    return all;
}

enum { MEMORY, WORK, NOTE };
static const struct {
    const char *name;
    int need;
    mt_status (*run)(operands *); /* of WORK: uses this slot and no other */
} slots[] = {
#define RUN_MEMORY(name)                              NULL
#define RUN_WORK(name)                                do_##name
#define RUN_NOTE(name)                                NULL
#define MT_SLOT(need, result, name, parameters, text) {#name, need, RUN_##need(name)},
#include "tensor/slots.inc"
};

/* A backend on the host has all that it lacks from simple, with the same results. */
static void test_bare(void **data)
{
    (void)data;
    const mt_backend bare = {
        .size = sizeof bare, .name = "bare", .summary = "nothing of its own", .host = true};
    TEST_OK(mt_backend_register(&bare));
    mt_backend *b = mt_backend_get("bare"), *simple = test_simple();
#define MT_SLOT(need, result, name, parameters, text) TEST_TRUE(b->name == simple->name);
#include "tensor/slots.inc"
    for (size_t i = 0; i < TEST_LENGTH(slots); i++) {
        if (slots[i].need != WORK) continue;
        TEST_ALL_SAME(result_of(b, slots[i].run, MT_OK, ""), result_of(simple, slots[i].run, MT_OK, ""), 10,
                      slots[i].name);
        test_cases++;
    }
}

static int own_maps;

static mt_status own_map(mt_backend *b, const mt_elementwise_work *work)
{
    own_maps++;
    return test_simple()->map(b, work);
}

/* A backend with one slot of its own: that one is called, by a layer too where the tape does not fuse. */
static void test_map_alone(void **data)
{
    (void)data;
    const mt_backend mine = {
        .size = sizeof mine, .name = "map alone", .summary = "a test's", .host = true, .map = own_map};
    TEST_OK(mt_backend_register(&mine));
    mt_backend *b = mt_backend_get("map alone");
    mt_tensor *w = OWN(mt_ones(b, mt_shape(2, 2))), *bias = OWN(mt_ones(b, mt_shape(2)));
    for (int fused = 0; fused < 2; fused++) {
        mt_tape *tape = test_tape(b);
        mt_tape_fuse(tape, fused);
        own_maps = 0;
        TEST_TRUE(mt_item(ON(tape, mt_sum(tape, mt_linear_act(tape, w, w, bias, MT_OP_relu)))) == 12);
        TEST_TRUE(own_maps == !fused);
    }
}

/* Memory that is not the host's, and nothing else. */
static mt_backend card(void)
{
    const mt_backend *simple = test_simple();
    return (mt_backend){.size = sizeof(mt_backend),
                        .name = "card",
                        .summary = "memory alone",
                        .allocate = simple->allocate,
                        .release = simple->release,
                        .upload = simple->upload,
                        .download = simple->download};
}

/* Elsewhere a sentence names the slot of work and the backend, notes are not called, and memory must be
 * there. */
static void test_card(void **data)
{
    (void)data;
    mt_backend lacking;
#define MT_SLOT(need, result, slot, parameters, text)                                              \
    lacking = card();                                                                              \
    lacking.slot = NULL;                                                                           \
    if (need == MEMORY) {                                                                          \
        const bool pair = strcmp(#slot, "allocate") == 0 || strcmp(#slot, "release") == 0;         \
        TEST_FAILS(mt_backend_register(&lacking), MT_ERR_VALUE,                                    \
                   pair ? "allocate and release" : "card lacks the slot " #slot);                  \
        lacking.host = true;                                                                       \
        if (pair) TEST_FAILS(mt_backend_register(&lacking), MT_ERR_VALUE, "allocate and release"); \
        test_cases++;                                                                              \
    }
#include "tensor/slots.inc"
    lacking = card();
    lacking.allocate = NULL, lacking.release = NULL;
    TEST_FAILS(mt_backend_register(&lacking), MT_ERR_VALUE, "card lacks the slot allocate");
    lacking.summary = NULL;
    TEST_FAILS(mt_backend_register(&lacking), MT_ERR_VALUE, "summary");
    lacking.name = NULL;
    TEST_FAILS(mt_backend_register(&lacking), MT_ERR_VALUE, "a name");
    TEST_TRUE(!mt_backend_get("card"));

    lacking = card();
    TEST_OK(mt_backend_register(&lacking));
    mt_backend *b = mt_backend_get("card");
    TEST_TRUE(!b->mark && !b->describe && !b->counts);
    for (size_t i = 0; i < TEST_LENGTH(slots); i++) {
        if (slots[i].need != WORK) continue;
        char part[60];
        snprintf(part, sizeof part, "backend card lacks the slot %s (", slots[i].name);
        result_of(b, slots[i].run, MT_ERR_BACKEND, part);
        test_cases++;
    }
    mt_tape *tape = test_tape(b);
    TEST_NULL(mt_exp(tape, OWN(mt_from_floats(b, (const float[]){1}, mt_shape(1)))), MT_ERR_BACKEND, "map");
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
        TEST(test_backend_names),  TEST(test_list_and_struct),  TEST(test_sizes),
        TEST(test_bare),           TEST(test_map_alone),        TEST(test_card),
        TEST(test_unfused_layers), TEST(test_unfused_refusals),
    };
    return TEST_RUN("slots", tests);
}
