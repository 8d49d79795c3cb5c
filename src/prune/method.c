#include "olica/prune/method.h"

#include "methods.h"

static const olica_method none = {.name = "none", .about = "prunes nothing, only evaluates"};
static const olica_method *const methods[] = {[OLICA_METHOD_NONE] = &none, &olica_method_olica};

const olica_method *olica_method_at(int i) {
  return i >= 0 && (size_t)i < sizeof methods / sizeof *methods ? methods[i] : NULL;
}
