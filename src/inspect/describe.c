#include "describe.h"

#include <stdio.h>
#include <string.h>

#include "config/value.h"
#include "model/nested.h"
#include "names.h"

enum { SIZE_MOST = 1 << 30 };

/* What the tensors of a layer tell. */
typedef struct row {
  bool exists;
  int64_t numbers;
  int64_t out[OLICA_ROLES];  /* rows of a projection, 0: it is not there */
  int64_t rank[OLICA_ROLES]; /* of one that is stored in low rank */
  int64_t branch;
  bool bias[OLICA_ROLES];
} row;

typedef struct description {
  const olica_subject *subject;
  olica_env *env;
  int layers; /* one beyond the last that exists */
  row *row;   /* [olica_describe_layers_most] */
  int64_t numbers[OLICA_COMPONENTS], bytes[OLICA_COMPONENTS];
  int64_t heads, kv_heads, head; /* from the config; 0: unknown */
} description;

int64_t olica_describe_numbers(const olica_tensor *tensor) {
  int64_t numbers = 1;
  for (int i = 0; i < tensor->dims; i++) numbers *= tensor->shape[i];
  return numbers;
}

int olica_describe_layers_most(const olica_catalog *catalog) {
  return catalog->count;
}

/* ---- the model ---- */

/* Returns a size of the config; 0: it has none, or none that a model can have. */
static int64_t number_in(const json_t *config, const char *key) {
  const double value = json_number_value(json_object_get(config, key));
  return value > 0 && value < SIZE_MOST ? (int64_t)value : 0;
}

static void copy(json_t *to, const char *name, const json_t *from, const char *key) {
  json_t *value = json_object_get(from, key);
  if (value && !json_is_null(value)) json_object_set(to, name, value);
}

/* The members of the model and their keys in config.json, and behind the architecture's name in GGUF. */
static const struct {
  const char *member, *published, *gguf;
} model_keys[] = {
    {"layers", "num_hidden_layers", "block_count"},
    {"hidden", "hidden_size", "embedding_length"},
    {"heads", "num_attention_heads", "attention.head_count"},
    {"kv_heads", "num_key_value_heads", "attention.head_count_kv"},
    {"head", "head_dim", "attention.key_length"},
    {"ffn", "intermediate_size", "feed_forward_length"},
    {"vocabulary", "vocab_size", "vocab_size"},
    {"context", "max_position_embeddings", "context_length"},
    {"tied", "tie_word_embeddings", ""},
    {"rope_theta", "rope_theta", "rope.freq_base"},
    {"activation", "hidden_act", ""},
};

enum { MODEL_KEYS = sizeof model_keys / sizeof *model_keys };

/* A model whose head's size is not said has hidden/heads; one without key/value heads has as many as heads.
 */
static void complete_model(description *d, json_t *model) {
  int64_t heads = number_in(model, "heads"), hidden = number_in(model, "hidden");
  if (!json_object_get(model, "head") && heads > 0 && hidden % heads == 0)
    json_object_set_new(model, "head", json_integer(hidden / heads));
  if (!json_object_get(model, "kv_heads") && heads > 0)
    json_object_set_new(model, "kv_heads", json_integer(heads));
  d->heads = heads;
  d->kv_heads = number_in(model, "kv_heads");
  d->head = number_in(model, "head");
}

static json_t *describe_gguf(const json_t *metadata) {
  json_t *model = json_object();
  const json_t *tokens = json_object_get(metadata, "tokenizer.ggml.tokens");
  const char *arch = json_string_value(json_object_get(metadata, "general.architecture"));
  copy(model, "family", metadata, "general.architecture");
  for (int i = 0; arch && i < MODEL_KEYS; i++) {
    char key[256];
    snprintf(key, sizeof key, "%.100s.%s", arch, model_keys[i].gguf);
    copy(model, model_keys[i].member, metadata, key);
  }
  if (!json_object_get(model, "vocabulary") && tokens)
    json_object_set_new(model, "vocabulary",
                        json_is_array(tokens) ? json_integer((json_int_t)json_array_size(tokens))
                                              : json_integer(number_in(tokens, "count")));
  return model;
}

