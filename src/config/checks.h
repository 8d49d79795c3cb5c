/* Checks of settings together, once all have been read. Private to config. Not collective. */
#ifndef OLICA_CONFIG_CHECKS_H
#define OLICA_CONFIG_CHECKS_H

#include <limits.h>

#include "config/options.h"

/* Writes the start of a message, "config.ini:12", or "--set" for line 0, into text [OLICA_CHECKS_PLACE];
 * returns text. */
enum { OLICA_CHECKS_PLACE = PATH_MAX + 32 };
const char *olica_checks_place(const char *config, int line, char *text);

/* Checks what does not depend on the model. `line`: each setting's line in the config file, by the number of
 * the setting; 0: --set, or the default. OLICA_ERR_CONFIG names file, key, found and expected. */
olica_status olica_checks_options(olica_env *env, const olica_options *options, const int line[]);

#endif
