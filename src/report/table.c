/* The table that closes a run, at most 100 columns wide. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/usage.h"
#include "report/report.h"

enum { NUMBER = 32, SLOWEST = 20, WARNING = 80 };

/* Writes "134,515,008". */
static const char *grouped(int64_t value, char *text) {
  char digits[NUMBER];
  int length = snprintf(digits, sizeof digits, "%lld", (long long)value), at = 0;
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0) text[at++] = ',';
    text[at++] = digits[i];
  }
  text[at] = '\0';
  return text;
}

/* Writes "1.25 GiB". */
static const char *bytes(double value, char *text) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int unit = 0;
  for (; value >= 1024 && unit < 5; unit++) value /= 1024;
  snprintf(text, NUMBER, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
  return text;
}

/* Writes "25.456", or a dash if it is not known; "inf" is known. */
static const char *real(double value, char *text) {
  if (!isnan(value))
    snprintf(text, NUMBER, "%.*f", fabs(value) < 1e6 ? 4 : 0, value);
  else
    snprintf(text, NUMBER, "-");
  return text;
}

static const char *count(int64_t value, char *text) {
  if (value) return grouped(value, text);
  snprintf(text, NUMBER, "-");
  return text;
}

static void print_rule(FILE *to) {
  for (int i = 0; i < 96; i++) fputc('-', to);
  fputc('\n', to);
}

static void print_head(FILE *to, const olica_report *report) {
  const char *word = report->status == OLICA_OK ? "done" : olica_status_name(report->status);
  fprintf(to, "olica_mpi %s: %s after %.1f s", olica_usage_release(), word, report->wall_s);
  if (report->job_ranks)
    fprintf(to, ", %d rank%s on %d node%s, %d thread%s each", report->job_ranks,
            report->job_ranks > 1 ? "s" : "", report->nodes, report->nodes > 1 ? "s" : "",
            report->run.threads, report->run.threads > 1 ? "s" : "");
  fputc('\n', to);
}

/* Prints a figure of the dense and of the pruned model, or of the only model if nothing is pruned. */
static void print_pair(FILE *to, const olica_report *report, const char *what, const char *left,
                       const char *right) {
  fprintf(to, "%-22s %16s", what, left);
  if (!report->evaluates_only) fprintf(to, " %16s", right);
}

static void print_names(FILE *to, const olica_report *report) {
  print_pair(to, report, "", olica_report_name(report, false), olica_report_name(report, true));
  fputc('\n', to);
}

static void print_model(FILE *to, const olica_report *report) {
  char left[NUMBER], right[NUMBER];
  print_names(to, report);
  print_pair(to, report, "parameters", count(report->dense, left), count(report->pruned, right));
  if (isfinite(report->sparsity_reached))
    fprintf(to, "   sparsity %.4f, asked for %.4f", report->sparsity_reached, report->sparsity_requested);
  fputc('\n', to);
}

static void print_text(FILE *to, const olica_report *report, const olica_report_text *text) {
  char left[NUMBER], right[NUMBER], what[OLICA_TEXT_NAME + 16];
  snprintf(what, sizeof what, "perplexity%s%s", *text->name ? " " : "", text->name);
  print_pair(to, report, what, real(text->dense, left), real(text->pruned, right));
  fprintf(to, "   %s token%s,", grouped(text->tokens, left), text->tokens == 1 ? "" : "s");
  fprintf(to, " %s window%s\n", grouped(text->windows, left), text->windows == 1 ? "" : "s");
  if (isnan(text->kl)) return;
  snprintf(right, sizeof right, "%.6f", text->kl);
  print_pair(to, report, "KL to the dense model", "", right);
  fprintf(to, "   nats per token%s%s\n", *text->name ? " of " : "", text->name);
}