static json_t *describe_config(const json_t *config) {
  json_t *model = json_object();
  const char *outer = olica_nested_find(json_string_value(json_object_get(config, "model_type")));
  const json_t *text = json_object_get(config, "text_config");
  if (outer && json_is_object(text)) {
    json_object_set_new(model, "text_of", json_string(outer));
    config = text;
  }
  copy(model, "family", config, "model_type");
  copy(model, "class", config, "architectures");
  copy(model, "text_of", config, OLICA_NESTED_KEY);
  for (int i = 0; i < MODEL_KEYS; i++) copy(model, model_keys[i].member, config, model_keys[i].published);
  return model;
}

static json_t *describe_model(description *d) {
  const olica_subject *subject = d->subject;
  json_t *model = subject->kind == OLICA_SUBJECT_GGUF ? describe_gguf(subject->config)
                  : subject->kind == OLICA_SUBJECT_REPORT
                      ? json_deep_copy(json_object_get(subject->report, "model"))
                      : describe_config(subject->config);
  if (!model) model = json_object();
  complete_model(d, model);
  return model;
}

/* ---- the tensors ---- */

/* Shares out the rows of query, key and value in one tensor. Without known heads they are of no part. */
static void count_joined(description *d, const olica_tensor *tensor) {
  int64_t rows = tensor->dims > 0 ? tensor->shape[0] : 0, values = d->kv_heads * d->head;
  int64_t numbers = olica_describe_numbers(tensor);
  if (d->head <= 0 || rows <= 0 || rows != (d->heads + 2 * d->kv_heads) * d->head) {
    d->numbers[OLICA_COMPONENT_OTHER] += numbers;
    d->bytes[OLICA_COMPONENT_OTHER] += tensor->bytes;
    return;
  }
  d->numbers[OLICA_COMPONENT_VALUE_OUTPUT] += numbers / rows * values;
  d->numbers[OLICA_COMPONENT_QUERY_KEY] += numbers / rows * (rows - values);
  d->bytes[OLICA_COMPONENT_VALUE_OUTPUT] += tensor->bytes / rows * values;
  d->bytes[OLICA_COMPONENT_QUERY_KEY] += tensor->bytes / rows * (rows - values);
}

/* Reads widths and ranks off the tensor of a projection. */
static void measure(const description *d, row *to, const olica_inspect_place *place,
                    const olica_tensor *tensor) {
  olica_role role = place->role;
  if (place->part == '+') to->bias[role] = true;
  if (place->part == '+' || tensor->dims != 2) return;
  /* A compact export has branch.a transposed; either factor has the rank. */
  if (role == OLICA_ROLE_BRANCH && place->part != 'w')
    to->branch = tensor->shape[0] < tensor->shape[1] ? tensor->shape[0] : tensor->shape[1];
  if (place->part != 'a') to->out[role] = tensor->shape[0];
  if (place->part == 'b') to->rank[role] = tensor->shape[1];
  if (role == OLICA_ROLE_GATE_UP) to->out[OLICA_GATE] = tensor->shape[0] / 2;
  if (role == OLICA_ROLE_QKV && d->head > 0 && tensor->shape[0] == (d->heads + 2 * d->kv_heads) * d->head) {
    to->out[OLICA_Q] = d->heads * d->head;
    to->out[OLICA_K] = to->out[OLICA_V] = d->kv_heads * d->head;
  }
}

static void take(description *d, const olica_tensor *tensor) {
  olica_inspect_place place =
      olica_names_place(tensor->name, olica_describe_layers_most(d->subject->catalog));
  olica_component component = olica_names_component(place.role);
  if (component == OLICA_COMPONENTS) return;
  if (place.role == OLICA_ROLE_QKV)
    count_joined(d, tensor);
  else {
    d->numbers[component] += olica_describe_numbers(tensor);
    d->bytes[component] += tensor->bytes;
  }
  if (place.layer < 0) return;
  row *to = &d->row[place.layer];
  to->exists = true;
  to->numbers += olica_describe_numbers(tensor);
  if (place.layer >= d->layers) d->layers = place.layer + 1;
  measure(d, to, &place, tensor);
}

static json_t *describe_biases(const row *its) {
  json_t *biases = json_array();
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    if (its->bias[p]) json_array_append_new(biases, json_string(olica_projection_name((olica_projection)p)));
  return biases;
}

