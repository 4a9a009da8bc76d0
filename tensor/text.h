/* tensor/text.h - numbers as text and back, the same in every locale, and text from outside made fit for a
 * message. Internal. */
#ifndef MT_TEXT_H
#define MT_TEXT_H

#include "base.h"

enum { MT_NUMBER_TEXT = 32 }; /* bytes that every number fits in, with its final 0 */

MT_BEGIN

/* value with so many significant digits (1 to 17), as printf's %g in the C locale has it; NaN of either sign
 * is "nan". */
MT_INTERNAL void mt_text_number(char text[MT_NUMBER_TEXT], double value, int digits);
/* The number that text begins with, as strtod in the C locale reads it; *end is what follows, or text where
 * there is no number. errno is strtod's. */
MT_INTERNAL double mt_text_to_double(const char *text, const char **end);
/* In place: control characters, marks that change the direction of writing, and bytes that are not UTF-8
 * (such as half a character at a cut) become '?', a line's end becomes a space. */
MT_INTERNAL void mt_text_clean(char *text);

MT_END

#endif
