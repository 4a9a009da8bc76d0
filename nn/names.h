/* nn/names.h - finds an entry of a table by its name, in any case. Internal. */
#ifndef MT_NAMES_H
#define MT_NAMES_H

#include "../tensor/status.h"

MT_BEGIN
/* The i in 0 .. count-1 for which name_of(i) is name, ASCII letters in either case; count with a sentence
 * that lists the names when there is none, or without one when name is NULL. what says what the names are of.
 */
MT_INTERNAL int mt_find_name(const char *name, int count, const char *(*name_of)(int i), const char *what);
MT_END

#endif
