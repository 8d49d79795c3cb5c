#include "strip.h"

#include <stdbool.h>
#include <string.h>

/* Return the bytes of the white space at a text's begin, or just before its end; 0: none. */
static size_t space(const char *text, const char *end, bool behind) {
  static const char *const wide[] = {"\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                     "\u2004",   "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                     "\u2028",   "\u2029", "\u202f", "\u205f", "\u3000"};
  size_t left = (size_t)(end - text);
  if (left == 0) return 0;
  char c = behind ? end[-1] : *text;
  if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f)) return 1;
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
    size_t bytes = strlen(wide[i]);
    if (bytes <= left && memcmp(behind ? end - bytes : text, wide[i], bytes) == 0) return bytes;
  }
  return 0;
}

void olica_strip(const char **text, const char **end) {
  for (size_t bytes; (bytes = space(*text, *end, false)) > 0;) *text += bytes;
  *end = *text + olica_strip_end(*text, (size_t)(*end - *text));
}

size_t olica_strip_end(const char *text, size_t bytes) {
  for (size_t n; (n = space(text, text + bytes, true)) > 0;) bytes -= n;
  return bytes;
}
