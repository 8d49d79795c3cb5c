/* The log: plain lines on standard error of the rank that speaks for all (rank 0), and counted warnings that
 * every rank may raise. A clean run is quiet. */
#ifndef OLICA_BASE_LOG_H
#define OLICA_BASE_LOG_H

#include <stdbool.h>

struct olica_env;

enum { OLICA_WARNING_TEXT = 256, OLICA_WARNINGS_MAX = 64 };

typedef struct olica_warning {
  char text[OLICA_WARNING_TEXT];
  long count;
} olica_warning;

typedef struct olica_log {
  bool speaks; /* this rank prints (rank 0) */
  bool quiet;  /* only warnings and the closing table */
  int warning_count;
  olica_warning warnings[OLICA_WARNINGS_MAX]; /* each text once, with how often it came */
} olica_log;

/* One line of progress, from the rank that speaks unless quiet. */
void olica_log_line(struct olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A warning: said once (by the rank that speaks), counted ever after on the rank that raised it. Keep numbers
 * that vary out of the text, or it is another warning each time. */
void olica_log_warn(struct olica_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
