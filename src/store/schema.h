/* The schema of a checkpoint: names, types and shapes of its items, in the order they are written, as the
 * table of tensors (model/tensors.h) has them. For writing, verifying and counting. Private to store. */
#ifndef OLICA_STORE_SCHEMA_H
#define OLICA_STORE_SCHEMA_H

#include "model/config.h"
#include "model/tensors.h"
#include "store/checkpoint.h"
#include "store/writer.h"

typedef struct olica_schema_item {
  olica_tensor_id id;
  olica_writer_item item;
} olica_schema_item;

/* Returns the name of a text. */
const char *olica_schema_text(olica_checkpoint_text_id id);

/* List the items of the model outside of its layers, and those of a layer; return their number. Pure. */
int olica_schema_model(const olica_arch *arch, olica_dtype dtype,
                       olica_schema_item item[OLICA_TENSORS_MODEL]);
int olica_schema_layer(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype dtype, int layer,
                       olica_schema_item item[OLICA_TENSORS_LAYER]);

#endif
