/* The checkpoint: a small model with every kind of dataset is written by all ranks and by one, read back,
 * verified, damaged, and not written where it cannot be. Runs at any number of ranks; the last line says how
 * many checks passed. With a directory as argument the good checkpoints stay there. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/hdf5.h"
#include "par/comm.h"
#include "store/checkpoint.h"

enum { LAYERS = 3, EMBED_PIECE = 300 };

typedef struct test {
  olica_env *env;
  olica_context *context;
  char directory[512];
  bool keep;
  int passed, failed;
} test;

/* A check holds when it holds on every rank. Collective. */
static void check(test *t, bool holds, const char *what, const char *about) {
  int mine = holds, all;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_LAND, t->context->comm);
  *(all ? &t->passed : &t->failed) += 1;
  if (!holds)
    fprintf(stderr, "FAILED on rank %d: %s (%s): %s\n", t->context->rank, what, about, t->env->error.text);
}

/* ---- a model ---- */

typedef struct model {
  olica_dtype dtype;
  bool bias;
  char config[512];
  olica_arch arch;
  olica_layer_shape shape[LAYERS];
  olica_layer *layer[LAYERS];
  float *embed, *head, *norm;
} model;

/* Numbers that differ from tensor to tensor and that the format can hold. */
static void fill(olica_dtype dtype, float *x, int64_t count, unsigned seed) {
  for (int64_t i = 0; x && i < count; i++) {
    seed = seed * 1664525u + 1013904223u;
    x[i] = ((int)(seed >> 8) - (1 << 23)) * 0x1p-24f;
  }
  if (x) olica_number_round(dtype, x, (size_t)count);
}

/* Some of the neurons, ascending; NULL where all are kept. */
static olica_status make_kept(olica_env *env, int rows, int columns, int of, int32_t **kept) {
  if (columns == of) return OLICA_OK;
  OLICA_TRY(OLICA_NEW(env, *kept, (size_t)(rows * columns)));
  for (int i = 0; i < rows * columns; i++) (*kept)[i] = (i % columns) * of / columns;
  return OLICA_OK;
}

static olica_status fill_layer(olica_env *env, model *m, int l) {
  olica_layer *layer = m->layer[l];
  const olica_layer_shape *shape = &m->shape[l];
  int d = m->arch.hidden;
  unsigned seed = 1000u * (unsigned)(l + 1);
  fill(m->dtype, layer->input_norm, d, seed + 1);
  fill(m->dtype, layer->ffn_norm, d, seed + 2);
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    olica_linear *linear = &layer->linear[p];
    unsigned its = seed + 10u * (unsigned)(p + 1);
    fill(m->dtype, linear->weight, (int64_t)linear->out * linear->in, its);
    fill(m->dtype, linear->b, (int64_t)linear->out * linear->rank, its + 1);
    fill(m->dtype, linear->a, (int64_t)linear->rank * linear->in, its + 2);
    fill(m->dtype, linear->bias, linear->out, its + 3);
  }
  fill(m->dtype, layer->branch_a, (int64_t)d * shape->branch, seed + 3);
  fill(m->dtype, layer->branch_b, (int64_t)d * shape->branch, seed + 4);
  if (shape->kv_heads < m->arch.kv_heads)
    OLICA_TRY(make_kept(env, 1, shape->kv_heads, m->arch.kv_heads, &layer->heads_kept));
  OLICA_TRY(make_kept(env, shape->kv_heads, shape->values, m->arch.head, &layer->values_kept));
  return make_kept(env, 1, shape->ffn, m->arch.ffn, &layer->ffn_kept);
}

