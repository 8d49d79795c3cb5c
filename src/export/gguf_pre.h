/* llama.cpp's names of pre-tokenizers. It has none of tokenizer.json's steps; a name in the file chooses one
 * of those that are built in. Private to export. */
#ifndef OLICA_EXPORT_GGUF_PRE_H
#define OLICA_EXPORT_GGUF_PRE_H

#include <jansson.h>
#include <stdbool.h>

/* A name, and where llama.cpp does otherwise under it. */
typedef struct olica_gguf_pre_name {
  const char *name;   /* NULL: llama.cpp has none like it */
  bool other_merges;  /* takes ignore_merges otherwise */
  bool other_letters; /* its own pattern takes marks, and capitals beyond ASCII, otherwise */
} olica_gguf_pre_name;

/* Returns the name whose steps are those of a tokenizer.json's member "pre_tokenizer" (NULL: none), for a
 * model with or without `ignore_merges`. Pure. */
olica_gguf_pre_name olica_gguf_pre(const json_t *pre_tokenizer, bool ignore_merges);

#endif
