#include "text/look.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "unicode.h"

enum { HEAD = 1 << 16, PIECE = 1 << 20, CARRY = 4, FIELD = 64, WAY = 512 };

size_t olica_look_mark(const char *text, size_t bytes) {
  return bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* ---- formats by their first bytes ---- */

typedef struct format {
  const char *magic;
  size_t bytes, at;
  const char *name, *way;
} format;

#define IS(magic, name, way)                                                                                 \
  { magic, sizeof(magic) - 1, 0, name, way }
#define AT(at, magic, name, way)                                                                             \
  { magic, sizeof(magic) - 1, at, name, way }

#define UNPACKED "; unpack it first: "
#define TABLE                                                                                                \
  "; write its rows as JSON lines (pandas: to_json(FILE, orient=\"records\", lines=True)) and name them as " \
  "jsonl:FILE:FIELD"
#define NUMBERS "; it holds numbers, no text"
#define RECODED "; recode it first: iconv -f "

/* Of two signatures with a common prefix the longer one comes first. */
static const format formats[] = {
    IS("\x1f\x8b", "gzip", UNPACKED "gzip -dk FILE"),
    IS("\x28\xb5\x2f\xfd", "Zstandard", UNPACKED "zstd -d FILE"),
    IS("\xfd"
       "7zXZ\0",
       "xz", UNPACKED "xz -dk FILE"),
    IS("BZh", "bzip2", UNPACKED "bzip2 -dk FILE"),
    IS("\x04\x22\x4d\x18", "LZ4", UNPACKED "lz4 -d FILE"),
    IS("7z\xbc\xaf\x27\x1c", "7-Zip", UNPACKED "7z x FILE"),
    IS("Rar!\x1a\x07", "RAR", UNPACKED "unrar x FILE"),
    IS("PK\x03\x04", "ZIP (or PyTorch, NumPy's .npz, an office document)", UNPACKED "unzip FILE"),
    AT(257, "ustar", "tar", UNPACKED "tar -xf FILE"),
    IS("PAR1", "Parquet", TABLE),
    IS("ARROW1", "Arrow", TABLE),
    IS("\xff\xff\xff\xff\x10\0\0\0", "Arrow (a stream)", TABLE),
    IS("ORC", "ORC", TABLE),
    IS("Obj\x01", "Avro", TABLE),
    IS("SQLite format 3\0", "SQLite", TABLE),
    IS("\x93NUMPY", "NumPy", "; ids are named as npy:FILE in [calibration] text, or in tokens = FILE"),
    IS("\x89HDF\r\n\x1a\n", "HDF5", NUMBERS),
    IS("GGUF", "GGUF", NUMBERS),
    AT(8, "{\"", "safetensors", NUMBERS),
    IS("\x80\x02", "a pickle", TABLE),
    IS("\x80\x03", "a pickle", TABLE),
    IS("\x80\x04", "a pickle", TABLE),
    IS("\x80\x05", "a pickle", TABLE),
    IS("\x89PNG\r\n\x1a\n", "PNG", ""),
    IS("\xff\xd8\xff", "JPEG", ""),
    IS("GIF8", "GIF", ""),
    IS("%PDF-", "PDF", "; take its text out first: pdftotext FILE"),
    IS("\x7f"
       "ELF",
       "a program (ELF)", ""),
    IS("\xff\xfe\0\0", "UTF-32", RECODED "UTF-32 -t UTF-8 FILE > NEW"),
    IS("\0\0\xfe\xff", "UTF-32", RECODED "UTF-32 -t UTF-8 FILE > NEW"),
    IS("\xff\xfe", "UTF-16", RECODED "UTF-16 -t UTF-8 FILE > NEW"),
    IS("\xfe\xff", "UTF-16", RECODED "UTF-16 -t UTF-8 FILE > NEW"),
};

/* Returns false for letters that a text may also begin with. */
static bool is_sure(const format *f, const char *head, size_t bytes) {
  if (f->at == 8) return memchr(head, '\0', 8) != NULL; /* the header's length, below 2^56 */
  if (strcmp(f->magic, "BZh") == 0) return bytes > 10 && memcmp(head + 4, "1AY&SY", 6) == 0;
  bool letters = true;
  for (size_t i = 0; i < f->bytes; i++) letters &= f->magic[i] >= ' ' && f->magic[i] < 0x7f;
  return !letters || f->at > 0 || f->magic[0] == '%' || memchr(head, '\0', bytes);
}

static const format *find(const char *head, size_t bytes) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    const format *f = &formats[i];
    if (bytes >= f->at + f->bytes && memcmp(head + f->at, f->magic, f->bytes) == 0 && is_sure(f, head, bytes))
      return f;
  }
  return NULL;
}

