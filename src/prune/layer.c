#include "layer.h"

#include <string.h>

#include "par/comm.h"

olica_status olica_pruned_create(const olica_method_job *job, const olica_layer_shape *shape,
                                 olica_layer **pruned) {
  olica_context *context = job->context;
  OLICA_AGREE(context, olica_layer_create(context->env, job->model.arch, shape, job->pruned->data, pruned));
  return OLICA_OK;
}

void olica_pruned_copy(const olica_context *context, const olica_linear *from, olica_linear *to) {
  if (!olica_shared_leads(context)) return;
  if (to->weight) memcpy(to->weight, from->weight, (size_t)to->out * (size_t)to->in * sizeof *to->weight);
  if (to->bias) memcpy(to->bias, from->bias, (size_t)to->out * sizeof *to->bias);
}

olica_status olica_pruned_round(const olica_method_job *job, olica_layer *pruned) {
  OLICA_AGREE(job->context, olica_layer_round(job->context, pruned, job->model.arch, job->dtype));
  return OLICA_OK;
}
