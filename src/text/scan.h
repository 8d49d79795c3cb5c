/* Finds the rows in a file's bytes, given in pieces of any size. Private to text. */
#ifndef OLICA_TEXT_SCAN_H
#define OLICA_TEXT_SCAN_H

#include "text/rows.h"

typedef enum olica_scan_state {
  OLICA_SCAN_OUTSIDE, /* before the array */
  OLICA_SCAN_FIRST,   /* after its opening bracket */
  OLICA_SCAN_ELEMENT, /* after a comma: an element must follow */
  OLICA_SCAN_BEHIND,  /* after an element */
  OLICA_SCAN_INSIDE,  /* inside an element, or inside a row of other kinds */
  OLICA_SCAN_STRING,  /* inside a string of an element */
  OLICA_SCAN_ESCAPE,  /* after a backslash in a string */
  OLICA_SCAN_DONE     /* after the array */
} olica_scan_state;

typedef struct olica_scan {
  olica_env *env;
  const olica_text_source *source;
  olica_row_index *index;
  int64_t least, most; /* bounds of a passage, bytes */
  olica_scan_state state;
  int64_t at, line;     /* position of the next byte, and its line */
  int64_t begin, blank; /* begin of the row; end of its last white space */
  int depth;            /* nesting of brackets in an element */
} olica_scan;

/* Starts at the byte at `at`; length: of the wanted sequences. */
void olica_scan_begin(olica_scan *scan, olica_env *env, const olica_text_source *source, int length,
                      int64_t at, olica_row_index *index);
olica_status olica_scan_bytes(olica_scan *scan, const char *bytes, size_t count);
olica_status olica_scan_end(olica_scan *scan);

#endif
