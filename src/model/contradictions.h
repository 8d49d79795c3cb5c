/* Warnings of contradictions within config.json, or between it and the other files, where one of the two can
 * be taken. arch.c and bind.c refuse the others. Private to model. */
#ifndef OLICA_MODEL_CONTRADICTIONS_H
#define OLICA_MODEL_CONTRADICTIONS_H

#include "model/source.h"

/* Warns of each contradiction by name, and says which of the two is taken. `name`: of the config. One rank
 * calls it, after the source is bound; not collective. */
void olica_contradictions_warn(const olica_source *source, const char *name);

/* Warns if a tied model, whose output matrix is its embedding, also stores another output matrix, with the
 * largest difference. Reads both. Collective. */
olica_status olica_contradictions_tied(olica_source *source);

#endif
