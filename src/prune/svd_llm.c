/* SVD-LLM (Wang et al. 2025, "SVD-LLM: Truncation-aware Singular Value Decomposition"; doc/methods.md,
 * "SVD-LLM"): every matrix W of a layer becomes b·a, the truncation of W S at some rank times S^-1, where S
 * is the Cholesky factor of the Gram C of its inputs on the dense stream. With U the leading left singular
 * vectors of W S, which are eigenvectors of W C Wᵀ, that is
 *
 *     b = U [out x r],   a = Uᵀ W [r x in]
 *
 * and neither S nor its inverse is needed. All matrices lose the same share of their numbers. */
#include <math.h>

#include "calib/fit_sums.h"
#include "heads.h"
#include "layer.h"
#include "methods.h"
#include "par/comm.h"
#include "select.h"

/* The taps whose Grams a layer needs, in the order of the maps that read them. */
enum { TAPS = 4 };
static const struct {
  olica_tap tap;
  olica_projection first, last; /* the maps that read it */
} taps[TAPS] = {{OLICA_TAP_ATTENTION_INPUT, OLICA_Q, OLICA_V},
                {OLICA_TAP_VALUES, OLICA_O, OLICA_O},
                {OLICA_TAP_FFN_INPUT, OLICA_GATE, OLICA_UP},
                {OLICA_TAP_FFN_NEURONS, OLICA_DOWN, OLICA_DOWN}};

/* ---- the budget ---- */

/* Numbers of the matrices of a layer. */
static double layer_numbers(const olica_method_model *model) {
  double numbers = 0;
  int out, in;
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    olica_layer_shape_linear(model->arch, &model->dense[0], p, &out, &in);
    numbers += (double)out * in;
  }
  return numbers;
}

static double share_of(const olica_method_model *model, double sparsity) {
  return (double)model->parameters * sparsity / (model->arch->layers * layer_numbers(model));
}

/* Ranks are rounded up, and what a matrix so keeps too much is owed by the next: in sum at most a rank less
 * than asked for goes. A matrix that two factors would not make smaller stays whole. */
static void set_ranks(const olica_method_model *model, double share, double *owed, olica_layer_shape *shape) {
  int out, in;
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    olica_layer_shape_linear(model->arch, shape, p, &out, &in);
    double whole = (double)out * in, each = (double)out + in;
    *owed += share * whole;
    double rank = fmax(1, ceil((whole - *owed) / each - 1e-9));
    if (*owed < 1 || rank * each >= whole) continue;
    shape->rank[p] = (int)rank;
    *owed -= whole - rank * each;
  }
}

/* False: a matrix would have no rank left. shapes NULL: only asks. */
static bool share_out(const olica_method_model *model, double sparsity, olica_layer_shape *shapes) {
  double share = share_of(model, sparsity), owed = 0, most = 0;
  int out, in;
  for (int i = 0; i < model->arch->layers; i++) {
    olica_layer_shape shape = model->dense[i];
    set_ranks(model, share, &owed, &shape);
    if (shapes) shapes[i] = shape;
  }
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    olica_layer_shape_linear(model->arch, &model->dense[0], p, &out, &in);
    most = fmax(most, (double)out + in);
  }
  return share < 1 && owed < most;
}

static bool can_be(const void *model, double sparsity) {
  return share_out(model, sparsity, NULL);
}

static olica_status make_shapes(olica_env *env, const olica_method_model *model, olica_layer_shape *shapes) {
  if (share_out(model, model->sparsity, shapes)) return OLICA_OK;
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] sparsity = %g asks svd-llm for a share of %.4f of every matrix, which leaves "
      "one no rank; expected a sparsity of at most %.4f",
      model->sparsity, share_of(model, model->sparsity), olica_heads_most(can_be, model));
}

/* ---- a matrix ---- */

/* The truncation of a map under way. */
typedef struct truncation {
  olica_context *context;
  olica_solver *solver;
  const olica_linear *from;
  int rank;
  olica_matrix *inputs;  /* C [in x in] */
  olica_matrix *turned;  /* Wᵀ [in x out] */
  olica_matrix *product; /* C Wᵀ [in x out] */
  olica_matrix *gram;    /* W C Wᵀ [out x out] */
  olica_matrix *basis;   /* U [out x r] */
  olica_matrix *weight;  /* W [out x in] */
  olica_matrix *factor;  /* Uᵀ W [r x in] */
} truncation;

static olica_problem problem_of(int out, int in, int rank) {
  return (olica_problem){.order = out, .inner = in, .wanted = rank};
}

