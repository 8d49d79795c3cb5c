/* Reads tokenizer.model into a tokenizer, with its own reader of the protocol buffer instead of
 * libsentencepiece: only three messages with a dozen fields are needed, the models' arithmetic exists here
 * anyway, and the library would add C++, protobuf and abseil to a C program, without limits on the resources
 * that a hostile file can use. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "protobuf.h"
#include "tokenizer_parts.h"
#include "unicode.h"

enum { PIECES_MAX = 1 << 22, PIECE_BYTES = 512, DEFAULT_VOCABULARY = 1024 };
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum { UNIGRAM = 1, BPE };

typedef struct piece {
  olica_span text;
  float score;
  int type;
} piece;

typedef struct model {
  olica_tokenizer *t;
  piece *piece; /* [count] */
  size_t count, room;
  int kind;
  bool byte_fallback;
  olica_span bos, eos, unk_surface, charsmap;
} model;

static olica_status malformed(const model *m, const char *what) {
  return olica_error_set(m->t->env, OLICA_ERR_INPUT, "%s: %s is cut short or no protocol buffer", m->t->name,
                         what);
}

/* ---- messages ---- */

static olica_status add_piece(model *m, const piece *p) {
  olica_env *env = m->t->env;
  OLICA_TRY(OLICA_GROW(env, m->piece, m->room, m->count, m->count + 1));
  m->piece[m->count++] = *p;
  return m->count < PIECES_MAX
             ? OLICA_OK
             : olica_error_set(env, OLICA_ERR_INPUT, "%s: over %d pieces", m->t->name, PIECES_MAX);
}

/* Checks that a piece is well-formed, not empty and not too long, its score is not NaN, and its type is
 * known. */
static olica_status check_piece(const model *m, const piece *p) {
  char expected[96] = "";
  olica_bytes scratch = {0};
  olica_span repaired;
  OLICA_TRY(olica_unicode_repair(m->t->env, p->text, false, &scratch, &repaired));
  bool sound = repaired.data == p->text.data;
  olica_memory_free(m->t->env, scratch.data);
  if (!sound) snprintf(expected, sizeof expected, "is no UTF-8");
  if (p->text.bytes == 0 || p->text.bytes > PIECE_BYTES)
    snprintf(expected, sizeof expected, "has %zu bytes, expected 1 to %d", p->text.bytes, PIECE_BYTES);
  if (!isfinite(p->score))
    snprintf(expected, sizeof expected, "has score %g, expected a number", (double)p->score);
  if (p->type < NORMAL || p->type > BYTE)
    snprintf(expected, sizeof expected, "is of type %d, expected 1 to 6", p->type);
  if (!*expected) return OLICA_OK;
  return olica_error_set(m->t->env, OLICA_ERR_INPUT, "%s: piece %zu %s", m->t->name, m->count, expected);
}

static olica_status read_piece(model *m, olica_span message) {
  olica_wire wire = {.rest = message};
  piece p = {.type = NORMAL};
  for (bool more;;) {
    if (!olica_wire_next(&wire, &more)) return malformed(m, "a piece");
    if (!more) break;
    if (wire.field == 1 && wire.is_bytes) p.text = wire.bytes;
    if (wire.field == 2 && !wire.is_bytes) p.score = olica_wire_float(&wire);
    if (wire.field == 3 && !wire.is_bytes) p.type = wire.number <= BYTE ? (int)wire.number : -1;
  }
  OLICA_TRY(check_piece(m, &p));
  return add_piece(m, &p);
}

static olica_status read_trainer(model *m, olica_span message) {
  olica_wire wire = {.rest = message};
  for (bool more;;) {
    if (!olica_wire_next(&wire, &more)) return malformed(m, "trainer_spec");
    if (!more) return OLICA_OK;
    if (wire.field == 3 && !wire.is_bytes) m->kind = wire.number <= 4 ? (int)wire.number : -1;
    if (wire.field == 24 && !wire.is_bytes) m->t->suffix = wire.number != 0;
    if (wire.field == 35 && !wire.is_bytes) m->byte_fallback = wire.number != 0;
    if (wire.field == 44 && wire.is_bytes) m->unk_surface = wire.bytes;
    if (wire.field == 46 && wire.is_bytes) m->bos = wire.bytes;
    if (wire.field == 47 && wire.is_bytes) m->eos = wire.bytes;
  }
}

static olica_status read_normalizer(model *m, olica_span message) {
  olica_wire wire = {.rest = message};
  for (bool more;;) {
    if (!olica_wire_next(&wire, &more)) return malformed(m, "normalizer_spec");
    if (!more) return OLICA_OK;
    if (wire.field == 2 && wire.is_bytes) m->charsmap = wire.bytes;
    if (wire.field == 3 && !wire.is_bytes) m->t->dummy_prefix = wire.number != 0;
    if (wire.field == 4 && !wire.is_bytes) m->t->squeeze = wire.number != 0;
    if (wire.field == 5 && !wire.is_bytes) m->t->escape = wire.number != 0;
  }
}

