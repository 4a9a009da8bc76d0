/* slots.c - gpu_slots' list, and the checks of memory, words and counts (see slots.h). */
#include "slots.h"

#include <stdlib.h>
#include <string.h>

bool slots_large, slots_far;

const char *slots_text(const char *format, ...)
{
    static char texts[4][200];
    static int next;
    va_list arguments;
    next = (next + 1) % 4;
    va_start(arguments, format);
    vsnprintf(texts[next], sizeof texts[next], format, arguments);
    va_end(arguments);
    return texts[next];
}

mt_operand slots_operand(pair p, int i) { return mt_tensor_operand(p.on[i]->x); }

unsigned slots_flags(int round) { return round == 0 ? TEST_PLAIN : 0; }

/* ---- memory ---- */

enum { PIECES = 40, ROUNDS = 200, RINGS = 3 << 20 };

typedef struct piece {
    void *data;
    size_t bytes;
    unsigned char *values;
} piece;

static piece new_piece(mt_backend *b, size_t bytes)
{
    piece p = {b->allocate(b, bytes), bytes, test_memory(bytes)};
    TEST_CHECK(p.data != NULL, "allocate: no %zu bytes: %s", bytes, mt_last_message());
    TEST_CHECK((uintptr_t)p.data % 64 == 0, "allocate: %zu bytes at %p instead of a multiple of 64", bytes,
               p.data);
    for (size_t i = 0; i < bytes; i++) p.values[i] = (unsigned char)test_bits();
    TEST_OK(b->upload(b, p.data, p.values, bytes));
    return p;
}

static void same_bytes(mt_backend *b, const piece *p, const char *what)
{
    unsigned char *now = test_memory(p->bytes);
    TEST_OK(b->download(b, now, p->data, p->bytes));
    for (size_t i = 0; i < p->bytes; i++)
        TEST_CHECK(now[i] == p->values[i], "%s: byte %zu of %zu is %d instead of %d", what, i, p->bytes,
                   now[i], p->values[i]);
    test_cases++;
}

/* Pieces of many sizes at once: none shares a byte with another. */
static void check_allocate(void **state)
{
    (void)state;
    mt_backend *b = backends[0];
    piece pieces[PIECES];
    for (int i = 0; i < PIECES; i++)
        pieces[i] = new_piece(b, (size_t)test_from(1, i % 8 == 0 ? 100000 : 5000));
    for (int i = 0; i < PIECES; i++) same_bytes(b, &pieces[i], "allocate");
    for (int i = 0; i < PIECES; i++) b->release(b, pieces[i].data, pieces[i].bytes);
    TEST_NULL(b->allocate(b, SIZE_MAX / 2), MT_ERR_MEMORY, "");
}

static uint64_t held(mt_backend *b)
{
    static mt_backend_counts counts; /* static: some twenty KB */
    memset(&counts, 0, sizeof counts);
    if (b->counts != NULL) b->counts(b, &counts);
    return counts.device_bytes;
}

/* What is given back is used again, or goes back to the device. */
static void check_release(void **state)
{
    (void)state;
    mt_backend *b = backends[0];
    const size_t bytes = (size_t)1 << 20;
    piece kept = new_piece(b, 1000);
    const uint64_t before = held(b);
    for (int i = 0; i < ROUNDS; i++) {
        void *data = b->allocate(b, bytes);
        TEST_CHECK(data != NULL, "release: no %zu bytes in round %d: %s", bytes, i, mt_last_message());
        b->release(b, data, bytes);
    }
    b->release(b, NULL, 0);
    TEST_CHECK(held(b) < before + 8 * bytes,
               "release: %llu bytes are held after %d pieces of %zu came and went, %llu before",
               (unsigned long long)held(b), ROUNDS, bytes, (unsigned long long)before);
    same_bytes(b, &kept, "release of others");
    b->release(b, kept.data, kept.bytes);
}

/* A piece that was taken back and handed out again is as new. */
static void check_mark(void **state)
{
    (void)state;
    mt_backend *b = backends[0];
    piece p = new_piece(b, 4096);
    b->mark(b, p.data, p.bytes, false);
    b->mark(b, p.data, p.bytes, true);
    TEST_OK(b->upload(b, p.data, p.values, p.bytes));
    same_bytes(b, &p, "mark");
    b->release(b, p.data, p.bytes);
}

/* Of every length around a word, into the middle, and longer than any buffer on the way. */
static void copy_bytes(mt_backend *b, const char *what)
{
    const size_t sizes[] = {1, 2, 3, 4, 5, 63, 64, 65, 4095, 4096, 70000, RINGS};
    for (size_t i = 0; i < TEST_LENGTH(sizes); i++) {
        piece p = new_piece(b, sizes[i]);
        same_bytes(b, &p, what);
        const size_t at = sizes[i] / 3, part = sizes[i] / 2;
        for (size_t k = 0; k < part; k++) p.values[at + k] = (unsigned char)(255 - p.values[at + k]);
        TEST_OK(b->upload(b, (char *)p.data + at, p.values + at, part));
        same_bytes(b, &p, what);
        b->release(b, p.data, p.bytes);
    }
}