/* Writes "0.4200 +- 0.0349", or a dash if it is not known. */
static const char *accuracy(const olica_report_task *task, int model, char *text) {
  double error, value = olica_scores_counted(task->task, &task->score[model], &error);
  if (task->known[model])
    snprintf(text, NUMBER, "%.4f +- %.4f", value, error);
  else
    snprintf(text, NUMBER, "-");
  return text;
}

/* Prints how many pairs lost tokens, of all tasks together. */
static void print_truncated(FILE *to, const olica_report_tasks *tasks) {
  char text[NUMBER];
  int64_t pairs = 0, tokens = 0;
  for (int t = 0; t < tasks->count; t++) {
    pairs += tasks->task[t].truncated.pairs;
    tokens += tasks->task[t].truncated.tokens;
  }
  if (pairs == 0) return;
  fprintf(to, "%-22s %16s pairs,", "truncated", grouped(pairs, text));
  fprintf(to, " %s tokens cut off\n", grouped(tokens, text));
}

static void print_tasks(FILE *to, const olica_report *report) {
  const olica_report_tasks *tasks = &report->tasks;
  char left[NUMBER], right[NUMBER], name[NUMBER];
  if (!tasks->count) return;
  for (int t = 0; t < tasks->count; t++) {
    const olica_report_task *task = &tasks->task[t];
    print_pair(to, report, task->task->name, accuracy(task, 0, left), accuracy(task, 1, right));
    fprintf(to, "   %s of %s question%s\n", task->task->by_length ? "acc_norm" : "acc",
            grouped(task->n, left), task->n == 1 ? "" : "s");
  }
  print_truncated(to, tasks);
  bool all = tasks->count == olica_task_count();
  snprintf(name, sizeof name, "mean of %s %d", all ? "the" : "only", tasks->count);
  print_pair(to, report, name, real(tasks->known[0] ? tasks->mean[0] : NAN, left),
             real(tasks->known[1] ? tasks->mean[1] : NAN, right));
  fputc('\n', to);
  print_pair(to, report, "questions a second", real(tasks->known[0] ? tasks->per_second[0] : NAN, left),
             real(tasks->known[1] ? tasks->per_second[1] : NAN, right));
  fputc('\n', to);
}

/* Prints a list of layers: its name with spaces, then the layers, on as many lines as they need. */
static void print_list(FILE *to, const olica_report_finding *finding) {
  int used = 0;
  for (const char *c = finding->name; *c; c++, used++) fputc(*c == '_' ? ' ' : *c, to);
  used += fprintf(to, "%*s", used < 22 ? 22 - used : 1, "");
  for (int i = 0; i < finding->count; i++) {
    if (used > 90) used = fprintf(to, "\n%-22s", "") - 1;
    used += fprintf(to, " %.0f", finding->value[i]);
  }
  fputc('\n', to);
}

static void print_findings(FILE *to, const olica_report *report) {
  for (int i = 0; i < report->findings; i++)
    if (report->finding[i].kind == OLICA_FINDING_LAYERS && report->finding[i].count > 0)
      print_list(to, &report->finding[i]);
}

/* Writes "12 nid001234": rank and host, without the domain. */
static const char *slowest(const olica_report *report, int rank, char text[SLOWEST]) {
  const char *host = olica_report_host(report, rank);
  snprintf(text, SLOWEST, "%d %.*s", rank, (int)strcspn(host, "."), host);
  return text;
}

static void print_phase(FILE *to, const olica_report *report, const char *name,
                        const olica_report_phase *phase) {
  const olica_report_spread *seconds = &phase->seconds;
  char where[SLOWEST];
  fprintf(to, "%-20.20s %6ld %9.3f %9.3f %9.3f  %-19s %6.1f", name, phase->calls, seconds->min, seconds->mean,
          seconds->max, slowest(report, phase->slowest, where),
          report->wall_s > 0 ? 100 * seconds->mean / report->wall_s : 0.);
  if (phase->gflops > 0) fprintf(to, " %9.1f", phase->gflops);
  fputc('\n', to);
}

