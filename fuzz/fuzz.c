/* fuzz/fuzz.c - see fuzz.h. */
#include "fuzz.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fuzz_stop(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void fuzz_sentence(const char *what, const char *sentence)
{
    FUZZ_CHECK(strlen(sentence) >= 10, "%s failed, and the sentence is \"%s\"", what, sentence);
    for (const char *at = sentence; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7f, "%s: character %td of the sentence is 0x%02x",
                   what, at - sentence, (unsigned)(unsigned char)*at);
}

void *fuzz_memory(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    FUZZ_CHECK(memory, "no memory for %zu bytes", bytes);
    return memory;
}

uint8_t fuzz_byte(fuzz_bytes *in) { return in->at < in->end ? *in->at++ : 0; }

int fuzz_below(fuzz_bytes *in, int bound) { return fuzz_byte(in) % bound; }

double fuzz_number(fuzz_bytes *in)
{
    static const double edges[] = {-0.0,  1e-3,    1e-30,    -1e-30,  1e-40,    -1e-310,  1e30,
                                   -1e30, FLT_MAX, DBL_MAX,  FLT_MIN, DBL_MIN,  88.75,    -104,
                                   100,   -100,    INFINITY, NAN,     16777217, -INFINITY};
    const int byte = fuzz_byte(in), edge = byte - (256 - (int)(sizeof edges / sizeof *edges));
    return edge >= 0 ? edges[edge] : (byte - 118) / 16.0;
}
