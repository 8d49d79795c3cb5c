#include "modules.h"

#include <math.h>
#include <string.h>

#include "../lowrank.h"
#include "allocate.h"

int olica_refit_levels(const olica_arch *arch, olica_refit_kind kind) {
  return kind == OLICA_REFIT_FFN      ? arch->ffn
         : kind == OLICA_REFIT_VALUES ? arch->head
                                      : OLICA_REFIT_QUERY_LEVELS;
}

int olica_refit_attention_points(const olica_arch *arch) {
  return arch->head + 1 + OLICA_REFIT_QUERY_LEVELS + 1;
}

double olica_refit_query_share(int level) {
  return 1 - (double)level / OLICA_REFIT_QUERY_LEVELS;
}

void olica_refit_set_level(const olica_arch *arch, olica_refit_kind kind, int level,
                           olica_layer_shape *shape) {
  bool whole = level == olica_refit_levels(arch, kind);
  double share = olica_refit_query_share(level);
  switch (kind) {
  case OLICA_REFIT_FFN:
    shape->ffn = level;
    break;
  case OLICA_REFIT_VALUES:
    shape->values = level;
    break;
  default:
    shape->rank[OLICA_Q] = whole ? 0 : olica_lowrank_rank(share, arch->hidden, arch->heads * arch->head);
    shape->rank[OLICA_K] = whole ? 0 : olica_lowrank_rank(share, arch->hidden, arch->kv_heads * arch->head);
  }
}

int64_t olica_refit_level_numbers(const olica_refit_modules *m, olica_refit_kind kind, int level) {
  static const struct {
    int count, projection[3];
  } of[OLICA_REFIT_KINDS] = {[OLICA_REFIT_FFN] = {3, {OLICA_GATE, OLICA_UP, OLICA_DOWN}},
                             [OLICA_REFIT_VALUES] = {2, {OLICA_V, OLICA_O}},
                             [OLICA_REFIT_QUERY] = {2, {OLICA_Q, OLICA_K}}};
  olica_layer_shape shape = *m->dense;
  int64_t numbers = 0;
  olica_refit_set_level(m->arch, kind, level, &shape);
  for (int i = 0; i < of[kind].count; i++)
    numbers += olica_layer_shape_numbers(m->arch, &shape, (olica_projection)of[kind].projection[i]);
  return numbers;
}

/* ---- steps ---- */

/* The modules as they are on their way down. */
typedef struct descent {
  const olica_refit_modules *modules;
  int levels[OLICA_REFIT_KINDS];
  int64_t *numbers[OLICA_REFIT_KINDS]; /* [levels + 1] */
  double *loss;                        /* [L x points], NULL: as alike as can be */
  size_t points;                       /* of all kinds of a layer */
  int (*at)[OLICA_REFIT_KINDS];        /* [L] levels */
} descent;

/* The next smaller level that stores fewer numbers; 0: there is none. */
static int next(const descent *t, int kind, int level) {
  const olica_refit_modules *m = t->modules;
  int smaller = level - 1;
  if (kind == OLICA_REFIT_FFN) smaller = level % m->align ? level - level % m->align : level - m->align;
  while (smaller >= m->least[kind] && t->numbers[kind][smaller] >= t->numbers[kind][level]) smaller--;
  return smaller >= m->least[kind] ? smaller : 0;
}

static const double *loss_of(const descent *t, int layer, int kind) {
  size_t before = 0;
  for (int k = 0; k < kind; k++) before += (size_t)t->levels[k] + 1;
  return t->loss + (size_t)layer * t->points + before;
}

static double cost(const descent *t, int layer, int kind, int from, int to) {
  if (!t->loss) return 1 - (double)to / t->levels[kind];
  const double *loss = loss_of(t, layer, kind);
  return (loss[to] - loss[from]) / (double)(t->numbers[kind][from] - t->numbers[kind][to]);
}

