/* tests/support.c - see support.h. */
#include "support.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops_cpu/threads.h"

long test_cases, test_rows;

#ifdef MT_DOUBLE
const double test_epsilon = DBL_EPSILON;
static const char precision[] = "double";
#else
const double test_epsilon = FLT_EPSILON;
static const char precision[] = "float";
#endif

/* Sanitizers stop a program that asks for more memory than there is; here that is an error to be tested. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SANITIZED)
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }
#endif

/* ---- chance: splitmix64 ---- */

static uint64_t base_seed, state;

uint64_t test_seed(void) { return base_seed; }

uint64_t test_bits(void)
{
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

int64_t test_below(int64_t bound) { return bound <= 1 ? 0 : (int64_t)(test_bits() % (uint64_t)bound); }

int64_t test_from(int64_t low, int64_t high) { return low + test_below(high - low + 1); }

double test_between(double low, double high)
{
    return low + (high - low) * ((double)(test_bits() >> 11) * 0x1p-53);
}

bool test_chance(double probability) { return test_between(0, 1) < probability; }

void test_shuffle(int64_t *values, int64_t count)
{
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = test_below(i + 1), value = values[i];
        values[i] = values[j];
        values[j] = value;
    }
}

/* ---- what a test owns ---- */

typedef struct owned {
    enum { OWNED_TENSOR, OWNED_TAPE, OWNED_MEMORY } kind;
    void *pointer;
} owned;

static owned *owned_list;
static size_t owned_count, owned_room;

static void own(int kind, void *pointer)
{
    if (owned_count == owned_room) {
        size_t room = owned_room ? 2 * owned_room : 256;
        owned *list = realloc(owned_list, room * sizeof *list);
        if (!list) abort();
        owned_list = list;
        owned_room = room;
    }
    owned_list[owned_count].kind = kind;
    owned_list[owned_count++].pointer = pointer;
}

void test_release(void)
{
    while (owned_count > 0) {
        owned item = owned_list[--owned_count];
        if (item.kind == OWNED_TENSOR) mt_tensor_free(item.pointer);
        if (item.kind == OWNED_TAPE) mt_tape_free(item.pointer);
        if (item.kind == OWNED_MEMORY) free(item.pointer);
    }
}

mt_tensor *test_own(const char *file, int line, const char *call, mt_tensor *tensor)
{
    if (!tensor) test_fail(file, line, "%s is NULL: %s", call, mt_last_message());
    own(OWNED_TENSOR, tensor);
    return tensor;
}

mt_tensor *test_on(const char *file, int line, const char *call, const mt_tape *tape, mt_tensor *tensor)
{
    if (!tensor) test_fail(file, line, "%s is NULL: %s", call, mt_tape_message(tape));
    return tensor;
}

mt_tape *test_tape(mt_backend *backend)
{
    mt_tape *tape = mt_tape_new(backend);
    TEST_CHECK(tape, "no tape: %s", mt_last_message());
    own(OWNED_TAPE, tape);
    return tape;
}

void *test_memory(size_t bytes)
{
    void *memory = calloc(bytes + 1, 1);
    if (!memory) abort();
    own(OWNED_MEMORY, memory);
    return memory;
}

/* ---- running ---- */

int test_begin(void **data)
{
    (void)data;
    state = base_seed;
    return 0;
}

int test_end(void **data)
{
    (void)data;
    test_release();
    return 0;
}

int test_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
    const char *text = getenv("MT_TEST_SEED");
    base_seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003u % 1000000000u;
    printf("%s (%s): seed %llu\n", name, precision, (unsigned long long)base_seed);
    fflush(stdout);
    mt_threads_keep_account(false); /* what is held and allocated follows the team */
    int failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    if (failed)
        printf("%s (%s): repeat with MT_TEST_SEED=%llu\n", name, precision, (unsigned long long)base_seed);
    mt_backend *backends[TEST_MAX_BACKENDS];
    printf("summary: %s %s tests=%zu failed=%d rows=%ld backends=%d cases=%ld\n", name, precision, count,
           failed, test_rows, test_backends(backends), test_cases);
    free(owned_list);
    owned_list = NULL;
    owned_count = owned_room = 0;
    return failed ? 1 : 0;
}

/* ---- failures ---- */

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    char text[2000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_error("%s\n", text);
    _fail(file, line);
    abort(); /* _fail jumps out of the test */
}

void test_ok(const char *file, int line, const char *call, mt_status got)
{
    if (got != MT_OK) test_fail(file, line, "%s: %s: %s", call, mt_status_name(got), mt_last_message());
}

static const char stale[] = "a sentence of an earlier failure";

void test_stale(void) { mt_fail(MT_ERR_IO, "%s", stale); }