/* Describes a layer, with the members of a report's. */
static json_t *describe_layer(const description *d, int layer) {
  static const char *const rank[OLICA_PROJECTIONS] = {"q_rank",    "k_rank",  "v_rank",   "o_rank",
                                                      "gate_rank", "up_rank", "down_rank"};
  const row *its = &d->row[layer];
  json_t *is = json_pack("{s:i, s:I}", "layer", layer, "parameters", (json_int_t)its->numbers);
  int64_t ffn = its->out[OLICA_GATE] ? its->out[OLICA_GATE] : its->out[OLICA_UP];
  if (d->head > 0 && its->out[OLICA_Q] % d->head == 0 && its->out[OLICA_K] % d->head == 0) {
    json_object_set_new(is, "heads", json_integer(its->out[OLICA_Q] / d->head));
    json_object_set_new(is, "kv_heads", json_integer(its->out[OLICA_K] / d->head));
  }
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    if (its->rank[p] > 0) json_object_set_new(is, rank[p], json_integer(its->rank[p]));
  if (its->out[OLICA_V]) json_object_set_new(is, "vo_width", json_integer(its->out[OLICA_V]));
  if (ffn) json_object_set_new(is, "ffn_width", json_integer(ffn));
  if (its->branch) json_object_set_new(is, "branch_rank", json_integer(its->branch));
  json_t *biases = describe_biases(its);
  if (json_array_size(biases) > 0) json_object_set(is, "biases", biases);
  json_decref(biases);
  return is;
}

/* Tells whether a member of a report is a measure of each layer. */
static bool is_by_layer(const json_t *value, size_t layers) {
  json_t *number;
  size_t i;
  if (!json_is_array(value) || json_array_size(value) != layers) return false;
  json_array_foreach((json_t *)value, i, number) {
    if (!json_is_real(number)) return false;
  }
  return true;
}

/* Adds what the report knows of the layers and their tensors do not tell: errors and sensitivities. */
static void add_of_report(const json_t *report, json_t *layers) {
  json_t *mine, *its, *value;
  const char *key;
  const size_t count = json_array_size(layers);
  size_t i;
  json_array_foreach(layers, i, mine) {
    its = json_array_get(json_object_get(report, "layers"), i);
    if (json_integer_value(json_object_get(its, "layer")) ==
        json_integer_value(json_object_get(mine, "layer")))
      json_object_foreach(its, key, value) if (!json_object_get(mine, key)) json_object_set(mine, key, value);
    json_object_foreach((json_t *)report, key, value) if (is_by_layer(value, count))
        json_object_set(mine, key, json_array_get(value, i));
  }
}

static json_t *describe_layers(const description *d) {
  json_t *layers = json_array();
  for (int i = 0; i < d->layers; i++)
    if (d->row[i].exists) json_array_append_new(layers, describe_layer(d, i));
  if (d->subject->kind == OLICA_SUBJECT_REPORT) {
    json_decref(layers);
    layers = json_deep_copy(json_object_get(d->subject->report, "layers"));
    if (!layers) layers = json_array();
  }
  if (d->subject->report) add_of_report(d->subject->report, layers);
  return layers;
}

static json_t *describe_parameters(const description *d) {
  json_t *parameters = json_object();
  int64_t numbers = 0, bytes = 0;
  for (int i = 0; i < OLICA_COMPONENTS; i++) {
    numbers += d->numbers[i];
    bytes += d->bytes[i];
    if (d->numbers[i] > 0)
      json_object_set_new(
          parameters, olica_component_name((olica_component)i),
          json_pack("{s:I, s:I}", "numbers", (json_int_t)d->numbers[i], "bytes", (json_int_t)d->bytes[i]));
  }
  json_object_set_new(parameters, "total",
                      json_pack("{s:I, s:I}", "numbers", (json_int_t)numbers, "bytes", (json_int_t)bytes));
  return parameters;
}