/* Takes the step that costs least, of equal ones that of the first layer and kind, while one fits. */
static void descend(const descent *t) {
  int64_t left = t->modules->total;
  for (int layer = 0, kind = 0; layer >= 0;) {
    double least = INFINITY;
    layer = -1;
    for (int i = 0; i < t->modules->arch->layers; i++)
      for (int k = 0; k < OLICA_REFIT_KINDS; k++) {
        int from = t->at[i][k], to = next(t, k, from);
        if (to == 0 || t->numbers[k][from] - t->numbers[k][to] > left) continue;
        double one = cost(t, i, k, from, to);
        if (layer >= 0 && !(one < least)) continue;
        least = one;
        layer = i;
        kind = k;
      }
    if (layer < 0) break;
    int from = t->at[layer][kind], to = next(t, kind, from);
    left -= t->numbers[kind][from] - t->numbers[kind][to];
    t->at[layer][kind] = to;
  }
}

/* ---- the losses ---- */

/* Copies a layer's curves, in the order of the kinds. */
static void copy_curves(const descent *t, const olica_refit_measured *measured, int layer, double *to) {
  size_t f = (size_t)t->levels[OLICA_REFIT_FFN] + 1, others = t->points - f;
  memcpy(to, measured->ffn + (size_t)layer * f, f * sizeof *to);
  memcpy(to + f, measured->attention + (size_t)layer * others, others * sizeof *to);
}

static void weigh(const descent *t, const olica_refit_measured *measured, int *hull) {
  for (int i = 0; i < t->modules->arch->layers; i++) {
    double *own = t->loss + (size_t)i * t->points;
    copy_curves(t, measured, i, own);
    for (int k = 0; k < OLICA_REFIT_KINDS; own += t->levels[k] + 1, k++) {
      olica_refit_convex(own, t->levels[k], hull);
      double half = own[measured->half[k]],
             scale = half > 0 ? measured->kl[i * OLICA_REFIT_KINDS + k] / half : 0;
      for (int n = 0; n <= t->levels[k]; n++) own[n] *= scale;
    }
  }
}

static olica_status begin(olica_env *env, descent *t, bool measured) {
  const olica_arch *arch = t->modules->arch;
  for (int k = 0; k < OLICA_REFIT_KINDS; k++) {
    t->levels[k] = olica_refit_levels(arch, (olica_refit_kind)k);
    t->points += (size_t)t->levels[k] + 1;
    OLICA_TRY(OLICA_NEW(env, t->numbers[k], (size_t)t->levels[k] + 1));
    for (int n = 0; n <= t->levels[k]; n++)
      t->numbers[k][n] = n == 0 ? 0 : olica_refit_level_numbers(t->modules, (olica_refit_kind)k, n);
  }
  OLICA_TRY(OLICA_NEW(env, t->at, (size_t)arch->layers));
  for (int i = 0; i < arch->layers; i++) memcpy(t->at[i], t->levels, sizeof t->levels);
  return measured ? OLICA_NEW(env, t->loss, (size_t)arch->layers * t->points) : OLICA_OK;
}

static void end(olica_env *env, descent *t) {
  for (int k = 0; k < OLICA_REFIT_KINDS; k++) olica_memory_free(env, t->numbers[k]);
  olica_memory_free(env, t->loss);
  olica_memory_free(env, t->at);
}

int64_t olica_refit_modules_most(const olica_refit_modules *m) {
  int64_t most = 0;
  for (int k = 0; k < OLICA_REFIT_KINDS; k++)
    most +=
        olica_refit_level_numbers(m, (olica_refit_kind)k, olica_refit_levels(m->arch, (olica_refit_kind)k)) -
        olica_refit_level_numbers(m, (olica_refit_kind)k, m->least[k]);
  return most * m->arch->layers;
}

olica_status olica_refit_by_modules(olica_env *env, const olica_refit_modules *modules,
                                    const olica_refit_measured *measured, olica_layer_shape *shape) {
  descent t = {.modules = modules};
  int *hull;
  OLICA_TRY(begin(env, &t, measured != NULL));
  OLICA_TRY(OLICA_NEW(env, hull, t.points));
  if (measured) weigh(&t, measured, hull);
  descend(&t);
  for (int i = 0; i < modules->arch->layers; i++)
    for (int k = 0; k < OLICA_REFIT_KINDS; k++)
      olica_refit_set_level(modules->arch, (olica_refit_kind)k, t.at[i][k], &shape[i]);
  olica_memory_free(env, hull);
  end(env, &t);
  return OLICA_OK;
}
