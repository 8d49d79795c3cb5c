#include "store/survey.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "par/comm.h"

enum { ABOUT_MAX = 1 << 20 };

/* The datasets of a file: the text, the dense model's scores, and the method's arrays behind them. */
enum { ABOUT, SCORES, ARRAYS = SCORES + OLICA_SURVEY_SCORES, PARTS = ARRAYS + OLICA_ARRAYS };

static const char about_name[] = "meta/about_json", scores_in[] = "dense/", arrays_in[] = "survey/";

/* A dataset of the schema over the caller's numbers; dims 0: the file has none. */
typedef struct item {
  char name[64];
  olica_hdf5_type type;
  int dims;
  int64_t shape[2];
  void *data;
  double least; /* of its numbers */
} item;

static item item_of(const char *folder, const olica_array *array) {
  item it = {.type = OLICA_HDF5_FP64,
             .dims = array->dims,
             .shape = {array->shape[0], array->shape[1]},
             .data = array->data,
             .least = array->least};
  snprintf(it.name, sizeof it.name, "%s%s", folder, array->name);
  return it;
}

static void list_items(const olica_survey *survey, item items[PARTS]) {
  memset(items, 0, PARTS * sizeof *items);
  for (int i = 0; i < survey->scores; i++) items[SCORES + i] = item_of(scores_in, &survey->score[i]);
  for (int i = 0; i < survey->arrays; i++) items[ARRAYS + i] = item_of(arrays_in, &survey->array[i]);
}

static item about_item(int64_t bytes, void *text) {
  item it = {.type = OLICA_HDF5_BYTES, .dims = 1, .shape = {bytes, 0}, .data = text};
  snprintf(it.name, sizeof it.name, "%s", about_name);
  return it;
}

/* ---- writing ---- */

static olica_status write_items(olica_hdf5 *file, const item items[PARTS]) {
  int number[PARTS];
  OLICA_TRY(olica_hdf5_attribute_text(file, "format", OLICA_SURVEY_FORMAT));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "schema", OLICA_SURVEY_SCHEMA));
  OLICA_TRY(olica_hdf5_attribute_integer(file, "complete", 0));
  for (int i = 0; i < PARTS; i++)
    if (items[i].dims)
      OLICA_TRY(
          olica_hdf5_dataset(file, items[i].name, items[i].type, items[i].dims, items[i].shape, &number[i]));
  for (int i = 0; i < PARTS; i++)
    if (items[i].dims) OLICA_TRY(olica_hdf5_write(file, number[i], 0, items[i].shape[0], items[i].data));
  OLICA_TRY(olica_hdf5_seal(file));
  return olica_hdf5_attribute_integer(file, "complete", 1);
}

static olica_status write_part(olica_context *context, const char *part, const item items[PARTS]) {
  olica_hdf5 *file = NULL;
  if (context->rank == 0) unlink(part); /* what another run has left; a link is not written through */
  olica_status status = olica_hdf5_create(context, part, MPI_INFO_NULL, &file);
  if (status == OLICA_OK) status = write_items(file, items);
  if (status == OLICA_OK) return olica_hdf5_close(file);
  olica_hdf5_abandon(file);
  return status;
}

/* Rank 0's. */
static olica_status publish(olica_env *env, const char *part, const char *path, bool replace, bool *stays) {
  struct stat info;
  olica_status status = olica_file_publish(env, part, path, replace);
  *stays = status != OLICA_OK && !replace && lstat(path, &info) == 0;
  if (status != OLICA_OK) unlink(part);
  if (!*stays) return status;
  olica_error_clear(env);
  return OLICA_OK;
}

olica_status olica_survey_save(olica_context *context, const char *path, const char *about,
                               const olica_survey *survey, bool replace, bool *stays) {
  *stays = false;
  char part[OLICA_CATALOG_PATH];
  item items[PARTS];
  list_items(survey, items);
  items[ABOUT] = about_item((int64_t)strlen(about), (void *)about);
  if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
    return olica_error_set(context->env, OLICA_ERR_CONFIG, "%s: the name is too long", path);
  olica_status status = write_part(context, part, items);
  if (status != OLICA_OK && context->rank == 0) unlink(part);
  OLICA_TRY(status);
  OLICA_AGREE(context, context->rank == 0 ? publish(context->env, part, path, replace, stays) : OLICA_OK);
  olica_comm_bcast(context, context->comm, stays, sizeof *stays, 0);
  return OLICA_OK;
}

/* ---- reading ---- */

/* The tensor of a part if its type and shape are these, with a checksum. */
static olica_status find(const olica_survey_file *file, const item *expected, const olica_tensor **tensor) {
  const olica_tensor *found = *tensor = olica_catalog_find(file->catalog, expected->name);
  const char *type = olica_hdf5_type_name(expected->type), *path = file->catalog->path[0];
  if (!found)
    return olica_error_set(file->context->env, OLICA_ERR_INPUT, "%s: %s is missing", path, expected->name);
  bool same = strcmp(found->stored, type) == 0 && found->dims == expected->dims && found->has_crc;
  for (int i = 0; same && i < expected->dims; i++) same = found->shape[i] == expected->shape[i];
  if (same) return OLICA_OK;
  return olica_error_set(
      file->context->env, OLICA_ERR_INPUT,
      "%s: %s is %s of %d dimensions, %lld x %lld, expected %s with a checksum, %lld x %lld", path,
      expected->name, found->stored, found->dims, (long long)found->shape[0],
      (long long)(found->dims > 1 ? found->shape[1] : 1), type, (long long)expected->shape[0],
      (long long)(expected->dims > 1 ? expected->shape[1] : 1));
}

