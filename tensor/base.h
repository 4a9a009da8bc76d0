/* tensor/base.h - what every other header needs: the number type, export marks, limits, the version.
 *
 * minitorch.c is built twice from the same sources, as FFTW is: libminitorch computes in float,
 * libminitorch_d in double. MT_DOUBLE (set by `pkg-config minitorch_d`) chooses the second; its symbols are
 * named mtd_*, by a header of #defines generated from the declarations below, so that one program may link
 * both libraries.
 */
#ifndef MT_BASE_H
#define MT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef MT_DOUBLE
#include "mt_double_names.h"
typedef double mt_real;
#else
typedef float mt_real;
#endif

/* An elementwise operation by its number, MT_OP_add and the like (op_id.h). No enum, whose values would have
 * to be known wherever one is passed on: they are the rows of a table that grows. */
typedef int mt_op;

#define MT_VERSION "0.1.0"

/* Tensors have 1 to MT_MAX_DIMS dimensions; there is no rank 0. */
#define MT_MAX_DIMS 8

/* MT_API marks what the shared library exports, MT_INTERNAL what only the library's own files call. Both
 * marks feed the generated list of names, so every function with external linkage carries one. MT_ROW_API is
 * MT_API for functions made from a row of op_table.inc, whose names the double library lists apart. */
#ifdef MT_SCAN_NAMES
#define MT_API      MT_SCAN_API
#define MT_ROW_API  MT_SCAN_ROW
#define MT_INTERNAL MT_SCAN_INTERNAL
#elif defined(__GNUC__)
#define MT_API      __attribute__((visibility("default")))
#define MT_INTERNAL __attribute__((visibility("hidden")))
#else
#define MT_API
#define MT_INTERNAL
#endif

#ifndef MT_ROW_API
#define MT_ROW_API MT_API
#endif

#ifdef __GNUC__
#define MT_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define MT_PRINTF(fmt, first)
#endif

#ifdef __cplusplus
#define MT_BEGIN extern "C" {
#define MT_END   }
#else
#define MT_BEGIN
#define MT_END
#endif

/* x as it is printed: NaN without its sign, which means nothing, and for which printf writes "-nan". */
static inline double mt_printable(double x) { return x == x ? x : (double)__builtin_nanf(""); }

MT_BEGIN
/* The library's version, "MAJOR.MINOR.PATCH"; compare with MT_VERSION to see that header and library agree.
 */
MT_API const char *mt_version(void);
MT_END

#endif
