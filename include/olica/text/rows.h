/* The rows of a text: what a calibration sequence can be drawn from. A file is indexed once (where each row
 * begins and how long it is); rows are then read one at a time, by whoever wants one.
 *
 *   alpaca  an element of the array; its text is the Stanford Alpaca prompt with the output behind it
 *   jsonl   a line that is not blank; its text is a field of the object
 *   plain   a passage: about 8 bytes a token of the sequences' length, to the next end of a line, or at most
 *           twice as many, to the last white space. Passages follow each other without overlap, so that any
 *           text, of long or short lines, gives as many rows as it has room for
 *   npy     a row of ids; of a 1-d file pieces of twice the sequences' length */
#ifndef OLICA_TEXT_ROWS_H
#define OLICA_TEXT_ROWS_H

#include "olica/io/npy.h"
#include "olica/text/sources.h"

enum { OLICA_ROW_BYTES = 64 << 20 }; /* a longer row of JSON is refused */

/* Where rows lie in their file. */
typedef struct olica_row_index {
  int64_t count, room;
  int64_t *begin; /* [count] */
  int32_t *bytes; /* [count] */
} olica_row_index;

typedef struct olica_rows {
  olica_context *context;
  const olica_text_source *source; /* borrowed */
  int length;                      /* of the sequences that are wanted */
  int64_t count;
  int fd;                /* of a text */
  olica_row_index index; /* of a text */
  olica_npy *npy;        /* of npy */
} olica_rows;

/* Indexes a file (rank 0) and looks at every row of JSON (all ranks, each at its share). What does not parse,
 * or lacks its field, is OLICA_ERR_INPUT naming file and line; so is a file without a row. Collective on the
 * context. */
olica_status olica_rows_open(olica_context *context, const olica_text_source *source, int length,
                             olica_rows **rows);
void olica_rows_close(olica_rows *rows); /* not collective; NULL allowed */

/* The text of a row, NUL-terminated past its `bytes` (it may hold NULs), counted memory of the caller's. Not
 * of npy. Not collective. */
olica_status olica_rows_text(const olica_rows *rows, int64_t row, char **text, size_t *bytes);

/* How many ids a row of npy has, and `count` of them from `first` on, each in [0, vocabulary). Not
 * collective. */
int64_t olica_rows_ids(const olica_rows *rows, int64_t row);
olica_status olica_rows_read(const olica_rows *rows, int64_t row, int64_t first, int64_t count,
                             int64_t vocabulary, int32_t *ids);

/* The line of the file a row of text begins in, from 1 on; reads the file up to there: for messages. 0 of
 * npy, and where the file cannot be read again. Not collective. */
int64_t olica_rows_line(const olica_rows *rows, int64_t row);

#endif