static double turned_weight(const void *data, int row, int col) {
  const olica_linear *linear = data;
  return linear->weight[(size_t)col * (size_t)linear->in + (size_t)row];
}

static olica_status allocate(truncation *t) {
  int out = t->from->out, in = t->from->in;
  OLICA_TRY(olica_solver_matrix(t->solver, in, out, &t->turned));
  OLICA_TRY(olica_solver_matrix(t->solver, in, out, &t->product));
  OLICA_TRY(olica_solver_matrix(t->solver, out, out, &t->gram));
  return olica_solver_matrix(t->solver, out, t->rank, &t->basis);
}

static olica_status allocate_factor(truncation *t) {
  OLICA_TRY(olica_solver_matrix(t->solver, t->from->out, t->from->in, &t->weight));
  return olica_solver_matrix(t->solver, t->rank, t->from->in, &t->factor);
}

static void release(truncation *t, olica_matrix *matrix) {
  OLICA_FREE(t->context->env, matrix->a);
}

/* U, of W C Wᵀ. By the members of the solver. */
static olica_status find_basis(truncation *t, olica_projection p) {
  char what[64];
  snprintf(what, sizeof what, "truncation of %s", olica_projection_name(p));
  olica_matrix_fill(t->turned, turned_weight, t->from);
  OLICA_TRY(olica_solver_multiply(t->solver, 0, t->inputs, t->turned, t->product));
  OLICA_TRY(olica_solver_multiply(t->solver, 1, t->turned, t->product, t->gram));
  release(t, t->inputs);
  release(t, t->turned);
  release(t, t->product);
  return olica_solver_subspace(t->solver, what, t->gram, t->rank, t->basis);
}

static olica_status find_factor(truncation *t) {
  olica_matrix_set(t->weight, t->from->weight, (size_t)t->from->in, NULL);
  return olica_solver_multiply(t->solver, 1, t->basis, t->weight, t->factor);
}

static void destroy(truncation *t) {
  olica_matrix *const all[] = {t->inputs, t->turned, t->product, t->gram, t->basis, t->weight, t->factor};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) olica_matrix_destroy(all[i]);
}

static olica_status place(const olica_method_job *job, truncation *t) {
  const olica_problem problem = problem_of(t->from->out, t->from->in, t->rank);
  olica_placement place;
  OLICA_AGREE(t->context, olica_solver_place(t->context->env, olica_pool_settings(job->pool).backend,
                                             t->context->size, 1, &problem, &place));
  OLICA_TRY(olica_pool_solver(job->pool, place, &t->solver));
  OLICA_AGREE(t->context, olica_solver_matrix(t->solver, t->from->in, t->from->in, &t->inputs));
  return OLICA_OK;
}

static olica_status truncate_map(const olica_method_job *job, const olica_layer *dense, olica_projection p,
                                 const double *gram, olica_layer *pruned) {
  olica_linear *to = &pruned->linear[p];
  truncation t = {.context = job->context, .from = &dense->linear[p], .rank = to->rank};
  bool leads = olica_shared_leads(t.context);
  olica_pruned_copy(t.context, t.from, to); /* the bias; where it stays whole, all of it */
  if (to->rank == 0) return OLICA_OK;
  OLICA_TRY(place(job, &t));
  OLICA_TRY(olica_matrix_sum(t.inputs, gram, 1));
  OLICA_AGREE(t.context, allocate(&t));
  OLICA_AGREE(t.context, olica_solver_member(t.solver) ? find_basis(&t, p) : OLICA_OK);
  release(&t, t.gram);
  OLICA_AGREE(t.context, allocate_factor(&t));
  OLICA_AGREE(t.context, olica_solver_member(t.solver) ? find_factor(&t) : OLICA_OK);
  release(&t, t.weight);
  OLICA_TRY(olica_matrix_replicate(t.basis, t.rank, leads ? to->b : NULL));
  OLICA_TRY(olica_matrix_replicate(t.factor, t.from->in, leads ? to->a : NULL));
  destroy(&t);
  return OLICA_OK;
}

