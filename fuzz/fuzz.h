/* fuzz/fuzz.h - what the fuzz targets share: the entry, bytes as choices, and how a finding is told.
 *
 * Each target is one function of some bytes. libFuzzer calls it with bytes of its own making (fuzz/run.sh);
 * alone.c calls it with the files of fuzz/corpus, which is how the suite runs every target with any compiler.
 */
#ifndef MT_FUZZ_H
#define MT_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding: one sentence on stderr, then abort. */
#define FUZZ_CHECK(condition, ...)                                    \
    do {                                                              \
        if (!(condition)) fuzz_stop(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
_Noreturn void
fuzz_stop(const char *file, int line, const char *format, ...);

/* The sentence that what left must be fit to be shown: neither short nor of several lines, and without
 * control characters. */
void fuzz_sentence(const char *what, const char *sentence);

/* Memory of exactly that size, so that AddressSanitizer sees a byte too far; never NULL. */
void *fuzz_memory(size_t bytes);

/* ---- bytes as choices; 0 where there are none left ---- */

typedef struct fuzz_bytes {
    const uint8_t *at, *end;
} fuzz_bytes;

uint8_t fuzz_byte(fuzz_bytes *in);
int fuzz_below(fuzz_bytes *in, int bound); /* 0 .. bound-1 */
/* Mostly small ones, and at times an edge: zeros of both signs, subnormals, the largest, infinities, NaN. */
double fuzz_number(fuzz_bytes *in);

#endif
