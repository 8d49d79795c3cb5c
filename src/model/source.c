#include "model/source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bind.h"
#include "contradictions.h"
#include "fused.h"
#include "io/hdf5.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "par/comm.h"
#include "par/partition.h"
#include "par/watch.h"
#include "prefetch.h"

enum {
  PANEL_BYTES = 8 << 20, /* of fp32 rows of a table on every node */
  PANELS_LEAST = 16,     /* of a table, if it has so many rows */
  REST_NUMBERS = 1 << 17
};

/* Indexes the files and loads the config, on rank 0. */
static olica_status open_on_root(olica_source *source, const char *path) {
  olica_env *env = source->context->env;
  struct stat info;
  if (stat(path, &info) != 0)
    return olica_error_set(env, errno == EACCES ? OLICA_ERR_IO : OLICA_ERR_INPUT,
                           "%.1000s: %s, expected a model ([model] path)", path, strerror(errno));
  source->is_checkpoint = !S_ISDIR(info.st_mode);
  if (source->is_checkpoint)
    return olica_hdf5_index(source->catalog, path, OLICA_CHECKPOINT_FORMAT, OLICA_CHECKPOINT_SCHEMA);
  char file[OLICA_CATALOG_PATH];
  if (snprintf(file, sizeof file, "%s/config.json", path) >= (int)sizeof file)
    return olica_error_set(env, OLICA_ERR_INPUT, "%.200s...: the path is too long", path);
  OLICA_TRY(olica_config_load(env, file, &source->config, &source->config_bytes));
  OLICA_TRY(olica_safetensors_open(source->catalog, path));
  return olica_nested_take(source->catalog, file, &source->config, &source->config_bytes, &source->nested);
}

/* Gives every rank the config: a file's text from rank 0, or a checkpoint's own. */
static olica_status share_config(olica_source *source) {
  olica_context *context = source->context;
  int is_checkpoint = source->is_checkpoint;
  olica_comm_bcast(context, context->comm, &is_checkpoint, sizeof is_checkpoint, 0);
  source->is_checkpoint = is_checkpoint != 0;
  olica_comm_bcast(context, context->comm, &source->nested, sizeof source->nested, 0);
  return source->is_checkpoint ? olica_config_read(source->catalog, &source->config, &source->config_bytes)
                               : olica_config_share(context, &source->config, &source->config_bytes);
}

/* Reads the datasets of a checkpoint that no sweep reads (lists, texts), to check them: a file with damage in
 * one dataset may have more. The ranks take turns; the bytes are not booked as read. */
static olica_status read_rest(const olica_source *source, void *raw) {
  const olica_context *context = source->context;
  olica_catalog *catalog = source->catalog;
  double before = context->env->bytes_read;
  for (int i = context->rank; i < catalog->count; i += context->size) {
    const olica_tensor *tensor = &catalog->tensor[i];
    int64_t all = 1;
    if (tensor->dtype != OLICA_DTYPES || !tensor->has_crc) continue;
    for (int k = 0; k < tensor->dims; k++) all *= tensor->shape[k];
    for (int64_t first = 0, n; first < all; first += n) {
      n = all - first < REST_NUMBERS ? all - first : REST_NUMBERS;
      OLICA_TRY(olica_catalog_read(catalog, tensor, first, n, raw));
    }
  }
  context->env->bytes_read = before;
  return OLICA_OK;
}

/* Warns of datasets without a checksum, which another writer may have left out. */
static void warn_of_no_checksums(const olica_source *source) {
  const olica_catalog *catalog = source->catalog;
  int without = 0;
  for (int i = 0; i < catalog->count; i++) without += !catalog->tensor[i].has_crc;
  if (without > 0 && source->context->rank == 0)
    olica_log_warn(source->context->env, "%s: %d of %d datasets have no checksum: damage in them is not seen",
                   catalog->path[0], without, catalog->count);
}

static olica_status check_rest(olica_source *source) {
  olica_context *context = source->context;
  olica_catalog *catalog = source->catalog;
  if (!source->is_checkpoint) return OLICA_OK;
  warn_of_no_checksums(source);
  void *raw = olica_memory_get(context->env, "block", REST_NUMBERS, sizeof(double));
  OLICA_AGREE(context, raw ? read_rest(source, raw) : context->env->error.code);
  olica_memory_free(context->env, raw);
  for (int i = 0; i < catalog->count; i++) {
    const olica_tensor *tensor = &catalog->tensor[i];
    if (tensor->dtype == OLICA_DTYPES) OLICA_TRY(olica_catalog_check(catalog, &tensor, 1));
  }
  return OLICA_OK;
}

/* Returns the rows of a panel. They do not depend on the number of ranks, so that no result of a panel does.
 */
