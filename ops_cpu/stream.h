/* ops_cpu/stream.h - stores that pass by the caches, for results larger than what a cache would keep.
 *
 * A plain store first reads the line that it writes, and drives something else out of the cache; a streaming
 * store does neither. Values are the same either way. Where the instruction set has none, these are plain.
 */
#ifndef MT_STREAM_H
#define MT_STREAM_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { MT_LINE = 64 }; /* bytes of a cache line */

/* Asks for the cache line at address, which need not be valid. */
static inline void mt_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/* Bytes from address to the next line. */
static inline size_t mt_to_line(const void *address) { return (0 - (uintptr_t)address) % MT_LINE; }

/* One line; to is aligned to it. */
static inline void mt_stream_line(void *to, const void *from)
{
#if defined(__SSE2__)
    __m128i *y = to;
    const __m128i *x = from;
    __m128i a = _mm_loadu_si128(x), b = _mm_loadu_si128(x + 1);
    __m128i c = _mm_loadu_si128(x + 2), d = _mm_loadu_si128(x + 3);
    _mm_stream_si128(y, a);
    _mm_stream_si128(y + 1, b);
    _mm_stream_si128(y + 2, c);
    _mm_stream_si128(y + 3, d);
#else
    memcpy(to, from, MT_LINE);
#endif
}

/* bytes / MT_LINE lines from `from` to `to`, which is aligned to MT_LINE. With each line i the line at
 * ahead[k] + i*MT_LINE is prefetched, for k < count: what the caller reads next. */
static inline void mt_stream_lines(char *to, const char *from, size_t bytes, const char *const *ahead,
                                   int count)
{
    for (size_t i = 0; i < bytes; i += MT_LINE) {
        for (int k = 0; k < count; k++) mt_prefetch(ahead[k] + i);
        mt_stream_line(to + i, from + i);
    }
}

/* After the last streaming store, before another thread reads it: such stores are not ordered with others. */
static inline void mt_stream_end(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* memcpy with streaming stores, for areas that do not overlap. */
static inline void mt_stream_copy(char *to, const char *from, size_t bytes)
{
    size_t head = mt_to_line(to);
    if (head > bytes) head = bytes;
    memcpy(to, from, head);
    size_t whole = (bytes - head) / MT_LINE * MT_LINE;
    const char *ahead = from + head + 2048;
    mt_stream_lines(to + head, from + head, whole, &ahead, 1);
    memcpy(to + head + whole, from + head + whole, bytes - head - whole);
}

#endif
