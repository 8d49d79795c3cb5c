#include "gguf_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gguf_pre.h"
#include "io/file.h"
#include "io/json.h"
#include "text/listing.h"

enum { PAD_TEXT = 24, TEMPLATE_BYTES = 16 << 20 };
static const float pad_score = -10000; /* that of ids without a token, as llama.cpp's converter writes it */

/* What is known of the tokenizer, while its keys are made. */
typedef struct tokens {
  olica_export *e;
  olica_gguf *g;
  olica_listing list;
  json_t *file;       /* tokenizer.json; NULL: it is a tokenizer.model */
  json_t *settings;   /* tokenizer_config.json; NULL: there is none */
  json_t *map;        /* special_tokens_map.json; NULL: there is none */
  int32_t vocabulary; /* the model's */
  const char **text;  /* [vocabulary] of every id, as the file has it */
  size_t *bytes;      /* [vocabulary] */
  char *made;         /* storage of texts that are none of the tokenizer's own */
} tokens;

/* ---- texts of tokens ---- */

static bool is_meta(const char *text) {
  return memcmp(text, "\xe2\x96\x81", 3) == 0; /* U+2581 */
}

/* llama.cpp looks for a user's token in the text as it is: with blanks. Returns the copy's bytes. */
static size_t blanks(const olica_token *token, char *to) {
  size_t count = 0;
  for (size_t i = 0; i < token->bytes; i++) {
    bool meta = token->bytes - i >= 3 && is_meta(token->text + i);
    to[count++] = meta ? ' ' : token->text[i];
    if (meta) i += 2;
  }
  return count;
}

static const olica_token *token_of(const tokens *t, int32_t id) {
  const olica_token *token = id < t->list.count ? &t->list.token[id] : NULL;
  return token && token->kind != OLICA_TOKEN_NONE && token->bytes > 0 ? token : NULL;
}

static bool is_rewritten(const tokens *t, const olica_token *token) {
  return token && token->kind == OLICA_TOKEN_USER && t->list.kind == OLICA_LISTING_SENTENCE;
}

static olica_status gather_texts(tokens *t) {
  olica_env *env = t->e->env;
  size_t room = 1, used = 0;
  for (int32_t id = 0; id < t->vocabulary; id++) {
    const olica_token *token = token_of(t, id);
    room += !token ? PAD_TEXT : is_rewritten(t, token) ? token->bytes : 0;
  }
  OLICA_TRY(OLICA_NEW(env, t->text, (size_t)t->vocabulary));
  OLICA_TRY(OLICA_NEW(env, t->bytes, (size_t)t->vocabulary));
  OLICA_TRY(OLICA_NEW(env, t->made, room));
  for (int32_t id = 0; id < t->vocabulary; id++) {
    const olica_token *token = token_of(t, id);
    t->text[id] = token ? token->text : t->made + used;
    t->bytes[id] = token ? token->bytes : 0;
    if (!token)
      t->bytes[id] = (size_t)snprintf(t->made + used, PAD_TEXT, "[PAD%d]", id);
    else if (is_rewritten(t, token))
      t->bytes[id] = blanks(token, t->made + used), t->text[id] = t->made + used;
    if (t->text[id] == t->made + used) used += t->bytes[id];
  }
  return OLICA_OK;
}

/* ---- texts that stand twice ---- */

typedef struct entry {
  const char *text;
  size_t bytes;
  int32_t id;
} entry;

