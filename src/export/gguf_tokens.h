/* The tokenizer in a GGUF file: the keys tokenizer.ggml.* and the chat template. Private to export. */
#ifndef OLICA_EXPORT_GGUF_TOKENS_H
#define OLICA_EXPORT_GGUF_TOKENS_H

#include "gguf_head.h"

/* Adds the keys for the export's tokenizer, whose tokens are cut or filled up to the model's vocabulary. What
 * llama.cpp does otherwise than the tokenizer's own files is noted; a tokenizer that it does not have is
 * refused (OLICA_ERR_CONFIG). An export without a tokenizer says so in its keys. Every rank; not
 * collective. */
olica_status olica_gguf_tokens(olica_export *e, olica_gguf *g);

#endif
