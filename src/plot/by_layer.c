/* Pictures of one report, layer by layer. */
#include <math.h>
#include <string.h>

#include "pictures.h"
#include "plot/style.h"

static const json_t *layers_of(const olica_picture_of *of) {
  return olica_reports_array(of->report, "layers");
}

static double model(const olica_picture_of *of, const char *key) {
  return olica_reports_number(of->report, "model", key);
}

static void axis(const olica_picture_of *of, FILE *to) {
  olica_style_layers(to, olica_reports_layers(of->report));
}

/* Points that 80 layers leave room for. */
static double point_size(const olica_picture_of *of) {
  return olica_reports_layers(of->report) > 40 ? 0.6 : 1;
}

/* ---- widths ---- */

/* A width or rank of a layer, its key and the dense one; 0 in the report is left whole. */
typedef struct width {
  const char *key, *title;
  const char *dense[2]; /* members of `model` that multiply to it */
  const char *other;    /* of a rank: the side that may be shorter; NULL: none */
} width;

static const width widths[] = {
    {"ffn_width", "FFN neurons", {"ffn", NULL}, NULL},
    {"vo_width", "value neurons", {"kv_heads", "head"}, NULL},
    {"kv_heads", "key/value heads", {"kv_heads", NULL}, NULL},
    {"q_rank", "query rank", {"heads", "head"}, "hidden"},
    {"k_rank", "key rank", {"kv_heads", "head"}, "hidden"},
    {"v_rank", "value rank", {"kv_heads", "head"}, "hidden"},
    {"o_rank", "output rank", {"heads", "head"}, "hidden"},
    {"gate_rank", "gate rank", {"ffn", NULL}, "hidden"},
    {"up_rank", "up rank", {"ffn", NULL}, "hidden"},
    {"down_rank", "down rank", {"ffn", NULL}, "hidden"},
    {"branch_rank", "branch rank", {"hidden", NULL}, NULL},
};
enum { WIDTHS = sizeof widths / sizeof *widths };

static double dense_width(const olica_picture_of *of, const width *w) {
  double dense = model(of, w->dense[0]) * (w->dense[1] ? model(of, w->dense[1]) : 1);
  double other = w->other ? model(of, w->other) : dense;
  return other < dense ? other : dense;
}

/* Returns the share in per cent; a rank of 0, or one that is not told, is the whole matrix. */
static double share_of(const olica_picture_of *of, const json_t *row, const width *w) {
  double value = olica_reports_in(row, w->key);
  bool branch = strcmp(w->key, "branch_rank") == 0;
  if (!branch && (isnan(value) || value == 0))
    return strcmp(w->key, "ffn_width") == 0 && value == 0 ? 0 : 100;
  return 100 * value / dense_width(of, w);
}

/* A line is drawn where a layer differs from the dense model; the FFN's always. */
static bool is_drawn(const olica_picture_of *of, const width *w) {
  double whole = strcmp(w->key, "branch_rank") == 0 ? 0 : 100;
  if (w == widths) return true;
  for (size_t i = 0; i < json_array_size(layers_of(of)); i++) {
    double share = share_of(of, json_array_get(layers_of(of), i), w);
    if (isfinite(share) && share != whole) return true;
  }
  return false;
}

static bool has_layers(const olica_picture_of *of) {
  return json_array_size(layers_of(of)) > 0 && olica_reports_layers(of->report) > 0 &&
         isfinite(dense_width(of, widths));
}

static void widths_data(const olica_picture_of *of, FILE *to) {
  fprintf(to, "# layer; %% of the dense width:");
  for (int w = 0; w < WIDTHS; w++) fprintf(to, " %s", widths[w].key);
  fputc('\n', to);
  for (size_t i = 0; i < json_array_size(layers_of(of)); i++) {
    const json_t *row = json_array_get(layers_of(of), i);
    fprintf(to, "%g", olica_reports_in(row, "layer"));
    for (int w = 0; w < WIDTHS; w++) olica_pictures_number(to, share_of(of, row, &widths[w]));
    fputc('\n', to);
  }
}

