/* The numbers by which code names projections and tensors. What the tensors are: model/tensors.h. Pure. */
#ifndef OLICA_MODEL_IDS_H
#define OLICA_MODEL_IDS_H

/* The seven projections of a layer, in the order they are stored and written. */
typedef enum olica_projection {
  OLICA_Q,
  OLICA_K,
  OLICA_V,
  OLICA_O,
  OLICA_GATE,
  OLICA_UP,
  OLICA_DOWN,
  OLICA_PROJECTIONS
} olica_projection;

/* "q_proj", ..., "down_proj". */
const char *olica_projection_name(olica_projection projection);

/* The tensors of a projection, in the order of their rows. */
typedef enum olica_part {
  OLICA_PART_WEIGHT, /* not cut in rank; else b·a */
  OLICA_PART_B,
  OLICA_PART_A,
  OLICA_PART_BIAS,
  OLICA_PARTS
} olica_part;

/* The rows: first the tensors outside of the layers, then those of a layer. */
typedef enum olica_tensor_id {
  OLICA_TENSOR_EMBED,
  OLICA_TENSOR_NORM,
  OLICA_TENSOR_NORM_BIAS,
  OLICA_TENSOR_HEAD,
  OLICA_TENSORS_MODEL, /* number of tensors outside of the layers, and id of the first in a layer */
  OLICA_TENSOR_INPUT_NORM = OLICA_TENSORS_MODEL,
  OLICA_TENSOR_FFN_NORM,
  OLICA_TENSOR_Q_NORM,
  OLICA_TENSOR_K_NORM,
  OLICA_TENSOR_INPUT_NORM_BIAS,
  OLICA_TENSOR_FFN_NORM_BIAS,
  OLICA_TENSOR_ATTENTION_OUTPUT_NORM,
  OLICA_TENSOR_FFN_OUTPUT_NORM,
  OLICA_TENSOR_LINEAR, /* four of each projection: olica_tensors_linear */
  OLICA_TENSOR_HEADS_KEPT = OLICA_TENSOR_LINEAR + OLICA_PARTS * OLICA_PROJECTIONS,
  OLICA_TENSOR_VALUES_KEPT,
  OLICA_TENSOR_FFN_KEPT,
  OLICA_TENSOR_BRANCH_A,
  OLICA_TENSOR_BRANCH_B,
  OLICA_TENSORS,
  OLICA_TENSORS_LAYER = OLICA_TENSORS - OLICA_TENSORS_MODEL /* number of rows of a layer; none has them all */
} olica_tensor_id;

#endif
