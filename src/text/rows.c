#include "text/rows.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "par/comm.h"
#include "par/partition.h"
#include "scan.h"
#include "text/look.h"

enum { PIECE = 1 << 20, FRAME = 512, WHERE = 4096 };

/* ---- the index ---- */

/* Scans the file on rank 0. piece [PIECE], or the size of a smaller file. */
static olica_status scan_file(olica_rows *rows, int64_t size, char *piece) {
  olica_env *env = rows->context->env;
  olica_scan scan;
  for (int64_t at = 0, n; at < size || at == 0; at += n) {
    n = size - at < PIECE ? size - at : PIECE;
    OLICA_TRY(olica_file_read(env, rows->fd, rows->source->path, at, piece, (size_t)n));
    olica_timer_work(&env->timers, 0, (double)n);
    int64_t mark_bytes = at == 0 ? (int64_t)olica_look_mark(piece, (size_t)n) : 0;
    if (at == 0) olica_scan_begin(&scan, env, rows->source, rows->length, mark_bytes, &rows->index);
    OLICA_TRY(olica_scan_bytes(&scan, piece + mark_bytes, (size_t)(n - mark_bytes)));
    if (n == 0) break;
  }
  return olica_scan_end(&scan);
}

static olica_status index_file(olica_rows *rows, int64_t size) {
  olica_env *env = rows->context->env;
  char *piece;
  OLICA_TRY(OLICA_NEW(env, piece, (size_t)(size < PIECE ? size : PIECE)));
  OLICA_TRY(scan_file(rows, size, piece));
  olica_memory_free(env, piece);
  if (rows->index.count > 0) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: has no rows, expected some (%s)", rows->source->path,
                         olica_sources_kind(rows->source->kind));
}

/* Broadcasts rank 0's index. */
static olica_status share_index(olica_rows *rows) {
  olica_context *context = rows->context;
  olica_row_index *index = &rows->index;
  olica_comm_bcast(context, context->comm, &index->count, sizeof index->count, 0);
  size_t count = (size_t)index->count;
  olica_status status = OLICA_OK;
  if (context->rank != 0) {
    index->room = index->count;
    status = OLICA_NEW(context->env, index->begin, count);
    if (status == OLICA_OK) status = OLICA_NEW(context->env, index->bytes, count);
  }
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, index->begin, count * sizeof *index->begin, 0);
  olica_comm_bcast(context, context->comm, index->bytes, count * sizeof *index->bytes, 0);
  rows->count = index->count;
  return OLICA_OK;
}

/* ---- one row ---- */

int64_t olica_rows_line(const olica_rows *rows, int64_t row) {
  olica_env *env = rows->context->env;
  char piece[4096];
  int64_t line = 1;
  if (rows->npy) return 0;
  for (int64_t at = 0, end = rows->index.begin[row], n; at < end; at += n) {
    n = end - at < (int64_t)sizeof piece ? end - at : (int64_t)sizeof piece;
    if (olica_file_read(env, rows->fd, rows->source->path, at, piece, (size_t)n) != OLICA_OK) return 0;
    for (int64_t i = 0; i < n; i++) line += piece[i] == '\n';
  }
  return line;
}

/* Gets a string member; an optional one, if missing or null, is empty. */
static olica_status member(const olica_rows *rows, int64_t row, const json_t *object, const char *key,
                           bool required, const char **text, size_t *bytes) {
  olica_env *env = rows->context->env;
  *text = "";
  olica_status status = olica_json_string(env, rows->source->path, object, key, required, text);
  if (status == OLICA_OK) {
    *bytes = json_string_length(json_object_get(object, key));
    return OLICA_OK;
  }
  if (!json_object_get(object, key)) {
    char where[WHERE];
    snprintf(where, sizeof where, "%s: line %lld", rows->source->path, (long long)olica_rows_line(rows, row));
    return olica_json_member(env, where, object, key, text);
  }
  char found[OLICA_JSON_TEXT];
  olica_json_describe(json_object_get(object, key), found);
  return olica_error_set(env, status, "%s: line %lld: %.80s is %s, expected a string", rows->source->path,
                         (long long)olica_rows_line(rows, row), key, found);
}

/* A text under construction. */
typedef struct composition {
  char *text;
  size_t bytes;
} composition;

static void append(composition *to, const char *text, size_t bytes) {
  if (bytes > 0) memcpy(to->text + to->bytes, text, bytes);
  to->bytes += bytes;
}

static void append_string(composition *to, const char *text) {
  append(to, text, strlen(text));
}

/* Composes the Stanford Alpaca prompt, directly followed by the output. */
static olica_status compose_prompt(const olica_rows *rows, int64_t row, const json_t *object,
                                   composition *to) {
  const char *instruction, *input, *output;
  size_t instruction_bytes = 0, input_bytes = 0, output_bytes = 0;
  OLICA_TRY(member(rows, row, object, "instruction", true, &instruction, &instruction_bytes));
  OLICA_TRY(member(rows, row, object, "input", false, &input, &input_bytes));
  OLICA_TRY(member(rows, row, object, "output", true, &output, &output_bytes));
  OLICA_TRY(OLICA_NEW(rows->context->env, to->text, FRAME + instruction_bytes + input_bytes + output_bytes));
  append_string(to, "Below is an instruction that describes a task");
  if (input_bytes > 0) append_string(to, ", paired with an input that provides further context");
  append_string(to, ". Write a response that appropriately completes the request.\n\n### Instruction:\n");
  append(to, instruction, instruction_bytes);
  if (input_bytes > 0) append_string(to, "\n\n### Input:\n");
  append(to, input, input_bytes);
  append_string(to, "\n\n### Response:\n");
  append(to, output, output_bytes);
  return OLICA_OK;
}

