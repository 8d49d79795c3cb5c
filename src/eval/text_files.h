/* The value of `[evaluate] text`: one file, or a list "wikitext2:FILE, ptb:FILE". A value is a list if it
 * begins with NAME:FILE, where NAME is made of letters, digits, `-` and `_`, and FILE is not empty; in a list
 * a name with a comma is not possible. Not collective, no I/O but in
 * olica_text_files_is_file. */
#ifndef OLICA_EVAL_TEXT_FILES_H
#define OLICA_EVAL_TEXT_FILES_H

#include <stdbool.h>

#include "base/env.h"

enum { OLICA_TEXTS_MAX = 32, OLICA_TEXT_NAME = 24 };

typedef struct olica_text_file {
  char name[OLICA_TEXT_NAME + 1]; /* "": it is alone, and has none */
  char *path;                     /* relative to the working directory; owned */
} olica_text_file;

typedef struct olica_text_files {
  int count;
  olica_text_file file[OLICA_TEXTS_MAX];
} olica_text_files;

/* Returns true if the value is a list. White space and a quotation mark may stand in front. Pure. */
bool olica_text_files_is_list(const char *value);

/* Returns true if a value that looks like a list is the name of a file that exists, relative to `base`. */
bool olica_text_files_is_file(olica_env *env, const char *base, const char *value);

/* Parses a value; "" has no files. Those of a list are relative to `base` (a file); the file that is alone is
 * taken as it stands. `where` begins messages. An entry that is not NAME:FILE, a name that is too long or
 * comes twice, or too many texts, is OLICA_ERR_CONFIG. Free with olica_text_files_free. */
olica_status olica_text_files_parse(olica_env *env, const char *where, const char *base, const char *value,
                                    olica_text_files *files);

/* Replaces the files by one file, of any name. OLICA_ERR_MEMORY. */
olica_status olica_text_files_alone(olica_env *env, const char *path, olica_text_files *files);
void olica_text_files_free(olica_env *env, olica_text_files *files);

#endif
