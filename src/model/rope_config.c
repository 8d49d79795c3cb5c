/* The RoPE settings of a config.json. Older files have rope_theta and rope_scaling, newer ones
 * rope_parameters, some both; rope_parameters may have an object for each kind of layer. Absent keys have the
 * values of transformers. */
#include <math.h>
#include <string.h>

#include "features.h"
#include "io/json.h"
#include "reader.h"

/* One RoPE while it is read: what it has of lists still lies in the config. */
typedef struct setting {
  olica_rope rope;
  double partial;           /* share of a head that turns */
  const json_t *divisor[2]; /* longrope */
} setting;

/* The kinds of layers. */
enum { FULL, SLIDING, KINDS };
static const char *const kinds[KINDS] = {"full_attention", "sliding_attention"};

/* ---- one object ---- */

/* Reads the context length that the frequencies refer to. rope->original_context is the one outside of the
 * RoPE settings; 0: none. */
static olica_status read_original_context(const olica_reader *r, const olica_arch *arch, olica_rope *rope) {
  double beside = rope->original_context, within = beside > 0 ? beside : arch->context;
  OLICA_TRY(olica_reader_real(r, "original_max_position_embeddings", false, 1, 1e12, &within));
  rope->original_context = within;
  if (beside == 0 || within == beside) return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: original_max_position_embeddings is %.15g, expected %.15g: outside of it the "
                         "config says so, and they contradict each other",
                         r->name, within, beside);
}

/* Reads the factor; null, and where it is not required also none, is the ratio of the contexts. */
static olica_status read_factor_or_ratio(const olica_reader *r, const olica_arch *arch, bool required,
                                         olica_rope *rope) {
  rope->factor = arch->context / rope->original_context;
  if (required && !json_object_get(r->root, "factor"))
    return olica_reader_real(r, "factor", true, 1e-6, 1e6, &rope->factor);
  return olica_reader_real(r, "factor", false, 1e-6, 1e6, &rope->factor);
}

static olica_status read_llama3(const olica_reader *r, const olica_arch *arch, olica_rope *rope) {
  OLICA_TRY(read_original_context(r, arch, rope));
  OLICA_TRY(olica_reader_real(r, "factor", true, 1e-6, 1e6, &rope->factor));
  OLICA_TRY(olica_reader_real(r, "low_freq_factor", true, 1e-6, 1e6, &rope->low_freq));
  OLICA_TRY(olica_reader_real(r, "high_freq_factor", true, 1e-6, 1e6, &rope->high_freq));
  if (rope->high_freq > rope->low_freq) return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: high_freq_factor is %g, expected more than low_freq_factor %g", r->name,
                         rope->high_freq, rope->low_freq);
}

/* 0.1 m log(factor) + 1 */
static double yarn_scale(double factor, double m) {
  return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

static olica_status read_yarn_magnitude(const olica_reader *r, olica_rope *rope) {
  double above = 0, below = 0;
  OLICA_TRY(olica_reader_real(r, "mscale", false, 0, 1e6, &above));
  OLICA_TRY(olica_reader_real(r, "mscale_all_dim", false, 0, 1e6, &below));
  rope->magnitude = above > 0 && below > 0 ? yarn_scale(rope->factor, above) / yarn_scale(rope->factor, below)
                                           : yarn_scale(rope->factor, 1);
  return olica_reader_real(r, "attention_factor", false, 1e-6, 1e6, &rope->magnitude);
}

/* Returns the pair, possibly a broken one, that turns so often within the original context. */
static double pair_of_turns(const olica_rope *rope, int dims, double turns) {
  return dims * log(rope->original_context / (turns * 2 * acos(-1.0))) / (2 * log(rope->theta));
}

/* Reads the pairs between which yarn blends. `outer` has `truncate`, also where `r` is of a kind of layer. */
static olica_status read_yarn_ramp(const olica_reader *r, const olica_reader *outer, int dims,
                                   olica_rope *rope) {
  double fast = 0, slow = 0;
  bool truncate = true;
  if (r->root != outer->root && olica_reader_has(r, "truncate"))
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: has truncate, expected it beside the kinds of layers, where transformers "
                           "reads it",
                           r->name);
  OLICA_TRY(olica_json_boolean(r->env, outer->name, outer->root, "truncate", false, &truncate));
  OLICA_TRY(olica_reader_real(r, "beta_fast", false, 0, 1e9, &fast));
  OLICA_TRY(olica_reader_real(r, "beta_slow", false, 0, 1e9, &slow));
  double from = pair_of_turns(rope, dims, fast > 0 ? fast : 32),
         to = pair_of_turns(rope, dims, slow > 0 ? slow : 1);
  rope->ramp_from = fmax(truncate ? floor(from) : from, 0);
  rope->ramp_to = fmin(truncate ? ceil(to) : to, dims - 1);
  if (rope->ramp_from == rope->ramp_to) rope->ramp_to += 0.001;
  return OLICA_OK;
}

