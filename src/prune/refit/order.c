#include "order.h"

#include <stdlib.h>
#include <string.h>

#include "../layer.h"
#include "../select.h"
#include "obs.h"
#include "par/comm.h"

static olica_status choose(const olica_method_job *job, const olica_layer *dense,
                           const olica_energies *energies, int skipped, int32_t *order) {
  olica_env *env = job->context->env;
  int f = job->model.arch->ffn;
  double *importance;
  OLICA_TRY(OLICA_NEW(env, importance, (size_t)f));
  OLICA_TRY(olica_select_neuron_importance(env, job->model.arch, dense, energies, importance));
  OLICA_TRY(olica_select_order(env, importance, f, skipped, order));
  olica_memory_free(env, importance);
  return OLICA_OK;
}

/* Rank 0 decides, since the last bits of importances may differ. */
olica_status olica_refit_order(const olica_method_job *job, const olica_layer *dense,
                               const olica_energies *energies, const olica_fit_sums *sums,
                               const olica_refit_rule *rule, int32_t *order) {
  olica_context *context = job->context;
  if (rule->select == OLICA_REFIT_BY_OBS)
    return olica_refit_obs(job, dense, sums, rule->delta, rule->stay, order);
  OLICA_AGREE(context, context->rank == 0 ? choose(job, dense, energies, rule->skipped, order) : OLICA_OK);
  olica_comm_bcast(context, context->comm, order, (size_t)job->model.arch->ffn * sizeof *order, 0);
  return OLICA_OK;
}

static int ascending(const void *left, const void *right) {
  const int32_t *a = left, *b = right;
  return *a < *b ? -1 : *a > *b;
}

void olica_refit_first(const int32_t *order, int n, int32_t *list) {
  memcpy(list, order, (size_t)n * sizeof *order);
  qsort(list, (size_t)n, sizeof *order, ascending);
}

olica_status olica_refit_keep(const olica_method_job *job, const olica_layer *dense, const int32_t *order,
                              olica_layer *pruned) {
  olica_context *context = job->context;
  const olica_arch *arch = job->model.arch;
  int n = pruned->shape.values;
  OLICA_AGREE(context, olica_select_lists(context->env, arch, pruned));
  for (int i = 0; i < arch->kv_heads * n; i++) pruned->values_kept[i] = i % n;
  olica_refit_first(order, pruned->shape.ffn, pruned->ffn_kept);
  olica_pruned_copy(context, &dense->linear[OLICA_Q], &pruned->linear[OLICA_Q]);
  olica_pruned_copy(context, &dense->linear[OLICA_K], &pruned->linear[OLICA_K]);
  olica_select_copy(context, arch, dense, pruned);
  return OLICA_OK;
}

double olica_refit_mean_diagonal(const olica_method_job *job, const olica_energies *energies) {
  double sum = 0;
  for (int i = 0; i < energies->neurons; i++) sum += energies->neuron[i];
  return sum * (double)job->stream->sequences / energies->neurons;
}

olica_status olica_refit_replay_order(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                                      const olica_method_site *site) {
  const olica_arch *arch = model->arch;
  if (olica_refit_options_of(model).select == OLICA_REFIT_BY_OBS)
    return olica_refit_obs_replay(env, ledger, site, arch);
  olica_hold importance = olica_ledger_hold(ledger, (size_t)arch->ffn * sizeof(double));
  olica_select_replay_importance(ledger, arch->ffn);
  olica_select_replay_order(ledger, arch->ffn);
  olica_ledger_release(ledger, importance);
  return OLICA_OK;
}
