#include "unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

/* Returns the length of the character that begins here, or minus the length of an ill-formed part. */
static int measure(const unsigned char *p, size_t left) {
  if (p[0] < 0x80) return 1;
  int length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  if (p[0] < 0xc2 || p[0] > 0xf4) return -1;
  for (int i = 1; i < length; i++) {
    unsigned char low = 0x80, high = 0xbf;
    if (i == 1 && p[0] == 0xe0) low = 0xa0;
    if (i == 1 && p[0] == 0xed) high = 0x9f;
    if (i == 1 && p[0] == 0xf0) low = 0x90;
    if (i == 1 && p[0] == 0xf4) high = 0x8f;
    if ((size_t)i >= left || p[i] < low || p[i] > high) return -i;
  }
  return length;
}

size_t olica_unicode_valid(olica_span text) {
  int length = text.bytes ? measure((const unsigned char *)text.data, text.bytes) : 0;
  return length > 0 ? (size_t)length : 0;
}

/* Returns the number of bytes before the first ill-formed one. */
static size_t well_formed(olica_span text, size_t at) {
  const unsigned char *p = (const unsigned char *)text.data;
  while (at < text.bytes) {
    int length = measure(p + at, text.bytes - at);
    if (length < 0) break;
    at += (size_t)length;
  }
  return at;
}

olica_status olica_unicode_repair(olica_env *env, olica_span text, bool each_byte, olica_bytes *scratch,
                                  olica_span *repaired) {
  *repaired = text;
  size_t good = well_formed(text, 0), from = 0;
  if (good == text.bytes) return OLICA_OK;
  scratch->count = 0;
  while (good < text.bytes) {
    int bad = measure((const unsigned char *)text.data + good, text.bytes - good);
    OLICA_TRY(olica_bytes_append(env, scratch, text.data + from, good - from));
    OLICA_TRY(olica_unicode_append(env, scratch, OLICA_REPLACEMENT));
    from = good + (each_byte ? 1 : (size_t)-bad);
    good = well_formed(text, from);
  }
  OLICA_TRY(olica_bytes_append(env, scratch, text.data + from, text.bytes - from));
  *repaired = olica_bytes_span(scratch);
  return OLICA_OK;
}

