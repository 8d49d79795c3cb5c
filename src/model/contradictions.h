/* What config.json says twice, or against what the files hold, where one of the two can be taken: told. What
 * cannot is refused where it is read (arch.c, bind.c). Private to model. */
#ifndef OLICA_MODEL_CONTRADICTIONS_H
#define OLICA_MODEL_CONTRADICTIONS_H

#include "model/source.h"

/* Warns, each by name and with what is taken. `name`: of the config. For one rank to call, once the source is
 * bound; not collective. */
void olica_contradictions_tell(const olica_source *source, const char *name);

/* A tied model's output matrix is its embedding, whatever else the files hold: where that is another, warns
 * with the largest difference. Reads both where a head is stored too. Collective. */
olica_status olica_contradictions_tied(olica_source *source);

#endif
