#include "io/npy.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "par/comm.h"

/* NumPy itself refuses headers past 10,000 bytes; those of id files have about 128. */
enum { HEADER_BYTES_MAX = 65536, SHORT_PREFIX = 10, LONG_PREFIX = 12, WORD = 32, BATCH = 4096 };

static const char magic[] = "\x93NUMPY";
static const char known_types[] = "'<i4', '<i8', '<u2', '<u4' or '|u1'";

/* ---- the header: a Python dictionary ---- */

/* State of the parser: its position in the dictionary, and the values read. */
typedef struct header {
  olica_env *env;
  const char *path;
  const char *start, *at; /* NUL-terminated */
  char descr[WORD];
  bool fortran;
  int dims;
  int64_t rows, cols; /* of all dimensions but the last, of the last */
} header;

/* Replaces characters that are not ASCII: a valid header is ASCII, and an invalid one appears in a
 * message. */
static void keep_ascii(char *text) {
  for (; *text; text++)
    if (!isprint((unsigned char)*text)) *text = '?';
}

static olica_status malformed(const header *h, const char *expected) {
  char found[WORD];
  snprintf(found, sizeof found, *h->at ? "\"%.20s\"" : "the end", h->at);
  keep_ascii(found);
  return olica_error_set(h->env, OLICA_ERR_INPUT, "%s: header: byte %td: found %s, expected %s", h->path,
                         h->at - h->start, found, expected);
}

static void skip(header *h) {
  h->at += strspn(h->at, " \t\n");
}

static bool accept(header *h, char wanted) {
  skip(h);
  if (*h->at != wanted || !wanted) return false;
  h->at++;
  return true;
}

/* Reads 'word' or "word"; a string that does not fit, or another token, is malformed. */
static olica_status read_string(header *h, const char *expected, char *word) {
  char quote = accept(h, '\'') ? '\'' : accept(h, '"') ? '"' : '\0';
  if (!quote) return malformed(h, expected);
  const char *end = strchr(h->at, quote);
  if (!end || end - h->at >= WORD || memchr(h->at, '\\', (size_t)(end - h->at)))
    return malformed(h, expected);
  snprintf(word, WORD, "%.*s", (int)(end - h->at), h->at);
  h->at = end + 1;
  return OLICA_OK;
}

static olica_status read_boolean(header *h, bool *value) {
  *value = strncmp(h->at, "True", 4) == 0;
  if (!*value && strncmp(h->at, "False", 5) != 0) return malformed(h, "fortran_order to be True or False");
  h->at += *value ? 4 : 5;
  return OLICA_OK;
}

static olica_status read_extent(header *h, int64_t *extent) {
  *extent = 0;
  if (!isdigit((unsigned char)*h->at)) return malformed(h, "an extent of shape");
  for (; isdigit((unsigned char)*h->at); h->at++)
    if (__builtin_mul_overflow(*extent, 10, extent) || __builtin_add_overflow(*extent, *h->at - '0', extent))
      return malformed(h, "an extent below 2^63");
  return OLICA_OK;
}

/* Reads (n,) or (m, n) or more, a trailing comma allowed. */
static olica_status read_shape(header *h) {
  if (!accept(h, '(')) return malformed(h, "shape to be a tuple");
  bool comma = true;
  h->rows = h->cols = 1;
  for (h->dims = 0; !accept(h, ')'); h->dims++) {
    if (!comma) return malformed(h, "a comma or the end of shape");
    if (__builtin_mul_overflow(h->rows, h->cols, &h->rows)) return malformed(h, "fewer than 2^63 rows");
    OLICA_TRY(read_extent(h, &h->cols));
    comma = accept(h, ',');
  }
  if (h->dims == 0) return malformed(h, "shape to have a dimension");
  if (h->dims == 1 && !comma) return malformed(h, "a comma in a shape of 1 dimension");
  return OLICA_OK;
}

/* Reads one `key: value`; `seen` has a bit for each key read so far. */
static olica_status read_item(header *h, unsigned *seen) {
  static const char *const keys[] = {"descr", "fortran_order", "shape"};
  char key[WORD];
  OLICA_TRY(read_string(h, "descr, fortran_order or shape", key));
  unsigned i = 0;
  while (i < 3 && strcmp(keys[i], key) != 0) i++;
  keep_ascii(key);
  if (i == 3 || (*seen & 1u << i))
    return olica_error_set(h->env, OLICA_ERR_INPUT,
                           "%s: header: found key '%s'%s, expected descr, fortran_order and shape once each",
                           h->path, key, i < 3 ? " again" : "");
  *seen |= 1u << i;
  if (!accept(h, ':')) return malformed(h, "a colon");
  skip(h);
  if (i == 0) return read_string(h, "descr to be one plain type, not a structure", h->descr);
  return i == 1 ? read_boolean(h, &h->fortran) : read_shape(h);
}

