#include "io/shard.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "io/file.h"
#include "io/json.h"

/* The format's own limit of a header. */
enum { HEADER_BYTES_MAX = 100000000, LENGTH_BYTES = 8, NAME_BYTES_MAX = 4096 };

/* The types of the format. For those not allowed for weights only the size is known. */
static const struct type {
  const char *name;
  int bits;
  olica_dtype dtype;
} types[] = {
    {"F32", 32, OLICA_FP32},      {"F16", 16, OLICA_FP16},      {"BF16", 16, OLICA_BF16},
    {"F64", 64, OLICA_DTYPES},    {"C64", 64, OLICA_DTYPES},    {"I64", 64, OLICA_DTYPES},
    {"U64", 64, OLICA_DTYPES},    {"I32", 32, OLICA_DTYPES},    {"U32", 32, OLICA_DTYPES},
    {"I16", 16, OLICA_DTYPES},    {"U16", 16, OLICA_DTYPES},    {"I8", 8, OLICA_DTYPES},
    {"U8", 8, OLICA_DTYPES},      {"BOOL", 8, OLICA_DTYPES},    {"F8_E4M3", 8, OLICA_DTYPES},
    {"F8_E5M2", 8, OLICA_DTYPES}, {"F8_E8M0", 8, OLICA_DTYPES}, {"F6_E2M3", 6, OLICA_DTYPES},
    {"F6_E3M2", 6, OLICA_DTYPES}, {"F4", 4, OLICA_DTYPES},
};

/* State of reading a file's header. */
typedef struct source {
  olica_catalog *catalog;
  olica_env *env;
  const char *path;
  int file, fd;
  int64_t bytes;  /* of the file */
  int64_t header; /* bytes before the data */
} source;

static const struct type *type_of(const char *name) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i].name, name) == 0) return &types[i];
  return NULL;
}

/* ---- one tensor's entry ---- */

static olica_status unexpected(const source *s, const char *tensor, const char *key, const json_t *found,
                               const char *expected) {
  char text[OLICA_JSON_TEXT];
  olica_json_describe(found, text);
  return olica_error_set(s->env, OLICA_ERR_INPUT, "%s: tensor %s: %s is %s, expected %s", s->path, tensor,
                         key, text, expected);
}

olica_status olica_shard_check_name(olica_env *env, const char *path, const char *name) {
  size_t length = strlen(name);
  bool controls = false;
  for (const char *c = name; *c; c++) controls |= (unsigned char)*c < 0x20 || *c == 0x7f;
  if (length > 0 && length <= NAME_BYTES_MAX && !controls) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: a tensor's name has %zu bytes%s, expected 1 to %d printable ones", path, length,
                         controls ? " with control characters" : "", NAME_BYTES_MAX);
}

void olica_shard_shorten(const char *name, char text[OLICA_TENSOR_NAME]) {
  size_t length = strlen(name);
  if (length < OLICA_TENSOR_NAME)
    memcpy(text, name, length + 1);
  else
    snprintf(text, OLICA_TENSOR_NAME, "%.140s... (checksum %08x)", name,
             (unsigned)crc32_z(0, (const Bytef *)name, length));
}

static olica_status read_type(const source *s, const json_t *entry, olica_tensor *tensor, int *bits) {
  const json_t *dtype = json_object_get(entry, "dtype");
  if (!json_is_string(dtype)) return unexpected(s, tensor->name, "dtype", dtype, "the name of a type");
  const char *name = json_string_value(dtype);
  const struct type *type = type_of(name);
  tensor->dtype = type ? type->dtype : OLICA_DTYPES;
  *bits = type ? type->bits : 0;
  snprintf(tensor->stored, sizeof tensor->stored, "%s", name);
  for (char *c = tensor->stored; *c; c++) /* the type's name appears in messages */
    if (!isprint((unsigned char)*c)) *c = '?';
  return OLICA_OK;
}