static int by_text(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int order = memcmp(x->text, y->text, x->bytes < y->bytes ? x->bytes : y->bytes);
  if (order != 0) return order;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* llama.cpp ends the program over two tokens of one text. */
static olica_status check_unique(const tokens *t) {
  entry *list;
  OLICA_TRY(OLICA_NEW(t->e->env, list, (size_t)t->vocabulary));
  for (int32_t id = 0; id < t->vocabulary; id++) list[id] = (entry){t->text[id], t->bytes[id], id};
  qsort(list, (size_t)t->vocabulary, sizeof *list, by_text);
  olica_status status = OLICA_OK;
  for (int32_t i = 1; i < t->vocabulary && status == OLICA_OK; i++)
    if (list[i].bytes == list[i - 1].bytes && memcmp(list[i].text, list[i - 1].text, list[i].bytes) == 0)
      status = olica_export_refuse(t->e,
                                   "ids %d and %d of the tokenizer are both \"%.*s\", which llama.cpp does "
                                   "not take; hf:DIR has no such limit",
                                   list[i - 1].id, list[i].id, list[i].bytes < 40 ? (int)list[i].bytes : 40,
                                   list[i].text);
  olica_memory_free(t->e->env, list);
  return status;
}

/* ---- the vocabulary ---- */

static olica_status put_vocabulary(tokens *t) {
  int32_t *kinds;
  float *scores;
  OLICA_TRY(OLICA_NEW(t->e->env, kinds, (size_t)t->vocabulary));
  OLICA_TRY(OLICA_NEW(t->e->env, scores, (size_t)t->vocabulary));
  olica_gguf_strings(t->g, "tokenizer.ggml.tokens", (size_t)t->vocabulary);
  for (int32_t id = 0; id < t->vocabulary; id++) {
    const olica_token *token = token_of(t, id);
    olica_gguf_put_string(t->g, t->text[id], t->bytes[id]);
    kinds[id] = token ? (int32_t)token->kind : (int32_t)OLICA_TOKEN_UNUSED;
    scores[id] = token ? token->score : pad_score;
  }
  if (t->list.kind == OLICA_LISTING_SENTENCE)
    olica_gguf_f32s(t->g, "tokenizer.ggml.scores", scores, (size_t)t->vocabulary);
  olica_gguf_i32s(t->g, "tokenizer.ggml.token_type", kinds, (size_t)t->vocabulary);
  olica_memory_free(t->e->env, kinds);
  olica_memory_free(t->e->env, scores);
  return OLICA_OK;
}

/* Merges as "a b": the reader of tokenizer.json has checked that each is a string or a pair. */
static void put_merges(tokens *t) {
  const json_t *merges = json_object_get(json_object_get(t->file, "model"), "merges"), *merge;
  size_t count = 0, i;
  json_array_foreach(merges, i, merge) count +=
      !json_is_string(merge) || strncmp(json_string_value(merge), "#version", 8) != 0;
  olica_gguf_strings(t->g, "tokenizer.ggml.merges", count);
  json_array_foreach(merges, i, merge) {
    const char *text = json_string_value(merge);
    if (text && strncmp(text, "#version", 8) == 0) continue;
    if (text)
      olica_gguf_put_string(t->g, text, strlen(text));
    else
      olica_gguf_put_pair(t->g, json_string_value(json_array_get(merge, 0)),
                          json_string_value(json_array_get(merge, 1)));
  }
}

/* ---- what llama.cpp does otherwise ---- */

static const char *pre_of(tokens *t) {
  olica_gguf_pre_name pre = olica_gguf_pre(json_object_get(t->file, "pre_tokenizer"), t->list.ignore_merges);
  if (!pre.name)
    olica_export_note(t->e,
                      "llama.cpp has no pre-tokenizer like tokenizer.json's: tokenizer.ggml.pre is "
                      "\"default\", which divides some texts otherwise; exact ids come from this program's "
                      "--tokenize or from the tokenizers package");
  if (pre.other_merges)
    olica_export_note(t->e,
                      "tokenizer.ggml.pre is \"%s\", whose steps are tokenizer.json's, but it takes "
                      "ignore_merges for %s: a few words may get other ids in llama.cpp",
                      pre.name, t->list.ignore_merges ? "false" : "true");
  if (pre.other_letters)
    olica_export_note(t->e,
                      "tokenizer.ggml.pre is \"%s\", for which llama.cpp takes marks, and capitals beyond "
                      "ASCII, otherwise than tokenizer.json: words with them may get other ids there",
                      pre.name);
  return pre.name ? pre.name : "default";
}

static void tell_bytes(tokens *t) {
  if (t->list.space)
    olica_export_note(t->e, "tokenizer.json puts a space in front of a text, llama.cpp does not: write it "
                            "into the text");
  if (t->list.normalizes)
    olica_export_note(t->e, "llama.cpp does not normalize a text as tokenizer.json does: a text in another "
                            "Unicode form may get other ids");
}

static void tell_sentence(tokens *t) {
  int bytes = 0;
  for (int32_t id = 0; id < t->vocabulary; id++)
    bytes += token_of(t, id) && t->list.token[id].kind == OLICA_TOKEN_BYTE;
  if (bytes < 256)
    olica_export_note(t->e, "the tokenizer has no pieces for bytes, or not all: llama.cpp fails over a text "
                            "with a character that is no token");
  if (t->list.normalizes)
    olica_export_note(t->e, "llama.cpp does not normalize a text as the tokenizer's own normalizer does: "
                            "texts that it changes may get other ids");
  if (t->list.divides)
    olica_export_note(t->e, "llama.cpp does not divide a text before it merges, as tokenizer.json's "
                            "pre-tokenizer does: some texts may get other ids");
  if (!t->list.ordered || t->list.ignore_merges)
    olica_export_note(t->e, "the merges of tokenizer.json have an order that no scores have, by which "
                            "llama.cpp merges: some texts may get other ids");
}

/* ---- special tokens ---- */

static bool is_inside(tokens *t, const char *key, int32_t id) {
  if (id >= 0 && id < t->vocabulary) return true;
  if (id >= 0)
    olica_export_note(t->e, "tokenizer.ggml.%s is left out: id %d is beyond the model's vocabulary of %d",
                      key, id, t->vocabulary);
  return false;
}

static void put_id(tokens *t, const char *key, int32_t id) {
  char name[OLICA_GGUF_KEY];
  snprintf(name, sizeof name, "tokenizer.ggml.%s", key);
  if (is_inside(t, key, id)) olica_gguf_u32(t->g, name, (uint32_t)id);
}

/* Returns an id of config.json (the first of several), -1: none. */
static int32_t config_id(const tokens *t, const char *key) {
  const json_t *value = json_object_get(t->e->config, key);
  if (json_is_array(value)) value = json_array_get(value, 0);
  json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
  return id >= 0 && id < INT32_MAX ? (int32_t)id : -1;
}

/* Returns the id of a token that the tokenizer's files name by its role, else config.json's. */
static int32_t role_id(const tokens *t, const char *role) {
  char key[32], id_key[32];
  snprintf(key, sizeof key, "%s_token", role);
  snprintf(id_key, sizeof id_key, "%s_token_id", role);
  const json_t *named = json_object_get(t->settings, key);
  if (!named || json_is_null(named)) named = json_object_get(t->map, key);
  if (json_is_object(named)) named = json_object_get(named, "content");
  if (json_is_string(named) && json_string_length(named) > 0)
    return olica_listing_find(&t->list, json_string_value(named), json_string_length(named));
  return config_id(t, id_key);
}

static void tell_around(tokens *t) {
  if (t->list.before.count > 1 || t->list.after.count > 1)
    olica_export_note(t->e,
                      "the tokenizer puts %zu tokens before a text and %zu behind it, llama.cpp at most one: "
                      "write the others into the text",
                      t->list.before.count, t->list.after.count);
}

/* What stands around a text comes first, then the tokenizer's files, then config.json. */
static void put_special(tokens *t) {
  const olica_listing *l = &t->list;
  bool adds_bos = l->before.count == 1, adds_eos = l->after.count == 1;
  int32_t named = l->eos >= 0 ? l->eos : config_id(t, "eos_token_id");
  int32_t bos = adds_bos ? l->before.id[0] : l->bos >= 0 ? l->bos : config_id(t, "bos_token_id");
  int32_t eos = adds_eos ? l->after.id[0] : named;
  put_id(t, "bos_token_id", bos);
  put_id(t, "eos_token_id", eos);
  if (named >= 0 && named != eos) put_id(t, "eot_token_id", named);
  if (eos < 0)
    olica_export_note(t->e,
                      "neither the tokenizer nor config.json names an EOS: llama.cpp takes id %d for "
                      "it, and ends a text there",
                      l->kind == OLICA_LISTING_SENTENCE ? 2 : 11);
  put_id(t, "unknown_token_id", l->unk >= 0 ? l->unk : role_id(t, "unk"));
  put_id(t, "padding_token_id", role_id(t, "pad"));
  put_id(t, "seperator_token_id", role_id(t, "sep")); /* spelt like this in the format */
  put_id(t, "mask_token_id", role_id(t, "mask"));
  olica_gguf_bool(t->g, "tokenizer.ggml.add_bos_token", adds_bos);
  olica_gguf_bool(t->g, "tokenizer.ggml.add_eos_token", adds_eos);
  tell_around(t);
}

/* ---- the chat template ---- */

/* A template is a string, or a list of them with names, of which one is "default". */
static void put_template(tokens *t) {
  const json_t *template = json_object_get(t->settings, "chat_template"), *one;
  char key[OLICA_GGUF_KEY];
  size_t i;
  if (json_is_string(template))
    olica_gguf_string(t->g, "tokenizer.chat_template", json_string_value(template),
                      json_string_length(template));
  json_array_foreach(template, i, one) {
    const char *name = json_string_value(json_object_get(one, "name"));
    const json_t *text = json_object_get(one, "template");
    if (!name || !json_is_string(text)) continue;
    if (strcmp(name, "default") == 0)
      snprintf(key, sizeof key, "tokenizer.chat_template");
    else
      snprintf(key, sizeof key, "tokenizer.chat_template.%.48s", name);
    olica_gguf_string(t->g, key, json_string_value(text), json_string_length(text));
  }
}

/* A template may also be a file of the source model's directory. */
static olica_status put_template_file(tokens *t) {
  char path[OLICA_FILE_PATH + 32], *text;
  size_t bytes;
  const json_t *inside = json_object_get(t->settings, "chat_template");
  snprintf(path, sizeof path, "%s/chat_template.jinja", t->e->directory);
  if (!*t->e->directory || (inside && !json_is_null(inside)) || access(path, R_OK) != 0) return OLICA_OK;
  OLICA_TRY(olica_file_load(t->e->env, path, TEMPLATE_BYTES, &text, &bytes));
  olica_gguf_string(t->g, "tokenizer.chat_template", text, bytes);
  olica_memory_free(t->e->env, text);
  return OLICA_OK;
}

/* ---- the whole ---- */

static olica_status put_all(tokens *t) {
  bool is_bytes = t->list.kind == OLICA_LISTING_BYTES;
  if (t->list.count > t->vocabulary)
    olica_export_note(t->e, "%d tokens beyond the model's vocabulary of %d are left out",
                      t->list.count - t->vocabulary, t->vocabulary);
  olica_gguf_text(t->g, "tokenizer.ggml.model", is_bytes ? "gpt2" : "llama");
  olica_gguf_text(t->g, "tokenizer.ggml.pre", is_bytes ? pre_of(t) : "default");
  OLICA_TRY(gather_texts(t));
  OLICA_TRY(check_unique(t));
  OLICA_TRY(put_vocabulary(t));
  if (is_bytes) put_merges(t);
  olica_gguf_bool(t->g, "tokenizer.ggml.add_space_prefix", !is_bytes && t->list.space);
  is_bytes ? tell_bytes(t) : tell_sentence(t);
  put_special(t);
  put_template(t);
  OLICA_TRY(put_template_file(t));
  return t->g->status;
}

static olica_status check_kind(const tokens *t) {
  if (t->list.kind == OLICA_LISTING_BYTES || t->list.kind == OLICA_LISTING_SENTENCE) return OLICA_OK;
  return olica_export_refuse(
      t->e, "llama.cpp has no tokenizer like this model's (%s): hf:DIR carries its files",
      t->list.kind == OLICA_LISTING_UNIGRAM ? "a unigram model" : "BPE over characters");
}

static olica_status parse(const tokens *t, olica_bundle_part part, json_t **root) {
  const olica_bundle *bundle = t->e->bundle;
  return bundle->part[part].data ? olica_json_parse(t->e->env, olica_bundle_file(part),
                                                    bundle->part[part].data, bundle->part[part].bytes, root)
                                 : OLICA_OK;
}

static olica_status read_files(tokens *t) {
  OLICA_TRY(parse(t, OLICA_BUNDLE_JSON, &t->file));
  OLICA_TRY(parse(t, OLICA_BUNDLE_CONFIG, &t->settings));
  return parse(t, OLICA_BUNDLE_MAP, &t->map);
}

static olica_status put_encoder(tokens *t) {
  const olica_arch *arch = &t->e->source->arch;
  olica_encoder *encoder;
  OLICA_TRY(olica_encoder_open(t->e->env, t->e->bundle, arch->vocabulary, arch->bos, &encoder));
  olica_status status = olica_listing_make(encoder, &t->list);
  if (status == OLICA_OK) status = check_kind(t);
  if (status == OLICA_OK) status = read_files(t);
  if (status == OLICA_OK) status = put_all(t);
  olica_listing_free(&t->list);
  olica_encoder_close(encoder);
  return status;
}

olica_status olica_gguf_tokens(olica_export *e, olica_gguf *g) {
  tokens t = {.e = e, .g = g, .vocabulary = e->source->arch.vocabulary};
  if (!e->bundle || !olica_bundle_holds(e->bundle)) {
    olica_gguf_text(g, "tokenizer.ggml.model", "no_vocab");
    olica_export_note(e,
                      "the model has no tokenizer.json or tokenizer.model: the file has no vocabulary, and "
                      "llama.cpp takes ids alone");
    return g->status;
  }
  olica_status status = put_encoder(&t);
  json_decref(t.file);
  json_decref(t.settings);
  json_decref(t.map);
  olica_memory_free(e->env, t.text);
  olica_memory_free(e->env, t.bytes);
  olica_memory_free(e->env, t.made);
  return status;
}
