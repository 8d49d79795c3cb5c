#include "contradictions.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "io/json.h"
#include "par/comm.h"
#include "par/partition.h"

typedef struct warner {
  const olica_source *source;
  olica_env *env;
  const char *name;
  const json_t *root;
} warner;

/* Tells whether a class is that of a family: its stem, or the family's name without regard to case and
 * underscores, and "ForCausalLM": "SeedOssForCausalLM" for "seed_oss". */
static bool is_class_of(const olica_family *family, const char *class) {
  const char *stem = family->class ? family->class : family->name;
  for (; *stem; stem++) {
    if (*stem == '_') continue;
    if (tolower((unsigned char)*stem) != tolower((unsigned char)*class)) return false;
    class ++;
  }
  return strcmp(class, "ForCausalLM") == 0;
}

/* Warns of another class than that of model_type: "LlamaForCausalLM" for "llama". */
static void warn_of_class(const warner *t) {
  const char *type = t->source->arch.family->name,
             *class = json_string_value(json_array_get(json_object_get(t->root, "architectures"), 0));
  if (class && !is_class_of(t->source->arch.family, class))
    olica_log_warn(t->env, "%s: architectures says %.60s, model_type %s: model_type is taken", t->name, class,
                   type);
  if (json_object_size(json_object_get(t->root, "auto_map")) > 0)
    olica_log_warn(t->env, "%s: auto_map names code of the model's own: it is not run, %s is computed",
                   t->name, type);
}

static bool says_type(const char *word, olica_dtype dtype) {
  static const char *const names[OLICA_DTYPES] = {
      [OLICA_FP32] = "float32", [OLICA_FP16] = "float16", [OLICA_BF16] = "bfloat16"};
  if (strncmp(word, "torch.", 6) == 0) word += 6;
  return strcmp(word, names[dtype]) == 0 || strcmp(word, "auto") == 0;
}

/* Returns the first weight whose type is not the embedding's. */
static const olica_tensor *other_type(const olica_source *source) {
  const olica_catalog *catalog = source->catalog;
  olica_dtype dtype = source->table[OLICA_TABLE_EMBED]->dtype;
  for (int i = 0; i < catalog->count; i++)
    if (catalog->tensor[i].dtype != OLICA_DTYPES && catalog->tensor[i].dtype != dtype)
      return &catalog->tensor[i];
  return NULL;
}

static void warn_of_types(const warner *t) {
  static const char *const keys[] = {"torch_dtype", "dtype"};
  const olica_tensor *embed = t->source->table[OLICA_TABLE_EMBED], *other = other_type(t->source);
  if (other)
    olica_log_warn(t->env, "weights have several types, %.100s %s and %.100s %s: each is read as stored",
                   embed->name, embed->stored, other->name, other->stored);
  for (int i = 0; i < 2 && !other && !t->source->is_checkpoint; i++) {
    const char *word = json_string_value(json_object_get(t->root, keys[i]));
    if (word && !says_type(word, embed->dtype))
      olica_log_warn(t->env, "%s: %s is %.40s, the weights are %s: they are read as stored", t->name, keys[i],
                     word, embed->stored);
  }
}

/* Warns of contradictions within an object of RoPE settings, and with rope_theta outside of it. */
static void warn_of_rope_object(const warner *t, const char *key, const json_t *object) {
  const json_t *old = json_object_get(object, "type"), *new = json_object_get(object, "rope_type");
  const json_t *outer = json_object_get(t->root, "rope_theta"),
               *inner = json_object_get(object, "rope_theta");
  if (json_is_string(old) && json_is_string(new) && !json_equal(old, new))
    olica_log_warn(t->env, "%s: %s: type is %.40s, rope_type %.40s: rope_type is taken, as transformers does",
                   t->name, key, json_string_value(old), json_string_value(new));
  if (json_is_number(outer) && json_is_number(inner) && json_number_value(outer) != json_number_value(inner))
    olica_log_warn(t->env,
                   "%s: rope_theta is %.10g, in %s %.10g: the latter is taken, as transformers 5 does (4.46 "
                   "takes the former)",
                   t->name, json_number_value(outer), key, json_number_value(inner));
}

/* Warns of a factor of yarn that is not the ratio of the two contexts. */
static void warn_of_yarn(const warner *t) {
  const olica_arch *arch = &t->source->arch;
  for (int i = 0; i < arch->ropes; i++) {
    const olica_rope *rope = &arch->rope[i];
    double ratio = arch->context / rope->original_context;
    if (rope->kind == OLICA_ROPE_YARN && rope->factor != ratio)
      olica_log_warn(
          t->env,
          "%s: factor of yarn is %.10g, max_position_embeddings / original_max_position_embeddings "
          "%.10g: the former is taken, as transformers 5 does (4.48 to 4.57 take the latter)",
          t->name, rope->factor, ratio);
  }
}

