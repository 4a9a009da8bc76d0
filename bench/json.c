/* json.c - a writer and a reader of flat JSON objects (see json.h). */
#define _POSIX_C_SOURCE 200809L
#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_write_text(FILE *stream, const char *text)
{
    fputc('"', stream);
    for (; *text != 0; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(stream, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(stream, "\\u%04x", c);
        } else {
            fputc(c, stream);
        }
    }
    fputc('"', stream);
}

void json_write_number(FILE *stream, double value)
{
    if (isfinite(value)) {
        fprintf(stream, "%.9g", value);
    } else {
        fputs("null", stream);
    }
}

static const char *skip_blanks(const char *at) { return at + strspn(at, " \t\r\n"); }

/* Stores the code point as UTF-8; one that needs two \u escapes becomes '?', once for each. */
static int encode(unsigned code, char bytes[3])
{
    if (code >= 0xd800 && code <= 0xdfff) code = '?';
    if (code < 0x80) {
        bytes[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    bytes[0] = (char)(0xe0 | code >> 12);
    bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
    bytes[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* Reads the string at *at, which begins with a quote, into text, and moves *at behind it. */
static bool read_string(const char **at, char *text, size_t size)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *c = *at;
    size_t used = 0;
    if (*c++ != '"') return false;
    while (*c != '"') {
        char bytes[3];
        int count = 1;
        if (*c == 0) return false;
        if (*c != '\\') {
            bytes[0] = *c++;
        } else if (c[1] == 'u') {
            unsigned code = 0;
            if (strspn(c + 2, "0123456789abcdefABCDEF") < 4) return false;
            sscanf(c + 2, "%4x", &code);
            count = encode(code, bytes);
            c += 6;
        } else {
            const char *letter = c[1] != 0 ? strchr(letters, c[1]) : NULL;
            if (letter == NULL) return false;
            bytes[0] = meant[letter - letters];
            c += 2;
        }
        for (int i = 0; i < count && used + 1 < size; i++) text[used++] = bytes[i];
    }
    if (size > 0) text[used] = 0;
    *at = c + 1;
    return true;
}

/* The start of key's value, NULL when line has none; without a key, what is behind the whole object. */
static const char *find_value(const char *line, const char *key)
{
    const char *at = skip_blanks(line);
    if (*at != '{') return NULL;
    at = skip_blanks(at + 1);
    while (*at == '"') {
        char name[64], skipped[2];
        if (!read_string(&at, name, sizeof name)) return NULL;
        at = skip_blanks(at);
        if (*at != ':') return NULL;
        at = skip_blanks(at + 1);
        if (key != NULL && strcmp(name, key) == 0) return at;
        if (*at == '"') {
            if (!read_string(&at, skipped, sizeof skipped)) return NULL;
        } else {
            const size_t length = strcspn(at, ",}");
            if (length == 0 || *at == '{' || *at == '[') return NULL;
            at += length;
        }
        at = skip_blanks(at);
        if (*at == '}' && key == NULL) return at + 1;
        if (*at != ',') return NULL;
        at = skip_blanks(at + 1);
    }
    return NULL;
}

const char *json_object_end(const char *line) { return find_value(line, NULL); }

bool json_read_text(const char *line, const char *key, char *text, size_t size)
{
    const char *at = find_value(line, key);
    return at != NULL && *at == '"' && read_string(&at, text, size);
}

bool json_read_number(const char *line, const char *key, double *value)
{
    const char *at = find_value(line, key);
    if (at == NULL || (*at != '-' && (*at < '0' || *at > '9'))) return false;
    char *end = NULL;
    *value = strtod(at, &end);
    return end != at && strchr(",} \t\r\n", *end) != NULL;
}