static olica_status read_dictionary(header *h) {
  unsigned seen = 0;
  bool comma = true;
  if (!accept(h, '{')) return malformed(h, "a dictionary");
  while (!accept(h, '}')) {
    if (!comma) return malformed(h, "a comma or the end of the dictionary");
    OLICA_TRY(read_item(h, &seen));
    comma = accept(h, ',');
  }
  skip(h);
  if (*h->at) return malformed(h, "nothing after the dictionary");
  return seen == 7 ? OLICA_OK : malformed(h, "descr, fortran_order and shape before it");
}

/* ---- what it says against what we can use and the file holds ---- */

static olica_status set_type(const header *h, olica_npy *npy) {
  static const struct {
    const char *name;
    int item, is_signed;
  } types[] = {{"i4", 4, 1}, {"i8", 8, 1}, {"u2", 2, 0}, {"u4", 4, 0}, {"u1", 1, 0}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (strcmp(h->descr + (*h->descr != '\0'), types[i].name) != 0) continue;
    /* '|' means no byte order; '=' means the machine's, which is little-endian here. */
    if (!strchr(types[i].item == 1 ? "|<=" : "<=", h->descr[0])) continue;
    npy->item = types[i].item;
    npy->is_signed = types[i].is_signed;
    return OLICA_OK;
  }
  char found[WORD];
  memcpy(found, h->descr, sizeof found);
  keep_ascii(found);
  return olica_error_set(h->env, OLICA_ERR_INPUT, "%s: descr is '%s', expected token ids as %s", h->path,
                         found, known_types);
}

static olica_status set_shape(const header *h, olica_npy *npy, int64_t file) {
  if (h->fortran && h->dims > 1)
    return olica_error_set(h->env, OLICA_ERR_INPUT, "%s: fortran_order is True, expected rows in C order",
                           h->path);
  npy->dims = h->dims;
  npy->rows = h->rows;
  npy->cols = h->cols;
  int64_t bytes;
  if (__builtin_mul_overflow(npy->rows, npy->cols, &bytes) ||
      __builtin_mul_overflow(bytes, npy->item, &bytes))
    return olica_error_set(h->env, OLICA_ERR_INPUT, "%s: the product of shape (%lld, %lld) overflows",
                           h->path, (long long)npy->rows, (long long)npy->cols);
  if (file - npy->offset == bytes) return OLICA_OK;
  return olica_error_set(h->env, OLICA_ERR_INPUT,
                         "%s: holds %lld bytes of data, expected %lld for %lld x %lld ids of %d bytes",
                         h->path, (long long)(file - npy->offset), (long long)bytes, (long long)npy->rows,
                         (long long)npy->cols, npy->item);
}

/* Returns the position and length of the dictionary: the length field is short in version 1, long in later
 * ones. */
static olica_status read_prefix(olica_env *env, const char *path, int fd, int64_t file, int64_t *begin,
                                int64_t *length) {
  unsigned char p[LONG_PREFIX] = {0};
  size_t have = file < LONG_PREFIX ? (size_t)file : LONG_PREFIX;
  OLICA_TRY(olica_file_read(env, fd, path, 0, p, have));
  if (have < LONG_PREFIX || memcmp(p, magic, 6) != 0)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: does not begin as an .npy file (%lld bytes)", path,
                           (long long)file);
  if (p[6] < 1 || p[6] > 3)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: .npy version %d.%d, expected 1 to 3", path, p[6], p[7]);
  *begin = p[6] == 1 ? SHORT_PREFIX : LONG_PREFIX;
  *length = p[8] | p[9] << 8;
  if (p[6] > 1) *length |= (int64_t)p[10] << 16 | (int64_t)p[11] << 24;
  int64_t most = file - *begin < HEADER_BYTES_MAX ? file - *begin : HEADER_BYTES_MAX;
  if (*length <= most) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: says that its header has %lld bytes, expected at most %lld", path,
                         (long long)*length, (long long)most);
}

static olica_status read_header(olica_env *env, olica_npy *npy, int fd, int64_t file) {
  int64_t begin = 0, length = 0;
  OLICA_TRY(read_prefix(env, npy->path, fd, file, &begin, &length));
  char *text;
  OLICA_TRY(OLICA_NEW(env, text, (size_t)length + 1));
  OLICA_TRY(olica_file_read(env, fd, npy->path, begin, text, (size_t)length));
  header h = {.env = env, .path = npy->path, .start = text, .at = text};
  npy->offset = begin + length;
  OLICA_TRY(read_dictionary(&h));
  if (h.at != text + length) return malformed(&h, "text without NUL");
  OLICA_TRY(set_type(&h, npy));
  OLICA_TRY(set_shape(&h, npy, file));
  olica_memory_free(env, text);
  return OLICA_OK;
}

