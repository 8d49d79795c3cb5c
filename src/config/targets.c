#include "config/targets.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "io/file.h"

/* How a path changes. */
typedef struct change {
  olica_env *env;
  const char *base, *directory;
  const olica_pair *pair; /* NULL: no name of a pair */
} change;

static olica_status move(const change *c, const char *path, char **moved) {
  char *base;
  size_t length = strlen(c->directory), keep = strlen(path);
  while (keep > 1 && path[keep - 1] == '/') keep--;
  const char *slash = memrchr(path, '/', keep);
  OLICA_TRY(OLICA_NEW(c->env, base, length + 2));
  snprintf(base, length + 2, "%s%s", c->directory, length > 0 && c->directory[length - 1] == '/' ? "" : "/");
  return olica_file_resolve(c->env, base, slash && keep > 1 ? slash + 1 : path, moved);
}

static olica_status change_path(const change *c, char *path, char **changed) {
  size_t length = strlen(path);
  if (c->directory) return move(c, path, changed);
  if (!c->pair) return olica_file_resolve(c->env, c->base, path, changed);
  while (length > 1 && path[length - 1] == '/') path[--length] = '\0'; /* a directory */
  return olica_pairs_name(c->env, path, c->pair->method, c->pair->sparsity, changed);
}

/* Appends an entry, "KIND:PATH" with the path changed; what is no such entry stays as it is. */
static olica_status add(const change *c, const char *entry, size_t length, char **list, size_t *room) {
  const char *colon = memchr(entry, ':', length);
  char *path = NULL, *changed = NULL;
  size_t kind = colon ? (size_t)(colon - entry) + 1 : length, used = *list ? strlen(*list) : 0;
  const char *from = entry + kind, *end = entry + length;
  while (from < end && isblank((unsigned char)*from)) from++;
  OLICA_TRY(OLICA_NEW(c->env, path, (size_t)(end - from) + 1));
  memcpy(path, from, (size_t)(end - from));
  OLICA_TRY(*path ? change_path(c, path, &changed) : OLICA_NEW(c->env, changed, 1));
  OLICA_TRY(OLICA_GROW(c->env, *list, *room, used, used + kind + strlen(changed) + 3));
  snprintf(*list + used, *room - used, "%s%.*s%s", used ? ", " : "", (int)kind, entry, changed);
  olica_memory_free(c->env, path);
  olica_memory_free(c->env, changed);
  return OLICA_OK;
}

static olica_status change_all(const change *c, const char *list, char **changed) {
  size_t room = 0;
  *changed = NULL;
  for (const char *at = list; *at;) {
    size_t length = strcspn(at, ","), used = length;
    const char *from = at;
    while (used > 0 && isblank((unsigned char)*from)) from++, used--;
    while (used > 0 && isblank((unsigned char)from[used - 1])) used--;
    OLICA_TRY(add(c, from, used, changed, &room));
    at += length + (at[length] == ',');
  }
  return *changed ? OLICA_OK : OLICA_NEW(c->env, *changed, 1);
}

olica_status olica_targets_resolve(olica_env *env, const char *base, const char *directory, const char *list,
                                   char **resolved) {
  return change_all(&(change){env, base, directory, NULL}, list, resolved);
}

olica_status olica_targets_name(olica_env *env, const olica_pair *pair, const char *list, char **named) {
  return change_all(&(change){env, "", NULL, pair}, list, named);
}
