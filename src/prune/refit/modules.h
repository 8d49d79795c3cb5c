/* shape = olica: three kinds of module of a layer lose what costs least (doc/methods.md, "Refit"): FFN
 * neurons, value neurons of every key/value head, and the ranks of query and key. A kind has levels, of which
 * the last is the whole module:
 *
 *     FFN      n of f neurons stay
 *     values   n of h value neurons of each key/value head stay
 *     query    query and key are stored in the ranks that leave t / 32 of their numbers; 32: whole
 *
 * Pure, except for workspace. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_MODULES_H
#define OLICA_PRUNE_REFIT_MODULES_H

#include <stdint.h>

#include "model/weights.h"

typedef enum olica_refit_kind {
  OLICA_REFIT_FFN,
  OLICA_REFIT_VALUES,
  OLICA_REFIT_QUERY,
  OLICA_REFIT_KINDS
} olica_refit_kind;
enum { OLICA_REFIT_QUERY_LEVELS = 32 };

/* What all layers share. */
typedef struct olica_refit_modules {
  const olica_arch *arch;
  const olica_layer_shape *dense; /* of a layer: all are alike */
  int align;                      /* of the FFN's width */
  int least[OLICA_REFIT_KINDS];   /* levels that stay, at least */
  int64_t total;                  /* numbers to remove, at most */
} olica_refit_modules;

/* What the dense pass has measured of all layers, owned by the caller. */
typedef struct olica_refit_measured {
  const double *ffn;           /* [L x (f + 1)] error of every level */
  const double *attention;     /* [L x olica_refit_attention_points] of the values, then of the query */
  const double *kl;            /* [L x kinds] of the probes, at */
  int half[OLICA_REFIT_KINDS]; /* these levels */
} olica_refit_measured;

int olica_refit_levels(const olica_arch *arch, olica_refit_kind kind);
int olica_refit_attention_points(const olica_arch *arch); /* h + 1 and 32 + 1 */

/* Returns the share of its numbers that a level of query and key leaves out: of olica_lowrank_rank. */
double olica_refit_query_share(int level);

/* Sets the module of a shape to a level. */
void olica_refit_set_level(const olica_arch *arch, olica_refit_kind kind, int level,
                           olica_layer_shape *shape);

/* Returns the stored numbers of a module of that level; those that all layers can lose. */
int64_t olica_refit_level_numbers(const olica_refit_modules *modules, olica_refit_kind kind, int level);
int64_t olica_refit_modules_most(const olica_refit_modules *modules);

/* shape [L], dense ones before, := those of least loss. The loss of a module at a level is E(level) KL /
 * E(half), E its curve's lower convex hull; the step that costs least for a number is taken again and again,
 * while one fits. Without `measured` (NULL): as alike in all modules as steps allow. OLICA_ERR_MEMORY. */
olica_status olica_refit_by_modules(olica_env *env, const olica_refit_modules *modules,
                                    const olica_refit_measured *measured, olica_layer_shape *shape);

#endif
