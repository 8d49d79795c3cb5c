#include "fused.h"

#include <string.h>

#include "model/tensors.h"

enum { MOST_PARTS = 8 };

/* The parts of one tensor. */
typedef struct fused {
  char name[OLICA_TENSOR_NAME];
  int parts;
  char part[MOST_PARTS][OLICA_TENSOR_NAME];
  int64_t rows[MOST_PARTS], all, columns; /* columns 0: vectors */
} fused;

/* Returns the length of the name in front of "[part]"; 0: the name is not that of a part. */
static size_t stem(const char *name) {
  const char *bracket = strchr(name, '[');
  return bracket ? (size_t)(bracket - name) : 0;
}

static void add_part(const olica_arch *arch, int layer, olica_tensor_id id, const char *name, fused *f) {
  static const bool no_bias[OLICA_PROJECTIONS];
  const olica_layer_shape shape = olica_layer_shape_dense(arch, layer, no_bias);
  int64_t extent[2];
  int dims = olica_tensors_extents(arch, &shape, id, extent);
  memcpy(f->part[f->parts], name, OLICA_TENSOR_NAME);
  f->rows[f->parts++] = extent[0];
  f->all += extent[0];
  f->columns = dims == 2 ? extent[1] : 0;
}

static olica_status divide(olica_catalog *catalog, fused *f) {
  const olica_tensor *tensor = olica_catalog_find(catalog, f->name);
  if (!tensor) return OLICA_OK; /* a weight that is missing is found so */
  bool same = tensor->dims == (f->columns ? 2 : 1) && tensor->shape[0] == f->all &&
              (!f->columns || tensor->shape[1] == f->columns);
  if (!same)
    return olica_error_set(catalog->context->env, OLICA_ERR_INPUT,
                           "%s: %s has %d dimensions and %lld x %lld numbers, expected %lld x %lld, the rows "
                           "of %d projections",
                           olica_catalog_file(catalog, tensor), tensor->name, tensor->dims,
                           (long long)(tensor->dims > 0 ? tensor->shape[0] : 0),
                           (long long)(tensor->dims > 1 ? tensor->shape[1] : 1), (long long)f->all,
                           (long long)(f->columns ? f->columns : 1), f->parts);
  return olica_catalog_divide(catalog, f->name, f->parts, f->part, f->rows);
}

/* Parts of one tensor follow each other in the order of the ids, with tensors of other names between them. */
static olica_status divide_layer(olica_catalog *catalog, const olica_arch *arch, int layer) {
  const char *const *published = arch->family->published;
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    char name[OLICA_TENSOR_NAME], other[OLICA_TENSOR_NAME];
    if (!published[id] || !stem(published[id])) continue;
    olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, id, layer, name);
    fused f = {.parts = 0};
    memcpy(f.name, name, stem(name));
    for (olica_tensor_id part = OLICA_TENSORS_MODEL; part < OLICA_TENSORS && f.parts < MOST_PARTS; part++) {
      if (!published[part] || !stem(published[part])) continue;
      olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, part, layer, other);
      if (stem(other) == stem(name) && strncmp(other, name, stem(name)) == 0)
        add_part(arch, layer, part, other, &f);
    }
    OLICA_TRY(divide(catalog, &f)); /* of the second part on it is gone */
  }
  return OLICA_OK;
}

olica_status olica_fused_divide(olica_catalog *catalog, const olica_arch *arch) {
  if (!arch->family->published) return OLICA_OK;
  for (int layer = 0; layer < arch->layers; layer++) OLICA_TRY(divide_layer(catalog, arch, layer));
  return OLICA_OK;
}