uint32_t olica_unicode_next(olica_span text, size_t *at) {
  const unsigned char *p = (const unsigned char *)text.data + *at;
  if (p[0] < 0x80) return *at += 1, p[0];
  if (p[0] < 0xe0) return *at += 2, (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
  if (p[0] < 0xf0) return *at += 3, (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
  return *at += 4, (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

uint32_t olica_unicode_before(olica_span text, size_t end, size_t *begin) {
  size_t at = end - 1;
  while (at > 0 && ((unsigned char)text.data[at] & 0xc0) == 0x80) at--;
  *begin = at;
  return olica_unicode_next(text, &at);
}

size_t olica_unicode_put(uint32_t code, char *out) {
  return (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
}

olica_status olica_unicode_append(olica_env *env, olica_bytes *bytes, uint32_t code) {
  OLICA_TRY(olica_bytes_reserve(env, bytes, 4));
  bytes->count += olica_unicode_put(code, bytes->data + bytes->count);
  return OLICA_OK;
}

/* ---- classes ---- */

static utf8proc_category_t category(uint32_t code) {
  return utf8proc_category((utf8proc_int32_t)code);
}

bool olica_unicode_is_space(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  utf8proc_category_t c = category(code);
  return code == 0x85 || c == UTF8PROC_CATEGORY_ZS || c == UTF8PROC_CATEGORY_ZL || c == UTF8PROC_CATEGORY_ZP;
}

/* Alphabetic, but neither letter, number nor mark: letters in circles and squares. */
static bool is_enclosed(uint32_t code) {
  return (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
         (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);
}

bool olica_unicode_is_mark(uint32_t code) {
  utf8proc_category_t c = category(code);
  return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

bool olica_unicode_is_nonspacing(uint32_t code) {
  return category(code) == UTF8PROC_CATEGORY_MN;
}

bool olica_unicode_is_other(uint32_t code) {
  utf8proc_category_t c = category(code);
  return c >= UTF8PROC_CATEGORY_CC && c <= UTF8PROC_CATEGORY_CO;
}

bool olica_unicode_is_word(uint32_t code) {
  utf8proc_category_t c = category(code);
  return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) || c == UTF8PROC_CATEGORY_ND ||
         c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_PC || olica_unicode_is_mark(code) ||
         is_enclosed(code) || code == 0x200c || code == 0x200d;
}

bool olica_unicode_is_numeric(uint32_t code) {
  utf8proc_category_t c = category(code);
  return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

bool olica_unicode_is_punctuation(uint32_t code) {
  if (code < 0x80)
    return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') || (code >= '[' && code <= '`') ||
           (code >= '{' && code <= '~');
  utf8proc_category_t c = category(code);
  return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

/* ---- bytes as characters ---- */

static bool is_shown(uint32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* Printable Latin-1 characters stand for themselves; the other 68 bytes are numbered from U+0100 on, in
 * order. */
uint32_t olica_unicode_of_byte(unsigned char byte) {
  if (is_shown(byte)) return byte;
  if (byte <= ' ') return 0x100u + byte;
  if (byte <= 0xa0) return 0x100u + '!' + (byte - 0x7fu);
  return 0x100u + 67;
}

int olica_unicode_to_byte(uint32_t code) {
  if (code < 0x100) return is_shown(code) ? (int)code : -1;
  uint32_t number = code - 0x100;
  if (number <= ' ') return (int)number;
  if (number < 67) return (int)(number - '!' + 0x7f);
  return number == 67 ? 0xad : -1;
}

/* ---- normalization ---- */

/* A mark, with its combining class in the bits above its position: sorting is stable. */
typedef struct mark {
  uint64_t key;
  int32_t code;
} mark;

static int by_key(const void *a, const void *b) {
  uint64_t x = ((const mark *)a)->key, y = ((const mark *)b)->key;
  return x < y ? -1 : x > y;
}

/* utf8proc sorts runs of marks by exchanging neighbours, which is quadratic in long runs. */
static olica_status order_marks(olica_env *env, int32_t *code, size_t count) {
  mark *run = NULL;
  size_t room = 0;
  for (size_t i = 0; i < count;) {
    size_t n = 0;
    bool sorted = true;
    while (i + n < count && utf8proc_get_property(code[i + n])->combining_class > 0) {
      sorted = sorted && (n == 0 || utf8proc_get_property(code[i + n - 1])->combining_class <=
                                        utf8proc_get_property(code[i + n])->combining_class);
      n++;
    }
    if (!sorted) {
      if (n > room) {
        olica_memory_free(env, run);
        OLICA_TRY(OLICA_NEW(env, run, room = n));
      }
      for (size_t k = 0; k < n; k++)
        run[k] = (mark){(uint64_t)utf8proc_get_property(code[i + k])->combining_class << 48 | k, code[i + k]};
      qsort(run, n, sizeof *run, by_key);
      for (size_t k = 0; k < n; k++) code[i + k] = run[k].code;
    }
    i += n ? n : 1;
  }
  olica_memory_free(env, run);
  return OLICA_OK;
}

/* Decomposes into `code` of capacity `room`; returns the number of characters needed. */
static size_t decompose(olica_span text, utf8proc_option_t options, int32_t *code, size_t room) {
  size_t count = 0;
  int boundary = 0;
  for (size_t at = 0; at < text.bytes;) {
    utf8proc_int32_t buffer[32];
    uint32_t c = olica_unicode_next(text, &at);
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, buffer, 32, options, &boundary);
    if (n < 1 || n > 32) n = 1, buffer[0] = (utf8proc_int32_t)c;
    for (utf8proc_ssize_t i = 0; i < n; i++, count++)
      if (count < room) code[count] = buffer[i];
  }
  return count;
}

static bool is_ascii(olica_span text) {
  unsigned char all = 0;
  for (size_t i = 0; i < text.bytes; i++) all |= (unsigned char)text.data[i];
  return all < 0x80;
}

olica_status olica_unicode_normalize(olica_env *env, olica_form form, olica_span text, olica_bytes *out) {
  if (is_ascii(text)) return olica_bytes_append(env, out, text.data, text.bytes);
  int options = UTF8PROC_DECOMPOSE;
  if (form == OLICA_NFKC || form == OLICA_NFKD) options |= UTF8PROC_COMPAT;
  size_t count = decompose(text, (utf8proc_option_t)options, NULL, 0);
  int32_t *code;
  OLICA_TRY(OLICA_NEW(env, code, count));
  decompose(text, (utf8proc_option_t)options, code, count);
  olica_status status = order_marks(env, code, count);
  if (form == OLICA_NFC || form == OLICA_NFKC)
    count =
        (size_t)utf8proc_normalize_utf32(code, (utf8proc_ssize_t)count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  for (size_t i = 0; i < count && status == OLICA_OK; i++)
    status = olica_unicode_append(env, out, (uint32_t)code[i]);
  olica_memory_free(env, code);
  return status;
}

olica_status olica_unicode_lower(olica_env *env, olica_span text, olica_bytes *out) {
  for (size_t at = 0; at < text.bytes;) {
    uint32_t c = olica_unicode_next(text, &at);
    uint32_t lower = c < 0x80 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : (uint32_t)utf8proc_tolower((int32_t)c);
    if (c == 0x130) lower = 'i'; /* the only character that becomes two: i and a combining dot above */
    OLICA_TRY(olica_unicode_append(env, out, lower));
    if (c == 0x130) OLICA_TRY(olica_unicode_append(env, out, 0x307));
  }
  return OLICA_OK;
}
