
#include <stdlib.h>
#include <string.h>

#include "show.h"

enum { DIFFERING = 40, LISTED = 12, SHOWN = 60 };

/* Returns a value on one line, shortened, in text [SHOWN + 1]. */
static const char *one_line(const json_t *value, char text[SHOWN + 1]) {
  if (json_is_integer(value)) return olica_show_number(json_integer_value(value), text);
  if (!value || json_is_null(value)) return "none";
  char *whole = json_is_string(value)
                    ? strdup(json_string_value(value))
                    : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
  snprintf(text, SHOWN + 1, "%s", whole ? whole : "?");
  free(whole);
  for (char *c = text; *c; c++)
    if ((unsigned char)*c < 0x20) *c = ' ';
  return text;
}

static void print_pair(FILE *to, const json_t *both) {
  char a[SHOWN + 1], b[SHOWN + 1];
  fprintf(to, "%s -> %s", one_line(json_array_get(both, 0), a), one_line(json_array_get(both, 1), b));
}

static void print_members(FILE *to, const char *title, const json_t *members) {
  const char *key;
  json_t *both;
  if (json_object_size(members) == 0) return;
  fprintf(to, "\n%s\n", title);
  json_object_foreach((json_t *)members, key, both) {
    fprintf(to, "  %-28s ", key);
    print_pair(to, both);
    fputc('\n', to);
  }
}

/* The parameters of a component in both, and what is left of them. */
static void print_parameters(FILE *to, const json_t *parameters) {
  const char *key;
  json_t *both;
  if (json_object_size(parameters) == 0) return;
  fputs("\nparameters\n", to);
  json_object_foreach((json_t *)parameters, key, both) {
    double a = json_number_value(json_array_get(both, 0)), b = json_number_value(json_array_get(both, 1));
    fprintf(to, "  %-28s ", key);
    print_pair(to, both);
    if (a > 0 && b > 0) fprintf(to, "  (%+.2f %%)", 100 * (b / a - 1));
    fputc('\n', to);
  }
}

static void print_layers(FILE *to, const json_t *layers) {
  json_t *row, *both;
  const char *key;
  size_t i;
  if (json_array_size(layers) > 0) fputs("\nlayers\n", to);
  json_array_foreach((json_t *)layers, i, row) {
    const char *between = " ";
    fprintf(to, "  %3lld ", (long long)json_integer_value(json_object_get(row, "layer")));
    json_object_foreach(row, key, both) {
      /* Not the layer's number, nor spectra and the like. */
      if (!json_is_array(both) || json_is_number(json_array_get(json_array_get(both, 0), 0))) continue;
      fprintf(to, "%s%s ", between, key);
      print_pair(to, both);
      between = ", ";
    }
    fputc('\n', to);
  }
}

static void print_number(FILE *to, const char *before, const json_t *number) {
  if (json_is_real(number))
    fprintf(to, "%s%.4g", before, json_real_value(number));
  else
    fprintf(to, "%snot a number", before);
}

static void print_tensor(FILE *to, const json_t *its) {
  char text[OLICA_SHOW_NUMBER];
  const char *name = json_string_value(json_object_get(its, "name"));
  const json_t *why = json_object_get(its, "why");
  fprintf(to, "  %-36s ", name ? name : json_string_value(its));
  if (json_object_get(its, "differ")) {
    fprintf(to, "%s of ", olica_show_number(json_integer_value(json_object_get(its, "differ")), text));
    fprintf(to, "%s numbers", olica_show_number(json_integer_value(json_object_get(its, "numbers")), text));
    print_number(to, ", largest ", json_object_get(its, "largest"));
    print_number(to, ", relative ", json_object_get(its, "relative"));
  } else if (why)
    fputs(json_string_value(why), to);
  else if (json_object_get(its, "a")) {
    char a[SHOWN + 1], b[SHOWN + 1];
    fprintf(to, "%s -> %s", one_line(json_object_get(its, "a"), a), one_line(json_object_get(its, "b"), b));
  }
  fputc('\n', to);
}

static void print_tensors(FILE *to, const char *title, const json_t *list, size_t most) {
  json_t *its;
  size_t i;
  if (json_array_size(list) > 0) fprintf(to, "\n%s\n", title);
  json_array_foreach((json_t *)list, i, its) {
    if (i == most) {
      fprintf(to, "  and %zu more (--json has all)\n", json_array_size(list) - i);
      return;
    }
    print_tensor(to, its);
  }
}

static void print_side(FILE *to, const char *name, const json_t *side) {
  char text[SHOWN + 1];
  const char *path = json_string_value(json_object_get(side, "path"));
  fprintf(to, "%s: %s: %s\n", name, path ? path : "", one_line(json_object_get(side, "kind"), text));
}

void olica_show_difference(FILE *to, const json_t *d) {
  const json_t *tensors = json_object_get(d, "tensors");
  print_side(to, "a", json_object_get(d, "a"));
  print_side(to, "b", json_object_get(d, "b"));
  fprintf(to,
          "tensors: %lld compared, %lld equal, %zu of another shape, %zu only in a, %zu only in b, %zu not "
          "compared\n",
          (long long)json_integer_value(json_object_get(tensors, "compared")),
          (long long)json_integer_value(json_object_get(tensors, "equal")),
          json_array_size(json_object_get(tensors, "other_shape")),
          json_array_size(json_object_get(tensors, "only_a")),
          json_array_size(json_object_get(tensors, "only_b")),
          json_array_size(json_object_get(tensors, "not_compared")));
  if (json_is_true(json_object_get(d, "same_model"))) fputs("the models are the same\n", to);
  print_members(to, "model", json_object_get(d, "model"));
  print_layers(to, json_object_get(d, "layers"));
  print_parameters(to, json_object_get(d, "parameters"));
  print_members(to, "settings", json_object_get(d, "settings"));
  print_members(to, "provenance", json_object_get(d, "provenance"));
  print_tensors(to, "tensors that differ", json_object_get(tensors, "differing"), DIFFERING);
  print_tensors(to, "tensors of another shape", json_object_get(tensors, "other_shape"), LISTED);
  print_tensors(to, "only in a", json_object_get(tensors, "only_a"), LISTED);
  print_tensors(to, "only in b", json_object_get(tensors, "only_b"), LISTED);
  print_tensors(to, "not compared", json_object_get(tensors, "not_compared"), LISTED);
}
