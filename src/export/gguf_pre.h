/* llama.cpp's names of pre-tokenizers. It has none of tokenizer.json's steps; a name in the file chooses one
 * of those that are built in. Private to export. */
#ifndef OLICA_EXPORT_GGUF_PRE_H
#define OLICA_EXPORT_GGUF_PRE_H

#include <jansson.h>
#include <stdbool.h>

/* Returns the name whose steps are those of a tokenizer.json's member "pre_tokenizer" (NULL: none), for a
 * model with or without `ignore_merges`; NULL: llama.cpp has none like it. *exact is false where the steps
 * are the same, but not what ignore_merges says. Pure. */
const char *olica_gguf_pre(const json_t *pre_tokenizer, bool ignore_merges, bool *exact);

#endif
