/* UTF-8 and classes of characters (by utf8proc). Private to text. */
#ifndef OLICA_TEXT_UNICODE_H
#define OLICA_TEXT_UNICODE_H

#include "bytes.h"

enum { OLICA_REPLACEMENT = 0xfffd, OLICA_CODES = 0x110000 };

/* The text with every ill-formed part (its longest beginning of a character, else a byte; `each_byte`: always
 * a byte) as U+FFFD. What is well-formed is not copied; else `*repaired` lies in `scratch`. */
olica_status olica_unicode_repair(olica_env *env, olica_span text, bool each_byte, olica_bytes *scratch,
                                  olica_span *repaired);

/* Bytes of the character that a text begins with, 0: it is ill-formed there. */
size_t olica_unicode_valid(olica_span text);

/* The character at *at of a well-formed text; moves behind it. */
uint32_t olica_unicode_next(olica_span text, size_t *at);

/* The character that ends at `end` > 0, and where it begins. */
uint32_t olica_unicode_before(olica_span text, size_t end, size_t *begin);

/* Writes a character; returns its bytes. */
size_t olica_unicode_put(uint32_t code, char *out);
olica_status olica_unicode_append(olica_env *env, olica_bytes *bytes, uint32_t code);

bool olica_unicode_is_space(uint32_t code);       /* White_Space */
bool olica_unicode_is_word(uint32_t code);        /* Alphabetic, M, Nd, Pc, joiners: \w of the Rust regexes */
bool olica_unicode_is_numeric(uint32_t code);     /* N */
bool olica_unicode_is_punctuation(uint32_t code); /* P, and ASCII's symbols */
bool olica_unicode_is_mark(uint32_t code);        /* M */
bool olica_unicode_is_nonspacing(uint32_t code);  /* Mn */
bool olica_unicode_is_other(uint32_t code);       /* C, but for what is not assigned */

/* GPT-2's printable stand-in of a byte, and back (-1: none). */
uint32_t olica_unicode_of_byte(unsigned char byte);
int olica_unicode_to_byte(uint32_t code);

typedef enum olica_form { OLICA_NFC, OLICA_NFD, OLICA_NFKC, OLICA_NFKD } olica_form;

/* Appends a text's normalization form. O(n log n), whatever marks pile up. */
olica_status olica_unicode_normalize(olica_env *env, olica_form form, olica_span text, olica_bytes *out);

/* Appends the text in lower case, character by character (no look at its surroundings). */
olica_status olica_unicode_lower(olica_env *env, olica_span text, olica_bytes *out);

#endif