static olica_status read_yarn(const olica_reader *r, const olica_reader *outer, const olica_arch *arch,
                              int dims, olica_rope *rope) {
  if (rope->theta <= 1)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: rope_theta is %g, expected more than 1", r->name,
                           rope->theta);
  OLICA_TRY(read_original_context(r, arch, rope));
  OLICA_TRY(read_factor_or_ratio(r, arch, true, rope));
  OLICA_TRY(read_yarn_magnitude(r, rope));
  return read_yarn_ramp(r, outer, dims, rope);
}

static olica_status read_dynamic(const olica_reader *r, const olica_arch *arch, int dims, olica_rope *rope) {
  rope->original_context = arch->context;
  if (dims <= 2)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: type is dynamic and %d dimensions of a head turn, expected more than 2",
                           r->name, dims);
  return olica_reader_real(r, "factor", true, 1, 1e6, &rope->factor);
}

/* Checks a list of longrope: a positive number for each pair. */
static olica_status read_divisors(const olica_reader *r, const char *key, int pairs, const json_t **list) {
  const json_t *element, *found = json_object_get(r->root, key);
  size_t i;
  char text[OLICA_JSON_TEXT];
  olica_json_describe(found, text);
  if (!json_is_array(found) || json_array_size(found) != (size_t)pairs)
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: %s is %s with %zu elements, expected a list of %d",
                           r->name, key, text, json_array_size(found), pairs);
  json_array_foreach(found, i, element) {
    if (json_is_number(element) && json_number_value(element) > 0) continue;
    olica_json_describe(element, text);
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: %s[%zu] is %s, expected a positive number", r->name,
                           key, i, text);
  }
  *list = found;
  return OLICA_OK;
}

static olica_status read_long(const olica_reader *r, const olica_arch *arch, int dims, setting *s) {
  olica_rope *rope = &s->rope;
  OLICA_TRY(read_original_context(r, arch, rope));
  OLICA_TRY(read_factor_or_ratio(r, arch, false, rope));
  OLICA_TRY(read_divisors(r, "short_factor", dims / 2, &s->divisor[0]));
  OLICA_TRY(read_divisors(r, "long_factor", dims / 2, &s->divisor[1]));
  rope->magnitude = rope->factor <= 1 ? 1 : sqrt(1 + log(rope->factor) / log(rope->original_context));
  OLICA_TRY(olica_reader_real(r, "attention_factor", false, 1e-6, 1e6, &rope->magnitude));
  if (isfinite(rope->magnitude)) return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: original_max_position_embeddings is %g, expected more than 1", r->name,
                         rope->original_context);
}

/* Reads the share of a head that turns; the features refuse one where the family has none. */
static olica_status read_dims(const olica_reader *r, const olica_arch *arch, setting *s, int *dims) {
  OLICA_TRY(olica_reader_real(r, "partial_rotary_factor", false, 1e-9, 1, &s->partial));
  *dims = arch->family->partial > 0 ? (int)(arch->head * s->partial) : arch->head;
  if (*dims < 1)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: partial_rotary_factor is %g, expected one that turns a dimension of a head "
                           "of %d",
                           r->name, s->partial, arch->head);
  s->rope.dims = *dims < arch->head ? *dims : 0;
  return OLICA_OK;
}

static bool is_of(const char *type, const char *name) {
  return strcmp(type, name) == 0;
}

static olica_status read_type(const olica_reader *r, const olica_family *family, const char **type) {
  OLICA_TRY(olica_json_string(r->env, r->name, r->root, "type", false, type));
  OLICA_TRY(olica_json_string(r->env, r->name, r->root, "rope_type", false, type));
  if (family->su_is_longrope && (is_of(*type, "su") || is_of(*type, "yarn"))) *type = "longrope";
  return OLICA_OK;
}

/* Reads what makes queries grow with their position. */
static olica_status read_growth(const olica_reader *r, const olica_arch *arch, olica_rope *rope) {
  if (!arch->family->query_growth) return OLICA_OK;
  OLICA_TRY(olica_reader_real(r, "llama_4_scaling_beta", true, 0, 1e6, &rope->query_growth));
  return olica_reader_real(r, "original_max_position_embeddings", rope->original_context == 0, 1, 1e12,
                           &rope->original_context);
}

static olica_status refuse_odd(const olica_reader *r, const char *type, int dims) {
  return olica_error_set(r->env, OLICA_ERR_INPUT,
                         "%s: type is %s and %d dimensions of a head turn, expected an even number", r->name,
                         type, dims);
}

