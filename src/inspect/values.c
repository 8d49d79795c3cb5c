#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "names.h"

enum { BLOCK = 1 << 18 };

/* A tensor under its common name. */
typedef struct entry {
  const olica_tensor *tensor;
  olica_inspect_place place;
} entry;

typedef struct comparison {
  olica_env *env;
  const olica_subject *of[2];
  entry *entry[2];
  int count[2];
  void *raw[2]; /* a block of each, as stored */
  float *number[2];
  json_t *differing, *other_shape, *only[2], *not_compared;
  int compared, equal;
} comparison;

static int by_name(const void *a, const void *b) {
  const entry *one = a, *other = b;
  int order = strcmp(one->place.name, other->place.name);
  return order ? order : strcmp(one->tensor->name, other->tensor->name);
}

/* Tells whether a tensor counts: settings and provenance are compared key by key, rotary tables follow from
 * the config. */
static bool counts(const entry *its) {
  return its->place.role != OLICA_ROLE_ROTARY && strcmp(its->tensor->name, "meta/settings_json") != 0 &&
         strcmp(its->tensor->name, "meta/provenance_json") != 0;
}

static olica_status list(comparison *c, int side) {
  const olica_catalog *catalog = c->of[side]->catalog;
  OLICA_TRY(OLICA_NEW(c->env, c->entry[side], (size_t)catalog->count));
  for (int i = 0; i < catalog->count; i++) {
    entry *next = &c->entry[side][c->count[side]];
    next->tensor = &catalog->tensor[i];
    next->place = olica_names_place(next->tensor->name, olica_describe_layers_most(catalog));
    c->count[side] += counts(next);
  }
  if (c->count[side] > 0) qsort(c->entry[side], (size_t)c->count[side], sizeof(entry), by_name);
  return OLICA_OK;
}

/* ---- two tensors ---- */

