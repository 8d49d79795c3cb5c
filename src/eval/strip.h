/* White space as Python's str.strip defines it. Private to eval; pure. */
#ifndef OLICA_EVAL_STRIP_H
#define OLICA_EVAL_STRIP_H

#include <stddef.h>

/* Moves both ends of valid UTF-8 [*text, *end) inwards past white space. */
void olica_strip(const char **text, const char **end);

/* Returns the bytes of the text without the white space at its end. */
size_t olica_strip_end(const char *text, size_t bytes);

#endif
