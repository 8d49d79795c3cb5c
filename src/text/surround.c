/* Applies the settings of the other files to a tokenizer. */
#include "extend.h"

enum { TEXT = 40 };
static const olica_span META = {"\xe2\x96\x81", 3}; /* U+2581 stands for a space */

static const char *const role_keys[OLICA_ROLES] = {"bos_token", "eos_token", "unk_token"};

static int shown(olica_span text) {
  return text.bytes < TEXT ? (int)text.bytes : TEXT;
}

/* ---- tokens ---- */

/* Adds the special tokens of a tokenizer.model that no file names: the pieces that it marks. */
static olica_status add_tokens(olica_tokenizer *t, const olica_surroundings *s) {
  olica_added_token own[OLICA_ROLES];
  size_t count = 0;
  for (int i = 0; t->is_model && i < OLICA_ROLES; i++)
    if (!s->role[i].said && t->role[i] >= 0)
      own[count++] =
          (olica_added_token){.text = t->vocabulary.text[t->role[i]], .id = t->role[i], .special = true};
  OLICA_TRY(olica_tokenizer_extend(t, s, own, count));
  for (int i = 0; i < OLICA_ROLES; i++) {
    if (s->role[i].text.data)
      t->role[i] = olica_tokenizer_find(t, s->role[i].text);
    else if (s->role[i].said)
      t->role[i] = -1;
  }
  return OLICA_OK;
}

/* ---- before and after a text ---- */

static olica_status no_token(const olica_surroundings *s, const char *key, int role) {
  return olica_error_set(s->env, OLICA_ERR_INPUT, "%s: %s is true, but %s is null, expected a token",
                         s->name[OLICA_BUNDLE_CONFIG] ? s->name[OLICA_BUNDLE_CONFIG]
                                                      : "tokenizer_config.json",
                         key, role_keys[role]);
}

/* Sets one side to the role's id, or to none. *changed: it was different before. */
static olica_status set_side(olica_tokenizer *t, olica_tokens *side, int role, bool adds, bool *changed) {
  int32_t id = t->role[role];
  bool same = adds ? side->count == 1 && side->id[0] == id : side->count == 0;
  *changed = !same;
  side->count = 0;
  return adds ? olica_tokens_append(t->env, side, &id, 1) : OLICA_OK;
}

static void tell_side(const olica_tokenizer *t, const olica_surroundings *s, const char *key, bool said,
                      int role, bool adds) {
  if (t->is_model) return;
  olica_span text = adds ? t->text[t->role[role]] : (olica_span){"nothing", 7};
  olica_surroundings_warn(t->env,
                          "tokenizer_config.json: %s = %s%s: %.*s goes %s a text, against tokenizer.json's "
                          "post_processor (%s of transformers %s)",
                          key, adds ? "true" : "false", said ? "" : " (by default)", shown(text), text.data,
                          role == OLICA_ROLE_BOS ? "before" : "behind", s->class_name,
                          s->five ? "5 does so" : "4 does so, 5 may not");
}

static void tell_unfollowed(const olica_tokenizer *t, const char *key, olica_said said,
                            const olica_tokens *side) {
  if (said == OLICA_SAID_NOTHING || (said == OLICA_SAID_YES) == (side->count > 0)) return;
  olica_surroundings_warn(
      t->env,
      "tokenizer_config.json: %s = %s is not followed: tokenizer.json's post_processor adds "
      "%s there, as in transformers",
      key, said == OLICA_SAID_YES ? "true" : "false", side->count ? "a token" : "nothing");
}

/* Warns if bos_token differs from the token that the post-processor adds. */
static void tell_other_bos(const olica_tokenizer *t) {
  int32_t bos = t->role[OLICA_ROLE_BOS];
  if (bos < 0 || t->before.count == 0 || t->before.id[0] == bos) return;
  olica_span there = t->text[t->before.id[0]], named = t->text[bos];
  olica_surroundings_warn(
      t->env,
      "bos_token is \"%.*s\" (id %d), but tokenizer.json's post_processor puts \"%.*s\" (id %d) "
      "in front of a text: that one is taken, as transformers does",
      shown(named), named.data, bos, shown(there), there.data, t->before.id[0]);
}