static olica_status open_header(olica_env *env, olica_npy *npy) {
  int fd;
  int64_t bytes;
  OLICA_TRY(olica_file_open(env, npy->path, &fd, &bytes));
  olica_status status = read_header(env, npy, fd, bytes);
  close(fd);
  return status;
}

static olica_status create(olica_env *env, const char *path, olica_npy **out) {
  olica_npy *npy;
  OLICA_TRY(OLICA_NEW(env, npy, 1));
  *out = npy;
  npy->path = olica_memory_string(env, path);
  return npy->path ? OLICA_OK : env->error.code;
}

olica_status olica_npy_open(olica_context *context, const char *path, olica_npy **out) {
  olica_npy *npy = NULL;
  olica_status status = create(context->env, path, &npy);
  if (status == OLICA_OK && context->rank == 0) status = open_header(context->env, npy);
  OLICA_AGREE(context, status);
  char *own = npy->path;
  olica_comm_bcast(context, context->comm, npy, sizeof *npy, 0);
  npy->path = own;
  *out = npy;
  return OLICA_OK;
}

void olica_npy_close(olica_context *context, olica_npy *npy) {
  if (!npy) return;
  olica_memory_free(context->env, npy->path);
  olica_memory_free(context->env, npy);
}

/* ---- ids ---- */

static int64_t decode(const olica_npy *npy, const unsigned char *raw) {
  uint64_t bits = 0;
  for (int i = npy->item - 1; i >= 0; i--) bits = bits << 8 | raw[i];
  if (npy->item == 4 && npy->is_signed) return (int32_t)bits;
  return (int64_t)bits;
}

/* Reads n <= BATCH ids from element `first` of the array on. */
static olica_status read_batch(olica_env *env, const olica_npy *npy, int fd, int64_t first, int64_t n,
                               int64_t vocabulary, int32_t *ids) {
  unsigned char raw[BATCH * sizeof(int64_t)];
  size_t bytes = (size_t)(n * npy->item);
  OLICA_TRY(olica_file_read(env, fd, npy->path, npy->offset + first * npy->item, raw, bytes));
  for (int64_t i = 0; i < n; i++) {
    int64_t id = decode(npy, raw + i * npy->item);
    if (id < 0 || id >= vocabulary)
      return olica_error_set(env, OLICA_ERR_INPUT,
                             "%s: row %lld, column %lld: id %lld, expected one in [0, %lld)", npy->path,
                             (long long)((first + i) / npy->cols), (long long)((first + i) % npy->cols),
                             (long long)id, (long long)vocabulary);
    ids[i] = (int32_t)id;
  }
  return OLICA_OK;
}

olica_status olica_npy_read(olica_context *context, const olica_npy *npy, int64_t row, int64_t col,
                            int64_t count, int64_t vocabulary, int32_t *ids) {
  assert(row >= 0 && col >= 0 && count >= 0 && vocabulary <= INT32_MAX);
  int64_t first = row * npy->cols + col, all = npy->rows * npy->cols;
  assert(first <= all && count <= all - first);
  if (count == 0) return OLICA_OK;
  int fd;
  int64_t bytes;
  OLICA_TRY(olica_file_open(context->env, npy->path, &fd, &bytes));
  olica_status status = OLICA_OK;
  for (int64_t done = 0; done < count && status == OLICA_OK; done += BATCH) {
    int64_t n = count - done < BATCH ? count - done : BATCH;
    status = read_batch(context->env, npy, fd, first + done, n, vocabulary, ids + done);
  }
  close(fd);
  return status;
}

olica_status olica_npy_write(olica_env *env, const char *path, int64_t rows, int64_t cols,
                             const int32_t *ids) {
  /* Version 1.0 with a header of 128 bytes in all, padded with spaces so that the data is aligned. */
  char head[128], dictionary[sizeof head - SHORT_PREFIX];
  int n = snprintf(dictionary, sizeof dictionary,
                   "{'descr': '<i4', 'fortran_order': False, 'shape': (%lld, %lld), }", (long long)rows,
                   (long long)cols);
  memset(head, ' ', sizeof head);
  memcpy(head, magic, sizeof magic - 1);
  memcpy(head + sizeof magic - 1, (char[]){1, 0, sizeof head - SHORT_PREFIX, 0}, 4);
  memcpy(head + SHORT_PREFIX, dictionary, (size_t)n);
  head[sizeof head - 1] = '\n';
  size_t data = (size_t)(rows * cols) * sizeof *ids;
  char *whole = olica_memory_get(env, path, sizeof head + data, 1);
  if (!whole) return env->error.code;
  memcpy(whole, head, sizeof head);
  if (data > 0) memcpy(whole + sizeof head, ids, data);
  olica_status status = olica_file_save(env, path, whole, sizeof head + data);
  olica_memory_free(env, whole);
  return status;
}
