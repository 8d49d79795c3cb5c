/* The schema of a checkpoint: names, types and shapes of its datasets, in the order they are written, as the
 * table of tensors (model/tensors.h) has them. For writing, verifying and counting. Private to store. */
#ifndef OLICA_STORE_SCHEMA_H
#define OLICA_STORE_SCHEMA_H

#include "io/catalog.h"
#include "io/hdf5.h"
#include "model/tensors.h"

typedef struct olica_schema_item {
  char name[OLICA_TENSOR_NAME];
  olica_tensor_id id;
  olica_hdf5_type type;
  int dims;
  int64_t shape[2];
} olica_schema_item;

enum { OLICA_SCHEMA_META = 8 };

/* Names of the texts under /meta: config_json first. */
const char *olica_schema_meta(int i);

/* The datasets of the model outside of its layers, and those of a layer; return how many. Pure. */
int olica_schema_model(const olica_arch *arch, olica_dtype dtype,
                       olica_schema_item item[OLICA_TENSORS_MODEL]);
int olica_schema_layer(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype dtype, int layer,
                       olica_schema_item item[OLICA_TENSORS_LAYER]);

/* Bytes in the file. */
int64_t olica_schema_bytes(const olica_schema_item *item);

#endif
