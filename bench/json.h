/* json.h - flat JSON objects, one a line: written with every character escaped that must be, and read back.
 *
 * Reports, baselines and the answers of peers.py have this form. A nested value is not read.
 */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdbool.h>
#include <stdio.h>

/* Writes text as a JSON string, quotes included. Bytes that are no ASCII pass: they are taken to be UTF-8. */
void json_write_text(FILE *stream, const char *text);
/* Writes a number of 9 digits, or null when it is not finite. */
void json_write_number(FILE *stream, double value);

/* The value of key in the object that line holds. False when line is no flat object, has no such key, or the
 * value is of another kind (null is of none); a text that does not fit is cut. */
bool json_read_text(const char *line, const char *key, char *text, size_t size);
bool json_read_number(const char *line, const char *key, double *value);
/* Where the flat object that line begins with has ended, behind its '}'; NULL when it is none or breaks off.
 */
const char *json_object_end(const char *line);

#endif
