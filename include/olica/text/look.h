/* Looks at a file before it is taken for text: is it what it is given as? What is something else is refused
 * with the form that takes it, before anything is made of its bytes. Not collective. */
#ifndef OLICA_TEXT_LOOK_H
#define OLICA_TEXT_LOOK_H

#include "olica/base/env.h"

/* What a file is given as. */
typedef enum olica_look {
  OLICA_LOOK_BYTES,      /* any text, of --tokenize */
  OLICA_LOOK_EVALUATION, /* [evaluate] text */
  OLICA_LOOK_PLAIN,      /* of [calibration] text, as are the next two */
  OLICA_LOOK_JSONL,
  OLICA_LOOK_ALPACA,
  OLICA_LOOK_QUESTIONS /* a file of [evaluate] tasks */
} olica_look;

/* Bytes of the byte order mark (UTF-8) that some editors put in front of a text; 0: there is none. */
size_t olica_look_mark(const char *text, size_t bytes);

/* The first bytes of a file. Compressed, packed and binary formats, UTF-16 and UTF-32, and JSON of another
 * shape than is asked for are OLICA_ERR_INPUT. */
olica_status olica_look_head(olica_env *env, const char *path, olica_look as, const char *head, size_t bytes);

/* A whole file: its head, and of a text that is no JSON all of its bytes. NULs, and more ill-formed than
 * well-formed characters beyond ASCII (another encoding), are OLICA_ERR_INPUT; fewer are a warning, as are
 * lines that end with CRLF. Opens the file: its errors. */
olica_status olica_look_file(olica_env *env, const char *path, olica_look as);

#endif
