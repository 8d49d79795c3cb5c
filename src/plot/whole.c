/* Pictures of whole runs: where time went, perplexity over parameters, speed. */
#include <math.h>
#include <string.h>

#include "pictures.h"
#include "plot/style.h"

/* ---- time ---- */

static const json_t *phases_of(const olica_plot_report *report) {
  return olica_reports_array(report, "phases");
}

static const char *name_of(const json_t *phase) {
  const char *name = json_string_value(json_object_get(phase, "name"));
  return name ? name : "";
}

/* Finer phases, with a dot, are parts of others. */
static bool is_main(const json_t *phase) {
  return !strchr(name_of(phase), '.') && olica_reports_in(phase, "mean_s") >= 0;
}

enum { PHASES = 32 };

/* Fills the main phases, the longest last, and returns their number. */
static int longest_last(const olica_plot_report *report, const json_t *sorted[PHASES]) {
  int count = 0;
  for (size_t i = 0; i < json_array_size(phases_of(report)) && count < PHASES; i++) {
    const json_t *phase = json_array_get(phases_of(report), i);
    int at = count;
    if (!is_main(phase)) continue;
    for (; at > 0 && olica_reports_in(sorted[at - 1], "mean_s") > olica_reports_in(phase, "mean_s"); at--)
      sorted[at] = sorted[at - 1];
    sorted[at] = phase;
    count++;
  }
  return count;
}

static bool has_time(const olica_picture_of *of) {
  const json_t *sorted[PHASES];
  return longest_last(of->report, sorted) > 0;
}

static int time_height(const olica_picture_of *of) {
  const json_t *sorted[PHASES];
  return 150 + 28 * longest_last(of->report, sorted);
}

static double longest(const olica_picture_of *of) {
  const json_t *sorted[PHASES];
  int count = longest_last(of->report, sorted);
  double most = 0;
  for (int i = 0; i < count; i++) most = fmax(most, olica_reports_in(sorted[i], "mean_s"));
  return most > 0 ? most : 1;
}

static void time_data(const olica_picture_of *of, FILE *to) {
  const json_t *sorted[PHASES];
  int count = longest_last(of->report, sorted);
  double wall = 0;
  for (int i = 0; i < count; i++) wall += olica_reports_in(sorted[i], "mean_s");
  fprintf(to, "# place seconds (mean of the ranks), of them in collectives, phase, label\n");
  for (int i = 0; i < count; i++) {
    double seconds = olica_reports_in(sorted[i], "mean_s");
    fprintf(to, "%d", i);
    olica_pictures_number(to, seconds);
    olica_pictures_number(to, olica_reports_in(sorted[i], "comm_s"));
    fputc(' ', to);
    olica_style_text(to, name_of(sorted[i]));
    fprintf(to, " \"%.3g s, %.0f %%\"\n", seconds, wall > 0 ? 100 * seconds / wall : 0);
  }
}

static void time_settings(const olica_picture_of *of, FILE *to) {
  fprintf(to,
          "set xlabel \"seconds (mean of the ranks)\"\nset xrange [0:%.6g]\nset yrange [-0.7:*]\nset ytics "
          "scale 0\nunset grid\nset grid xtics linecolor rgb \"#dddddd\" linetype 1\n",
          1.25 * longest(of));
}

static void time_plot(const olica_picture_of *of, FILE *to) {
  (void)of;
  fprintf(
      to,
      "  plot data using (0):1:(0):2:($1 - 0.35):($1 + 0.35):ytic(4) with boxxyerror linecolor rgb \"%s\" "
      "title "
      "\"work\", data using (0):1:(0):3:($1 - 0.35):($1 + 0.35) with boxxyerror linecolor rgb \"%s\" title "
      "\"of it in collectives\", data using 2:1:5 with labels left offset 0.5,0 notitle\n",
      olica_style_colour(5), olica_style_colour(1));
}

const olica_picture olica_picture_time = {
    .name = "time",
    .title = "Where the time went",
    .about = "Seconds of the main phases, mean of the ranks, and how much of it they spent in collectives, "
             "waiting included. A "
             "resumed run shows its last start.",
    .has = has_time,
    .height = time_height,
    .data = time_data,
    .settings = time_settings,
    .plot = time_plot,
};