static int rows_of_panel(const olica_arch *arch) {
  int rows = PANEL_BYTES / (int)sizeof(float) / arch->hidden;
  /* Small vocabularies are cut too, so that many ranks have something to read. */
  int share = (arch->vocabulary - 1) / PANELS_LEAST + 1;
  if (rows > share) rows = share;
  return rows > 1 ? rows : 1;
}

/* Bytes of a rank's share of a tied table's panel, as stored. */
static size_t tied_share(const olica_source *source, int groups) {
  return olica_prefetch_share((int64_t)source->panel_rows * source->arch.hidden,
                              olica_number_size(source->table[OLICA_TABLE_EMBED]->dtype), groups);
}

static olica_status plan_panels(olica_source *source) {
  const olica_context *context = source->context;
  const olica_arch *arch = &source->arch;
  source->panel_rows = rows_of_panel(arch);
  source->panels = (arch->vocabulary + source->panel_rows - 1) / source->panel_rows;
  olica_range own = olica_partition_block(source->panels, context->nodes, context->node_index);
  source->own_first = (int)own.first;
  source->own_count = (int)own.count;
  if (!arch->tied) return OLICA_OK;
  source->kept_stride = tied_share(source, context->peer_groups);
  OLICA_TRY(OLICA_NEW(context->env, source->kept_valid, (size_t)own.count));
  source->kept = olica_memory_get(context->env, "tied table", (size_t)own.count, source->kept_stride);
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
  char name[OLICA_CATALOG_PATH + 48];
  snprintf(name, sizeof name,
           source->is_checkpoint ? "%s: " OLICA_CHECKPOINT_CONFIG
           : source->nested.is   ? "%s/config.json: text_config"
                                 : "%s/config.json",
           path);
  OLICA_AGREE(context, olica_arch_parse(env, name, source->config, source->config_bytes, &source->arch));
  if (source->nested.is) OLICA_AGREE(context, olica_nested_check(env, name, &source->arch));
  if (source->arch.text_of && !source->nested.is && context->rank == 0)
    olica_log_line(env, "%s: the text model of a %s, without its other parts", path, source->arch.text_of);
  if (!source->is_checkpoint) OLICA_AGREE(context, olica_fused_divide(source->catalog, &source->arch));
  OLICA_AGREE(context, olica_bind_all(source));
  OLICA_TRY(check_rest(source));
  OLICA_TRY(olica_contradictions_tied(source));
  if (context->rank == 0) olica_contradictions_warn(source, name);
  OLICA_AGREE(context, plan_panels(source));
  *out = source;
  return OLICA_OK;
}

void olica_source_close(olica_source *source) {
  if (!source) return;
  olica_env *env = source->context->env;
  olica_source_settle(source);
  source->context->background = (olica_background){0};
  olica_prefetch_destroy(source->prefetch);
  olica_layer_destroy(env, source->next);
  olica_shared_destroy(source->memory);
  for (int i = 0; source->kept_layer && i < source->arch.layers; i++)
    olica_memory_free(env, source->kept_layer[i]);
  olica_memory_free(env, source->kept_layer);
  olica_memory_free(env, source->kept_layer_valid);
  olica_catalog_destroy(source->catalog);
  olica_memory_free(env, source->config);
  olica_arch_free(env, &source->arch);
  olica_memory_free(env, source->shape);
  olica_memory_free(env, source->kept);
  olica_memory_free(env, source->kept_valid);
  olica_memory_free(env, source);
}

/* ---- layers ---- */

/* Returns the bytes of a rank's share of the largest layer, as stored, in the widest of its types. */
static size_t layer_share(const olica_source *source, int groups) {
  int64_t most = 0;
  for (int i = 0; i < source->arch.layers; i++) {
    int64_t numbers = olica_layer_shape_total(&source->arch, &source->shape[i]);
    if (numbers > most) most = numbers;
  }
  return olica_prefetch_share(most, olica_number_size(source->dtype), groups);
}

static size_t panel_share(const olica_source *source, int groups) {
  return olica_prefetch_share((int64_t)source->panel_rows * source->arch.hidden,
                              olica_number_size(source->dtype), groups);
}

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

olica_source_needs olica_source_plan(const olica_source *source, int nodes, int ranks_per_node,
                                     bool prefetch) {
  size_t layer = layer_share(source, ranks_per_node), panel = panel_share(source, ranks_per_node);
  olica_source_needs needs = {.rank = olica_prefetch_raw_bytes(larger(layer, panel), prefetch && nodes > 1),
                              .kept =
                                  (size_t)olica_partition_block(source->arch.layers, nodes, 0).count * layer};
  if (source->arch.tied)
    needs.table =
        (size_t)olica_partition_block(source->panels, nodes, 0).count * tied_share(source, ranks_per_node);
  for (int i = 0; i < source->arch.layers; i++)
    needs.node = larger(needs.node, olica_layer_bytes(&source->arch, &source->shape[i]));
  return needs;
}

