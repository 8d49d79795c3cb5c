#include "setup.h"

#include "calib/stream.h"
#include "par/comm.h"

/* Chooses bf16 only if every rank has it, since all must compute the same. `auto` is fp32, the same on any
 * processor. */
static void choose_precision(olica_setup *setup) {
  olica_context *context = setup->context;
  setup->precision = OLICA_FP32;
  if (setup->options->compute.precision != OLICA_PRECISION_BF16) return;
  double lacks = !olica_kernel_has_bf16();
  olica_comm_max(context, context->comm, &lacks, 1);
  if (lacks == 0)
    setup->precision = OLICA_BF16;
  else
    olica_log_warn(context->env,
                   "[compute] precision = bf16: a processor of this job has neither AVX512_BF16 nor "
                   "AMX; products are in fp32");
}

/* Refuses to prune a model whose layers differ in heads or FFN width: the methods divide the sparsity as if
 * all layers were like the first. */
static olica_status check_alike(const olica_setup *setup) {
  const olica_arch *arch = &setup->source->arch;
  int other = olica_arch_unlike(arch);
  if (!olica_setup_prunes(setup) || other == arch->layers) return OLICA_OK;
  return olica_error_set(setup->context->env, OLICA_ERR_CONFIG,
                         "[model] path = %s: layer %d has other heads or another FFN width than layer 0, "
                         "expected layers alike to prune ([prune] method = none evaluates this model)",
                         setup->options->model.path, other);
}

/* Refuses to remove heads of a model whose queries and keys are normed over all heads: what stays would be
 * normed by another number. */
static olica_status check_heads(const olica_setup *setup) {
  if (!setup->method->drops_heads || setup->source->arch.qk_norm != OLICA_QK_NORM_WIDTH) return OLICA_OK;
  return olica_error_set(setup->context->env, OLICA_ERR_CONFIG,
                         "[prune] method = %s removes heads, and %s norms queries and keys over all heads: "
                         "expected a method that keeps them (olica, refit, magnitude, svd-llm)",
                         setup->method->name, setup->source->arch.family->name);
}

olica_status olica_setup_open(olica_setup *setup) {
  olica_context *context = setup->context;
  const olica_options *options = setup->options;
  OLICA_TRY(olica_source_open(context, options->model.path, &setup->source));
  setup->method = olica_method_at(options->prune.method);
  setup->dtype = olica_options_dtype(options, setup->source->dtype);
  if (olica_setup_prunes(setup) && setup->source->is_pruned)
    return olica_error_set(
        context->env, OLICA_ERR_CONFIG,
        "[model] path = %s is pruned already, expected an unpruned model ([prune] method = none "
        "evaluates this one)",
        options->model.path);
  OLICA_TRY(check_alike(setup));
  OLICA_TRY(check_heads(setup));
  choose_precision(setup);
  return OLICA_OK;
}

olica_method_model olica_setup_model(const olica_setup *setup) {
  return (olica_method_model){.arch = &setup->source->arch,
                              .dense = setup->source->shape,
                              .parameters = setup->source->parameters,
                              .sparsity = setup->options->prune.sparsity,
                              .settings = setup->options->prune.own[setup->options->prune.method]};
}

int olica_setup_passes(const olica_setup *setup) {
  return olica_method_passes(setup->method, setup->options->prune.own[setup->options->prune.method]);
}

int olica_setup_last_sweep(const olica_setup *setup) {
  int passes = olica_setup_passes(setup);
  return (passes > 1 ? passes : 1) + 1;
}

bool olica_setup_scores(const olica_setup *setup, bool pruned) {
  return pruned ? olica_setup_prunes(setup) : setup->options->evaluate.dense || !olica_setup_prunes(setup);
}

int olica_setup_pack_rows(const olica_setup *setup, int tokens) {
  return tokens * olica_stream_pack(setup->precision, setup->context->most_threads, tokens);
}

olica_status olica_setup_check_length(const olica_setup *setup, const char *section, int64_t length) {
  if (length <= olica_arch_longest(&setup->source->arch)) return OLICA_OK;
  return olica_error_set(setup->context->env, OLICA_ERR_CONFIG,
                         "[%s] length = %lld, expected at most max_position_embeddings = %d of %s", section,
                         (long long)length, setup->source->arch.context, setup->options->model.path);
}