void test_fails(const char *file, int line, const char *call, mt_status got, mt_status want, const char *part)
{
    const char *message = mt_last_message();
    if (got == MT_OK) test_fail(file, line, "%s succeeded, but must fail", call);
    if (got != want)
        test_fail(file, line, "%s failed with %s instead of %s: %s", call, mt_status_name(got),
                  mt_status_name(want), message);
    if (strcmp(message, stale) == 0) test_fail(file, line, "%s failed without a sentence", call);
    if (mt_last_status() != want)
        test_fail(file, line, "%s returned %s, but mt_last_status is %s", call, mt_status_name(want),
                  mt_status_name(mt_last_status()));
    if (strlen(message) < 10 || strchr(message, '\n'))
        test_fail(file, line, "%s: that is no sentence: \"%s\"", call, message);
    if (!strstr(message, part)) test_fail(file, line, "%s: \"%s\" is not in \"%s\"", call, part, message);
}

void test_null(const char *file, int line, const char *call, const void *got, mt_status want,
               const char *part)
{
    if (got) test_fail(file, line, "%s succeeded, but must fail", call);
    test_fails(file, line, call, mt_last_status(), want, part);
}

/* ---- backends ---- */

int test_backends(mt_backend **list)
{
    const char *names = getenv("MT_TEST_BACKENDS");
    char text[4096];
    snprintf(text, sizeof text, "%s", names && *names ? names : "simple,cpu");
    int count = 0;
    for (char *name = strtok(text, ","); name && count < TEST_MAX_BACKENDS; name = strtok(NULL, ",")) {
        mt_backend *backend = mt_backend_open(name);
        if (!backend) {
            printf("backend %s is not there: %s\n", name, mt_last_message());
            /* An instruction set that this processor lacks, or a GPU, is a test skipped. */
            exit(getenv("MT_ISA") || strcmp(name, "gpu") == 0 ? 77 : 1);
        }
        list[count++] = backend;
    }
    return count;
}

mt_backend *const *test_backend_list(void)
{
    static mt_backend *list[TEST_MAX_BACKENDS + 1];
    if (!list[0]) test_backends(list);
    return list;
}

bool test_small(void) { return getenv("MT_TEST_SMALL") != NULL; }

mt_backend *test_simple(void)
{
    mt_backend *backend = mt_backend_get("simple");
    TEST_CHECK(backend, "no backend simple: %s", mt_last_message());
    return backend;
}

mt_backend *test_cpu(void)
{
    mt_backend *backend = mt_backend_get("cpu");
    TEST_CHECK(backend, "no backend cpu: %s", mt_last_message());
    return backend;
}

/* ---- shapes ---- */

mt_shape test_shape(int max_rank, int64_t max_count, bool empty)
{
    static const int64_t sizes[] = {1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 64, 65, 129, 257, 1000, 4099};
    mt_shape shape = {.rank = (int)test_from(1, max_rank)};
    int64_t room = max_count;
    for (int d = 0; d < shape.rank; d++) {
        int64_t size = sizes[test_below((int64_t)TEST_LENGTH(sizes))];
        if (size > room) size = test_from(1, room < 9 ? room : 9);
        room /= size;
        shape.size[d] = size;
    }
    for (int d = shape.rank - 1; d > 0; d--) { /* the room must not always go to the first */
        int e = (int)test_below(d + 1);
        int64_t size = shape.size[d];
        shape.size[d] = shape.size[e];
        shape.size[e] = size;
    }
    if (empty && test_chance(0.1)) shape.size[test_below(shape.rank)] = 0;
    return shape;
}

int64_t test_count(mt_shape shape)
{
    int64_t count = 1;
    for (int d = 0; d < shape.rank; d++) count *= shape.size[d];
    return count;
}

void test_unravel(mt_shape shape, int64_t i, int64_t *index)
{
    for (int d = shape.rank - 1; d >= 0; d--) {
        index[d] = i % shape.size[d];
        i /= shape.size[d];
    }
}

int64_t test_ravel(mt_shape shape, const int64_t *index)
{
    int64_t i = 0;
    for (int d = 0; d < shape.rank; d++) i = i * shape.size[d] + index[d];
    return i;
}

int64_t test_broadcast_from(mt_shape from, mt_shape to, int64_t i)
{
    int64_t index[MT_MAX_DIMS], source[MT_MAX_DIMS];
    test_unravel(to, i, index);
    for (int d = 0; d < from.rank; d++) source[d] = from.size[d] == 1 ? 0 : index[d + to.rank - from.rank];
    return test_ravel(from, source);
}

