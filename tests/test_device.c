/* tests/test_device.c - backends whose memory is not the host's: how often they are asked for memory and for
 * copies, and what they say to a request that no card can meet.
 *
 * Beside the backends under test there is `simple` as if its memory were a device's, so that the host's part
 * is tested wherever the library runs.
 */
#include "autodiff/elementwise.h"
#include "support.h"

#include "nn/layers.h"
#include "nn/optim.h"

#include <math.h>
#include <string.h>

enum { MEGABYTE = 1 << 20 };

/* ---- backends with a memory of their own ---- */

static mt_backend *devices[TEST_MAX_BACKENDS + 1];
static int device_count;

#define EACH_DEVICE(b)                                 \
    for (int b##_i = 0; b##_i < device_count; b##_i++) \
        for (mt_backend *b = devices[b##_i]; b; b = NULL)

static mt_backend imitation;
static mt_backend_counts imitation_counts;

static mt_status imitation_upload(mt_backend *b, void *to, const void *from, size_t bytes)
{
    imitation_counts.uploads++;
    return test_simple()->upload(b, to, from, bytes);
}

static mt_status imitation_download(mt_backend *b, void *to, const void *from, size_t bytes)
{
    imitation_counts.downloads++;
    return test_simple()->download(b, to, from, bytes);
}

static void imitation_count(mt_backend *b, mt_backend_counts *counts)
{
    (void)b;
    *counts = imitation_counts;
}

static void find_devices(void)
{
    mt_backend *all[TEST_MAX_BACKENDS];
    const int count = test_backends(all);
    imitation = *test_simple();
    imitation.name = "imitation";
    imitation.host = false;
    imitation.upload = imitation_upload, imitation.download = imitation_download;
    imitation.counts = imitation_count;
    devices[device_count++] = &imitation;
    for (int i = 0; i < count; i++)
        if (!all[i]->host) devices[device_count++] = all[i];
}

static mt_backend_counts counts_of(mt_backend *b)
{
    mt_backend_counts counts;
    b->counts(b, &counts);
    return counts;
}

/* ---- copies ---- */

static const int64_t lengths[] = {0, 1, 2, 3, 511, 4095, 4096, 4097, 8193, 100003, 300000};

static int64_t pieces(int64_t bytes) { return (bytes + MEGABYTE - 1) / MEGABYTE; }

/* An array of n elements of that many bytes between two marks, which are looked at afterwards. */
typedef struct {
    char *memory, *values;
    size_t bytes;
} guarded;

enum { MARK = 16 };
static const char mark[] = "before and after";

static guarded guarded_array(int64_t n, size_t size)
{
    guarded a = {.bytes = (size_t)n * size};
    a.memory = test_memory(a.bytes + 2 * MARK);
    a.values = a.memory + MARK;
    memcpy(a.memory, mark, MARK);
    memcpy(a.values + a.bytes, mark, MARK);
    return a;
}

static void check_marks(guarded a)
{
    TEST_TRUE(memcmp(a.memory, mark, MARK) == 0 && memcmp(a.values + a.bytes, mark, MARK) == 0);
}

/* The most downloads that n elements of size bytes may take into an array whose elements have `to` bytes:
 * one, or one for each halving down to a block of 4096. */
static uint64_t downloads_for(int64_t n, size_t size, size_t to)
{
    uint64_t most = n > 0;
    for (; size > to && n > 4096; n -= n / 2) most++;
    return most;
}

/* Whole arrays come to the host in few copies, whatever they are converted to, and nothing beside them is
 * written. */
static void test_reading(void **data)
{
    (void)data;
    EACH_DEVICE(b)
    for (size_t l = 0; l < TEST_LENGTH(lengths); l++)
        for (int kind = MT_REAL; kind <= MT_INDEX; kind++) {
            const int64_t n = lengths[l];
            const size_t size = mt_kind_bytes(kind);
            double *want = test_memory((size_t)n * sizeof *want);
            for (int64_t i = 0; i < n; i++)
                want[i] =
                    kind == MT_INDEX ? (double)(i * 7 - 1000) : test_round((double)(i % 8191) / 4 - 500);
            mt_tensor *x = OWN(mt_tensor_as(OWN(mt_from_doubles(b, want, mt_shape(n))), kind));
            guarded floats = guarded_array(n, sizeof(float)), doubles = guarded_array(n, sizeof(double)),
                    indices = guarded_array(n, sizeof(int64_t));
            const uint64_t before = counts_of(b).downloads;
            TEST_OK(mt_to_floats(x, (float *)floats.values, n));
            const uint64_t first = counts_of(b).downloads;
            TEST_OK(mt_to_doubles(x, (double *)doubles.values, n));
            const uint64_t second = counts_of(b).downloads;
            TEST_OK(mt_to_indices(x, (int64_t *)indices.values, n));
            const uint64_t third = counts_of(b).downloads;
            const uint64_t most[] = {downloads_for(n, size, sizeof(float)), n > 0, n > 0},
                           took[] = {first - before, second - first, third - second};
            for (int i = 0; i < 3; i++)
                TEST_CHECK(took[i] <= most[i],
                           "%s: %lld elements of %zu bytes in %d copies to the host, not %d", b->name,
                           (long long)n, size, (int)took[i], (int)most[i]);
            for (int64_t i = 0; i < n; i++) {
                TEST_TRUE(((float *)floats.values)[i] == (float)want[i]);
                TEST_TRUE(((double *)doubles.values)[i] == want[i]);
                TEST_TRUE(((int64_t *)indices.values)[i] == (int64_t)want[i]);
            }
            check_marks(floats), check_marks(doubles), check_marks(indices);
            test_cases++;
            test_release();
        }
}

/* A view is put in order on the device first, and then is one copy too. */
static void test_reading_views(void **data)
{
    (void)data;
    enum { ROWS = 90, COLUMNS = 70 };
    EACH_DEVICE(b)
    {
        double want[ROWS * COLUMNS], got[ROWS * COLUMNS];
        for (int i = 0; i < ROWS * COLUMNS; i++) want[i] = i;
        mt_tensor *x = OWN(mt_from_doubles(b, want, mt_shape(ROWS, COLUMNS))),
                  *turned = OWN(mt_tensor_transpose(x, 0, 1));
        const uint64_t before = counts_of(b).downloads;
        TEST_OK(mt_to_doubles(turned, got, ROWS * COLUMNS));
        TEST_TRUE(counts_of(b).downloads == before + 1);
        for (int i = 0; i < ROWS * COLUMNS; i++) TEST_TRUE(got[i] == want[i % ROWS * COLUMNS + i / ROWS]);
        test_cases++;
    }
}

/* Arrays go to a device whole where nothing is converted, else a megabyte at a time. */
static void test_writing(void **data)
{
    (void)data;
    EACH_DEVICE(b)
    for (size_t l = 0; l < TEST_LENGTH(lengths); l++) {
        const int64_t n = lengths[l];
        const size_t size = sizeof(mt_real);
        double *doubles = test_memory((size_t)n * sizeof *doubles);
        float *floats = test_memory((size_t)n * sizeof *floats);
        int64_t *indices = test_memory((size_t)n * sizeof *indices);
        for (int64_t i = 0; i < n; i++)
            doubles[i] = (double)(i % 1000), floats[i] = (float)doubles[i], indices[i] = (int64_t)doubles[i];
        mt_tensor *x[5];
        uint64_t sent[6] = {counts_of(b).uploads};
        x[0] = OWN(mt_from_floats(b, floats, mt_shape(n)));
        sent[1] = counts_of(b).uploads;
        x[1] = OWN(mt_from_doubles(b, doubles, mt_shape(n)));
        sent[2] = counts_of(b).uploads;
        x[2] = OWN(mt_from_indices(b, indices, mt_shape(n)));
        sent[3] = counts_of(b).uploads;
        x[3] = OWN(mt_arange(b, 0, n, 1));
        sent[4] = counts_of(b).uploads;
        x[4] = OWN(mt_empty(b, mt_shape(n), MT_REAL));
        TEST_OK(mt_set_doubles(x[4], doubles, n));
        sent[5] = counts_of(b).uploads;
        const int64_t converted = pieces(n * (int64_t)size),
                      most[] = {size == sizeof(float) ? n > 0 : converted,
                                size == sizeof(double) ? n > 0 : converted, n > 0,
                                pieces(n * (int64_t)sizeof(int64_t)),
                                size == sizeof(double) ? n > 0 : converted};
        for (int i = 0; i < 5; i++) {
            TEST_CHECK((int64_t)(sent[i + 1] - sent[i]) == most[i],
                       "%s: constructor %d sends %lld elements in %d copies, not %d", b->name, i,
                       (long long)n, (int)(sent[i + 1] - sent[i]), (int)most[i]);
            const double *got = test_read(x[i]);
            for (int64_t k = 0; k < n; k++) TEST_TRUE(got[k] == (i == 3 ? (double)k : doubles[k]));
        }
        test_cases++;
        test_release();
    }
}

/* From one device to another by way of the host, a megabyte at a time. */
static void test_between_devices(void **data)
{
    (void)data;
    EACH_DEVICE(a)
    EACH_DEVICE(b)
    {
        if (a == b) continue;
        const int64_t n = lengths[TEST_LENGTH(lengths) - 1];
        mt_tensor *x = OWN(mt_tensor_as(OWN(mt_arange(a, 0, n, 1)), MT_REAL));
        const uint64_t down = counts_of(a).downloads, up = counts_of(b).uploads;
        mt_tensor *y = OWN(mt_tensor_to(x, b));
        const uint64_t want = (uint64_t)pieces(n * (int64_t)sizeof(mt_real));
        TEST_TRUE(counts_of(a).downloads == down + want && counts_of(b).uploads == up + want);
        const double *got = test_read(y);
        for (int64_t i = 0; i < n; i++) TEST_TRUE(got[i] == test_round((double)i));
        test_cases++;
        test_release();
    }
}

/* ---- memory ---- */

/* Sizes that no card has, at each power of two and beside it: an error with a sentence, and nothing that is
 * in use is handed out again. */
static void test_too_large(void **data)
{
    (void)data;
    EACH_DEVICE(b)
    {
        if (b == &imitation)
            continue; /* its memory is the host's, which some systems promise without having */
        const size_t held = mt_get_alloc_stats().bytes;
        mt_tensor *small = OWN(mt_full(b, mt_shape(100), 3)), *large = OWN(mt_full(b, mt_shape(100000), 4));
        for (int power = 40; power < 60; power++)
            for (int more = -1; more <= 1; more++) {
                const int64_t count = ((int64_t)1 << power) + more;
                TEST_NULL(mt_empty(b, mt_shape(count), MT_INDEX), MT_ERR_MEMORY, "bytes asked for");
                test_cases++;
            }
        TEST_NULL(mt_empty(b, mt_shape(1 << 20, 1 << 20), MT_REAL), MT_ERR_MEMORY, "bytes asked for");
        const double *got = test_read(OWN(mt_tensor_copy(small)));
        for (int i = 0; i < 100; i++) TEST_TRUE(got[i] == 3);
        got = test_read(large);
        for (int i = 0; i < 100000; i++) TEST_TRUE(got[i] == 4);
        test_release();
        TEST_NULL(mt_empty(b, mt_shape(1 << 20, 1 << 20), MT_REAL), MT_ERR_MEMORY, "bytes asked for");
        TEST_TRUE(mt_get_alloc_stats().bytes == held);
    }
}

/* A program that makes and frees one tensor, or some, again and again asks the device in the first round
 * only, and what stays with it afterwards is bounded. */
static void test_again_and_again(void **data)
{
    (void)data;
    static const int64_t counts[][3] = {
        {1}, {1000}, {100000}, {3000000}, {1, 5000, 200000}, {70000, 70000, 70000}};
    EACH_DEVICE(b)
    {
        if (b == &imitation) continue;
        for (size_t set = 0; set < TEST_LENGTH(counts); set++) {
            uint64_t after_first = 0;
            for (int round = 0; round < 50; round++) {
                mt_tensor *x[3] = {NULL};
                for (int i = 0; i < 3; i++) {
                    if (counts[set][i] == 0) continue;
                    x[i] = mt_empty(b, mt_shape(counts[set][i]), MT_REAL);
                    TEST_CHECK(x[i], "%s", mt_last_message());
                    TEST_OK(mt_op_fill(OWN(mt_tensor_slice(x[i], 0, 0, 1, 1)), round));
                }
                test_release();
                for (int i = 0; i < 3; i++) mt_tensor_free(x[i]);
                if (round == 0) after_first = counts_of(b).allocations;
            }
            TEST_CHECK(counts_of(b).allocations == after_first,
                       "%s: %d more requests for device memory in 49 rounds of set %zu", b->name,
                       (int)(counts_of(b).allocations - after_first), set);
            test_cases++;
        }
        const uint64_t most = 256 * (uint64_t)MEGABYTE + 2 * MEGABYTE;
        TEST_TRUE(counts_of(b).device_bytes <= most);
        /* More and larger pieces than may stay. */
        enum { PIECES = 12 };
        mt_tensor *x[PIECES];
        for (int i = 0; i < PIECES; i++) {
            x[i] = mt_empty(b, mt_shape((i + 1) * (int64_t)MEGABYTE), MT_INDEX);
            TEST_CHECK(x[i], "%s", mt_last_message());
        }
        for (int i = 0; i < PIECES; i++) mt_tensor_free(x[i]);
        TEST_TRUE(counts_of(b).device_bytes <= most);
        x[0] = mt_empty(b, mt_shape(40 * (int64_t)MEGABYTE), MT_INDEX); /* 320 MB: more than may stay */
        TEST_CHECK(x[0], "%s", mt_last_message());
        mt_tensor_free(x[0]);
        TEST_TRUE(counts_of(b).device_bytes <= most);
        test_cases++;
    }
}

/* Optimisers that take turns have their tables on the device: a steady step sends nothing and asks for
 * nothing. */
static void test_many_optimizers(void **data)
{
    (void)data;
    enum { OPTIMIZERS = 12, STEADY = 2, ROUNDS = 5 };
    EACH_DEVICE(b)
    {
        if (b == &imitation) continue;
        mt_rng rng = mt_rng_make(1);
        mt_module *layer[OPTIMIZERS];
        mt_optimizer *optimizer[OPTIMIZERS];
        for (int i = 0; i < OPTIMIZERS; i++) {
            layer[i] = mt_linear_layer(b, 3, 2, MT_INIT_MINITORCH, &rng);
            optimizer[i] = mt_adam_new(layer[i], mt_adam_defaults());
            TEST_CHECK(optimizer[i], "%s", mt_last_message());
        }
        mt_tensor *x = OWN(mt_ones(b, mt_shape(4, 3)));
        mt_tape *t = test_tape(b);
        mt_backend_counts before = {0}, after;
        size_t host = 0;
        for (int round = 0; round < ROUNDS; round++) {
            if (round == STEADY) before = counts_of(b), host = mt_get_alloc_stats().allocations;
            for (int i = 0; i < OPTIMIZERS; i++) {
                TEST_OK(mt_backward(t, mt_sum(t, mt_module_forward(layer[i], t, x))));
                TEST_OK(mt_optimizer_step(optimizer[i]));
                mt_tape_reset(t);
            }
        }
        after = counts_of(b);
        TEST_CHECK(after.uploads == before.uploads && after.allocations == before.allocations &&
                       mt_get_alloc_stats().allocations == host,
                   "%s: %d optimisers by turns send %d copies in %d steady rounds", b->name, OPTIMIZERS,
                   (int)(after.uploads - before.uploads), ROUNDS - STEADY);
        for (int i = 0; i < OPTIMIZERS; i++) mt_optimizer_free(optimizer[i]), mt_module_free(layer[i]);
        test_cases++;
    }
}

/* More entries of an index than a grid has threads: they need no memory where one stands for all. */
static void test_endless_index(void **data)
{
    (void)data;
    EACH_DEVICE(b)
    {
        if (b == &imitation) continue;
        mt_tensor *out = OWN(mt_zeros(b, mt_shape(3))), *one = OWN(mt_ones(b, mt_shape(1))),
                  *first = OWN(mt_arange(b, 0, 1, 1));
        for (int power = 39; power < 60; power++) {
            const mt_shape many = mt_shape(((int64_t)1 << power) + 256);
            TEST_FAILS(
                mt_op_put_rows(out, OWN(mt_tensor_expand(one, many)), OWN(mt_tensor_expand(first, many))),
                MT_ERR_SHAPE, "more than a grid has threads");
            test_cases++;
        }
        TEST_TRUE(test_read(out)[0] == 0);
    }
}

/* Memory that stays is given back before a request is refused. */
static void test_spare_memory_is_given_back(void **data)
{
    (void)data;
    EACH_DEVICE(b)
    {
        if (b == &imitation) continue;
        mt_tensor *x = mt_empty(b, mt_shape(20 * (int64_t)MEGABYTE), MT_INDEX);
        TEST_CHECK(x, "%s", mt_last_message());
        mt_tensor_free(x);
        const uint64_t held = counts_of(b).device_bytes;
        TEST_TRUE(held >= 20 * (uint64_t)MEGABYTE * sizeof(int64_t));
        TEST_NULL(mt_empty(b, mt_shape((int64_t)1 << 45), MT_INDEX), MT_ERR_MEMORY, "bytes asked for");
        TEST_TRUE(counts_of(b).device_bytes == 0);
        test_cases++;
    }
}

/* ---- backward ---- */

static mt_tensor *weights, *bias, *rows, *labels;

static mt_tensor *through_linear(mt_tape *t, mt_tensor *x)
{
    return mt_linear_act(t, x, weights, bias, MT_OP_tanh);
}
static mt_tensor *through_matmul(mt_tape *t, mt_tensor *x) { return mt_matmul(t, weights, x); }
static mt_tensor *through_rows(mt_tape *t, mt_tensor *x) { return mt_take_rows(t, x, rows); }
static mt_tensor *through_slice(mt_tape *t, mt_tensor *x) { return mt_slice(t, x, 1, 0, 2, 1); }
static mt_tensor *through_turn(mt_tape *t, mt_tensor *x)
{
    return mt_reshape(t, mt_transpose(t, x, 0, 1), mt_shape(-1));
}
static mt_tensor *through_prod(mt_tape *t, mt_tensor *x) { return mt_prod_dim(t, x, 0, false); }
static mt_tensor *through_max(mt_tape *t, mt_tensor *x) { return mt_max_dim(t, x, 1, false); }
static mt_tensor *through_var(mt_tape *t, mt_tensor *x) { return mt_var(t, x, 1); }
static mt_tensor *through_mse(mt_tape *t, mt_tensor *x) { return mt_mse(t, x, labels); }
static mt_tensor *through_bce(mt_tape *t, mt_tensor *x) { return mt_bce(t, mt_sigmoid(t, x), labels); }
static mt_tensor *through_logits(mt_tape *t, mt_tensor *x) { return mt_bce_with_logits(t, x, labels); }

/* Backward waits for nothing: no operation's gradient fetches a number from the device, but for max's and
 * take_rows', which ask whether an index was outside. prod's is the same to
 * the bit as on the host, with zeros among the factors and without. */
static void test_backward_downloads_nothing(void **data)
{
    (void)data;
    static mt_tensor *(*const through[])(mt_tape *, mt_tensor *) = {
        mt_exp,       mt_sum,      mt_mean,        mt_prod,        through_prod, mt_max,
        through_max,  through_var, through_matmul, through_linear, through_rows, through_slice,
        through_turn, through_mse, through_bce,    through_logits};
    static const char *const texts[] = {"[[0.5, -2, 3], [1, 0.25, -1], [2, 4, 0.5]]",
                                        "[[0, -2, 3], [1, -0, -1], [2, 4, 0.5]]"};
    EACH_DEVICE(b)
    {
        weights = OWN(mt_full(b, mt_shape(3, 3), 0.5)), bias = OWN(mt_ones(b, mt_shape(3)));
        rows = OWN(mt_arange(b, 0, 2, 1)), labels = OWN(mt_full(b, mt_shape(3, 3), 0.25));
        for (size_t k = 0; k < 2 * TEST_LENGTH(through); k++) {
            mt_tape *tape = test_tape(b);
            mt_tensor *x = OWN(mt_parse(b, texts[k % 2]));
            TEST_OK(mt_require_grad(x, true));
            mt_tensor *loss = ON(tape, mt_sum(tape, through[k / 2](tape, x)));
            const uint64_t before = counts_of(b).downloads;
            TEST_OK(mt_backward(tape, loss));
            const bool chooses =
                through[k / 2] == mt_max || through[k / 2] == through_max || through[k / 2] == through_rows;
            TEST_CHECK(counts_of(b).downloads <= before + chooses,
                       "backward through operation %zu fetched %d times", k / 2,
                       (int)(counts_of(b).downloads - before));
            if (through[k / 2] == mt_prod || through[k / 2] == through_prod) {
                mt_tape *host = test_tape(test_cpu());
                mt_tensor *same = OWN(mt_parse(test_cpu(), texts[k % 2]));
                TEST_OK(mt_require_grad(same, true));
                TEST_OK(mt_backward(host, mt_sum(host, through[k / 2](host, same))));
                TEST_ALL_SAME(test_read(mt_grad(x)), test_read(mt_grad(same)), 9, "prod's gradient");
            }
            test_cases++;
        }
        test_release();
    }
}

int main(void)
{
    find_devices();
    static const struct CMUnitTest tests[] = {
        TEST(test_reading),
        TEST(test_reading_views),
        TEST(test_writing),
        TEST(test_between_devices),
        TEST(test_too_large),
        TEST(test_again_and_again),
        TEST(test_spare_memory_is_given_back),
        TEST(test_many_optimizers),
        TEST(test_endless_index),
        TEST(test_backward_downloads_nothing),
    };
    return TEST_RUN("device", tests);
}