/* Keeps tokenizer.json's own post-processor, as transformers 5 and most classes of 4 do. */
static olica_status keep_around(olica_tokenizer *t, const olica_surroundings *s) {
  tell_unfollowed(t, "add_bos_token", s->add_bos, &t->before);
  tell_unfollowed(t, "add_eos_token", s->add_eos, &t->after);
  tell_other_bos(t);
  return OLICA_OK;
}

static bool replaces(const olica_surroundings *s) {
  return s->five ? s->kind->surrounds_in_5 : s->kind->surrounds;
}

static olica_status put_around(olica_tokenizer *t, const olica_surroundings *s) {
  if (!t->is_model && !replaces(s)) return keep_around(t, s);
  bool bos_default = t->is_model || s->kind->adds_bos, changed, deaf = !t->is_model && s->five;
  olica_said said_bos = deaf ? OLICA_SAID_NOTHING : s->add_bos;
  bool bos = said_bos == OLICA_SAID_NOTHING ? bos_default : said_bos == OLICA_SAID_YES;
  bool eos = !deaf && s->add_eos == OLICA_SAID_YES;
  if (bos && t->role[OLICA_ROLE_BOS] < 0) {
    if (s->role[OLICA_ROLE_BOS].said || said_bos == OLICA_SAID_YES)
      return no_token(s, "add_bos_token", OLICA_ROLE_BOS);
    bos = false;
  }
  if (eos && t->role[OLICA_ROLE_EOS] < 0) return no_token(s, "add_eos_token", OLICA_ROLE_EOS);
  OLICA_TRY(set_side(t, &t->before, OLICA_ROLE_BOS, bos, &changed));
  if (changed) tell_side(t, s, "add_bos_token", said_bos != OLICA_SAID_NOTHING, OLICA_ROLE_BOS, bos);
  OLICA_TRY(set_side(t, &t->after, OLICA_ROLE_EOS, eos, &changed));
  if (changed) tell_side(t, s, "add_eos_token", s->add_eos != OLICA_SAID_NOTHING, OLICA_ROLE_EOS, eos);
  return OLICA_OK;
}

/* ---- the space in front of a text ---- */

/* A tokenizer.model is read like LlamaTokenizer does; other classes do not override the prefix. */
static void prefix_model(olica_tokenizer *t, const olica_surroundings *s) {
  if (s->known && *s->kind->name && s->kind->prefix != OLICA_PREFIX_SENTENCE) return;
  bool own = t->dummy_prefix, wants = s->prefix_space != OLICA_SAID_NO;
  t->modern = s->legacy == OLICA_SAID_NOTHING ? s->kind->modern : s->legacy == OLICA_SAID_NO;
  t->dummy_prefix = wants && (own || t->modern);
  if (!wants && own && !t->modern)
    olica_surroundings_warn(t->env,
                            "tokenizer_config.json: add_prefix_space = false is followed: no space goes in "
                            "front of a text (transformers' slow LlamaTokenizer puts one there unless "
                            "legacy = false)");
  if (own || !wants) return;
  if (t->modern)
    olica_surroundings_warn(t->env,
                            "tokenizer.model says add_dummy_prefix = false, but a space goes in front of a "
                            "text: tokenizer_config.json says legacy = false, as in transformers");
  else if (s->prefix_space == OLICA_SAID_YES)
    olica_surroundings_warn(t->env,
                            "tokenizer_config.json: add_prefix_space = true is not followed: tokenizer.model "
                            "says add_dummy_prefix = false, as in transformers' legacy LlamaTokenizer");
}

/* Returns true if a part of a tokenizer.json adds a space before a text; removes it if `off`. */
static bool sentence_prefix(olica_tokenizer *t, bool off) {
  bool has = false;
  for (size_t i = 0; i < t->normalizers.count; i++) {
    olica_normalizer *n = &t->normalizers.part[i];
    if (!n->prepends || !olica_span_is((olica_span){n->content, n->bytes}, META.data, META.bytes)) continue;
    has = true;
    if (off) n->bytes = 0;
  }
  for (size_t i = 0; i < t->pretokenizers.count; i++) {
    olica_pretokenizer *p = &t->pretokenizers.part[i];
    bool is_metaspace = p->is_metaspace && p->scheme != OLICA_NEVER;
    has = has || is_metaspace || (p->is_bytes && p->prefix_space);
    if (off && is_metaspace) p->scheme = OLICA_NEVER;
    if (off && p->is_bytes) p->prefix_space = false;
  }
  return has;
}

