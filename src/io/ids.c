#include "io/ids.h"

#include <assert.h>

#include "par/comm.h"

olica_status olica_ids_open(olica_context *context, const char *path, olica_ids **out) {
  olica_ids *ids = NULL;
  olica_npy *npy;
  OLICA_TRY(olica_npy_open(context, path, &npy));
  OLICA_AGREE(context, olica_ids_hold(context, path, npy->rows, npy->cols, NULL, &ids));
  ids->npy = npy;
  *out = ids;
  return OLICA_OK;
}

olica_status olica_ids_hold(olica_context *context, const char *name, int64_t rows, int64_t cols, int32_t *id,
                            olica_ids **out) {
  olica_ids *ids = NULL;
  olica_status status = OLICA_NEW(context->env, ids, 1);
  if (status != OLICA_OK) {
    olica_memory_free(context->env, id);
    return status;
  }
  *ids = (olica_ids){.name = olica_memory_string(context->env, name), .rows = rows, .cols = cols, .id = id};
  *out = ids;
  return ids->name ? OLICA_OK : context->env->error.code;
}

void olica_ids_close(olica_context *context, olica_ids *ids) {
  if (!ids) return;
  olica_npy_close(context, ids->npy);
  olica_memory_free(context->env, ids->id);
  olica_memory_free(context->env, ids->name);
  olica_memory_free(context->env, ids);
}

olica_status olica_ids_read(olica_context *context, const olica_ids *ids, int64_t row, int64_t col,
                            int64_t count, int64_t vocabulary, int32_t *out) {
  if (ids->npy) return olica_npy_read(context, ids->npy, row, col, count, vocabulary, out);
  int64_t first = row * ids->cols + col;
  assert(first >= 0 && count >= 0 && count <= ids->rows * ids->cols - first);
  for (int64_t i = 0; i < count; i++) {
    int32_t id = ids->id[first + i];
    if (id < 0 || id >= vocabulary)
      return olica_error_set(context->env, OLICA_ERR_INPUT,
                             "%s: row %lld, column %lld: id %d, expected one in [0, %lld)", ids->name,
                             (long long)((first + i) / ids->cols), (long long)((first + i) % ids->cols), id,
                             (long long)vocabulary);
    out[i] = id;
  }
  return OLICA_OK;
}

olica_status olica_ids_check(olica_context *context, const olica_ids *ids, int64_t row, int64_t col,
                             int64_t count, int64_t vocabulary) {
  enum { PIECE = 1 << 16 };
  int32_t *piece;
  OLICA_TRY(OLICA_NEW(context->env, piece, PIECE));
  for (int64_t n; count > 0; count -= n, col += n) {
    n = count < PIECE ? count : PIECE;
    OLICA_TRY(olica_ids_read(context, ids, row, col, n, vocabulary, piece));
  }
  olica_memory_free(context->env, piece);
  return OLICA_OK;
}
