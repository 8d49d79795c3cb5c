/* Added tokens of other files, put onto a tokenizer that was parsed. Private to text. */
#ifndef OLICA_TEXT_EXTEND_H
#define OLICA_TEXT_EXTEND_H

#include "surroundings.h"

/* Adds the tokens, and `more` [count] behind them, as transformers 4.46 does. A tokenizer.json keeps its ids
 * and takes the flags of added_tokens_decoder; a new token gets the vocabulary's id, else the next one. In a
 * tokenizer.model a token has the id of its file, and is found in the text before SentencePiece sees it. Ids
 * that differ from the file's are told. */
olica_status olica_tokenizer_extend(olica_tokenizer *tokenizer, const olica_surroundings *surroundings,
                                    const olica_added_token *more, size_t count);

/* The id of a token, of the added ones first; -1: there is none. After olica_tokenizer_extend. */
int32_t olica_tokenizer_find(const olica_tokenizer *tokenizer, olica_span text);

#endif