static void check_upload(void **state)
{
    (void)state;
    copy_bytes(backends[0], "upload");
}

/* Also from the middle. */
static void check_download(void **state)
{
    (void)state;
    mt_backend *b = backends[0];
    copy_bytes(b, "download");
    piece p = new_piece(b, 1000), part = {(char *)p.data + 333, 400, p.values + 333};
    same_bytes(b, &part, "download of a part");
    b->release(b, p.data, p.bytes);
}

/* ---- words and counts ---- */

static void check_describe(void **state)
{
    (void)state;
    mt_backend *b = backends[0];
    mt_backend_facts facts;
    memset(&facts, 'x', sizeof facts);
    b->describe(b, &facts);
    TEST_CHECK(facts.threads >= 1 && facts.threads <= 1024, "describe: %d threads", facts.threads);
    TEST_CHECK(memchr(facts.isa, 0, sizeof facts.isa) && facts.isa[0] != 0, "describe: isa \"%.15s\"",
               facts.isa);
    TEST_CHECK(memchr(facts.words, 0, sizeof facts.words) && strchr(facts.words, '\n') == NULL,
               "describe: more than a line: \"%.399s\"", facts.words);
    test_cases++;
}

static uint64_t launches_of(const mt_backend_counts *counts)
{
    uint64_t launches = 0;
    for (int i = 0; i < counts->kernels; i++) launches += counts->kernel[i].launches;
    return launches;
}

/* One fill is one launch and no copy; one upload and one download of 40 bytes are counted as that. */
static void check_counts(void **state)
{
    (void)state;
    mt_backend *b = backends[0];
    static mt_backend_counts before, after; /* static: some twenty KB each */
    if (b->host) return;                    /* a host's memory has no copies to count */
    TEST_CHECK(b->counts != NULL, "counts: a backend with a memory of its own counts nothing");
    pair out = output(mt_shape(10), TEST_PLAIN);
    piece p = new_piece(b, 40);
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    b->counts(b, &before);
    TEST_OK(b->fill(b, slots_operand(out, 0), MT_REAL, 1));
    TEST_OK(b->upload(b, p.data, p.values, p.bytes));
    same_bytes(b, &p, "counts");
    b->counts(b, &after);
    const uint64_t got[] = {launches_of(&after) - launches_of(&before), after.uploads - before.uploads,
                            after.upload_bytes - before.upload_bytes, after.downloads - before.downloads,
                            after.download_bytes - before.download_bytes};
    const uint64_t want[] = {1, 1, 40, 1, 40};
    const char *const names[] = {"launches", "uploads", "bytes up", "downloads", "bytes down"};
    for (size_t i = 0; i < TEST_LENGTH(want); i++)
        TEST_CHECK(got[i] == want[i], "counts: %s of a fill and two copies are %llu instead of %llu",
                   names[i], (unsigned long long)got[i], (unsigned long long)want[i]);
    TEST_CHECK(after.device_bytes > 0, "counts: no device memory is held while a tensor is there");
    b->release(b, p.data, p.bytes);
    test_cases++;
}

/* ---- the list ---- */

#define SLOT(field)                                        \
    {                                                      \
#field, offsetof(mt_backend, field), check_##field \
    }
/* Those that ask for counts come last: the simulator counts every access from then on, and is slower. */
const slot_check slot_checks[] = {
    SLOT(allocate), SLOT(mark),        SLOT(upload), SLOT(download), SLOT(fill),
    SLOT(copy),     SLOT(map),         SLOT(zip),    SLOT(reduce),   SLOT(scatter),
    SLOT(rows),     SLOT(matmul),      SLOT(where),  SLOT(compare),  SLOT(reduce_index),
    SLOT(random),   SLOT(permutation), SLOT(update), SLOT(softmax),  SLOT(cross_entropy),
    SLOT(conv),     SLOT(layer_norm),  SLOT(gather), SLOT(cumsum),   SLOT(argsort),
    SLOT(describe), SLOT(release),     SLOT(counts),
};
const int slot_check_count = (int)TEST_LENGTH(slot_checks);

/* From allocate to its end mt_backend consists of pointers to functions. */
int slots_without_check(const slot_check *list, int count)
{
    const size_t first = offsetof(mt_backend, allocate), step = sizeof(void (*)(void));
    for (size_t at = first; at < sizeof(mt_backend); at += step) {
        bool found = false;
        for (int i = 0; i < count; i++) found = found || list[i].offset == at;
        if (!found) return (int)((at - first) / step);
    }
    return -1;
}

int slots_run(int first, int count)
{
    struct CMUnitTest tests[TEST_LENGTH(slot_checks)];
    const int missing = slots_without_check(slot_checks, slot_check_count);
    for (int i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){slot_checks[first + i].name, slot_checks[first + i].run, test_begin,
                                       test_end};
    if (missing >= 0)
        printf("FAIL  gpu_slots: slot %d of mt_backend has no check; add a row to bench/slots.c\n", missing);
    return test_run("gpu_slots", tests, (size_t)count) != 0 || missing >= 0 ? 1 : 0;
}
