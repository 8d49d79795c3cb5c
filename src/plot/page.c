#include "page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/usage.h"

static const char style[] =
    ":root{color-scheme:light dark;--back:#fff;--text:#1d1d1f;--soft:#666;--line:#ddd;--warn:#8a4b00}"
    "@media(prefers-color-scheme:dark){:root{--back:#161618;--text:#e8e8ea;--soft:#a0a0a6;--line:#3a3a3e;"
    "--warn:#ffb454}img{filter:invert(.91) hue-rotate(180deg)}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:1rem;max-width:62rem;background:var(--back);color:var(--text);"
    "font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "h1{font-size:1.5rem}h2{font-size:1.2rem;border-top:1px solid var(--line);padding-top:1rem}"
    "h3{font-size:1rem;margin-bottom:.3rem}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid "
    "var(--line)}"
    "th{font-weight:500;color:var(--soft);width:34%}"
    "figure{margin:1.5rem 0}.wide{overflow-x:auto}"
    "img{display:block;width:100%;min-width:34rem;max-width:47.5rem;height:auto}"
    "figcaption{color:var(--soft);font-size:.9rem;max-width:47.5rem}"
    ".warn{color:var(--warn)}summary{cursor:pointer;padding:.4rem 0}code{font-size:.9em}";

/* Writes text; a control character as a blank. */
static void escape(FILE *to, const char *text) {
  for (; *text; text++) switch (*text) {
    case '<':
      fputs("&lt;", to);
      break;
    case '>':
      fputs("&gt;", to);
      break;
    case '&':
      fputs("&amp;", to);
      break;
    case '"':
      fputs("&quot;", to);
      break;
    default:
      fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
    }
}

static void row(FILE *to, const char *name, const char *value) {
  if (!*value) return;
  fputs("<tr><th>", to);
  escape(to, name);
  fputs("</th><td>", to);
  escape(to, value);
  fputs("</td></tr>\n", to);
}

static void number_row(FILE *to, const char *name, double value, const char *format) {
  char text[64];
  if (isnan(value)) return;
  snprintf(text, sizeof text, format, value);
  row(to, name, text);
}

/* Writes a whole number with blanks between its thousands. */
static void count_row(FILE *to, const char *name, double value) {
  char digits[32], text[48];
  if (!(value >= 0 && value < 1e15)) return;
  int length = snprintf(digits, sizeof digits, "%.0f", value), at = 0;
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0) text[at++] = ' ';
    text[at++] = digits[i];
  }
  text[at] = '\0';
  row(to, name, text);
}

void olica_page_begin(FILE *to, const olica_plot_reports *reports) {
  const char *mark = OLICA_PAGE_MARK;
  fprintf(to, "%s\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\n", mark);
  fprintf(to, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
  escape(to, reports->count == 1 ? reports->report[0].label : "olica_mpi: reports");
  fprintf(to, "</title>\n<style>%s</style></head>\n<body>\n<h1>", style);
  escape(to, reports->count == 1 ? reports->report[0].label : "Reports of olica_mpi");
  fputs("</h1>\n", to);
}

void olica_page_warn(FILE *to, const char *text) {
  fputs("<p class=\"warn\">", to);
  escape(to, text);
  fputs("</p>\n", to);
}

/* ---- a report ---- */

static void figures(FILE *to, const olica_plot_report *report, const char *section, const char *what,
                    void write(FILE *, const char *, double)) {
  static const char *const models[] = {"dense", "pruned", "model"};
  for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
    char name[64];
    double value = olica_reports_number(report, section, models[m]);
    snprintf(name, sizeof name, m == 2 ? "%s" : "%s, %s", what, models[m]);
    if (!isnan(value)) write(to, name, value);
  }
}

static void write_perplexity(FILE *to, const char *name, double value) {
  number_row(to, name, value, "%.4f");
}

