/* The description of one setting of a config file: its name, the form and type of its value, its default and
 * range, and what it affects. The program's own rows are in src/config/settings.c, a method's rows in the
 * method's folder. */
#ifndef OLICA_BASE_SETTING_H
#define OLICA_BASE_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The form of a value, and its type in struct olica_options. */
typedef enum olica_kind {
  OLICA_KIND_STRING,   /* const char *, "" if empty */
  OLICA_KIND_PATH,     /* const char *, relative to the config file or, for --set, to the working directory */
  OLICA_KIND_FILES,    /* const char *, "kind:FILE, kind:FILE", as given (the code that uses it resolves the
                          paths); "" if empty */
  OLICA_KIND_TEXTS,    /* const char *: a path, or a list "NAME:FILE, NAME:FILE" (eval/text_files.h) */
  OLICA_KIND_INTEGER,  /* int64_t */
  OLICA_KIND_COUNT,    /* int64_t, "auto" = 0 */
  OLICA_KIND_REAL,     /* double */
  OLICA_KIND_BOOL,     /* bool: yes, no, true, false, on, off */
  OLICA_KIND_CHOICE,   /* int (or an enum): position in the list of choices */
  OLICA_KIND_SIZE,     /* int64_t bytes, "512MiB", "1.5 GiB", "auto" = 0 */
  OLICA_KIND_DISK,     /* int64_t bytes, "5GB" (of 10^9), "512MiB" */
  OLICA_KIND_DURATION, /* int64_t seconds, "[D-]HH:MM:SS", "off" = 0, "auto" = -1 */
  OLICA_KIND_CADENCE   /* olica_cadence: "2 layers", "10 min", "off" */
} olica_kind;

typedef struct olica_cadence {
  int64_t layers, minutes; /* one of them is set; both 0: off */
} olica_cadence;

/* The numbers that a setting's value changes. This decides which restart files and saved statistics a run may
 * use. */
typedef enum olica_affects {
  OLICA_AFFECTS_SURVEY, /* the statistics of the dense passes, and so the result */
  OLICA_AFFECTS_RESULT, /* only the result: the same saved statistics serve every value */
  OLICA_AFFECTS_NOTHING /* no number; or the model, the tokens or the precision show the change */
} olica_affects;

typedef struct olica_setting {
  const char *section, *key;
  olica_kind kind;
  size_t at;            /* offset in the struct that holds the values */
  const char *fallback; /* the default, in the form that a user writes */
  const char *unit;     /* "tokens"; NULL: none */
  double low, high;     /* of numbers: low <= x <= high */
  char open[3];         /* "(]", "[)": a round bracket excludes that end; "": both ends are included */
  const char *(*choice)(int i); /* name of choice i, NULL past the last */
  const char *about;
  olica_affects affects;
} olica_setting;

/* Ends a table of rows. */
#define OLICA_SETTINGS_END                                                                                   \
  { .section = NULL }

#endif
