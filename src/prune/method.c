#include "olica/prune/method.h"

#include <string.h>

#include "methods.h"

static const olica_method none = {.name = "none", .about = "only evaluates"};
static const olica_method *const methods[] = {&none, &olica_method_olica};

const olica_method *olica_method_at(int i) {
  return i >= 0 && (size_t)i < sizeof methods / sizeof *methods ? methods[i] : NULL;
}

const olica_method *olica_method_find(const char *name) {
  for (int i = 0; olica_method_at(i); i++)
    if (strcmp(methods[i]->name, name) == 0) return methods[i];
  return NULL;
}
