#include <stdio.h>
#include <string.h>

#include "io/hdf5.h"
#include "par/comm.h"
#include "par/partition.h"
#include "schema.h"
#include "store/checkpoint.h"

enum { BLOCK_NUMBERS = 1 << 20 };

typedef struct verifier {
  olica_context *context;
  olica_env *env;
  olica_catalog *catalog;
  const char *path;
  olica_arch arch;
  olica_dtype dtype; /* of all the numbers */
  bool *known;       /* [tensors] the schema has it */
  void *raw;         /* BLOCK_NUMBERS as stored, and decoded */
  float *decoded;
} verifier;

static olica_status read_config(verifier *its) {
  char name[OLICA_CATALOG_PATH + 32];
  char *text;
  size_t bytes;
  OLICA_TRY(olica_config_read(its->catalog, &text, &bytes));
  snprintf(name, sizeof name, "%s: " OLICA_CHECKPOINT_CONFIG, its->path);
  olica_status status = olica_arch_parse(its->env, name, text, bytes, &its->arch);
  olica_memory_free(its->env, text);
  return status;
}

/* Checks that a dataset of the schema exists with its type and shape. */
static olica_status check_item(verifier *its, const olica_writer_item *item) {
  const olica_tensor *tensor;
  OLICA_TRY(olica_writer_find(its->catalog, item, &tensor));
  its->known[tensor - its->catalog->tensor] = true;
  return OLICA_OK;
}

/* Takes the embedding's type for that of all weights. */
static olica_status check_model(verifier *its) {
  olica_schema_item item[OLICA_TENSORS_MODEL];
  const olica_tensor *embed;
  olica_schema_model(&its->arch, OLICA_FP32, item);
  embed = olica_catalog_find(its->catalog, item[0].item.name);
  its->dtype = embed && embed->dtype != OLICA_DTYPES ? embed->dtype : OLICA_FP32;
  int count = olica_schema_model(&its->arch, its->dtype, item);
  for (int i = 0; i < count; i++) OLICA_TRY(check_item(its, &item[i].item));
  return OLICA_OK;
}

static olica_status check_layer(verifier *its, int layer) {
  olica_schema_item item[OLICA_TENSORS_LAYER];
  olica_layer_shape shape;
  OLICA_TRY(olica_tensors_measure(its->catalog, &its->arch, OLICA_NAMING_CHECKPOINT, layer, &shape));
  int count = olica_schema_layer(&its->arch, &shape, its->dtype, layer, item);
  for (int i = 0; i < count; i++) OLICA_TRY(check_item(its, &item[i].item));
  return OLICA_OK;
}

static olica_status check_texts(verifier *its) {
  for (int i = 0; i < OLICA_TEXTS; i++) {
    const olica_tensor *tensor = olica_catalog_find(its->catalog, olica_schema_text(i));
    if (!tensor) continue;
    if (tensor->dims != 1 || strcmp(tensor->stored, "uint8") != 0)
      return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: %s is no text, expected uint8 [bytes]",
                             its->path, tensor->name);
    its->known[tensor - its->catalog->tensor] = true;
  }
  return OLICA_OK;
}

/* Checks that the file has all datasets of the schema and no others, each with a checksum. The catalog is the
 * same on all ranks, and so is the result. */
static olica_status check_schema(verifier *its) {
  OLICA_TRY(OLICA_NEW(its->env, its->known, (size_t)its->catalog->count));
  OLICA_TRY(check_texts(its));
  OLICA_TRY(check_model(its));
  for (int l = 0; l < its->arch.layers; l++) OLICA_TRY(check_layer(its, l));
  for (int i = 0; i < its->catalog->count; i++) {
    const char *name = its->catalog->tensor[i].name;
    if (!its->known[i])
      return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: %s does not belong to this model", its->path,
                             name);
    if (!its->catalog->tensor[i].has_crc)
      return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: %s has no attribute crc32", its->path, name);
  }
  return OLICA_OK;
}

/* Checks that every row of a list ascends and names neurons of the unpruned layer. */
static olica_status check_kept(verifier *its, int layer, olica_tensor_id id) {
  const olica_tensor *tensor =
      olica_tensors_find(its->catalog, &its->arch, OLICA_NAMING_CHECKPOINT, id, layer);
  if (!tensor) return OLICA_OK; /* a list that this layer does not need */
  int64_t below = olica_tensors_choices(&its->arch, layer, id);
  int64_t rows = tensor->dims == 2 ? tensor->shape[0] : 1, columns = tensor->shape[tensor->dims - 1];
  int32_t *kept;
  OLICA_TRY(OLICA_NEW(its->env, kept, (size_t)(rows * columns)));
  OLICA_TRY(olica_catalog_read(its->catalog, tensor, 0, rows * columns, kept));
  for (int64_t i = 0; i < rows * columns; i++) {
    int64_t least = i % columns == 0 ? 0 : (int64_t)kept[i - 1] + 1;
    if (kept[i] < least || kept[i] >= below)
      return olica_error_set(its->env, OLICA_ERR_INPUT,
                             "%s: %s has %d at element %lld, expected %lld to %lld", its->path, tensor->name,
                             kept[i], (long long)i, (long long)least, (long long)below - 1);
  }
  olica_memory_free(its->env, kept);
  return OLICA_OK;
}

