/* Checks that a file is the kind of text that the user declared. Another kind is refused with the setting
 * that would accept it, before its bytes are used. Not collective. */
#ifndef OLICA_TEXT_LOOK_H
#define OLICA_TEXT_LOOK_H

#include "base/env.h"

/* The declared kind of a file. */
typedef enum olica_look {
  OLICA_LOOK_BYTES,      /* any text, for --tokenize */
  OLICA_LOOK_EVALUATION, /* [evaluate] text */
  OLICA_LOOK_PLAIN,      /* of [calibration] text, like the next two */
  OLICA_LOOK_JSONL,
  OLICA_LOOK_ALPACA,
  OLICA_LOOK_QUESTIONS /* a file of [evaluate] tasks */
} olica_look;

/* Returns the length of the UTF-8 byte order mark that some editors write at the beginning of a text; 0:
 * none. */
size_t olica_look_mark(const char *text, size_t bytes);

/* Checks the first bytes of a file. OLICA_ERR_INPUT for compressed, packed and binary formats, UTF-16 and
 * UTF-32, and JSON of an unexpected shape. */
olica_status olica_look_head(olica_env *env, const char *path, olica_look as, const char *head, size_t bytes);

/* Checks a whole file: its head and, of a text other than JSON, all its bytes. OLICA_ERR_INPUT for NUL bytes,
 * and for more ill-formed than well-formed characters beyond ASCII (another encoding); warns of fewer
 * ill-formed ones, and of lines that end with CRLF. Errors of opening the file are returned. */
olica_status olica_look_file(olica_env *env, const char *path, olica_look as);

#endif
