/* Finds the rows in a file's bytes, handed over in pieces of any size. Private to text. */
#ifndef OLICA_TEXT_SCAN_H
#define OLICA_TEXT_SCAN_H

#include "olica/text/rows.h"

typedef enum olica_scan_state {
  OLICA_SCAN_OUTSIDE, /* of the array: before it */
  OLICA_SCAN_FIRST,   /* behind its bracket */
  OLICA_SCAN_ELEMENT, /* an element must come */
  OLICA_SCAN_BEHIND,  /* behind an element */
  OLICA_SCAN_INSIDE,  /* of an element, or of a row of other kinds */
  OLICA_SCAN_STRING,  /* of a string in an element */
  OLICA_SCAN_ESCAPE,  /* behind a backslash in a string */
  OLICA_SCAN_DONE     /* behind the array */
} olica_scan_state;

typedef struct olica_scan {
  olica_env *env;
  const olica_text_source *source;
  olica_row_index *index;
  int64_t least, most; /* of a passage, bytes */
  olica_scan_state state;
  int64_t at, line;     /* the next byte, and the line it is in */
  int64_t begin, blank; /* of the row; behind its last white space */
  int depth;            /* of brackets in an element */
} olica_scan;

/* Ready for the byte at `at`; length: of the sequences that are wanted. */
void olica_scan_begin(olica_scan *scan, olica_env *env, const olica_text_source *source, int length,
                      int64_t at, olica_row_index *index);
olica_status olica_scan_bytes(olica_scan *scan, const char *bytes, size_t count);
olica_status olica_scan_end(olica_scan *scan);

#endif
