#include "io/gguf.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/shard.h"

enum {
  BUFFER = 1 << 16,
  KEYS_MAX = 1 << 16,
  KEY_BYTES_MAX = 65535, /* the format's own limit */
  NAME_BYTES_MAX = 4096, /* of a tensor */
  TENSORS_MAX = 1 << 20,
  DIMS_MAX = 4, /* the format's own limit */
  ALIGNMENT_MAX = 1 << 20,
  DEPTH_MAX = 4,             /* of arrays in arrays */
  STRING_KEPT = 1 << 20,     /* bytes of a string that the metadata shows */
  ARRAY_KEPT = 4096,         /* elements of an array, */
  ELEMENTS_KEPT = 1 << 18,   /* and of all arrays */
  KEY_LEAST = 8 + 1 + 4 + 1, /* bytes that a key, and a tensor, takes at the least */
  TENSOR_LEAST = 8 + 1 + 4 + 4 + 8
};

/* The types of metadata. */
typedef enum kind { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64, KINDS } kind;

static const struct {
  const char *name;
  int bytes;
} kinds[KINDS] = {
    [U8] = {"uint8", 1},    [I8] = {"int8", 1},   [U16] = {"uint16", 2},  [I16] = {"int16", 2},
    [U32] = {"uint32", 4},  [I32] = {"int32", 4}, [F32] = {"float32", 4}, [BOOL] = {"bool", 1},
    [U64] = {"uint64", 8},  [I64] = {"int64", 8}, [F64] = {"float64", 8}, [STRING] = {"string", 8},
    [ARRAY] = {"array", 12}};

/* The types of tensors: numbers of a block and its bytes. Those without a name are no longer in use. */
static const struct type {
  const char *name;
  int numbers, bytes;
} types[] = {[0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},
             [3] = {"Q4_1", 32, 20},      [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},
             [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},      [10] = {"Q2_K", 256, 84},
             [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
             [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66},
             [17] = {"IQ2_XS", 256, 74},  [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},
             [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},  [22] = {"IQ2_S", 256, 82},
             [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
             [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},
             [29] = {"IQ1_M", 256, 56},   [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},
             [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17}};

enum { TYPES = sizeof types / sizeof *types };

/* The file, read forward through a buffer. */
typedef struct reader {
  olica_env *env;
  const char *path;
  int fd;
  int64_t size, at; /* bytes of the file; position */
  int64_t first;    /* position of the buffer */
  size_t filled;
  int64_t kept; /* elements of arrays that are in the metadata */
  int64_t alignment;
  unsigned char buffer[BUFFER];
} reader;

static olica_status ends_early(const reader *r, const char *what, int64_t wanted) {
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: byte %lld: %s needs %lld bytes, and the file has %lld more (is it truncated?)",
                         r->path, (long long)r->at, what, (long long)wanted, (long long)(r->size - r->at));
}

/* Reads `bytes` bytes into `to`; NULL: skips them. */
static olica_status take(reader *r, const char *what, void *to, int64_t bytes) {
  if (bytes > r->size - r->at) return ends_early(r, what, bytes);
  unsigned char *out = to;
  for (int64_t n; out && bytes > 0; bytes -= n, out += n, r->at += n) {
    if (r->at < r->first || r->at >= r->first + (int64_t)r->filled) {
      int64_t left = r->size - r->at;
      r->first = r->at;
      r->filled = left < BUFFER ? (size_t)left : BUFFER;
      OLICA_TRY(olica_file_read(r->env, r->fd, r->path, r->first, r->buffer, r->filled));
    }
    n = r->first + (int64_t)r->filled - r->at;
    if (n > bytes) n = bytes;
    memcpy(out, r->buffer + (r->at - r->first), (size_t)n);
  }
  r->at += bytes;
  return OLICA_OK;
}

static olica_status take_number(reader *r, const char *what, int bytes, uint64_t *number) {
  unsigned char raw[8] = {0};
  OLICA_TRY(take(r, what, raw, bytes));
  *number = 0;
  for (int i = bytes - 1; i >= 0; i--) *number = *number << 8 | raw[i];
  return OLICA_OK;
}

/* Reads a count or a length, whose items take at least `least` bytes each. */
static olica_status take_count(reader *r, const char *what, int64_t most, int64_t least, int64_t *count) {
  uint64_t n = 0;
  OLICA_TRY(take_number(r, what, 8, &n));
  int64_t room = (r->size - r->at) / least;
  if (most > room) most = room;
  if (n > (uint64_t)most)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: byte %lld: %s is %llu, expected at most %lld",
                           r->path, (long long)r->at - 8, what, (unsigned long long)n, (long long)most);
  *count = (int64_t)n;
  return OLICA_OK;
}