/* Reads an array of `least` to `most` numbers. */
static olica_status read_numbers(const source *s, const json_t *entry, const char *tensor, const char *key,
                                 int least, int most, int64_t *number) {
  const json_t *array = json_object_get(entry, key);
  char expected[OLICA_JSON_TEXT];
  snprintf(expected, sizeof expected, "an array of %s%d integers from 0 on", least < most ? "up to " : "",
           most);
  if (!json_is_array(array)) return unexpected(s, tensor, key, array, expected);
  int count = json_array_size(array) > (size_t)most ? most + 1 : (int)json_array_size(array);
  if (count < least || count > most)
    return olica_error_set(s->env, OLICA_ERR_INPUT, "%s: tensor %s: %s has %zu numbers, expected %s", s->path,
                           tensor, key, json_array_size(array), expected);
  for (int i = 0; i < count; i++) {
    const json_t *value = json_array_get(array, (size_t)i);
    number[i] = json_integer_value(value);
    if (json_is_integer(value) && number[i] >= 0) continue;
    char where[OLICA_JSON_TEXT];
    snprintf(where, sizeof where, "%s[%d]", key, i);
    return unexpected(s, tensor, where, value, "an integer from 0 on");
  }
  return OLICA_OK;
}

/* Checks that shape and type agree with the offsets. */
static olica_status check_bytes(const source *s, const olica_tensor *tensor, int bits) {
  int64_t size = 1;
  bool overflow = false;
  for (int i = 0; i < tensor->dims; i++) overflow |= __builtin_mul_overflow(size, tensor->shape[i], &size);
  if (overflow || __builtin_mul_overflow(size, bits ? bits : 1, &size))
    return olica_error_set(s->env, OLICA_ERR_INPUT, "%s: tensor %s: the product of its shape overflows",
                           s->path, tensor->name);
  if (bits == 0 || (size % 8 == 0 && size / 8 == tensor->bytes)) return OLICA_OK;
  return olica_error_set(
      s->env, OLICA_ERR_INPUT,
      "%s: tensor %s: data_offsets span %lld bytes, expected %lld from its shape and type %s", s->path,
      tensor->name, (long long)tensor->bytes, (long long)(size / 8 + (size % 8 != 0)), tensor->stored);
}

static olica_status read_tensor(const source *s, const char *name, const json_t *entry) {
  olica_tensor tensor = {.file = s->file};
  OLICA_TRY(olica_shard_check_name(s->env, s->path, name));
  olica_shard_shorten(name, tensor.name);
  if (!json_is_object(entry)) return unexpected(s, name, "the entry", entry, "an object");
  int bits = 0;
  OLICA_TRY(read_type(s, entry, &tensor, &bits));
  OLICA_TRY(read_numbers(s, entry, name, "shape", 0, OLICA_TENSOR_DIMS, tensor.shape));
  tensor.dims = (int)json_array_size(json_object_get(entry, "shape"));
  int64_t range[2] = {0, 0};
  OLICA_TRY(read_numbers(s, entry, name, "data_offsets", 2, 2, range));
  int64_t data = s->bytes - s->header;
  if (range[0] > range[1] || range[1] > data)
    return olica_error_set(
        s->env, OLICA_ERR_INPUT,
        "%s: tensor %s: data_offsets are [%lld, %lld], expected a range in the file's %lld bytes of data%s",
        s->path, name, (long long)range[0], (long long)range[1], (long long)data,
        range[0] > range[1] ? "" : " (is it truncated?)");
  tensor.offset = s->header + range[0];
  tensor.bytes = range[1] - range[0];
  OLICA_TRY(check_bytes(s, &tensor, bits));
  return olica_catalog_add(s->catalog, &tensor);
}

/* ---- the whole header ---- */

static int by_offset(const void *a, const void *b) {
  const olica_tensor *one = a, *other = b;
  if (one->offset != other->offset) return one->offset < other->offset ? -1 : 1;
  return (one->bytes > other->bytes) - (one->bytes < other->bytes); /* empty ones first */
}

/* The tensors must tile the data: a hole may hide something, and an overlap means that one tensor is
 * wrong. */