/* Reads rope_parameters or rope_scaling (the reader's root) into `s`, which has the defaults. */
static olica_status read_object(const olica_reader *r, const olica_reader *outer, const olica_arch *arch,
                                setting *s) {
  olica_rope *rope = &s->rope;
  const char *type = "default";
  int dims;
  OLICA_TRY(olica_features_refuse(r->env, r->name, r->root, arch));
  OLICA_TRY(read_type(r, arch->family, &type));
  OLICA_TRY(olica_reader_real(r, "rope_theta", false, 1.0, 1e30, &rope->theta));
  OLICA_TRY(read_dims(r, arch, s, &dims));
  if (is_of(type, "default")) {
    rope->kind = OLICA_ROPE_PLAIN;
  } else if (is_of(type, "linear")) {
    rope->kind = OLICA_ROPE_LINEAR;
    OLICA_TRY(olica_reader_real(r, "factor", true, 1e-6, 1e6, &rope->factor));
  } else if (is_of(type, "llama3")) {
    rope->kind = OLICA_ROPE_LLAMA3;
    OLICA_TRY(read_llama3(r, arch, rope));
  } else if (is_of(type, "dynamic")) {
    rope->kind = OLICA_ROPE_DYNAMIC;
    OLICA_TRY(read_dynamic(r, arch, dims, rope));
  } else if (is_of(type, "yarn") || is_of(type, "longrope")) {
    if (dims % 2) return refuse_odd(r, type, dims);
    rope->kind = is_of(type, "yarn") ? OLICA_ROPE_YARN : OLICA_ROPE_LONG;
    OLICA_TRY(rope->kind == OLICA_ROPE_YARN ? read_yarn(r, outer, arch, dims, rope)
                                            : read_long(r, arch, dims, s));
  } else {
    return olica_error_set(
        r->env, OLICA_ERR_INPUT,
        "%s: type is \"%.40s\", expected default, linear, dynamic, yarn, longrope or llama3", r->name, type);
  }
  return read_growth(r, arch, rope);
}

/* ---- objects of all kinds of layers ---- */

static bool holds_objects(const json_t *object) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) if (json_is_object(value)) return true;
  return false;
}

/* Tells whether the arch has a layer of that kind. */
static bool has_kind(const olica_arch *arch, int kind) {
  for (int i = 0; i < arch->layers; i++)
    if (!arch->layer[i].window == (kind == FULL)) return true;
  return false;
}

static bool is_same(const setting *a, const setting *b) {
  const olica_rope *x = &a->rope, *y = &b->rope;
  if (x->kind != y->kind || x->dims != y->dims || x->theta != y->theta || x->factor != y->factor ||
      x->low_freq != y->low_freq || x->high_freq != y->high_freq || x->ramp_from != y->ramp_from ||
      x->ramp_to != y->ramp_to || x->magnitude != y->magnitude || x->query_growth != y->query_growth)
    return false;
  if (x->kind == OLICA_ROPE_PLAIN || x->kind == OLICA_ROPE_LINEAR) return true;
  return x->original_context == y->original_context &&
         (x->kind != OLICA_ROPE_LONG ||
          (json_equal(a->divisor[0], b->divisor[0]) && json_equal(a->divisor[1], b->divisor[1])));
}

/* Reads the object of one key, which may have one for each kind of layer. A kind that the family does not
 * leave out must be there. */
static olica_status read_kinds(const olica_reader *r, const olica_arch *arch, setting of[KINDS]) {
  char place[OLICA_READER_PLACE];
  olica_reader inner = *r;
  bool nested = holds_objects(r->root);
  if (!nested && arch->family->rope_by_kind)
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: is one for all layers, expected full_attention and sliding_attention: "
                           "transformers reads nothing else",
                           r->name);
  for (int kind = FULL; kind < KINDS; kind++) {
    if (nested && !has_kind(arch, kind)) continue;
    if (nested && arch->family->rope_by_kind && !olica_reader_has(r, kinds[kind])) continue;
    if (nested) OLICA_TRY(olica_reader_enter(r, kinds[kind], place, &inner));
    OLICA_TRY(read_object(&inner, r, arch, &of[kind]));
  }
  return OLICA_OK;
}

/* Reads rope_scaling of a family whose local layers it does not concern. */
static olica_status read_full_alone(const olica_reader *r, const olica_arch *arch, setting of[KINDS]) {
  if (holds_objects(r->root))
    return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: holds objects, expected one for all layers",
                           r->name);
  return read_object(r, r, arch, &of[FULL]);
}

