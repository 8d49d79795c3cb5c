/* Three small state machines that read a file byte by byte, for files and lines of any size. */
#include "scan.h"

#include <string.h>

enum { TOKEN_BYTES = 8 }; /* bytes of a passage per token of a sequence */

void olica_scan_begin(olica_scan *scan, olica_env *env, const olica_text_source *source, int length,
                      int64_t at, olica_row_index *index) {
  *scan = (olica_scan){.env = env,
                       .source = source,
                       .index = index,
                       .least = (int64_t)TOKEN_BYTES * length,
                       .most = (int64_t)TOKEN_BYTES * 2 * length,
                       .at = at,
                       .line = 1};
}

static bool is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static olica_status grow(olica_env *env, olica_row_index *index) {
  size_t room = index->room ? 2 * (size_t)index->room : 1024, count = (size_t)index->count;
  int64_t *begin;
  int32_t *bytes;
  OLICA_TRY(OLICA_NEW(env, begin, room));
  OLICA_TRY(OLICA_NEW(env, bytes, room));
  if (count > 0) memcpy(begin, index->begin, count * sizeof *begin);
  if (count > 0) memcpy(bytes, index->bytes, count * sizeof *bytes);
  olica_memory_free(env, index->begin);
  olica_memory_free(env, index->bytes);
  index->begin = begin;
  index->bytes = bytes;
  index->room = (int64_t)room;
  return OLICA_OK;
}

/* Adds the row from scan->begin to before byte `end`. */
static olica_status add(olica_scan *scan, int64_t end) {
  olica_row_index *index = scan->index;
  if (index->count == index->room) OLICA_TRY(grow(scan->env, index));
  index->begin[index->count] = scan->begin;
  index->bytes[index->count++] = (int32_t)(end - scan->begin);
  return OLICA_OK;
}

/* c < 0: end of file. */
static olica_status unexpected(const olica_scan *scan, int c, const char *expected) {
  char found[16] = "the end";
  if (c > ' ' && c < 0x7f)
    memcpy(found, (char[]){'"', (char)c, '"', '\0'}, 4);
  else if (c >= 0)
    memcpy(found, "a strange byte", sizeof "a strange byte");
  return olica_error_set(scan->env, OLICA_ERR_INPUT, "%s: line %lld: found %s, expected %s",
                         scan->source->path, (long long)scan->line, found, expected);
}

static olica_status check_length(const olica_scan *scan) {
  if (scan->at - scan->begin < OLICA_ROW_BYTES) return OLICA_OK;
  return olica_error_set(scan->env, OLICA_ERR_INPUT,
                         "%s: line %lld: a row of more than %d bytes, expected a shorter one",
                         scan->source->path, (long long)scan->line, OLICA_ROW_BYTES);
}

/* ---- alpaca: an array of objects ---- */

static olica_status inside_element(olica_scan *scan, char c) {
  OLICA_TRY(check_length(scan));
  if (c == '"') scan->state = OLICA_SCAN_STRING;
  if (c == '{' || c == '[') scan->depth++;
  if (c != '}' && c != ']') return OLICA_OK;
  if (--scan->depth > 0) return OLICA_OK;
  scan->state = OLICA_SCAN_BEHIND;
  return add(scan, scan->at + 1);
}

static olica_status begin_element(olica_scan *scan, char c) {
  if (c == ']' && scan->state == OLICA_SCAN_FIRST) {
    scan->state = OLICA_SCAN_DONE;
    return OLICA_OK;
  }
  if (c != '{') return unexpected(scan, (unsigned char)c, "an object (a row of the array)");
  scan->begin = scan->at;
  scan->depth = 1;
  scan->state = OLICA_SCAN_INSIDE;
  return OLICA_OK;
}

static olica_status between(olica_scan *scan, char c) {
  switch (scan->state) {
  case OLICA_SCAN_OUTSIDE:
    if (c != '[') return unexpected(scan, (unsigned char)c, "\"[\" (an array of objects)");
    scan->state = OLICA_SCAN_FIRST;
    return OLICA_OK;
  case OLICA_SCAN_BEHIND:
    if (c != ',' && c != ']') return unexpected(scan, (unsigned char)c, "a comma or the end of the array");
    scan->state = c == ',' ? OLICA_SCAN_ELEMENT : OLICA_SCAN_DONE;
    return OLICA_OK;
  case OLICA_SCAN_DONE:
    return unexpected(scan, (unsigned char)c, "nothing behind the array");
  default:
    return begin_element(scan, c);
  }
}