static olica_status read_message(model *m, olica_span message) {
  olica_wire wire = {.rest = message};
  for (bool more;;) {
    if (!olica_wire_next(&wire, &more)) return malformed(m, "the file");
    if (!more) break;
    if (wire.field == 1 && wire.is_bytes) OLICA_TRY(read_piece(m, wire.bytes));
    if (wire.field == 2 && wire.is_bytes) OLICA_TRY(read_trainer(m, wire.bytes));
    if (wire.field == 3 && wire.is_bytes) OLICA_TRY(read_normalizer(m, wire.bytes));
  }
  if (m->count == 0) return olica_error_set(m->t->env, OLICA_ERR_INPUT, "%s: has no pieces", m->t->name);
  if (m->kind == UNIGRAM || m->kind == BPE) return OLICA_OK;
  return olica_error_set(m->t->env, OLICA_ERR_INPUT,
                         "%s: trainer_spec: model_type is %d, expected 1 (unigram) or 2 (BPE)", m->t->name,
                         m->kind);
}

/* ---- pieces ---- */

static bool is_usable(const piece *p) {
  return p->type == NORMAL || p->type == USER_DEFINED;
}

/* Indexes all pieces by id; of these the model may produce usable ones, and bytes. */
static olica_status index_pieces(model *m) {
  olica_tokenizer *t = m->t;
  size_t bytes = 0;
  for (size_t i = 0; i < m->count; i++) bytes += m->piece[i].text.bytes;
  OLICA_TRY(olica_vocabulary_begin(t->env, &t->vocabulary, m->count, bytes, (int32_t)m->count));
  for (size_t i = 0; i < m->count; i++)
    if (!olica_vocabulary_add(&t->vocabulary, m->piece[i].text, (int32_t)i))
      return olica_error_set(t->env, OLICA_ERR_INPUT, "%s: piece %zu occurs twice", t->name, i);
  OLICA_TRY(olica_tokenizer_index(t));
  OLICA_TRY(OLICA_NEW(t->env, t->score, m->count));
  OLICA_TRY(OLICA_NEW(t->env, t->user, m->count));
  OLICA_TRY(OLICA_NEW(t->env, t->type, m->count));
  for (size_t i = 0; i < m->count; i++) {
    t->score[i] = m->piece[i].score;
    t->user[i] = m->piece[i].type == USER_DEFINED;
    t->type[i] = (uint8_t)m->piece[i].type;
    t->special[i] = m->piece[i].type == CONTROL;
  }
  return OLICA_OK;
}

/* Returns the piece of a type, -1 if none; with text `text` unless that is empty. */
static int32_t find_piece(const model *m, int type, olica_span text) {
  for (size_t i = 0; i < m->count; i++)
    if (m->piece[i].type == type && (!text.data || olica_span_is(m->piece[i].text, text.data, text.bytes)))
      return (int32_t)i;
  return -1;
}

/* Makes the user's pieces added tokens of the normalized text. */
static olica_status index_user_pieces(model *m) {
  olica_tokenizer *t = m->t;
  size_t count = 0;
  for (size_t i = 0; i < m->count; i++) count += t->user[i];
  OLICA_TRY(OLICA_NEW(t->env, t->added, count));
  for (size_t i = 0; i < m->count; i++) {
    if (!t->user[i]) continue;
    t->added[t->added_count] =
        (olica_added_token){.text = t->vocabulary.text[i], .id = (int32_t)i, .normalized = true};
    OLICA_TRY(olica_trie_add(t->env, &t->normalized, t->vocabulary.text[i], (int32_t)t->added_count++));
  }
  return OLICA_OK;
}

/* ---- BPE: which pairs make a piece ---- */

static int descending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

/* Returns the number of larger scores: equal scores have the same rank, and the position decides. */
static uint32_t rank_of(const float *sorted, size_t count, float score) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (sorted[middle] > score)
      low = middle + 1;
    else
      high = middle;
  }
  return (uint32_t)low;
}

static olica_status add_pairs(model *m, size_t id, uint32_t rank) {
  olica_span text = m->t->vocabulary.text[id];
  for (size_t at = 0; at < text.bytes;) {
    olica_unicode_next(text, &at);
    if (at == text.bytes) break;
    int32_t left = olica_vocabulary_find(&m->t->vocabulary, (olica_span){text.data, at});
    int32_t right = olica_vocabulary_find(&m->t->vocabulary, (olica_span){text.data + at, text.bytes - at});
    if (left >= 0 && right >= 0 && is_usable(&m->piece[left]) && is_usable(&m->piece[right]))
      OLICA_TRY(olica_bpe_add(&m->t->bpe, left, right, rank, (int32_t)id));
  }
  return OLICA_OK;
}

static olica_status make_bpe(model *m, int32_t unk) {
  olica_tokenizer *t = m->t;
  float *sorted;
  t->bpe.unk = unk;
  t->bpe.fuse_unk = true;
  t->bpe.byte_fallback = m->byte_fallback;
  OLICA_TRY(olica_bpe_begin(&t->bpe));
  OLICA_TRY(OLICA_NEW(t->env, sorted, m->count));
  memcpy(sorted, t->score, m->count * sizeof *sorted);
  qsort(sorted, m->count, sizeof *sorted, descending);
  olica_status status = OLICA_OK;
  for (size_t i = 0; i < m->count && status == OLICA_OK; i++)
    if (is_usable(&m->piece[i])) status = add_pairs(m, i, rank_of(sorted, m->count, t->score[i]));
  olica_memory_free(t->env, sorted);
  return status;
}

