/* The tensors of a model, one row each: names, dimensions, when a model has them, and where a layer in memory
 * holds them. Whoever lists, binds, writes, verifies or copies tensors loops over this table. A tensor more
 * is a row here (src/model/tensors.c), a pointer in olica_layer, and its use in the two forward passes.
 *
 * The order of the rows is that of the datasets in a checkpoint, and of a layer's numbers in its block of
 * memory. Pure throughout, but for what is said of olica_tensors_measure.
 */
#ifndef OLICA_MODEL_TENSORS_H
#define OLICA_MODEL_TENSORS_H

#include "olica/io/catalog.h"
#include "olica/model/weights.h"

/* What a checkpoint of ours says of itself in the attributes `format` and `schema` of its root. */
#define OLICA_CHECKPOINT_FORMAT "olica-checkpoint"
enum { OLICA_CHECKPOINT_SCHEMA = 1 };

/* The parts of a projection, in the order of their rows. */
typedef enum olica_part {
  OLICA_PART_WEIGHT, /* or, where it is cut in rank, */
  OLICA_PART_B,
  OLICA_PART_A,
  OLICA_PART_BIAS,
  OLICA_PARTS
} olica_part;

/* First the tensors outside of the layers, then those of a layer. */
typedef enum olica_tensor_id {
  OLICA_TENSOR_EMBED,
  OLICA_TENSOR_NORM,
  OLICA_TENSOR_HEAD,
  OLICA_TENSORS_MODEL, /* so many are outside of the layers; the first of a layer has this number */
  OLICA_TENSOR_INPUT_NORM = OLICA_TENSORS_MODEL,
  OLICA_TENSOR_FFN_NORM,
  OLICA_TENSOR_LINEAR, /* the parts of the first projection, of the second, ...: olica_tensors_linear */
  OLICA_TENSOR_VALUES_KEPT = OLICA_TENSOR_LINEAR + OLICA_PARTS * OLICA_PROJECTIONS,
  OLICA_TENSOR_FFN_KEPT,
  OLICA_TENSOR_BRANCH_A,
  OLICA_TENSOR_BRANCH_B,
  OLICA_TENSORS,
  OLICA_TENSORS_LAYER = OLICA_TENSORS - OLICA_TENSORS_MODEL /* rows of a layer; no layer has them all */
} olica_tensor_id;

/* How tensors are named: as the family's models on Hugging Face, or as our checkpoint. */
typedef enum olica_naming { OLICA_NAMING_PUBLISHED, OLICA_NAMING_CHECKPOINT } olica_naming;

/* Which of a family's prefixes stands before a published name. */
typedef enum olica_tensor_place {
  OLICA_PLACE_MODEL,
  OLICA_PLACE_HEAD, /* the name is the family's `head` */
  OLICA_PLACE_LAYER,
  OLICA_PLACE_ATTENTION,
  OLICA_PLACE_MLP
} olica_tensor_place;

/* A dimension of a tensor, of a model and a layer's shape. */
typedef enum olica_extent {
  OLICA_EXTENT_NONE, /* as the second: a vector */
  OLICA_EXTENT_VOCABULARY,
  OLICA_EXTENT_HIDDEN,
  OLICA_EXTENT_OUT, /* of the projection */
  OLICA_EXTENT_IN,
  OLICA_EXTENT_RANK,
  OLICA_EXTENT_BRANCH,
  OLICA_EXTENT_KV_HEADS,
  OLICA_EXTENT_VALUES,
  OLICA_EXTENT_FFN
} olica_extent;

typedef struct olica_tensor_row {
  const char *leaf;            /* in a checkpoint, behind the layer's and the projection's name */
  const char *published;       /* likewise on Hugging Face; NULL: there is no such tensor there */
  olica_tensor_place place;    /* of the published name */
  olica_projection projection; /* OLICA_PROJECTIONS: of none */
  bool is_list;                /* int32, of what is kept, and no weights */
  olica_extent extent[2];
  /* Has a layer of that shape (NULL: the model) this tensor? */
  bool (*present)(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection);
  size_t field; /* offset of its pointer in olica_layer; of a tensor outside of the layers, 0 */
} olica_tensor_row;

const olica_tensor_row *olica_tensors_row(olica_tensor_id id);

/* The row of a part of a projection. */
olica_tensor_id olica_tensors_linear(olica_projection projection, olica_part part);

/* Has a layer of that shape the tensor? `shape` is not looked at outside of the layers, here and below. */
bool olica_tensors_present(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id);

/* Its dimensions; returns how many, 1 (then extent[1] is 0) or 2. */
int olica_tensors_extents(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id,
                          int64_t extent[2]);

/* Its numbers; 0 where it is not present. */
int64_t olica_tensors_numbers(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id);

/* Of a list of what is kept: how many there are to keep from, in each row. */
int olica_tensors_choices(const olica_arch *arch, olica_tensor_id id);

/* Most tensors that a layer of that model can have at once. */
int olica_tensors_most(const olica_arch *arch);

/* The name of a tensor, of layer `layer` if it is of one; false: this naming has no such tensor. */
bool olica_tensors_name(const olica_arch *arch, olica_naming naming, olica_tensor_id id, int layer,
                        char name[OLICA_TENSOR_NAME]);

/* The tensor of the catalog that has this name, or NULL. */
const olica_tensor *olica_tensors_find(const olica_catalog *catalog, const olica_arch *arch,
                                       olica_naming naming, olica_tensor_id id, int layer);

/* Where a layer keeps the pointer to a tensor of weights, and the numbers of any (NULL: it has none). */
float **olica_tensors_weights(olica_layer *layer, olica_tensor_id id);
const void *olica_tensors_data(const olica_layer *layer, olica_tensor_id id);

/* The shape of a layer as its tensors in the catalog tell it. What they leave open is as in the unpruned
 * model: that all tensors of this shape are there is for the caller to see. Not collective; every rank comes
 * to the same result. A tensor whose size no layer has is OLICA_ERR_INPUT naming file and tensor. */
olica_status olica_tensors_measure(const olica_catalog *catalog, const olica_arch *arch, olica_naming naming,
                                   int layer, olica_layer_shape *shape);

#endif
