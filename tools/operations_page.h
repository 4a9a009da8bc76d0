/* tools/operations_page.h - docs/operations.md from the list of operations and the headers that declare them.
 */
#ifndef OPERATIONS_PAGE_H
#define OPERATIONS_PAGE_H

#include <stdbool.h>
#include <stdio.h>

/* Writes the page; headers is the text of the headers with the declarations, in the order of the page's
 * parts. Names on stderr what is not declared there, and gives false. */
bool operations_page(FILE *to, const char *headers);

#endif
