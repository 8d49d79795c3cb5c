#include "text/listing.h"

#include <stdlib.h>

#include "tokenizer_parts.h"
#include "unicode.h"

static const olica_span META = {"\xe2\x96\x81", 3}; /* U+2581 stands for a space */

/* ---- kinds ---- */

static bool is_byte(olica_span text) {
  static const char digits[] = "0123456789ABCDEF";
  return text.bytes == 6 && memcmp(text.data, "<0x", 3) == 0 && memchr(digits, text.data[3], 16) &&
         memchr(digits, text.data[4], 16) && text.data[5] == '>';
}

/* Returns the kind of an id of the vocabulary, added tokens aside. */
static olica_token_kind kind_of(const olica_tokenizer *t, bool byte_fallback, int32_t id) {
  olica_span text = t->vocabulary.text[id];
  if (!text.data) return OLICA_TOKEN_NONE;
  if (t->type) return (olica_token_kind)t->type[id];
  return byte_fallback && is_byte(text) ? OLICA_TOKEN_BYTE : OLICA_TOKEN_NORMAL;
}

static void list_vocabulary(olica_listing *l, const olica_tokenizer *t) {
  for (int32_t id = 0; id < t->vocabulary.size; id++)
    l->token[id] = (olica_token){.text = t->vocabulary.text[id].data,
                                 .bytes = t->vocabulary.text[id].bytes,
                                 .kind = kind_of(t, l->byte_fallback, id),
                                 .score = t->score ? t->score[id] : 0};
}

/* The unknown piece and control pieces of a tokenizer.model stay what they are. */
static void list_added(olica_listing *l, const olica_tokenizer *t) {
  for (size_t i = 0; i < t->added_count; i++) {
    const olica_added_token *a = &t->added[i];
    olica_token *token = &l->token[a->id];
    bool keeps = token->kind == OLICA_TOKEN_UNKNOWN || token->kind == OLICA_TOKEN_CONTROL;
    token->text = a->text.data;
    token->bytes = a->text.bytes;
    if (!keeps || !t->type) token->kind = a->special ? OLICA_TOKEN_CONTROL : OLICA_TOKEN_USER;
  }
}

/* ---- what is done to a text ---- */

/* Returns whether a step writes U+2581 for every space. */
static bool is_escape(const olica_normalizer *n) {
  return n->pattern.literal && n->pattern.bytes == 1 && *n->pattern.literal == ' ' &&
         olica_span_is((olica_span){n->content, n->bytes}, META.data, META.bytes);
}

/* Returns whether a token has U+2581 behind its beginning. */
static bool spans_words(const olica_listing *l) {
  for (int32_t id = 0; id < l->count; id++) {
    const olica_token *token = &l->token[id];
    if (token->kind == OLICA_TOKEN_NORMAL && token->bytes > META.bytes &&
        memmem(token->text + 1, token->bytes - 1, META.data, META.bytes))
      return true;
  }
  return false;
}

/* Returns whether a pre-tokenizer may divide what merges would join. A split at spaces divides nothing once
 * they are U+2581. */
static bool divides(const olica_listing *l, const olica_pretokenizer *p, bool escapes) {
  if (p->is_metaspace) return p->regex && spans_words(l);
  return !(escapes && p->pattern.literal && p->pattern.bytes == 1 && *p->pattern.literal == ' ');
}

/* Looks for a space in front, and for steps that are neither that nor U+2581 for a space. */
static void look_at_steps(olica_listing *l, const olica_tokenizer *t) {
  bool escapes = false;
  for (size_t i = 0; i < t->normalizers.count; i++) {
    const olica_normalizer *n = &t->normalizers.part[i];
    bool prefix = n->prepends && olica_span_is((olica_span){n->content, n->bytes}, META.data, META.bytes);
    if (prefix) l->space = true;
    escapes = escapes || is_escape(n);
    if (n->tokenizer) /* SentencePiece's */
      l->normalizes = l->normalizes || t->squeeze || n->charsmap.units > 0;
    else if (!prefix && !is_escape(n) && !(n->prepends && n->bytes == 0))
      l->normalizes = true;
  }
  for (size_t i = 0; i < t->pretokenizers.count; i++) {
    const olica_pretokenizer *p = &t->pretokenizers.part[i];
    if ((p->is_metaspace && p->scheme != OLICA_NEVER) || (p->is_bytes && p->prefix_space)) l->space = true;
    l->divides = l->divides || divides(l, p, escapes);
  }
  if (t->is_model) l->space = t->dummy_prefix;
}

/* ---- the kind of the model ---- */

static bool maps_bytes(const olica_tokenizer *t) {
  bool mapped = false;
  for (size_t i = 0; i < t->pretokenizers.count; i++) mapped = mapped || t->pretokenizers.part[i].is_bytes;
  return mapped;
}

