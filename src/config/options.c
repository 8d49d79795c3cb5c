#include "config/options.h"

_Static_assert(sizeof(olica_backend) == sizeof(int), "choices are stored as int");

bool olica_options_evaluates(const olica_options *options) {
  return *options->evaluate.tokens || *options->evaluate.text || *options->evaluate.tasks;
}

bool olica_options_restarts(const olica_options *options) {
  return options->restart.every.layers > 0 || options->restart.every.minutes > 0;
}

olica_dtype olica_options_dtype(const olica_options *options, olica_dtype input) {
  return options->output.dtype == 0 ? input : (olica_dtype)(options->output.dtype - 1);
}