static olica_status make_model(olica_env *env, olica_dtype dtype, bool tied, bool bias, model *m) {
  static const olica_layer_shape shapes[LAYERS] = {
      {.rank = {30, 7}, .kv_heads = 2, .kv_before = 2, .group = 3, .values = 9, .ffn = 250},
      {.rank = {0, 5}, .kv_heads = 2, .kv_before = 2, .group = 3, .values = 16, .ffn = 320, .branch = 3},
      {.rank = {1, 0}, .kv_heads = 1, .kv_before = 2, .group = 3, .values = 1, .ffn = 1}};
  *m = (model){.dtype = dtype, .bias = bias};
  snprintf(m->config, sizeof m->config,
           "{\"model_type\": \"llama\", \"hidden_size\": 96, \"intermediate_size\": 320, "
           "\"num_hidden_layers\": 3, "
           "\"num_attention_heads\": 6, \"num_key_value_heads\": 2, \"head_dim\": 16, \"vocab_size\": 1001, "
           "\"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, "
           "\"hidden_act\": \"silu\", \"tie_word_embeddings\": %s, \"attention_bias\": %s, \"mlp_bias\": %s}",
           tied ? "true" : "false", bias ? "true" : "false", bias ? "true" : "false");
  OLICA_TRY(olica_arch_parse(env, "config.json", m->config, strlen(m->config), &m->arch));
  int64_t table = (int64_t)m->arch.vocabulary * m->arch.hidden;
  for (int l = 0; l < LAYERS; l++) {
    m->shape[l] = shapes[l];
    for (int p = 0; p < OLICA_PROJECTIONS; p++) m->shape[l].bias[p] = bias;
    OLICA_TRY(olica_layer_create(env, &m->arch, &m->shape[l], NULL, &m->layer[l]));
    OLICA_TRY(fill_layer(env, m, l));
  }
  OLICA_TRY(OLICA_NEW(env, m->embed, (size_t)table));
  OLICA_TRY(OLICA_NEW(env, m->head, (size_t)table));
  OLICA_TRY(OLICA_NEW(env, m->norm, (size_t)m->arch.hidden));
  fill(dtype, m->embed, table, 1);
  fill(dtype, m->head, table, 2);
  fill(dtype, m->norm, m->arch.hidden, 3);
  return OLICA_OK;
}

static void free_model(olica_env *env, model *m) {
  for (int l = 0; l < LAYERS; l++) olica_layer_destroy(env, m->layer[l]);
  olica_memory_free(env, m->embed);
  olica_memory_free(env, m->head);
  olica_memory_free(env, m->norm);
  olica_arch_free(env, &m->arch);
}

/* ---- writing ---- */

static olica_checkpoint_options options_of(const model *m, const char *path) {
  return (olica_checkpoint_options){
      .path = path, .dtype = m->dtype, .overwrite = true, .hints = MPI_INFO_NULL};
}

static olica_status create(olica_context *context, const model *m, const char *path,
                           olica_checkpoint **checkpoint) {
  const olica_checkpoint_options options = options_of(m, path);
  const olica_checkpoint_text texts[OLICA_TEXTS] = {[OLICA_TEXT_CONFIG] = {m->config, strlen(m->config)},
                                                    [OLICA_TEXT_SETTINGS] = {"{\"prune\": {}}", 13},
                                                    [OLICA_TEXT_PROVENANCE] = {"{}", 2},
                                                    [OLICA_TEXT_TOKENIZER_MODEL] = {"\0\1\2", 3}};
  return olica_checkpoint_open(context, &options, &m->arch, m->shape, texts, NULL, 0, checkpoint);
}

static olica_status write_table(olica_checkpoint *checkpoint, const model *m, olica_table table,
                                const float *rows) {
  for (int first = 0; first < m->arch.vocabulary; first += EMBED_PIECE) {
    int left = m->arch.vocabulary - first, count = left < EMBED_PIECE ? left : EMBED_PIECE;
    OLICA_TRY(olica_checkpoint_write_rows(checkpoint, table, first, count, rows + (size_t)first * 96));
  }
  return OLICA_OK;
}

static olica_status write_all(olica_checkpoint *checkpoint, const model *m) {
  OLICA_TRY(write_table(checkpoint, m, OLICA_TABLE_EMBED, m->embed));
  for (int l = 0; l < LAYERS; l++) OLICA_TRY(olica_checkpoint_write_layer(checkpoint, l, m->layer[l]));
  OLICA_TRY(olica_checkpoint_write_norm(checkpoint, m->norm));
  return m->arch.tied ? OLICA_OK : write_table(checkpoint, m, OLICA_TABLE_HEAD, m->head);
}