static olica_listing_kind kind_of_model(const olica_tokenizer *t) {
  if (t->unigram.env) return OLICA_LISTING_UNIGRAM;
  if (t->is_model) return OLICA_LISTING_SENTENCE;
  if (t->bpe.prefix.bytes || t->bpe.suffix.bytes) return OLICA_LISTING_OTHER;
  if (maps_bytes(t)) return OLICA_LISTING_BYTES;
  return t->bpe.byte_fallback ? OLICA_LISTING_SENTENCE : OLICA_LISTING_OTHER;
}

/* ---- scores of a tokenizer.json ---- */

/* A token that merges make: the ranks of the first and the last pair. */
typedef struct merged {
  int32_t id;
  uint32_t first, last;
} merged;

/* Finds the pairs that make token `id`. Returns whether there are any; clears *all if two tokens make its
 * text, and no merge joins them. */
static bool find_pairs(const olica_tokenizer *t, int32_t id, merged *m, bool *all) {
  olica_span text = t->vocabulary.text[id];
  *m = (merged){.id = id, .first = UINT32_MAX};
  for (size_t at = 0; at < text.bytes;) {
    olica_unicode_next(text, &at);
    if (at == text.bytes) break;
    int32_t left = olica_vocabulary_find(&t->vocabulary, (olica_span){text.data, at});
    int32_t right = olica_vocabulary_find(&t->vocabulary, (olica_span){text.data + at, text.bytes - at});
    if (left < 0 || right < 0) continue;
    const uint64_t *pair = olica_map_get(&t->bpe.pairs, (uint64_t)left << 32 | (uint32_t)right);
    if (!pair) {
      *all = false;
      continue;
    }
    uint32_t rank = (uint32_t)(*pair >> 32);
    if (rank < m->first) m->first = rank;
    if (rank > m->last) m->last = rank;
  }
  return m->first != UINT32_MAX;
}

static int by_rank(const void *a, const void *b) {
  uint32_t x = ((const merged *)a)->first, y = ((const merged *)b)->first;
  return x < y ? -1 : x > y;
}

/* Sets the scores, from 0 downwards: tokens that merges make in the order of their merges, then the others.
 */
static olica_status score_merges(olica_listing *l, const olica_tokenizer *t) {
  merged *list;
  size_t count = 0, place;
  OLICA_TRY(OLICA_NEW(l->env, list, (size_t)t->vocabulary.size + 1));
  for (int32_t id = 0; id < t->vocabulary.size; id++)
    if (l->token[id].kind == OLICA_TOKEN_NORMAL && find_pairs(t, id, &list[count], &l->ordered)) count++;
  qsort(list, count, sizeof *list, by_rank);
  for (int32_t id = 0; id < l->count; id++) l->token[id].score = 1;
  for (place = 0; place < count; place++) {
    if (place > 0 && list[place].first < list[place - 1].last) l->ordered = false;
    l->token[list[place].id].score = -(float)place;
  }
  for (int32_t id = 0; id < l->count; id++)
    if (l->token[id].score > 0)
      l->token[id].score = l->token[id].kind == OLICA_TOKEN_NORMAL ? -(float)place++ : 0;
  olica_memory_free(l->env, list);
  return OLICA_OK;
}

/* ---- the whole ---- */

olica_status olica_listing_make(const olica_encoder *encoder, olica_listing *listing) {
  const olica_tokenizer *t = encoder->tokenizer;
  *listing = (olica_listing){.env = encoder->env,
                             .kind = kind_of_model(t),
                             .count = t->size,
                             .is_model = t->is_model,
                             .byte_fallback = t->bpe.byte_fallback || t->unigram.byte,
                             .ignore_merges = t->bpe.ignore_merges,
                             .ordered = true,
                             .before = t->before,
                             .after = t->after,
                             .bos = t->role[OLICA_ROLE_BOS],
                             .eos = t->role[OLICA_ROLE_EOS],
                             .unk = t->role[OLICA_ROLE_UNK]};
  OLICA_TRY(OLICA_NEW(encoder->env, listing->token, (size_t)t->size + 1));
  list_vocabulary(listing, t);
  list_added(listing, t);
  look_at_steps(listing, t);
  if (listing->kind != OLICA_LISTING_SENTENCE || t->is_model) return OLICA_OK;
  if (listing->unk < 0) listing->unk = t->bpe.unk;
  return score_merges(listing, t);
}

void olica_listing_free(olica_listing *listing) {
  if (listing->env) OLICA_FREE(listing->env, listing->token);
}

int32_t olica_listing_find(const olica_listing *listing, const char *text, size_t bytes) {
  for (int pass = 0; pass < 2; pass++)
    for (int32_t id = 0; id < listing->count; id++) {
      const olica_token *token = &listing->token[id];
      bool added = token->kind == OLICA_TOKEN_CONTROL || token->kind == OLICA_TOKEN_USER;
      if (added == (pass == 0) && token->text && token->bytes == bytes &&
          memcmp(token->text, text, bytes) == 0)
        return id;
    }
  return -1;
}
