/* tools/list_operations.c - walks the list of operations.
 *
 *   operations --check                     says what is missing or wrong in a descriptor; the build runs this
 *   operations --write PAGE HEADER...      writes docs/operations.md from it and the headers that declare
 * them operations --compare PAGE HEADER...    says whether it is as it would be written
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_operation.h"
#include "operations_page.h"

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

/* Appends a file's text. */
static bool append(FILE *to, const char *path)
{
    FILE *from = fopen(path, "r");
    if (!from) return perror(path), false;
    for (int c; (c = fgetc(from)) != EOF;) fputc(c, to);
    const bool good = !ferror(from);
    return fclose(from) == 0 && good;
}

/* The page as it should be, from the headers; to be freed. NULL with a message. */
static char *made(char **headers, int count)
{
    char *text = NULL, *page = NULL;
    size_t size, page_size;
    FILE *to = open_memstream(&text, &size);
    bool good = to != NULL;
    for (int i = 0; i < count && good; i++) good = append(to, headers[i]);
    if (to && fclose(to) != 0) good = false;
    if (good && (to = open_memstream(&page, &page_size))) {
        good = operations_page(to, text);
        if (fclose(to) != 0) good = false;
    }
    free(text);
    if (good) return page;
    free(page);
    return NULL;
}

static int page(bool write, const char *path, char **headers, int count)
{
    char *text = made(headers, count), *old = NULL;
    size_t size;
    if (!text) return 1;
    FILE *file = write ? fopen(path, "w") : open_memstream(&old, &size);
    bool good = file && (write ? fputs(text, file) >= 0 : append(file, path));
    if (file && fclose(file) != 0) good = false;
    if (write && !good) perror(path);
    if (!write && good && strcmp(text, old) != 0) {
        fprintf(stderr,
                "%s is not what the descriptors say; meson compile -C BUILD-DIRECTORY refresh writes it\n",
                path);
        good = false;
    }
    free(old);
    free(text);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--check") == 0) return check();
    if (argc > 3 && strcmp(argv[1], "--write") == 0) return page(true, argv[2], argv + 3, argc - 3);
    if (argc > 3 && strcmp(argv[1], "--compare") == 0) return page(false, argv[2], argv + 3, argc - 3);
    fprintf(stderr, "usage: operations --check, or --write or --compare PAGE HEADER...\n");
    return 2;
}
