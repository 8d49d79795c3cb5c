/* One value of a setting: reads and checks its text, describes it, returns it as JSON. Not collective, no
 * I/O. */
#ifndef OLICA_CONFIG_VALUE_H
#define OLICA_CONFIG_VALUE_H

#include <jansson.h>

#include "config/settings.h"

/* Reads `text` (trimmed) into the field at `to`; strings are borrowed from it. `where` begins the message of
 * a failure, OLICA_ERR_CONFIG: "config.ini:12". */
olica_status olica_value_parse(olica_env *env, const char *where, const olica_setting *setting,
                               const char *text, void *to);

/* Writes the expected values, "a number in [0, 1)", "one of none, olica", into text [OLICA_VALUE_TEXT];
 * returns text. */
enum { OLICA_VALUE_TEXT = 160 };
const char *olica_value_expected(const olica_setting *setting, char *text);

/* Returns the field at `from` as JSON; "auto" and "off" stay words. A new reference, NULL without memory. */
json_t *olica_value_json(const olica_setting *setting, const void *from);

/* Returns a JSON string of any bytes: writes those that are not UTF-8 as \xNN, four characters each, so that
 * names in Latin-1 stay different. NULL without memory. */
json_t *olica_value_string(const char *text);
bool olica_value_is_text(const char *text); /* Returns whether the text is UTF-8. */

#endif
