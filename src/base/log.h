/* The log: lines on standard error, printed by rank 0, and counted warnings, which any rank may raise. A line
 * is
 *
 *     2026-01-31T12:00:00Z INFO  message
 *
 * with the time in UTC and the level INFO, WARN or ERROR in five columns; control characters become `?`. On a
 * terminal WARN and ERROR are coloured (unless NO_COLOR is set), and the last line may be a progress bar
 * (base/progress.h); elsewhere no escape codes are written. Not collective. */
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
  bool quiet;  /* prints only warnings and the closing table */
  bool colour;
  bool on_terminal;
  int terminal;            /* file descriptor of the terminal, if on_terminal */
  char bar[OLICA_LOG_BAR]; /* the progress bar on screen; "": none */
  int warning_count;
  olica_warning warnings[OLICA_WARNINGS_MAX]; /* each text once, with its number of occurrences */
} olica_log;

/* Finds the terminal; a log that was not opened has none. olica_env_destroy closes it. */
void olica_log_open(struct olica_env *env);
void olica_log_close(struct olica_env *env);

/* Prints one line of level INFO on rank 0, unless quiet. */
void olica_log_line(struct olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Raises a warning: rank 0 prints its first occurrence; the rank that raised it counts every occurrence. Keep
 * varying numbers out of the text: each distinct text is a distinct warning. If only some ranks know the
 * cause, those ranks raise it; if all ranks know it, one of them raises it, or the counts are multiplied. */
void olica_log_warn(struct olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Counts `times` occurrences at once; 0: does nothing. `text` is no format string. */
void olica_log_warn_times(struct olica_env *env, long times, const char *text);

/* Prints a warning raised by another rank, unless this rank has raised (and so printed) it too. */
void olica_log_pass_on(struct olica_env *env, const char *text);

/* Prints the message of the current failure, even if quiet: as ERROR, or as WARN if the run only stopped
 * early. */
void olica_log_failure(struct olica_env *env);

/* Returns "s", or "" if count is 1, for "%d rank%s". */
const char *olica_log_plural(long count);

/* Replaces control characters by `?`: a message stays one line, and text quoted from a file cannot add line
 * breaks or terminal escapes. */
void olica_log_printable(char *text);

/* Replaces the progress bar by `bar` (plain text, shorter than the terminal's width); "" removes it. Does
 * nothing without a terminal. */
void olica_log_bar(struct olica_env *env, const char *bar);

#endif
