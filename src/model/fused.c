#include "fused.h"

#include <string.h>

/* The parts of one tensor. */
typedef struct fused {
  char name[OLICA_TENSOR_NAME];
  int parts;
  char part[OLICA_FUSED_PARTS][OLICA_TENSOR_NAME];
  int64_t rows[OLICA_FUSED_PARTS], all, columns; /* columns 0: vectors */
} fused;

/* Returns the length of the name in front of "[part]"; 0: the name is not that of a part. */
static size_t stem(const char *name) {
  const char *bracket = strchr(name, '[');
  return bracket ? (size_t)(bracket - name) : 0;
}

int olica_fused_of(const olica_arch *arch, olica_tensor_id id, int layer,
                   olica_tensor_id part[OLICA_FUSED_PARTS], char name[OLICA_TENSOR_NAME]) {
  const char *const *published = arch->family->published;
  int parts = 0;
  if (!published || !published[id] || !stem(published[id])) return 0;
  olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, id, layer, name);
  name[stem(name)] = '\0';
  for (olica_tensor_id other = OLICA_TENSORS_MODEL; other < OLICA_TENSORS && parts < OLICA_FUSED_PARTS;
       other++) {
    char its[OLICA_TENSOR_NAME];
    if (!published[other] || !stem(published[other])) continue;
    olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, other, layer, its);
    if (stem(its) == strlen(name) && strncmp(its, name, stem(its)) == 0) part[parts++] = other;
  }
  return parts;
}

static void add_part(const olica_arch *arch, int layer, olica_tensor_id id, fused *f) {
  static const bool no_bias[OLICA_PROJECTIONS];
  const olica_layer_shape shape = olica_layer_shape_dense(arch, layer, no_bias);
  int64_t extent[2];
  int dims = olica_tensors_extents(arch, &shape, id, extent);
  olica_tensors_name(arch, OLICA_NAMING_PUBLISHED, id, layer, f->part[f->parts]);
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
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    olica_tensor_id part[OLICA_FUSED_PARTS];
    fused f = {.parts = 0};
    int parts = olica_fused_of(arch, id, layer, part, f.name);
    if (parts == 0) continue;
    for (int i = 0; i < parts; i++) add_part(arch, layer, part[i], &f);
    OLICA_TRY(divide(catalog, &f)); /* of the second part on it is gone */
  }
  return OLICA_OK;
}

olica_status olica_fused_divide(olica_catalog *catalog, const olica_arch *arch) {
  if (!arch->family->published) return OLICA_OK;
  for (int layer = 0; layer < arch->layers; layer++) OLICA_TRY(divide_layer(catalog, arch, layer));
  return OLICA_OK;
}
