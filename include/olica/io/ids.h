/* Token ids, wherever they come from: a file of ids, or memory (a text that has been tokenized). A table
 * [rows x cols] that streams and windows read from. */
#ifndef OLICA_IO_IDS_H
#define OLICA_IO_IDS_H

#include "olica/io/npy.h"

typedef struct olica_ids {
  char *name;         /* the file, for messages; owned */
  int64_t rows, cols; /* of a 1-d file, and of a text: 1 x n */
  olica_npy *npy;     /* the file, or NULL: */
  int32_t *id;        /* [rows x cols] the same on every rank, owned */
} olica_ids;

/* Ids of an .npy file: rank 0 reads its header, all know; ids are read when they are asked for. Collective on
 * the context. Free with olica_ids_close. */
olica_status olica_ids_open(olica_context *context, const char *path, olica_ids **ids);

/* Ids in memory: `id` [rows x cols], counted, belongs to the ids from here on (after a failure too). Not
 * collective. */
olica_status olica_ids_hold(olica_context *context, const char *name, int64_t rows, int64_t cols, int32_t *id,
                            olica_ids **ids);
void olica_ids_close(olica_context *context, olica_ids *ids); /* NULL allowed */

/* Copies `count` ids from row `row`, column `col` on, along the row and on into the next, each checked to lie
 * in [0, vocabulary): the message names file, row, column, value and bound. Not collective. */
olica_status olica_ids_read(olica_context *context, const olica_ids *ids, int64_t row, int64_t col,
                            int64_t count, int64_t vocabulary, int32_t *out);

#endif
