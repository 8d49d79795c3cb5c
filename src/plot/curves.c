/* Pictures of one report in which every layer is a curve: spectra, importance of the neurons. */
#include <math.h>
#include <string.h>

#include "pictures.h"
#include "plot/style.h"

static const json_t *row_at(const olica_picture_of *of, size_t i) {
  return json_array_get(olica_reports_array(of->report, "layers"), i);
}

static size_t rows_of(const olica_picture_of *of) {
  return json_array_size(olica_reports_array(of->report, "layers"));
}

static const json_t *curve_at(const olica_picture_of *of, size_t i, const char *key) {
  const json_t *curve = json_object_get(row_at(of, i), key);
  return json_array_size(curve) > 1 ? curve : NULL;
}

static bool has_curves(const olica_picture_of *of, const char *key) {
  for (size_t i = 0; i < rows_of(of); i++)
    if (curve_at(of, i, key)) return olica_reports_layers(of->report) > 0;
  return false;
}

static void colours(const olica_picture_of *of, FILE *to) {
  int last = olica_reports_layers(of->report) - 1;
  fprintf(to, "set cblabel \"layer\"\nset cbrange [0:%d]\nset cbtics 0,%d\nset format y \"%%g\"\n",
          last > 0 ? last : 1,
          last > 40   ? 20
          : last > 20 ? 10
          : last > 10 ? 5
                      : 1);
}

/* ---- importance ---- */

/* Returns the member NAME_importance of the layers, whatever the method; NULL: there is none. */
static const char *importance_key(const olica_picture_of *of) {
  static const char end[] = "_importance";
  const char *key;
  json_t *value;
  for (size_t i = 0; i < rows_of(of); i++) json_object_foreach((json_t *)row_at(of, i), key, value) {
      size_t length = strlen(key);
      if (json_is_array(value) && length >= sizeof end && strcmp(key + length - (sizeof end - 1), end) == 0)
        return key;
    }
  return NULL;
}

static bool has_importance(const olica_picture_of *of) {
  return importance_key(of) && has_curves(of, importance_key(of));
}

/* Returns the importance at a share of the order, between the points of the curve. */
static double between(const json_t *curve, double share) {
  double at = share * (double)(json_array_size(curve) - 1);
  size_t i = (size_t)at, last = json_array_size(curve) - 1;
  double low = olica_reports_at(curve, i < last ? i : last),
         high = olica_reports_at(curve, i < last ? i + 1 : last);
  return low + (at - (double)i) * (high - low);
}

static void importance_data(const olica_picture_of *of, FILE *to) {
  fprintf(to, "# first: layer, %% of the neurons, importance / the layer's median; "
              "second: the same where the cut is\n");
  for (int cut = 0; cut < 2; cut++) {
    for (size_t i = 0; i < rows_of(of); i++) {
      const json_t *curve = curve_at(of, i, importance_key(of));
      double layer = olica_reports_in(row_at(of, i), "layer"), median = curve ? between(curve, 0.5) : 0;
      double gone =
          1 - olica_reports_in(row_at(of, i), "ffn_width") / olica_reports_number(of->report, "model", "ffn");
      if (!curve || !(median > 0)) continue;
      size_t points = json_array_size(curve);
      for (size_t p = 0; !cut && p < points; p++)
        fprintf(to, "%g %g %.6g\n", layer, 100.0 * (double)p / (double)(points - 1),
                olica_reports_at(curve, p) / median);
      if (cut && gone >= 0 && gone <= 1)
        fprintf(to, "%g %g %.6g\n", layer, 100 * gone, between(curve, gone) / median);
      if (!cut) fputc('\n', to);
    }
    fprintf(to, "\n\n");
  }
}

static void importance_settings(const olica_picture_of *of, FILE *to) {
  colours(of, to);
  fprintf(to, "set xlabel \"FFN neurons, the least important first (%%)\"\nset xrange [0:100]\n"
              "set ylabel \"importance / median of the layer\"\nset logscale y\n");
}

static void importance_plot(const olica_picture_of *of, FILE *to) {
  (void)of;
  fprintf(to, "  plot data index 0 using 2:($3 > 0 ? $3 : NaN):1 with lines linewidth 1.5 linecolor palette "
              "notitle, data index 1 using 2:($3 > 0 ? $3 : NaN) with points pointtype 6 pointsize 0.9 "
              "linecolor rgb \"#000000\" title \"the cut: neurons on the left go\"\n");
}

const olica_picture olica_picture_importance = {
    .name = "importance",
    .title = "Importance of the FFN neurons, and the cut",
    .about =
        "A curve for each layer: its neurons in the order of their importance, over the layer's median "
        "one. The circle is where the cut is: what lies left of it goes (but for the least important share "
        "that the method may keep).",
    .has = has_importance,
    .data = importance_data,
    .settings = importance_settings,
    .plot = importance_plot,
};

