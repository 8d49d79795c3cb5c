/* Byte-pair encoding: splits a piece of text into characters, and merges the pair of least rank until none is
 * left. Private to text. */
#ifndef OLICA_TEXT_BPE_H
#define OLICA_TEXT_BPE_H

#include "vocabulary.h"

/* Characters with a direct table: ASCII, Latin-1, and the stand-ins of bytes. */
enum { OLICA_DIRECT = 0x180 };

/* A cached word; one cache line. */
enum { OLICA_CACHED_BYTES = 30, OLICA_CACHED_IDS = 6, OLICA_CACHE = 1 << 15 };
typedef struct olica_cached {
  uint64_t hash;
  uint8_t bytes, count;
  char text[OLICA_CACHED_BYTES];
  int32_t id[OLICA_CACHED_IDS];
} olica_cached;

typedef struct olica_symbol {
  int32_t id; /* -1: merged into the previous symbol */
  int32_t prev, next;
} olica_symbol;

/* A candidate pair. */
typedef struct olica_pair {
  uint64_t key; /* rank, then position of its left symbol */
  int32_t id;   /* id of the merged symbol */
} olica_pair;

typedef struct olica_bpe {
  olica_env *env;
  const olica_vocabulary *vocabulary;
  const char *name;             /* the file, for messages */
  olica_map pairs;              /* left id, right id -> rank, merged id */
  olica_map chars;              /* character -> id; below OLICA_DIRECT in `direct` */
  int32_t direct[OLICA_DIRECT]; /* -1: none */
  olica_map joins;              /* pairs of adjacent characters at which some merge can join */
  uint64_t near[OLICA_DIRECT][OLICA_DIRECT / 64]; /* the same for characters below OLICA_DIRECT */
  int32_t byte[256];                              /* <0x00> and so on, -1: none */
  int32_t unk;                                    /* -1: none */
  bool unk_missing; /* named, but not in the vocabulary: an error when it is needed */
  bool fuse_unk, byte_fallback, ignore_merges;
  olica_span prefix, suffix; /* prefix of a word's characters except the first; suffix of its last one */
  char *affix[2];            /* storage of these two, counted memory */

  olica_cached *cache; /* [OLICA_CACHE] */
  uint64_t seed;
  olica_symbol *symbol; /* the current word */
  size_t symbols, symbol_room;
  olica_pair *heap; /* least key first */
  size_t heaped, heap_room;
  olica_bytes scratch;
} olica_bpe;

/* Prepares the lookup of characters and bytes in the vocabulary; call it after the settings are made and
 * before merges are added. */
olica_status olica_bpe_begin(olica_bpe *bpe);

/* Adds a merge of left, right -> merged, at this rank; a later one of the same pair replaces it. All three
 * are ids. */
olica_status olica_bpe_add(olica_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t merged);
void olica_bpe_free(olica_bpe *bpe);

/* Appends the ids of a piece. `mapped`: its bytes represent GPT-2's characters; otherwise it is well-formed
 * UTF-8. */
olica_status olica_bpe_encode(olica_bpe *bpe, olica_span piece, bool mapped, olica_tokens *tokens);

/* Merges bpe->symbol[0, symbols), whose ids are set (merge.c), and appends the result. */
olica_status olica_bpe_merge(olica_bpe *bpe, olica_tokens *tokens);

#endif
