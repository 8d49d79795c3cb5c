/* A pattern of tokenizer.json: a string or a regular expression. Private to text. */
#ifndef OLICA_TEXT_PATTERN_H
#define OLICA_TEXT_PATTERN_H

#include "node.h"
#include "regex.h"

typedef struct olica_pattern {
  olica_env *env;
  const char *literal; /* NULL: a regular expression */
  char *own;           /* storage, if the literal is a copy */
  size_t bytes;
  olica_regex *regex;
} olica_pattern;

/* Reads member "pattern": {"String": ...} or {"Regex": ...}. `name` is the file. */
olica_status olica_pattern_read(const olica_node *node, const char *name, olica_pattern *pattern);
olica_status olica_pattern_compile(olica_env *env, const char *name, const char *key, olica_span regex,
                                   olica_pattern *pattern);
/* Makes a pattern from a literal string. */
olica_status olica_pattern_quote(olica_env *env, olica_span literal, olica_pattern *pattern);
void olica_pattern_free(olica_pattern *pattern);

/* Iterates over the matches in a text; initialize with {pattern, text}. */
typedef struct olica_matches {
  olica_pattern *pattern;
  olica_span text;
  size_t at; /* where the search resumes */
  bool any;  /* a match was found, and it ended at `last` */
  size_t last;
  size_t begin, end; /* the match */
} olica_matches;

/* Finds the next match; skips an empty one right after the last. */
olica_status olica_matches_next(olica_matches *matches, bool *found);

/* Appends the text with every match replaced. */
olica_status olica_pattern_replace(olica_pattern *pattern, olica_span text, olica_span content,
                                   olica_bytes *out);

#endif
