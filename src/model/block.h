/* The block of a model's layers, from its config: norms, activation, multipliers. Private to model. */
#ifndef OLICA_MODEL_BLOCK_H
#define OLICA_MODEL_BLOCK_H

#include "reader.h"

/* Fills block, activation, multipliers and eps of `arch`, whose family and hidden size are known, from the
 * config's object. Unknown activations and numbers that cannot be are
 * OLICA_ERR_INPUT. Pure. */
olica_status olica_block_read(const olica_reader *r, olica_arch *arch);

/* Tells whether the family computes with that key of the config. Pure. */
bool olica_block_computes(const olica_family *family, const char *key);

#endif