/* Its bytes: what is read whole is compared with its checksum. */
static olica_status read_bytes(olica_survey_file *file, const olica_tensor *tensor, void *data) {
  int64_t elements = tensor->shape[0] * (tensor->dims > 1 ? tensor->shape[1] : 1);
  return olica_catalog_read(file->catalog, tensor, 0, elements, data);
}

static olica_status check_numbers(const olica_survey_file *file, const olica_tensor *tensor,
                                  const item *its) {
  const double *x = its->data;
  int64_t count = tensor->bytes / (int64_t)sizeof *x;
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(x[i]) || x[i] < its->least)
      return olica_error_set(file->context->env, OLICA_ERR_INPUT,
                             "%s: %s has %g at element %lld, expected a finite number from %g on",
                             olica_catalog_file(file->catalog, tensor), tensor->name, x[i], (long long)i,
                             its->least);
  return OLICA_OK;
}

static olica_status refuse_unknown(const olica_survey_file *file, const olica_tensor *tensor) {
  return olica_error_set(file->context->env, OLICA_ERR_INPUT, "%s: %s does not belong to saved statistics",
                         file->catalog->path[0], tensor->name);
}

static bool lies_in(const olica_tensor *tensor, const char *folder) {
  return strncmp(tensor->name, folder, strlen(folder)) == 0;
}

/* Every dataset is one of ours: the text, somebody's score, or an array of some method. */
static olica_status check_known(const olica_survey_file *file) {
  for (int t = 0; t < file->catalog->count; t++) {
    const olica_tensor *tensor = &file->catalog->tensor[t];
    bool known =
        lies_in(tensor, scores_in) || lies_in(tensor, arrays_in) || strcmp(tensor->name, about_name) == 0;
    if (!known) return refuse_unknown(file, tensor);
  }
  return OLICA_OK;
}

/* Every array is one of these. */
static olica_status check_arrays(const olica_survey_file *file, const item items[PARTS]) {
  for (int t = 0; t < file->catalog->count; t++) {
    const olica_tensor *tensor = &file->catalog->tensor[t];
    int i = ARRAYS;
    while (i < PARTS && strcmp(items[i].name, tensor->name) != 0) i++;
    if (i == PARTS && lies_in(tensor, arrays_in)) return refuse_unknown(file, tensor);
  }
  return OLICA_OK;
}

/* Rank 0's part of an open: the text, and what else there is. */
static olica_status read_about(olica_survey_file *file) {
  const olica_tensor *found = olica_catalog_find(file->catalog, about_name), *tensor;
  int64_t bytes = found && found->dims == 1 && found->bytes <= ABOUT_MAX ? found->shape[0] : 1;
  OLICA_TRY(check_known(file));
  const item about = about_item(bytes, NULL);
  OLICA_TRY(find(file, &about, &tensor));
  OLICA_TRY(OLICA_NEW(file->context->env, file->about, (size_t)bytes + 1));
  return read_bytes(file, tensor, file->about);
}

bool olica_survey_is_ours(const char *path) {
  return olica_hdf5_begins_as(path, OLICA_SURVEY_FORMAT);
}

static olica_status open_file(olica_survey_file *file, const char *path) {
  olica_context *context = file->context;
  olica_status status = OLICA_OK;
  OLICA_AGREE(context, olica_catalog_create(context, &file->catalog));
  if (context->rank == 0)
    status = olica_hdf5_index(file->catalog, path, OLICA_SURVEY_FORMAT, OLICA_SURVEY_SCHEMA);
  OLICA_TRY(olica_catalog_share(file->catalog, status));
  OLICA_AGREE(context, context->rank == 0 ? read_about(file) : OLICA_OK);
  return OLICA_OK;
}

olica_status olica_survey_open(olica_context *context, const char *path, olica_survey_file **out) {
  olica_survey_file *file = NULL;
  OLICA_AGREE(context, OLICA_NEW(context->env, file, 1));
  file->context = context;
  olica_status status = open_file(file, path);
  if (status == OLICA_OK)
    *out = file;
  else
    olica_survey_close(file);
  return status;
}

void olica_survey_close(olica_survey_file *file) {
  if (!file) return;
  olica_env *env = file->context->env;
  olica_catalog_destroy(file->catalog);
  olica_memory_free(env, file->about);
  olica_memory_free(env, file);
}

bool olica_survey_has(const olica_survey_file *file, const char *score) {
  char name[OLICA_CATALOG_PATH];
  snprintf(name, sizeof name, "%s%s", scores_in, score);
  return olica_catalog_find(file->catalog, name) != NULL;
}

static olica_status load(olica_survey_file *file, const item items[PARTS]) {
  OLICA_TRY(check_arrays(file, items));
  for (int i = SCORES; i < PARTS; i++) {
    const olica_tensor *tensor;
    if (!items[i].dims) continue;
    OLICA_TRY(find(file, &items[i], &tensor));
    OLICA_TRY(read_bytes(file, tensor, items[i].data));
    OLICA_TRY(check_numbers(file, tensor, &items[i]));
  }
  return OLICA_OK;
}

olica_status olica_survey_load(olica_survey_file *file, olica_survey *survey) {
  olica_context *context = file->context;
  item items[PARTS];
  list_items(survey, items);
  OLICA_AGREE(context, context->rank == 0 ? load(file, items) : OLICA_OK);
  for (int i = SCORES; i < PARTS; i++) {
    size_t count = (size_t)items[i].shape[0] * (size_t)(items[i].dims > 1 ? items[i].shape[1] : 1);
    if (items[i].dims) olica_comm_bcast(context, context->comm, items[i].data, count * sizeof(double), 0);
  }
  return OLICA_OK;
}