/* ---- perplexity ---- */

static const char *const models[] = {"dense", "pruned", "model"};
enum { MODELS = 3 };

static double perplexity_of(const olica_plot_report *report, int m) {
  return olica_reports_number(report, "perplexity", models[m]);
}

static bool has_point(const olica_plot_report *report, int m) {
  return perplexity_of(report, m) > 0 && olica_reports_number(report, "parameters", models[m]) > 0;
}

void olica_pictures_text_key(const olica_plot_report *report, char key[OLICA_PICTURES_KEY]) {
  const json_t *evaluate = json_object_get(json_object_get(report->root, "settings"), "evaluate");
  const char *text = json_string_value(json_object_get(evaluate, "text"));
  const char *tokens = json_string_value(json_object_get(evaluate, "tokens"));
  const char *from = text && *text ? text : tokens ? tokens : "";
  const char *slash = strrchr(from, '/');
  snprintf(key, OLICA_PICTURES_KEY, "%.64s, %.0f tokens", slash ? slash + 1 : from,
           olica_reports_number(report, "perplexity", "tokens"));
}

static bool has_perplexity(const olica_picture_of *of) {
  for (int i = 0; i < of->count; i++)
    for (int m = 0; m < MODELS; m++)
      if (has_point(&of->report[i], m)) return true;
  return false;
}

/* A line joins the reports of one method, on one model and one text. */
static bool same_line(const olica_plot_report *a, const olica_plot_report *b) {
  char text[2][OLICA_PICTURES_KEY];
  double size[2] = {olica_reports_number(a, "parameters", "dense"),
                    olica_reports_number(b, "parameters", "dense")};
  olica_pictures_text_key(a, text[0]);
  olica_pictures_text_key(b, text[1]);
  return strcmp(olica_reports_method(a), olica_reports_method(b)) == 0 && strcmp(text[0], text[1]) == 0 &&
         (size[0] == size[1] || (isnan(size[0]) && isnan(size[1])));
}

static bool is_first_of_line(const olica_picture_of *of, int i) {
  for (int j = 0; j < i; j++)
    if (same_line(&of->report[j], &of->report[i])) return false;
  return true;
}

enum { POINTS = 2 * OLICA_PLOT_REPORTS };
typedef struct point {
  double parameters, perplexity;
} point;

static void insert(point *points, int *count, point p) {
  int at = *count;
  for (int i = 0; i < *count; i++)
    if (points[i].parameters == p.parameters && points[i].perplexity == p.perplexity) return;
  for (; at > 0 && points[at - 1].parameters > p.parameters; at--) points[at] = points[at - 1];
  points[at] = p;
  ++*count;
}

/* The line that report i begins, from the smallest model to the dense one. */
static int line_of(const olica_picture_of *of, int i, point points[POINTS]) {
  int count = 0;
  for (int j = i; j < of->count; j++) {
    if (!same_line(&of->report[i], &of->report[j])) continue;
    for (int m = 0; m < MODELS; m++)
      if (has_point(&of->report[j], m))
        insert(points, &count,
               (point){olica_reports_number(&of->report[j], "parameters", models[m]),
                       perplexity_of(&of->report[j], m)});
  }
  return count;
}

/* Reports of one comparison have the dense model once: a line without it takes it from another of the same
 * model and text. */
static void add_dense(const olica_picture_of *of, int i, point points[POINTS], int *count) {
  char text[2][OLICA_PICTURES_KEY];
  olica_pictures_text_key(&of->report[i], text[0]);
  for (int j = 0; j < of->count; j++) {
    const olica_plot_report *other = &of->report[j];
    double size = olica_reports_number(other, "parameters", "dense");
    olica_pictures_text_key(other, text[1]);
    if (has_point(other, 0) && strcmp(text[0], text[1]) == 0 &&
        size == olica_reports_number(&of->report[i], "parameters", "dense"))
      insert(points, count, (point){size, perplexity_of(other, 0)});
  }
}