static void job(FILE *to, const olica_plot_report *report) {
  row(to, "report", report->path);
  row(to, "status", olica_reports_text(report, NULL, "status"));
  row(to, "message", olica_reports_text(report, NULL, "message"));
  row(to, "started", olica_reports_text(report, "run", "started"));
  row(to, "family", olica_reports_text(report, "model", "family"));
  number_row(to, "layers", olica_reports_number(report, "model", "layers"), "%.0f");
  row(to, "method", olica_reports_method(report));
  figures(to, report, "parameters", "parameters", count_row);
  number_row(to, "sparsity asked for", 100 * olica_reports_number(report, "parameters", "sparsity_requested"),
             "%.2f %%");
  number_row(to, "sparsity reached", 100 * olica_reports_number(report, "parameters", "sparsity_reached"),
             "%.2f %%");
  figures(to, report, "perplexity", "perplexity", write_perplexity);
  number_row(to, "KL, dense to pruned", olica_reports_number(report, "perplexity", "kl"),
             "%.5f nats a token");
  count_row(to, "tokens predicted", olica_reports_number(report, "perplexity", "tokens"));
  number_row(to, "wall time", olica_reports_number(report, "run", "wall_s"), "%.1f s");
  number_row(to, "ranks", olica_reports_number(report, "run", "ranks"), "%.0f");
  number_row(to, "nodes", olica_reports_number(report, "run", "nodes"), "%.0f");
  number_row(to, "threads of a rank", olica_reports_number(report, "run", "threads"), "%.0f");
  row(to, "products", olica_reports_text(report, "run", "kernel"));
  row(to, "checkpoint", olica_reports_text(report, "checkpoint", "path"));
  row(to, "command", olica_reports_text(report, "run", "command_line"));
}

static void warnings(FILE *to, const olica_plot_report *report) {
  const json_t *all = olica_reports_array(report, "warnings");
  if (json_array_size(all) == 0) return;
  fprintf(to, "<h3>Warnings</h3>\n<ul>\n");
  for (size_t i = 0; i < json_array_size(all); i++) {
    const char *text = json_string_value(json_object_get(json_array_get(all, i), "text"));
    double count = olica_reports_in(json_array_get(all, i), "count");
    fputs("<li class=\"warn\">", to);
    escape(to, text ? text : "");
    if (count > 1) fprintf(to, " (%.0f times)", count);
    fputs("</li>\n", to);
  }
  fputs("</ul>\n", to);
}

static void setting(FILE *to, const char *section, const char *key, const json_t *value) {
  char name[128], *dumped = NULL;
  const char *text = json_string_value(value);
  snprintf(name, sizeof name, "%.40s.%.80s", section, key);
  if (!text) text = dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
  if (text) row(to, name, text);
  free(dumped);
}

static void settings(FILE *to, const olica_plot_report *report) {
  const json_t *all = json_object_get(report->root, "settings");
  const char *section, *key;
  json_t *members, *value;
  if (json_object_size(all) == 0) return;
  fprintf(to, "<details><summary>Settings</summary>\n<table>\n");
  json_object_foreach((json_t *)all, section, members) json_object_foreach(members, key, value)
      setting(to, section, key, value);
  fprintf(to, "</table>\n</details>\n");
}

void olica_page_report(FILE *to, const olica_plot_report *report, bool alone) {
  fputs("<h2>", to);
  escape(to, alone ? "The job" : report->label);
  fputs("</h2>\n<table>\n", to);
  job(to, report);
  fputs("</table>\n", to);
  warnings(to, report);
  settings(to, report);
}

/* ---- pictures ---- */

static void base64(FILE *to, const unsigned char *from, size_t bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes; i += 3) {
    size_t left = bytes - i;
    unsigned word = (unsigned)from[i] << 16;
    if (left > 1) word |= (unsigned)from[i + 1] << 8;
    if (left > 2) word |= from[i + 2];
    fputc(digits[word >> 18], to);
    fputc(digits[word >> 12 & 63], to);
    fputc(left > 1 ? digits[word >> 6 & 63] : '=', to);
    fputc(left > 2 ? digits[word & 63] : '=', to);
  }
}

void olica_page_picture(FILE *to, const char *name, const char *title, const char *about, const char *of,
                        const char *svg, size_t bytes) {
  fputs("<figure>\n<h3>", to);
  escape(to, title);
  if (of) fputs(": ", to);
  if (of) escape(to, of);
  fputs("</h3>\n", to);
  if (svg) {
    fputs("<div class=\"wide\"><img alt=\"", to);
    escape(to, about);
    fputs("\" src=\"data:image/svg+xml;base64,", to);
    base64(to, (const unsigned char *)svg, bytes);
    fputs("\"></div>\n", to);
  } else {
    fprintf(to, "<p>Not drawn: <code>gnuplot %s.gp</code> draws it.</p>\n", name);
  }
  fputs("<figcaption>", to);
  escape(to, about);
  fprintf(to, " Data: <code>%s.dat</code>.</figcaption>\n</figure>\n", name);
}

void olica_page_end(FILE *to) {
  fprintf(to, "<p>olica_mpi %s</p>\n</body>\n</html>\n", olica_usage_release());
}
