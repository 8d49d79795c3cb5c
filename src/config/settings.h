/* The table of settings: every key of a config file, once. Parsing, --set, defaults, --list, the report's
 * `settings` and the suggestion of the nearest key follow from it: a new setting is a field in struct
 * olica_options and one line in settings.c; a method has its own rows (prune/method.h). Not collective, no
 * I/O. */
#ifndef OLICA_CONFIG_SETTINGS_H
#define OLICA_CONFIG_SETTINGS_H

#include "base/env.h"
#include "base/setting.h"

/* The section whose keys are free: hints for MPI-IO. */
#define OLICA_SETTINGS_HINTS "io"

enum { OLICA_SETTINGS_MAX = 128 }; /* most rows of the table, all methods' included */

/* Returns setting number i of the program's and of all methods', NULL past the end. Settings of one section
 * are neighbours; those of a method follow each other. */
const olica_setting *olica_settings_at(int i);
int olica_settings_index(const olica_setting *setting);

/* Returns the number of the method that owns it, OLICA_METHOD_NONE: all methods share it. */
int olica_settings_method(const olica_setting *setting);

/* Returns the setting of that name: one that all methods share, or that method's; else another method's, or
 * NULL. */
const olica_setting *olica_settings_find(const char *section, const char *key, int method);

/* Returns whether there is such a section. */
bool olica_settings_section(const char *section);

/* Returns the known "[section] key" nearest to the given one (the nearest "[section]" if key is NULL) in text
 * [OLICA_SETTINGS_TEXT], or NULL if none is near. */
enum { OLICA_SETTINGS_TEXT = 96 };
const char *olica_settings_nearest(const char *section, const char *key, char *text);

/* Returns the edit distance of two words, without regard to case. */
int olica_settings_distance(const char *a, const char *b);

#endif
