/* The rows of a text, from which calibration sequences are drawn. A file is indexed once (position and length
 * of each row); then any rank reads single rows.
 *
 *   alpaca  an element of the array; its text is the Stanford Alpaca prompt followed by the output
 *   jsonl   a line that is not blank; its text is a field of the object
 *   plain   a passage: about 8 bytes a token of the sequences' length, to the next end of a line, or at most
 *           twice as many, to the last white space. Passages follow each other without overlap, so that any
 *           text, of long or short lines, gives as many rows as possible
 *   npy     a row of ids; of a 1-d file pieces of twice the sequences' length */
#ifndef OLICA_TEXT_ROWS_H
#define OLICA_TEXT_ROWS_H

#include "io/npy.h"
#include "text/sources.h"

enum { OLICA_ROW_BYTES = 64 << 20 }; /* longer JSON rows are refused */

/* Positions of the rows in their file. */
typedef struct olica_row_index {
  int64_t count, room;
  int64_t *begin; /* [count] */
  int32_t *bytes; /* [count] */
} olica_row_index;

typedef struct olica_rows {
  olica_context *context;
  const olica_text_source *source; /* borrowed */
  int length;                      /* length of the wanted sequences */
  int64_t count;
  int fd;                /* descriptor of a text */
  olica_row_index index; /* of a text */
  olica_npy *npy;        /* of npy */
} olica_rows;

/* Indexes a file (rank 0) and checks every JSON row (each rank its share). OLICA_ERR_INPUT, naming file and
 * line, for a row that does not parse or lacks its field, and for a file without rows. Collective on the
 * context. */
olica_status olica_rows_open(olica_context *context, const olica_text_source *source, int length,
                             olica_rows **rows);
void olica_rows_close(olica_rows *rows); /* not collective; NULL allowed */

/* Returns the text of a row, followed by a NUL byte (it may itself contain NUL), in counted memory owned by
 * the caller. Not for npy. Not collective. */
olica_status olica_rows_text(const olica_rows *rows, int64_t row, char **text, size_t *bytes);

/* olica_rows_ids: returns the number of ids of a row of npy. The other: reads `count` of them from `first`
 * on, each checked to lie in [0, vocabulary). Not collective. */
int64_t olica_rows_ids(const olica_rows *rows, int64_t row);
olica_status olica_rows_read(const olica_rows *rows, int64_t row, int64_t first, int64_t count,
                             int64_t vocabulary, int32_t *ids);

/* Returns the line, counted from 1, at which a text's row begins, for messages; reads the file up to there. 0
 * for npy, or if the file cannot be read again. Not collective. */
int64_t olica_rows_line(const olica_rows *rows, int64_t row);

#endif
