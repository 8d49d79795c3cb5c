/* Names: which tensor of the catalog is which weight, in a Hugging Face directory and in our checkpoint.
 * Private to model. */
#ifndef OLICA_MODEL_BIND_H
#define OLICA_MODEL_BIND_H

#include "olica/model/source.h"

/* The parts of a layer that are stored as tensors: for every projection these four, then the four others. */
typedef enum olica_part {
  OLICA_PART_WEIGHT,
  OLICA_PART_B,
  OLICA_PART_A,
  OLICA_PART_BIAS,
  OLICA_PARTS
} olica_part;
typedef enum olica_extra {
  OLICA_EXTRA_INPUT_NORM,
  OLICA_EXTRA_FFN_NORM,
  OLICA_EXTRA_BRANCH_A,
  OLICA_EXTRA_BRANCH_B,
  OLICA_EXTRAS
} olica_extra;

/* The tensor, or NULL: not there (or this kind of source has no such thing). */
const olica_tensor *olica_bind_part(const olica_source *source, int layer, olica_projection projection,
                                    olica_part part);
const olica_tensor *olica_bind_extra(const olica_source *source, int layer, olica_extra extra);

/* Fills shape, dtype, parameters, table and norm of a source whose catalog and arch are known. Pure: every
 * rank comes to the same result. OLICA_ERR_INPUT names file and tensor, found and expected. */
olica_status olica_bind_all(olica_source *source);

#endif