static void warn_of_rope(const warner *t) {
  static const char *const keys[] = {"rope_parameters", "rope_scaling"};
  for (int i = 0; i < 2; i++) {
    const json_t *object = json_object_get(t->root, keys[i]);
    const char *key;
    json_t *value;
    warn_of_rope_object(t, keys[i], object);
    json_object_foreach((json_t *)object, key, value) if (json_is_object(value))
        warn_of_rope_object(t, keys[i], value);
  }
}

/* Tells whether the key says of a projection of the family that it has a bias. */
static bool takes_bias(const olica_family *family, const char *key) {
  for (int p = 0; p < OLICA_PROJECTIONS; p++)
    if (family->bias[p].key && strcmp(family->bias[p].key, key) == 0) return true;
  return false;
}

/* Warns of keys that count in other families only. */
static void warn_of_idle(const warner *t) {
  static const char *const biases[] = {"attention_bias", "mlp_bias"};
  const olica_family *family = t->source->arch.family;
  for (int i = 0; i < 2; i++)
    if (!takes_bias(family, biases[i]) && json_is_true(json_object_get(t->root, biases[i])))
      olica_log_warn(t->env, "%s: %s is true, and does not count in %s, as in transformers", t->name,
                     biases[i], family->name);
  const json_t *window = json_object_get(t->root, "sliding_window");
  if (family->window == OLICA_WINDOW_NEVER && json_is_number(window))
    olica_log_warn(t->env, "%s: sliding_window is %.0f, and does not count in %s, as in transformers",
                   t->name, json_number_value(window), family->name);
}

void olica_contradictions_warn(const olica_source *source, const char *name) {
  olica_env *env = source->context->env;
  json_t *root;
  if (olica_json_parse(env, name, source->config, source->config_bytes, &root) != OLICA_OK) return;
  const warner t = {source, env, name, root};
  warn_of_class(&t);
  warn_of_types(&t);
  warn_of_rope(&t);
  warn_of_yarn(&t);
  warn_of_idle(&t);
  json_decref(root);
}

/* ---- a head that is stored though it is tied ---- */

enum { TIED_NUMBERS = 1 << 17 };

/* Finds the largest difference between this rank's shares of the embedding and of an output matrix that a
 * tied model stores too. */
static olica_status compare_tied(const olica_source *source, float *numbers, unsigned char *raw,
                                 double *largest) {
  const olica_context *context = source->context;
  const olica_tensor *tensor[2] = {source->table[OLICA_TABLE_EMBED], source->unused_head};
  int64_t all = (int64_t)source->arch.vocabulary * source->arch.hidden;
  olica_range own = olica_partition_block(all, context->size, context->rank);
  double before = context->env->bytes_read;
  *largest = 0;
  for (int64_t i = 0, n; i < own.count; i += n) {
    n = own.count - i < TIED_NUMBERS ? own.count - i : TIED_NUMBERS;
    for (int t = 0; t < 2; t++) {
      OLICA_TRY(olica_catalog_read(source->catalog, tensor[t], own.first + i, n, raw));
      olica_number_decode(tensor[t]->dtype, raw, numbers + t * TIED_NUMBERS, (size_t)n);
    }
    for (int64_t k = 0; k < n; k++) {
      double difference = fabs((double)numbers[k] - (double)numbers[TIED_NUMBERS + k]);
      if (difference > *largest) *largest = difference;
    }
  }
  context->env->bytes_read = before;
  return OLICA_OK;
}

static bool same_shape(const olica_tensor *a, const olica_tensor *b) {
  return a->dims == b->dims && a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1];
}

olica_status olica_contradictions_tied(olica_source *source) {
  olica_context *context = source->context;
  const olica_tensor *head = source->unused_head;
  double largest = INFINITY;
  if (!head || source->is_checkpoint) return OLICA_OK;
  if (same_shape(head, source->table[OLICA_TABLE_EMBED]) && head->dtype != OLICA_DTYPES) {
    float *numbers;
    OLICA_AGREE(context, OLICA_NEW(context->env, numbers, (size_t)3 * TIED_NUMBERS));
    OLICA_AGREE(context, compare_tied(source, numbers, (unsigned char *)(numbers + (size_t)2 * TIED_NUMBERS),
                                      &largest));
    olica_memory_free(context->env, numbers);
    olica_comm_max(context, context->comm, &largest, 1);
  }
  if (largest > 0 && context->rank == 0)
    olica_log_warn(
        context->env,
        "%s: tie_word_embeddings is true, and %s is stored too and differs from %s by up to %.4g: the "
        "latter serves as both, as in transformers 4; transformers 5 takes both as they are stored: set "
        "tie_word_embeddings to false for that",
        olica_catalog_file(source->catalog, head), head->name, source->table[OLICA_TABLE_EMBED]->name,
        largest);
  return OLICA_OK;
}