/* ---- spectra ---- */

/* The matrices whose spectra may be there: their members of a layer are NAME_spectrum, NAME_rank,
 * NAME_energy. */
static const struct {
  const char *name, *heads, *title;
} matrices[] = {{"q", "heads", "query"}, {"k", "kv_heads", "key"}};
enum { MATRICES = 2, KEY = 32 };

static const char *key_of(int m, const char *what, char key[KEY]) {
  snprintf(key, KEY, "%s_%s", matrices[m].name, what);
  return key;
}

static bool has_spectrum(const olica_picture_of *of, int m) {
  char key[KEY];
  return has_curves(of, key_of(m, "spectrum", key));
}

static bool has_spectra(const olica_picture_of *of) {
  return has_spectrum(of, 0) || has_spectrum(of, 1);
}

static double rank_of(const olica_picture_of *of, size_t i, int m) {
  char key[KEY];
  return olica_reports_in(row_at(of, i), key_of(m, "rank", key));
}

/* A curve ends at the rank that is kept. */
static void spectra_data(const olica_picture_of *of, FILE *to) {
  fprintf(to, "# first query, second key: layer, component (%% of the matrix's), eigenvalue / the largest\n");
  for (int m = 0; m < MATRICES; m++) {
    char key[KEY];
    double size = olica_reports_number(of->report, "model", matrices[m].heads) *
                  olica_reports_number(of->report, "model", "head");
    for (size_t i = 0; i < rows_of(of); i++) {
      const json_t *curve = curve_at(of, i, key_of(m, "spectrum", key));
      double layer = olica_reports_in(row_at(of, i), "layer"), rank = rank_of(of, i, m);
      double points = (double)json_array_size(curve), first = olica_reports_at(curve, 0);
      for (double p = 0; curve && first > 0 && p < points; p++)
        fprintf(to, "%g %.6g %.6g\n", layer, 100 * (1 + p * (rank - 1) / (points - 1)) / size,
                olica_reports_at(curve, (size_t)p) / first);
      if (curve) fputc('\n', to);
    }
    fprintf(to, m ? "" : "? ? ?\n\n\n");
  }
}

static void spectra_settings(const olica_picture_of *of, FILE *to) {
  colours(of, to);
  fprintf(to, "set xlabel \"component (%% of all)\"\nset xrange [0:100]\nset xtics 0,20\nset logscale y\n"
              "unset key\n");
}

/* Returns the mean over the layers of the energy beyond the cut, in per cent; NAN: not known. */
static double beyond(const olica_picture_of *of, int m) {
  char key[KEY];
  double sum = 0, count = 0;
  for (size_t i = 0; i < rows_of(of); i++) {
    double kept = olica_reports_in(row_at(of, i), key_of(m, "energy", key));
    if (isfinite(kept)) sum += 100 * (1 - kept), count++;
  }
  return count > 0 ? sum / count : NAN;
}

static void panel(const olica_picture_of *of, int m, FILE *to) {
  double rank = rank_of(of, 0, m), size = olica_reports_number(of->report, "model", matrices[m].heads) *
                                          olica_reports_number(of->report, "model", "head");
  fprintf(to, "    set title \"%s: %.3g %% of the energy is cut\"\n    unset arrow\n", matrices[m].title,
          beyond(of, m));
  if (rank > 0)
    fprintf(to,
            "    set arrow from first %.6g, graph 0 to first %.6g, graph 1 nohead dashtype 2 linewidth 1.5 "
            "linecolor rgb \"#000000\"\n",
            100 * rank / size, 100 * rank / size);
  fprintf(to, "    set %s\n    %s colorbox\n", m == 0 ? "ylabel \"eigenvalue / largest\"" : "ylabel \"\"",
          m == 0 ? "unset" : "set");
  if (has_spectrum(of, m))
    fprintf(
        to,
        "    plot data index %d using 2:($3 > 0 ? $3 : NaN):1 with lines linewidth 1.5 linecolor palette\n",
        m);
}

static void spectra_plot(const olica_picture_of *of, FILE *to) {
  int panels = has_spectrum(of, 0) + has_spectrum(of, 1);
  fprintf(to, "  set multiplot layout 1,%d\n", panels);
  for (int m = 0; m < MATRICES; m++)
    if (has_spectrum(of, m)) panel(of, m, to);
  fprintf(to, "  unset multiplot\n");
}

const olica_picture olica_picture_spectra = {
    .name = "spectra",
    .title = "Spectra of query and key, and the cut",
    .about =
        "A curve for each layer: the eigenvalues of the energy-weighted Gram matrix over the largest one, "
        "to the rank that is kept (dashed). The title has the mean share of the energy beyond it, which "
        "is cut.",
    .has = has_spectra,
    .data = spectra_data,
    .settings = spectra_settings,
    .plot = spectra_plot,
};
