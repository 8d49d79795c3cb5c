#include "config/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/ini.h"
#include "config/settings.h"
#include "prune/method.h"

typedef struct names {
  int count;
  char *element[OLICA_PAIRS_MAX];
} names;

/* Returns the value in "prune.key=value", or NULL if `set` is of another key. Changes `set`. */
static char *value_of(char *set, const char *key) {
  char *equals = strchr(set, '='), *dot = strchr(set, '.');
  if (!equals || !dot || dot > equals) return NULL;
  *equals = *dot = '\0';
  if (strcmp(olica_ini_trim(set), "prune") != 0 || strcmp(olica_ini_trim(dot + 1), key) != 0) return NULL;
  return olica_ini_trim(equals + 1);
}

/* Finds the value of a key of [prune] as the file has it, or its default. */
static const char *find_in_file(const olica_ini *ini, const char *key) {
  const char *found = olica_settings_find("prune", key, OLICA_METHOD_NONE)->fallback;
  for (int i = 0; i < ini->count; i++) {
    const olica_ini_entry *entry = &ini->entry[i];
    if (entry->key && strcmp(entry->section, "prune") == 0 && strcmp(entry->key, key) == 0)
      found = entry->value;
  }
  return found;
}

/* Finds the value that counts: the last --set, else the file's. */
static olica_status find(olica_env *env, const olica_arguments *arguments, const olica_ini *ini,
                         const char *key, char **value) {
  const char *found = find_in_file(ini, key);
  for (int i = 0; i < arguments->sets; i++) {
    char *set = olica_memory_string(env, arguments->set[i]), *given;
    if (!set) return OLICA_ERR_MEMORY;
    if ((given = value_of(set, key))) found = given;
  }
  *value = olica_memory_string(env, found);
  return *value ? OLICA_OK : OLICA_ERR_MEMORY;
}

static bool same(const char *key, const char *a, const char *b) {
  if (strcmp(key, "sparsity") == 0) return strtod(a, NULL) == strtod(b, NULL);
  return strcmp(a, b) == 0;
}

static olica_status split(olica_env *env, const char *key, char *value, names *to) {
  to->count = 0;
  for (char *at = value; at;) {
    char *next = strchr(at, ',');
    if (next) *next++ = '\0';
    if (to->count == OLICA_PAIRS_MAX)
      return olica_error_set(env, OLICA_ERR_CONFIG, "[prune] %s lists too many, expected at most %d", key,
                             OLICA_PAIRS_MAX);
    char *element = to->element[to->count++] = olica_ini_trim(at);
    for (int i = 0; i + 1 < to->count; i++)
      if (same(key, to->element[i], element))
        return olica_error_set(env, OLICA_ERR_CONFIG, "[prune] %s lists %.40s twice, expected each once", key,
                               element);
    at = next;
  }
  return OLICA_OK;
}

static uint32_t find_listed(const names *methods) {
  const olica_method *method;
  uint32_t listed = 0;
  for (int m = 0; (method = olica_method_at(m)); m++)
    for (int i = 0; i < methods->count; i++)
      if (strcmp(methods->element[i], method->name) == 0) listed |= (uint32_t)1 << m;
  return listed;
}

/* Adds the methods of the file's list, from which a --set may have chosen: their settings stay allowed. */
static olica_status add_listed(olica_env *env, char *in_file, uint32_t *listed) {
  names methods;
  if (!strchr(in_file, ',')) return OLICA_OK;
  OLICA_TRY(split(env, "method", in_file, &methods));
  *listed |= find_listed(&methods);
  return OLICA_OK;
}

static olica_status refuse_none(olica_env *env, const names *methods) {
  const char *none = olica_method_at(OLICA_METHOD_NONE)->name;
  for (int i = 0; i < methods->count; i++)
    if (strcmp(methods->element[i], none) == 0)
      return olica_error_set(
          env, OLICA_ERR_CONFIG,
          "[prune] method lists %s, which prunes nothing; expected methods that prune (the "
          "dense model is compared anyway, with [evaluate] dense = yes)",
          none);
  return OLICA_OK;
}

static olica_status make(olica_env *env, const names *methods, const names *sparsities, uint32_t listed,
                         olica_pairs *pairs) {
  OLICA_TRY(refuse_none(env, methods));
  if (methods->count * sparsities->count > OLICA_PAIRS_MAX)
    return olica_error_set(
        env, OLICA_ERR_CONFIG, "[prune] %d methods with %d sparsities are %d jobs, expected at most %d",
        methods->count, sparsities->count, methods->count * sparsities->count, OLICA_PAIRS_MAX);
  pairs->sparsities = sparsities->count;
  for (int m = 0; m < methods->count; m++)
    for (int s = 0; s < sparsities->count; s++)
      pairs->pair[pairs->count++] = (olica_pair){methods->element[m], sparsities->element[s], listed};
  return OLICA_OK;
}

olica_status olica_pairs_read(olica_env *env, const olica_arguments *arguments, const char *text,
                              size_t bytes, olica_pairs *pairs) {
  olica_ini ini;
  names methods, sparsities;
  char *method, *sparsity, *in_file;
  uint32_t listed = 0;
  pairs->count = 0;
  OLICA_TRY(olica_ini_parse(env, arguments->config, text, bytes, &ini));
  OLICA_TRY(find(env, arguments, &ini, "method", &method));
  OLICA_TRY(find(env, arguments, &ini, "sparsity", &sparsity));
  if (!(in_file = olica_memory_string(env, find_in_file(&ini, "method")))) return env->error.code;
  bool several = strchr(find_in_file(&ini, "sparsity"), ',') != NULL;
  olica_ini_free(env, &ini);
  OLICA_TRY(add_listed(env, in_file, &listed));
  pairs->chosen = listed != 0 || several;
  pairs->pair[0] = (olica_pair){method, sparsity, listed};
  if (!strchr(method, ',') && !strchr(sparsity, ',')) return OLICA_OK;
  OLICA_TRY(split(env, "method", method, &methods));
  OLICA_TRY(split(env, "sparsity", sparsity, &sparsities));
  return make(env, &methods, &sparsities, listed | find_listed(&methods), pairs);
}

olica_status olica_pairs_name(olica_env *env, const char *path, const char *method, const char *sparsity,
                              char **name) {
  const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
  size_t stem = dot && dot > (slash ? slash + 1 : path) ? (size_t)(dot - path) : strlen(path);
  size_t room = strlen(path) + strlen(method) + (sparsity ? strlen(sparsity) : 0) + 3;
  OLICA_TRY(OLICA_NEW(env, *name, room));
  if (*path)
    snprintf(*name, room, "%.*s.%s%s%s%s", (int)stem, path, method, sparsity ? "." : "",
             sparsity ? sparsity : "", path + stem);
  return OLICA_OK;
}