/* Reads a name of at most `most` bytes into counted memory, the caller's. */
static olica_status take_name(reader *r, const char *what, int64_t most, char **name) {
  int64_t length = 0;
  OLICA_TRY(take_count(r, what, most, 1, &length));
  OLICA_TRY(OLICA_NEW(r->env, *name, (size_t)length + 1));
  olica_status status = take(r, what, *name, length);
  if (status == OLICA_OK && strlen(*name) < (size_t)length)
    status = olica_error_set(r->env, OLICA_ERR_INPUT, "%s: %s has a NUL in it", r->path, what);
  if (status == OLICA_OK) status = olica_shard_check_name(r->env, r->path, *name);
  if (status != OLICA_OK) OLICA_FREE(r->env, *name);
  return status;
}

/* ---- metadata ---- */

static json_t *number_of(kind type, uint64_t bits) {
  float single;
  double real;
  uint32_t low = (uint32_t)bits;
  switch (type) {
  case I8:
    return json_integer((int8_t)bits);
  case I16:
    return json_integer((int16_t)bits);
  case I32:
    return json_integer((int32_t)bits);
  case I64:
    return json_integer((int64_t)bits);
  case U64:
    return bits > INT64_MAX ? json_real((double)bits) : json_integer((json_int_t)bits);
  case BOOL:
    return json_boolean(bits != 0);
  case F32:
    memcpy(&single, &low, sizeof single);
    return isfinite(single) ? json_real((double)single) : json_null();
  case F64:
    memcpy(&real, &bits, sizeof real);
    return isfinite(real) ? json_real(real) : json_null();
  default:
    return json_integer((json_int_t)bits);
  }
}

/* Reads a string into *value, or skips it (NULL). */
static olica_status read_string(reader *r, json_t **value) {
  int64_t length = 0;
  OLICA_TRY(take_count(r, "the length of a string", INT64_MAX, 1, &length));
  if (!value || length > STRING_KEPT) {
    if (value) *value = json_pack("{s:I}", "bytes", (json_int_t)length);
    return take(r, "a string", NULL, length);
  }
  char *text;
  OLICA_TRY(OLICA_NEW(r->env, text, (size_t)length + 1));
  olica_status status = take(r, "a string", text, length);
  if (status == OLICA_OK) {
    *value = json_stringn(text, (size_t)length);
    if (!*value) *value = json_pack("{s:I}", "bytes", (json_int_t)length);
  }
  olica_memory_free(r->env, text);
  return status;
}

static olica_status read_kind(reader *r, kind *type) {
  uint64_t found = 0;
  OLICA_TRY(take_number(r, "the type of a value", 4, &found));
  if (found >= KINDS)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: byte %lld: a value of type %llu, expected 0 to %d",
                           r->path, (long long)r->at - 4, (unsigned long long)found, KINDS - 1);
  *type = (kind)found;
  return OLICA_OK;
}

static olica_status read_value(reader *r, kind type, int depth, json_t **value);

static olica_status read_elements(reader *r, kind type, int64_t count, int depth, json_t *array) {
  for (int64_t i = 0; i < count; i++) {
    json_t *element = NULL;
    olica_status status = read_value(r, type, depth, array ? &element : NULL);
    if (status != OLICA_OK) return json_decref(element), status;
    if (array && json_array_append_new(array, element) != 0)
      return olica_error_set(r->env, OLICA_ERR_MEMORY, "%s: no memory for its metadata", r->path);
  }
  return OLICA_OK;
}

/* Reads an array into *value, or skips it (NULL). */
static olica_status read_array(reader *r, int depth, json_t **value) {
  kind type = U8;
  int64_t count = 0;
  if (depth == DEPTH_MAX)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: byte %lld: arrays in arrays, expected at most %d deep", r->path,
                           (long long)r->at, DEPTH_MAX);
  OLICA_TRY(read_kind(r, &type));
  OLICA_TRY(take_count(r, "the length of an array", INT64_MAX, kinds[type].bytes, &count));
  bool keeps = value && count <= ARRAY_KEPT && count <= ELEMENTS_KEPT - r->kept;
  if (value && !keeps)
    *value = json_pack("{s:s, s:I}", "array", kinds[type].name, "count", (json_int_t)count);
  if (!keeps && type != STRING && type != ARRAY) return take(r, "an array", NULL, count * kinds[type].bytes);
  if (keeps) {
    r->kept += count;
    *value = json_array();
  }
  return read_elements(r, type, count, depth + 1, keeps ? *value : NULL);
}

