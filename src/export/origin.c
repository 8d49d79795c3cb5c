#include "origin.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/json.h"
#include "model/nested.h"
#include "par/comm.h"

enum { TEXT_BYTES = 64 << 20 };

/* ---- the checkpoint's texts ---- */

/* Reads a JSON text of the checkpoint on every rank; NULL if it has none. */
static olica_status read_text(olica_export *e, const char *name, json_t **value) {
  olica_catalog *catalog = e->source->catalog;
  const olica_tensor *tensor = olica_catalog_find(catalog, name);
  char *text, where[OLICA_FILE_PATH + 64];
  *value = NULL;
  if (!tensor || tensor->dims != 1 || strcmp(tensor->stored, "uint8") != 0 || tensor->bytes > TEXT_BYTES)
    return OLICA_OK;
  OLICA_TRY(OLICA_NEW(e->env, text, (size_t)tensor->bytes + 1));
  olica_status status = olica_catalog_read(catalog, tensor, 0, tensor->bytes, text);
  snprintf(where, sizeof where, "%s: %s", e->checkpoint, name);
  if (status == OLICA_OK) status = olica_json_parse(e->env, where, text, (size_t)tensor->bytes, value);
  olica_memory_free(e->env, text);
  return status;
}

static olica_status read_texts(olica_export *e) {
  OLICA_TRY(olica_json_parse(e->env, e->checkpoint, e->source->config, e->source->config_bytes, &e->config));
  if (!e->source->is_checkpoint) return OLICA_OK;
  OLICA_TRY(read_text(e, "meta/settings_json", &e->settings));
  return read_text(e, "meta/provenance_json", &e->provenance);
}

/* ---- the source's directory ---- */

/* Tells whether a directory has the checkpoint's own config.json. */
static bool is_origin(olica_export *e, const char *directory) {
  char path[OLICA_FILE_PATH + 16], *text = NULL;
  size_t bytes = 0;
  snprintf(path, sizeof path, "%s/config.json", directory);
  bool same = olica_file_load(e->env, path, TEXT_BYTES, &text, &bytes) == OLICA_OK &&
              ((bytes == e->source->config_bytes && memcmp(text, e->source->config, bytes) == 0) ||
               (e->source->arch.text_of &&
                olica_nested_gives(e->env, path, text, bytes, e->source->config, e->source->config_bytes)));
  olica_memory_free(e->env, text);
  olica_error_clear(e->env);
  return same;
}

/* Takes the directory of the provenance, which may have been relative to where the job was started. */
static olica_status look_for_origin(olica_export *e) {
  const char *model = json_string_value(json_object_get(e->provenance, "model"));
  char *beside;
  if (!model || strlen(model) >= sizeof e->directory) return OLICA_OK;
  if (is_origin(e, model)) {
    snprintf(e->directory, sizeof e->directory, "%s", model);
    return OLICA_OK;
  }
  OLICA_TRY(olica_file_resolve(e->env, e->checkpoint, model, &beside));
  if (strlen(beside) < sizeof e->directory && is_origin(e, beside))
    snprintf(e->directory, sizeof e->directory, "%s", beside);
  else
    olica_log_warn(e->env,
                   "export: the source model %.100s is not there any more (or has another config.json): its "
                   "licence, generation_config.json and the like are not copied; --set model.path=DIR names "
                   "it",
                   model);
  olica_memory_free(e->env, beside);
  return OLICA_OK;
}

static olica_status find_origin(olica_export *e) {
  const char *given = e->source->is_checkpoint ? e->options->model : e->checkpoint;
  if (!given || !*given) return look_for_origin(e);
  if (strlen(given) >= sizeof e->directory || !is_origin(e, given))
    return olica_error_set(e->env, OLICA_ERR_CONFIG,
                           "[model] path = %.900s: its config.json is not the one in %.900s, expected the "
                           "directory of the model that was pruned",
                           given, e->checkpoint);
  snprintf(e->directory, sizeof e->directory, "%s", given);
  return OLICA_OK;
}

