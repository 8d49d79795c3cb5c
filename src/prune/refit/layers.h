/* The layers of shape = olica: their survey, and their cut, in which all kinds of module may shrink
 * (modules.h). Collective on the context. Private to the method. */
#ifndef OLICA_PRUNE_REFIT_LAYERS_H
#define OLICA_PRUNE_REFIT_LAYERS_H

#include "state.h"

/* Observes a layer of the dense model: output energies, curves and the variants of all kinds. The value
 * neurons are turned as Olica's are, in a copy of the layer; the stream advances through it. */
olica_status olica_refit_survey_modules(const olica_refit_state *state, const olica_maps *maps);

/* olica_method.cut. */
olica_status olica_refit_cut_modules(const olica_refit_state *state, int index, olica_layer *dense,
                                     olica_layer **pruned, olica_cut_record *record);

/* Replay them: a survey with its look at the output, and a cut to that shape. OLICA_ERR_MEMORY. */
olica_status olica_refit_replay_survey_modules(olica_env *env, olica_ledger *ledger,
                                               const olica_method_model *model, const olica_method_site *site,
                                               const olica_refit_budget *budget);
olica_status olica_refit_replay_cut_modules(olica_env *env, olica_ledger *ledger,
                                            const olica_method_model *model, const olica_method_site *site,
                                            const olica_layer_shape *shape);

#endif
