#include "unigram.h"

#include "unicode.h"

/* SentencePiece's cost of an unknown character below the worst piece. */
static const float UNKNOWN_PENALTY = 10.0F;

typedef struct search {
  olica_unigram *u;
  olica_span text;
  size_t begin; /* begin of the stretch: the position of path[0] */
  size_t reach; /* the furthest end of a piece so far */
  bool unknown; /* the last id produced was <unk> */
  olica_tokens *tokens;
} search;

static olica_status reserve(olica_unigram *u, size_t places) {
  return OLICA_GROW(u->env, u->path, u->room, u->room, places);
}

/* Offers a piece from `from` to `to`; keeps it if the path through it, of score `sum`, is the best so far. */
static olica_status offer(search *s, size_t from, size_t to, int32_t id, double sum) {
  OLICA_TRY(reserve(s->u, to - s->begin + 1));
  olica_path *path = &s->u->path[to - s->begin];
  if (to > s->reach) {
    memset(s->u->path + (s->reach - s->begin) + 1, 0, (to - s->reach) * sizeof *path);
    s->reach = to;
  }
  if (path->bytes && !(sum > path->score)) return OLICA_OK;
  *path = (olica_path){s->u->weight ? sum : (double)(float)sum, id, (int32_t)(to - from)};
  return OLICA_OK;
}

static double score_of(const olica_unigram *u, int32_t id, size_t length) {
  if (u->weight) return u->weight[id];
  return u->user[id] ? (double)((float)length * u->highest) - 0.1 : (double)u->score[id];
}

/* Offers all pieces that begin at `from`. Sums are computed in double and stored as float like
 * SentencePiece's, so that ties are broken alike. */
static olica_status extend(search *s, size_t from, size_t character) {
  const olica_unigram *u = s->u;
  bool single = false;
  double score = u->path[from - s->begin].score;
  int32_t node = OLICA_TRIE_ROOT;
  for (size_t at = from; at < s->text.bytes;) {
    node = olica_trie_step(&u->trie, node, (unsigned char)s->text.data[at++]);
    if (node < 0) break;
    int32_t id = u->trie.token[node];
    if (id < 0) continue;
    size_t length = at - from;
    OLICA_TRY(offer(s, from, at, id, score_of(u, id, length) + score));
    single = single || length == character;
  }
  if (single) return OLICA_OK;
  double sum = u->weight ? u->least - (double)UNKNOWN_PENALTY + score
                         : (double)(u->lowest - UNKNOWN_PENALTY + (float)score);
  return offer(s, from, from + character, u->unk, sum);
}

static olica_status give_unknown(search *s, size_t begin, size_t bytes) {
  const olica_unigram *u = s->u;
  bool known = u->byte != NULL;
  for (size_t i = 0; i < bytes && known; i++) known = u->byte[(unsigned char)s->text.data[begin + i]] >= 0;
  if (!known && u->unk < 0)
    return olica_error_set(u->env, OLICA_ERR_INPUT,
                           "%s: model: unk_id is null, and the text has a character that is not in vocab",
                           u->name);
  if (!known) return s->unknown ? OLICA_OK : olica_tokens_append(u->env, s->tokens, &u->unk, 1);
  for (size_t i = 0; i < bytes; i++)
    OLICA_TRY(olica_tokens_append(u->env, s->tokens, &u->byte[(unsigned char)s->text.data[begin + i]], 1));
  return OLICA_OK;
}

/* Every path goes through `end`: appends the ids of the stretch up to it. */
static olica_status finish(search *s, size_t end) {
  olica_unigram *u = s->u;
  olica_tokens *reversed = &u->reversed;
  reversed->count = 0;
  for (size_t at = end - s->begin; at > 0; at -= (size_t)u->path[at].bytes)
    OLICA_TRY(olica_tokens_append(u->env, reversed, (int32_t[]){u->path[at].bytes, u->path[at].id}, 2));
  size_t at = s->begin;
  for (size_t i = reversed->count; i > 0; i -= 2) {
    int32_t id = reversed->id[i - 1], bytes = reversed->id[i - 2];
    OLICA_TRY(id == u->unk ? give_unknown(s, at, (size_t)bytes)
                           : olica_tokens_append(u->env, s->tokens, &id, 1));
    s->unknown = id == u->unk;
    at += (size_t)bytes;
  }
  u->path[0] = (olica_path){.score = u->path[end - s->begin].score};
  s->begin = s->reach = end;
  return OLICA_OK;
}

olica_status olica_unigram_encode(olica_unigram *u, olica_span text, olica_tokens *tokens) {
  search s = {.u = u, .text = text, .tokens = tokens};
  OLICA_TRY(reserve(u, 1));
  u->path[0] = (olica_path){0};
  for (size_t at = 0; at < text.bytes;) {
    size_t next = at;
    if (at == s.reach && at > s.begin) OLICA_TRY(finish(&s, at));
    olica_unicode_next(text, &next);
    OLICA_TRY(extend(&s, at, next - at));
    at = next;
  }
  return text.bytes ? finish(&s, text.bytes) : OLICA_OK;
}

void olica_unigram_free(olica_unigram *u) {
  if (!u->env) return;
  olica_trie_free(u->env, &u->trie);
  OLICA_FREE(u->env, u->path);
  OLICA_FREE(u->env, u->reversed.id);
}
