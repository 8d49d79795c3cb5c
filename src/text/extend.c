#include "extend.h"

#include <assert.h>

/* ---- the tries ---- */

/* Tokens with `normalized` are matched in their own normalized form. */
static olica_status normalize_added(olica_tokenizer *t, olica_added_token *token, olica_span *text) {
  OLICA_TRY(olica_normalizers_apply(&t->normalizers, token->text, text));
  OLICA_TRY(OLICA_NEW(t->env, token->shown, text->bytes + 1));
  if (text->bytes) memcpy(token->shown, text->data, text->bytes);
  token->shown_bytes = text->bytes;
  return OLICA_OK;
}

static olica_status index_kind(olica_tokenizer *t, bool special, bool leave_out) {
  for (size_t i = 0; i < t->added_count; i++) {
    if (t->added[i].special != special) continue;
    olica_span text = t->added[i].text;
    if (t->added[i].normalized) OLICA_TRY(normalize_added(t, &t->added[i], &text));
    if (leave_out) continue;
    OLICA_TRY(olica_trie_add(t->env, t->added[i].normalized ? &t->normalized : &t->plain, text, (int32_t)i));
  }
  return OLICA_OK;
}

olica_status olica_tokenizer_index_added(olica_tokenizer *t, bool splits_special) {
  OLICA_TRY(index_kind(t, true, splits_special));
  return index_kind(t, false, false);
}

static olica_status index_again(olica_tokenizer *t, bool splits_special) {
  if (t->is_model) {
    for (size_t i = 0; i < t->added_count && !splits_special; i++)
      if (!t->added[i].normalized) /* otherwise a user's piece, which SentencePiece matches */
        OLICA_TRY(olica_trie_add(t->env, &t->plain, t->added[i].text, (int32_t)i));
    return OLICA_OK;
  }
  olica_trie_free(t->env, &t->plain);
  olica_trie_free(t->env, &t->normalized);
  t->plain = t->normalized = (olica_trie){0};
  return olica_tokenizer_index_added(t, splits_special);
}

/* ---- ids ---- */

int32_t olica_tokenizer_find(const olica_tokenizer *t, olica_span text) {
  int32_t place = olica_vocabulary_find(&t->added_texts, text);
  return place >= 0 ? t->added[place].id : olica_vocabulary_find(&t->vocabulary, text);
}

/* Counts for numbering new tokens. */
typedef struct numbers {
  int32_t highest;  /* largest id of an added token */
  int32_t distinct; /* distinct texts of vocabulary and added tokens */
} numbers;

/* Returns the id of a new added token: in a tokenizer.json numbered like the tokenizers package, in a
 * tokenizer.model like transformers' slow tokenizers. */
static int32_t number(const olica_tokenizer *t, const olica_added_token *token, const numbers *n) {
  int32_t known = olica_vocabulary_find(&t->vocabulary, token->text), count = (int32_t)t->vocabulary.count;
  if (t->is_model && token->id >= 0) return token->id;
  if (known >= 0) return known;
  if (t->is_model) return n->distinct;
  return n->highest >= count ? n->highest + 1 : count;
}

/* ---- the list ---- */

/* The new list of added tokens, and its counts. */
typedef struct builder {
  olica_tokenizer *t;
  const olica_surroundings *s;
  olica_added_token *added; /* [count] */
  size_t count, old;
  olica_vocabulary texts;
  numbers numbers;
  int32_t differs[2]; /* a token's id in its file, and its id here; -1: all agree */
  olica_span differing;
} builder;

static olica_status begin(builder *b, const olica_added_token *more, size_t count) {
  olica_tokenizer *t = b->t;
  size_t room = t->added_count + b->s->count + count, bytes = 0;
  if (room >= OLICA_IDS_MAX)
    return olica_error_set(t->env, OLICA_ERR_INPUT, "%s: %zu added tokens in all, expected fewer than %d",
                           t->name, room, OLICA_IDS_MAX);
  for (size_t i = 0; i < t->added_count; i++) bytes += t->added[i].text.bytes;
  for (size_t i = 0; i < b->s->count; i++) bytes += b->s->token[i].text.bytes;
  for (size_t i = 0; i < count; i++) bytes += more[i].text.bytes;
  b->numbers = (numbers){.highest = -1, .distinct = (int32_t)t->vocabulary.count};
  OLICA_TRY(OLICA_NEW(t->env, b->added, room));
  return olica_vocabulary_begin(t->env, &b->texts, room, bytes, (int32_t)room);
}

/* Appends a token with a new text. */
static void push(builder *b, const olica_added_token *token, int32_t id) {
  assert(b->added);
  olica_added_token *to = &b->added[b->count];
  *to = *token;
  to->id = id;
  olica_vocabulary_add(&b->texts, token->text, (int32_t)b->count);
  to->text = b->texts.text[b->count++];
  if (id > b->numbers.highest) b->numbers.highest = id;
  b->numbers.distinct += olica_vocabulary_find(&b->t->vocabulary, token->text) < 0;
}

