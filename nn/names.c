/* nn/names.c - finds an entry of a table by its name, in any case. */
#include "names.h"

#include <stdio.h>
#include <string.h>

static int lower(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; /* the same in every locale */ }

static bool equal(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) a++, b++;
    return lower(*a) == lower(*b);
}

int mt_find_name(const char *name, int count, const char *(*name_of)(int i), const char *what)
{
    char list[400] = "";
    if (!name) return count;
    for (int i = 0; i < count; i++) {
        if (equal(name, name_of(i))) return i;
        size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", name_of(i));
    }
    mt_fail(MT_ERR_NAME, "no %s is named \"%.60s\"; there are %s", what, name, list);
    return count;
}
