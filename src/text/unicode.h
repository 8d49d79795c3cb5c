/* UTF-8 and classes of characters (by utf8proc). Private to text. */
#ifndef OLICA_TEXT_UNICODE_H
#define OLICA_TEXT_UNICODE_H

#include "bytes.h"

enum { OLICA_REPLACEMENT = 0xfffd, OLICA_CODES = 0x110000 };

/* Replaces every ill-formed part of a text by U+FFFD: a longest incomplete character, or else a byte; with
 * `each_byte` every byte. A well-formed text is not copied; otherwise `*repaired` lies in `scratch`. */
olica_status olica_unicode_repair(olica_env *env, olica_span text, bool each_byte, olica_bytes *scratch,
                                  olica_span *repaired);

/* Returns the length of the text's first character, 0 if it is ill-formed. */
size_t olica_unicode_valid(olica_span text);

/* Returns the character at *at of a well-formed text and moves *at after it. */
uint32_t olica_unicode_next(olica_span text, size_t *at);

/* Returns the character that ends at `end` > 0, and its begin. */
uint32_t olica_unicode_before(olica_span text, size_t end, size_t *begin);

/* Writes a character; returns its length in bytes. */
size_t olica_unicode_put(uint32_t code, char *out);
olica_status olica_unicode_append(olica_env *env, olica_bytes *bytes, uint32_t code);

bool olica_unicode_is_space(uint32_t code);       /* White_Space */
bool olica_unicode_is_word(uint32_t code);        /* Alphabetic, M, Nd, Pc, joiners: \w of the Rust regexes */
bool olica_unicode_is_numeric(uint32_t code);     /* N */
bool olica_unicode_is_punctuation(uint32_t code); /* P, and ASCII's symbols */
bool olica_unicode_is_mark(uint32_t code);        /* M */
bool olica_unicode_is_nonspacing(uint32_t code);  /* Mn */
bool olica_unicode_is_other(uint32_t code);       /* C, but for what is not assigned */

/* Returns GPT-2's printable stand-in of a byte, and the byte of a stand-in (-1: none). */
uint32_t olica_unicode_of_byte(unsigned char byte);
int olica_unicode_to_byte(uint32_t code);

typedef enum olica_form { OLICA_NFC, OLICA_NFD, OLICA_NFKC, OLICA_NFKD } olica_form;

/* Appends a text's normalization form. O(n log n), for any number of combining marks. */
olica_status olica_unicode_normalize(olica_env *env, olica_form form, olica_span text, olica_bytes *out);

/* Appends the text in lower case, character by character (context-free). */
olica_status olica_unicode_lower(olica_env *env, olica_span text, olica_bytes *out);

#endif