/* Merges a token whose text is in the list already. */
static void merge(builder *b, size_t place, const olica_added_token *token) {
  assert(b->added);
  olica_added_token *to = &b->added[place];
  bool of_file = place < b->old && !b->t->is_model;
  if (token->id < 0) { /* it has a role, so it is special, whatever the file of added tokens says */
    if (of_file && !b->s->has_decoder) return;
    to->special = true;
    if (!b->s->has_decoder) to->normalized = false;
    return;
  }
  if (of_file && !b->s->has_decoder) return; /* tokenizer.json's own flags win */
  int32_t id = b->t->is_model ? token->id : to->id;
  olica_span text = to->text;
  *to = *token;
  to->text = text;
  to->id = id;
}

static olica_status take(builder *b, const olica_added_token *given) {
  olica_added_token copy = *given, *token = &copy;
  if (token->text.bytes == 0) return OLICA_OK;
  if (b->t->is_model) token->normalized = false; /* matched in the original text */
  int32_t place = olica_vocabulary_find(&b->texts, token->text), id;
  if (place >= 0) {
    merge(b, (size_t)place, token);
    id = b->added[place].id;
  } else {
    id = number(b->t, token, &b->numbers);
    if (id >= OLICA_IDS_MAX)
      return olica_error_set(b->t->env, OLICA_ERR_INPUT, "%s: an added token has id %d, expected below %d",
                             b->t->name, id, OLICA_IDS_MAX);
    push(b, token, id);
  }
  if (token->id >= 0 && token->id != id && b->differs[0] < 0) {
    b->differs[0] = token->id;
    b->differs[1] = id;
    b->differing = token->text;
  }
  return OLICA_OK;
}

static olica_status gather(builder *b, const olica_added_token *more, size_t count) {
  olica_tokenizer *t = b->t;
  for (size_t i = 0; i < t->added_count; i++) {
    olica_memory_free(t->env, t->added[i].shown);
    t->added[i].shown = NULL;
    push(b, &t->added[i], t->added[i].id);
  }
  b->old = b->count;
  for (size_t i = 0; i < b->s->count; i++) OLICA_TRY(take(b, &b->s->token[i]));
  for (size_t i = 0; i < count; i++) OLICA_TRY(take(b, &more[i]));
  return OLICA_OK;
}

/* Extends the tables to new ids. The unknown piece of a tokenizer.model keeps its shown form. */
static olica_status grow_tables(olica_tokenizer *t) {
  int32_t size = t->size;
  for (size_t i = 0; i < t->added_count; i++)
    if (t->added[i].id >= size) size = t->added[i].id + 1;
  olica_span *text;
  bool *special;
  OLICA_TRY(OLICA_NEW(t->env, text, (size_t)size));
  OLICA_TRY(OLICA_NEW(t->env, special, (size_t)size));
  memcpy(text, t->text, (size_t)t->size * sizeof *text);
  memcpy(special, t->special, (size_t)t->size * sizeof *special);
  olica_memory_free(t->env, t->text);
  olica_memory_free(t->env, t->special);
  t->text = text;
  t->special = special;
  t->size = size;
  for (size_t i = 0; i < t->added_count; i++) {
    const olica_added_token *a = &t->added[i];
    if (t->is_model && a->id == t->role[OLICA_ROLE_UNK]) continue;
    text[a->id] = a->shown ? (olica_span){a->shown, a->shown_bytes} : a->text;
    special[a->id] = a->special;
  }
  return OLICA_OK;
}

static void tell_difference(const builder *b) {
  if (b->differs[0] < 0) return;
  int bytes = b->differing.bytes < 40 ? (int)b->differing.bytes : 40;
  olica_surroundings_warn(b->t->env, "%s: id %d of \"%.*s\" is not followed: tokenizer.json gives it %d",
                          b->s->has_decoder ? "tokenizer_config.json: added_tokens_decoder"
                                            : "added_tokens.json",
                          b->differs[0], bytes, b->differing.data, b->differs[1]);
}

olica_status olica_tokenizer_extend(olica_tokenizer *t, const olica_surroundings *s,
                                    const olica_added_token *more, size_t count) {
  builder b = {.t = t, .s = s, .differs = {-1, -1}};
  if (s->count + count == 0 && !s->splits_special) return OLICA_OK;
  olica_status status = begin(&b, more, count);
  if (status == OLICA_OK) status = gather(&b, more, count);
  if (status != OLICA_OK) {
    olica_memory_free(t->env, b.added);
    olica_vocabulary_free(t->env, &b.texts);
    return status;
  }
  olica_vocabulary_free(t->env, &t->added_texts);
  olica_memory_free(t->env, t->added);
  t->added_texts = b.texts;
  t->added = b.added;
  t->added_count = b.count;
  tell_difference(&b);
  OLICA_TRY(index_again(t, s->splits_special));
  return grow_tables(t);
}
