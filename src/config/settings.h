/* The table of settings: everything that may stand in a config file, once. Parsing, --set, defaults, --list,
 * the report's `settings` and the suggestion of the nearest key all follow from it: a new setting is a field
 * in struct olica_options and one line in settings.c; a method has its own rows (olica/prune/method.h). Not
 * collective, no I/O. */
#ifndef OLICA_CONFIG_SETTINGS_H
#define OLICA_CONFIG_SETTINGS_H

#include "base/env.h"
#include "base/setting.h"

/* The section whose keys are free: they are handed to MPI-IO. */
#define OLICA_SETTINGS_HINTS "io"

enum { OLICA_SETTINGS_MAX = 128 }; /* the table is not longer, all methods' rows included */

/* Setting number i of the program's and of all methods', NULL past the end. Settings of one section are
 * neighbours; those of a method follow each other. */
const olica_setting *olica_settings_at(int i);
int olica_settings_index(const olica_setting *setting);

/* The number of the method that owns it, OLICA_METHOD_NONE: all methods share it. */
int olica_settings_method(const olica_setting *setting);

/* The setting of that name: one that all methods share, or that method's; else another method's, or NULL. */
const olica_setting *olica_settings_find(const char *section, const char *key, int method);

/* Is there such a section? */
bool olica_settings_section(const char *section);

/* The known "[section] key" nearest to what was asked for (the nearest "[section]" if key is NULL), or NULL
 * if none is near. The answer is in `text` [OLICA_SETTINGS_TEXT]. */
enum { OLICA_SETTINGS_TEXT = 96 };
const char *olica_settings_nearest(const char *section, const char *key, char *text);

/* Edit distance of two words; upper and lower case are the same. */
int olica_settings_distance(const char *a, const char *b);

#endif
