/* Which tensor of the catalog is which weight, in a Hugging Face directory and in our checkpoint. Private to
 * model. */
#ifndef OLICA_MODEL_BIND_H
#define OLICA_MODEL_BIND_H

#include "model/source.h"
#include "model/tensors.h"

/* Returns the tensor; NULL: the source has none. */
const olica_tensor *olica_bind_find(const olica_source *source, olica_tensor_id id, int layer);

/* Fills shape, dtype, parameters, table and norm of a source whose catalog and arch are known. Pure: every
 * rank gets the same result. OLICA_ERR_INPUT names file and tensor, found and expected. */
olica_status olica_bind_all(olica_source *source);

#endif
