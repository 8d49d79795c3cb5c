#include "olica/model/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bind.h"
#include "olica/io/file.h"
#include "olica/io/hdf5.h"
#include "olica/io/safetensors.h"
#include "olica/par/comm.h"
#include "olica/par/partition.h"

enum {
  PANEL_BYTES = 8 << 20,   /* of fp32 rows of a table on every rank */
  PANELS_LEAST = 16,       /* of a table, if it has so many rows */
  PIECE_BYTES = 8 << 20,   /* of raw bytes of a tensor on their way */
  CONFIG_BYTES = 16 << 20, /* a config.json above this is no config.json */
  SCHEMA = 1
};

/* Rank 0's part: index the files, load the config. */
static olica_status open_on_root(olica_source *source, const char *path) {
  olica_env *env = source->context->env;
  struct stat info;
  if (stat(path, &info) != 0)
    return olica_error_set(env, errno == EACCES ? OLICA_ERR_IO : OLICA_ERR_INPUT,
                           "%.1000s: %s, expected a model ([model] path)", path, strerror(errno));
  source->is_checkpoint = !S_ISDIR(info.st_mode);
  if (source->is_checkpoint) return olica_hdf5_index(source->catalog, path, "olica-checkpoint", SCHEMA);
  char file[OLICA_CATALOG_PATH];
  if (snprintf(file, sizeof file, "%s/config.json", path) >= (int)sizeof file)
    return olica_error_set(env, OLICA_ERR_INPUT, "%.200s...: the path is too long", path);
  OLICA_TRY(olica_file_load(env, file, CONFIG_BYTES, &source->config, &source->config_bytes));
  return olica_safetensors_open(source->catalog, path);
}

/* Everybody's config: a file's from rank 0, a checkpoint's own from the file. */
static olica_status share_config(olica_source *source) {
  olica_context *context = source->context;
  int64_t head[2] = {source->is_checkpoint, (int64_t)source->config_bytes};
  olica_comm_bcast(context, context->comm, head, sizeof head, 0);
  source->is_checkpoint = head[0] != 0;
  olica_status status = OLICA_OK;
  const olica_tensor *meta = NULL;
  if (source->is_checkpoint) {
    meta = olica_catalog_find(source->catalog, "meta/config_json");
    if (!meta || meta->dims != 1 || strcmp(meta->stored, "uint8") != 0 || meta->bytes > CONFIG_BYTES)
      return olica_error_set(context->env, OLICA_ERR_INPUT,
                             "%s: meta/config_json is %s, expected at most %d bytes (uint8) of text",
                             source->catalog->path[0], meta ? meta->stored : "missing", CONFIG_BYTES);
    head[1] = meta->bytes;
  }
  source->config_bytes = (size_t)head[1];
  if (!source->config) status = OLICA_NEW(context->env, source->config, source->config_bytes + 1);
  if (status == OLICA_OK && meta && context->rank == 0)
    status = olica_catalog_read(source->catalog, meta, 0, meta->bytes, source->config);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, source->config, source->config_bytes, 0);
  return OLICA_OK;
}

int olica_source_panel_rows(const olica_arch *arch) {
  int rows = PANEL_BYTES / (int)sizeof(float) / arch->hidden;
  /* Small vocabularies are cut too, so that many ranks have something to read. */
  int share = (arch->vocabulary - 1) / PANELS_LEAST + 1;
  if (rows > share) rows = share;
  return rows > 1 ? rows : 1;
}

static olica_status plan_panels(olica_source *source) {
  const olica_context *context = source->context;
  const olica_arch *arch = &source->arch;
  source->panel_rows = olica_source_panel_rows(arch);
  source->panels = (arch->vocabulary + source->panel_rows - 1) / source->panel_rows;
  olica_range own = olica_partition_block(source->panels, context->size, context->rank);
  source->own_first = (int)own.first;
  source->own_count = (int)own.count;
  if (!arch->tied) return OLICA_OK;
  size_t raw = olica_number_size(source->table[OLICA_TABLE_EMBED]->dtype) * (size_t)arch->hidden;
  OLICA_TRY(OLICA_NEW(context->env, source->kept_valid, (size_t)own.count));
  source->kept =
      olica_memory_get(context->env, "tied table", (size_t)own.count * (size_t)source->panel_rows, raw);
  return source->kept ? OLICA_OK : context->env->error.code;
}

olica_status olica_source_open(olica_context *context, const char *path, olica_source **out) {
  olica_env *env = context->env;
  olica_source *source;
  OLICA_AGREE(context, OLICA_NEW(env, source, 1));
  source->context = context;
  OLICA_AGREE(context, olica_catalog_create(context, &source->catalog));
  OLICA_TRY(olica_catalog_share(source->catalog, context->rank == 0 ? open_on_root(source, path) : OLICA_OK));
  OLICA_TRY(share_config(source));
  char name[OLICA_CATALOG_PATH + 32];
  snprintf(name, sizeof name, source->is_checkpoint ? "%s: meta/config_json" : "%s/config.json", path);
  OLICA_AGREE(context, olica_arch_parse(env, name, source->config, source->config_bytes, &source->arch));
  OLICA_AGREE(context, olica_bind_all(source));
  OLICA_AGREE(context, plan_panels(source));
  *out = source;
  return OLICA_OK;
}

void olica_source_close(olica_source *source) {
  if (!source) return;
  olica_env *env = source->context->env;
  olica_catalog_destroy(source->catalog);
  olica_memory_free(env, source->config);
  olica_memory_free(env, source->shape);
  olica_memory_free(env, source->kept);
  olica_memory_free(env, source->kept_valid);
  olica_memory_free(env, source);
}

