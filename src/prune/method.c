#include "olica/prune/method.h"

#include "methods.h"

static const olica_method none = {.name = "none", .about = "prunes nothing, only evaluates"};
static const olica_method *const methods[] = {
    [OLICA_METHOD_NONE] = &none,
    &olica_method_olica,
    &olica_method_magnitude,
};

_Static_assert(sizeof methods / sizeof *methods <= OLICA_METHODS_MAX,
               "a longer table needs a larger maximum");

const olica_method *olica_method_at(int i) {
  return i >= 0 && (size_t)i < sizeof methods / sizeof *methods ? methods[i] : NULL;
}

void olica_method_explain(const olica_method *method, olica_env *env, const olica_method_model *model,
                          FILE *to) {
  if (method->explain) method->explain(env, model, to);
}

void olica_method_advise(const olica_method *method, olica_env *env, const olica_method_model *model,
                         double removed) {
  if (method->advise)
    method->advise(env, model);
  else if (removed <= 0)
    olica_log_warn(env, "[prune] sparsity = %g removes nothing", model->sparsity);
}

olica_status olica_method_create(const olica_method *method, const olica_method_job *job, void **state) {
  *state = NULL;
  return method->create ? method->create(job, state) : OLICA_OK;
}

void olica_method_destroy(const olica_method *method, void *state) {
  if (method->destroy && state) method->destroy(state);
}

olica_status olica_method_observe(const olica_method *method, void *state, int pass, const olica_maps *maps) {
  return method->observe ? method->observe(state, pass, maps) : OLICA_OK;
}

olica_status olica_method_settle(const olica_method *method, void *state) {
  return method->settle ? method->settle(state) : OLICA_OK;
}

int olica_method_arrays(const olica_method *method, void *state, olica_array array[OLICA_ARRAYS]) {
  return method->arrays ? method->arrays(state, array) : 0;
}

olica_status olica_method_shapes(const olica_method *method, void *state, olica_layer_shape *shapes) {
  return method->shapes ? method->shapes(state, shapes) : OLICA_OK;
}

int olica_method_findings(const olica_method *method, void *state, olica_finding finding[OLICA_FINDINGS]) {
  return method->findings ? method->findings(state, finding) : 0;
}

int64_t olica_array_numbers(const olica_array *array) {
  return array->shape[0] * (array->dims > 1 ? array->shape[1] : 1);
}