/* Advances the prefetch: Open MPI moves nothing by itself. */
static void progress(void *self) {
  const olica_source *source = self;
  olica_prefetch_progress(source->prefetch);
}

olica_status olica_source_begin(olica_source *source, olica_source_options options) {
  olica_context *context = source->context;
  int groups = context->peer_groups;
  size_t share = larger(layer_share(source, groups), panel_share(source, groups));
  source->options = options;
  olica_status status = olica_prefetch_create(source->catalog, OLICA_TENSORS_LAYER, share, options.prefetch,
                                              options.output, &source->prefetch);
  if (status == OLICA_OK && options.keep)
    status = OLICA_NEW(context->env, source->kept_layer, (size_t)source->arch.layers);
  if (status == OLICA_OK && options.keep)
    status = OLICA_NEW(context->env, source->kept_layer_valid, (size_t)source->arch.layers);
  OLICA_AGREE(context, status);
  size_t bytes = olica_source_plan(source, context->nodes, groups, options.prefetch).node;
  OLICA_TRY(olica_shared_create(context, "the layer in work", bytes, &source->memory));
  context->background = (olica_background){progress, source};
  return OLICA_OK;
}

/* Lists the stored tensors of a layer and their destinations. */
static int list_layer(const olica_source *source, int layer, olica_layer *weights,
                      olica_span span[OLICA_TENSORS_LAYER]) {
  int count = 0;
  for (olica_tensor_id id = OLICA_TENSORS_MODEL; id < OLICA_TENSORS; id++) {
    int64_t numbers = olica_tensors_numbers(&source->arch, &weights->shape, id);
    if (numbers == 0 || olica_tensors_row(id)->is_list) continue;
    span[count] = (olica_span){.tensor = olica_bind_find(source, id, layer),
                               .count = numbers,
                               .to = *olica_tensors_weights(weights, id)};
    count++;
  }
  return count;
}

/* Allocates the memory that keeps this rank's share of a layer as stored, if the options and the owner ask
 * for it. */
static olica_status keep_layer(olica_source *source, int layer, int owner) {
  olica_context *context = source->context;
  if (!source->options.keep || owner != context->node_index || source->kept_layer[layer]) return OLICA_OK;
  size_t bytes = olica_prefetch_share(olica_layer_shape_total(&source->arch, &source->shape[layer]),
                                      olica_number_size(source->dtype), context->peer_groups);
  source->kept_layer[layer] = olica_memory_get(context->env, "kept layer", bytes, 1);
  return source->kept_layer[layer] ? OLICA_OK : context->env->error.code;
}

/* Begins the transfer of a layer. Collective. */
static olica_status expect_layer(olica_source *source, int layer) {
  olica_context *context = source->context;
  olica_span span[OLICA_TENSORS_LAYER];
  int owner = olica_partition_owner(source->arch.layers, context->nodes, layer);
  olica_status status = olica_layer_create(context->env, &source->arch, &source->shape[layer],
                                           source->memory->data, &source->next);
  if (status == OLICA_OK) status = keep_layer(source, layer, owner);
  OLICA_AGREE(context, status);
  source->next_index = layer;
  int spans = list_layer(source, layer, source->next, span);
  bool keep = source->options.keep;
  olica_prefetch_begin(source->prefetch, owner, span, spans, keep ? source->kept_layer[layer] : NULL,
                       keep ? &source->kept_layer_valid[layer] : NULL);
  return OLICA_OK;
}

/* Completes the transfer, the last one of these tensors, and compares their checksums. A wrong checksum is
 * reported before a bad number, which it explains. */
static olica_status finish(olica_source *source, const olica_tensor *const *tensor, int count) {
  olica_status own = olica_prefetch_finish(source->prefetch);
  olica_status sums = olica_catalog_check(source->catalog, tensor, count);
  OLICA_AGREE(source->context, sums == OLICA_OK ? own : sums);
  return OLICA_OK;
}

/* Warns of a tensor of zeros, as an interrupted download leaves them. A bias may well be 0. */
static void warn_of_zeros(const olica_source *source, const olica_tensor *tensor, bool live) {
  size_t length = strlen(tensor->name);
  bool is_bias = length > 4 && strcmp(tensor->name + length - 4, "bias") == 0;
  if (!live && !is_bias && source->context->rank == 0)
    olica_log_warn(source->context->env, "%s: %s is all zeros: is the file whole?",
                   olica_catalog_file(source->catalog, tensor), tensor->name);
}

