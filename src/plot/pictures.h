/* The pictures: a table of what they show, their data and their scripts. Pure. Private to plot. */
#ifndef OLICA_PLOT_PICTURES_H
#define OLICA_PLOT_PICTURES_H

#include <stdbool.h>
#include <stdio.h>

#include "reports.h"

/* The reports that a picture shows: all, or the only one of a picture of one report. */
typedef struct olica_picture_of {
  int count;
  const olica_plot_report *report; /* [count] */
} olica_picture_of;

typedef struct olica_picture {
  const char *name;                                   /* of its files */
  const char *about;                                  /* the caption: what the axes and marks mean */
  bool of_all;                                        /* one picture of all reports; else one for each */
  bool (*has)(const olica_picture_of *of);            /* its reports hold what it shows */
  int (*height)(const olica_picture_of *of);          /* in pixels; NULL: the style's */
  void (*data)(const olica_picture_of *of, FILE *to); /* lines with a heading, for gnuplot */
  const char *title;
  /* Settings before, and the plot command; `data` is the name of the data file. */
  void (*settings)(const olica_picture_of *of, FILE *to);
  void (*plot)(const olica_picture_of *of, FILE *to);
} olica_picture;

/* Returns picture number i, NULL past the last. */
const olica_picture *olica_pictures_at(int i);

/* Rows of the table, by the file that makes them. */
extern const olica_picture olica_picture_widths, olica_picture_linearity, olica_picture_sensitivity,
    olica_picture_errors, olica_picture_spectra, olica_picture_importance, olica_picture_layer_times;
extern const olica_picture olica_picture_time, olica_picture_perplexity, olica_picture_speed;

/* Writes a number of a data file: "?" where it is not known. */
void olica_pictures_number(FILE *to, double value);

/* The text that a report's perplexity was measured on, as far as it tells: two of one key can be compared. */
enum { OLICA_PICTURES_KEY = 128 };
void olica_pictures_text_key(const olica_plot_report *report, char key[OLICA_PICTURES_KEY]);

#endif
