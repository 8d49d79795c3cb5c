/* The values of the settings in the options of a run. Not collective, pure. */
#ifndef OLICA_CONFIG_FIELDS_H
#define OLICA_CONFIG_FIELDS_H

#include <jansson.h>

#include "config/options.h"

/* Does a run with these options have that setting? Not those of other methods. */
bool olica_options_has(const olica_options *options, const olica_setting *setting);

/* The place of a setting's value. */
const void *olica_options_field(const olica_options *options, const olica_setting *setting);

/* All settings as an object of sections, as they are used: numbers, booleans, strings; "auto" stays "auto". A
 * new reference, NULL when there is no memory. */
json_t *olica_options_json(const olica_options *options);

#endif