static olica_status compose(const olica_rows *rows, int64_t row, const json_t *object, composition *to) {
  const char *text;
  size_t bytes;
  if (rows->source->kind == OLICA_TEXT_ALPACA) return compose_prompt(rows, row, object, to);
  OLICA_TRY(member(rows, row, object, rows->source->field, true, &text, &bytes));
  OLICA_TRY(OLICA_NEW(rows->context->env, to->text, bytes + 1));
  append(to, text, bytes);
  return OLICA_OK;
}

/* Loads the bytes of a row from the file. */
static olica_status load(const olica_rows *rows, int64_t row, char **raw) {
  olica_env *env = rows->context->env;
  size_t bytes = (size_t)rows->index.bytes[row];
  OLICA_TRY(OLICA_NEW(env, *raw, bytes + 1));
  OLICA_TRY(olica_file_read(env, rows->fd, rows->source->path, rows->index.begin[row], *raw, bytes));
  olica_timer_work(&env->timers, 0, (double)bytes);
  return OLICA_OK;
}

olica_status olica_rows_text(const olica_rows *rows, int64_t row, char **text, size_t *bytes) {
  olica_env *env = rows->context->env;
  composition whole = {0};
  json_t *object = NULL;
  char *raw;
  OLICA_TRY(load(rows, row, &raw));
  *text = raw;
  *bytes = (size_t)rows->index.bytes[row];
  if (rows->source->kind == OLICA_TEXT_PLAIN) return OLICA_OK;
  olica_status status = olica_json_parse_row(env, rows->source->path, 1, raw, *bytes, &object);
  if (status == OLICA_ERR_INPUT) /* parse again, now with the line number */
    status = olica_json_parse_row(env, rows->source->path, olica_rows_line(rows, row), raw, *bytes, &object);
  if (status == OLICA_OK) status = compose(rows, row, object, &whole);
  json_decref(object);
  olica_memory_free(env, raw);
  *text = whole.text;
  *bytes = whole.bytes;
  return status;
}

/* ---- ids ---- */

int64_t olica_rows_ids(const olica_rows *rows, int64_t row) {
  if (rows->npy->dims > 1) return rows->npy->cols;
  int64_t most = 2 * (int64_t)rows->length, left = rows->npy->cols - row * most;
  return left < most ? left : most;
}

olica_status olica_rows_read(const olica_rows *rows, int64_t row, int64_t first, int64_t count,
                             int64_t vocabulary, int32_t *ids) {
  if (rows->npy->dims > 1)
    return olica_npy_read(rows->context, rows->npy, row, first, count, vocabulary, ids);
  return olica_npy_read(rows->context, rows->npy, 0, row * 2 * rows->length + first, count, vocabulary, ids);
}

static olica_status open_ids(olica_rows *rows) {
  OLICA_TRY(olica_npy_open(rows->context, rows->source->path, &rows->npy));
  int64_t most = 2 * (int64_t)rows->length;
  rows->count = rows->npy->dims > 1 ? rows->npy->rows : (rows->npy->cols + most - 1) / most;
  return OLICA_OK;
}

/* ---- opening ---- */

/* Opens the file on every rank. */
static olica_status open_text(olica_rows *rows) {
  int64_t size;
  OLICA_TRY(olica_file_open(rows->context->env, rows->source->path, &rows->fd, &size));
  return rows->context->rank == 0 ? index_file(rows, size) : OLICA_OK;
}

/* Checks that this rank's share of the rows have a text. */
static olica_status look_at(const olica_rows *rows) {
  olica_range own = olica_partition_block(rows->count, rows->context->size, rows->context->rank);
  if (rows->source->kind == OLICA_TEXT_PLAIN) return OLICA_OK;
  for (int64_t row = own.first; row < own.first + own.count; row++) {
    char *text;
    size_t bytes;
    OLICA_TRY(olica_rows_text(rows, row, &text, &bytes));
    olica_memory_free(rows->context->env, text);
  }
  return OLICA_OK;
}

static olica_status open_all(olica_rows *rows) {
  olica_context *context = rows->context;
  if (rows->source->kind == OLICA_TEXT_NPY) return open_ids(rows);
  OLICA_AGREE(context, open_text(rows));
  OLICA_TRY(share_index(rows));
  OLICA_AGREE(context, look_at(rows));
  return OLICA_OK;
}

olica_status olica_rows_open(olica_context *context, const olica_text_source *source, int length,
                             olica_rows **out) {
  olica_rows *rows;
  OLICA_AGREE(context, OLICA_NEW(context->env, rows, 1));
  *rows = (olica_rows){.context = context, .source = source, .length = length, .fd = -1};
  olica_status status = open_all(rows);
  if (status == OLICA_OK)
    *out = rows;
  else
    olica_rows_close(rows);
  return status;
}

void olica_rows_close(olica_rows *rows) {
  if (!rows) return;
  olica_env *env = rows->context->env;
  if (rows->fd >= 0) close(rows->fd);
  olica_npy_close(rows->context, rows->npy);
  olica_memory_free(env, rows->index.begin);
  olica_memory_free(env, rows->index.bytes);
  olica_memory_free(env, rows);
}