/* Checks the layers' lists; the layers are divided among the ranks. */
static olica_status check_lists(verifier *its) {
  for (int l = its->context->rank; l < its->arch.layers; l += its->context->size)
    for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++)
      if (olica_tensors_row(id)->is_list) OLICA_TRY(check_kept(its, l, id));
  return OLICA_OK;
}

static olica_status check_finite(verifier *its, const olica_tensor *tensor, int64_t first, int64_t count) {
  const float *numbers = its->raw;
  if (tensor->dtype == OLICA_DTYPES) return OLICA_OK;
  if (tensor->dtype != OLICA_FP32) {
    olica_number_decode(tensor->dtype, its->raw, its->decoded, (size_t)count);
    numbers = its->decoded;
  }
  size_t bad = olica_number_nonfinite(numbers, (size_t)count);
  if (bad == (size_t)count) return OLICA_OK;
  return olica_error_set(its->env, OLICA_ERR_INPUT, "%s: %s has %g at element %lld, expected finite numbers",
                         its->path, tensor->name, (double)numbers[bad], (long long)(first + (int64_t)bad));
}

static olica_status check_piece(verifier *its, const olica_tensor *tensor, olica_range elements) {
  for (int64_t i = 0, n; i < elements.count; i += n) {
    n = elements.count - i < BLOCK_NUMBERS ? elements.count - i : BLOCK_NUMBERS;
    OLICA_TRY(olica_catalog_read(its->catalog, tensor, elements.first + i, n, its->raw));
    OLICA_TRY(check_finite(its, tensor, elements.first + i, n));
  }
  return OLICA_OK;
}

/* Checks this rank's share of all bytes. */
static olica_status check_share(verifier *its, int64_t total) {
  olica_range share = olica_partition_block(total, its->context->size, its->context->rank);
  int64_t before = 0; /* bytes of the tensors so far */
  for (int i = 0; i < its->catalog->count; i++) {
    const olica_tensor *tensor = &its->catalog->tensor[i];
    int64_t elements = 1, from = share.first - before, to = from + share.count;
    for (int k = 0; k < tensor->dims; k++) elements *= tensor->shape[k];
    int64_t size = tensor->bytes / elements;
    before += tensor->bytes;
    from = from < 0 ? 0 : from / size; /* an element goes with its last byte */
    to = to > tensor->bytes ? elements : to < 0 ? 0 : to / size;
    if (from < to) OLICA_TRY(check_piece(its, tensor, (olica_range){from, to - from}));
  }
  return OLICA_OK;
}

/* Checks the checksums of tensors that the ranks have read in pieces. */
static olica_status check_sums(verifier *its) {
  for (int i = 0; i < its->catalog->count; i++) {
    const olica_tensor *tensor = &its->catalog->tensor[i];
    OLICA_TRY(olica_catalog_check(its->catalog, &tensor, 1));
  }
  return OLICA_OK;
}

/* Counts a block as stored, and decoded. */
int64_t olica_checkpoint_verify_bytes(void) {
  return 2 * BLOCK_NUMBERS * (int64_t)sizeof(float);
}

static olica_status check_bytes(verifier *its, int64_t *total) {
  *total = 0;
  for (int i = 0; i < its->catalog->count; i++) *total += its->catalog->tensor[i].bytes;
  olica_status status = OLICA_NEW(its->env, its->decoded, BLOCK_NUMBERS);
  if (status == OLICA_OK && !(its->raw = olica_memory_get(its->env, "block", BLOCK_NUMBERS, sizeof(float))))
    status = its->env->error.code;
  if (status == OLICA_OK) status = check_lists(its);
  if (status == OLICA_OK) status = check_share(its, *total);
  OLICA_AGREE(its->context, status);
  olica_memory_free(its->env, its->raw);
  olica_memory_free(its->env, its->decoded);
  return check_sums(its);
}

static olica_status verify(verifier *its, int64_t *tensors, int64_t *bytes) {
  olica_status status = OLICA_OK;
  if (its->context->rank == 0)
    status = olica_hdf5_index(its->catalog, its->path, OLICA_CHECKPOINT_FORMAT, OLICA_CHECKPOINT_SCHEMA);
  OLICA_TRY(olica_catalog_share(its->catalog, status));
  OLICA_AGREE(its->context, read_config(its));
  OLICA_AGREE(its->context, check_schema(its));
  OLICA_AGREE(its->context, check_bytes(its, bytes));
  *tensors = its->catalog->count;
  olica_memory_free(its->env, its->known);
  olica_arch_free(its->env, &its->arch);
  return OLICA_OK;
}

olica_status olica_checkpoint_verify(olica_context *context, const char *path, int64_t *tensors,
                                     int64_t *bytes) {
  verifier its = {.context = context, .env = context->env, .path = path};
  OLICA_AGREE(context, olica_catalog_create(context, &its.catalog));
  olica_status status = verify(&its, tensors, bytes);
  olica_catalog_destroy(its.catalog);
  return status;
}
