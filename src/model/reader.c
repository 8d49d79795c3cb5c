#include "reader.h"

#include <stdio.h>

#include "io/json.h"

bool olica_reader_has(const olica_reader *r, const char *key) {
  const json_t *value = json_object_get(r->root, key);
  return value && !json_is_null(value);
}

olica_status olica_reader_int(const olica_reader *r, const char *key, bool required, int64_t low,
                              int64_t high, int *value) {
  int64_t wide = *value;
  OLICA_TRY(olica_json_integer(r->env, r->name, r->root, key, required, low, high, &wide));
  *value = (int)wide;
  return OLICA_OK;
}

olica_status olica_reader_real(const olica_reader *r, const char *key, bool required, double low, double high,
                               double *value) {
  return olica_json_real(r->env, r->name, r->root, key, required, low, high, value);
}

olica_status olica_reader_enter(const olica_reader *r, const char *key, char *place, olica_reader *inner) {
  const json_t *value = json_object_get(r->root, key);
  if (json_is_object(value)) {
    snprintf(place, OLICA_READER_PLACE, "%.1024s: %s", r->name, key);
    *inner = (olica_reader){r->env, place, value};
    return OLICA_OK;
  }
  char found[OLICA_JSON_TEXT];
  olica_json_describe(value, found);
  return olica_error_set(r->env, OLICA_ERR_INPUT, "%s: %s is %s, expected an object", r->name, key, found);
}