static void widths_settings(const olica_picture_of *of, FILE *to) {
  axis(of, to);
  fprintf(to, "set ylabel \"kept width or rank (%% of the dense one)\"\nset yrange [0:105]\n");
}

/* Later lines have smaller points, so that one over another shows both. */
static void widths_plot(const olica_picture_of *of, FILE *to) {
  int drawn = 0;
  fprintf(to, "  plot");
  for (int w = 0; w < WIDTHS; w++) {
    if (!is_drawn(of, &widths[w])) continue;
    double size = point_size(of) * (drawn > 3 ? 0.7 : 1.3 - 0.15 * drawn);
    fprintf(to,
            "%s data using 1:%d with linespoints linecolor rgb \"%s\" linewidth %d pointtype %d pointsize %g "
            "title \"%s\"",
            drawn ? "," : "", w + 2, olica_style_colour(drawn), drawn ? 2 : 3, olica_style_point(drawn), size,
            widths[w].title);
    drawn++;
  }
  fputc('\n', to);
}

const olica_picture olica_picture_widths = {
    .name = "widths",
    .title = "Widths and ranks that the layers keep",
    .about = "Widths and ranks of each pruned layer, in per cent of the dense model's. A matrix that is left "
             "whole is at 100 %; of a rank 100 % is the matrix's shorter side. What no layer has lost is not "
             "drawn, the FFN always.",
    .has = has_layers,
    .data = widths_data,
    .settings = widths_settings,
    .plot = widths_plot,
};

/* ---- one number for each layer ---- */

static bool is_calibrated(const olica_picture_of *of, size_t layer) {
  const json_t *chosen = olica_reports_array(of->report, "calibrated_layers");
  for (size_t i = 0; i < json_array_size(chosen); i++)
    if (olica_reports_at(chosen, i) == (double)layer) return true;
  return false;
}

static void bars_data(const olica_picture_of *of, const char *key, FILE *to) {
  const json_t *array = olica_reports_array(of->report, key);
  fprintf(to, "# layer %s calibrated\n", key);
  for (size_t i = 0; i < json_array_size(array); i++) {
    fprintf(to, "%zu", i);
    olica_pictures_number(to, olica_reports_at(array, i));
    fprintf(to, " %d\n", is_calibrated(of, i));
  }
}

/* A logarithmic axis where all are positive and far apart. Bars of one begin below the least. */
static void bars_axis(const olica_picture_of *of, const char *key, FILE *to) {
  const json_t *array = olica_reports_array(of->report, key);
  double least = INFINITY, most = 0;
  for (size_t i = 0; i < json_array_size(array); i++) {
    least = fmin(least, olica_reports_at(array, i));
    most = fmax(most, olica_reports_at(array, i));
  }
  axis(of, to);
  if (least > 0 && most > 30 * least)
    fprintf(to, "set logscale y\nset yrange [%.3g:*]\nset format y \"%%g\"\n", least / 2);
  else if (least >= 0)
    fprintf(to, "set yrange [0:*]\n");
}

static bool has_linearity(const olica_picture_of *of) {
  return json_array_size(olica_reports_array(of->report, "linearity_score")) > 0 &&
         olica_reports_layers(of->report) > 0;
}

static void linearity_data(const olica_picture_of *of, FILE *to) {
  bars_data(of, "linearity_score", to);
}

static void linearity_settings(const olica_picture_of *of, FILE *to) {
  bars_axis(of, "linearity_score", to);
  fprintf(to, "set ylabel \"1 - mean correlation of the linear fit\"\n");
}

static void linearity_plot(const olica_picture_of *of, FILE *to) {
  (void)of;
  fprintf(to,
          "  plot data using 1:($3 == 0 ? $2 : NaN) with boxes linecolor rgb \"%s\" title \"FFN\", "
          "data using 1:($3 == 1 ? $2 : NaN) with boxes linecolor rgb \"%s\" title \"FFN with a branch\"\n",
          olica_style_colour(5), olica_style_colour(1));
}

