#include "inspect/inspect.h"

#include "describe.h"
#include "diff.h"
#include "par/comm.h"
#include "show.h"
#include "subject.h"

static void print(FILE *to, const json_t *what, bool json, void (*show)(FILE *, const json_t *)) {
  if (!json) {
    show(to, what);
    return;
  }
  json_dumpf(what, to, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
  fputc('\n', to);
}

static olica_status inspect_on_root(const olica_subject *subject, bool json, FILE *to) {
  json_t *is;
  OLICA_TRY(olica_describe(subject, &is));
  print(to, is, json, olica_show_description);
  json_decref(is);
  return OLICA_OK;
}

olica_status olica_inspect(olica_context *context, const char *path, bool json, FILE *to) {
  olica_subject subject;
  olica_status status = olica_subject_open(context, path, &subject);
  if (status == OLICA_OK)
    status = olica_comm_agree(context, context->comm,
                              context->rank == 0 ? inspect_on_root(&subject, json, to) : OLICA_OK);
  olica_subject_close(&subject);
  return status;
}

static olica_status diff_on_root(const olica_subject *a, const olica_subject *b, bool json, FILE *to) {
  json_t *is_a = NULL, *is_b = NULL, *difference = NULL;
  olica_status status = olica_describe(a, &is_a);
  if (status == OLICA_OK) status = olica_describe(b, &is_b);
  if (status == OLICA_OK) status = olica_diff(a, is_a, b, is_b, &difference);
  if (status == OLICA_OK) print(to, difference, json, olica_show_difference);
  json_decref(is_a);
  json_decref(is_b);
  json_decref(difference);
  return status;
}

olica_status olica_inspect_diff(olica_context *context, const char *a, const char *b, bool json, FILE *to) {
  olica_subject one, other = {0};
  olica_status status = olica_subject_open(context, a, &one);
  if (status == OLICA_OK) status = olica_subject_open(context, b, &other);
  if (status == OLICA_OK)
    status = olica_comm_agree(context, context->comm,
                              context->rank == 0 ? diff_on_root(&one, &other, json, to) : OLICA_OK);
  olica_subject_close(&one);
  olica_subject_close(&other);
  return status;
}
