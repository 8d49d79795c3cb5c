#include "attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../lowrank.h"
#include "../select.h"
#include "curve.h"
#include "modules.h"
#include "par/comm.h"

/* ---- the energy of o's output ---- */

typedef struct watching {
  int d;
  double *sum; /* [threads x d] */
} watching;

static void observe(void *self, const olica_view *view) {
  const watching *w = self;
  if (view->tap == OLICA_TAP_ATTENTION_OUTPUT)
    olica_statistics_add_energy(w->sum + (size_t)view->thread * (size_t)w->d + view->col, view->x, view->rows,
                                view->cols, view->stride);
}

olica_status olica_refit_output_energy(const olica_method_job *job, const olica_maps *maps, double *energy) {
  olica_context *context = job->context;
  int d = job->model.arch->hidden, threads = olica_forward_threads(job->forward);
  watching w = {.d = d};
  OLICA_AGREE(context, OLICA_NEW(context->env, w.sum, (size_t)threads * (size_t)d));
  const olica_onlooker onlooker = {.observer = {.observe = observe, .self = &w, .to_neurons = true},
                                   .stays = true};
  OLICA_TRY(olica_stream_advance(job->stream, job->forward, maps, &onlooker));
  for (int i = 0; i < d; i++) energy[i] = 0;
  for (int t = 0; t < threads; t++)
    for (int i = 0; i < d; i++) energy[i] += w.sum[(size_t)t * (size_t)d + (size_t)i];
  olica_memory_free(context->env, w.sum);
  olica_comm_sum(context, context->comm, energy, (size_t)d);
  for (int i = 0; i < d; i++) energy[i] /= (double)job->stream->sequences;
  return OLICA_OK;
}

/* ---- the value neurons ---- */

static olica_status choose(const olica_method_job *job, const olica_layer *dense,
                           const olica_energies *energies, int32_t *order) {
  const olica_arch *arch = job->model.arch;
  olica_env *env = job->context->env;
  int h = arch->head;
  double *importance;
  OLICA_TRY(OLICA_NEW(env, importance, (size_t)(arch->kv_heads * h)));
  OLICA_TRY(olica_select_value_importance(env, arch, dense, energies, importance));
  for (int j = 0; j < arch->kv_heads; j++)
    OLICA_TRY(olica_select_order(env, importance + j * h, h, 0, order + j * h));
  olica_memory_free(env, importance);
  return OLICA_OK;
}

olica_status olica_refit_value_order(const olica_method_job *job, const olica_layer *dense,
                                     const olica_energies *energies, int32_t *order) {
  olica_context *context = job->context;
  const olica_arch *arch = job->model.arch;
  OLICA_AGREE(context, context->rank == 0 ? choose(job, dense, energies, order) : OLICA_OK);
  olica_comm_bcast(context, context->comm, order, (size_t)(arch->kv_heads * arch->head) * sizeof *order, 0);
  return OLICA_OK;
}

static int ascending(const void *left, const void *right) {
  const int32_t *a = left, *b = right;
  return *a < *b ? -1 : *a > *b;
}

void olica_refit_value_inputs(const olica_arch *arch, const int32_t *order, int n, bool sorted,
                              int32_t *list) {
  int h = arch->head, g = arch->heads / arch->kv_heads, used = 0;
  for (int i = 0; i < n; i++)
    for (int q = 0; q < arch->heads; q++) list[used++] = q * h + order[q / g * h + i];
  if (sorted) qsort(list, (size_t)used, sizeof *list, ascending);
}

double olica_refit_mean_values(const olica_method_job *job, const olica_energies *energies) {
  double sum = 0;
  for (int i = 0; i < energies->values; i++) sum += energies->value[i];
  return sum * (double)job->stream->sequences / energies->values;
}

/* ---- the curves ---- */

/* curve [h + 1] from that of o's single inputs, H of which go together. */
static olica_status value_curve(const olica_method_job *job, const olica_layer *dense,
                                const olica_energies *energies, const olica_fit_sums *values,
                                const int32_t *order, double *curve) {
  olica_context *context = job->context;
  const olica_arch *arch = job->model.arch;
  size_t width = (size_t)(arch->heads * arch->head);
  int32_t *list = NULL;
  double *single = NULL;
  olica_status status = OLICA_NEW(context->env, list, width);
  if (status == OLICA_OK) status = OLICA_NEW(context->env, single, width + 1);
  OLICA_AGREE(context, status);
  olica_refit_value_inputs(arch, order, arch->head, false, list);
  OLICA_TRY(olica_refit_curve(job, &dense->linear[OLICA_O], values, list,
                              olica_refit_mean_values(job, energies), single));
  for (int n = 0; n <= arch->head; n++) curve[n] = single[n * arch->heads];
  olica_memory_free(context->env, list);
  olica_memory_free(context->env, single);
  return OLICA_OK;
}

/* The eigenvalues of W diag(s) Wᵀ. */
typedef struct spectrum {
  olica_solver *solver;
  olica_matrix *weight, *gram, *vectors;
} spectrum;

static olica_problem spectrum_problem(int out, int d) {
  return (olica_problem){.order = out, .inner = d, .wanted = out};
}

static olica_status solve_spectrum(const spectrum *t, const olica_linear *map, const double *root,
                                   double *value) {
  olica_matrix_set(t->weight, map->weight, (size_t)map->in, root);
  OLICA_TRY(olica_solver_gram(t->solver, t->weight, t->gram));
  return olica_solver_eigen(t->solver, "error curve of query and key", t->gram, map->out, value, t->vectors);
}