/* The settings beside rope_parameters and rope_scaling. */
static olica_status read_defaults(const olica_reader *r, const olica_arch *arch, setting of[KINDS]) {
  const olica_family *family = arch->family;
  setting s = {.rope = {.kind = OLICA_ROPE_PLAIN,
                        .interleaved = family->interleaved,
                        .theta = family->theta > 0 ? family->theta : 10000.0,
                        .original_context = family->original_context}};
  int dims;
  s.partial = family->partial > 0 ? family->partial : 1;
  OLICA_TRY(olica_reader_real(r, "rope_theta", false, 1.0, 1e30, &s.rope.theta));
  OLICA_TRY(
      olica_reader_real(r, "original_max_position_embeddings", false, 1, 1e12, &s.rope.original_context));
  OLICA_TRY(read_dims(r, arch, &s, &dims));
  of[FULL] = of[SLIDING] = s;
  if (family->rope_by_kind && !family->local_theta_key && s.rope.theta != family->theta &&
      !olica_reader_has(r, "rope_parameters"))
    return olica_error_set(r->env, OLICA_ERR_INPUT,
                           "%s: rope_theta is %.10g, expected %.10g, or rope_parameters: what sliding layers "
                           "have else depends on the version of transformers",
                           r->name, s.rope.theta, family->theta);
  if (!family->local_theta_key) return OLICA_OK;
  of[SLIDING].rope.theta = family->local_theta;
  return olica_reader_real(r, family->local_theta_key, false, 1.0, 1e30, &of[SLIDING].rope.theta);
}

static bool is_empty(const json_t *value) {
  return !value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0);
}

/* Reads one key's object into of. */
static olica_status read_key(const olica_reader *r, const olica_arch *arch, const char *key,
                             setting of[KINDS]) {
  char place[OLICA_READER_PLACE];
  olica_reader inner;
  OLICA_TRY(olica_reader_enter(r, key, place, &inner));
  if (arch->family->rope_by_kind && is_of(key, "rope_scaling")) return read_full_alone(&inner, arch, of);
  return read_kinds(&inner, arch, of);
}

static olica_status read_settings(const olica_reader *r, const olica_arch *arch, setting of[KINDS]) {
  static const char *const keys[] = {"rope_parameters", "rope_scaling"};
  bool given = false;
  setting plain[KINDS];
  OLICA_TRY(read_defaults(r, arch, plain));
  memcpy(of, plain, sizeof plain);
  for (int i = 0; i < 2; i++) {
    setting found[KINDS];
    if (is_empty(json_object_get(r->root, keys[i]))) continue;
    memcpy(found, plain, sizeof plain);
    /* rope_scaling may leave to rope_parameters what older files have outside of both. */
    for (int k = 0; k < KINDS; k++) {
      found[k].rope.theta = of[k].rope.theta;
      found[k].partial = of[k].partial;
    }
    OLICA_TRY(read_key(r, arch, keys[i], found));
    if (given && (!is_same(&found[FULL], &of[FULL]) || !is_same(&found[SLIDING], &of[SLIDING])))
      return olica_error_set(r->env, OLICA_ERR_INPUT,
                             "%s: rope_parameters and rope_scaling contradict each other, expected one of "
                             "them, or the same in both",
                             r->name);
    memcpy(of, found, sizeof found);
    given = true;
  }
  if (given || !arch->family->query_growth) return OLICA_OK;
  return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: rope_parameters is missing, expected one for %s",
                         r->name, arch->family->name);
}

/* Copies a setting into the arch, with its lists. */
static olica_status take(olica_env *env, const olica_arch *arch, const setting *s, olica_rope *rope) {
  *rope = s->rope;
  int pairs = olica_rope_pairs(rope, arch->head);
  for (int list = 0; list < 2 && rope->kind == OLICA_ROPE_LONG; list++) {
    OLICA_TRY(OLICA_NEW(env, rope->divisor[list], (size_t)pairs));
    for (int i = 0; i < pairs; i++)
      rope->divisor[list][i] = json_number_value(json_array_get(s->divisor[list], (size_t)i));
  }
  return OLICA_OK;
}

olica_status olica_rope_read(const olica_reader *r, olica_arch *arch) {
  setting of[KINDS];
  OLICA_TRY(read_settings(r, arch, of));
  bool full = has_kind(arch, FULL),
       both = full && has_kind(arch, SLIDING) && !is_same(&of[FULL], &of[SLIDING]);
  arch->ropes = both ? 2 : 1;
  OLICA_TRY(take(r->env, arch, &of[full ? FULL : SLIDING], &arch->rope[0]));
  if (!both) return OLICA_OK;
  for (int i = 0; i < arch->layers; i++)
    if (arch->layer[i].window && arch->layer[i].rope != OLICA_ROPE_NONE) arch->layer[i].rope = 1;
  return take(r->env, arch, &of[SLIDING], &arch->rope[1]);
}