olica_status olica_origin_open(olica_export *e) {
  olica_context *context = e->context;
  olica_bundle *bundle = NULL;
  OLICA_AGREE(context, read_texts(e));
  OLICA_AGREE(context, context->rank == 0 ? find_origin(e) : OLICA_OK);
  olica_comm_bcast(context, context->comm, e->directory, sizeof e->directory, 0);
  if (e->source->is_checkpoint) OLICA_TRY(olica_bundle_extract(context, e->source->catalog, &bundle));
  if (*e->directory && (!bundle || !olica_bundle_holds(bundle))) {
    olica_bundle_free(e->env, bundle);
    OLICA_TRY(olica_bundle_load(context, e->directory, &bundle));
  }
  e->bundle = bundle;
  return OLICA_OK;
}

void olica_origin_close(olica_export *e) {
  json_decref(e->config);
  json_decref(e->settings);
  json_decref(e->provenance);
  olica_bundle_free(e->env, (olica_bundle *)e->bundle);
}

/* ---- copies ---- */

static bool is_copied(const char *name) {
  static const char *const patterns[] = {"generation_config.json",
                                         "chat_template*",
                                         "vocab.json",
                                         "merges.txt",
                                         "tokenizer.json",
                                         "tokenizer.model*",
                                         "tokenizer_config.json",
                                         "LICENSE*",
                                         "LICENCE*",
                                         "license*",
                                         "NOTICE*",
                                         "Notice*",
                                         "USE_POLICY*",
                                         "COPYING*",
                                         "added_tokens.json",
                                         "special_tokens_map.json"};
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
    if (fnmatch(patterns[i], name, 0) == 0) return true;
  return false;
}

static olica_status copy_file(olica_export *e, const char *name) {
  char path[OLICA_FILE_PATH + 256], *text;
  struct stat info;
  size_t bytes;
  snprintf(path, sizeof path, "%s/%s", e->directory, name);
  if (json_object_get(e->beside, name) || stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return OLICA_OK;
  OLICA_TRY(olica_file_load(e->env, path, TEXT_BYTES, &text, &bytes));
  olica_status status = olica_export_save(e, name, text, bytes);
  olica_memory_free(e->env, text);
  return status;
}

olica_status olica_origin_copy(olica_export *e) {
  for (int i = 0; e->bundle && i < OLICA_BUNDLE_PARTS; i++)
    if (e->bundle->part[i].bytes > 0)
      OLICA_TRY(
          olica_export_save(e, olica_bundle_file(i), e->bundle->part[i].data, e->bundle->part[i].bytes));
  DIR *directory = *e->directory ? opendir(e->directory) : NULL;
  olica_status status = OLICA_OK;
  for (const struct dirent *entry; status == OLICA_OK && directory && (entry = readdir(directory));)
    if (is_copied(entry->d_name)) status = copy_file(e, entry->d_name);
  if (directory) closedir(directory);
  return status;
}

void olica_origin_licence(const olica_export *e, char *text, size_t room) {
  char path[OLICA_FILE_PATH + 16], *card;
  size_t bytes;
  *text = '\0';
  snprintf(path, sizeof path, "%s/README.md", e->directory);
  if (!*e->directory || olica_file_load(e->env, path, TEXT_BYTES, &card, &bytes) != OLICA_OK) {
    olica_error_clear(e->env);
    return;
  }
  const char *end = strncmp(card, "---", 3) == 0 ? strstr(card + 3, "\n---") : NULL;
  const char *line = end ? strstr(card, "\nlicense:") : NULL;
  if (line && line < end) {
    line += strlen("\nlicense:");
    line += strspn(line, " \t\"'");
    size_t length = strcspn(line, " \t\"'\r\n");
    snprintf(text, room, "%.*s", (int)(length < room ? length : room - 1), line);
  }
  olica_memory_free(e->env, card);
}