/* Prints the phases; finer timers are indented under their phase, whose time includes theirs. */
static void print_phases(FILE *to, const olica_report *report) {
  if (!report->phases_count) return;
  double sum = 0;
  print_rule(to);
  fprintf(to, "%-20s %6s %9s %9s %9s  %-19s %6s %9s\n", "time", "calls", "min s", "mean s", "max s",
          "slowest rank", "% wall", "GFLOP/s");
  for (int i = 0; i < report->phases_count; i++) {
    const olica_report_phase *phase = &report->phases[i];
    const char *dot = strchr(phase->name, '.');
    char name[OLICA_TIMER_NAME + 2];
    snprintf(name, sizeof name, "%s%s", dot ? "  " : "", dot ? dot + 1 : phase->name);
    print_phase(to, report, name, phase);
    if (!dot) sum += phase->seconds.mean;
  }
  double other = fmax(0, report->wall_s - sum); /* below it is only a rounding error */
  fprintf(to, "%-20s %6s %9s %9.3f %9s  %-19s %6.1f\n", "outside of phases", "", "", other, "", "",
          report->wall_s > 0 ? 100 * other / report->wall_s : 0.);
}

static void print_spread(FILE *to, const char *name, olica_report_spread spread) {
  char least[NUMBER], mean[NUMBER], most[NUMBER];
  if (spread.max <= 0) return;
  fprintf(to, "%-22s %16s %16s %16s\n", name, bytes(spread.min, least), bytes(spread.mean, mean),
          bytes(spread.max, most));
}

static void print_memory(FILE *to, const olica_report *report) {
  char text[NUMBER];
  if (!report->ranks_count) return;
  print_rule(to);
  fprintf(to, "%-22s %16s %16s %16s\n", "memory of a rank", "min", "mean", "max");
  if (report->estimate > 0)
    fprintf(to, "%-22s %16s %16s %16s\n", "estimate", "", "", bytes(report->estimate, text));
  print_spread(to, "counted", report->counted);
  print_spread(to, "resident", report->resident);
}

static void print_warnings(FILE *to, const olica_report *report) {
  long warnings = 0;
  for (int i = 0; i < report->warnings_count; i++) warnings += report->warnings[i].count;
  fprintf(to, "%-22s %ld", "warnings", warnings);
  if (warnings) fprintf(to, ", of %d kind%s", report->warnings_count, report->warnings_count > 1 ? "s" : "");
  fputc('\n', to);
  for (int i = 0; i < report->warnings_count; i++) {
    const olica_warning *warning = &report->warnings[i];
    bool cut = strlen(warning->text) > WARNING;
    fprintf(to, "%10ld x  %.*s%s\n", warning->count, cut ? WARNING - 3 : WARNING, warning->text,
            cut ? "..." : "");
  }
}

static void print_files(FILE *to, const olica_report *report) {
  char text[NUMBER];
  print_rule(to);
  if (report->checkpoint) fprintf(to, "%-22s %s", "checkpoint", report->checkpoint);
  if (report->checkpoint && report->checkpoint_bytes > 0)
    fprintf(to, " (%s)", bytes(report->checkpoint_bytes, text));
  if (report->checkpoint) fputc('\n', to);
  const char *path =
      json_string_value(json_object_get(json_object_get(report->settings, "output"), "report"));
  if (path && *path) fprintf(to, "%-22s %s\n", "report", path);
}

void olica_report_table(const olica_report *report, FILE *to) {
  print_rule(to);
  print_head(to, report);
  print_rule(to);
  print_model(to, report);
  for (int i = 0; i < report->texts; i++) print_text(to, report, &report->text[i]);
  print_tasks(to, report);
  print_findings(to, report);
  print_phases(to, report);
  print_memory(to, report);
  print_files(to, report);
  print_warnings(to, report);
  print_rule(to);
  fflush(to);
}
