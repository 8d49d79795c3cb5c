#include "added.h"

#include "unicode.h"

olica_status olica_trie_begin(olica_env *env, olica_trie *trie) {
  for (int i = 0; i < 256; i++) trie->root[i] = -1;
  trie->room = 256;
  return OLICA_NEW(env, trie->node, trie->room);
}

/* A node more; its number. */
static olica_status grow(olica_env *env, olica_trie *trie, unsigned char byte, int32_t sibling,
                         int32_t *node) {
  if (trie->count == trie->room) {
    struct olica_trie_node *grown = olica_memory_get(env, "added tokens", 2 * trie->room, sizeof *grown);
    if (!grown) return OLICA_ERR_MEMORY;
    memcpy(grown, trie->node, trie->count * sizeof *grown);
    olica_memory_free(env, trie->node);
    trie->node = grown;
    trie->room *= 2;
  }
  *node = (int32_t)trie->count;
  trie->node[trie->count++] = (struct olica_trie_node){-1, -1, sibling, byte};
  return OLICA_OK;
}

static int32_t find_child(const olica_trie *trie, int32_t list, unsigned char byte) {
  while (list >= 0 && trie->node[list].byte != byte) list = trie->node[list].sibling;
  return list;
}

olica_status olica_trie_add(olica_env *env, olica_trie *trie, olica_span text, int32_t token) {
  int32_t node = -1;
  if (text.bytes == 0) return OLICA_OK;
  for (size_t i = 0; i < text.bytes; i++) {
    unsigned char byte = (unsigned char)text.data[i];
    int32_t list = i == 0 ? trie->root[byte] : trie->node[node].child;
    int32_t child = find_child(trie, list, byte);
    if (child < 0) {
      OLICA_TRY(grow(env, trie, byte, i == 0 ? -1 : list, &child));
      if (i == 0)
        trie->root[byte] = child;
      else
        trie->node[node].child = child;
    }
    node = child;
  }
  if (trie->node[node].token < 0) trie->node[node].token = token;
  return OLICA_OK;
}

int32_t olica_trie_find(const olica_trie *trie, olica_span text, size_t at, size_t *end) {
  int32_t found = -1, node = trie->root[(unsigned char)text.data[at]];
  while (node >= 0) {
    at++;
    if (trie->node[node].token >= 0) {
      found = trie->node[node].token;
      *end = at;
    }
    if (at == text.bytes) break;
    node = find_child(trie, trie->node[node].child, (unsigned char)text.data[at]);
  }
  return found;
}

static bool stands_alone(olica_span text, size_t begin, size_t end) {
  size_t at = end, ignored;
  if (begin > 0 && olica_unicode_is_word(olica_unicode_before(text, begin, &ignored))) return false;
  return end == text.bytes || !olica_unicode_is_word(olica_unicode_next(text, &at));
}

/* The spaces it takes; never into what an earlier token has. */
static void take_spaces(const olica_added_token *token, olica_span text, olica_added_match *m) {
  size_t at;
  while (token->left && m->begin > m->at && olica_unicode_is_space(olica_unicode_before(text, m->begin, &at)))
    m->begin = at;
  for (at = m->end; token->right && at < text.bytes && olica_unicode_is_space(olica_unicode_next(text, &at));)
    m->end = at;
}

bool olica_added_next(const olica_trie *trie, const olica_added_token *tokens, olica_span text,
                      olica_added_match *m) {
  if (trie->count == 0) return false;
  m->at = m->end;
  for (size_t i = m->from, end; i < text.bytes; i++) {
    int32_t found = olica_trie_find(trie, text, i, &end);
    if (found < 0) continue;
    m->from = end;
    if (tokens[found].single_word && !stands_alone(text, i, end)) {
      i = end - 1; /* texts inside the discarded one are passed over */
      continue;
    }
    m->begin = i;
    m->end = end;
    m->token = found;
    take_spaces(&tokens[found], text, m);
    if (m->begin < m->at) m->begin = m->at;
    if (m->end < m->at) m->end = m->at;
    return true;
  }
  m->begin = m->end = text.bytes;
  return false;
}