/* Combines over all ranks which spans have a number that is not 0. */
static void share_live(const olica_source *source, bool *live, int count) {
  olica_watch_enter(source->context, "a maximum of all");
  MPI_Allreduce(MPI_IN_PLACE, live, count, MPI_C_BOOL, MPI_LOR, source->context->comm);
  olica_watch_leave(source->context);
}

static olica_status finish_layer(olica_source *source, int layer) {
  olica_span span[OLICA_TENSORS_LAYER];
  const olica_tensor *tensor[OLICA_TENSORS_LAYER];
  bool live[OLICA_TENSORS_LAYER];
  int spans = list_layer(source, layer, source->next, span);
  for (int i = 0; i < spans; i++) tensor[i] = span[i].tensor;
  OLICA_TRY(finish(source, tensor, spans));
  if (layer < source->looked) return OLICA_OK;
  source->looked = layer + 1;
  for (int i = 0; i < spans; i++) live[i] = olica_prefetch_live(source->prefetch, i);
  share_live(source, live, spans);
  for (int i = 0; i < spans; i++) warn_of_zeros(source, tensor[i], live[i]);
  return OLICA_OK;
}

/* Completes the transfer of a panel, and warns of a table of zeros with its last one. A tied table is checked
 * once. */
static olica_status finish_panel(olica_source *source, olica_table table, bool is_last) {
  bool *live = &source->table_live[table], *looked = &source->table_looked[table];
  OLICA_TRY(finish(source, &source->table[table], is_last));
  *live |= olica_prefetch_live(source->prefetch, 0);
  if (!is_last || *looked) return OLICA_OK;
  share_live(source, live, 1);
  warn_of_zeros(source, source->table[table], *live);
  for (int t = 0; t < OLICA_TABLES; t++) source->table_looked[t] |= source->table[t] == source->table[table];
  return OLICA_OK;
}

olica_status olica_source_layer(olica_source *source, int layer, olica_layer **out) {
  olica_context *context = source->context;
  if (!source->next) OLICA_TRY(expect_layer(source, layer));
  assert(source->next_index == layer);
  olica_shared_fence(context); /* all ranks of the node are done with the layer before */
  OLICA_TRY(finish_layer(source, layer));
  *out = source->next;
  source->next = NULL;
  return layer + 1 < source->arch.layers ? expect_layer(source, layer + 1) : OLICA_OK;
}

void olica_source_settle(olica_source *source) {
  if (source) olica_prefetch_settle(source->prefetch);
}

/* ---- norm and tables ---- */

static olica_status read_vector(olica_source *source, const olica_tensor *tensor, float *gains) {
  size_t d = (size_t)source->arch.hidden;
  unsigned char *raw;
  OLICA_TRY(OLICA_NEW(source->context->env, raw, d * sizeof(float)));
  OLICA_TRY(olica_catalog_read(source->catalog, tensor, 0, (int64_t)d, raw));
  olica_number_decode(tensor->dtype, raw, gains, d);
  olica_memory_free(source->context->env, raw);
  return olica_prefetch_check(source->catalog, tensor, source->options.output, 0, gains, d);
}

static olica_status read_norm(olica_source *source, float *gains) {
  OLICA_TRY(read_vector(source, source->norm, gains));
  return source->norm_bias ? read_vector(source, source->norm_bias, gains + source->arch.hidden) : OLICA_OK;
}

olica_status olica_source_norm(olica_source *source, float *gains) {
  olica_context *context = source->context;
  OLICA_AGREE(context, context->rank == 0 ? read_norm(source, gains) : OLICA_OK);
  olica_comm_bcast(context, context->comm, gains, olica_arch_norm_numbers(&source->arch) * sizeof *gains, 0);
  return OLICA_OK;
}

olica_status olica_source_panel(olica_source *source, olica_table table, int panel, float *rows,
                                int64_t *first, int64_t *count) {
  olica_context *context = source->context;
  int owner = olica_partition_owner(source->panels, context->nodes, panel);
  int64_t d = source->arch.hidden, left;
  *first = (int64_t)panel * source->panel_rows;
  left = source->arch.vocabulary - *first;
  *count = left < source->panel_rows ? left : source->panel_rows;
  olica_span span = {source->table[table], *first * d, *count * d, rows};
  size_t own = (size_t)(panel - source->own_first);
  bool keep = source->kept && owner == context->node_index;
  olica_prefetch_begin(source->prefetch, owner, &span, 1,
                       keep ? source->kept + own * source->kept_stride : NULL,
                       keep ? &source->kept_valid[own] : NULL);
  olica_shared_fence(context);
  return finish_panel(source, table, panel + 1 == source->panels);
}
