#include "run/tokenize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/hdf5.h"
#include "model/tensors.h"
#include "par/comm.h"
#include "text/encoder.h"
#include "text/look.h"

enum { ANY = INT32_MAX };
static const size_t TEXT_BYTES = (size_t)1 << 32;

/* *is_directory: `path` is a directory. Rank 0 looks. */
static olica_status look(olica_context *context, const char *path, int *is_directory) {
  struct stat info = {0};
  olica_status status = OLICA_OK;
  if (context->rank == 0 && stat(path, &info) != 0)
    status = olica_error_set(context->env, OLICA_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
  OLICA_AGREE(context, status);
  *is_directory = context->rank == 0 && S_ISDIR(info.st_mode);
  olica_comm_bcast(context, context->comm, is_directory, sizeof *is_directory, 0);
  return OLICA_OK;
}

static olica_status load_checkpoint(olica_context *context, const char *path, olica_bundle **bundle) {
  olica_catalog *catalog;
  OLICA_AGREE(context, olica_catalog_create(context, &catalog));
  olica_status status = OLICA_OK;
  if (context->rank == 0)
    status = olica_hdf5_index(catalog, path, OLICA_CHECKPOINT_FORMAT, OLICA_CHECKPOINT_SCHEMA);
  OLICA_TRY(olica_catalog_share(catalog, status));
  status = olica_bundle_extract(context, catalog, bundle);
  olica_catalog_destroy(catalog);
  return status;
}

/* Opens the tokenizer. There is no model, so any id is allowed. */
static olica_status open_encoder(olica_context *context, const char *path, olica_encoder **encoder) {
  olica_bundle *bundle;
  int is_directory;
  OLICA_TRY(look(context, path, &is_directory));
  OLICA_TRY(is_directory ? olica_bundle_load(context, path, &bundle)
                         : load_checkpoint(context, path, &bundle));
  OLICA_AGREE(context, olica_encoder_open(context->env, bundle, ANY, -1, encoder));
  olica_bundle_free(context->env, bundle);
  return OLICA_OK;
}

/* ---- the commands ---- */

static olica_status print_ids(olica_encoder *encoder, const char *file, bool special) {
  olica_env *env = encoder->env;
  olica_tokens tokens = {0};
  char *text;
  size_t bytes;
  OLICA_TRY(olica_file_load(env, file, TEXT_BYTES, &text, &bytes));
  OLICA_TRY(olica_look_head(env, file, OLICA_LOOK_BYTES, text, bytes));
  size_t mark = olica_look_mark(text, bytes);
  olica_status status = olica_encoder_encode(encoder, text + mark, bytes - mark,
                                             special ? OLICA_SPECIAL_AUTO : OLICA_SPECIAL_NONE, &tokens);
  if (status != OLICA_OK) return olica_error_context(env, "%s: ", file);
  for (size_t i = 0; i < tokens.count; i++) printf("%s%d", i ? " " : "", (int)tokens.id[i]);
  putchar('\n');
  olica_memory_free(env, text);
  OLICA_FREE(env, tokens.id);
  return OLICA_OK;
}

static olica_status misread(olica_env *env, const char *file, size_t at) {
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: byte %zu: expected ids, whole numbers with blanks between", file, at);
}

/* Reads the numbers of a text; there are at most half as many as bytes. */
static olica_status read_ids(olica_env *env, const char *file, const char *text, size_t bytes, int32_t *id,
                             size_t *count) {
  *count = 0;
  for (size_t at = olica_look_mark(text, bytes); at < bytes;) {
    at += strspn(text + at, " \t\r\n");
    if (at >= bytes) break;
    int64_t value = 0;
    size_t digits = strspn(text + at, "0123456789");
    if (digits == 0 || digits > 10 || (at + digits < bytes && !strchr(" \t\r\n", text[at + digits])) ||
        (at + digits < bytes && !text[at + digits]))
      return misread(env, file, at);
    for (size_t i = 0; i < digits; i++) value = 10 * value + (text[at + i] - '0');
    if (value > INT32_MAX) return misread(env, file, at);
    id[(*count)++] = (int32_t)value;
    at += digits;
  }
  return OLICA_OK;
}

static olica_status print_text(olica_encoder *encoder, const char *file, bool special) {
  olica_env *env = encoder->env;
  char *line, *text;
  int32_t *id;
  size_t bytes, count;
  OLICA_TRY(olica_file_load(env, file, TEXT_BYTES, &line, &bytes));
  OLICA_TRY(OLICA_NEW(env, id, bytes / 2 + 1));
  OLICA_TRY(read_ids(env, file, line, bytes, id, &count));
  OLICA_TRY(olica_tokenizer_decode(encoder->tokenizer, id, count, !special, &text, &bytes));
  fwrite(text, 1, bytes, stdout);
  olica_memory_free(env, line);
  olica_memory_free(env, id);
  olica_memory_free(env, text);
  return OLICA_OK;
}

typedef olica_status command(olica_encoder *encoder, const char *file, bool special);

static olica_status run(olica_context *context, const char *path, const char *file, bool special,
                        command *print) {
  olica_encoder *encoder;
  OLICA_TRY(open_encoder(context, path, &encoder));
  OLICA_AGREE(context, context->rank == 0 ? print(encoder, file, special) : OLICA_OK);
  olica_encoder_close(encoder);
  return OLICA_OK;
}

olica_status olica_tokenize_run(olica_context *context, const char *path, const char *file, bool special) {
  return run(context, path, file, special, print_ids);
}

olica_status olica_tokenize_reverse(olica_context *context, const char *path, const char *file,
                                    bool special) {
  return run(context, path, file, special, print_text);
}
