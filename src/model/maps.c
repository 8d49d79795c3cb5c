#include "olica/model/maps.h"

size_t olica_maps_bytes(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype precision) {
  int out, in, r = shape->branch, d = arch->hidden;
  size_t bytes = olica_packed_bytes(precision, r, d) + olica_packed_bytes(precision, d, r);
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    int rank = shape->rank[p];
    olica_layer_shape_linear(arch, shape, (olica_projection)p, &out, &in);
    bytes += rank ? olica_packed_bytes(precision, rank, in) + olica_packed_bytes(precision, out, rank)
                  : olica_packed_bytes(precision, out, in);
  }
  return bytes;
}

static olica_status pack_linear(olica_kernel *kernel, const olica_linear *linear,
                                olica_packed_linear *packed) {
  int out = linear->out, in = linear->in, rank = linear->rank;
  olica_packed_weights whole = {.out = out, .in = in, .w = linear->weight};
  if (!rank) return olica_packed_create(kernel, whole, &packed->outer);
  olica_packed_weights a = {.out = rank, .in = in, .w = linear->a},
                       b = {.out = out, .in = rank, .w = linear->b};
  OLICA_TRY(olica_packed_create(kernel, a, &packed->inner));
  return olica_packed_create(kernel, b, &packed->outer);
}

/* The branch adds to what the FFN has made; its factors lie the other way round. */
static olica_status pack_branch(olica_kernel *kernel, const olica_layer *layer, int d,
                                olica_packed_linear *packed) {
  int r = layer->shape.branch;
  olica_packed_weights a = {.out = r, .in = d, .w = layer->branch_a, .transposed = true};
  olica_packed_weights b = {.out = d, .in = r, .w = layer->branch_b, .transposed = true, .adds = true};
  if (r == 0) return OLICA_OK;
  OLICA_TRY(olica_packed_create(kernel, a, &packed->inner));
  return olica_packed_create(kernel, b, &packed->outer);
}

static olica_status pack(olica_maps *maps, const olica_arch *arch) {
  OLICA_TRY(pack_branch(maps->kernel, maps->layer, arch->hidden, &maps->branch));
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    OLICA_TRY(pack_linear(maps->kernel, &maps->layer->linear[p], &maps->linear[p]));
  return OLICA_OK;
}

olica_status olica_maps_create(olica_kernel *kernel, const olica_arch *arch, const olica_layer *layer,
                               int index, olica_maps **out) {
  olica_maps *maps;
  OLICA_TRY(OLICA_NEW(olica_kernel_env(kernel), maps, 1));
  *maps = (olica_maps){.kernel = kernel, .layer = layer, .index = index};
  olica_status status = pack(maps, arch);
  if (status != OLICA_OK)
    olica_maps_destroy(maps);
  else
    *out = maps;
  return status;
}

static void unpack(olica_packed_linear *packed) {
  olica_packed_destroy(packed->inner);
  olica_packed_destroy(packed->outer);
}

void olica_maps_destroy(olica_maps *maps) {
  if (!maps) return;
  for (int p = 0; p < OLICA_PROJECTIONS; p++) unpack(&maps->linear[p]);
  unpack(&maps->branch);
  olica_memory_free(olica_kernel_env(maps->kernel), maps);
}
