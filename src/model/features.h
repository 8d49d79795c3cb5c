/* Features that a config.json can ask for and this program does not compute. Private to model. */
#ifndef OLICA_MODEL_FEATURES_H
#define OLICA_MODEL_FEATURES_H

#include <jansson.h>

#include "model/arch.h"

/* Refuses (OLICA_ERR_INPUT, by name) a key of the object that changes the model's function, unless its value
 * says that nothing is changed, or the family computes it. `name`: the file and where in it; of the arch
 * family and size of a head are known. Pure. */
olica_status olica_features_refuse(olica_env *env, const char *name, const json_t *object,
                                   const olica_arch *arch);

#endif
