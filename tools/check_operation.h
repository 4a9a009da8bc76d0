/* tools/check_operation.h - what is missing or wrong in a descriptor of an operation (autodiff/operation.h),
 * as a sentence. The build runs it over the whole list (tools/list_operations.c --check).
 */
#ifndef CHECK_OPERATION_H
#define CHECK_OPERATION_H

#include "autodiff/operation.h"

/* What a sentence is about, and where it goes. */
typedef struct fault {
    const mt_operation *of;
    char *text;
    size_t size;
} fault;

/* Writes "NAME: " and the rest; true. */
#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
bool fault_is(const fault *f, const char *format, ...);

/* Each returns whether there is a fault, of which it writes the first into text: of the fields as they stand;
 * and of what its own examples show (on the backend simple; the fields must be right): shapes and kinds, the
 * gradients that arrive, and that the VJP reads nothing but what .reads says. */
bool operation_has_fault(const mt_operation *operation, char *text, size_t size);
bool operation_fails(const fault *f);

/* Two operations of a list that have one name. */
bool operations_share_a_name(const mt_operation *const *list, int count, char *text, size_t size);

#endif