static json_t *describe_tensor(const olica_tensor *tensor) {
  json_t *shape = json_array();
  for (int i = 0; i < tensor->dims; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
  return json_pack("{s:s, s:s, s:o, s:I}", "name", tensor->name, "type", tensor->stored, "shape", shape,
                   "bytes", (json_int_t)tensor->bytes);
}

/* Lists the tensors, and their number by type. */
static void add_tensors(const olica_catalog *catalog, json_t *to) {
  json_t *types = json_object(), *tensors = json_array();
  for (int i = 0; i < catalog->count; i++) {
    const olica_tensor *tensor = &catalog->tensor[i];
    json_array_append_new(tensors, describe_tensor(tensor));
    json_object_set_new(types, tensor->stored,
                        json_integer(json_integer_value(json_object_get(types, tensor->stored)) + 1));
  }
  json_object_set_new(to, "types", types);
  json_object_set_new(to, "tensors", tensors);
}

/* ---- all ---- */

static void put(json_t *to, const char *key, json_t *value) {
  if (value) json_object_set(to, key, value);
}

/* Adds what a report has of the whole run. */
static void add_run(const olica_subject *subject, json_t *to) {
  static const char *const members[] = {"status", "perplexity", "perplexities", "tasks"};
  const bool alone = subject->kind == OLICA_SUBJECT_REPORT;
  if (subject->report_path) json_object_set_new(to, "report", olica_value_string(subject->report_path));
  for (size_t i = 0; i < sizeof members / sizeof *members; i++)
    put(to, members[i], json_object_get(subject->report, members[i]));
  if (!alone) return;
  put(to, "settings", json_object_get(subject->report, "settings"));
  json_t *run = json_deep_copy(json_object_get(subject->report, "run"));
  if (!run) return;
  put(run, "program", json_object_get(json_object_get(subject->report, "olica_mpi"), "version"));
  json_object_set_new(to, "provenance", run);
}

/* The parameters of a report are those that it tells. */
static json_t *told_parameters(const olica_subject *subject) {
  const json_t *told = json_object_get(subject->report, "parameters");
  json_t *mine = json_object(), *numbers = json_object_get(told, "pruned");
  if (!numbers) numbers = json_object_get(told, "model");
  if (!numbers) numbers = json_object_get(told, "dense");
  if (numbers) json_object_set_new(mine, "total", json_pack("{s:O}", "numbers", numbers));
  copy(mine, "dense", told, "dense");
  copy(mine, "sparsity_reached", told, "sparsity_reached");
  return mine;
}

static json_t *describe(description *d) {
  const olica_subject *subject = d->subject;
  json_t *is = json_object(), *parameters;
  json_object_set_new(is, "path", olica_value_string(subject->path));
  json_object_set_new(is, "kind", json_string(olica_subject_kind_name(subject->kind)));
  json_object_set_new(is, "bytes", json_integer(subject->file_bytes));
  json_object_set_new(is, "model", describe_model(d));
  for (int i = 0; i < subject->catalog->count; i++) take(d, &subject->catalog->tensor[i]);
  parameters = subject->kind == OLICA_SUBJECT_REPORT ? told_parameters(subject) : describe_parameters(d);
  if (subject->report_path) {
    copy(parameters, "dense", json_object_get(subject->report, "parameters"), "dense");
    copy(parameters, "sparsity_reached", json_object_get(subject->report, "parameters"), "sparsity_reached");
  }
  if (subject->kind != OLICA_SUBJECT_STATISTICS) json_object_set(is, "parameters", parameters);
  json_decref(parameters);
  json_object_set_new(is, "layers", describe_layers(d));
  put(is, "settings", subject->settings);
  put(is, "provenance", subject->provenance);
  put(is, "statistics_of", subject->about);
  add_run(subject, is);
  put(is, subject->kind == OLICA_SUBJECT_GGUF ? "metadata" : "config", subject->config);
  if (subject->kind != OLICA_SUBJECT_REPORT) add_tensors(subject->catalog, is);
  return is;
}

olica_status olica_describe(const olica_subject *subject, json_t **out) {
  description d = {.subject = subject, .env = subject->catalog->context->env};
  if (subject->kind == OLICA_SUBJECT_REPORT && !json_is_object(json_object_get(subject->report, "olica_mpi")))
    return olica_error_set(
        d.env, OLICA_ERR_INPUT,
        "%s: has no member olica_mpi, expected a report of this program, or another kind of "
        "file that --inspect knows",
        subject->path);
  OLICA_TRY(OLICA_NEW(d.env, d.row, (size_t)olica_describe_layers_most(subject->catalog)));
  *out = describe(&d);
  olica_memory_free(d.env, d.row);
  return *out ? OLICA_OK
              : olica_error_set(d.env, OLICA_ERR_MEMORY, "%s: no memory to describe it", subject->path);
}
