/* fuzz/parse.c - mt_parse with any text: it is refused with a sentence, or the tensor, written by mt_format
 * and by mt_print_with, is read back to the same shape and bits. Nothing is left behind, nor where memory
 * runs out.
 */
#define _POSIX_C_SOURCE 200809L /* fmemopen */
#include "fuzz.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/arena.h"
#include "tensor/tensor.h"

/* The same shape and bits; NaN is like NaN. */
static void compare(const mt_tensor *x, const mt_tensor *y, const char *text)
{
    FUZZ_CHECK(y, "what was written is not read back: %s: %s", mt_last_message(), text);
    FUZZ_CHECK(mt_shape_equal(mt_tensor_shape(x), mt_tensor_shape(y)), "read back with another shape: %s",
               text);
    const mt_real *a = mt_tensor_data(x), *b = mt_tensor_data(y);
    for (int64_t i = 0; i < mt_tensor_count(x); i++)
        FUZZ_CHECK(memcmp(&a[i], &b[i], sizeof *a) == 0 || (isnan(a[i]) && isnan(b[i])),
                   "element %" PRId64 " is %.17g, and read back %.17g: %s", i, (double)a[i], (double)b[i],
                   text);
}

static void read_back(mt_backend *backend, const mt_tensor *x, const char *text)
{
    mt_tensor *again = mt_parse(backend, text);
    compare(x, again, text);
    mt_tensor_free(again);
}

static void write_and_read(mt_backend *backend, const mt_tensor *x, int width)
{
    const int64_t length = mt_format(x, NULL, 0);
    FUZZ_CHECK(length >= 2, "format says %" PRId64 ": %s", length, mt_last_message());
    char *text = fuzz_memory((size_t)length + 1);
    FUZZ_CHECK(mt_format(x, text, (size_t)length + 1) == length && strlen(text) == (size_t)length,
               "format wrote %zu of %" PRId64 " characters", strlen(text), length);
    read_back(backend, x, text);
    const size_t cut = (size_t)length / 2 + 1;
    char *part = fuzz_memory(cut);
    FUZZ_CHECK(mt_format(x, part, cut) == length && strlen(part) == cut - 1 && !memcmp(part, text, cut - 1),
               "a short buffer holds another text: %s", part);
    free(part);
    free(text);

    /* With brackets, spaces and line ends a number takes at most this much. */
    const size_t room = 4096 + 64 * (size_t)mt_tensor_count(x);
    text = fuzz_memory(room);
    FILE *stream = fmemopen(text, room, "w");
    FUZZ_CHECK(stream, "no stream");
    mt_print_options options = {sizeof(mt_real) == sizeof(float) ? 9 : 17, INT64_MAX, 1, width};
    FUZZ_CHECK(mt_print_with(stream, x, options) == MT_OK, "print: %s", mt_last_message());
    options = (mt_print_options){3, 4, 1, width};
    fclose(stream);
    read_back(backend, x, text);
    stream = fmemopen(text, room, "w");
    FUZZ_CHECK(stream, "no stream");
    FUZZ_CHECK(mt_print_with(stream, x, options) == MT_OK, "print: %s", mt_last_message());
    fclose(stream);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mt_backend *backend = mt_backend_get("simple");
    FUZZ_CHECK(backend, "%s", mt_last_message());
    char *text = fuzz_memory(size + 1);
    if (size) memcpy(text, data, size);
    text[size] = '\0';

    const size_t held = mt_get_alloc_stats().bytes;
    uint64_t failures = mt_failures();
    mt_tensor *x = mt_parse(backend, text);
    FUZZ_CHECK((mt_failures() > failures) == !x, "failed %d, told %d", !x, mt_failures() > failures);
    if (!x) {
        FUZZ_CHECK(mt_last_status() == MT_ERR_PARSE, "status %s", mt_status_name(mt_last_status()));
        fuzz_sentence("parse", mt_last_message());
    } else {
        write_and_read(backend, x, (int)(size % 100));
    }
    mt_tensor_free(x);

    failures = mt_failures();
    mt_alloc_fail_at(1 + size % 7);
    x = mt_parse(backend, text);
    mt_alloc_fail_at(0);
    FUZZ_CHECK((mt_failures() > failures) == !x, "without memory: failed %d, told %d", !x,
               mt_failures() > failures);
    mt_tensor_free(x);
    free(text);
    FUZZ_CHECK(mt_get_alloc_stats().bytes == held, "%zu bytes were held before and %zu after", held,
               mt_get_alloc_stats().bytes);
    return 0;
}
