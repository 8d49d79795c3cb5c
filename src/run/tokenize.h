/* The commands that use a tokenizer and nothing else: that of a directory (tokenizer.json, else
 * tokenizer.model) or of a checkpoint of ours. Collective on the context; every rank returns the same status.
 * Neither there is OLICA_ERR_INPUT. */
#ifndef OLICA_RUN_TOKENIZE_H
#define OLICA_RUN_TOKENIZE_H

#include <stdbool.h>

#include "par/context.h"

/* --tokenize: prints the ids of a file's text on one line; `special`: with what the tokenizer puts around it
 * by default. Rank 0's work. */
olica_status olica_tokenize_run(olica_context *context, const char *path, const char *file, bool special);

/* --detokenize: prints the text of such a line, byte for byte, with no line break of its own. `special`:
 * omits the special tokens; otherwise writes them. Rank 0's work. */
olica_status olica_tokenize_reverse(olica_context *context, const char *path, const char *file, bool special);

#endif
