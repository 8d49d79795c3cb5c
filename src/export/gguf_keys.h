/* The keys of a GGUF file that tell of the model, and what of a model they can tell. Private to export. */
#ifndef OLICA_EXPORT_GGUF_KEYS_H
#define OLICA_EXPORT_GGUF_KEYS_H

#include "gguf_head.h"

/* Refuses a model that neither architecture computes: OLICA_ERR_CONFIG with the way out. Notes what is
 * narrowed. Every rank; not collective. */
olica_status olica_gguf_check(olica_export *e);

/* Notes, once an output, that a matrix has rows that Q8_0 cannot hold. */
void olica_gguf_narrow(olica_export *e, const olica_export_item *item);

/* Add the keys general.*, and those of the architecture, whose name they set. */
void olica_gguf_general(olica_export *e, olica_gguf *g);
void olica_gguf_model(olica_export *e, olica_gguf *g);

/* Return whether the file has a tensor of factors for RoPE's frequencies, and by what llama.cpp has to divide
 * the frequency of pair i. Pure. */
bool olica_gguf_has_factors(const olica_rope *rope);
float olica_gguf_rope_factor(const olica_rope *rope, int head, int i);

/* Returns what queries are multiplied by beyond 1 / the square root of a head's size. Pure. */
float olica_gguf_query_scale(const olica_arch *arch);

#endif
