/* Any bytes as a config file, and behind the first NUL as a --set: refused with a message, or options that
 * lie in their ranges and can be told as JSON. */
#include "config/fields.h"
#include "config/reader.h"
#include "fuzz.h"
#include "text/sources.h"

static void look_at(olica_env *env, const olica_options *options) {
  json_t *json = olica_options_json(options);
  FUZZ_EXPECT(json && json_object_size(json) > 0);
  json_decref(json);
  FUZZ_EXPECT(options->prune.sparsity >= 0 && options->prune.sparsity < 1);
  FUZZ_EXPECT(options->calibration.samples >= 1 && options->calibration.length >= 1);
  FUZZ_EXPECT(options->run.stall >= 1 && options->solver.block >= 1);
  FUZZ_EXPECT(options->model.path[0]);
  olica_text_sources sources;
  if (olica_sources_parse(env, "text", options->calibration.base, options->calibration.text, &sources) !=
      OLICA_OK)
    return;
  int64_t all = 0;
  for (int i = 0; i < sources.count; i++)
    all += olica_sources_share(&sources, options->calibration.samples, i);
  FUZZ_EXPECT(sources.count == 0 || all == options->calibration.samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  olica_env *env = fuzz_env();
  const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
  size_t bytes = nul ? (size_t)(nul - data) : size, rest = nul ? size - bytes - 1 : 0;
  char *text = calloc(bytes + 1, 1), *set = calloc(rest + 1, 1);
  FUZZ_EXPECT(text && set);
  if (bytes > 0) memcpy(text, data, bytes);
  if (rest > 0) memcpy(set, nul + 1, rest);
  olica_arguments arguments = {
      .config = "some/config.ini", .sets = nul != NULL, .set = (const char *[]){set}};
  olica_options options;
  olica_status status = olica_options_read(env, &arguments, text, bytes, &options);
  if (status == OLICA_OK)
    look_at(env, &options);
  else
    FUZZ_EXPECT(status == OLICA_ERR_CONFIG && env->error.text[0] && !strchr(env->error.text, '\n'));
  olica_env_destroy(env);
  free(text);
  free(set);
  return 0;
}
