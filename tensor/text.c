/* tensor/text.c - see text.h. */
#define _POSIX_C_SOURCE 200809L /* uselocale */
#include "text.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What printf and strtod take for a decimal point follows the program's locale; the text here does not. Where
 * that is another, the calling thread has the C locale between enter and leave. */
typedef struct {
    locale_t c, before; /* 0: nothing was changed */
} c_locale;

static c_locale enter_c_locale(void)
{
    c_locale both = {0};
    if (strcmp(localeconv()->decimal_point, ".") == 0) return both;
    both.c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (both.c) both.before = uselocale(both.c);
    return both;
}

static void leave_c_locale(c_locale both)
{
    if (!both.c) return;
    uselocale(both.before);
    freelocale(both.c);
}

void mt_text_number(char text[MT_NUMBER_TEXT], double value, int digits)
{
    const c_locale both = enter_c_locale();
    snprintf(text, MT_NUMBER_TEXT, "%.*g", digits, mt_printable(value));
    leave_c_locale(both);
}

double mt_text_to_double(const char *text, const char **end)
{
    char *after;
    const c_locale both = enter_c_locale();
    const double value = strtod(text, &after);
    leave_c_locale(both);
    *end = after;
    return value;
}

/* The bytes of the UTF-8 character that starts here, and the character; 0 where none does. */
static int character(const unsigned char *at, unsigned *code)
{
    static const struct {
        unsigned char mask, lead;
        unsigned least;
    } kinds[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (int more = 0; more < 4; more++) {
        if ((at[0] & kinds[more].mask) != kinds[more].lead) continue;
        *code = at[0] & (unsigned char)~kinds[more].mask;
        for (int i = 1; i <= more; i++) {
            if ((at[i] & 0xc0) != 0x80) return 0;
            *code = *code << 6 | (at[i] & 0x3f);
        }
        bool valid = *code >= kinds[more].least && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
        return valid ? more + 1 : 0;
    }
    return 0;
}

/* C0 and C1 controls, and Unicode's marks of direction. */
static bool is_control(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void mt_text_clean(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        unsigned code = 0;
        const int bytes = character((const unsigned char *)from, &code);
        if (bytes == 0 || is_control(code)) {
            *to++ = code == '\n' || code == '\t' ? ' ' : '?';
            from += bytes ? bytes : 1;
            continue;
        }
        memmove(to, from, (size_t)bytes);
        to += bytes, from += bytes;
    }
    *to = '\0';
}
