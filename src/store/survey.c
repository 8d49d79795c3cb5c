#include "store/survey.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/hdf5.h"
#include "par/comm.h"
#include "store/writer.h"

enum { ABOUT_MAX = 1 << 20 };

/* The items of a file: the text, the dense model's scores, then the method's arrays. */
enum { ABOUT, SCORES, ARRAYS = SCORES + OLICA_SURVEY_SCORES, PARTS = ARRAYS + OLICA_ARRAYS };

static const char about_name[] = "meta/about_json", scores_in[] = "dense/", arrays_in[] = "survey/";

/* An item of the schema over the caller's numbers; dims 0: the file has none. */
typedef struct item {
  olica_writer_item its;
  void *data;
  double least; /* bound of its numbers */
} item;

static item item_of(const char *folder, const olica_array *array) {
  item it = {
      .its = {.type = OLICA_ELEMENT_FP64, .dims = array->dims, .shape = {array->shape[0], array->shape[1]}},
      .data = array->data,
      .least = array->least};
  snprintf(it.its.name, sizeof it.its.name, "%s%s", folder, array->name);
  return it;
}

static void list_items(const olica_survey *survey, item items[PARTS]) {
  memset(items, 0, PARTS * sizeof *items);
  for (int i = 0; i < survey->scores; i++) items[SCORES + i] = item_of(scores_in, &survey->score[i]);
  for (int i = 0; i < survey->arrays; i++) items[ARRAYS + i] = item_of(arrays_in, &survey->array[i]);
}

static item about_item(int64_t bytes, void *text) {
  item it = {.its = {.kind = OLICA_ITEM_TEXT, .type = OLICA_ELEMENT_BYTES, .dims = 1, .shape = {bytes}},
             .data = text};
  snprintf(it.its.name, sizeof it.its.name, "%s", about_name);
  return it;
}

/* ---- writing ---- */

static olica_status write_items(olica_writer *writer, const item items[PARTS]) {
  int number[PARTS];
  for (int i = 0; i < PARTS; i++)
    if (items[i].its.dims) OLICA_TRY(olica_writer_declare(writer, &items[i].its, &number[i]));
  OLICA_TRY(olica_writer_begin(writer));
  for (int i = 0; i < PARTS; i++)
    if (items[i].its.dims)
      OLICA_TRY(olica_writer_write(writer, number[i], 0, items[i].its.shape[0], items[i].data));
  return olica_writer_seal(writer);
}

olica_status olica_survey_save(olica_context *context, const char *path, const char *about,
                               const olica_survey *survey, bool replace, bool *stays) {
  const olica_writer_options options = {.format = OLICA_FORMAT_HDF5,
                                        .path = path,
                                        .contents = OLICA_SURVEY_FORMAT,
                                        .schema = OLICA_SURVEY_SCHEMA,
                                        .hints = MPI_INFO_NULL};
  olica_writer *writer;
  item items[PARTS];
  *stays = false;
  list_items(survey, items);
  items[ABOUT] = about_item((int64_t)strlen(about), (void *)about);
  OLICA_TRY(olica_writer_open(context, &options, NULL, 0, &writer));
  olica_status status = write_items(writer, items);
  if (status == OLICA_OK) status = olica_writer_publish(writer, replace, stays);
  if (status == OLICA_OK)
    olica_writer_leave(writer);
  else
    olica_writer_abandon(writer);
  if (!*stays) return status;
  olica_error_clear(context->env);
  return OLICA_OK;
}

/* ---- reading ---- */

static olica_status find(const olica_survey_file *file, const item *expected, const olica_tensor **tensor) {
  OLICA_TRY(olica_writer_find(file->catalog, &expected->its, tensor));
  if ((*tensor)->has_crc) return OLICA_OK;
  return olica_error_set(file->context->env, OLICA_ERR_INPUT, "%s: %s has no attribute crc32",
                         file->catalog->path[0], expected->its.name);
}

/* Reads all bytes of a tensor; olica_catalog_read checks the checksum of a whole tensor. */
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

/* Checks that every dataset is the text, a score, or an array of some method. */
static olica_status check_known(const olica_survey_file *file) {
  for (int t = 0; t < file->catalog->count; t++) {
    const olica_tensor *tensor = &file->catalog->tensor[t];
    bool known =
        lies_in(tensor, scores_in) || lies_in(tensor, arrays_in) || strcmp(tensor->name, about_name) == 0;
    if (!known) return refuse_unknown(file, tensor);
  }
  return OLICA_OK;
}

/* Checks that every array of the file is one of the caller's. */
static olica_status check_arrays(const olica_survey_file *file, const item items[PARTS]) {
  for (int t = 0; t < file->catalog->count; t++) {
    const olica_tensor *tensor = &file->catalog->tensor[t];
    int i = ARRAYS;
    while (i < PARTS && strcmp(items[i].its.name, tensor->name) != 0) i++;
    if (i == PARTS && lies_in(tensor, arrays_in)) return refuse_unknown(file, tensor);
  }
  return OLICA_OK;
}

/* Reads the text on rank 0, after a look at the names of all datasets. */
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
    if (!items[i].its.dims) continue;
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
    size_t count =
        (size_t)items[i].its.shape[0] * (size_t)(items[i].its.dims > 1 ? items[i].its.shape[1] : 1);
    if (items[i].its.dims) olica_comm_bcast(context, context->comm, items[i].data, count * sizeof(double), 0);
  }
  return OLICA_OK;
}
