/* Whole jobs of a session: each has an environment of its own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "par/comm.h"
#include "par/watch.h"
#include "run/pipeline.h"
#include "session.h"
#include "store/checkpoint.h"

/* Runs a job of these settings; *answer on rank 0: its report, or NULL. */
static olica_status run(olica *o, olica_context *context, const char *config, int count,
                        const char *const *settings, json_t **answer) {
  olica_env *env = context->env;
  olica_arguments arguments = {.command = OLICA_COMMAND_RUN, .config = config, .sets = count};
  OLICA_AGREE(context, OLICA_NEW(env, arguments.set, (size_t)count + 1));
  for (int i = 0; i < count; i++) arguments.set[i] = settings[i];
  return olica_session_run(o, context, &arguments, false, answer);
}

int olica_run(olica *o, const char *config, int count, const char *const *settings, char **report) {
  olica_context *context;
  json_t *answer = NULL;
  olica_status status = olica_place_create(o, &context);
  if (status == OLICA_OK) status = run(o, context, config, count, settings, &answer);
  if (report) *report = answer ? json_dumps(answer, JSON_INDENT(2)) : NULL;
  json_decref(answer);
  return olica_place_destroy(o, context, status);
}

/* Runs a job that only evaluates; rank 0 tells the others what its report says. */
static olica_status evaluate(olica *o, olica_context *context, const char *model, const char *text,
                             double *perplexity) {
  olica_env *env = context->env;
  json_t *answer = NULL;
  char *path, *file;
  size_t room[2] = {strlen(model) + 16, strlen(text) + 16};
  OLICA_AGREE(context, OLICA_NEW(env, path, room[0]));
  OLICA_AGREE(context, OLICA_NEW(env, file, room[1]));
  snprintf(path, room[0], "model.path=%s", model);
  snprintf(file, room[1], "evaluate.text=%s", text);
  const char *const settings[] = {path, file, "prune.method=none", "output.report="};
  OLICA_TRY(run(o, context, NULL, 4, settings, &answer));
  if (context->rank == 0)
    *perplexity = json_number_value(json_object_get(json_object_get(answer, "perplexity"), "model"));
  json_decref(answer);
  olica_comm_bcast(context, context->comm, perplexity, sizeof *perplexity, 0);
  return OLICA_OK;
}

int olica_evaluate(olica *o, const char *model, const char *text, double *perplexity) {
  olica_context *context;
  *perplexity = NAN;
  olica_status status = olica_place_create(o, &context);
  if (status == OLICA_OK) status = evaluate(o, context, model, text, perplexity);
  return olica_place_destroy(o, context, status);
}

int olica_verify(olica *o, const char *checkpoint, int64_t *datasets, int64_t *bytes) {
  olica_context *context;
  olica_status status = olica_place_create(o, &context);
  if (status == OLICA_OK) status = olica_checkpoint_verify(context, checkpoint, datasets, bytes);
  return olica_place_destroy(o, context, status);
}
