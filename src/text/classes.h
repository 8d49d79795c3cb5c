/* The table of transformers' tokenizer classes. Private to text. */
#ifndef OLICA_TEXT_CLASSES_H
#define OLICA_TEXT_CLASSES_H

#include "surroundings.h"

/* Returns a class by its name, with or without "Fast" at the end; "" is the class of files that name none.
 * NULL: unknown. */
const olica_tokenizer_class *olica_tokenizer_class_find(const char *name);

#endif
