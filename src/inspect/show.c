#include "show.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL = 15, WIDTH = 110, LONGEST = 160 };

const char *olica_show_number(int64_t number, char text[OLICA_SHOW_NUMBER]) {
  char plain[OLICA_SHOW_NUMBER];
  int digits = snprintf(plain, sizeof plain, "%lld", (long long)number), used = 0;
  for (int i = 0; i < digits; i++) {
    if (i > 0 && (digits - i) % 3 == 0 && plain[i - 1] != '-') text[used++] = ',';
    text[used++] = plain[i];
  }
  text[used] = '\0';
  return text;
}

static int64_t integer(const json_t *object, const char *key) {
  return json_integer_value(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

/* Prints a text of a file: no control characters, and no more than LONGEST characters of it. */
static int print_text(FILE *to, const char *text) {
  int used = 0;
  for (; *text && used < LONGEST; text++, used++) fputc((unsigned char)*text < 0x20 ? ' ' : *text, to);
  if (*text) used += fprintf(to, "...");
  return used;
}

/* Returns a value on one line, from malloc: strings without quotes. */
static char *one_line(const json_t *value) {
  if (json_is_string(value)) return strdup(json_string_value(value));
  return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
}

static int print_value(FILE *to, const json_t *value) {
  char *text = one_line(value);
  int used = print_text(to, text ? text : "?");
  free(text);
  return used;
}

/* Prints "label    key value, key value, ...", in lines of at most WIDTH characters. */
static void print_members(FILE *to, const char *label, const json_t *object, const char *between) {
  int column = fprintf(to, "%-*s ", LABEL - 1, label);
  bool first = true;
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) {
    char *text = one_line(value);
    int length = (int)(strlen(key) + strlen(between) + (text ? strlen(text) : 0));
    if (!first && column + length + 2 > WIDTH)
      column = fprintf(to, ",\n%*s", LABEL, "") - 2;
    else if (!first)
      column += fprintf(to, ", ");
    column += fprintf(to, "%s%s", key, between);
    column += print_text(to, text ? text : "?");
    free(text);
    first = false;
  }
  fputc('\n', to);
}

/* ---- the table of layers ---- */

enum { COLUMNS = 48, TITLE = 32 };

typedef struct column {
  char member[TITLE], title[TITLE];
  int width;
} column;

/* The first columns, in this order. What else layers have, errors and sensitivities of the methods, follows
 * under its own name. */
static const char *const first_columns[][2] = {
    {"layer", "layer"},         {"heads", "heads"},          {"kv_heads", "kv"},
    {"q_rank", "q rank"},       {"k_rank", "k rank"},        {"v_rank", "v rank"},
    {"o_rank", "o rank"},       {"vo_width", "v/o width"},   {"ffn_width", "FFN"},
    {"gate_rank", "gate rank"}, {"up_rank", "up rank"},      {"down_rank", "down rank"},
    {"branch_rank", "branch"},  {"parameters", "parameters"}};

static bool is_zero(const json_t *value) {
  return !value || (json_is_integer(value) && json_integer_value(value) == 0);
}

/* Tells whether some layer has anything in that column. */
static bool is_used(const json_t *layers, const char *member) {
  json_t *row;
  size_t i;
  json_array_foreach((json_t *)layers, i, row) {
    if (!is_zero(json_object_get(row, member))) return true;
  }
  return false;
}

static const char *cell(const json_t *value, char text[OLICA_SHOW_NUMBER]) {
  if (json_is_integer(value)) return olica_show_number(json_integer_value(value), text);
  if (!json_is_real(value)) return "-";
  snprintf(text, OLICA_SHOW_NUMBER, "%.4g", json_real_value(value));
  return text;
}

static int width_of(const json_t *layers, const column *c) {
  char text[OLICA_SHOW_NUMBER];
  json_t *row;
  size_t i;
  int most = (int)strlen(c->title);
  json_array_foreach((json_t *)layers, i, row) {
    int width = (int)strlen(cell(json_object_get(row, c->member), text));
    if (width > most) most = width;
  }
  return most;
}

/* Adds a column, unless it is there; blanks in its title for underscores. */
static void add_column(column list[COLUMNS], int *count, const json_t *layers, const char *member,
                       const char *title) {
  for (int i = 0; i < *count; i++)
    if (strcmp(list[i].member, member) == 0) return;
  if (*count == COLUMNS || strlen(member) >= TITLE) return;
  column *c = &list[(*count)++];
  snprintf(c->member, TITLE, "%s", member);
  snprintf(c->title, TITLE, "%s", title);
  for (char *at = c->title; *at; at++)
    if (*at == '_') *at = ' ';
  c->width = width_of(layers, c);
}

static int list_columns(const json_t *layers, column list[COLUMNS]) {
  int count = 0;
  json_t *row, *value;
  const char *member;
  size_t i;
  for (size_t c = 0; c < sizeof first_columns / sizeof *first_columns; c++)
    if (c == 0 || is_used(layers, first_columns[c][0]))
      add_column(list, &count, layers, first_columns[c][0], first_columns[c][1]);
  json_array_foreach((json_t *)layers, i, row) {
    json_object_foreach(row, member, value) if (json_is_number(value) && !is_zero(value))
        add_column(list, &count, layers, member, member);
  }
  return count;
}

static void print_layers(FILE *to, const json_t *layers) {
  char text[OLICA_SHOW_NUMBER];
  column list[COLUMNS];
  json_t *row;
  size_t i;
  if (json_array_size(layers) == 0) return;
  int count = list_columns(layers, list);
  fputc('\n', to);
  for (int c = 0; c < count; c++) fprintf(to, "%s%*s", c ? "  " : "", list[c].width, list[c].title);
  fputc('\n', to);
  json_array_foreach((json_t *)layers, i, row) {
    for (int c = 0; c < count; c++)
      fprintf(to, "%s%*s", c ? "  " : "", list[c].width, cell(json_object_get(row, list[c].member), text));
    fputc('\n', to);
  }
}

/* Prints how many layers have a bias in which projections: they may differ. */
static void print_biases(FILE *to, const json_t *layers) {
  json_t *counts = json_object(), *row, *name, *count;
  const char *key;
  size_t i, k;
  json_array_foreach((json_t *)layers, i, row) {
    json_array_foreach(json_object_get(row, "biases"), k, name) {
      key = json_string_value(name);
      if (key) json_object_set_new(counts, key, json_integer(integer(counts, key) + 1));
    }
  }
  if (json_object_size(counts) > 0) fprintf(to, "with a bias:");
  json_object_foreach(counts, key, count) {
    fprintf(to, " %s (%lld layers)", key, (long long)json_integer_value(count));
  }
  if (json_object_size(counts) > 0) fputc('\n', to);
  json_decref(counts);
}

/* ---- parameters ---- */

static void print_parameters(FILE *to, const json_t *parameters) {
  char text[OLICA_SHOW_NUMBER];
  const char *name;
  json_t *part, *dense = json_object_get(parameters, "dense");
  double total = (double)integer(json_object_get(parameters, "total"), "numbers");
  if (json_object_size(parameters) == 0) return;
  fprintf(to, "\n%-14s %16s %8s %16s\n", "parameters", "numbers", "share", "bytes");
  json_object_foreach((json_t *)parameters, name, part) {
    if (!json_is_object(part)) continue;
    double numbers = (double)integer(part, "numbers");
    fprintf(to, "%-14s %16s", name, olica_show_number((int64_t)numbers, text));
    fprintf(to, " %6.1f %%", total > 0 ? 100 * numbers / total : 0);
    if (json_object_get(part, "bytes")) fprintf(to, " %16s", olica_show_number(integer(part, "bytes"), text));
    fputc('\n', to);
  }
  if (json_is_integer(dense) && json_integer_value(dense) > 0)
    fprintf(to, "of the dense model's %s: %.2f %% removed\n",
            olica_show_number(json_integer_value(dense), text),
            100 * (1 - total / (double)json_integer_value(dense)));
}

/* ---- the rest ---- */

static void print_settings(FILE *to, const json_t *settings) {
  const char *section;
  json_t *members;
  if (json_object_size(settings) == 0) return;
  fputs("\nsettings\n", to);
  json_object_foreach((json_t *)settings, section, members) {
    char label[64];
    snprintf(label, sizeof label, "[%.50s]", section);
    if (json_object_size(members) > 0) print_members(to, label, members, " = ");
  }
}

static void print_named(FILE *to, const char *title, const json_t *object) {
  const char *key;
  json_t *value;
  if (json_object_size(object) == 0) return;
  fprintf(to, "\n%s\n", title);
  json_object_foreach((json_t *)object, key, value) {
    if (json_is_object(value) && json_object_size(value) > 0) {
      print_members(to, key, value, " ");
      continue;
    }
    fprintf(to, "%-*s ", LABEL - 1, key);
    print_value(to, value);
    fputc('\n', to);
  }
}

/* The tensors of a file that has no layers: saved statistics. */
static void print_arrays(FILE *to, const json_t *description) {
  json_t *tensor;
  size_t i;
  if (json_array_size(json_object_get(description, "layers")) > 0) return;
  json_array_foreach(json_object_get(description, "tensors"), i, tensor) {
    if (i == 0) fputs("\narrays\n", to);
    fprintf(to, "%-30s %-6s ", text_of(tensor, "name"), text_of(tensor, "type"));
    print_value(to, json_object_get(tensor, "shape"));
    fputc('\n', to);
  }
}

static void print_head(FILE *to, const json_t *is) {
  char text[OLICA_SHOW_NUMBER];
  print_text(to, text_of(is, "path"));
  fprintf(to, ": %s, %s bytes\n", text_of(is, "kind"), olica_show_number(integer(is, "bytes"), text));
  if (json_object_size(json_object_get(is, "model")) > 0)
    print_members(to, "model", json_object_get(is, "model"), " ");
  if (json_object_size(json_object_get(is, "types")) > 0)
    print_members(to, "tensors", json_object_get(is, "types"), " ");
  if (json_object_get(is, "status")) fprintf(to, "%-*s%s\n", LABEL, "status", text_of(is, "status"));
  if (json_object_get(is, "report")) {
    fprintf(to, "%-*s", LABEL, "report");
    print_text(to, text_of(is, "report"));
    fputc('\n', to);
  }
  if (json_object_get(is, "perplexity"))
    print_members(to, "perplexity", json_object_get(is, "perplexity"), " ");
}

void olica_show_description(FILE *to, const json_t *is) {
  print_head(to, is);
  print_layers(to, json_object_get(is, "layers"));
  print_biases(to, json_object_get(is, "layers"));
  print_parameters(to, json_object_get(is, "parameters"));
  print_arrays(to, is);
  print_settings(to, json_object_get(is, "settings"));
  print_named(to, "provenance", json_object_get(is, "provenance"));
  print_named(to, "statistics of", json_object_get(is, "statistics_of"));
  print_named(to, "metadata", json_object_get(is, "metadata"));
}
