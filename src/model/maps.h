/* The linear maps of one layer, packed for the kernel that multiplies them. Packed once on a node, by all its
 * ranks together, they serve every stream that passes the layer. */
#ifndef OLICA_MODEL_MAPS_H
#define OLICA_MODEL_MAPS_H

#include "base/ledger.h"
#include "la/packed.h"
#include "model/weights.h"
#include "par/shared.h"

/* A linear map y = x Wᵀ, or of low rank: y = (x Aᵀ) Bᵀ. */
typedef struct olica_packed_linear {
  olica_packed *inner; /* A, NULL: the map is dense */
  olica_packed *outer; /* W or B, NULL: there is no map */
} olica_packed_linear;

typedef struct olica_maps {
  olica_kernel *kernel;
  const olica_layer *layer; /* borrowed; stays as it is while the maps exist */
  int index;                /* its number in the model */
  olica_shared *shared;     /* what the kernel packs, on the node; NULL: nothing */
  olica_packed_linear linear[OLICA_PROJECTIONS], branch;
} olica_maps;

/* Collective on the context. OLICA_ERR_MEMORY. */
olica_status olica_maps_create(olica_context *context, olica_kernel *kernel, const olica_arch *arch,
                               const olica_layer *layer, int index, olica_maps **maps);
void olica_maps_destroy(olica_maps *maps); /* collective on the node; NULL allowed */

/* Holds on a ledger what that allocates for a layer of that shape, once on a node. */
olica_hold olica_maps_hold(olica_ledger *ledger, const olica_arch *arch, const olica_layer_shape *shape,
                           olica_dtype precision);

#endif