/* Replays it on the ledger of the rank that needs most. */
static olica_status replay_map(olica_env *env, olica_ledger *ledger, const olica_method_site *site, int out,
                               int in, int rank) {
  const olica_problem problem = problem_of(out, in, rank);
  olica_site at = {.block = site->block, .precision = site->solving, .nodes = site->nodes};
  OLICA_TRY(olica_solver_place(env, site->backend, site->ranks, 1, &problem, &at.place));
  at.rank = at.place.first;
  olica_hold before = olica_ledger_mark(ledger);
  olica_hold inputs = olica_solver_hold_matrix(ledger, &at, in, in);
  olica_solver_replay_sum(ledger, &at, in, in);
  olica_hold turned = olica_solver_hold_matrix(ledger, &at, in, out);
  olica_hold product = olica_solver_hold_matrix(ledger, &at, in, out);
  olica_hold gram = olica_solver_hold_matrix(ledger, &at, out, out);
  olica_solver_hold_matrix(ledger, &at, out, rank);
  olica_ledger_release(ledger, inputs);
  olica_ledger_release(ledger, turned);
  olica_ledger_release(ledger, product);
  olica_solver_replay_subspace(ledger, &at, out, rank);
  olica_ledger_release(ledger, gram);
  olica_hold weight = olica_solver_hold_matrix(ledger, &at, out, in);
  olica_solver_hold_matrix(ledger, &at, rank, in);
  olica_ledger_release(ledger, weight);
  olica_solver_replay_replicate(ledger, &at, out, rank);
  olica_solver_replay_replicate(ledger, &at, rank, in);
  olica_ledger_rewind(ledger, before);
  return OLICA_OK;
}

/* ---- the plan ---- */

static int tap_width(const olica_arch *arch, olica_projection p, const olica_layer_shape *dense) {
  int out, in;
  olica_layer_shape_linear(arch, dense, p, &out, &in);
  return in;
}

/* Replays the cut: the pass with all sums; then map after map, with the sums that are still needed; and the
 * pass of the pruned layer. */
static olica_status replay_cut(olica_env *env, olica_ledger *ledger, const olica_method_model *model,
                               const olica_method_site *site, const olica_layer_shape *shape) {
  const olica_arch *arch = model->arch;
  int pack = site->pack_rows / site->tokens, out, in;
  olica_hold sums[TAPS];
  for (int k = 0; k < TAPS; k++)
    sums[k] = olica_fit_sums_hold(ledger, site->precision, 1,
                                  tap_width(arch, taps[k].first, &model->dense[0]), site->tokens, pack);
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, &model->dense[0], site->precision));
  for (int k = 0; k < TAPS; k++) {
    for (olica_projection p = taps[k].first; p <= taps[k].last; p++) {
      olica_layer_shape_linear(arch, &model->dense[0], p, &out, &in);
      if (shape->rank[p] > 0) OLICA_TRY(replay_map(env, ledger, site, out, in, shape->rank[p]));
    }
    olica_ledger_release(ledger, sums[k]);
  }
  olica_ledger_release(ledger, olica_maps_hold(ledger, arch, shape, site->precision));
  return OLICA_OK;
}

static void add_work(const olica_method_model *model, const olica_method_site *site,
                     const olica_layer_shape *shape, olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  int out, in;
  plan->sequence += (olica_layer_shape_work(arch, &model->dense[0], site->tokens) -
                     olica_layer_shape_work(arch, shape, site->tokens)) *
                    site->tokens;
  for (int k = 0; k < TAPS; k++) {
    double n = tap_width(arch, taps[k].first, &model->dense[0]);
    plan->sequence += n * n * site->tokens;
  }
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++) {
    if (shape->rank[p] == 0) continue;
    olica_layer_shape_linear(arch, &model->dense[0], p, &out, &in);
    const olica_problem problem = problem_of(out, in, shape->rank[p]);
    double o = out, i = in, r = shape->rank[p];
    plan->solver_work += 2 * o * i * (i + o) + 4.0 / 3 * o * o * o + 4 * o * o * r + 2 * o * i * r;
    plan->solver_seconds += olica_solver_seconds(&problem, 1);
  }
}

static olica_status plan(olica_env *env, const olica_method_model *model, const olica_method_site *site,
                         olica_method_plan *plan) {
  const olica_arch *arch = model->arch;
  OLICA_TRY(make_shapes(env, model, plan->shapes));
  plan->largest = plan->shapes[0];
  for (int i = 0; i < arch->layers; i++) {
    const olica_layer_shape *shape = &plan->shapes[i];
    for (int p = 0; p < OLICA_PROJECTIONS; p++) {
      int *rank = &plan->largest.rank[p];
      *rank = *rank == 0 || shape->rank[p] == 0 ? 0 : *rank > shape->rank[p] ? *rank : shape->rank[p];
    }
    OLICA_TRY(replay_cut(env, &plan->cut, model, site, shape));
    add_work(model, site, shape, plan);
  }
  return OLICA_OK;
}

