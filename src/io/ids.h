/* Token ids from a file or from memory (a tokenized text): a table [rows x cols] that streams and windows
 * read. */
#ifndef OLICA_IO_IDS_H
#define OLICA_IO_IDS_H

#include "io/npy.h"

typedef struct olica_ids {
  char *name;         /* the file, for messages; owned */
  int64_t rows, cols; /* of a 1-d file or a text: 1 x n */
  olica_npy *npy;     /* the file, or NULL: */
  int32_t *id;        /* [rows x cols], the same on every rank, owned */
} olica_ids;

/* Opens the ids of an .npy file: rank 0 reads its header and broadcasts it; ids are read on demand.
 * Collective on the context. Free with olica_ids_close. */
olica_status olica_ids_open(olica_context *context, const char *path, olica_ids **ids);

/* Makes ids from memory: `id` [rows x cols], counted; takes ownership of it, even on failure. Not
 * collective. */
olica_status olica_ids_hold(olica_context *context, const char *name, int64_t rows, int64_t cols, int32_t *id,
                            olica_ids **ids);
void olica_ids_close(olica_context *context, olica_ids *ids); /* NULL allowed */

/* Copies `count` ids from row `row`, column `col` on, continuing into the next rows. Checks that each lies in
 * [0, vocabulary): the message names file, row, column, value and bound. Not collective. */
olica_status olica_ids_read(olica_context *context, const olica_ids *ids, int64_t row, int64_t col,
                            int64_t count, int64_t vocabulary, int32_t *out);

/* Reads the same ids a piece at a time, checks them, and keeps none. Not collective. */
olica_status olica_ids_check(olica_context *context, const olica_ids *ids, int64_t row, int64_t col,
                             int64_t count, int64_t vocabulary);

#endif