/* Returns a lone ByteLevel pre-tokenizer, which consists of two parts, the second mapping bytes. */
static olica_pretokenizer *lone_byte_level(olica_tokenizer *t) {
  return t->pretokenizers.count == 2 && t->pretokenizers.part[0].is_bytes ? &t->pretokenizers.part[0] : NULL;
}

/* Sets the space of every ByteLevel pre-tokenizer; returns false if there is none. */
static bool every_byte_level(olica_tokenizer *t) {
  bool has = false;
  for (size_t i = 0; i < t->pretokenizers.count; i++) {
    if (!t->pretokenizers.part[i].is_bytes) continue;
    t->pretokenizers.part[i].prefix_space = true;
    has = true;
  }
  return has;
}

/* Follows add_prefix_space as the class does; returns false if it does not look at the key. */
static bool follow_prefix(olica_tokenizer *t, const olica_surroundings *s, bool wants) {
  olica_pretokenizer *lone = lone_byte_level(t);
  switch (s->kind->prefix) {
  case OLICA_PREFIX_SENTENCE:
    return s->prefix_space == OLICA_SAID_NO && sentence_prefix(t, true);
  case OLICA_PREFIX_LONE:
    if (lone) lone->prefix_space = wants;
    if (lone && !wants) sentence_prefix(t, true);
    return lone != NULL;
  case OLICA_PREFIX_EVERY:
    return wants && every_byte_level(t);
  default:
    return false;
  }
}

/* Llama's classes of transformers 5 choose by their keys, before which parts of a text U+2581 goes. */
static void prefix_five(olica_tokenizer *t, const olica_surroundings *s) {
  static const char *const words[] = {
      [OLICA_ALWAYS] = "every part of a text", [OLICA_NEVER] = "none", [OLICA_FIRST] = "a text"};
  bool legacy = s->legacy == OLICA_SAID_YES && !s->kind->modern;
  olica_scheme scheme = s->prefix_space == OLICA_SAID_NO ? OLICA_NEVER : legacy ? OLICA_ALWAYS : OLICA_FIRST;
  for (size_t i = 0; i < t->pretokenizers.count; i++) {
    olica_pretokenizer *p = &t->pretokenizers.part[i];
    if (!p->is_metaspace || p->scheme == scheme) continue;
    olica_surroundings_warn(
        t->env,
        "tokenizer_config.json: a space goes before %s, against tokenizer.json's before %s "
        "(%s of transformers 5 does so)",
        words[scheme], words[p->scheme], s->class_name);
    p->scheme = scheme;
  }
}

static void prefix_json(olica_tokenizer *t, const olica_surroundings *s) {
  if (s->five && s->kind->prefix == OLICA_PREFIX_SENTENCE) {
    prefix_five(t, s);
    return;
  }
  bool has = sentence_prefix(t, false), wants = s->prefix_space == OLICA_SAID_YES;
  if (has == wants) return;
  bool follows = follow_prefix(t, s, wants), said = s->prefix_space != OLICA_SAID_NOTHING;
  if (follows)
    olica_surroundings_warn(t->env,
                            "tokenizer_config.json: add_prefix_space = %s%s is followed, against "
                            "tokenizer.json: %s space goes in front of a text",
                            wants ? "true" : "false", said ? "" : " (by default)", wants ? "a" : "no");
  else if (said)
    olica_surroundings_warn(t->env,
                            "tokenizer_config.json: add_prefix_space = %s is not followed: tokenizer.json "
                            "puts %s in front of a text",
                            wants ? "true" : "false", has ? "a space" : "no space");
}

olica_status olica_surround(olica_tokenizer *t, const olica_surroundings *s) {
  OLICA_TRY(add_tokens(t, s));
  OLICA_TRY(put_around(t, s));
  if (t->is_model)
    prefix_model(t, s);
  else
    prefix_json(t, s);
  return OLICA_OK;
}