static const char *wanted(olica_look as) {
  switch (as) {
  case OLICA_LOOK_JSONL:
    return "a JSON object a line (jsonl)";
  case OLICA_LOOK_ALPACA:
    return "a JSON array of objects (alpaca)";
  case OLICA_LOOK_QUESTIONS:
    return "a JSON object a line, a question each";
  case OLICA_LOOK_PLAIN:
    return "plain text in UTF-8 (plain)";
  default:
    return "plain text in UTF-8";
  }
}

static olica_status refuse(olica_env *env, const char *path, olica_look as, const char *found,
                           const char *way) {
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: is %s, expected %s%s", path, found, wanted(as), way);
}

/* ---- shapes of JSON ---- */

typedef enum shape { NO_JSON, LINES, OBJECT, ARRAY } shape;

static size_t blanks(const char *text, size_t bytes) {
  size_t n = 0;
  while (n < bytes && memchr(" \t\r\n", text[n], 4)) n++;
  return n;
}

/* Returns the length of a JSON string and the blanks after it, 0: none. */
static size_t string(const char *text, size_t bytes) {
  size_t n = 1;
  if (bytes == 0 || *text != '"') return 0;
  for (; n < bytes && text[n] != '"'; n++) n += text[n] == '\\';
  return n < bytes ? n + 1 + blanks(text + n + 1, bytes - n - 1) : 0;
}

/* Returns true if an object begins here: a name and a colon, or a closing brace. */
static bool begins_object(const char *text, size_t bytes) {
  if (bytes < 2 || *text != '{') return false;
  size_t n = 1 + blanks(text + 1, bytes - 1), name = string(text + n, bytes - n);
  return name > 0 && n + name < bytes && text[n + name] == ':';
}

static bool begins_array(const char *text, size_t bytes) {
  if (bytes < 2 || *text != '[') return false;
  size_t n = 1 + blanks(text + 1, bytes - 1), element = string(text + n, bytes - n);
  if (begins_object(text + n, bytes - n)) return true;
  return element > 0 && n + element < bytes && memchr(",]", text[n + element], 2);
}

/* Chooses a field of the first row for its text: "text", or else the longest string; "" if there is none. */
static void choose_field(const json_t *row, char *field) {
  const char *key;
  json_t *value;
  size_t longest = 0;
  field[0] = '\0';
  json_object_foreach((json_t *)row, key, value) {
    bool named = strcmp(key, "text") == 0;
    if (!json_is_string(value) || strlen(key) >= FIELD) continue;
    if (!named && json_string_length(value) <= longest) continue;
    longest = named ? SIZE_MAX : json_string_length(value);
    snprintf(field, FIELD, "%s", key);
    if (named) return;
  }
}

static shape shape_of(const char *text, size_t bytes, char *field) {
  size_t skip = blanks(text, bytes);
  text += skip;
  bytes -= skip;
  field[0] = '\0';
  if (begins_array(text, bytes)) return ARRAY;
  if (!begins_object(text, bytes)) return NO_JSON;
  const char *end = memchr(text, '\n', bytes);
  size_t line = end ? (size_t)(end - text) : bytes;
  json_t *row = json_loadb(text, line, JSON_ALLOW_NUL, NULL);
  if (row) choose_field(row, field);
  bool whole = row || !end; /* a line may be longer than the bytes examined */
  json_decref(row);
  while (line > 0 && memchr(" \t\r", text[line - 1], 3)) line--;
  return whole || !strchr("{[,", text[line - 1]) ? LINES : OBJECT; /* indented JSON, as json.tool prints it */
}

static olica_status refuse_lines(olica_env *env, const char *path, olica_look as, const char *field) {
  char way[WAY];
  bool other = *field && strcmp(field, "text") != 0;
  if (as == OLICA_LOOK_ALPACA)
    snprintf(
        way, sizeof way,
        "; name it as jsonl:FILE:FIELD for one of its fields, or make an array of it: jq -s . FILE > NEW");
  else if (as == OLICA_LOOK_EVALUATION)
    snprintf(way, sizeof way,
             "; take the text out first: jq -r .%s FILE > NEW (jsonl:FILE is a form of [calibration] text)",
             *field ? field : "text");
  else
    snprintf(way, sizeof way, "; name it as jsonl:FILE%s%s", other ? ":" : "", other ? field : "");
  return refuse(env, path, as, "JSON lines (jsonl)", way);
}

