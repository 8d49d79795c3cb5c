/* The description of one setting of a config file: its name, how its value is written and stored, its default
 * and range, and what it changes. The program's own rows stand in src/run/settings.c, a method's in the
 * method's folder. */
#ifndef OLICA_BASE_SETTING_H
#define OLICA_BASE_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* What a setting's value changes. It decides which restart files and saved statistics a run may use. */
typedef enum olica_affects {
  OLICA_AFFECTS_SURVEY, /* the statistics of the dense passes, and so the result */
  OLICA_AFFECTS_RESULT, /* the result alone: the same saved statistics serve every value */
  OLICA_AFFECTS_NOTHING /* no number; or what it changes is seen in the model, the tokens or the precision */
} olica_affects;

typedef struct olica_setting {
  const char *section, *key;
  olica_kind kind;
  size_t at;                    /* offset in the struct that holds the values */
  const char *fallback;         /* the default, as a user would write it */
  const char *unit;             /* "tokens"; NULL: none */
  double low, high;             /* of numbers: low <= x <= high */
  char open[3];                 /* "(]", "[)": an end that does not count itself; "": both do */
  const char *(*choice)(int i); /* name of choice i, NULL past the last */
  const char *about;
  olica_affects affects;
} olica_setting;

/* Ends a table of rows that somebody else reads. */
#define OLICA_SETTINGS_END                                                                                   \
  { .section = NULL }

#endif
