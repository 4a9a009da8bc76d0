/* fuzz/pair.h - a backend that does everything twice: on the backend under test, whose memory and results it
 * has, and on `simple` with copies of the same operands. Results that differ by more than rounding, a
 * different status, and a byte written beside the result are findings.
 */
#ifndef MT_FUZZ_PAIR_H
#define MT_FUZZ_PAIR_H

#include "tensor/backend.h"

/* The backend; tested by its name. There is one. */
mt_backend *pair_backend(const char *tested);
/* Off: the backend under test alone. */
void pair_compare(bool on);
/* What each byte of memory holds before it is first written. */
void pair_fill(unsigned char byte);

#endif