static olica_status check_finite(olica_source *source, const olica_tensor *tensor, int64_t first,
                                 const float *x, size_t n) {
  size_t bad = olica_number_nonfinite(x, n);
  if (bad == n) return OLICA_OK;
  return olica_error_set(source->context->env, OLICA_ERR_INPUT,
                         "%s: %s has %g as number %lld, expected finite weights",
                         olica_catalog_file(source->catalog, tensor), tensor->name, (double)x[bad],
                         (long long)first + (long long)bad);
}

/* All of a tensor in fp32 on every rank, read by `owner`, in pieces. raw [PIECE_BYTES]. */
static olica_status bring(olica_source *source, const olica_tensor *tensor, int owner, void *raw, float *x) {
  olica_context *context = source->context;
  size_t size = olica_number_size(tensor->dtype);
  int64_t count = tensor->bytes / (int64_t)size, step = PIECE_BYTES / (int64_t)size;
  for (int64_t first = 0; first < count; first += step) {
    int64_t n = count - first < step ? count - first : step;
    olica_status status = OLICA_OK;
    if (context->rank == owner) {
      status = olica_catalog_read(source->catalog, tensor, first, n, raw);
      if (status == OLICA_OK) {
        olica_number_decode(tensor->dtype, raw, x + first, (size_t)n);
        status = check_finite(source, tensor, first, x + first, (size_t)n);
      }
    }
    OLICA_AGREE(context, status);
    olica_comm_bcast(context, context->comm, raw, (size_t)n * size, owner);
    if (context->rank != owner) olica_number_decode(tensor->dtype, raw, x + first, (size_t)n);
  }
  return OLICA_OK;
}

static olica_status bring_layer(olica_source *source, int layer, void *raw, olica_layer *weights) {
  int owner = olica_partition_owner(source->arch.layers, source->context->size, layer);
  float *extras[OLICA_EXTRAS] = {weights->input_norm, weights->ffn_norm, weights->branch_a,
                                 weights->branch_b};
  for (int e = 0; e < OLICA_EXTRAS; e++)
    if (extras[e])
      OLICA_TRY(bring(source, olica_bind_extra(source, layer, (olica_extra)e), owner, raw, extras[e]));
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    const olica_linear *linear = &weights->linear[p];
    float *parts[OLICA_PARTS] = {linear->weight, linear->b, linear->a, linear->bias};
    for (int part = 0; part < OLICA_PARTS; part++) {
      if (!parts[part]) continue;
      const olica_tensor *tensor = olica_bind_part(source, layer, (olica_projection)p, (olica_part)part);
      OLICA_TRY(bring(source, tensor, owner, raw, parts[part]));
    }
  }
  return OLICA_OK;
}

olica_status olica_source_layer(olica_source *source, int layer, olica_layer **out) {
  olica_env *env = source->context->env;
  olica_layer *weights = NULL;
  unsigned char *raw = NULL;
  olica_status status = olica_layer_create(env, &source->arch, &source->shape[layer], &weights);
  if (status == OLICA_OK) status = OLICA_NEW(env, raw, PIECE_BYTES);
  OLICA_AGREE(source->context, status);
  OLICA_TRY(bring_layer(source, layer, raw, weights));
  olica_memory_free(env, raw);
  *out = weights;
  return OLICA_OK;
}

olica_status olica_source_norm(olica_source *source, float *gains) {
  unsigned char *raw;
  OLICA_AGREE(source->context, OLICA_NEW(source->context->env, raw, PIECE_BYTES));
  OLICA_TRY(bring(source, source->norm, 0, raw, gains));
  olica_memory_free(source->context->env, raw);
  return OLICA_OK;
}

/* The owner's part of a panel: raw rows, from the file or kept from the last time. */
static olica_status read_panel(olica_source *source, const olica_tensor *tensor, int panel, int64_t first,
                               int64_t count, void *raw, float *rows) {
  size_t numbers = (size_t)count * (size_t)source->arch.hidden, size = olica_number_size(tensor->dtype);
  int own = panel - source->own_first;
  char *kept = NULL;
  if (source->kept)
    kept = (char *)source->kept + (size_t)own * (size_t)source->panel_rows * source->arch.hidden * size;
  if (kept && source->kept_valid[own]) {
    memcpy(raw, kept, numbers * size);
  } else {
    OLICA_TRY(
        olica_catalog_read(source->catalog, tensor, first * source->arch.hidden, (int64_t)numbers, raw));
    if (kept) {
      memcpy(kept, raw, numbers * size);
      source->kept_valid[own] = true;
    }
  }
  olica_number_decode(tensor->dtype, raw, rows, numbers);
  return check_finite(source, tensor, first * source->arch.hidden, rows, numbers);
}

olica_status olica_source_panel(olica_source *source, olica_table table, int panel, float *rows,
                                int64_t *first, int64_t *count) {
  olica_context *context = source->context;
  const olica_tensor *tensor = source->table[table];
  int owner = olica_partition_owner(source->panels, context->size, panel);
  *first = (int64_t)panel * source->panel_rows;
  *count = source->arch.vocabulary - *first < source->panel_rows ? source->arch.vocabulary - *first
                                                                 : source->panel_rows;
  size_t numbers = (size_t)*count * (size_t)source->arch.hidden;
  size_t bytes = numbers * olica_number_size(tensor->dtype);
  unsigned char *raw;
  olica_status status = OLICA_NEW(context->env, raw, bytes);
  if (status == OLICA_OK && context->rank == owner)
    status = read_panel(source, tensor, panel, *first, *count, raw, rows);
  OLICA_AGREE(context, status);
  olica_comm_bcast(context, context->comm, raw, bytes, owner);
  if (context->rank != owner) olica_number_decode(tensor->dtype, raw, rows, numbers);
  olica_memory_free(context->env, raw);
  return OLICA_OK;
}