/* The whole way; after a failure nothing may be left of it. */
static olica_status write_model(olica_context *context, const model *m, const char *path, double *written) {
  olica_checkpoint *checkpoint;
  OLICA_TRY(create(context, m, path, &checkpoint));
  olica_status status = write_all(checkpoint, m);
  if (status == OLICA_OK) return olica_checkpoint_finish(checkpoint, false, written);
  olica_checkpoint_abandon(checkpoint);
  return status;
}

static bool exists(const char *path, const char *suffix) {
  char name[640];
  snprintf(name, sizeof name, "%s%s", path, suffix);
  return access(name, F_OK) == 0;
}

/* ---- reading back ---- */

typedef struct reading {
  const olica_catalog *catalog;
  const model *m;
  int found;
  bool same;
} reading;

static void compare(reading *r, const float *x, int rows, int columns, const char *format, int layer,
                    const char *name) {
  if (!x) return;
  char path[OLICA_TENSOR_NAME];
  snprintf(path, sizeof path, format, layer, name);
  const olica_tensor *tensor = olica_catalog_find(r->catalog, path);
  size_t count = (size_t)rows * (size_t)(columns ? columns : 1);
  bool same = tensor && tensor->dtype == r->m->dtype && tensor->dims == (columns ? 2 : 1) &&
              tensor->shape[0] == rows && (!columns || tensor->shape[1] == columns);
  if (same) {
    float *raw = malloc(count * sizeof *raw), *decoded = malloc(count * sizeof *decoded);
    same = olica_catalog_read((olica_catalog *)r->catalog, tensor, 0, (int64_t)count, raw) == OLICA_OK;
    olica_number_decode(tensor->dtype, raw, decoded, count);
    same = same && memcmp(decoded, x, count * sizeof *x) == 0;
    free(raw);
    free(decoded);
  }
  if (!same) fprintf(stderr, "%s is missing or differs\n", path);
  r->same = r->same && same;
  r->found++;
}

static void compare_layer(reading *r, int l) {
  static const char *const names[] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                      "gate_proj", "up_proj", "down_proj"};
  const olica_layer *layer = r->m->layer[l];
  int d = r->m->arch.hidden, branch = layer->shape.branch;
  compare(r, layer->input_norm, d, 0, "model/layers/%03d/%s", l, "input_layernorm");
  compare(r, layer->ffn_norm, d, 0, "model/layers/%03d/%s", l, "post_attention_layernorm");
  for (int p = 0; p < OLICA_PROJECTIONS; p++) {
    const olica_linear *linear = &layer->linear[p];
    compare(r, linear->weight, linear->out, linear->in, "model/layers/%03d/%s/weight", l, names[p]);
    compare(r, linear->b, linear->out, linear->rank, "model/layers/%03d/%s/b", l, names[p]);
    compare(r, linear->a, linear->rank, linear->in, "model/layers/%03d/%s/a", l, names[p]);
    compare(r, linear->bias, linear->out, 0, "model/layers/%03d/%s/bias", l, names[p]);
  }
  compare(r, layer->branch_a, d, branch, "model/layers/%03d/branch/%s", l, "a");
  compare(r, layer->branch_b, branch, d, "model/layers/%03d/branch/%s", l, "b");
}

static olica_status open_index(olica_context *context, const char *path, olica_catalog **catalog) {
  OLICA_TRY(olica_catalog_create(context, catalog));
  olica_status status = OLICA_OK;
  if (context->rank == 0)
    status = olica_hdf5_index(*catalog, path, OLICA_CHECKPOINT_FORMAT, OLICA_CHECKPOINT_SCHEMA);
  return olica_catalog_share(*catalog, status);
}

