#include "heads.h"

#include <math.h>
#include <string.h>

#include "par/comm.h"
#include "select.h"

static int64_t gain(const olica_method_model *model, int heads, int neurons) {
  olica_layer_shape cut = model->dense[0];
  cut.kv_heads -= heads;
  cut.ffn -= neurons;
  return olica_layer_shape_total(model->arch, &model->dense[0]) - olica_layer_shape_total(model->arch, &cut);
}

int64_t olica_heads_numbers(const olica_method_model *model) {
  return gain(model, 1, 0);
}

int64_t olica_heads_neuron_numbers(const olica_method_model *model) {
  return gain(model, 0, 1);
}

double olica_heads_most(bool (*can_be)(const void *self, double sparsity), const void *self) {
  enum { STEPS = 10000 };
  int i = STEPS;
  while (i > 0 && !can_be(self, (double)i / STEPS)) i--;
  return (double)i / STEPS;
}

/* Computes the budget; false: a layer would have no head or no neuron left. */
static bool share_out(const olica_method_model *model, double wanted, olica_heads_budget *budget) {
  const olica_arch *arch = model->arch;
  double head = (double)olica_heads_numbers(model), neuron = (double)olica_heads_neuron_numbers(model);
  double layer = wanted / arch->layers, all = head * arch->kv_heads + neuron * arch->ffn;
  *budget = (olica_heads_budget){.share = layer / all};
  if (budget->share >= 1) return false;
  budget->heads = (int)floor(budget->share * arch->kv_heads);
  double neurons = floor((layer - budget->heads * head) / neuron + 1e-9);
  if (neurons >= arch->ffn) return false;
  budget->neurons = neurons > 0 ? (int)neurons : 0;
  return true;
}

/* A model, and the parameters that go beside those of its sparsity. */
typedef struct even_share {
  const olica_method_model *model;
  double extra;
} even_share;

static bool can_share(const void *self, double sparsity) {
  const even_share *of = self;
  olica_heads_budget budget;
  return share_out(of->model, sparsity * (double)of->model->parameters + of->extra, &budget);
}

olica_status olica_heads_budget_make(olica_env *env, const olica_method_model *model, const char *method,
                                     double wanted, olica_heads_budget *budget) {
  if (share_out(model, wanted, budget)) return OLICA_OK;
  const even_share of = {model, wanted - (double)model->parameters * model->sparsity};
  return olica_error_set(
      env, OLICA_ERR_CONFIG,
      "[prune] sparsity = %g asks %s for a share of %.4f of attention and FFN, which leaves "
      "a layer no head or no FFN neuron; expected a sparsity of at most %.4f",
      model->sparsity, method, budget->share, olica_heads_most(can_share, &of));
}

void olica_heads_explain(const olica_method_model *model, const olica_heads_budget *budget, FILE *to) {
  const olica_arch *arch = model->arch;
  fprintf(to, "budget       share removed of attention and FFN: %.4f\n", budget->share);
  fprintf(to, "a layer      %d of %d key/value heads, with %d query heads each, %d of %d FFN neurons\n",
          arch->kv_heads - budget->heads, arch->kv_heads, arch->heads / arch->kv_heads,
          arch->ffn - budget->neurons, arch->ffn);
}

/* ---- the copy ---- */

/* Copies the rows of the heads that stay, `rows` of each, and their biases. */
static void copy_heads(const olica_context *context, const olica_linear *from, olica_linear *to, int rows,
                       const int32_t *heads) {
  olica_range part = olica_shared_part(context, to->out);
  for (int64_t i = part.first; i < part.first + part.count; i++) {
    int64_t row = (heads ? heads[i / rows] : i / rows) * rows + i % rows;
    memcpy(to->weight + i * to->in, from->weight + row * from->in, (size_t)to->in * sizeof(float));
    if (to->bias) to->bias[i] = from->bias[row];
  }
}

void olica_heads_copy(const olica_context *context, const olica_arch *arch, const olica_layer *dense,
                      olica_layer *pruned) {
  int h = arch->head, g = arch->heads / arch->kv_heads;
  for (int i = 0; i < pruned->shape.kv_heads * h; i++) pruned->values_kept[i] = i % h;
  copy_heads(context, &dense->linear[OLICA_Q], &pruned->linear[OLICA_Q], g * h, pruned->heads_kept);
  copy_heads(context, &dense->linear[OLICA_K], &pruned->linear[OLICA_K], h, pruned->heads_kept);
  olica_select_copy(context, arch, dense, pruned);
}

static olica_status choose(olica_env *env, const olica_arch *arch, const double *head, const double *neuron,
                           olica_layer *pruned) {
  int gone = arch->kv_heads - pruned->shape.kv_heads;
  if (gone > 0) OLICA_TRY(olica_select_kept(env, head, arch->kv_heads, 0, gone, pruned->heads_kept));
  return olica_select_kept(env, neuron, arch->ffn, 0, arch->ffn - pruned->shape.ffn, pruned->ffn_kept);
}

olica_status olica_heads_keep(olica_context *context, const olica_arch *arch, const olica_layer *dense,
                              const double *head, const double *neuron, olica_layer *pruned) {
  OLICA_AGREE(context, olica_select_lists(context->env, arch, pruned));
  OLICA_AGREE(context, context->rank == 0 ? choose(context->env, arch, head, neuron, pruned) : OLICA_OK);
  if (pruned->heads_kept)
    olica_comm_bcast(context, context->comm, pruned->heads_kept,
                     (size_t)pruned->shape.kv_heads * sizeof *pruned->heads_kept, 0);
  olica_comm_bcast(context, context->comm, pruned->ffn_kept,
                   (size_t)pruned->shape.ffn * sizeof *pruned->ffn_kept, 0);
  olica_heads_copy(context, arch, dense, pruned);
  return OLICA_OK;
}

olica_hold olica_heads_replay_keep(olica_ledger *ledger, const olica_arch *arch,
                                   const olica_layer_shape *shape) {
  olica_hold lists = olica_select_hold_lists(ledger, arch, shape);
  olica_select_replay_kept(ledger, arch->kv_heads);
  olica_select_replay_kept(ledger, arch->ffn);
  return lists;
}
