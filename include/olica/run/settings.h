/* The table of settings: everything that may stand in a config file, once. Parsing, --set, defaults, --list,
 * the report's `settings` and the suggestion of the nearest key all follow from it: a new setting is a field
 * in struct olica_options and one line in settings.c. Not collective, no I/O. */
#ifndef OLICA_RUN_SETTINGS_H
#define OLICA_RUN_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "olica/base/env.h"

/* How a value is written, and what it is stored as in struct olica_options. */
typedef enum olica_kind {
  OLICA_KIND_STRING,   /* const char *, "" if empty */
  OLICA_KIND_PATH,     /* const char *, relative to the config file or, of --set, to where the user stands */
  OLICA_KIND_FILES,    /* const char *, "kind:FILE, kind:FILE", as given (who reads the list resolves); "" if
                          empty */
  OLICA_KIND_INTEGER,  /* int64_t */
  OLICA_KIND_COUNT,    /* int64_t, "auto" = 0 */
  OLICA_KIND_REAL,     /* double */
  OLICA_KIND_BOOL,     /* bool: yes, no, true, false, on, off */
  OLICA_KIND_CHOICE,   /* int (or an enum): position in the list of choices */
  OLICA_KIND_SIZE,     /* int64_t bytes, "512MiB", "1.5 GiB", "auto" = 0 */
  OLICA_KIND_DURATION, /* int64_t seconds, "[D-]HH:MM:SS", "off" = 0, "auto" = -1 */
  OLICA_KIND_CADENCE   /* olica_cadence: "2 layers", "10 min", "off" */
} olica_kind;

typedef struct olica_cadence {
  int64_t layers, minutes; /* one of them is set; both 0: off */
} olica_cadence;

typedef struct olica_setting {
  const char *section, *key;
  olica_kind kind;
  size_t at;                    /* offset in struct olica_options */
  const char *fallback;         /* the default, as a user would write it */
  const char *unit;             /* "tokens"; NULL: none */
  double low, high;             /* of numbers: low <= x <= high */
  char open[3];                 /* "(]", "[)": an end that does not count itself; "": both do */
  const char *(*choice)(int i); /* name of choice i, NULL past the last */
  const char *about;
} olica_setting;

/* The section whose keys are free: they are handed to MPI-IO. */
#define OLICA_SETTINGS_HINTS "io"

enum { OLICA_SETTINGS_MAX = 128 }; /* the table is not longer */

/* Setting number i, NULL past the end of the table. Settings of one section are neighbours. */
const olica_setting *olica_settings_at(int i);

/* The setting of that name, or NULL. */
const olica_setting *olica_settings_find(const char *section, const char *key);

/* Is there such a section? */
bool olica_settings_section(const char *section);

/* The known "[section] key" nearest to what was asked for (the nearest "[section]" if key is NULL), or NULL
 * if none is near. The answer is in `text` [OLICA_SETTINGS_TEXT]. */
enum { OLICA_SETTINGS_TEXT = 96 };
const char *olica_settings_nearest(const char *section, const char *key, char *text);

/* Edit distance of two words; upper and lower case are the same. */
int olica_settings_distance(const char *a, const char *b);

#endif