static double largest(const olica_picture_of *of) {
  double most = 0;
  for (int i = 0; i < of->count; i++)
    for (int m = 0; m < MODELS; m++)
      most = fmax(most, olica_reports_number(&of->report[i], "parameters", models[m]));
  return most;
}

static const char *unit_of(const olica_picture_of *of) {
  return largest(of) >= 2e9 ? "billions" : "millions";
}

static double unit(const olica_picture_of *of) {
  return largest(of) >= 2e9 ? 1e9 : 1e6;
}

static void perplexity_data(const olica_picture_of *of, FILE *to) {
  point points[POINTS];
  fprintf(to, "# a block for each line: %s of parameters, perplexity\n", unit_of(of));
  for (int i = 0; i < of->count; i++) {
    if (!is_first_of_line(of, i)) continue;
    int count = line_of(of, i, points);
    if (count == 0) continue;
    add_dense(of, i, points, &count);
    fprintf(to, "# %s\n", olica_reports_method(&of->report[i]));
    for (int p = 0; p < count; p++)
      fprintf(to, "%.8g %.8g\n", points[p].parameters / unit(of), points[p].perplexity);
    fprintf(to, "\n\n");
  }
}

/* Ticks at 1, 2, 5 times the powers of ten, as far as the perplexities reach. */
static void perplexity_settings(const olica_picture_of *of, FILE *to) {
  double least = INFINITY, most = 0;
  for (int i = 0; i < of->count; i++)
    for (int m = 0; m < MODELS; m++)
      if (has_point(&of->report[i], m)) {
        least = fmin(least, perplexity_of(&of->report[i], m));
        most = fmax(most, perplexity_of(&of->report[i], m));
      }
  fprintf(to,
          "set xlabel \"parameters (%s)\"\nset ylabel \"perplexity (lower is better)\"\nset logscale y\nset "
          "yrange [%.6g:%.6g]\nset xrange [*:*] noextend\nset offsets graph 0.03, graph 0.03, 0, 0\n",
          unit_of(of), least * 0.85, most * 1.2);
  fprintf(to, "set ytics (");
  static const double finest[] = {1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9},
                      fine[] = {1, 1.5, 2, 3, 4, 5, 6, 8}, coarse[] = {1, 2, 5};
  double digits = log10(most / least);
  const double *steps = digits < 0.4 ? finest : digits < 1 ? fine : coarse;
  int count = digits < 0.4 ? 15 : digits < 1 ? 8 : 3, written = 0;
  for (double power = pow(10, floor(log10(least)) - 1); power <= most * 1.2; power *= 10)
    for (int s = 0; s < count; s++)
      if (steps[s] * power >= least * 0.85 && steps[s] * power <= most * 1.2 && (digits < 4 || s == 0))
        fprintf(to, "%s%.6g", written++ ? ", " : "", steps[s] * power);
  fprintf(to, ")\n");
}

/* Says of a line what tells it from the others: also the text, or the model, where there are several. */
static void line_title(const olica_picture_of *of, int i, FILE *to) {
  char title[OLICA_PICTURES_KEY + 96], text[2][OLICA_PICTURES_KEY];
  bool texts = false, sizes = false;
  const olica_plot_report *mine = &of->report[i];
  double size = olica_reports_number(mine, "parameters", "dense");
  olica_pictures_text_key(mine, text[0]);
  for (int j = 0; j < of->count; j++) {
    double other = olica_reports_number(&of->report[j], "parameters", "dense");
    olica_pictures_text_key(&of->report[j], text[1]);
    texts |= strcmp(text[0], text[1]) != 0;
    sizes |= isfinite(size) && isfinite(other) && size != other;
  }
  int used = snprintf(title, sizeof title, "%.24s",
                      strcmp(olica_reports_method(mine), "none") == 0 ? "not pruned here"
                                                                      : olica_reports_method(mine));
  if (sizes)
    used += snprintf(title + used, sizeof title - (size_t)used, " of %.4g %s", size / unit(of), unit_of(of));
  if (texts) snprintf(title + used, sizeof title - (size_t)used, " (%s)", text[0]);
  olica_style_text(to, title);
}