/* ---- unigram ---- */

static olica_status make_unigram(model *m, int32_t unk) {
  olica_tokenizer *t = m->t;
  olica_unigram *u = &t->unigram;
  *u = (olica_unigram){.env = t->env,
                       .score = t->score,
                       .user = t->user,
                       .unk = unk,
                       .lowest = INFINITY,
                       .highest = 0x1p-126F};
  for (size_t i = 0; i < m->count; i++) {
    if (m->piece[i].type == NORMAL) {
      u->lowest = fminf(u->lowest, t->score[i]);
      u->highest = fmaxf(u->highest, t->score[i]);
    }
    if (is_usable(&m->piece[i]))
      OLICA_TRY(olica_trie_add(t->env, &u->trie, t->vocabulary.text[i], (int32_t)i));
  }
  if (u->lowest > u->highest || u->trie.count == 0)
    return olica_error_set(t->env, OLICA_ERR_INPUT, "%s: has no normal pieces", t->name);
  if (m->byte_fallback) u->byte = t->bpe.byte;
  return OLICA_OK;
}

/* ---- the whole ---- */

static olica_status check_bytes(model *m) {
  for (int i = 0; i < 256 && m->byte_fallback; i++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", i);
    m->t->bpe.byte[i] = olica_vocabulary_find(&m->t->vocabulary, (olica_span){name, 6});
    if (m->t->bpe.byte[i] < 0)
      return olica_error_set(m->t->env, OLICA_ERR_INPUT, "%s: byte_fallback without a piece %s", m->t->name,
                             name);
  }
  return OLICA_OK;
}

static olica_status build(model *m) {
  olica_tokenizer *t = m->t;
  olica_normalizer *normalizer;
  OLICA_TRY(index_pieces(m));
  OLICA_TRY(index_user_pieces(m));
  OLICA_TRY(check_bytes(m));
  int32_t unk = find_piece(m, UNKNOWN, (olica_span){0}), bos = find_piece(m, CONTROL, m->bos);
  if (unk < 0)
    return olica_error_set(t->env, OLICA_ERR_INPUT, "%s: has no piece of type 2 (unknown)", t->name);
  if (bos >= 0) OLICA_TRY(olica_tokens_append(t->env, &t->before, &bos, 1));
  t->role[OLICA_ROLE_BOS] = bos;
  t->role[OLICA_ROLE_EOS] = find_piece(m, CONTROL, m->eos);
  t->role[OLICA_ROLE_UNK] = unk;
  OLICA_TRY(olica_sentencepiece_add(t, &normalizer));
  OLICA_TRY(olica_charsmap_parse(t->env, t->name, m->charsmap, &normalizer->charsmap));
  OLICA_TRY(m->kind == BPE ? make_bpe(m, unk) : make_unigram(m, unk));
  /* The unknown piece is shown as U+2047 between spaces, unless the file defines it. */
  t->unk_surface = olica_memory_get(t->env, "unk_surface", m->unk_surface.bytes + 1, 1);
  if (!t->unk_surface) return OLICA_ERR_MEMORY;
  if (m->unk_surface.bytes) memcpy(t->unk_surface, m->unk_surface.data, m->unk_surface.bytes);
  t->text[unk] = (olica_span){t->unk_surface, m->unk_surface.bytes};
  return OLICA_OK;
}

/* Returns true for a line of a tiktoken file: base64, a blank, a number. */
static bool is_tiktoken(const char *bytes, size_t count) {
  size_t at = 0, digits = 0;
  while (at < count && (isalnum((unsigned char)bytes[at]) || memchr("+/=", bytes[at], 3))) at++;
  bool blank = at > 0 && at < count && bytes[at] == ' ';
  for (at++; at < count && isdigit((unsigned char)bytes[at]); at++) digits++;
  return blank && digits > 0 && (at == count || bytes[at] == '\n' || bytes[at] == '\r');
}

olica_status olica_tokenizer_read_model(olica_tokenizer *t, const char *bytes, size_t count) {
  model m = {
      .t = t, .kind = UNIGRAM, .bos = {"<s>", 3}, .eos = {"</s>", 4}, .unk_surface = {" \xe2\x81\x87 ", 5}};
  if (is_tiktoken(bytes, count))
    return olica_error_set(
        t->env, OLICA_ERR_INPUT,
        "%s: is a tiktoken file, expected SentencePiece's: transformers makes a tokenizer.json of "
        "it (AutoTokenizer.from_pretrained(...).save_pretrained(...)), or [model] tokenizer names "
        "another directory",
        t->name);
  t->dummy_prefix = t->squeeze = t->escape = t->reads_bytes = true;
  olica_status status = read_message(&m, (olica_span){bytes, count});
  if (status == OLICA_OK) status = build(&m);
  olica_memory_free(t->env, m.piece);
  return status;
}
