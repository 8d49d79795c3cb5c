#include "advice.h"

#include <stdio.h>

/* The Gram matrices of the fits have the hidden size; their rank is at most the number of tokens. */
static void advise_tokens(const olica_setup *setup) {
  const olica_options *o = setup->options;
  double tokens = (double)o->calibration.samples * (double)o->calibration.length;
  int hidden = setup->source->arch.hidden;
  if (tokens >= hidden) return;
  olica_log_warn(
      setup->context->env,
      "[calibration] %.0f tokens are fewer than the hidden size, %d: the statistics are rank-deficient "
      "and the fits rest on their damping; more samples help",
      tokens, hidden);
}

static void advise_idle(const olica_setup *setup, int ranks, int64_t count, const char *what) {
  if (count == 0 || count >= ranks) return;
  olica_log_warn(setup->context->env, "%lld of %d ranks have no %s: there are %lld",
                 (long long)(ranks - count), ranks, what, (long long)count);
}

void olica_advise(const olica_setup *setup, const olica_riders *riders, const olica_plan *plan, int ranks) {
  if (setup->context->rank != 0) return;
  if (olica_setup_prunes(setup)) {
    const olica_method_model model = olica_setup_model(setup);
    olica_method_advise(setup->method, setup->context->env, &model, plan->removed);
  }
  if (setup->method->calibrates) {
    advise_tokens(setup);
    advise_idle(setup, ranks, setup->options->calibration.samples, "calibration sequence");
  }
  for (int k = 0; k < OLICA_RIDER_KINDS; k++) {
    const char *what;
    int64_t count = olica_riders_items(riders, k, &what);
    advise_idle(setup, ranks, count, what);
  }
}