static olica_status read_value(reader *r, kind type, int depth, json_t **value) {
  uint64_t bits = 0;
  if (type == STRING) return read_string(r, value);
  if (type == ARRAY) return read_array(r, depth, value);
  OLICA_TRY(take_number(r, "a number", kinds[type].bytes, &bits));
  if (value) *value = number_of(type, bits);
  return OLICA_OK;
}

static olica_status put(reader *r, json_t *metadata, const char *key, json_t *value) {
  if (json_object_get(metadata, key)) {
    json_decref(value);
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: key %.100s stands twice, expected once", r->path,
                           key);
  }
  if (json_object_set_new(metadata, key, value) == 0) return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: a key of the metadata is no UTF-8", r->path);
}

static olica_status read_key(reader *r, json_t *metadata) {
  char *key = NULL;
  kind type = U8;
  json_t *value = NULL;
  OLICA_TRY(take_name(r, "the length of a key", KEY_BYTES_MAX, &key));
  olica_status status = read_kind(r, &type);
  if (status == OLICA_OK) status = read_value(r, type, 0, &value);
  if (status == OLICA_OK)
    status = put(r, metadata, key, value);
  else
    json_decref(value);
  if (status != OLICA_OK) olica_error_context(r->env, "key %.100s: ", key);
  olica_memory_free(r->env, key);
  return status;
}

/* Reads general.alignment: a power of two. */
static olica_status read_alignment(reader *r, const json_t *metadata) {
  const json_t *found = json_object_get(metadata, "general.alignment");
  r->alignment = found ? json_integer_value(found) : 32;
  if (r->alignment > 0 && r->alignment <= ALIGNMENT_MAX && (r->alignment & (r->alignment - 1)) == 0)
    return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: general.alignment is %lld, expected a power of two up to %d", r->path,
                         (long long)r->alignment, ALIGNMENT_MAX);
}

/* ---- tensors ---- */

/* Reads the dimensions, the fastest first in the file, the slowest first in `tensor`. */
static olica_status read_shape(reader *r, olica_tensor *tensor, int64_t *numbers) {
  uint64_t dims = 0, extent[DIMS_MAX] = {0};
  OLICA_TRY(take_number(r, "a tensor's number of dimensions", 4, &dims));
  if (dims > DIMS_MAX)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: tensor %s has %llu dimensions, expected at most %d",
                           r->path, tensor->name, (unsigned long long)dims, DIMS_MAX);
  *numbers = 1;
  tensor->dims = (int)dims;
  for (int i = 0; i < tensor->dims; i++) {
    OLICA_TRY(take_number(r, "a tensor's dimension", 8, &extent[i]));
    int64_t *to = &tensor->shape[tensor->dims - 1 - i];
    *to = extent[i] > INT64_MAX ? 0 : (int64_t)extent[i];
    if (*to == 0 || __builtin_mul_overflow(*numbers, *to, numbers))
      return olica_error_set(r->env, OLICA_ERR_INPUT,
                             "%s: tensor %s: dimension %d is %llu, expected at least 1 and a product that "
                             "fits 63 bits",
                             r->path, tensor->name, i, (unsigned long long)extent[i]);
  }
  return OLICA_OK;
}

/* Reads the type, and counts the tensor's bytes. */
static olica_status read_type(reader *r, olica_tensor *tensor, int64_t numbers) {
  uint64_t found = 0;
  OLICA_TRY(take_number(r, "a tensor's type", 4, &found));
  const struct type *type = found < TYPES && types[found].name ? &types[found] : NULL;
  if (!type)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: tensor %s has type number %llu, expected one that this program knows, F32 to "
                           "MXFP4",
                           r->path, tensor->name, (unsigned long long)found);
  int64_t row = tensor->dims > 0 ? tensor->shape[tensor->dims - 1] : 1;
  if (row % type->numbers != 0)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: tensor %s has rows of %lld numbers, expected a multiple of %d for type %s",
                           r->path, tensor->name, (long long)row, type->numbers, type->name);
  if (__builtin_mul_overflow(numbers / type->numbers, type->bytes, &tensor->bytes)) tensor->bytes = INT64_MAX;
  snprintf(tensor->stored, sizeof tensor->stored, "%s", type->name);
  tensor->dtype = found == 0 ? OLICA_FP32 : found == 1 ? OLICA_FP16 : found == 30 ? OLICA_BF16 : OLICA_DTYPES;
  return OLICA_OK;
}

/* Reads the offset, which counts from the data's beginning: yet unknown. */
static olica_status read_offset(reader *r, olica_tensor *tensor) {
  uint64_t offset = 0;
  OLICA_TRY(take_number(r, "a tensor's offset", 8, &offset));
  if (offset % (uint64_t)r->alignment == 0 && offset <= (uint64_t)r->size &&
      tensor->bytes <= r->size - (int64_t)offset) {
    tensor->offset = (int64_t)offset;
    return OLICA_OK;
  }
  return olica_error_set(
      r->env, OLICA_ERR_INPUT,
      "%s: tensor %s takes %lld bytes from byte %llu of the data on, expected a multiple of "
      "%lld and a range inside the file of %lld bytes (is it truncated?)",
      r->path, tensor->name, (long long)tensor->bytes, (unsigned long long)offset, (long long)r->alignment,
      (long long)r->size);
}

