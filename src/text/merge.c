#include "bpe.h"

/* Candidate pairs wait in a heap; a pair whose symbols have changed is dropped when it is popped. Each merge
 * adds at most two new pairs: O(n log n). */

static olica_status reserve(olica_bpe *bpe, size_t more) {
  return OLICA_GROW(bpe->env, bpe->heap, bpe->heap_room, bpe->heaped, bpe->heaped + more);
}

static void push(olica_bpe *bpe, olica_pair pair) {
  olica_pair *heap = bpe->heap;
  size_t i = bpe->heaped++;
  for (; i > 0 && heap[(i - 1) / 2].key > pair.key; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
  heap[i] = pair;
}

static olica_pair pop(olica_bpe *bpe) {
  olica_pair *heap = bpe->heap, top = heap[0], last = heap[--bpe->heaped];
  size_t i = 0, n = bpe->heaped;
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && heap[child + 1].key < heap[child].key) child++;
    if (last.key <= heap[child].key) break;
    heap[i] = heap[child];
  }
  heap[i] = last;
  return top;
}

static const uint64_t *look_up(const olica_bpe *bpe, int32_t left, int32_t right) {
  return olica_map_get(&bpe->pairs, (uint64_t)left << 32 | (uint32_t)right);
}

/* Adds symbol i and the next one to the heap, if they can be merged. */
static void consider(olica_bpe *bpe, int32_t i) {
  int32_t next = bpe->symbol[i].next;
  if (next < 0) return;
  const uint64_t *merge = look_up(bpe, bpe->symbol[i].id, bpe->symbol[next].id);
  if (merge) push(bpe, (olica_pair){(*merge & ~(uint64_t)UINT32_MAX) | (uint32_t)i, (int32_t)*merge});
}

static void merge_pair(olica_bpe *bpe, int32_t i, int32_t id) {
  olica_symbol *left = &bpe->symbol[i], *right = &bpe->symbol[left->next];
  left->id = id;
  left->next = right->next;
  right->id = -1;
  if (right->next >= 0) bpe->symbol[right->next].prev = i;
  if (left->prev >= 0) consider(bpe, left->prev);
  consider(bpe, i);
}

olica_status olica_bpe_merge(olica_bpe *bpe, olica_tokens *tokens) {
  int32_t n = (int32_t)bpe->symbols;
  OLICA_TRY(olica_tokens_reserve(bpe->env, tokens, bpe->symbols));
  OLICA_TRY(reserve(bpe, 2 * bpe->symbols));
  for (int32_t i = 0; i < n; i++) {
    bpe->symbol[i].prev = i - 1;
    bpe->symbol[i].next = i + 1 < n ? i + 1 : -1;
  }
  for (int32_t i = 0; i < n; i++) consider(bpe, i);
  while (bpe->heaped > 0) {
    olica_pair top = pop(bpe);
    int32_t i = (int32_t)(uint32_t)top.key, next = bpe->symbol[i].next;
    if (bpe->symbol[i].id < 0 || next < 0) continue;
    const uint64_t *merge = look_up(bpe, bpe->symbol[i].id, bpe->symbol[next].id);
    if (merge && (int32_t)*merge == top.id) merge_pair(bpe, i, top.id);
  }
  for (int32_t i = 0; i >= 0 && i < n; i = bpe->symbol[i].next)
    tokens->id[tokens->count++] = bpe->symbol[i].id;
  return OLICA_OK;
}
