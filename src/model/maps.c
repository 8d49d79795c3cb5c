#include "model/maps.h"

#include "base/arena.h"
#include "par/comm.h"

/* The packing of a layer's maps, one behind the other in the node's memory. */
typedef struct packing {
  olica_kernel *kernel; /* NULL: only measures */
  olica_dtype precision;
  const olica_context *context;
  olica_arena arena;
} packing;

static olica_status pack_one(packing *p, olica_packed_weights weights, olica_packed **packed) {
  weights.room = olica_arena_take(&p->arena, olica_packed_measure(p->precision, weights.out, weights.in), 1);
  weights.node = p->context;
  return p->kernel ? olica_packed_create(p->kernel, weights, packed) : OLICA_OK;
}

static olica_status pack_linear(packing *p, const olica_linear *linear, olica_packed_linear *packed) {
  int out = linear->out, in = linear->in, rank = linear->rank;
  if (out == 0) return OLICA_OK; /* the gate of a plain FFN */
  if (!rank)
    return pack_one(p, (olica_packed_weights){.out = out, .in = in, .w = linear->weight}, &packed->outer);
  olica_packed_weights a = {.out = rank, .in = in, .w = linear->a},
                       b = {.out = out, .in = rank, .w = linear->b};
  OLICA_TRY(pack_one(p, a, &packed->inner));
  return pack_one(p, b, &packed->outer);
}

/* The branch adds to what the FFN has made; its factors lie the other way round. */
static olica_status pack_branch(packing *p, const olica_layer *layer, int d, olica_packed_linear *packed) {
  int r = layer->shape.branch;
  olica_packed_weights a = {.out = r, .in = d, .w = layer->branch_a, .transposed = true};
  olica_packed_weights b = {.out = d, .in = r, .w = layer->branch_b, .transposed = true, .adds = true};
  if (r == 0) return OLICA_OK;
  OLICA_TRY(pack_one(p, a, &packed->inner));
  return pack_one(p, b, &packed->outer);
}

static olica_status pack(packing *p, const olica_arch *arch, olica_maps *maps) {
  OLICA_TRY(pack_branch(p, maps->layer, arch->hidden, &maps->branch));
  for (int i = 0; i < OLICA_PROJECTIONS; i++)
    OLICA_TRY(pack_linear(p, &maps->layer->linear[i], &maps->linear[i]));
  return OLICA_OK;
}

static size_t measure(const olica_arch *arch, const olica_layer_shape *shape, olica_dtype precision) {
  const olica_layer outline = olica_layer_outline(arch, shape);
  packing p = {.precision = precision};
  pack(&p, arch, &(olica_maps){.layer = &outline});
  return p.arena.used;
}

olica_hold olica_maps_hold(olica_ledger *ledger, const olica_arch *arch, const olica_layer_shape *shape,
                           olica_dtype precision) {
  return olica_ledger_hold_node(ledger, measure(arch, shape, precision));
}

olica_status olica_maps_create(olica_context *context, olica_kernel *kernel, const olica_arch *arch,
                               const olica_layer *layer, int index, olica_maps **out) {
  olica_maps *maps = NULL;
  packing p = {.kernel = kernel, .precision = olica_kernel_precision(kernel), .context = context};
  size_t bytes = measure(arch, &layer->shape, p.precision);
  OLICA_AGREE(context, OLICA_NEW(context->env, maps, 1));
  *maps = (olica_maps){.kernel = kernel, .layer = layer, .index = index};
  if (bytes > 0) OLICA_TRY(olica_shared_create(context, "packed layer", bytes, &maps->shared));
  if (bytes > 0) p.arena.block = maps->shared->data;
  OLICA_AGREE(context, pack(&p, arch, maps));
  if (bytes > 0) olica_shared_fence(context);
  *out = maps;
  return OLICA_OK;
}

static void unpack(olica_packed_linear *packed) {
  olica_packed_destroy(packed->inner);
  olica_packed_destroy(packed->outer);
}

void olica_maps_destroy(olica_maps *maps) {
  if (!maps) return;
  for (int p = 0; p < OLICA_PROJECTIONS; p++) unpack(&maps->linear[p]);
  unpack(&maps->branch);
  olica_shared_destroy(maps->shared);
  olica_memory_free(olica_kernel_env(maps->kernel), maps);
}
