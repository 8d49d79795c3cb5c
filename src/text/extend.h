/* Adds tokens of other files to a parsed tokenizer. Private to text. */
#ifndef OLICA_TEXT_EXTEND_H
#define OLICA_TEXT_EXTEND_H

#include "surroundings.h"

/* Adds the tokens, and `more` [count] after them, as transformers 4.46 does. A tokenizer.json keeps its ids
 * and takes the flags of added_tokens_decoder; a new token gets the vocabulary's id, or else the next one. In
 * a tokenizer.model a token has the id of its file, and is matched before SentencePiece. Warns of ids that
 * differ from the file's. */
olica_status olica_tokenizer_extend(olica_tokenizer *tokenizer, const olica_surroundings *surroundings,
                                    const olica_added_token *more, size_t count);

/* Returns the id of a token, added tokens first; -1: none. Call it after olica_tokenizer_extend. */
int32_t olica_tokenizer_find(const olica_tokenizer *tokenizer, olica_span text);

#endif
