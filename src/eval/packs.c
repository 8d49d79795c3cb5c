#include "eval/packs.h"

#include <stdlib.h>

/* ---- making ---- */

static olica_pack_sizes sizes_of(const olica_questions *questions, const olica_question *question) {
  const olica_choice *choice = questions->choice + question->first_choice;
  olica_pack_sizes size = {
      .rows = question->rows, .scored = question->scored, .segments = question->prefix > 0};
  for (int c = 0; c < question->choices; c++) {
    size.segments += olica_choice_rows(question, &choice[c]) > 0;
    size.targets += choice[c].scored;
  }
  return size;
}

static void add_sizes(olica_pack_sizes *sum, olica_pack_sizes size) {
  sum->rows += size.rows;
  sum->scored += size.scored;
  sum->segments += size.segments;
  sum->targets += size.targets;
}

/* Counts the pairs of a query and a key of all choices. */
static double pairs_of(const olica_questions *questions, const olica_question *question) {
  const olica_choice *choice = questions->choice + question->first_choice;
  double prefix = question->prefix, pairs = prefix * prefix / 2;
  for (int c = 0; c < question->choices; c++) {
    double own = olica_choice_rows(question, &choice[c]);
    pairs += own * (prefix + own / 2);
  }
  return pairs;
}

static double cost_of(const olica_arch *arch, const olica_questions *questions,
                      const olica_question *question) {
  double h = arch->head, d = arch->hidden;
  double layer = d * h * 2 * (arch->heads + arch->kv_heads) + 3 * d * arch->ffn;
  double attention = 2 * pairs_of(questions, question) * arch->heads * h;
  return 2 * (arch->layers * (question->rows * layer + attention) + question->scored * d * arch->vocabulary);
}

/* The sorting key of a question or a pack: larger keys first, equal ones by number. */
typedef struct rank_by {
  double key;
  int64_t number;
} rank_by;

static int larger_first(const void *left, const void *right) {
  const rank_by *a = left, *b = right;
  if (a->key != b->key) return a->key > b->key ? -1 : 1;
  return (a->number > b->number) - (a->number < b->number);
}

static olica_status sort_questions(olica_packs *packs) {
  const olica_questions *questions = packs->questions;
  rank_by *by;
  OLICA_TRY(OLICA_NEW(packs->env, by, (size_t)questions->count));
  for (int64_t i = 0; i < questions->count; i++) by[i] = (rank_by){questions->question[i].rows, i};
  qsort(by, (size_t)questions->count, sizeof *by, larger_first);
  for (int64_t i = 0; i < questions->count; i++) packs->order[i] = by[i].number;
  olica_memory_free(packs->env, by);
  return OLICA_OK;
}

static void fill_packs(olica_packs *packs, const olica_arch *arch) {
  const olica_questions *questions = packs->questions;
  for (int64_t i = 0; i < questions->count; i++) {
    const olica_question *question = &questions->question[packs->order[i]];
    olica_pack_sizes size = sizes_of(questions, question);
    if (i == 0 || packs->size[packs->count - 1].rows + size.rows > OLICA_PACK_ROWS)
      packs->first[packs->count++] = i;
    add_sizes(&packs->size[packs->count - 1], size);
    packs->cost[packs->count - 1] += cost_of(arch, questions, question);
  }
  packs->first[packs->count] = questions->count;
  for (int64_t p = 0; p < packs->count; p++) {
    const olica_pack_sizes *size = &packs->size[p];
    if (size->rows > packs->most_rows) packs->most_rows = (int)size->rows;
    if (size->scored > packs->most_scored) packs->most_scored = (int)size->scored;
  }
}

olica_status olica_packs_make(olica_env *env, const olica_arch *arch, const olica_questions *questions,
                              olica_packs **out) {
  olica_packs *packs;
  size_t most = (size_t)questions->count;
  OLICA_TRY(OLICA_NEW(env, packs, 1));
  packs->env = env;
  packs->questions = questions;
  OLICA_TRY(OLICA_NEW(env, packs->first, most + 1));
  OLICA_TRY(OLICA_NEW(env, packs->order, most));
  OLICA_TRY(OLICA_NEW(env, packs->size, most));
  OLICA_TRY(OLICA_NEW(env, packs->cost, most));
  OLICA_TRY(sort_questions(packs));
  fill_packs(packs, arch);
  *out = packs;
  return OLICA_OK;
}

void olica_packs_free(olica_packs *packs) {
  if (!packs) return;
  olica_env *env = packs->env;
  olica_memory_free(env, packs->first);
  olica_memory_free(env, packs->order);
  olica_memory_free(env, packs->size);
  olica_memory_free(env, packs->cost);
  olica_memory_free(env, packs);
}

/* ---- dealing ---- */

/* Returns true if rank a has less work so far than rank b. */
static bool before(const rank_by *a, const rank_by *b) {
  return a->key < b->key || (a->key == b->key && a->number < b->number);
}

/* Restores the heap after its first element has got more work. */
static void sink(rank_by *heap, int count) {
  for (int i = 0, child; (child = 2 * i + 1) < count; i = child) {
    if (child + 1 < count && before(&heap[child + 1], &heap[child])) child++;
    if (!before(&heap[child], &heap[i])) return;
    rank_by swap = heap[i];
    heap[i] = heap[child];
    heap[child] = swap;
  }
}

olica_status olica_packs_deal(const olica_packs *packs, int ranks, int *owner) {
  olica_env *env = packs->env;
  rank_by *heap, *by;
  int used = packs->count < ranks ? (int)packs->count : ranks;
  OLICA_TRY(OLICA_NEW(env, heap, (size_t)used));
  OLICA_TRY(OLICA_NEW(env, by, (size_t)packs->count));
  for (int rank = 0; rank < used; rank++) heap[rank].number = rank;
  for (int64_t p = 0; p < packs->count; p++) by[p] = (rank_by){packs->cost[p], p};
  qsort(by, (size_t)packs->count, sizeof *by, larger_first);
  for (int64_t p = 0; p < packs->count; p++) {
    owner[by[p].number] = (int)heap[0].number;
    heap[0].key += by[p].key;
    sink(heap, used);
  }
  olica_memory_free(env, by);
  olica_memory_free(env, heap);
  return OLICA_OK;
}

olica_pack_sizes olica_packs_own(const olica_packs *packs, const int *owner, int rank, int64_t *count) {
  olica_pack_sizes sum = {0};
  *count = 0;
  for (int64_t p = 0; p < packs->count; p++) {
    if (owner[p] != rank) continue;
    add_sizes(&sum, packs->size[p]);
    ++*count;
  }
  return sum;
}