const olica_picture olica_picture_linearity = {
    .name = "linearity",
    .title = "How far each FFN is from a linear map",
    .about = "1 - mean correlation between each FFN's output and its linear fit on the calibration tokens: "
             "the smaller, the more linear. The most linear FFNs get a calibration branch.",
    .has = has_linearity,
    .data = linearity_data,
    .settings = linearity_settings,
    .plot = linearity_plot,
};

static const char *sensitivity_key(const olica_picture_of *of) {
  if (json_array_size(olica_reports_array(of->report, "probe_kl")) > 0) return "probe_kl";
  return json_array_size(olica_reports_array(of->report, "block_influence")) > 0 ? "block_influence" : NULL;
}

static bool has_sensitivity(const olica_picture_of *of) {
  return sensitivity_key(of) && olica_reports_layers(of->report) > 0;
}

static void sensitivity_data(const olica_picture_of *of, FILE *to) {
  bars_data(of, sensitivity_key(of), to);
}

static void sensitivity_settings(const olica_picture_of *of, FILE *to) {
  bars_axis(of, sensitivity_key(of), to);
  fprintf(to, "unset key\nset ylabel \"%s\"\n",
          strcmp(sensitivity_key(of), "probe_kl") == 0 ? "cost of the layer's probe (nats a token)"
                                                       : "1 - cos(input, output) of the layer");
}

static void sensitivity_plot(const olica_picture_of *of, FILE *to) {
  (void)of;
  fprintf(to, "  plot data using 1:2 with boxes linecolor rgb \"%s\" notitle\n", olica_style_colour(0));
}

const olica_picture olica_picture_sensitivity = {
    .name = "sensitivity",
    .title = "How sensitive the model is to each layer",
    .about = "What a cut of this layer alone costs (the divergence of the next-token distribution, in nats a "
             "token), or, with block influence, how much the layer turns its input. Sensitive layers keep "
             "more.",
    .has = has_sensitivity,
    .data = sensitivity_data,
    .settings = sensitivity_settings,
    .plot = sensitivity_plot,
};

/* ---- errors ---- */

enum { ERRORS = 7 };

static bool ends_in(const char *key, const char *end) {
  size_t length = strlen(key), tail = strlen(end);
  return length > tail && strcmp(key + length - tail, end) == 0;
}

static bool is_among(const char *const keys[ERRORS], int count, const char *key) {
  for (int i = 0; i < count; i++)
    if (strcmp(keys[i], key) == 0) return true;
  return false;
}

/* Fills the members of the layers that are relative changes, whatever the method: NAME_error, NAME_change. */
static int errors_of(const olica_picture_of *of, const char *keys[ERRORS]) {
  int count = 0;
  const char *key;
  json_t *value;
  for (size_t i = 0; i < json_array_size(layers_of(of)); i++)
    json_object_foreach(json_array_get(layers_of(of), i), key,
                        value) if ((ends_in(key, "_error") || ends_in(key, "_change")) &&
                                   json_is_number(value) && count < ERRORS && !is_among(keys, count, key))
        keys[count++] = key;
  return count;
}

static bool has_errors(const olica_picture_of *of) {
  const char *keys[ERRORS];
  return errors_of(of, keys) > 0 && olica_reports_layers(of->report) > 0;
}

static void errors_data(const olica_picture_of *of, FILE *to) {
  const char *keys[ERRORS];
  int count = errors_of(of, keys);
  fprintf(to, "# layer");
  for (int e = 0; e < count; e++) fprintf(to, " %s", keys[e]);
  fputc('\n', to);
  for (size_t i = 0; i < json_array_size(layers_of(of)); i++) {
    const json_t *row = json_array_get(layers_of(of), i);
    fprintf(to, "%g", olica_reports_in(row, "layer"));
    for (int e = 0; e < count; e++) olica_pictures_number(to, olica_reports_in(row, keys[e]));
    fputc('\n', to);
  }
}

