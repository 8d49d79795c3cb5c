/* The values of the settings in the options of a run. Not collective, pure. */
#ifndef OLICA_CONFIG_FIELDS_H
#define OLICA_CONFIG_FIELDS_H

#include <jansson.h>

#include "config/options.h"

/* Returns whether a run with these options has that setting: it is not another method's. */
bool olica_options_has(const olica_options *options, const olica_setting *setting);

/* Returns the place of a setting's value. */
const void *olica_options_field(const olica_options *options, const olica_setting *setting);

/* Returns all settings as an object of sections, as the run uses them: numbers, booleans, strings; "auto"
 * stays "auto". A new reference, NULL without memory. */
json_t *olica_options_json(const olica_options *options);

#endif
