/* The schema of a checkpoint: names, types and shapes of its datasets, in the order they are written. One
 * table for writing, verifying and counting. */
#ifndef OLICA_STORE_SCHEMA_H
#define OLICA_STORE_SCHEMA_H

#include "olica/io/catalog.h"
#include "olica/io/hdf5.h"
#include "olica/model/weights.h"

/* What a dataset holds. Those from OLICA_PART_WEIGHT to OLICA_PART_BIAS belong to a projection. */
typedef enum olica_schema_part {
  OLICA_PART_EMBED,
  OLICA_PART_NORM,
  OLICA_PART_HEAD,
  OLICA_PART_INPUT_NORM,
  OLICA_PART_FFN_NORM,
  OLICA_PART_WEIGHT,
  OLICA_PART_B,
  OLICA_PART_A,
  OLICA_PART_BIAS,
  OLICA_PART_VALUES_KEPT,
  OLICA_PART_FFN_KEPT,
  OLICA_PART_BRANCH_A,
  OLICA_PART_BRANCH_B,
  OLICA_PARTS
} olica_schema_part;

typedef struct olica_schema_item {
  char name[OLICA_TENSOR_NAME];
  olica_schema_part part;
  olica_projection projection;
  olica_hdf5_type type;
  int dims;
  int64_t shape[2];
} olica_schema_item;

enum {
  OLICA_SCHEMA_MODEL = 3,                         /* datasets outside of the layers, at most */
  OLICA_SCHEMA_LAYER = 6 + 3 * OLICA_PROJECTIONS, /* of a layer, at most */
  OLICA_SCHEMA_META = 8
};

/* Names of the texts under /meta: config_json first. */
const char *olica_schema_meta(int i);

/* The datasets of the model outside of its layers, and those of a layer; return how many. Pure. */
int olica_schema_model(const olica_arch *arch, olica_dtype dtype, olica_schema_item item[OLICA_SCHEMA_MODEL]);
int olica_schema_layer(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype dtype, int layer,
                       olica_schema_item item[OLICA_SCHEMA_LAYER]);

/* Path of one dataset of a layer. */
void olica_schema_name(int layer, olica_schema_part part, olica_projection projection,
                       char name[OLICA_TENSOR_NAME]);

/* Bytes in the file. */
int64_t olica_schema_bytes(const olica_schema_item *item);

/* A layer's shape as its datasets in the catalog tell it: what must be there is, with sensible sizes. That
 * the rest conforms is for the caller to see. Not collective, pure. */
olica_status olica_schema_shape(const olica_catalog *catalog, const olica_arch *arch, int layer,
                                olica_layer_shape *shape);

#endif