static olica_status read_tensor(reader *r, olica_catalog *catalog, int file) {
  olica_tensor tensor = {.file = file};
  char *name = NULL;
  int64_t numbers = 0;
  OLICA_TRY(take_name(r, "the length of a tensor's name", NAME_BYTES_MAX, &name));
  olica_shard_shorten(name, tensor.name);
  olica_memory_free(r->env, name);
  OLICA_TRY(read_shape(r, &tensor, &numbers));
  OLICA_TRY(read_type(r, &tensor, numbers));
  OLICA_TRY(read_offset(r, &tensor));
  return olica_catalog_add(catalog, &tensor);
}

static int by_offset(const void *a, const void *b) {
  const olica_tensor *one = a, *other = b;
  return (one->offset > other->offset) - (one->offset < other->offset);
}

/* Moves the offsets to the data's beginning; refuses tensors that leave the file or overlap. */
static olica_status place(reader *r, olica_catalog *catalog, int first) {
  int64_t data = (r->at + r->alignment - 1) / r->alignment * r->alignment, end = data;
  const int count = catalog->count - first;
  olica_tensor *tensor = count > 0 ? catalog->tensor + first : NULL;
  if (count > 0) qsort(tensor, (size_t)count, sizeof *tensor, by_offset);
  for (int i = 0; i < count; i++) {
    if (data > r->size || tensor[i].offset > r->size - data - tensor[i].bytes)
      return olica_error_set(r->env, OLICA_ERR_INPUT,
                             "%s: tensor %s ends behind the file's %lld bytes (is it truncated?)", r->path,
                             tensor[i].name, (long long)r->size);
    tensor[i].offset += data;
    if (tensor[i].offset < end)
      return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: %s and %s overlap, expected each in its own bytes",
                             r->path, tensor[i - 1].name, tensor[i].name);
    end = tensor[i].offset + tensor[i].bytes;
  }
  return OLICA_OK;
}

/* ---- the file ---- */

static olica_status check_version(reader *r) {
  char magic[4];
  uint64_t version = 0;
  OLICA_TRY(take(r, "the magic number", magic, sizeof magic));
  if (memcmp(magic, "GGUF", sizeof magic) != 0)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: is no GGUF file", r->path);
  OLICA_TRY(take_number(r, "the version", 4, &version));
  if (version == 2 || version == 3) return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: has GGUF version %llu%s, expected 2 or 3, little endian", r->path,
                         (unsigned long long)version, version > UINT16_MAX ? " (it is big endian)" : "");
}

static olica_status read_header(reader *r, olica_catalog *catalog, int file, json_t *metadata) {
  int64_t tensors = 0, keys = 0;
  int first = catalog->count;
  OLICA_TRY(check_version(r));
  OLICA_TRY(take_count(r, "the number of tensors", TENSORS_MAX, TENSOR_LEAST, &tensors));
  OLICA_TRY(take_count(r, "the number of keys", KEYS_MAX, KEY_LEAST, &keys));
  for (int64_t i = 0; i < keys; i++) OLICA_TRY(read_key(r, metadata));
  OLICA_TRY(read_alignment(r, metadata));
  for (int64_t i = 0; i < tensors; i++) OLICA_TRY(read_tensor(r, catalog, file));
  return place(r, catalog, first);
}

olica_status olica_gguf_open(olica_catalog *catalog, const char *path, json_t **metadata) {
  olica_env *env = catalog->context->env;
  reader *r;
  int file;
  *metadata = NULL;
  OLICA_TRY(olica_catalog_add_file(catalog, path, &file));
  OLICA_TRY(OLICA_NEW(env, r, 1));
  r->env = env;
  r->path = path;
  olica_status status = olica_file_open(env, path, &r->fd, &r->size);
  if (status == OLICA_OK) {
    json_t *read = json_object();
    status = read_header(r, catalog, file, read);
    close(r->fd);
    if (status == OLICA_OK)
      *metadata = read;
    else
      json_decref(read);
  }
  olica_memory_free(env, r);
  return status;
}

bool olica_gguf_begins(const char *path) {
  char magic[4] = "";
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ssize_t bytes = fd >= 0 ? pread(fd, magic, sizeof magic, 0) : -1;
  if (fd >= 0) close(fd);
  return bytes == (ssize_t)sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
}
