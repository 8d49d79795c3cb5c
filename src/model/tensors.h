/* The table of a model's tensors. A row names a tensor in a checkpoint and on Hugging Face, and gives its
 * dimensions, when a model has it, and the field of olica_layer that points to it. Code that lays out, binds,
 * reads, writes, verifies or copies tensors loops over the table. To add a tensor: an id here, a row in
 * src/model/tensors.c, a field in olica_layer, and its use in the two forward passes.
 *
 * Datasets of a checkpoint and the numbers of a layer's block in memory have the order of the rows. All
 * functions but olica_tensors_measure are pure; none is collective.
 */
#ifndef OLICA_MODEL_TENSORS_H
#define OLICA_MODEL_TENSORS_H

#include "io/catalog.h"
#include "model/weights.h"

/* The attributes `format` and `schema` of the root of a checkpoint. */
#define OLICA_CHECKPOINT_FORMAT "olica-checkpoint"
enum { OLICA_CHECKPOINT_SCHEMA = 1 };

/* Published: as the family's models on Hugging Face. */
typedef enum olica_naming { OLICA_NAMING_PUBLISHED, OLICA_NAMING_CHECKPOINT } olica_naming;

/* The prefix of a published name, from the family. */
typedef enum olica_tensor_place {
  OLICA_PLACE_MODEL,
  OLICA_PLACE_HEAD, /* the name is the family's `head` */
  OLICA_PLACE_LAYER,
  OLICA_PLACE_ATTENTION,
  OLICA_PLACE_MLP
} olica_tensor_place;

/* A dimension of a tensor. */
typedef enum olica_extent {
  OLICA_EXTENT_NONE, /* as the second: a vector */
  OLICA_EXTENT_VOCABULARY,
  OLICA_EXTENT_HIDDEN,
  OLICA_EXTENT_QUERIES, /* over which queries are normed: a head, or all of the layer */
  OLICA_EXTENT_KEYS,
  OLICA_EXTENT_OUT, /* of the projection */
  OLICA_EXTENT_IN,
  OLICA_EXTENT_RANK,
  OLICA_EXTENT_BRANCH,
  OLICA_EXTENT_KV_HEADS,
  OLICA_EXTENT_VALUES,
  OLICA_EXTENT_FFN
} olica_extent;

typedef struct olica_tensor_row {
  const char *leaf;            /* name in a checkpoint, behind those of layer and projection */
  const char *published;       /* likewise on Hugging Face; NULL: has none */
  olica_tensor_place place;    /* of the published name */
  olica_projection projection; /* OLICA_PROJECTIONS: of none */
  bool is_list;                /* int32 indices of what is kept; else weights */
  olica_extent extent[2];
  /* Tells whether a layer of that shape has the tensor; shape is NULL for one outside of the layers. A
   * projection's weight is also absent where the family has no such projection. */
  bool (*present)(const olica_arch *arch, const olica_layer_shape *shape, olica_projection projection);
  size_t field; /* offset in olica_layer of the pointer to its numbers; 0 outside of the layers */
} olica_tensor_row;

const olica_tensor_row *olica_tensors_row(olica_tensor_id id);

/* Returns the id of a part of a projection. */
olica_tensor_id olica_tensors_linear(olica_projection projection, olica_part part);

/* Tells whether a layer of that shape has the tensor. `shape` may be NULL for one outside of the layers, here
 * and below. */
bool olica_tensors_present(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id);

/* Gives rows and columns of a tensor. Returns the number of dimensions; a vector has 1, and extent[1] is 0.
 */
int olica_tensors_extents(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id,
                          int64_t extent[2]);

/* Counts the numbers of a tensor; 0 where it is not present. */
int64_t olica_tensors_numbers(const olica_arch *arch, const olica_layer_shape *shape, olica_tensor_id id);

/* Counts what layer `layer` has, before pruning, in each row of a list: the list's indices are below that. */
int olica_tensors_choices(const olica_arch *arch, int layer, olica_tensor_id id);

/* Bounds the number of tensors of a layer, however it is pruned. */
int olica_tensors_most(const olica_arch *arch);

/* Writes the name of a tensor; `layer` counts for those of a layer. False: this naming has no such tensor. */
bool olica_tensors_name(const olica_arch *arch, olica_naming naming, olica_tensor_id id, int layer,
                        char name[OLICA_TENSOR_NAME]);

/* Looks a tensor up by that name; NULL: the catalog has none. */
const olica_tensor *olica_tensors_find(const olica_catalog *catalog, const olica_arch *arch,
                                       olica_naming naming, olica_tensor_id id, int layer);

/* Return the address of the layer's field for a tensor of weights, and the numbers of any tensor (NULL: the
 * layer has none). */
float **olica_tensors_weights(olica_layer *layer, olica_tensor_id id);
const void *olica_tensors_data(const olica_layer *layer, olica_tensor_id id);

/* Reads the shape of a layer off its tensors in the catalog. Sizes whose tensor is missing stay those of the
 * unpruned layer; the caller checks that all tensors of the shape are there. Every rank gets the same result.
 * A tensor of a size that no layer can have is OLICA_ERR_INPUT naming file and tensor. */
olica_status olica_tensors_measure(const olica_catalog *catalog, const olica_arch *arch, olica_naming naming,
                                   int layer, olica_layer_shape *shape);

#endif