mt_shape test_narrower(mt_shape shape)
{
    int drop = test_chance(0.3) ? (int)test_below(shape.rank) : 0;
    mt_shape narrow = {.rank = shape.rank - drop};
    for (int d = 0; d < narrow.rank; d++) narrow.size[d] = test_chance(0.3) ? 1 : shape.size[d + drop];
    return narrow;
}

mt_shape test_without(mt_shape shape, mt_shape dims, bool keepdim)
{
    bool gone[MT_MAX_DIMS] = {false};
    for (int i = 0; i < dims.rank; i++)
        gone[dims.size[i] < 0 ? dims.size[i] + shape.rank : dims.size[i]] = true;
    mt_shape rest = {0};
    for (int d = 0; d < shape.rank; d++) {
        if (!gone[d])
            rest.size[rest.rank++] = shape.size[d];
        else if (keepdim)
            rest.size[rest.rank++] = 1;
    }
    if (rest.rank == 0) rest = mt_shape(1);
    return rest;
}

const char *test_text(mt_shape shape)
{
    static char buffers[8][MT_SHAPE_TEXT];
    static int next;
    next = (next + 1) % 8;
    return mt_shape_text(shape, buffers[next]);
}

/* ---- layouts ---- */

test_cut test_cut_make(mt_shape shape, bool stretch)
{
    test_cut cut = {.shape = shape, .base.rank = shape.rank, .order.rank = shape.rank};
    bool plain = test_chance(0.2), large = test_count(shape) > 4096;
    for (int d = 0; d < shape.rank; d++) cut.order.size[d] = d;
    if (!plain && test_chance(0.8)) test_shuffle(cut.order.size, shape.rank);
    int64_t stepped = test_below(shape.rank);
    for (int d = 0; d < shape.rank; d++) {
        int b = (int)cut.order.size[d];
        cut.stretched[d] = !plain && stretch && test_chance(0.25);
        int64_t size = cut.stretched[d] && shape.size[d] > 0 ? 1 : shape.size[d];
        bool cuts = !plain && (!large || d == stepped) && test_chance(0.5);
        int64_t lead = cuts ? test_below(3) : 0, trail = cuts ? test_below(3) : 0;
        cut.step[b] = cuts && test_chance(0.5) ? test_from(2, large ? 2 : 3) : 1;
        cut.start[b] = lead;
        cut.stop[b] = size > 0 ? lead + (size - 1) * cut.step[b] + 1 : lead;
        cut.base.size[b] = cut.stop[b] + trail;
    }
    return cut;
}

mt_tensor *test_cut_tensor(const test_cut *cut, mt_tensor *base)
{
    mt_tensor *x = base;
    for (int b = 0; b < cut->base.rank; b++)
        x = OWN(mt_tensor_slice(x, b, cut->start[b], cut->stop[b], cut->step[b]));
    x = OWN(mt_tensor_permute(x, cut->order));
    return OWN(mt_tensor_expand(x, cut->shape));
}

mt_tensor *test_cut_tape(const test_cut *cut, mt_tape *tape, mt_tensor *base)
{
    mt_tensor *x = base;
    for (int b = 0; b < cut->base.rank; b++) {
        if (cut->step[b] != 1 || cut->start[b] != 0 || cut->stop[b] != cut->base.size[b])
            x = mt_slice(tape, x, b, cut->start[b], cut->stop[b], cut->step[b]);
    }
    return mt_expand(tape, mt_permute(tape, x, cut->order), cut->shape);
}

int64_t test_cut_position(const test_cut *cut, int64_t i)
{
    int64_t index[MT_MAX_DIMS], base[MT_MAX_DIMS];
    test_unravel(cut->shape, i, index);
    for (int d = 0; d < cut->shape.rank; d++) {
        int b = (int)cut->order.size[d];
        base[b] = cut->start[b] + (cut->stretched[d] ? 0 : index[d] * cut->step[b]);
    }
    return test_ravel(cut->base, base);
}

/* ---- tensors ---- */

static const double around_output = 123456;

static test_array *build(mt_backend *backend, const test_cut *cut, mt_kind kind, const double *base_values)
{
    test_array *a = test_memory(sizeof *a);
    a->shape = cut->shape;
    a->cut = *cut;
    a->count = test_count(cut->shape);
    a->base_count = test_count(cut->base);
    a->base_values = test_memory((size_t)a->base_count * sizeof(double));
    a->values = test_memory((size_t)a->count * sizeof(double));
    memcpy(a->base_values, base_values, (size_t)a->base_count * sizeof(double));
    for (int64_t i = 0; i < a->count; i++) a->values[i] = base_values[test_cut_position(cut, i)];
    if (kind == MT_INDEX) {
        int64_t *integers = test_memory((size_t)a->base_count * sizeof *integers);
        for (int64_t i = 0; i < a->base_count; i++) integers[i] = (int64_t)base_values[i];
        a->base = OWN(mt_from_indices(backend, integers, cut->base));
    } else {
        a->base = OWN(mt_from_doubles(backend, base_values, cut->base));
    }
    a->x = test_cut_tensor(cut, a->base);
    return a;
}

