#include "olica/run/tokenize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "olica/io/file.h"
#include "olica/io/hdf5.h"
#include "olica/par/comm.h"

enum { SCHEMA = 1, NAME = OLICA_CATALOG_PATH + 64 };
static const size_t TOKENIZER_BYTES = (size_t)256 << 20, TEXT_BYTES = (size_t)1 << 32;

/* What rank 0 has found: a tokenizer's bytes, and the format they are in. */
typedef struct found {
  char *data;
  size_t bytes;
  olica_tokenizer_format format;
  char name[NAME];
} found;

static const char *const files[] = {"tokenizer.json", "tokenizer.model"};
static const char *const sets[] = {"meta/tokenizer_json", "meta/tokenizer_model"};

static olica_status load_directory(olica_env *env, const char *path, found *f) {
  for (int i = 0; i < 2; i++) {
    struct stat there;
    snprintf(f->name, sizeof f->name, "%s/%s", path, files[i]);
    if (stat(f->name, &there) != 0) continue;
    f->format = (olica_tokenizer_format)i;
    return olica_file_load(env, f->name, TOKENIZER_BYTES, &f->data, &f->bytes);
  }
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: has no tokenizer.json and no tokenizer.model", path);
}

/* Rank 0's work, of a catalog that all share. */
static olica_status load_set(olica_catalog *catalog, const char *path, found *f) {
  olica_env *env = catalog->context->env;
  for (int i = 0; i < 2; i++) {
    const olica_tensor *set = olica_catalog_find(catalog, sets[i]);
    if (!set) continue;
    snprintf(f->name, sizeof f->name, "%s: %s", path, sets[i]);
    if (set->dims != 1 || strcmp(set->stored, "uint8") != 0 || (size_t)set->bytes > TOKENIZER_BYTES)
      return olica_error_set(env, OLICA_ERR_INPUT, "%s holds %lld bytes of %s, expected at most %zu of uint8",
                             f->name, (long long)set->bytes, set->stored, TOKENIZER_BYTES);
    f->format = (olica_tokenizer_format)i;
    f->bytes = (size_t)set->bytes;
    OLICA_TRY(OLICA_NEW(env, f->data, f->bytes + 1));
    return olica_catalog_read(catalog, set, 0, set->bytes, f->data);
  }
  return olica_error_set(env, OLICA_ERR_INPUT, "%s: holds no tokenizer (%s, %s)", path, sets[0], sets[1]);
}

/* Collective. */
static olica_status load_checkpoint(olica_context *context, const char *path, found *f) {
  olica_catalog *catalog;
  bool root = context->rank == 0;
  OLICA_AGREE(context, olica_catalog_create(context, &catalog));
  olica_status status = olica_catalog_share(
      catalog, root ? olica_hdf5_index(catalog, path, "olica-checkpoint", SCHEMA) : OLICA_OK);
  if (status == OLICA_OK && root) status = load_set(catalog, path, f);
  olica_catalog_destroy(catalog);
  OLICA_AGREE(context, status);
  return OLICA_OK;
}

/* Rank 0's work: the files of a directory, or word that it is none. */
static olica_status load_here(olica_env *env, const char *path, found *f, bool *directory) {
  struct stat info;
  if (stat(path, &info) != 0)
    return olica_error_set(env, OLICA_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
  *directory = S_ISDIR(info.st_mode);
  return *directory ? load_directory(env, path, f) : OLICA_OK;
}

static olica_status load(olica_context *context, const char *path, found *f) {
  bool directory = false;
  OLICA_AGREE(context, context->rank == 0 ? load_here(context->env, path, f, &directory) : OLICA_OK);
  olica_comm_bcast(context, context->comm, &directory, sizeof directory, 0);
  return directory ? OLICA_OK : load_checkpoint(context, path, f);
}

static olica_status share(olica_context *context, found *f) {
  char *own = f->data;
  olica_comm_bcast(context, context->comm, f, sizeof *f, 0);
  f->data = own;
  OLICA_AGREE(context, own ? OLICA_OK : OLICA_NEW(context->env, f->data, f->bytes + 1));
  olica_comm_bcast(context, context->comm, f->data, f->bytes, 0);
  return OLICA_OK;
}

olica_status olica_tokenize_open(olica_context *context, const char *path, olica_tokenizer **tokenizer) {
  found f = {0};
  *tokenizer = NULL;
  OLICA_TRY(load(context, path, &f));
  OLICA_TRY(share(context, &f));
  olica_status status = olica_tokenizer_parse(context->env, f.name, f.format, f.data, f.bytes, tokenizer);
  olica_memory_free(context->env, f.data);
  OLICA_AGREE(context, status);
  return OLICA_OK;
}

/* ---- the commands ---- */

static olica_status flush(olica_env *env) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return OLICA_OK;
  return olica_error_set(env, OLICA_ERR_IO, "standard output: cannot write: %s", strerror(errno));
}

static olica_status print_ids(olica_context *context, olica_tokenizer *tokenizer, const char *file,
                              bool special) {
  olica_env *env = context->env;
  olica_tokens tokens = {0};
  char *text;
  size_t bytes;
  OLICA_TRY(olica_file_load(env, file, TEXT_BYTES, &text, &bytes));
  OLICA_TRY(olica_tokenizer_encode(tokenizer, text, bytes, special, &tokens));
  for (size_t i = 0; i < tokens.count; i++) printf("%s%d", i ? " " : "", (int)tokens.id[i]);
  putchar('\n');
  olica_memory_free(env, text);
  OLICA_FREE(env, tokens.id);
  return flush(env);
}

static olica_status misread(olica_env *env, const char *file, size_t at) {
  return olica_error_set(env, OLICA_ERR_INPUT,
                         "%s: byte %zu: expected ids, whole numbers with blanks between", file, at);
}

/* The numbers of a text; there are at most half as many as bytes. */
static olica_status read_ids(olica_env *env, const char *file, const char *text, size_t bytes, int32_t *id,
                             size_t *count) {
  *count = 0;
  for (size_t at = 0; at < bytes;) {
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

static olica_status print_text(olica_context *context, olica_tokenizer *tokenizer, const char *file,
                               bool special) {
  olica_env *env = context->env;
  char *line, *text;
  int32_t *id;
  size_t bytes, count;
  OLICA_TRY(olica_file_load(env, file, TEXT_BYTES, &line, &bytes));
  OLICA_TRY(OLICA_NEW(env, id, bytes / 2 + 1));
  OLICA_TRY(read_ids(env, file, line, bytes, id, &count));
  OLICA_TRY(olica_tokenizer_decode(tokenizer, id, count, !special, &text, &bytes));
  fwrite(text, 1, bytes, stdout);
  olica_memory_free(env, line);
  olica_memory_free(env, id);
  olica_memory_free(env, text);
  return flush(env);
}

typedef olica_status command(olica_context *context, olica_tokenizer *tokenizer, const char *file,
                             bool special);

static olica_status run(olica_context *context, const char *path, const char *file, bool special,
                        command *print) {
  olica_tokenizer *tokenizer;
  OLICA_TRY(olica_tokenize_open(context, path, &tokenizer));
  olica_status status = context->rank == 0 ? print(context, tokenizer, file, special) : OLICA_OK;
  olica_tokenizer_close(tokenizer);
  OLICA_AGREE(context, status);
  return OLICA_OK;
}

olica_status olica_tokenize_run(olica_context *context, const char *path, const char *file, bool special) {
  return run(context, path, file, special, print_ids);
}

olica_status olica_tokenize_reverse(olica_context *context, const char *path, const char *file,
                                    bool special) {
  return run(context, path, file, special, print_text);
}
