#include "bpe.h"

#include <stdio.h>

#include "unicode.h"

/* Returns the only character of a text, or OLICA_CODES. */
static uint32_t only_character(olica_span text) {
  if (text.bytes == 0 || text.bytes > 4) return OLICA_CODES;
  size_t at = 0;
  uint32_t code = olica_unicode_next(text, &at);
  return at == text.bytes ? code : (uint32_t)OLICA_CODES;
}

olica_status olica_bpe_begin(olica_bpe *bpe) {
  const olica_vocabulary *vocabulary = bpe->vocabulary;
  bpe->seed = olica_hash_seed();
  for (int i = 0; i < OLICA_DIRECT; i++) bpe->direct[i] = -1;
  for (size_t i = 0; i < vocabulary->slots; i++) {
    const olica_entry *entry = &vocabulary->slot[i];
    uint32_t code = entry->text.data ? only_character(entry->text) : OLICA_CODES;
    if (code < OLICA_DIRECT)
      bpe->direct[code] = entry->id;
    else if (code < OLICA_CODES)
      OLICA_TRY(olica_map_put(bpe->env, &bpe->chars, code, (uint64_t)entry->id));
  }
  for (int i = 0; i < 256; i++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", i);
    bpe->byte[i] = olica_vocabulary_find(vocabulary, (olica_span){name, 6});
  }
  return OLICA_NEW(bpe->env, bpe->cache, OLICA_CACHE);
}

void olica_bpe_free(olica_bpe *bpe) {
  olica_env *env = bpe->env;
  if (!env) return;
  OLICA_FREE(env, bpe->pairs.slot);
  OLICA_FREE(env, bpe->chars.slot);
  OLICA_FREE(env, bpe->joins.slot);
  OLICA_FREE(env, bpe->cache);
  OLICA_FREE(env, bpe->symbol);
  OLICA_FREE(env, bpe->heap);
  OLICA_FREE(env, bpe->scratch.data);
  for (int i = 0; i < 2; i++) OLICA_FREE(env, bpe->affix[i]);
}

olica_status olica_bpe_add(olica_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t merged) {
  olica_span a = bpe->vocabulary->text[left], b = bpe->vocabulary->text[right];
  if (a.bytes && b.bytes) {
    size_t at = 0, begin;
    uint32_t last = olica_unicode_before(a, a.bytes, &begin), first = olica_unicode_next(b, &at);
    if (last < OLICA_DIRECT && first < OLICA_DIRECT)
      bpe->near[last][first / 64] |= (uint64_t)1 << first % 64;
    else
      OLICA_TRY(olica_map_put(bpe->env, &bpe->joins, (uint64_t)last << 32 | first, 1));
  }
  return olica_map_put(bpe->env, &bpe->pairs, (uint64_t)left << 32 | (uint32_t)right,
                       (uint64_t)rank << 32 | (uint32_t)merged);
}

/* Returns true if any merge can cross the border between two characters. Where none can, the parts are merged
 * separately: the ids are the same, and words can be cached. */
static bool can_join(const olica_bpe *bpe, uint32_t last, uint32_t first) {
  if (last < OLICA_DIRECT && first < OLICA_DIRECT) return bpe->near[last][first / 64] >> first % 64 & 1;
  return olica_map_get(&bpe->joins, (uint64_t)last << 32 | first) != NULL;
}

static int32_t find_character(const olica_bpe *bpe, uint32_t code) {
  if (code < OLICA_DIRECT) return bpe->direct[code];
  const uint64_t *id = olica_map_get(&bpe->chars, code);
  return id ? (int32_t)*id : -1;
}

static olica_status push(olica_bpe *bpe, int32_t id) {
  if (bpe->symbols > INT32_MAX / 2)
    return olica_error_set(bpe->env, OLICA_ERR_INPUT,
                           "%s: a piece of text that the pre-tokenizer leaves whole has over %d characters",
                           bpe->name, INT32_MAX / 2);
  OLICA_TRY(OLICA_GROW(bpe->env, bpe->symbol, bpe->symbol_room, bpe->symbols, bpe->symbols + 1));
  bpe->symbol[bpe->symbols++].id = id;
  return OLICA_OK;
}