static olica_status check_tiling(const source *s, int first) {
  int count = s->catalog->count - first;
  olica_tensor *tensor = count > 0 ? s->catalog->tensor + first : NULL;
  if (count > 0) qsort(tensor, (size_t)count, sizeof *tensor, by_offset);
  int64_t end = s->header;
  for (int i = 0; i < count; i++) {
    if (tensor[i].offset != end)
      return olica_error_set(
          s->env, OLICA_ERR_INPUT,
          "%s: tensor %s begins at byte %lld of the data, expected %lld, where the one before ends: %s",
          s->path, tensor[i].name, (long long)(tensor[i].offset - s->header), (long long)(end - s->header),
          tensor[i].offset < end ? "they overlap" : "a hole");
    end += tensor[i].bytes;
  }
  if (end == s->bytes) return OLICA_OK;
  return olica_error_set(s->env, OLICA_ERR_INPUT,
                         "%s: holds %lld bytes, expected %lld, where its last tensor ends", s->path,
                         (long long)s->bytes, (long long)end);
}

static olica_status read_entries(const source *s, json_t *root) {
  int first = s->catalog->count;
  const char *name;
  json_t *entry;
  json_object_foreach(root, name, entry) {
    if (strcmp(name, "__metadata__") != 0) OLICA_TRY(read_tensor(s, name, entry));
  }
  return check_tiling(s, first);
}

/* Reads the length of the header's JSON from the first eight bytes of the file. */
static olica_status read_length(source *s, int64_t *length) {
  unsigned char raw[LENGTH_BYTES];
  if (s->bytes < LENGTH_BYTES)
    return olica_error_set(s->env, OLICA_ERR_INPUT,
                           "%s: holds %lld bytes, expected a safetensors file (at least %d)", s->path,
                           (long long)s->bytes, LENGTH_BYTES);
  OLICA_TRY(olica_file_read(s->env, s->fd, s->path, 0, raw, sizeof raw));
  if (memcmp(raw, "version ", sizeof raw) == 0)
    return olica_error_set(
        s->env, OLICA_ERR_INPUT,
        "%s: looks like a Git LFS pointer, expected a safetensors file (git lfs pull fetches it)", s->path);
  uint64_t n = 0;
  for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | raw[i];
  uint64_t most = (uint64_t)s->bytes - LENGTH_BYTES;
  if (most > HEADER_BYTES_MAX) most = HEADER_BYTES_MAX;
  if (n > most)
    return olica_error_set(
        s->env, OLICA_ERR_INPUT,
        "%s: says that its header has %llu bytes, expected at most %llu (file of %lld bytes)", s->path,
        (unsigned long long)n, (unsigned long long)most, (long long)s->bytes);
  *length = (int64_t)n;
  return OLICA_OK;
}

static olica_status parse_header(source *s, const char *text, int64_t length) {
  char name[OLICA_CATALOG_PATH + 16];
  snprintf(name, sizeof name, "%s: header", s->path);
  json_t *root;
  OLICA_TRY(olica_json_parse_strict(s->env, name, text, (size_t)length, &root));
  s->header = LENGTH_BYTES + length;
  olica_status status = read_entries(s, root);
  json_decref(root);
  return status;
}

static olica_status read_header(source *s) {
  int64_t length = 0;
  OLICA_TRY(read_length(s, &length));
  char *text;
  OLICA_TRY(OLICA_NEW(s->env, text, (size_t)length + 1));
  OLICA_TRY(olica_file_read(s->env, s->fd, s->path, LENGTH_BYTES, text, (size_t)length));
  olica_status status = parse_header(s, text, length);
  olica_memory_free(s->env, text);
  return status;
}

olica_status olica_shard_read(olica_catalog *catalog, int file) {
  source s = {.catalog = catalog, .env = catalog->context->env, .path = catalog->path[file], .file = file};
  OLICA_TRY(olica_file_open(s.env, s.path, &s.fd, &s.bytes));
  olica_status status = read_header(&s);
  close(s.fd);
  return status;
}
