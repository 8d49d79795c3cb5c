#include "diff.h"

#include <stdio.h>
#include <string.h>

#include "values.h"

static json_t *pair(json_t *a, json_t *b) {
  json_t *both = json_array();
  json_array_append(both, a ? a : json_null());
  json_array_append(both, b ? b : json_null());
  return both;
}

/* Numbers are equal by value, 10000 and 10000.0. */
static bool same(const json_t *a, const json_t *b) {
  if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
  return a == b || (a && b && json_equal(a, b));
}

static void put(json_t *to, const char *prefix, const char *key, json_t *a, json_t *b) {
  char name[256];
  snprintf(name, sizeof name, "%.100s%s%.140s", prefix, *prefix ? "." : "", key);
  if (!same(a, b)) json_object_set_new(to, name, pair(a, b));
}

/* Puts the members that differ into `to`; those of sections as "section.key". */
static void compare_members(json_t *to, const char *prefix, json_t *a, json_t *b) {
  const char *key;
  json_t *value, *other;
  json_object_foreach(a, key, value) {
    other = json_object_get(b, key);
    if (!*prefix && json_is_object(value) && json_is_object(other))
      compare_members(to, key, value, other);
    else
      put(to, prefix, key, value, other);
  }
  json_object_foreach(b, key, value) if (!json_object_get(a, key)) put(to, prefix, key, NULL, value);
}

static json_t *members(const json_t *is_a, const json_t *is_b, const char *name) {
  json_t *to = json_object(), *a = json_object_get(is_a, name), *b = json_object_get(is_b, name);
  if (a && b) compare_members(to, "", a, b);
  return to;
}

static json_t *numbers_of(const json_t *parameters, const char *component) {
  json_t *numbers = json_object_get(json_object_get(parameters, component), "numbers");
  return numbers ? json_incref(numbers) : json_integer(0);
}

/* Puts the components whose numbers differ into `to`. */
static void compare_components(json_t *to, json_t *a, json_t *b) {
  const char *component;
  json_t *part;
  json_object_foreach(a, component, part) {
    json_t *of_a = numbers_of(a, component), *of_b = numbers_of(b, component);
    if (json_is_object(part) && !same(of_a, of_b)) json_object_set_new(to, component, pair(of_a, of_b));
    json_decref(of_a);
    json_decref(of_b);
  }
}

/* In the order of the components, those of `b` alone behind; a report knows only the total. */
static json_t *compare_parameters(json_t *a, json_t *b) {
  json_t *to = json_object(), *back = json_object(), *both;
  const char *component;
  if (json_object_size(a) > 1 && json_object_size(b) > 1) {
    compare_components(to, a, b);
    compare_components(back, b, a);
  }
  json_object_foreach(back, component, both) if (!json_object_get(to, component))
      json_object_set_new(to, component, pair(json_array_get(both, 1), json_array_get(both, 0)));
  json_decref(back);
  return to;
}

/* Errors and sensitivities count where both are known; widths and ranks always: what is absent is 0. */
static bool is_measured(const json_t *value) {
  return json_is_real(value) || json_is_null(value) || json_is_number(json_array_get(value, 0));
}

static bool is_nothing(const json_t *value) {
  return !value || (json_is_integer(value) && json_integer_value(value) == 0);
}

static void compare_layer(json_t *to, const json_t *a, const json_t *b) {
  const char *key;
  json_t *value, *other;
  json_object_foreach((json_t *)a, key, value) {
    other = json_object_get(b, key);
    if ((is_nothing(value) && is_nothing(other)) || (is_measured(value) && !other)) continue;
    put(to, "", key, value, other);
  }
  json_object_foreach((json_t *)b, key, value) {
    if (!json_object_get(a, key) && !is_nothing(value) && !is_measured(value)) put(to, "", key, NULL, value);
  }
}

static json_t *compare_layers(const json_t *a, const json_t *b) {
  json_t *all = json_array();
  size_t most = json_array_size(a) > json_array_size(b) ? json_array_size(a) : json_array_size(b);
  for (size_t i = 0; i < most; i++) {
    json_t *its = json_object(), *one = json_array_get(a, i), *other = json_array_get(b, i);
    compare_layer(its, one, other);
    if (json_object_size(its) > 0) {
      json_object_set(its, "layer", json_object_get(one ? one : other, "layer"));
      json_array_append(all, its);
    }
    json_decref(its);
  }
  return all;
}

static json_t *what(const json_t *is) {
  return json_pack("{s:O, s:O}", "path", json_object_get(is, "path"), "kind", json_object_get(is, "kind"));
}

olica_status olica_diff(const olica_subject *a, const json_t *is_a, const olica_subject *b,
                        const json_t *is_b, json_t **difference) {
  static const char *const names[] = {"model", "settings", "provenance"};
  json_t *d = json_object(), *tensors;
  bool equal;
  olica_status status = olica_values_compare(a, b, &tensors, &equal);
  json_object_set_new(d, "a", what(is_a));
  json_object_set_new(d, "b", what(is_b));
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    json_object_set_new(d, names[i], members(is_a, is_b, names[i]));
  json_object_set_new(
      d, "parameters",
      compare_parameters(json_object_get(is_a, "parameters"), json_object_get(is_b, "parameters")));
  json_object_set_new(d, "layers",
                      compare_layers(json_object_get(is_a, "layers"), json_object_get(is_b, "layers")));
  json_object_set_new(d, "tensors", tensors);
  json_object_set_new(d, "same_model",
                      json_boolean(equal && json_object_size(json_object_get(d, "model")) == 0));
  if (status == OLICA_OK)
    *difference = d;
  else
    json_decref(d);
  return status;
}
