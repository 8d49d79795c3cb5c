#include "added.h"

#include "unicode.h"

/* Adds a node and returns its index. */
static olica_status grow(olica_env *env, olica_trie *trie, int32_t *node) {
  OLICA_TRY(OLICA_GROW(env, trie->token, trie->room, trie->count, trie->count + 1));
  if (trie->count > INT32_MAX - 1)
    return olica_error_set(env, OLICA_ERR_INPUT, "tokens of over %d bytes in all", INT32_MAX);
  *node = (int32_t)trie->count;
  trie->token[trie->count++] = -1;
  return OLICA_OK;
}

olica_status olica_trie_add(olica_env *env, olica_trie *trie, olica_span text, int32_t token) {
  int32_t node = OLICA_TRIE_ROOT;
  if (text.bytes == 0) return OLICA_OK;
  if (trie->count == 0) OLICA_TRY(grow(env, trie, &node));
  trie->begins[(unsigned char)text.data[0]] = true;
  for (size_t i = 0; i < text.bytes; i++) {
    unsigned char byte = (unsigned char)text.data[i];
    int32_t child = olica_trie_step(trie, node, byte);
    if (child < 0) {
      OLICA_TRY(grow(env, trie, &child));
      OLICA_TRY(olica_map_put(env, &trie->child, (uint64_t)node << 8 | byte, (uint64_t)child));
    }
    node = child;
  }
  if (trie->token[node] < 0) trie->token[node] = token;
  return OLICA_OK;
}

void olica_trie_free(olica_env *env, olica_trie *trie) {
  OLICA_FREE(env, trie->child.slot);
  OLICA_FREE(env, trie->token);
}

int32_t olica_trie_find(const olica_trie *trie, olica_span text, size_t at, size_t *end) {
  int32_t found = -1, node = OLICA_TRIE_ROOT;
  if (!trie->begins[(unsigned char)text.data[at]]) return -1;
  while (at < text.bytes) {
    node = olica_trie_step(trie, node, (unsigned char)text.data[at++]);
    if (node < 0) break;
    if (trie->token[node] < 0) continue;
    found = trie->token[node];
    *end = at;
  }
  return found;
}

static bool stands_alone(olica_span text, size_t begin, size_t end) {
  size_t at = end, ignored;
  if (begin > 0 && olica_unicode_is_word(olica_unicode_before(text, begin, &ignored))) return false;
  return end == text.bytes || !olica_unicode_is_word(olica_unicode_next(text, &at));
}

/* Absorbs the adjacent spaces, but none that belong to an earlier token. */
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
      i = end - 1; /* skip the texts inside the discarded one */
      continue;
    }
    m->begin = i;
    m->end = end;
    m->token = found;
    take_spaces(&tokens[found], text, m);
    /* The token lies in spaces that the last one absorbed: the text after it is read again. */
    if (m->begin < m->at) m->begin = m->at;
    return true;
  }
  m->begin = m->end = text.bytes;
  return false;
}
