#include "engine.h"

#include "la/alike.h"
#include "par/comm.h"

/* Makes the calibration stream and its forward pass. */
static olica_status prepare_stream(olica_engine *engine) {
  const olica_options *options = engine->setup->options;
  const olica_arch *arch = &engine->setup->source->arch;
  int length = (int)options->calibration.length;
  if (!engine->inputs->calibration) return OLICA_OK;
  OLICA_TRY(olica_stream_create(engine->setup->context, arch->hidden, options->calibration.samples, length,
                                &engine->stream));
  OLICA_TRY(olica_inputs_fill(engine->inputs, engine->stream));
  return olica_forward_create(engine->kernel, arch, olica_setup_pack_rows(engine->setup, length), length,
                              &engine->forward);
}

static olica_status prepare_method(olica_engine *engine, const olica_layer_shape *largest) {
  olica_context *context = engine->setup->context;
  const olica_arch *arch = &engine->setup->source->arch;
  olica_pool_options solver = olica_pool_defaults();
  solver.backend = engine->setup->options->solver.eigen;
  solver.precision = engine->setup->options->solver.precision;
  solver.block = (int)engine->setup->options->solver.block;
  OLICA_TRY(olica_pool_create(context, solver, &engine->pool));
  olica_status status = prepare_stream(engine);
  if (status == OLICA_OK) status = OLICA_NEW(context->env, engine->shapes, (size_t)arch->layers);
  if (status == OLICA_OK) status = olica_plan_shapes(engine->setup, engine->shapes);
  OLICA_AGREE(context, status);
  OLICA_TRY(
      olica_shared_create(context, "the pruned layer", olica_layer_bytes(arch, largest), &engine->pruned));
  const olica_method_job method = {.context = context,
                                   .pool = engine->pool,
                                   .model = olica_setup_model(engine->setup),
                                   .dtype = engine->setup->dtype,
                                   .stream = engine->stream,
                                   .kernel = engine->kernel,
                                   .forward = engine->forward,
                                   .panel_rows = engine->setup->source->panel_rows,
                                   .pruned = engine->pruned,
                                   .shapes = engine->shapes};
  return olica_method_create(engine->setup->method, &method, &engine->state);
}

olica_status olica_engine_prepare(olica_engine *engine, const olica_plan *plan) {
  olica_context *context = engine->setup->context;
  const olica_arch *arch = &engine->setup->source->arch;
  OLICA_AGREE(context,
              olica_kernel_create(context->env, engine->setup->precision, context->threads, &engine->kernel));
  OLICA_TRY(olica_alike_tell(context, engine->kernel));
  if (olica_setup_prunes(engine->setup)) OLICA_TRY(prepare_method(engine, &plan->largest));
  OLICA_TRY(olica_riders_prepare(engine->riders, engine->kernel, engine->forward));
  size_t panel = (size_t)engine->setup->source->panel_rows * (size_t)arch->hidden * sizeof(float);
  OLICA_AGREE(context, OLICA_NEW(context->env, engine->gains, olica_arch_norm_numbers(arch)));
  OLICA_TRY(olica_shared_create(context, "a table's panel", panel, &engine->panel));
  if (engine->riders->compares)
    OLICA_TRY(olica_shared_create(context, "a panel of the dense model", panel, &engine->dense_panel));
  OLICA_TRY(olica_source_begin(engine->setup->source, plan->source));
  olica_inputs_release(engine->inputs);
  return OLICA_OK;
}

void olica_engine_close(olica_engine *engine) {
  olica_env *env = engine->setup->context->env;
  olica_method_destroy(engine->setup->method, engine->state);
  olica_shared_destroy(engine->pruned);
  olica_riders_close(engine->riders);
  olica_forward_destroy(engine->forward);
  olica_stream_destroy(engine->stream);
  olica_kernel_destroy(engine->kernel);
  olica_pool_destroy(engine->pool);
  olica_source_close(engine->setup->source);
  olica_shared_destroy(engine->panel);
  olica_shared_destroy(engine->dense_panel);
  olica_memory_free(env, engine->shapes);
  olica_memory_free(env, engine->gains);
}
