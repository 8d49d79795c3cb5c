/* What a kind reads of the checkpoint, and what it declares and says. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kind.h"

olica_status olica_export_add(olica_export *e, const olica_export_item *item) {
  OLICA_TRY(OLICA_GROW(e->env, e->item, e->room, (size_t)e->count, (size_t)e->count + 1));
  olica_export_item *its = &e->item[e->count++];
  *its = *item;
  if (its->step < 1) its->step = 1;
  if (its->dims == 1) its->shape[1] = 1;
  return OLICA_OK;
}

void olica_export_note(olica_export *e, const char *format, ...) {
  if (e->notes == OLICA_EXPORT_NOTES) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(e->note[e->notes++], OLICA_EXPORT_NOTE, format, arguments);
  va_end(arguments);
}

olica_status olica_export_refuse(olica_export *e, const char *format, ...) {
  char text[OLICA_ERROR_TEXT];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return olica_error_set(e->env, OLICA_ERR_CONFIG, "export %s:%s: %s", e->kind->name, e->path, text);
}

/* The tables are where the source has found them: a tied one may have either name. */
static const olica_tensor *find(const olica_export *e, olica_tensor_id id, int layer) {
  if (id == OLICA_TENSOR_EMBED) return e->source->table[OLICA_TABLE_EMBED];
  if (id == OLICA_TENSOR_HEAD) return e->source->table[OLICA_TABLE_HEAD];
  olica_naming naming = e->source->is_checkpoint ? OLICA_NAMING_CHECKPOINT : OLICA_NAMING_PUBLISHED;
  return olica_tensors_find(e->source->catalog, &e->source->arch, naming, id, layer);
}

bool olica_export_has(const olica_export *e, olica_tensor_id id, int layer) {
  return find(e, id, layer) != NULL;
}

/* Reads and decodes numbers [first, first + count). */
static olica_status read_numbers(olica_export *e, const olica_tensor *tensor, int64_t first, int64_t count,
                                 float *to) {
  size_t size = olica_number_size(tensor->dtype), n = (size_t)count;
  if (tensor->dtype == OLICA_FP32) return olica_catalog_read(e->source->catalog, tensor, first, count, to);
  char *raw;
  OLICA_TRY(OLICA_NEW(e->env, raw, n * size));
  olica_status status = olica_catalog_read(e->source->catalog, tensor, first, count, raw);
  if (status == OLICA_OK) olica_number_decode(tensor->dtype, raw, to, n);
  olica_memory_free(e->env, raw);
  return status;
}

static olica_status need(olica_export *e, olica_tensor_id id, int layer, const olica_tensor **tensor) {
  char name[OLICA_TENSOR_NAME];
  if ((*tensor = find(e, id, layer))) return OLICA_OK;
  olica_tensors_name(&e->source->arch, OLICA_NAMING_CHECKPOINT, id, layer, name);
  return olica_error_set(e->env, OLICA_ERR_INTERNAL, "export %s: no %s in %s", e->kind->name, name,
                         e->checkpoint);
}

olica_status olica_export_rows(olica_export *e, olica_tensor_id id, int layer, int64_t first, int64_t count,
                               float *rows) {
  const olica_tensor *tensor;
  OLICA_TRY(need(e, id, layer, &tensor));
  int64_t columns = tensor->dims == 2 ? tensor->shape[1] : 1;
  return read_numbers(e, tensor, first * columns, count * columns, rows);
}

olica_status olica_export_whole(olica_export *e, olica_tensor_id id, int layer, const float **numbers) {
  const olica_tensor *tensor;
  OLICA_TRY(need(e, id, layer, &tensor));
  int oldest = 0;
  for (int i = 0; i < OLICA_EXPORT_HELD; i++) {
    if (e->held[i].tensor == tensor) {
      e->held[i].used = ++e->clock;
      *numbers = e->held[i].numbers;
      return OLICA_OK;
    }
    if (e->held[i].used < e->held[oldest].used) oldest = i;
  }
  int64_t count = tensor->shape[0] * (tensor->dims == 2 ? tensor->shape[1] : 1);
  e->held[oldest].tensor = NULL;
  OLICA_FREE(e->env, e->held[oldest].numbers);
  OLICA_TRY(OLICA_NEW(e->env, e->held[oldest].numbers, (size_t)count));
  OLICA_TRY(read_numbers(e, tensor, 0, count, e->held[oldest].numbers));
  e->held[oldest].tensor = tensor;
  e->held[oldest].used = ++e->clock;
  *numbers = e->held[oldest].numbers;
  return OLICA_OK;
}

void olica_export_forget(olica_export *e) {
  olica_env *env = e->env;
  for (int i = 0; i < OLICA_EXPORT_HELD; i++) olica_memory_free(env, e->held[i].numbers);
  for (int f = 0; f < e->files; f++) olica_memory_free(env, e->file[f].head);
  olica_memory_free(env, e->file);
  olica_memory_free(env, e->item);
  olica_memory_free(env, e->own);
  json_decref(e->beside);
}