/* value [out] := them, falling, on every rank. */
static olica_status eigenvalues(const olica_method_job *job, const olica_linear *map, const double *root,
                                double *value) {
  olica_context *context = job->context;
  const olica_problem problem = spectrum_problem(map->out, map->in);
  olica_placement place;
  spectrum t = {0};
  OLICA_AGREE(context, olica_solver_place(context->env, olica_pool_settings(job->pool).backend, context->size,
                                          1, &problem, &place));
  OLICA_TRY(olica_pool_solver(job->pool, place, &t.solver));
  olica_status status = olica_solver_matrix(t.solver, map->out, map->in, &t.weight);
  if (status == OLICA_OK) status = olica_solver_matrix(t.solver, map->out, map->out, &t.gram);
  if (status == OLICA_OK) status = olica_solver_matrix(t.solver, map->out, map->out, &t.vectors);
  OLICA_AGREE(context, status);
  OLICA_AGREE(context, olica_solver_member(t.solver) ? solve_spectrum(&t, map, root, value) : OLICA_OK);
  olica_comm_bcast(context, context->comm, value, (size_t)map->out * sizeof *value, t.gram->grid->first);
  olica_matrix_destroy(t.weight);
  olica_matrix_destroy(t.gram);
  olica_matrix_destroy(t.vectors);
  return OLICA_OK;
}

/* curve [levels + 1] += the share of the eigenvalues behind the rank of every level; nothing stays of level
 * 0. */
static void add_shares(const olica_linear *map, const double *value, double *curve) {
  double all = 0;
  for (int i = 0; i < map->out; i++) all += fmax(value[i], 0);
  for (int t = 0; t < OLICA_REFIT_QUERY_LEVELS; t++) {
    int rank = t == 0 ? 0 : olica_lowrank_rank(olica_refit_query_share(t), map->in, map->out);
    double behind = 0;
    for (int i = rank; i < map->out && (rank > 0 || t == 0); i++) behind += fmax(value[i], 0);
    if (all > 0) curve[t] += behind / all;
  }
}

static olica_status query_curve(const olica_method_job *job, const olica_layer *dense,
                                const olica_energies *energies, double *curve) {
  olica_context *context = job->context;
  const olica_arch *arch = job->model.arch;
  double *root = NULL, *value = NULL;
  olica_status status = OLICA_NEW(context->env, root, (size_t)arch->hidden);
  if (status == OLICA_OK) status = OLICA_NEW(context->env, value, (size_t)(arch->heads * arch->head));
  OLICA_AGREE(context, status);
  for (int i = 0; i < arch->hidden; i++) root[i] = sqrt(energies->attention[i]);
  for (int t = 0; t <= OLICA_REFIT_QUERY_LEVELS; t++) curve[t] = 0;
  for (int p = OLICA_Q; p <= OLICA_K; p++) {
    OLICA_TRY(eigenvalues(job, &dense->linear[p], root, value));
    add_shares(&dense->linear[p], value, curve);
  }
  olica_memory_free(context->env, root);
  olica_memory_free(context->env, value);
  return OLICA_OK;
}

olica_status olica_refit_attention_curve(const olica_method_job *job, const olica_layer *dense,
                                         const olica_energies *energies, const olica_fit_sums *values,
                                         const int32_t *order, double *curve) {
  OLICA_TRY(value_curve(job, dense, energies, values, order, curve));
  return query_curve(job, dense, energies, curve + job->model.arch->head + 1);
}

/* ---- the replay ---- */

void olica_refit_replay_output_energy(olica_ledger *ledger, const olica_method_site *site, int d) {
  olica_hold sums = olica_ledger_hold(ledger, (size_t)site->threads * (size_t)d * sizeof(double));
  olica_stream_replay_copy(ledger, d, site->pack_rows);
  olica_ledger_release(ledger, sums);
}

void olica_refit_replay_value_order(olica_ledger *ledger, const olica_arch *arch) {
  olica_hold importance = olica_ledger_hold(ledger, (size_t)(arch->kv_heads * arch->head) * sizeof(double));
  olica_select_replay_importance(ledger, arch->heads * arch->head);
  olica_select_replay_order(ledger, arch->head);
  olica_ledger_release(ledger, importance);
}

static olica_status replay_spectrum(olica_env *env, olica_ledger *ledger, const olica_method_site *site,
                                    int out, int d) {
  const olica_problem problem = spectrum_problem(out, d);
  olica_site at = {.block = site->block, .nodes = site->nodes};
  OLICA_TRY(olica_solver_place(env, site->backend, site->ranks, 1, &problem, &at.place));
  at.rank = at.place.first;
  olica_hold before = olica_ledger_mark(ledger);
  olica_solver_hold_matrix(ledger, &at, out, d);
  olica_solver_hold_matrix(ledger, &at, out, out);
  olica_solver_hold_matrix(ledger, &at, out, out);
  olica_solver_replay_eigen(ledger, &at, out, out);
  olica_ledger_rewind(ledger, before);
  return OLICA_OK;
}

olica_status olica_refit_replay_attention_curve(olica_env *env, olica_ledger *ledger,
                                                const olica_method_site *site, const olica_arch *arch) {
  int d = arch->hidden, width = arch->heads * arch->head;
  olica_hold before = olica_ledger_mark(ledger);
  olica_ledger_hold(ledger, (size_t)width * sizeof(int32_t) + ((size_t)width + 1) * sizeof(double));
  OLICA_TRY(olica_refit_replay_curve(env, ledger, site, d, width));
  olica_ledger_rewind(ledger, before);
  olica_ledger_hold(ledger, ((size_t)d + (size_t)width) * sizeof(double));
  OLICA_TRY(replay_spectrum(env, ledger, site, width, d));
  OLICA_TRY(replay_spectrum(env, ledger, site, arch->kv_heads * arch->head, d));
  olica_ledger_rewind(ledger, before);
  return OLICA_OK;
}
