/* The log: lines on standard error of the rank that speaks for all (rank 0), and counted warnings that every
 * rank may raise. A line is
 *
 *     2026-01-31T12:00:00Z INFO  what there is to say
 *
 * with the time in UTC and the level INFO, WARN or ERROR in five columns; control characters become `?`. On a
 * terminal the levels WARN and ERROR are coloured (unless NO_COLOR is set), and the last line may be a
 * progress bar (base/progress.h); anywhere else no escape codes are written. Not collective. */
#ifndef OLICA_BASE_LOG_H
#define OLICA_BASE_LOG_H

#include <stdbool.h>

struct olica_env;

enum { OLICA_WARNING_TEXT = 256, OLICA_WARNINGS_MAX = 64, OLICA_LOG_BAR = 256 };

typedef struct olica_warning {
  char text[OLICA_WARNING_TEXT];
  long count;
} olica_warning;

typedef struct olica_log {
  bool speaks; /* this rank prints (rank 0) */
  bool quiet;  /* only warnings and the closing table */
  bool colour;
  bool on_terminal;
  int terminal;            /* its descriptor, if on_terminal */
  char bar[OLICA_LOG_BAR]; /* the progress bar that stands there; "": none */
  int warning_count;
  olica_warning warnings[OLICA_WARNINGS_MAX]; /* each text once, with how often it came */
} olica_log;

/* Looks for the terminal; a log without it never has one. Closed with the environment. */
void olica_log_open(struct olica_env *env);
void olica_log_close(struct olica_env *env);

/* One line of level INFO, from the rank that speaks unless quiet. */
void olica_log_line(struct olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A warning: said once (by the rank that speaks), counted ever after on the rank that raised it. Keep numbers
 * that vary out of the text, or it is another warning each time. What only some rank knows, that rank alone
 * should raise; what all know, one of them, or the counts are multiplied. */
void olica_log_warn(struct olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, `times` at once; 0: nothing. `text` is taken as it is. */
void olica_log_warn_times(struct olica_env *env, long times, const char *text);

/* Says a warning that another rank has raised, unless this one has raised (and so said) it too. */
void olica_log_pass_on(struct olica_env *env, const char *text);

/* The message of the failure under way, even if quiet: ERROR, or WARN where the work only stopped early. */
void olica_log_failure(struct olica_env *env);

/* "s", or "" of one: "%d rank%s". */
const char *olica_log_plural(long count);

/* Control characters become `?`: a message is one line, and what a file says must not bring breaks or
 * terminal controls of its own. */
void olica_log_printable(char *text);

/* Puts `bar` (plain text of less than the terminal's columns) in place of the one that stands, "" none. Only
 * where there is a terminal. */
void olica_log_bar(struct olica_env *env, const char *bar);

#endif
