/* The keys of a GGUF file that tell of the model, and what of a model they can tell. Private to export. */
#ifndef OLICA_EXPORT_GGUF_KEYS_H
#define OLICA_EXPORT_GGUF_KEYS_H

#include "gguf_arch.h"
#include "gguf_head.h"

/* Refuses a model with a layer that has nothing left: OLICA_ERR_CONFIG with the way out. Notes what is
 * narrowed. Every rank; not collective. */
olica_status olica_gguf_check(olica_export *e, const olica_gguf_arch *row);

/* Notes, once an output, that a matrix has rows that Q8_0 cannot hold. */
void olica_gguf_narrow(olica_export *e, const olica_export_item *item);

/* Add the keys general.*, and those of the architecture, whose name they set. */
void olica_gguf_general(olica_export *e, const olica_gguf_arch *row, olica_gguf *g);
void olica_gguf_model(olica_export *e, const olica_gguf_arch *row, olica_gguf *g);

/* Return whether the file has a tensor of factors for RoPE's frequencies, and by what llama.cpp has to divide
 * the frequency of pair i in sequences of that regime. Pure. */
bool olica_gguf_has_factors(const olica_gguf_arch *row, const olica_rope *rope);
float olica_gguf_rope_factor(const olica_rope *rope, int head, int regime, int i);

/* Returns what queries are multiplied by beyond what the architecture does. Pure. */
float olica_gguf_query_scale(const olica_gguf_arch *row, const olica_arch *arch);

#endif
