#include "prune/method.h"

#include <math.h>

#include "methods.h"
#include "par/comm.h"

static const olica_method none = {.name = "none", .about = "prunes nothing, only evaluates"};
// clang-format off
static const olica_method *const methods[] = {
    [OLICA_METHOD_NONE] = &none,
    &olica_method_olica,
    &olica_method_magnitude,
    &olica_method_refit,
    &olica_method_flap,
    &olica_method_wanda_sp,
    &olica_method_slimgpt,
    &olica_method_svd_llm,
};
// clang-format on

_Static_assert(sizeof methods / sizeof *methods <= OLICA_METHODS_MAX,
               "a longer table needs a larger maximum");

const olica_method *olica_method_at(int i) {
  return i >= 0 && (size_t)i < sizeof methods / sizeof *methods ? methods[i] : NULL;
}

olica_cut_record olica_cut_unknown(void) {
  olica_cut_record record = {0};
  for (int i = 0; i < OLICA_FACTS; i++) record.fact[i] = NAN;
  for (int i = 0; i < OLICA_CURVES; i++)
    for (int p = 0; p < OLICA_CURVE; p++) record.curve[i][p] = NAN;
  return record;
}

int olica_method_passes(const olica_method *method, const void *settings) {
  return method->passes_of ? method->passes_of(settings) : method->passes;
}

/* Prints the plan, for a method without a word of its own. */
static void explain(const olica_method_model *model, double removed, const olica_layer_shape *largest,
                    FILE *to) {
  const olica_arch *arch = model->arch;
  fprintf(to, "budget       share that goes of all parameters: %.4f\n", removed / (double)model->parameters);
  fprintf(to, "a layer      at most %d of %d value neurons a head, %d of %d FFN neurons\n", largest->values,
          arch->head, largest->ffn, arch->ffn);
}

void olica_method_explain(const olica_method *method, olica_env *env, const olica_method_model *model,
                          double removed, const olica_layer_shape *largest, FILE *to) {
  if (method->explain)
    method->explain(env, model, to);
  else if (olica_method_prunes(method))
    explain(model, removed, largest, to);
}

void olica_method_advise(const olica_method *method, olica_env *env, const olica_method_model *model,
                         double removed) {
  if (method->advise)
    method->advise(env, model);
  else if (removed <= 0)
    olica_log_warn(env, "[prune] sparsity = %g removes nothing", model->sparsity);
}

olica_status olica_method_create(const olica_method *method, const olica_method_job *job, void **state) {
  olica_method_job *own = NULL;
  *state = NULL;
  if (method->create) return method->create(job, state);
  OLICA_AGREE(job->context, OLICA_NEW(job->context->env, own, 1));
  *own = *job;
  *state = own;
  return OLICA_OK;
}

void olica_method_destroy(const olica_method *method, void *state) {
  if (!state) return;
  if (method->destroy)
    method->destroy(state);
  else if (!method->create)
    olica_memory_free(((const olica_method_job *)state)->context->env, state);
}

olica_status olica_method_observe(const olica_method *method, void *state, int pass, const olica_maps *maps) {
  return method->observe ? method->observe(state, pass, maps) : OLICA_OK;
}

int olica_method_streams(const olica_method *method, void *state,
                         olica_own_stream stream[OLICA_OWN_STREAMS]) {
  return method->streams ? method->streams(state, stream) : 0;
}

const olica_scorer *olica_method_scorer(const olica_method *method, void *state, int pass) {
  return method->scorer ? method->scorer(state, pass) : NULL;
}

olica_status olica_method_settle(const olica_method *method, void *state) {
  return method->settle ? method->settle(state) : OLICA_OK;
}

bool olica_method_gathers(const olica_method *method, const void *state) {
  return method->gathers && method->gathers(state);
}

int olica_method_arrays(const olica_method *method, void *state, olica_array array[OLICA_ARRAYS]) {
  return method->arrays ? method->arrays(state, array) : 0;
}

olica_status olica_method_shapes(const olica_method *method, olica_env *env, const olica_arch *arch,
                                 size_t room, void *state, olica_layer_shape *shapes) {
  if (method->shapes) OLICA_TRY(method->shapes(state, shapes));
  for (int i = 0; i < arch->layers; i++)
    if (olica_layer_bytes(arch, &shapes[i]) > room)
      return olica_error_set(
          env, OLICA_ERR_INTERNAL,
          "method %s: layer %d takes %zu bytes once it is pruned, expected at most the %zu "
          "of the largest layer of its plan",
          method->name, i, olica_layer_bytes(arch, &shapes[i]), room);
  return OLICA_OK;
}

int olica_method_findings(const olica_method *method, void *state, olica_finding finding[OLICA_FINDINGS]) {
  return method->findings ? method->findings(state, finding) : 0;
}

int64_t olica_array_numbers(const olica_array *array) {
  return array->shape[0] * (array->dims > 1 ? array->shape[1] : 1);
}