/* Rank 0 reads; everything is there, and nothing but it and the lists and texts. */
static void check_content(test *t, const model *m, const char *path) {
  olica_catalog *catalog;
  bool opened = open_index(t->context, path, &catalog) == OLICA_OK;
  check(t, opened, "the index is read", path);
  if (!opened) return;
  reading r = {.catalog = catalog, .m = m, .same = true};
  if (t->context->rank == 0) {
    int v = m->arch.vocabulary, d = m->arch.hidden;
    compare(&r, m->embed, v, d, "model/embed_tokens", 0, "");
    compare(&r, m->norm, d, 0, "model/norm", 0, "");
    if (!m->arch.tied) compare(&r, m->head, v, d, "model/lm_head", 0, "");
    for (int l = 0; l < LAYERS; l++) compare_layer(&r, l);
    int lists = 2 * LAYERS + 1; /* the last layer has lost a key/value head */
    r.same = r.same && catalog->count == r.found + lists + 4;
  }
  check(t, r.same, "what was written is there, and nothing else", path);
  olica_catalog_destroy(catalog);
}

/* The file is the same, byte by byte, as one that a single rank writes. */
static void check_same_file(test *t, const model *m, const char *path) {
  bool same = true;
  if (t->context->rank == 0) {
    char alone[640], command[1300];
    olica_context *single;
    double written;
    snprintf(alone, sizeof alone, "%s.alone", path);
    same = olica_context_create(t->env, MPI_COMM_SELF, 1, &single) == OLICA_OK &&
           write_model(single, m, alone, &written) == OLICA_OK;
    olica_context_destroy(single);
    snprintf(command, sizeof command, "cmp %s %s >&2", path, alone);
    same = same && system(command) == 0;
    unlink(alone);
  }
  check(t, same, "one rank writes the same file", path);
}

static void check_share(test *t, double written, const model *m, const char *path) {
  double all = written, most = written,
         expected = (double)olica_checkpoint_bytes(&m->arch, m->shape, m->dtype);
  olica_comm_sum(t->context, t->context->comm, &all, 1);
  olica_comm_max(t->context, t->context->comm, &most, 1);
  double texts = (double)strlen(m->config) + 13 + 2 + 3;
  check(t, all == expected + texts, "the bytes written are those of the datasets", path);
  check(t, most <= 2 * all / t->context->size, "no rank writes more than its share twice", path);
}

static void test_model(test *t, olica_dtype dtype, bool tied, bool bias) {
  char path[600];
  model m;
  double written = 0;
  int64_t tensors = 0, bytes = 0;
  snprintf(path, sizeof path, "%s/%s-%s-%s.h5", t->directory, olica_number_name(dtype),
           tied ? "tied" : "untied", bias ? "bias" : "plain");
  check(t, make_model(t->env, dtype, tied, bias, &m) == OLICA_OK, "a model", path);
  check(t, write_model(t->context, &m, path, &written) == OLICA_OK, "it is written", path);
  check(t, exists(path, "") && !exists(path, ".part"), "it has its name", path);
  check(t, olica_checkpoint_verify(t->context, path, &tensors, &bytes) == OLICA_OK, "it is verified", path);
  double all = written;
  olica_comm_sum(t->context, t->context->comm, &all, 1);
  check(t, tensors > 40 && (double)bytes == all, "all of it is verified", path);
  check_share(t, written, &m, path);
  check_content(t, &m, path);
  check_same_file(t, &m, path);
  if (t->context->rank == 0 && !t->keep) unlink(path);
  free_model(t->env, &m);
}

/* ---- damage ---- */

static bool says(const test *t, olica_status status, olica_status code, const char *word) {
  return status == code && strstr(t->env->error.text, word);
}

static void flip(const char *path, int64_t offset) {
  FILE *file = fopen(path, "r+b");
  if (!file) return;
  fseek(file, (long)offset, SEEK_SET);
  int byte = fgetc(file);
  fseek(file, (long)offset, SEEK_SET);
  fputc(byte ^ 0x10, file);
  fclose(file);
}

