#include "config/fields.h"

#include "config/settings.h"
#include "config/value.h"

const void *olica_options_field(const olica_options *options, const olica_setting *setting) {
  int method = olica_settings_method(setting);
  const char *base = method == OLICA_METHOD_NONE ? (const char *)options : options->prune.own[method];
  return base + setting->at;
}

bool olica_options_has(const olica_options *options, const olica_setting *setting) {
  int method = olica_settings_method(setting);
  return method == OLICA_METHOD_NONE || method == options->prune.method;
}

/* Returns the member of that name, and makes it if it is missing. */
static json_t *section_of(json_t *root, const char *section) {
  json_t *object = json_object_get(root, section);
  if (object) return object;
  json_object_set_new(root, section, json_object());
  return json_object_get(root, section);
}

json_t *olica_options_json(const olica_options *options) {
  json_t *root = json_object();
  const olica_setting *setting;
  for (int i = 0; (setting = olica_settings_at(i)); i++)
    if (olica_options_has(options, setting))
      json_object_set_new(section_of(root, setting->section), setting->key,
                          olica_value_json(setting, olica_options_field(options, setting)));
  json_t *io = section_of(root, OLICA_SETTINGS_HINTS);
  for (int i = 0; i < options->io.count; i++)
    json_object_set_new(io, options->io.hint[i].key, olica_value_string(options->io.hint[i].value));
  return root;
}