test_array *test_array_from(mt_backend *backend, mt_shape shape, unsigned flags, const double *values)
{
    bool index = flags & TEST_INDICES, output = flags & TEST_OUTPUT;
    test_cut cut = test_cut_make(shape, !(flags & (TEST_OUTPUT | TEST_PLAIN | TEST_INDICES | TEST_FIXED)));
    if (flags & TEST_PLAIN) {
        for (int d = 0; d < shape.rank; d++) {
            cut.order.size[d] = d;
            cut.start[d] = 0;
            cut.stop[d] = shape.size[d];
            cut.step[d] = 1;
        }
        cut.base = shape;
    }
    int64_t base_count = test_count(cut.base), count = test_count(shape);
    double *base = test_memory((size_t)base_count * sizeof *base);
    for (int64_t i = 0; i < base_count; i++) base[i] = output || index ? around_output : NAN;
    for (int64_t i = count - 1; i >= 0; i--) { /* downwards: the first index of a stretched dimension stays */
        double value = values ? values[i] : output ? around_output + 1 : 0;
        base[test_cut_position(&cut, i)] = index ? value : test_round(value);
    }
    return build(backend, &cut, index ? MT_INDEX : MT_REAL, base);
}

test_array *test_array_random(mt_backend *backend, mt_shape shape, unsigned flags, double low, double high)
{
    int64_t count = test_count(shape);
    double *values = test_memory((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = test_between(low, high);
        if (flags & TEST_INDICES) values[i] = floor(values[i]);
    }
    return test_array_from(backend, shape, flags, values);
}

test_array *test_array_twin(const test_array *a, mt_backend *backend)
{
    return build(backend, &a->cut, mt_tensor_kind(a->x), a->base_values);
}

double *test_read(const mt_tensor *x)
{
    int64_t count = mt_tensor_count(x);
    TEST_CHECK(count >= 0, "reading a tensor that is not there: %s", mt_last_message());
    double *values = test_memory((size_t)count * sizeof *values);
    TEST_OK(mt_to_doubles(x, values, count));
    return values;
}

static void compare_base(const test_array *a, bool whole, const char *what)
{
    double *now = test_read(a->base);
    bool *inside = test_memory((size_t)a->base_count);
    for (int64_t i = 0; !whole && i < a->count; i++) inside[test_cut_position(&a->cut, i)] = true;
    for (int64_t i = 0; i < a->base_count; i++) {
        if (!inside[i])
            TEST_CHECK(test_same(now[i], a->base_values[i]),
                       "%s: position %lld of a storage %s was overwritten: %g became %g", what, (long long)i,
                       test_text(a->cut.base), a->base_values[i], now[i]);
    }
}

void test_guards(const test_array *a, const char *what) { compare_base(a, false, what); }

void test_unchanged(const test_array *a, const char *what) { compare_base(a, true, what); }

/* ---- closeness ---- */

double test_round(double value) { return (double)(mt_real)value; }

bool test_close(double a, double b, double atol, double rtol)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (a == b) return true;
    if (isinf(a) || isinf(b)) return false;
    return fabs(a - b) <= atol + rtol * fmax(fabs(a), fabs(b));
}

bool test_same(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b && signbit(a) == signbit(b);
}

void test_all_close(const char *file, int line, const double *got, const double *want, int64_t count,
                    double atol, double rtol, const char *what)
{
    for (int64_t i = 0; i < count; i++) {
        if (!test_close(got[i], want[i], atol, rtol))
            test_fail(file, line, "%s: element %lld of %lld is %.17g instead of %.17g (atol %g, rtol %g)",
                      what, (long long)i, (long long)count, got[i], want[i], atol, rtol);
    }
}

void test_all_same(const char *file, int line, const double *got, const double *want, int64_t count,
                   const char *what)
{
    for (int64_t i = 0; i < count; i++) {
        if (!test_same(got[i], want[i]))
            test_fail(file, line, "%s: element %lld of %lld is %.17g instead of %.17g", what, (long long)i,
                      (long long)count, got[i], want[i]);
    }
}

double test_sum_tolerance(int64_t n, double magnitude, bool equal)
{
    return (4 + (equal ? (double)n : sqrt((double)n))) * test_epsilon * magnitude;
}

bool test_repeats(const test_array *a)
{
    for (int d = 0; d < a->shape.rank; d++)
        if (a->cut.stretched[d] && a->shape.size[d] > 1) return true;
    return false;
}
