/* A model's tokenizer, and the commands that use nothing else. Collective on the context; every rank returns
 * the same status. */
#ifndef OLICA_RUN_TOKENIZE_H
#define OLICA_RUN_TOKENIZE_H

#include <stdbool.h>

#include "olica/par/context.h"
#include "olica/text/tokenizer.h"

/* Opens the tokenizer of a directory (its tokenizer.json, else its tokenizer.model) or of a checkpoint of
 * ours, read once and made anew on every rank, which closes its own with olica_tokenizer_close. Neither there
 * is OLICA_ERR_INPUT. */
olica_status olica_tokenize_open(olica_context *context, const char *path, olica_tokenizer **tokenizer);

/* --tokenize: prints the ids of a file's text on one line; `special`: with what the tokenizer puts around it
 * by default. Rank 0's work. */
olica_status olica_tokenize_run(olica_context *context, const char *path, const char *file, bool special);

/* --detokenize: prints the text of such a line, byte for byte, with no line break of its own. `special`: the
 * special tokens in it are left out, else written. Rank 0's work. */
olica_status olica_tokenize_reverse(olica_context *context, const char *path, const char *file, bool special);

#endif