static void explain(olica_env *env, const olica_method_model *model, FILE *to) {
  const olica_arch *arch = model->arch;
  olica_layer_shape shape = model->dense[0];
  double share = share_of(model, model->sparsity), owed = 0;
  (void)env;
  if (share >= 1) return;
  set_ranks(model, share, &owed, &shape);
  fprintf(to, "budget       share removed of every matrix of a layer: %.4f\n", share);
  fprintf(to, "a layer      all %d FFN neurons; ranks", arch->ffn);
  for (olica_projection p = 0; p < OLICA_PROJECTIONS; p++)
    fprintf(to, "%s %s %d", p ? "," : "", olica_projection_name(p), shape.rank[p]);
  fprintf(to, " (0: whole)\n");
}

/* ---- the cut ---- */

static void add_rows(void *self, const olica_view *view) {
  olica_fit_sums *const *sums = self;
  for (int k = 0; k < TAPS; k++)
    if (view->tap == taps[k].tap) olica_fit_sums_see(sums[k], OLICA_SIDE_A, view);
}

static olica_status passed(void *self, int sequences) {
  olica_fit_sums *const *sums = self;
  for (int k = 0; k < TAPS; k++) OLICA_TRY(olica_fit_sums_passed(sums[k], sequences));
  return OLICA_OK;
}

static olica_status finish(olica_fit_sums *const *sums) {
  for (int k = 0; k < TAPS; k++) OLICA_TRY(olica_fit_sums_finish(sums[k]));
  return OLICA_OK;
}

/* The dense stream passes the layer. */
static olica_status collect(const olica_method_job *job, int index, const olica_layer *dense,
                            olica_fit_sums *sums[TAPS]) {
  const olica_arch *arch = job->model.arch;
  int tokens = job->stream->tokens, pack = olica_forward_rows(job->forward) / tokens;
  olica_maps *maps = NULL;
  for (int k = 0; k < TAPS; k++)
    OLICA_TRY(olica_fit_sums_create(job->context, job->kernel, 1,
                                    tap_width(arch, taps[k].first, &dense->shape), tokens, pack, &sums[k]));
  OLICA_TRY(olica_maps_create(job->context, job->kernel, arch, dense, index, &maps));
  const olica_onlooker onlooker = {.observer = {.observe = add_rows, .self = sums}, .passed = passed};
  OLICA_TRY(olica_stream_advance(job->stream, job->forward, maps, &onlooker));
  OLICA_AGREE(job->context, finish(sums));
  olica_maps_destroy(maps);
  olica_shared_fence(job->context); /* the node's other ranks have added their sums */
  return OLICA_OK;
}

static olica_status truncate_all(const olica_method_job *job, const olica_layer *dense,
                                 olica_fit_sums *sums[TAPS], olica_layer *pruned) {
  for (int k = 0; k < TAPS; k++) {
    for (olica_projection p = taps[k].first; p <= taps[k].last; p++)
      OLICA_TRY(truncate_map(job, dense, p, sums[k]->gram, pruned));
    olica_fit_sums_destroy(sums[k]);
  }
  return OLICA_OK;
}

static olica_status cut(void *self, int index, olica_layer *dense, olica_layer **out,
                        olica_cut_record *record) {
  const olica_method_job *job = self;
  olica_env *env = job->context->env;
  olica_fit_sums *sums[TAPS] = {0};
  olica_layer *pruned = NULL;
  OLICA_TIMED(env, "collect", collect(job, index, dense, sums));
  record->advanced = true;
  OLICA_TRY(olica_pruned_create(job, &job->shapes[index], &pruned));
  if (olica_shared_leads(job->context)) olica_select_norms(job->model.arch, dense, pruned);
  OLICA_TIMED(env, "solve", truncate_all(job, dense, sums, pruned));
  olica_shared_fence(job->context);
  const int *rank = pruned->shape.rank;
  snprintf(record->line, sizeof record->line, "ranks %d %d %d %d, %d %d %d", rank[OLICA_Q], rank[OLICA_K],
           rank[OLICA_V], rank[OLICA_O], rank[OLICA_GATE], rank[OLICA_UP], rank[OLICA_DOWN]);
  *out = pruned;
  return olica_pruned_round(job, pruned);
}

const olica_method olica_method_svd_llm = {
    .name = "svd-llm",
    .about = "puts every matrix in low rank by a decomposition that knows its inputs, the same share of each",
    .calibrates = true,
    .plan = plan,
    .explain = explain,
    .cut = cut,
};