static void errors_settings(const olica_picture_of *of, FILE *to) {
  axis(of, to);
  fprintf(to, "set ylabel \"relative change of the matrix (Frobenius norm)\"\nset yrange [0:*]\n");
}

static void errors_plot(const olica_picture_of *of, FILE *to) {
  const char *keys[ERRORS];
  int count = errors_of(of, keys);
  fprintf(to, "  plot");
  for (int e = 0; e < count; e++) {
    fprintf(to,
            "%s data using 1:%d with linespoints linecolor rgb \"%s\" linewidth 2 pointtype %d pointsize %g "
            "title ",
            e ? "," : "", e + 2, olica_style_colour(e), olica_style_point(e), point_size(of));
    olica_style_text(to, keys[e]);
  }
  fputc('\n', to);
}

const olica_picture olica_picture_errors = {
    .name = "errors",
    .title = "How far each layer's matrices are from the dense ones",
    .about =
        "Relative change of a matrix, in the Frobenius norm: of query and key, what their low rank loses; "
        "of the kept columns of down, what the refit has changed.",
    .has = has_errors,
    .data = errors_data,
    .settings = errors_settings,
    .plot = errors_plot,
};

/* ---- times of the layers ---- */

static const json_t *times_of(const olica_picture_of *of) {
  return olica_reports_array(of->report, "layer_times");
}

static bool has_times(const olica_picture_of *of) {
  return json_array_size(times_of(of)) > 0 && olica_reports_layers(of->report) > 0;
}

static bool is_pruning(const json_t *row) {
  const char *sweep = json_string_value(json_object_get(row, "sweep"));
  return sweep && strcmp(sweep, "prune") == 0;
}

/* The sweeps follow each other: 0 for the pruning, else the number of the pass. */
static int pass_of(const json_t *row) {
  double pass = olica_reports_in(row, "pass");
  if (is_pruning(row)) return 0;
  return isnan(pass) ? 1 : (int)pass;
}

enum { PASSES = 6 };

static bool has_pass(const olica_picture_of *of, int pass) {
  for (size_t i = 0; i < json_array_size(times_of(of)); i++)
    if (pass_of(json_array_get(times_of(of), i)) == pass) return true;
  return false;
}

static void times_data(const olica_picture_of *of, FILE *to) {
  fprintf(to, "# layer pass (0: the pruning) seconds\n");
  for (size_t i = 0; i < json_array_size(times_of(of)); i++) {
    const json_t *row = json_array_get(times_of(of), i);
    fprintf(to, "%g %d", olica_reports_in(row, "layer"), pass_of(row));
    olica_pictures_number(to, olica_reports_in(row, "wall_s"));
    fputc('\n', to);
  }
}

static void times_settings(const olica_picture_of *of, FILE *to) {
  axis(of, to);
  fprintf(to, "set ylabel \"seconds (rank 0)\"\nset yrange [0:*]\n");
}

static void times_plot(const olica_picture_of *of, FILE *to) {
  int drawn = 0;
  fprintf(to, "  plot");
  for (int pass = 0; pass < PASSES; pass++) {
    char title[32] = "pruning";
    if (!has_pass(of, pass)) continue;
    if (pass > 0) snprintf(title, sizeof title, has_pass(of, 2) ? "pass %d, dense" : "survey, dense", pass);
    fprintf(
        to,
        "%s data using 1:($2 == %d ? $3 : NaN) with points linecolor rgb \"%s\" pointtype %d pointsize %g "
        "title \"%s\"",
        drawn++ ? "," : "", pass, olica_style_colour(pass), olica_style_point(pass), point_size(of), title);
  }
  fputc('\n', to);
}

const olica_picture olica_picture_layer_times = {
    .name = "layer-times",
    .title = "Time of each layer",
    .about = "Seconds that each layer took in each sweep, by rank 0's clock.",
    .has = has_times,
    .data = times_data,
    .settings = times_settings,
    .plot = times_plot,
};
