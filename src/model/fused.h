/* Tensors that hold several of our tensors, row behind row: qkv_proj, gate_up_proj. A family's published name
 * "qkv_proj.weight[q]" says that the tensor is a part of qkv_proj.weight; parts lie in the order of the ids.
 */
#ifndef OLICA_MODEL_FUSED_H
#define OLICA_MODEL_FUSED_H

#include "io/catalog.h"
#include "model/arch.h"
#include "model/tensors.h"

enum { OLICA_FUSED_PARTS = 8 };

/* Gives the published name of the tensor that holds `id`, and the ids of all its parts, in their order.
 * Returns how many; 0: `id` is a tensor of its own, and `name` is undefined. Pure. */
int olica_fused_of(const olica_arch *arch, olica_tensor_id id, int layer,
                   olica_tensor_id part[OLICA_FUSED_PARTS], char name[OLICA_TENSOR_NAME]);

/* Replaces fused tensors in the catalog of a Hugging Face directory by their parts, ranges of the same bytes,
 * under those names. Not collective, but every rank does the same. A tensor that has not the rows of its
 * parts is OLICA_ERR_INPUT; OLICA_ERR_MEMORY. */
olica_status olica_fused_divide(olica_catalog *catalog, const olica_arch *arch);

#endif