static json_t *shape_of(const olica_tensor *tensor) {
  json_t *shape = json_array();
  for (int i = 0; i < tensor->dims; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
  return shape;
}

/* A compact export has the factors of a branch, "branch.a.weight", transposed. */
static bool is_turned(const entry *a, const entry *b) {
  const bool mine = strstr(a->tensor->name, ".weight") != NULL,
             other = strstr(b->tensor->name, ".weight") != NULL;
  return a->place.role == OLICA_ROLE_BRANCH && mine != other && a->tensor->dims == 2 && b->tensor->dims == 2;
}

static bool same_shape(const entry *one, const entry *other) {
  const olica_tensor *a = one->tensor, *b = other->tensor;
  if (is_turned(one, other)) return a->shape[0] == b->shape[1] && a->shape[1] == b->shape[0];
  return a->dims == b->dims && memcmp(a->shape, b->shape, (size_t)a->dims * sizeof *a->shape) == 0;
}

/* Sums of the differences of two tensors. */
typedef struct sums {
  int64_t differ;
  double largest, squares, squares_a;
  bool unknown; /* a number is NaN */
} sums;

/* Decodes a block; integers of ours become numbers too, exactly up to 2^24. */
static const float *decode(const comparison *c, int side, const olica_tensor *tensor, int64_t count) {
  if (tensor->dtype != OLICA_DTYPES) {
    olica_number_decode(tensor->dtype, c->raw[side], c->number[side], (size_t)count);
    return c->number[side];
  }
  for (int64_t i = 0; i < count; i++)
    c->number[side][i] = strcmp(tensor->stored, "int32") == 0 ? (float)((const int32_t *)c->raw[side])[i]
                                                              : (float)((const uint8_t *)c->raw[side])[i];
  return c->number[side];
}

static void add(const float *a, const float *b, int64_t count, sums *all) {
  for (int64_t i = 0; i < count; i++) {
    const double x = (double)a[i], gap = fabs(x - (double)b[i]);
    all->squares_a += x * x;
    if (a[i] == b[i]) continue;
    if (isnan(a[i]) && isnan(b[i])) continue; /* NaN in both */
    all->differ++;
    if (isnan(gap)) all->unknown = true;
    if (gap > all->largest) all->largest = gap;
    all->squares += gap * gap;
  }
}

static olica_status sum_up(comparison *c, const olica_tensor *a, const olica_tensor *b, sums *all) {
  const int64_t numbers = olica_describe_numbers(a);
  for (int64_t first = 0, n; first < numbers; first += n) {
    n = numbers - first < BLOCK ? numbers - first : BLOCK;
    OLICA_TRY(olica_catalog_read(c->of[0]->catalog, a, first, n, c->raw[0]));
    OLICA_TRY(olica_catalog_read(c->of[1]->catalog, b, first, n, c->raw[1]));
    add(decode(c, 0, a, n), decode(c, 1, b, n), n, all);
  }
  return OLICA_OK;
}

/* Reads and decodes a whole tensor of weights into counted memory, the caller's. */
static olica_status load(comparison *c, int side, const olica_tensor *tensor, float **numbers) {
  const int64_t count = olica_describe_numbers(tensor);
  OLICA_TRY(OLICA_NEW(c->env, *numbers, (size_t)count));
  for (int64_t first = 0, n; first < count; first += n) {
    n = count - first < BLOCK ? count - first : BLOCK;
    OLICA_TRY(olica_catalog_read(c->of[side]->catalog, tensor, first, n, c->raw[side]));
    memcpy(*numbers + first, decode(c, side, tensor, n), (size_t)n * sizeof **numbers);
  }
  return OLICA_OK;
}

/* As sum_up, of a [m x n] and b [n x m]. */
static olica_status sum_up_turned(comparison *c, const olica_tensor *a, const olica_tensor *b, sums *all) {
  const int64_t m = a->shape[0], n = a->shape[1];
  float *x = NULL, *y = NULL, *column = NULL;
  olica_status status = load(c, 0, a, &x);
  if (status == OLICA_OK) status = load(c, 1, b, &y);
  if (status == OLICA_OK) status = OLICA_NEW(c->env, column, (size_t)n);
  for (int64_t i = 0; i < m && status == OLICA_OK; i++) {
    for (int64_t k = 0; k < n; k++) column[k] = y[k * m + i];
    add(x + i * n, column, n, all);
  }
  olica_memory_free(c->env, x);
  olica_memory_free(c->env, y);
  olica_memory_free(c->env, column);
  return status;
}

static json_t *real_or_null(double x, bool unknown) {
  return isfinite(x) && !unknown ? json_real(x) : json_null();
}

static void put_differing(comparison *c, const entry *a, const sums *all) {
  double relative = all->squares_a > 0 ? sqrt(all->squares / all->squares_a) : HUGE_VAL;
  json_array_append_new(c->differing, json_pack("{s:s, s:I, s:I, s:o, s:o}", "name", a->place.name, "numbers",
                                                (json_int_t)olica_describe_numbers(a->tensor), "differ",
                                                (json_int_t)all->differ, "largest",
                                                real_or_null(all->largest, all->unknown), "relative",
                                                real_or_null(relative, all->unknown)));
}

static bool can_be_read(const olica_tensor *tensor) {
  return tensor->dtype != OLICA_DTYPES || strcmp(tensor->stored, "int32") == 0 ||
         strcmp(tensor->stored, "uint8") == 0;
}

/* Returns why two tensors of one shape are not compared; NULL: they are. */
static const char *why_not(const comparison *c, const entry *a, const entry *b) {
  const int role = (int)a->place.role;
  const bool rotated = role == OLICA_Q || role == OLICA_K || role == OLICA_ROLE_QKV;
  const bool one_gguf = (c->of[0]->kind == OLICA_SUBJECT_GGUF) != (c->of[1]->kind == OLICA_SUBJECT_GGUF);
  if (!can_be_read(a->tensor)) return a->tensor->stored;
  if (!can_be_read(b->tensor)) return b->tensor->stored;
  return rotated && one_gguf ? "GGUF has the rows of query and key in another order" : NULL;
}

static olica_status compare(comparison *c, const entry *a, const entry *b) {
  sums all = {0};
  if (!same_shape(a, b)) {
    json_array_append_new(c->other_shape, json_pack("{s:s, s:o, s:o}", "name", a->place.name, "a",
                                                    shape_of(a->tensor), "b", shape_of(b->tensor)));
    return OLICA_OK;
  }
  const char *why = why_not(c, a, b);
  if (why) {
    json_array_append_new(c->not_compared, json_pack("{s:s, s:s}", "name", a->place.name, "why", why));
    return OLICA_OK;
  }
  OLICA_TRY((is_turned(a, b) ? sum_up_turned : sum_up)(c, a->tensor, b->tensor, &all));
  c->compared++;
  if (all.differ > 0)
    put_differing(c, a, &all);
  else
    c->equal++;
  return OLICA_OK;
}

/* ---- all ---- */

static olica_status merge(comparison *c) {
  int i = 0, k = 0;
  while (i < c->count[0] || k < c->count[1]) {
    const entry *a = i < c->count[0] ? &c->entry[0][i] : NULL, *b = k < c->count[1] ? &c->entry[1][k] : NULL;
    int order = !a ? 1 : !b ? -1 : strcmp(a->place.name, b->place.name);
    if (order == 0) OLICA_TRY(compare(c, a, b));
    if (order < 0) json_array_append_new(c->only[0], json_string(a->place.name));
    if (order > 0) json_array_append_new(c->only[1], json_string(b->place.name));
    i += order <= 0;
    k += order >= 0;
  }
  return OLICA_OK;
}

static olica_status prepare(comparison *c) {
  for (int side = 0; side < 2; side++) {
    OLICA_TRY(list(c, side));
    OLICA_TRY(OLICA_NEW(c->env, c->number[side], BLOCK));
    if (!(c->raw[side] = olica_memory_get(c->env, "block", BLOCK, sizeof(double)))) return c->env->error.code;
  }
  return OLICA_OK;
}

static void release(comparison *c) {
  for (int side = 0; side < 2; side++) {
    olica_memory_free(c->env, c->entry[side]);
    olica_memory_free(c->env, c->number[side]);
    olica_memory_free(c->env, c->raw[side]);
  }
}

olica_status olica_values_compare(const olica_subject *a, const olica_subject *b, json_t **tensors,
                                  bool *equal) {
  comparison c = {.env = a->catalog->context->env,
                  .of = {a, b},
                  .differing = json_array(),
                  .other_shape = json_array(),
                  .only = {json_array(), json_array()},
                  .not_compared = json_array()};
  olica_status status = prepare(&c);
  if (status == OLICA_OK) status = merge(&c);
  release(&c);
  *equal = c.compared > 0 && c.equal == c.compared && c.compared == c.count[0] && c.compared == c.count[1];
  *tensors = json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "compared", c.compared, "equal", c.equal,
                       "differing", c.differing, "other_shape", c.other_shape, "only_a", c.only[0], "only_b",
                       c.only[1], "not_compared", c.not_compared);
  return status;
}