static olica_status check_shape(olica_env *env, const char *path, olica_look as, const char *text,
                                size_t bytes) {
  char field[FIELD];
  bool plain = as == OLICA_LOOK_PLAIN || as == OLICA_LOOK_EVALUATION;
  shape found = as == OLICA_LOOK_BYTES ? NO_JSON : shape_of(text, bytes, field);
  if (found == LINES && (plain || as == OLICA_LOOK_ALPACA)) return refuse_lines(env, path, as, field);
  if (found == ARRAY && as != OLICA_LOOK_ALPACA)
    return refuse(env, path, as, "a JSON array",
                  as == OLICA_LOOK_QUESTIONS || as == OLICA_LOOK_EVALUATION
                      ? "; make lines of it: jq -c '.[]' FILE > NEW"
                      : "; name it as alpaca:FILE if it has instructions, else make JSON lines of it (jq -c "
                        "'.[]' FILE > "
                        "NEW) and name them as jsonl:NEW:FIELD");
  if (found == OBJECT && as != OLICA_LOOK_ALPACA)
    return refuse(env, path, as, "one JSON object over several lines",
                  "; make JSON lines (jsonl) of what is in it, for example: jq -c . FILE > NEW");
  return OLICA_OK;
}

olica_status olica_look_head(olica_env *env, const char *path, olica_look as, const char *head,
                             size_t bytes) {
  size_t mark = olica_look_mark(head, bytes);
  const format *f = find(head, bytes);
  if (f) return refuse(env, path, as, f->name, f->way);
  return check_shape(env, path, as, head + mark, bytes - mark);
}

/* ---- all bytes of a text ---- */

typedef struct counts {
  int64_t at;         /* bytes before the current piece */
  int64_t nuls, crlf; /* counts of NUL bytes and CRLF */
  int64_t wide, ill;  /* well-formed characters beyond ASCII, and ill-formed bytes */
  int64_t first_nul, first_ill;
  char before;
} counts;

/* Counts the piece except a last character that may continue after it; returns the bytes counted. */
static size_t count(counts *c, const char *text, size_t bytes, bool last) {
  size_t i = 0;
  for (size_t n; i < bytes; i += n) {
    char byte = text[i];
    n = 1;
    if ((unsigned char)byte < 0x80) {
      if (!byte && c->nuls++ == 0) c->first_nul = c->at + (int64_t)i;
      c->crlf += byte == '\n' && c->before == '\r';
    } else if ((n = olica_unicode_valid((olica_span){text + i, bytes - i})) > 0) {
      c->wide++;
    } else if (!last && bytes - i < CARRY) {
      break;
    } else {
      if (c->ill++ == 0) c->first_ill = c->at + (int64_t)i;
      n = 1;
    }
    c->before = byte;
  }
  c->at += (int64_t)i;
  return i;
}

static olica_status judge(olica_env *env, const char *path, olica_look as, const counts *c) {
  if (c->nuls)
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: has %lld NUL bytes, the first at byte %lld: it is binary, or UTF-16; expected %s "
        "(iconv -f UTF-16 -t UTF-8 FILE > NEW, if it is UTF-16)",
        path, (long long)c->nuls, (long long)c->first_nul, wanted(as));
  if (c->ill > c->wide)
    return olica_error_set(
        env, OLICA_ERR_INPUT,
        "%s: has %lld bytes that are no UTF-8, the first at byte %lld; expected %s; recode "
        "it first, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW",
        path, (long long)c->ill, (long long)c->first_ill, wanted(as));
  if (c->ill)
    olica_log_warn(
        env, "%.120s: has %lld bytes that are no UTF-8, the first at byte %lld; they are read as U+FFFD",
        path, (long long)c->ill, (long long)c->first_ill);
  if (c->crlf)
    olica_log_warn(
        env, "%.120s: %lld lines end with CRLF and are tokenized as they stand (Python reads them as LF)",
        path, (long long)c->crlf);
  return OLICA_OK;
}

static olica_status look_at_all(olica_env *env, const char *path, olica_look as, int fd, int64_t size,
                                char *piece) {
  counts c = {0};
  size_t have = 0;
  for (int64_t at = 0, n; at < size; at += n) {
    n = size - at < PIECE ? size - at : PIECE;
    OLICA_TRY(olica_file_read(env, fd, path, at, piece + have, (size_t)n));
    if (at == 0) OLICA_TRY(olica_look_head(env, path, as, piece, (size_t)(n < HEAD ? n : HEAD)));
    if (as != OLICA_LOOK_PLAIN && as != OLICA_LOOK_EVALUATION) return OLICA_OK;
    size_t all = have + (size_t)n, counted = count(&c, piece, all, at + n == size);
    have = all - counted;
    memmove(piece, piece + counted, have);
  }
  return judge(env, path, as, &c);
}

olica_status olica_look_file(olica_env *env, const char *path, olica_look as) {
  int fd;
  int64_t size;
  char *piece;
  OLICA_TRY(olica_file_open(env, path, &fd, &size));
  olica_status status = OLICA_NEW(env, piece, (size_t)(size < PIECE ? size : PIECE) + CARRY);
  if (status == OLICA_OK) {
    status = look_at_all(env, path, as, fd, size, piece);
    olica_memory_free(env, piece);
  }
  close(fd);
  return status;
}
