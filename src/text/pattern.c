#include "pattern.h"

#include "unicode.h"

olica_status olica_pattern_quote(olica_env *env, olica_span literal, olica_pattern *pattern) {
  pattern->env = env;
  OLICA_TRY(OLICA_NEW(env, pattern->own, literal.bytes + 1));
  if (literal.bytes) memcpy(pattern->own, literal.data, literal.bytes);
  pattern->literal = pattern->own;
  pattern->bytes = literal.bytes;
  return OLICA_OK;
}

olica_status olica_pattern_compile(olica_env *env, const char *name, const char *key, olica_span regex,
                                   olica_pattern *pattern) {
  pattern->env = env;
  return olica_regex_compile(env, name, key, regex, &pattern->regex);
}

olica_status olica_pattern_read(const olica_node *node, const char *name, olica_pattern *pattern) {
  olica_node inner;
  olica_span string = {0}, regex = {0};
  OLICA_TRY(olica_node_member(node, "pattern", &inner));
  if (!json_is_object(inner.value))
    return olica_node_refuse(node, "pattern", "{\"String\": ...} or {\"Regex\": ...}");
  OLICA_TRY(olica_node_string(&inner, "String", false, &string));
  OLICA_TRY(olica_node_string(&inner, "Regex", !string.data, &regex));
  if (string.bytes) return olica_pattern_quote(node->env, string, pattern);
  if (string.data) regex = (olica_span){"", 0}; /* nothing matches everywhere */
  return olica_pattern_compile(node->env, name, "pattern.Regex", regex, pattern);
}

void olica_pattern_free(olica_pattern *pattern) {
  if (!pattern->env) return;
  OLICA_FREE(pattern->env, pattern->own);
  olica_regex_free(pattern->regex);
  pattern->regex = NULL;
}

static olica_status find(olica_matches *m, bool *found) {
  const olica_pattern *p = m->pattern;
  if (p->regex) return olica_regex_find(p->regex, m->text, m->at, &m->begin, &m->end, found);
  const char *at = memmem(m->text.data + m->at, m->text.bytes - m->at, p->literal, p->bytes);
  *found = at != NULL;
  if (at) m->begin = (size_t)(at - m->text.data), m->end = m->begin + p->bytes;
  return OLICA_OK;
}

olica_status olica_matches_next(olica_matches *m, bool *found) {
  *found = false;
  while (m->at <= m->text.bytes && m->text.bytes > 0) {
    OLICA_TRY(find(m, found));
    if (!*found) return OLICA_OK;
    if (m->begin < m->end || !m->any || m->last != m->end) {
      m->at = m->last = m->end;
      m->any = true;
      return OLICA_OK;
    }
    *found = false;
    if (m->at < m->text.bytes)
      olica_unicode_next(m->text, &m->at);
    else
      m->at++;
  }
  return OLICA_OK;
}

olica_status olica_pattern_replace(olica_pattern *pattern, olica_span text, olica_span content,
                                   olica_bytes *out) {
  olica_matches m = {.pattern = pattern, .text = text};
  size_t from = 0;
  for (bool found;;) {
    OLICA_TRY(olica_matches_next(&m, &found));
    if (!found) break;
    OLICA_TRY(olica_bytes_append(pattern->env, out, text.data + from, m.begin - from));
    OLICA_TRY(olica_bytes_append(pattern->env, out, content.data, content.bytes));
    from = m.end;
  }
  return olica_bytes_append(pattern->env, out, text.data + from, text.bytes - from);
}