static olica_status array_byte(olica_scan *scan, char c) {
  switch (scan->state) {
  case OLICA_SCAN_STRING:
    if (c == '"') scan->state = OLICA_SCAN_INSIDE;
    if (c == '\\') scan->state = OLICA_SCAN_ESCAPE;
    return check_length(scan);
  case OLICA_SCAN_ESCAPE:
    scan->state = OLICA_SCAN_STRING;
    return OLICA_OK;
  case OLICA_SCAN_INSIDE:
    return inside_element(scan, c);
  default:
    return is_blank(c) ? OLICA_OK : between(scan, c);
  }
}

static olica_status end_array(olica_scan *scan) {
  if (scan->state == OLICA_SCAN_DONE) return OLICA_OK;
  return unexpected(scan, -1,
                    scan->state == OLICA_SCAN_OUTSIDE ? "an array of objects" : "the rest of the array");
}

/* ---- jsonl: lines that are not blank ---- */

static olica_status line_byte(olica_scan *scan, char c) {
  bool inside = scan->state == OLICA_SCAN_INSIDE;
  if (inside) OLICA_TRY(check_length(scan));
  if (c == '\n') {
    scan->state = OLICA_SCAN_OUTSIDE;
    return inside ? add(scan, scan->at) : OLICA_OK;
  }
  if (inside || is_blank(c)) return OLICA_OK;
  scan->state = OLICA_SCAN_INSIDE;
  scan->begin = scan->at;
  return OLICA_OK;
}

/* ---- plain: passages ---- */

/* A passage ends at the end of a line if possible, else after a word, else after a character (within a
 * few bytes). */
static olica_status passage_byte(olica_scan *scan, char c) {
  if (scan->state != OLICA_SCAN_INSIDE) {
    if (c == '\n' || c == '\r') return OLICA_OK;
    scan->state = OLICA_SCAN_INSIDE;
    scan->begin = scan->blank = scan->at;
  }
  int64_t have = scan->at - scan->begin;
  if (c == '\n' && have >= scan->least) {
    scan->state = OLICA_SCAN_OUTSIDE;
    return add(scan, scan->at + 1);
  }
  bool is_inside_character = ((unsigned char)c & 0xc0) == 0x80;
  if (have >= scan->most && (!is_inside_character || have >= scan->most + 4)) {
    int64_t end = scan->blank - scan->begin >= scan->least ? scan->blank : scan->at;
    OLICA_TRY(add(scan, end));
    scan->begin = scan->blank = end;
  }
  if (is_blank(c)) scan->blank = scan->at + 1;
  return OLICA_OK;
}

/* ---- all of them ---- */

/* Returns the number of bytes that change nothing: the rest of a line. */
static size_t skip(const olica_scan *scan, const char *bytes, size_t count) {
  if (scan->source->kind != OLICA_TEXT_JSONL || scan->state != OLICA_SCAN_INSIDE) return 0;
  const char *end = memchr(bytes, '\n', count);
  return end ? (size_t)(end - bytes) : count - 1;
}

olica_status olica_scan_bytes(olica_scan *scan, const char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    size_t skipped = skip(scan, bytes + i, count - i);
    char c = bytes[i += skipped];
    scan->at += (int64_t)skipped;
    olica_text_kind kind = scan->source->kind;
    OLICA_TRY(kind == OLICA_TEXT_ALPACA  ? array_byte(scan, c)
              : kind == OLICA_TEXT_JSONL ? line_byte(scan, c)
                                         : passage_byte(scan, c));
    scan->at++;
    scan->line += c == '\n';
  }
  return OLICA_OK;
}

olica_status olica_scan_end(olica_scan *scan) {
  if (scan->source->kind == OLICA_TEXT_ALPACA) return end_array(scan);
  return scan->state == OLICA_SCAN_INSIDE && scan->at > scan->begin ? add(scan, scan->at) : OLICA_OK;
}