static void perplexity_plot(const olica_picture_of *of, FILE *to) {
  point points[POINTS];
  int drawn = 0;
  fprintf(to, "  plot");
  for (int i = 0; i < of->count; i++) {
    if (!is_first_of_line(of, i)) continue;
    int count = line_of(of, i, points);
    if (count == 0) continue;
    fprintf(to,
            "%s data index %d using 1:2 with linespoints linecolor rgb \"%s\" linewidth 2 pointtype %d "
            "pointsize 1 title ",
            drawn ? "," : "", drawn, olica_style_colour(drawn), olica_style_point(drawn));
    line_title(of, i, to);
    drawn++;
  }
  fputc('\n', to);
}

const olica_picture olica_picture_perplexity = {
    .name = "perplexity",
    .title = "Perplexity and size",
    .about =
        "Perplexity of the first text over the number of parameters, a line for each method, from the dense "
        "model on the right.",
    .of_all = true,
    .has = has_perplexity,
    .data = perplexity_data,
    .settings = perplexity_settings,
    .plot = perplexity_plot,
};

/* ---- speed ---- */

enum { SPEEDS = 8 };

static bool is_known(const char *const names[SPEEDS], int count, const char *name) {
  for (int i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

/* Fills the names of the phases that pass tokens, over all reports. */
static int speeds_of(const olica_picture_of *of, const char *names[SPEEDS]) {
  int count = 0;
  for (int i = 0; i < of->count; i++)
    for (size_t p = 0; p < json_array_size(phases_of(&of->report[i])); p++) {
      const json_t *phase = json_array_get(phases_of(&of->report[i]), p);
      bool fast = olica_reports_in(phase, "tokens_per_s") > 0;
      if (fast && count < SPEEDS && !is_known(names, count, name_of(phase))) names[count++] = name_of(phase);
    }
  return count;
}

static double speed_of(const olica_plot_report *report, const char *name) {
  for (size_t p = 0; p < json_array_size(phases_of(report)); p++) {
    const json_t *phase = json_array_get(phases_of(report), p);
    if (strcmp(name_of(phase), name) == 0) return olica_reports_in(phase, "tokens_per_s");
  }
  return NAN;
}

static bool has_speed(const olica_picture_of *of) {
  const char *names[SPEEDS];
  return speeds_of(of, names) > 0;
}

static int speed_height(const olica_picture_of *of) {
  return 170 + 30 * of->count;
}

static void speed_data(const olica_picture_of *of, FILE *to) {
  const char *names[SPEEDS];
  int count = speeds_of(of, names);
  fprintf(to, "# place, report, tokens a second in:");
  for (int i = 0; i < count; i++) fprintf(to, " %s", names[i]);
  fputc('\n', to);
  for (int r = 0; r < of->count; r++) {
    fprintf(to, "%d ", of->count - 1 - r);
    olica_style_text(to, of->report[r].label);
    for (int i = 0; i < count; i++) olica_pictures_number(to, speed_of(&of->report[r], names[i]));
    fputc('\n', to);
  }
}

static void speed_settings(const olica_picture_of *of, FILE *to) {
  fprintf(to,
          "set xlabel \"tokens a second, all ranks, through all layers\"\nset xrange [0:*]\nset yrange "
          "[-0.7:%g]\nset ytics scale 0\n",
          of->count - 0.3);
}

static void speed_plot(const olica_picture_of *of, FILE *to) {
  const char *names[SPEEDS];
  int count = speeds_of(of, names);
  fprintf(to, "  plot");
  for (int i = 0; i < count; i++) {
    fprintf(to,
            "%s data using %d:1:ytic(2) with points linecolor rgb \"%s\" pointtype %d pointsize 1.3 title ",
            i ? "," : "", i + 3, olica_style_colour(i), olica_style_point(i));
    olica_style_text(to, names[i]);
  }
  fputc('\n', to);
}

const olica_picture olica_picture_speed = {
    .name = "speed",
    .title = "Tokens a second",
    .about = "Tokens a second through all layers, of all ranks together, in the phases that pass tokens.",
    .of_all = true,
    .has = has_speed,
    .height = speed_height,
    .data = speed_data,
    .settings = speed_settings,
    .plot = speed_plot,
};
