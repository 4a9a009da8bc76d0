/* tools/operations.c - walks the list of operations.
 *
 *   operations --check              says what is missing or wrong in a descriptor; the build runs this
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_operation.h"

static int check(void)
{
    char text[1000];
    int faults = 0;
    const int count = mt_operation_count();
    const mt_operation **list = calloc((size_t)count, sizeof *list);
    if (!list) return 1;
    for (int i = 0; i < count; i++) {
        list[i] = mt_operation_at(i);
        if (!operation_has_fault(list[i], text, sizeof text)) continue;
        faults++;
        fprintf(stderr, "%s\n", text);
    }
    if (operations_share_a_name(list, count, text, sizeof text)) {
        faults++;
        fprintf(stderr, "%s\n", text);
    }
    free(list);
    printf("%d operations, %d faults\n", count, faults);
    return faults > 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--check") == 0) return check();
    fprintf(stderr, "usage: operations --check\n");
    return 2;
}
