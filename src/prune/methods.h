/* The methods of this build, for the table in method.c. Private to prune. */
#ifndef OLICA_PRUNE_METHODS_H
#define OLICA_PRUNE_METHODS_H

#include "prune/method.h"

extern const olica_method olica_method_olica, olica_method_magnitude, olica_method_refit, olica_method_flap,
    olica_method_wanda_sp, olica_method_slimgpt, olica_method_svd_llm;

#endif