/* ---- words seen before ---- */

static olica_cached *cached(olica_bpe *bpe, uint64_t hash) {
  return &bpe->cache[hash & (OLICA_CACHE - 1)];
}

static bool recall(olica_bpe *bpe, olica_span word, uint64_t hash, olica_tokens *tokens) {
  const olica_cached *found = cached(bpe, hash);
  if (found->hash != hash || found->bytes != word.bytes || memcmp(found->text, word.data, word.bytes) != 0 ||
      tokens->room - tokens->count < OLICA_CACHED_IDS)
    return false;
  memcpy(tokens->id + tokens->count, found->id, sizeof found->id);
  tokens->count += found->count;
  return true;
}

static void remember(olica_bpe *bpe, olica_span word, uint64_t hash, const olica_tokens *tokens,
                     size_t before) {
  size_t count = tokens->count - before;
  if (count > OLICA_CACHED_IDS) return;
  olica_cached *place = cached(bpe, hash);
  place->hash = hash;
  place->bytes = (uint8_t)word.bytes;
  place->count = (uint8_t)count;
  memcpy(place->text, word.data, word.bytes);
  memcpy(place->id, tokens->id + before, count * sizeof *place->id);
}

/* Merges the symbols of `word`, which no merge joins to its neighbours. */
static olica_status finish_word(olica_bpe *bpe, olica_span word, olica_tokens *tokens) {
  olica_status status = OLICA_OK;
  /* With ignore_merges a word that is a whole piece may have other ids than inside a larger piece. */
  bool small = word.bytes <= OLICA_CACHED_BYTES && !bpe->ignore_merges;
  uint64_t hash = small ? olica_span_hash(bpe->seed, word.data, word.bytes) : 0;
  size_t before = tokens->count;
  if (!small || !recall(bpe, word, hash, tokens)) {
    status = olica_bpe_merge(bpe, tokens);
    if (small && status == OLICA_OK) remember(bpe, word, hash, tokens, before);
  }
  bpe->symbols = 0;
  return status;
}

/* ---- from characters to symbols ---- */

/* The current word, and pending unknown characters. */
typedef struct reader {
  olica_bpe *bpe;
  olica_span piece;
  bool mapped;
  size_t word;   /* its begin */
  uint32_t last; /* the previous character, OLICA_CODES: none known */
  bool unknown;  /* an <unk> is pending */
} reader;

static olica_status flush_unknown(reader *r) {
  if (!r->unknown) return OLICA_OK;
  r->unknown = false;
  return push(r->bpe, r->bpe->unk);
}

static bool push_bytes(olica_bpe *bpe, const char *text, size_t bytes, olica_status *status) {
  for (size_t i = 0; i < bytes; i++)
    if (bpe->byte[(unsigned char)text[i]] < 0) return false;
  for (size_t i = 0; i < bytes && *status == OLICA_OK; i++)
    *status = push(bpe, bpe->byte[(unsigned char)text[i]]);
  return true;
}

/* Adds a character that is not in the vocabulary: as its bytes, as <unk>, or not at all. */
static olica_status push_unknown(reader *r, const char *text, size_t bytes) {
  olica_status status = OLICA_OK;
  olica_bpe *bpe = r->bpe;
  r->last = OLICA_CODES;
  if (bpe->byte_fallback && push_bytes(bpe, text, bytes, &status)) return status;
  if (bpe->unk_missing)
    return olica_error_set(bpe->env, OLICA_ERR_INPUT,
                           "%s: model.unk_token is needed for this text, but not in model.vocab", bpe->name);
  if (bpe->unk < 0) return OLICA_OK;
  if (r->unknown && !bpe->fuse_unk) OLICA_TRY(push(bpe, bpe->unk));
  r->unknown = true;
  return OLICA_OK;
}