/* One bit of a dataset: all ranks hear which. `part` of `of` says where in it. */
static void check_damage(test *t, const char *path, const char *name, int part, int of) {
  olica_catalog *catalog;
  int64_t tensors, bytes, offset = 0;
  if (open_index(t->context, path, &catalog) != OLICA_OK) return check(t, false, "the index is read", path);
  const olica_tensor *tensor = olica_catalog_find(catalog, name);
  if (tensor) offset = tensor->offset + (tensor->bytes - 1) * part / of;
  olica_catalog_destroy(catalog);
  if (t->context->rank == 0) flip(path, offset);
  MPI_Barrier(t->context->comm);
  olica_status status = olica_checkpoint_verify(t->context, path, &tensors, &bytes);
  bool named = strstr(t->env->error.text, name) && strstr(t->env->error.text, path);
  check(t, tensor && status == OLICA_ERR_INPUT && named, "a damaged dataset is named", name);
  MPI_Barrier(t->context->comm);
  if (t->context->rank == 0) flip(path, offset);
  MPI_Barrier(t->context->comm);
}

static void test_damage(test *t) {
  char path[600];
  model m;
  double written;
  int64_t tensors, bytes;
  snprintf(path, sizeof path, "%s/damage.h5", t->directory);
  check(t, make_model(t->env, OLICA_BF16, false, true, &m) == OLICA_OK, "a model", path);
  check(t, write_model(t->context, &m, path, &written) == OLICA_OK, "it is written", path);
  for (int part = 0; part <= 8; part++) {
    check_damage(t, path, "model/embed_tokens", part, 8);
    check_damage(t, path, "model/lm_head", part, 8);
  }
  const char *const names[] = {"meta/config_json",
                               "meta/provenance_json",
                               "meta/tokenizer_model",
                               "model/norm",
                               "model/layers/000/v_proj/kept",
                               "model/layers/001/ffn_kept",
                               "model/layers/001/branch/b",
                               "model/layers/002/down_proj/weight",
                               "model/layers/002/q_proj/bias"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_damage(t, path, names[i], 1, 2);
  check(t, olica_checkpoint_verify(t->context, path, &tensors, &bytes) == OLICA_OK,
        "repaired, it is verified", path);
  bool cut = true;
  if (t->context->rank == 0) {
    struct stat info;
    cut = stat(path, &info) == 0 && truncate(path, info.st_size / 2) == 0;
  }
  check(t, cut, "a file is cut", path);
  olica_status status = olica_checkpoint_verify(t->context, path, &tensors, &bytes);
  check(t, says(t, status, OLICA_ERR_INPUT, path), "half a file", path);
  status = olica_checkpoint_verify(t->context, t->directory, &tensors, &bytes);
  check(t, says(t, status, OLICA_ERR_INPUT, "directory"), "no file", path);
  MPI_Barrier(t->context->comm);
  if (t->context->rank == 0) unlink(path);
  free_model(t->env, &m);
}

/* ---- what cannot be written ---- */

static void test_not_a_number(test *t) {
  char path[600];
  model m;
  double written;
  snprintf(path, sizeof path, "%s/nan.h5", t->directory);
  check(t, make_model(t->env, OLICA_FP16, true, false, &m) == OLICA_OK, "a model", path);
  m.layer[1]->linear[OLICA_UP].weight[777] = NAN;
  olica_status status = write_model(t->context, &m, path, &written);
  check(t, says(t, status, OLICA_ERR_IO, "model/layers/001/up_proj/weight has nan at element 777"), "NaN",
        path);
  MPI_Barrier(t->context->comm);
  check(t, !exists(path, "") && !exists(path, ".part"), "nothing is left", path);
  free_model(t->env, &m);
}

static void test_probe(test *t) {
  char path[600], part[620];
  snprintf(path, sizeof path, "%s/probe.h5", t->directory);
  snprintf(part, sizeof part, "%s.part", path);
  olica_checkpoint_options options = {.path = path};
  check(t, olica_checkpoint_probe(t->context, &options, 1000, true) == OLICA_OK && !exists(path, ".part"),
        "good", path);
  olica_status status = olica_checkpoint_probe(t->context, &options, INT64_MAX / 2, true);
  check(t, says(t, status, OLICA_ERR_IO, "are free"), "too large", path);
  if (t->context->rank == 0) fclose(fopen(path, "w"));
  status = olica_checkpoint_probe(t->context, &options, 1000, true);
  check(t, says(t, status, OLICA_ERR_CONFIG, "overwrite"), "it exists", path);
  options.overwrite = true;
  check(t, olica_checkpoint_probe(t->context, &options, 1000, true) == OLICA_OK && exists(path, ""), "may go",
        path);
  MPI_Barrier(t->context->comm);
  if (t->context->rank == 0) unlink(path), mkdir(part, 0700);
  status = olica_checkpoint_probe(t->context, &options, 1000, true);
  check(t, says(t, status, OLICA_ERR_IO, part), "the place of the .part file is taken", path);
  MPI_Barrier(t->context->comm);
  if (t->context->rank == 0) rmdir(part);
  options.path = "/nowhere/at/all.h5";
  status = olica_checkpoint_probe(t->context, &options, 1000, true);
  check(t, says(t, status, OLICA_ERR_IO, "/nowhere/at"), "no directory", options.path);
  options.path = "";
  check(t, olica_checkpoint_probe(t->context, &options, 1000, true) == OLICA_ERR_CONFIG, "no name", "");
}

/* A file system of 1 MiB; only root may make one. */
static void test_full(test *t) {
  char disk[560], path[600];
  model m;
  double written;
  int mounted = 0;
  snprintf(disk, sizeof disk, "%s/disk", t->directory);
  snprintf(path, sizeof path, "%s/full.h5", disk);
  if (t->context->rank == 0)
    mounted = mkdir(disk, 0700) == 0 && mount("tmpfs", disk, "tmpfs", 0, "size=1m") == 0;
  MPI_Bcast(&mounted, 1, MPI_INT, 0, t->context->comm);
  if (mounted) {
    check(t, make_model(t->env, OLICA_FP32, false, true, &m) == OLICA_OK, "a model", path);
    const olica_checkpoint_options options = options_of(&m, path);
    int64_t bytes = olica_checkpoint_bytes(&m.arch, m.shape, m.dtype);
    olica_status status = olica_checkpoint_probe(t->context, &options, bytes, true);
    check(t, says(t, status, OLICA_ERR_IO, disk), "the probe sees a small disk", path);
    status = write_model(t->context, &m, path, &written);
    check(t, says(t, status, OLICA_ERR_IO, path), "it does not fit", path);
    MPI_Barrier(t->context->comm);
    check(t, !exists(path, "") && !exists(path, ".part"), "nothing is left", path);
    free_model(t->env, &m);
  } else if (t->context->rank == 0)
    printf("not root: the test of a full disk is left out\n");
  if (t->context->rank != 0) return;
  if ((mounted && umount2(disk, MNT_DETACH) != 0) || rmdir(disk) != 0) perror(disk);
}

int main(int argc, char **argv) {
  olica_hdf5_start();
  MPI_Init(&argc, &argv);
  test t = {.env = olica_env_create(), .keep = argc > 1};
  if (!t.env || olica_context_create(t.env, MPI_COMM_WORLD, 1, &t.context) != OLICA_OK) return 1;
  snprintf(t.directory, sizeof t.directory, "%s", argc > 1 ? argv[1] : "/tmp/olica-checkpoint-XXXXXX");
  if (t.context->rank == 0 && !t.keep && !mkdtemp(t.directory)) return 1;
  MPI_Bcast(t.directory, sizeof t.directory, MPI_CHAR, 0, t.context->comm);
  for (olica_dtype dtype = 0; dtype < OLICA_DTYPES; dtype++) {
    test_model(&t, dtype, true, false);
    test_model(&t, dtype, false, true);
  }
  test_damage(&t);
  test_not_a_number(&t);
  test_probe(&t);
  test_full(&t);
  MPI_Barrier(t.context->comm);
  if (t.context->rank == 0 && !t.keep) rmdir(t.directory);
  if (t.context->rank == 0) printf("%d passed, %d failed\n", t.passed, t.failed);
  int failed = t.failed;
  olica_context_destroy(t.context);
  olica_env_destroy(t.env);
  MPI_Finalize();
  return failed > 0;
}
