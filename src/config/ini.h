/* A strict reader of INI files: [section], key = value, comments. Not collective, no I/O: the caller has the
 * text.
 *
 * Why our own: the usual library (libinih as Debian builds it) cuts lines at about 200 characters and still
 * hands the shortened value on, and a list of tasks or texts is longer than that.
 *
 * Rules: one entry a line. `#` or `;` at the start of a line or after white space begins a comment; inside a
 * word they are part of the value. White space around section, key and value is dropped; values have no
 * quotes and no continuation lines. A UTF-8 byte order mark and CRLF line ends are tolerated. A section may
 * be opened again; a key may stand only once in its section. Anything else is OLICA_ERR_CONFIG, "FILE:LINE:
 * found, expected". */
#ifndef OLICA_CONFIG_INI_H
#define OLICA_CONFIG_INI_H

#include <stddef.h>

#include "base/env.h"

enum { OLICA_INI_BYTES = 1 << 20 }; /* longest file */

typedef struct olica_ini_entry {
  const char *section, *key; /* key NULL: the line that opens the section */
  const char *value;         /* "" if empty */
  int line;                  /* from 1 */
} olica_ini_entry;

typedef struct olica_ini {
  int count;
  olica_ini_entry *entry; /* [count], in the order of the file */
  char *text;             /* memory of the strings */
} olica_ini;

/* Parses a text of `bytes` bytes; `name` is the file's name in messages. Free with olica_ini_free, or with
 * the environment. */
olica_status olica_ini_parse(olica_env *env, const char *name, const char *text, size_t bytes,
                             olica_ini *ini);
void olica_ini_free(olica_env *env, olica_ini *ini);

/* Cuts blanks and tabs off both ends of a word, in place, and returns its beginning. Pure. */
char *olica_ini_trim(char *text);

#endif