/* Looks up a character with the file's prefix and suffix; `begin` and `end` are its bytes in the piece. */
static olica_status find_affixed(reader *r, size_t begin, size_t end, const char *text, size_t bytes,
                                 int32_t *id) {
  olica_bpe *bpe = r->bpe;
  bpe->scratch.count = 0;
  if (begin > 0) OLICA_TRY(olica_bytes_append(bpe->env, &bpe->scratch, bpe->prefix.data, bpe->prefix.bytes));
  OLICA_TRY(olica_bytes_append(bpe->env, &bpe->scratch, text, bytes));
  if (end == r->piece.bytes)
    OLICA_TRY(olica_bytes_append(bpe->env, &bpe->scratch, bpe->suffix.data, bpe->suffix.bytes));
  *id = olica_vocabulary_find(bpe->vocabulary, olica_bytes_span(&bpe->scratch));
  return OLICA_OK;
}

static olica_status read_character(reader *r, size_t *at, olica_tokens *tokens) {
  olica_bpe *bpe = r->bpe;
  size_t begin = *at;
  uint32_t code = r->mapped ? olica_unicode_of_byte((unsigned char)r->piece.data[(*at)++])
                            : olica_unicode_next(r->piece, at);
  bool affixed = bpe->prefix.bytes || bpe->suffix.bytes;
  int32_t id = affixed ? -1 : find_character(bpe, code);
  char text[4];
  size_t bytes = 0;
  if (id < 0) bytes = olica_unicode_put(code, text);
  if (affixed) OLICA_TRY(find_affixed(r, begin, *at, text, bytes, &id));
  if (id < 0 && affixed) return push_unknown(r, bpe->scratch.data, bpe->scratch.count);
  if (id < 0) return push_unknown(r, text, bytes);
  OLICA_TRY(flush_unknown(r));
  if (!affixed && r->last < OLICA_CODES && !can_join(bpe, r->last, code)) {
    OLICA_TRY(finish_word(bpe, (olica_span){r->piece.data + r->word, begin - r->word}, tokens));
    r->word = begin;
  }
  r->last = code;
  return push(bpe, id);
}

/* Looks up the whole piece as a token; -1: none. */
static olica_status find_whole(olica_bpe *bpe, olica_span piece, bool mapped, int32_t *id) {
  *id = -1;
  bpe->scratch.count = 0;
  for (size_t i = 0; mapped && i < piece.bytes; i++)
    OLICA_TRY(
        olica_unicode_append(bpe->env, &bpe->scratch, olica_unicode_of_byte((unsigned char)piece.data[i])));
  *id = olica_vocabulary_find(bpe->vocabulary, mapped ? olica_bytes_span(&bpe->scratch) : piece);
  return OLICA_OK;
}

static olica_status encode_new(olica_bpe *bpe, olica_span piece, bool mapped, olica_tokens *tokens) {
  if (bpe->ignore_merges) {
    int32_t id;
    OLICA_TRY(find_whole(bpe, piece, mapped, &id));
    if (id >= 0) return olica_tokens_append(bpe->env, tokens, &id, 1);
  }
  reader r = {.bpe = bpe, .piece = piece, .mapped = mapped, .last = OLICA_CODES};
  bpe->symbols = 0;
  for (size_t at = 0; at < piece.bytes;) OLICA_TRY(read_character(&r, &at, tokens));
  OLICA_TRY(flush_unknown(&r));
  return finish_word(bpe, (olica_span){piece.data + r.word, piece.bytes - r.word}, tokens);
}

olica_status olica_bpe_encode(olica_bpe *bpe, olica_span piece, bool mapped, olica_tokens *tokens) {
  if (piece.bytes == 0) return OLICA_OK;
  OLICA_TRY(olica_tokens_reserve(bpe->env, tokens, OLICA_CACHED_IDS));
  if (piece.bytes > OLICA_CACHED_BYTES) return encode_new(bpe, piece, mapped, tokens);
  uint64_t hash = olica_span_hash(bpe->seed, piece.data, piece.bytes);
  if (recall(bpe, piece, hash, tokens)) return OLICA_OK;
  size_t before = tokens->count;
  OLICA_TRY(encode_new(bpe, piece, mapped, tokens));
  remember(bpe, piece, hash, tokens, before);
  return OLICA_OK;
}
